"""Copies of files and trees between local folders and a store, in all four directions."""

from __future__ import annotations

import errno
import os
from functools import partial
from typing import TYPE_CHECKING

from aioobs.errors import (
    ConfigError,
    ConnectionFailed,
    IsADirectory,
    NameConflict,
    ObsError,
    TransferFailed,
)
from aioobs.s3.body import FilePart, size_of
from aioobs.store.local import LocalStore, local_errors
from aioobs.store.remote import RemoteStore, file_url
from aioobs.threads import in_thread
from aioobs.transfer.crew import Crew
from aioobs.transfer.jobs import is_folder, listed, look
from aioobs.transfer.mover import Mover
from aioobs.transfer.plan import Job, same_place
from aioobs.transfer.progress import Meter, ReportFailed
from aioobs.transfer.removal import Moved

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from aioobs.s3.body import Body
    from aioobs.s3.client import Client
    from aioobs.store.upload import Guard, Headers
    from aioobs.transfer.progress import ProgressCallback
    from aioobs.url import ObjectURL

__all__ = ["copy_file", "copy_jobs", "copy_tree", "move", "put"]

MOST_NAMED = 20
PARTS_AT_ONCE = 16


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
    job = await look(client, Job(source, target))

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
    await run.do(listed(client, source, target, file_list))
    run.raise_failures(source)


async def copy_jobs(
    client: Client,
    source: ObjectURL | str,
    jobs: AsyncIterator[Job],
    *,
    copied: Callable[[Job], None],
    excused: Callable[[OSError], bool],
    workers: int,
    progress: ProgressCallback | None = None,
) -> None:
    """Copy chosen things below *source*, and tell *copied* of each one when it is done.

    Raises:
        TransferFailed: some failed, and not all of that is *excused*.
    """
    run = Run(client, workers, progress, copied)
    await run.do(jobs)
    run.failures = [error for error in run.failures if not excused(error)]
    run.raise_failures(source)


async def move(
    client: Client, source: ObjectURL | str, target: ObjectURL | str, *, workers: int
) -> None:
    """Move a file or folder; see `aioobs.file.rename`."""
    if isinstance(source, str) and isinstance(target, str):
        with local_errors(source):
            await in_thread(rename_locally, source, target)
        return
    folder = await is_folder(client, source)
    if is_same(source, target, folder=folder):
        return
    if folder and same_place(source, target):
        raise ConfigError(f"a folder cannot be moved into itself: {source} to {target}")
    await check_replaceable(client, target, by_folder=folder)
    if folder:
        moved = Moved()
        run = Run(client, workers, None, moved.add)
        await run.do(listed(client, source, target, None))
        run.raise_failures(source)
        await moved.remove(client, source)
    else:
        await copy_file(client, source, target, workers=workers)
        store = LocalStore() if isinstance(source, str) else RemoteStore(client)
        await store.remove(str(source), recursive=False)


def is_same(source: ObjectURL | str, target: ObjectURL | str, *, folder: bool) -> bool:
    """Tell whether two places are one, of a file or of a folder."""
    if isinstance(source, str) or isinstance(target, str):
        return False
    if source.bucket != target.bucket:
        return False
    return source.folder == target.folder if folder else source.key == target.key


async def check_replaceable(client: Client, target: ObjectURL | str, *, by_folder: bool) -> None:
    """Refuse to put a file in the place of a folder, or a folder in that of a file."""
    store = LocalStore() if isinstance(target, str) else RemoteStore(client)
    path = str(target)
    if not by_folder and await store.is_directory(path):
        raise IsADirectory("there is a folder of that name", url=path)
    if by_folder and await store.exists(path) and not await store.is_directory(path):
        raise NotADirectoryError(errno.ENOTDIR, "there is a file of that name", path)


def rename_locally(source: str, target: str) -> None:
    try:
        os.rename(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        from shutil import move  # slow to import, with all of its archives

        move(source, target)


async def put(
    client: Client,
    target: ObjectURL,
    body: Body,
    guard: Guard | None = None,
    headers: Headers | None = None,
) -> str:
    """Write *body* to an object, in parts if it is long, and return its ETag."""
    size = size_of(body)
    if size < client.config.multipart_threshold:
        return await client.put_object(
            target.bucket, target.key, body, **(guard or {}), **(headers or {})
        )
    run, etag = Run(client, PARTS_AT_ONCE, None), ""

    async def task() -> None:
        nonlocal etag
        etag = await run.mover.upload_parts(target, size, partial(slice_of, body), guard, headers)

    async def tasks() -> AsyncIterator[Callable[[], Awaitable[None]]]:
        yield task

    await run.crew.run(tasks())
    return etag


class Run:
    """One copy: its workers, what it has counted, and what has failed."""

    def __init__(
        self,
        client: Client,
        workers: int,
        progress: ProgressCallback | None,
        copied: Callable[[Job], None] = lambda _: None,
    ) -> None:
        self.client = client
        self.copied = copied
        self.crew = Crew(workers)
        self.meter = Meter(progress)
        self.mover = Mover(client, self.crew, self.meter)
        self.failures: list[OSError] = []

    async def do(self, jobs: AsyncIterator[Job]) -> None:
        """Do all jobs; failures are gathered."""
        try:
            await self.crew.run(self._tasks(jobs))
            self.meter.finish()
        except ReportFailed as failed:
            error = failed.__cause__ or failed
            raise error from error.__cause__

    async def _tasks(
        self, jobs: AsyncIterator[Job]
    ) -> AsyncIterator[Callable[[], Awaitable[None]]]:
        async for job in jobs:
            self.meter.found(job.size or 0)
            yield partial(self._do, job)
        self.meter.totals_known = True

    def raise_failures(self, source: ObjectURL | str) -> None:
        """Raise one error for all that failed."""
        if not self.failures:
            return
        named = "\n".join(f"  {error}" for error in self.failures[:MOST_NAMED])
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

    async def _do(self, job: Job) -> None:
        failed = False
        try:
            if job.error is not None:
                raise job.error
            if job.size is None:
                job = await look(self.client, job)
                self.meter.bytes_total += job.size or 0
            await self.mover.copy(job)
        except OSError as error:
            if concerns_all(error):
                raise
            self.failures.append(naming(error, job))
            failed = True
        else:
            self.copied(job)
        self.meter.ended(failed=failed)


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


def slice_of(body: Body, offset: int, size: int) -> Body:
    if isinstance(body, FilePart):
        return FilePart(body.descriptor, body.offset + offset, size, body.check)
    return memoryview(body).cast("B")[offset : offset + size]


def naming(error: OSError, job: Job) -> OSError:
    """Return the error with the names of the file that was not copied."""
    source, target = str(job.source), str(job.target)
    error.add_note(f"while copying {source} to {target}")
    if source not in str(error) and target not in str(error):
        if isinstance(error, ObsError):
            error.url = source
        else:
            error.filename, error.filename2 = source, error.filename or target
    if isinstance(error, ObsError):
        error.filename = error.url or None
    return error
