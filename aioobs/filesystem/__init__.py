"""The file system of fsspec: ``obs://`` for pandas, Dask, zarr, PyArrow and others.

fsspec finds it by itself for ``obs://``.  For ``s3://`` it has to be asked:

    fsspec.register_implementation("s3", "aioobs.filesystem.ObsFileSystem", clobber=True)

Blocking calls run on the loop thread of `aioobs.sync`: they work in a forked process and inside
a running loop, and end with Ctrl-C.
"""

from __future__ import annotations

import os
from typing import IO, TYPE_CHECKING, Any, cast

try:
    from fsspec.asyn import AsyncFileSystem
except ModuleNotFoundError as _error:
    raise ImportError('aioobs.filesystem needs fsspec: pip install "aioobs[fsspec]"') from _error
from fsspec.callbacks import DEFAULT_CALLBACK
from fsspec.core import get_compression
from fsspec.implementations.local import make_path_posix as local_path
from fsspec.spec import AbstractFileSystem
from fsspec.utils import isfilelike, stringify_path

from aioobs.errors import IsADirectory
from aioobs.filesystem import trees
from aioobs.filesystem.attributes import Attributes
from aioobs.filesystem.blocking import add_blocking, running_loop
from aioobs.filesystem.files import (
    AsyncFile,
    CachedFile,
    as_text,
    compressed,
    open_async,
    open_blocking,
    read_into,
)
from aioobs.filesystem.listing import (
    Info,
    all_below,
    folder_info,
    forget,
    listed,
    name_of,
    stat_info,
    url_of,
    version_info,
)
from aioobs.filesystem.options import Access, Instances, check_hints, take_headers, without_secrets
from aioobs.filesystem.ranges import (
    LARGEST_GAP,
    each,
    merged,
    read_blocks,
    read_slice,
    read_version,
)
from aioobs.store.remote import RemoteStore, file_url
from aioobs.sync._loop import run
from aioobs.threads import in_thread
from aioobs.transfer import engine

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from fsspec.callbacks import Callback

    from aioobs.s3.client import Client
    from aioobs.store.upload import Guard
    from aioobs.url import ObjectURL

__all__ = ["ObsFileSystem"]


class ObsFileSystem(Attributes, AsyncFileSystem, metaclass=Instances):
    """A store as fsspec knows file systems; paths are ``bucket/key``.

    What is not given is as for the verbs of `aioobs.file`: as `set_auth` or the environment says,
    at the time of each call.  Credentials are looked for when they are needed.

    Args:
        config: A `Config`, or a mapping of its fields; the environment says nothing then.
        use_listings_cache: Whether `ls` and `info` may answer from former listings, for
            *listings_expiry_time* seconds, or until this instance writes there.
        listings_expiry_time: Seconds; `None`: no limit.
        max_paths: The greatest number of listings to keep.
        asynchronous: Whether the instance is for `await`, on whichever loop is running.
        batch_size: How many files or requests one call has under way at the same time.
        options: Fields of `Config`, by their names, by those that `set_auth` has for them, such
            as *ak* and *sk*, or as they are written for s3fs.

    Raises:
        ConfigError: an option is not known, or its value not valid.
    """

    protocol: tuple[str, ...] = ("obs", "s3", "s3a")
    mirror_sync_methods = False  # see add_blocking

    def __init__(
        self,
        *,
        config: Mapping[str, object] | None = None,
        use_listings_cache: bool = False,
        listings_expiry_time: float | None = None,
        max_paths: int | None = None,
        asynchronous: bool = False,
        batch_size: int | None = None,
        **options: object,
    ) -> None:
        AbstractFileSystem.__init__(
            self,
            use_listings_cache=use_listings_cache,
            listings_expiry_time=listings_expiry_time,
            max_paths=max_paths,
        )
        self.asynchronous = asynchronous
        self.batch_size = batch_size
        self._access = Access(options, config)

    @property
    def client(self) -> Client:
        """The client that makes the requests."""
        return self._access.client

    @property
    def store(self) -> RemoteStore:
        """Folders on top of what the client has."""
        return RemoteStore(self.client)

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop that blocking calls run on, in this process."""
        return None if self.asynchronous else running_loop()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.client.config.endpoint or 'no endpoint'!r})"

    def to_dict(self, *, include_password: bool = True) -> dict[str, object]:
        """Return what the instance can be made from again; without secrets if they are unwanted."""
        made = cast("dict[str, object]", super().to_dict())
        return made if include_password else without_secrets(made)

    @classmethod
    def _strip_protocol(cls, path: object) -> str | list[str]:
        if isinstance(path, list):
            return [cast("str", cls._strip_protocol(one)) for one in path]
        return str(super()._strip_protocol(path)).lstrip("/")

    def url_of(self, path: object) -> ObjectURL:
        """Return the object or folder that *path* names.

        Raises:
            NotFound: it names none.
        """
        return url_of(str(self._strip_protocol(path)))

    def invalidate_cache(self, path: str | None = None) -> None:
        """Forget the listings of a path, of what is below it, and of the folders above it."""
        if path is None:
            self.dircache.clear()
        else:
            forget(self.dircache, str(self._strip_protocol(path)))
        super().invalidate_cache(path)

    async def _info(self, path: str, *, refresh: bool = False, version_id: str = "") -> Info:
        name = str(self._strip_protocol(path))
        if not name:
            return folder_info("")
        if version_id:
            bucket, key, _ = file_url(str(self.url_of(name)))
            version = await self.client.head_object(bucket, key, version_id=version_id)
            return version_info(name, version, version_id)
        if not refresh:
            listed = self._ls_from_cache(name) or []
            if found := next((info for info in listed if info["name"] == name), None):
                return cast("Info", found)
        return stat_info(name, await self.store.stat(str(self.url_of(name))))

    async def _exists(self, path: str, *, refresh: bool = True) -> bool:
        return not self._strip_protocol(path) or await self.store.exists(str(self.url_of(path)))

    async def _isdir(self, path: str) -> bool:
        name = self._strip_protocol(path)
        return not name or await self.store.is_directory(str(self.url_of(name)))

    async def _ls(
        self, path: str, detail: bool = False, *, refresh: bool = False
    ) -> list[Info] | list[str]:
        name = str(self._strip_protocol(path))
        found = None if refresh else self.dircache.get(name)
        if found is None and (found := await listed(self.client, name)) is not None:
            self.dircache[name] = found
        if found is None:
            info = await self._info(name, refresh=True)
            found = [info] if info["type"] == "file" else []
        return list(found) if detail else [str(info["name"]) for info in found]

    async def _find(
        self,
        path: str,
        maxdepth: int | None = None,
        withdirs: bool = False,
        *,
        detail: bool = False,
        prefix: str | None = None,
        refresh: bool = True,
    ) -> list[str] | dict[str, Info]:
        name = str(self._strip_protocol(path))
        if maxdepth is not None and maxdepth < 1:
            raise ValueError("maxdepth must be at least 1")
        if not name and maxdepth != 1:
            found = await super()._find(path, maxdepth, withdirs, detail=detail, refresh=refresh)
            return cast("list[str]", found)
        infos = await all_below(self.client, name, maxdepth, prefix or "")
        if withdirs and name and not prefix and (infos or await self._isdir(name)):
            infos.append(folder_info(name))
        elif not infos and name and not prefix and await self._isfile(name):
            infos.append(await self._info(name))
        kept = (info for info in infos if withdirs or info["type"] == "file")
        every = {str(info["name"]): info for info in sorted(kept, key=name_of)}
        return every if detail else list(every)

    async def _du(
        self,
        path: str,
        total: bool = True,
        maxdepth: int | None = None,
        withdirs: bool = False,
    ) -> int | dict[str, int]:
        found = cast("dict[str, Info]", await self._find(path, maxdepth, withdirs, detail=True))
        sizes = {name: cast("int", info["size"]) for name, info in found.items()}
        return sum(sizes.values()) if total else sizes

    async def _cat_file(
        self,
        path: str,
        start: int | None = None,
        end: int | None = None,
        *,
        version_id: str = "",
        **hints: object,
    ) -> bytes:
        check_hints("cat_file", hints)
        url = str(self.url_of(path))
        if version_id:
            return await read_version(self.client, url, start, end, version_id)
        return await read_slice(self.client, url, start, end)

    async def _cat_ranges(
        self,
        paths: list[str],
        starts: Sequence[int | None] | int | None,
        ends: Sequence[int | None] | int | None,
        max_gap: int | None = None,
        batch_size: int | None = None,
        on_error: str = "return",
        **hints: object,
    ) -> list[bytes | Exception]:
        check_hints("cat_ranges", hints)
        first, stop = each(starts, len(paths)), each(ends, len(paths))
        at_once = batch_size or self.batch_size
        if first is None or stop is None:  # only with the sizes one can tell what lies together
            found = await super()._cat_ranges(
                paths, starts, ends, batch_size=at_once, on_error=on_error
            )
            return cast("list[bytes | Exception]", found)
        gap = LARGEST_GAP if max_gap is None else max_gap
        blocks = merged(paths, first, stop, gap, self.client.config.part_size)
        return await read_blocks(self, blocks, at_once, on_error)

    async def _pipe_file(
        self,
        path: str,
        value: bytes | bytearray | memoryview,
        mode: str = "overwrite",
        **hints: object,
    ) -> None:
        headers = take_headers(hints)
        check_hints("pipe_file", hints)
        guard: Guard | None = {"if_none_match": "*"} if mode == "create" else None
        await engine.put(self.client, file_url(str(self.url_of(path))), value, guard, headers)
        self.invalidate_cache(path)

    async def _put_file(
        self,
        lpath: str,
        rpath: str,
        callback: Callback = DEFAULT_CALLBACK,
        mode: str = "overwrite",
        **hints: object,
    ) -> None:
        headers = take_headers(hints)
        check_hints("put_file", hints)
        local, url = local_path(lpath), self.url_of(rpath)
        if mode == "create":
            await trees.create(self.client, local, url, headers)
        elif not await trees.copied(self.client, local, url, callback, headers):
            await self._makedirs(rpath, exist_ok=True)
        self.invalidate_cache(rpath)

    async def _get_file(
        self,
        rpath: str,
        lpath: str | IO[bytes] | None = None,
        callback: Callback = DEFAULT_CALLBACK,
        outfile: IO[bytes] | None = None,
        **hints: object,
    ) -> None:
        check_hints("get_file", hints)
        target = lpath if outfile is None else outfile
        if isfilelike(target):
            name = str(self._strip_protocol(rpath))
            await read_into(self, name, cast("IO[bytes]", target), callback)
            return
        local, url = local_path(lpath), self.url_of(rpath)
        if not await trees.copied(self.client, url, local, callback):
            await in_thread(os.makedirs, local, exist_ok=True)

    async def _cp_file(self, path1: str, path2: str) -> None:
        if not await trees.copied(self.client, self.url_of(path1), self.url_of(path2)):
            await self._makedirs(path2, exist_ok=True)
        self.invalidate_cache(path2)

    async def _put(
        self, lpath: object, rpath: object, recursive: bool = False, *args: Any, **kwargs: Any
    ) -> None:
        places = local_path(lpath), stringify_path(rpath)
        try:
            if args or not await trees.put(self, *places, recursive, **kwargs):
                await super()._put(*places, recursive, *args, **kwargs)
        finally:
            self.invalidate_cache()

    async def _get(
        self, rpath: object, lpath: object, recursive: bool = False, *args: Any, **kwargs: Any
    ) -> None:
        places = stringify_path(rpath), local_path(lpath)
        if args or not await trees.get(self, *places, recursive, **kwargs):
            await super()._get(*places, recursive, *args, **kwargs)

    async def _copy(
        self, path1: object, path2: object, recursive: bool = False, *args: Any, **kwargs: Any
    ) -> None:
        places = stringify_path(path1), stringify_path(path2)
        try:
            if args or not await trees.copy(self, *places, recursive, **kwargs):
                await super()._copy(*places, recursive, *args, **kwargs)
        finally:
            self.invalidate_cache()

    def mv(
        self,
        path1: object,
        path2: object,
        recursive: bool = False,
        maxdepth: int | None = None,
        **hints: object,
    ) -> None:
        """Move a file, or with *recursive* a folder; onto itself nothing is moved."""
        check_hints("mv", hints)
        if self._strip_protocol(path1) != self._strip_protocol(path2):
            # That of fsspec hands on an `onerror` in some versions, which `cp_file` would refuse.
            self.copy(path1, path2, recursive=recursive, maxdepth=maxdepth, on_error="raise")
            self.rm(stringify_path(path1), recursive=recursive)

    async def _rm_file(self, path: str) -> None:
        url = file_url(str(self.url_of(path)))
        await self.client.delete_object(url.bucket, url.key)
        self.invalidate_cache(path)

    async def _rm(
        self,
        path: str | list[str],
        recursive: bool = False,
        batch_size: int | None = None,
        maxdepth: int | None = None,
    ) -> None:
        whole = recursive and maxdepth is None
        names = await self._expand_path(path, recursive and not whole, maxdepth)
        try:
            if whole:
                given = path if isinstance(path, list) else [path]
                named = {str(self._strip_protocol(name)) for name in given}
                await trees.remove(self, names, named, batch_size)
            elif recursive or names != [self._strip_protocol(path)]:
                await trees.delete(self.client, map(self.url_of, names))
            else:
                await trees.delete_file(self.client, self.url_of(names[0]))
        finally:
            self.invalidate_cache()

    async def _mkdir(self, path: str, create_parents: bool = True, **hints: object) -> None:
        check_hints("mkdir", hints)
        await trees.make(self.client, self.url_of(path), create_parents=create_parents)
        self.invalidate_cache(path)

    async def _makedirs(self, path: str, exist_ok: bool = False) -> None:
        await trees.make(self.client, self.url_of(path), exist_ok=exist_ok)
        self.invalidate_cache(path)

    async def _rmdir(self, path: str) -> None:
        await trees.remove_empty(self.client, self.url_of(path))
        self.invalidate_cache(path)

    async def _touch(self, path: str, truncate: bool = True, **hints: Any) -> None:
        # A copy onto itself would lose the object's ACL; fsspec's own `touch` raises the same.
        if not truncate and await self._exists(path):
            raise NotImplementedError("the time of an object changes with its content alone")
        await self._pipe_file(path, b"", **hints)

    async def _modified(self, path: str) -> datetime:
        info = await self._info(path)
        if info["type"] == "directory":
            raise IsADirectory("a folder has no time", url=path)
        return cast("datetime", info["LastModified"])

    _created = _modified  # each write makes a new object

    async def _sign(self, path: str, expiration: int = 100) -> str:
        bucket, key, _ = file_url(str(self.url_of(path)))
        return await self.client.presign(bucket, key, expires=expiration)

    def url(self, path: str, expires: int = 3600) -> str:
        """Return a URL with which anybody can read the object for *expires* seconds."""
        return run(self._sign(path, expires))

    def open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        *,
        compression: str | None = None,
        **kwargs: Any,
    ) -> IO[Any]:
        """Open an object, as `open` does; text is UTF-8 unless *encoding* is given.

        What is written appears when the file is closed, or at the end of a transaction; an error
        in its ``with`` block publishes nothing.  Reading is done ahead and in parallel, unless a
        *cache_type* of fsspec is given, or a *size* beyond which nothing is read.  With a
        *version_id*, which `object_version_info` tells, a former version is read.

        Raises:
            FileNotFoundError: there is no such object or bucket.
            FileExistsError: the mode is ``x``, and there is something of that name.
            ValueError: the mode is binary, and an option for text is given.
        """
        text = {name: kwargs.pop(name, None) for name in ("encoding", "errors", "newline")}
        if "b" in mode and (given := [name for name, value in text.items() if value is not None]):
            raise ValueError(f"binary mode doesn't take an {given[0]} argument")
        plain = mode.replace("t", "").replace("b", "") + "b"
        file = super().open(path, plain, block_size, **kwargs)
        if codec := get_compression(path, compression):
            file = compressed(file, codec, mode[0])
        return file if "b" in mode else as_text(file, **text)

    def _open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | str | None = None,
        autocommit: bool = True,
        cache_options: Mapping[str, object] | None = None,
        cache_type: str | None = None,
        size: int | None = None,
        version_id: str = "",
        **hints: object,
    ) -> IO[bytes]:
        headers = take_headers(hints)
        check_hints("open", hints)
        if version_id and mode != "rb":
            raise ValueError(f"a version is read as it is: version_id is not for the mode {mode!r}")
        plain = mode == "rb" and headers is None and not version_id
        if plain and (cache_type or cache_options or size is not None):
            cache = cache_type or "readahead"
            file = CachedFile(self, path, mode, block_size, True, cache, cache_options, size)
            return cast("IO[bytes]", file)
        opened = open_blocking(
            self, path, mode, held=not autocommit, headers=headers, version_id=version_id
        )
        return cast("IO[bytes]", opened)

    async def open_async(self, path: str, mode: str = "rb", **hints: Any) -> AsyncFile:
        """Open an object of bytes for ``async with``: to be read, written or appended to.

        Raises:
            ValueError: the mode is that of a text, or has a ``+``.
        """
        return await open_async(self, str(self._strip_protocol(path)), mode, **hints)


add_blocking(ObsFileSystem, Attributes)
