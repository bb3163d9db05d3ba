"""Connections of aiohttp's, lent to somebody else who speaks on them for a while."""

from __future__ import annotations

import logging
import select
import weakref
from typing import TYPE_CHECKING, NamedTuple

import aiohttp

from aioobs.errors import ConnectionFailed
from aioobs.s3.transport import translated

if TYPE_CHECKING:
    import asyncio

    from aiohttp.client_proto import ResponseHandler
    from aiohttp.connector import Connection

    from aioobs.config import Config
    from aioobs.s3.transport import Transport

__all__ = ["Lender", "Lent"]

log = logging.getLogger("aioobs.request")


class Lender:
    """Lends connections on which everything that has come is accounted for."""

    def __init__(self, session: Transport, config: Config) -> None:
        self._session = session
        self._timeout = aiohttp.ClientTimeout(total=None, connect=config.connect_timeout)
        self._origins: dict[str, aiohttp.ClientRequest] = {}
        self._distrusted: set[str] = set()
        self._known: weakref.WeakSet[ResponseHandler] = weakref.WeakSet()
        self._fits = True

    def distrust(self, origin: str) -> None:
        """Lend no connections to *origin* any more."""
        self._distrusted.add(origin)

    async def borrow(self, origin: str) -> Lent | None:
        """Return a connection on which nothing has arrived; `None`: the session is to do it."""
        if not self._fits or origin in self._distrusted:
            return None
        try:
            while True:
                lent = Lent.of(await self._connect(origin), origin)
                if lent.handler in self._known:
                    if not (lent.handler.should_close or lent.has_news()):
                        return lent
                    lent.connection.close()
                    continue
                self._known.add(lent.handler)
                if not lent.handler.should_close:
                    return lent
                lent.connection.close()
                raise ConnectionFailed(
                    f"{origin.split('/')[2]} does not answer in HTTP: it speaks before it is asked",
                    kind="not http",
                )
        except (AttributeError, TypeError) as exc:
            if self._fits:
                self._fits = False
                message = "aiohttp %s is not as it is known here, which makes requests slower: %s"
                log.warning(message, aiohttp.__version__, exc)
            return None

    async def _connect(self, origin: str) -> Connection:
        request = self._origins.get(origin)
        if request is None:
            request = self._origins[origin] = self._session.connection_request(origin)
        with translated(origin + "/"):
            try:
                return await self._session.connector.connect(request, [], self._timeout)
            except TimeoutError as exc:
                raise ConnectionFailed(
                    f"no connection to {origin} in time", kind="unreachable"
                ) from exc


class Lent(NamedTuple):
    """A connection of aiohttp's that somebody else speaks on for a while."""

    connection: Connection
    handler: ResponseHandler
    transport: asyncio.Transport

    @classmethod
    def of(cls, connection: Connection, origin: str) -> Lent:
        """Return a connection with its parts.

        Raises:
            AttributeError, TypeError: they are not what they are in the aiohttp known here.
        """
        try:
            handler, transport = connection.protocol, connection.transport
            if handler is None or transport is None:
                raise ConnectionFailed(f"the connection to {origin} broke before it was used")
            if transport.get_protocol() is not handler:
                raise TypeError("its protocol is not the one on the connection")
        except BaseException:
            connection.close()
            raise
        return cls(connection, handler, transport)

    def has_news(self) -> bool:
        """Tell whether something has come that the event loop has not seen: bytes, or the end."""
        found = self.transport.get_extra_info("socket")
        if found is None:
            return False
        poll = select.poll()
        poll.register(found.fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def is_hung_up(self) -> bool:
        """Tell whether the other side has closed the connection, wholly or for its own part."""
        found = self.transport.get_extra_info("socket")
        if found is None or found.fileno() < 0:
            return True
        poll = select.poll()
        poll.register(found.fileno(), getattr(select, "POLLRDHUP", 0))
        return bool(poll.poll(0))

    def give_back(self, *, good: bool) -> None:
        """Put aiohttp's protocol back in place; the connection is closed unless it is *good*."""
        self.transport.set_protocol(self.handler)
        if good:
            self.transport.resume_reading()
            self.connection.release()
        else:
            self.transport.abort()
            self.connection.close()
