"""Single sign-on: with a real provider the way in, with a lying one every way that isn't."""

import asyncio
import base64
import hashlib
import hmac
import json
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from html import unescape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import parse_qs, parse_qsl, urlencode, urljoin, urlsplit

import jwt
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from tornado.options import Error
from tornado.web import create_signed_value

from checks.support.database import ask
from checks.support.servers import ROOT, Server, inside, store_for
from checks.support.visitors import PASSWORD, Visitor, alerts
from config import Config, read
from models import identities, users
from models.database import SqliteStore
from models.errors import Conflict
from models.postgres import PostgresStore
from services.app_base import BaseApp
from services.oidc import HOUR, MINUTE, PendingLogin, Provider, SsoError, check

PACKAGE = Path(sys.prefix) / "node_modules/oidc-provider/lib/index.js"
SECRET = "more than a +/:%& will tell"
SIGNING = "a key for cookies that only this test has"
RSA, OTHER = (rsa.generate_private_key(65537, 2048) for _ in range(2))
SMALL = rsa.generate_private_key(65537, 1024)
EC, CURVE = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP384R1())


def options(issuer: str, client: str = "todo", name: str = "The <Club>") -> list[str]:
    """Return the options that name a provider."""
    secret = [f"--oidc_client_secret={SECRET}", f"--cookie_secret={SIGNING}"]
    return [f"--oidc_issuer={issuer}", f"--oidc_client_id={client}", f"--oidc_name={name}", *secret]


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    """Where a real provider is."""
    node = shutil.which("node")
    if not node or not PACKAGE.exists():
        pytest.skip("no oidc-provider: apt install nodejs npm, and make test fetches it")
    command = [node, str(ROOT / "checks/support/oidc_provider.mjs"), str(PACKAGE)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


@pytest.fixture(scope="module", params=["RS256", "ES256"])
def club(
    issuer: str, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Server]:
    """A server whose people come from there; each kind of signature has one."""
    folder = tmp_path_factory.mktemp("club")
    server = Server(folder / "people.db", *options(issuer, f"{request.param} client"))
    yield server
    try:
        server.stop()
    finally:
        server.release()


def begin(visitor: Visitor, path: str = "/login/sso") -> dict[str, str]:
    """Go to the provider; return what is asked of it."""
    answer = visitor.get(path)
    assert answer.status_code == 302, answer.text
    return dict(parse_qsl(urlsplit(answer.headers["Location"]).query))


def at_provider(visitor: Visitor, place: str, login: str, button: str = "") -> str:
    """Answer what the provider asks; return the path that it leads back to."""
    answer = visitor.http.get(place, allow_redirects=False, timeout=20)
    while True:
        if "Location" in answer.headers:
            place = urljoin(answer.url, answer.headers["Location"])
            if place.startswith(visitor.server.url):
                return place.removeprefix(visitor.server.url)
            answer = visitor.http.get(place, allow_redirects=False, timeout=20)
            continue
        assert answer.status_code == 200, answer.text
        link = button and re.search(rf'href="([^"]*/{button})"', answer.text)
        if link:
            answer = visitor.http.get(unescape(link[1]), allow_redirects=False, timeout=20)
            continue
        action = re.search(r'action="(.*?)"', answer.text)
        prompt = re.search(r'name="prompt" value="(.*?)"', answer.text)
        assert action and prompt
        form = {"prompt": prompt[1], "login": login, "password": "any"}
        answer = visitor.http.post(unescape(action[1]), form, allow_redirects=False, timeout=20)


def come(visitor: Visitor, login: str, path: str = "/login/sso") -> requests.Response:
    """Log in by the provider, all the way."""
    answer = visitor.get(path)
    assert answer.status_code == 302, answer.text
    return visitor.get(at_provider(visitor, answer.headers["Location"], login))


def whoami(visitor: Visitor) -> str:
    """Return the name on the account page, empty for nobody."""
    page = visitor.get("/account")
    found = re.search(r'<h1 dir="auto">(.*?)</h1>', page.text)
    return found[1] if page.status_code == 200 and found else ""


def linking(visitor: Visitor) -> str:
    """Return the link that links an account, as found on its page."""
    assert 'href="/login/sso"' in visitor.get("/account").text
    page = visitor.get("/login/sso")
    assert page.status_code == 200 and "Set-Cookie" not in page.headers
    found = re.search(r'href="(/login/sso\?meant=.*?)"', page.text)
    assert found
    return unescape(found[1])


def test_a_new_person_comes_in_and_comes_again(club: Server) -> None:
    """With a list, a name like theirs and where they wanted to go; the next time as themselves."""
    eva, again = Visitor(club, "eva"), Visitor(club, "eva")
    page = eva.get("/login?next=/lists%3Fa%3Db").text
    link = re.search(r'<a class="primary" href="(.*?)">Log in with The &lt;Club&gt;</a>', page)
    assert link and unescape(link[1]) == "/login/sso?next=%2Flists%3Fa%3Db"
    answer = come(eva, eva.name, unescape(link[1]))
    assert (answer.status_code, answer.headers["Location"]) == (303, "/lists?a=b")
    assert whoami(eva) == eva.name and eva.get("/").headers["Location"].startswith("/lists/")
    assert "sso" not in eva.http.cookies

    assert come(again, eva.name).headers["Location"] == "/"
    assert whoami(again) == eva.name
    assert again.get("/").headers["Location"] == eva.get("/").headers["Location"]
    assert eva.post("/login", username=eva.name, password="").status_code == 403


def test_nothing_stands_in_a_browsers_way(club: Server, browser: Any) -> None:
    """Not the policy of our pages, and not that the cookies come back from another site."""
    name = Visitor(club, "ida").name
    with browser.new_context(base_url=club.url) as context:
        page = context.new_page()
        page.goto("/lists")
        page.click("text=Log in with The <Club>")
        page.fill("[name=login]", name)
        page.fill("[name=password]", "any")
        page.click("button")
        page.click("button")
        page.wait_for_url(club.url + "/lists")
        page.goto("/account")
        assert page.inner_text("h1") == name
        page.click("text=Log in with The <Club>")
        page.click("text=Continue to The <Club>")
        page.wait_for_url(club.url + "/account?saved=1")
        assert page.inner_text("[role=status]") == "Saved."
        page.goto("/login")
        page.wait_for_url(club.url + "/lists/*")


def test_what_is_asked_of_the_provider(club: Server) -> None:
    """A code, for a secret of 256 bits that only this browser has, another each time."""
    visitor = Visitor(club, "asker")
    answer = visitor.get("/login/sso")
    cookie = answer.headers["Set-Cookie"]
    assert re.match(r"sso-\w{8}=[^;]{200,}; HttpOnly; Max-Age=600; Path=/; SameSite=Lax$", cookie)
    asked, other = begin(visitor), begin(visitor)
    assert asked["redirect_uri"] == club.url + "/oidc/callback"
    assert (asked["response_type"], asked["code_challenge_method"]) == ("code", "S256")
    assert asked["scope"] == "openid profile"
    for name in ("state", "nonce", "code_challenge"):
        assert len(asked[name]) == 43 and asked[name] != other[name]


def test_nobody_is_taken_for_someone_of_the_same_name(club: Server) -> None:
    """A password and an identity never meet by themselves."""
    ann, namesake = Visitor(club, "ann"), Visitor(club, "namesake")
    ann.sign_up(email=f"{ann.name}@example.org")
    come(namesake, ann.name)
    assert whoami(namesake) == f"{ann.name}2"


def test_an_account_is_linked_by_who_is_logged_in(club: Server) -> None:
    """From then on either way leads in; the identity is nobody else's any more."""
    ann, bob, elsewhere = (Visitor(club, name) for name in ("ann", "bob", "elsewhere"))
    ann.sign_up()
    answer = come(ann, f"x{ann.name}", linking(ann))
    assert (answer.status_code, answer.headers["Location"]) == (303, "/account?saved=1")
    come(elsewhere, f"x{ann.name}")
    assert whoami(elsewhere) == whoami(ann) == ann.name
    assert come(ann, f"x{ann.name}", linking(ann)).status_code == 303, "twice is as good"

    bob.sign_up()
    answer = come(bob, f"x{ann.name}", linking(bob))
    assert answer.status_code == 409
    assert alerts(answer.text) == ["Another account is already linked to this identity."]
    assert whoami(bob) == bob.name


def test_nobody_links_by_following_a_link_of_somebody_else(club: Server) -> None:
    """It begins on one's own page, and ends in the session that it began in."""
    ann, bob = Visitor(club, "ann"), Visitor(club, "bob")
    ann.sign_up()
    bob.sign_up()
    for path in ("/login/sso", "/login/sso?meant=", "/login/sso?meant=x", linking(bob)):
        answer = ann.get(path)
        assert answer.status_code == 200 and "sso" not in ann.http.cookies

    path = at_provider(ann, ann.get(linking(ann)).headers["Location"], f"y{ann.name}")
    ann.log_in()
    assert ann.get(path).status_code == 400, "another session of the same person"
    path = at_provider(ann, ann.get(linking(ann)).headers["Location"], f"y{ann.name}")
    ann.post("/logout")
    assert ann.get(path).status_code == 400 and whoami(ann) == ""
    path = at_provider(ann, ann.get("/login/sso").headers["Location"], f"y{ann.name}")
    ann.log_in()
    assert ann.get(path).status_code == 400, "begun by nobody"
    come(Visitor(club, "new"), f"y{ann.name}")
    assert whoami(ann) == ann.name


@pytest.mark.engine
def test_a_stolen_session_links_nothing(club: Server) -> None:
    """Minutes after the log-in it takes the password to link an account to an identity."""
    ann = Visitor(club, "ann")
    ann.sign_up()
    past = datetime.now(UTC) - timedelta(minutes=11)
    with inside(club.database) as run:
        ago = past.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        run("UPDATE session SET created = ?", ago)
    page = ann.get("/login/sso").text
    assert "meant=" not in page and 'name="current_password"' in page
    refused = ann.post("/login/sso", current_password="wrong")
    assert refused.status_code == 403 and "Wrong password" in alerts(refused.text)[0]
    assert "meant=" not in refused.text
    assert Visitor(club, "nobody").post("/login/sso", current_password="x").status_code == 403
    page = ann.post("/login/sso", current_password=PASSWORD).text
    found = re.search(r'href="(/login/sso\?meant=.*?)"', page)
    assert found and come(ann, f"z{ann.name}", unescape(found[1])).status_code == 303
    assert "Linked to" in ann.get("/account").text


def test_a_session_before_has_ended(club: Server) -> None:
    """Each log-in has a key of its own, and nobody can choose it."""
    eva = Visitor(club, "eva")
    come(eva, eva.name)
    first = eva.http.cookies["session"]
    eva.http.cookies.clear()
    come(eva, eva.name)
    assert eva.http.cookies["session"] != first


@pytest.mark.parametrize(
    "place", ["//evil.example", "https://evil.example", "/\\evil.example", "/%5cevil", "x", ""]
)
def test_nobody_is_led_elsewhere(club: Server, place: str) -> None:
    """Where to go in the end is a path of ours."""
    eva = Visitor(club, "eva")
    answer = come(eva, eva.name, "/login/sso?" + urlencode({"next": place}))
    assert answer.headers["Location"] == "/"


def test_who_says_no_there_is_told_so_here(club: Server) -> None:
    """It is no fault, and there is nothing of it in the log."""
    eva = Visitor(club, "eva")
    place = eva.get("/login/sso").headers["Location"]
    path = at_provider(eva, place, eva.name, "abort")
    assert "error=access_denied" in path
    answer = eva.get(path)
    assert answer.status_code == 400 and "The &lt;Club&gt; declined the login." in answer.text
    assert whoami(eva) == "" and "sso" not in eva.http.cookies


def test_a_code_and_a_state_are_good_once(club: Server) -> None:
    """Also for who kept the cookie."""
    club.expected.append("invalid_grant")
    eva = Visitor(club, "eva")
    path = at_provider(eva, eva.get("/login/sso").headers["Location"], eva.name)
    name = eva.http.cookies.full("sso")
    cookie = eva.http.cookies[name]
    assert eva.get(path).status_code == 303
    eva.get("/lists")
    eva.post("/logout")
    assert eva.get(path).status_code == 400
    eva.http.cookies.set(name, cookie)
    assert eva.get(path).status_code == 400 and whoami(eva) == ""


class Liar(ThreadingHTTPServer):
    """A provider that says what it was told to: `answers` by path, `claims`, signed or not."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.issuer = f"http://127.0.0.1:{self.server_port}"
        self.tell_truth()

    def handle_error(self, *_: Any) -> None:
        """Say nothing when someone hangs up: they have heard enough."""

    def tell_truth(self) -> None:
        """Be honest for a while."""
        self.asked: list[str] = []
        self.form: dict[str, list[str]] = {}
        self.headers: Any = {}
        self.claims: dict[str, Any] = {"preferred_username": "Zoë <b>Liar</b>"}
        self.sign = lambda claims: jwt.encode(claims, RSA, "RS256", {"kid": "rsa"})
        self.places: dict[str, Any] = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize?a=b",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
        }
        self.keys = [
            public("rsa", RSAAlgorithm, RSA),
            public("ec", ECAlgorithm, EC),
            public("small", RSAAlgorithm, SMALL),
            public("curve", ECAlgorithm, CURVE),
            public("to encrypt", RSAAlgorithm, OTHER, use="enc"),
            public("slow", RSAAlgorithm, OTHER, alg="PS512"),
            {**public("rsa", RSAAlgorithm, OTHER), "kid": ["rsa"]},
            {**public("rsa", RSAAlgorithm, OTHER), "kid": "odd", "alg": ["RS256"]},
            *({"kid": "oct", "kty": "oct", "k": "AAAA"}, {"kid": "oct", "kty": "oct"}),
            *({"kid": "x", "kty": "RSA"}, {"kty": []}, {"kty": "RSA", "n": 1, "e": [], "kid": {}}),
            *({"kid": "y", "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}, 1, None, [], "x"),
        ]
        self.answers: dict[str, Callable[[], Any]] = {
            "/.well-known/openid-configuration": lambda: self.places,
            "/keys": lambda: {"keys": self.keys},
            "/token": lambda: {"id_token": self.sign(self.claims), "access_token": "t"},
        }


def public(kid: str, algorithm: Any, key: Any, **more: str) -> dict[str, Any]:
    """Return the public half of a key as JSON Web Key."""
    return {**algorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid, **more}


class Answering(BaseHTTPRequestHandler):
    """Its one page."""

    server: Liar

    def do_GET(self) -> None:
        """Answer what is told: JSON, bytes, or a status with headers."""
        self.server.asked.append(self.path)
        if self.command == "POST":
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self.server.form, self.server.headers = parse_qs(body), self.headers
        said = self.server.answers.get(self.path, lambda: (404, {}))()
        status, headers = said if isinstance(said, tuple) else (200, {})
        body = said if isinstance(said, bytes) else json.dumps(said).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def shared_liar() -> Iterator[Liar]:
    """One for all tests."""
    with Liar() as liar:
        thread = threading.Thread(target=liar.serve_forever, args=(0.05,))
        thread.start()
        yield liar
        liar.shutdown()
        thread.join()


@pytest.fixture
def liar(shared_liar: Liar) -> Liar:
    """It begins honestly."""
    shared_liar.tell_truth()
    return shared_liar


@pytest.fixture(scope="module")
def shared_den(shared_liar: Liar, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that trusts it, and remembers what it said."""
    folder = tmp_path_factory.mktemp("den")
    server = Server(folder / "people.db", *options(shared_liar.issuer))
    server.expected.append("single sign-on: ")
    yield server
    try:
        server.stop()
    finally:
        server.release()


@pytest.fixture
def den(liar: Liar, shared_den: Server) -> Server:
    """The same, with a provider that is honest to begin with."""
    return shared_den


def back(liar: Liar, visitor: Visitor, next: str = "", **changed: Any) -> requests.Response:
    """Go there, and come back with a token that says what is so, but for what is `changed`."""
    asked = begin(visitor, "/login/sso?" + urlencode({"next": next}))
    now = int(time.time())
    times = {"iat": now, "exp": now + 60}
    who = {"iss": liar.issuer, "aud": "todo", "sub": visitor.name, "nonce": asked["nonce"]}
    liar.claims = {**liar.claims, **times, **who, **changed}
    liar.claims = {name: value for name, value in liar.claims.items() if value is not None}
    answer = visitor.get("/oidc/callback?" + urlencode({"code": "c", "state": asked["state"]}))
    verified_hash = hashlib.sha256(liar.form.get("code_verifier", [""])[0].encode()).digest()
    if liar.form:
        challenge = base64.urlsafe_b64encode(verified_hash).decode().rstrip("=")
        assert challenge == asked["code_challenge"] and liar.form["code"] == ["c"]
    return answer


def start_session(answer: requests.Response, visitor: Visitor) -> bool:
    """Say whether someone is in; else they were refused and have no session, and no cookie."""
    if answer.status_code == 303:
        return whoami(visitor) != ""
    assert "session" not in visitor.http.cookies and "sso" not in visitor.http.cookies
    assert "<b>" not in answer.text and "evil" not in answer.text
    return False


def test_what_is_true_is_believed(den: Server, liar: Liar) -> None:
    """So that all below is refused for what is wrong with it; nothing becomes markup."""
    zoe = Visitor(den, "zoe")
    assert start_session(back(liar, zoe), zoe)
    assert re.fullmatch(r"zoe\.b\.liar\.b\d*", whoami(zoe))
    basic = base64.b64decode(liar.headers["Authorization"].removeprefix("Basic ")).decode()
    assert basic == "todo:more+than+a+%2B%2F%3A%25%26+will+tell"
    for changed in ({"aud": ["todo"]}, {"aud": ["todo", "x"], "azp": "todo"}):
        zoe = Visitor(den, "zoe")
        assert start_session(back(liar, zoe, **changed), zoe)
    liar.sign = lambda claims: jwt.encode(claims, EC, "ES256", {"kid": "ec"})
    zoe = Visitor(den, "zoe")
    now = int(time.time())
    assert start_session(back(liar, zoe, exp=now - 30, iat=now + 30), zoe), "clocks differ"


LIES: dict[str, dict[str, Any]] = {
    "no nonce": {"nonce": None},
    "wrong nonce": {"nonce": "x"},
    "a nonce that is no text": {"nonce": ["x"]},
    "wrong issuer": {"iss": "https://evil.example"},
    "no issuer": {"iss": None},
    "issuer with a slash": {"iss": "slash"},
    "wrong audience": {"aud": "x"},
    "no audience": {"aud": None},
    "no one's audience": {"aud": []},
    "an audience that is none": {"aud": {"todo": 1}},
    "several audiences and nobody named": {"aud": ["todo", "x"]},
    "several audiences and another named": {"aud": ["todo", "x"], "azp": "x"},
    "another named": {"azp": "x"},
    "expired": {"exp": 1},
    "expired just now": {"exp": "late"},
    "never expires": {"exp": None},
    "expires some day": {"exp": "some day"},
    "expires at no time": {"exp": float("nan")},
    "expires at no other time": {"exp": float("inf")},
    "without time": {"iat": None},
    "from the future": {"iat": 2**40},
    "not yet": {"nbf": 2**40},
    "nobody": {"sub": None},
    "nobody at all": {"sub": ""},
    "someone who is no text": {"sub": 7},
    "someone too long": {"sub": "x" * 256},
    "someone unspeakable": {"sub": "\ud800"},
    "someone with a line end": {"sub": "a\nb"},
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_refused(den: Server, liar: Liar, lie: str) -> None:
    """However well it is signed."""
    changed = dict(LIES[lie])
    if changed.get("iss") == "slash":
        changed["iss"] = liar.issuer + "/"
    if changed.get("exp") == "late":
        changed["exp"] = int(time.time()) - 61
    mallory = Visitor(den, "mallory")
    answer = back(liar, mallory, **changed)
    assert answer.status_code == 400 and not start_session(answer, mallory)
    assert alerts(answer.text) == [
        "The response from The <Club> can't be trusted, so the login was refused."
    ]


def by_hand(header: dict[str, Any], claims: Any, key: bytes = b"") -> str:
    """Return a token that no library would make."""
    parts = [json.dumps(part).encode() for part in (header, claims)]
    signing = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    signature = hmac.digest(key, signing, "sha256") if key else b""
    return (signing + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


FORGERIES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "signed by nobody": lambda c: by_hand({"alg": "none", "kid": "rsa"}, c),
    "signed by Nobody": lambda c: by_hand({"alg": "None", "kid": "rsa"}, c),
    "without algorithm": lambda c: by_hand({"kid": "rsa"}, c),
    "with a strange algorithm": lambda c: by_hand({"kid": "rsa", "alg": ["RS256"]}, c),
    "with our secret": lambda c: jwt.encode(c, SECRET * 2, "HS256", {"kid": "rsa"}),
    "with the public key as a secret": lambda c: by_hand(
        {"alg": "HS256", "kid": "rsa"}, c, RSAAlgorithm.to_jwk(RSA.public_key()).encode()
    ),
    "with the set's secret": lambda c: by_hand({"alg": "HS256", "kid": "oct"}, c, b"\0\0\0"),
    "by someone else": lambda c: jwt.encode(c, OTHER, "RS256", {"kid": "rsa"}),
    "by an unknown key": lambda c: jwt.encode(c, OTHER, "RS256", {"kid": "evil"}),
    "by one of several": lambda c: jwt.encode(c, RSA, "RS256"),
    "by a key for other things": lambda c: jwt.encode(c, OTHER, "RS256", {"kid": "to encrypt"}),
    "by a key of another algorithm": lambda c: jwt.encode(c, OTHER, "RS256", {"kid": "slow"}),
    "by a key that it brings": lambda c: jwt.encode(
        c, OTHER, "RS256", {"jwk": public("rsa", RSAAlgorithm, OTHER), "kid": "rsa"}
    ),
    "with RS512": lambda c: jwt.encode(c, RSA, "RS512", {"kid": "rsa"}),
    "with PS256": lambda c: jwt.encode(c, RSA, "PS256", {"kid": "rsa"}),
    "with ES256 for RS256": lambda c: jwt.encode(c, EC, "ES256", {"kid": "rsa"}),
    "on another curve": lambda c: jwt.encode(c, CURVE, "ES384", {"kid": "curve"}),
    "in a strange way": lambda c: by_hand({"alg": "RS256", "kid": "rsa", "crit": ["x"]}, c),
    "with a key that is no name": lambda c: by_hand({"alg": "RS256", "kid": ["rsa"]}, c),
    "cut": lambda c: jwt.encode(c, RSA, "RS256", {"kid": "rsa"})[:-9],
    "changed": lambda c: jwt.encode(c, RSA, "RS256", {"kid": "rsa"}).replace(".ey", ".ez", 1),
    "of no claims": lambda c: jwt.api_jws.encode(b"[]", RSA, "RS256", {"kid": "rsa"}),
    "of deep claims": lambda c: jwt.api_jws.encode(b"[" * 99999, RSA, "RS256", {"kid": "rsa"}),
    "with a deep header": lambda c: base64.b64encode(b"[" * 99999).decode() + ".e30.e30",
    "empty": lambda c: "",
    "three dots": lambda c: "...",
    "no text": lambda c: 7,
    "unspeakable": lambda c: "\ud800.\0.x",
    "missing": lambda c: None,
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forgery_is_refused(den: Server, liar: Liar, forgery: str) -> None:
    """However true it is."""
    mallory = Visitor(den, "mallory")
    liar.sign = FORGERIES[forgery]
    answer = back(liar, mallory)
    assert answer.status_code == 400 and not start_session(answer, mallory)


def test_a_small_key_is_refused(den: Server, liar: Liar) -> None:
    """One of 1024 bits, which can be broken."""
    mallory = Visitor(den, "mallory")

    def sign(claims: dict[str, Any]) -> str:
        with pytest.warns(jwt.InsecureKeyLengthWarning):
            return jwt.encode(claims, SMALL, "RS256", {"kid": "small"})

    liar.sign = sign
    answer = back(liar, mallory)
    assert answer.status_code == 400 and not start_session(answer, mallory)


def test_a_way_back_that_did_not_begin_here(den: Server, liar: Liar) -> None:
    """No state, an empty one, another's, one that is too old: nothing is asked of the provider."""
    eva, other = Visitor(den, "eva"), Visitor(den, "other")
    theirs = begin(other)["state"]
    lost = "This login wasn't started in this browser, or has expired. Please start again."
    for query in ("", "?code=c", "?code=c&state=", "?state=x&error=x", f"?code=c&state={theirs}"):
        for start in (False, True):
            if start:
                begin(eva)
            answer = eva.get("/oidc/callback" + query)
            assert answer.status_code == 400 and alerts(answer.text) == [lost]
            assert not start_session(answer, eva)
    state = begin(eva)["state"]
    answer = eva.get(f"/oidc/callback?code=c&state={state}&state={state}")
    assert answer.status_code == 400 and alerts(answer.text) == [lost]
    assert eva.get(f"/oidc/callback?code=c&state={state}").status_code == 400, "its cookie is gone"
    assert eva.get("/oidc/callback?code=c&state=%ff").status_code == 400

    begun = json.dumps(PendingLogin("s", "n", "v", "", "/"))
    begin(eva)
    name = eva.http.cookies.full("sso")
    values = {
        create_signed_value("another key for cookies of 32 letters", name, begun): 0,
        create_signed_value(SIGNING, name.replace("sso", "session"), begun): 0,
        create_signed_value(SIGNING, name, begun, clock=lambda: time.time() - 601): 0,
        create_signed_value(SIGNING, name, begun, clock=lambda: time.time() - 590): 1,
    }
    for value, fresh in values.items():
        eva.http.cookies.clear()
        eva.http.cookies.set(name, value.decode())
        liar.asked.clear()
        answer = eva.get("/oidc/callback?code=c&state=s")
        assert answer.status_code == 400 and (alerts(answer.text) == [lost]) != fresh
        assert ("/token" in liar.asked) == fresh
    liar.asked.clear()
    assert other.get("/oidc/callback?code=&state=" + begin(other)["state"]).status_code == 400
    assert "/token" not in liar.asked


def test_what_the_provider_says_in_the_address(den: Server, liar: Liar) -> None:
    """Is not shown, and another issuer there is another's answer (RFC 9207)."""
    eva = Visitor(den, "eva")
    words = {"error": "<b>evil", "error_description": "<b>evil", "error_uri": "javascript:evil"}
    state = begin(eva)["state"]
    answer = eva.get("/oidc/callback?" + urlencode({"state": state, "code": "c", **words}))
    assert answer.status_code == 400 and not start_session(answer, eva)
    state = begin(eva)["state"]
    query = urlencode({"state": state, "code": "c", "iss": "https://evil.example"})
    answer = eva.get("/oidc/callback?" + query)
    assert answer.status_code == 400 and not start_session(answer, eva)
    assert "/token" not in liar.asked


NONSENSE: dict[str, Any] = {
    "no JSON": b"<b>evil</b>",
    "nothing": b"",
    "a list": [],
    "no text": b'"\xff',
    "too deep": b"[" * 100_000,
    "a great number": b"9" * 10_000,
    "too much": {"x": "x" * 1024 * 1024},
    "a fault": (500, {}),
    "not found": (404, {}),
    "elsewhere": (302, {"Location": "/.well-known/openid-configuration"}),
    "a long header": (200, {"A": "x" * 100_000}),
    "packed": (200, {"Content-Encoding": "gzip"}),
}
TELLING = "The <Club> isn't responding. Try again in a moment, or log in with a password."


@pytest.mark.parametrize("said", NONSENSE)
def test_nonsense_is_said_to_be_the_providers(den: Server, liar: Liar, said: str) -> None:
    """Of who it is, of its keys, of who someone is: 503, and passwords are as good as ever."""
    ann, eva = Visitor(den, "ann"), Visitor(den, "eva")
    assert ann.sign_up().status_code == 303
    liar.answers["/token"] = lambda: NONSENSE[said]
    answer = back(liar, eva)
    assert answer.status_code == 503 and alerts(answer.text) == [TELLING]
    assert not start_session(answer, eva) and "Retry-After" in answer.headers
    liar.answers["/token"] = lambda: (400, {})
    answer = back(liar, eva)
    assert answer.status_code == 400 and not start_session(answer, eva)
    for place in ("/keys", "/.well-known/openid-configuration"):
        liar.answers[place] = lambda: NONSENSE[said]
        with pytest.raises(SsoError) as refused:
            alone(liar, lambda provider: provider.key("rsa"))
        assert refused.value.status_code == 503
    assert ann.log_in().status_code == 303


DISCOVERIES: list[dict[str, Any]] = [
    {"issuer": "https://evil.example"},
    {"issuer": None},
    *({"token_endpoint": place} for place in ("", None, 7, "/token", "ftp://x/", "http://")),
    *({"jwks_uri": place} for place in ("file:///etc/passwd", "http://x/ y", "http://x/\r\nA: b")),
    *({"authorization_endpoint": f"{s}evil"} for s in ("javascript:", "data:", "//", "http://x#")),
]


@pytest.mark.parametrize("wrong", DISCOVERIES, ids=str)
def test_a_provider_of_another_name_or_place(liar: Liar, wrong: dict[str, Any]) -> None:
    """Is not asked, and nobody is led there; it isn't remembered either."""
    liar.places |= wrong

    async def twice(provider: Provider) -> dict[str, Any]:
        with pytest.raises(SsoError) as refused:
            await provider.metadata()
        assert refused.value.status_code == 503
        liar.tell_truth()
        return await provider.metadata()

    assert alone(liar, twice)["issuer"] == liar.issuer


def test_a_provider_that_never_answers(liar: Liar, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is waited for as long as was said, and no longer."""
    monkeypatch.setattr("services.oidc.TIMEOUT", 1)
    late = threading.Event()
    liar.answers["/keys"] = lambda: {"late": late.wait(60)}
    with pytest.raises(SsoError) as refused:
        alone(liar, lambda provider: provider.key("rsa"))
    late.set()
    assert refused.value.status_code == 503


def alone(liar: Liar, work: Callable[[Provider], Any]) -> Any:
    """Return what `work` makes of a provider that nobody has asked before."""
    config = Config(oidc_issuer=liar.issuer, oidc_client_id="todo", oidc_client_secret=SECRET)

    async def run() -> Any:
        provider = Provider(cast(BaseApp, SimpleNamespace(config=config)))
        await provider.open()
        with closing(provider.client):
            return await work(provider)

    with ThreadPoolExecutor(1) as thread:  # as the browser has a loop in this one
        return thread.submit(lambda: asyncio.run(run())).result()


def test_with_tls_everything_has_tls() -> None:
    """A provider at https isn't asked, nor people led, without it."""
    config = Config(oidc_issuer="https://a", oidc_client_id="b", oidc_client_secret="c")
    provider = Provider(cast(BaseApp, SimpleNamespace(config=config)))
    assert provider.check_url("https://b/c?d=e") == "https://b/c?d=e"
    for place in ("http://b/c", "httpsx://b", "HTTPS://b"):
        with pytest.raises(SsoError):
            provider.check_url(place)


def test_what_it_said_is_kept_for_an_hour(liar: Liar) -> None:
    """Keys too, but a new one is found within a minute; many who ask are one question."""

    async def work(provider: Provider) -> None:
        def age(name: str, seconds: float) -> None:
            since, task = provider.cache[name]
            provider.cache[name] = since - seconds, task

        async def asked_for(kid: str) -> list[str]:
            liar.asked.clear()
            with pytest.raises(jwt.InvalidKeyError):
                await provider.key(kid)
            return liar.asked

        await asyncio.gather(*(provider.key("rsa") for _ in range(9)))
        assert liar.asked == ["/.well-known/openid-configuration", "/keys"]
        assert await asked_for("evil") == []
        age("keys", MINUTE + 1)
        assert await asked_for("evil") == ["/keys"]
        assert await asked_for("evil") == []
        liar.keys = [public("new", RSAAlgorithm, OTHER)]
        age("keys", MINUTE + 1)
        liar.asked.clear()
        assert (await provider.key("rsa")).key_id == "rsa" and liar.asked == []
        assert (await provider.key("new")).key_id == "new" and liar.asked == ["/keys"]
        assert (await provider.key(None)).key_id == "new", "there is only one"
        assert await asked_for("rsa") == []
        age("keys", HOUR)
        age("metadata", HOUR)
        liar.asked.clear()
        await provider.key("new")
        assert liar.asked == ["/keys", "/.well-known/openid-configuration"][::-1]
        liar.answers["/keys"] = lambda: {"keys": {"kid": "new"}}
        age("keys", HOUR)
        assert await asked_for("new") == ["/keys"]

    alone(liar, work)


def test_a_provider_that_takes_the_secret_only_in_the_form(
    liar: Liar, start: Callable[..., Server]
) -> None:
    """It says so, and gets it there; a name that is told only when asked is asked for."""
    liar.places["token_endpoint_auth_methods_supported"] = ["client_secret_post"]
    liar.places["userinfo_endpoint"] = f"{liar.issuer}/who"
    server = start(*options(liar.issuer))
    liar.claims = {}
    for sub, name in (("", "lia"), ("another", "someone")):
        lia = Visitor(server, "lia")
        answer = {"sub": sub or lia.name, "preferred_username": "Lia"}
        liar.answers["/who"] = lambda answer=answer: answer
        assert start_session(back(liar, lia), lia)
        assert whoami(lia) == name and "/who" in liar.asked
    assert liar.form["client_secret"] == [SECRET] and liar.form["client_id"] == ["todo"]
    assert "Authorization" not in liar.headers
    server.expected.append("single sign-on: ")
    liar.answers["/who"] = lambda: b"x"
    assert back(liar, Visitor(server, "new")).status_code == 503
    lia.http.cookies.clear()
    assert start_session(back(liar, lia), lia), "who is known isn't asked about"
    server.stop()


def test_a_provider_that_is_away(start: Callable[..., Server]) -> None:
    """The log-in page is there, and passwords are good; when it is back, so is its way in."""
    with Liar() as liar:
        issuer = liar.issuer
    server = start(*options(issuer, name=""))
    server.expected.append("single sign-on: ")
    ann, eva = Visitor(server, "ann"), Visitor(server, "eva")
    assert ann.sign_up().status_code == 303
    name = urlsplit(issuer).netloc
    assert f"Log in with {name}</a>" in eva.get("/login").text
    answer = eva.get("/login/sso")
    assert answer.status_code == 503
    assert alerts(answer.text) == [TELLING.replace("The <Club>", name)]
    assert ann.log_in().status_code == 303 and eva.get("/login").status_code == 200
    server.stop()


def test_over_tls_the_cookie_stays_there(liar: Liar, start: Callable[..., Server]) -> None:
    """And the way back is the address that people use."""
    server = start(*options(liar.issuer), "--public_url=https://todo.example.org")
    answer = Visitor(server, "eva").get("/login/sso")
    cookie = answer.headers["Set-Cookie"]
    name = cookie.partition("=")[0]
    assert re.fullmatch(r"__Host-sso-\w{8}", name) and "; Secure" in cookie
    asked = dict(parse_qsl(urlsplit(answer.headers["Location"]).query))
    assert asked["redirect_uri"] == "https://todo.example.org/oidc/callback" and asked["a"] == "b"
    answer = Visitor(server, "eva").get("/oidc/callback", headers={"Cookie": f"{name}=x"})
    assert answer.status_code == 400
    assert answer.headers["Set-Cookie"].startswith(f'{name}="";')
    assert "; Secure" in answer.headers["Set-Cookie"]
    server.stop()


def test_sign_up_by_invitation(liar: Liar, start: Callable[..., Server]) -> None:
    """Says so to who comes from there without an invitation; who is linked comes in."""
    server = start(*options(liar.issuer), "--signup=closed")
    ann = Visitor(start(*options(liar.issuer)), "ann")
    ann.sign_up()
    ann.server.stop()
    ann.server = server
    made = ann.post(f"/lists/{ann.list}/invites", link="editor").text
    (link,) = re.findall(r"/join/[\w-]{22}", made)
    eva, new = Visitor(server, "eva"), Visitor(server, "new")
    for place in ("", "/", "/join/" + "x" * 22, link + "x"):
        answer = back(liar, new, next=place)
        assert answer.status_code == 403 and not start_session(answer, new)
        assert alerts(answer.text)[0].startswith("You don't have an account here yet")
    answer = back(liar, eva, next=link)
    assert start_session(answer, eva) and answer.headers["Location"] == link
    eva.http.cookies.clear()
    assert start_session(back(liar, eva), eva)
    server.stop()


def test_new_people_are_throttled(liar: Liar, start: Callable[..., Server]) -> None:
    """As those who sign up are; who is known comes in."""
    server = start(*options(liar.issuer), "--throttle=true")
    visitors = [Visitor(server, "new") for _ in range(11)]
    came = [back(liar, visitor).status_code for visitor in visitors]
    assert came == [303] * 10 + [429]
    visitors[0].http.cookies.clear()
    assert start_session(back(liar, visitors[0]), visitors[0])
    server.stop()


def test_without_a_provider_there_is_nothing(nobody: Visitor, ann: Visitor) -> None:
    """No link, and no page."""
    assert "sso" not in nobody.get("/login").text and "sso" not in ann.get("/account").text
    for visitor in (nobody, ann):
        for path in ("/login/sso", "/oidc/callback", "/oidc/callback?code=c&state=s"):
            assert visitor.get(path).status_code == 404
    assert nobody.post("/login/sso").status_code == 404


@pytest.mark.parametrize(
    ("issuer", "others"),
    [
        ("https://id.example.org", ["--oidc_client_id=x"]),
        ("https://id.example.org", ["--oidc_client_secret=x"]),
        ("", ["--oidc_client_secret=x", "--oidc_client_id=x"]),
        ("", ["--oidc_name=x"]),
        *(
            (issuer, ["--oidc_client_secret=x", "--oidc_client_id=x"])
            for issuer in ("http://id.example.org", "id.example.org", "https://", "https://a?b")
        ),
        ("https://a#b", ["--oidc_client_secret=x", "--oidc_client_id=x"]),
        ("http://localhost.example.org", ["--oidc_client_secret=x", "--oidc_client_id=x"]),
    ],
)
def test_half_a_provider_is_none(issuer: str, others: list[str]) -> None:
    """The server says so when it starts."""
    config = read(["app.py", f"--oidc_issuer={issuer}", *others], {})
    with pytest.raises(Error, match="--oidc_issuer"):
        check(config)


def test_a_provider_has_a_name() -> None:
    """Its own, or that of its host; no secret of it is told."""
    whole = ["--oidc_issuer=https://id.example.org/realm/", "--oidc_client_id=x"]
    config = read(["app.py", *whole], {"AFAZERES_OIDC_CLIENT_SECRET": "y"})
    assert config.sso_name == "id.example.org" and config.oidc_client_secret == "y"
    assert Config().sso_name == ""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore | PostgresStore]:
    """A database of one's own."""
    with closing(store_for(tmp_path / "people.db")) as store:
        store.open()
        yield store


@pytest.mark.engine
def test_an_identity_is_one_persons(store: SqliteStore | PostgresStore) -> None:
    """By its issuer and its subject, letter by letter."""
    ann = ask(store.write, users.sign_up, "ann", None, None, "Things").result()
    bob = ask(store.write, users.sign_up, "bob", None, None, "Things").result()
    assert ask(store.read, identities.find, "i", "s").result() is None
    ask(store.write, identities.link, ann, "i", "s").result()
    ask(store.write, identities.link, ann, "i", "s").result()
    with pytest.raises(Conflict):
        ask(store.write, identities.link, bob, "i", "s").result()
    ask(store.write, identities.link, bob, "i", "S").result()
    ask(store.write, identities.link, bob, "I", "s").result()
    found = [ask(store.read, identities.find, *who).result() for who in ("is", "iS", "Is", "IS")]
    assert [person and person.username for person in found] == ["ann", "bob", "bob", None]
    assert ask(store.write, identities.find_or_create, "i", "s", "eve", "Things").result() == ann


@pytest.mark.engine
def test_a_name_like_the_wanted_one(store: SqliteStore) -> None:
    """Free, and one that could have been taken here."""
    wanted = {
        "Ann": "ann",
        "ann": "ann2",
        "ann@example.org": r"ann\d+",
        "José María": "jose.maria",
        "Ωμέγα": "someone",
        "": r"someone2",
        "../../etc/passwd\0": "etc.passwd",
        "<script>alert(1)</script>": "script.alert.1.script",
        "x" * 5000: "x{30}",
        "\ud800-_-": r"someone\d+",
        "gone:1": "gone.1",
    }
    for number, (name, like) in enumerate(wanted.items()):
        unit = (identities.find_or_create, "i", str(number), name, "Things")
        person = ask(store.write, *unit).result()
        assert re.fullmatch(like, person.username), name
        assert ask(store.write, *unit).result() == person
    for number in range(100):
        ask(
            store.write, identities.find_or_create, "crowd", str(number), "x" * 50, "Things"
        ).result()
