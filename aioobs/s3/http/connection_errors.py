"""The errors for connections that cannot be made, or that break."""

from __future__ import annotations

import errno
import socket

from aioobs.errors import ConnectionFailed

__all__ = ["stalled", "tls_hint", "unanswered", "unconnected", "without_tls"]


def stalled(seconds: float) -> ConnectionFailed:
    """Return the error for an attempt in which too little has moved for so long."""
    return ConnectionFailed(f"no progress for {seconds:g} s", kind="stalled")


def without_tls(host: str, cause: Exception) -> ConnectionFailed:
    """Return the error for a connection that could not be encrypted."""
    text = str(cause)
    hint = "verify=False trusts anybody, verify=<file> trusts your own authority"
    if "WRONG_VERSION_NUMBER" in text or "RECORD_LAYER_FAILURE" in text or "HTTP_REQUEST" in text:
        hint = "if it speaks plain HTTP, give the endpoint with http:// or set S3_USE_HTTPS=0"
    return ConnectionFailed(f"no TLS connection to {host}: {text}; {hint}", kind="tls")


def unanswered(url: str, why: str) -> ConnectionFailed:
    """Return the error for a connection that ended before there was an answer."""
    host = url.split("/", 3)[2]
    return ConnectionFailed(f"the connection to {host} broke before an answer{why}{tls_hint(url)}")


def tls_hint(url: str) -> str:
    """Return what to do if TLS is spoken where it was not expected."""
    if url.startswith("https:"):
        return ""
    return "; if it speaks TLS, give the endpoint with https:// or set S3_USE_HTTPS=1"


def unconnected(host: str, cause: OSError) -> ConnectionFailed:
    """Return the error for a connection that could not be made."""
    if isinstance(cause, socket.gaierror):
        kind = "unreachable" if cause.errno == socket.EAI_AGAIN else "unknown host"
        return ConnectionFailed(f"the name {host} is not known ({cause.strerror})", kind=kind)
    if cause.errno == errno.ECONNREFUSED:
        return ConnectionFailed(
            f"nothing listens at {host}; is the endpoint right?", kind="refused"
        )
    kind = "reset" if isinstance(cause, ConnectionError) else "unreachable"
    return ConnectionFailed(f"no connection to {host}: {cause}", kind=kind)
