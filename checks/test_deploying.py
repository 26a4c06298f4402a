"""The examples in deploy/, tried: nginx for real, the rest as far as it can run here."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
import requests

from checks.support.nginx import NGINX, Nginx, Several, place_of
from checks.support.servers import OPTIONS, ROOT, Server
from checks.support.visitors import Visitor
from checks.support.waiting import until
from checks.test_architecture import MODULES
from config import Config, read

DEPLOY = ROOT / "deploy"


def test_restarted_one_by_one(several: Several, start: Callable[..., Server]) -> None:
    """Under load, and nobody notices: every form is answered, every page comes."""
    servers, front, ann, bob = several
    front.expected = "onnection refused"  # nginx passes over who is away
    statuses: list[int] = []
    asked, enough = [0, 0], threading.Event()

    def use(number: int, visitor: Visitor) -> None:
        while not enough.is_set():
            form = {"title": f"{visitor.name}", "op": str(uuid4())}
            statuses.append(visitor.post(f"/lists/{ann.list}", **form).status_code)
            statuses.append(visitor.get(f"/lists/{ann.list}").status_code)
            asked[number] += 1

    people = [threading.Thread(target=use, args=each) for each in enumerate((ann, bob))]
    for person in people:
        person.start()
    for number, server in enumerate(servers):
        before = sum(asked)
        until(lambda before=before: sum(asked) > before + 20)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(15) == 0
        servers[number] = start(f"--port={place_of(server).split(':')[1]}", *OPTIONS)
    enough.set()
    for person in people:
        person.join()
    assert {*statuses} == {200, 303}
    assert len(ann.rows()) == sum(asked)


def test_files_from_the_disk(several: Several) -> None:
    """Come from nginx as they come from the server, with the same headers, as long as it says."""
    page = several.ann.get("/login").text
    for address in re.findall(r'(?:src|href)="(/static/[^"]+)"', page):
        own = requests.get(several.servers[0].url + address, timeout=9)
        disk = requests.get(several.front.url + address, timeout=9)
        assert disk.content == own.content and "Answered-By" not in disk.headers
        for name, value in own.headers.items():
            if name not in ("Server", "Date", "Etag", "Content-Length", "Expires", "Vary"):
                assert disk.headers.get(name, "").lower() == value.lower(), name
    bare = requests.get(f"{several.front.url}/static/js/main.js", timeout=9)
    assert bare.headers["Cache-Control"] == "no-cache"
    assert bare.headers["Content-Encoding"] == "gzip"
    for outside in (
        "/static/../app.py",
        "/static/..%2f..%2fapp.py",
        "/static../app.py",
        "/static/js/0123456789abcdef/../../../app.py",
        "/static/js/0123456789abcdef/..%2f..%2f..%2fapp.py",
    ):
        answer = requests.Request("GET", several.front.url).prepare()
        answer.url = several.front.url + outside
        assert requests.Session().send(answer, timeout=9).status_code in (400, 403, 404)


def test_numbers_stay_inside(several: Several) -> None:
    """Who comes through nginx is told nothing of them."""
    several.front.expected = "access forbidden by rule"
    assert requests.get(f"{several.front.url}/metrics", timeout=9).status_code == 403
    assert requests.get(f"{several.front.url}/healthz", timeout=9).status_code == 200


def test_more_than_a_body(several: Several) -> None:
    """Is refused by nginx before the server has to read it; an import may be long."""
    several.front.expected = "client intended to send too large body"
    long = b"x" * 2_000_000
    answer = several.ann.http.post(f"{several.front.url}/lists", long, timeout=9)
    assert answer.status_code == 413
    place = f"{several.front.url}/account/import"
    for kind, status in (({"data": long}, 415), ({"files": {"file": long}}, 403)):  # for no token
        answer = several.ann.http.post(place, timeout=9, **kind)
        assert answer.status_code == status and answer.headers["Server"] != "nginx"


@pytest.fixture
def encrypted(
    start: Callable[..., Server], certificate: Path, tmp_path: Path
) -> Iterator[tuple[Nginx, Server]]:
    """One process behind nginx with TLS."""
    if NGINX is None:
        pytest.skip("no nginx found: apt install nginx")
    server = start("--public_url=https://localhost", *OPTIONS)
    front = Nginx(tmp_path / "nginx", [server], certificate)
    try:
        until(front.listens)
        yield front, server
        front.stop()
        server.stop()
    finally:
        front.process.terminate()
        front.process.wait()


def test_with_tls(encrypted: tuple[Nginx, Server], certificate: Path) -> None:
    """Cookies are for TLS alone, browsers are told to come by it, and plain ones are led there."""
    front, _ = encrypted
    url = f"https://localhost:{front.port}"
    with requests.Session() as http:
        http.trust_env, http.verify = False, str(certificate)
        page = http.get(f"{url}/signup", timeout=9)
        assert page.headers["Strict-Transport-Security"].startswith("max-age=")
        form = {"username": "ann", "password": "three quiet otters"}
        (form["_xsrf"],) = http.cookies.values()
        made = http.post(f"{url}/signup", form, allow_redirects=False, timeout=9)
        assert made.status_code == 303 and len(http.cookies) == 3
        assert all(cookie.name.startswith("__Host-") for cookie in http.cookies)
        assert "Secure" in made.headers["Set-Cookie"]
        assert http.get(url, timeout=9).status_code == 200
    plain = requests.get(
        f"http://localhost:{front.plain}/lists/1", allow_redirects=False, timeout=9
    )
    assert plain.status_code == 301 and plain.headers["Location"] == "https://localhost/lists/1"


def test_the_unit(tmp_path: Path) -> None:
    """Is one that systemd understands, well shut in, and starts the server with what it knows."""
    systemd = shutil.which("systemd-analyze")
    if systemd is None:
        pytest.skip("no systemd-analyze found: apt install systemd")
    text = (DEPLOY / "afazeres@.service").read_text()
    (command,) = re.findall(r"^ExecStart=/srv/afazeres/.venv/bin/python (.*)$", text, re.M)
    assert command.split()[0] == "app.py"
    assert read(command.replace("%i", "9000").split(), {}).port == 9000
    unit = tmp_path / "afazeres@9000.service"
    unit.write_text(
        text.replace("/srv/afazeres/.venv/bin/python", sys.executable)
        .replace("/srv/afazeres", str(ROOT))
        .replace("/usr/bin/curl", "/bin/true")
    )
    said = subprocess.run(
        [systemd, "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )
    assert said.returncode == 0 and unit.name not in said.stderr, said.stderr
    shut = [systemd, "security", "--offline=true", "--threshold=20", str(unit)]
    assert subprocess.run(shut, capture_output=True, check=False).returncode == 0


def instructions(name: str) -> list[tuple[str, str]]:
    """Return the instructions of a Dockerfile, and what follows each."""
    text = re.sub(r"\\\n\s*", "", (DEPLOY / name).read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [tuple(line.split(" ", 1)) for line in lines]  # type: ignore[misc]


def test_the_image(tmp_path: Path) -> None:
    """Has all that the server needs, and it runs there: on what was copied, as it is told."""
    told = instructions("Dockerfile")
    assert [name for name, _ in told].index("USER") > [name for name, _ in told].index("RUN")
    assert dict(told)["USER"] not in ("root", "0")
    settings = dict(each.split("=", 1) for each in dict(told)["ENV"].split())
    known = {f"AFAZERES_{name.upper()}" for name in Config.__dataclass_fields__}
    assert {name for name in settings if name.startswith("AFAZERES")} <= known
    there = tmp_path / "srv"
    there.mkdir()
    for name, what in told:
        if name == "COPY":
            *sources, target = what.split()
            for source in sources:
                goal = there / (source if target in (".", "./") else target)
                copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
                copy(ROOT / source, goal)  # type: ignore[operator]
    assert all((there / file.relative_to(ROOT)).exists() for file in MODULES.values())
    environment = os.environ | settings | {"AFAZERES_DATABASE": str(tmp_path / "people.db")}
    environment |= {"AFAZERES_PORT": "0", "AFAZERES_ADDRESS": "127.0.0.1"}
    entry = re.findall(r'"(.*?)"', dict(told)["ENTRYPOINT"])
    with subprocess.Popen(
        [sys.executable, *entry[1:]], cwd=there, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        url = process.stdout.readline().rpartition(" ")[2].strip()
        check = re.findall(r'"(.*?)"', dict(told)["HEALTHCHECK"].split("CMD ")[1])[-1]
        healthy = check.replace("http://127.0.0.1:8888/", url)
        assert healthy != check
        subprocess.run([sys.executable, "-c", healthy], check=True)
        process.terminate()
        assert process.wait(15) == 0


def test_the_composition() -> None:
    """Starts the server with options that there are, at the ports where nginx looks for it.

    What it mounts and whom it names is there, and no image becomes another one overnight.
    """
    yaml = pytest.importorskip("yaml", reason="no PyYAML: pip install -r checks/requirements.txt")
    whole = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    services, secret = whole["services"], "s" * 32
    front = (DEPLOY / "nginx.conf").read_text()
    ports, images = [], []
    for service in services.values():
        for name, needs in service.get("depends_on", {}).items():
            assert needs == {"condition": "service_healthy"} and services[name]["healthcheck"]
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            known = source in whole["volumes"] or source == "./letsencrypt"  # one's certificates
            assert known or (DEPLOY / source).exists(), source
        if "image" in service:
            images.append(service["image"])
            continue
        build = service["build"]
        assert (DEPLOY / build["context"]).resolve() == ROOT
        assert (ROOT / build["dockerfile"]).is_file()
        told = {
            name: re.sub(r"\$\{\w+:\?\}", secret, value)
            for name, value in service["environment"].items()
        }
        assert told.keys() <= {f"AFAZERES_{name.upper()}" for name in Config.__dataclass_fields__}
        config = read(["app.py", *shlex.split(service["command"])], told)
        ports.append(config.port)
        assert service["network_mode"] == "service:nginx"  # so it is the same 127.0.0.1
        assert config.address in config.proxies and config.cookie_secret == secret
        assert config.public_url == f"https://{re.findall('server_name (.*);', front)[0]}"
        assert services[urlsplit(config.redis).hostname]["image"].startswith("redis:")
        place = urlsplit(config.database)
        made = services[place.hostname]["environment"]
        assert (place.username, place.path) == (made["POSTGRES_USER"], f"/{made['POSTGRES_USER']}")
        assert made["POSTGRES_PASSWORD"] in service["environment"]["AFAZERES_DATABASE"]
    assert [f"{port}" for port in ports] == re.findall(r"server 127\.0\.0\.1:(\d+)", front)
    opened = [each.split(":")[1] for each in services["nginx"]["ports"]]
    assert opened == re.findall(r"listen (\d+)", front)
    targets = [volume.split(":")[1] for volume in services["nginx"]["volumes"]]
    for path in re.findall(r"(?:alias|ssl_certificate\w*) (/.*);", front):
        assert any(path.startswith(f"{target}/") for target in targets), path
    assert len(images) == 3
    assert all(re.fullmatch(r"\w+:\d+(\.\d+)*", image) for image in images), images
