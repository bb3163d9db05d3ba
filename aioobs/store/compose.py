"""Objects made of pieces: bytes from here, and ranges that the store copies by itself."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, NamedTuple

from aioobs.errors import NotFound, ObsError, ProtocolError
from aioobs.s3.parts import SMALLEST_PART, cut

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aioobs.s3.client import Client
    from aioobs.url import ObjectURL

__all__ = ["Stored", "abort_upload", "append", "begin_upload", "compose"]

CLEANUP_TIMEOUT = 5.0

log = logging.getLogger("aioobs.transfer")


class Stored(NamedTuple):
    """An object that is there already."""

    bucket: str
    key: str
    size: int
    etag: str


async def stored(client: Client, url: ObjectURL) -> Stored | None:
    """Return what there is under *url*."""
    try:
        info = await client.head_object(url.bucket, url.key)
    except NotFound:
        return None
    return Stored(url.bucket, url.key, info.size, info.etag)


async def append(client: Client, url: ObjectURL, addition: bytes | memoryview | Stored) -> None:
    """Add to the end of an object, which is created if need be; what is there is not sent again.

    Raises:
        ObjectChanged: it was replaced meanwhile; nothing was added.
    """
    before = await stored(client, url)
    await compose(client, url, [before, addition] if before else [addition])


async def compose(
    client: Client, url: ObjectURL, pieces: Sequence[bytes | memoryview | Stored]
) -> None:
    """Make the object *url* of *pieces*, whole or not at all.

    Every part of an upload but the last one needs 5 MiB: where a stored piece is too short, or
    follows on too short a one, as much of it as is needed goes through here.
    """
    try:
        await assemble(client, url, pieces, copies=True)
    except ProtocolError as error:
        if error.operation != "copyPart":
            raise
        log.warning("%s: the store does not copy parts, so they go through here", url)
        await assemble(client, url, pieces, copies=False)


async def assemble(
    client: Client,
    url: ObjectURL,
    pieces: Sequence[bytes | memoryview | Stored],
    *,
    copies: bool,
) -> None:
    upload = Composition(client, url, copies=copies)
    try:
        for piece in pieces:
            if isinstance(piece, Stored):
                await upload.add_stored(piece)
            else:
                await upload.add_bytes(memoryview(piece))
        await upload.complete()
    except BaseException:
        await upload.abort()
        raise


class Composition:
    """An upload that begins when there is too much for a single request."""

    def __init__(self, client: Client, url: ObjectURL, *, copies: bool = True) -> None:
        self._client = client
        self._url = url
        self._copies = copies
        self._waiting = bytearray()
        self._upload_id = ""
        self._etags: dict[int, str] = {}
        self._size = 0

    async def add_bytes(self, data: memoryview) -> None:
        """Add bytes from here."""
        part_size = self._client.config.part_size
        for start in range(0, len(data), part_size):
            self._waiting += data[start : start + part_size]
            if len(self._waiting) >= max(part_size, SMALLEST_PART):
                await self._send_waiting()

    async def add_stored(self, piece: Stored) -> None:
        """Add an object, which the store copies as far as it can."""
        start = 0
        if not self._copies:
            for part in cut(piece.size, self._client.config.part_size):
                data = await self._fetch(piece, part.offset, part.offset + part.size)
                await self.add_bytes(memoryview(data))
            return
        if self._waiting or piece.size < SMALLEST_PART:
            start = min(max(SMALLEST_PART - len(self._waiting), 0), piece.size)
            self._waiting += await self._fetch(piece, 0, start)
            if len(self._waiting) >= SMALLEST_PART:
                await self._send_waiting()
        while piece.size - start >= SMALLEST_PART:
            stop = min(start + self._client.config.largest_copy, piece.size)
            await self._copy(piece, start, stop)
            start = stop
        self._waiting += await self._fetch(piece, start, piece.size)

    async def _fetch(self, piece: Stored, start: int, stop: int) -> bytes:
        if start == stop:
            return b""
        return await self._client.get_object(
            piece.bucket, piece.key, start=start, stop=stop, if_match=piece.etag
        )

    async def _copy(self, piece: Stored, start: int, stop: int) -> None:
        upload_id, number = await self._begun(), len(self._etags) + 1
        self._etags[number] = await self._client.upload_part_copy(
            self._url.bucket,
            self._url.key,
            upload_id,
            number,
            (piece.bucket, piece.key),
            start=start,
            stop=stop,
            if_match=piece.etag,
        )
        self._size += stop - start

    async def _send_waiting(self) -> None:
        upload_id, number = await self._begun(), len(self._etags) + 1
        self._etags[number] = await self._client.upload_part(
            self._url.bucket, self._url.key, upload_id, number, self._waiting
        )
        self._size += len(self._waiting)
        self._waiting = bytearray()

    async def _begun(self) -> str:
        if not self._upload_id:
            self._upload_id = await begin_upload(self._client, self._url)
        return self._upload_id

    async def publish_so_far(self) -> None:
        """Make what has been added readable, as long as no upload has begun."""
        if not self._upload_id:
            await self._client.put_object(self._url.bucket, self._url.key, self._waiting)

    async def complete(self) -> None:
        """Publish the object."""
        if not self._upload_id:
            await self._client.put_object(self._url.bucket, self._url.key, self._waiting)
            return
        if self._waiting:
            await self._send_waiting()
        await self._client.complete_multipart_upload(
            self._url.bucket, self._url.key, self._upload_id, self._etags, size=self._size
        )
        self._upload_id = ""

    async def abort(self) -> None:
        """Give up; nothing is left in the store."""
        if self._upload_id:
            await abort_upload(self._client, self._url, self._upload_id)


async def begin_upload(
    client: Client,
    url: ObjectURL,
    *,
    content_type: str = "",
    metadata: Mapping[str, str] | None = None,
) -> str:
    """Begin an upload and return its id; one that begins while this is cancelled is given up."""
    from anyio import move_on_after  # not needed to import aioobs

    beginning = asyncio.create_task(
        client.create_multipart_upload(
            url.bucket, url.key, content_type=content_type, metadata=metadata
        )
    )
    try:
        return await asyncio.shield(beginning)
    except asyncio.CancelledError:
        with move_on_after(CLEANUP_TIMEOUT, shield=True):
            await asyncio.wait([beginning], timeout=CLEANUP_TIMEOUT)
            if beginning.done() and not beginning.cancelled() and not beginning.exception():
                await abort_upload(client, url, beginning.result())
        beginning.cancel()
        raise


async def abort_upload(client: Client, url: ObjectURL, upload_id: str) -> None:
    """Give up an upload, also while being cancelled; at most for some seconds."""
    from anyio import move_on_after

    with move_on_after(CLEANUP_TIMEOUT, shield=True):
        try:
            await client.abort_multipart_upload(url.bucket, url.key, upload_id)
        except ObsError as error:
            log.warning("the upload %s of %s may be left over: %s", upload_id, url, error)
