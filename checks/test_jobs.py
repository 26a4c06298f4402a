"""What the house does by itself: once, late rather than never, and nothing too much."""

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

from checks.support.database import Database as House
from checks.support.database import ask
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
def house(tmp_path: Path) -> Iterator[House]:
    """A database of one's own."""
    made = House(tmp_path / "people.db")
    yield made
    made.store.close()


class Office:
    """The jobs of a house whose event loop runs only while something is asked of it."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.told: Books = []

        async def write(unit: Callable[..., Any], *args: Any) -> Any:
            return await asyncio.wrap_future(ask(house.store.write, unit, *args))

        def count(kind: str, result: str) -> None:
            self.told.append((kind.removeprefix("job: "), result))

        async def read(unit: Callable[..., Any], *args: Any) -> Any:
            return await asyncio.wrap_future(ask(house.store.read, unit, *args))

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
        self.house.do(lambda: Job.update(change).execute())


@pytest.fixture
def office(house: House) -> Office:
    """The jobs of a house."""
    return Office(house)


def count(house: House, table: type[Table]) -> int:
    """Count the rows of a table."""
    return int(house.do(lambda: table.select().count()))


def long_ago(house: House, table: Any, *numbers: int, **days: str) -> None:
    """Set columns of rows to so many days ago."""
    values = {name: instant(moment() - timedelta(days=int(ago))) for name, ago in days.items()}
    rows = table.id.in_(numbers) if numbers else table.id > 0
    house.do(lambda: table.update(values).where(rows).execute())


def test_the_trash_is_emptied_after_thirty_days(office: Office) -> None:
    """Of todos, lists with all that is in them, and messages; nothing sooner, no id given anew."""
    house = office.house
    old, new, kept, last = house.add("old", "new", "kept", "last")
    for each in (old, new, last):
        house.do(todos.delete, house.ann, each)
    long_ago(house, Todo, old, last, deleted_at="31")
    long_ago(house, Todo, new, deleted_at="29")
    gone = house.do(lists.create, house.ann, "gone")
    house.do(todos.add, house.ann, gone, "in it")
    house.do(messages.say, house.ann, gone, "said there")
    house.do(lists.delete, house.ann, gone)
    long_ago(house, List, gone, deleted_at="31")
    stays = house.do(lists.create, house.ann, "stays")
    house.do(todos.add, house.ann, stays, "a last one")
    house.do(messages.say, house.ann, stays, "and a word")
    office.tidy()
    there = house.do(lambda: {row.id for row in Todo.select().where(Todo.list == house.list)})
    assert there == {new, kept}
    assert house.do(lambda: List.select().where(List.id == gone).count()) == 0
    assert house.do(lambda: Message.select().where(Message.list == gone).count()) == 0
    with pytest.raises(NotFound):
        house.do(todos.restore, house.ann, old)
    house.do(todos.restore, house.ann, new)
    assert house.do(lists.get_for, house.ann, stays).total == 1


def test_the_newest_row_stays(office: Office) -> None:
    """Its id would be given to the next that comes; windows, links and undo go by ids."""
    house = office.house
    (only,) = house.add("only")
    house.do(todos.delete, house.ann, only)
    long_ago(house, Todo, deleted_at="31")
    office.tidy()
    assert count(house, Todo) == 1
    assert house.add("next") == [only + 1]
    office.tidy()
    assert count(house, Todo) == 1


def test_what_a_change_was_is_kept_for_a_year(office: Office) -> None:
    """Then the oldest go, in one piece, so that who follows the changes is told to begin anew."""
    house = office.house
    house.add(*map(str, range(10)))
    rows = house.do(lambda: [row.id for row in Change.select().where(Change.list == house.list)])
    long_ago(house, Change, at="366")
    house.add("today")
    long_ago(house, Change, rows[3], at="1")  # perhaps a clock was wrong: it and what follows stay
    office.tidy()
    left = house.do(
        lambda: [row.version for row in Change.select().where(Change.list == house.list)]
    )
    assert left == [*range(4, 13)]
    others = house.do(lambda: Change.select().where(Change.list != house.list).count())
    assert others == 3, "the last change of a list says what it is"


def test_a_slice_at_a_time(office: Office) -> None:
    """However much there is, no unit of work takes long."""
    house = office.house
    house.do(todos.add, house.ann, house.list, *map(str, range(cleanup.SLICE + 10)))
    long_ago(house, Todo, deleted_at="31")
    house.add("last")
    places = [number for number, (table, _) in enumerate(cleanup.expired()) if table is Todo]
    assert [house.do(cleanup.delete_expired, *places) for _ in range(2)] == [True, False]
    assert count(house, Todo) == 1


def test_ended_sessions_go(office: Office) -> None:
    """And none that is still good."""
    house = office.house
    browser = sessions.Browser("127.0.0.1", "x")
    keys = [house.do(sessions.log_in, house.ann, browser) for _ in range(4)]
    ids = house.do(lambda: [row.id for row in Session.select().order_by(Session.id)])
    long_ago(house, Session, ids[0], created="31")
    long_ago(house, Session, ids[1], last_seen="15")
    long_ago(house, Session, ids[2], last_seen="13", created="29")
    office.tidy()
    assert count(house, Session) == 2
    assert [bool(sessions.session_for(key, house.lookup)) for key in keys] == [
        False,
        False,
        True,
        True,
    ]


def test_sessions_of_a_future_that_was_none(office: Office) -> None:
    """Have their thirty days from when the clock was right again, not from 2038."""
    house = office.house
    house.do(sessions.log_in, house.ann, sessions.Browser("127.0.0.1", "x"))
    house.do(lambda: Session.update(created="2038-01-19T03:14:07.000Z").execute())
    office.tidy()
    created = house.do(lambda: Session.get().created)
    assert instant(moment() - accounts.SUDO) < created <= instant(moment())


def test_what_is_held_back(office: Office) -> None:
    """Is known to nobody else, can be taken back, and is sent once when it is time."""
    house = office.house

    def said() -> list[str]:
        return [m["text"] for m in house.do(messages.latest, house.bob, house.list, None, 9)[1]]

    def send() -> None:
        office.send()

    before = house.do(lists.mine, house.bob)
    for words in ("one", "two", "three"):
        house.do(messages.hold, house.ann, house.list, words)
    assert house.do(lists.mine, house.bob) == before and said() == []
    assert list(messages.pending(house.ann, house.lookup)) == [house.list]
    one, two, three = house.do(messages.held, house.ann, house.list)
    with pytest.raises(Conflict):  # it isn't his
        house.do(messages.drop, house.ed, two[0])
    assert house.do(messages.drop, house.ann, two[0]) == house.list
    send()
    assert said() == []
    house.do(
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
        house.do(messages.drop, house.ann, one[0])
    house.do(lambda: ScheduledMessage.update(due=instant(moment())).execute())
    house.do(messages.send, three[0])
    house.do(messages.send, three[0])  # as another process would
    assert said() == ["one", "three"] and house.do(messages.held, house.ann, house.list) == []


def test_what_is_held_back_at_once(office: Office) -> None:
    """Is sent in the order in which it was written, also what has one millisecond in common."""
    house = office.house
    words = [str(number) for number in range(30)]
    house.do(lambda: [messages.hold(house.ann, house.list, each) for each in words])
    assert [each for _, each in house.do(messages.held, house.ann, house.list)] == words
    house.do(lambda: ScheduledMessage.update(due=instant(moment())).execute())
    office.send()
    _, said = house.do(messages.latest, house.bob, house.list, None, 50)
    assert [message["text"] for message in said] == words


def test_a_button_that_is_pressed_too_late(office: Office) -> None:
    """Takes back what it was for, or nothing; never what was written since."""
    house = office.house
    house.do(messages.hold, house.ann, house.list, "one")
    ((old, _),) = house.do(messages.held, house.ann, house.list)
    house.do(lambda: ScheduledMessage.update(due=instant(moment())).execute())
    office.send()
    house.do(messages.hold, house.ann, house.list, "two")
    with pytest.raises(Conflict):
        house.do(messages.drop, house.ann, old)
    ((new, words),) = house.do(messages.held, house.ann, house.list)
    assert new != old and words == "two"
    house.do(messages.send, new)  # which a job found due that was taken back meanwhile
    assert house.do(messages.held, house.ann, house.list) == [(new, "two")]


def test_who_may_say_no_more_has_said_nothing(office: Office) -> None:
    """When it is time, they are no member any more."""
    house = office.house
    house.do(messages.hold, house.ed, house.list, "I was here")
    house.do(members.remove, house.ann, house.list, "ed")
    house.do(lambda: ScheduledMessage.update(due=instant(moment())).execute())
    office.send()
    assert count(house, ScheduledMessage) == count(house, Message) == 0
    with pytest.raises(NotFound):
        house.do(messages.hold, house.ed, house.list, "and am not now")


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
    """Until it is due again; what was due while the house was closed is done when it opens."""
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
    house = office.house
    claimed = house.do(cleanup.claim, "sweep")
    assert claimed and not house.do(cleanup.claim, "sweep")
    office.due(seconds=-1)
    assert office.attempt(lambda: None)
    due = house.do(lambda: Job.get().due)
    house.do(cleanup.done, "sweep", claimed, 0)
    house.do(cleanup.failed, "sweep", claimed)
    assert house.do(lambda: Job.get().due) == due


def test_a_job_that_fails(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    """Is logged, counted and tried again, each time later; once it succeeds that is forgotten."""
    for minutes in (2, 4, 8):
        assert not office.attempt(lambda: 1 // 0)
        due = datetime.fromisoformat(office.house.do(lambda: Job.get().due))
        assert timedelta(minutes=minutes - 1) < due - moment() <= timedelta(minutes=minutes)
        office.due(seconds=-1)
    assert office.told == [("sweep", "failed")] * 3
    assert caplog.text.count("The job to sweep has failed") == 3
    assert office.attempt(lambda: None)
    assert office.house.do(lambda: Job.get().failures) == 0


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
    house = office.house
    house.do(todos.delete, house.ann, house.add("old", "newer")[0])
    long_ago(house, Todo, deleted_at="31")
    clock.jump = 9999.0
    try:
        office.tidy()
    finally:
        clock.jump = 0.0
    assert count(house, Todo) == 2


def test_nights() -> None:
    """It is never more than a day until the next."""
    assert 0 < until_night() <= 24 * HOUR
    assert (local_time() + timedelta(seconds=until_night() + 1)).hour == NIGHT


@pytest.mark.sqlite
def test_backups(house: House, tmp_path: Path) -> None:
    """One a day; the last seven stay; nothing that isn't a backup of this house is touched."""
    folder = tmp_path / "backups"
    folder.mkdir()
    for day in range(1, 10):
        (folder / f"people-2026-01-{day:02}.db").touch()
    others = ("people-2026-01-01.db.txt", "family-2026-01-01.db", "notes")
    for name in (*others, "people-2026-01-05.db.new"):
        (folder / name).touch()
    for _ in range(2):
        back_up(house.store.path, folder)
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
    """Of the house that makes it: who looks at the database then doesn't take it for closed."""
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
    """Is said at the start; later it is logged and counted, and the house goes on."""
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
    """Each names columns that exist, and tidying an empty house takes nothing away."""
    house = office.house
    tables = [table for table, _ in cleanup.expired()]
    before = [count(house, table) for table in tables]
    office.tidy()
    assert [count(house, table) for table in tables] == before
    assert house.do(partial(Person._make, house.ann)) == house.ann
