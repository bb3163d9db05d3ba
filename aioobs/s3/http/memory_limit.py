"""How many bytes of bodies are in memory at the same time."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress

__all__ = ["MemoryLimit"]


class MemoryLimit:
    """The bytes that bodies may take in memory at the same time."""

    def __init__(self, total: int) -> None:
        self._total = self._free = total
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    def take(self, size: int) -> int | None:
        """Take *size* bytes if they are free; return how many were taken, `None`: none.

        Whoever wants more than there is at all gets all of it.
        """
        size = min(size, self._total)
        if self._waiting or size > self._free:
            return None
        self._free -= size
        return size

    async def acquire(self, size: int) -> int:
        """Do as `take` does, once they are free."""
        taken = self.take(size)
        if taken is not None:
            return taken
        size = min(size, self._total)
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append((size, waiter))
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.release(size)
            else:
                with suppress(ValueError):  # a release has taken it off already
                    self._waiting.remove((size, waiter))
                self._wake()
            raise
        return size

    def release(self, size: int) -> None:
        """Give back what was acquired."""
        self._free += size
        if self._waiting:
            self._wake()

    def _wake(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._free:
            size, waiter = self._waiting.popleft()
            if not waiter.cancelled():
                self._free -= size
                waiter.set_result(None)
