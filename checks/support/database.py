"""A database with people and a list in it, without a server."""

import json
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

from checks.support.servers import store_for
from models import history, lists, sessions, todos, users
from models.tables import Change, Member

BROWSER = sessions.Browser("127.0.0.1", "a browser")


def ask(run: Any, unit: Callable[..., Any], *args: Any) -> "Future[Any]":
    """Return the answer of `store.read` or `store.write` as a future, for threads that may wait."""
    future: Future[Any] = Future()

    def answer(result: Any, error: Exception | None) -> None:
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    run(lambda: unit(*args), answer)
    return future


class Database:
    """A database with Ann, who owns a list, Ed, who edits it, Bob, who reads it, and Cy."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store = store_for(path)
        self.store.open()
        self.ann, self.ed, self.bob, self.cy = (
            self.do(users.sign_up, name, None, None, "Things to do")
            for name in ("ann", "ed", "bob", "cy")
        )
        self.list = self.do(lists.mine, self.ann)[0].id
        for person, role in ((self.ed, "editor"), (self.bob, "viewer")):
            values = {"list": self.list, "user": person.id, "role": role, "position": 2}
            self.do(lambda values=values: Member.create(**values))

    def do(self, unit: Any, *args: Any, **fields: Any) -> Any:
        """Run a unit of work and wait for it."""
        return ask(self.store.write, partial(unit, *args, **fields)).result()

    def lookup(self, query: Any, **values: Any) -> Any:
        """Look something up."""
        return ask(self.store.read, lambda: query(**values)).result()

    def add(self, *titles: str) -> list[int]:
        """Let Ann add todos."""
        return [self.do(todos.add, self.ann, self.list, title)[0] for title in titles]

    def changes(self) -> list[Any]:
        """Return the list's changes: version, verb, kind, who, before, after."""

        def unit() -> list[Any]:
            rows = Change.select().where(Change.list == self.list).order_by(Change.id)
            return [
                (
                    r.version,
                    r.verb,
                    r.kind,
                    r.user.username,
                    json.loads(r.before),
                    json.loads(r.after),
                )
                for r in rows
            ]

        return self.do(unit)

    def page(self, shown: str = "all") -> tuple[lists.ListAccess, todos.Rows]:
        """Return the list as Ann sees it."""
        return self.do(todos.rows, self.ann, self.list, shown)

    def titles(self) -> list[str]:
        """Return what is on the list, in order; completed todos have a tick before them."""
        return ["✓" * row.completed + row.title for row in self.page()[1].rows]

    def last(self) -> int:
        """Return the id of the list's last change."""
        return self.do(lambda: Change.select().order_by(Change.id.desc()).get().id)

    def undo(self, change: int | None = None) -> Any:
        """Let Ann take a change back, the last one if none is named."""
        return self.do(history.undo, self.ann, change or self.last())
