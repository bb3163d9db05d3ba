"""Bodies moved between a connection and a file, or memory, in a worker thread, past the event loop.

The thread works on a duplicate of the connection's descriptor, without the interpreter's lock
most of the time.  One that is told to stop is waited for before anybody closes anything.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
import threading
import time
from contextlib import nullcontext, suppress
from functools import partial
from typing import TYPE_CHECKING

from aioobs.errors import ConnectionFailed, ReadError
from aioobs.s3 import body as bodies
from aioobs.s3.body import FilePart, FileSink
from aioobs.s3.http.tls import SENT, Tunnel
from aioobs.threads import settled

if TYPE_CHECKING:
    from collections.abc import Callable

    from aioobs.s3.body import Body, DirectSink
    from aioobs.s3.http.idle_timeout import Progress
    from aioobs.s3.http.tls import SharedTLS

__all__ = ["NoThread", "can_pump", "receive_into", "send_body"]

LAST = 64 << 10  # bytes of a file, which are read after it was checked
PIPE = 1 << 20  # bytes that it holds
TURN = 0.02  # seconds for which a connection may receive while others wait
POLL = 100  # milliseconds between two looks whether to stop
REPORT = 0.05  # seconds between two reports that bytes have moved


def daemons_allowed() -> bool:
    """Tell whether this interpreter may have daemon threads, as the main one may."""
    try:
        threading.Thread(daemon=True)
    except RuntimeError:  # one of an InterpreterPoolExecutor
        return False
    return True


DAEMONS_ALLOWED = daemons_allowed()


def can_pump() -> bool:
    """Tell whether threads can be started, which is over when the interpreter ends."""
    return DAEMONS_ALLOWED and threading.main_thread().is_alive()


class NoThread(Exception):
    """No thread can be started: too many run already.  Nothing has moved."""


class Plain(socket.socket):
    """A socket without TLS, which many threads may receive from."""

    unsent = False

    def turn(self) -> nullcontext[None]:
        """Wait for nobody."""
        return nullcontext()


class Pump:
    """A worker thread on a connection."""

    def __init__(self, descriptor: int, progress: Progress, tls: SharedTLS | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._done: asyncio.Future[None] = self._loop.create_future()
        self._report = progress
        self._error: BaseException | None = None
        self.socket: Plain = Plain(fileno=os.dup(descriptor))
        self.socket.setblocking(False)  # or else socket.setdefaulttimeout() is heard
        self.channel: Plain | Tunnel = self.socket if tls is None else Tunnel(tls, self.socket)
        self.count: int = 0
        """Bytes that have moved."""
        self._reported = 0
        self._report_at = 0.0
        self.stopped: bool = False

    async def run(self, work: Callable[[Pump], None]) -> None:
        """Run *work* in the thread; a cancellation stops it, and waits until it has ended."""
        thread = threading.Thread(target=self._work, args=(work,), name="aioobs-pump", daemon=True)
        try:
            try:
                thread.start()
            except RuntimeError as exc:
                raise NoThread from exc
            try:
                await asyncio.shield(self._done)
            except BaseException:
                await self._stopped()
                raise
        finally:
            self.socket.close()
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    async def _stopped(self) -> None:
        """Have the thread end, and wait for it however often this is cancelled."""
        self.stopped = True
        with suppress(OSError):  # it may be down already
            self.socket.shutdown(socket.SHUT_RDWR)
        await settled(self._done)

    def _work(self, work: Callable[[Pump], None]) -> None:
        try:
            work(self)
        except BaseException as error:  # noqa: BLE001 - raised in the task that waits
            self._error = error
        self._tell(self._done.set_result, None)

    def moved(self, count: int) -> None:
        """Count bytes that have moved, and report them now and then."""
        self.count += count
        now = time.monotonic()
        if now >= self._report_at:
            self._report_at = now + REPORT
            self._tell(self._report, self.count - self._reported)
            self._reported = self.count

    def _tell(self, callback: Callable[..., None], *arguments: int | None) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            self._loop.call_soon_threadsafe(callback, *arguments)

    def wait(self, event: int, over: Callable[[], bool] = lambda: False) -> None:
        """Wait until the connection is ready for *event*, or it is *over*, or to be stopped."""
        poll = select.poll()
        poll.register(self.socket, event)
        while not (self.stopped or poll.poll(POLL) or over()):
            pass


async def receive_into(
    descriptor: int,
    size: int,
    sink: DirectSink,
    progress: Progress,
    tls: SharedTLS | None = None,
) -> bool:
    """Write the next *size* bytes that arrive on a connection into *sink*.

    Returns whether nothing else has been taken from the connection.  The event loop must not
    read from it.

    Raises:
        ReadError: the connection ends before.
        NoThread: the event loop has to do it.
    """
    pump = Pump(descriptor, progress, tls)
    if tls is None:
        await pump.run(partial(receive, size=size, sink=sink))
        return True
    tls.take(receiving=True)
    try:
        await pump.run(partial(receive, size=size, sink=sink))
        return tls.is_drained()
    finally:
        tls.leave()


def receive(pump: Pump, *, size: int, sink: DirectSink) -> None:
    if isinstance(sink, FileSink):
        sink.expect(size)
        if pump.channel is pump.socket and hasattr(os, "splice"):
            receive_pages(pump, size, sink)
    while pump.count < size and not pump.stopped:
        with pump.channel.turn():
            more = receive_some(pump, size, sink)
            sink.rest()
        if not more:
            pump.wait(select.POLLIN)


def receive_some(pump: Pump, size: int, sink: DirectSink) -> bool:
    """Move what is there, for a moment; return whether there may be more.

    To do so without giving the turn away in between, and with the buffer still in the cache of
    the processor, takes a tenth less CPU over TLS.

    Raises:
        ReadError: the connection has ended.
    """
    end = time.monotonic() + TURN
    while pump.count < size and not pump.stopped and time.monotonic() < end:
        try:
            filled = drain(pump, sink.room(size - pump.count))
        except BlockingIOError:
            return False
        sink.took(filled)
        pump.moved(filled)
        if not filled and not pump.stopped:
            raise ReadError(f"the answer broke off, {size - pump.count} bytes short")
    return True


def receive_pages(pump: Pump, size: int, sink: FileSink) -> None:
    """Have the system move bytes into the file, past the memory of this process.

    Where that ends early the reason is found by receiving the rest.
    """
    import fcntl

    try:
        reader, writer = os.pipe()
    except OSError:  # too many open files
        return
    try:
        try:
            fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE)
        except OSError:  # a user's pipes together may hold only so much, and small ones are slow
            return
        while pump.count < size and not pump.stopped:
            try:
                count = os.splice(pump.socket.fileno(), writer, min(size - pump.count, PIPE))
            except BlockingIOError:
                pump.wait(select.POLLIN)
                continue
            except OSError:
                break
            if not count:
                break
            sink.take(reader, count)
            pump.moved(count)
    finally:
        os.close(reader)
        os.close(writer)


def drain(pump: Pump, buffer: memoryview) -> int:
    """Receive what is there, if there is room; 0: the connection has ended.

    Raises:
        BlockingIOError: nothing is there yet.
    """
    filled = 0
    while filled < len(buffer) and not pump.stopped:
        try:
            count = pump.channel.recv_into(buffer[filled:])
        except BlockingIOError:
            if not filled:
                raise
            break
        except OSError:
            break
        if not count:
            break
        filled += count
    return filled


async def send_body(
    descriptor: int,
    head: bytes,
    body: Body,
    progress: Progress,
    over: Callable[[], bool],
    tls: SharedTLS | None = None,
) -> bool:
    """Send *head* and *body* on a connection; return whether all was sent before it was *over*.

    Raises:
        ConnectionFailed: the connection ends before.
        SourceError: the file is shorter than it was.
        NoThread: the event loop has to do it.
    """
    pump = Pump(descriptor, progress, tls)
    if tls is not None:
        tls.take(receiving=False)
    try:
        await pump.run(partial(send, head=head, body=body, over=over))
    finally:
        if tls is not None:
            tls.leave()
    return pump.count == len(head) + bodies.size_of(body) and not pump.channel.unsent


def send(pump: Pump, *, head: bytes, body: Body, over: Callable[[], bool]) -> None:
    sent, size = 0, bodies.size_of(body)
    most = SENT if isinstance(pump.channel, Tunnel) else bodies.BUFFER
    while sent < size:
        piece = memoryview(bodies.piece_of(body, sent, most))
        # Some stores take a head that nothing follows for an empty object, so it has to wait
        # until the file turns out to be good.
        if not (sent or push(pump, memoryview(head), over)):
            return
        if not push(pump, piece, over):
            return
        sent += len(piece)
        if isinstance(body, FilePart) and body.zero_copy and pump.channel is pump.socket:
            sent += send_pages(pump, body, sent, over)


def send_pages(pump: Pump, body: FilePart, start: int, over: Callable[[], bool]) -> int:
    """Send the file's own pages, all but the last ones; return how many bytes were sent.

    Where that fails the reason, of the file or of the connection, is found by reading on.
    """
    sent, size = 0, body.size - LAST - start
    while sent < size and not pump.stopped and not over():
        offset = body.offset + start + sent
        most = min(size - sent, bodies.CHUNK)  # or else a slow disk is taken for a stall
        try:
            count = os.sendfile(pump.socket.fileno(), body.descriptor, offset, most)
        except BlockingIOError:
            pump.wait(select.POLLOUT, over)
            continue
        except OSError:
            break
        if not count:  # the file became shorter
            break
        pump.moved(count)
        sent += count
    return sent


def push(pump: Pump, view: memoryview, over: Callable[[], bool]) -> bool:
    """Send the next bytes; return whether more are wanted."""
    while (view or pump.channel.unsent) and not pump.stopped:
        try:
            count = pump.channel.send(view)
        except BlockingIOError:
            if over():
                return False
            pump.wait(select.POLLOUT, over)
        except OSError as exc:
            if over():
                return False
            raise ConnectionFailed(f"the connection broke while sending: {exc}") from exc
        else:
            pump.moved(count)
            view = view[count:]
    return not pump.stopped and not over()
