"""Links: which titles are asked for, by whom, when, and which lists hear of it."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

import app  # noqa: F401  for what is done with links when lists and people go
from checks.support.database import Database
from checks.support.servers import CLUSTERS
from models import account_closing, cleanup, links, lists, messages, todos
from models.cleanup import Job
from models.clock import instant, moment, now
from models.links import Link, ListLink
from models.tables import Change, List

pytestmark = pytest.mark.engine

A, B, C = (f"https://example.org/{name}" for name in "abc")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A database with Ann, who owns a list, Ed, who edits it, Bob, who reads it, and Cy."""
    made = Database(tmp_path / "people.db")
    yield made
    made.store.close()


def collect(database: Database) -> bool:
    """Let the job read what was done to lists; say whether there was anything."""
    return database.do(cleanup.follow, "links", links.collect)


def claim(database: Database, limit: int = 100, per_person: int | None = None) -> list[str]:
    """Let the jobs find links, and claim some to be fetched; return their addresses."""
    collect(database)
    return sorted(link.address for link in database.do(links.claim, limit, per_person))


def store(database: Database, *found: tuple[str, str | None]) -> None:
    """Note titles by address."""

    def unit() -> None:
        ids = dict(Link.select(Link.address, Link.id).tuples())
        links.store([(links.Wanted(ids[address], address), title) for address, title in found])

    database.do(unit)


def put_back(database: Database, **ago: int) -> None:
    """Let time go by, for links."""

    def unit() -> None:
        for link in Link.select():
            for name in ("asked", "due"):
                if getattr(link, name):
                    then = datetime.fromisoformat(getattr(link, name)) - timedelta(**ago)
                    setattr(link, name, instant(then))
            link.save()

    database.do(unit)


def kept(database: Database) -> dict[str, tuple[str | None, int]]:
    """Return what is known of links: titles, and in how many lists they are."""

    def unit() -> dict[str, tuple[str | None, int]]:
        counts = {link.id: ListLink.select().where(ListLink.link == link).count() for link in Link}
        return {link.address: (link.title, counts[link.id]) for link in Link.select()}

    return database.do(unit)


def test_what_is_written_is_asked_for(database: Database) -> None:
    """New todos, new titles of old ones, and messages; once each, however often it is there."""
    assert links.added([{"title": A}], [{"title": A}]) == []
    database.add(f"read {A}.", f"({A}) and {B}", "milk")
    todo = database.add("bread")[0]
    assert claim(database) == [A, B]
    database.do(todos.edit, database.ed, todo, title=f"bread {C}")
    database.do(todos.complete, database.ann, todo)
    database.do(
        messages.say,
        database.ed,
        database.list,
        f"{A}\nsee ftp://x/ http:// https://example.org/d!",
    )
    assert claim(database) == [C, "https://example.org/d"]
    assert claim(database) == []
    many = " ".join(f"https://a/{number}" for number in range(20))
    database.do(messages.say, database.ed, database.list, f"https://example.org/{'é' * 991} {many}")
    assert len(claim(database)) == links.PER_TEXT - 1  # an index can't hold the first


def test_each_change_is_read_once(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some at a time; doing it again adds nothing."""
    monkeypatch.setattr(links, "CHANGES_SIZE", 1)
    database.add(A, "milk", B, "bread")
    database.do(lambda: Change.update(at=instant(moment() - links.OVERLAP)).execute())
    assert [collect(database) for _ in range(4)] == [True, True, True, False]
    assert kept(database) == {A: (None, 1), B: (None, 1)}
    assert not database.do(cleanup.is_behind, "links")
    database.do(links.collect, 0)
    assert kept(database) == {A: (None, 1), B: (None, 1)}
    database.add("more")
    assert database.do(cleanup.is_behind, "links") and collect(database) is not bool(CLUSTERS)


def test_a_change_that_is_committed_late(database: Database) -> None:
    """Has an id below others that were read; on PostgreSQL it is read nevertheless."""
    database.add("milk", "bread")
    late = database.do(
        lambda: Change.select(Change.id).order_by(Change.id.desc()).limit(1).scalar()
    )
    database.do(lambda: Change.update(id=late + 10).where(Change.id == late).execute())
    collect(database)
    row = {
        "id": late,
        "list": database.list,
        "version": 100,
        "user": database.ann.id,
        "verb": "add",
    }
    row |= {"kind": "todo", "title": A, "touched": 1}
    row |= {"before": "[]", "after": json.dumps([{"title": A}]), "at": now()}
    database.do(lambda: Change.insert(row).execute())
    collect(database)
    assert kept(database) == ({A: (None, 1)} if CLUSTERS else {})  # SQLite has one writer at a time


def test_two_processes_read_the_same(database: Database) -> None:
    """The cursor goes only forward."""
    database.add(A)
    collect(database)
    there = database.do(lambda: Job.get(Job.name == "links").cursor)
    assert not database.do(cleanup.follow, "links", lambda cursor: cursor - 1)
    assert database.do(lambda: Job.get(Job.name == "links").cursor) == there


def test_each_is_asked_for_by_one_process(database: Database) -> None:
    """For a while; then another does, as the first may have died."""
    database.add(A, B)
    assert len(claim(database, 1)) == 1 and len(claim(database, 5)) == 1 and claim(database) == []
    put_back(database, minutes=6)
    assert claim(database) == [A, B]


def test_one_person_does_not_keep_the_server_busy(database: Database) -> None:
    """Ten links in a minute are theirs; those of others don't wait behind the rest."""
    database.add(*(f"https://example.org/{number}" for number in range(25)))
    database.do(todos.add, database.ed, database.list, A)
    assert len(claim(database, 6, 10)) == 6
    assert len(claim(database, 6, 10)) == 4
    assert claim(database, 6, 10) == [A]
    assert claim(database, 6, 10) == []
    put_back(database, minutes=2)
    assert len(claim(database, 100, 10)) == 10
    assert len(claim(database, 100, None)) == 5


def test_a_title_that_arrives_is_news(database: Database) -> None:
    """For the lists that have the address, whose version stays; a lost one is asked for later."""
    other = database.do(lists.create, database.cy, "Other")
    database.add(A, B)
    database.do(todos.add, database.cy, other, B)
    mine = lambda: database.do(lists.mine, database.ann)[0]  # noqa: E731
    theirs = lambda: database.do(lists.versions, [other])[0]  # noqa: E731
    before, others = mine(), theirs()
    claim(database)
    store(database, (A, "Milk"), (B, None))
    assert mine() == before._replace(revision=before.revision + 1)
    assert theirs() == others
    assert database.do(links.known, database.list) == {A: "Milk"}
    put_back(database, minutes=11)
    assert claim(database) == [B]
    store(database, (B, "Bread"))
    assert mine().revision == before.revision + 2
    assert theirs() == (other, others[1], others[2] + 1)
    assert database.do(links.known, other) == {B: "Bread"}


def test_a_page_that_fails_is_asked_ever_more_seldom(database: Database) -> None:
    """And what is known meanwhile stays."""
    database.add(A)
    pauses = []
    for _ in range(5):
        assert claim(database) == [A]
        store(database, (A, None))
        due = database.do(lambda: Link.get().due)
        pause = datetime.fromisoformat(due) - moment()
        pauses.append(round(pause / timedelta(minutes=1)))
        put_back(database, minutes=pauses[-1] + 1)
    assert pauses == [10, 120, 1440, 43200, 43200]


def test_titles_are_asked_for_again(database: Database) -> None:
    """After a month, if anybody still has them; otherwise all of it is forgotten."""
    old = database.add(A, B)[1]
    claim(database)
    store(database, (A, "Milk"), (B, "Bread"))
    database.do(todos.delete, database.ann, old)
    put_back(database, days=29)
    assert claim(database) == []
    put_back(database, days=2)
    assert claim(database) == [A] and kept(database) == {A: ("Milk", 1)}
    before = database.do(lists.versions, [database.list])
    store(database, (A, "Milk"))
    assert database.do(lists.versions, [database.list]) == before  # nothing to show
    store(database, (A, None))
    assert kept(database) == {A: ("Milk", 1)}


def test_who_leaves_takes_their_links_along(database: Database) -> None:
    """Closing an account forgets those that nobody else has; none is found afterwards."""
    database.add(A)
    own = database.do(lists.mine, database.cy)[0].id
    database.do(todos.add, database.cy, own, A, B)
    collect(database)
    database.do(todos.add, database.cy, own, C)
    database.do(account_closing.close, database.cy)
    assert kept(database) == {A: (None, 1)}
    database.do(links.collect, 0)
    assert kept(database) == {A: (None, 1)}
    assert claim(database) == [A]


def test_lists_that_go_for_good_leave_nothing(database: Database) -> None:
    """When their time in the trash has ended, whatever they linked to."""
    other = database.do(lists.create, database.ann, "Other")
    database.do(todos.add, database.ann, other, A)
    database.add(B)
    database.do(lists.delete, database.ann, other)
    database.do(lists.create, database.ann, "the newest row of a table stays")
    database.add(C)
    collect(database)
    database.do(lambda: List.update(deleted_at="2020").where(List.id == other).execute())
    for number, _ in enumerate(cleanup.expired()):
        database.do(cleanup.delete_expired, number)
    assert kept(database) == {B: (None, 1), C: (None, 1)}


def test_a_link_that_is_gone_meanwhile(database: Database) -> None:
    """Its title is nobody else's, though another may have its id by now."""
    database.add(f"see {A}")
    collect(database)
    (wanted,) = database.do(links.claim, 9, None)
    database.do(lambda: Link.update(address=B).where(Link.id == wanted.id).execute())
    database.do(links.store, [(wanted, "Hers")])
    assert database.do(lambda: Link.get().title) is None


def test_a_link_of_a_future_that_was_none(database: Database) -> None:
    """Is asked for today, once the clock is right again."""
    database.do(todos.add, database.ann, database.list, A)
    assert claim(database) == [A]
    database.do(lambda: Link.update(asked="2038-01-19T03:14:07.000Z").execute())
    database.do(cleanup.fix_future_timestamps)
    assert claim(database) == [A]
