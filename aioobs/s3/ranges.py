"""One object, or a long range of it, in several requests at once."""

from __future__ import annotations

import mmap
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from aioobs.calling_thread import on_loop
from aioobs.errors import ReadError
from aioobs.s3.body import BufferSink
from aioobs.s3.parts import cut
from aioobs.tasks import Tasks

if TYPE_CHECKING:
    from collections.abc import Callable

    from aioobs.s3.body import Sink
    from aioobs.s3.objects import ObjectInfo

__all__ = ["fill", "load", "read_ranges"]

RANGES_AT_ONCE = 16  # a real store gives 50 to 100 MB/s to each


class Read(Protocol):
    """Writes a range of one object into a sink."""

    async def __call__(self, sink: Sink, *, start: int, stop: int, if_match: str) -> ObjectInfo: ...


async def read_ranges(
    read: Read,
    sink_at: Callable[[int, int], Sink],
    *,
    start: int,
    size: int,
    part_size: int,
    etag: str,
) -> None:
    """Read *size* bytes from *start* on with *read*, into what *sink_at* gives.

    That is called with the offset and the size of each part, the first of which begins at 0.

    Raises:
        ObjectChanged: the object is not the one with the ETag *etag*.
        ReadError: there are not as many bytes.
    """

    async def read_part(offset: int, length: int) -> None:
        sink = sink_at(offset, length)
        first = start + offset
        await read(sink, start=first, stop=first + length, if_match=etag)
        if sink.received != length:
            raise ReadError(f"{length} bytes were wanted, {sink.received} came")

    if size <= part_size:
        await read_part(0, size)
        return
    await on_loop()
    async with Tasks() as tasks:
        for part in cut(size, part_size):
            await tasks.start(read_part(part.offset, part.size), at_most=RANGES_AT_ONCE)


def huge_memory(size: int) -> memoryview:
    """Return memory that takes less time to get than that of `bytes`, if it is long."""
    memory = mmap.mmap(-1, max(size, 1))
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a kernel without them
            memory.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(memory)[:size]


async def load(read: Read, size: int, *, part_size: int, etag: str) -> memoryview:
    """Return an object of this size in memory of its own."""
    buffer = huge_memory(size)
    if size:
        await read_ranges(
            read,
            lambda offset, length: BufferSink(buffer[offset : offset + length]),
            start=0,
            size=size,
            part_size=part_size,
            etag=etag,
        )
    return buffer


async def fill(read: Read, buffer: memoryview, *, start: int, part_size: int, etag: str) -> int:
    """Fill *buffer* with what an object has from *start* on; return how many bytes that are."""
    sink = BufferSink(buffer[:part_size])
    info = await read(sink, start=start, stop=start + len(sink.room(part_size)), if_match=etag)
    size, begun = min(len(buffer), info.size - start), sink.received
    if begun < size:
        await read_ranges(
            read,
            lambda offset, length: BufferSink(buffer[begun + offset : begun + offset + length]),
            start=start + begun,
            size=size - begun,
            part_size=part_size,
            etag=info.etag,
        )
    return size
