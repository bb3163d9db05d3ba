"""AWS Signature Version 4, with a cached key.

https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
"""

from __future__ import annotations

import hmac
import time
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from aioobs.config import REGION
from aioobs.errors import ConfigError
from aioobs.s3.auth.signing import (
    UNSIGNED_PAYLOAD,
    check_expires,
    encode_query,
    header_lines,
    join_queries,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aioobs.s3.auth.signing import Credentials, Target

__all__ = ["SigV4"]

LONGEST_EXPIRES = 7 * 24 * 3600

# Hop-by-hop and conditional headers are left out: a proxy or a cache may change them on the way.
SIGNED = frozenset({"content-md5", "content-type", "date", "range"})
USUAL = frozenset({"content-type", "if-match", "if-none-match", "range"})


class Moment(NamedTuple):
    """What all signatures by one set of credentials within one second have in common."""

    credentials: Credentials
    second: int
    timestamp: str
    scope: str
    pads: tuple[bytes, bytes]


class SigV4:
    """AWS Signature Version 4."""

    def __init__(self, region: str) -> None:
        if not REGION.fullmatch(region):  # a store may have said so
            raise ConfigError(f"{region!r} cannot be the name of a region")
        self._region = region
        # Threads race for it: one tuple, replaced as a whole, never changed.
        self._moment: Moment | None = None

    def sign(
        self,
        target: Target,
        headers: Mapping[str, str],
        payload: str,
        credentials: Credentials,
        now: float,
    ) -> str:
        moment = self._at(now, credentials)
        added = f"x-amz-content-sha256: {payload}\r\nx-amz-date: {moment.timestamp}\r\n"
        # Nothing more to sign, which is usual: a third faster than the general way.
        if credentials.token is None and headers.keys() <= USUAL:
            names = "x-amz-content-sha256;x-amz-date"
            lines = f"x-amz-content-sha256:{payload}\nx-amz-date:{moment.timestamp}\n"
            if (span := headers.get("range")) is not None:
                names, lines = f"range;{names}", f"range:{canonical(span)}\n{lines}"
            names, lines = f"host;{names}", f"host:{target.host}\n{lines}"
            if (kind := headers.get("content-type")) is not None:
                names, lines = f"content-type;{names}", f"content-type:{canonical(kind)}\n{lines}"
        else:
            sent = {**headers, "x-amz-content-sha256": payload, "x-amz-date": moment.timestamp}
            if credentials.token is not None:
                sent["x-amz-security-token"] = credentials.token
                added = f"{added}x-amz-security-token: {credentials.token}\r\n"
            names, lines = canonical_headers(target.host, sent)
        query = canonical_query(target.query) if target.query else ""
        signature = signature_of(
            moment, f"{target.method}\n{target.path}\n{query}\n{lines}\n{names}\n{payload}"
        )
        return (
            f"{header_lines(headers)}{added}"
            f"authorization: AWS4-HMAC-SHA256 Credential={credentials.access_key}/{moment.scope}, "
            f"SignedHeaders={names}, Signature={signature}\r\n"
        )

    def presign(
        self,
        target: Target,
        headers: Mapping[str, str],
        expires: int,
        credentials: Credentials,
        now: float,
    ) -> str:
        check_expires(expires, LONGEST_EXPIRES)
        moment = self._at(now, credentials)
        names, lines = canonical_headers(target.host, headers)
        proof = [
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
            ("X-Amz-Credential", f"{credentials.access_key}/{moment.scope}"),
            ("X-Amz-Date", moment.timestamp),
            ("X-Amz-Expires", str(expires)),
            ("X-Amz-SignedHeaders", names),
        ]
        if credentials.token is not None:
            proof.append(("X-Amz-Security-Token", credentials.token))
        query = canonical_query(join_queries(target.query, encode_query(proof)))
        payload = headers.get("x-amz-content-sha256", UNSIGNED_PAYLOAD)
        signature = signature_of(
            moment, f"{target.method}\n{target.path}\n{query}\n{lines}\n{names}\n{payload}"
        )
        return f"{query}&X-Amz-Signature={signature}"

    def _at(self, now: float, credentials: Credentials) -> Moment:
        second = int(now)
        moment = self._moment
        if moment is None or moment.second != second or moment.credentials is not credentials:
            moment = self._moment = self._next(moment, second, credentials)
        return moment

    def _next(self, last: Moment | None, second: int, credentials: Credentials) -> Moment:
        timestamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))
        day = timestamp[:8]
        scope = f"{day}/{self._region}/s3/aws4_request"
        if (
            last is not None
            and last.scope == scope
            and last.credentials.secret_key == credentials.secret_key
        ):
            pads = last.pads
        else:
            key = f"AWS4{credentials.secret_key}".encode()
            for part in (day, self._region, "s3", "aws4_request"):
                # Not `hmac.digest`: a process forked meanwhile would wait for OpenSSL's locks.
                key = hmac.new(key, part.encode(), "sha256").digest()
            pads = hmac_pads(key)
        return Moment(credentials, second, timestamp, scope, pads)


def canonical_query(query: str) -> str:
    """Return a query with its parameters in order, and an equals sign in each."""
    pairs = sorted(part.partition("=")[::2] for part in query.split("&"))
    return "&".join([f"{name}={value}" for name, value in pairs])


def canonical_headers(host: str, headers: Mapping[str, str]) -> tuple[str, str]:
    """Return the names of the headers that V4 signs, and the lines that it signs for them."""
    names, order = signed_names(tuple(headers))
    lines = ""
    for name in order:
        value = host if name == "host" else headers[name]
        lines += f"{name}:{canonical(value)}\n"
    return names, lines


def canonical(value: str) -> str:
    """Return the value of a header as V4 signs it."""
    if " " in value or "\t" in value or not value.isascii():
        return " ".join(value.split())
    return value


@lru_cache(500)
def signed_names(given: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Return which headers V4 signs, in order: as it writes them, and one by one."""
    signed = {name for name in given if name in SIGNED or name.startswith("x-amz-")}
    order = tuple(sorted({*signed, "host"}))
    return ";".join(order), order


def signature_of(moment: Moment, request: str) -> str:
    digest = sha256(request.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{moment.timestamp}\n{moment.scope}\n{digest}"
    # By the definition of HMAC: `hmac.digest` lets go of the interpreter's lock for each call, and
    # waits for it while another thread writes files.
    inner, outer = moment.pads
    return sha256(outer + sha256(inner + text.encode()).digest()).hexdigest()


def hmac_pads(key: bytes) -> tuple[bytes, bytes]:
    """Return what HMAC-SHA-256 puts before the text, and before the digest of that."""
    block = key.ljust(64, b"\0")
    return bytes(byte ^ 0x36 for byte in block), bytes(byte ^ 0x5C for byte in block)
