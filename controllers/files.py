"""Exporting lists as files, and importing them."""

import asyncio
import io
import json
import zipfile
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from tornado import httputil
from tornado.web import HTTPError, stream_request_body

from controllers.base import SLOWEST, PageHandler, redisplay_if_invalid
from controllers.errors import NotLoggedIn
from controllers.security import POLICY
from models import files, lists
from models.errors import Invalid, NotFound, TooLarge

TYPES = {"txt": "text/plain", "csv": "text/csv", "json": "application/json"}
EXPORTING = asyncio.Semaphore(1)  # one at a time, as they take memory and CPU
SLOW_AFTER = 30  # seconds in which SLOW_AFTER * SLOWEST bytes of a form must come
PREVIEWED = 200  # rows, and as many problems, in the preview of an import
FORM = httputil.ParseBodyConfig(multipart=httputil.ParseMultipartConfig(max_parts=10))


class FileHandler(PageHandler):
    async def get(self, list_id: str, suffix: str) -> None:
        data = await self.app.read(files.one, self.current_user, int(list_id), suffix)
        self.set_header("Content-Type", f"{TYPES[suffix]}; charset=utf-8")
        self.send_file("todos", suffix, data)

    def send_file(self, name: str, suffix: str, data: bytes) -> None:
        """Send a download (RFC 6266) in which nothing runs; its name has no text of users in it."""
        self.set_header("Content-Security-Policy", f"{POLICY}; sandbox")
        self.set_header("Content-Encoding", "identity")  # compressing it would block the loop
        name = f"{name}-{datetime.now(UTC):%Y-%m-%d}.{suffix}"
        self.set_header("Content-Disposition", f'attachment; filename="{name}"')
        self.finish(data)


class ExportHandler(FileHandler):
    """Everything of an account, as a zip."""

    async def get(self) -> None:  # type: ignore[override]
        """Send it; it is made list by list, for one person at a time."""
        file = io.BytesIO()
        person = self.current_user
        async with EXPORTING:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                about = await self.app.read(files.about, person)
                archive.writestr("account.json", about)
                for seen in await self.app.lookups(lists.mine, person):
                    with suppress(NotFound):  # it was deleted meanwhile
                        data = await self.app.read(files.one, person, seen.id, "json")
                        name = f"lists/{seen.id}.json"
                        await asyncio.to_thread(archive.writestr, name, data)
        self.set_header("Content-Type", "application/zip")
        self.send_file("afazeres", "zip", file.getvalue())


@stream_request_body
class ImportHandler(PageHandler):
    """Importing a file: first a preview is shown, then it is stored."""

    speed_check: asyncio.TimerHandle | None = None
    public = True  # to answer those who aren't logged in, their form must be read first

    async def prepare(self) -> None:
        """Allow a large body to those who are logged in, and to nobody else."""
        self.data = bytearray()
        connection: Any = self.request.connection
        connection.set_body_timeout(30)
        await super().prepare()
        self.public = False
        if self.current_user:
            connection.set_max_body_size(3 * files.BYTES_LIMIT)
            connection.set_body_timeout(120)
            self.check_speed()

    def check_speed(self, before: int | None = None) -> None:
        """Drop the connection if too little came since there were `before` bytes; check again."""
        received = len(self.data)
        if before is not None and received - before < SLOW_AFTER * SLOWEST:
            self.drop_connection()
        else:
            self.speed_check = asyncio.get_running_loop().call_later(
                SLOW_AFTER, self.check_speed, received
            )

    def stop_speed_check(self) -> None:
        if self.speed_check:
            self.speed_check.cancel()

    def on_finish(self) -> None:
        self.stop_speed_check()

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Show what is wrong, and close the connection, as the form may not have been read."""
        self.set_header("Connection", "close")
        super().write_error(status_code, **kwargs)

    def on_connection_close(self) -> None:
        """Count the request out: when its form was cut short, no other method of ours is called."""
        super().on_connection_close()
        self.stop_speed_check()
        self.app.active_requests.end(self)

    def data_received(self, chunk: bytes) -> None:
        if self.current_user:
            self.data += chunk

    def check_xsrf_cookie(self) -> None:
        """Leave it to `post`: the token is in the body, which is still to come."""

    async def get(self) -> None:
        if self.current_user:
            await self.show()
        else:
            self.ask_to_log_in(302)

    async def show(self, reading: files.Reading | None = None) -> None:
        values: dict[str, Any] = {"reading": reading, "shown": PREVIEWED, "op": uuid4()}
        if reading:
            rows = [sheet._asdict() for sheet in reading.sheets]
            values["rows"] = json.dumps(rows, ensure_ascii=False)
            values["count"] = sum(len(sheet.todos) for sheet in reading.sheets)
            values["several"] = len(reading.sheets)
        mine = await self.app.lookups(lists.mine, self.current_user)
        writable = [one for one in mine if one.may("change")]
        self.render("files/import.html", lists=writable, **values)

    @redisplay_if_invalid
    async def post(self) -> None:
        self.stop_speed_check()
        if self.current_user is None:
            raise NotLoggedIn(403)
        file = self.parse()
        if "rows" in self.typed:
            await self.store()
            return
        if file is None or not file.body:
            raise Invalid("file", "Choose a file.")
        if len(file.body) > files.BYTES_LIMIT:
            raise TooLarge("file", "This file is too large.")
        await self.show(await self.app.read(files.read, file.filename, file.body))

    def parse(self) -> Any:
        """Parse the form, check its token, and return the file in it, if there is one."""
        found: dict[str, Any] = {}
        kind = self.request.headers.get("Content-Type", "")
        try:
            fields = self.request.body_arguments
            httputil.parse_body_arguments(kind, bytes(self.data), fields, found, config=FORM)
        except httputil.HTTPInputError:
            raise HTTPError(400) from None
        self.request.arguments |= fields
        super().check_xsrf_cookie()
        self.typed = {name: self.single_field(name) for name in fields}
        return found["file"][0] if found.get("file") else None

    async def store(self) -> None:
        """Store what was previewed, and redirect to the list if it is one, or else to all."""
        reading = await self.app.read(files.read, "rows.json", self.field("rows").encode())
        into = self.id_field("list")
        otherwise = self.locale.translate("Things to do")
        made = await self.commit(files.store, self.current_user, reading.sheets, into, otherwise)
        if len(reading.sheets) == 1 or into:
            self.see_other("list", made)
        else:
            self.see_other("lists")
