"""Connections borrowed from aiohttp's pool, with a protocol of our own on them until given back."""

from __future__ import annotations

import asyncio
import logging
import select
import time
import weakref
from typing import TYPE_CHECKING, Protocol

import aiohttp

from aioobs.errors import ConnectionFailed
from aioobs.s3.http.aiohttp_errors import translated

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.connector import Connection

    from aioobs.config import Config
    from aioobs.s3.http.session_transport import SessionTransport

    Sendable = bytes | bytearray | memoryview

__all__ = ["ConnectionPool", "PooledConnection"]

POOL_IDLE = 1.0  # seconds without a request, after which a connection goes back to aiohttp
DISTRUST = 300.0  # seconds; an odd answer may have been that of a gateway

log: logging.Logger = logging.getLogger("aioobs.request")


class ConnectionPool:
    """Gives out connections of aiohttp's on which every byte that has come is accounted for.

    One that is given back is kept for the next request, and returned to aiohttp when none comes.
    """

    def __init__(self, session: SessionTransport, config: Config) -> None:
        self._session = session
        self._timeout = aiohttp.ClientTimeout(total=None, connect=config.connect_timeout)
        self._keeps = config.keep_alive
        self._origins: dict[str, aiohttp.ClientRequest] = {}
        self._distrusted: dict[str, float] = {}
        self._known: weakref.WeakSet[ResponseHandler] = weakref.WeakSet()
        self._idle: dict[str, list[PooledConnection]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._unsent: list[PooledConnection] = []
        self._fits = True

    def distrust(self, origin: str) -> None:
        """Give out no connections to *origin* for a while: its answers are beyond lean HTTP."""
        self._distrusted[origin] = time.monotonic() + DISTRUST
        log.info("%s gives odd answers: aiohttp alone asks it for the next minutes", origin)

    def _is_distrusted(self, origin: str) -> bool:
        until = self._distrusted.get(origin)
        if until is not None and until <= time.monotonic():
            del self._distrusted[origin]
            return False
        return until is not None

    async def borrow(self, origin: str) -> PooledConnection | None:
        """Return a connection on which nothing has arrived; `None`: aiohttp's session has to do."""
        if pooled := self.take_idle(origin):
            return pooled
        if not self._fits or self._is_distrusted(origin):
            return None
        try:
            return await self._borrow_anew(origin)
        except (AttributeError, TypeError) as exc:
            if self._fits:
                self._fits = False
                message = "aiohttp %s is not as it is known here, which makes requests slower: %s"
                log.warning(message, aiohttp.__version__, exc)
            return None

    def take_idle(self, origin: str) -> PooledConnection | None:
        """Return a connection that is kept here and not in use; `None`: there is none."""
        idle = self._idle.get(origin)
        while idle:
            pooled = idle.pop()
            if pooled.is_good():
                return pooled
            pooled.close()
        return None

    async def _borrow_anew(self, origin: str) -> PooledConnection:
        while True:
            pooled = PooledConnection(await self._connect(origin), origin)
            if pooled.handler in self._known:
                if not (pooled.handler.should_close or pooled.has_unread()):
                    break
                pooled.connection.close()
                continue
            self._known.add(pooled.handler)
            if not pooled.handler.should_close:
                break
            pooled.connection.close()
            raise ConnectionFailed(
                f"{origin.split('/')[2]} does not answer in HTTP: it speaks before it is asked",
                kind="not http",
            )
        pooled.transport.set_protocol(pooled)
        return pooled

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

    def send_soon(self, pooled: PooledConnection, *data: Sendable) -> None:
        """Send a short request in a moment, together with those on other connections.

        A store that gets one request now and one then goes to sleep between them, and to wake it
        takes its client longer than to send what it is woken for.
        """
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self.send_now)
        pooled.unsent = data
        self._unsent.append(pooled)

    def send_now(self) -> None:
        """Send what is about to be sent."""
        unsent, self._unsent = self._unsent, []
        for pooled in unsent:
            pooled.send()

    def give_back(self, pooled: PooledConnection) -> None:
        """Keep a connection on which no answer is outstanding, or return it to aiohttp."""
        pooled.user = None
        if pooled.unsent:
            pooled.close()
            return
        pooled.transport.resume_reading()
        if not self._keeps or self._is_distrusted(pooled.origin):
            pooled.release()
            return
        loop = asyncio.get_running_loop()
        pooled.idle_since = loop.time()
        self._idle.setdefault(pooled.origin, []).append(pooled)
        if self._timer is None:
            self._timer = loop.call_later(POOL_IDLE, self._release_idle)

    def _release_idle(self) -> None:
        loop = asyncio.get_running_loop()
        before = loop.time() - POOL_IDLE
        for origin, idle in self._idle.items():
            self._idle[origin] = [pooled for pooled in idle if pooled.idle_since > before]
            for pooled in idle:
                if pooled.idle_since <= before:
                    pooled.release()
        left = any(self._idle.values())
        self._timer = loop.call_later(POOL_IDLE, self._release_idle) if left else None

    def close(self) -> None:
        """Return all idle connections to aiohttp."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for idle in self._idle.values():
            while idle:
                idle.pop().release()


class User(Protocol):
    """The user of a connection; its methods are called by the event loop."""

    def data_received(self, data: bytes) -> None: ...
    def lost(self, exc: Exception | None) -> None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...


class PooledConnection(asyncio.Protocol):
    """A connection of aiohttp's with this as its protocol, for one request after the other."""

    __slots__ = (
        "_poll",
        "_spoiled",
        "connection",
        "handler",
        "idle_since",
        "origin",
        "transport",
        "unsent",
        "user",
    )

    def __init__(self, connection: Connection, origin: str) -> None:
        """Take the transport and the protocol out of aiohttp's connection.

        Raises:
            AttributeError, TypeError: its parts are not what they are in the aiohttp known here.
        """
        self.user: User | None = None
        self.unsent: tuple[Sendable, ...] = ()
        """A request that is about to be sent."""
        self.idle_since: float = 0.0
        self.connection: Connection = connection
        self.origin: str = origin
        self._poll: select.poll | None = None
        self._spoiled = False
        try:
            handler, transport = connection.protocol, connection.transport
            if handler is None or transport is None:
                raise ConnectionFailed(f"the connection to {origin} broke before it was used")
            if transport.get_protocol() is not handler:
                raise TypeError("its protocol is not the one on the connection")
        except BaseException:
            connection.close()
            raise
        self.handler: ResponseHandler = handler
        self.transport: asyncio.Transport = transport

    def is_good(self) -> bool:
        """Tell whether it can be used: it is open, and no unexpected byte has come."""
        return not (self._spoiled or self.transport.is_closing() or self.has_unread())

    def has_unread(self) -> bool:
        """Tell whether the socket has what the event loop has not read: bytes, or the end."""
        if self._poll is None:
            found = self.transport.get_extra_info("socket")
            if found is None:
                return False
            self._poll = select.poll()
            self._poll.register(found.fileno(), select.POLLIN)
        return bool(self._poll.poll(0))

    def send(self) -> None:
        """Send what is still to be sent, if the connection is open."""
        unsent, self.unsent = self.unsent, ()
        if unsent and not (self._spoiled or self.transport.is_closing()):
            self.transport.writelines(unsent)

    def is_hung_up(self) -> bool:
        """Tell whether the other side has closed the connection, wholly or for its own part."""
        found = self.transport.get_extra_info("socket")
        if found is None or found.fileno() < 0:
            return True
        poll = select.poll()
        poll.register(found.fileno(), getattr(select, "POLLRDHUP", 0))
        return bool(poll.poll(0))

    def release(self) -> None:
        """Return it to aiohttp, with aiohttp's protocol in place."""
        if self._spoiled:
            self.close()
            return
        self.transport.set_protocol(self.handler)
        self.connection.release()

    def close(self) -> None:
        """Close it."""
        self.user = None
        self.transport.set_protocol(self.handler)
        self.transport.abort()
        self.connection.close()

    # Callbacks of the event loop: see `asyncio.Protocol`

    def data_received(self, data: bytes) -> None:
        """Pass on what arrives; what comes between two requests spoils the connection."""
        if self.user is not None and not self.unsent:
            self.user.data_received(data)
            return
        self._spoiled = True
        if self.user is not None:
            self.user.lost(None)

    def eof_received(self) -> bool:
        """Pass on the end of the connection."""
        if self.user is not None:
            self.user.lost(None)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass on the end of the connection."""
        if self.user is not None:
            self.user.lost(exc)
        self.handler.connection_lost(exc)

    def pause_writing(self) -> None:
        """Pass on that the other side takes nothing now."""
        if self.user is not None:
            self.user.pause_writing()

    def resume_writing(self) -> None:
        """Pass on that it takes something again."""
        if self.user is not None:
            self.user.resume_writing()
