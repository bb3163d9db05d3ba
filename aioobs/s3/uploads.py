"""Multipart uploads that are under way: aborted, and listed with their parts."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from aioobs.errors import NotFound, ProtocolError
from aioobs.s3.documents import xml
from aioobs.s3.documents.dates import http_time
from aioobs.s3.listing import CycleDetector
from aioobs.s3.replies import acknowledged, is_of_bucket
from aioobs.s3.request import Request
from aioobs.s3.retry import Budget

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aioobs.s3.documents.xml import Upload, UploadedPart
    from aioobs.s3.exchange import Exchange
    from aioobs.s3.http.transport import Reply

__all__ = ["Uploads"]


class Uploads:
    """The uploads of one store that are neither completed nor aborted."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def abort(self, bucket: str, key: str, upload_id: str) -> bool:
        """Give up an upload; tell whether it was there, as far as is known."""
        request = Request("abortMultipartUpload", "DELETE", bucket, key, (("uploadId", upload_id),))
        budget = Budget(self._exchange.config)

        async def receive(reply: Reply) -> bool:
            await acknowledged(reply)
            return True

        try:
            return await self._exchange.call(request, receive, budget=budget)
        except NotFound as error:
            if is_of_bucket(error):
                raise
            return budget.made > 1  # an answer has been lost

    async def abort_stale(self, bucket: str, prefix: str, older_than: timedelta) -> list[Upload]:
        """Give up the uploads that were begun longer ago than that; return them.

        The store's clock decides, for it is the store that says when they were begun.
        """
        stale = [  # all of them, for nobody knows how a store lists on what is changed meanwhile
            upload
            async for page, now in self.pages(bucket, prefix)
            for upload in page
            if upload.key.startswith(prefix)
            and upload.initiated_nsec
            and timedelta(seconds=now - upload.initiated_nsec / 1e9) > older_than
        ]
        return [
            upload for upload in stale if await self.abort(bucket, upload.key, upload.upload_id)
        ]

    async def pages(self, bucket: str, prefix: str) -> AsyncIterator[tuple[list[Upload], float]]:
        """Yield the uploads that are under way, and what time it was for the store then."""
        following: xml.Following = ()
        encoding: xml.Following = ()
        cycles = CycleDetector("listMultipartUploads", f"s3://{bucket}/{prefix}")

        async def receive(reply: Reply) -> tuple[list[Upload], xml.Following, float | None]:
            uploads, following = xml.parse_uploads(await reply.read())
            return uploads, following, http_time(reply.headers.get("date", ""))

        while True:
            query = (("uploads", None), ("prefix", prefix), *encoding, *following)
            request = Request("listMultipartUploads", "GET", bucket, query=query)
            try:
                uploads, following, date = await self._exchange.call(request, receive)
            except ProtocolError:
                if encoding:
                    raise
                # A key may have what XML has not.  SeaweedFS would say that keys are encoded, and
                # send them as they are, so this is asked for only where it must be.
                encoding = (("encoding-type", "url"),)
                continue
            yield uploads, self._exchange.access.now() if date is None else date
            if not following:
                return
            cycles.check(following)

    async def parts(self, bucket: str, key: str, upload_id: str) -> AsyncIterator[UploadedPart]:
        """Yield the parts of an upload that the store has."""
        following: xml.Following = ()
        cycles = CycleDetector("listParts", f"s3://{bucket}/{key}")
        while True:
            query = (("uploadId", upload_id), *following)
            request = Request("listParts", "GET", bucket, key, query)
            parts, following = await self._exchange.document(request, xml.parse_parts)
            for part in parts:
                yield part
            if not following:
                return
            cycles.check(following)
