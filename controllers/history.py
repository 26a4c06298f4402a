"""History, trash and undo of a list."""

import re
from collections.abc import Callable

from controllers.base import PageHandler
from controllers.list_page import ListPageHandler
from models import history, todos

SIZE = 50  # rows on a page
RECORDS = {"history": history.page, "trash": todos.trash}


class HistoryHandler(ListPageHandler):
    """Who changed what, and what was deleted."""

    async def get(self, list_id: str, name: str) -> None:
        """Show a page of it, the last change first; `?page=` says which."""
        asked = self.get_query_argument("page", "1")
        number = int(asked) if re.fullmatch("[1-9][0-9]{0,5}", asked) else 1
        part = {"offset": (number - 1) * SIZE, "limit": SIZE + 1}
        access, rows = await self.app.read(RECORDS[name], self.current_user, int(list_id), **part)
        values = {"list": access, "rows": rows[:SIZE], "number": number, "more": len(rows) > SIZE}
        rights = {"writable": access.may("change"), "owned": access.may("rename")}
        parts = await self.draw_parts(await self.page_of(access.id, name))
        self.render(f"history/{name}.html", **values, **rights, status=parts["status"])


class UndoHandler(PageHandler):
    """Undo, of any change that history shows."""

    unit: Callable[..., int | None] = staticmethod(history.undo)

    async def post(self) -> None:
        """Undo the change that the form names; if that leaves no list, show all others."""
        change = self.id_field("change") or 0
        list_id = await self.commit(self.unit, self.current_user, change)
        if list_id:
            self.see_other("list", list_id)
        else:
            self.redirect(self.reverse_url("lists"), status=303)
