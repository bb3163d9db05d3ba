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

from aioobs.threads import to_its_end
from aioobs.transfer.processes.idle_cores import can_start_processes, idle_cores, wanted_processes

if TYPE_CHECKING:
    from aioobs.transfer.processes.workers import Worker
    from aioobs.transfer.run import JobQueue, Run

__all__ = ["take_with_processes"]

MOST = 7  # processes

log: logging.Logger = logging.getLogger("aioobs.transfer")


async def take_with_processes(run: Run, queue: JobQueue) -> None:
    """Do the jobs of a queue here, and in worker processes once they pay."""
    if can_start_processes():
        await run.take(queue, join(run, queue))
    else:
        await run.take(queue)


async def join(run: Run, queue: JobQueue) -> None:
    """Wait until processes pay, start them, and have them work until all is done."""
    count = wanted_processes()
    while not count:
        count = min(await idle_cores(), MOST)
    # Most copies end before these are needed, and they are slow to import.
    from aioobs.transfer.processes.dispatch import BATCHES_AHEAD, Dispatch
    from aioobs.transfer.processes.workers import Worker, dismiss

    workers = [Worker(run.client, run.scheduler, run.safety) for _ in range(count)]
    dispatch = Dispatch(run, queue, slots=BATCHES_AHEAD * count, shared=True)
    serving = 0

    async def serve(worker: Worker) -> None:
        nonlocal serving
        if not serving:
            run.scheduler.begin()  # what is found to be big is still to come
        serving += 1
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(BATCHES_AHEAD):
                    group.create_task(dispatch.serve(worker))
            if serving == 1:
                await dispatch.do_rest()
        finally:
            serving -= 1
            if not serving:
                run.scheduler.end()

    async def employ(worker: Worker) -> None:
        try:
            await worker.start()
        except OSError as error:
            log.warning("a worker process cannot be started: %s", error)
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(serve(worker))
            for _ in range(BATCHES_AHEAD):
                group.create_task(dispatch.lend(worker))

    log.info("starting %d worker processes", count)
    try:
        async with asyncio.TaskGroup() as group:
            for worker in workers:
                group.create_task(employ(worker))
    finally:
        await to_its_end(dismiss(workers, dispatch))
