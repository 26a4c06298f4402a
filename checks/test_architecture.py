"""What is core and what is an extra, who may import whom, what templates may do, and the sizes."""

import ast
import re
from collections.abc import Iterator
from dataclasses import fields
from graphlib import TopologicalSorter
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest

from checks.support.servers import ROOT
from config import Config

# What is learned first. It imports no extra.
CORE = (
    *("app", "config"),
    *("controllers", "controllers.base", "controllers.errors", "controllers.security"),
    *("controllers.auth", "controllers.lists", "controllers.list_page", "controllers.todos"),
    *("controllers.history", "controllers.live"),
    *("services", "services.app_base", "services.bridge", "services.hub"),
    *("services.lookup_cache", "services.render_cache", "services.active_requests"),
    "services.limits",
    *("models", "models.tables", "models.database", "models.users", "models.sessions"),
    *("models.lists", "models.members", "models.todos", "models.history", "models.text"),
    *("models.errors", "models.clock"),
)
# Opening and closing, and changes of the schema. The core gets them by tables.
OPERATIONS = (
    "server",
    "extras",
    "services.change_feed",
    "services.daemon_thread",
    "models.migrations",
    "models.sqlite_file",
)


class Extra(NamedTuple):
    """What can be deleted: its files or folders, its size, and what it can't be without."""

    files: tuple[str, ...]
    lines: int = 350
    needs: dict[str, str] = {}  # noqa: RUF012  # the name of another extra: the reason


# Every module is in one row: here, or in CORE or OPERATIONS. `test_extras.py` takes them away.
EXTRAS = {
    "account": Extra(
        files=(
            "controllers/account.py",
            "models/accounts.py",
            "models/account_closing.py",
            "views/templates/account",
        ),
        lines=370,  # what others add to its form, and to its page, are tables
        needs={"usernames": "the account page changes them"},
    ),
    "api": Extra(
        files=(
            "controllers/api",
            "models/api_resources.py",
            "models/api_tokens.py",
            "views/templates/api",
        ),
        lines=1180,  # a file per resource, and the description that programs are written from
        needs={
            "idempotency": "the header Idempotency-Key is a promise of the API",
            "account": "making a token takes a recent login, or the password",
            "live fallbacks": "changes are read as a stream or by long poll, too",
        },
    ),
    "api of invitations": Extra(
        files=("controllers/api/invitations.py",),
        needs={
            "api": "they are resources there",
            "invitations": "that is the resource",
        },
    ),
    "api of messages": Extra(
        files=("controllers/api/messages.py",),
        needs={
            "api": "it is a resource there",
            "messages": "that is the resource",
        },
    ),
    "api of repeats": Extra(
        files=("controllers/api/recurrence.py",),
        needs={
            "api": "they are what todos there have",
            "recurrence": "that is what it tells",
            "dates": "a repeat begins on one",
        },
    ),
    "backups": Extra(files=("services/backups.py",)),
    "dates": Extra(
        files=("models/dates.py", "models/due.py", "controllers/due.py", "views/templates/due"),
        lines=410,  # a day is another for each reader, and is said in each language
    ),
    "files": Extra(
        files=(
            "controllers/files.py",
            "models/files.py",
            "views/templates/files",
        ),
        lines=510,  # three formats, each out and in, and an archive of all of them
        needs={
            "messages": "an export has all that someone has written",
            "heavy requests": "both ways take memory and CPU",
        },
    ),
    "heavy requests": Extra(
        files=(
            "controllers/uploads.py",
            "services/heavy_requests.py",
        )
    ),
    "health": Extra(
        files=(
            "controllers/health.py",
            "services/metrics.py",
        )
    ),
    "invitations": Extra(
        files=(
            "controllers/invitations.py",
            "models/invitations.py",
            "views/templates/invitations",
        ),
        needs={"login limits": "invitations sent are limited as attempts to log in are"},
    ),
    "invites": Extra(
        files=(
            "controllers/invites.py",
            "models/invites.py",
            "views/templates/invites",
        ),
        needs={"invitations": "who came by a link, and left, isn't invited by who made it"},
    ),
    "jobs": Extra(
        files=(
            "services/jobs.py",
            "models/cleanup.py",
        )
    ),
    "login limits": Extra(
        files=(
            "controllers/login_attempts.py",
            "models/rate_limits.py",
            "services/login_limits.py",
            "views/templates/login_attempts",
        )
    ),
    "idempotency": Extra(files=("models/idempotency.py",)),
    "links": Extra(files=("controllers/links.py", "models/addresses.py")),
    "link titles": Extra(
        files=(
            "models/links.py",
            "services/link_titles.py",
        ),
        lines=490,  # half of it keeps strangers' pages from harming this server and its network
        needs={"links": "their addresses are what it looks for"},
    ),
    "live fallbacks": Extra(
        files=(
            "controllers/live_fallbacks.py",
            "services/subscriber.py",
        )
    ),
    "messages": Extra(
        files=(
            "controllers/messages.py",
            "models/messages.py",
            "views/templates/messages",
        ),
        needs={"links": "addresses in messages are links"},
    ),
    "password resets": Extra(
        files=(
            "controllers/password_resets.py",
            "models/password_resets.py",
            "views/templates/password_resets",
        ),
        needs={"account": "it is a change of the password"},
    ),
    "postgres": Extra(
        files=(
            "models/postgres.py",
            "models/sqlite_to_postgres.py",
            "services/postgres_lookup_cache.py",
        ),
        lines=430,  # another engine: its pool, what it locks, what it tries again
    ),
    "presence": Extra(
        files=(
            "models/presence.py",
            "services/presence.py",
        )
    ),
    "quota": Extra(files=("models/quota.py",)),
    "recurrence": Extra(
        files=(
            "controllers/recurrence.py",
            "views/templates/recurrence",
            "models/repeats.py",
            "models/repeat_words.py",
            "models/recurrence.py",
        ),
        lines=710,  # whatever RFC 5545 allows is checked, bounded, asked for, said and done
        needs={"dates": "a repeat begins on the day a todo is due"},
    ),
    "redis": Extra(files=("services/redis_pubsub.py",)),
    "sso": Extra(
        files=(
            "controllers/sso.py",
            "models/identities.py",
            "services/oidc.py",
            "views/templates/sso",
        ),
        lines=510,  # OpenID Connect leaves many ways to be lied to, each of which is refused
        needs={"account": "linking takes a recent login, as changing an account does"},
    ),
    "today": Extra(
        files=("controllers/today.py", "models/today.py", "views/templates/today"),
        needs={"dates": "they are its subject"},
    ),
    "usernames": Extra(files=("models/usernames.py",)),
    "todo page": Extra(
        files=("controllers/todo_page.py", "models/todo_page.py", "views/templates/todo_page"),
        needs={"links": "who may only read finds the title with its links"},
    ),
    "undo steps": Extra(
        files=("controllers/undo_steps.py", "models/undo_steps.py", "views/templates/undo_steps")
    ),
    # Without it files have Tornado's `?v=`, which modules that import each other don't pass on,
    # and none of our headers; a path with a NUL is a 500 then.
    "versioned static files": Extra(files=("controllers/static.py",)),
}
CORE_LINES, ALL_LINES, JAVASCRIPT_LINES = 4300, 13_400, 1300
SHARED_CONTROLLERS = tuple(
    f"controllers.{name}" for name in ("base", "errors", "security", "list_page", "auth", "lists")
)
# Which of our packages one may import, beside itself.
BELOW = {
    "app": ("server", "extras", "config", "controllers", "services", "models"),
    "extras": ("config", "controllers", "services", "models"),
    "server": ("config", "controllers", "services", "models"),
    "config": (),
    "controllers": ("config", "services", "models"),
    "services": ("config", "models"),
    "models": (),
}
# Private names of libraries that are used all the same, each with the reason beside it.
PRIVATE = 4
LIBRARIES = ("tornado", "peewee", "playhouse", "psycopg", "psycopg2", "redis", "uvloop")
OF_NAMED_TUPLES = {"_asdict", "_replace", "_fields", "_make"}  # public, in spite of their names
DEFINED = (ast.FunctionDef, ast.AsyncFunctionDef)
TEMPLATES = sorted((ROOT / "views/templates").rglob("*.html"))
# How a test gets at a database behind the server's back.
STORES = {
    *("SqliteStore", "PostgresStore", "store_for", "Database", "inside", "dump", "examine"),
    *("database_at", "sqlite3", "Cluster", "cluster"),
}


def module_of(file: Path) -> str:
    """Return the name by which a file is imported; a package is named without __init__."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def sources() -> Iterator[tuple[str, Path]]:
    """Give every module of the program and its file, without tests, tools and bench."""
    for pattern in ("*.py", "controllers/**/*.py", "services/**/*.py", "models/**/*.py"):
        for file in sorted(ROOT.glob(pattern)):
            if file.name != "tests.py":
                yield module_of(file), file


MODULES = dict(sources())


def part_of(module: str) -> str | None:
    """Return the part that a module belongs to: "core", "operations", or the name of an extra."""
    if module in CORE:
        return "core"
    if module.startswith(OPERATIONS):
        return "operations"
    path = MODULES[module].relative_to(ROOT)
    found = [  # of several, a file comes before its folder
        (len(file), name)
        for name, extra in EXTRAS.items()
        for file in extra.files
        if path.is_relative_to(file)
    ]
    return max(found)[1] if found else None


PARTS = {module: part_of(module) for module in MODULES}


def imports(file: Path) -> set[str]:
    """Return the modules that `file` imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else str(node.module) for name in whole}
    return found


def size(modules: Iterator[str]) -> int:
    """Return how many lines they have."""
    return sum(len(MODULES[module].read_text().splitlines()) for module in modules)


# The core and the extras


@pytest.mark.parametrize("module", MODULES)
def test_every_module_is_in_one_row(module: str) -> None:
    """So that who adds one decides what it is part of."""
    assert PARTS[module], f"{module} is in no row of CORE, OPERATIONS or EXTRAS"


@pytest.mark.parametrize("name", EXTRAS)
def test_an_extra_is_there(name: str) -> None:
    """Every file in its row is, and what it needs is another extra."""
    assert not [file for file in EXTRAS[name].files if not (ROOT / file).exists()]
    assert EXTRAS[name].needs.keys() <= EXTRAS.keys() - {name}


def test_what_is_in_the_core_is_there() -> None:
    """The other way round."""
    assert not {*CORE, *OPERATIONS} - MODULES.keys()


@pytest.mark.parametrize("module", sorted(MODULES.keys() - {"app", "extras"}))
def test_nobody_imports_an_extra(module: str) -> None:
    """But who fills the tables, the extra itself, and one that says why in its row."""
    part = PARTS[module] or "no part"
    may = {"core"} if part == "core" else {"core", "operations", part}
    if part in EXTRAS:
        may |= EXTRAS[part].needs.keys()
    for name in imports(MODULES[module]) & MODULES.keys():
        assert PARTS[name] in may, f"{module} ({part}) imports {name} ({PARTS[name]})"


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_one_way(module: str) -> None:
    """app to controllers to services to models; models know nothing of the web."""
    package = module.partition(".")[0]
    for name in imports(MODULES[module]):
        there = name.partition(".")[0]
        if there in BELOW and there != package:
            assert there in BELOW[package], f"{module} may not import {name}"
        if package == "models":
            assert there not in ("tornado", "asyncio"), f"{module} imports {name}"
        elif package != "server":
            assert there not in ("peewee", "playhouse"), f"{module} imports {name}"
        if PARTS[module] == PARTS[name if name in MODULES else module] == "core":
            among = package == there == "controllers" and name != "controllers"
            assert not among or name in SHARED_CONTROLLERS, f"{module} imports {name}"


def test_no_module_needs_itself() -> None:
    """The imports have an order, from the simplest to app."""
    graph = {module: imports(file) & MODULES.keys() for module, file in MODULES.items()}
    assert [*TopologicalSorter(graph).static_order()][-1] == "app"


# Sizes


def test_the_core_can_be_read_in_an_evening() -> None:
    """Size is a feature."""
    lines = size(module for module, part in PARTS.items() if part == "core")
    assert lines <= CORE_LINES


@pytest.mark.parametrize("name", EXTRAS)
def test_an_extra_is_small(name: str) -> None:
    """Or says in its row how large it is, and why."""
    assert size(module for module, part in PARTS.items() if part == name) <= EXTRAS[name].lines


def test_the_size_of_everything() -> None:
    """Without tests, tools and bench."""
    scripts = (ROOT / "views").rglob("*.js")
    javascript = sum(len(file.read_text().splitlines()) for file in scripts)
    assert size(iter(MODULES)) <= ALL_LINES and javascript <= JAVASCRIPT_LINES


# What a page and a library allow


def private_names() -> set[str]:
    """Return the names with a leading underscore that the libraries use."""
    found = set()
    for name in LIBRARIES:
        spec = find_spec(name)
        places = [*(spec.submodule_search_locations or [])] if spec else []
        files = [file for place in places for file in Path(place).rglob("*.py")]
        if spec and spec.origin and not places:
            files = [Path(spec.origin)]
        for file in files:
            found |= set(re.findall(r"\b(?:def |\.)(_[a-z]\w*)", file.read_text()))
    return found - OF_NAMED_TUPLES


def private_uses(file: Path, private: set[str]) -> Iterator[int]:
    """Give the lines on which a module uses or overrides what is private to a library."""
    tree = ast.parse(file.read_text())
    plain = {  # a class without a base has no private name but its own
        id(node)
        for each in ast.walk(tree)
        if isinstance(each, ast.ClassDef) and not each.bases
        for node in ast.walk(each)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in private:
            of = ast.unparse(node.value)
            own = of in ("self", "cls") and id(node) in plain
            if not own and of not in ("sys", "os"):
                yield node.lineno
        elif isinstance(node, DEFINED) and node.name in private and id(node) not in plain:
            yield node.lineno


def test_private_names_of_libraries() -> None:
    """They change without notice. The few that are used have a comment that says why."""
    private = private_names()
    assert {"_headers", "_meta"} <= private
    found = []
    for file in MODULES.values():
        lines = file.read_text().splitlines()
        for number in {*private_uses(file, private)}:
            place = f"{file.relative_to(ROOT)}:{number}"
            assert "#" in "".join(lines[number - 2 : number]), f"{place} doesn't say why"
            found.append(place)
    assert len(found) <= PRIVATE, found


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda t: t.name)
def test_templates_escape_everything(template: Path) -> None:
    """Raw are numbers and what templates drew; nothing is inline; attributes are quoted."""
    text = template.read_text()
    assert not re.search(r"\{%\s*(autoescape|import|from)\b", text)
    raw = set(re.findall(r"\{%\s*raw\b\s*(.*?)\s*%\}", text))
    drawn = {
        "trash.html": {"status"},
        "page.html": {"side", "rows", "news", "talking", "status", "talk"},
        "base.html": {"notices"},
        "index.html": {"section", "part"},
        "talk.html": {"html"},
        "aside.html": {"talk"},
        "editor.html": {"part"},
        "row.html": {"labels[id]", "chips[id]"},
        "side.html": {"badges[one.id]", "part"},
        "import.html": {"rows"},
        "members.html": {"part"},
        "todo.html": {"title", "part"},
    }
    assert raw <= {"id"} | drawn.get(template.name, set())
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=", text)
    assert not re.search(r"\s[\w-]+=\{\{", text), "an attribute without quotes"
    code = " ".join(re.findall(r"\{[{%](.*?)[%}]\}", re.sub(r"%\(\w+\)", "", text)))
    assert ".may(" not in code, "rights are decided before"
    called = set(re.findall(r"(?<![.\w])([A-Za-z_]+)\(", code))
    called -= {"Template"} if "module Template(" in code else set()
    assert called <= {"_", "static_url", "reverse_url", "xsrf_form_html", "moment", "has"}


def test_scripts_are_found_at_once() -> None:
    """The head names every module, so that none waits for another; and none needs itself."""
    scripts = {file.stem: file.read_text() for file in (ROOT / "views/statics/js").glob("*.js")}
    graph = {name: re.findall(r'from "\./(\w+)\.js"', text) for name, text in scripts.items()}
    assert [*TopologicalSorter(graph).static_order()][-1] == "main"
    assert {name for names in graph.values() for name in names} | {"main"} == scripts.keys()
    head = (ROOT / "views/templates/base.html").read_text()
    named = re.search(r"{% for name in (\(.+?\)) %}\n<link rel=\"modulepreload\"", head)
    assert named and sorted((*ast.literal_eval(named[1]), "main")) == sorted(scripts)


# The tests themselves


def top_level(file: Path) -> dict[str, tuple[ast.stmt, set[str]]]:
    """Return what a file defines: its node, and the names that it uses, arguments included."""
    found = {}
    for node in ast.parse(file.read_text()).body:
        names = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
        names |= {each.arg for each in ast.walk(node) if isinstance(each, ast.arg)}
        for name in [getattr(node, "name", ""), *map(ast.unparse, getattr(node, "targets", []))]:
            found[name] = (node, names)
    return found


@pytest.mark.parametrize("file", sorted(ROOT.glob("checks/test_*.py")), ids=lambda f: f.name)
def test_who_asks_a_database_says_on_which_engine(file: Path) -> None:
    """`engine`: on each; or `sqlite`, `postgresql`: about that one itself. See conftest.py."""
    tree = ast.parse(file.read_text())
    # The Cluster of bench/ is a calculation.
    imported = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
        if alias.name in STORES and "bench" not in ast.unparse(node)
    }
    defined = top_level(file)

    def reaches(name: str, before: frozenset[str] = frozenset()) -> bool:
        if name in imported:
            return True
        if name in before or name not in defined:
            return False
        return any(reaches(each, before | {name}) for each in defined[name][1])

    says = re.compile(r"mark\.(engine|sqlite|postgresql)\b")
    if "pytestmark" in defined and says.search(ast.unparse(defined["pytestmark"][0])):
        return
    for name, (node, _) in defined.items():
        if name.startswith("test_") and reaches(name):
            marks = " ".join(map(ast.unparse, getattr(node, "decorator_list", [])))
            assert says.search(marks), f"{file.name}: {name} asks a database, on which engine?"


@pytest.mark.parametrize("file", sorted(ROOT.glob("checks/**/*.py")), ids=lambda f: f.name)
def test_requirements_are_enough_to_begin(file: Path) -> None:
    """What only checks/requirements.txt has is imported where it is used: the rest runs without."""
    listed = (ROOT / "checks/requirements.txt").read_text()
    more = {*re.findall(r"^([a-z]+)>=", listed, re.M), "yaml"}
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = getattr(node, "module", "") or ""
            names = {module, *(alias.name for alias in node.names if not module)}
            assert not {name.partition(".")[0] for name in names} & more, ast.unparse(node)


# Documents


def test_every_option_is_documented() -> None:
    """With the same default and the same words in README.rst and in --help."""
    table = dict(re.findall(r"^``--(\w+)``\s+(.*)$", (ROOT / "README.rst").read_text(), re.M))
    assert table.keys() == {option.name for option in fields(Config)}
    for option in fields(Config):
        default, _, meaning = table[option.name].partition("  ")
        assert meaning.strip() == option.metadata["help"]
        told = str(option.default).lower() if option.default != "" else ""
        assert default.strip("`") == told or (default in ("(none)", "(generated)") and not told)


def test_the_floor_plan_is_true() -> None:
    """README.rst names every module, and none that is gone."""
    plan = (ROOT / "README.rst").read_text().split("How it is built")[1].split("Follow one")[0]
    named = set(re.findall(r"([a-z0-9_]+)\.py", plan))
    packages = {"controllers", "services", "models", "api", "migrations"}
    real = {module.rpartition(".")[2] for module in MODULES} - packages
    steps = {name for name in real if name[0].isdigit()}  # of the schema; the plan has their folder
    assert named - {"tests", "test_architecture"} == real - steps


def test_the_tour_leads_somewhere() -> None:
    """What docs/tour.rst points at is there."""
    named = re.findall(r"``([\w/]+\.py):([\w.]+)``", (ROOT / "docs/tour.rst").read_text())
    assert len(named) > 20
    for file, name in named:
        place: ast.AST = ast.parse((ROOT / file).read_text())
        for part in name.split("."):
            inside = [*ast.iter_child_nodes(place)]
            defined = {getattr(node, "name", ""): node for node in inside}
            targets = [node.target for node in inside if isinstance(node, ast.AnnAssign)]
            targets += [
                each for node in inside if isinstance(node, ast.Assign) for each in node.targets
            ]
            defined |= {target.id: target for target in targets if isinstance(target, ast.Name)}
            assert part in defined, f"{file} has no {name}"
            place = defined[part]
