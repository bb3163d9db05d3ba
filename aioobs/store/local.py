"""The verbs on the local file system, which `in_thread` keeps from holding up an event loop."""

from __future__ import annotations

import glob
import logging
import os
import stat as modes
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from aioobs.errors import NotFound
from aioobs.store.entry import Entry, Stat, stat_of
from aioobs.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

__all__ = ["LocalStore", "local_errors"]

SCAN_BATCH = 1000

log: logging.Logger = logging.getLogger("aioobs.file")


@contextmanager
def local_errors(path: str) -> Iterator[None]:
    """Raise `NotFound` for a missing file, as both kinds of place do; name the file in errors."""
    try:
        yield
    except NotFound:
        raise
    except FileNotFoundError as exc:
        raise NotFound("there is no such file or folder", url=path) from exc
    except OSError as exc:
        if exc.errno is not None and exc.filename is None:  # of what is open already
            exc.filename = path
        raise


class LocalStore:
    """The file system under the verbs of `aioobs.file`."""

    async def read(self, path: str) -> bytes:
        """Return the content of a file."""
        return await in_thread(read_file, path)

    async def write(self, path: str, data: bytes | memoryview) -> None:
        """Create or overwrite a file, as `open` with mode ``wb`` does."""
        await in_thread(write_file, path, data, "wb")

    async def append(self, path: str, data: bytes | memoryview) -> None:
        """Add to the end of a file, which is created if need be."""
        await in_thread(write_file, path, data, "ab")

    async def exists(self, path: str) -> bool:
        """Tell whether there is a file or folder."""
        return await in_thread(os.path.exists, path)

    async def is_directory(self, path: str) -> bool:
        """Tell whether there is a folder."""
        return await in_thread(os.path.isdir, path)

    async def get_size(self, path: str, *, recursive: bool) -> int:
        """Return the size of a file, or of all files below a folder."""
        return await in_thread(total_size, path)

    async def stat(self, path: str) -> Stat:
        """Return size, time and kind."""

        def look() -> Stat:
            with local_errors(path):
                return stat_of(os.stat(path))

        return await in_thread(look)

    async def list_directory(self, path: str, *, recursive: bool) -> tuple[list[str], set[str]]:
        """Return the names of the files and of the folders below a folder."""
        return await in_thread(list_names, path, recursive=recursive)

    async def make_dirs(self, path: str) -> None:
        """Create a folder and those above it; one that is there is no error."""
        with local_errors(path):
            await in_thread(os.makedirs, path, exist_ok=True)

    async def mk_dir(self, path: str) -> None:
        """Create a folder in a folder that exists."""
        with local_errors(path):
            await in_thread(os.mkdir, path)

    async def remove(self, path: str, *, recursive: bool) -> None:
        """Remove a file, or a folder with all that is in it."""
        await in_thread(remove, path, recursive=recursive)

    async def scan_dir(self, path: str) -> AsyncIterator[Entry]:
        """Yield the entries of a folder in the file system's order."""
        with local_errors(path):
            scan = await in_thread(os.scandir, path)
        with scan:
            while batch := await in_thread(take_entries, scan):
                for entry in batch:
                    yield entry

    async def walk(
        self,
        path: str,
        *,
        topdown: bool,
        onerror: Callable[[OSError], object] | None,
        followlinks: bool,
    ) -> AsyncIterator[tuple[str, list[str], list[str]]]:
        """Do as `os.walk` does."""
        steps = os.walk(path, topdown=topdown, onerror=onerror, followlinks=followlinks)
        while step := await in_thread(next, steps, None):
            yield step

    async def glob(self, path: str) -> list[str]:
        """Return the paths that match, in order."""
        found = await in_thread(glob.glob, path, recursive=True)
        return sorted({name.rstrip("/") or "/" for name in found})


def read_file(path: str) -> bytes:
    with local_errors(path), open(path, "rb") as file:
        return file.read()


def write_file(path: str, data: bytes | memoryview, mode: str) -> None:
    with local_errors(path), open(path, mode) as file:
        file.write(data)


def total_size(path: str) -> int:
    with local_errors(path):
        info = os.stat(path)
        if not modes.S_ISDIR(info.st_mode):
            return info.st_size
    total = 0
    for folder, _, names in os.walk(path, onerror=raise_unless_gone):
        for name in names:
            with suppress(FileNotFoundError):  # it vanished meanwhile, or is a dead link
                total += os.stat(os.path.join(folder, name)).st_size
    return total


def raise_unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def list_names(path: str, *, recursive: bool) -> tuple[list[str], set[str]]:
    files: list[str] = []
    folders: set[str] = set()
    pending = [""]
    while pending:
        below = pending.pop()
        with local_errors(path), os.scandir(os.path.join(path, below)) as scan:
            for entry in scan:
                name = f"{below}{entry.name}"
                if not entry.is_dir():
                    files.append(name)
                    continue
                folders.add(name)
                if recursive and not entry.is_symlink():
                    pending.append(f"{name}/")
    return files, folders


def remove(path: str, *, recursive: bool) -> None:
    plain = path.rstrip("/") or path
    with local_errors(path):
        mode = os.lstat(plain).st_mode
        if modes.S_ISDIR(mode):
            if recursive:
                from shutil import rmtree  # slow to import, with all of its archives

                rmtree(plain)
            else:
                log.warning("%s is a folder: it is removed only with recursive=True", path)
        elif plain == path:
            os.remove(path)
        else:
            log.warning("%s is a file, not a folder: it is not removed", plain)


def take_entries(scan: Iterator[os.DirEntry[str]]) -> list[Entry]:
    batch = []
    for entry in scan:
        batch.append(Entry(entry.name, entry.path, entry.is_dir()))
        if len(batch) == SCAN_BATCH:
            break
    return batch
