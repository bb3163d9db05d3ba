"""Hands the jobs of a copy to other processes in batches, and takes their results.

A job is known to be done once its result has come back.  A batch that got lost is sent again;
doing a job twice does no harm.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import BrokenExecutor
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Protocol

from aioobs.errors import WorkerLost
from aioobs.threads import in_thread
from aioobs.transfer.failures import failure_of
from aioobs.transfer.job import Job, Versions
from aioobs.transfer.jobs import with_sizes
from aioobs.transfer.processes.batches import Outcome, run_batch, weight
from aioobs.transfer.shared_parts import Piece, is_big

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence
    from concurrent.futures import Executor, Future

    from aioobs.config import Config
    from aioobs.transfer.job import Safety
    from aioobs.transfer.processes.batches import Item, Result
    from aioobs.transfer.run import JobQueue, Run

__all__ = ["BATCHES_AHEAD", "BatchRunner", "Dispatch", "do_on"]

BATCHES_AHEAD = 2  # batches of each worker that are under way
FEWEST, MOST = 50, 1000  # files in a batch
MOST_BYTES = 64 << 20  # in a batch
SENDS = 3  # of a batch
PATIENCE = 30.0  # seconds to wait for batches that are not wanted any more
UNKNOWN = 16  # workers of an executor that does not say how many it has


class BatchRunner(Protocol):
    """What runs batches in other processes."""

    is_usable: bool
    room: asyncio.Semaphore
    """For as many batches as it does at the same time."""

    async def do(self, items: Sequence[Item]) -> Outcome:
        """Do a batch.

        Raises:
            WorkerLost: it has to be sent again.
        """


class Dispatch:
    """The part of a copy that other processes do: whole files, and parts of big ones.

    Args:
        run: The copy, whose scheduler copies big files and lends their parts.
        queue: The jobs.
        slots: How many batches are under way at the same time.
        shared: Whether all processes are on this machine.
    """

    def __init__(self, run: Run, queue: JobQueue, *, slots: int, shared: bool) -> None:
        self._run = run
        self._slots = slots
        self._shared = shared
        self._taken = self._returned = 0
        self._useless: WorkerLost | None = None
        self._one_at_a_time = asyncio.Lock()
        self._jobs = self._for_others(queue)

    async def serve(self, runner: BatchRunner) -> None:
        """Hand files to a runner, one batch at a time, until none is left."""
        while runner.is_usable and (jobs := await self._take()):
            outcome = await self._send(runner, jobs)
            for job, result in zip(jobs, outcome.results, strict=True):
                self._ended(job, result)
            if outcome.error is not None:
                raise outcome.error

    async def do_rest(self) -> None:
        """Do here what is left, some of which may have been taken for runners that are gone."""
        async with self._one_at_a_time:
            async for job in self._jobs:
                await self._run.copier.add(job, self._run.ended)

    async def lend(self, runner: BatchRunner) -> None:
        """Lend parts of big files to a runner, one piece at a time, until all is done."""
        scheduler = self._run.scheduler
        while runner.is_usable and (loan := await scheduler.loan(self._slots)) is not None:
            source = str(loan.piece.job.source)
            result: dict[int, str] | OSError = WorkerLost("the copy has ended", url=source)
            try:
                outcome = await self._send(runner, [loan.piece])
                if outcome.error is not None:
                    raise outcome.error
                (found,) = outcome.results
                assert isinstance(found, dict | OSError)  # as this is a piece, and was done
                result = found
            finally:
                loan.returned(result)

    async def close(self) -> None:
        """Take no more jobs; no `serve` may be running."""
        await self._jobs.aclose()

    async def _take(self) -> list[Job]:
        jobs: list[Job] = []
        size = 0
        async with self._one_at_a_time:
            # They grow, so that a short queue is shared by all and a long one costs little.
            most = min(max(FEWEST, self._taken // (2 * self._slots)), MOST)
            async for job in self._jobs:
                jobs.append(job)
                size += weight(job)
                if len(jobs) >= most or size >= MOST_BYTES:
                    break
            self._taken += len(jobs)
        return jobs

    async def _for_others(self, queue: JobQueue) -> AsyncGenerator[Job, None]:
        """Yield what other processes do; what is big is copied here, with their help."""
        run = self._run
        async for job in with_sizes(run.client, queue, run.meter.grew):
            if job.error is not None:
                run.ended(job, failure_of(job.error, job))
            elif is_big(job, run.client.config, shared=self._shared):
                await run.copier.add(job, run.ended)
            else:
                yield job

    async def _send(self, runner: BatchRunner, items: Sequence[Item]) -> Outcome:
        async with runner.room:
            for _ in range(SENDS):
                if self._useless:  # as another batch has found out meanwhile
                    raise self._useless
                try:
                    outcome = await runner.do(items)
                except WorkerLost as error:
                    lost = error
                    if not runner.is_usable:
                        break
                else:
                    self._returned += 1
                    return outcome
            if runner.is_usable and not self._returned:  # nobody can, for all that is known
                self._useless = lost
                raise lost from lost.__cause__
        if not runner.is_usable:
            self._run.scheduler.refuse_loans("its other parts were lost")
        return Outcome([lost_with(item, lost) for item in items])

    def _ended(self, job: Job, result: Result) -> None:
        if isinstance(result, Versions):
            self._run.meter.moved(job.size or 0)
        if isinstance(result, OSError | Versions):
            self._run.ended(job, result)


def lost_with(item: Item, lost: WorkerLost) -> WorkerLost:
    """Return the error that a file was lost with its batch."""
    job = item.job if isinstance(item, Piece) else item
    error = WorkerLost(lost.message, url=str(job.source))
    error.__cause__ = lost.__cause__
    return error


async def do_on(
    executor: Executor, run: Run, queue: JobQueue, *, workers: int | None, threads: int
) -> str:
    """Have an executor do the jobs of a queue; return why it could not do all of them, if so."""
    from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor  # slow to import

    slots = BATCHES_AHEAD * (workers or workers_of(executor))
    runner = OnExecutor(executor, run.client.config, slots, threads, run.safety)
    local = isinstance(executor, (ProcessPoolExecutor, ThreadPoolExecutor))
    dispatch = Dispatch(run, queue, slots=slots, shared=local)
    run.scheduler.lend_all()

    async def serve() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(slots):
                group.create_task(dispatch.serve(runner))

    try:
        await run.scheduler.run(serve(), *(dispatch.lend(runner) for _ in range(slots)))
    finally:
        await dispatch.close()
        await run.copier.aclose()
    if runner.is_usable:
        return ""
    copied = run.meter.files - run.meter.failed
    return (
        f"{runner.reason}: {copied} files were copied; whether those were that were under way, "
        "which follow, is not known; nothing else was begun"
    )


def workers_of(executor: Executor) -> int:
    """Return how many workers an executor has, if it says so."""
    for name in ("_max_workers", "num_workers"):
        if isinstance(count := getattr(executor, name, None), int) and count > 0:
            return count
    return UNKNOWN


class OnExecutor:
    """Has an executor do batches."""

    def __init__(
        self, executor: Executor, config: Config, slots: int, threads: int, safety: Safety
    ) -> None:
        self.is_usable: bool = True
        self.room: asyncio.Semaphore = asyncio.Semaphore(slots)
        self.reason: str = ""
        self._executor = executor
        self._config = config
        self._threads = threads
        self._safety = safety

    async def do(self, items: Sequence[Item]) -> Outcome:
        """Do a batch; see `BatchRunner`."""
        futures: list[Future[Outcome]] = []

        def submit() -> None:
            call = partial(run_batch, self._config, items, self._threads, self._safety)
            futures.append(self._executor.submit(call))

        try:
            await in_thread(submit)  # it may take its time
            await ended(futures[0])
            return futures[0].result()
        except BrokenExecutor as error:
            self.is_usable = False
            self.reason = f"the executor cannot go on ({error})"
            raise WorkerLost(self.reason) from error
        except asyncio.CancelledError as error:
            if futures and futures[0].done() and not is_cancelled():
                raise WorkerLost("an executor cancelled a batch") from error
            for future in futures:
                if not future.cancel():  # it may be sending parts: let it end
                    with suppress(TimeoutError):
                        async with asyncio.timeout(PATIENCE):
                            await ended(future)
            raise
        except Exception as error:  # run_batch returns its own: this is the executor's
            raise WorkerLost(f"an executor lost a batch: {error!r}") from error


def is_cancelled() -> bool:
    """Tell whether this task is being cancelled."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def ended(future: Future[Outcome]) -> None:
    """Wait until a future of an executor is done, whatever comes of it."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()

    def tell(_: object) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(done.set)

    future.add_done_callback(tell)
    await done.wait()
