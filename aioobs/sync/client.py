# Written by aioobs/sync/_generate.py from aioobs/s3/client.py: do not edit.
"""Blocking version of `aioobs.s3.client`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

from aioobs.s3 import client as _async
from aioobs.s3.client import Listed, ObjectInfo, ObjectVersion, Page, Upload, UploadedPart
from aioobs.sync._loop import iterate, run, run_here

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from datetime import timedelta

    from _typeshed import WriteableBuffer

    from aioobs.config import Config
    from aioobs.errors import ObsError
    from aioobs.s3.body import Body, Sink
    from aioobs.s3.observer import Attempt, Call, Observer, Stats

__all__ = ["Client", "Listed", "ObjectInfo", "ObjectVersion", "Page", "Upload", "UploadedPart"]


class Client:
    """One store, in S3's own words.

    A client can be used in any number of event loops and threads, one after the other or at the
    same time: each loop has its own connections, which are closed with `close` or with the loop.
    A client is pickled as its `Config`.

    Args:
        config: How to reach the store; by default as the environment says.
        observer: Counts what this client does, and has its hooks; several clients may share one.
            By default the client has one of its own.
    """

    def __init__(self, config: Config | None = None, *, observer: Observer | None = None) -> None:
        self._async = _async.Client(config, observer=observer)

    @property
    def config(self) -> Config:
        """How this client reaches its store."""
        return self._async.config

    @property
    def observer(self) -> Observer:
        """What counts the requests of this client, and has the hooks."""
        return self._async.observer

    def stats(self) -> Stats:
        """Return the counts of this client's requests so far, in all threads of this process."""
        return self._async.stats()

    @property
    def on_attempt(self) -> list[Callable[[Attempt], None]]:
        """Functions that are called with each attempt at a request, once that has ended.

        They run in the middle of everything else, on the event loop, so they have to be quick and
        must not call blocking functions.  What they raise is logged.
        """
        return self._async.on_attempt

    @property
    def on_call(self) -> list[Callable[[Call], None]]:
        """The same for each operation with all its attempts."""
        return self._async.on_call

    def list_buckets(self) -> list[str]:
        """Return the names of all buckets of the account."""
        return run(self._async.list_buckets())

    def create_bucket(self, bucket: str, *, exist_ok: bool = False) -> None:
        """Create a bucket in the client's region.

        Raises:
            AlreadyExists: it is there already, and *exist_ok* is false.
        """
        run(self._async.create_bucket(bucket, exist_ok=exist_ok))

    def head_bucket(self, bucket: str) -> None:
        """Check that the bucket exists and may be used.

        Raises:
            NotFound: there is no such bucket.
            AccessDenied: it may not be used.
        """
        run(self._async.head_bucket(bucket))

    def delete_bucket(self, bucket: str) -> None:
        """Delete an empty bucket."""
        run(self._async.delete_bucket(bucket))

    def list_pages(
        self, bucket: str, prefix: str = "", *, delimiter: str = "", start_after: str = ""
    ) -> Iterator[Page]:
        """Yield the objects whose keys begin with *prefix*, page by page.

        With a *delimiter*, keys that have one after the prefix are folded into `Page.prefixes`.
        The order is the store's, which need not be that of the keys.

        Raises:
            ProtocolError: the listing does not come to an end.
        """
        return iterate(
            self._async.list_pages(bucket, prefix, delimiter=delimiter, start_after=start_after)
        )

    def list_objects(
        self,
        bucket: str,
        prefix: str = "",
        *,
        delimiter: str = "",
        start_after: str = "",
        limit: int | None = None,
    ) -> Page:
        """Return the first page of what `list_pages` yields, of at most *limit* names."""
        return run(
            self._async.list_objects(
                bucket, prefix, delimiter=delimiter, start_after=start_after, limit=limit
            )
        )

    def list_object_versions(self, bucket: str, prefix: str = "") -> Iterator[ObjectVersion]:
        """Yield the versions of all objects whose keys begin with *prefix*.

        They come as the store lists them: mostly key by key, and the newest first.
        """
        return iterate(self._async.list_object_versions(bucket, prefix))

    def head_object(
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
        return run_here(
            self._async.head_object(
                bucket, key, checksums=checksums, part=part, version_id=version_id
            )
        )

    def get_object(
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
        return run_here(
            self._async.get_object(
                bucket, key, start=start, stop=stop, if_match=if_match, version_id=version_id
            )
        )

    def stream_object(
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
        return run(
            self._async.stream_object(
                bucket,
                key,
                sink,
                start=start,
                stop=stop,
                if_match=if_match,
                size=size,
                version_id=version_id,
            )
        )

    def get_into(
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
        return run_here(self._async.get_into(bucket, key, buffer, start=start, if_match=if_match))

    def get_buffer(self, bucket: str, key: str) -> memoryview:
        """Return the content of an object in writable memory of its own.

        It reads as `get_into` does, and suits long objects better than `get_object`.

        Raises:
            NotFound: there is no such object.
            ObjectChanged: it was replaced meanwhile.
        """
        return run(self._async.get_buffer(bucket, key))

    def put_object(
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
        return run_here(
            self._async.put_object(
                bucket,
                key,
                body,
                content_type=content_type,
                metadata=metadata,
                if_match=if_match,
                if_none_match=if_none_match,
                with_md5=with_md5,
            )
        )

    def append_object(
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
        return run(
            self._async.append_object(
                bucket, key, body, position=position, content_type=content_type
            )
        )

    def copy_object(
        self, source: tuple[str, str], bucket: str, key: str, *, if_match: str = ""
    ) -> str:
        """Copy the object *source*, a bucket and a key, of at most 5 GiB; return the new ETag.

        Raises:
            ObjectChanged: the source is not the one with the ETag *if_match*.
        """
        return run(self._async.copy_object(source, bucket, key, if_match=if_match))

    def set_object_metadata(self, bucket: str, key: str, metadata: Mapping[str, str]) -> str:
        """Give an object of at most 5 GiB other metadata instead of its own; return its ETag.

        The store copies it onto itself.  So its time and its ETag may change, and who may read it
        is as for a new object; content type and tags stay as they are.

        Raises:
            NotFound: there is no such object.
            ObjectChanged: it was replaced meanwhile.
        """
        return run(self._async.set_object_metadata(bucket, key, metadata))

    def get_object_tagging(self, bucket: str, key: str) -> dict[str, str]:
        """Return the tags of an object."""
        return run(self._async.get_object_tagging(bucket, key))

    def put_object_tagging(self, bucket: str, key: str, tags: Mapping[str, str]) -> None:
        """Give an object these tags instead of all that it has."""
        run(self._async.put_object_tagging(bucket, key, tags))

    def delete_object(self, bucket: str, key: str) -> None:
        """Delete an object; one that does not exist is no error."""
        run(self._async.delete_object(bucket, key))

    def delete_objects(self, bucket: str, keys: Iterable[str]) -> list[ObsError]:
        """Delete objects, up to 1,000 at a time; return an error for each one that is left."""
        return run(self._async.delete_objects(bucket, keys))

    def create_multipart_upload(
        self,
        bucket: str,
        key: str,
        *,
        content_type: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> str:
        """Begin an upload in parts and return its id."""
        return run(
            self._async.create_multipart_upload(
                bucket, key, content_type=content_type, metadata=metadata
            )
        )

    def upload_part(
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
        return run(self._async.upload_part(bucket, key, upload_id, number, body, with_md5=with_md5))

    def upload_part_copy(
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
        return run(
            self._async.upload_part_copy(
                bucket, key, upload_id, number, source, start=start, stop=stop, if_match=if_match
            )
        )

    def complete_multipart_upload(
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
        return run(
            self._async.complete_multipart_upload(
                bucket,
                key,
                upload_id,
                etags,
                size=size,
                if_match=if_match,
                if_none_match=if_none_match,
            )
        )

    def abort_multipart_upload(self, bucket: str, key: str, upload_id: str) -> None:
        """Abort an upload and free its parts; one that does not exist is no error."""
        run(self._async.abort_multipart_upload(bucket, key, upload_id))

    def abort_stale_uploads(
        self, bucket: str, prefix: str = "", *, older_than: timedelta
    ) -> list[Upload]:
        """Abort the uploads below *prefix* that began longer ago than that; return them.

        Their parts take room, and cost money, until then.  Ages are told by the store's clock, to
        the second.  An upload that ends meanwhile is no error.
        """
        return run(self._async.abort_stale_uploads(bucket, prefix, older_than=older_than))

    def list_multipart_uploads(self, bucket: str, prefix: str = "") -> Iterator[Upload]:
        """Yield the uploads that are neither completed nor aborted."""
        return iterate(self._async.list_multipart_uploads(bucket, prefix))

    def list_parts(self, bucket: str, key: str, upload_id: str) -> Iterator[UploadedPart]:
        """Yield the parts of an upload that the store has."""
        return iterate(self._async.list_parts(bucket, key, upload_id))

    def presign(
        self,
        bucket: str,
        key: str,
        *,
        method: Literal["GET", "PUT", "HEAD", "DELETE"] = "GET",
        expires: int = 3600,
    ) -> str:
        """Return a URL that anybody can use for *expires* seconds, at most 7 days."""
        return run(self._async.presign(bucket, key, method=method, expires=expires))

    def close(self) -> None:
        """Close the connections of the running loop; a later call opens new ones."""
        run(self._async.aclose())

    def __enter__(self) -> Self:
        run(self._async.__aenter__())
        return self

    def __exit__(self, *exception: object) -> None:
        run(self._async.__aexit__(*exception))

    def __repr__(self) -> str:
        return self._async.__repr__()

    @classmethod
    def _wrap(cls, inner: _async.Client) -> Self:
        self = cls.__new__(cls)
        self._async = inner
        return self
