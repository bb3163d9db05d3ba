"""Folders on top of keys: the only place that believes in them.

A folder is there if a key begins with its name and a slash.  An empty one is an object of no
bytes whose key ends in a slash: its marker.
"""

from __future__ import annotations

import errno
import logging
import os
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from aioobs.errors import (
    AccessDenied,
    ConfigError,
    IsADirectory,
    NotFound,
    ObsError,
    TransferFailed,
)
from aioobs.generators import Owned
from aioobs.s3.body import Memory, MemorySink
from aioobs.store.emptied import EmptiedFolders, folders_of, marker_of
from aioobs.store.entry import Entry, Stat
from aioobs.store.headers import headers_of
from aioobs.store.pattern import has_magic, literal_prefix, name_matches, path_matches
from aioobs.url import ObjectURL, key_of, parse

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

    from aioobs.s3.client import Client
    from aioobs.s3.documents.page import Listed, Page
    from aioobs.s3.objects import ObjectInfo

__all__ = ["RemoteStore", "file_url"]

log: logging.Logger = logging.getLogger("aioobs.file")


class RemoteStore:
    """One store under the verbs of `aioobs.file`."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def read(self, path: str) -> bytes:
        """Return the content of an object."""
        url, first = file_url(path), MemorySink()
        # The answer to a range tells the size of the whole, too: half of an object, with a length
        # that fits the half, does not pass for all of it.
        begin = self.client.config.multipart_threshold
        try:
            info = await self.client.stream_object(url.bucket, url.key, first, start=0, stop=begin)
        except NotFound:
            if await self._is_folder(url):
                raise IsADirectory("is a folder", operation="getObject", url=path) from None
            raise
        if info.size <= begin:
            return first.getvalue()
        memory = Memory(info.size)
        with memory.view() as buffer:
            buffer[:begin] = first.getvalue()
            await self.client.get_into(
                url.bucket, url.key, buffer[begin:], start=begin, if_match=info.etag
            )
        return memory.value(info.size)

    async def write(self, path: str, data: bytes | memoryview) -> None:
        """Create or replace an object, whole or not at all."""
        url = file_url(path)
        await self.client.put_object(url.bucket, url.key, data, **headers_of(url.key))

    async def exists(self, path: str) -> bool:
        """Tell whether there is an object, a folder or a bucket of that name."""
        url = object_url(path)
        if url.key and not url.key.endswith("/") and await self._head(url):
            return True
        return await self._is_folder(url)

    async def is_directory(self, path: str) -> bool:
        """Tell whether there is a folder or a bucket of that name."""
        return await self._is_folder(object_url(path))

    async def get_size(self, path: str, *, recursive: bool) -> int:
        """Return the size of an object; of a folder only if *recursive*, else 0."""
        url = object_url(path)
        if url.key and not url.key.endswith("/") and (info := await self._head(url)):
            return info.size
        if not recursive:
            await self._require_folder(url)
            return 0
        found, total = False, 0
        async for page in self.client.list_pages(url.bucket, url.folder):
            found = found or bool(page.objects)
            total += sum(item.size for item in page.objects)
        if not found:
            await self._require_folder(url)
        return total

    async def stat(self, path: str) -> Stat:
        """Return size, time and kind."""
        url = object_url(path)
        info = None if url.key.endswith("/") else await self._head(url)
        # Some servers show an empty object where there is a folder of that name.
        if info and (info.size or not await self._is_only_folder(url)):
            said = info.headers.get("content-type", "")
            return Stat(info.size, info.mtime_nsec, False, info.etag, said)
        await self._require_folder(url)
        if not url.key:
            return Stat(0, 0, is_directory=True)
        marker = await marker_of(self.client, url)
        return Stat(0, marker.mtime_nsec if marker else 0, is_directory=True)

    async def list_directory(self, path: str, *, recursive: bool) -> tuple[list[str], set[str]]:
        """Return the names of the files and of the folders below a folder."""
        url = object_url(path)
        files: list[str] = []
        folders: set[str] = set()
        marked, start = False, len(url.folder)
        delimiter = "" if recursive else "/"
        async for page in self.client.list_pages(url.bucket, url.folder, delimiter=delimiter):
            marked = marked or bool(page.objects)
            folders.update(prefix[start:].rstrip("/") for prefix in page.prefixes)
            names = [key[start:] for key in page.objects.keys]
            if "/" in "".join(names):
                for above in {name.rpartition("/")[0] for name in names} - folders:
                    folders.update(folders_of(f"{above}/"))
                names = [name for name in names if name[-1:] != "/"]
            files += filter(None, names)
        folders.discard("")
        if not (files or folders or marked):
            await self._require_folder(url)
        return files, folders

    async def make_dirs(self, path: str) -> None:
        """Create a folder and those above it; one that is there is no error."""
        url = object_url(path)
        if not url.key.strip("/"):
            await self.client.head_bucket(url.bucket)
            return
        missing: list[ObjectURL] = []
        while url.key and not await self._is_folder(url):
            if await self._head(url.with_key(url.folder[:-1])):
                code = errno.ENOTDIR if missing else errno.EEXIST
                raise OSError(code, os.strerror(code), str(url))
            missing.append(url)
            url = url.parent
        for above in reversed(missing[1:]):
            with suppress(AccessDenied):  # whoever may write below need not be allowed to here
                await self._mark(above)
        if missing:
            await self._mark(missing[0])

    async def mk_dir(self, path: str) -> None:
        """Create a folder in a folder that exists."""
        url = object_url(path)
        if await self.exists(f"{url.root}/{url.folder[:-1]}"):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        await self._require_folder(url.parent)
        await self._mark(url)

    async def remove(self, path: str, *, recursive: bool) -> None:
        """Remove an object, or a folder with all that is in it."""
        url = object_url(path)
        if url.key and not url.key.endswith("/") and await self._head(url):
            if not await self._is_only_folder(url):
                await self.client.delete_object(url.bucket, url.key)
                return
        elif not await self._is_folder(url):
            if url.key.endswith("/") and await self._head(url.with_key(url.key.rstrip("/"))):
                log.warning("%s is a file, not a folder: it is not removed", path)
                return
            raise missing_error(url)
        if recursive:
            await self._remove_folder(url)
        else:
            log.warning("%s is a folder: it is removed only with recursive=True", path)

    async def _remove_folder(self, url: ObjectURL) -> None:
        failures: list[ObsError] = []
        emptied = EmptiedFolders()
        async with self._pages(url.bucket, url.folder) as pages:
            async for page in pages:
                keys = page.objects.keys[::-1]  # what is deepest comes first
                failures += await self.client.delete_objects(url.bucket, keys)
                emptied.add(url.bucket, keys)
        # A parallel file system refuses a folder whose content stands on a later page.
        again = [key_of(error.url) for error in failures]
        failures = await self.client.delete_objects(url.bucket, reversed(again))
        if failures:
            raise TransferFailed(
                f"{len(failures)} objects could not be removed; the first: {failures[0]}",
                url=str(url),
                failures=failures,
            )
        with suppress(ObsError):  # all that was asked for is done
            await emptied.remove(self.client, url)

    async def scan_dir(self, path: str) -> AsyncIterator[Entry]:
        """Yield the entries of a folder in the store's order."""
        url = object_url(path)
        found = False
        base = path if path.endswith("/") else f"{path}/"
        async for page in self.client.list_pages(url.bucket, url.folder, delimiter="/"):
            found = found or bool(page.objects)
            for prefix in page.prefixes:
                name = prefix[len(url.folder) :].rstrip("/")
                if name:
                    found = True
                    yield Entry(name, base + name, True, Stat(0, 0, is_directory=True))
            for item in page.objects:
                name = item.key[len(url.folder) :]
                if name and not name.endswith("/"):
                    yield Entry(name, base + name, False, stat_of(item))
        if not found:
            await self._require_folder(url)

    async def walk(
        self,
        path: str,
        *,
        topdown: bool,
        onerror: Callable[[OSError], object] | None,
        followlinks: bool,
    ) -> AsyncIterator[tuple[str, list[str], list[str]]]:
        """Do as `os.walk` does, with URLs."""
        folders: list[str] = []
        files: list[str] = []
        try:
            async for entry in self.scan_dir(path):
                (folders if entry.is_dir() else files).append(entry.name)
        except OSError as error:
            if onerror is not None:
                onerror(error)
            return
        folders.sort()
        files.sort()
        if topdown:
            yield path, folders, files
        base = path if path.endswith("/") else f"{path}/"
        for name in folders:
            async for step in self.walk(
                base + name, topdown=topdown, onerror=onerror, followlinks=False
            ):
                yield step
        if not topdown:
            yield path, folders, files

    async def glob(self, path: str) -> list[str]:
        """Return the URLs that match, in order."""
        url = object_url(path)
        if has_magic(url.bucket):
            raise ConfigError("the bucket cannot be a pattern: name one", url=path)
        patterns = url.key.rstrip("/").split("/")
        found: set[str] = set()
        with suppress(NotFound):  # no such bucket
            await self._expand(url.with_key(""), patterns, found, only_folders=path.endswith("/"))
        return sorted(found)

    async def _expand(
        self, base: ObjectURL, patterns: list[str], found: set[str], *, only_folders: bool
    ) -> None:
        """Add to *found* what matches *patterns* below the folder *base*."""
        fixed = next((i for i, part in enumerate(patterns) if has_magic(part)), len(patterns))
        base = base.with_key(base.folder + "/".join(patterns[:fixed]))
        patterns = patterns[fixed:]
        if not patterns:
            exists = self.is_directory if only_folders else self.exists
            if await exists(str(base)):
                found.add(str(base))
        elif "**" in patterns:
            await self._expand_deeply(base, patterns, found, only_folders=only_folders)
        else:
            prefix = base.folder + literal_prefix(patterns[0])
            async with self._pages(base.bucket, prefix, delimiter="/") as pages:
                async for page in pages:
                    names = [(key, False) for key in page.objects.keys]
                    names += [(folder.rstrip("/"), True) for folder in page.prefixes]
                    for key, folder in names:
                        name = key[len(base.folder) :]
                        if not name or not name_matches(name, patterns[0]):
                            continue
                        below = base.with_key(key)
                        if len(patterns) > 1 and folder:
                            await self._expand(
                                below, patterns[1:], found, only_folders=only_folders
                            )
                        elif len(patterns) == 1 and (folder or not only_folders):
                            found.add(str(below))

    async def _expand_deeply(
        self, base: ObjectURL, patterns: list[str], found: set[str], *, only_folders: bool
    ) -> None:
        async for page in self.client.list_pages(base.bucket, base.folder):
            for key in page.objects.keys:
                for name, folder in relative_names(key[len(base.folder) :]):
                    if folder or not only_folders:
                        names = name.split("/") if name else []
                        if path_matches(names, patterns):
                            found.add(str(base.with_key(base.folder + name)).rstrip("/"))

    def _pages(self, bucket: str, prefix: str, *, delimiter: str = "") -> Owned[Page]:
        """Return a listing that ends with its block, also where that is cancelled."""
        pages = self.client.list_pages(bucket, prefix, delimiter=delimiter)
        return Owned(cast("AsyncGenerator[Page, None]", pages))

    async def _head(self, url: ObjectURL) -> ObjectInfo | None:
        if not url.key.strip("/"):
            return None
        try:
            return await self.client.head_object(url.bucket, url.key)
        except NotFound:
            return None

    async def _is_folder(self, url: ObjectURL) -> bool:
        try:
            if not url.folder:
                await self.client.head_bucket(url.bucket)
                return True
            page = await self.client.list_objects(url.bucket, url.folder, limit=1)
        except NotFound:
            return False
        return bool(page.objects or page.prefixes)

    async def _is_only_folder(self, url: ObjectURL) -> bool:
        """Tell whether a listing shows a folder, but no object of that name."""
        page = await self.client.list_objects(url.bucket, url.key, delimiter="/", limit=1)
        if url.key in page.objects.keys:
            return False
        return await self._is_folder(url)

    async def _require_folder(self, url: ObjectURL) -> None:
        if await self._is_folder(url):
            return
        if url.folder and await self._head(url.with_key(url.folder[:-1])):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(url))
        raise missing_error(url)

    async def _mark(self, url: ObjectURL) -> None:
        await self.client.put_object(url.bucket, url.folder, b"")


def object_url(path: str) -> ObjectURL:
    """Return what *path* names in the store."""
    url = parse(path)
    if isinstance(url, str):
        raise ConfigError(
            "a local path stands where a URL is wanted: write s3://bucket/key", url=path
        )
    return url


def file_url(path: str) -> ObjectURL:
    """Return the object that *path* names.

    Raises:
        IsADirectory: it names a bucket or ends in a slash.
    """
    url = object_url(path)
    if not url.key or url.key.endswith("/"):
        raise IsADirectory("the name of a file is wanted, this is that of a folder", url=path)
    return url


def missing_error(url: ObjectURL) -> NotFound:
    return NotFound("there is no such file, folder or bucket", url=str(url))


def relative_names(key: str) -> list[tuple[str, bool]]:
    """Return a key below a folder and the folders between, each with whether it is a folder."""
    names = [("", True), *((folder, True) for folder in folders_of(key))]
    return names if key.endswith("/") or not key else [*names, (key, False)]


def stat_of(item: Listed) -> Stat:
    """Return what a listing says of an object."""
    return Stat(item.size, item.mtime_nsec, is_directory=False, etag=item.etag)
