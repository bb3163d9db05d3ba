"""How much of a copy is under way at the same time: as much as makes it faster."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Width"]

GAIN = 1.25  # times as fast, at least, if twice as much at a time is to be kept
SHORTEST = 0.02  # seconds in which a speed can be measured
PAUSE = 5.0  # seconds after which more is tried again


class Width:
    """A number that is doubled for as long as more comes to its end in a second.

    A store that is far away does twice as much if twice as much is under way; one that is near,
    or busy, does not.  Only what is measured while more is waiting tells anything.

    Args:
        first: The number at first.
        most: What it may become.
        clock: Tells how many CPU seconds this has taken here.
        full: How many of these in a second are so many that more at a time is of no use.
    """

    __slots__ = (
        "_before",
        "_began",
        "_clock",
        "_count",
        "_enough",
        "_full",
        "_most",
        "_next",
        "_rate",
        "_used",
        "value",
    )

    def __init__(self, first: int, most: int, clock: Callable[[], float], full: float) -> None:
        self.value: int = first
        self._most = most
        self._clock = clock
        self._full = full
        self._before = first
        self._rate = 0.0  # what that gave, each second; 0: there is nothing to compare with
        self._next = 0.0  # when more is tried
        self.restart()
        self._count -= first  # there is no connection yet

    def restart(self) -> None:
        """Measure anew, once all that is under way now has ended."""
        self._count = -self.value
        self._enough = 2 * self.value

    def count(self) -> bool:
        """Count what begins as something else has ended; return whether the value has changed."""
        self._count += 1
        if self._count == 0:
            self._measure()
        elif self._count >= self._enough and (self.value < self._most or self._rate):
            now = time.monotonic()
            if now >= max(self._began + SHORTEST, self._next):
                return self._decide(now - self._began)
        return False

    def _measure(self) -> None:
        self._count, self._began, self._used = 0, time.monotonic(), self._clock()

    def _decide(self, seconds: float) -> bool:
        rate, busy = self._count / seconds, (self._clock() - self._used) / seconds
        if busy > self._full:
            self._measure()
            return False
        if not self._rate or rate >= GAIN * self._rate:
            self._before, self._rate = self.value, rate if self.value < self._most else 0.0
            self.value = min(2 * self.value, self._most)
        elif self._enough == 2 * self.value:  # that may have been the time of making connections
            self._enough *= 2
            self._measure()
            return False
        else:
            self.value, self._rate, self._next = self._before, 0.0, time.monotonic() + PAUSE
        self.restart()
        return True
