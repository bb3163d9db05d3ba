"""Blocking version of `aioobs.background`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Self

from aioobs import background as _async
from aioobs.sync._loop import run

if TYPE_CHECKING:
    from types import TracebackType

    from aioobs.url import Path

__all__ = ["BackgroundCopy", "background_sync_copy"]


def background_sync_copy(
    src_url: Path, dst_url: Path, seconds: float = 60, *, threads: int = 16
) -> BackgroundCopy:
    """Copy what is new or changed in a local folder, now and every so many seconds, until stopped.

        mox.file.background_sync_copy("/cache/model", "s3://bucket/model", seconds=120)
        train()

    It returns at once, and the work is done in the thread of the event loop.  A round copies the
    files whose size or time has changed since they were copied.  A file that is being written to
    is left to the next round.  What is deleted locally stays in the target.  The first round does
    not send what the store has already with the same size and a later time.

    A round that fails is logged with the logger ``aioobs.background``, counted, and skipped; so
    is one that finds no folder at *src_url*, which can be created later.  A last round copies
    everything when the copy is stopped, and when the process exits, which waits for it until
    nothing has moved for two minutes.  A process that a signal ends, such as SIGTERM, does none.
    A forked child does not go on with the copies of its parent.

    Args:
        src_url: A local folder.
        dst_url: The folder, of a store or local, that becomes the copy.
        seconds: From the beginning of one round to that of the next, which waits for its end.
        threads: How many requests of it are under way at the same time; 0 is one.

    Raises:
        ConfigError: the source is not local, the target lies within the source, or *seconds* is
            not more than 0.
    """

    async def begin() -> _async.BackgroundCopy:
        return _async.background_sync_copy(src_url, dst_url, seconds, threads=threads)

    copy = BackgroundCopy(run(begin()))
    running.add(copy)
    finish_with_process()
    return copy


class BackgroundCopy:
    """A copy that goes on in the background; `background_sync_copy` makes it.

    In a ``with`` block it is stopped at the end.  If the block raises, a failure of the last
    round is only logged.
    """

    def __init__(self, inner: _async.BackgroundCopy) -> None:
        self._async = inner
        self._process = os.getpid()

    def __repr__(self) -> str:
        return repr(self._async)

    @property
    def rounds(self) -> int:
        """How many rounds have ended, those that failed included."""
        return self._async.rounds

    @property
    def failed_rounds(self) -> int:
        """How many rounds have failed."""
        return self._async.failed_rounds

    @property
    def last_error(self) -> Exception | None:
        """Why the last round failed; `None` if it did not."""
        return self._async.last_error

    def sync_now(self) -> None:
        """Do a round now, after the one that is under way.

        Raises:
            MoxFileNotExistsException: there is no folder to copy.
            TransferFailed: some files failed; `failures` has an exception for each.
            RuntimeError: the copy has been stopped, or is that of another process.
        """
        if not self._is_ours():
            raise RuntimeError("this background copy belongs to another process")
        run(self._async.sync_now())

    def stop(self) -> None:
        """Let the round that is under way end, do a last one, and end.

        The last round also copies what has just been written to.  It is given up when nothing
        has moved for two minutes.  A second call only waits for the end of the first.  In a
        forked child nothing is done: the copy is the parent's.

        Raises:
            OperationTimeout: the last round was given up.
            TransferFailed: some files failed in the last round; `failures` has an exception for
                each.  A file that is still being written to is one of them.
        """
        if self._is_ours():
            running.discard(self)
            run(self._async.stop())

    def finish(self) -> None:
        """Stop, and log a failure of the last round instead of raising it."""
        if self._is_ours():
            running.discard(self)
            run(self._async.finish())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc is None:
            self.stop()
        else:
            self.finish()

    def __str__(self) -> str:
        return str(self._async)

    def _is_ours(self) -> bool:
        return self._process == os.getpid()


# Not weak: the copies go on when nobody holds them any more.
running: set[BackgroundCopy] = set()


def finish_all() -> None:
    """Do the last round of whatever was not stopped when the process ends."""
    copies = [copy._async for copy in running]  # noqa: SLF001
    running.clear()
    if copies:
        run(_async.finish_all(copies))


def finish_with_process() -> None:
    """Have `finish_all` called at the end of a process that skips `atexit`, as forked ones do."""
    processes = sys.modules.get("multiprocessing.process")
    if processes is not None and processes.parent_process() is not None:
        from multiprocessing.util import Finalize

        Finalize(None, finish_all, exitpriority=100)


os.register_at_fork(after_in_child=running.clear)
