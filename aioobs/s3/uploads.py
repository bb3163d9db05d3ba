"""Multipart uploads: completed, aborted, and listed."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from aioobs.errors import NotFound, ObsError, ProtocolError, ResponseError
from aioobs.s3 import xml
from aioobs.s3.dates import http_time
from aioobs.s3.listing import CycleDetector
from aioobs.s3.objects import ObjectInfo, multipart_etag
from aioobs.s3.reading import head, look
from aioobs.s3.replies import acknowledged
from aioobs.s3.request import Request
from aioobs.s3.retry import Budget

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from aioobs.s3.conditions import Condition, Conditions
    from aioobs.s3.exchange import Exchange
    from aioobs.s3.transport import Reply
    from aioobs.s3.xml import Upload, UploadedPart

__all__ = ["Uploads"]


class Uploads:
    """The uploads in parts of one store."""

    def __init__(self, exchange: Exchange, conditions: Conditions) -> None:
        self._exchange = exchange
        self._conditions = conditions

    async def complete(
        self,
        bucket: str,
        key: str,
        upload_id: str,
        etags: Mapping[int, str],
        size: int,
        condition: Condition | None,
    ) -> str:
        """Make an object of the parts, under a condition if there is one; return its ETag."""
        request = Request(
            "completeMultipartUpload", "POST", bucket, key, (("uploadId", upload_id),)
        )
        request.body = xml.complete_document(etags.items())
        request.headers["content-type"] = "application/xml"
        expected = multipart_etag([etags[number] for number in sorted(etags)])
        budget = Budget(self._exchange.config)

        async def receive(reply: Reply) -> str:
            found = xml.good_fields(await reply.read())
            return xml.unquote_etag(found.get("ETag", ""))

        async def send() -> str:
            try:
                etag = await self._exchange.call(request, receive, budget=budget)
            except NotFound as error:
                is_gone = error.resp is None or error.resp.code != "NoSuchKey"
                if budget.made < 2 or not is_gone:  # no answer has been lost
                    raise
                info = await head(self._exchange, bucket, key)
                check_made(request, info, expected, size, strict=bool(condition))
                return info.etag
            except ResponseError as error:
                # Of an upload that is gone Ceph says that it is being completed, for ever.
                if not (is_failure(error) and await self._seems_gone(request, budget)):
                    raise
                found = await look(self._exchange, bucket, key)
                if found is None:
                    raise gone(request, error) from error
                check_made(request, found, expected, size, strict=True)
                return found.etag
            return etag or (await head(self._exchange, bucket, key)).etag

        async def is_ours(info: ObjectInfo) -> bool:
            if info.size != size or info.etag == expected:
                return info.size == size
            # Not every ETag can be told beforehand; but an upload ends when it is completed.
            if not await self._is_gone(request, Budget(self._exchange.config)):
                return False
            check_made(request, info, expected, size, strict=True)
            return True

        if condition is None:
            return await send()
        return await self._conditions.keep(condition, request, send, is_ours, budget)

    async def _is_gone(self, completing: Request, budget: Budget) -> bool:
        bucket, key, query = completing.bucket, completing.key, completing.query
        try:
            await self._exchange.call(
                Request("listParts", "GET", bucket, key, query), acknowledged, budget=budget
            )
        except NotFound as error:
            if error.resp and error.resp.code == "NoSuchBucket":
                raise
            return True
        return False

    async def _seems_gone(self, completing: Request, budget: Budget) -> bool:
        """Do as `_is_gone` does, with one attempt when there are none left."""
        try:
            return await self._is_gone(completing, budget)
        except ObsError:  # the store fails as before
            return False

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
            if error.resp and error.resp.code == "NoSuchBucket":
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
            query = (("uploads", ""), ("prefix", prefix), *encoding, *following)
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


def is_failure(error: ResponseError) -> bool:
    """Tell whether the store says that it has failed, and not that the request is wrong."""
    return error.resp is not None and error.resp.status == 500


def gone(request: Request, refusal: ResponseError) -> NotFound:
    """Return the error for an upload that is not there any more, nor an object."""
    return NotFound(
        f"the upload is gone, and there is no object ({refusal.message})",
        operation=request.operation,
        url=request.url,
        resp=refusal.resp,
    )


def check_made(
    request: Request, info: ObjectInfo, expected: str, size: int, *, strict: bool
) -> None:
    """Check that the object may be, or if *strict* and its ETag can be told is, what was uploaded.

    Raises:
        ProtocolError: it is not.
    """
    differs = expected and info.etag != expected and (strict or "-" in info.etag)
    if info.size != size or differs:
        raise ProtocolError(
            "the upload is gone, and the object is not what was uploaded",
            operation=request.operation,
            url=request.url,
        )
