"""Multipart uploads that are either completed or aborted, even when they are cancelled."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, TypedDict

from aioobs.errors import ObjectChanged, ObsError
from aioobs.tasks import Tasks
from aioobs.threads import to_its_end

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aioobs.s3.client import Client
    from aioobs.store.headers import Headers
    from aioobs.url import ObjectURL

__all__ = ["Guard", "Upload", "abort_upload", "begin_upload", "check_version"]

CLEANUP_TIMEOUT = 5.0
BYTES_AT_ONCE = 32 << 20  # of parts under way

log: logging.Logger = logging.getLogger("aioobs.transfer")


class Guard(TypedDict, total=False):
    """What has to be there when an object is published."""

    if_match: str
    """The object of this ETag."""
    if_none_match: str
    """``*``: nothing."""


class Upload:
    """An upload to which parts are added one by one, while earlier ones are still being sent.

    At most 32 MiB are under way at a time, or one part if it is larger.
    """

    def __init__(self, client: Client, url: ObjectURL) -> None:
        self.size: int = 0
        self.parts: int = 0
        self._client = client
        self._url = url
        self._id = ""
        self._etags: dict[int, str] = {}
        self._sending = Tasks()

    async def begin(self, headers: Headers) -> None:
        """Begin it in the store."""
        self._id = await begin_upload(self._client, self._url, **headers)

    async def send(self, data: bytes | bytearray) -> None:
        """Add a part, which must not change any more; its failure may be raised by a later call."""
        at_most = max(BYTES_AT_ONCE // len(data), 1)
        await self._sending.start(self._send(self._next(len(data)), data), at_most=at_most)

    async def _send(self, number: int, data: bytes | bytearray) -> None:
        self._etags[number] = await self._client.upload_part(
            self._url.bucket, self._url.key, self._id, number, data
        )

    async def copy(self, source: tuple[str, str], start: int, stop: int, etag: str) -> None:
        """Add a range of another object as a part."""
        number = self._next(stop - start)
        self._etags[number] = await self._client.upload_part_copy(
            self._url.bucket,
            self._url.key,
            self._id,
            number,
            source,
            start=start,
            stop=stop,
            if_match=etag,
        )

    def _next(self, size: int) -> int:
        self.size += size
        self.parts += 1
        return self.parts

    async def complete(self, guard: Guard) -> str:
        """Publish the object and return its ETag."""
        await self._sending.join()
        return await self._client.complete_multipart_upload(
            self._url.bucket,
            self._url.key,
            self._id,
            self._etags,
            size=self.size,
            **guard,
        )

    async def abort(self) -> None:
        """Abort, even while being cancelled; nothing is left in the store."""
        await to_its_end(self._give_up())

    async def _give_up(self) -> None:
        await self._sending.cancel()
        if self._id:
            await abort_upload(self._client, self._url, self._id)


async def begin_upload(
    client: Client,
    url: ObjectURL,
    *,
    content_type: str = "",
    metadata: Mapping[str, str] | None = None,
) -> str:
    """Begin an upload and return its id; one that begins while this is cancelled is aborted."""
    beginning = asyncio.create_task(
        client.create_multipart_upload(
            url.bucket, url.key, content_type=content_type, metadata=metadata
        )
    )
    try:
        return await asyncio.shield(beginning)
    except asyncio.CancelledError:
        await to_its_end(give_up(client, url, beginning))
        raise


async def give_up(client: Client, url: ObjectURL, beginning: asyncio.Task[str]) -> None:
    """Abort an upload that is about to begin."""
    await asyncio.wait([beginning], timeout=CLEANUP_TIMEOUT)
    if not beginning.done():
        beginning.cancel()
    elif not beginning.cancelled() and not beginning.exception():
        await abort_upload(client, url, beginning.result())


async def abort_upload(client: Client, url: ObjectURL, upload_id: str) -> None:
    """Abort an upload, even while being cancelled; try for some seconds at most."""

    async def abort() -> None:
        try:
            async with asyncio.timeout(CLEANUP_TIMEOUT):
                await client.abort_multipart_upload(url.bucket, url.key, upload_id)
        except (ObsError, TimeoutError) as error:
            log.warning("the upload %s of %s may be left over: %s", upload_id, url, error)

    await to_its_end(abort())


async def check_version(client: Client, bucket: str, key: str, etag: str) -> None:
    """Check that an object is still the one whose parts were copied; some stores do not.

    Raises:
        ObjectChanged: it is another one by now.
    """
    found = await client.head_object(bucket, key)
    if found.etag != etag:
        url = f"s3://{bucket}/{key}"
        raise ObjectChanged("the source was replaced while it was being copied", url=url)
