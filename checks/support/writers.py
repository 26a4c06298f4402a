"""Threads that write as fast as they can, and what must be true after whatever happened."""

import threading
from uuid import uuid4

import requests

from checks.support.programs import Program
from checks.support.servers import CLUSTERS, Server, inside
from checks.support.visitors import Visitor

WRITERS = 6


class Writer(threading.Thread):
    """Adds todos by forms or by the API, and notes which were acknowledged."""

    def __init__(self, visitor: Visitor, program: Program | None) -> None:
        super().__init__()
        self.visitor, self.program = visitor, program
        self.known: list[str] = []  # acknowledged
        self.doubtful: list[str] = []  # sent, and never answered
        self.refused: set[int] = set()  # in which ways
        self.ending = threading.Event()

    def run(self) -> None:
        """Add, until told to end or cut off."""
        while not self.ending.is_set():
            title = f"{uuid4()}"
            self.doubtful.append(title)
            try:
                if self.program:
                    answer = self.program.post("/todos", {"title": title})
                else:
                    page = f"/lists/{self.visitor.list}"
                    answer = self.visitor.post(page, title=title, op=str(uuid4()))
            except requests.RequestException:
                return
            if answer.status_code in (201, 303):
                self.known.append(self.doubtful.pop())
            else:
                self.refused.add(answer.status_code)


def examine(server: Server, known: set[str], sent: set[str]) -> None:
    """Look at the data."""
    with inside(server.database) as ask:
        there = [title for (title,) in ask("SELECT title FROM todo")]
        assert known <= {*there} <= sent, "lost or invented"
        assert len(there) == len({*there}), "done twice"
        if not CLUSTERS:
            assert ask("PRAGMA integrity_check") == [("ok",)]
            assert not ask("PRAGMA foreign_key_check")
        gaps = ask(
            "SELECT list.id FROM list LEFT JOIN change ON change.list_id = list.id"
            " GROUP BY list.id HAVING COUNT(change.id) <> list.version"
            " OR MAX(change.version) <> list.version"
        )
        assert gaps == [], "a version without its change"
        counted = ask(
            "SELECT list.id FROM list WHERE total <> (SELECT COUNT(*) FROM todo WHERE"
            " todo.list_id = list.id AND todo.deleted_at IS NULL)"
        )
        assert counted == []
