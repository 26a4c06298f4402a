"""Extras can be taken away: without one, or without all, the main job is done as before."""

import ast
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from checks.support.servers import ROOT, Server
from checks.support.sockets import Socket, aside, play
from checks.support.visitors import Visitor, join, version
from checks.test_architecture import EXTRAS, module_of

pytestmark = pytest.mark.sqlite
ALL = "all of them"
PROGRAM = ("app.py", "extras.py", "config.py", "server.py")
PACKAGES = ("controllers", "services", "models", "views")


def taken_along(name: str) -> set[str]:
    """Return the extra, and those that can't be without it."""
    gone = {name} if name != ALL else {*EXTRAS}
    while more := {each for each in EXTRAS if EXTRAS[each].needs.keys() & gone} - gone:
        gone |= more
    return gone


class Without(ast.NodeTransformer):
    """Takes modules out of a file: their imports, and each row or statement that names them."""

    def __init__(self, modules: set[str]) -> None:
        self.modules = modules
        self.gone: set[str] = set()  # names that it no longer has

    def names(self, node: ast.AST) -> bool:
        """Say whether a node mentions what is gone: `sso`, or `models.messages` in full."""
        return any(
            (isinstance(each, ast.Name) and each.id in self.gone)
            or (isinstance(each, ast.Attribute) and ast.unparse(each) in self.modules)
            for each in ast.walk(node)
        )

    def visit_Import(self, node: ast.Import) -> ast.Import | None:
        self.gone |= {a.asname for a in node.names if a.asname and a.name in self.modules}
        node.names = [a for a in node.names if a.name not in self.modules]
        return node if node.names else None

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.ImportFrom | None:
        def kept(alias: ast.alias) -> bool:
            return not {node.module, f"{node.module}.{alias.name}"} & self.modules

        self.gone |= {a.asname or a.name for a in node.names if not kept(a)}
        node.names = [a for a in node.names if kept(a)]
        return node if node.names else None

    def visit_List(self, node: ast.List) -> ast.AST:
        node.elts = [each for each in node.elts if not self.names(each)]
        return self.generic_visit(node)

    def visit_Dict(self, node: ast.Dict) -> ast.AST:
        rows = [row for row in zip(node.keys, node.values, strict=True) if not self.names(row[1])]
        node.keys, node.values = [key for key, _ in rows], [value for _, value in rows]
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        if self.names(node.annotation):
            node.annotation = ast.Name("object")
        return self.statement(node)

    def visit_Assign(self, node: ast.Assign) -> ast.AST | None:
        return self.statement(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST | None:
        return self.statement(node)

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        return self.statement(node)

    def statement(self, node: ast.stmt) -> ast.AST | None:
        """Take rows out of it; leave it out if it mentions what is gone all the same."""
        self.generic_visit(node)
        if not self.names(node):
            return node
        targets = getattr(node, "targets", [getattr(node, "target", None)])
        self.gone |= {each.id for each in targets if isinstance(each, ast.Name)}
        return None


@pytest.fixture
def tree(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of the program without an extra, its rows in tables, and what needs it."""
    copy, modules = tmp_path / "copy", set()
    copy.mkdir()
    for name in (*PROGRAM, *PACKAGES):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy)
    for extra in taken_along(request.param):
        for name in EXTRAS[extra].files:
            file, gone = ROOT / name, copy / name
            modules |= {module_of(each) for each in (file, *file.rglob("*.py"))}
            shutil.rmtree(gone) if gone.is_dir() else gone.unlink(missing_ok=True)
    for name in ("app.py", "extras.py"):
        text = (copy / name).read_text()
        (copy / name).write_text(ast.unparse(Without(modules).visit(ast.parse(text))))
    return copy


@pytest.fixture
def server(tree: Path, tmp_path: Path) -> Iterator[Server]:
    """That program, started."""
    server = Server(tmp_path / "people.db", root=tree)
    yield server
    server.release()


@pytest.mark.parametrize("tree", [*EXTRAS, ALL], indirect=True)
def test_the_main_job(server: Server) -> None:
    """Sign up, add, complete, share, see it live, leave and come back; no link leads nowhere."""
    ann, bob = Visitor(server, "ann"), Visitor(server, "bob")
    assert (ann.sign_up().status_code, bob.sign_up().status_code) == (303, 303)
    ann.add("milk", "https://example.org/ is a link")
    milk = ann.find("milk")
    assert ann.post(f"/todos/{milk}/complete").status_code == 303
    assert join(ann, bob) == 303

    async def scene() -> None:
        async with Socket(bob) as socket:
            assert (await socket.watch(ann.list))["type"] == "watching"
            await aside(ann.add, "bread")
            news = await socket.hear("changed")
            assert (news["list"], news["version"]) == (ann.list, version(ann))

    play(scene)
    list_page = f"/lists/{ann.list}"
    links = set()
    paths = ("", "/active", "/completed", "/mine", "/members", "/history", "/trash", "?edit=1")
    for path in ("/lists", *(list_page + end for end in paths)):
        page = ann.get(path)
        assert page.status_code == 200, path
        shown = re.sub(r"<template.*?</template>", "", page.text, flags=re.S)
        links |= {*re.findall(r'(?:href|action)="(/[^"?#]*)', shown)}
    for link in links:  # to what is there: it has other methods than this
        assert ann.http.options(server.url + link, timeout=9).status_code == 405, link
    assert bob.get(list_page).status_code == 200
    change = bob.get(f"{list_page}/history").text.split('name="change" value="')[1].split('"')[0]
    assert ann.post("/undo", change=change).status_code == 303
    assert ann.post("/logout").status_code == 303
    assert ann.get("/login").status_code == 200
    assert ann.log_in().status_code == 303
    assert [row.completed for row in ann.rows()] == [True, False]
    server.stop()


def test_rows_are_taken_out() -> None:
    """Whole rows, and what is left without them; nothing else."""
    before = """
import models.messages
from controllers import auth, sso
from services.jobs import HOUR, PeriodicJob
ROWS: list[sso.Handler] = [url("/login", auth.In), url("/sso", (sso.Start, 1))]
TASKS = [PeriodicJob("a", every=HOUR)]
TABLE = {"a": auth.In, "b": models.messages.say}
auth.SECTIONS[:] = [sso.section, auth.section]
LATER = sso.later(TABLE)
ROWS += [LATER, auth.Out]
"""
    after = """
from controllers import auth
ROWS: object = [url("/login", auth.In)]
TASKS = []
TABLE = {"a": auth.In}
auth.SECTIONS[:] = [auth.section]
ROWS += [auth.Out]
"""
    without = Without({"controllers.sso", "services.jobs", "models.messages"})
    assert ast.unparse(without.visit(ast.parse(before))) == ast.unparse(ast.parse(after))
