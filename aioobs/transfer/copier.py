"""Copies one file: by upload, download, server-side or local copy."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from aioobs.errors import NotFound, ObjectChanged, ReadError
from aioobs.s3.body import FilePart, FileSink
from aioobs.s3.objects import STORED_MD5
from aioobs.store.folders import FolderSync, make_folder
from aioobs.store.headers import headers_of
from aioobs.store.source import opened
from aioobs.store.staged_file import StagedFile
from aioobs.threads import in_thread
from aioobs.transfer.checksums import md5_of
from aioobs.transfer.content import check_copy, check_staged
from aioobs.transfer.failures import failure_of
from aioobs.transfer.job import DEFAULT_SAFETY, Safety, Versions
from aioobs.transfer.jobs import with_size
from aioobs.transfer.journals.automatic import journal_for
from aioobs.transfer.journals.resume import is_kept, prove, start_staged
from aioobs.transfer.multipart import COPIED_PART, MultipartUpload
from aioobs.transfer.pieces import copy_part, fetch_missing_part
from aioobs.transfer.shared_parts import Lending, Piece
from aioobs.transfer.small import SmallFiles

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from aioobs.config import Config
    from aioobs.s3.body import Body
    from aioobs.s3.client import Client
    from aioobs.s3.parts import Part
    from aioobs.store.headers import Headers
    from aioobs.store.source import Source
    from aioobs.store.upload import Guard
    from aioobs.transfer.job import Job
    from aioobs.transfer.journals.journal import Journal
    from aioobs.transfer.journals.resume import Started
    from aioobs.transfer.progress import Meter
    from aioobs.transfer.scheduler import Scheduler
    from aioobs.transfer.small import Ended
    from aioobs.url import ObjectURL

__all__ = ["Copier"]

COPY_CHUNK = 64 << 20  # what is copied locally before anybody looks up
LOOKS = 3  # at an object that is replaced again and again


class Copier:
    """Copies files with the help of a scheduler, and counts what has moved.

    Args:
        client: The store that they come from or go to, or both.
        scheduler: Does what is added.
        meter: Counts what has moved.
        safety: How sure a copy has to be.
        journal: Notes what a later run need not do.
        versioned: Whether anybody wants to know the versions of small files.
    """

    def __init__(
        self,
        client: Client,
        scheduler: Scheduler,
        meter: Meter,
        safety: Safety = DEFAULT_SAFETY,
        journal: Journal | None = None,
        *,
        versioned: bool = True,
    ) -> None:
        self.client = client
        self.safety = safety
        self.journal = journal
        self.folders: FolderSync | None = FolderSync() if safety.durable else None
        self.config: Config = client.config
        self.scheduler = scheduler
        self.meter = meter
        self._small = SmallFiles(
            client, scheduler, meter, self._add_by_itself, safety, versioned=versioned
        )

    async def add(self, job: Job, ended: Ended) -> None:
        """Queue a file to be copied, once there is room; *ended* is called with what came of it."""
        if self.scheduler.is_full:
            await self.scheduler.wait_for_room()
        if self._small.take(job):
            await self._small.add(job, ended)
        else:
            self._add_by_itself(job, ended)

    async def settle(self) -> None:
        """Sync the folders of what was copied to the disk, if that is wanted."""
        if self.folders is not None:
            await in_thread(self.folders.finish)

    async def aclose(self) -> None:
        """Stop, whether or not everything is done."""
        await self._small.aclose()

    def _add_by_itself(self, job: Job, ended: Ended) -> None:
        self.scheduler.add(partial(self._do, job, ended))

    async def _do(self, job: Job, ended: Ended) -> None:
        try:
            if job.error is not None:
                raise job.error
            if job.size is None:
                job = await with_size(self.client, job)
                self.meter.grew(job.size or 0)
                if self._small.take(job) and await self._small.add(job, ended, wait=False):
                    return
            versions = await self.copy(job)
        except OSError as error:
            ended(job, failure_of(error, job))
        else:
            ended(job, versions)

    async def copy(self, job: Job) -> Versions:
        """Copy one file, or create one empty folder; return what was copied."""
        source, target = job.source, job.target
        if isinstance(target, str):
            folder = target if job.is_directory else os.path.dirname(target)
            await in_thread(make_folder, folder, self.folders)
            if isinstance(source, str):
                if not job.is_directory:
                    return await self._copy_locally(source, target, job.mtime_nsec)
            elif not job.is_directory:
                return await self._as_it_is(job, partial(self._download, source, target))
        elif job.is_directory:
            await self.client.put_object(target.bucket, target.folder, b"")
        elif isinstance(source, str):
            return await self._upload(source, target, job.headers)
        else:
            return await self._as_it_is(job, partial(self._copy_in_store, source, target))
        return Versions()

    async def _as_it_is(self, job: Job, copy: Callable[[Job], Awaitable[Versions]]) -> Versions:
        """Copy an object, and if it was replaced since it was listed what it is now."""
        for _ in range(LOOKS):
            try:
                return await copy(job)
            except ObjectChanged as error:  # since it was listed, or while it was being read
                size, changed, job = job.size or 0, error, await with_size(self.client, job)
                self.meter.grew((job.size or 0) - size)
        raise changed

    async def _download(self, source: ObjectURL, target: str, job: Job) -> Versions:
        if (job.size or 0) < self.config.multipart_threshold or not job.etag:
            return await self._download_whole(source, target, job)
        async with journal_for(self.journal, self.client, source, target, job.size or 0) as journal:
            return await self._download_parts(source, target, job, journal)

    async def publish(
        self,
        staged: StagedFile,
        source: ObjectURL,
        etag: str,
        size: int,
        started: Started | None = None,
    ) -> Versions:
        """Give a file that was fetched its name, once it is checked if that is wanted or needed."""
        if started is not None and started.is_unproved:
            await prove(self.client, source, etag, staged, size)
            return Versions(etag, await in_thread(staged.publish))
        plain = not self.safety.compares_content
        checked = plain or await check_staged(self.client, source, etag, staged, size)
        return Versions(etag, await in_thread(staged.publish), checked)

    async def _download_whole(self, source: ObjectURL, target: str, job: Job) -> Versions:
        size, etag = job.size or 0, job.etag
        async with staged_file(target, self.folders, job.mtime_nsec) as staged:
            sink = FileSink(staged.descriptor)
            await self.client.stream_object(
                source.bucket, source.key, sink, if_match=etag, size=size if etag else None
            )
            if etag and sink.received != size:
                raise ReadError(f"{size} bytes were listed, {sink.received} came", url=str(source))
            self.meter.moved(sink.received)
            return await self.publish(staged, source, etag, sink.received)

    async def _download_parts(
        self, source: ObjectURL, target: str, job: Job, journal: Journal | None
    ) -> Versions:
        size, etag, counted = job.size or 0, job.etag, 0
        staged = StagedFile(target, self.folders, mtime_nsec=job.mtime_nsec)
        try:
            started = await start_staged(self.client, journal, source, staged, etag, size)
            lasts = journal is not None and journal.lasts and bool(staged.path)

            def fetched(part: Part, found: str) -> None:
                nonlocal counted
                counted += part.size
                self.meter.moved(part.size)
                if found and journal is not None and staged.path:
                    journal.part(target, started.at, part.number, found)

            async def fetch(part: Part) -> None:
                said = started.there.get(part.number)
                found = await fetch_missing_part(
                    self.client, source, etag, staged.descriptor, part, said, with_sum=lasts
                )
                fetched(part, found)

            piece = Piece(job, staged=staged.path, sums=started.there, with_sums=lasts)
            lending = Lending(piece, fetched) if staged.path else None
            await self.scheduler.share(started.parts, fetch, lending)
            return await self.publish(staged, source, etag, size, started)
        except ObjectChanged:
            self.meter.moved(-counted)  # it all begins anew
            raise
        except BaseException as error:
            if is_kept(journal, error):
                staged.leave()
            raise
        finally:
            staged.discard()

    async def _upload(self, source: str, target: ObjectURL, given: Headers) -> Versions:
        async with opened(source) as file:
            if not file.size:
                file.check_end()
            body = partial(FilePart, file.descriptor, check=file.check)
            headers = await self.headers_of(target, given, file.descriptor, file.size)
            if file.size < self.config.multipart_threshold:
                etag = await self.client.put_object(
                    target.bucket,
                    target.key,
                    body(0, file.size),
                    with_md5=self.safety.compares_content,
                    **headers,
                )
                self.meter.moved(file.size)
            else:
                part = partial(body, zero_copy=True)  # the file is checked again at the end
                etag = await self.upload_parts(target, file.size, part, None, headers, file=file)
            return Versions(file.version, etag)

    async def headers_of(
        self, target: ObjectURL, given: Headers, descriptor: int, size: int
    ) -> Headers:
        """Return what an object is made with; if wanted, also what tells its content."""
        headers = headers_of(target.key, given)
        if self.safety.verify != "digest":
            return headers
        digest = {STORED_MD5: await md5_of(descriptor, size)}
        return {**headers, "metadata": {**headers.get("metadata", {}), **digest}}

    async def upload_parts(
        self,
        target: ObjectURL,
        size: int,
        body: Callable[[int, int], Body],
        guard: Guard | None = None,
        headers: Headers | None = None,
        *,
        file: Source | None = None,
    ) -> str:
        """Make an object of *size* bytes of parts, which *body* gives by offset and size.

        If the local *file* is given, a later run may go on with what this one has begun.
        """

        async def send(upload_id: str, part: Part) -> str:
            return await self.client.upload_part(
                target.bucket,
                target.key,
                upload_id,
                part.number,
                body(part.offset, part.size),
                with_md5=self.safety.compares_content,
            )

        upload = MultipartUpload(
            self.client,
            self.scheduler,
            self.meter,
            self.journal,
            target,
            size,
            self.config.part_size,
            send,
            source=file,
            guard=guard or {},
            headers=headers or {},
        )
        return await upload.run()

    async def copied(
        self, source: ObjectURL, etag: str, target: ObjectURL, etag_of_copy: str
    ) -> Versions:
        """Return what the store has copied, once it is checked if that is wanted."""
        plain = not self.safety.compares_content
        checked = plain or await check_copy(self.client, source, etag, target, etag_of_copy)
        return Versions(etag, etag_of_copy, checked)

    async def _copy_in_store(self, source: ObjectURL, target: ObjectURL, job: Job) -> Versions:
        if source.is_same(target):
            return Versions()
        if (job.size or 0) > self.config.largest_copy:
            return await self._copy_parts(source, target)
        copy = partial(
            self.client.copy_object,
            (source.bucket, source.key),
            target.bucket,
            target.key,
            if_match=job.etag,
        )
        try:
            etag = await copy()
        except NotFound:
            if not target.parent.folder:
                raise
            # Stores on top of a file system may lack the folder, not the object.
            await with_size(self.client, job)
            await self.client.put_object(target.bucket, target.parent.folder, b"")
            etag = await copy()
        self.meter.moved(job.size or 0)
        return await self.copied(source, job.etag, target, etag)

    async def _copy_parts(self, source: ObjectURL, target: ObjectURL) -> Versions:
        info = await self.client.head_object(source.bucket, source.key)
        headers: Headers = {
            "content_type": info.headers.get("content-type", ""),
            "metadata": info.metadata,
        }

        async def send(upload_id: str, part: Part) -> str:
            return await copy_part(self.client, source, info.etag, target, upload_id, part)

        upload = MultipartUpload(
            self.client,
            self.scheduler,
            self.meter,
            self.journal,
            target,
            info.size,
            min(COPIED_PART, self.config.largest_copy),
            send,
            source=source,
            version=info.etag,
            headers=headers,
        )
        return await self.copied(source, info.etag, target, await upload.run())

    async def _copy_locally(self, source: str, target: str, mtime_nsec: int) -> Versions:
        if await in_thread(is_same_file, source, target):
            return Versions()
        async with (
            opened(source) as file,
            staged_file(target, self.folders, mtime_nsec) as staged,
        ):
            offset = 0
            while count := await in_thread(copy_some, file.descriptor, staged.descriptor, offset):
                offset += count
                self.meter.moved(count)
            file.check()
            if self.safety.compares_content:
                sums = [await md5_of(end.descriptor, file.size) for end in (file, staged)]
                if sums[0] != sums[1]:
                    raise ReadError("the copy has another content", url=target)
            return Versions(file.version, await in_thread(staged.publish))


@asynccontextmanager
async def staged_file(
    target: str, folders: FolderSync | None, mtime_nsec: int
) -> AsyncIterator[StagedFile]:
    """Create a staged file, which is discarded unless it gets published."""
    staged = StagedFile(target, folders, mtime_nsec=mtime_nsec)
    try:
        await in_thread(staged.open)
        yield staged
    finally:
        staged.discard()


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
