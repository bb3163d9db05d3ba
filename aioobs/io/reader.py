"""Reading an object bit by bit."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

from aioobs.errors import IsADirectory, NotFound, ReadError
from aioobs.store.remote import RemoteStore, file_url

if TYPE_CHECKING:
    from aioobs.s3.client import Client
    from aioobs.s3.objects import ObjectInfo

__all__ = ["ObjectReader", "open_reader"]

FIRST_AHEAD = 128 * 1024
MOST_AHEAD = 8 << 20


async def open_reader(client: Client, path: str) -> ObjectReader:
    """Return a reader of the object that *path* names, at its beginning.

    Raises:
        NotFound: there is no such object.
        IsADirectory: there is a folder of that name.
    """
    url = file_url(path)
    try:
        info = await client.head_object(url.bucket, url.key)
    except NotFound:
        if await RemoteStore(client).is_directory(path):
            raise IsADirectory("is a folder", operation="getObject", url=path) from None
        raise
    return ObjectReader(client, url.bucket, info)


class ObjectReader:
    """The bytes of one version of an object, as the raw layer of a file.

    What is read in order is asked for ahead of its use, more and more at a time up to 8 MiB; after
    a jump no more than is wanted.  A replaced object is an error.
    """

    readable = True
    writable = False

    def __init__(self, client: Client, bucket: str, info: ObjectInfo) -> None:
        self._client = client
        self._bucket = bucket
        self._info = info
        self._position = 0
        self._buffer = memoryview(b"")
        self._buffer_start = 0
        self._ahead = 0

    async def readinto(self, buffer: memoryview, /) -> int:
        """Fill *buffer* from the current position and return how many bytes there were."""
        wanted = min(len(buffer), self._info.size - self._position)
        if wanted <= 0:
            return 0
        offset = self._position - self._buffer_start
        if not 0 <= offset < len(self._buffer):
            await self._fetch(wanted)
            offset = 0
        piece = self._buffer[offset : offset + wanted]
        buffer[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    async def _fetch(self, wanted: int) -> None:
        in_order = self._position == self._buffer_start + len(self._buffer)
        self._ahead = min(max(self._ahead * 2, FIRST_AHEAD), MOST_AHEAD) if in_order else 0
        stop = min(self._position + max(wanted, self._ahead), self._info.size)
        self._buffer = memoryview(await self._range(self._position, stop))
        self._buffer_start = self._position

    async def _range(self, start: int, stop: int) -> bytes:
        info = self._info
        data = await self._client.get_object(
            self._bucket, info.key, start=start, stop=stop, if_match=info.etag
        )
        if len(data) != stop - start:
            raise ReadError(
                f"{stop - start} bytes were wanted, {len(data)} came",
                operation="getObject",
                url=f"s3://{self._bucket}/{info.key}",
            )
        return data

    async def readall(self) -> bytes:
        """Return all from the current position on."""
        if self._position >= self._info.size:
            return b""
        data = await self._range(self._position, self._info.size)
        self._position = self._info.size
        return data

    async def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to a position and return it."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._info.size}
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
        """Let go of what was read ahead."""
        self._buffer = memoryview(b"")

    async def abort(self) -> None:
        """Do as `aclose`."""
        await self.aclose()
