"""The jobs of a copy: from a local tree, a listing, or a list of names."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING

from aioobs.config import check_list
from aioobs.errors import IsADirectory, NotFound, UnsafeKey
from aioobs.store.folding import folding
from aioobs.store.local import LocalStore
from aioobs.store.remote import RemoteStore
from aioobs.threads import in_thread
from aioobs.transfer.job import Job
from aioobs.transfer.targets import NameConflicts, place_below, target_of
from aioobs.transfer.tree import Found, walk_in_batches
from aioobs.url import ObjectURL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from aioobs.s3.client import Client

__all__ = [
    "is_folder",
    "job_of",
    "jobs_below",
    "unencodable",
    "with_size",
    "with_sizes",
]

LOOKS = 64  # files of a list that are looked at at the same time

log: logging.Logger = logging.getLogger("aioobs.transfer")


async def is_folder(client: Client, source: ObjectURL | str) -> bool:
    """Tell whether *source* is a folder."""
    if isinstance(source, str):
        return await in_thread(os.path.isdir, source)
    return await RemoteStore(client).is_directory(str(source))


async def with_size(client: Client, job: Job) -> Job:
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
        return job._replace(size=info.length, changed_nsec=info.mtime_nsec)
    if source.key and not source.key.endswith("/"):
        try:
            found = await client.head_object(source.bucket, source.key)
        except NotFound:
            pass
        else:
            mtime_nsec = found.mtime_nsec if job.mtime_nsec else 0
            return job._replace(size=found.size, etag=found.etag, mtime_nsec=mtime_nsec)
    if await is_folder(client, source):
        raise IsADirectory("is a folder; use copy_parallel to copy it", url=str(source))
    raise NotFound(
        "there is no such file, folder or bucket", operation="getObjectMetadata", url=str(source)
    )


async def with_sizes(
    client: Client, jobs: AsyncIterator[Job], grew: Callable[[int], None] = lambda _: None
) -> AsyncIterator[Job]:
    """Yield the jobs, each with a size or an error; *grew* is called with sizes found here."""

    async def one(job: Job) -> Job:
        try:
            found = await with_size(client, job)
        except OSError as error:
            return job._replace(error=error)
        grew(found.size or 0)
        return found

    unknown: list[Job] = []
    async for job in jobs:
        if job.size is not None or job.error is not None:
            yield job
            continue
        unknown.append(job)
        if len(unknown) == LOOKS:
            for found in await asyncio.gather(*map(one, unknown)):
                yield found
            unknown.clear()
    for found in await asyncio.gather(*map(one, unknown)):
        yield found


async def jobs_below(
    client: Client,
    source: ObjectURL | str,
    target: ObjectURL | str,
    file_list: Sequence[str] | None,
) -> AsyncIterator[Job]:
    """Yield a job for each file and empty folder of the source, and for an empty source itself."""
    listed = file_list is None and not isinstance(source, str)
    if file_list is not None:
        check_list("file_list", file_list)
        batches = jobs_named(source, target, file_list)
    elif isinstance(source, str):
        batches = local_tree(source, target)
    else:
        batches = objects(client, source, target)
    conflicts = await conflicts_in(target, listed=listed)
    empty = True
    async for jobs in batches:
        empty = empty and not jobs
        for job in conflicts.sift(jobs):
            yield job
    for job in conflicts.rest():
        yield job
    if empty:
        log.warning("%s is empty: there is nothing to copy", source)
        yield Job(source, target, is_directory=True)


async def conflicts_in(target: ObjectURL | str, *, listed: bool) -> NameConflicts:
    """Return what finds the conflicts of names in a target, of jobs that a listing may tell of."""
    if not isinstance(target, str):
        return NameConflicts(nested=False, fold=None)
    folded = await in_thread(folding, target)
    return NameConflicts(nested=listed, fold=folded.fold if any(folded) else None)


async def jobs_named(
    source: ObjectURL | str, target: ObjectURL | str, names: Sequence[str]
) -> AsyncIterator[list[Job]]:
    """Yield the jobs for *names*, which are looked at when their turn comes."""
    for name in names:
        try:
            yield [Job(place_below(source, name), place_below(target, name), size=None)]
        except UnsafeKey as error:
            yield [Job(source, target, error=error)]


async def local_tree(source: str, target: ObjectURL | str) -> AsyncIterator[list[Job]]:
    """Yield the jobs for what is below a local folder, some hundred at a time."""
    async for batch in walk_in_batches(source):
        yield [job_of(source, target, found) for found in batch]


def job_of(source: ObjectURL | str, target: ObjectURL | str, found: Found) -> Job:
    """Return the job for a thing below a folder."""
    if not isinstance(source, str):
        return job_of_object(source, target, found)
    path, error = os.path.join(source, found.name), found.error
    if not isinstance(target, str):
        error = error or unencodable(path)
    return Job(
        path,
        place_below(target, found.name) if found.name else target,
        found.size,
        is_directory=found.is_directory,
        error=error,
        changed_nsec=found.mtime_nsec,
    )


def job_of_object(source: ObjectURL, target: ObjectURL | str, found: Found) -> Job:
    name = f"{found.name}/" if found.is_directory else found.name
    url = source.with_key(source.folder + name)
    where, error = target_of(url, found.name, target, is_marker=found.is_directory)
    return Job(url, where, found.size, found.etag, found.is_directory, error)


def unencodable(path: str) -> UnsafeKey | None:
    """Return the error that the name of a file cannot be a key, if that is so."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return UnsafeKey("the name is not text, and keys are UTF-8", url=ascii(path))
    return None


async def objects(
    client: Client, source: ObjectURL, target: ObjectURL | str
) -> AsyncIterator[list[Job]]:
    """Yield the jobs for the objects below a folder of a store, page by page."""
    start = len(source.folder)
    async for page in client.list_pages(source.bucket, source.folder):
        jobs: list[Job] = []
        for key, size, etag, _ in page.objects:
            name = key[start:]
            if not name:
                continue
            url = ObjectURL(source.bucket, key, source.scheme)
            marker = not size and name.endswith("/")
            where, error = target_of(url, name[:-1] if marker else name, target, is_marker=marker)
            jobs.append(Job(url, where, size, etag, marker, error))
        yield jobs
