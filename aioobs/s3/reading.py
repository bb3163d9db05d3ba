"""Reading objects: what the store says of one, its bytes, and whether they are those of a body."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aioobs.errors import NotFound, ObjectChanged, PreconditionFailed, ReadError, ResponseError
from aioobs.s3.body import FilePart, digest, read_exactly, size_of
from aioobs.s3.objects import ObjectInfo, Range, info_of
from aioobs.s3.request import Request
from aioobs.s3.retry import Budget
from aioobs.threads import in_thread

if TYPE_CHECKING:
    from aioobs.s3.body import Body, Sink
    from aioobs.s3.exchange import Begun, Exchange
    from aioobs.s3.transport import Reply

__all__ = ["head", "is_made_of", "is_stored", "look", "read_into"]


async def head(
    exchange: Exchange, bucket: str, key: str, *, checksums: bool = False, part: int = 0
) -> ObjectInfo:
    """Return what the store says of an object, or of a part; on request also of its checksums.

    Raises:
        NotFound: there is no such object, or no such bucket.
    """

    async def receive(reply: Reply) -> ObjectInfo:
        return info_of(key, reply)

    request = Request("getObjectMetadata", "HEAD", bucket, key)
    if checksums and exchange.config.signature == "v4":  # OBS says what it has unasked
        request.headers["x-amz-checksum-mode"] = "ENABLED"
    if part:
        request.query = (("partNumber", str(part)),)
    return await exchange.call(request, receive)


async def look(exchange: Exchange, bucket: str, key: str) -> ObjectInfo | None:
    """Return what the store says of an object; `None`: there is none."""
    try:
        return await head(exchange, bucket, key)
    except NotFound:
        return None


async def read_into(
    exchange: Exchange,
    bucket: str,
    key: str,
    sink: Sink,
    wanted: Range,
    *,
    begun: Begun | None = None,
) -> ObjectInfo:
    """Write the wanted bytes into *sink*; read on where a body breaks off.

    The request for them may have *begun* elsewhere.

    Raises:
        ObjectChanged: the object is not, or no longer, the one that is wanted.
    """
    start, given = sink.received, wanted.etag
    request = Request("getObject", "GET", bucket, key, headers=wanted.headers(0))
    whole: tuple[Reply, int] | None = None

    async def receive(reply: Reply) -> ObjectInfo:
        nonlocal whole
        if whole is not None:
            return info_of(key, *whole)
        before = sink.received
        size, length = wanted.check(reply, before - start)
        try:
            await reply.pour(sink)
            if length is not None and sink.received - before != length:
                raise ReadError(f"{length} bytes were announced, {sink.received - before} came")
        except BaseException:  # the next attempt goes on from here
            request.headers = wanted.headers(sink.received - start)
            if sink.received - before == length:  # it has failed after its last byte
                whole = reply, size
            raise
        return info_of(key, reply, size if length is not None else sink.received - start)

    budget = Budget(exchange.config)
    try:
        return await exchange.call(request, receive, budget=budget, begun=begun)
    except PreconditionFailed as error:
        if whole is not None:
            return info_of(key, *whole)
        message = f"the object is no longer the one with the ETag {wanted.etag}"
        raise ObjectChanged(
            message, operation=error.operation, url=error.url, resp=error.resp
        ) from error
    except ResponseError as error:
        if whole is not None:
            return info_of(key, *whole)
        refused = error.resp.status if error.resp else 0
        if refused == 416 and sink.received != start:
            message = f"the object ends after {sink.received - start} bytes, more were announced"
            raise ReadError(
                message, operation=error.operation, url=error.url, resp=error.resp
            ) from error
        if refused != 416 or wanted.start:
            raise
    # Of an empty object no range can be had.
    wanted.stop, request.headers = None, Range(etag=given).headers(0)
    info = await exchange.call(request, receive, budget=budget)
    if info.size:
        raise ReadError("a range of it was refused", operation="getObject", url=request.url)
    return info


async def is_made_of(exchange: Exchange, bucket: str, body: Body, info: ObjectInfo) -> bool:
    """Tell whether the object that *info* is about has the bytes of *body* and no others."""
    if info.size != size_of(body):
        return False
    if info.etag == (await digest(body, "md5")).hex():
        return True
    return await is_stored(exchange, bucket, info.key, body)  # not every ETag is an MD5


async def is_stored(
    exchange: Exchange, bucket: str, key: str, body: Body, *, start: int = 0
) -> bool:
    """Tell whether an object has the bytes of *body* from its byte *start* on."""
    size = size_of(body)
    if not size:
        return True
    comparison = Comparison(body)
    try:
        await read_into(exchange, bucket, key, comparison, Range(start, start + size))
    except (NotFound, ObjectChanged):
        return False
    except ResponseError as error:
        if error.resp is None or error.resp.status != 416:
            raise
        return False
    return comparison.received == size


class Comparison:
    """A sink that takes the bytes of a body and no others."""

    def __init__(self, body: Body) -> None:
        self.received: int = 0
        self._body = body

    async def write(self, chunk: bytes) -> None:
        """Take the next bytes.

        Raises:
            ObjectChanged: they are others.
        """
        if chunk != await self._expected(len(chunk)):
            raise ObjectChanged("the object has other bytes than those that were sent")
        self.received += len(chunk)

    async def _expected(self, size: int) -> bytes:
        if isinstance(self._body, FilePart):
            offset = self._body.offset + self.received
            return await in_thread(read_exactly, self._body.descriptor, size, offset)
        whole = memoryview(self._body).cast("B")
        return bytes(whole[self.received : self.received + size])
