"""Objects opened for reading: blocks, fetched ahead of the reader."""

from __future__ import annotations

import asyncio
import io
import os
from functools import partial
from typing import TYPE_CHECKING

from aioobs.calling_thread import on_loop
from aioobs.errors import IsADirectory, NotFound, ObjectChanged, ReadError
from aioobs.s3.body import BufferSink, Memory, MemorySink
from aioobs.s3.ranges import read_ranges
from aioobs.store.remote import RemoteStore, file_url
from aioobs.threads import settled

if TYPE_CHECKING:
    from aioobs.s3.client import Client
    from aioobs.s3.objects import ObjectInfo

__all__ = ["ObjectReader", "open_reader"]

FIRST = 128 << 10  # bytes fetched when a file is opened
LARGEST_BLOCK = 4 << 20
MOST_AHEAD = 32 << 20
"""With this, a reader holds at most 40 MiB: a block that is read, and the one before it."""


async def open_reader(client: Client, path: str, *, version_id: str = "") -> ObjectReader:
    """Return a reader of the object that *path* names, or of a version of it, at its beginning.

    The first bytes come with it: a small object takes no further request.

    Raises:
        NotFound: there is no such object.
        IsADirectory: there is a folder of that name.
    """
    url, sink = file_url(path), MemorySink()
    try:
        info = await client.stream_object(
            url.bucket, url.key, sink, start=0, stop=FIRST, version_id=version_id
        )
        if info.headers.get("content-range", "").endswith("/*"):
            first = info
            info = await client.head_object(url.bucket, url.key, version_id=version_id)
            if info.etag != first.etag:
                raise ObjectChanged("it was replaced meanwhile", operation="getObject", url=path)
    except NotFound:
        if await RemoteStore(client).is_directory(path):
            raise IsADirectory("is a folder", operation="getObject", url=path) from None
        raise
    return ObjectReader(client, url.bucket, info, sink.getvalue(), version_id)


class Block:
    """A range of the object that is here, or being fetched."""

    def __init__(self, start: int, stop: int, data: bytes | None = None) -> None:
        self.start = start
        self.stop = stop
        self.data = data
        self.task: asyncio.Task[None] | None = None


class ObjectReader:
    """The bytes of one version of an object, as the raw layer of a file.

    What is read in order is fetched ahead, in several requests at once: twice as much whenever the
    reader had to wait, up to 32 MiB.  After a jump only what is wanted is fetched, straight into
    the buffer of the caller.  A replaced object is an error.
    """

    readable = True
    writable = False

    def __init__(
        self, client: Client, bucket: str, info: ObjectInfo, first: bytes, version_id: str = ""
    ) -> None:
        self._client = client
        self._version_id = version_id
        self._bucket = bucket
        self._info = info
        self._position = 0
        self._blocks = [Block(0, len(first), first)]  # without gaps, in order
        self._ahead = 0

    async def readinto(self, buffer: memoryview, /) -> int:
        """Fill *buffer* from the current position and return how many bytes there were."""
        wanted = min(len(buffer), self._info.size - self._position)
        if wanted <= 0:
            return 0
        if any(block.task for block in self._blocks):
            await on_loop()
            self._forget_other_loops()
        jumped = self._position != self._stop
        if not self._is_asked_for() and (jumped or wanted > LARGEST_BLOCK):
            count = await self._fill(buffer[:wanted])
        else:
            await self._ask(wanted)
            data, offset = await self._current()
            piece = memoryview(data)[offset : offset + wanted]
            count = len(piece)
            buffer[:count] = piece
        self._position += count
        return count

    @property
    def _stop(self) -> int:
        """Where the blocks that were requested end."""
        return self._blocks[-1].stop if self._blocks else self._position

    def _is_asked_for(self) -> bool:
        return bool(self._blocks) and self._blocks[0].start <= self._position < self._stop

    async def _ask(self, wanted: int) -> None:
        """Request what is wanted, and more if the object is read in order."""
        if not self._is_asked_for():
            if self._blocks:
                self._grow()
            await on_loop()
            self._request(max(wanted, self._block_size if self._ahead else 0))
        size = self._block_size
        while self._stop + size <= self._position + self._ahead and self._stop < self._info.size:
            await on_loop()
            self._request(size)

    @property
    def _block_size(self) -> int:
        return min(max(self._ahead // 2, FIRST), LARGEST_BLOCK)

    def _grow(self) -> None:
        self._ahead = min(max(self._ahead * 2, FIRST), MOST_AHEAD)

    def _request(self, length: int) -> None:
        block = Block(self._stop, min(self._stop + length, self._info.size))
        block.task = asyncio.create_task(self._fetch(block))
        block.task.add_done_callback(retrieve_failure)
        self._blocks.append(block)

    async def _fetch(self, block: Block) -> None:
        info, size = self._info, block.stop - block.start
        data = await self._client.get_object(
            self._bucket,
            info.key,
            start=block.start,
            stop=block.stop,
            if_match=info.etag,
            version_id=self._version_id,
        )
        if len(data) != size:
            raise ReadError(
                f"{size} bytes were wanted, {len(data)} came",
                operation="getObject",
                url=f"s3://{self._bucket}/{info.key}",
            )
        block.data = data

    async def _current(self) -> tuple[bytes, int]:
        """Wait for the block at the position; return it, and the offset in it."""
        index = next(i for i, block in enumerate(self._blocks) if self._position < block.stop)
        passed = max(index - 1, 0)  # one is kept, for small steps back
        skipped, self._blocks = self._blocks[:passed], self._blocks[passed:]
        await give_up(skipped)
        block = self._blocks[min(index, 1)]
        if block.data is None and block.task is not None:
            if not block.task.done():
                if self._ahead:
                    self._grow()
                await asyncio.wait([block.task])  # which goes on if this is cancelled
            try:
                block.task.result()
            except BaseException:
                await self._drop()  # whoever tries again asks again
                raise
        assert block.data is not None
        return block.data, self._position - block.start

    async def _fill(self, buffer: memoryview) -> int:
        """Fill all of *buffer*, in several requests at once."""
        await self._drop()
        await read_ranges(
            partial(
                self._client.stream_object,
                self._bucket,
                self._info.key,
                version_id=self._version_id,
            ),
            lambda offset, size: BufferSink(buffer[offset : offset + size]),
            start=self._position,
            size=len(buffer),
            part_size=self._client.config.part_size,
            etag=self._info.etag,
        )
        end = self._position + len(buffer)
        self._blocks = [Block(end, end, b"")]  # what follows is read in order
        return len(buffer)

    async def readall(self) -> bytes:
        """Return all from the current position on."""
        start, size = self._position, self._info.size
        if start >= size:
            return b""
        last = self._blocks[-1] if self._blocks else None
        if last and last.data is not None and last.stop == size and last.start <= start:
            self._position = size
            return last.data[start - last.start :]
        memory = Memory(size - start)
        try:
            with memory.view() as buffer:
                while self._position < size:
                    await self.readinto(buffer[self._position - start :])
        except BaseException:
            self._position = start
            raise
        return memory.value(size - start)

    def _forget_other_loops(self) -> None:
        """Forget what was requested on another loop, which does not run here, as after a fork."""
        loop = asyncio.get_running_loop()
        for index, block in enumerate(self._blocks):
            if block.data is None and block.task and block.task.get_loop() is not loop:
                del self._blocks[index:]
                return

    async def _drop(self) -> None:
        """Forget what is held, and cancel what is under way."""
        blocks, self._blocks, self._ahead = self._blocks, [], 0
        await give_up(blocks)

    async def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to a position and return it."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._info.size}
        if whence not in base:
            raise ValueError(f"invalid whence: {whence}")
        position = base[whence] + offset
        if position < 0:
            raise ValueError(f"negative seek position {position}")
        self._position = position
        return position

    async def write(self, data: memoryview, /) -> int:
        """Refuse: the file is open for reading."""
        raise io.UnsupportedOperation("write")

    async def size(self) -> int:
        """Return the size of the object."""
        return self._info.size

    async def flush(self) -> None:
        """Do nothing."""

    async def aclose(self) -> None:
        """Drop what was read ahead."""
        await self._drop()

    async def abort(self) -> None:
        """Do as `aclose`."""
        await self._drop()


async def give_up(blocks: list[Block]) -> None:
    """Cancel what is under way on this loop, and wait until it has ended."""
    tasks = [block.task for block in blocks if block.task]
    if not tasks:
        return
    await on_loop()
    loop = asyncio.get_running_loop()
    tasks = [task for task in tasks if task.get_loop() is loop]
    for task in tasks:
        task.cancel()
    if tasks:
        await settled(asyncio.gather(*tasks, return_exceptions=True))


def retrieve_failure(task: asyncio.Task[None]) -> None:
    """Retrieve the failure of a block that is never read, or else asyncio logs it."""
    if not task.cancelled():
        task.exception()
