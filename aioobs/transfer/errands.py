"""Small pieces of local work, many to one trip into a worker thread."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

from aioobs.threads import in_thread, settled

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Errand", "Errands"]

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
    """Calls blocking functions in a worker thread.

    A trip into a thread costs more than to read or write a small file.  While one is under way,
    what comes up is gathered and goes with the next, so that the busier the loop, the cheaper
    each errand; an errand that comes alone leaves at once.

    Args:
        broken: Told of what is raised by those who are told.
    """

    def __init__(self, broken: Callable[[BaseException], None]) -> None:
        self._broken = broken
        self._waiting: list[Errand[object]] = []
        self._travelling: asyncio.Task[None] | None = None

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
            errands, self._waiting = self._waiting, []
            await in_thread(carry_out, errands)
            try:
                for errand in errands:
                    errand.then(errand)
            except BaseException as error:  # noqa: BLE001 - it ends the whole
                self._broken(error)


def carry_out(errands: list[Errand[object]]) -> None:
    for errand in errands:
        try:
            errand.result = errand.function()
        except Exception as error:  # noqa: BLE001 - told where it was asked for
            errand.error = error
