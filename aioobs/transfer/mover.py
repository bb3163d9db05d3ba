"""One file at a time, in each of the four directions."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from aioobs.errors import NotFound, ObjectChanged, ReadError
from aioobs.s3.body import FilePart, FileSink
from aioobs.s3.parts import cut, part_size_for
from aioobs.store.local import Draft, Source, make_folder
from aioobs.store.upload import abort_upload, begin_upload
from aioobs.threads import in_thread
from aioobs.transfer.failures import told
from aioobs.transfer.jobs import look
from aioobs.transfer.small import SmallFiles

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from aioobs.config import Config
    from aioobs.s3.body import Body
    from aioobs.s3.client import Client
    from aioobs.store.upload import Guard, Headers
    from aioobs.transfer.crew import Crew
    from aioobs.transfer.plan import Job
    from aioobs.transfer.progress import Meter
    from aioobs.transfer.small import Ended
    from aioobs.url import ObjectURL

__all__ = ["Mover"]

COPY_CHUNK = 64 << 20  # what is copied locally before anybody looks up
LOOKS = 3  # at an object that is replaced again and again
COPIED_PART = 512 << 20  # a part that the store copies by itself


class Mover:
    """Copies files with the help of a crew, and counts what has moved."""

    def __init__(self, client: Client, crew: Crew, meter: Meter) -> None:
        self.client = client
        self.config: Config = client.config
        self.crew = crew
        self.meter = meter
        self._small = SmallFiles(client, crew, meter, self._add_by_itself)

    async def add(self, job: Job, ended: Ended) -> None:
        """Have a file copied, once there is room in the line; *ended* is told how that went."""
        await self.crew.room()
        if self._small.take(job):
            await self._small.add(job, ended)
        else:
            self._add_by_itself(job, ended)

    async def aclose(self) -> None:
        """Let go of everything, whether or not it is done."""
        await self._small.aclose()

    def _add_by_itself(self, job: Job, ended: Ended) -> None:
        self.crew.add(partial(self._do, job, ended))

    async def _do(self, job: Job, ended: Ended) -> None:
        try:
            if job.error is not None:
                raise job.error
            if job.size is None:
                job = await look(self.client, job)
                self.meter.bytes_total += job.size or 0
                if self._small.take(job) and await self._small.add(job, ended, wait=False):
                    return
            await self.copy(job)
        except OSError as error:
            ended(job, told(error, job))
        else:
            ended(job, None)

    async def copy(self, job: Job) -> None:
        """Copy one file, or create one empty folder."""
        source, target = job.source, job.target
        if isinstance(target, str):
            folder = target if job.is_directory else os.path.dirname(target)
            await in_thread(make_folder, folder)
            if isinstance(source, str):
                if not job.is_directory:
                    await self._copy_locally(source, target, job.mtime_nsec)
            elif not job.is_directory:
                await self._as_it_is(job, partial(self._download, source, target))
        elif job.is_directory:
            await self.client.put_object(target.bucket, target.folder, b"")
        elif isinstance(source, str):
            await self._upload(source, target)
        else:
            await self._as_it_is(job, partial(self._copy_in_store, source, target))

    async def _as_it_is(self, job: Job, copy: Callable[[Job], Awaitable[None]]) -> None:
        """Copy an object, and if it was replaced since it was listed what it is now."""
        for _ in range(LOOKS):
            try:
                await copy(job)
            except ObjectChanged as error:  # since it was listed, or while it was being read
                size, changed, job = job.size or 0, error, await look(self.client, job)
                self.meter.bytes_total += (job.size or 0) - size
            else:
                return
        raise changed

    async def _download(self, source: ObjectURL, target: str, job: Job) -> None:
        if (job.size or 0) < self.config.multipart_threshold or not job.etag:
            await self._download_whole(source, target, job)
        else:
            await self._download_parts(source, target, job)

    async def _download_whole(self, source: ObjectURL, target: str, job: Job) -> None:
        size, etag = job.size or 0, job.etag
        async with drafted(target, job.mtime_nsec) as draft:
            sink = FileSink(draft.descriptor)
            await self.client.get_object_into(
                source.bucket, source.key, sink, if_match=etag, size=size if etag else None
            )
            if etag and sink.received != size:
                raise ReadError(f"{size} bytes were listed, {sink.received} came", url=str(source))
            self.meter.moved(sink.received)
            await in_thread(draft.publish)

    async def _download_parts(self, source: ObjectURL, target: str, job: Job) -> None:
        size, etag, counted = job.size or 0, job.etag, 0
        async with drafted(target, job.mtime_nsec) as draft:

            async def fetch(offset: int, length: int) -> None:
                sink = FileSink(draft.descriptor, offset)
                await self.client.get_object_into(
                    source.bucket,
                    source.key,
                    sink,
                    start=offset,
                    stop=offset + length,
                    if_match=etag,
                )
                if sink.received != length:
                    raise ReadError(f"{length} bytes were wanted, {sink.received} came")
                nonlocal counted
                counted += length
                self.meter.moved(length)

            parts = cut(size, part_size_for(size, self.config.part_size))
            try:
                await self.crew.share([partial(fetch, part.offset, part.size) for part in parts])
            except ObjectChanged:
                self.meter.moved(-counted)  # it all begins anew
                raise
            await in_thread(draft.publish)

    async def _upload(self, source: str, target: ObjectURL) -> None:
        async with opened(source) as file:
            body = partial(FilePart, file.descriptor, check=file.check)
            if file.size < self.config.multipart_threshold:
                await self.client.put_object(target.bucket, target.key, body(0, file.size))
                self.meter.moved(file.size)
            else:
                await self.upload_parts(target, file.size, body, check=file.check)

    async def upload_parts(
        self,
        target: ObjectURL,
        size: int,
        body: Callable[[int, int], Body],
        guard: Guard | None = None,
        headers: Headers | None = None,
        *,
        check: Callable[[], None] = lambda: None,
    ) -> str:
        """Make an object of *size* bytes of parts, which *body* gives by offset and size."""

        async def send(upload_id: str, number: int, offset: int, length: int) -> str:
            return await self.client.upload_part(
                target.bucket, target.key, upload_id, number, body(offset, length)
            )

        return await self._multipart(target, size, self.config.part_size, send, guard, check=check)

    async def _copy_in_store(self, source: ObjectURL, target: ObjectURL, job: Job) -> None:
        if source.is_same(target):
            return
        origin = (source.bucket, source.key)
        size = job.size or 0
        if size <= self.config.largest_copy:
            copy = partial(
                self.client.copy_object, origin, target.bucket, target.key, if_match=job.etag
            )
            try:
                await copy()
            except NotFound:
                if not target.parent.folder:
                    raise
                # Stores on top of a file system may lack the folder, not the object.
                await look(self.client, job)
                await self.client.put_object(target.bucket, target.parent.folder, b"")
                await copy()
            self.meter.moved(size)
            return
        info = await self.client.head_object(*origin)

        async def send(upload_id: str, number: int, offset: int, length: int) -> str:
            return await self.client.upload_part_copy(
                target.bucket,
                target.key,
                upload_id,
                number,
                origin,
                start=offset,
                stop=offset + length,
                if_match=info.etag,
            )

        part_size = min(COPIED_PART, self.config.largest_copy)
        await self._multipart(
            target,
            info.size,
            part_size,
            send,
            content_type=info.headers.get("content-type", ""),
            metadata=info.metadata,
        )

    async def _multipart(
        self,
        target: ObjectURL,
        size: int,
        part_size: int,
        send: Callable[[str, int, int, int], Awaitable[str]],
        guard: Guard | None = None,
        *,
        check: Callable[[], None] = lambda: None,
        content_type: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> str:
        """Upload in parts, all of them or nothing; return the ETag."""
        bucket, key = target.bucket, target.key
        upload_id = await begin_upload(
            self.client, target, content_type=content_type, metadata=metadata
        )
        etags: dict[int, str] = {}

        async def part(number: int, offset: int, length: int) -> None:
            etags[number] = await send(upload_id, number, offset, length)
            self.meter.moved(length)

        try:
            parts = cut(size, part_size_for(size, part_size))
            await self.crew.share([partial(part, *one) for one in parts])
            check()
            return await self.client.complete_multipart_upload(
                bucket, key, upload_id, etags, size=size, **(guard or {})
            )
        except BaseException:
            await abort_upload(self.client, target, upload_id)
            raise

    async def _copy_locally(self, source: str, target: str, mtime_nsec: int) -> None:
        if await in_thread(is_same_file, source, target):
            return
        async with opened(source) as file, drafted(target, mtime_nsec) as draft:
            offset = 0
            while count := await in_thread(copy_some, file.descriptor, draft.descriptor, offset):
                offset += count
                self.meter.moved(count)
            file.check()
            await in_thread(draft.publish)


@asynccontextmanager
async def drafted(target: str, mtime_nsec: int) -> AsyncIterator[Draft]:
    """Create a draft, which is discarded unless it gets published."""
    draft = Draft(target, mtime_nsec=mtime_nsec)
    try:
        await in_thread(draft.open)
        yield draft
    finally:
        draft.discard()


@asynccontextmanager
async def opened(path: str) -> AsyncIterator[Source]:
    """Open a local file that is to be sent."""
    source = Source(path)
    try:
        await in_thread(source.open)
        yield source
    finally:
        source.close()


def is_same_file(source: str, target: str) -> bool:
    return os.path.exists(target) and os.path.samefile(source, target)


def copy_some(source: int, target: int, offset: int) -> int:
    """Copy the next bytes from one open file to another, and return how many."""
    end = offset + COPY_CHUNK
    position = offset
    while position < end and (data := os.pread(source, 1 << 20, position)):
        view = memoryview(data)
        while view:
            count = os.pwrite(target, view, position)
            view, position = view[count:], position + count
    return position - offset
