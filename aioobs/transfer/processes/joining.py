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
    from collections.abc import Sequence

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
    runners = workers * BATCHES_AHEAD
    dispatch = Dispatch(run, queue, slots=len(runners), shared=True)

    async def serve() -> None:
        run.scheduler.begin()  # what is found to be big is still to come
        try:
            async with asyncio.TaskGroup() as group:
                for runner in runners:
                    group.create_task(dispatch.serve(runner))
            await dispatch.do_rest()
        finally:
            run.scheduler.end()

    log.info("starting %d worker processes", len(workers))
    try:
        if await started(workers):
            async with asyncio.TaskGroup() as group:
                group.create_task(serve())
                for runner in runners:
                    group.create_task(dispatch.lend(runner))
    finally:
        await to_its_end(dismiss(workers, dispatch))


async def started(workers: Sequence[Worker]) -> bool:
    """Start processes; return whether that was possible."""
    try:
        for worker in workers:
            await worker.start()
    except OSError as error:
        log.warning("no worker processes can be started: %s", error)
        return False
    return True
