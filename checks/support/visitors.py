"""The cast of the tests: visitors whose browser has no JavaScript, and what they find on a page."""

import re
from html import unescape
from typing import Any, NamedTuple

import requests

from checks.support.servers import NUMBERS, Server

PASSWORD = "three quiet otters"


class Row(NamedTuple):
    """A todo as a visitor finds it on the page."""

    id: int
    title: str
    completed: bool


class Visitor:
    """Someone with a browser without JavaScript: keeps cookies, sends forms, follows nothing."""

    def __init__(self, server: Server, name: str) -> None:
        self.server = server
        self.name = f"{name}-{next(NUMBERS)}"
        self.http = requests.Session()
        self.http.trust_env = False

    def get(self, path: str, **kwargs: Any) -> requests.Response:
        """Open an address."""
        return self.http.get(self.server.url + path, allow_redirects=False, timeout=20, **kwargs)

    def post(self, path: str, **fields: Any) -> requests.Response:
        """Send a form, with its token."""
        if "_xsrf" not in self.http.cookies:
            self.get("/login")
        form = {"_xsrf": self.http.cookies["_xsrf"], **fields}
        return self.http.post(self.server.url + path, form, allow_redirects=False, timeout=20)

    def sign_up(self, **fields: str) -> requests.Response:
        """Make an account, and note the list that came with it."""
        form = {"username": self.name, "password": PASSWORD, **fields}
        answer = self.post("/signup", **form)
        if answer.status_code == 303:
            self.list = int(self.get("/").headers["Location"].rpartition("/")[2])
        return answer

    def log_in(self, **fields: str) -> requests.Response:
        """Come back."""
        return self.post("/login", **{"username": self.name, "password": PASSWORD, **fields})

    def add(self, *titles: str) -> None:
        """Add todos to one's list."""
        for title in titles:
            assert self.post(f"/lists/{self.list}", title=title).status_code == 303

    def rows(self, shown: str = "") -> list[Row]:
        """Read one's list."""
        return rows(self.get(f"/lists/{self.list}{shown}").text)

    def find(self, title: str) -> int:
        """Return the id of a todo on one's list."""
        return next(row.id for row in self.rows() if row.title == title)


def rows(page: str) -> list[Row]:
    """Return the todos on a page."""
    found = re.findall(r'<li id="todo-(\d+)".*?class="(.*?)".*?<label.*?>(.*?)</label>', page, re.S)
    return [Row(int(i), unescape(t), "completed" in c.split()) for i, c, t in found]


def bare(page: str) -> str:
    """Return a page without its token, which is masked again each time."""
    return re.sub(r'name="_xsrf" value="[^"]*"', "", page)


def alerts(page: str) -> list[str]:
    """Return what a page complains of."""
    return [unescape(a) for a in re.findall(r'role="alert"[^>]*>(.*?)<', page)]


def version(visitor: Visitor) -> int:
    """Return the version of a visitor's list."""
    page = visitor.get(f"/lists/{visitor.list}").text
    return int(page.split('data-version="')[1].split('"')[0])


def join(owner: Visitor, other: Visitor, role: str = "editor") -> int:
    """Share the owner's list with someone, who accepts; return the status of the owner's answer."""
    fields = {"username": other.name, "role": role}
    status = owner.post(f"/lists/{owner.list}/members", **fields).status_code
    other.post(f"/lists/{owner.list}/accept")  # nothing happens for a member, or who isn't invited
    return status


def at(visitor: Visitor, server: Any) -> Visitor:
    """Return the same person, in the same session, at another server."""
    same = Visitor(server, "")
    same.name = visitor.name
    same.http.cookies.update(visitor.http.cookies)
    same.http.headers["Origin"] = server.url
    if hasattr(visitor, "list"):
        same.list = visitor.list
    return same
