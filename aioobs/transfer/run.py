"""One copy in this process: its workers, what it has counted, and what has failed."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from aioobs.errors import NameConflict, TransferFailed
from aioobs.transfer.crew import Crew
from aioobs.transfer.mover import Mover
from aioobs.transfer.progress import Meter, ReportFailed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from aioobs.s3.client import Client
    from aioobs.transfer.plan import Job
    from aioobs.transfer.progress import ProgressCallback
    from aioobs.url import ObjectURL

__all__ = ["Line", "Run"]

MOST_NAMED = 20
AHEAD = 256 << 20  # bytes that this process takes before its turn, when others take as well


class Line:
    """The jobs of a copy, of which several take at the same time."""

    def __init__(self, jobs: AsyncIterator[Job], meter: Meter) -> None:
        self._jobs = jobs
        self._meter = meter
        self._one_at_a_time = asyncio.Lock()

    def __aiter__(self) -> Line:
        return self

    async def __anext__(self) -> Job:
        async with self._one_at_a_time:
            try:
                job = await anext(self._jobs)
            except StopAsyncIteration:
                self._meter.totals_known = True
                raise
        self._meter.found(job.size or 0)
        return job


class Run:
    """One copy: its workers, what it has counted, and what has failed."""

    def __init__(
        self,
        client: Client,
        workers: int,
        progress: ProgressCallback | None,
        copied: Callable[[Job], None] = lambda _: None,
    ) -> None:
        self.client = client
        self.copied = copied
        self.crew: Crew = Crew(client, workers)
        self.meter: Meter = Meter(progress)
        self.mover: Mover = Mover(client, self.crew, self.meter)
        self.failures: list[OSError] = []
        self._workers = workers
        self._held = self._held_bytes = 0
        self._room = asyncio.Event()

    async def do(self, jobs: AsyncIterator[Job]) -> None:
        """Do all jobs; failures are gathered."""
        with self.reporting():
            await self.take(Line(jobs, self.meter))

    @contextmanager
    def reporting(self) -> Iterator[None]:
        """Make the last report in the end; what the callback raises is raised as it is."""
        try:
            yield
            self.meter.finish()
        except ReportFailed as failed:
            error = failed.__cause__ or failed
            raise error from error.__cause__

    async def take(self, line: Line, *, others: bool = False) -> None:
        """Do the jobs of a line, or those that are left by *others* who take from it as well."""
        try:
            await self.crew.run(self._feed(line, others=others))
        finally:
            await self.mover.aclose()

    async def _feed(self, line: Line, *, others: bool) -> None:
        async for job in line:
            size = job.size or 0
            self._held += 1
            self._held_bytes += size
            await self.mover.add(job, partial(self._ended, size))
            while others and self._held_bytes > AHEAD and self._held > 2 * self._workers:
                self._room.clear()
                await self._room.wait()

    def _ended(self, size: int, job: Job, error: OSError | None) -> None:
        self._held -= 1
        self._held_bytes -= size
        self._room.set()
        self.ended(job, error)

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

    def ended(self, job: Job, error: OSError | None = None) -> None:
        """Count a file that was copied, or the *error* that names it."""
        if error is None:
            self.copied(job)
        else:
            self.failures.append(error)
        self.meter.ended(failed=error is not None)
