"""What the requests of one event loop share: connections, and limits to what is under way."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from aioobs.s3.http.concurrency import ConcurrencyLimit
from aioobs.s3.http.memory_limit import MemoryLimit

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from types import AsyncGeneratorType

    from aioobs.config import Config
    from aioobs.s3.http.idle_timeout import Progress
    from aioobs.s3.http.lean_transport import LeanTransport
    from aioobs.s3.http.round_trip import RoundTrip
    from aioobs.s3.http.transport import Reply
    from aioobs.s3.request import SignedRequest

__all__ = ["Connections"]

HEAP = 2 << 20  # bytes, more than the bodies have that come and go by the thousand


class Connections:
    """What the requests of one event loop share."""

    guard: AsyncGenerator[None, None]

    def __init__(self, config: Config) -> None:
        # aiohttp, which is slow to import, is first needed here.
        from aioobs.s3.http.lean_transport import LeanTransport
        from aioobs.s3.http.session_transport import SessionTransport

        # The C library gives memory back to the system, to have it cleared and mapped anew with the
        # next body, until it has seen that such big blocks come and go.
        bytearray(HEAP)
        self._session = SessionTransport(config)
        lean = config.transport == "lean" and config.proxy is None
        self.lean: LeanTransport | None = LeanTransport(self._session, config) if lean else None
        """What requests go through, unless it is aiohttp's session."""
        self.slots: ConcurrencyLimit = ConcurrencyLimit(config.connections)
        self.memory: MemoryLimit = MemoryLimit(config.bytes_in_flight)
        self._closing: asyncio.Task[None] | None = None

    def send_now(self) -> None:
        """Send what is about to be sent, before something else that takes its time."""
        if self.lean is not None:
            self.lean.pool.send_now()

    async def send(
        self,
        request: SignedRequest,
        progress: Progress,
        round_trip: RoundTrip | None = None,
    ) -> Reply:
        """Send *request*, unless a *round_trip* has, and return the answer to it."""
        if self.lean is not None and round_trip is not None:
            return await self.lean.answer(round_trip, request, progress)
        return await (self.lean or self._session).send(request, progress)

    async def aclose(self) -> None:
        """Close the connections."""
        if self.lean is not None:
            self.lean.close()
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
