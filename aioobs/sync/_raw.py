"""The raw layers of blocking files that are objects.

A stream takes one hop to the loop thread for each call; a local copy takes one when it is written
back.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import warnings
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from aioobs.sync._loop import finish, guard_log_handlers, let_go, run, run_here

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from types import TracebackType

    from _typeshed import ReadableBuffer, WriteableBuffer

    from aioobs.io.local_copy import LocalCopy
    from aioobs.io.raw import Raw

__all__ = ["BUFFER_SIZE", "LocalCopyFile", "RawObject", "StreamedObject"]

BUFFER_SIZE = 1 << 20
FIRST_READ = 1 << 16  # after opening and seeking; twice as much each time until BUFFER_SIZE

A = TypeVar("A")
R = TypeVar("R")


class RawObject(io.RawIOBase):
    """An open object as `io` sees it: bytes without a buffer.

    It is published when it is closed and at each `sync`, unless a write failed.
    """

    mode: str
    poses_as_seekable = False

    def _begin(self, inner: Raw | LocalCopy, name: str) -> None:
        self._process = os.getpid()
        self.name = name
        self._quiet = False
        self._failed = False  # a write did, so the store must not get what there is
        self._object = inner

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"cannot pickle {type(self).__name__!r} object")

    @abstractmethod
    def size(self) -> int:
        """Return the size of the object in bytes, with what was written so far."""

    def next(self) -> bytes:
        """Return the next line, or raise StopIteration."""
        return next(self)

    def flush(self) -> None:
        """Do as `sync` where there is no buffer above, whose flush does."""
        super().flush()
        if self.writable():
            self.sync()

    def sync(self) -> None:
        """Make what was written so far visible in the store, but not inside `quiet`."""
        if not self._quiet:
            self._check_writing()
            guard_log_handlers()
            run(self._object.flush())

    @contextlib.contextmanager
    def quiet(self) -> Iterator[None]:
        """Let the flushes inside the block stop short of the store."""
        before, self._quiet = self._quiet, True
        try:
            yield
        finally:
            self._quiet = before

    def close(self) -> None:
        """Publish what was written, unless a part of it was lost.

        Raises:
            OSError: an earlier write failed, so nothing was published.
        """
        if not self.closed:
            self._end(publish=not self._failed)
            if self._failed:
                raise self._failure()

    def abort(self) -> None:
        """Close without publishing anything that was not flushed."""
        if not self.closed:
            self._end(publish=False)

    def _end(self, *, publish: bool) -> None:
        try:
            if self._is_ours():
                end = run if self.writable() else let_go
                end(self._object.aclose() if publish else self._object.abort())
        except KeyboardInterrupt:
            finish(self._object.abort())  # it may have come before anything was done
            raise
        finally:
            self._close()

    def _close(self) -> None:
        with self.quiet():  # for `io` flushes what it closes
            super().close()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc_type is None:
            self.close()
        else:
            self.abort()

    def __del__(self) -> None:
        """Abort: nobody has said that what was written is complete."""
        if self.closed or not hasattr(self, "_object"):  # nor was it ever open
            return
        lost = "; nothing was published" if self.writable() else ""
        kind = RuntimeWarning if lost else ResourceWarning  # which Python does not show
        self._close()
        if self._is_ours():
            finish(self._object.abort())
            warnings.warn(f"unclosed file {self.name!r}{lost}", kind, 2, source=self)

    def _is_ours(self) -> bool:
        # A forked child inherits the file, but the connection and the upload are the parent's.
        return self._process == os.getpid()

    def _check(self, able: bool = True, activity: str = "") -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")
        if not able:
            raise io.UnsupportedOperation(f"{self.name} ({self.mode}) is not open for {activity}")

    def _check_writing(self) -> None:
        self._check(self.writable(), "writing")
        if not self._is_ours():
            raise io.UnsupportedOperation(f"{self.name} is being written by another process")
        if self._failed:
            raise self._failure()

    def _failure(self) -> OSError:
        return OSError(f"an earlier write to {self.name} failed, nothing is published; start anew")


class StreamedObject(RawObject):
    """An object that is read or written from its beginning to its end."""

    def __init__(self, inner: Raw, name: str, mode: str) -> None:
        self._begin(inner, name)
        self._async = inner
        self.mode = mode
        self._moved = False  # the async side may be at another position
        self._window = FIRST_READ
        self._position = run(inner.size()) if mode.startswith("a") else 0

    def readable(self) -> bool:
        return self._async.readable

    def writable(self) -> bool:
        return self._async.writable

    def seekable(self) -> bool:
        return self._async.readable or self.poses_as_seekable

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        self._check(self.readable(), "reading")
        view = memoryview(buffer).cast("B")
        if len(view) <= BUFFER_SIZE:
            # To fill a whole buffer for a small read here and there would be wasteful.
            view = view[: self._window]
            self._window = min(2 * self._window, BUFFER_SIZE)
        count = self._hop(self._async.readinto, view, by=run_here)
        self._position += count
        return count

    def readall(self) -> bytes:  # the inherited one reads 8 KiB at a time
        self._check(self.readable(), "reading")
        data = self._hop(lambda _: self._async.readall(), None, by=run_here)
        self._position += len(data)
        return data

    def write(self, data: ReadableBuffer, /) -> int:
        self._check_writing()
        self._failed = True
        count = self._hop(self._async.write, memoryview(data).cast("B"))
        self._failed = False
        self._position += count
        return count

    def _hop(
        self,
        operation: Callable[[A], Awaitable[R]],
        argument: A,
        by: Callable[..., Any] = run,
    ) -> R:
        """Do *operation* at the right position, both in one hop to the loop thread."""
        moved = self._moved and self.readable()

        async def operate() -> R:
            if moved:
                await self._async.seek(self._position, io.SEEK_SET)
            return await operation(argument)

        guard_log_handlers()
        self._moved = True  # unless this succeeds
        result: R = by(operate(), insist=True)  # the memory in *argument* is only lent
        self._moved = False
        return result

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        self._check(self.readable(), "seeking")
        if whence == io.SEEK_CUR:
            offset += self._position
        elif whence == io.SEEK_END:
            offset += self.size()
        elif whence != io.SEEK_SET:
            raise ValueError(f"invalid whence: {whence}")
        if offset < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), self.name)
        if offset != self._position:
            self._position, self._moved, self._window = offset, True, FIRST_READ
        return offset

    def tell(self) -> int:
        self._check()
        return self._position

    def size(self) -> int:
        """Return the size of the object in bytes, with what was written so far."""
        self._check()
        return run(self._async.size()) if self.readable() else self._position


class LocalCopyFile(RawObject, io.FileIO):
    """An object that is changed in place, in a local copy."""

    def __init__(self, inner: LocalCopy, name: str, mode: str) -> None:
        io.FileIO.__init__(self, inner.descriptor, mode, closefd=False)
        self._begin(inner, name)
        self._copy = inner

    def fileno(self) -> int:
        """Return the descriptor of the local copy."""
        descriptor = io.FileIO.fileno(self)
        if self._is_ours():
            run(self._copy.share())
        return descriptor

    def write(self, data: ReadableBuffer, /) -> int:
        self._check_writing()
        self._failed = True
        count = io.FileIO.write(self, data)
        self._failed = False
        return count

    def size(self) -> int:
        """Return the size of the object in bytes, with what was written so far."""
        self._check()
        return os.fstat(self._copy.descriptor).st_size
