"""Local files that are read to be sent, and must not change meanwhile."""

from __future__ import annotations

import os
import stat as modes
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aioobs.errors import SourceError
from aioobs.store.entry import version_of
from aioobs.store.local import local_errors
from aioobs.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["READING", "Source", "check_regular", "opened"]

READING = os.O_RDONLY | os.O_NONBLOCK  # or else a pipe is waited for


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
        """What identifies the version of the file that was opened."""
        return version_of(self.size, self._mtime_nsec)

    def check(self) -> None:
        """Raise `SourceError` if it has been written to since it was opened."""
        info = os.fstat(self.descriptor)
        if (info.st_size, info.st_mtime_ns) != (self.size, self._mtime_nsec):
            raise SourceError("the file changed while it was being sent", url=self.path)

    def check_end(self) -> None:
        """Raise `SourceError` if the file goes on beyond its size, as files in /proc do."""
        if os.pread(self.descriptor, 1, self.size):
            self.check()
            message = f"its size is {self.size}, but there is more: read it, and write that"
            raise SourceError(message, url=self.path)

    def close(self) -> None:
        """Close it."""
        if self.descriptor >= 0:
            descriptor, self.descriptor = self.descriptor, -1
            os.close(descriptor)


@asynccontextmanager
async def opened(path: str) -> AsyncIterator[Source]:
    """Open a local file to be read."""
    source = Source(path)
    try:
        await in_thread(source.open)
        yield source
    finally:
        source.close()


def check_regular(info: os.stat_result, path: str) -> None:
    """Refuse what has no content to copy, such as a pipe.

    Raises:
        SourceError: it is neither a file nor a folder.
    """
    if not (modes.S_ISREG(info.st_mode) or modes.S_ISDIR(info.st_mode)):
        raise SourceError("neither a file nor a folder", url=path)
