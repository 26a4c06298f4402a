"""An hour of everything at once, cut short again and again: see `make soak`.

SOAK says for how many seconds, 15 if nothing else. People add, complete, rename and delete by forms
and by the API, read pages, talk and watch; every few seconds the server is killed, stopped, or held
still, by chance, and opened again on the same database.
"""

import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
import requests

from checks.support.programs import Program
from checks.support.servers import Server
from checks.support.sockets import Subscriber
from checks.support.visitors import Visitor, join
from checks.support.writers import examine

pytestmark = pytest.mark.engine

SOAK = float(os.environ.get("SOAK", "15"))
PEOPLE = 6
FULL = 1000  # todos, after which someone begins another list


class Person(threading.Thread):
    """Someone who does one thing after another, and notes what was acknowledged."""

    def __init__(self, visitor: Visitor, program: Program | None) -> None:
        super().__init__()
        self.visitor, self.program = visitor, program
        self.list = visitor.list
        self.known: list[str] = []
        self.doubtful: list[str] = []
        self.there: list[int] = []
        self.statuses: Counter[int] = Counter()
        self.seconds: list[float] = []
        self.ending = threading.Event()

    def run(self) -> None:
        """Live, until told to end or cut off."""
        deeds = [self.add] * 4 + [self.change, self.change, self.read, self.talk]
        while not self.ending.is_set():
            try:
                random.choice(deeds)()
            except requests.RequestException:
                return
            self.ending.wait(random.uniform(0, 0.02))  # people aren't that quick

    def did(self, answer: requests.Response) -> requests.Response:
        """Note an answer."""
        self.statuses[answer.status_code] += 1
        self.seconds.append(answer.elapsed.total_seconds())
        return answer

    def add(self) -> None:
        """Add a todo by a form or by the API, to a new list now and then."""
        if len(self.there) >= FULL:
            made = self.did(self.visitor.post("/lists", name=f"{uuid4()}"))
            self.list, self.there = int(made.headers["Location"].rpartition("/")[2]), []
        title = f"{uuid4()}"
        self.doubtful.append(title)
        if self.program:
            answer = self.did(self.program.post(f"/lists/{self.list}/todos", {"title": title}))
        else:
            op = f"{uuid4()}"
            answer = self.did(self.visitor.post(f"/lists/{self.list}", title=title, op=op))
        if answer.status_code in (201, 303):
            self.known.append(self.doubtful.pop())
            self.there.append(answer.json()["id"] if self.program else 0)

    def change(self) -> None:
        """Complete, reopen or delete one that is there."""
        rows = [number for number in self.there if number]
        if not rows:
            self.read()
            return
        verb = random.choice(["complete", "reopen", "delete"])
        number = random.choice(rows)
        if verb == "delete":
            self.there[self.there.index(number)] = 0
        self.did(self.visitor.post(f"/todos/{number}/{verb}"))

    def read(self) -> None:
        """Look at the page."""
        self.did(self.visitor.get(f"/lists/{self.list}"))

    def talk(self) -> None:
        """Say something."""
        self.did(self.visitor.post(f"/lists/{self.list}/messages", text=f"{uuid4()}"))


def hold_still(server: Server) -> None:
    """Stop the process as a debugger does, and let it go on; then end it kindly."""
    server.process.send_signal(signal.SIGSTOP)
    time.sleep(1)  # which is what is done to it
    server.process.send_signal(signal.SIGCONT)
    stop(server)


def kill(server: Server) -> None:
    """Kill it."""
    server.process.kill()
    server.process.wait()


def stop(server: Server) -> None:
    """End it kindly."""
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(15) == 0


def test_soak(start: Callable[..., Server], tmp_path: Path) -> None:
    """Nothing is lost, doubled, invented or half done, whatever happened and how often."""
    end, server = time.monotonic() + SOAK, start()
    visitors = [Visitor(server, "soaked") for _ in range(PEOPLE)]
    for visitor in visitors:
        visitor.sign_up()
    for other in visitors[1:]:
        join(visitors[0], other)
    programs = [Program(server, each.name) if n % 2 else None for n, each in enumerate(visitors)]
    known, sent, statuses = set[str](), set[str](), Counter[int]()
    ready, answers, ended = [0.0], [0.0], Counter[str]()
    lists = [each.list for each in visitors]
    while time.monotonic() < end or len(ended) < 3:
        people = []
        for number, (visitor, program) in enumerate(zip(visitors, programs, strict=True)):
            visitor.server = server
            if program:
                program.url = f"{server.url}/api"
            person = Person(visitor, program)
            person.list = lists[number]
            people.append(person)
        watcher = Subscriber(visitors[0], 5)
        watcher.start()
        assert watcher.open.wait(10)
        for person in people:
            person.start()
        time.sleep(random.uniform(1, 4))  # the moment is what is tried
        endings = [kill, stop, hold_still]
        ending = endings[len(ended)] if len(ended) < 3 else random.choice([kill, *endings])
        ending(server)
        ended[ending.__name__] += 1
        watcher.join()
        for number, person in enumerate(people):
            person.ending.set()
            person.join()
            known |= {*person.known}
            sent |= {*person.known, *person.doubtful}
            statuses += person.statuses
            answers += person.seconds
            lists[number] = person.list
        unexpected = [
            line for line in server.log.read_text().splitlines() if "was blocked" not in line
        ]
        assert unexpected == []
        begun = time.monotonic()
        server = start(database=server.database)
        ready.append(time.monotonic() - begun)
        examine(server, known, sent)
    server.stop()
    faults = {status: n for status, n in statuses.items() if status >= 500 and status != 503}
    assert faults == {} and len(known) > SOAK
    p99 = sorted(answers)[int(len(answers) * 0.99)]
    told = f"{ended.total()} ends ({ended['kill']} kills), {statuses.total()} answers"
    more = f"{len(known)} acknowledged, none lost; ready in {max(ready):.2f} s"
    sys.stdout.write(f"\n{told}, {more}; p99 {1000 * p99:.0f} ms\n")
