"""What is due in all the lists of a person: overdue and today, or in the days after that."""

from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from peewee import fn

from models import dates, lists, text, todos, users
from models.clock import moment
from models.database import Param, PreparedQuery, unit
from models.due import OPEN_AND_DUE, due_at, zone_of
from models.errors import NotFound
from models.tables import Change, List, Member, Person, Todo

SIZE = 100  # rows on a page
DAYS = 14  # that Upcoming has a heading each for
NEAR = 1000  # last changes by anyone, among which one's own is looked for

WHEN = (Todo.due, Todo.due_time, Todo.due_zone)
OF_PERSON: Any = Member.select().join(List).join(Todo)
OF_PERSON = OF_PERSON.where(
    Member.user == Param("person"),
    List.deleted_at.is_null(),
    OPEN_AND_DUE,
    Todo.due.between(Param("first"), Param("last")),
)
# Of 5,000 todos only those of one page are read whole.
PLACES = PreparedQuery(
    OF_PERSON.select(Member.list, Todo.id, *WHEN).order_by(
        Member.position, Member.id, Todo.position, Todo.id
    )
)
# Each page of a list that has changed asks for it: 15 us; 450 as a plain query (2026-12).
COUNTS = PreparedQuery(OF_PERSON.select(*WHEN, fn.COUNT(Todo.id)).group_by(*WHEN))


class Item(NamedTuple):
    """A todo, and its list as the reader may use it."""

    access: lists.ListAccess
    row: todos.Row

    @property
    def writable(self) -> bool:
        return self.access.may("change")


class Agenda(NamedTuple):
    """A page of what is due, under its headings: days, or None for what is overdue.

    What comes after DAYS is below `date.max`. `here` is the list of the reader's last change, or
    their first; `digest` differs when anything of this does, `turn` is when it will by itself.
    """

    here: lists.ListAccess
    mine: list[lists.ListAccess]
    groups: dict[date | None, list[Item]]
    total: int
    more: bool  # pages after this
    digest: str
    turn: datetime


def counts(person: Person, lookup: lists.Lookup = PreparedQuery.__call__) -> tuple[int, int]:
    """Return how many open todos are due until the end of the person's day; and in DAYS after it.

    A look-up is remembered for a second at most, so the day is found out here.
    """
    zone = zone_of(person)
    this = dates.today(zone, moment())
    last = this + timedelta(DAYS)
    until, later = 0, 0
    first, beyond = date.min.isoformat(), (last + timedelta(2)).isoformat()
    for *when, count in lookup(COUNTS, person=person.id, first=first, last=beyond):
        day, _ = due_at(*when).shown(zone)
        if day <= this:
            until += count
        elif day <= last:
            later += count
    return until, later


def read(person: Person, shown: str, number: int) -> Agenda | None:
    """Return a page of "today" or "upcoming"; None for who has no list."""
    mine = lists.mine(person)
    if not mine:
        return None
    zone, now = zone_of(person), moment()
    day = dates.today(zone, now)
    # By the clocks of others it can be two days more, or one less: zones differ by up to 26 hours.
    before, this, after = (str(day + timedelta(days)) for days in (-1, 0, 2))
    first, last = (str(date.min), after) if shown == "today" else (before, str(date.max))
    order: list[tuple[Any, ...]] = []
    timed = []
    for place, (of, todo, on, at, at_zone) in enumerate(
        PLACES(person=person.id, first=first, last=last)
    ):
        over = on < this
        if at and (at_zone != zone or on == this):
            due = due_at(on, at, at_zone)
            over = due.overdue(zone, now)
            on, at = map(str, due.shown(zone))
            timed.append(due)
        if (on <= this) == (shown == "today"):
            order.append((not over, on, at or "24:00", place, of, todo))
    order.sort()
    begin = (number - 1) * SIZE
    part = order[begin : begin + SIZE]
    groups = grouped(part, {each.id: each for each in mine}, day)
    digest = repr((mine, this, zone, sum(not each[0] for each in order)))
    more, (_, turn) = begin + SIZE < len(order), dates.turns(timed, zone, now)
    return Agenda(here(person, mine), mine, groups, len(order), more, digest, turn)


def grouped(
    part: list[tuple[Any, ...]], access: dict[int, lists.ListAccess], this: date
) -> dict[date | None, list[Item]]:
    """Return the todos of a page under their headings."""
    query: Any = Todo.select(*todos.ROW_COLUMNS).where(Todo.id.in_([each[-1] for each in part]))
    rows = {row[0]: row for row in query.tuples()}
    shared = {todo for *_, of, todo in part if access[of].people > 1}
    names = users.names({n for todo in shared for n in rows[todo][4:7] if n})
    groups: dict[date | None, list[Item]] = {}
    for later, on, *_, of, todo in part:
        day = date.fromisoformat(on)
        head = None if not later else day if day <= this + timedelta(DAYS) else date.max
        drawn = todos.drawn(rows[todo], names if todo in shared else {})
        groups.setdefault(head, []).append(Item(access[of], drawn))
    return groups


def here(person: Person, mine: list[lists.ListAccess]) -> lists.ListAccess:
    """Return that of the person's lists which they changed last, lately; or else their first."""
    newest = Change.select(fn.MAX(Change.id)).scalar() or 0
    query: Any = Change.select(Change.list).where(
        Change.id > newest - NEAR, Change.user == person.id, Change.kind.in_(("todo", "list"))
    )
    numbers = [number for (number,) in query.order_by(Change.id.desc()).limit(1).tuples()]
    return next((each for each in mine if each.id in numbers), mine[0])


@unit
def add(person: Person, title: str, day: str) -> None:
    """Put a todo at the end of the first list that `person` may change, due on a day.

    Nothing typed adds nothing. Raises NotFound without such a list, Invalid.
    """
    first = next((each for each in lists.mine(person) if each.may("change")), None)
    if first is None:
        raise NotFound
    if not text.blank(title):
        seen = lists.get_for(person, first.id, "change")
        todos.insert(person, seen, [{"title": title, "due": day}])
