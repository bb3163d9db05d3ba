"""Notices when nothing moves any more, or next to nothing.

What counts is a whole head, or `ENOUGH` bytes of a body.  Single bytes do not: they may come now
and then for ever.  Amazon's SDKs want a byte of a body each second, which is nearly as much.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from aioobs.s3.connection_errors import stalled

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["ENOUGH", "IdleTimeout", "Progress"]

Progress = Callable[[int], None]
"""Reports that so many bytes have moved."""

ENOUGH = 1024
"""How many bytes have to move within the time; a head counts as so many."""


class IdleTimeout:
    """Ends the block in which too little has moved for a while.

    What `asyncio.timeout` with its `reschedule` does; but to report progress costs no new timer,
    for it is reported with every request.

    Raises:
        ConnectionFailed: too little has.
    """

    __slots__ = (
        "_before",
        "_expired",
        "_last",
        "_loop",
        "_moved",
        "_seconds",
        "_task",
        "_timer",
        "began",
    )

    _task: asyncio.Task[object]
    _timer: asyncio.TimerHandle

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self.began: float = self._loop.time()
        """When this was made, on the clock of the loop."""
        self._last = self.began
        self._moved = 0  # bytes since then
        self._before = 0
        self._expired = False

    def progress(self, count: int) -> None:
        """Report that so many bytes have moved."""
        self._moved += count
        if self._moved >= ENOUGH:
            self._last, self._moved = self._loop.time(), 0

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
        left = self._last + self._seconds - self._loop.time()
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
