"""Lists as files, out and in."""

import asyncio
import io
import json
import zipfile
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import uuid4

from tornado.httputil import (
    HTTPInputError,
    ParseBodyConfig,
    ParseMultipartConfig,
    parse_body_arguments,
)
from tornado.web import HTTPError, stream_request_body

from controllers.base import SLOWEST, PageHandler, redisplay_if_invalid
from controllers.errors import NotLoggedIn
from controllers.security import POLICY
from models import files, lists
from models.errors import Invalid, NotFound, TooLarge

TYPES = {"txt": "text/plain", "csv": "text/csv", "json": "application/json"}
EXPORTING = asyncio.Semaphore(1)
HURRY = 30  # seconds in which HURRY * SLOWEST bytes of a form must come
SHOWN = 200  # rows, and as many problems, of what is shown before it is stored
FORM = ParseBodyConfig(multipart=ParseMultipartConfig(max_parts=10))


class FileHandler(PageHandler):
    """A list as a file."""

    async def get(self, list_id: str, suffix: str) -> None:
        """Send it."""
        data = await self.read(files.one, self.current_user, int(list_id), suffix)
        self.set_header("Content-Type", f"{TYPES[suffix]}; charset=utf-8")
        self.send_file("todos", suffix, data)

    def send_file(self, name: str, suffix: str, data: bytes) -> None:
        """Answer with a file to keep (RFC 6266), named by no user, in which nothing runs."""
        self.set_header("Content-Security-Policy", f"{POLICY}; sandbox")
        self.set_header("Content-Encoding", "identity")  # packing it would hold up the loop
        name = f"{name}-{datetime.now(UTC):%Y-%m-%d}.{suffix}"
        self.set_header("Content-Disposition", f'attachment; filename="{name}"')
        self.finish(data)


class ExportHandler(FileHandler):
    """Everything that is mine."""

    async def get(self) -> None:  # type: ignore[override]
        """Send it as a zip, made a list at a time, for one person at a time."""
        file = io.BytesIO()
        person = self.current_user
        async with EXPORTING:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                about = await self.read(files.about, person)
                archive.writestr("account.json", about)
                for seen in await self.lookup(lists.mine, person):
                    with suppress(NotFound):  # it was deleted meanwhile
                        data = await self.read(files.one, person, seen.id, "json")
                        name = f"lists/{seen.id}.json"
                        await asyncio.to_thread(archive.writestr, name, data)
        self.set_header("Content-Type", "application/zip")
        self.send_file("afazeres", "zip", file.getvalue())


@stream_request_body
class ImportHandler(PageHandler):
    """Lists out of a file: first it is shown what was understood, then it is stored."""

    hurrying: asyncio.TimerHandle | None = None
    public = True  # who isn't logged in is told so when their form has come: else they hear nothing

    async def prepare(self) -> None:
        """Take in a large file from those who are logged in, and from nobody else."""
        self.data = bytearray()
        connection: Any = self.request.connection
        connection.set_body_timeout(30)
        await super().prepare()
        self.public = False
        if self.current_user:
            connection.set_max_body_size(3 * files.BYTES_LIMIT)
            connection.set_body_timeout(120)
            self.hurry()

    def hurry(self, before: int | None = None) -> None:
        """Look how much of the form has come since `before`, and again; who drips is cut off."""
        come = len(self.data)
        if before is not None and come - before < HURRY * SLOWEST:
            self.drop_connection()
        else:
            self.hurrying = asyncio.get_running_loop().call_later(HURRY, self.hurry, come)

    def calm(self) -> None:
        """Expect nothing more."""
        if self.hurrying:
            self.hurrying.cancel()

    def on_finish(self) -> None:
        """End with the answer."""
        self.calm()

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Say what is wrong, and that this connection ends, as the form may not have been read."""
        self.set_header("Connection", "close")
        super().write_error(status_code, **kwargs)

    def on_connection_close(self) -> None:
        """Count it out: when the form never comes whole, nothing more is asked of this handler."""
        super().on_connection_close()
        self.calm()
        self.app.active_requests.end(self)

    def data_received(self, chunk: bytes) -> None:
        """Take a part of the form."""
        if self.current_user:
            self.data += chunk

    def check_xsrf_cookie(self) -> None:
        """Leave it to `post`: the token is in the form, which has yet to come."""
        self.check_method()

    async def get(self) -> None:
        """Show the form."""
        if self.current_user:
            await self.show()
        else:
            self.ask_to_log_in(302)

    async def show(self, reading: files.Reading | None = None) -> None:
        """Draw the form, or what was understood of a file."""
        values: dict[str, Any] = {"reading": reading, "shown": SHOWN, "op": uuid4()}
        if reading:
            rows = [sheet._asdict() for sheet in reading.sheets]
            values["rows"] = json.dumps(rows, ensure_ascii=False)
            values["count"] = sum(len(sheet.todos) for sheet in reading.sheets)
            values["several"] = len(reading.sheets)
        mine = await self.lookup(lists.mine, self.current_user)
        writable = [one for one in mine if one.may("change")]
        self.render("account/import.html", lists=writable, **values)

    @redisplay_if_invalid
    async def post(self) -> None:
        """Read the file, or store what was read before."""
        self.calm()
        if self.current_user is None:
            raise NotLoggedIn
        file = self.parse()
        if "rows" in self.typed:
            await self.store()
            return
        if file is None or not file.body:
            raise Invalid("file", "Choose a file.")
        if len(file.body) > files.BYTES_LIMIT:
            raise TooLarge("file", "This file is too large.")
        await self.show(await self.read(files.read, file.filename, file.body))

    def parse(self) -> Any:
        """Take the form apart, check its token, and return the file in it."""
        found: dict[str, Any] = {}
        kind = self.request.headers.get("Content-Type", "")
        try:
            fields = self.request.body_arguments
            parse_body_arguments(kind, bytes(self.data), fields, found, config=FORM)
        except HTTPInputError:
            raise HTTPError(400) from None
        self.request.arguments |= fields
        super().check_xsrf_cookie()
        self.typed = {name: self.single_field(name) for name in fields}
        return found["file"][0] if found.get("file") else None

    async def store(self) -> None:
        """Store what was understood; one list is shown then, or all."""
        reading = await self.read(files.read, "rows.json", self.field("rows").encode())
        into = self.id_field("list")
        otherwise = self.locale.translate("Things to do")
        work = partial(files.take_in, self.current_user, reading.sheets, into, otherwise)
        made = await self.commit(work)
        if len(reading.sheets) == 1 or into:
            self.see_other("list", made)
        else:
            self.see_other("lists")
