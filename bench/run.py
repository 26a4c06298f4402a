"""Measure the app beside a bare Tornado handler, and beside the same work by other frameworks.

`make bench` runs this; `python -m bench.run api live` only what is named. Servers have core 0, the
load core 1; rounds alternate (A B C, C B A, ...) and medians are taken, so that what else the
machine does falls on all alike. REPEATED are measured three times, with new processes each time:
two of the same kind may differ by a tenth, by where their memory happens to lie. All ratios stand
in one table at the end, and in docs/figures.json, from which `python -m bench.pictures` draws.
Read the ratios: the absolute numbers are this machine's. Needs wrk, and gcc for the slow disk;
`scaling` needs PostgreSQL, Redis and nginx.
"""

import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from bench import accounts, growth, jobs, live, scaling, slow, startup, titles, today, work
from bench.servers import RUNNING, slow_disk
from bench.table import SLOW_DISK, TABLE

TIMES = 3
REPEATED = ("pages", "api", "log-in", "processes", "add")
DISKS = {"add": work.add, "pace": work.normal_load}  # done on this disk, and on a slow one
MEASURES = {
    "pages": work.pages,
    "api": work.api,
    "log-in": work.log_in,
    "accounts": accounts.measure,
    "live": live.measure,
    "startup": startup.measure,
    "processes": scaling.several,
    "scaling": scaling.measure,
    "slow": slow.measure,
    "jobs": jobs.measure,
    "titles": titles.measure,
    "today": today.measure,
}
LONG = {"growth": growth.measure}  # only when it is named, as it takes an hour


def main() -> None:
    """Measure, print the table and write docs/figures.json."""
    for tool in ("wrk", "taskset", "gcc"):
        if not shutil.which(tool):
            sys.exit(f"{tool} is needed: apt install wrk util-linux gcc libc6-dev")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the servers are stopped, too
    whole = False
    with tempfile.TemporaryDirectory(dir=".", prefix=".bench-") as name:
        folder = Path(name).absolute()
        with ExitStack() as ending:  # none is left behind to disturb the next run
            ending.callback(lambda: [server.process.kill() for server in RUNNING])
            try:
                measure(folder)
                whole = not sys.argv[1:]
            finally:  # what was measured before a failure isn't lost
                TABLE.print()
                if TABLE or TABLE.model:
                    TABLE.save(whole)


def measure(folder: Path) -> None:
    """Measure what the command line names, such as `api` or `live`, or everything."""
    names = sys.argv[1:] or [*MEASURES, *DISKS]
    for name in names:
        if name in MEASURES | LONG:
            for each in folders(folder, name):
                (MEASURES | LONG)[name](each)
    disks = {"": ""}
    if any(name in DISKS for name in names):
        disks |= {SLOW_DISK: slow_disk(folder)}
    for disk, shim in disks.items():
        for name in names:
            if name in DISKS:
                for each in folders(folder, name):
                    DISKS[name](each, disk, shim)


def folders(folder: Path, name: str) -> Iterator[Path]:
    """Make a folder for each time that something is measured."""
    for number in range(TIMES if name in REPEATED else 1):
        yield Path(tempfile.mkdtemp(dir=folder, prefix=f"{name}-{number}-"))


if __name__ == "__main__":
    main()
