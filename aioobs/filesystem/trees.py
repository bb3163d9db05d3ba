"""Recursive put, get and cp: whole trees, copied by the engine of `copy_parallel`."""

from __future__ import annotations

import errno
import os
from itertools import groupby
from typing import TYPE_CHECKING, Any, TypeGuard

from fsspec.asyn import _run_coros_in_chunks
from fsspec.callbacks import DEFAULT_CALLBACK, NoOpCallback

from aioobs.config import DEFAULT_THREADS
from aioobs.errors import IsADirectory, NotFound, TransferFailed
from aioobs.filesystem.options import take_headers
from aioobs.s3.body import FilePart
from aioobs.store.pattern import has_magic
from aioobs.store.remote import RemoteStore
from aioobs.threads import in_thread
from aioobs.transfer.engine import CopyOptions, copy_file, copy_tree
from aioobs.transfer.engine import put as put_body
from aioobs.transfer.jobs import is_folder
from aioobs.url import parse

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from fsspec.callbacks import Callback

    from aioobs.errors import ObsError
    from aioobs.filesystem.interface import FileSystem
    from aioobs.s3.client import Client
    from aioobs.store.headers import Headers
    from aioobs.transfer.progress import Progress, ProgressCallback
    from aioobs.url import ObjectURL

__all__ = [
    "copied",
    "copy",
    "create",
    "delete",
    "delete_file",
    "get",
    "make",
    "put",
    "remove",
    "remove_empty",
]

FILES_AT_ONCE = 32


def is_name(path: object) -> TypeGuard[str]:
    """Tell whether *path* is the name of one thing, and neither a pattern nor a list."""
    return isinstance(path, str) and not has_magic(path)


def remote(fs: FileSystem, path: object) -> object:
    """Return the URL of a path in the store, with the slash that it may end in."""
    if not is_name(path):
        return path
    return f"{fs.url_of(path)}{'/' if path.endswith('/') else ''}"


def files_to(callback: Callback) -> ProgressCallback | None:
    """Return a progress callback that reports finished files to *callback*."""

    def report(progress: Progress) -> None:
        callback.set_size(progress.files_total)
        callback.absolute_update(progress.files)

    return None if isinstance(callback, NoOpCallback) else report


def bytes_to(callback: Callback) -> ProgressCallback | None:
    """Return a progress callback that reports copied bytes to *callback*."""

    def report(progress: Progress) -> None:
        callback.set_size(progress.bytes_total)
        callback.absolute_update(progress.bytes)

    return None if isinstance(callback, NoOpCallback) else report


async def copied(
    client: Client,
    source: ObjectURL | str,
    target: ObjectURL | str,
    callback: Callback = DEFAULT_CALLBACK,
    headers: Headers | None = None,
) -> bool:
    """Copy one file; tell whether it was one, and not a folder."""
    options = CopyOptions(progress=bytes_to(callback), headers=headers)
    try:
        await copy_file(client, source, target, options)
    except IsADirectory as error:
        if error.url != str(source):
            raise
        return False
    return True


async def create(
    client: Client, source: str, target: ObjectURL, headers: Headers | None = None
) -> None:
    """Send a local file to an object that is new.

    Raises:
        FileExistsError: there is one of that name.
    """
    with await in_thread(open, source, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        body = FilePart(file.fileno(), 0, size)
        await put_body(client, target, body, {"if_none_match": "*"}, headers)


async def put(fs: FileSystem, lpath: object, rpath: object, recursive: bool, **kwargs: Any) -> bool:
    """Send a local folder; tell whether that is what was asked for."""
    headers = take_headers(kwargs)
    return recursive and await folder_copied(fs, lpath, remote(fs, rpath), headers, **kwargs)


async def get(fs: FileSystem, rpath: object, lpath: object, recursive: bool, **kwargs: Any) -> bool:
    """Fetch a folder; tell whether that is what was asked for."""
    return recursive and await folder_copied(fs, remote(fs, rpath), lpath, **kwargs)


async def copy(
    fs: FileSystem, path1: object, path2: object, recursive: bool, **kwargs: Any
) -> bool:
    """Copy a folder within the store; tell whether that is what was asked for."""
    return recursive and await folder_copied(fs, remote(fs, path1), remote(fs, path2), **kwargs)


async def folder_copied(
    fs: FileSystem,
    source: object,
    target: object,
    headers: Headers | None = None,
    /,
    *,
    callback: Callback = DEFAULT_CALLBACK,
    batch_size: int | None = None,
    maxdepth: int | None = None,
    on_error: str | None = None,
    **others: object,
) -> bool:
    """Copy all of a folder; tell whether the source is one, and its whole content is meant.

    As with ``cp -r``, it goes into a target that exists, unless it is named with a slash at the
    end.  A target with a slash at the end counts as one that exists.
    """
    if others or maxdepth is not None or not is_name(source) or not is_name(target):
        return False
    client, origin, goal = fs.client, parse(source), parse(target)
    if not await is_folder(client, origin):
        return False
    name = os.path.basename(origin) if isinstance(origin, str) else origin.key.rpartition("/")[2]
    if name and (target.endswith("/") or await is_folder(client, goal)):
        goal = parse(f"{target.rstrip('/')}/{name}")
    workers, report = batch_size or fs.batch_size or DEFAULT_THREADS, files_to(callback)
    try:
        options = CopyOptions(threads=max(workers, 1), progress=report, headers=headers)
        await copy_tree(client, origin, goal, options)
    except TransferFailed as error:
        gone = all(isinstance(failure, FileNotFoundError) for failure in error.failures)
        if on_error != "ignore" or not gone:
            raise
    return True


async def remove(
    fs: FileSystem, names: list[str], named: Container[str], batch_size: int | None
) -> None:
    """Remove files, whole folders, and buckets that are among the *named*.

    Raises:
        ValueError: a pattern matches buckets; nothing was removed.
    """
    for name in names:
        if not fs.url_of(name).key and name not in named:
            raise ValueError(f"a pattern matches the bucket {name}: name the buckets to remove")
    await _run_coros_in_chunks(
        [remove_whole(fs.client, fs.url_of(name)) for name in names],
        batch_size=batch_size or fs.batch_size or FILES_AT_ONCE,
    )


async def remove_whole(client: Client, url: ObjectURL) -> None:
    """Remove all that has a name, which may be both that of a file and of a folder."""
    store = RemoteStore(client)
    await store.remove(str(url), recursive=True)
    if not url.key:
        await client.delete_bucket(url.bucket)
    elif await store.is_directory(str(url)):
        await store.remove(f"{url}/", recursive=True)


async def delete_file(client: Client, url: ObjectURL) -> None:
    """Delete one object.

    Raises:
        FileNotFoundError: there is nothing of that name.
        IsADirectoryError: it is a folder.
    """
    info = await RemoteStore(client).stat(str(url))
    if info.is_directory:
        raise IsADirectory("is a folder; recursive=True removes it", url=str(url))
    await client.delete_object(url.bucket, url.key)


async def make(
    client: Client, url: ObjectURL, *, create_parents: bool = True, exist_ok: bool = False
) -> None:
    """Make a bucket, if *url* is one or is in one that may be made with it.

    A folder is not made: it is there as soon as something is in it.

    Raises:
        FileExistsError: there is one of that name, and *exist_ok* is false.
        FileNotFoundError: there is no such bucket, and *create_parents* is false.
    """
    # Some stores accept the creation of a bucket that is yours already.
    if not exist_ok and await RemoteStore(client).exists(str(url)):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(url))
    if (url.key or exist_ok) and await has_bucket(client, url):
        return
    if url.key and not create_parents:
        raise NotFound("there is no such bucket", url=str(url))
    await client.create_bucket(url.bucket, exist_ok=bool(url.key) or exist_ok)


async def has_bucket(client: Client, url: ObjectURL) -> bool:
    """Tell whether there is the bucket of *url*; whoever may use only a folder may ask as well."""
    try:
        await client.list_objects(url.bucket, url.folder, limit=1)
    except NotFound:
        return False
    return True


async def remove_empty(client: Client, url: ObjectURL) -> None:
    """Remove an empty folder or bucket.

    Raises:
        FileNotFoundError: there is none of that name.
        FileExistsError: it is not empty.
    """
    if not url.key:
        await client.delete_bucket(url.bucket)
        return
    page = await client.list_objects(url.bucket, url.folder, limit=2)
    keys = {*page.prefixes, *page.objects.keys}
    if keys - {url.folder}:
        # POSIX has both names for it, and so have the file systems of fsspec.
        raise FileExistsError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), str(url))
    if not keys:
        raise NotFound("there is no such folder", url=str(url))
    await client.delete_object(url.bucket, url.folder)


async def delete(client: Client, urls: Iterable[ObjectURL]) -> None:
    """Delete objects, many with one request.

    Raises:
        TransferFailed: some are left; all the others are deleted.
    """
    failures: list[ObsError] = []
    for bucket, group in groupby(sorted(urls), key=lambda url: url.bucket):
        failures += await client.delete_objects(bucket, [url.key for url in group if url.key])
    if failures:
        raise TransferFailed(
            f"{len(failures)} objects could not be removed; the first: {failures[0]}",
            url=failures[0].url,
            failures=failures,
        )
