"""Walks local trees; `Found` is one thing in a tree of any kind."""

from __future__ import annotations

import errno
import logging
import os
import stat as modes
import time
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from aioobs.threads import Pace, in_thread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    Order = Callable[[str], Any]

__all__ = ["Found", "in_batches", "walk_in_batches", "walk_in_order"]

BATCH = 500  # files to one trip into a worker thread
FEW = 100  # files that are looked at in the event loop before it goes on

log: logging.Logger = logging.getLogger("aioobs.transfer")


class Found(NamedTuple):
    """One thing below the root of a tree."""

    name: str
    """Relative to the root, with slashes."""
    size: int
    mtime_nsec: int = 0
    """When a file was last changed, nanoseconds since 1970."""
    is_directory: bool = False
    """A folder that holds nothing, or that cannot be read; others show by what they hold."""
    error: OSError | None = None
    """Why it cannot be copied."""
    etag: str = ""
    """Of an object."""
    ctime_nsec: int = 0
    """The ctime of a local file, which no program can set, nanoseconds since 1970."""
    is_linked: bool = False
    """Whether a link to a folder leads there."""


def walk_tree(root: str) -> Iterator[Found]:
    """Yield the files and the empty folders of a tree, in the file system's order.

    Links are followed; one that leads back to a folder it stands in is an error of its own.
    Pipes, sockets and devices are passed over with a warning.  What is remembered grows with the
    folders that are still to be visited, not with the files.
    """
    pending = [top_of(root)]
    while pending:
        folder = pending.pop()
        try:
            with os.scandir(os.path.join(root, folder.below)) as scan:
                empty = True
                for entry in scan:
                    empty = False
                    found = classified(entry, folder)
                    if isinstance(found, Folder):
                        pending.append(found)
                    elif found is not None:
                        yield found
        except OSError as error:
            yield Found(folder.below.rstrip("/"), 0, error=error)
        else:
            if empty and folder.below:
                yield Found(folder.below.rstrip("/"), 0, is_directory=True)


def walk_in_order(root: str, order: Order) -> Iterator[Found]:
    """Yield the same in an order of names, in which that of a folder ends with a slash.

    What is in a folder, and in those above it, is held in memory.
    """
    stack = [entries_of(root, top_of(root), order)]
    while stack:
        found = next(stack[-1], None)
        if found is None:
            stack.pop()
        elif isinstance(found, Folder):
            stack.append(entries_of(root, found, order))
        else:
            yield found


async def walk_in_batches(root: str) -> AsyncIterator[list[Found]]:
    """Yield what `walk_tree` does; a tree that the system has in memory is walked right here."""
    tree, pace = walk_tree(root), Pace()
    while True:
        began = time.monotonic()
        if pace.is_quick:
            batch = list(islice(tree, FEW))
            pace.took_in_loop(time.monotonic() - began)
        else:
            batch = await in_thread(list, islice(tree, BATCH))
            pace.took_in_thread(time.monotonic() - began, len(batch))
        if not batch:
            return
        yield batch


async def in_batches(tree: Iterator[Found]) -> AsyncIterator[list[Found]]:
    """Yield what is in a tree, which is walked in worker threads."""
    while batch := await in_thread(list, islice(tree, BATCH)):
        yield batch


def entries_of(root: str, folder: Folder, order: Order) -> Iterator[Found | Folder]:
    try:
        with os.scandir(os.path.join(root, folder.below)) as scan:
            entries = sorted(scan, key=lambda entry: order(name_of(entry)))
    except OSError as error:
        yield Found(folder.below.rstrip("/"), 0, is_directory=True, error=error)
        return
    if folder.below and not entries:
        yield Found(folder.below.rstrip("/"), 0, is_directory=True, is_linked=folder.is_linked)
    for entry in entries:
        if (found := classified(entry, folder)) is not None:
            yield found


def name_of(entry: os.DirEntry[str]) -> str:
    try:
        return f"{entry.name}/" if entry.is_dir() else entry.name
    except OSError:
        return entry.name


def top_of(root: str) -> Folder:
    info = os.stat(root)
    return Folder("", ((info.st_dev, info.st_ino),))


class Folder(NamedTuple):
    """A folder that is still to be visited."""

    below: str
    """Relative to the root, with a slash at the end."""
    above: tuple[tuple[int, int], ...]
    """What identifies it and the folders it stands in."""
    is_linked: bool = False


def classified(entry: os.DirEntry[str], folder: Folder) -> Found | Folder | None:
    """Return what an entry is; `None`: nothing that is copied."""
    name = folder.below + entry.name
    try:
        info = entry.stat()
    except FileNotFoundError:
        return Found(name, 0, error=dangling(entry.path)) if entry.is_symlink() else None
    except OSError as error:
        return Found(name, 0, error=error)
    if modes.S_ISREG(info.st_mode):
        return Found(
            name,
            info.st_size,
            info.st_mtime_ns,
            ctime_nsec=info.st_ctime_ns,
            is_linked=folder.is_linked,
        )
    if not modes.S_ISDIR(info.st_mode):
        log.warning("%s is neither a file nor a folder: it is not copied", entry.path)
        return None
    identity = (info.st_dev, info.st_ino)
    if identity in folder.above:
        return Found(name, 0, is_directory=True, error=loop(entry.path))
    is_linked = folder.is_linked or entry.is_symlink()
    return Folder(f"{name}/", (*folder.above, identity), is_linked)


def dangling(path: str) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, "the link leads nowhere", path)


def loop(path: str) -> OSError:
    return OSError(errno.ELOOP, "the link leads back to a folder that it stands in", path)
