"""Exporting lists as files, and importing them."""

import asyncio
import io
import json
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from tornado.escape import xhtml_escape

from controllers.base import redisplay_if_invalid
from controllers.security import POLICY
from controllers.uploads import HeavyHandler, UploadHandler
from models import files, lists
from models.errors import Invalid, NotFound, TooLarge

TYPES = {"txt": "text/plain", "csv": "text/csv", "json": "application/json"}
PREVIEWED = 200  # rows, and as many problems, in the preview of an import


class FileHandler(HeavyHandler):
    async def get(self, list_id: str, suffix: str) -> None:
        self.begin_heavy()
        with self.heavy.work():
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
        """Send it; it is made list by list."""
        self.begin_heavy()
        file = io.BytesIO()
        person = self.current_user
        with self.heavy.work(), zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            about = await self.app.read(files.about, person)
            archive.writestr("account.json", about)
            for seen in await self.app.lookups(lists.mine, person):
                with suppress(NotFound):  # it was deleted meanwhile
                    data = await self.app.read(files.one, person, seen.id, "json")
                    name = f"lists/{seen.id}.json"
                    await asyncio.to_thread(archive.writestr, name, data)
        self.set_header("Content-Type", "application/zip")
        self.send_file("afazeres", "zip", file.getvalue())


class ImportHandler(UploadHandler):
    """Importing a file: first a preview is shown, then it is stored."""

    body_limit = 3 * files.BYTES_LIMIT  # what was read of a file is sent back as JSON

    async def get(self) -> None:
        if self.current_user:
            await self.show()
        else:
            self.ask_to_log_in(302)

    async def show(self, reading: files.Reading | None = None) -> None:
        """Show the form for a file, or what was read of one, or again what wasn't stored."""
        rows = self.field("rows")
        values: dict[str, Any] = {"reading": reading, "op": self.field("op") or uuid4(), "count": 0}
        if reading:
            values["count"] = sum(len(sheet.todos) for sheet in reading.sheets)
            values["several"], values["beginnings"] = len(reading.sheets), beginnings(reading)
            values["problems"] = reading.problems[:PREVIEWED]
            rows = await asyncio.to_thread(hidden, reading)
        elif rows:
            values["several"] = rows.count('"todos"')
            rows = await asyncio.to_thread(xhtml_escape, rows)
        mine = await self.app.lookups(lists.mine, self.current_user)
        writable = [one for one in mine if one.may("change")]
        page = self.render_string("files/import.html", lists=writable, rows=rows, **values)
        await self.finish_large(page)

    @redisplay_if_invalid
    async def post(self) -> None:
        file = await self.receive()
        with self.heavy.work():
            if "rows" in self.typed:
                await self.store()
                return
            if file is None or not file.body:
                raise Invalid("file", "Choose a file.")
            if len(file.body) > files.BYTES_LIMIT:
                raise TooLarge("file", "This file is too large.")
            reading = await asyncio.to_thread(files.read, file.filename, file.body)
            await self.show(reading)

    async def store(self) -> None:
        """Store what was previewed, and redirect to the list if it is one, or else to all."""
        rows = self.field("rows")
        reading = await asyncio.to_thread(lambda: files.read("rows.json", rows.encode()))
        into = self.id_field("list")
        otherwise = self.locale.translate("Things to do")
        made = await self.commit(files.store, self.current_user, reading.sheets, into, otherwise)
        if len(reading.sheets) == 1 or into:
            self.see_other("list", made)
        else:
            self.see_other("lists")


def beginnings(reading: files.Reading) -> Iterator[tuple[str, list[files.Row], bool]]:
    """Yield the name of each list, the first of its todos, and whether there are more of them.

    That is PREVIEWED todos in all.
    """
    left = PREVIEWED
    for name, todos in reading.sheets:
        yield name, todos[:left], len(todos) > left
        left -= min(left, len(todos))


def hidden(reading: files.Reading) -> str:
    """Return the lists as JSON in HTML; row by row, as all at once would hold other threads."""
    sheets = []
    for name, todos in reading.sheets:
        rows = ", ".join(xhtml_escape(json.dumps(row, ensure_ascii=False)) for row in todos)
        begin = xhtml_escape(f'{{"name": {json.dumps(name, ensure_ascii=False)}, "todos": ')
        sheets.append(f"{begin}[{rows}]}}")
    return f"[{', '.join(sheets)}]"
