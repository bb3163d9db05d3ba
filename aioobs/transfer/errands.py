"""Small pieces of local work, many to one trip into a worker thread, or done on the spot."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

from aioobs.threads import in_thread, settled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["Errand", "Errands"]

SHORT = 0.0003  # seconds for an errand; where they take longer a thread has something to do
LONG = 0.005  # seconds that none may take in the event loop
STRETCH = 0.001  # seconds of them before the event loop goes on
CAUTION = 1.0  # seconds in the thread after a long one

T = TypeVar("T")


class Errand(Generic[T]):
    """A blocking function, and who is told what came of it."""

    __slots__ = ("error", "function", "result", "then")

    result: T

    def __init__(self, function: Callable[[], T], then: Callable[[Errand[T]], None]) -> None:
        self.function = function
        self.then = then
        self.error: Exception | None = None


class Errands:
    """Calls blocking functions.

    They are called in a worker thread, those that come up while a trip is under way together with
    the next one.  Still, to read or write a small file that the system has in memory takes less
    time than two threads take from each other that both want the interpreter's lock.  So those that
    have proved short are called in the event loop, for a moment at a time and while the store is
    busy with what was just sent; one that is not sends them all into the thread again.

    Args:
        broken: Told of what is raised by those who are told.
    """

    def __init__(self, broken: Callable[[BaseException], None]) -> None:
        self._broken = broken
        self._waiting: deque[Errand[object]] = deque()
        self._travelling: asyncio.Task[None] | None = None
        self._are_short = False
        self._caution_until = 0.0

    def post(self, function: Callable[[], T], then: Callable[[Errand[T]], None]) -> None:
        """Have *function* called, and *then* what is to follow in the event loop."""
        self._waiting.append(Errand(function, then))  # type: ignore[arg-type]
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
                errands = self._stretch()
                await asyncio.sleep(0)
            else:
                errands = await self._trip()
            try:
                for errand in errands:
                    errand.then(errand)
            except BaseException as error:  # noqa: BLE001 - it ends the whole
                self._broken(error)

    async def _trip(self) -> Iterable[Errand[object]]:
        errands, self._waiting = self._waiting, deque()
        taken = await in_thread(carry_out, errands)
        self._are_short = taken < SHORT * len(errands) and time.monotonic() > self._caution_until
        return errands

    def _stretch(self) -> Iterable[Errand[object]]:
        done: list[Errand[object]] = []
        left = STRETCH
        while self._waiting and left > 0:
            done.append(self._waiting.popleft())
            taken = carry_out(done[-1:])
            left -= taken
            if taken > LONG:
                self._are_short, self._caution_until = False, time.monotonic() + CAUTION
        return done


def carry_out(errands: Iterable[Errand[object]]) -> float:
    """Call the functions; return the seconds that took."""
    began = time.monotonic()
    for errand in errands:
        try:
            errand.result = errand.function()
        except Exception as error:  # noqa: BLE001 - told where it was asked for
            errand.error = error
    return time.monotonic() - began
