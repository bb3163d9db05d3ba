"""What the requests of one event loop share: connections, and limits to what is under way."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from aioobs.s3.concurrency import ConcurrencyLimit

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping
    from types import AsyncGeneratorType

    from aioobs.config import Config
    from aioobs.s3.idle_timeout import Progress
    from aioobs.s3.lean import LeanTransport
    from aioobs.s3.request import Request
    from aioobs.s3.round_trip import RoundTrip
    from aioobs.s3.transport import Reply

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


HEAP = 2 << 20  # bytes, more than the bodies have that come and go by the thousand


class Connections:
    """What the requests of one event loop share."""

    guard: AsyncGenerator[None, None]

    def __init__(self, config: Config) -> None:
        # aiohttp, which is slow to import, is first needed here.
        from aioobs.s3.lean import LeanTransport
        from aioobs.s3.transport import Transport

        # The C library gives memory back to the system, to have it cleared and mapped anew with the
        # next body, until it has seen that such big blocks come and go.
        bytearray(HEAP)
        self._session = Transport(config)
        lean = config.transport == "lean" and config.proxy is None
        self._lean = LeanTransport(self._session, config) if lean else None
        self.slots: ConcurrencyLimit = ConcurrencyLimit(config.connections)
        self.memory: Allowance = Allowance(config.bytes_in_flight)
        self._closing: asyncio.Task[None] | None = None

    def lean(self, request: Request) -> LeanTransport | None:
        """Return the lean transport if *request* is for that."""
        return self._lean if request.operation in LEAN else None

    def send_now(self) -> None:
        """Send what is about to be sent, before something else that takes its time."""
        if self._lean is not None:
            self._lean.pool.send_now()

    async def send(
        self,
        request: Request,
        url: str,
        headers: Mapping[str, str],
        progress: Progress,
        round_trip: RoundTrip | None = None,
    ) -> Reply:
        """Send *request*, unless a *round_trip* has, and return the answer to it."""
        lean = self.lean(request)
        transport = lean or self._session
        if lean is not None and round_trip is not None:
            return await lean.answer(
                round_trip, request.method, url, headers, request.body, progress
            )
        return await transport.send(request.method, url, headers, request.body, progress)

    async def aclose(self) -> None:
        """Close the connections."""
        if self._lean is not None:
            self._lean.close()
        await self._session.aclose()

    def retire(self) -> None:
        """Close once nothing is under way."""
        self._closing = asyncio.create_task(self._close_when_idle())

    async def _close_when_idle(self) -> None:
        await self.slots.all_left()
        await self.aclose()
        # The collector that found the client has found this as well: then asyncio closes it, too.
        if not cast("AsyncGeneratorType[None, None]", self.guard).ag_running:
            await self.guard.aclose()


class Allowance:
    """The bytes that bodies may take in memory at the same time."""

    def __init__(self, total: int) -> None:
        self._total = self._free = total
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    def has(self, size: int) -> bool:
        """Tell whether *size* bytes, or all there are, can be had without waiting."""
        return not self._waiting and min(size, self._total) <= self._free

    async def acquire(self, size: int) -> int:
        """Wait until *size* bytes are free and take them; return how many were taken.

        More than the whole allowance waits for all of it.
        """
        size = min(size, self._total)
        if not self.has(size):
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append((size, turn))
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self.release(size)
                else:
                    with suppress(ValueError):  # who released some has taken it off already
                        self._waiting.remove((size, turn))
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
            size, turn = self._waiting.popleft()
            if not turn.cancelled():
                self._free -= size
                turn.set_result(None)
