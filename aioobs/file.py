"""The verbs of `mox.file`, for `await`.

Each one takes local paths and URLs alike: ``s3://bucket/key`` and ``obs://bucket/key`` name the
same object, anything else without a scheme is a path of this machine.  What names files and
folders in a result keeps the prefix of the argument.

A missing file or folder raises `MoxFileNotExistsException`, which is a `FileNotFoundError`, at
both kinds of place; the others are `MoxFileRespException` (the store refused), `MoxTimeoutError`,
`MoxFileReadException` (an answer broke off) and `MoxFileNameDuplicateException` (keys that are
file and folder at once).  `aioobs.errors` has the whole tree.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal, get_args, overload

from aioobs.background import background_sync_copy
from aioobs.config import check_choice, check_threads
from aioobs.errors import ConfigError
from aioobs.errors import NameConflict as MoxFileNameDuplicateException
from aioobs.errors import NotFound as MoxFileNotExistsException
from aioobs.errors import OperationTimeout as MoxTimeoutError
from aioobs.errors import ReadError as MoxFileReadException
from aioobs.errors import ResponseError as MoxFileRespException
from aioobs.io.file import File
from aioobs.session import current_client, set_auth
from aioobs.store import compose
from aioobs.store.entry import Entry, Stat
from aioobs.store.local import LocalStore
from aioobs.store.remote import RemoteStore, file_url
from aioobs.transfer import engine
from aioobs.transfer.job import Safety, Verify
from aioobs.transfer.progress import Progress
from aioobs.url import ObjectURL, Path, parse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from concurrent.futures import Executor

    from aioobs.transfer.progress import ProgressCallback

__all__ = [
    "Entry",
    "File",
    "MoxFileNameDuplicateException",
    "MoxFileNotExistsException",
    "MoxFileReadException",
    "MoxFileRespException",
    "MoxTimeoutError",
    "Progress",
    "Stat",
    "append",
    "append_remote",
    "background_sync_copy",
    "copy",
    "copy_parallel",
    "exists",
    "get_size",
    "glob",
    "is_directory",
    "list_directory",
    "make_dirs",
    "mk_dir",
    "read",
    "remove",
    "rename",
    "scan_dir",
    "set_auth",
    "stat",
    "walk",
    "write",
]


def store_of(path: Path) -> tuple[LocalStore | RemoteStore, str]:
    """Return where *path* leads to."""
    where = parse(path)
    if isinstance(where, str):
        return LocalStore(), where
    return RemoteStore(current_client()), os.fspath(path)


@overload
async def read(
    url: Path, client_id: object = None, binary: Literal[False] = False, exist_check: bool = False
) -> str: ...
@overload
async def read(
    url: Path, client_id: object = None, *, binary: Literal[True], exist_check: bool = False
) -> bytes: ...
@overload
async def read(
    url: Path, client_id: object = None, binary: bool = False, exist_check: bool = False
) -> str | bytes: ...
async def read(
    url: Path, client_id: object = None, binary: bool = False, exist_check: bool = False
) -> str | bytes:
    """Return the content of a file, as text in UTF-8 or as bytes.

    *client_id* and *exist_check* are accepted and ignored: there is one client, and a missing
    file is always an error.

    Raises:
        MoxFileNotExistsException: there is no such file.
        UnicodeDecodeError: the content is not UTF-8; give ``binary=True``.
    """
    store, path = store_of(url)
    data = await store.read(path)
    return data if binary else data.decode()


async def write(
    url: Path, data: str | bytes | bytearray | memoryview, binary: bool = False
) -> None:
    """Create or overwrite a file of any size; text is encoded in UTF-8 whatever *binary* says.

    An object appears whole or not at all.
    """
    store, path = store_of(url)
    content = encoded(data)
    if isinstance(store, RemoteStore):
        await engine.put(store.client, file_url(path), content)
    else:
        await store.write(path, content)


async def append(
    url: Path, data: str | bytes | bytearray | memoryview, binary: bool = False
) -> None:
    """Add to the end of a file, which is created if it does not exist.

    What an object of 5 MiB and more has already is not sent again.

    Raises:
        ObjectChanged: the object was replaced meanwhile; nothing was added.
    """
    store, path = store_of(url)
    if isinstance(store, RemoteStore):
        await compose.append(store.client, file_url(path), encoded(data))
    else:
        await store.append(path, encoded(data))


async def append_remote(src_url: Path, dst_url: Path) -> None:
    """Add the object *src_url* to the end of the object *dst_url*; the store does the copying.

    Raises:
        MoxFileNotExistsException: there is no object *src_url*.
        ObjectChanged: one of them was replaced meanwhile; nothing was added.
    """
    client = current_client()
    source = file_url(os.fspath(src_url))
    info = await client.head_object(source.bucket, source.key)
    addition = compose.Stored(source.bucket, source.key, info.size, info.etag)
    await compose.append(client, file_url(os.fspath(dst_url)), addition)


async def copy(
    src_url: Path,
    dst_url: Path,
    client_id: object = None,
    *,
    verify: Verify = "size",
    durable: bool = False,
) -> None:
    """Copy one file to exactly *dst_url*, replacing what is there; local folders are created.

    A local target is written under another name and renamed when it is whole.  Between two
    objects the store does the copying.  *verify* and *durable* are those of `copy_parallel`.

    Raises:
        MoxFileNotExistsException: there is no such file.
        IsADirectoryError: the source is a folder: use `copy_parallel`.
    """
    options = engine.CopyOptions(safety=safety(verify, durable=durable))
    await engine.copy_file(current_client(), place(src_url), place(dst_url), options)


async def copy_parallel(
    src_url: Path,
    dst_url: Path,
    file_list: Sequence[str] | None = None,
    threads: int = 16,
    is_processing: bool = True,
    use_queue: bool = True,
    *,
    progress: ProgressCallback | None = None,
    executor: Executor | None = None,
    journal: Path | None = None,
    verify: Verify = "size",
    durable: bool = False,
) -> None:
    """Copy what is in the folder *src_url* into the folder *dst_url*, which may exist.

    Files that are there are replaced, each one whole; others stay.  Empty folders are copied as
    well.  If *src_url* is a file, *dst_url* is the name of its copy.  Symbolic links are
    followed.  An empty source is no error.

    When files fail, the others are still copied, and one error then names all that failed.

    Args:
        src_url: A folder, or a file.
        dst_url: The folder or file that becomes the copy.
        file_list: Copy only these files, given relative to *src_url*.
        threads: How many requests are under way at the same time, in each process; 0 is one.
            There are 16 at first, the default, and more while that makes the copy faster, up to
            `Config.connections`; any other number stays as it is.
        is_processing: Whether worker processes may be started: on Linux, when this process keeps
            a CPU core busy while other cores are idle.
        use_queue: Accepted and ignored.
        progress: Called with a `Progress` ten times a second at most and at the end, in the event
            loop's thread; what it raises ends the copy.
        executor: Any `concurrent.futures.Executor`, whose workers do the copying; local paths
            are then paths of the workers.  `aioobs.run_copy` has further options.
        journal: A local file, or a folder of a store, that records what has been copied.  After an
            interruption, another call with the same journal skips the files that are there and
            unchanged, and resumes big ones: for that, unfinished uploads stay, and the files
            ``.aioobs-*.part`` that big downloads are written to.
        verify: How copies are checked.  ``"size"``: by their sizes, and so is ``"none"``, since
            that costs nothing.  ``"checksum"``: also by content: an upload carries its MD5 for the
            store to compare, and a download is compared with the checksum that the store has before
            it gets its name; a warning tells of files for which the store has none.  ``"digest"``:
            also keep an MD5 in the metadata of uploaded objects.
        durable: Whether to flush local files and their folders to the disk (fsync).

    Raises:
        MoxFileNotExistsException: there is nothing at *src_url*.
        MoxFileNameDuplicateException: some keys are both a file and a folder, which no local
            folder can hold; of these none was written.
        TransferFailed: some files failed; `failures` has an exception for each.
        ValueError: the target lies within the source.
    """
    check_threads(threads)
    await engine.copy_tree(
        current_client(),
        place(src_url),
        place(dst_url),
        engine.CopyOptions(
            threads=threads,
            progress=progress,
            processes=is_processing,
            executor=executor,
            journal=None if journal is None else place(journal),
            safety=safety(verify, durable=durable),
        ),
        file_list,
    )


async def exists(url: Path) -> bool:
    """Tell whether there is a file, a folder or a bucket of that name.

    Raises:
        PermissionError: the credentials do not allow to find out.
    """
    store, path = store_of(url)
    return await store.exists(path)


async def is_directory(url: Path) -> bool:
    """Tell whether there is a folder or a bucket of that name.

    Raises:
        PermissionError: the credentials do not allow to find out.
    """
    store, path = store_of(url)
    return await store.is_directory(path)


async def get_size(url: Path, recursive: bool = False) -> int:
    """Return the size of a file in bytes.

    The size of a folder is 0, but with *recursive*, and of a local one always, that of all the
    files below it.

    Raises:
        MoxFileNotExistsException: there is nothing of that name.
    """
    store, path = store_of(url)
    return await store.get_size(path, recursive=recursive)


async def stat(url: Path) -> Stat:
    """Return size, time and kind of a file or folder.

    Raises:
        MoxFileNotExistsException: there is nothing of that name.
    """
    store, path = store_of(url)
    return await store.stat(path)


async def list_directory(
    url: Path,
    recursive: bool = False,
    remove_sep: bool = True,
    skip_file: bool = False,
    skip_dir: bool = False,
) -> list[str]:
    """Return the names of the files and folders in a folder, in order, relative to it.

    Args:
        url: The folder.
        recursive: Whether to go down into the folders in it.
        remove_sep: Whether folders are named without a slash at the end.
        skip_file: Whether to leave out files.
        skip_dir: Whether to leave out folders.

    Raises:
        MoxFileNotExistsException: there is no such folder.
        NotADirectoryError: it is a file.
    """
    store, path = store_of(url)
    files, folders = await store.list_directory(path, recursive=recursive)
    if skip_file:
        files = []
    if skip_dir:
        folders = set()
    if remove_sep:
        return sorted([*files, *folders])
    found = [*((name, "") for name in files), *((name, "/") for name in folders)]
    return [name + slash for name, slash in sorted(found)]


async def make_dirs(url: Path) -> None:
    """Create a folder and those above it; one that is there is no error.

    Raises:
        FileExistsError: there is a file of that name.
        NotADirectoryError: there is a file above it.
        MoxFileNotExistsException: there is no such bucket.
    """
    store, path = store_of(url)
    await store.make_dirs(path)


async def mk_dir(url: Path) -> None:
    """Create a folder in a folder that exists; one that is there is no error.

    Raises:
        FileExistsError: there is a file of that name.
        MoxFileNotExistsException: the folder above it does not exist.
    """
    store, path = store_of(url)
    try:
        await store.mk_dir(path)
    except FileExistsError:
        if not await store.is_directory(path):
            raise


async def remove(url: Path, recursive: bool = False) -> None:
    """Remove a file, or with *recursive* a folder and all that is in it.

    Without *recursive* a folder stays, and a warning is logged.  A bucket is emptied, but stays.

    Raises:
        MoxFileNotExistsException: there is nothing of that name.
    """
    store, path = store_of(url)
    await store.remove(path, recursive=recursive)


async def rename(src_url: Path, dst_url: Path) -> None:
    """Move a file or folder, also between a store and this machine.

    A file that is at *dst_url* is replaced.  Within this machine it is atomic; otherwise the
    source is removed when all of it has been copied, and stays whole if that fails.

    Raises:
        MoxFileNotExistsException: there is nothing at *src_url*.
        ValueError: a folder would be moved into itself.
    """
    await engine.move(current_client(), place(src_url), place(dst_url))


async def glob(url: Path) -> list[str]:
    """Return the paths or URLs that match a pattern, in order.

    ``*``, ``?`` and ``[...]`` stand for parts of one name, ``**`` for any folders between.
    """
    store, path = store_of(url)
    return await store.glob(path)


async def scan_dir(url: Path) -> AsyncIterator[Entry]:
    """Yield an entry for each file and folder in a folder, in the order of the store.

    Raises:
        MoxFileNotExistsException: there is no such folder.
    """
    store, path = store_of(url)
    async for entry in store.scan_dir(path):
        yield entry


async def walk(
    url: Path,
    topdown: bool = True,
    onerror: Callable[[OSError], object] | None = None,
    followlinks: bool = False,
) -> AsyncIterator[tuple[str, list[str], list[str]]]:
    """Yield a folder's path, its folders and its files, for each folder of a tree.

    As with `os.walk`, what is removed from the list of folders is not entered if *topdown*, and
    errors are passed over unless *onerror* is there to take them.
    """
    store, path = store_of(url)
    async for step in store.walk(path, topdown=topdown, onerror=onerror, followlinks=followlinks):
        yield step


def place(path: Path) -> ObjectURL | str:
    """Return where a file comes from or goes to.

    Raises:
        ConfigError: nothing is named.
    """
    if not os.fspath(path):
        raise ConfigError("the path is empty")
    return parse(path)


def safety(verify: Verify, *, durable: bool) -> Safety:
    """Return how much is done to be sure of a copy.

    Raises:
        ConfigError: *verify* has another value.
    """
    check_choice("verify", verify, get_args(Verify))
    return Safety(verify, durable)


def encoded(data: str | bytes | bytearray | memoryview) -> bytes | memoryview:
    """Return text in UTF-8, and bytes as they are.

    Raises:
        TypeError: it is neither.
    """
    if isinstance(data, str):
        return data.encode()
    try:
        view = memoryview(data)
    except TypeError:
        kind = type(data).__name__
        raise TypeError(f"the data is of type {kind}; give text or bytes") from None
    return view.cast("B") if view.c_contiguous else view.tobytes()
