"""Todos: the verbs people use, each one unit of work and one change of the list."""

from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

from peewee import SQL, Case, fn

from models import database, lists, text, users
from models.clock import now
from models.database import Param, PreparedQuery, unit
from models.errors import Invalid, NotFound, Quota
from models.tables import CALLED, Change, List, Member, Person, Todo, User

TITLE_LIMIT, NOTES_LIMIT = 1000, 16000
SEVERAL_LIMIT = 1000  # todos added at once
TODOS_LIMIT = 10_000  # in a list
RESTORED = 20_000  # with those that come back from the trash, or from a file
FILTERS: dict[str, Callable[[Person, Any, int | None], bool]] = {
    "all": lambda person, completed, assigned: True,
    "active": lambda person, completed, assigned: not completed,
    "completed": lambda person, completed, assigned: bool(completed),
    "mine": lambda person, completed, assigned: assigned == person.id,
}

DATED = ("due", "due_time", "due_zone", "repeat_from", "repeat")  # null where they aren't set
NAMES = (
    *("id", "list", "created", "added_by"),
    *("title", "notes", "completed_at", "updated", "version", "completed_by"),
    *("position", "deleted_at", "assigned_to", *DATED),
)
WRITTEN = NAMES[4:]  # by a verb, to a todo that was there before
COLUMNS = [getattr(Todo, name) for name in NAMES]

Columns = dict[str, Any]  # a todo's columns by name
# Notes longer than this are left out (None), as those of a list may be large.
SHORT = Case(None, [(fn.LENGTH(Todo.notes) <= Param("notes"), Todo.notes)])
SOME: Any = Todo.select(*(SHORT if each is Todo.notes else each for each in COLUMNS))
SOME = SOME.where(Todo.list == Param("list"))
WRITTEN_AT = PreparedQuery(SOME.where(Todo.version == Param("version")))
# A page of 50 todos asks for ROWS: 64 us; 330 as a plain query (2026-11).
PRESENT = PreparedQuery(SOME.where(Todo.deleted_at.is_null()).order_by(Todo.position, Todo.id))
DONE, NOTED = Todo.completed_at.is_null(False), Todo.notes != ""
WHO = (Todo.added_by, Todo.completed_by, Todo.assigned_to)
ROW_COLUMNS = (Todo.id, Todo.title, DONE, NOTED, *WHO, *COLUMNS[-5:-2], Todo.repeat)
ROWS = PreparedQuery(PRESENT.query.select(*ROW_COLUMNS))
FIND = PreparedQuery(  # at each verb: 12 us; 900 as a plain query
    Todo.select(*lists.ACCESS_COLUMNS, *COLUMNS)
    .join(List)
    .join(Member)
    .where(Todo.id == Param("todo"), Member.user == Param("person"), List.deleted_at.is_null())
)
END = Todo.select(fn.COALESCE(fn.MAX(Todo.position), 0) + 1).where(Todo.list == Param("list"))
NEW = {name: Param(name) for name in NAMES[1:]} | {"position": fn.COALESCE(Param("position"), END)}
# For each of up to 20,000 new todos: 64 us; 620 as a plain query.
ADD = PreparedQuery(Todo.insert(NEW).returning(Todo.id, Todo.position))
# For each of the 10,000 todos that a verb may change at once: 15 us; 360 as a plain query.
CHANGED: Columns = {name: Param(name) for name in WRITTEN}
CHANGED["notes"] = fn.COALESCE(Param("notes"), Todo.notes)  # None leaves them as they are
REWRITE = PreparedQuery(Todo.update(CHANGED).where(Todo.id == Param("id")))
SLICE = 500  # todos that are given the same at once; their ids as parameters cost half of it all
IN_LIST: Any = Member.select(Member.user).join(User).where(Member.list == Param("list"))
ASSIGNEE = PreparedQuery(IN_LIST.where(User.username == Param("name")))
UNSET = ("completed_at", *DATED)  # what may be null, beside who it is assigned to
SAME = ("id", "list", "title", "notes", "created", "updated", "version", *UNSET)  # in change rows

WIDTH = len(lists.ACCESS_COLUMNS)


class Row(NamedTuple):
    """A todo as its list's page shows it; `who` added it, completed it, and should do it.

    These are names, or None; in a list that isn't shared, all are.
    """

    id: int
    title: str
    completed: bool
    noted: bool
    who: tuple[str | None, ...] = (None, None, None)
    due: tuple[str | None, ...] = (None, None, None)  # the day, the time, the zone
    repeat: str | None = None


class Rows(NamedTuple):
    """What a filter lets through of a list, in order, and the counts of the whole list."""

    rows: Sequence[Row]
    open: int
    completed: int

    def around(self, place: int) -> tuple[int | str | None, int | None]:
        """Return after which todo the one at `place` comes when it moves up, and when down.

        Empty is the top of the list, None that it can't move so.
        """
        ids = [row.id for row in self.rows]
        up = None if place == 0 else "" if place == 1 else ids[place - 2]
        return up, ids[place + 1] if place + 1 < len(ids) else None


def rows(person: Person, list_id: int, shown: str = "all") -> tuple[lists.ListAccess, Rows]:
    """Return the list and what it shows under one of FILTERS. Raises NotFound."""
    seen = lists.get_for(person, list_id)
    every = ROWS(list=list_id)
    completed = sum([row[2] for row in every])
    through = [row for row in every if FILTERS[shown](person, row[2], row[6])]
    ids = {number for row in through for number in row[4:7] if number and seen.people > 1}
    names = users.names(ids)
    made = [drawn(row, names) for row in through]
    return seen, Rows(made, len(every) - completed, completed)


def drawn(row: Sequence[Any], names: dict[int, str]) -> Row:
    """Return the Row of these ROW_COLUMNS, with the names of those that are to be told."""
    return Row._make((*row[:4], tuple(map(names.get, row[4:7])), row[7:10], row[10]))


@unit
def add(
    person: Person, list_id: int, *titles: str, field: str = "title", mine: bool = False
) -> list[int]:
    """Put todos at the end of the list, for `person` to do or anyone, as one change; return ids.

    Raises NotFound, Forbidden, Invalid for `field`.
    """
    seen = lists.get_for(person, list_id, "change")
    if len(titles) > SEVERAL_LIMIT:
        raise Invalid(field, "Too many todos at once: at most {limit}.", limit=SEVERAL_LIMIT)
    assigned = {"assigned": person.username if mine else None}
    made = insert(person, seen, [{"title": title} | assigned for title in titles], field=field)
    return [row["id"] for row in made]


def insert(
    person: Person,
    seen: lists.ListAccess,
    news: list[lists.Described],
    *,
    field: str = "title",
    most: int = TODOS_LIMIT,
) -> list[lists.Described]:
    """Put todos into the list as one change, and return them.

    Each has a `title`, and if wanted `created`, `completed_at` and others of FIELDS. Raises
    Invalid, also for more than `most` in the list.
    """
    if seen.total + len(news) > most:
        raise Quota(field, "Too many todos in one list: at most {limit}.", limit=most)
    rows = []
    for new in news:
        at = now()
        row = dict.fromkeys(NAMES) | {"list": seen.id, "version": seen.version + 1, "notes": ""}
        row |= {"created": new.get("created", at), "updated": at, "added_by": person.id}
        row["title"] = text.line(field, new["title"], TITLE_LIMIT)
        row |= changed(person, row, new | {"title": None, "completed_at": None})[0]
        row["completed_at"] = row["completed_at"] and new.get("completed_at", at)
        ((row["id"], row["position"]),) = ADD(**row)
        rows.append(row)
    made = described(rows)
    if made:
        opened = count_open(rows)
        lists.record_change(person, seen, "add", "todo", [], made, opened=opened, field=field)
    return made


@unit
def complete(person: Person, todo_id: int, completed: bool = True, due: str = "") -> int:
    """Tick the todo, or open it again; return its list's id. Raises NotFound, Forbidden.

    One that repeats, and isn't due on the day `due` any more, has been ticked for that day.
    """
    seen, todo = find(person, todo_id, "change")
    if not (due and todo["repeat"] and todo["due"] != due):
        edit(person, todo_id, completed=completed)
    return seen.id


@unit
def edit(person: Person, todo_id: int, **fields: Any) -> lists.Described:
    """Change those FIELDS of the todo that aren't None, as one change; return it.

    Raises NotFound, Forbidden, Invalid.
    """
    seen, todo = find(person, todo_id, "change")
    new, verbs = changed(person, todo, fields)
    if not new:
        return described([todo])[0]
    verbs = verbs - {"note"} or verbs  # which is told only when it is all
    verb = verbs.pop() if len(verbs) == 1 else "edit"
    return described([todo | new | rewrite(person, seen, verb, [(todo, new)])])[0]


def changed(person: Person, todo: Columns, fields: Columns) -> tuple[Columns, set[str]]:
    """Return the columns that FIELDS change, and their verbs; None leaves one. Raises Invalid."""
    new: Columns = {}
    verbs = set()
    for name, field in FIELDS.items():
        value = fields.get(name)
        if value is not None:
            columns = field.clean(person, todo, value)
            if any(todo[column] != columns[column] for column in columns):
                new |= columns
                verbs.add(field.verb if value or not field.unset else field.unset)
    return follow(person, todo, new), verbs


def follow(person: Person, todo: Columns, new: Columns) -> Columns:
    """Return the columns that a todo gets by RULES, if `new` are wanted; only what differs."""
    for rule in RULES:
        new = rule(person, todo, new)
    return {column: value for column, value in new.items() if todo[column] != value}


def ticked(person: Person, completed: bool) -> Columns:
    """Return the columns of a todo that `person` has completed or reopened now."""
    at, by = (now(), person.id) if completed else (None, None)
    return {"completed_at": at, "completed_by": by}


Clean = Callable[[Person, Columns, Any], Columns]


class Field(NamedTuple):
    """A field of a todo: what people and programs set, and undo sets back.

    `clean` takes who is acting, the todo's columns and a value, and returns the columns with which
    the todo has that value; or raises Invalid. `undo`, if it differs, does so with a value of
    before. `verb` is what history calls it, `unset` where the value is empty, if that differs.
    """

    verb: str
    clean: Clean
    unset: str = ""
    undo: Clean | None = None


def clean_completed(person: Person, todo: Columns, to: bool) -> Columns:
    return {} if to == bool(todo["completed_at"]) else ticked(person, to)


def undo_assigned(person: Person, todo: Columns, name: str | None) -> Columns:
    found = ASSIGNEE(list=todo["list"], name=users.fold(name or ""))
    return {"assigned_to": found[0][0] if found else None}  # None, if they have left


def clean_assigned(person: Person, todo: Columns, name: str) -> Columns:
    columns = undo_assigned(person, todo, name)
    if name and not columns["assigned_to"]:
        raise Invalid("assigned", "This person isn't a member of this list.")
    return columns


# What follows from the columns that `person` gives a todo: each returns these and others, or raises
# Invalid. Filled by extras.py.
RULES: list[Clean] = []
# By the name that forms, programs and change rows use. Extras add theirs in extras.py.
FIELDS = {
    "title": Field("rename", lambda who, todo, to: {"title": text.line("title", to, TITLE_LIMIT)}),
    "completed": Field("complete", clean_completed, unset="reopen"),
    "completed_at": Field("complete", lambda who, todo, at: {"completed_at": at}),  # for undo
    "order": Field("move", lambda who, todo, to: {"position": float(to)}),
    "assigned": Field("assign", clean_assigned, undo=undo_assigned),
    "notes": Field("note", lambda who, todo, to: {"notes": text.several("notes", to, NOTES_LIMIT)}),
}


@unit
def delete(person: Person, todo_id: int, notes: str | None = None) -> int:
    """Put the todo in the trash, with other notes unless None: that is a change before.

    Return the list's id. Raises NotFound, Forbidden, Invalid.
    """
    edit(person, todo_id, notes=notes)
    seen, todo = find(person, todo_id, "change")
    rewrite(person, seen, "delete", [(todo, {"deleted_at": now()})])
    return seen.id


@unit
def restore(person: Person, todo_id: int) -> int:
    """Bring the todo back from the trash, and return its list's id. Raises NotFound, Forbidden."""
    seen, todo = find(person, todo_id, "change", deleted=True)
    rewrite(person, seen, "restore", [(todo, {"deleted_at": None})])
    return seen.id


@unit
def move(person: Person, todo_id: int, after: int | None) -> int:
    """Put the todo after another of its list, or at the top; return the list's id.

    Raises NotFound, Forbidden, Invalid when the other isn't there.
    """
    seen, todo = find(person, todo_id, "change")
    order = present(seen.id, 0)
    others = [other for other in order if other["id"] != todo_id]
    places = {None: 0} | {other["id"]: place for place, other in enumerate(others, 1)}
    if after == todo_id:
        return seen.id
    if after not in places:
        raise Invalid("after", "The todo to move it after is no longer in this list.")
    place = places[after]
    new = [*others[:place], todo, *others[place:]]
    if order[place]["id"] == todo_id:
        return seen.id
    low = others[place - 1]["position"] if place else others[0]["position"] - 2
    high = others[place]["position"] if place < len(others) else low + 2
    if low < (low + high) / 2 < high:
        pairs = [(todo, {"position": (low + high) / 2})]
    else:  # no number is left in between: all get new ones
        pairs = [(old, {"position": float(number)}) for number, old in enumerate(new, 1)]
        pairs.sort(key=lambda pair: pair[0] is not todo)  # it comes first, as it is what was moved
    rewrite(person, seen, "move", pairs)
    return seen.id


@unit
def complete_all(person: Person, list_id: int, completed: bool, shown: str = "all") -> None:
    """Tick every todo that a filter shows, or open them again. Raises NotFound, Forbidden."""
    seen = lists.get_for(person, list_id, "change")
    new = ticked(person, completed)
    others = [t for t in filtered(person, list_id, shown) if bool(t["completed_at"]) != completed]
    pairs = [(t, follow(person, t, new)) for t in others]
    rewrite(person, seen, "complete" if completed else "reopen", pairs)


@unit
def clear_completed(person: Person, list_id: int, shown: str = "all") -> None:
    """Put every completed todo that a filter shows in the trash. Raises NotFound, Forbidden."""
    seen = lists.get_for(person, list_id, "change")
    new: Columns = {"deleted_at": now()}
    pairs = [(t, new) for t in filtered(person, list_id, shown) if t["completed_at"]]
    rewrite(person, seen, "clear", pairs)


def filtered(person: Person, list_id: int, shown: str) -> list[Columns]:
    """Return those of a list's todos that a filter shows. Raises Invalid when it is none."""
    if shown not in FILTERS:
        raise Invalid("shown", "There is no such filter.")
    every, passes = present(list_id, 0), FILTERS[shown]
    return [t for t in every if passes(person, t["completed_at"], t["assigned_to"])]


def unassign(person: Person, list_id: int, user: int) -> None:
    """Take from someone who leaves the list what they should do, as one change, if there is any."""
    seen = lists.get_for(person, list_id, "leave", lists.BY_ID_OR_TRASH)
    theirs = [todo for todo in present(list_id, 0) if todo["assigned_to"] == user]
    rewrite(person, seen, "assign", [(todo, {"assigned_to": None}) for todo in theirs])


def trash(
    person: Person, list_id: int, offset: int, limit: int
) -> tuple[lists.ListAccess, list[Any]]:
    """Return the list, and a part of what can be brought back, the last deleted first.

    Each has an id, a title, and by whom (username) and when (deleted_at) it was deleted. Raises
    NotFound.
    """
    seen = lists.get_for(person, list_id)
    query: Any = (
        Todo.select(Todo.id, Todo.title, CALLED.alias("username"), Todo.deleted_at)
        .join(Change, on=(Change.list == Todo.list) & (Change.version == Todo.version))
        .join(User)
        .where(Todo.list == list_id, Todo.deleted_at > lists.trash_begins())
        .order_by(Todo.version.desc(), Todo.position, Todo.id)
        .offset(offset)
        .limit(limit)
    )
    return seen, list(query.namedtuples())


def present(
    list_id: int, notes: int = NOTES_LIMIT, query: PreparedQuery = PRESENT, version: int = 0
) -> list[Columns]:
    """Return a list's todos outside the trash, in order; rights are not its matter.

    Or, by WRITTEN_AT, those last changed at `version`, in the trash or not. Longer `notes` are
    None: all together they may be large, and most verbs don't need them.
    """
    found = query(list=list_id, notes=notes, version=version)
    return [dict(zip(NAMES, row, strict=True)) for row in found]


def counts_at(list_id: int, versions: list[int]) -> dict[int, int]:
    """Return by version how many todos, in the trash or not, had their last change at it."""
    query: Any = Todo.select(Todo.version, fn.COUNT(Todo.id)).group_by(Todo.version)
    return dict(query.where(Todo.list == list_id, Todo.version.in_(versions)).tuples())


def find(
    person: Person, todo_id: int, action: str = "read", *, deleted: bool = False
) -> tuple[lists.ListAccess, Columns]:
    """Return a todo as `person` may use it, after its list; with `deleted`, one in the trash.

    For any action but to read, the list is locked. Raises NotFound when it isn't in a list of
    theirs, Forbidden when they may not do that.
    """
    if action != "read":
        database.lock(List, List.id == Todo.select(Todo.list).where(Todo.id == todo_id))
    for row in FIND(todo=todo_id, person=person.id):
        seen, todo = lists.ListAccess(*row[:WIDTH]), dict(zip(NAMES, row[WIDTH:], strict=True))
        if (todo["deleted_at"] or "") > lists.trash_begins() if deleted else not todo["deleted_at"]:
            return lists.require(seen, action), todo
    raise NotFound


def rewrite(
    person: Person, seen: lists.ListAccess, verb: str, pairs: list[tuple[Columns, Columns]]
) -> Columns:
    """Give todos other columns, as one change; return those that all get. No todos, no change."""
    stamp: Columns = {"updated": now(), "version": seen.version + 1}
    alike: dict[tuple[Any, ...], list[Columns]] = {}
    for old, new in pairs:
        alike.setdefault(tuple(new.items()), []).append(old)
    for items, olds in alike.items():
        new = dict(items) | stamp
        if len(olds) == 1:
            REWRITE(**(olds[0] | {"notes": None} | new))
        else:
            for at in range(0, len(olds), SLICE):
                ids = ", ".join(str(int(old["id"])) for old in olds[at : at + SLICE])
                Todo.update(new).where(Todo.id.in_(SQL(f"({ids})"))).execute()
    if pairs:
        rows, olds = [old | new | stamp for old, new in pairs], [old for old, _ in pairs]
        came, went = olds[0]["deleted_at"], rows[0]["deleted_at"]
        if came and seen.total + len(pairs) > RESTORED:
            raise Quota("title", "Too many todos in one list: at most {limit}.", limit=RESTORED)
        some = {column for _, new in pairs for column in new} | (set() if went else {"version"})
        before = [] if came else described(olds, some)
        after = [] if went else described(rows, NAMES if came else some)
        more = {"opened": count_open(rows) - count_open(olds), "at": stamp["updated"]}
        lists.record_change(person, seen, verb, "todo", before, after, **more)
    return stamp


def count_open(rows: list[Columns]) -> int:
    return sum(not (row["completed_at"] or row["deleted_at"]) for row in rows)


def described(rows: list[Columns], columns: Collection[str] = NAMES) -> list[lists.Described]:
    """Return todos, given their columns, as programs have them; or what change rows hold of them.

    That is what `columns` say, and the id and the title. What isn't set is None in change rows, and
    left out of whole todos.
    """
    names = users.names({row["assigned_to"] for row in rows if row["assigned_to"]})
    same = [name for name in SAME if name in ("id", "title", *columns)]
    empty = [name for name in UNSET if name in columns and columns is not NAMES]
    made = []
    for row in rows:
        todo = {name: row[name] for name in same if name in empty or row.get(name) is not None}
        if "completed_at" in columns:
            todo["completed"] = row["completed_at"] is not None
        if "position" in columns:
            order = row["position"]
            todo["order"] = order if order % 1 else int(order)
        if "assigned_to" in columns and (row["assigned_to"] or columns is not NAMES):
            todo["assigned"] = names.get(row["assigned_to"])
        made.append(todo)
    return made
