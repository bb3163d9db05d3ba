"""Where bodies come from and where they go: memory, or a range of an open file.

Files are read and written in worker threads.
"""

from __future__ import annotations

import base64
import io
import os
import sys
from abc import ABC, abstractmethod
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol

from aioobs.errors import ReadError, SourceError
from aioobs.preallocation import preallocate
from aioobs.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

__all__ = [
    "CHUNK",
    "Body",
    "BufferSink",
    "DirectSink",
    "FilePart",
    "FileSink",
    "Memory",
    "MemorySink",
    "Sink",
    "chunks",
    "digest",
    "md5_of",
    "size_of",
]

BUFFER = 512 << 10  # bytes of a worker thread's buffer
KEPT = 2  # such buffers
CHUNK = 1 << 20
"""How much of a body is read and sent in one go."""
# There the collector of garbage crashes when it finds the buffer of a BytesIO (gh-111049).
FRAGILE = (3, 12) <= sys.version_info < (3, 12, 2)


class FilePart(NamedTuple):
    """A range of an open file; the descriptor stays the caller's.

    *check* is called before the last bytes are sent: what it raises ends the request, so that
    the store takes nothing.

    With *zero_copy* the system may send the file's own memory, which is faster.  What is written to
    the file until the answer has come may be sent then, although *check* has found nothing: ask
    for it where the file is checked again before the store makes an object of what was sent.
    """

    descriptor: int
    offset: int
    size: int
    check: Callable[[], None] | None = None
    zero_copy: bool = False


Body = bytes | bytearray | memoryview | FilePart


def size_of(body: Body) -> int:
    """Return the number of bytes that *body* sends."""
    if isinstance(body, FilePart):
        return body.size
    return body.nbytes if isinstance(body, memoryview) else len(body)


async def chunks(body: Body) -> AsyncIterator[bytes | memoryview]:
    """Yield what *body* sends; files are read in a worker thread.

    Raises:
        SourceError: the file is shorter than it was.
    """
    if not isinstance(body, FilePart):
        for piece in pieces(body):
            yield piece
        return
    for offset in range(0, body.size, CHUNK):
        yield await in_thread(read_piece, body, offset, CHUNK)


def read_piece(body: FilePart, offset: int, size: int) -> bytes:
    """Return the next bytes of a body; the last ones only if nothing has changed."""
    size = min(size, body.size - offset)
    try:
        data = read_exactly(body.descriptor, size, body.offset + offset)
    except SourceError:
        if body.check is not None:
            body.check()  # which knows better what has happened, or knows of nothing
        raise
    if offset + size == body.size and body.check is not None:
        body.check()
    return data


def read_exactly(descriptor: int, size: int, offset: int) -> bytes:
    """Return *size* bytes of a file from *offset* on.

    Raises:
        SourceError: the file ends before.
    """
    data = b""
    while len(data) < size:
        try:
            more = os.pread(descriptor, size - len(data), offset + len(data))
        except OSError as exc:
            raise SourceError(f"the file cannot be read: {exc.strerror}") from exc
        if not more:
            end = offset + len(data)
            raise SourceError(f"the file ends after {end} bytes, and more was to be sent")
        data = data + more if data else more
    return data


def pieces(body: Body, size: int = CHUNK) -> Iterator[bytes | memoryview]:
    """Yield what *body* sends, reading files in this thread, *size* bytes at a time."""
    for offset in range(0, size_of(body), size):
        yield piece_of(body, offset, size)


def piece_of(body: Body, offset: int, size: int) -> bytes | memoryview:
    """Return at most *size* bytes of what *body* sends, reading a file in this thread."""
    if isinstance(body, FilePart):
        return read_piece(body, offset, size)
    return memoryview(body).cast("B")[offset : offset + size]


class Sink(Protocol):
    """What the body of an answer is written into."""

    received: int
    """The number of bytes that are safely there."""

    async def write(self, chunk: bytes) -> None:
        """Write the next bytes."""


class DirectSink(ABC):
    """A sink whose memory a worker thread fills, without the event loop."""

    received = 0

    @abstractmethod
    async def write(self, chunk: bytes) -> None:
        """Write the next bytes."""

    @abstractmethod
    def room(self, size: int) -> memoryview:
        """Return memory for the next bytes, of which *size* are to come."""

    @abstractmethod
    def took(self, count: int) -> None:
        """Count, and use, the first *count* bytes of that memory, which have been filled."""

    def rest(self) -> None:  # noqa: B027 - most have none that others could use
        """Let others use that memory until more comes."""


class BufferSink(DirectSink):
    """Fills memory of somebody else, which has to have room for the whole body."""

    def __init__(self, buffer: memoryview) -> None:
        self._buffer = buffer

    async def write(self, chunk: bytes | memoryview) -> None:
        """Write the next bytes.

        Raises:
            ReadError: there is no room for them.
        """
        room = self.room(len(chunk))
        if len(room) < len(chunk):
            raise ReadError(f"{len(self._buffer)} bytes were wanted, more came")
        room[:] = chunk
        self.received += len(chunk)

    def room(self, size: int) -> memoryview:
        """Return the next bytes of the buffer."""
        return self._buffer[self.received : self.received + size]

    def took(self, count: int) -> None:
        """Count the bytes."""
        self.received += count


class Memory:
    """Memory to be filled, whose value is had without a second copy.

    Views of it may live on, in the traceback of what failed.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._filled = bytearray(size) if FRAGILE else FreedWithViews(bytes(size))

    def view(self) -> memoryview:
        """Return all of it, to be filled."""
        filled = self._filled
        return filled.getbuffer() if isinstance(filled, FreedWithViews) else memoryview(filled)

    def value(self, size: int) -> bytes:
        """Return the first *size* bytes of it."""
        if isinstance(self._filled, FreedWithViews) and size == self._size:
            return self._filled.getvalue()
        return bytes(self.view()[:size])


class FreedWithViews(io.BytesIO):
    """Bytes that are freed with the last view of them."""

    def close(self) -> None:
        """Free them, unless there is a view."""
        with suppress(BufferError):
            super().close()


class MemorySink(DirectSink):
    """Gathers a body in memory, a long one without a second copy."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._memory: Memory | None = None

    async def write(self, chunk: bytes) -> None:
        """Write the next bytes."""
        if self._memory is None:
            self._chunks.append(chunk)
        else:
            room = self.room(len(chunk))
            if len(room) < len(chunk):
                raise ReadError(f"{self.received + len(room)} bytes were announced, more came")
            room[:] = chunk
        self.received += len(chunk)

    def room(self, size: int) -> memoryview:
        """Return memory for all the rest of the body."""
        if self._memory is None:
            self._memory = Memory(self.received + size)
            self._memory.view()[: self.received] = b"".join(self._chunks)
            self._chunks.clear()
        return self._memory.view()[self.received : self.received + size]

    def took(self, count: int) -> None:
        """Count the bytes."""
        self.received += count

    def getvalue(self) -> bytes:
        """Return all that came."""
        if self._memory is None:
            return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        return self._memory.value(self.received)


class FileSink(DirectSink):
    """Writes a body into an open file from an offset on; the descriptor stays the caller's."""

    _free: ClassVar[deque[memoryview]] = deque()
    """Buffers that nobody uses, for any thread."""

    def __init__(self, descriptor: int, offset: int = 0) -> None:
        self._descriptor = descriptor
        self._offset = offset
        self._buffer = memoryview(b"")

    async def write(self, chunk: bytes) -> None:
        """Write the next bytes."""
        await in_thread(self.write_now, memoryview(chunk))

    def room(self, size: int) -> memoryview:
        """Return a buffer."""
        if not self._buffer:
            try:
                self._buffer = self._free.pop()
            except IndexError:
                self._buffer = memoryview(bytearray(BUFFER))
        return self._buffer[:size]

    def took(self, count: int) -> None:
        """Write what is in the buffer."""
        self.write_now(self._buffer[:count])

    def rest(self) -> None:
        """Leave the buffer to others."""
        if self._buffer and len(self._free) < KEPT:
            self._free.append(self._buffer)
        self._buffer = memoryview(b"")

    def expect(self, size: int) -> None:
        """Make ready for *size* more bytes."""
        preallocate(self._descriptor, self._offset + self.received, size)

    def take(self, pipe: int, count: int) -> None:
        """Write the next *count* bytes, which are in a pipe, without having them in memory."""
        end = self.received + count
        while self.received < end:
            left = end - self.received
            try:
                moved = os.splice(
                    pipe, self._descriptor, left, offset_dst=self._offset + self.received
                )
            except OSError:
                moved = 0
            if moved:
                self.received += moved
            else:  # writing does it, or says why not
                self.write_now(memoryview(os.read(pipe, left)))

    def write_now(self, view: memoryview) -> None:
        """Write the next bytes, in a thread that may wait for the disk."""
        while view:
            count = os.pwrite(self._descriptor, view, self._offset + self.received)
            self.received += count
            view = view[count:]


async def md5_of(body: Body) -> str:
    """Return the MD5 of all that *body* sends, as `Content-MD5` has it."""
    return base64.b64encode(await digest(body, "md5")).decode()


async def digest(body: Body, algorithm: str) -> bytes:
    """Return the hash of all that *body* sends, computed in a worker thread if it is long."""
    import hashlib

    def compute() -> bytes:
        hashing = hashlib.new(algorithm, usedforsecurity=False)
        for piece in pieces(body):
            hashing.update(piece)
        return hashing.digest()

    if size_of(body) <= CHUNK // 16 and not isinstance(body, FilePart):
        return compute()
    return await in_thread(compute)
