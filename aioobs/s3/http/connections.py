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
    from aioobs.s3.request import Request, SignedRequest

__all__ = ["Connections"]

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
        from aioobs.s3.http.lean_transport import LeanTransport
        from aioobs.s3.http.session_transport import SessionTransport

        # The C library gives memory back to the system, to have it cleared and mapped anew with the
        # next body, until it has seen that such big blocks come and go.
        bytearray(HEAP)
        self._session = SessionTransport(config)
        lean = config.transport == "lean" and config.proxy is None
        self._lean = LeanTransport(self._session, config) if lean else None
        self.slots: ConcurrencyLimit = ConcurrencyLimit(config.connections)
        self.memory: MemoryLimit = MemoryLimit(config.bytes_in_flight)
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
        signed: SignedRequest,
        progress: Progress,
        round_trip: RoundTrip | None = None,
    ) -> Reply:
        """Send *request*, unless a *round_trip* has, and return the answer to it."""
        lean = self.lean(request)
        if lean is not None and round_trip is not None:
            return await lean.answer(round_trip, signed, progress)
        return await (lean or self._session).send(signed, progress)

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
