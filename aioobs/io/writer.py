"""Objects opened for writing or appending: sent in parts, published at each flush."""

from __future__ import annotations

import asyncio
import errno
import io
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from aioobs.errors import IsADirectory
from aioobs.store.compose import Composition, append, stored
from aioobs.store.remote import RemoteStore, file_url
from aioobs.threads import to_its_end

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aioobs.s3.client import Client
    from aioobs.store.compose import Stored
    from aioobs.store.headers import Headers
    from aioobs.url import ObjectURL

__all__ = ["ObjectAppender", "ObjectWriter", "open_appender", "open_writer"]


async def open_writer(
    client: Client,
    path: str,
    *,
    exclusive: bool,
    flush_interval: float,
    headers: Headers | None = None,
) -> ObjectWriter:
    """Return a writer of the object that *path* names.

    Raises:
        FileExistsError: there is one already, and *exclusive* is true.
        IsADirectory: the name is that of a bucket, or ends in a slash.
    """
    url = file_url(path)
    if exclusive and await RemoteStore(client).exists(path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
    content = Composition(client, url, new=exclusive, headers=headers)
    return ObjectWriter(client, url, content, flush_interval)


async def open_appender(client: Client, path: str, *, flush_interval: float) -> ObjectAppender:
    """Return a writer to the end of the object that *path* names, which need not exist.

    Raises:
        IsADirectory: the name is that of a folder.
        NotFound: there is no such bucket.
    """
    url = file_url(path)
    base = await stored(client, url)
    if base is None and await RemoteStore(client).is_directory(path):
        raise IsADirectory("is a folder", operation="putContent", url=path)
    return ObjectAppender(client, url, base, flush_interval)


class ObjectWriter:
    """The raw layer of a file that is written: nothing shows in the store before it is closed.

    A small object is sent with one request, a larger one in parts.  After a flush, which publishes
    what there is so far, only the rest is sent.

    Args:
        client: The store.
        url: The object.
        content: The object in the making.
        flush_interval: The least number of seconds between two flushes that reach the store; an
            earlier one waits.
    """

    readable = False
    writable = True

    def __init__(
        self, client: Client, url: ObjectURL, content: Composition, flush_interval: float
    ) -> None:
        self._client = client
        self._url = url
        self._object = content
        self._position = 0
        self._failure: BaseException | None = None
        self._interval = flush_interval
        self._next_flush = 0.0  # of the loop's clock
        self._late: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()

    async def write(self, data: memoryview, /) -> int:
        """Take *data* and return its length.

        Raises:
            OSError: this or an earlier write cannot be sent; start anew.
        """
        async with self._lock:
            with self._all_or_nothing():
                await self._object.add_bytes(data)
            self._position += len(data)
        return len(data)

    async def readinto(self, buffer: memoryview, /) -> int:
        """Refuse: the file is open for writing."""
        raise io.UnsupportedOperation("read")

    async def readall(self) -> bytes:
        """Refuse: the file is open for writing."""
        raise io.UnsupportedOperation("read")

    async def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Return the position; no other can be gone to."""
        base = 0 if whence == os.SEEK_SET else self._position
        if base + offset != self._position:
            raise io.UnsupportedOperation("an object is written from its beginning to its end")
        return self._position

    async def size(self) -> int:
        """Return the number of bytes, with those that are not published yet."""
        return self._position

    async def flush(self) -> None:
        """Publish what was written so far, now or when the interval is over.

        Raises:
            OSError: it could not be published.
        """
        async with self._lock:
            if self._failure or asyncio.get_running_loop().time() >= self._next_flush:
                await self._publish()
            elif self._late is None and self._object.has_unpublished:
                self._late = asyncio.create_task(self._flush_later())

    async def _flush_later(self) -> None:
        await asyncio.sleep(self._next_flush - asyncio.get_running_loop().time())
        async with self._lock:
            try:
                with suppress(Exception):  # the next call raises it
                    await self._publish()
            finally:
                self._late = None

    async def _publish(self) -> None:
        with self._all_or_nothing():
            if self._object.has_unpublished:
                await self._send()
                self._next_flush = asyncio.get_running_loop().time() + self._interval

    async def _send(self) -> None:
        await self._object.publish()

    async def aclose(self) -> None:
        """Publish the object.

        Raises:
            OSError: it could not be published; what was not flushed is lost.
        """
        try:
            async with self._lock:  # so that no flush is in the middle of it
                self._call_off()
                await self._publish()
        except BaseException:
            await self.abort()
            raise

    async def abort(self) -> None:
        """Close without publishing what was not flushed."""
        self._call_off()
        await to_its_end(self._give_up())

    async def _give_up(self) -> None:
        async with self._lock:
            await self._object.abort()

    def _call_off(self) -> None:
        if self._late is not None:
            self._late.cancel()

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """Once a part of what was written may be missing, publish nothing any more."""
        if self._failure is not None:
            raise OSError(
                f"an earlier write to {self._url} failed, nothing more is published"
            ) from self._failure
        try:
            yield
        except BaseException as error:
            self._failure = error
            raise


class ObjectAppender(ObjectWriter):
    """The raw layer of a file that is appended to, also while others append.

    What is still in memory when it is published goes behind what others have added meanwhile.  Once
    it is more than one part, and so an upload has begun, what others add is an `ObjectChanged`.
    """

    def __init__(
        self, client: Client, url: ObjectURL, base: Stored | None, flush_interval: float
    ) -> None:
        super().__init__(client, url, Composition(client, url, base, grows=True), flush_interval)
        self._position = base.size if base else 0

    async def _send(self) -> None:
        waiting = self._object.take_waiting()
        if waiting is None:
            await self._object.publish()
        else:
            base = await append(self._client, self._url, waiting, known=self._object.base)
            self._object = Composition(self._client, self._url, base, grows=True)
