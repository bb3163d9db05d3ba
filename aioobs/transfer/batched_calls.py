"""Short blocking calls, many to one trip into a worker thread, or made in the event loop."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

from aioobs.threads import Pace, in_thread, settled

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BatchedCall", "BatchedCalls"]

THREAD_SECONDS = 0.005  # in the thread, before the callbacks of what is done are called
LOOP_SECONDS = 0.001  # of short ones, before the event loop goes on

T = TypeVar("T")


class BatchedCall(Generic[T]):
    """A blocking function, and the callback *then* that gets this with its result or error."""

    __slots__ = ("error", "function", "result", "then")

    result: T

    def __init__(self, function: Callable[[], T], then: Callable[[BatchedCall[T]], None]) -> None:
        self.function: Callable[[], T] = function
        self.then: Callable[[BatchedCall[T]], None] = then
        self.error: Exception | None = None


class BatchedCalls:
    """Calls blocking functions.

    They are called in a worker thread, many to a trip, for a trip costs more than one of them.
    Those that have proved short are called in the event loop, for a moment at a time and while the
    store is busy with what was just sent; one that is not sends them all into the thread again.

    Args:
        on_error: Called with what a callback raises.
    """

    def __init__(self, on_error: Callable[[BaseException], None]) -> None:
        self._on_error = on_error
        self.before_loop: Callable[[], None] = lambda: None
        """Called before functions are in the event loop, to have the store busy meanwhile."""
        self._waiting: deque[BatchedCall[object]] = deque()
        self._running: asyncio.Task[None] | None = None
        self._pace = Pace()

    def post(self, function: Callable[[], T], then: Callable[[BatchedCall[T]], None]) -> None:
        """Have *function* called, and *then* what is to follow in the event loop."""
        # The type of one call is lost in a queue of many.
        self._waiting.append(BatchedCall(function, then))  # type: ignore[arg-type]
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())

    async def aclose(self) -> None:
        """Drop what waits, and wait for what is under way; its callbacks are not called."""
        self._waiting.clear()
        if self._running is not None:
            self._running.cancel()
            await settled(self._running)

    async def _run(self) -> None:
        while self._waiting:
            if self._pace.is_quick:
                self.before_loop()
                done, longest = call_some(self._waiting, LOOP_SECONDS)
                self._pace.took_in_loop(longest)
                await asyncio.sleep(0)
            else:
                began = time.monotonic()
                done, _ = await in_thread(call_some, self._waiting, THREAD_SECONDS)
                self._pace.took_in_thread(time.monotonic() - began, len(done))
            try:
                for call in done:
                    call.then(call)
            except BaseException as error:  # noqa: BLE001 - it ends the whole
                self._on_error(error)


def call_some(
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
