"""Todos from the command line: `client.py add WORDS`, `client.py tick NUMBER`, `client.py list`.

AFAZERES_URL says where the house is, AFAZERES_TOKEN is a token of yours (see /api there).
"""

import os
import sys

import requests

house = requests.Session()
house.headers["Authorization"] = f"Bearer {os.environ['AFAZERES_TOKEN']}"
url = os.environ.get("AFAZERES_URL", "http://127.0.0.1:8888") + "/api/todos"


def ask(method: str, address: str, **body: object) -> requests.Response:
    """Send a request; complain in the words of the house."""
    answer = house.request(method, address, json=body or None, timeout=10)
    if not answer.ok:
        sys.exit(answer.json()["detail"])
    return answer


verb, *words = sys.argv[1:] or ["list"]
todos = ask("GET", url).json()
if verb == "add":
    ask("POST", url, title=" ".join(words))
elif verb == "tick":
    todo = todos[int(words[0]) - 1]
    ask("PATCH", todo["url"], completed=not todo["completed"])
else:
    for number, todo in enumerate(todos, 1):
        print(number, "[x]" if todo["completed"] else "[ ]", todo["title"])
