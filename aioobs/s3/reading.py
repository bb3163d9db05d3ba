"""Reading objects: what the store says of one, its bytes, and whether they are those of a body."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aioobs.errors import (
    NotFound,
    ObjectChanged,
    PreconditionFailed,
    ReadError,
    ResponseError,
)
from aioobs.s3.body import FilePart, digest, read_exactly, size_of
from aioobs.s3.objects import ObjectInfo, Range, info_of
from aioobs.s3.request import Request, version_query
from aioobs.s3.retry import Budget
from aioobs.threads import in_thread

if TYPE_CHECKING:
    from aioobs.s3.body import Body, Sink
    from aioobs.s3.call_in_progress import Begun
    from aioobs.s3.exchange import Exchange
    from aioobs.s3.http.transport import Reply

__all__ = ["find", "head", "is_made_of", "is_stored", "read_into"]

PROGRESS = 64 * 1024  # bytes that an attempt must have brought for those before it to be forgotten


async def head(
    exchange: Exchange,
    bucket: str,
    key: str,
    *,
    checksums: bool = False,
    part: int = 0,
    version_id: str = "",
) -> ObjectInfo:
    """Return what the store says of an object, or of a part; on request also of its checksums.

    Raises:
        NotFound: there is no such object, or no such bucket.
    """

    async def receive(reply: Reply) -> ObjectInfo | None:
        if reply.length is None and request.method == "HEAD":
            return None
        return info_of(key, reply)

    query = version_query(version_id)
    request = Request("getObjectMetadata", "HEAD", bucket, key, query)
    if checksums and exchange.config.signature == "v4":  # OBS says what it has unasked
        request.headers["x-amz-checksum-mode"] = "ENABLED"
    if part:
        request.query += (("partNumber", str(part)),)
    while (info := await exchange.call(request, receive)) is None:
        request.method = "GET"  # Apache's httpd, as a proxy, leaves a length of 0 out of a HEAD
    return info


async def find(exchange: Exchange, bucket: str, key: str) -> ObjectInfo | None:
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
    reading = Reading(exchange, bucket, key, sink, wanted)
    try:
        return await reading.run(begun)
    except ResponseError as error:
        if not is_beyond(error) or reading.received or wanted.start > 0:
            raise
    # Of an empty object no range can be had, and from some stores none that ends behind an object.
    reading.request.headers = Range(etag=wanted.etag).headers(0)
    return await reading.run()


def is_beyond(error: ResponseError) -> bool:
    """Tell whether the store says that there are no such bytes."""
    resp = error.resp
    if resp is None:
        return False
    return resp.status == 416 or (resp.status == 400 and "range" in resp.message.lower())


class Reading:
    """The bytes of an object on their way into a sink, in one attempt after the other."""

    __slots__ = ("_budget", "_exchange", "_sink", "_start", "_wanted", "request", "whole")

    def __init__(
        self, exchange: Exchange, bucket: str, key: str, sink: Sink, wanted: Range
    ) -> None:
        self._exchange = exchange
        self._budget = Budget(exchange.config)
        self._sink = sink
        self._start = sink.received
        self._wanted = wanted
        query, headers = version_query(wanted.version_id), wanted.headers(0)
        self.request: Request = Request("getObject", "GET", bucket, key, query, headers)
        self.whole: ObjectInfo | None = None
        """What was read, if the attempt that brought its last byte has failed after that."""

    @property
    def received(self) -> int:
        """How many bytes have come."""
        return self._sink.received - self._start

    async def run(self, begun: Begun | None = None) -> ObjectInfo:
        """Ask until everything has come."""
        call = self._exchange.call
        try:
            return await call(self.request, self._receive, budget=self._budget, begun=begun)
        except ResponseError as error:
            if self.whole is not None:
                return self.whole
            if explained := self._explained(error):
                raise explained from error
            raise

    async def _receive(self, reply: Reply) -> ObjectInfo:
        if self.whole is not None:
            return self.whole
        before = self.received
        size, length = self._wanted.check(reply, before)
        try:
            if length or not reply.length:
                await reply.read_into(self._sink)
            if length is not None and self.received - before != length:
                raise ReadError(f"{length} bytes were announced, {self.received - before} came")
        except BaseException:
            self._go_on_from_here(self.received - before)
            if self.received - before == length:
                self.whole = info_of(self.request.key, reply, size)
            raise
        return info_of(self.request.key, reply, size if length is not None else self.received)

    def _go_on_from_here(self, came: int) -> None:
        self.request.headers = self._wanted.headers(self.received)
        if came >= PROGRESS:
            self._budget.renew()

    def _explained(self, error: ResponseError) -> ReadError | None:
        """Return what a refusal means, if that depends on what has been read."""
        if isinstance(error, PreconditionFailed):
            kind: type[ReadError] = ObjectChanged
            message = f"the object is no longer the one with the ETag {self._wanted.etag}"
        elif error.resp is not None and error.resp.status == 416 and self.received:
            kind = ReadError
            message = f"the object ends after {self.received} bytes, more were announced"
        else:
            return None
        return kind(message, operation=error.operation, url=error.url, resp=error.resp)


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
