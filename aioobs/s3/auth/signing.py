"""What all signatures have in common: who signs, what is signed, and how that is encoded.

A signer is a pure function of its arguments: the clock comes in as `now`, in Unix seconds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol
from urllib.parse import quote

from aioobs.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

__all__ = [
    "UNSIGNED_PAYLOAD",
    "Anonymous",
    "Credentials",
    "Signer",
    "Target",
    "check_expires",
    "encode_query",
    "header_lines",
    "join_queries",
    "quote_path",
]

UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
UNRESERVED = re.compile(r"[A-Za-z0-9._~/-]*")


@dataclass(frozen=True, slots=True)
class Credentials:
    """An access key with its secret; temporary ones have a token and an end, in Unix seconds."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)
    expires: float | None = None


class Target(NamedTuple):
    """Where a request goes, in the words that are sent."""

    method: str
    host: str
    """As in the ``Host`` header."""
    path: str
    """Percent-encoded, exactly as sent: ``/bucket/key`` or ``/key``."""
    query: str
    """Percent-encoded, exactly as sent, without the question mark; empty if there is none."""
    resource: str
    """What V2 and OBS sign: the path itself, or ``/bucket`` and the path on a virtual host."""


class Signer(Protocol):
    """A way to prove who sends a request.  Names of headers are in lower case everywhere."""

    def sign(
        self,
        target: Target,
        headers: Mapping[str, str],
        payload: str,
        credentials: Credentials,
        now: float,
    ) -> str:
        """Return all headers to send, a line each: the given ones and the proof.

        `payload` is the SHA-256 of the body in hexadecimal or `UNSIGNED_PAYLOAD`.
        """
        ...

    def presign(
        self,
        target: Target,
        headers: Mapping[str, str],
        expires: int,
        credentials: Credentials,
        now: float,
    ) -> str:
        """Return the query string that makes a URL good for `expires` seconds from `now`.

        Whoever uses the URL has to send the same `headers`.

        Raises:
            ConfigError: `expires` is out of range.
        """
        ...


class Anonymous:
    """No proof at all, for what everybody may read; takes no notice of credentials."""

    def sign(
        self,
        target: Target,
        headers: Mapping[str, str],
        payload: str,
        credentials: Credentials | None,
        now: float,
    ) -> str:
        return header_lines(headers)

    def presign(
        self,
        target: Target,
        headers: Mapping[str, str],
        expires: int,
        credentials: Credentials | None,
        now: float,
    ) -> str:
        return target.query


def header_lines(headers: Mapping[str, str]) -> str:
    """Return headers as they are sent, each with the end of its line."""
    return "".join([f"{name}: {value}\r\n" for name, value in headers.items()])


def quote_path(key: str) -> str:
    """Percent-encode the UTF-8 of a key, all but slashes and the unreserved of RFC 3986."""
    return key if UNRESERVED.fullmatch(key) else quote(key, safe="/")


def encode_query(pairs: Collection[tuple[str, str | None]]) -> str:
    """Return the query string of `pairs`, sorted by name; a space becomes ``%20``.

    A value of None gives a name without an equals sign, as in ``?uploads``.
    """
    if not pairs:
        return ""
    encoded = sorted(
        (quote(name, safe=""), "" if value is None else "=" + quote(value, safe=""))
        for name, value in pairs
    )
    return "&".join(name + value for name, value in encoded)


def join_queries(query: str, more: str) -> str:
    """Return one query with the parameters of two."""
    return f"{query}&{more}" if query else more


def check_expires(expires: int, longest: int | None) -> None:
    """Refuse a signed URL that is to be good for no time, or for more than *longest* seconds.

    Raises:
        ConfigError: it is.
    """
    if expires < 1 or (longest is not None and expires > longest):
        limit = "at least 1 second" if longest is None else f"1 to {longest} seconds"
        raise ConfigError(f"a signed URL can be valid for {limit}, not for {expires}")
