"""S3's own operations, one method each; nothing here knows of folders."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal, Self

from aioobs.config import Config
from aioobs.errors import AlreadyExists, ConfigError, NotFound, ObsError
from aioobs.generators import Owned
from aioobs.s3.append import append
from aioobs.s3.attributes import get_tags, put_tags, set_metadata
from aioobs.s3.body import Body, FilePart, MemorySink, Sink, md5_of
from aioobs.s3.completing import Completion
from aioobs.s3.conditions import Conditions, condition
from aioobs.s3.deleting import delete, delete_all
from aioobs.s3.documents import xml
from aioobs.s3.documents.page import Listed, Page
from aioobs.s3.documents.xml import ObjectVersion, Upload, UploadedPart
from aioobs.s3.exchange import Exchange
from aioobs.s3.listing import Listing
from aioobs.s3.objects import ObjectInfo, Range
from aioobs.s3.ranges import fill, load
from aioobs.s3.reading import head, read_into
from aioobs.s3.request import Request, object_headers, source_headers
from aioobs.s3.retry import Budget
from aioobs.s3.uploads import Uploads
from aioobs.s3.versions import versions
from aioobs.s3.writing import copied, copy_whole, put, written

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping
    from datetime import timedelta

    from _typeshed import WriteableBuffer

    from aioobs.s3.observer import Attempt, Call, Observer, Stats

__all__ = [
    "Client",
    "Listed",
    "ObjectInfo",
    "ObjectVersion",
    "Page",
    "Upload",
    "UploadedPart",
]


class Client:
    """One store, in S3's own words.

    A client can be used in any number of event loops and threads, one after the other or at the
    same time: each loop has its own connections, which are closed with `aclose` or with the loop.
    A client is pickled as its `Config`.

    Args:
        config: How to reach the store; by default as the environment says.
        observer: Counts what this client does, and has its hooks; several clients may share one.
            By default the client has one of its own.
    """

    def __init__(self, config: Config | None = None, *, observer: Observer | None = None) -> None:
        if isinstance(config, str):
            raise ConfigError(f"write Client(Config(endpoint={config!r}))")
        self._config = config or Config.from_env()
        self._exchange = Exchange(self._config, observer)
        self._listing = Listing(self._exchange)
        self._conditions = Conditions(self._exchange)
        self._uploads = Uploads(self._exchange)

    @property
    def config(self) -> Config:
        """How this client reaches its store."""
        return self._config

    @property
    def observer(self) -> Observer:
        """What counts the requests of this client, and has the hooks."""
        return self._exchange.observer

    def stats(self) -> Stats:
        """Return the counts of this client's requests so far, in all threads of this process."""
        return self.observer.stats()

    @property
    def on_attempt(self) -> list[Callable[[Attempt], None]]:
        """Functions that are called with each attempt at a request, once that has ended.

        They run in the middle of everything else, on the event loop, so they have to be quick and
        must not call blocking functions.  What they raise is logged.
        """
        return self.observer.on_attempt

    @property
    def on_call(self) -> list[Callable[[Call], None]]:
        """The same for each operation with all its attempts."""
        return self.observer.on_call

    async def list_buckets(self) -> list[str]:
        """Return the names of all buckets of the account."""
        return await self._exchange.document(Request("listBuckets", "GET"), xml.parse_names)

    async def create_bucket(self, bucket: str, *, exist_ok: bool = False) -> None:
        """Create a bucket in the client's region.

        Raises:
            AlreadyExists: it is there already, and *exist_ok* is false.
        """
        region, native = self._config.region, self._config.signature == "obs"
        elsewhere = region and region != "us-east-1"
        body = xml.region_document(region, native=native) if elsewhere else b""
        request, budget = Request("createBucket", "PUT", bucket, body=body), Budget(self._config)
        try:
            await self._exchange.perform(request, budget=budget)
        except AlreadyExists:
            # After a retry it may be ours: the answer that said so was lost.
            if not exist_ok and budget.made == 1:
                raise
            await self.head_bucket(bucket)  # it may be somebody else's

    async def head_bucket(self, bucket: str) -> None:
        """Check that the bucket exists and may be used.

        Raises:
            NotFound: there is no such bucket.
            AccessDenied: it may not be used.
        """
        await self._exchange.perform(Request("headBucket", "HEAD", bucket))

    async def delete_bucket(self, bucket: str) -> None:
        """Delete an empty bucket."""
        request, budget = Request("deleteBucket", "DELETE", bucket), Budget(self._config)
        try:
            await self._exchange.perform(request, budget=budget)
        except NotFound:
            if budget.made == 1:  # after a retry we may have deleted it, and lost the answer
                raise

    async def list_pages(
        self, bucket: str, prefix: str = "", *, delimiter: str = "", start_after: str = ""
    ) -> AsyncIterator[Page]:
        """Yield the objects whose keys begin with *prefix*, page by page.

        With a *delimiter*, keys that have one after the prefix are folded into `Page.prefixes`.
        The order is the store's, which need not be that of the keys.

        Raises:
            ProtocolError: the listing does not come to an end.
        """
        listing = self._listing.pages(bucket, prefix, delimiter, start_after)
        async with Owned(listing) as pages:  # closed as soon as the caller stops
            async for page in pages:
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

    async def list_object_versions(
        self, bucket: str, prefix: str = ""
    ) -> AsyncIterator[ObjectVersion]:
        """Yield the versions of all objects whose keys begin with *prefix*.

        They come as the store lists them: mostly key by key, and the newest first.
        """
        async for version in versions(self._exchange, bucket, prefix):
            yield version

    async def head_object(
        self,
        bucket: str,
        key: str,
        *,
        checksums: bool = False,
        part: int = 0,
        version_id: str = "",
    ) -> ObjectInfo:
        """Return what the store says of an object, or of the version that is named.

        Its headers have the *checksums* that the store keeps, if those are wanted.  Given the
        number of a *part* that it was made of, its size is that of the part, as far as the store
        remembers.

        Raises:
            NotFound: there is no such object, or no such bucket.
        """
        return await head(
            self._exchange, bucket, key, checksums=checksums, part=part, version_id=version_id
        )

    async def get_object(
        self,
        bucket: str,
        key: str,
        *,
        start: int = 0,
        stop: int | None = None,
        if_match: str = "",
        version_id: str = "",
    ) -> bytes:
        """Return the content of an object, or its bytes from *start* to before *stop*.

        A negative *start*, without *stop*, counts from the end; one request is enough for that.
        A body that breaks off is read on where it broke.  With a *version_id* it is that of a
        former version.

        Raises:
            NotFound: there is no such object, or no such version.
            ObjectChanged: it is not, or no longer, the one with the ETag *if_match*.
        """
        if start < 0 and stop is not None:
            raise ConfigError(f"start={start} counts from the end, and takes no stop")
        if stop is not None and stop <= start:
            return b""
        sink = MemorySink()
        await self.stream_object(
            bucket, key, sink, start=start, stop=stop, if_match=if_match, version_id=version_id
        )
        content = sink.getvalue()
        return content[start:] if start < 0 else content  # some stores send all of it

    async def stream_object(
        self,
        bucket: str,
        key: str,
        sink: Sink,
        *,
        start: int = 0,
        stop: int | None = None,
        if_match: str = "",
        size: int | None = None,
        version_id: str = "",
    ) -> ObjectInfo:
        """Do as `get_object`, but write into *sink* what comes; return what the store says.

        A sink has a coroutine function `write`, which takes bytes, and counts them in `received`.
        If the *size* of the object is known, an answer that announces another is not taken.
        """
        wanted = Range(start, stop, if_match, size, version_id)
        return await read_into(self._exchange, bucket, key, sink, wanted)

    async def get_into(
        self,
        bucket: str,
        key: str,
        buffer: WriteableBuffer,
        *,
        start: int = 0,
        if_match: str = "",
    ) -> int:
        """Fill *buffer* with what an object has from *start* on; return how many bytes that are.

        A long range takes several requests at once, all of them to one version of the object.
        When this fails, what is in *buffer* is of no use.

        Raises:
            NotFound: there is no such object.
            ObjectChanged: it is not, or no longer, the one with the ETag *if_match*.
        """
        view = memoryview(buffer).cast("B")
        if not view:
            return 0
        read, part_size = partial(self.stream_object, bucket, key), self._config.part_size
        return await fill(read, view, start=start, part_size=part_size, etag=if_match)

    async def get_buffer(self, bucket: str, key: str) -> memoryview:
        """Return the content of an object in writable memory of its own.

        It reads as `get_into` does, and suits long objects better than `get_object`.

        Raises:
            NotFound: there is no such object.
            ObjectChanged: it was replaced meanwhile.
        """
        info = await self.head_object(bucket, key)
        read, part_size = partial(self.stream_object, bucket, key), self._config.part_size
        return await load(read, info.size, part_size=part_size, etag=info.etag)

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
        with_md5: bool = False,
    ) -> str:
        """Create or replace an object of at most 5 GiB in one piece; return its ETag.

        The store compares what arrives with its MD5, if it is sent *with_md5*.

        With *if_match* it has to replace the object of that ETag, with *if_none_match* (``*``) to
        be a new one.  The object is looked at first, for some stores ignore conditions; on these,
        and on stores that refuse them, a change between the look and the write is not noticed.
        After a lost answer an object with the same content counts as this one: to make a lock of
        it, write something unique.

        Raises:
            ObjectChanged: the object is not the one with the ETag *if_match*, or there is none.
            AlreadyExists: there is one already, and *if_none_match* was given.
            NotFound: there is no such bucket.
        """
        name = "putFile" if isinstance(body, FilePart) else "putContent"
        headers = object_headers(content_type, metadata)
        if with_md5:
            headers["content-md5"] = await md5_of(body)
        request = Request(name, "PUT", bucket, key, headers=headers, body=body)
        wanted = condition(if_match, if_none_match)
        return await put(self._exchange, self._conditions, request, wanted)

    async def append_object(
        self, bucket: str, key: str, body: Body, *, position: int, content_type: str = ""
    ) -> int:
        """Add to an object that ends at *position*; return where it ends then.

        At position 0 the object is created, of that *content_type*.  Only OBS has this, in its
        own API (``Config(signature="obs")``), and only for objects that were created so: see
        `ObjectInfo.appendable`.  What was added is added once, whatever becomes of the answer.

        Raises:
            ObjectChanged: the object does not end at *position*; nothing was added.
            NotAppendable: the store has no append, or the object was written in another way.
            NotFound: there is no such bucket.
        """
        return await append(self._exchange, bucket, key, body, position, content_type)

    async def copy_object(
        self, source: tuple[str, str], bucket: str, key: str, *, if_match: str = ""
    ) -> str:
        """Copy the object *source*, a bucket and a key, of at most 5 GiB; return the new ETag.

        Raises:
            ObjectChanged: the source is not the one with the ETag *if_match*.
        """
        return await copy_whole(self._exchange, source, bucket, key, if_match)

    async def set_object_metadata(self, bucket: str, key: str, metadata: Mapping[str, str]) -> str:
        """Give an object of at most 5 GiB other metadata instead of its own; return its ETag.

        The store copies it onto itself.  So its time and its ETag may change, and who may read it
        is as for a new object; content type and tags stay as they are.

        Raises:
            NotFound: there is no such object.
            ObjectChanged: it was replaced meanwhile.
        """
        return await set_metadata(self._exchange, bucket, key, metadata)

    async def get_object_tagging(self, bucket: str, key: str) -> dict[str, str]:
        """Return the tags of an object."""
        return await get_tags(self._exchange, bucket, key)

    async def put_object_tagging(self, bucket: str, key: str, tags: Mapping[str, str]) -> None:
        """Give an object these tags instead of all that it has."""
        await put_tags(self._exchange, bucket, key, tags)

    async def delete_object(self, bucket: str, key: str) -> None:
        """Delete an object; one that does not exist is no error."""
        await delete(self._exchange, bucket, key)

    async def delete_objects(self, bucket: str, keys: Iterable[str]) -> list[ObsError]:
        """Delete objects, up to 1,000 at a time; return an error for each one that is left."""
        return await delete_all(self._exchange, bucket, keys)

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
            "initiateMultipartUpload", "POST", bucket, key, (("uploads", None),), headers
        )
        return await self._exchange.document(request, xml.parse_upload_id)

    async def upload_part(
        self,
        bucket: str,
        key: str,
        upload_id: str,
        number: int,
        body: Body,
        *,
        with_md5: bool = False,
    ) -> str:
        """Send part *number* (1 to 10,000) of an upload and return its ETag.

        All parts but the last one need at least 5 MiB.  *with_md5* is that of `put_object`.
        """
        query = (("partNumber", str(number)), ("uploadId", upload_id))
        headers = {"content-md5": await md5_of(body)} if with_md5 else {}
        request = Request("uploadPart", "PUT", bucket, key, query, headers, body)
        return await written(self._exchange, request)

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
        request = Request("copyPart", "PUT", bucket, key, query, headers)
        return await copied(self._exchange, request, source)

    async def complete_multipart_upload(
        self,
        bucket: str,
        key: str,
        upload_id: str,
        etags: Mapping[int, str],
        *,
        size: int,
        if_match: str = "",
        if_none_match: str = "",
    ) -> str:
        """Make an object of *size* bytes of the parts given by number; return its ETag.

        When an answer was lost and the upload is found gone, the object itself is looked at.
        The conditions are those of `put_object`; where one does not hold, the upload stays.  Some
        stores (SeaweedFS 4) look and write in two steps, so that of two that are completed at the
        same moment one may replace the other all the same.

        Raises:
            ObjectChanged: the object is not the one with the ETag *if_match*, or there is none.
            AlreadyExists: there is one already, and *if_none_match* was given.
            NotFound: there is no such upload.
        """
        wanted = condition(if_match, if_none_match)
        completion = Completion(self._exchange, bucket, key, upload_id, etags, size)
        return await completion.run(self._conditions, wanted)

    async def abort_multipart_upload(self, bucket: str, key: str, upload_id: str) -> None:
        """Abort an upload and free its parts; one that does not exist is no error."""
        await self._uploads.abort(bucket, key, upload_id)

    async def abort_stale_uploads(
        self, bucket: str, prefix: str = "", *, older_than: timedelta
    ) -> list[Upload]:
        """Abort the uploads below *prefix* that began longer ago than that; return them.

        Their parts take room, and cost money, until then.  Ages are told by the store's clock, to
        the second.  An upload that ends meanwhile is no error.
        """
        return await self._uploads.abort_stale(bucket, prefix, older_than)

    async def list_multipart_uploads(self, bucket: str, prefix: str = "") -> AsyncIterator[Upload]:
        """Yield the uploads that are neither completed nor aborted."""
        async for uploads, _ in self._uploads.pages(bucket, prefix):
            for upload in uploads:
                yield upload

    async def list_parts(
        self, bucket: str, key: str, upload_id: str
    ) -> AsyncIterator[UploadedPart]:
        """Yield the parts of an upload that the store has."""
        async for part in self._uploads.parts(bucket, key, upload_id):
            yield part

    async def presign(
        self,
        bucket: str,
        key: str,
        *,
        method: Literal["GET", "PUT", "HEAD", "DELETE"] = "GET",
        expires: int = 3600,
    ) -> str:
        """Return a URL that anybody can use for *expires* seconds, at most 7 days."""
        return await self._exchange.access.presign(
            Request("getObject", method, bucket, key), expires
        )

    async def aclose(self) -> None:
        """Close the connections of the running loop; a later call opens new ones."""
        await self._exchange.connections.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.aclose()

    def __reduce__(self) -> tuple[type[Client], tuple[Config]]:
        return type(self), (self._config,)

    def __repr__(self) -> str:
        return f"Client({self._config.endpoint or 'no endpoint'!r})"


def exchange_of(client: Client) -> Exchange:
    """Return what sends the requests of a client: for modules here that need more than a user."""
    return client._exchange  # noqa: SLF001
