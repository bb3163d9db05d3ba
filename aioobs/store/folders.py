"""Local folders: how they are made, and how the names in them reach the disk (fsync)."""

from __future__ import annotations

import errno
import os
import stat as modes
from contextlib import suppress

__all__ = ["FolderSync", "make_folder"]

IN_THE_WAY = "a file stands where a folder is wanted"


def make_folder(path: str, folders: FolderSync | None = None) -> bool:
    """Create a folder and those above it; return whether it was not there before.

    Raises:
        NotADirectoryError: there is a file in the place of one of them.
    """
    path = path or "."
    if folders is not None:
        new = path
        while not os.path.lexists(new):
            new = os.path.dirname(new) or "."
            folders.add(new)
    try:
        os.makedirs(path)
    except FileExistsError as error:
        with suppress(FileNotFoundError):  # a link that leads nowhere
            if modes.S_ISDIR(os.stat(path).st_mode):
                return False
        raise NotADirectoryError(errno.ENOTDIR, IN_THE_WAY, path) from error
    except NotADirectoryError as error:
        raise NotADirectoryError(errno.ENOTDIR, IN_THE_WAY, path) from error
    return True


class FolderSync:
    """Folders in which something was named, and the names are still to reach the disk.

    A copy of many files into one folder syncs it once, at the end.
    """

    def __init__(self) -> None:
        self._folders: set[str] = set()

    def add(self, folder: str) -> None:
        """Remember a folder."""
        self._folders.add(folder or ".")

    def finish(self) -> None:
        """Sync the remembered folders to the disk."""
        while self._folders:
            folder = self._folders.pop()
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            except OSError as error:
                # Some network file systems refuse: their names last anyway, or no call helps.
                if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
                    self.add(folder)
                    error.filename = folder
                    raise
            finally:
                os.close(descriptor)
