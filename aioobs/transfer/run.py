"""One copy in this process: its workers, counts and failures."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing, contextmanager
from functools import partial
from typing import TYPE_CHECKING, cast

from aioobs.config import DEFAULT_THREADS
from aioobs.errors import NameConflict, TransferFailed
from aioobs.generators import Owned
from aioobs.transfer.copier import Copier
from aioobs.transfer.job import DEFAULT_SAFETY, Safety
from aioobs.transfer.jobs import with_sizes
from aioobs.transfer.progress import Meter, ReportFailed
from aioobs.transfer.scheduler import Scheduler

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator

    from aioobs.s3.client import Client
    from aioobs.store.headers import Headers
    from aioobs.transfer.job import Job, Versions
    from aioobs.transfer.journals.journal import Journal
    from aioobs.transfer.progress import ProgressCallback
    from aioobs.url import ObjectURL

__all__ = ["JobQueue", "Run"]

log: logging.Logger = logging.getLogger("aioobs.transfer")

MOST_NAMED = 20
AHEAD = 256 << 20  # bytes that this process takes before its turn, when others take as well


class JobQueue:
    """The jobs of a copy that are still to be done, of which several take at the same time."""

    def __init__(self, jobs: AsyncIterator[Job], run: Run) -> None:
        found = jobs if run.journal is None else with_sizes(run.client, jobs)
        self._jobs = Owned(cast("AsyncGenerator[Job, None]", found))
        self._run = run
        self._taken = False  # by one that waits for the next job
        self._free = asyncio.Event()

    def __aiter__(self) -> JobQueue:
        return self

    async def aclose(self) -> None:
        """End the listing that the jobs come from."""
        await self._jobs.aclose()

    async def __anext__(self) -> Job:
        run = self._run
        while self._taken:  # seldom: a lock would take longer than all of this
            self._free.clear()
            await self._free.wait()
        self._taken = True
        try:
            while True:
                job = await anext(self._jobs)
                run.meter.found(job.size or 0)
                if run.headers:
                    job = job._replace(headers=run.headers)
                if run.journal is None or not run.journal.has(job):
                    return job
                run.skip(job)
        except StopAsyncIteration:
            run.meter.totals_known = True
            raise
        finally:
            self._taken = False
            self._free.set()


class Run:
    """One copy: its workers, what it has counted, and what has failed."""

    def __init__(
        self,
        client: Client,
        workers: int,
        progress: ProgressCallback | None,
        copied: Callable[[Job], None] = lambda _: None,
        *,
        safety: Safety = DEFAULT_SAFETY,
        journal: Journal | None = None,
        headers: Headers | None = None,
    ) -> None:
        self.client = client
        self.copied = copied
        self.safety = safety
        self.journal = journal
        self.headers = headers
        adapts = workers == DEFAULT_THREADS
        self.scheduler: Scheduler = Scheduler(client, workers, adapts=adapts)
        self.meter: Meter = Meter(progress)
        noted = journal is not None
        self.copier: Copier = Copier(
            client, self.scheduler, self.meter, safety, journal, versioned=noted
        )
        self.failures: list[OSError] = []
        self._unchecked = 0
        self._first_unchecked = ""
        self._workers = workers
        self._held = self._held_bytes = 0
        self._room = asyncio.Event()

    async def do(self, jobs: AsyncIterator[Job]) -> None:
        """Do all jobs; failures are gathered."""
        with self.reporting():
            async with aclosing(JobQueue(jobs, self)) as queue:
                await self.take(queue)
        await self.settle()

    async def settle(self) -> None:
        """Sync all of it to the disk, if that is wanted, and warn of what could not be checked."""
        await self.copier.settle()
        if self._unchecked:
            log.warning(
                "%d files were copied but could not be checked, for the store knows no checksum "
                "of them; the first: %s",
                self._unchecked,
                self._first_unchecked,
            )

    @contextmanager
    def reporting(self) -> Iterator[None]:
        """Make the last report in the end; what the callback raises is raised as it is."""
        try:
            yield
            self.meter.finish()
        except ReportFailed as failed:
            error = failed.__cause__ or failed
            raise error from error.__cause__

    async def take(self, queue: JobQueue, *beside: Coroutine[object, object, None]) -> None:
        """Do the jobs of a queue, or those that are left by what runs *beside* and takes, too."""
        try:
            await self.scheduler.run(self._feed(queue, others=bool(beside)), *beside)
        finally:
            await self.copier.aclose()

    async def _feed(self, queue: JobQueue, *, others: bool) -> None:
        async for job in queue:
            if not others:
                await self.copier.add(job, self.ended)
                continue
            size = job.size or 0
            self._held += 1
            self._held_bytes += size
            await self.copier.add(job, partial(self._ended, size))
            while self._held_bytes > AHEAD and self._held > 2 * self._workers:
                self._room.clear()
                await self._room.wait()

    def _ended(self, size: int, job: Job, outcome: Versions | OSError) -> None:
        self._held -= 1
        self._held_bytes -= size
        self._room.set()
        self.ended(job, outcome)

    def raise_failures(self, source: ObjectURL | str, reason: str = "") -> None:
        """Raise one error for all that failed; *reason* says why what is not named did."""
        if not self.failures and not reason:
            return
        named = "\n".join(f"  {error}" for error in self.failures[:MOST_NAMED])
        more = len(self.failures) - MOST_NAMED
        if more > 0:
            named += f"\n  and {more} more"
        conflict = any(isinstance(error, NameConflict) for error in self.failures)
        kind = NameConflict if conflict else TransferFailed
        message = f"{len(self.failures)} of {self.meter.files_total} files were not copied:"
        raise kind(
            f"{reason or message}\n{named}",
            operation="copy_parallel",
            url=str(source),
            failures=self.failures,
        ) from (self.failures[0] if self.failures else None)

    def ended(self, job: Job, outcome: Versions | OSError) -> None:
        """Count a file that was copied, or the error that names it."""
        failed = isinstance(outcome, OSError)
        if isinstance(outcome, OSError):
            self.failures.append(outcome)
            if self.journal is not None:
                self.journal.failed(job.target, outcome)
        else:
            if not outcome.checked:
                self._first_unchecked = self._first_unchecked or str(job.source)
                self._unchecked += 1
            self.copied(job)
            if self.journal is not None:
                self.journal.done(job.target, outcome)
        self.meter.ended(failed=failed)

    def skip(self, job: Job) -> None:
        """Count a file that an earlier run has copied."""
        self.copied(job)
        self.meter.moved(job.size or 0)
        self.meter.ended(failed=False)
