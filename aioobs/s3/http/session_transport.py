"""A transport over aiohttp's session: connections, TLS, proxies, DNS."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp
from yarl import URL

from aioobs.errors import ConnectionFailed, ReadError
from aioobs.s3 import body as bodies
from aioobs.s3.http.aiohttp_errors import translated
from aioobs.s3.http.connection_errors import unanswered
from aioobs.s3.http.connector import Connector, Resolver
from aioobs.s3.http.exposure import warn_of_exposure
from aioobs.s3.http.idle_timeout import ENOUGH
from aioobs.s3.http.tls import context_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from aioobs.config import Config
    from aioobs.s3.body import Body, Sink
    from aioobs.s3.http.idle_timeout import Progress
    from aioobs.s3.http.transport import Reply
    from aioobs.s3.request import SignedRequest

__all__ = ["SessionTransport"]

READ_BUFFER = 256 * 1024
IDLE_CONNECTION = 20.0  # seconds; OBS closes idle connections after 30
AUTOMATIC_HEADERS = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
SENT_AT_ONCE = 256 * 1024  # a longer body is handed over piece by piece


class SessionTransport:
    """The connections of one event loop to one store."""

    def __init__(self, config: Config) -> None:
        warn_of_exposure(config)
        connector = Connector(
            limit=0,  # the number of requests under way is limited above
            ssl=context_for(config),
            resolver=Resolver(),
            ttl_dns_cache=60,
            force_close=not config.keep_alive,
            keepalive_timeout=IDLE_CONNECTION if config.keep_alive else None,
        )
        self.connector = connector
        self._session = aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            raise_for_status=False,
            read_bufsize=READ_BUFFER,
            skip_auto_headers=AUTOMATIC_HEADERS,
            timeout=aiohttp.ClientTimeout(total=None, connect=config.connect_timeout),
            trust_env=False,
        )
        # Or else aiohttp sends a request again by itself when a kept connection breaks, and an
        # append or a conditional put is carried out twice.
        self._session._retry_connection = False  # noqa: SLF001
        self._proxy = config.proxy

    async def send(self, request: SignedRequest, progress: Progress) -> Reply:
        """Send one request: see `Transport.send`."""
        url, data = request.url, await outgoing(request.body, progress)
        with translated(url):
            response = await self._session.request(
                request.method,
                URL(url, encoded=True),
                headers=request.headers,
                data=data.pieces() if isinstance(data, Outgoing) else data,
                allow_redirects=False,
                proxy=self._proxy,
            )
        if isinstance(data, Outgoing) and not data.sent and response.status < 300:
            response.close()
            raise unanswered(url, ": it reported success before it had the whole body")
        codings = response.headers.getall("transfer-encoding", ["chunked"])
        if [coding.lower() for coding in codings] != ["chunked"]:
            response.close()
            raise ConnectionFailed(
                f"{url.split('/', 3)[2]} answers in an encoding that nobody asked for: "
                + ", ".join(codings),
                kind="not http",
            )
        progress(ENOUGH)
        return SessionReply(response, progress)

    def connection_request(self, origin: str) -> aiohttp.ClientRequest:
        """Return what the connector needs in order to connect to *origin*."""
        loop = asyncio.get_running_loop()
        return aiohttp.ClientRequest("GET", URL(origin), loop=loop, session=self._session)

    async def aclose(self) -> None:
        """Close all connections."""
        try:
            await self.connector.settle()
        finally:
            await self._session.close()


async def outgoing(body: Body, progress: Progress) -> Outgoing | bytes | None:
    """Return what aiohttp is to send; the first piece of a file is read before anything is sent.

    Raises:
        SourceError: it cannot be read.
    """
    size = bodies.size_of(body)
    if not size:
        return None
    if size <= SENT_AT_ONCE and not isinstance(body, bodies.FilePart):
        return bytes(body)
    pieces = bodies.chunks(body)
    return Outgoing(await anext(pieces), pieces, progress)


class Outgoing:
    """A body on its way, piece by piece."""

    def __init__(
        self,
        first: bytes | memoryview,
        rest: AsyncIterator[bytes | memoryview],
        progress: Progress,
    ) -> None:
        self.sent: bool = False
        """Whether all of it has been handed over."""
        self._first = first
        self._rest = rest
        self._progress = progress

    async def pieces(self) -> AsyncIterator[bytes | memoryview]:
        """Yield the pieces in order."""
        yield self._first
        self._progress(len(self._first))
        async for piece in self._rest:
            yield piece
            self._progress(len(piece))
        self.sent = True


class SessionReply:
    """A `Reply` of aiohttp's session."""

    def __init__(self, response: aiohttp.ClientResponse, progress: Progress) -> None:
        self._response = response
        self._url = str(response.url)
        self._progress = progress
        self.received: int = 0
        self.status: int = response.status
        self.reason: str = response.reason or ""
        found: dict[str, list[str]] = {}
        for name, value in response.headers.items():
            found.setdefault(name.lower(), []).append(value)
        if "etag" in found:  # only one is allowed, but some proxies repeat it
            found["etag"] = list(dict.fromkeys(found["etag"]))
        self.headers: Mapping[str, str] = {name: ", ".join(found[name]) for name in found}
        length = self.headers.get("content-length", "")
        self.length: int | None = int(length) if length.isascii() and length.isdigit() else None

    async def read(self, limit: int | None = None) -> bytes:
        """Return the body."""
        parts = []
        while chunk := await self._more():
            parts.append(chunk)
            if limit is not None and self.received > limit:
                self._response.close()
                break
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def read_into(self, sink: Sink) -> None:
        """Write the body into *sink*."""
        while chunk := await self._more():
            await sink.write(chunk)

    async def _more(self) -> bytes:
        """Return the next bytes of the body; b"" after its end."""
        with translated(self._url):
            try:
                chunk = await self._response.content.readany()
            except RuntimeError as exc:  # the session has been closed
                host = self._url.split("/", 3)[2]
                raise ReadError(f"the answer of {host} broke off: {exc}") from exc
        if chunk:
            self._progress(len(chunk))
            self.received += len(chunk)
        return chunk

    def close(self) -> None:
        """Drop the rest."""
        self._response.close()
