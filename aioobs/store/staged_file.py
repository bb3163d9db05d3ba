"""Local files that appear whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import stat as modes
from contextlib import suppress
from typing import TYPE_CHECKING

from aioobs.store.entry import version_of

if TYPE_CHECKING:
    from aioobs.store.folders import FolderSync

__all__ = ["StagedFile"]

log: logging.Logger = logging.getLogger("aioobs.file")

NAME = re.compile(r"\.aioobs-[0-9a-f]{16}\.part")


class StagedFile:
    """A new local file that gets its name only when it is whole.

    It lies in the folder of its target under a name that cannot be guessed, and takes the
    target's place by `os.replace`: whoever looks finds the old file or the new one, never a part.
    It keeps the permissions of the file that it replaces, and before that nobody but its owner can
    read it.  A target that is a link keeps being one; a device is written to as it is.

    Args:
        target: The path that it will have.
        folders: If given, the file is synced to the disk before it gets its name, and its folder
            is added here, for the name to be synced later.
        alone: Whether nothing of that name was there when its folder was made, a moment ago.
        mtime_nsec: Its time of modification, nanoseconds since 1970; 0: when it is written.
    """

    def __init__(
        self,
        target: str,
        folders: FolderSync | None = None,
        *,
        alone: bool = False,
        mtime_nsec: int = 0,
    ) -> None:
        self.target: str = target
        self.mtime_nsec: int = mtime_nsec
        self.descriptor: int = -1
        self._path = ""
        self._mode: int | None = None
        self._folders = folders
        self._alone = alone

    @property
    def path(self) -> str:
        """Where it lies until it is published; empty if the target is a device."""
        return self._path

    def open(self) -> None:
        """Create it, empty."""
        if not self._alone:
            self._inspect_target()
        if self._mode is not None and self._is_special:
            if not (modes.S_ISCHR(self._mode) or modes.S_ISBLK(self._mode)):
                raise OSError(errno.EINVAL, "neither a file nor a device", self.target)
            self.descriptor = os.open(self.target, os.O_WRONLY)
            return
        folder = self.target[: self.target.rfind("/") + 1]
        path = f"{folder}.aioobs-{os.urandom(8).hex()}.part"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
        # Never more than the file will have: the one that it replaces may be a private one.
        try:
            self.descriptor = os.open(path, flags, 0o666 if self._mode is None else 0o600)
        except OSError as error:
            error.filename = self.target  # nobody knows the other name
            raise
        self._path = path

    def reopen(self, path: str, size: int | None = None) -> bool:
        """Continue the staged file that was left at *path*; return whether that can be done.

        It has to be one for the same target, and no longer than *size*.
        """
        self._inspect_target()
        folder, name = os.path.split(path)
        here = os.path.dirname(os.path.abspath(self.target))
        if folder != here or not NAME.fullmatch(name) or self._is_special:
            return False
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return False
        info = os.fstat(descriptor)
        self.descriptor = descriptor
        mine = modes.S_ISREG(info.st_mode) and info.st_uid == os.geteuid() and info.st_nlink == 1
        if not mine or (size is not None and info.st_size > size) or not self.lock():
            self._close()
            return False
        if self._mode is not None:
            os.fchmod(descriptor, 0o600)
        self._path = path
        return True

    def lock(self) -> bool:
        """Lock it against other processes that may continue it; `False`: one of them has."""
        try:
            fcntl.lockf(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return error.errno not in (errno.EACCES, errno.EAGAIN)  # or there are no locks
        return True

    @property
    def _is_special(self) -> bool:
        return self._mode is not None and not modes.S_ISREG(self._mode)

    def _inspect_target(self) -> None:
        """Find out what it is going to replace."""
        try:  # which takes half the time of `suppress`
            mode = os.lstat(self.target).st_mode
            if modes.S_ISLNK(mode):
                self.target = os.path.realpath(self.target)
                mode = os.stat(self.target).st_mode
        except FileNotFoundError:
            return
        self._mode = mode
        if modes.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), self.target)

    def publish(self, *, versioned: bool = True) -> str:
        """Give the file its name; return what identifies this version of it, unless not wanted."""
        if self._path and self._mode is not None:
            # Without set-uid and set-gid: these were granted to another content.
            os.fchmod(self.descriptor, self._mode & 0o777)
        if self._path and self.mtime_nsec:
            os.utime(self.descriptor, ns=(self.mtime_nsec, self.mtime_nsec))
        if self._path and self._folders is not None:
            os.fsync(self.descriptor)
        info = os.fstat(self.descriptor) if versioned else None
        self._close()
        if not self._path:
            return ""  # a device has none
        try:
            os.replace(self._path, self.target)
        except OSError as error:
            raise OSError(error.errno, error.strerror, self.target) from error
        self._path = ""
        if self._folders is not None:
            self._folders.add(os.path.dirname(self.target))
        return version_of(info.st_size, info.st_mtime_ns) if info else ""

    def leave(self) -> None:
        """Close it, and leave it for a later run to continue."""
        self._path = ""
        self._close()

    def discard(self) -> None:
        """Remove what has not been published, as far as the disk lets it be removed."""
        if self.descriptor >= 0:
            with suppress(OSError):  # nobody asks whether it got to the disk
                self._close()
        if not self._path:
            return
        path, self._path = self._path, ""
        try:
            os.unlink(path)
        except (FileNotFoundError, NotADirectoryError):
            pass  # its folder is gone
        except OSError as error:  # not raised: the reason for discarding it says more
            log.warning("%s stays behind: %s", path, error.strerror)

    def _close(self) -> None:
        if self.descriptor >= 0:
            descriptor, self.descriptor = self.descriptor, -1
            os.close(descriptor)
