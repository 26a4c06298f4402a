"""The quota: who is charged for what, when it is given back, and who is told that it is used up."""

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import app
from checks.support.database import Database
from checks.support.programs import Program
from checks.support.servers import Server
from checks.support.visitors import Visitor, alerts
from checks.test_files import send, store
from checks.test_rules import STEPS
from models import account_closing, cleanup, files, history, lists, messages, quota, todos
from models.clock import instant, moment
from models.errors import Conflict, NotFound, Quota, StartupError
from models.messages import Message, ScheduledMessage
from models.quota import Usage
from models.tables import Change, List, Member, Todo

pytestmark = pytest.mark.engine

LONG = "é" * 16_000
USED = "You have used 0.9 of 1 MB. What you delete makes room after 30 days in the trash."


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A database of one's own."""
    database = Database(tmp_path / "people.db")
    yield database
    database.store.close()


def counted(database: Database) -> dict[int, int]:
    """Return what the counters say, by person."""
    rows = database.do(lambda: list(Usage.select(Usage.user, Usage.stored).tuples()))
    return {user: stored for user, stored in rows if stored}


def stored(database: Database) -> dict[int, int]:
    """Return how many bytes are there, by person."""

    def unit() -> dict[int, int]:
        found: Counter[int] = Counter()
        for todo in Todo.select():
            writer = todo.written_by_id or todo.added_by_id
            found[writer] += len((todo.title + todo.notes).encode())
        for message in Message.select():
            found[message.user_id] += len(message.text.encode())
        for change in Change.select():
            found[change.user_id] += len(change.before.encode()) * (change.before != "[]")
        return {user: size for user, size in found.items() if size}

    return database.do(unit)


def age(database: Database) -> None:
    """Let everything in the trash be there for too long, and clean up."""

    def unit() -> None:
        for table in (Todo, List, Message):
            old = instant(moment() - timedelta(days=31))
            table.update(deleted_at=old).where(table.deleted_at.is_null(False)).execute()

    database.do(unit)
    for number, _ in enumerate(database.do(cleanup.expired)):
        while database.do(cleanup.delete_expired, number):
            pass


@pytest.mark.parametrize("seed", range(3))
def test_the_counter_is_right(database: Database, seed: int) -> None:
    """After whatever two people do to the same todos, when it is deleted, and when one goes."""
    dice = random.Random(seed)
    database.add("leite", "pão")
    steps: list[Any] = [
        *STEPS,
        lambda h, one, other: todos.edit(h.ed, one, notes="ação " * dice.randrange(300)),
        lambda h, one, other: todos.edit(h.ann, other, title="três"),
        lambda h, one, other: messages.say(h.ed, h.list, "até já"),
        lambda h, one, other: messages.take_back(h.ed, Message.select().get().id),
        lambda h, one, other: history.undo(h.ann, Change.select().order_by(-Change.id).get().id),
        lambda h, one, other: todos.delete(h.ed, one, notes="enfim ção"),
        lambda h, one, other: lists.rename(h.ann, h.list, f"casa {dice.random()}"),
    ]
    for _ in range(60):
        ids = [todo["id"] for todo in database.do(lambda: todos.present(database.list))]
        one, other = dice.sample(ids, 2) if ids[1:] else (0, 0)
        with suppress(Conflict, NotFound, IndexError, Message.DoesNotExist):
            database.do(dice.choice(steps), database, one, other)
        assert counted(database) == stored(database)
    everyone = counted(database)
    assert everyone[database.ann.id] > 0 and everyone[database.ed.id] > 0
    age(database)
    after = counted(database)
    assert after == stored(database) and after[database.ed.id] < everyone[database.ed.id]
    database.do(lambda: Member.delete().where(Member.user == database.bob.id).execute())
    for person in (database.ed, database.ann):
        database.do(account_closing.close, person)
        assert counted(database).items() <= stored(database).items()
    assert counted(database) == {}


def test_who_writes_pays(database: Database) -> None:
    """Nobody is charged for what another writes; what former members wrote is given back."""
    database.do(todos.add, database.ed, database.list, "x" * 500)
    assert counted(database) == {database.ed.id: 500}
    (number,) = [todo["id"] for todo in database.do(lambda: todos.present(database.list))]
    database.do(todos.edit, database.ann, number, notes="y" * 100)
    mine = counted(database)
    assert database.ed.id not in mine and mine[database.ann.id] > 600
    database.do(todos.edit, database.ed, number, notes="")
    assert counted(database) == stored(database)
    database.do(lambda: Member.delete().where(Member.user != database.ann.id).execute())
    database.do(account_closing.close, database.ann)
    assert counted(database) == {}  # the list is empty


def test_a_full_account(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Can delete, shorten, tick and leave, but write nothing, wherever; until there is room."""
    (milk,) = database.add("milk")
    database.do(todos.add, database.ann, database.list, *map(str, range(50)))
    database.do(todos.edit, database.ann, milk, notes="x" * 5000)
    elsewhere = database.do(lists.create, database.ann, "Elsewhere")
    monkeypatch.setattr(quota, "limit", 5000)
    before = database.do(lambda: Change.select().count())
    sheet = files.Sheet("", [{"title": "x"}])
    for field, unit in {
        "title": lambda: todos.add(database.ann, elsewhere, "bread"),
        "lines": lambda: todos.add(database.ann, elsewhere, "bread", field="lines"),
        "notes": lambda: todos.edit(database.ann, milk, notes="y" * 5001),
        "text": lambda: messages.say(database.ann, database.list, "hello"),
        "file": lambda: files.store(database.ann, [sheet], database.list, "x"),
    }.items():
        with pytest.raises(Quota) as refused:
            database.do(unit)
        assert refused.value.field == field
    for unit in (
        lambda: messages.hold(database.ann, database.list, "hello"),
        lambda: todos.complete_all(database.ann, database.list, True),  # its history is large
    ):
        with pytest.raises(Quota):
            database.do(unit)
    assert database.do(lambda: Change.select().count()) == before
    database.do(todos.add, database.ed, database.list, "bread")
    database.do(todos.complete, database.ann, milk)
    database.do(todos.edit, database.ann, milk, notes="")
    database.do(todos.clear_completed, database.ann, database.list)
    database.do(todos.edit, database.ed, milk + 1, assigned="ann")
    database.do(todos.delete, database.ann, milk + 2)
    assert counted(database) == stored(database)


def test_a_message_that_is_held_back_is_not_lost(database: Database, monkeypatch: Any) -> None:
    """When the account is full by then it waits, and its author sees it."""
    database.do(messages.hold, database.ann, database.list, "hello")
    due = lambda: ScheduledMessage.update(due="2026").execute()  # noqa: E731
    database.do(due)
    (number,) = database.do(messages.due)
    monkeypatch.setattr(quota, "limit", 1)
    database.do(messages.send, number)
    assert database.do(messages.held, database.ann, database.list) == [(number, "hello")]
    assert database.do(messages.due) == [] and counted(database) == {}
    monkeypatch.setattr(quota, "limit", 1000)
    database.do(due)
    database.do(messages.send, number)
    assert database.do(messages.held, database.ann, database.list) == []
    assert counted(database) == {database.ann.id: 5}


def test_a_full_account_is_told(start: Callable[..., Server]) -> None:
    """How much is used of how much, beside the field, with what was typed; to programs too."""
    server = start("--quota=1")
    ann = Visitor(server, "ann")
    ann.sign_up()
    program = Program(server, ann.name)
    for number in range(29):
        assert program.post("/todos", {"title": f"{number}", "notes": LONG}).status_code == 201
    refused = program.post("/todos", {"title": "x", "notes": LONG})
    while refused.status_code == 201:
        refused = program.post("/todos", {"title": "x", "notes": LONG})
    problem = refused.json()
    assert refused.status_code == 422 and problem["type"] == "/api#quota"
    assert problem["detail"] == USED and problem["errors"][0]["field"] == "title"
    todo = program.get("/todos").json()[0]["id"]
    long = "z" * 900
    for path, typed in (
        (f"/lists/{ann.list}", {"lines": "\n".join([long] * 90)}),
        (f"/todos/{todo}", {"title": "0", "notes": "🌱" * 8000 + long}),
        (f"/lists/{ann.list}/messages", {"text": "🌱" * 3000 + long}),
    ):
        answer = ann.post(path, **typed)
        assert answer.status_code == 422 and alerts(answer.text) == [USED] and long in answer.text
    file = json.dumps([{"title": "x", "notes": LONG}] * 5, ensure_ascii=False).encode()
    answer = store(ann, send(ann, "x.json", file).text, list=str(ann.list))
    assert answer.status_code == 422 and alerts(answer.text) == [USED]
    assert ann.post(f"/todos/{todo}/complete").status_code == 303
    assert ann.post(f"/todos/{todo}/delete").status_code == 303
    server.stop()


@pytest.mark.parametrize("value", ["0", "-1"])
def test_a_quota_is_a_number_above_zero(value: str) -> None:
    """Said before anything is opened."""
    with pytest.raises(StartupError, match="--quota must be 1 or more"):
        quota.configure(app.Config(quota=int(value)))


def test_a_quota_in_other_languages() -> None:
    """The sentence is one that the catalogue has, and its number is written as there."""
    refused = quota.full("title", 1_949_999)
    french = refused.message(lambda reason: reason.replace("{whole}.{tenth}", "{whole},{tenth}"))
    assert french.startswith("You have used 1,9 of 100 MB.")
