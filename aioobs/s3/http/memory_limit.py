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

    def has(self, size: int) -> bool:
        """Tell whether *size* bytes, or all there are, can be had without waiting."""
        return not self._waiting and min(size, self._total) <= self._free

    async def acquire(self, size: int) -> int:
        """Wait until *size* bytes are free and take them; return how many were taken.

        Whoever wants more than there is at all gets all of it.
        """
        size = min(size, self._total)
        if not self.has(size):
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
        else:
            self._free -= size
        return size

    def release(self, size: int) -> None:
        """Give back what was acquired."""
        self._free += size
        self._wake()

    def _wake(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._free:
            size, waiter = self._waiting.popleft()
            if not waiter.cancelled():
                self._free -= size
                waiter.set_result(None)
