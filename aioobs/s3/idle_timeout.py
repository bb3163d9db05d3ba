"""Notices when nothing moves any more."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from aioobs.s3.connection_errors import stalled

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["IdleTimeout"]


class IdleTimeout:
    """Ends the block in which nothing has moved for a while.

    What `asyncio.timeout` with its `reschedule` does; but to report progress costs no new timer,
    for it is reported with every request.

    Raises:
        ConnectionFailed: nothing has moved.
    """

    __slots__ = ("_before", "_expired", "_loop", "_seconds", "_task", "_timer", "began", "last")

    _task: asyncio.Task[object]
    _timer: asyncio.TimerHandle

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self.began: float = self._loop.time()
        self.last: float = self.began
        """When this was made, and when something has moved last, on the clock of the loop."""
        self._before = 0
        self._expired = False

    def progress(self) -> None:
        """Report that something has moved."""
        self.last = self._loop.time()

    def now(self) -> float:
        """Return the time on that clock."""
        return self._loop.time()

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None
        self._task, self._before = task, task.cancelling()
        self._timer = self._loop.call_later(self._seconds, self._look)
        return self

    def _look(self) -> None:
        left = self.last + self._seconds - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left, self._look)
        else:
            self._expired = True
            self._task.cancel()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        if not self._expired:
            return
        ours = self._task.uncancel() <= self._before
        if ours and exc_type is asyncio.CancelledError:
            raise stalled(self._seconds) from exc
