"""Short objects that are read, written and copied by requests from a queue."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from aioobs.errors import ObsError, ReadError
from aioobs.s3.body import MemorySink
from aioobs.s3.documents.xml import unquote_etag
from aioobs.s3.objects import Range, if_match
from aioobs.s3.reading import read_into
from aioobs.s3.request import Request, object_headers
from aioobs.s3.request_queue import QueuedRequest
from aioobs.s3.writing import copy_request, copy_whole, etag_in, written

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aioobs.s3.call_in_progress import Begun
    from aioobs.s3.exchange import Exchange
    from aioobs.s3.http.response_head import Head

__all__ = ["QueuedCopy", "QueuedGet", "QueuedPut"]

LONGEST_ANSWER = 64 * 1024


class ReportedRequest(QueuedRequest):
    """A request that reports what became of it."""

    __slots__ = ()

    @abstractmethod
    def failed(self, error: OSError) -> None:
        """Called with the error, if it could not be done."""


class QueuedGet(ReportedRequest):
    """Reads an object of which size and ETag are known."""

    __slots__ = ("_etag", "_size")

    def __init__(self, bucket: str, key: str, size: int, etag: str) -> None:
        super().__init__(Request("getObject", "GET", bucket, key, headers=if_match(etag)))
        self._size = size
        self._etag = etag

    def expects(self, head: Head) -> bool:
        """Tell whether the answer is this version of the object."""
        etag = unquote_etag(head.headers.get("etag", ""))
        known = etag or "last-modified" in head.headers
        return bool(known) and etag == self._etag and head.length == self._size

    def take(self, head: Head, body: list[memoryview]) -> bool:
        """Report the content."""
        self.received(body)
        return True

    async def perform(self, exchange: Exchange, begun: Begun | None) -> None:
        """Read it."""
        sink, request = MemorySink(), self.request
        wanted = Range(etag=self._etag, size=self._size)
        try:
            await read_into(exchange, request.bucket, request.key, sink, wanted, begun=begun)
            if sink.received != self._size:
                raise ReadError(
                    f"{self._size} bytes were listed, {sink.received} came",
                    operation=request.operation,
                    url=request.url,
                )
        except OSError as error:
            self.failed(error)
        else:
            self.received([memoryview(sink.getvalue())])

    @abstractmethod
    def received(self, body: list[memoryview]) -> None:
        """Called with the content of the object."""


class QueuedPut(ReportedRequest):
    """Writes an object."""

    __slots__ = ()

    def __init__(
        self,
        bucket: str,
        key: str,
        body: bytes,
        md5: str = "",
        content_type: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        headers = object_headers(content_type, metadata)
        if md5:
            headers["content-md5"] = md5
        super().__init__(Request("putContent", "PUT", bucket, key, headers=headers, body=body))

    def expects(self, head: Head) -> bool:
        """Tell whether the answer is that it is written."""
        return bool(unquote_etag(head.headers.get("etag", ""))) and head.length == 0

    def take(self, head: Head, body: list[memoryview]) -> bool:
        """Report that it is written."""
        self.done(unquote_etag(head.headers.get("etag", "")))
        return True

    async def perform(self, exchange: Exchange, begun: Begun | None) -> None:
        """Write it."""
        try:
            etag = await written(exchange, self.request, begun=begun)
        except OSError as error:
            self.failed(error)
        else:
            self.done(etag)

    @abstractmethod
    def done(self, etag: str) -> None:
        """Called with the ETag of the new object."""


class QueuedCopy(ReportedRequest):
    """Has the store copy an object."""

    __slots__ = ("_if_match", "_source")

    def __init__(self, source: tuple[str, str], bucket: str, key: str, if_match: str) -> None:
        super().__init__(copy_request(source, bucket, key, if_match))
        self._source = source
        self._if_match = if_match

    def expects(self, head: Head) -> bool:
        """Tell whether the answer is short."""
        return (head.length or 0) <= LONGEST_ANSWER

    def take(self, head: Head, body: list[memoryview]) -> bool:
        """Report that it is copied, if the body says so."""
        try:
            etag = etag_in(b"".join(body))
        except ObsError:
            return False
        if etag:
            self.done(etag)
        return bool(etag)

    async def perform(self, exchange: Exchange, begun: Begun | None) -> None:
        """Have it copied."""
        bucket, key = self.request.bucket, self.request.key
        source, if_match = self._source, self._if_match
        try:
            etag = await copy_whole(exchange, source, bucket, key, if_match, begun=begun)
        except OSError as error:
            self.failed(error)
        else:
            self.done(etag)

    @abstractmethod
    def done(self, etag: str) -> None:
        """Called with the ETag of the new object."""
