"""A copy that starts worker processes by itself where a single process is the bottleneck.

It begins in this process.  Now and then it looks whether the processor time of this process is the
bottleneck and other cores are idle; then it starts a process for each of these, hands them batches
from the same queue and parts of big files, and goes on working itself.  Where processes would not
help, as with a slow store or in a short copy, none are started.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from aioobs.tasks import ungrouped
from aioobs.threads import to_its_end
from aioobs.transfer.processes.idle_cores import can_start_processes, idle_cores, wanted_processes

if TYPE_CHECKING:
    from aioobs.transfer.run import JobQueue, Run

__all__ = ["take_with_processes"]

MOST = 7  # processes

log: logging.Logger = logging.getLogger("aioobs.transfer")


async def take_with_processes(run: Run, queue: JobQueue) -> None:
    """Do the jobs of a queue here, and in worker processes once they pay."""
    processes = WorkerProcesses(run, queue)
    if not can_start_processes():
        await run.take(queue)
        return
    with ungrouped():
        async with asyncio.TaskGroup() as group:
            joining = group.create_task(processes.join())
            await run.take(queue, others=True)
            if not processes.are_there:
                joining.cancel()


class WorkerProcesses:
    """Worker processes that come when they are needed."""

    def __init__(self, run: Run, queue: JobQueue) -> None:
        self.are_there: bool = False
        self._run = run
        self._queue = queue

    async def join(self) -> None:
        """Wait until processes pay, start them, and have them work until the queue is empty."""
        count = wanted_processes()
        while not count:
            count = min(await idle_cores(), MOST)
        # Most copies end before these are needed, and they are slow to import.
        from aioobs.transfer.processes.dispatch import BATCHES_AHEAD, Dispatch
        from aioobs.transfer.processes.workers import Worker, dismiss

        run = self._run
        workers = [Worker(run.client, run.scheduler, run.safety) for _ in range(count)]
        slots = BATCHES_AHEAD * len(workers)
        dispatch = Dispatch(self._run, self._queue, slots=slots, shared=True)
        log.info("starting %d worker processes", len(workers))
        try:
            for worker in workers:
                await worker.start()
            self.are_there = True
            async with asyncio.TaskGroup() as group:
                for worker in workers * BATCHES_AHEAD:
                    group.create_task(dispatch.serve(worker))
                    group.create_task(dispatch.lend(worker))
        except OSError as error:
            if self.are_there:
                raise
            log.warning("no worker processes can be started: %s", error)
        finally:
            await to_its_end(dismiss(workers, dispatch))
