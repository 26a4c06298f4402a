"""Measure the app beside a bare Tornado handler, and beside what others would have built.

`make bench` runs this; `python -m bench.run api live` only what is named. Servers have core 0, the
load core 1; rounds alternate (A B C, C B A, ...) and medians are taken, so that what else the
machine does falls on all alike. What is AGAIN measured has new processes each time: two of the same
kind may differ by a tenth, by where their memory happens to lie. All ratios stand in one table at
the end. Read the ratios: the absolute numbers are this machine's. Needs wrk, and gcc for the slow
disk; for what is outgrown PostgreSQL, Redis and nginx.
"""

import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from bench import accounts, fresh, growth, jobs, live, outgrown, slow, titles, work
from bench.servers import RUNNING, slow_disk
from bench.table import TABLE

TIMES = 3
AGAIN = ("pages", "api", "log-in", "processes", "add")
DISKS = {"add": work.add, "pace": work.keep_pace}  # done on this disk, and on a slow one
VISITS = {
    "pages": work.look_at_pages,
    "api": work.look_at_api,
    "log-in": work.log_in,
    "accounts": accounts.visit,
    "live": live.visit,
    "fresh": fresh.visit,
    "processes": outgrown.several,
    "outgrown": outgrown.visit,
    "slow": slow.visit,
    "jobs": jobs.visit,
    "titles": titles.visit,
}
LONG = {"growth": growth.visit}  # only when it is named, as it takes an hour


def main() -> None:
    """Measure, and print the table."""
    for tool in ("wrk", "taskset", "gcc"):
        if not shutil.which(tool):
            sys.exit(f"{tool} is needed: apt install wrk util-linux gcc libc6-dev")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what follows is ended, too
    with tempfile.TemporaryDirectory(dir=".", prefix=".bench-") as name:
        folder = Path(name).absolute()
        with ExitStack() as ending:  # none is left behind to disturb the next run
            ending.callback(lambda: [server.process.kill() for server in RUNNING])
            measure(folder)
            TABLE.print()


def measure(folder: Path) -> None:
    """Measure what the command line names, such as `api` or `live`, or everything."""
    names = sys.argv[1:] or [*VISITS, *DISKS]
    for name in names:
        if name in VISITS | LONG:
            for each in folders(folder, name):
                (VISITS | LONG)[name](each)
    disks = {"this disk": ""}
    if any(name in DISKS for name in names):
        disks |= {"2 ms an fsync more": slow_disk(folder)}
    for disk, shim in disks.items():
        for name in names:
            if name in DISKS:
                for each in folders(folder, name):
                    DISKS[name](each, disk, shim)


def folders(folder: Path, name: str) -> Iterator[Path]:
    """Make a folder for each time that something is measured."""
    for number in range(TIMES if name in AGAIN else 1):
        yield Path(tempfile.mkdtemp(dir=folder, prefix=f"{name}-{number}-"))


if __name__ == "__main__":
    main()
