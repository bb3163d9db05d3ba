"""Copies and moves of files and trees, in all four directions: the way into this package."""

from __future__ import annotations

import errno
import os
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from aioobs.config import DEFAULT_THREADS
from aioobs.errors import ConfigError, IsADirectory, TransferFailed
from aioobs.s3.body import FilePart, size_of
from aioobs.store.headers import headers_of
from aioobs.store.local import LocalStore, local_errors
from aioobs.store.remote import RemoteStore, file_url
from aioobs.store.staged_file import StagedFile
from aioobs.threads import in_thread
from aioobs.transfer.job import Job, Safety
from aioobs.transfer.jobs import is_folder, jobs_below, with_size
from aioobs.transfer.journals.journal import journal_at
from aioobs.transfer.removal import SourceRemoval
from aioobs.transfer.run import JobQueue, Run
from aioobs.transfer.targets import contains

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from concurrent.futures import Executor
    from contextlib import AbstractAsyncContextManager

    from aioobs.s3.body import Body
    from aioobs.s3.client import Client
    from aioobs.store.headers import Headers
    from aioobs.store.upload import Guard
    from aioobs.transfer.journals.journal import Journal
    from aioobs.transfer.progress import ProgressCallback
    from aioobs.url import ObjectURL

__all__ = [
    "CopyOptions",
    "copy_file",
    "copy_jobs",
    "copy_planned",
    "copy_tree",
    "move",
    "planned",
    "put",
]


class CopyOptions(NamedTuple):
    """How files are copied; see `aioobs.run_copy`."""

    threads: int = DEFAULT_THREADS
    progress: ProgressCallback | None = None
    processes: bool = False
    executor: Executor | None = None
    executor_workers: int | None = None
    journal: ObjectURL | str | None = None
    safety: Safety = Safety()
    headers: Headers | None = None
    """What objects made of local files are made with, beside what their names tell."""


def journal_of(
    options: CopyOptions, client: Client, source: ObjectURL | str, target: ObjectURL | str
) -> AbstractAsyncContextManager[Journal | None]:
    """Open the journal of a copy, if it is to have one."""
    return journal_at(options.journal, client, source, target, durable=options.safety.durable)


def run_of(
    options: CopyOptions,
    client: Client,
    journal: Journal | None,
    copied: Callable[[Job], None] = lambda _: None,
) -> Run:
    """Return a copy in this process."""
    return Run(
        client,
        options.threads,
        options.progress,
        copied,
        safety=options.safety,
        journal=journal,
        headers=options.headers,
    )


async def copy_file(
    client: Client,
    source: ObjectURL | str,
    target: ObjectURL | str,
    options: CopyOptions,
) -> None:
    """Copy one file to exactly *target*.

    Raises:
        NotFound: there is no such file.
        IsADirectory: the source is a folder.
    """
    if not isinstance(target, str):
        file_url(str(target))
    job = await with_size(client, Job(source, target))

    async def jobs() -> AsyncIterator[Job]:
        yield job

    async with journal_of(options, client, source, target) as journal:
        run = run_of(options, client, journal)
        await do_jobs(run, jobs(), options)
    if run.failures:
        raise run.failures[0]


async def copy_tree(
    client: Client,
    source: ObjectURL | str,
    target: ObjectURL | str,
    options: CopyOptions,
    file_list: Sequence[str] | None = None,
) -> None:
    """Copy what is below *source* to below *target*; see `aioobs.file.copy_parallel`."""
    folder = await is_folder(client, source)
    if not folder and options.executor is None:
        await copy_file(client, source, target, options)
        return
    jobs = planned(client, source, target, file_list, folder=folder)
    await copy_planned(client, source, target, jobs, options)


def planned(
    client: Client,
    source: ObjectURL | str,
    target: ObjectURL | str,
    file_list: Sequence[str] | None,
    *,
    folder: bool,
) -> AsyncIterator[Job]:
    """Return the jobs of a copy of a folder, or the one of a file.

    Raises:
        ConfigError: the folder would be copied into itself.
    """
    if folder and contains(source, target):
        raise ConfigError(f"a folder cannot be copied into itself: {source} to {target}")
    if folder:
        return jobs_below(client, source, target, file_list)
    return single_job(client, source, target)


async def single_job(
    client: Client, source: ObjectURL | str, target: ObjectURL | str
) -> AsyncIterator[Job]:
    """Yield the job for one file.

    Raises:
        NotFound: there is no such file.
        IsADirectory: the source is a folder.
    """
    if not isinstance(target, str):
        file_url(str(target))
    yield await with_size(client, Job(source, target))


async def copy_planned(
    client: Client,
    source: ObjectURL | str,
    target: ObjectURL | str,
    jobs: AsyncIterator[Job],
    options: CopyOptions,
    *,
    move: bool = False,
) -> None:
    """Copy what was planned; see `aioobs.run_copy`."""
    removal = SourceRemoval(client, [source])
    async with journal_of(options, client, source, target) as journal:
        copied = removal.add if move else lambda _: None
        run = run_of(options, client, journal, copied)
        await perform(run, source, jobs, options)
    if move:
        await remove_source(removal, source)


async def perform(
    run: Run, source: ObjectURL | str, jobs: AsyncIterator[Job], options: CopyOptions
) -> None:
    """Do jobs as the options say, and raise one error for all that failed."""
    reason = await do_jobs(run, jobs, options)
    run.raise_failures(source, reason)


async def do_jobs(run: Run, jobs: AsyncIterator[Job], options: CopyOptions) -> str:
    """Do jobs here, here and in processes that are started where that pays, or on an executor.

    Failures are gathered; return why an executor could not do all, if so.
    """
    reason = ""
    with run.reporting():
        async with aclosing(JobQueue(jobs, run)) as queue:
            if options.executor is not None:
                # Slow to import, and seldom needed.
                from aioobs.transfer.processes.dispatch import do_on

                reason = await do_on(
                    options.executor,
                    run,
                    queue,
                    workers=options.executor_workers,
                    threads=options.threads,
                )
            elif options.processes:
                from aioobs.transfer.processes.joining import take_with_processes

                await take_with_processes(run, queue)
            else:
                await run.take(queue)
    await run.settle()
    return reason


async def copy_jobs(
    client: Client,
    source: ObjectURL | str,
    target: ObjectURL | str,
    jobs: AsyncIterator[Job],
    options: CopyOptions,
    *,
    copied: Callable[[Job], None],
    excused: Callable[[OSError], bool],
) -> None:
    """Copy chosen things below *source*, and tell *copied* of each one when it is done.

    Raises:
        TransferFailed: some failed, and not all of that is *excused*.
    """
    async with journal_of(options, client, source, target) as journal:
        run = run_of(options, client, journal, copied)
        await run.do(jobs)
    run.failures = [error for error in run.failures if not excused(error)]
    run.raise_failures(source)


async def move(client: Client, source: ObjectURL | str, target: ObjectURL | str) -> None:
    """Move a file or folder; see `aioobs.file.rename`."""
    if isinstance(source, str) and isinstance(target, str):
        with local_errors(source):
            await in_thread(rename_locally, source, target)
        return
    folder = await is_folder(client, source)
    if is_same(source, target, folder=folder):
        await store_of(client, source).stat(str(source))  # what is missing is an error here, too
        return
    if folder and contains(source, target):
        raise ConfigError(f"a folder cannot be moved into itself: {source} to {target}")
    try:
        await check_replaceable(client, target, by_folder=folder)
    except IsADirectory:
        await store_of(client, source).stat(str(source))  # that there is none comes first
        raise
    if folder:
        removal = SourceRemoval(client, [source])
        run = Run(client, DEFAULT_THREADS, None, removal.add)
        await run.do(jobs_below(client, source, target, None))
        run.raise_failures(source)
        await remove_source(removal, source)
    else:
        await copy_file(client, source, target, CopyOptions())
        if isinstance(source, str):
            with local_errors(source):
                await in_thread(os.unlink, source)
        else:
            await client.delete_object(source.bucket, source.key)


async def remove_source(removal: SourceRemoval, source: ObjectURL | str) -> None:
    """Remove all that was copied, and the folders that hold nothing any more.

    Raises:
        TransferFailed: some of it could not be removed.
    """
    await removal.finish()
    if left := removal.left:
        raise TransferFailed(
            f"all was copied, {len(left)} {'file' if len(left) == 1 else 'files'} could not be "
            f"removed; the first: {left[0]}",
            url=str(source),
            failures=left,
        )


def is_same(source: ObjectURL | str, target: ObjectURL | str, *, folder: bool) -> bool:
    """Tell whether two places are one, of a file or of a folder."""
    if isinstance(source, str) or isinstance(target, str):
        return False
    if folder:
        return source.bucket == target.bucket and source.folder == target.folder
    return source.is_same(target)


def store_of(client: Client, place: ObjectURL | str) -> LocalStore | RemoteStore:
    """Return what has the verbs for a place."""
    return LocalStore() if isinstance(place, str) else RemoteStore(client)


async def check_replaceable(client: Client, target: ObjectURL | str, *, by_folder: bool) -> None:
    """Refuse to put a file in the place of a folder, or a folder in that of a file."""
    store, path = store_of(client, target), str(target)
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
        import shutil  # slow to import, with all of its archives

        shutil.move(source, target, copy_function=copy_whole)


def copy_whole(source: str, target: str) -> str:
    """Copy a file to another file system, with its permissions and times, wholly or not at all."""
    import shutil

    staged = StagedFile(target, alone=True)  # it becomes what the source is, and not the target
    try:
        staged.open()
        os.fchmod(staged.descriptor, 0o600)
        shutil.copy2(source, staged.path)
        staged.publish()
    finally:
        staged.discard()
    return target


async def put(
    client: Client,
    target: ObjectURL,
    body: Body,
    guard: Guard | None = None,
    headers: Headers | None = None,
) -> str:
    """Write *body* to an object, in parts if it is long, and return its ETag.

    Without *headers* it has the content type that its name tells.
    """
    size, headers = size_of(body), headers_of(target.key, headers)
    if size < client.config.multipart_threshold:
        return await client.put_object(target.bucket, target.key, body, **(guard or {}), **headers)
    run, etag = Run(client, DEFAULT_THREADS, None), ""

    async def task() -> None:
        nonlocal etag
        etag = await run.copier.upload_parts(target, size, partial(slice_of, body), guard, headers)

    async def feed() -> None:
        run.scheduler.add(task)

    await run.scheduler.run(feed())
    return etag


def slice_of(body: Body, offset: int, size: int) -> Body:
    if isinstance(body, FilePart):
        # Without `zero_copy`, as nobody checks the file again at the end.
        return FilePart(body.descriptor, body.offset + offset, size, body.check)
    return memoryview(body).cast("B")[offset : offset + size]
