"""S3's own operations, one method each; nothing here knows of folders."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Literal, Self

from aioobs.config import Config
from aioobs.errors import (
    AlreadyExists,
    ErrorResponse,
    NotFound,
    ObjectChanged,
    ObsError,
    PreconditionFailed,
    ProtocolError,
    ReadError,
    ResponseError,
    error_for,
)
from aioobs.s3 import xml
from aioobs.s3.body import Body, FilePart, MemorySink, Sink, digest
from aioobs.s3.exchange import Exchange
from aioobs.s3.listing import Circles, Listing
from aioobs.s3.objects import ObjectInfo, Range, checked_fields, info_of, multipart_etag
from aioobs.s3.request import Request, object_headers, source_headers
from aioobs.s3.retry import Budget
from aioobs.s3.xml import Listed, Page, Upload, UploadedPart

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping
    from types import TracebackType

    from aioobs.s3.connections import Connections
    from aioobs.s3.transport import Reply

__all__ = ["Client", "Listed", "ObjectInfo", "Page", "Upload", "UploadedPart"]

MOST_DELETED = 1000
NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


class Client:
    """One store, in S3's own words.

    A client can be used in any number of event loops and threads, one after the other or at the
    same time: each loop has its own connections, which are closed with `aclose` or with the loop.
    A client is pickled as its `Config`.
    """

    def __init__(self, config: Config | None = None) -> None:
        self._config = config or Config.from_env()
        self._exchange = Exchange(self._config)
        self._listing = Listing(self._exchange)

    @property
    def config(self) -> Config:
        """How this client reaches its store."""
        return self._config

    async def list_buckets(self) -> list[str]:
        """Return the names of all buckets of the account."""
        return await self._exchange.document(Request("listBuckets", "GET"), xml.parse_names)

    async def create_bucket(self, bucket: str, *, exist_ok: bool = False) -> None:
        """Create a bucket in the client's region.

        Raises:
            AlreadyExists: it is there already, and *exist_ok* is false.
        """
        region = self._config.region
        body = xml.region_document(region) if region and region != "us-east-1" else b""
        try:
            await self._exchange.perform(Request("createBucket", "PUT", bucket, body=body))
        except AlreadyExists:
            if not exist_ok:
                raise
            await self.head_bucket(bucket)  # it may be somebody else's

    async def head_bucket(self, bucket: str) -> None:
        """Return if the bucket exists and may be used.

        Raises:
            NotFound: there is no such bucket.
            AccessDenied: it may not be used.
        """
        await self._exchange.perform(Request("headBucket", "HEAD", bucket))

    async def delete_bucket(self, bucket: str) -> None:
        """Delete an empty bucket."""
        await self._exchange.perform(Request("deleteBucket", "DELETE", bucket))

    async def list_pages(
        self, bucket: str, prefix: str = "", *, delimiter: str = "", start_after: str = ""
    ) -> AsyncIterator[Page]:
        """Yield the objects whose keys begin with *prefix*, page by page.

        With a *delimiter*, keys that have one after the prefix are folded into `Page.prefixes`.
        The order is the store's, which need not be that of the keys.

        Raises:
            ProtocolError: the listing does not come to an end.
        """
        async for page in self._listing.pages(bucket, prefix, delimiter, start_after):
            yield page

    async def list_objects(
        self,
        bucket: str,
        prefix: str = "",
        *,
        delimiter: str = "",
        start_after: str = "",
        limit: int | None = None,
    ) -> Page:
        """Return the first page of what `list_pages` yields, of at most *limit* names."""
        return await self._listing.first_page(bucket, prefix, delimiter, start_after, limit)

    async def head_object(self, bucket: str, key: str) -> ObjectInfo:
        """Return what the store says of an object.

        Raises:
            NotFound: there is no such object, or no such bucket.
        """

        async def receive(reply: Reply) -> ObjectInfo:
            return info_of(key, reply)

        request = Request("getObjectMetadata", "HEAD", bucket, key)
        return await self._exchange.call(request, receive)

    async def get_object(
        self, bucket: str, key: str, *, start: int = 0, stop: int | None = None, if_match: str = ""
    ) -> bytes:
        """Return the content of an object, or its bytes from *start* to before *stop*.

        A body that breaks off is read on where it broke.

        Raises:
            NotFound: there is no such object.
            ObjectChanged: it is not, or no longer, the one with the ETag *if_match*.
        """
        if stop is not None and stop <= start:
            return b""
        sink = MemorySink()
        await self.get_object_into(bucket, key, sink, start=start, stop=stop, if_match=if_match)
        return sink.getvalue()

    async def get_object_into(
        self,
        bucket: str,
        key: str,
        sink: Sink,
        *,
        start: int = 0,
        stop: int | None = None,
        if_match: str = "",
    ) -> ObjectInfo:
        """Do as `get_object`, but write into *sink*, and return what the store says."""
        wanted = Range(start, stop, if_match)
        begun = sink.received
        request = Request("getObject", "GET", bucket, key, headers=wanted.headers(0))

        async def receive(reply: Reply) -> ObjectInfo:
            before = sink.received
            size, length = wanted.check(reply, before - begun)
            try:
                await reply.pour(sink)
            finally:  # should this break off, the next attempt goes on from here
                request.headers = wanted.headers(sink.received - begun)
            if length is not None and sink.received - before != length:
                raise ReadError(f"{length} bytes were announced, {sink.received - before} came")
            return info_of(key, reply, size if length is not None else sink.received - begun)

        budget = Budget(self._config)
        try:
            return await self._exchange.call(request, receive, budget=budget)
        except PreconditionFailed as error:
            raise ObjectChanged(
                f"the object is no longer the one with the ETag {wanted.etag}",
                operation=error.operation,
                url=error.url,
                resp=error.resp,
            ) from error
        except ResponseError as error:
            if error.resp is None or error.resp.status != 416 or start or sink.received != begun:
                raise
        # Of an empty object no range can be had.
        wanted.stop, request.headers = None, Range(etag=if_match).headers(0)
        info = await self._exchange.call(request, receive, budget=budget)
        if info.size:
            raise ReadError("a range of it was refused", operation="getObject", url=request.url)
        return info

    async def put_object(
        self,
        bucket: str,
        key: str,
        body: Body,
        *,
        content_type: str = "",
        metadata: Mapping[str, str] | None = None,
        if_match: str = "",
        if_none_match: str = "",
    ) -> str:
        """Create or replace an object of at most 5 GiB in one piece; return its ETag.

        Not all stores heed *if_match* (an ETag) and *if_none_match* (``*``); some refuse them.

        Raises:
            PreconditionFailed: the condition does not hold.
            NotFound: there is no such bucket.
        """
        headers = object_headers(content_type, metadata)
        if if_match:
            headers["if-match"] = f'"{if_match}"'
        if if_none_match:
            headers["if-none-match"] = if_none_match
        name = "putFile" if isinstance(body, FilePart) else "putContent"
        return await self._etag(Request(name, "PUT", bucket, key, headers=headers, body=body))

    async def copy_object(
        self, source: tuple[str, str], bucket: str, key: str, *, if_match: str = ""
    ) -> str:
        """Copy the object *source*, a bucket and a key, of at most 5 GiB; return the new ETag.

        Raises:
            ObjectChanged: the source is not the one with the ETag *if_match*.
        """
        headers = source_headers(source, if_match)
        request = Request("copyObject", "PUT", bucket, key, headers=headers)
        etag = await self._copied(request, source)
        if not etag:  # some stores keep none
            made, origin = await self.head_object(bucket, key), await self.head_object(*source)
            if made.size != origin.size:
                raise ProtocolError(
                    f"{origin.size} bytes were to be copied, the copy has {made.size}",
                    operation=request.operation,
                    url=request.url,
                )
        return etag

    async def delete_object(self, bucket: str, key: str) -> None:
        """Delete an object; one that does not exist is no error."""
        await self._exchange.perform(Request("deleteObject", "DELETE", bucket, key))

    async def delete_objects(self, bucket: str, keys: Iterable[str]) -> list[ObsError]:
        """Delete objects, up to 1,000 at a time; return an error for each one that is left."""
        failures: list[ObsError] = []
        batch: list[str] = []
        for key in keys:
            if NOT_IN_XML.search(key):
                await self.delete_object(bucket, key)
                continue
            batch.append(key)
            if len(batch) == MOST_DELETED:
                failures += await self._delete_batch(bucket, batch)
                batch = []
        return failures + (await self._delete_batch(bucket, batch) if batch else [])

    async def _delete_batch(self, bucket: str, keys: list[str]) -> list[ObsError]:
        body = xml.delete_document(keys)
        request = Request("deleteObjects", "POST", bucket, query=(("delete", ""),), body=body)
        request.headers["content-md5"] = base64.b64encode(await digest(body, "md5")).decode()
        request.headers["content-type"] = "application/xml"
        errors = await self._exchange.document(request, xml.parse_delete_errors)
        return [
            error_for(
                "deleteObjects",
                f"s3://{bucket}/{error.get('Key', '')}",
                ErrorResponse(200, "", error.get("Code", ""), error.get("Message", "")),
            )
            for error in errors
            if error.get("Code") != "NoSuchKey"
        ]

    async def create_multipart_upload(
        self,
        bucket: str,
        key: str,
        *,
        content_type: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> str:
        """Begin an upload in parts and return its id."""
        headers = object_headers(content_type, metadata)
        request = Request(
            "initiateMultipartUpload", "POST", bucket, key, (("uploads", ""),), headers
        )
        return await self._exchange.document(request, xml.parse_upload_id)

    async def upload_part(
        self, bucket: str, key: str, upload_id: str, number: int, body: Body
    ) -> str:
        """Send part *number* (1 to 10,000) of an upload and return its ETag.

        All parts but the last one need at least 5 MiB.
        """
        query = (("partNumber", str(number)), ("uploadId", upload_id))
        return await self._etag(Request("uploadPart", "PUT", bucket, key, query, body=body))

    async def upload_part_copy(
        self,
        bucket: str,
        key: str,
        upload_id: str,
        number: int,
        source: tuple[str, str],
        *,
        start: int,
        stop: int,
        if_match: str = "",
    ) -> str:
        """Take the bytes *start* to before *stop* of another object as a part; return its ETag."""
        headers = source_headers(source, if_match)
        headers["x-amz-copy-source-range"] = f"bytes={start}-{stop - 1}"
        query = (("partNumber", str(number)), ("uploadId", upload_id))
        return await self._copied(Request("copyPart", "PUT", bucket, key, query, headers), source)

    async def complete_multipart_upload(
        self, bucket: str, key: str, upload_id: str, etags: Mapping[int, str], *, size: int
    ) -> str:
        """Make an object of *size* bytes of the parts given by number; return its ETag.

        When an answer was lost and the upload is found gone, the object itself is looked at.
        """
        request = Request(
            "completeMultipartUpload", "POST", bucket, key, (("uploadId", upload_id),)
        )
        request.body = xml.complete_document(etags.items())
        request.headers["content-type"] = "application/xml"

        async def receive(reply: Reply) -> str:
            found = checked_fields(request, await reply.read())
            return xml.unquote_etag(found.get("ETag", ""))

        budget = Budget(self._config)
        try:
            etag = await self._exchange.call(request, receive, budget=budget)
        except NotFound:
            if budget.made < 2:  # no answer has been lost
                raise
            return await self._completed(bucket, key, etags, size)
        return etag or (await self.head_object(bucket, key)).etag

    async def _completed(self, bucket: str, key: str, etags: Mapping[int, str], size: int) -> str:
        info = await self.head_object(bucket, key)
        expected = multipart_etag([etags[number] for number in sorted(etags)])
        if info.size != size or ("-" in info.etag and expected and info.etag != expected):
            raise ProtocolError(
                "the upload is gone, and the object is not what was uploaded",
                operation="completeMultipartUpload",
                url=f"s3://{bucket}/{key}",
            )
        return info.etag

    async def abort_multipart_upload(self, bucket: str, key: str, upload_id: str) -> None:
        """Give up an upload and free its parts; one that does not exist is no error."""
        request = Request("abortMultipartUpload", "DELETE", bucket, key, (("uploadId", upload_id),))
        try:
            await self._exchange.perform(request)
        except NotFound as error:
            if error.resp and error.resp.code == "NoSuchBucket":
                raise

    async def list_multipart_uploads(self, bucket: str, prefix: str = "") -> AsyncIterator[Upload]:
        """Yield the uploads that are neither completed nor aborted."""
        following: tuple[tuple[str, str], ...] = ()
        circles = Circles("listMultipartUploads", f"s3://{bucket}/{prefix}")
        while True:
            query = (("uploads", ""), ("encoding-type", "url"), ("prefix", prefix), *following)
            request = Request("listMultipartUploads", "GET", bucket, query=query)
            uploads, following = await self._exchange.document(request, xml.parse_uploads)
            for upload in uploads:
                yield upload
            if not following:
                return
            circles.check(following)

    async def list_parts(
        self, bucket: str, key: str, upload_id: str
    ) -> AsyncIterator[UploadedPart]:
        """Yield the parts of an upload that the store has."""
        following: tuple[tuple[str, str], ...] = ()
        circles = Circles("listParts", f"s3://{bucket}/{key}")
        while True:
            query = (("uploadId", upload_id), *following)
            request = Request("listParts", "GET", bucket, key, query)
            parts, following = await self._exchange.document(request, xml.parse_parts)
            for part in parts:
                yield part
            if not following:
                return
            circles.check(following)

    async def presign(
        self,
        bucket: str,
        key: str,
        *,
        method: Literal["GET", "PUT", "HEAD", "DELETE"] = "GET",
        expires: int = 3600,
    ) -> str:
        """Return a URL that anybody can use for *expires* seconds, at most 7 days."""
        return await self._exchange.presign(Request("getObject", method, bucket, key), expires)

    async def aclose(self) -> None:
        """Close the connections of the running loop; a later call opens new ones."""
        await self._exchange.aclose()

    async def connections(self) -> Connections:
        """Return what the requests of the running loop share."""
        return await self._exchange.connections()

    def retire(self) -> None:
        """Close the connections of every loop once nothing is under way on them."""
        self._exchange.retire()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __reduce__(self) -> tuple[type[Client], tuple[Config]]:
        return type(self), (self._config,)

    def __repr__(self) -> str:
        return f"Client({self._config.endpoint or 'no endpoint'!r})"

    async def _etag(self, request: Request) -> str:
        async def receive(reply: Reply) -> str:
            await reply.read()
            etag = xml.unquote_etag(reply.headers.get("etag", ""))
            if not etag:
                raise ProtocolError("the answer has no ETag; is this an S3 endpoint?")
            return etag

        return await self._exchange.call(request, receive)

    async def _copied(self, request: Request, source: tuple[str, str]) -> str:
        """Return the ETag of a copy, whose answer may be an error under the status 200."""

        async def receive(reply: Reply) -> str:
            found = checked_fields(request, await reply.read())
            etag = xml.unquote_etag(found.get("ETag", ""))
            if "ETag" not in found or (not etag and request.operation == "copyPart"):
                raise ProtocolError("the answer to a copy has no ETag; nothing may be there")
            return etag

        try:
            return await self._exchange.call(request, receive)
        except PreconditionFailed as error:
            raise ObjectChanged(
                "the source was replaced while it was being copied",
                operation=request.operation,
                url=f"s3://{source[0]}/{source[1]}",
                resp=error.resp,
            ) from error
