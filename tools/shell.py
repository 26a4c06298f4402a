"""A Python prompt with the models at hand, history and completion: `make shell`.

`python -m tools.shell [people.db]`. Verbs are committed when they return.
"""

import atexit
import code
import readline
import rlcompleter
import sys
from contextlib import suppress
from pathlib import Path

import app  # noqa: F401  for what extras add to the verbs
from models import (
    Change,
    List,
    Member,
    Todo,
    User,
    history,
    lists,
    members,
    open_database,
    todos,
    users,
)
from models.errors import StartupError

HISTORY = Path.home() / ".afazeres_history"
BANNER = """Tables: User, List, Member, Todo, Change. Verbs: lists, todos, members, users, history.
The database is db: db.execute_sql("SELECT 1").fetchall()
    ana = User.get(username="ana")
    [each.name for each in lists.mine(ana)]
    todos.add(ana, 1, "milk")                  shows at once in every open page
    users.sign_up("dora", None, "a good password", "Dora's list")
A table's own save() and create() check nothing, raise no version, and no page hears of them."""


def main() -> None:
    """Open the database, and prompt."""
    try:
        database = open_database(*sys.argv[1:2])
    except StartupError as error:
        sys.exit(f"shell: {error}")
    names = {each.__name__: each for each in (User, List, Member, Todo, Change)}
    names |= {"lists": lists, "todos": todos, "members": members, "users": users}
    names |= {"history": history, "db": database}
    readline.set_completer(rlcompleter.Completer(names).complete)
    readline.parse_and_bind("tab: complete")
    with suppress(OSError):
        readline.read_history_file(HISTORY)
    atexit.register(readline.write_history_file, HISTORY)
    code.interact(BANNER, local=names, exitmsg="")
    database.close()


if __name__ == "__main__":
    main()
