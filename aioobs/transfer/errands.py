"""Small pieces of local work, many to one trip into a worker thread."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

from aioobs.threads import in_thread, settled

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Errands"]

T = TypeVar("T")


class Errands:
    """Runs blocking functions in a worker thread.

    A trip into a thread costs more than to read or write a small file.  While one is under way,
    what comes up is gathered and goes with the next, so that the busier the loop, the cheaper
    each errand; an errand that comes alone leaves at once.
    """

    def __init__(self) -> None:
        self._waiting: list[Errand[object]] = []
        self._travelling: asyncio.Task[None] | None = None

    async def run(self, function: Callable[[], T]) -> T:
        """Return what *function* returns, or raise what it raises.

        A caller that is cancelled still waits for an errand that has begun.
        """
        errand: Errand[T] = Errand(function)
        self._waiting.append(errand)  # type: ignore[arg-type]
        if self._travelling is None or self._travelling.done():
            self._travelling = asyncio.create_task(self._travel())
        try:
            return await errand.future
        except asyncio.CancelledError:
            if errand.trip is None:
                self._waiting.remove(errand)  # type: ignore[arg-type]
            else:
                await settled(errand.trip)
            raise

    async def _travel(self) -> None:
        while self._waiting:
            errands, self._waiting = self._waiting, []
            trip = asyncio.get_running_loop().create_future()
            for errand in errands:
                errand.trip = trip
            try:
                await in_thread(carry_out, errands)
            finally:
                trip.set_result(None)
                for errand in errands:
                    errand.settle()


class Errand(Generic[T]):
    """One function, and what came of it."""

    __slots__ = ("error", "function", "future", "result", "trip")

    def __init__(self, function: Callable[[], T]) -> None:
        self.function = function
        self.future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.trip: asyncio.Future[None] | None = None
        self.result: T | None = None
        self.error: BaseException | None = None

    def settle(self) -> None:
        """Tell the caller."""
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)  # type: ignore[arg-type]


def carry_out(errands: list[Errand[object]]) -> None:
    for errand in errands:
        try:
            errand.result = errand.function()
        except BaseException as error:  # noqa: BLE001 - raised where it was asked for
            errand.error = error
