"""Connections of aiohttp: where they lead, and which of them are used again or given up."""

from __future__ import annotations

import asyncio
import socket
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler

from aioobs.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from aiohttp.connector import Connection

__all__ = ["Connector", "Resolver"]

LAST_MOMENT = 0.2  # seconds for connections that are being made when all are closed


class Connector(aiohttp.TCPConnector):
    """Gives no connection away on which something has come that nobody asked for.

    It would be taken for the answer to the next request.

    A connection with TLS is made to its end when the request for it is cancelled, and kept for the
    next one: if a handshake ends while its connection is being closed, uvloop takes that for a
    fatal error, and logs it.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # Private, and the same in all versions so far; were it not, connections would close late.
        factory = getattr(self, "_factory", None)
        if isinstance(factory, partial) and factory.func is ResponseHandler:
            handler: Callable[..., ResponseHandler] = Handler
            self._factory = partial(handler, *factory.args, **factory.keywords)
        self._used: weakref.WeakSet[object] = weakref.WeakSet()
        self._making: set[asyncio.Task[Connection]] = set()

    async def connect(self, req: aiohttp.ClientRequest, *args: Any, **kwargs: Any) -> Connection:
        """Return a connection that is new, or on which all is accounted for."""
        while True:
            connecting = super().connect(req, *args, **kwargs)
            connection = await (self._make(connecting) if req.is_ssl() else connecting)
            handler = connection.protocol
            if handler is None or handler not in self._used or not handler.should_close:
                if handler is not None:
                    self._used.add(handler)
                return connection
            connection.close()

    async def _make(self, connecting: Coroutine[Any, Any, Connection]) -> Connection:
        making = asyncio.create_task(connecting)
        self._making.add(making)
        making.add_done_callback(self._making.discard)
        try:
            return await asyncio.shield(making)
        except asyncio.CancelledError:
            making.add_done_callback(kept)
            raise

    async def settle(self) -> None:
        """Wait a moment for the connections that are being made, and give up those that are not."""
        for timeout in (LAST_MOMENT, None):
            if self._making:
                await asyncio.wait(self._making, timeout=timeout)
            for making in self._making:
                making.cancel()


def kept(making: asyncio.Task[Connection]) -> None:
    """Keep a connection that nobody waits for any more."""
    if not making.cancelled() and making.exception() is None:
        making.result().release()


class Handler(ResponseHandler):
    """Closes a connection at once, whatever is still to be sent.

    An event loop waits until it has been sent: for ever, if the other side does not read it.
    """

    def eof_received(self) -> None:
        """Learn that the other side sends nothing more, so that nothing is to be expected."""
        super().eof_received()
        if self.transport is not None:
            self.transport.abort()

    def close(self) -> None:
        """Close the connection."""
        if self.transport is not None and has_unsent(self.transport):
            self.transport.abort()
        super().close()


def has_unsent(transport: asyncio.Transport) -> bool:
    """Tell whether something may still be to be sent; over TLS nobody knows."""
    tls = transport.get_extra_info("sslcontext") is not None
    return tls or transport.get_write_buffer_size() > 0


class Resolver(AbstractResolver):
    """Name look-ups in our worker threads.

    asyncio's own executor is shut down before `atexit` callbacks run, where a file may still
    have to be closed.
    """

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of *host*."""
        found = await in_thread(socket.getaddrinfo, host, port, family, socket.SOCK_STREAM)
        return [
            ResolveResult(
                hostname=host, host=str(address[0]), port=port, family=kind, proto=proto, flags=0
            )
            for kind, _, proto, _, address in found
        ]

    async def close(self) -> None:
        """Do nothing: nothing is held open."""
