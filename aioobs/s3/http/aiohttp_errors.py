"""Errors of aiohttp and of the operating system, translated into those of `aioobs.errors`."""

from __future__ import annotations

import socket
import ssl
from contextlib import contextmanager
from typing import TYPE_CHECKING

import aiohttp

from aioobs.errors import ConfigError, ConnectionFailed, ObsError, ProtocolError, ReadError
from aioobs.s3.http.connection_errors import tls_hint, unanswered, unconnected, without_tls

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["translated"]

TRANSLATED: tuple[type[Exception], ...] = (
    aiohttp.ClientError,
    aiohttp.http_exceptions.HttpProcessingError,
    ConnectionError,
    socket.gaierror,
    ssl.SSLError,
    ValueError,
)


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Raise aioobs's own errors for those of aiohttp and of the operating system."""
    try:
        yield
    except TRANSLATED as exc:
        if isinstance(exc, aiohttp.ClientError):
            without_secrets(exc)
            exc.__traceback__ = None  # in aiohttp's frames are the headers
        error = translation(exc, url)
        raise error from (None if error is exc.__cause__ else exc)


def translation(exc: Exception, url: str) -> ObsError:
    """Return the error that the caller gets for *exc*; the first class that fits decides."""
    host = url.split("/", 3)[2]
    match exc:
        case ssl.SSLError() | aiohttp.ClientSSLError():
            return without_tls(host, exc)
        case aiohttp.ClientProxyConnectionError():
            return ConnectionFailed(
                f"no connection to the proxy {exc.host}:{exc.port}: {exc.os_error.strerror}; "
                "is proxy, or HTTPS_PROXY in the environment, right?",
                kind="proxy",
            )
        case aiohttp.ClientPayloadError():
            return ReadError(f"the answer of {host} broke off: {exc}")
        case aiohttp.ClientConnectorError():
            return unconnected(host, exc.os_error)
        case aiohttp.ServerTimeoutError():
            return ConnectionFailed(f"no connection to {host} in time", kind="unreachable")
        case aiohttp.ClientHttpProxyError():
            return ConnectionFailed(f"the proxy refused: {exc.status} {exc.message}", kind="proxy")
        case aiohttp.ClientResponseError():
            first = (exc.message or "nothing").splitlines()[0]
            message = f"{host} does not answer in HTTP: {first}{tls_hint(url)}"
            return ConnectionFailed(message, kind="not http")
        case aiohttp.InvalidURL():
            return ConfigError(f"{url!r} is not a URL that can be asked for")
        case aiohttp.ClientError(__cause__=ObsError() as cause):
            return cause  # the source of the body failed, not the connection
        case aiohttp.ClientError():
            return unanswered(url, f": {exc}")
        case ConnectionError() | socket.gaierror():
            return unconnected(host, exc)
        case _:
            return ProtocolError(f"the answer of {host} is not valid HTTP: {exc}")


def without_secrets(error: aiohttp.ClientError) -> None:
    """Remove from an error the headers of the request and the password of a proxy."""
    if isinstance(error, aiohttp.ClientResponseError):
        info = error.request_info
        headers = info.headers.copy()
        headers.clear()
        url = info.url.with_query(None)
        # A read-only view of headers cannot be pickled, as causes sometimes are; hence the type.
        error.request_info = aiohttp.RequestInfo(url, info.method, headers, url)  # type: ignore[arg-type]
        error.args = (error.request_info, ())
    elif isinstance(error, aiohttp.ClientConnectorError):
        error.args = error.args[-1:]  # the cause; the key of the connection is before it
