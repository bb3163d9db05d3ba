"""A bounded number of coroutines at the same time, and task groups that raise plain errors."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from aioobs.threads import settled

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from types import TracebackType

__all__ = ["Tasks", "ungrouped"]


class Tasks:
    """Tasks of one owner; the first failure is raised by whatever the owner calls next.

    In an ``async with`` block all have ended when it ends, and are cancelled if it fails.
    """

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    async def start(self, coroutine: Coroutine[object, object, None], *, at_most: int) -> None:
        """Begin as soon as fewer than *at_most* are under way."""
        try:
            while len(self._running) >= at_most:
                await self._wait(asyncio.FIRST_COMPLETED)
        except BaseException:
            coroutine.close()
            raise
        self._running.add(asyncio.create_task(coroutine))

    async def join(self) -> None:
        """Wait for all of them."""
        while self._running:
            await self._wait(asyncio.FIRST_EXCEPTION)

    async def cancel(self) -> None:
        """Cancel all of them, and wait for their ends."""
        for task in self._running:
            task.cancel()
        running, self._running = self._running, set()
        if running:
            await settled(asyncio.gather(*running, return_exceptions=True))

    async def _wait(self, return_when: str) -> None:
        done, self._running = await asyncio.wait(self._running, return_when=return_when)
        failed = [task for task in done if task.exception()]
        for task in failed:
            task.result()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if exc is None:
                await self.join()
        finally:
            await self.cancel()


@contextmanager
def ungrouped() -> Iterator[None]:
    """Raise the first error of a task group itself, not in an exception group."""
    try:
        yield
    except BaseExceptionGroup as errors:
        error: BaseException = errors
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from error.__cause__
