"""Worker processes, of which a copy starts some by itself.

They are our own program, started afresh: neither forked, as this process has threads, nor those of
`multiprocessing`, which would import the main module of the user a second time.  They speak over a
socket and end when it does, however their parent ends.
"""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import socket
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from aioobs.loops import new_event_loop
from aioobs.s3.client import Client, exchange_of
from aioobs.tasks import Tasks
from aioobs.threads import in_thread, settled, to_its_end
from aioobs.transfer.processes.batches import Outcome, do_batch
from aioobs.transfer.processes.dispatch import BATCHES_AHEAD

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aioobs.transfer.job import Safety
    from aioobs.transfer.processes.batches import Item
    from aioobs.transfer.processes.dispatch import Dispatch
    from aioobs.transfer.scheduler import Scheduler

__all__ = ["Worker", "dismiss", "main"]

PROGRAM = "from aioobs.transfer.processes.workers import main; main()"
PARENT_INTERVAL = 1.0  # seconds from one look for the parent to the next
PATIENCE = 5.0  # seconds to end in, before a process is killed
HEADER = 8  # bytes of a frame that say how long it is
READY = 0  # what answers no batch

log: logging.Logger = logging.getLogger("aioobs.transfer")


async def dismiss(workers: Sequence[Worker], dispatch: Dispatch) -> None:
    """End processes, and then what they have not finished."""
    await asyncio.gather(*(worker.end() for worker in workers))
    await dispatch.close()


class Worker:
    """A process that does batches; when it dies they are done here."""

    def __init__(self, client: Client, scheduler: Scheduler, safety: Safety) -> None:
        self.is_usable: bool = False
        self.room: asyncio.Semaphore = asyncio.Semaphore(BATCHES_AHEAD)
        self._client = client
        self._scheduler = scheduler  # of this process, which finds out how many requests pay
        self._safety = safety
        self._process: subprocess.Popen[bytes] | None = None
        self._listening: asyncio.Task[None] | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._awaited: dict[int, asyncio.Future[Outcome]] = {}
        self._sent = READY

    async def start(self) -> None:
        """Start it, and wait until it is ready.

        Raises:
            OSError: it cannot be started, or has ended.
        """
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                await in_thread(self._launch, theirs.fileno())
            reader, self._writer = await asyncio.open_connection(sock=ours)
        except BaseException:
            ours.close()
            raise
        self._listening = asyncio.create_task(self._listen(reader))
        ready = self._awaited[READY] = asyncio.get_running_loop().create_future()
        send(self._writer, (self._client.config, self._safety))
        await ready
        self.is_usable = True

    def _launch(self, descriptor: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", PROGRAM, str(descriptor), str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            pass_fds=[descriptor],
            start_new_session=True,  # Ctrl-C is for the parent
        )

    async def do(self, items: Sequence[Item]) -> Outcome:
        """Do a batch."""
        threads = max(self._scheduler.requests_at_once // BATCHES_AHEAD, 1)
        if self.is_usable and self._writer is not None:
            self._sent += 1
            outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
            self._awaited[self._sent] = outcome
            # All that goes wrong with the connection comes out of the future, once.
            send(self._writer, (self._sent, (tuple(items), threads)))
            try:
                return await outcome
            except asyncio.CancelledError:
                await to_its_end(self.end())  # or else it might go on sending
                raise
            except ConnectionError as error:
                log.warning("a worker process died, its work is done here: %r", error)
        return await do_batch(self._client, items, threads, self._safety)

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        reason: BaseException = ConnectionResetError("its connection ended")
        try:
            while True:
                number, outcome = await receive(reader)
                self._awaited.pop(number).set_result(outcome)
        except asyncio.IncompleteReadError:
            pass
        except Exception as error:  # noqa: BLE001 - its message makes no sense
            reason = ConnectionResetError(repr(error))
        finally:
            self.is_usable = False
            for future in self._awaited.values():
                if not future.done():
                    future.set_exception(reason)

    async def end(self) -> None:
        """End it, kill it if need be, and wait until it is gone."""
        if self._writer is not None:
            with suppress(OSError, RuntimeError):  # a forked process may have the socket, too
                self._writer.write_eof()
            self._writer.close()
        if self._listening is not None:
            self._listening.cancel()
            await settled(asyncio.gather(self._listening, return_exceptions=True))
        if self._process is not None:
            await in_thread(self._reap, self._process)

    def _reap(self, process: subprocess.Popen[bytes]) -> None:
        try:
            # One without work has nothing to clean up.
            process.wait(PATIENCE if self._sent and self._awaited else 0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def send(writer: asyncio.StreamWriter, message: tuple[object, object]) -> None:
    data = pickle.dumps(message)
    writer.write(len(data).to_bytes(HEADER) + data)


async def receive(reader: asyncio.StreamReader) -> tuple[Any, Any]:
    """Return the next message; raise `IncompleteReadError` if there is none."""
    size = int.from_bytes(await reader.readexactly(HEADER))
    one, other = pickle.loads(await reader.readexactly(size))  # noqa: S301 - our own process
    return one, other


# In the worker


def main() -> None:
    """Be a worker process."""
    descriptor, parent = map(int, sys.argv[1:])
    with asyncio.Runner(loop_factory=new_event_loop) as runner, suppress(asyncio.CancelledError):
        runner.run(serve(socket.socket(fileno=descriptor), parent))


async def serve(connection: socket.socket, parent: int) -> None:
    """Do what comes, until nothing comes any more or the parent is gone."""
    me = asyncio.current_task()
    assert me is not None
    watching = asyncio.create_task(cancel_orphan(parent, me))
    reader, writer = await asyncio.open_connection(sock=connection)
    batches = Tasks()

    async def answer(number: int, items: Sequence[Item], threads: int) -> None:
        send(writer, (number, await do_batch(client, items, threads, safety)))
        await writer.drain()

    with suppress(asyncio.IncompleteReadError, ConnectionError):
        config, safety = await receive(reader)
        async with Client(config) as client:
            await exchange_of(client).connections.get()  # much is imported for them
            send(writer, (READY, Outcome([])))
            try:
                while True:
                    number, (items, threads) = await receive(reader)
                    await batches.start(answer(number, items, threads), at_most=BATCHES_AHEAD)
            finally:
                await batches.cancel()
    watching.cancel()
    writer.close()


async def cancel_orphan(parent: int, task: asyncio.Task[None]) -> None:
    """Cancel a task when the parent is gone but somebody still has its end of the socket."""
    while os.getppid() == parent:  # noqa: ASYNC110 - there is no event for it
        await asyncio.sleep(PARENT_INTERVAL)
    task.cancel()
