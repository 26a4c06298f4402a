"""Make people.db.sample: two people who share a list, through the app's own models.

`make sample` runs this. The file differs from one run to the next only in instants and in the salt
of the passwords.
"""

import sys
from contextlib import closing
from pathlib import Path

import extras  # noqa: F401  which adds the fields of dates
from checks.support.database import ask
from models import invitations, lists, members, messages, todos, users
from models.database import SqliteStore
from models.sqlite_file import SqliteFile
from models.tables import Member, Person

PASSWORD = "only for looking"
SHARED = [
    ("Water the plants", True),
    ("Comprar pão e café", False),
    ("Réserver le train pour Lyon", False),
    ("Call the landlord about the heating", True),
    ("اتصل بأمي", False),
    ("주말에 자전거 수리하기", False),
    ("להחזיר את הספרים לספרייה", False),
    ("Pagar a conta de luz", True),
]
OWN = {
    "ana": ("Coisas da Ana", [("Learn how Tornado works, in one evening", False)]),
    "bob": ("Bob's own", [("Fix the bicycle", False), ("Try `python app.py --help`", True)]),
}
DATES = {
    "Réserver le train pour Lyon": {"due": "2027-01-15", "due_time": "18:00"},
    "Fix the bicycle": {"due": "2027-01-09", "repeat": "FREQ=MONTHLY;BYDAY=2SA"},
}
TALK = [
    ("ana", "The train to Lyon is cheaper before Friday: https://example.org/trains"),
    ("bob", "I'll do it tonight."),
]


def furnish(path: Path) -> None:
    """Make the database at `path`, which must not exist."""
    with closing(SqliteStore(path, SqliteFile)) as store:
        store.open()
        ask(store.write, move_in).result()


def move_in() -> None:
    """Make all of it, in one unit of work."""
    people = {}
    for name, (list_name, things) in OWN.items():
        password = users.hash_password(PASSWORD)
        people[name] = users.sign_up(name, None, password, list_name)
        fill(people[name], lists.mine(people[name])[0].id, things)
    shared = lists.create(people["ana"], "Casa & jardim")
    members.put(people["ana"], shared, "bob", "editor")
    invitations.accept(people["bob"], shared)
    Member.update(position=0).where(Member.list == shared).execute()
    fill(people["ana"], shared, SHARED)
    for name, words in TALK:
        messages.say(people[name], shared, words)


def fill(person: Person, list_id: int, things: list[tuple[str, bool]]) -> None:
    """Add todos, and complete those that are done."""
    for title, done in things:
        (todo,) = todos.add(person, list_id, title)
        if title in DATES:
            todos.edit(person, todo, **DATES[title])
        if done:
            todos.complete(person, todo)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.unlink(missing_ok=True)
    furnish(target)
    for suffix in (".lock", "-wal", "-shm"):
        Path(f"{target}{suffix}").unlink(missing_ok=True)
