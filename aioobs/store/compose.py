"""Objects that grow: appended to, or flushed while they are written, without sending all again."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING, NamedTuple

from aioobs.errors import (
    AlreadyExists,
    NotAppendable,
    NotFound,
    ObjectChanged,
    ProtocolError,
)
from aioobs.s3.objects import STORED_MD5
from aioobs.s3.parts import SMALLEST_PART, cut, streamed_part_size
from aioobs.store.headers import Headers, content_type_of, headers_of
from aioobs.store.upload import Guard, Upload, check_version

if TYPE_CHECKING:
    from aioobs.s3.client import Client
    from aioobs.url import ObjectURL

__all__ = ["Composition", "Stored", "append", "stored"]

MOST_TRIES = 20  # to append while others do
LONGEST_PAUSE = 2.0  # seconds between them

log: logging.Logger = logging.getLogger("aioobs.file")


class Stored(NamedTuple):
    """An object that is there already."""

    bucket: str
    key: str
    size: int
    etag: str
    appendable: bool = False
    content: bytes | None = None
    """`None`: not at hand."""
    headers: Headers = {}  # noqa: RUF012 - never changed
    """Content type and metadata, which a copy of it has to keep."""


async def stored(client: Client, url: ObjectURL) -> Stored | None:
    """Return what there is under *url*."""
    try:
        info = await client.head_object(url.bucket, url.key)
    except NotFound:
        return None
    kept: Headers = {
        "content_type": info.headers.get("content-type", ""),
        "metadata": {k: v for k, v in info.metadata.items() if k != STORED_MD5},  # it changes
    }
    return Stored(url.bucket, url.key, info.size, info.etag, info.appendable, headers=kept)


async def append(
    client: Client,
    url: ObjectURL,
    addition: bytes | bytearray | memoryview | Stored,
    *,
    known: Stored | None = None,
) -> Stored:
    """Add to the end of an object, which is created if need be; return what it is now.

    What is there is not sent again if it has 5 MiB or more.  If two append at the same time, one of
    them begins anew, where the store reports the conflict.  *known* is what the object was when it
    was last seen: if it still is, its content need not be fetched.

    Raises:
        ObjectChanged: it was replaced again and again, or *addition* was; nothing was added.
    """
    for attempt in range(MOST_TRIES):
        base = await stored(client, url)
        if base and known and base.etag and base.etag == known.etag:
            base = known
        try:
            return await extend(client, url, base, addition)
        except (ObjectChanged, AlreadyExists):
            if isinstance(addition, Stored) or attempt == MOST_TRIES - 1:
                raise
        pause = min(0.02 * 2**attempt, LONGEST_PAUSE)
        await asyncio.sleep(pause * random.random())  # noqa: S311 - no secret
    raise AssertionError("unreachable")


async def extend(
    client: Client,
    url: ObjectURL,
    base: Stored | None,
    addition: bytes | bytearray | memoryview | Stored,
) -> Stored:
    """Make an object of *base*, which is what is there, and *addition*.

    Raises:
        ObjectChanged: what is there is not *base* any more; nothing was added.
        AlreadyExists: there is something now, where nothing was.
    """
    if base is not None and not (addition.size if isinstance(addition, Stored) else len(addition)):
        return base
    if client.config.signature == "obs" and not isinstance(addition, Stored):
        try:
            return await extend_natively(client, url, base, addition)
        except NotAppendable:
            pass  # most objects cannot be appended to
    try:
        return await compose(client, url, base, addition, copies=True)
    except ProtocolError as error:
        if error.operation != "copyPart":
            raise
        log.warning("%s: the store does not copy parts, so they go through here", url)
        return await compose(client, url, base, addition, copies=False)


async def extend_natively(
    client: Client, url: ObjectURL, base: Stored | None, addition: bytes | bytearray | memoryview
) -> Stored:
    if base is not None and not base.appendable:
        raise NotAppendable("the object was not made by appending", url=str(url))
    position = base.size if base else 0
    content_type = "" if base else content_type_of(url.key)
    size = await client.append_object(
        url.bucket, url.key, addition, position=position, content_type=content_type
    )
    return Stored(url.bucket, url.key, size, "", appendable=True)


async def compose(
    client: Client,
    url: ObjectURL,
    base: Stored | None,
    addition: bytes | bytearray | memoryview | Stored,
    *,
    copies: bool,
) -> Stored:
    whole = Composition(client, url, base, new=base is None, copies=copies)
    try:
        if isinstance(addition, Stored):
            await whole.add_stored(addition)
            await check_version(client, addition.bucket, addition.key, addition.etag)
        else:
            await whole.add_bytes(memoryview(addition))
        return await whole.publish()
    except BaseException:
        await whole.abort()
        raise


class Composition:
    """An object in the making, of which everything so far can be published at any time.

    What has been published, or was there before, is the *base*, and is not sent again once it
    has 5 MiB.  Every part of an upload but the last one needs as much: where a stored piece is too
    short, or follows one that is, as much of it as is needed is fetched and sent.

    Args:
        client: The store.
        url: The object.
        base: What is there already, and has to be still when this is published.
        new: Whether there must be nothing yet.
        copies: Whether the store copies parts.
        headers: What the object is made with, if there is none yet.
        grows: Whether *base* is whatever is there when the upload begins.
    """

    def __init__(
        self,
        client: Client,
        url: ObjectURL,
        base: Stored | None = None,
        *,
        new: bool = False,
        copies: bool = True,
        grows: bool = False,
        headers: Headers | None = None,
    ) -> None:
        self.base = base
        self._client = client
        self._url = url
        self._new = new
        self._copies = copies
        self._grows = grows
        self._new_headers = headers
        self._waiting = bytearray()
        self._upload: Upload | None = None

    @property
    def has_unpublished(self) -> bool:
        """Whether there is anything that has not been published."""
        return bool(self.base is None or self._waiting or self._upload)

    def take_waiting(self) -> bytearray | None:
        """Take back what is not published; `None` if parts of it are in the store already."""
        if self._upload is not None:
            return None
        waiting, self._waiting = self._waiting, bytearray()
        return waiting

    async def add_bytes(self, data: memoryview) -> None:
        """Add bytes from here."""
        while data:
            room = self._part_size() - len(self._waiting)
            if room > 0:
                self._waiting += data[:room]
                data = data[room:]
            elif self._upload is None:
                await self._begun()  # which may leave less room, or more
            else:
                await self._send_waiting(self._upload)

    def _part_size(self) -> int:
        parts = self._upload.parts if self._upload else 0
        return streamed_part_size(parts + 1, self._client.config.part_size)

    async def _send_waiting(self, upload: Upload) -> None:
        data, self._waiting = self._waiting, bytearray()
        await upload.send(data)

    async def add_stored(self, piece: Stored) -> None:
        """Add an object, which the store copies as far as it can."""
        if piece.size < SMALLEST_PART or not self._copies:
            for part in cut(piece.size, self._client.config.part_size):
                data = await self._fetch(piece, part.offset, part.offset + part.size)
                await self.add_bytes(memoryview(data))
            return
        upload, start = await self._begun(), 0
        if self._waiting:
            start = max(SMALLEST_PART - len(self._waiting), 0)
            self._waiting += await self._fetch(piece, 0, start)
            await self._send_waiting(upload)
        while piece.size - start >= SMALLEST_PART:
            stop = min(start + self._client.config.largest_copy, piece.size)
            await upload.copy((piece.bucket, piece.key), start, stop, piece.etag)
            start = stop
        self._waiting += await self._fetch(piece, start, piece.size)

    async def _fetch(self, piece: Stored, start: int, stop: int) -> bytes:
        if start == stop:
            return b""
        if piece.content is not None:
            return piece.content[start:stop]
        return await self._client.get_object(
            piece.bucket, piece.key, start=start, stop=stop, if_match=piece.etag
        )

    async def _begun(self) -> Upload:
        """Return the upload, which begins with the base."""
        if self._upload is not None:
            return self._upload
        if self._grows:
            self.base = await stored(self._client, self._url)
            self._new = self.base is None
        upload = Upload(self._client, self._url)
        await upload.begin(self._headers())
        self._upload = upload
        if self.base is not None:
            waiting, self._waiting = self._waiting, bytearray()
            await self._add_base(self.base)
            await self.add_bytes(memoryview(waiting))
        return self._upload

    async def _add_base(self, base: Stored) -> None:
        try:
            await self.add_stored(base)
        except ProtocolError as error:
            if error.operation != "copyPart" or not self._copies:
                raise
            # Anew, for what the store has of the part need not be empty.
            log.warning("%s: the store does not copy parts, so they go through here", self._url)
            self._copies = False
            await self.abort()
            self._waiting, self._upload = bytearray(), Upload(self._client, self._url)
            await self._upload.begin(self._headers())
            await self.add_stored(base)

    async def publish(self) -> Stored:
        """Make all that was added readable, and return what the object is now.

        Raises:
            ObjectChanged: there is another object than the base.
            AlreadyExists: there is one, where none was wanted.
        """
        short = self.base is None or self.base.size < SMALLEST_PART
        self.base = await (self._put() if short and self._upload is None else self._complete())
        self._waiting, self._upload = bytearray(), None
        return self.base

    async def _put(self) -> Stored:
        before = await self._fetch(self.base, 0, self.base.size) if self.base else b""
        content = before + self._waiting
        etag = await self._client.put_object(
            self._url.bucket, self._url.key, content, **self._headers(), **self._guard()
        )
        small = content if len(content) < SMALLEST_PART else None
        return self._made(len(content), etag, small)

    async def _complete(self) -> Stored:
        upload = await self._begun()
        if self._waiting:
            await self._send_waiting(upload)
        etag = await upload.complete(self._guard())
        return self._made(upload.size, etag)

    def _made(self, size: int, etag: str, content: bytes | None = None) -> Stored:
        bucket, key, headers = self._url.bucket, self._url.key, self._headers()
        return Stored(bucket, key, size, etag, content=content, headers=headers)

    def _headers(self) -> Headers:
        return self.base.headers if self.base else headers_of(self._url.key, self._new_headers)

    def _guard(self) -> Guard:
        if self.base is not None:
            return {"if_match": self.base.etag}
        return {"if_none_match": "*"} if self._new else {}

    async def abort(self) -> None:
        """Drop what has not been published; nothing of it is left in the store."""
        upload, self._upload = self._upload, None
        if upload is not None:
            await upload.abort()
