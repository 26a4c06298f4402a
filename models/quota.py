"""Quota: how many bytes of text one account may store.

Who writes a text is charged for it, wherever it is: so nobody fills the account of another, and
more lists are no more room. A todo is charged to who has last written its title or its notes, a
message to its author, and to who changes something what history keeps of it from before. A counter
has the sum, in the same transaction; what is deleted for good, 30 days later, is taken off again.
"""

from typing import Any

from peewee import BigIntegerField, ForeignKeyField, fn

from models import lists
from models.database import Param, PreparedQuery, db
from models.errors import Quota, StartupError
from models.tables import Change, Person, Table, Todo, User
from models.text import N_

MEGABYTE = 10**6
SMALL = 4000  # bytes of a change without new text, which one can always make
FULL = N_(
    "You have used {whole}.{tenth} of {limit} MB. "
    "What you delete makes room after 30 days in the trash."
)
FIELDS = {"todo": "title", "list": "name", "message": "text"}
limit = 100 * MEGABYTE


class Usage(Table):
    """How many bytes someone has stored."""

    user = ForeignKeyField(User, backref="+", unique=True)
    stored = BigIntegerField()


CHARGE = PreparedQuery(  # at each change: 15 us
    Usage.insert({"user": Param("user"), "stored": Param("more")})
    .on_conflict(conflict_target=[Usage.user], update={Usage.stored: Usage.stored + Param("more")})
    .returning(Usage.stored)
)
WRITER: Any = fn.COALESCE(Todo.written_by, Todo.added_by)
OF_TODO = (Todo.title, Todo.notes)
KEPT = fn.NULLIF(Change.before, "[]")  # of history
TEXTS: list[Any] = []  # columns of tables with `user`, for which that one is charged: see extras.py


def configure(config: Any) -> None:
    """Set the limit that the options have; see `extras.CHECKS`. Raises StartupError."""
    if config.quota < 1:
        raise StartupError(f"--quota must be 1 or more, not {config.quota}.")
    global limit
    limit = config.quota * MEGABYTE


def charge(
    person: Person,
    change: dict[str, Any],
    before: list[lists.Described],
    after: list[lists.Described],
    field: str,
) -> None:
    """Charge `person` for a change; see `lists.AFTER_CHANGE`. Raises Quota for `field`.

    Never for what only deletes or shortens, for who leaves, nor for a small change of no text.
    """
    kept = len(change["before"].encode()) if before else 0
    if change["verb"] in ("add", "say"):
        text = sum(map(size, after))
    elif change["kind"] == "todo":
        was = {row["id"]: row for row in before}
        text = sum(rewritten(person, was[row["id"]], row) for row in after if row["id"] in was)
    else:
        text = 0
    if not kept + text:
        return
    ((stored,),) = CHARGE(user=person.id, more=kept + text)
    large = len(change["before"]) + len(change["after"]) > SMALL and change["verb"] != "assign"
    if stored > limit and after and (text > 0 or (text == 0 and large)):
        notes = "notes" if "notes" in after[0] else ""
        raise full(field or notes or FIELDS.get(change["kind"], ""), stored - kept - text)


def full(field: str, stored: int) -> Quota:
    whole, tenth = divmod(10 * stored // MEGABYTE, 10)
    return Quota(field, FULL, whole=whole, tenth=tenth, limit=limit // MEGABYTE)


def check(person: Person, field: str) -> None:
    """Raise Quota for `field` when someone can't store any more."""
    stored = Usage.select(Usage.stored).where(Usage.user == person.id).scalar() or 0
    if stored >= limit:
        raise full(field, stored)


def size(row: lists.Described) -> int:
    return sum(len(row.get(name, "").encode()) for name in ("title", "notes", "text"))


def rewritten(person: Person, old: lists.Described, new: lists.Described) -> int:
    """Return how many bytes more `person` has in a todo, which is theirs now if its text is new."""
    if old["title"] == new["title"] and old.get("notes") == new.get("notes"):
        return 0
    this = Todo.id == old["id"]
    sizes = sum(octets(column) for column in OF_TODO)
    query: Any = Todo.select(WRITER, sizes).where(this)
    writer, total = query.tuples().get()
    more = size(new) - size(old)
    if writer == person.id:
        return more
    Todo.update(written_by=person.id).where(this).execute()
    take_off(writer, total - more)
    return int(total)


def octets(column: Any) -> Any:
    return fn.OCTET_LENGTH(column) if db.obj.for_update else fn.LENGTH(column.cast("BLOB"))


def take_off(user: int, less: int) -> None:
    Usage.update(stored=Usage.stored - less).where(Usage.user == user).execute()


def refund(table: Any, where: Any) -> None:
    """Take off what rows that go for good have cost; see `cleanup.BEFORE` and the like."""
    charged = {Todo: (WRITER, OF_TODO), Change: (Change.user, (KEPT,))}
    charged |= {column.model: (column.model.user, (column,)) for column in TEXTS}
    if table in charged:
        user, columns = charged[table]
        total = fn.SUM(sum(fn.COALESCE(octets(column), 0) for column in columns))
        rows: Any = table.select(user, total).where(where).group_by(user)
        for someone, less in rows.tuples():
            take_off(someone, less)
