"""The commands in README.rst and docs/ work as they are written."""

import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from config import read

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.rst", ROOT / "CONTRIBUTING.rst", *sorted(ROOT.glob("docs/*.rst"))]
# What is copied to try the commands: all that `git clone` gives the app, and no environment.
APP = ("app.py", "extras.py", "config.py", "server.py")
PACKAGES = ("controllers", "models", "services", "views")


def commands(document: Path) -> Iterator[str]:
    """Give the commands that a document shows: in its blocks, and those within its sentences."""
    text = document.read_text()
    for block in re.findall(r"::\n\n((?:(?: {3,}.*)?\n)+)", text):
        for line in re.sub(r"\\\n\s*", "", block).splitlines():
            yield line.partition("  #")[0].strip()
    for said in re.findall(r"``([^`]+)``", text):
        yield " ".join(said.split())


EVERY = [(file.name, line) for file in DOCUMENTS for line in commands(file)]
PROGRAM = r"(?:\w+=\S+ )*(?:\.venv/bin/)?python "
PYTHON = sorted({line for _, line in EVERY if re.match(PROGRAM, line)})
MAKE = sorted({line for _, line in EVERY if re.match(r"make [\w.-]", line)})


def arguments(line: str) -> list[str]:
    """Return what follows `python` in a command."""
    return shlex.split(re.sub(PROGRAM, "", line))


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the app with the sample in place of its database, as the README says."""
    folder = tmp_path_factory.mktemp("afazeres")
    for name in (*APP, *PACKAGES):
        make = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        make(ROOT / name, folder / name)  # type: ignore[operator]
    shutil.copy(ROOT / "people.db.sample", folder / "people.db")
    return folder


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run python there, with no setting of ours."""
    environment = {n: v for n, v in os.environ.items() if not n.startswith("AFAZERES_")}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_commands_are_found() -> None:
    """In blocks and in sentences, with their continued lines."""
    assert "python app.py --port=8888" in PYTHON
    assert ".venv/bin/python app.py --reset_password=NAME" in PYTHON
    assert any("--database=/var/lib" in each and "--migrate_to=" in each for each in PYTHON)
    assert "make run PORT=8888" in MAKE and len(PYTHON) > 8


@pytest.mark.parametrize("line", MAKE)
def test_make_knows_the_target(line: str) -> None:
    """Whatever a document tells to make."""
    target = line.split()[1]
    assert re.search(rf"^{re.escape(target)}:", (ROOT / "Makefile").read_text(), re.M), target


@pytest.mark.parametrize("line", PYTHON)
def test_programs_are_there(line: str) -> None:
    """With options that exist: a file of ours, or a module that the requirements install."""
    first, *others = arguments(line)
    if first == "app.py":
        url = "postgresql://user:password@host/name"
        others = [each.replace("postgresql://...", url) for each in others if each != "..."]
        told = [each.replace("=...", f"={'x' * 32}") for each in others if each != "--help"]
        assert all(each.startswith("--") for each in told)
        read(["app.py", *told], {"AFAZERES_COOKIE_SECRET": "x" * 32})
    else:
        assert first == "-m"
        module, *paths = others
        known = module in ("pytest", "unittest")
        assert known or (ROOT / f"{module.replace('.', '/')}.py").is_file(), module
        if module == "pytest":
            files = [each for each in paths if not each.startswith("-")]
            assert all((ROOT / each).exists() for each in files), files


def test_setup_by_hand_names_its_files() -> None:
    """`pip install -r`, with what runs and tests it."""
    lines = {line for _, line in EVERY if line.startswith("pip install")}
    assert lines == {"pip install -r requirements.txt"}
    wanted = (ROOT / "requirements.txt").read_text()
    assert {"tornado", "peewee", "pytest", "requests"} <= set(re.findall(r"^\w+", wanted, re.M))


def test_help(copy: Path) -> None:
    """Lists the options, and starts nothing."""
    told = run(copy, "app.py", "--help")
    assert told.returncode == 0 and "--reset-password" in told.stdout + told.stderr


def test_a_reset_link(copy: Path) -> None:
    """Is printed for a user of the sample, as the README's command says."""
    (line,) = (each for each in PYTHON if "reset_password" in each)
    told = run(copy, *arguments(line.replace("NAME", "ana")))
    assert told.returncode == 0, told.stderr
    assert re.search(r"http\S+/reset/[\w-]{43}\b", told.stdout)


@pytest.mark.sqlite
def test_a_backup(copy: Path) -> None:
    """Is a database with the same lists."""
    line = next(each for each in PYTHON if "--backup=FILE" in each)
    told = run(copy, *arguments(line.replace("FILE", "copy.db")))
    assert told.returncode == 0, told.stderr
    lists = []
    for name in ("people.db", "copy.db"):
        with closing(sqlite3.connect(copy / name)) as connection:
            lists.append(connection.execute("SELECT id, name FROM list").fetchall())
    assert lists[0] == lists[1] and lists[0]


def test_it_serves_where_it_says(copy: Path) -> None:
    """`python app.py`, with another port as this one may be taken."""
    (line,) = (each for each in PYTHON if each == "python app.py --port=8888")
    command = [sys.executable, *arguments(line.replace("8888", "0"))]
    with subprocess.Popen(command, cwd=copy, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        said = process.stdout.readline()
        process.terminate()
        assert process.wait(15) == 0
    assert re.fullmatch(r"Afazeres is at http://127\.0\.0\.1:\d+/\n", said)
