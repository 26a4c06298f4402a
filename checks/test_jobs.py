"""What the server does by itself: once, late rather than never, and nothing too much."""

import asyncio
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from checks.support.database import Database, ask
from checks.support.servers import ROOT, Server, inside, numbers
from checks.support.visitors import Visitor
from checks.support.waiting import wait
from models import accounts, cleanup, lists, members, messages, sessions, todos
from models.cleanup import Job
from models.clock import clock, instant, moment
from models.errors import Conflict, NotFound
from models.messages import Message, ScheduledMessage
from models.tables import Change, List, Person, Session, Table, Todo
from services.backups import BACKUPS, NIGHT, back_up, local_time, until_night
from services.jobs import HOUR, Jobs, PeriodicJob, clean_up, units

pytestmark = pytest.mark.engine

Books = list[tuple[str, str]]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A database of one's own."""
    made = Database(tmp_path / "people.db")
    yield made
    made.store.close()


class Office:
    """The jobs of a server whose event loop runs only while something is asked of it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.told: Books = []

        async def write(unit: Callable[..., Any], *args: Any) -> Any:
            return await asyncio.wrap_future(ask(database.store.write, unit, *args))

        def count(kind: str, result: str) -> None:
            self.told.append((kind.removeprefix("job: "), result))

        async def read(unit: Callable[..., Any], *args: Any) -> Any:
            return await asyncio.wrap_future(ask(database.store.read, unit, *args))

        self.app: Any = SimpleNamespace(read=read, write=write, event=count, jobs=[])
        self.jobs = Jobs(self.app)

    def send(self) -> None:
        """Send what was held back for long enough."""
        asyncio.run(units(messages.due, messages.send)(self.app))

    def tidy(self) -> None:
        """Tidy up now."""
        asyncio.run(clean_up(self.app))

    def attempt(self, work: Callable[[], Any], name: str = "sweep") -> bool:
        """Do a job if it is due."""

        async def doing(app: Any) -> None:
            work()

        return asyncio.run(self.jobs.attempt(PeriodicJob(name, doing, lambda: HOUR)))

    def due(self, **change: Any) -> None:
        """Set when the job is due."""
        change = {"due": instant(moment() + timedelta(**change))}
        self.database.do(lambda: Job.update(change).execute())


@pytest.fixture
def office(database: Database) -> Office:
    """The jobs of a database."""
    return Office(database)


def count(database: Database, table: type[Table]) -> int:
    """Count the rows of a table."""
    return int(database.do(lambda: table.select().count()))


def long_ago(database: Database, table: Any, *numbers: int, **days: str) -> None:
    """Set columns of rows to so many days ago."""
    values = {name: instant(moment() - timedelta(days=int(ago))) for name, ago in days.items()}
    rows = table.id.in_(numbers) if numbers else table.id > 0
    database.do(lambda: table.update(values).where(rows).execute())


def test_the_trash_is_emptied_after_thirty_days(office: Office) -> None:
    """Of todos, lists with all that is in them, and messages; nothing sooner, no id given again."""
    database = office.database
    old, new, kept, last = database.add("old", "new", "kept", "last")
    for each in (old, new, last):
        database.do(todos.delete, database.ann, each)
    long_ago(database, Todo, old, last, deleted_at="31")
    long_ago(database, Todo, new, deleted_at="29")
    gone = database.do(lists.create, database.ann, "gone")
    database.do(todos.add, database.ann, gone, "in it")
    database.do(messages.say, database.ann, gone, "said there")
    database.do(lists.delete, database.ann, gone)
    long_ago(database, List, gone, deleted_at="31")
    stays = database.do(lists.create, database.ann, "stays")
    database.do(todos.add, database.ann, stays, "a last one")
    database.do(messages.say, database.ann, stays, "and a word")
    office.tidy()
    there = database.do(lambda: {row.id for row in Todo.select().where(Todo.list == database.list)})
    assert there == {new, kept}
    assert database.do(lambda: List.select().where(List.id == gone).count()) == 0
    assert database.do(lambda: Message.select().where(Message.list == gone).count()) == 0
    with pytest.raises(NotFound):
        database.do(todos.restore, database.ann, old)
    database.do(todos.restore, database.ann, new)
    assert database.do(lists.get_for, database.ann, stays).total == 1


def test_the_newest_row_stays(office: Office) -> None:
    """Its id would be given to the next that comes; windows, links and undo go by ids."""
    database = office.database
    (only,) = database.add("only")
    database.do(todos.delete, database.ann, only)
    long_ago(database, Todo, deleted_at="31")
    office.tidy()
    assert count(database, Todo) == 1
    assert database.add("next") == [only + 1]
    office.tidy()
    assert count(database, Todo) == 1


def test_what_a_change_was_is_kept_for_a_year(office: Office) -> None:
    """Then the oldest go, in one piece, so that who follows the changes is told to begin again."""
    database = office.database
    database.add(*map(str, range(10)))
    rows = database.do(
        lambda: [row.id for row in Change.select().where(Change.list == database.list)]
    )
    long_ago(database, Change, at="366")
    database.add("today")
    long_ago(
        database, Change, rows[3], at="1"
    )  # perhaps a clock was wrong: it and what follows stay
    office.tidy()
    left = database.do(
        lambda: [row.version for row in Change.select().where(Change.list == database.list)]
    )
    assert left == [*range(4, 13)]
    others = database.do(lambda: Change.select().where(Change.list != database.list).count())
    assert others == 3, "the last change of a list says what it is"


def test_a_slice_at_a_time(office: Office) -> None:
    """However much there is, no unit of work takes long."""
    database = office.database
    database.do(todos.add, database.ann, database.list, *map(str, range(cleanup.SLICE + 10)))
    long_ago(database, Todo, deleted_at="31")
    database.add("last")
    places = [number for number, (table, _) in enumerate(cleanup.expired()) if table is Todo]
    assert [database.do(cleanup.delete_expired, *places) for _ in range(2)] == [True, False]
    assert count(database, Todo) == 1


def test_ended_sessions_go(office: Office) -> None:
    """And none that is still good."""
    database = office.database
    browser = sessions.Browser("127.0.0.1", "x")
    keys = [database.do(sessions.log_in, database.ann, browser) for _ in range(4)]
    ids = database.do(lambda: [row.id for row in Session.select().order_by(Session.id)])
    long_ago(database, Session, ids[0], created="31")
    long_ago(database, Session, ids[1], last_seen="15")
    long_ago(database, Session, ids[2], last_seen="13", created="29")
    office.tidy()
    assert count(database, Session) == 2
    assert [bool(sessions.session_for(key, database.lookup)) for key in keys] == [
        False,
        False,
        True,
        True,
    ]


def test_sessions_of_a_future_that_was_none(office: Office) -> None:
    """Have their thirty days from when the clock was right again, not from 2038."""
    database = office.database
    database.do(sessions.log_in, database.ann, sessions.Browser("127.0.0.1", "x"))
    database.do(lambda: Session.update(created="2038-01-19T03:14:07.000Z").execute())
    office.tidy()
    created = database.do(lambda: Session.get().created)
    assert instant(moment() - accounts.SUDO) < created <= instant(moment())


def test_what_is_held_back(office: Office) -> None:
    """Is known to nobody else, can be taken back, and is sent once when it is time."""
    database = office.database

    def said() -> list[str]:
        return [
            m["text"] for m in database.do(messages.latest, database.bob, database.list, None, 9)
        ]

    def send() -> None:
        office.send()

    before = database.do(lists.mine, database.bob)
    for words in ("one", "two", "three"):
        database.do(messages.hold, database.ann, database.list, words)
    assert database.do(lists.mine, database.bob) == before and said() == []
    assert list(messages.pending(database.ann, database.lookup)) == [database.list]
    one, two, three = database.do(messages.held, database.ann, database.list)
    with pytest.raises(Conflict):  # it isn't his
        database.do(messages.drop, database.ed, two[0])
    assert database.do(messages.drop, database.ann, two[0]) == database.list
    send()
    assert said() == []
    database.do(
        lambda: (
            ScheduledMessage.update(due=instant(moment()))
            .where(ScheduledMessage.id == one[0])
            .execute()
        )
    )
    for _ in range(2):
        send()
    assert said() == ["one"]
    with pytest.raises(Conflict):
        database.do(messages.drop, database.ann, one[0])
    database.do(lambda: ScheduledMessage.update(due=instant(moment())).execute())
    database.do(messages.send, three[0])
    database.do(messages.send, three[0])  # as another process would
    assert (
        said() == ["one", "three"] and database.do(messages.held, database.ann, database.list) == []
    )


def test_what_is_held_back_at_once(office: Office) -> None:
    """Is sent in the order in which it was written, also what has one millisecond in common."""
    database = office.database
    words = [str(number) for number in range(30)]
    database.do(lambda: [messages.hold(database.ann, database.list, each) for each in words])
    assert [each for _, each in database.do(messages.held, database.ann, database.list)] == words
    database.do(lambda: ScheduledMessage.update(due=instant(moment())).execute())
    office.send()
    said = database.do(messages.latest, database.bob, database.list, None, 50)
    assert [message["text"] for message in said] == words


def test_a_button_that_is_pressed_too_late(office: Office) -> None:
    """Takes back what it was for, or nothing; never what was written since."""
    database = office.database
    database.do(messages.hold, database.ann, database.list, "one")
    ((old, _),) = database.do(messages.held, database.ann, database.list)
    database.do(lambda: ScheduledMessage.update(due=instant(moment())).execute())
    office.send()
    database.do(messages.hold, database.ann, database.list, "two")
    with pytest.raises(Conflict):
        database.do(messages.drop, database.ann, old)
    ((new, words),) = database.do(messages.held, database.ann, database.list)
    assert new != old and words == "two"
    database.do(messages.send, new)  # which a job found due that was taken back meanwhile
    assert database.do(messages.held, database.ann, database.list) == [(new, "two")]


def test_who_may_say_no_more_has_said_nothing(office: Office) -> None:
    """When it is time, they are no member any more."""
    database = office.database
    database.do(messages.hold, database.ed, database.list, "I was here")
    database.do(members.remove, database.ann, database.list, "ed")
    database.do(lambda: ScheduledMessage.update(due=instant(moment())).execute())
    office.send()
    assert count(database, ScheduledMessage) == count(database, Message) == 0
    with pytest.raises(NotFound):
        database.do(messages.hold, database.ed, database.list, "and am not now")


def test_held_back_through_a_restart(start: Callable[..., Server]) -> None:
    """It is sent late, once, by whichever process opens first."""
    server = start()
    ann = Visitor(server, "ann")
    ann.sign_up()
    ann.post("/account", shortcuts="on", presence="on", delay_messages="on")
    page = f"/lists/{ann.list}/messages"
    assert ann.post(page, text="sleep well").status_code == 303
    assert "Unsend" in ann.get(page).text
    server.process.kill()
    server.process.wait()
    with inside(server.database) as run:
        run("UPDATE scheduled_message SET due = '2020-01-01T00:00:00.000Z'")
    servers = [start(), start()]
    ann.server = servers[0]
    wait(lambda: 'id="message-' in ann.get(page).text)
    assert ann.get(page).text.count("sleep well") == 2  # the text, and the name of its button
    for each in servers:
        each.stop()


def test_a_job_is_done_once(office: Office) -> None:
    """Until it is due again; what was due while the server was down is done when it starts."""
    done: list[int] = []
    assert office.attempt(lambda: done.append(1))
    assert not office.attempt(lambda: done.append(2))
    office.due(days=-5)
    assert office.attempt(lambda: done.append(3))
    assert not office.attempt(lambda: done.append(4))
    office.due(days=4000)  # a clock was set back since
    assert office.attempt(lambda: done.append(5))
    assert done == [1, 3, 5] and office.told == [("sweep", "done")] * 3


def test_a_job_that_died_is_done_by_another(office: Office) -> None:
    """When its claim has ended, and not before; who comes back late changes nothing then."""
    database = office.database
    claimed = database.do(cleanup.claim, "sweep")
    assert claimed and not database.do(cleanup.claim, "sweep")
    office.due(seconds=-1)
    assert office.attempt(lambda: None)
    due = database.do(lambda: Job.get().due)
    database.do(cleanup.done, "sweep", claimed, 0)
    database.do(cleanup.failed, "sweep", claimed)
    assert database.do(lambda: Job.get().due) == due


def test_a_job_that_fails(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    """Is logged, counted and tried again, each time later; once it succeeds that is forgotten."""
    for minutes in (2, 4, 8):
        assert not office.attempt(lambda: 1 // 0)
        due = datetime.fromisoformat(office.database.do(lambda: Job.get().due))
        assert timedelta(minutes=minutes - 1) < due - moment() <= timedelta(minutes=minutes)
        office.due(seconds=-1)
    assert office.told == [("sweep", "failed")] * 3
    assert caplog.text.count("The job to sweep has failed") == 3
    assert office.attempt(lambda: None)
    assert office.database.do(lambda: Job.get().failures) == 0


def test_a_job_goes_on(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    """Also when it couldn't even be claimed, for whatever reason."""
    tried = asyncio.Event()

    async def claim(*work: Any) -> Any:
        tried.set()
        raise RuntimeError

    async def scene() -> None:
        office.app.write = claim
        job = PeriodicJob("sweep", clean_up, lambda: HOUR)
        going = asyncio.create_task(office.jobs.repeat(job))
        await tried.wait()
        await asyncio.sleep(0)
        assert not going.done()
        going.cancel()

    asyncio.run(scene())
    assert "The job to sweep could not be attempted" in caplog.text


def test_nothing_is_thrown_away_while_the_time_is_doubted(office: Office) -> None:
    """It was wrong before, perhaps, or is now."""
    database = office.database
    database.do(todos.delete, database.ann, database.add("old", "newer")[0])
    long_ago(database, Todo, deleted_at="31")
    clock.jump = 9999.0
    try:
        office.tidy()
    finally:
        clock.jump = 0.0
    assert count(database, Todo) == 2


def test_nights() -> None:
    """It is never more than a day until the next."""
    assert 0 < until_night() <= 24 * HOUR
    assert (local_time() + timedelta(seconds=until_night() + 1)).hour == NIGHT


@pytest.mark.sqlite
def test_backups(database: Database, tmp_path: Path) -> None:
    """One a day; the last seven stay; nothing that isn't a backup of this database is touched."""
    folder = tmp_path / "backups"
    folder.mkdir()
    for day in range(1, 10):
        (folder / f"people-2026-01-{day:02}.db").touch()
    others = ("people-2026-01-01.db.txt", "family-2026-01-01.db", "notes")
    for name in (*others, "people-2026-01-05.db.new"):
        (folder / name).touch()
    for _ in range(2):
        back_up(database.store.path, folder)
    today = f"people-{local_time():%Y-%m-%d}.db"
    copies = [f"people-2026-01-{day:02}.db" for day in range(11 - BACKUPS, 10)] + [today]
    assert sorted(file.name for file in folder.iterdir()) == sorted([*copies, *others])
    with closing(sqlite3.connect(folder / today)) as copy:
        assert copy.execute("SELECT COUNT(*) FROM user").fetchone() == (4,)


def counted(server: Server, result: str) -> float:
    """Return how often a server says that backing up went so."""
    told = numbers(requests.get(f"{server.url}/metrics", timeout=9).text)
    return told.get(f'events_total{{kind="job: back up",result="{result}"}}', 0)


@pytest.mark.sqlite
def test_nightly_backups(start: Callable[..., Server], tmp_path: Path) -> None:
    """By whichever process comes first, and by one; the copy opens, with everything in it."""
    folder = tmp_path / "backups"
    folder.mkdir()
    server = start()
    ann = Visitor(server, "ann")
    ann.sign_up()
    ann.add("milk")
    option = f"--backup_folder={folder}"
    others = [start(option), start(option)]
    wait(lambda: sum(counted(other, "done") for other in others) == 1)
    (copy,) = folder.iterdir()
    restored = tmp_path / "restored"
    restored.mkdir()
    shutil.copy(copy, restored / "people.db")
    again = start(database=restored / "people.db")
    returned = Visitor(again, "ann")
    returned.name, returned.list = ann.name, ann.list
    returned.log_in()
    assert [row.title for row in returned.rows()] == ["milk"]
    for each in (server, *others, again):
        each.stop()


@pytest.mark.sqlite
def test_a_backup_keeps_the_locks(start: Callable[..., Server], tmp_path: Path) -> None:
    """Of the server that makes it: who looks at the database then doesn't take it for closed."""
    folder = tmp_path / "backups"
    folder.mkdir()
    server = start(f"--backup_folder={folder}")
    wait(lambda: counted(server, "done") == 1)
    ann = Visitor(server, "ann")
    ann.sign_up()
    every = (
        "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('SELECT 1 FROM user').close()"
    )
    subprocess.run([sys.executable, "-c", every, str(server.database)], check=True)
    assert Path(f"{server.database}-wal").exists()
    ann.add("milk")
    assert [row.title for row in ann.rows()] == ["milk"]
    server.stop()


@pytest.mark.sqlite
def test_a_folder_that_is_gone(start: Callable[..., Server], tmp_path: Path) -> None:
    """Is said at the start; later it is logged and counted, and the server goes on."""
    folder = tmp_path / "backups"
    command = [sys.executable, "app.py", "--port=0", f"--database={tmp_path / 'people.db'}"]
    command.append(f"--backup_folder={folder}")
    refused = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert refused.returncode == 2 and "backup_folder" in refused.stderr
    folder.mkdir()
    (folder / f"people-{local_time():%Y-%m-%d}.db.new").mkdir()  # which can't be unlinked
    server = start(command[-1])
    server.expected += ["The job to back up has failed", "Traceback", "  ", "Error"]
    wait(lambda: counted(server, "failed") == 1)
    ann = Visitor(server, "ann")
    assert ann.sign_up().status_code == 303
    server.stop()


def test_everything_has_a_rule(office: Office) -> None:
    """Each names columns that exist, and tidying an empty database takes nothing away."""
    database = office.database
    tables = [table for table, _ in cleanup.expired()]
    before = [count(database, table) for table in tables]
    office.tidy()
    assert [count(database, table) for table in tables] == before
    assert database.do(partial(Person._make, database.ann)) == database.ann
