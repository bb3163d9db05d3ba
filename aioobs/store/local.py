"""Files and folders of this machine; all work is done in worker threads."""

from __future__ import annotations

import errno
import fcntl
import glob
import logging
import os
import re
import secrets
import stat as modes
import unicodedata
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from aioobs.errors import NotFound, SourceError
from aioobs.store.entry import Entry, Stat, stat_of, version_of
from aioobs.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

__all__ = [
    "READING",
    "Draft",
    "FolderSync",
    "Folding",
    "LocalStore",
    "Source",
    "check_regular",
    "folding",
    "local_errors",
    "make_folder",
]

SCAN_BATCH = 1000
IN_THE_WAY = "a file stands where a folder is wanted"
CLOSE_ON_EXEC = getattr(os, "O_CLOEXEC", 0)
READING = os.O_RDONLY | CLOSE_ON_EXEC | os.O_NONBLOCK  # or else a pipe is waited for

DRAFT = re.compile(r"\.aioobs-[0-9a-f]{16}\.part")

log: logging.Logger = logging.getLogger("aioobs.file")


@contextmanager
def local_errors(path: str) -> Iterator[None]:
    """Raise `NotFound` for a missing file, so that both kinds of place raise the same."""
    try:
        yield
    except NotFound:
        raise
    except FileNotFoundError as exc:
        raise NotFound("there is no such file or folder", url=path) from exc


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
    for folder, _, names in os.walk(path):
        for name in names:
            with suppress(FileNotFoundError):  # it vanished meanwhile, or is a dead link
                total += os.stat(os.path.join(folder, name)).st_size
    return total


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
        if not os.path.isdir(path):
            raise NotADirectoryError(errno.ENOTDIR, IN_THE_WAY, path) from error
        return False
    except NotADirectoryError as error:
        raise NotADirectoryError(errno.ENOTDIR, IN_THE_WAY, path) from error
    return True


class FolderSync:
    """Folders in which something was named, and the names are still to reach the disk.

    A copy of many files into one folder has it written once, at its end.
    """

    def __init__(self) -> None:
        self._folders: set[str] = set()

    def add(self, folder: str) -> None:
        """Remember a folder."""
        self._folders.add(folder or ".")

    def finish(self) -> None:
        """Have the names on the disk when this returns."""
        while self._folders:
            folder = self._folders.pop()
            descriptor = os.open(folder, os.O_RDONLY | CLOSE_ON_EXEC)
            try:
                os.fsync(descriptor)
            except OSError as error:
                # What some network file systems answer: their names last, or there is no way.
                if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
                    self.add(folder)
                    raise
            finally:
                os.close(descriptor)


def check_regular(info: os.stat_result, path: str) -> None:
    """Refuse what has no content of its own, such as a pipe.

    Raises:
        SourceError: it is neither a file nor a folder.
    """
    if not (modes.S_ISREG(info.st_mode) or modes.S_ISDIR(info.st_mode)):
        raise SourceError("neither a file nor a folder", url=path)


class Source:
    """A local file that is sent, and must stay as it is until it has been."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.descriptor: int = -1
        self.size: int = 0
        self._mtime_nsec = 0

    def open(self) -> None:
        """Open it."""
        with local_errors(self.path):
            self.descriptor = os.open(self.path, READING)
        info = os.fstat(self.descriptor)
        check_regular(info, self.path)
        self.size, self._mtime_nsec = info.st_size, info.st_mtime_ns

    @property
    def version(self) -> str:
        """What the file that was opened is known by."""
        return version_of(self.size, self._mtime_nsec)

    def check(self) -> None:
        """Raise `SourceError` if it has been written to since it was opened."""
        info = os.fstat(self.descriptor)
        if (info.st_size, info.st_mtime_ns) != (self.size, self._mtime_nsec):
            raise SourceError("the file changed while it was being sent", url=self.path)

    def close(self) -> None:
        """Close it."""
        if self.descriptor >= 0:
            descriptor, self.descriptor = self.descriptor, -1
            os.close(descriptor)


class Draft:
    """A new local file that gets its name only when it is whole.

    It lies in the folder of its target under a name that cannot be guessed, and takes the
    target's place by `os.replace`: whoever looks finds the old file or the new one, never a part.
    It keeps the permissions of the file that it replaces, and before that nobody but its owner can
    read it.  A target that is a link keeps being one; a device is written to as it is.

    Args:
        target: The path that it is to have.
        folders: Given to have it on the disk before it has its name; its folder is added there,
            for the name to follow.
        alone: Whether nothing of that name was there when its folder was made, a moment ago.
        mtime_nsec: The time that it is to claim, nanoseconds since 1970; 0: that of its making.
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
        """Where it lies until it is published; nowhere, if what is written to is a device."""
        return self._path

    def open(self) -> None:
        """Create it, empty."""
        if not self._alone:
            self._look()
        if self._mode is not None and self._is_special:
            if not (modes.S_ISCHR(self._mode) or modes.S_ISBLK(self._mode)):
                raise OSError(errno.EINVAL, "neither a file nor a device", self.target)
            self.descriptor = os.open(self.target, os.O_WRONLY | CLOSE_ON_EXEC)
            return
        name = f".aioobs-{secrets.token_hex(8)}.part"
        path = os.path.join(os.path.dirname(self.target), name)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | CLOSE_ON_EXEC
        # Never more than the file will have: the one that it replaces may be a private one.
        self.descriptor = os.open(path, flags, 0o666 if self._mode is None else 0o600)
        self._path = path

    def reopen(self, path: str, size: int | None = None) -> bool:
        """Go on with one that was left, if *path* can be that and is not longer than *size*.

        Return whether it is.
        """
        self._look()
        folder, name = os.path.split(path)
        here = os.path.dirname(os.path.abspath(self.target))
        if folder != here or not DRAFT.fullmatch(name) or self._is_special:
            return False
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | CLOSE_ON_EXEC)
        except OSError:
            return False
        info = os.fstat(descriptor)
        self.descriptor = descriptor
        mine = modes.S_ISREG(info.st_mode) and info.st_uid == os.geteuid() and info.st_nlink == 1
        if not mine or (size is not None and info.st_size > size) or not self.claim():
            self._close()
            return False
        if self._mode is not None:
            os.fchmod(descriptor, 0o600)
        self._path = path
        return True

    def claim(self) -> bool:
        """Keep other processes from going on with it; tell whether one does so already."""
        try:
            fcntl.lockf(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return error.errno not in (errno.EACCES, errno.EAGAIN)  # or there are no locks
        return True

    @property
    def _is_special(self) -> bool:
        return self._mode is not None and not modes.S_ISREG(self._mode)

    def _look(self) -> None:
        """See what it is to replace."""
        with suppress(FileNotFoundError):
            mode = os.lstat(self.target).st_mode
            if modes.S_ISLNK(mode):
                self.target = os.path.realpath(self.target)
                mode = os.stat(self.target).st_mode
            self._mode = mode
        if self._mode is not None and modes.S_ISDIR(self._mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), self.target)

    def publish(self) -> str:
        """Give the file its name; return what this version of it is known by."""
        if self._path and self._mode is not None:
            # Without what would run it as its owner: that was granted to another content.
            os.fchmod(self.descriptor, self._mode & 0o777)
        if self._path and self.mtime_nsec:
            os.utime(self.descriptor, ns=(self.mtime_nsec, self.mtime_nsec))
        if self._path and self._folders is not None:
            os.fsync(self.descriptor)
        info = os.fstat(self.descriptor)
        self._close()
        if not self._path:
            return ""  # a device has none
        try:
            os.replace(self._path, self.target)
        except OSError as error:
            error.filename, error.filename2 = self.target, None  # nobody knows the other name
            raise
        self._path = ""
        if self._folders is not None:
            self._folders.add(os.path.dirname(self.target))
        return version_of(info.st_size, info.st_mtime_ns)

    def leave(self) -> None:
        """Close it, and let it lie for another to go on with."""
        self._path = ""
        self._close()

    def discard(self) -> None:
        """Remove what has not been published."""
        try:
            self._close()
        finally:
            if self._path:
                with suppress(FileNotFoundError):
                    os.unlink(self._path)
                self._path = ""

    def _close(self) -> None:
        if self.descriptor >= 0:
            descriptor, self.descriptor = self.descriptor, -1
            os.close(descriptor)


class Folding(NamedTuple):
    """What a file system makes no difference of in names."""

    case: bool = False
    form: bool = False
    """Whether letters with accents are the same in one character and in two."""

    def fold(self, name: str) -> str:
        """Return the same for all names that are one file."""
        if self.form:
            name = unicodedata.normalize("NFD", name)
        return name.casefold() if self.case else name


def folding(folder: str) -> Folding:
    """Return what is one name in a folder, or in the nearest one above that exists.

    Tried with a file of a name that cannot be guessed; where none can be made, nothing is one.
    """
    folder = os.path.abspath(folder)
    while not os.path.isdir(folder) and folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
    name = f".aioobs-{secrets.token_hex(8)}-\u00e9.probe"
    path = os.path.join(folder, name)
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | CLOSE_ON_EXEC, 0o600))
    except (OSError, UnicodeEncodeError):  # it is told where something is to be written
        return Folding()
    try:
        upper = name.replace("aioobs", "AIOOBS")
        split = name.replace("\u00e9", "e\u0301")
        return Folding(*(os.path.lexists(os.path.join(folder, other)) for other in (upper, split)))
    finally:
        os.unlink(path)
