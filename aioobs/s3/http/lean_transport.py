"""A transport in lean HTTP, with aiohttp's session for all that is beyond that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aioobs.errors import ConnectionFailed
from aioobs.s3 import body as bodies
from aioobs.s3.http.connection_pool import ConnectionPool
from aioobs.s3.http.direct_connections import DirectConnections
from aioobs.s3.http.idle_timeout import ENOUGH
from aioobs.s3.http.round_trip import RoundTrip

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aioobs.config import Config
    from aioobs.s3.body import Sink
    from aioobs.s3.http.connection_pool import PooledConnection
    from aioobs.s3.http.idle_timeout import Progress
    from aioobs.s3.http.session_transport import SessionTransport
    from aioobs.s3.http.transport import Reply
    from aioobs.s3.request import SignedRequest

__all__ = ["LeanTransport"]


class LeanTransport:
    """Sends requests over the connections of another transport, which does what is beyond it."""

    def __init__(self, session: SessionTransport, config: Config) -> None:
        self._session = session
        self.pool: ConnectionPool = ConnectionPool(session, config)
        self.direct: DirectConnections = DirectConnections(self.round_trip, config.connections)

    async def send(self, request: SignedRequest, progress: Progress) -> Reply:
        """Send one request: see `Transport.send`."""
        pooled = await self.pool.borrow(request.origin)
        if pooled is None:
            return await self._session.send(request, progress)
        round_trip = self.round_trip(pooled, request.method)
        round_trip.progress = progress
        try:
            await round_trip.send(request.head, request.body)
        except BaseException:
            round_trip.close()
            raise
        return await self.answer(round_trip, request, progress)

    def round_trip(self, pooled: PooledConnection, method: str) -> RoundTrip:
        """Return a new round trip, of a request with *method*, on a connection."""
        return RoundTrip(self.pool, pooled, method=method)

    async def answer(
        self, round_trip: RoundTrip, request: SignedRequest, progress: Progress
    ) -> Reply:
        """Return the answer to a request that has been sent."""
        round_trip.progress = progress
        try:
            known = await round_trip.head()
        except BaseException:
            round_trip.close()
            raise
        progress(ENOUGH)
        if known:
            return LeanReply(round_trip)
        round_trip.close()
        self.pool.distrust(request.origin)  # it may well be the same the next time
        if request.method in ("GET", "HEAD"):
            return await self._session.send(request, progress)
        raise ConnectionFailed(f"{request.origin} gave an answer of a kind that is not known here")

    def park(self, origin: str) -> None:
        """Move an idle connection, if there is one, to those that threads use directly.

        Not one with TLS, which only the event loop speaks.
        """
        if origin.startswith("http:") and self.direct.has_room():
            pooled = self.pool.take_idle(origin)
            if pooled is not None:
                try:
                    self.direct.add(pooled)
                except OSError:
                    self.pool.give_back(pooled)

    def close(self) -> None:
        """Return the idle connections to aiohttp."""
        self.direct.close()
        self.pool.close()


class LeanReply:
    """The `Reply` of a `RoundTrip`."""

    def __init__(self, round_trip: RoundTrip) -> None:
        self._round_trip = round_trip
        self.status: int = round_trip.answer.status
        self.reason: str = round_trip.answer.reason
        self.headers: Mapping[str, str] = round_trip.answer.headers
        self.length: int | None = round_trip.answer.length
        self.received: int = 0

    async def read(self, limit: int | None = None) -> bytes:
        """Return the body."""
        data = await self._round_trip.more()
        self.received = len(data)
        if not self._round_trip.remaining:
            return data
        parts = [data]
        while chunk := await self._round_trip.more():
            parts.append(chunk)
            self.received += len(chunk)
            if limit is not None and self.received > limit:
                break
        return b"".join(parts)

    async def read_into(self, sink: Sink) -> None:
        """Write the body into *sink*."""
        before = sink.received
        try:
            if isinstance(sink, bodies.DirectSink) and await self._round_trip.pump_into(sink):
                return
            while chunk := await self._round_trip.more():
                await sink.write(chunk)
        finally:
            self.received = sink.received - before

    def close(self) -> None:
        """Give up what has not been read; the connection is closed then."""
        self._round_trip.close()
