"""The one table of rights, asked everywhere: pages, the API, and live updates."""

import re
from typing import Any, NamedTuple

import pytest

from checks.support.programs import Program
from checks.support.servers import Server
from checks.support.sockets import Socket, play
from checks.support.visitors import Visitor, join
from models.lists import REQUIRED_ROLE, ROLES

pytestmark = pytest.mark.engine


class Scene(NamedTuple):
    """A list, what is in it, and who tries."""

    list: int
    todo: int
    gone: int
    change: int
    renaming: int
    link: int
    cy: str


# Each action, by every address that does it: a method, a path, and fields; /api ones are JSON.
WAYS: dict[str, list[tuple[str, str, dict[str, Any]]]] = {
    "read": [
        ("GET", f"/lists/{{list}}{end}", {})
        for end in (
            "",
            "/active",
            "/completed",
            "/mine",
            "/messages",
            "/members",
            "/history",
            "/trash",
            ".txt",
            ".csv",
            ".json",
        )
    ]
    + [("GET", f"/live/poll?list={{list}}&version=0{end}", {}) for end in ("", "&x=1")]
    + [("GET", "/todos/{todo}", {}), ("GET", "/api/todos/{todo}", {})]
    + [
        ("GET", f"/api/lists/{{list}}{end}", {})
        for end in ("", "/todos", "/messages", "/members", "/changes")
    ],
    "change": [
        ("POST", "/lists/{list}", {"title": "x"}),
        ("POST", "/lists/{list}/toggle-all", {"completed": "true"}),
        ("POST", "/lists/{list}/clear-completed", {}),
        ("POST", "/todos/{todo}", {"title": "x"}),
        ("POST", "/todos/{todo}/complete", {}),
        ("POST", "/todos/{todo}/reopen", {}),
        ("POST", "/todos/{todo}/move", {"after": ""}),
        ("POST", "/undo", {"change": "{change}"}),
        ("POST", "/todos/{todo}/delete", {}),
        ("POST", "/todos/{gone}/restore", {}),
        ("POST", "/api/lists/{list}/todos", {"title": "x"}),
        ("PATCH", "/api/todos/{todo}", {"title": "y"}),
        ("DELETE", "/api/todos/{todo}", {}),
    ],
    "say": [
        ("POST", "/lists/{list}/messages", {"text": "x"}),
        ("POST", "/api/lists/{list}/messages", {"text": "x"}),
    ],
    "share": [
        ("POST", "/lists/{list}/members", {"username": "{cy}", "role": "viewer"}),
        ("POST", "/lists/{list}/members/{cy}/remove", {}),
        ("POST", "/lists/{list}/invites", {"link": "viewer"}),
        ("POST", "/lists/{list}/invites/{link}/revoke", {}),
        ("POST", "/api/lists/{list}/members", {"username": "{cy}", "role": "viewer"}),
        ("DELETE", "/api/lists/{list}/members/{cy}", {}),
    ],
    "rename": [
        ("POST", "/undo", {"change": "{renaming}"}),
        ("POST", "/lists/{list}/rename", {"name": "x"}),
        ("PATCH", "/api/lists/{list}", {"name": "y"}),
    ],
    "delete": [("POST", "/lists/{list}/delete", {}), ("DELETE", "/api/lists/{list}", {})],
    "leave": [("POST", "/lists/{list}/leave", {}), ("POST", "/api/lists/{list}/leave", {})],
}


def prepare(ann: Visitor, other: Visitor, cy: Visitor, role: str) -> Scene:
    """Make a list of Ann's that `other` has a role in, unless they are a stranger."""
    page = ann.post("/lists", name="Casa").headers["Location"]
    number = int(page.rpartition("/")[2])
    ann.list = number
    ann.add("bread", "milk")
    todo, gone = ann.find("milk"), ann.find("bread")
    ann.post(f"/todos/{gone}/delete")
    ann.post(f"/todos/{todo}", title="oat milk")
    change = changed(ann, page)
    ann.post(f"{page}/rename", name="Home")
    renaming = changed(ann, page)
    ann.post(f"{page}/messages", text="hello")
    join(ann, cy, "viewer")
    ann.post(f"{page}/invites", link="viewer")
    link = int(re.findall(r"/invites/(\d+)/revoke", ann.get(f"{page}/members").text)[0])
    if role != "stranger":
        assert join(ann, other, role) == 303
    return Scene(number, todo, gone, change, renaming, link, cy.name)


def changed(ann: Visitor, page: str) -> int:
    """Return the id of the last change that can be undone."""
    return int(re.findall(r'name="change" value="(\d+)"', ann.get(f"{page}/history").text)[0])


@pytest.fixture(scope="module")
def people(server: Server) -> list[Visitor]:
    """Ann, someone else, and Cy."""
    three = [Visitor(server, name) for name in ("ann", "other", "cy")]
    for visitor in three:
        visitor.sign_up()
    return three


@pytest.mark.parametrize("role", ["stranger", *ROLES])
@pytest.mark.parametrize("action", REQUIRED_ROLE)
def test_every_door_asks_the_table(people: list[Visitor], role: str, action: str) -> None:
    """A stranger gets 404 everywhere, who may not do it 403, all others what they asked for."""
    ann, other, cy = people
    program = Program(other.server, other.name)
    for method, path, fields in WAYS[action]:
        scene = prepare(ann, other, cy, role)
        path = path.format(**scene._asdict())
        fields = {name: value.format(**scene._asdict()) for name, value in fields.items()}
        if path.startswith("/api"):
            answer = program.ask(method, path.removeprefix("/api"), json=fields or None)
        elif method == "POST":
            answer = other.post(path, **fields)
        else:
            answer = other.get(path)
        if role == "stranger":
            assert answer.status_code == 404, path
        elif ROLES.index(role) < ROLES.index(REQUIRED_ROLE[action]):
            assert answer.status_code == 403, path
        else:
            assert answer.status_code < 400, (path, answer.text)


def test_the_live_door_asks_it_too(people: list[Visitor]) -> None:
    """Who may read may watch."""
    ann, other, cy = people

    async def scene() -> None:
        for role in ("stranger", *ROLES):
            made = prepare(ann, other, cy, role)
            async with Socket(other) as socket:
                answer = await socket.watch(made.list)
                assert answer["type"] == ("error" if role == "stranger" else "watching")

    play(scene)
