"""What the house does by itself. Any process may do a job; whichever claims it first does it."""

import asyncio
import logging
import os
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from models import chores, messages, upgrades
from models.clock import clock, moment
from models.errors import CannotStart, Unavailable

MINUTE, HOUR = 60, 3600
NIGHT = 3  # o'clock
BACKUPS = 7  # copies that are kept
log = logging.getLogger(__name__)

T = TypeVar("T")
Door = Callable[[Callable[[], Any]], Awaitable[Any]]


class Job(NamedTuple):
    """What `work` does is due again after so many seconds; `first` after the start, at least.

    Without `again` it is asked each time, as it finds out itself which rows are due.
    """

    name: str
    work: Callable[[], Awaitable[None]]
    again: Callable[[], float] | None = None
    first: float = 0.0
    look: float = MINUTE  # how often it is looked whether it is due


class Jobs:
    """The table of jobs, and one task for each while the house is open.

    `read` and `write` run units of work, `count` notes a job's name and how it went.
    """

    def __init__(
        self,
        read: Door,
        write: Door,
        count: Callable[[str, str], None],
        database: Path,
        folder: Path | None,
    ) -> None:
        self.read, self.write, self.count = read, write, count
        # Nothing is thrown away at first: perhaps the machine's clock was wrong at the start.
        self.table = [
            Job("send what was held back", self.send, look=1),
            Job("tidy up", self.tidy, lambda: HOUR, first=2 * HOUR),
        ]
        if folder:
            work = partial(aside, partial(back_up, database, folder))
            self.table.append(Job("back up", work, until_night))
        self.tasks: list[asyncio.Task[None]] = []

    def open(self) -> None:
        """Begin."""
        loop = asyncio.get_running_loop()
        self.tasks = [loop.create_task(self.repeat(job)) for job in self.table]

    async def close(self) -> None:
        """End: a unit that is being written is done, and what was not, by whoever opens next."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def repeat(self, job: Job) -> None:
        """Do a job whenever it is due."""
        await asyncio.sleep(job.first)
        while True:
            done = False
            try:
                done = await self.attempt(job)
            except Unavailable:
                pass  # the database is away, and says so itself
            except Exception:  # a job that ends is a job that nobody does
                log.exception("The job to %s could not be attempted", job.name)
            await asyncio.sleep(job.look if done else MINUTE)

    async def attempt(self, job: Job) -> bool:
        """Do a job if it is due and nobody else does it; say whether it was done."""
        claimed = await self.write(partial(chores.claim, job.name)) if job.again else ""
        if claimed is None:
            return False
        try:
            await job.work()
        except Unavailable:
            raise
        except Exception:  # whatever it is, the next try may go well
            log.exception("The job to %s has failed", job.name)
            self.count(job.name, "failed")
            if job.again:
                await self.write(partial(chores.failed, job.name, claimed))
            return False
        if job.again:
            self.count(job.name, "done")
            await self.write(partial(chores.done, job.name, claimed, job.again()))
        return True

    async def send(self) -> None:
        """Send messages that were held back for long enough."""
        for number in await self.read(messages.due):
            await self.write(partial(messages.send, number))

    async def tidy(self) -> None:
        """Take away what nobody needs any more, a little at a time."""
        if clock.jump:
            return  # which time it is, is doubted
        await self.write(chores.set_right)
        for number, _ in enumerate(chores.doomed()):
            more = True
            while more:
                more = await self.write(partial(chores.tidy, number))
                await asyncio.sleep(0.01)


def back_up(database: Path, folder: Path) -> None:
    """Copy the database into `folder`, and keep the last BACKUPS copies."""
    day = "[0-9]" * 4 + "-[0-9][0-9]" * 2
    for cut_off in folder.glob(f"{database.stem}-{day}.db.new"):
        cut_off.unlink()
    target = folder / f"{database.stem}-{here():%Y-%m-%d}.db"
    if not target.exists():
        upgrades.copy_to(database, target)
    for old in sorted(folder.glob(f"{database.stem}-{day}.db"))[:-BACKUPS]:
        old.unlink()


async def aside(work: Callable[[], T]) -> T:
    """Wait for `work` in a thread that the house, when it closes, does not wait for."""
    ended: Future[T] = Future()
    ended.set_running_or_notify_cancel()  # whoever waits may go, but the work goes on

    def run() -> None:
        try:
            ended.set_result(work())
        except Exception as error:  # it belongs to whoever waits
            ended.set_exception(error)

    threading.Thread(target=run, name="aside", daemon=True).start()
    return await asyncio.wrap_future(ended)


def here() -> datetime:
    """Return this instant where the house stands."""
    return moment().astimezone()


def until_night() -> float:
    """Return the seconds until NIGHT o'clock."""
    night = here().replace(hour=NIGHT, minute=0, second=0, microsecond=0)
    if night <= here():
        night += timedelta(days=1)
    return (night - here()).total_seconds()


def check_folder(folder: Path) -> None:
    """Raise CannotStart unless backups can be written there."""
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise CannotStart(f"--backup_folder={folder} is no folder that can be written to: make it.")
