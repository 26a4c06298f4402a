"""What is due in all the lists of a person: overdue and today, or in the days after that."""

from datetime import date, datetime, time, timedelta
from typing import Any, NamedTuple

from peewee import fn

from models import dates, lists, text, todos, users
from models.clock import moment
from models.database import Param, PreparedQuery, unit
from models.due import OPEN_AND_DUE, due_at, zone_of
from models.errors import NotFound
from models.tables import Change, List, Member, Person, Todo

SIZE = 200  # rows on a page
DAYS = 14  # that Upcoming has a heading each for
NEAR = 1000  # last changes by anyone, among which one's own is looked for
FOREVER = date.max

OF_PERSON: Any = Member.select().join(List).join(Todo)
OF_PERSON = OF_PERSON.where(
    Member.user == Param("person"),
    List.deleted_at.is_null(),
    OPEN_AND_DUE,
    Todo.due.between(Param("first"), Param("last")),
)
ROWS = PreparedQuery(
    OF_PERSON.select(Member.list, *todos.ROW_COLUMNS).order_by(
        Member.position, Member.id, Todo.position, Todo.id
    )
)
# Each page of a list that has changed asks for it: 15 us; 450 as a plain query (2026-12).
WHEN = (Todo.due, Todo.due_time, Todo.due_zone)
COUNTS = PreparedQuery(OF_PERSON.select(*WHEN, fn.COUNT(Todo.id)).group_by(*WHEN))


class Item(NamedTuple):
    """A todo, its list as the reader may use it, and the day on which the reader sees it due."""

    access: lists.ListAccess
    row: todos.Row
    day: date

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


def counts(
    person: Person, this: date, lookup: lists.Lookup = PreparedQuery.__call__
) -> tuple[int, int]:
    """Return how many open todos are due until `this`, the person's day; and in DAYS after it."""
    zone, last = zone_of(person), this + timedelta(DAYS)
    until, later = 0, 0
    first, beyond = date.min.isoformat(), (last + timedelta(1)).isoformat()
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
    this, access = dates.today(zone, now), {each.id: each for each in mine}
    near = [(this + timedelta(days)).isoformat() for days in (0, 1)]  # by the clocks of others
    span = (date.min.isoformat(), near[1]) if shown == "today" else (near[0], FOREVER.isoformat())
    found = ROWS(person=person.id, first=span[0], last=span[1])
    every = [(row, due_at(*row[8:11])) for row in found if row[0] in access]
    sorting: list[tuple[Any, ...]] = []
    for row, due in every:
        day, at = due.shown(zone)
        if (day <= this) == (shown == "today"):
            over = due.overdue(zone, now)
            head = None if over else day if day <= this + timedelta(DAYS) else FOREVER
            sorting.append((not over, day, at or time.max, len(sorting), head, row))
    sorting.sort(key=lambda each: each[:4])
    begin = (number - 1) * SIZE
    part = [each[4:] + each[1:2] for each in sorting[begin : begin + SIZE]]
    shared = {row[0] for _, row, _ in part if access[row[0]].people > 1}
    names = users.names({n for _, row, _ in part if row[0] in shared for n in row[5:8] if n})
    groups: dict[date | None, list[Item]] = {}
    for head, row, day in part:
        drawn = todos.drawn(row[1:], names if row[0] in shared else {})
        groups.setdefault(head, []).append(Item(access[row[0]], drawn, day))
    _, turn = dates.turns([due for _, due in every if due.at], zone, now)
    digest = repr((mine, this, zone, sum(not each[0] for each in sorting)))
    more = begin + SIZE < len(sorting)
    return Agenda(here(person, mine), mine, groups, len(sorting), more, digest, turn)


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
