"""What the verbs say about a file or folder: `Stat` and `Entry`."""

from __future__ import annotations

import os
import stat as modes
from dataclasses import dataclass, field

__all__ = ["Entry", "Stat", "version_of"]


@dataclass(frozen=True)
class Stat:
    """Size, time and kind of a file or folder, also under the names of `os.stat_result`."""

    length: int
    """Bytes; 0 for a folder."""
    mtime_nsec: int
    """When it was last changed, nanoseconds since 1970; 0 for a folder that is only a prefix."""
    is_directory: bool
    etag: str = ""
    """The ETag of an object, without quotes."""
    content_type: str = field(default="", compare=False)
    """Of an object that was asked for; listings do not have it."""

    @property
    def st_size(self) -> int:
        """Bytes."""
        return self.length

    @property
    def st_mtime_ns(self) -> int:
        """Nanoseconds since 1970."""
        return self.mtime_nsec

    @property
    def st_mtime(self) -> float:
        """Seconds since 1970."""
        return self.mtime_nsec / 1e9

    @property
    def st_mode(self) -> int:
        """The kind of file; the permissions are nominal."""
        return modes.S_IFDIR | 0o777 if self.is_directory else modes.S_IFREG | 0o666


@dataclass(frozen=True)
class Entry:
    """A file or folder in a folder, with the interface of `os.DirEntry`."""

    name: str
    path: str
    """The path or URL of the folder, as it was given, and the name."""
    _is_directory: bool = field(repr=False)
    _stat: Stat | None = field(default=None, repr=False)

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        """Tell whether it is a folder."""
        if self._stat is None and not follow_symlinks and os.path.islink(self.path):
            return False
        return self._is_directory

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        """Tell whether it is a file."""
        if self._stat is not None:
            return not self._is_directory
        try:
            info = os.stat(self.path, follow_symlinks=follow_symlinks)
        except FileNotFoundError:  # it has gone, or is a link that leads nowhere
            return False
        return modes.S_ISREG(info.st_mode)

    def is_symlink(self) -> bool:
        """Tell whether it is a symbolic link, which objects never are."""
        return self._stat is None and os.path.islink(self.path)

    def inode(self) -> int:
        """Return the inode of a local file, and 0 for an object."""
        return 0 if self._stat is not None else os.lstat(self.path).st_ino

    def stat(self, *, follow_symlinks: bool = True) -> Stat:
        """Return size and time; for a local file as they are now."""
        return self._stat or stat_of(os.stat(self.path, follow_symlinks=follow_symlinks))

    def __fspath__(self) -> str:
        return self.path


def stat_of(info: os.stat_result) -> Stat:
    """Return what the file system says."""
    folder = modes.S_ISDIR(info.st_mode)
    return Stat(0 if folder else info.st_size, info.st_mtime_ns, folder)


def version_of(size: int, mtime_nsec: int) -> str:
    """Return what identifies a version of a local file."""
    return f"{size}-{mtime_nsec}"
