"""Links: which titles are asked for, by whom, when, and which lists hear of it."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from checks.support.database import Database as House
from checks.support.servers import CLUSTERS
from models import account_closing, cleanup, links, lists, messages, todos
from models.cleanup import Job
from models.clock import instant, moment, now
from models.links import Link, ListLink
from models.tables import Change, List

pytestmark = pytest.mark.engine

A, B, C = (f"https://example.org/{name}" for name in "abc")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A database with Ann, who owns a list, Ed, who edits it, Bob, who reads it, and Cy."""
    made = House(tmp_path / "people.db")
    yield made
    made.store.close()


def collect(house: House) -> bool:
    """Let the job read what was done to lists; say whether there was anything."""
    return house.do(cleanup.follow, "links", links.collect)


def claim(house: House, limit: int = 100, per_person: int | None = None) -> list[str]:
    """Let the jobs find links, and claim some to be fetched; return their addresses."""
    collect(house)
    return sorted(link.address for link in house.do(links.claim, limit, per_person))


def store(house: House, *found: tuple[str, str | None]) -> None:
    """Note titles by address."""

    def unit() -> None:
        ids = dict(Link.select(Link.address, Link.id).tuples())
        links.store([(links.Wanted(ids[address], address), title) for address, title in found])

    house.do(unit)


def put_back(house: House, **ago: int) -> None:
    """Let time go by, for links."""

    def unit() -> None:
        for link in Link.select():
            for name in ("asked", "due"):
                if getattr(link, name):
                    then = datetime.fromisoformat(getattr(link, name)) - timedelta(**ago)
                    setattr(link, name, instant(then))
            link.save()

    house.do(unit)


def kept(house: House) -> dict[str, tuple[str | None, int]]:
    """Return what is known of links: titles, and in how many lists they are."""

    def unit() -> dict[str, tuple[str | None, int]]:
        counts = {link.id: ListLink.select().where(ListLink.link == link).count() for link in Link}
        return {link.address: (link.title, counts[link.id]) for link in Link.select()}

    return house.do(unit)


def test_what_is_written_is_asked_for(house: House) -> None:
    """New todos, new titles of old ones, and messages; once each, however often it is there."""
    assert links.added([{"title": A}], [{"title": A}]) == []
    house.add(f"read {A}.", f"({A}) and {B}", "milk")
    todo = house.add("bread")[0]
    assert claim(house) == [A, B]
    house.do(todos.edit, house.ed, todo, title=f"bread {C}")
    house.do(todos.complete, house.ann, todo)
    house.do(
        messages.say, house.ed, house.list, f"{A}\nsee ftp://x/ http:// https://example.org/d!"
    )
    assert claim(house) == [C, "https://example.org/d"]
    assert claim(house) == []
    many = " ".join(f"https://a/{number}" for number in range(20))
    house.do(messages.say, house.ed, house.list, f"https://example.org/{'é' * 991} {many}")
    assert len(claim(house)) == links.PER_TEXT - 1  # an index can't hold the first


def test_each_change_is_read_once(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some at a time; doing it again adds nothing."""
    monkeypatch.setattr(links, "CHANGES_SIZE", 1)
    house.add(A, "milk", B, "bread")
    house.do(lambda: Change.update(at=instant(moment() - links.OVERLAP)).execute())
    assert [collect(house) for _ in range(4)] == [True, True, True, False]
    assert kept(house) == {A: (None, 1), B: (None, 1)}
    assert not house.do(cleanup.is_behind, "links")
    house.do(links.collect, 0)
    assert kept(house) == {A: (None, 1), B: (None, 1)}
    house.add("more")
    assert house.do(cleanup.is_behind, "links") and collect(house) is not bool(CLUSTERS)


def test_a_change_that_is_committed_late(house: House) -> None:
    """Has an id below others that were read; on PostgreSQL it is read nevertheless."""
    house.add("milk", "bread")
    late = house.do(lambda: Change.select(Change.id).order_by(Change.id.desc()).limit(1).scalar())
    house.do(lambda: Change.update(id=late + 10).where(Change.id == late).execute())
    collect(house)
    row = {"id": late, "list": house.list, "version": 100, "user": house.ann.id, "verb": "add"}
    row |= {"kind": "todo", "before": "[]", "after": json.dumps([{"title": A}]), "at": now()}
    house.do(lambda: Change.insert(row).execute())
    collect(house)
    assert kept(house) == ({A: (None, 1)} if CLUSTERS else {})  # SQLite has one writer at a time


def test_two_processes_read_the_same(house: House) -> None:
    """The cursor goes only forward."""
    house.add(A)
    collect(house)
    there = house.do(lambda: Job.get(Job.name == "links").cursor)
    assert not house.do(cleanup.follow, "links", lambda cursor: cursor - 1)
    assert house.do(lambda: Job.get(Job.name == "links").cursor) == there


def test_each_is_asked_for_by_one_process(house: House) -> None:
    """For a while; then another does, as the first may have died."""
    house.add(A, B)
    assert len(claim(house, 1)) == 1 and len(claim(house, 5)) == 1 and claim(house) == []
    put_back(house, minutes=6)
    assert claim(house) == [A, B]


def test_one_person_does_not_keep_the_house_busy(house: House) -> None:
    """Ten links in a minute are theirs; those of others don't wait behind the rest."""
    house.add(*(f"https://example.org/{number}" for number in range(25)))
    house.do(todos.add, house.ed, house.list, A)
    assert len(claim(house, 6, 10)) == 6
    assert len(claim(house, 6, 10)) == 4
    assert claim(house, 6, 10) == [A]
    assert claim(house, 6, 10) == []
    put_back(house, minutes=2)
    assert len(claim(house, 100, 10)) == 10
    assert len(claim(house, 100, None)) == 5


def test_a_title_that_arrives_is_news(house: House) -> None:
    """For the lists that have the address, whose version stays; a lost one is asked for later."""
    other = house.do(lists.create, house.cy, "Other")
    house.add(A, B)
    house.do(todos.add, house.cy, other, B)
    mine = lambda: house.do(lists.mine, house.ann)[0]  # noqa: E731
    theirs = lambda: house.do(lists.versions, [other])[0]  # noqa: E731
    before, others = mine(), theirs()
    claim(house)
    store(house, (A, "Milk"), (B, None))
    assert mine() == before._replace(revision=before.revision + 1)
    assert theirs() == others
    assert house.do(links.known, house.list) == {A: "Milk"}
    put_back(house, minutes=11)
    assert claim(house) == [B]
    store(house, (B, "Bread"))
    assert mine().revision == before.revision + 2
    assert theirs() == (other, others[1], others[2] + 1)
    assert house.do(links.known, other) == {B: "Bread"}


def test_a_page_that_fails_is_asked_ever_more_seldom(house: House) -> None:
    """And what is known meanwhile stays."""
    house.add(A)
    pauses = []
    for _ in range(5):
        assert claim(house) == [A]
        store(house, (A, None))
        due = house.do(lambda: Link.get().due)
        pause = datetime.fromisoformat(due) - moment()
        pauses.append(round(pause / timedelta(minutes=1)))
        put_back(house, minutes=pauses[-1] + 1)
    assert pauses == [10, 120, 1440, 43200, 43200]


def test_titles_are_asked_for_again(house: House) -> None:
    """After a month, if anybody still has them; otherwise all of it is forgotten."""
    old = house.add(A, B)[1]
    claim(house)
    store(house, (A, "Milk"), (B, "Bread"))
    house.do(todos.delete, house.ann, old)
    put_back(house, days=29)
    assert claim(house) == []
    put_back(house, days=2)
    assert claim(house) == [A] and kept(house) == {A: ("Milk", 1)}
    before = house.do(lists.versions, [house.list])
    store(house, (A, "Milk"))
    assert house.do(lists.versions, [house.list]) == before  # nothing to show
    store(house, (A, None))
    assert kept(house) == {A: ("Milk", 1)}


def test_who_leaves_takes_their_links_along(house: House) -> None:
    """Closing an account forgets those that nobody else has; none is found afterwards."""
    house.add(A)
    own = house.do(lists.mine, house.cy)[0].id
    house.do(todos.add, house.cy, own, A, B)
    collect(house)
    house.do(todos.add, house.cy, own, C)
    house.do(account_closing.close, house.cy)
    assert kept(house) == {A: (None, 1)}
    house.do(links.collect, 0)
    assert kept(house) == {A: (None, 1)}
    assert claim(house) == [A]


def test_lists_that_go_for_good_leave_nothing(house: House) -> None:
    """When their time in the trash has ended, whatever they linked to."""
    other = house.do(lists.create, house.ann, "Other")
    house.do(todos.add, house.ann, other, A)
    house.add(B)
    house.do(lists.delete, house.ann, other)
    house.do(lists.create, house.ann, "the newest row of a table stays")
    house.add(C)
    collect(house)
    house.do(lambda: List.update(deleted_at="2020").where(List.id == other).execute())
    for number, _ in enumerate(cleanup.expired()):
        house.do(cleanup.delete_expired, number)
    assert kept(house) == {B: (None, 1), C: (None, 1)}


def test_a_link_that_is_gone_meanwhile(house: House) -> None:
    """Its title is nobody else's, though another may have its id by now."""
    house.add(f"see {A}")
    collect(house)
    (wanted,) = house.do(links.claim, 9, None)
    house.do(lambda: Link.update(address=B).where(Link.id == wanted.id).execute())
    house.do(links.store, [(wanted, "Hers")])
    assert house.do(lambda: Link.get().title) is None


def test_a_link_of_a_future_that_was_none(house: House) -> None:
    """Is asked for today, once the clock is right again."""
    house.do(todos.add, house.ann, house.list, A)
    assert claim(house) == [A]
    house.do(lambda: Link.update(asked="2038-01-19T03:14:07.000Z").execute())
    house.do(cleanup.fix_future_timestamps)
    assert claim(house) == [A]
