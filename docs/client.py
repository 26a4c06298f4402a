"""Todos from the command line: `client.py add WORDS`, `client.py tick NUMBER`, `client.py list`.

AFAZERES_URL is the address of the server, AFAZERES_TOKEN an API token of yours (see /api there).
"""

import os
import sys

import requests

http = requests.Session()
http.headers["Authorization"] = f"Bearer {os.environ['AFAZERES_TOKEN']}"
url = os.environ.get("AFAZERES_URL", "http://127.0.0.1:8888") + "/api/todos"


def send(method: str, address: str, **body: object) -> requests.Response:
    """Send a request; exit with the server's own message if it is refused."""
    answer = http.request(method, address, json=body or None, timeout=10)
    if not answer.ok:
        sys.exit(answer.json()["detail"])
    return answer


verb, *words = sys.argv[1:] or ["list"]
todos = send("GET", url).json()
if verb == "add":
    send("POST", url, title=" ".join(words))
elif verb == "tick":
    todo = todos[int(words[0]) - 1]
    send("PATCH", todo["url"], completed=not todo["completed"])
else:
    for number, todo in enumerate(todos, 1):
        print(number, "[x]" if todo["completed"] else "[ ]", todo["title"])
