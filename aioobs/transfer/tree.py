"""What a local tree holds, as it is sent to a store."""

from __future__ import annotations

import errno
import logging
import os
import stat as modes
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Found", "walk_tree"]

log: logging.Logger = logging.getLogger("aioobs.transfer")


class Found(NamedTuple):
    """One thing below the root of a tree."""

    name: str
    """Relative to the root, with slashes."""
    size: int
    mtime_nsec: int = 0
    """When a file was last changed, nanoseconds since 1970."""
    is_directory: bool = False
    """A folder that holds nothing; others show by what they hold."""
    error: OSError | None = None
    """Why it cannot be copied."""


def walk_tree(root: str) -> Iterator[Found]:
    """Yield the files and the empty folders of a tree, in the file system's order.

    Links are followed; one that leads back to a folder it stands in is an error of its own.
    Pipes, sockets and devices are passed over with a warning.  What is remembered grows with the
    folders that are still to be visited, not with the files.
    """
    info = os.stat(root)
    pending = [Folder("", ((info.st_dev, info.st_ino),))]
    while pending:
        folder = pending.pop()
        try:
            with os.scandir(os.path.join(root, folder.below)) as scan:
                empty = True
                for entry in scan:
                    empty = False
                    found = look(entry, folder)
                    if isinstance(found, Folder):
                        pending.append(found)
                    elif found is not None:
                        yield found
        except OSError as error:
            yield Found(folder.below.rstrip("/"), 0, error=error)
        else:
            if empty and folder.below:
                yield Found(folder.below.rstrip("/"), 0, is_directory=True)


class Folder(NamedTuple):
    """A folder that is still to be visited."""

    below: str
    """Relative to the root, with a slash at the end."""
    above: tuple[tuple[int, int], ...]
    """What identifies it and the folders it stands in."""


def look(entry: os.DirEntry[str], folder: Folder) -> Found | Folder | None:
    """Return what an entry is; `None`: nothing that is copied."""
    name = folder.below + entry.name
    try:
        info = entry.stat()
    except FileNotFoundError:
        return Found(name, 0, error=dangling(entry.path)) if entry.is_symlink() else None
    except OSError as error:
        return Found(name, 0, error=error)
    if modes.S_ISREG(info.st_mode):
        return Found(name, info.st_size, info.st_mtime_ns)
    if not modes.S_ISDIR(info.st_mode):
        log.warning("%s is neither a file nor a folder: it is not copied", entry.path)
        return None
    identity = (info.st_dev, info.st_ino)
    if identity in folder.above:
        return Found(name, 0, error=loop(entry.path))
    return Folder(f"{name}/", (*folder.above, identity))


def dangling(path: str) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, "the link leads nowhere", path)


def loop(path: str) -> OSError:
    return OSError(errno.ELOOP, "the link leads back to a folder that it stands in", path)
