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

log = logging.getLogger("aioobs.transfer")


class Found(NamedTuple):
    """One thing below the root of a tree."""

    name: str
    """Relative to the root, with slashes."""
    size: int
    is_directory: bool = False
    """A folder that holds nothing; others show by what they hold."""
    error: OSError | None = None
    """Why it cannot be copied."""


def walk_tree(root: str) -> Iterator[Found]:
    """Yield the files and the empty folders of a tree, folder by folder in order of their names.

    Links are followed; one that leads back to a folder it stands in is an error of its own.
    Pipes, sockets and devices are passed over with a warning.
    """
    info = os.stat(root)
    yield from walk_folder(root, "", ((info.st_dev, info.st_ino),))


def walk_folder(root: str, below: str, above: tuple[tuple[int, int], ...]) -> Iterator[Found]:
    folder = os.path.join(root, below)
    try:
        with os.scandir(folder) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
    except OSError as error:
        yield Found(below.rstrip("/"), 0, error=error)
        return
    if not entries and below:
        yield Found(below.rstrip("/"), 0, is_directory=True)
    for entry in entries:
        name = below + entry.name
        try:
            info = entry.stat()
        except FileNotFoundError:
            if entry.is_symlink():
                yield Found(name, 0, error=dangling(entry.path))
            continue
        except OSError as error:
            yield Found(name, 0, error=error)
            continue
        if modes.S_ISREG(info.st_mode):
            yield Found(name, info.st_size)
        elif modes.S_ISDIR(info.st_mode):
            identity = (info.st_dev, info.st_ino)
            if identity in above:
                yield Found(name, 0, error=loop(entry.path))
            else:
                yield from walk_folder(root, f"{name}/", (*above, identity))
        else:
            log.warning("%s is neither a file nor a folder: it is not copied", entry.path)


def dangling(path: str) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, "the link leads nowhere", path)


def loop(path: str) -> OSError:
    return OSError(errno.ELOOP, "the link leads back to a folder that it stands in", path)
