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
from aioobs.tasks import ungrouped
from aioobs.threads import in_thread, to_its_end
from aioobs.transfer.failures import failure_of
from aioobs.transfer.job import Job, Versions
from aioobs.transfer.jobs import with_size, with_sizes
from aioobs.transfer.processes.batches import Outcome, run_batch, weight
from aioobs.transfer.processes.pieces import Piece, big_file_of, is_big

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence
    from concurrent.futures import Executor, Future

    from aioobs.config import Config
    from aioobs.transfer.job import Safety
    from aioobs.transfer.processes.batches import Item, Result
    from aioobs.transfer.processes.pieces import BigFile
    from aioobs.transfer.run import JobQueue, Run

    Entry = tuple[Item, BigFile | None]

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

    async def do(self, items: Sequence[Item]) -> Outcome:
        """Do a batch.

        Raises:
            WorkerLost: it has to be sent again.
        """


class Dispatch:
    """The part of a copy that other processes do."""

    def __init__(self, run: Run, queue: JobQueue, *, slots: int, shared: bool) -> None:
        self._run = run
        self._slots = slots
        self._shared = shared
        self._taken = self._returned = 0
        self._big_files: set[BigFile] = set()
        self._one_at_a_time = asyncio.Lock()
        self._entries = self._prepared(queue)

    async def serve(self, runner: BatchRunner) -> None:
        """Hand batches to a runner, one at a time, until none is left."""
        while runner.is_usable and (entries := await self._take()):
            outcome = await self._send(runner, [item for item, _ in entries])
            for (item, file), result in zip(entries, outcome.results, strict=True):
                if isinstance(item, Piece) and file is not None:
                    await self._piece_ended(item, file, result)
                elif isinstance(item, Job):
                    self._ended(item, result)
            if outcome.error is not None:
                raise outcome.error

    async def close(self) -> None:
        """Give up the big files that were begun and not ended; no `serve` may be running."""
        await to_its_end(self._close())

    async def _close(self) -> None:
        await self._entries.aclose()
        for file in self._big_files:
            await file.give_up()

    def unfinished(self) -> list[Job]:
        """Return the big files that were begun and not ended."""
        return [file.job for file in self._big_files]

    async def _take(self) -> list[Entry]:
        entries: list[Entry] = []
        size = 0
        async with self._one_at_a_time:
            # They grow, so that a short queue is shared by all and a long one costs little.
            most = min(max(FEWEST, self._taken // (2 * self._slots)), MOST)
            async for entry in self._entries:
                entries.append(entry)
                size += weight(entry[0])
                if len(entries) >= most or size >= MOST_BYTES:
                    break
            self._taken += len(entries)
        return entries

    async def _prepared(self, queue: JobQueue) -> AsyncGenerator[Entry, None]:
        """Yield what can be handed out: files of known size, big ones in pieces."""
        async for job in with_sizes(self._run.client, queue, self._run.meter.grew):
            if job.error is not None:
                self._run.ended(job, failure_of(job.error, job))
            elif not is_big(job, self._run.client, shared=self._shared):
                yield job, None
            else:
                file = big_file_of(job, self._run.copier)
                self._big_files.add(file)
                try:
                    pieces = await file.begin()
                except OSError as error:
                    file.error, pieces = failure_of(error, job), []
                self._run.meter.moved(file.moved)
                if pieces is None:
                    self._big_files.discard(file)
                    await file.give_up()
                    yield job, None
                    continue
                for piece in pieces:
                    file.under_way += 1
                    file.all_given = piece is pieces[-1]
                    yield piece, file
                    if file.error is not None:
                        break
                file.all_given = True
                await self._settle(file)

    async def _send(self, runner: BatchRunner, items: list[Item]) -> Outcome:
        for _ in range(SENDS):
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
            raise lost from lost.__cause__
        return Outcome([lost_with(item, lost) for item in items])

    def _ended(self, job: Job, result: Result) -> None:
        if isinstance(result, Versions):
            self._run.meter.moved(job.size or 0)
        if isinstance(result, OSError | Versions):
            self._run.ended(job, result)

    async def _piece_ended(self, piece: Piece, file: BigFile, result: Result) -> None:
        if result is None or isinstance(result, Versions):
            return
        if not isinstance(result, OSError):
            self._run.meter.moved(piece.size)
        file.returned(piece, result)
        await self._settle(file)

    async def _settle(self, file: BigFile) -> None:
        """End a big file of which nothing is under way any more."""
        if file.under_way or not file.all_given or file not in self._big_files:
            return
        self._big_files.discard(file)
        try:
            outcome = await self._finish(file)
        finally:
            await file.give_up()
        self._run.ended(file.job, outcome)

    async def _finish(self, file: BigFile) -> Versions | OSError:
        run, job = self._run, file.job
        try:
            if file.error is None:
                return await file.finish()
        except OSError as error:
            file.error = failure_of(error, job)
        if not file.begins_anew:
            return file.error
        run.meter.moved(-file.moved)
        await file.give_up()
        try:
            return await run.copier.copy(await with_size(run.client, job))
        except OSError as error:
            return failure_of(error, job)


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

    runner = OnExecutor(executor, run.client.config, threads, run.safety)
    slots = BATCHES_AHEAD * (workers or workers_of(executor))
    local = isinstance(executor, (ProcessPoolExecutor, ThreadPoolExecutor))
    dispatch = Dispatch(run, queue, slots=slots, shared=local)
    try:
        with ungrouped():
            async with asyncio.TaskGroup() as group:
                for _ in range(slots):
                    group.create_task(dispatch.serve(runner))
    finally:
        await dispatch.close()
    if runner.is_usable:
        return ""
    for job in dispatch.unfinished():
        run.ended(job, WorkerLost("its other parts were lost", url=str(job.source)))
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

    def __init__(self, executor: Executor, config: Config, threads: int, safety: Safety) -> None:
        self.is_usable: bool = True
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
