"""Small pieces of local work, many to one trip into a worker thread, or done on the spot."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

from aioobs.threads import in_thread, settled

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BatchedCall", "BatchedCalls"]

TRIP = 0.005  # seconds in the thread before those who wait are told
SHORT = 0.0003  # seconds for a call; where they take longer a thread has something to do
STRETCH = 0.001  # seconds of short ones before the event loop goes on
LONG = 0.005  # seconds that none of them may take
CAUTION = 1.0  # seconds in the thread after one that did

T = TypeVar("T")


class BatchedCall(Generic[T]):
    """A blocking function, and who is told what came of it."""

    __slots__ = ("error", "function", "result", "then")

    result: T

    def __init__(self, function: Callable[[], T], then: Callable[[BatchedCall[T]], None]) -> None:
        self.function: Callable[[], T] = function
        self.then: Callable[[BatchedCall[T]], None] = then
        self.error: Exception | None = None


class BatchedCalls:
    """Calls blocking functions.

    They are called in a worker thread, many to a trip, for a trip costs more than one of them.
    Still, to read or write a small file that the system has in memory takes less time than two
    threads take from each other that both want the interpreter's lock.  So those that have proved
    short are called in the event loop, for a moment at a time and while the store is busy with what
    was just sent; one that is not sends them all into the thread again.

    Args:
        broken: Told of what is raised by those who are told.
    """

    def __init__(self, broken: Callable[[BaseException], None]) -> None:
        self._broken = broken
        self.before: Callable[[], None] = lambda: None
        """Called before functions are in the event loop, to have the store busy meanwhile."""
        self._waiting: deque[BatchedCall[object]] = deque()
        self._travelling: asyncio.Task[None] | None = None
        self._are_short = False
        self._caution_until = 0.0

    def post(self, function: Callable[[], T], then: Callable[[BatchedCall[T]], None]) -> None:
        """Have *function* called, and *then* what is to follow in the event loop."""
        self._waiting.append(BatchedCall(function, then))  # type: ignore[arg-type]
        if self._travelling is None or self._travelling.done():
            self._travelling = asyncio.create_task(self._travel())

    async def aclose(self) -> None:
        """Drop what waits, and wait for what is under way; nobody is told of it any more."""
        self._waiting.clear()
        if self._travelling is not None:
            self._travelling.cancel()
            await settled(self._travelling)

    async def _travel(self) -> None:
        while self._waiting:
            if self._are_short:
                self.before()
                done, longest = carry_out(self._waiting, STRETCH)
                if longest > LONG:
                    self._are_short, self._caution_until = False, time.monotonic() + CAUTION
                await asyncio.sleep(0)
            else:
                began = time.monotonic()
                done, _ = await in_thread(carry_out, self._waiting, TRIP)
                now = time.monotonic()
                self._are_short = now - began < SHORT * len(done) and now > self._caution_until
            try:
                for call in done:
                    call.then(call)
            except BaseException as error:  # noqa: BLE001 - it ends the whole
                self._broken(error)


def carry_out(
    waiting: deque[BatchedCall[object]], seconds: float
) -> tuple[list[BatchedCall[object]], float]:
    """Call functions for a while; return what was done, and the seconds of what took longest."""
    done: list[BatchedCall[object]] = []
    longest, now = 0.0, time.monotonic()
    end = now + seconds
    while now < end:
        try:
            call = waiting.popleft()
        except IndexError:  # it may be emptied meanwhile
            break
        try:
            call.result = call.function()
        except Exception as error:  # noqa: BLE001 - told where it was asked for
            call.error = error
        done.append(call)
        before, now = now, time.monotonic()
        longest = max(longest, now - before)
    return done, longest
