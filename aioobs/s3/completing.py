"""The end of a multipart upload: an object is made of its parts, also if an answer gets lost.

A store that has completed an upload knows it no more.  So when an attempt is repeated and the
upload is not found, the object itself has to tell whether it was made of these parts.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from aioobs.errors import NotFound, ObsError, ProtocolError, ResponseError
from aioobs.s3.documents import xml
from aioobs.s3.objects import multipart_etag
from aioobs.s3.reading import find, head
from aioobs.s3.replies import acknowledged, is_of_bucket
from aioobs.s3.request import Request
from aioobs.s3.retry import Budget

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aioobs.s3.conditions import Condition, Conditions
    from aioobs.s3.exchange import Exchange
    from aioobs.s3.http.transport import Reply
    from aioobs.s3.objects import ObjectInfo

__all__ = ["Completion"]


class Completion:
    """One upload that is to become an object of *size* bytes; its parts have *etags* by number."""

    def __init__(
        self,
        exchange: Exchange,
        bucket: str,
        key: str,
        upload_id: str,
        etags: Mapping[int, str],
        size: int,
    ) -> None:
        self._exchange = exchange
        self._budget = Budget(exchange.config)
        self._size = size
        self._expected_etag = multipart_etag([etags[number] for number in sorted(etags)])
        """Empty if it cannot be told from those of the parts."""
        self._request = Request(
            "completeMultipartUpload",
            "POST",
            bucket,
            key,
            (("uploadId", upload_id),),
            {"content-type": "application/xml"},
            xml.complete_document(etags.items()),
        )

    async def run(self, conditions: Conditions, condition: Condition | None) -> str:
        """Make the object, under a condition if there is one; return its ETag."""
        send = partial(self._send, conditional=condition is not None)
        if condition is None:
            return await send()
        return await conditions.keep(condition, self._request, send, self._is_ours, self._budget)

    async def _send(self, *, conditional: bool) -> str:
        bucket, key = self._request.bucket, self._request.key
        try:
            etag = await self._exchange.call(self._request, etag_in, budget=self._budget)
        except NotFound as error:
            is_gone = error.resp is None or error.resp.code != "NoSuchKey"
            if self._budget.made < 2 or not is_gone:  # no answer has been lost
                raise
            info = await head(self._exchange, bucket, key)
            self._check(info, strict=conditional)
            return info.etag
        except ResponseError as error:
            # Of an upload that is gone Ceph says that it is being completed, for ever.
            if not (is_failure(error) and await self._seems_gone()):
                raise
            found = await find(self._exchange, bucket, key)
            if found is None:
                raise gone(self._request, error) from error
            self._check(found, strict=True)
            return found.etag
        return etag or (await head(self._exchange, bucket, key)).etag

    async def _is_ours(self, info: ObjectInfo) -> bool:
        """Tell whether an object has been made by this upload; see `Conditions.keep`."""
        if info.size != self._size or info.etag == self._expected_etag:
            return info.size == self._size
        # Not every ETag can be told beforehand; but an upload ends when it is completed.
        if not await self._is_gone(Budget(self._exchange.config)):
            return False
        self._check(info, strict=True)
        return True

    async def _is_gone(self, budget: Budget) -> bool:
        completing = self._request
        request = Request("listParts", "GET", completing.bucket, completing.key, completing.query)
        try:
            await self._exchange.call(request, acknowledged, budget=budget)
        except NotFound as error:
            if is_of_bucket(error):
                raise
            return True
        return False

    async def _seems_gone(self) -> bool:
        """Do as `_is_gone` does, with one attempt when there are none left."""
        try:
            return await self._is_gone(self._budget)
        except ObsError:  # the store fails as before
            return False

    def _check(self, info: ObjectInfo, *, strict: bool) -> None:
        """Check that the object may be, or if *strict* and its ETag is known is, what was uploaded.

        Raises:
            ProtocolError: it is not.
        """
        expected = self._expected_etag
        differs = expected and info.etag != expected and (strict or "-" in info.etag)
        if info.size != self._size or differs:
            raise ProtocolError(
                "the upload is gone, and the object is not what was uploaded",
                operation=self._request.operation,
                url=self._request.url,
            )


async def etag_in(reply: Reply) -> str:
    """Return the ETag that the answer has; empty: it has none."""
    found = xml.good_fields(await reply.read())
    return xml.unquote_etag(found.get("ETag", ""))


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
