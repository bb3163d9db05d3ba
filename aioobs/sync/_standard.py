"""What the functions of the standard library do for URLs, with its own results and errors."""

from __future__ import annotations

import errno
import functools
import glob
import hashlib
import io
import os
import re
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from itertools import chain, islice
from typing import IO, TYPE_CHECKING, cast

from aioobs import file as verbs
from aioobs.errors import IsADirectory, TransferFailed
from aioobs.session import current_client
from aioobs.store.pattern import path_matches
from aioobs.store.remote import RemoteStore, object_url
from aioobs.sync._io import File
from aioobs.sync._loop import iterate, run
from aioobs.sync._names import NAMES, resolved
from aioobs.sync._refusals import REFUSALS, is_there
from aioobs.sync._scan import Scan
from aioobs.transfer.engine import is_same
from aioobs.url import Path, is_remote, parse

if TYPE_CHECKING:
    from aioobs.store.entry import Entry, Stat

__all__ = ["REPLACEMENTS"]

Function = Callable[..., object]

ORIGINAL_COPYTREE: Function = shutil.copytree
# Not `glob.glob`, which would find the other one in its module, shifted.
ORIGINAL_IGLOB: Callable[..., Iterator[str]] = glob.iglob


# --- Files ---


def open_url(
    file: Path,
    mode: str = "r",
    buffering: int = -1,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
    closefd: bool = True,
    opener: Function | None = None,
) -> IO[str] | IO[bytes]:
    if not closefd:
        raise ValueError("Cannot use closefd=False with file name")
    if opener is not None:
        raise io.UnsupportedOperation("an object cannot be opened by an opener")
    if buffering == 1 and "b" in mode:
        warnings.warn(
            "line buffering (buffering=1) isn't supported in binary mode, the default buffer size "
            "will be used",
            RuntimeWarning,
            stacklevel=4,
        )
    opened = File(
        file, mode, buffering=buffering, encoding=encoding, errors=errors, newline=newline
    )
    return cast("IO[str] | IO[bytes]", opened)


def open_stream(name: Path, mode: str) -> IO[str] | IO[bytes]:
    return open_url(name, f"{mode}b")


def remove(path: Path, *, dir_fd: int | None = None) -> None:
    url = os.fspath(path)
    if run(verbs.stat(url)).is_directory:
        raise IsADirectory(os.strerror(errno.EISDIR), url=url)
    run(verbs.remove(url))


def rename(
    src: Path, dst: Path, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None
) -> None:
    """Move a file or folder; as in a file system, a folder replaces only an empty one."""
    if os.path.isdir(dst) and not os.path.samefile(src, dst) and os.listdir(dst):
        code = errno.ENOTEMPTY if os.path.isdir(src) else errno.EISDIR
        raise OSError(code, os.strerror(code), os.fspath(src), None, os.fspath(dst))
    run(verbs.rename(src, dst))


def copyfile(src: Path, dst: Path, *, follow_symlinks: bool = True) -> Path:
    if is_same(parse(src), parse(dst), folder=False):
        raise shutil.SameFileError(f"{src!r} and {dst!r} are the same file")
    if os.path.isdir(dst):
        raise IsADirectory(os.strerror(errno.EISDIR), url=os.fspath(dst))
    if os.fspath(dst).endswith("/"):
        if os.path.isdir(src):
            raise IsADirectory(os.strerror(errno.EISDIR), url=os.fspath(src))
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fspath(dst))
    run(verbs.copy(src, dst))
    return dst


def copy_no_modes(src: Path, dst: Path, *, follow_symlinks: bool = True) -> None:
    """Do nothing: an object has no permissions, and its times are the store's."""


# --- What they are ---


def stat(path: Path, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> os.stat_result:
    return stat_result(path, run(verbs.stat(path)))


UNKNOWN_TIME = 315_619_200 * 10**9
"""That of folders without a marker: 2 January 1980, as archives have no times before that year."""


def stat_result(path: Path, info: Stat) -> os.stat_result:
    """Return what the store says, with an inode that is the object's own."""
    url = object_url(os.fspath(path))
    nanoseconds = info.mtime_nsec or UNKNOWN_TIME
    seconds = nanoseconds // 10**9
    inode, device = number(url.key.rstrip("/")), number(url.bucket)
    times = {"st_atime", "st_mtime", "st_ctime"}
    return os.stat_result(
        (
            *(info.st_mode, inode, device, 1, os.getuid(), os.getgid(), info.length),
            *(seconds, seconds, seconds),
        ),
        {
            **dict.fromkeys(times, nanoseconds / 10**9),
            **{f"{name}_ns": nanoseconds for name in times},
            "st_blocks": -(-info.length // 512),
        },
    )


def number(name: str) -> int:
    digest = hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1 or 1  # zero is no inode


def lstat(path: Path, *, dir_fd: int | None = None) -> os.stat_result:
    return stat(path)


def access(
    path: Path,
    mode: int,
    *,
    dir_fd: int | None = None,
    effective_ids: bool = False,
    follow_symlinks: bool = True,
) -> bool:
    """Tell whether it is there; only trying would show what may be done with it."""
    try:
        return run(verbs.stat(path)).is_directory or not mode & os.X_OK
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return False


def exists(path: Path) -> bool:
    return run(verbs.exists(path))


def isdir(s: Path) -> bool:
    return run(verbs.is_directory(s))


def isfile(path: Path) -> bool:
    try:
        return not run(verbs.stat(path)).is_directory
    except (FileNotFoundError, NotADirectoryError):
        return False


def islink(path: Path) -> bool:
    return False


def getsize(filename: Path) -> int:
    return run(verbs.get_size(filename))


# --- Folders ---


class RemoteEntry:
    """An `os.DirEntry` of a store; all it knows is from the listing and costs no request."""

    def __init__(self, entry: Entry) -> None:
        self.name = entry.name
        self.path = entry.path
        self._entry = entry

    def __fspath__(self) -> str:
        return self.path

    def __repr__(self) -> str:
        return f"<DirEntry {self.name!r}>"

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        """Tell whether it is a folder."""
        return self._entry.is_dir()

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        """Tell whether it is an object."""
        return not self._entry.is_dir()

    def is_symlink(self) -> bool:
        """Return False."""
        return False

    def is_junction(self) -> bool:
        """Return False."""
        return False

    def inode(self) -> int:
        """Return the number that `stat` has as well."""
        return self.stat().st_ino

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Return size, time and kind; a folder's time is not known."""
        return stat_result(self.path, self._entry.stat())


def scandir(path: Path) -> Scan[RemoteEntry]:
    entries = iterate(verbs.scan_dir(path), batch=1000)
    first = list(islice(entries, 1))  # now, so that errors are raised by this call
    return Scan(RemoteEntry(entry) for entry in chain(first, entries))


def listdir(path: Path) -> list[str]:
    return list(dict.fromkeys(run(verbs.list_directory(path))))


def mkdir(path: Path, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
    # Not that of moxing, to which a folder that is there is no error.
    run(RemoteStore(current_client()).mk_dir(os.fspath(path)))


def makedirs(name: Path, mode: int = 0o777, exist_ok: bool = False) -> None:
    if not exist_ok and run(verbs.exists(name)):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fspath(name))
    run(verbs.make_dirs(name))


def rmdir(path: Path, *, dir_fd: int | None = None) -> None:
    run(remove_empty(os.fspath(path)))


async def remove_empty(path: str) -> None:
    url = object_url(path)
    if not url.folder:
        raise OSError(errno.EBUSY, "a bucket is not removed", path)
    if await verbs.list_directory(path):
        raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), path)
    # The marker alone: what somebody writes into the folder at this moment stays.
    await current_client().delete_object(url.bucket, url.folder)


def rmtree(
    path: Path,
    ignore_errors: bool = False,
    onerror: Function | None = None,
    *,
    onexc: Function | None = None,
    dir_fd: int | None = None,
) -> None:
    try:
        if not run(verbs.is_directory(path)):
            run(verbs.stat(path))
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), os.fspath(path))
        run(verbs.remove(path, recursive=True))
    except OSError as error:
        if ignore_errors:
            return
        if onexc is not None:
            onexc(shutil.rmtree, path, error)
        elif onerror is not None:
            onerror(shutil.rmtree, path, sys.exc_info())
        else:
            raise


def copytree(
    src: Path,
    dst: Path,
    symlinks: bool = False,
    ignore: Function | None = None,
    copy_function: Function = shutil.copy2,
    ignore_dangling_symlinks: bool = False,
    dirs_exist_ok: bool = False,
) -> object:
    """Copy a tree, many files at a time unless the caller has a function to be called for each."""
    one_by_one = ignore is not None or copy_function not in (shutil.copy, shutil.copy2)
    if one_by_one or is_below(dst, src):
        return ORIGINAL_COPYTREE(
            src, dst, False, ignore, copy_function, ignore_dangling_symlinks, dirs_exist_ok
        )
    if not os.path.isdir(src):
        code = errno.ENOTDIR if os.path.exists(src) else errno.ENOENT
        raise OSError(code, os.strerror(code), os.fspath(src))
    os.makedirs(dst, exist_ok=dirs_exist_ok)
    try:
        run(verbs.copy_parallel(src, dst))
    except TransferFailed as error:
        failed = [(e.filename or src, dst, str(e)) for e in error.failures]
        raise shutil.Error(failed) from error
    return dst


def is_below(path: Path, folder: Path) -> bool:
    inner, outer = parse(path), parse(folder)
    if isinstance(inner, str) or isinstance(outer, str):
        return False
    return inner.bucket == outer.bucket and inner.folder.startswith(outer.folder)


def glob_urls(
    pathname: str,
    *,
    root_dir: Path | None = None,
    dir_fd: int | None = None,
    recursive: bool = False,
    include_hidden: bool = False,
) -> list[str]:
    """Return what matches; relative to *root_dir* if there is one."""
    root = os.fspath(root_dir or "")
    pattern = os.path.join(glob.escape(root), pathname)
    if include_hidden or not is_remote(pattern):
        options = {"recursive": recursive, "include_hidden": include_hidden}
        return list(ORIGINAL_IGLOB(pathname, root_dir=root_dir, **options))
    if not recursive:
        pattern = re.sub(r"\*\*+", "*", pattern)
    base = "" if is_remote(pathname) else f"{root.rstrip('/')}/"
    found = run(verbs.glob(pattern))
    if pattern.endswith("/"):
        found = [f"{url}/" for url in found]
    elif recursive and pattern.endswith("/**"):
        folders = set(run(verbs.glob(pattern[:-2])))
        found = [f"{url}/" if url in folders else url for url in found]
        found = [url for url in found if url.endswith("/") or not begins(url, pattern)]
    return [url[len(base) :] for url in found if len(url) > len(base)]


def begins(url: str, pattern: str) -> bool:
    """Tell whether the ``**`` at the end of a pattern stands for nothing in what it has found."""
    key = object_url(url).key
    return path_matches(key.split("/") if key else [], object_url(pattern).key.split("/")[:-1])


def iglob_urls(
    pathname: str,
    *,
    root_dir: Path | None = None,
    dir_fd: int | None = None,
    recursive: bool = False,
    include_hidden: bool = False,
) -> Iterator[str]:
    options = {"recursive": recursive, "include_hidden": include_hidden}
    return iter(glob_urls(pathname, root_dir=root_dir, **options))


def with_resolved(function: Function) -> Function:
    """Return a function that gets URLs without the names ``.`` and ``..``."""

    @functools.wraps(function)
    def call(*args: object, **options: object) -> object:
        return function(*map(resolved, args), **{k: resolved(v) for k, v in options.items()})

    return call


# Modules that have `open` by names of their own.
OWN_OPENERS: dict[str, Function] = {
    "bz2._builtin_open": open_url,
    "tarfile._LowLevelFile": open_stream,
    "tarfile.bltn_open": open_url,
    "tokenize._builtin_open": open_url,
}
ON_FILES: dict[str, Function] = {
    "io.open": open_url,  # the first of its names is the one that it says it has
    "builtins.open": open_url,
    "glob.glob": glob_urls,
    "glob.iglob": iglob_urls,
    "os.access": access,
    "os.listdir": listdir,
    "os.lstat": lstat,
    "os.makedirs": makedirs,
    "os.mkdir": mkdir,
    "os.path.exists": exists,
    "os.path.getsize": getsize,
    "os.path.isdir": isdir,
    "os.path.isfile": isfile,
    "os.path.islink": islink,
    "os.path.lexists": exists,
    "os.remove": remove,
    "os.rename": rename,
    "os.replace": rename,
    "os.rmdir": rmdir,
    "os.scandir": scandir,
    "os.stat": stat,
    "os.unlink": remove,
    "shutil.copyfile": copyfile,
    "shutil.copymode": copy_no_modes,
    "shutil.copystat": copy_no_modes,
    "shutil.copytree": copytree,
    "shutil.rmtree": rmtree,
    **{name: replacement for name, replacement in OWN_OPENERS.items() if is_there(name)},
}
REPLACEMENTS: dict[str, Function] = {
    **{name: with_resolved(replacement) for name, replacement in ON_FILES.items()},
    **NAMES,
    **REFUSALS,
}
