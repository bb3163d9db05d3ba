"""Writing an object bit by bit."""

from __future__ import annotations

import errno
import io
import os
from typing import TYPE_CHECKING

from aioobs.store.compose import Composition
from aioobs.store.remote import RemoteStore, file_url

if TYPE_CHECKING:
    from aioobs.s3.client import Client
    from aioobs.url import ObjectURL

__all__ = ["ObjectWriter", "open_writer"]


async def open_writer(client: Client, path: str, *, exclusive: bool) -> ObjectWriter:
    """Return a writer of the object that *path* names.

    Raises:
        FileExistsError: there is one already, and *exclusive* is true.
        IsADirectory: the name is that of a folder.
        NotFound: there is no such bucket.
    """
    url = file_url(path)
    if exclusive and await RemoteStore(client).exists(path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
    return ObjectWriter(client, url)


class ObjectWriter:
    """The raw layer of a file that is written: nothing shows in the store before it is closed.

    A small object is sent with one request, a larger one in parts, one of which is in memory.
    """

    readable = False
    writable = True

    def __init__(self, client: Client, url: ObjectURL) -> None:
        self._url = url
        self._object = Composition(client, url)
        self._written = 0
        self._failed = False  # a write did, so the store must not get what there is

    async def write(self, data: memoryview, /) -> int:
        """Take *data* and return its length.

        Raises:
            OSError: it cannot be sent, now or when it was an earlier write; start anew.
        """
        self._check()
        self._failed = True
        await self._object.add_bytes(data)
        self._failed = False
        self._written += len(data)
        return len(data)

    async def readinto(self, buffer: memoryview, /) -> int:
        """Refuse: the file is open for writing."""
        raise io.UnsupportedOperation("read")

    async def readall(self) -> bytes:
        """Refuse: the file is open for writing."""
        raise io.UnsupportedOperation("read")

    async def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Return the position; there is no other that one could go to."""
        base = 0 if whence == os.SEEK_SET else self._written
        if base + offset != self._written:
            raise io.UnsupportedOperation("an object is written from its beginning to its end")
        return self._written

    async def size(self) -> int:
        """Return the number of bytes written."""
        return self._written

    async def flush(self) -> None:
        """Publish what was written so far, if it still fits into one request."""
        self._check()
        await self._object.publish_so_far()

    async def aclose(self) -> None:
        """Publish the object.

        Raises:
            OSError: it could not be published; nothing is left in the store.
        """
        try:
            self._check()
            await self._object.complete()
        except BaseException:
            await self._object.abort()
            raise

    async def abort(self) -> None:
        """Close without publishing."""
        await self._object.abort()

    def _check(self) -> None:
        if self._failed:
            raise OSError(f"an earlier write to {self._url} failed, nothing is published")
