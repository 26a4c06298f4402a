"""The models in a shell: what is done there is committed, and open pages show it at once."""

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from checks.support.servers import ROOT, Server, address
from checks.support.sockets import Socket, aside, play
from checks.support.visitors import Visitor

START = """
from models import List, Todo, User, history, lists, members, open_database, todos, users
db = open_database({place!r})
"""


def shell(server: Server, *lines: str, fails: bool = False) -> str:
    """Run lines in a Python of its own beside the server; return what they print."""
    source = START.format(place=address(server.database)) + "\n".join(lines)
    command = [sys.executable, "-W", "error", "-c", source]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert bool(ran.returncode) == fails, ran.stderr
    return ran.stderr if fails else ran.stdout.strip()


def test_a_verb_in_a_shell_shows_on_the_page(start: Callable[..., Server]) -> None:
    """A peewee row of the user is enough to act as them; every verb is a change of its own."""
    server = start()
    ann = Visitor(server, "ann")
    ann.sign_up()
    said = shell(
        server,
        f"ann = User.get(username={ann.name!r})",
        f"(milk, bread) = todos.add(ann, {ann.list}, 'milk', 'bread')",
        "todos.complete(ann, milk)",
        "todos.edit(ann, bread, title='rye bread', notes='two')",
        "print(Todo.select().where(Todo.completed_at.is_null()).count(), db.in_transaction())",
    )
    assert said == "1 False"
    assert [(row.title, row.completed) for row in ann.rows()] == [
        ("milk", True),
        ("rye bread", False),
    ]
    last = shell(server, "print(history.Change.select().order_by(history.Change.id.desc()).get())")
    assert ann.post("/undo", change=last).status_code == 303
    assert [row.title for row in ann.rows()] == ["milk", "bread"]
    server.stop()


def test_an_open_page_hears_of_it(start: Callable[..., Server]) -> None:
    """As of what another process commits: within a moment, by the socket."""
    server = start()
    ann = Visitor(server, "ann")
    ann.sign_up()

    async def scene() -> None:
        async with Socket(ann) as socket:
            version = (await socket.watch(ann.list))["version"]
            add = f"todos.add(User.get(username={ann.name!r}), {ann.list}, 'milk')"
            await aside(shell, server, add)
            heard = await socket.hear()
            assert (heard["type"], heard["version"]) == ("changed", version + 1)

    play(scene)
    server.stop()


def test_who_is_signed_up_in_a_shell_can_log_in(start: Callable[..., Server]) -> None:
    """With the name in its stored form; the rules for passwords hold here as well."""
    server = start()
    dora = Visitor(server, "dora")
    sign_up = "users.sign_up('Dora', None, {!r}, 'Things to do')"
    shell(server, sign_up.format("three quiet otters"))
    assert dora.log_in(username="dora").status_code == 303
    assert "easy to guess" in shell(server, sign_up.format("password"), fails=True)
    assert "taken" in shell(server, sign_up.format("three quiet otters"), fails=True)
    server.stop()


def test_what_fails_in_a_shell_leaves_nothing(start: Callable[..., Server]) -> None:
    """A verb is one transaction there, too; and rights are checked as ever."""
    server = start()
    ann, cy = Visitor(server, "ann"), Visitor(server, "cy")
    ann.sign_up()
    cy.sign_up()
    add = f"todos.add(User.get(username={ann.name!r}), {ann.list}, 'fine', 'x' * 1001)"
    assert "Invalid" in shell(server, add, fails=True)
    add = f"todos.add(User.get(username={cy.name!r}), {ann.list}, 'mine')"
    assert "NotFound" in shell(server, add, fails=True)
    assert ann.rows() == []
    server.stop()


def test_the_prompt(start: Callable[..., Server], tmp_path: Path) -> None:
    """`make shell` names what there is, completes names, and remembers what was typed."""
    pytest.importorskip("readline", reason="this Python has no readline")
    server = start()
    ann = Visitor(server, "ann")
    ann.sign_up()
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "tools.shell", address(server.database)]
    environment = os.environ | {"HOME": str(tmp_path), "TERM": "dumb"}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    seen = bytearray()

    def read_until(what: bytes) -> None:
        end = time.monotonic() + 20
        while what not in seen:
            assert time.monotonic() < end, bytes(seen)
            if select.select([ours], [], [], 1)[0]:
                seen.extend(os.read(ours, 4096))

    read_until(b">>> ")
    assert b"todos.add" in seen
    seen.clear()
    os.write(ours, f"todos.add(User.get(username={ann.name!r}), {ann.list}, 'milk')\n".encode())
    read_until(b">>> ")
    os.write(ours, b"lists.trash_beg\t\n")  # which Tab completes
    read_until(b"lists.trash_begins()")
    read_until(b"Z'\r\n>>> ")
    os.write(ours, b"\x04")
    assert process.wait(20) == 0
    os.close(ours)
    assert "todos.add" in (tmp_path / ".afazeres_history").read_text()
    assert [row.title for row in ann.rows()] == ["milk"]
    server.stop()
