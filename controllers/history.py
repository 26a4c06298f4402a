"""What was done to a list, and taking it back: history, trash, undo."""

from controllers.base import PageHandler
from models import history, todos

SIZE = 50  # rows on a page


class HistoryHandler(PageHandler):
    """Who changed what, and when."""

    async def get(self, list_id: str) -> None:
        """Show the changes of a list, the last one first."""
        number, offset, limit = self.part(SIZE)
        seen, rows = await self.read(history.page, self.current_user, int(list_id), offset, limit)
        place = {"list": seen, "number": number, "more": len(rows) > SIZE}
        self.render("history/history.html", **place, changes=rows[:SIZE])


class TrashHandler(PageHandler):
    """What was deleted."""

    async def get(self, list_id: str) -> None:
        """Show the todos of a list that can be brought back."""
        number, offset, limit = self.part(SIZE)
        seen, rows = await self.read(todos.trash, self.current_user, int(list_id), offset, limit)
        place = {"list": seen, "number": number, "more": len(rows) > SIZE}
        self.render("history/trash.html", **place, todos=rows[:SIZE])


class UndoHandler(PageHandler):
    """Taking back."""

    async def post(self) -> None:
        """Take back the change that the form names."""
        change = self.id_field("change") or 0
        list_id = await self.commit(history.undo, self.current_user, change)
        self.see_other(self.reverse_url("list", list_id) if list_id else self.reverse_url("lists"))
