"""Notices when nothing moves any more, or next to nothing.

Progress is a whole head, or `ENOUGH` bytes of a body.  Single bytes are none: they may come now
and then for ever.  Amazon's SDKs want a byte of a body each second, which is nearly as much.

To wait in the event loop, use an `IdleTimeout`; to wait in any other way, ask a `Stopwatch` how
long that may take.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from aioobs.s3.http.connection_errors import stalled

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["ENOUGH", "IdleTimeout", "Progress", "Stopwatch"]

Progress = Callable[[int], None]
"""Reports that so many bytes have moved."""

ENOUGH = 1024
"""How many bytes have to move within the time; a head counts as so many."""
PATIENCE = 15
"""For how many times as long a store may say that it is at work."""


class Stopwatch:
    """How long an attempt has taken, and how long it has made no progress.

    Args:
        seconds: How long it may make none.
    """

    __slots__ = ("_last", "_moved", "began", "seconds")

    def __init__(self, seconds: float) -> None:
        self.seconds: float = seconds
        self.began: float
        """When the attempt began, by `time.monotonic`."""
        self.restart()

    def restart(self) -> None:
        """Begin anew, for another attempt."""
        self.began = self._last = time.monotonic()
        self._moved = 0  # bytes since the last progress

    def progress(self, count: int) -> None:
        """Report that so many bytes have moved."""
        self._moved += count
        if self._moved >= ENOUGH:
            self._last, self._moved = time.monotonic(), 0

    def elapsed(self) -> float:
        """Return the seconds since the beginning."""
        return time.monotonic() - self.began

    def left(self) -> float:
        """Return the seconds until it is stalled; not above 0: it is."""
        return self._last + self.seconds - time.monotonic()


class IdleTimeout(Stopwatch):
    """Ends the block in which too little has moved for a while.

    What `asyncio.timeout` with its `reschedule` does; but to report progress costs no new timer,
    for it is reported with every request.

    Raises:
        ConnectionFailed: too little has.
    """

    __slots__ = ("_before", "_expired", "_loop", "_task", "_timer")

    _task: asyncio.Task[object]
    _timer: asyncio.TimerHandle

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self._loop = asyncio.get_running_loop()
        self._before = 0
        self._expired = False

    def sign_of_life(self, count: int) -> None:
        """Report the same where single bytes say that the store is at work, for as long as may be.

        While Amazon's S3 makes an object of its parts, it sends a space now and then.
        """
        if count > 0 and self.elapsed() < PATIENCE * self.seconds:
            self._last = time.monotonic()

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None
        self._task, self._before = task, task.cancelling()
        self._timer = self._loop.call_later(self.seconds, self._check)
        return self

    def _check(self) -> None:
        left = self.left()
        if left > 0:
            self._timer = self._loop.call_later(left, self._check)
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
            raise stalled(self.seconds) from exc
