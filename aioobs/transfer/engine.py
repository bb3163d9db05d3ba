"""Copies of files and trees between local folders and a store, in all four directions."""

from __future__ import annotations

import errno
import logging
import os
from contextlib import asynccontextmanager
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from aioobs.errors import (
    ConfigError,
    ConnectionFailed,
    IsADirectory,
    NameConflict,
    NotFound,
    ObjectChanged,
    ObsError,
    ReadError,
    TransferFailed,
)
from aioobs.s3.body import FilePart, FileSink
from aioobs.s3.parts import cut, part_size_for
from aioobs.store.compose import abort_upload
from aioobs.store.local import Draft, LocalStore, Source, in_thread, local_errors
from aioobs.store.remote import RemoteStore, file_url
from aioobs.transfer.crew import Crew
from aioobs.transfer.errands import Errands
from aioobs.transfer.plan import Job, place_below, same_place, split_conflicts, target_of
from aioobs.transfer.progress import Meter
from aioobs.transfer.tree import Found, walk_tree

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

    from aioobs.s3.body import Body
    from aioobs.s3.client import Client
    from aioobs.transfer.progress import ProgressCallback
    from aioobs.url import ObjectURL

__all__ = ["copy_file", "copy_tree", "put"]

TREE_BATCH = 500
MOST_NAMED = 20
COPY_CHUNK = 64 << 20
SMALL = 1 << 20  # up to this size a file is held in memory as a whole
COPIED_PART = 512 << 20  # a part that the store copies by itself

log = logging.getLogger("aioobs.transfer")


async def copy_file(
    client: Client,
    source: ObjectURL | str,
    target: ObjectURL | str,
    *,
    workers: int,
    progress: ProgressCallback | None = None,
) -> None:
    """Copy one file to exactly *target*.

    Raises:
        NotFound: there is no such file.
        IsADirectory: the source is a folder.
    """
    if not isinstance(target, str):
        file_url(str(target))
    run = Run(client, workers, progress)
    job = await run.look(Job(source, target))

    async def jobs() -> AsyncIterator[Job]:
        yield job

    await run.do(jobs())
    if run.failures:
        raise run.failures[0]


async def copy_tree(
    client: Client,
    source: ObjectURL | str,
    target: ObjectURL | str,
    *,
    file_list: Sequence[str] | None,
    workers: int,
    progress: ProgressCallback | None = None,
) -> None:
    """Copy what is below *source* to below *target*; see `aioobs.file.copy_parallel`."""
    if not await is_folder(client, source):
        await copy_file(client, source, target, workers=workers, progress=progress)
        return
    if same_place(source, target):
        raise ConfigError(f"a folder cannot be copied into itself: {source} to {target}")
    run = Run(client, workers, progress)
    await run.do(run.listed(source, target, file_list))
    run.raise_failures(source)


async def is_folder(client: Client, source: ObjectURL | str) -> bool:
    """Tell whether *source* is a folder."""
    if isinstance(source, str):
        return await in_thread(os.path.isdir, source)
    return await RemoteStore(client).is_directory(str(source))


async def move(
    client: Client, source: ObjectURL | str, target: ObjectURL | str, *, workers: int
) -> None:
    """Move a file or folder; see `aioobs.file.rename`."""
    if isinstance(source, str) and isinstance(target, str):
        with local_errors(source):
            await in_thread(rename_locally, source, target)
        return
    if source == target:
        return
    if not await is_folder(client, source):
        await copy_file(client, source, target, workers=workers)
    elif same_place(source, target):
        raise ConfigError(f"a folder cannot be moved into itself: {source} to {target}")
    else:
        await copy_tree(client, source, target, file_list=None, workers=workers)
    store = LocalStore() if isinstance(source, str) else RemoteStore(client)
    await store.remove(str(source), recursive=True)


def rename_locally(source: str, target: str) -> None:
    try:
        os.rename(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        from shutil import move  # slow to import, with all of its archives

        move(source, target)


async def put(client: Client, target: ObjectURL, data: bytes | memoryview) -> None:
    """Write *data* to an object, in parts if it is long."""
    view = memoryview(data).cast("B")
    if len(view) < client.config.multipart_threshold:
        await client.put_object(target.bucket, target.key, view)
        return
    run = Run(client, 16, None)
    body = partial(slice_of, view)

    async def task() -> None:
        await run.upload_parts(target, len(view), body)

    async def tasks() -> AsyncIterator[Callable[[], Awaitable[None]]]:
        yield task

    await run.crew.run(tasks())


class Run:
    """One copy: its workers, what it has counted, and what has failed."""

    def __init__(self, client: Client, workers: int, progress: ProgressCallback | None) -> None:
        self.client = client
        self.config = client.config
        self.crew = Crew(workers)
        self.errands = Errands()
        self.meter = Meter(progress)
        self.failures: list[OSError] = []
        self._folders: set[str] = set()

    async def do(self, jobs: AsyncIterator[Job]) -> None:
        """Do all jobs; failures are gathered."""
        await self.crew.run(self._tasks(jobs))
        self.meter.finish()

    async def _tasks(
        self, jobs: AsyncIterator[Job]
    ) -> AsyncIterator[Callable[[], Awaitable[None]]]:
        async for job in jobs:
            self.meter.found(job.size)
            yield partial(self._do, job)
        self.meter.totals_known = True

    def raise_failures(self, source: ObjectURL | str) -> None:
        """Raise one error for all that failed."""
        if not self.failures:
            return
        named = "\n".join(f"  {describe(error)}" for error in self.failures[:MOST_NAMED])
        more = len(self.failures) - MOST_NAMED
        if more > 0:
            named += f"\n  and {more} more"
        conflict = any(isinstance(error, NameConflict) for error in self.failures)
        kind = NameConflict if conflict else TransferFailed
        raise kind(
            f"{len(self.failures)} of {self.meter.files_total} files were not copied:\n{named}",
            operation="copy_parallel",
            url=str(source),
            failures=self.failures,
        ) from self.failures[0]

    async def look(self, job: Job) -> Job:
        """Return the job with the size of its source.

        Raises:
            NotFound: there is no such file.
            IsADirectory: it is a folder.
        """
        source = job.source
        if isinstance(source, str):
            info = await LocalStore().stat(source)
            if info.is_directory:
                raise IsADirectory("is a folder; use copy_parallel to copy it", url=source)
            return job._replace(size=info.length)
        if source.key and not source.key.endswith("/"):
            try:
                found = await self.client.head_object(source.bucket, source.key)
            except NotFound:
                pass
            else:
                return job._replace(size=found.size, etag=found.etag)
        if await is_folder(self.client, source):
            raise IsADirectory("is a folder; use copy_parallel to copy it", url=str(source))
        raise NotFound("there is no such file", operation="getObjectMetadata", url=str(source))

    # What is to be copied

    async def listed(
        self, source: ObjectURL | str, target: ObjectURL | str, file_list: Sequence[str] | None
    ) -> AsyncIterator[Job]:
        """Yield a job for each file and empty folder of the source."""
        count = 0
        if file_list is not None:
            jobs = self._named(source, target, file_list)
        elif isinstance(source, str):
            jobs = self._local_tree(source, target)
        else:
            jobs = self._objects(source, target)
            if isinstance(target, str):
                jobs = split_conflicts(jobs)
        async for job in jobs:
            count += 1
            yield job
        if isinstance(target, str):
            await self._make_folder(target)
        elif not count:
            await self.client.put_object(target.bucket, target.folder, b"")
        if not count:
            log.warning("%s is empty: there is nothing to copy", source)

    async def _named(
        self, source: ObjectURL | str, target: ObjectURL | str, names: Sequence[str]
    ) -> AsyncIterator[Job]:
        for name in names:
            job = Job(str(source), str(target))
            try:
                job = Job(place_below(source, name), place_below(target, name))
                job = await self.look(job)
            except OSError as error:
                job = job._replace(error=error)
            yield job

    async def _local_tree(self, source: str, target: ObjectURL | str) -> AsyncIterator[Job]:
        tree = walk_tree(source)
        while batch := await in_thread(take, tree, TREE_BATCH):
            for found in batch:
                path = os.path.join(source, found.name)
                yield Job(
                    path,
                    place_below(target, found.name) if found.name else target,
                    found.size,
                    is_directory=found.is_directory,
                    error=found.error,
                )

    async def _objects(self, source: ObjectURL, target: ObjectURL | str) -> AsyncIterator[Job]:
        start = len(source.folder)
        async for page in self.client.list_pages(source.bucket, source.folder):
            for item in page.objects:
                url, name = source.with_key(item.key), item.key[start:]
                if not name:
                    continue
                marker = name.endswith("/") and not item.size
                where: ObjectURL | str
                error: OSError | None = None
                if isinstance(target, str):
                    where, error = target_of(url, name[:-1] if marker else name, target)
                else:
                    where = target.with_key(target.folder + name)
                yield Job(url, where, item.size, item.etag, marker, error)

    # One job

    async def _do(self, job: Job) -> None:
        try:
            if job.error is not None:
                raise job.error
            await self._copy(job)
        except OSError as error:
            if concerns_all(error):
                raise
            error.add_note(f"while copying {job.source} to {job.target}")
            if error.filename is None:
                error.filename = str(job.source)
            self.failures.append(error)
            self.meter.ended(failed=True)
        else:
            self.meter.ended(failed=False)

    async def _copy(self, job: Job) -> None:
        source, target = job.source, job.target
        if isinstance(target, str):
            if job.is_directory:
                await self._make_folder(target)
            elif isinstance(source, str):
                await self._make_folder(os.path.dirname(target))
                await self._copy_locally(source, target)
            else:
                await self._make_folder(os.path.dirname(target))
                await self._download(source, target, job)
        elif job.is_directory:
            await self.client.put_object(target.bucket, target.folder, b"")
        elif isinstance(source, str):
            await self._upload(source, target, job.size)
        else:
            await self._copy_in_store(source, target, job)

    async def _make_folder(self, path: str) -> None:
        if path in self._folders or not path:
            return
        try:
            await self.errands.run(partial(os.makedirs, path, exist_ok=True))
        except (FileExistsError, NotADirectoryError) as error:
            raise NotADirectoryError(
                errno.ENOTDIR, "a file stands where a folder is wanted", path
            ) from error
        self._folders.add(path)

    async def _download(self, source: ObjectURL, target: str, job: Job) -> None:
        for _ in range(3):
            try:
                if job.size < self.config.multipart_threshold or not job.etag:
                    await self._download_whole(source, target, job)
                else:
                    await self._download_parts(source, target, job)
            except ObjectChanged as error:  # since it was listed, or while it was being read
                changed, job = error, await self.look(job)
            else:
                return
        raise changed

    async def _download_whole(self, source: ObjectURL, target: str, job: Job) -> None:
        if job.size > SMALL:
            async with drafted(target) as draft:
                sink = FileSink(draft.descriptor)
                await self.client.get_object_into(
                    source.bucket, source.key, sink, if_match=job.etag
                )
                self.meter.moved(sink.received)
                await in_thread(draft.publish)
            return
        async with self._memory(job.size):
            data = await self.client.get_object(source.bucket, source.key, if_match=job.etag)
            if job.etag and len(data) != job.size:
                raise ReadError(f"{job.size} bytes were listed, {len(data)} came", url=str(source))
            await self.errands.run(partial(write_whole, target, data))
        self.meter.moved(len(data))

    @asynccontextmanager
    async def _memory(self, size: int) -> AsyncIterator[None]:
        """Hold *size* bytes of what the client may have in memory."""
        memory = (await self.client.connections()).memory
        taken = await memory.acquire(size)
        try:
            yield
        finally:
            memory.release(taken)

    async def _download_parts(self, source: ObjectURL, target: str, job: Job) -> None:
        async with drafted(target) as draft:

            async def fetch(offset: int, size: int) -> None:
                sink = FileSink(draft.descriptor, offset)
                await self.client.get_object_into(
                    source.bucket,
                    source.key,
                    sink,
                    start=offset,
                    stop=offset + size,
                    if_match=job.etag,
                )
                if sink.received != size:
                    raise ReadError(f"{size} bytes were wanted, {sink.received} came")
                self.meter.moved(size)

            parts = cut(job.size, part_size_for(job.size, self.config.part_size))
            await self.crew.share([partial(fetch, part.offset, part.size) for part in parts])
            await in_thread(draft.publish)

    async def _upload(self, source: str, target: ObjectURL, size: int) -> None:
        if size <= SMALL:
            async with self._memory(size):
                data = await self.errands.run(partial(read_small, source))
                if data is not None:
                    await self.client.put_object(target.bucket, target.key, data)
                    self.meter.moved(len(data))
                    return
        async with opened(source) as file:
            body = partial(FilePart, file.descriptor)
            if file.size < self.config.multipart_threshold:
                await self.client.put_object(target.bucket, target.key, body(0, file.size))
                file.check()
                self.meter.moved(file.size)
            else:
                await self.upload_parts(target, file.size, body, file.check)

    async def upload_parts(
        self,
        target: ObjectURL,
        size: int,
        body: Callable[[int, int], Body],
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """Make an object of *size* bytes of parts, which *body* gives by offset and size."""

        async def send(upload_id: str, number: int, offset: int, length: int) -> str:
            return await self.client.upload_part(
                target.bucket, target.key, upload_id, number, body(offset, length)
            )

        await self._multipart(target, size, self.config.part_size, send, check=check)

    async def _copy_in_store(self, source: ObjectURL, target: ObjectURL, job: Job) -> None:
        origin = (source.bucket, source.key)
        if origin == (target.bucket, target.key):
            return
        if job.size <= self.config.largest_copy:
            await self.client.copy_object(origin, target.bucket, target.key, if_match=job.etag)
            self.meter.moved(job.size)
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
        *,
        check: Callable[[], None] = lambda: None,
        content_type: str = "",
        metadata: dict[str, str] | None = None,
    ) -> None:
        """Upload in parts, all of them or nothing."""
        bucket, key = target.bucket, target.key
        upload_id = await self.client.create_multipart_upload(
            bucket, key, content_type=content_type, metadata=metadata
        )
        etags: dict[int, str] = {}

        async def part(number: int, offset: int, length: int) -> None:
            etags[number] = await send(upload_id, number, offset, length)
            self.meter.moved(length)

        try:
            parts = cut(size, part_size_for(size, part_size))
            await self.crew.share([partial(part, *one) for one in parts])
            check()
            await self.client.complete_multipart_upload(bucket, key, upload_id, etags, size=size)
        except BaseException:
            await abort_upload(self.client, target, upload_id)
            raise

    async def _copy_locally(self, source: str, target: str) -> None:
        if await in_thread(is_same_file, source, target):
            return
        async with opened(source) as file, drafted(target) as draft:
            offset = 0
            while count := await in_thread(copy_some, file.descriptor, draft.descriptor, offset):
                offset += count
                self.meter.moved(count)
            file.check()
            await in_thread(draft.publish)


@asynccontextmanager
async def drafted(target: str) -> AsyncIterator[Draft]:
    """Create a draft, which is discarded unless it gets published."""
    draft = Draft(target)
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


def concerns_all(error: OSError) -> bool:
    """Tell whether no other file of a copy can fare better."""
    if isinstance(error, ConfigError):
        return not error.url
    if isinstance(error, ConnectionFailed):
        return error.kind in ("refused", "unknown host", "tls", "not http")
    code = error.resp.code if isinstance(error, ObsError) and error.resp else ""
    return code in (
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidToken",
        "NoSuchBucket",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "VirtualHostDomainRequired",
    )


def is_same_file(source: str, target: str) -> bool:
    return os.path.exists(target) and os.path.samefile(source, target)


def slice_of(view: memoryview, offset: int, size: int) -> memoryview:
    return view[offset : offset + size]


def take(tree: Iterator[Found], count: int) -> list[Found]:
    return list(islice(tree, count))


def read_small(path: str) -> bytes | None:
    """Return the content of a file, or `None` if it is not small any more."""
    with local_errors(path), open(path, "rb", buffering=0) as file:
        data = file.read(SMALL + 1)
        if data and len(data) < SMALL:
            data += file.readall()
    return None if len(data) > SMALL else data


def write_whole(target: str, data: bytes) -> None:
    draft = Draft(target)
    try:
        draft.open()
        view = memoryview(data)
        while view:
            view = view[os.write(draft.descriptor, view) :]
        draft.publish()
    finally:
        draft.discard()


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


def describe(error: OSError) -> str:
    """Return the error with the name of its file."""
    text = str(error)
    return text if error.filename and str(error.filename) in text else f"{error.filename}: {text}"
