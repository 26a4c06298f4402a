"""The cast of the tests: visitors whose browser has no JavaScript, and what they find on a page."""

import re
from html import unescape
from html.parser import HTMLParser
from typing import Any, NamedTuple

import requests

from checks.support.servers import NUMBERS, Server

PASSWORD = "three quiet otters"


class Row(NamedTuple):
    """A todo as a visitor finds it on the page."""

    id: int
    title: str
    completed: bool


class Jar(requests.cookies.RequestsCookieJar):
    """The cookies of one instance, found by their names without its mark."""

    def full(self, name: str) -> str:
        """Return a cookie's name with the mark, or as it is if there is no such cookie."""
        return next((each for each in self.keys() if each.rpartition("-")[0] == name), name)

    def __contains__(self, name: object) -> bool:
        return super().__contains__(self.full(str(name)))

    def __getitem__(self, name: str) -> str:
        return str(super().__getitem__(self.full(name)))

    def set(self, name: str, value: Any, **kwargs: Any) -> Any:
        """Set a cookie, that of this name if there is one."""
        return super().set(self.full(name), value, **kwargs)


class Visitor:
    """Someone with a browser without JavaScript: keeps cookies, sends forms, follows nothing."""

    def __init__(self, server: Server, name: str) -> None:
        self.server = server
        self.name = f"{name}-{next(NUMBERS)}"
        self.http = requests.Session()
        self.http.cookies = Jar()
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


class Form(HTMLParser):
    """The form of a page that is sent to `action`: its `fields` as a browser would send them."""

    def __init__(self, page: str, action: str) -> None:
        super().__init__()
        self.action = action
        self.inside = False
        self.fields: dict[str, str] = {}
        self.name = ""  # of the textarea or the select that is open
        self.feed(page)
        self.fields.pop("_xsrf", None)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.inside = given.get("action") == self.action
        elif not self.inside:
            return
        elif tag == "input" and (given.get("type") != "checkbox" or "checked" in given):
            self.fields[given["name"]] = given.get("value", "")
        elif tag in ("textarea", "select"):
            self.name = given["name"]
            self.fields[self.name] = ""
        elif "selected" in given and "value" in given:
            self.fields[self.name] = given["value"]
        self.chosen = tag == "textarea" or ("selected" in given and "value" not in given)

    def handle_data(self, data: str) -> None:
        if self.inside and self.name and self.chosen:
            self.fields[self.name] = data.removeprefix("\n")

    def handle_endtag(self, tag: str) -> None:
        self.chosen = False
        if tag in ("textarea", "select"):
            self.name = ""


def bare(page: str) -> str:
    """Return a page without its token, which is masked again each time."""
    return re.sub(r'name="_xsrf" value="[^"]*"', "", page)


def alerts(page: str) -> list[str]:
    """Return what a page complains of."""
    return [unescape(a) for a in re.findall(r'role="alert"[^>]*>(.*?)<', page)]


def password_owner(page: str) -> str | None:
    """Return whose password a form asks for, as a password manager finds it; None if it can't."""
    forms = re.findall("<form.*?</form>", page, re.S)
    (form,) = (each for each in forms if 'type="password"' in each)
    fields = re.findall("<input [^>]*>", form.split('type="password"')[0])
    named = [field for field in fields if 'autocomplete="username"' in field]
    return unescape(named[-1].split('value="')[1].split('"')[0]) if named else None


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
