"""What the requests of one event loop share: connections, and limits to what is under way."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from aioobs.config import Config
    from aioobs.s3.request import Request
    from aioobs.s3.transport import Transport
    from aioobs.s3.wire import LeanTransport

__all__ = ["Allowance", "Connections"]

LEAN = frozenset(
    {
        "copyObject",
        "copyPart",
        "deleteObject",
        "getObject",
        "getObjectMetadata",
        "putContent",
        "putFile",
        "uploadPart",
    }
)
"""The operations that come by the thousand, whose answers are short or have a length."""


class Connections:
    """What the requests of one event loop share."""

    guard: AsyncGenerator[None, None]

    def __init__(self, config: Config) -> None:
        # aiohttp, which is slow to import, is first needed here.
        from aioobs.s3.transport import Transport
        from aioobs.s3.wire import LeanTransport

        self._session = Transport(config)
        lean = config.transport == "lean" and config.proxy is None
        self._lean = LeanTransport(self._session, config) if lean else None
        self.slots = asyncio.Semaphore(config.connections)
        self.memory = Allowance(config.bytes_in_flight)
        self._all = config.connections
        self._closing: asyncio.Task[None] | None = None

    def transport(self, request: Request) -> Transport | LeanTransport:
        """Return what is to send *request*."""
        if self._lean is not None and request.operation in LEAN:
            return self._lean
        return self._session

    async def aclose(self) -> None:
        """Close the connections."""
        if self._lean is not None:
            self._lean.close()
        await self._session.aclose()

    def retire(self) -> None:
        """Close once nothing is under way."""
        self._closing = asyncio.create_task(self._close_when_idle())

    async def _close_when_idle(self) -> None:
        for _ in range(self._all):
            await self.slots.acquire()
        for _ in range(self._all):
            self.slots.release()
        await self.guard.aclose()


class Allowance:
    """The bytes that bodies may take in memory at the same time."""

    def __init__(self, total: int) -> None:
        self._total = self._free = total
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    def hold(self, size: int) -> Holding:
        """Return a context in which *size* bytes are taken.

        More than the whole allowance waits for all of it.
        """
        return Holding(self, min(size, self._total))

    async def acquire(self, size: int) -> None:
        """Wait until *size* bytes are free and take them."""
        if self._waiting or size > self._free:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append((size, turn))
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self.release(size)
                else:
                    self._waiting.remove((size, turn))
                    self._wake()
                raise
        else:
            self._free -= size

    def release(self, size: int) -> None:
        """Give back what was acquired."""
        self._free += size
        self._wake()

    def _wake(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._free:
            size, turn = self._waiting.popleft()
            if not turn.cancelled():
                self._free -= size
                turn.set_result(None)


class Holding:
    """A part of an allowance, taken for the time of a block."""

    __slots__ = ("_allowance", "_size")

    def __init__(self, allowance: Allowance, size: int) -> None:
        self._allowance = allowance
        self._size = size

    async def __aenter__(self) -> None:
        await self._allowance.acquire(self._size)

    async def __aexit__(self, *_: object) -> None:
        self._allowance.release(self._size)
