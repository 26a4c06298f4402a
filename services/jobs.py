"""Periodic jobs. Any process may do a job; the one that claims it first does it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NamedTuple

from models import cleanup
from models.clock import clock
from models.errors import Unavailable
from services.app_base import BaseApp, Service

MINUTE, HOUR = 60, 3600
log = logging.getLogger(__name__)

Work = Callable[[Any], Awaitable[None]]  # takes the App


class PeriodicJob(NamedTuple):
    """Something to do again and again; see `extras.JOBS`.

    `again` returns the seconds until it is due again, in whichever process; the database knows
    when. Without it every process does the job `every` so many seconds, and finds out by itself
    which rows are due.
    """

    name: str
    work: Work
    again: Callable[[], float] | None = None
    first: float = 0.0  # seconds after the start, at least
    every: float = MINUTE  # seconds between two looks whether it is due
    option: str = ""  # the name of one without which this process leaves the job alone


class Jobs(Service):
    """A task for each job of `extras.JOBS` while the server runs; the rest is done later."""

    async def open(self) -> None:
        self.start(*map(self.repeat, self.wanted()))

    def wanted(self) -> list[PeriodicJob]:
        """Return the jobs that the options of this process allow."""
        config = self.app.config
        return [job for job in self.app.jobs if not job.option or getattr(config, job.option)]

    async def repeat(self, job: PeriodicJob) -> None:
        await asyncio.sleep(job.first)
        while True:
            done = False
            try:
                done = await self.attempt(job)
            except Unavailable:
                pass  # the database is away, and logs that itself
            except Exception:  # the task must go on, or nobody does the job any more
                log.exception("The job to %s could not be attempted", job.name)
            await asyncio.sleep(job.every if done else MINUTE)

    async def attempt(self, job: PeriodicJob) -> bool:
        """Do a job if it is due and no other process does it; say whether it was done."""
        claimed = await self.app.write(cleanup.claim, job.name) if job.again else ""
        if claimed is None:
            return False
        try:
            await job.work(self.app)
        except Unavailable:
            raise
        except Exception:  # whatever it is, the next attempt may succeed
            log.exception("The job to %s has failed", job.name)
            self.app.event(f"job: {job.name}", "failed")
            if job.again:
                await self.app.write(cleanup.failed, job.name, claimed)
            return False
        if job.again:
            self.app.event(f"job: {job.name}", "done")
            await self.app.write(cleanup.done, job.name, claimed, job.again())
        return True


def units(due: Callable[[], Iterable[int]], do: Callable[[int], None]) -> Work:
    """Return work that runs `do` for each id that `due` finds, each in a transaction of its own."""

    async def work(app: BaseApp) -> None:
        for number in await app.read(due):
            await app.write(do, number)

    return work


def follow_changes(name: str, read: Callable[[int], int]) -> PeriodicJob:
    """Return a job that reads what was done to lists, within a second; see `cleanup.follow`."""

    async def work(app: BaseApp) -> None:
        while await app.read(cleanup.is_behind, name):
            if not await app.write(cleanup.follow, name, read):
                return

    return PeriodicJob(name, work, every=1)


async def clean_up(app: BaseApp) -> None:
    """Delete rows that nobody needs any more, a few at a time."""
    if clock.jump:
        return  # the clock may be wrong
    await app.write(cleanup.fix_future_timestamps)
    for number, _ in enumerate(cleanup.expired()):
        more = True
        while more:
            more = await app.write(cleanup.delete_expired, number)
            await asyncio.sleep(0.01)
