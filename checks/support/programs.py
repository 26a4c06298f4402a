"""Programs that use the API."""

from typing import Any

import requests

from checks.support.servers import Server
from checks.support.visitors import PASSWORD


class Program:
    """Someone's program: asks in JSON, with a token, keeps no cookies."""

    def __init__(self, server: Server, name: str, **wanted: str) -> None:
        self.url = f"{server.url}/api"
        self.server = server
        self.http = requests.Session()
        self.http.trust_env = False
        account = {"username": name, "password": PASSWORD, "name": "my laptop", **wanted}
        self.made = self.post("/tokens", account)
        if self.made.status_code == 201:
            self.http.headers["Authorization"] = f"Bearer {self.made.json()['token']}"

    def ask(self, method: str, path: str, **kwargs: Any) -> requests.Response:
        """Ask, and find that every answer has what all of them have."""
        url = path if path.startswith("http") else self.url + path
        answer = self.http.request(method, url, timeout=20, **kwargs)
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "Set-Cookie" not in answer.headers
        if answer.status_code >= 400:
            assert answer.headers["Content-Type"] == "application/problem+json"
            problem = answer.json()
            assert problem["status"] == answer.status_code and problem["title"]
            assert problem["detail"] and problem["type"].startswith("/api#")
        elif answer.status_code in (200, 201) and method != "HEAD":
            assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
        return answer

    def get(self, path: str, **kwargs: Any) -> requests.Response:
        """Read."""
        return self.ask("GET", path, **kwargs)

    def post(self, path: str, body: Any, **kwargs: Any) -> requests.Response:
        """Make."""
        return self.ask("POST", path, json=body, **kwargs)

    def patch(self, path: str, body: Any, **kwargs: Any) -> requests.Response:
        """Change."""
        return self.ask("PATCH", path, json=body, **kwargs)

    def delete(self, path: str, **kwargs: Any) -> requests.Response:
        """Delete."""
        return self.ask("DELETE", path, **kwargs)
