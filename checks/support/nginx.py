"""nginx before several processes."""

import os
import pwd
import re
import shutil
import socket
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from checks.support.cluster import free_port
from checks.support.servers import ROOT, Server
from checks.support.visitors import Visitor
from checks.support.waiting import PATIENCE

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
AROUND = """
daemon off;
pid %(pid)s;
%(user)s
worker_rlimit_nofile 16384;
events { worker_connections 8192; }
http {
    access_log off;
    types { text/css css; text/javascript js; image/svg+xml svg; image/png png; }
    %(folders)s
    %(site)s
}
"""


def site(port: int, plain: int, servers: list[Server], certificate: Path | None) -> str:
    """Return deploy/nginx.conf as it is, but for what is another machine's."""
    text = (ROOT / "deploy/nginx.conf").read_text()
    own, others = re.subn(r"    server 127\.0\.0\.1:900\d max_fails=0;\n", "", text)
    assert others == 4
    named = "".join(f"    server {place_of(each)} max_fails=0;\n" for each in servers)
    own = own.replace("upstream afazeres {\n", "upstream afazeres {\n" + named)
    own = own.replace("/srv/afazeres/", f"{ROOT}/")
    tls = " ssl http2" if certificate else ""
    own = own.replace("listen 443 ssl http2;", f"listen 127.0.0.1:{port}{tls};")
    own = own.replace("listen 80;", f"listen 127.0.0.1:{plain};")
    own = re.sub(r"(ssl_certificate_key) .*;", rf"\1 {certificate}.key;" if tls else "", own)
    own = re.sub(r"(ssl_certificate) .*;", rf"\1 {certificate};" if tls else "", own)
    return own.replace("server_tokens off;", "add_header Answered-By $upstream_addr always;")


def place_of(server: Any) -> str:
    """Return where something listens, as nginx writes it: 127.0.0.1:8888."""
    return str(server.url).removeprefix("http://")


class Nginx:
    """nginx, which takes each request to the next of several processes."""

    def __init__(
        self,
        folder: Path,
        servers: list[Server],
        certificate: Path | None = None,
        connections: int = 200,
    ) -> None:
        folder.mkdir()
        self.port, self.plain = free_port(), free_port()
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        values = {
            "pid": folder / "pid",
            "folders": " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds),
            "site": site(self.port, self.plain, servers, certificate).replace(
                "limit_conn addresses 200;", f"limit_conn addresses {connections};"
            ),
            # Started by root, its workers would be someone else.
            "user": f"user {pwd.getpwuid(0).pw_name};" if os.geteuid() == 0 else "",
        }
        config, self.log = folder / "nginx.conf", folder / "log"
        config.write_text(AROUND % values)
        self.url = f"http://127.0.0.1:{self.port}"
        self.expected = "nothing"
        command = [str(NGINX), "-p", str(folder), "-c", str(config), "-e", str(self.log)]
        self.process = subprocess.Popen(command)

    def listens(self) -> bool:
        """Say whether it is there already."""
        assert self.process.poll() is None, self.log.read_text()
        with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", self.port)):
            return True
        return False

    def stop(self) -> None:
        """End it, and find that it complained of nothing unexpected."""
        self.process.terminate()
        assert self.process.wait(PATIENCE) == 0
        unexpected = [x for x in self.log.read_text().splitlines() if self.expected not in x]
        assert unexpected == []


class Several(NamedTuple):
    """Four processes, nginx before them, and two people who come through it to one list."""

    servers: list[Server]
    front: Any
    ann: Visitor
    bob: Visitor
