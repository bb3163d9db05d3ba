"""Sign requests and URLs: AWS Signature Version 4 and 2, and the signature of Huawei OBS.

Everything here is a pure function of its arguments: the clock comes in as `now`, in Unix seconds.

* V4: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
* V2: https://docs.aws.amazon.com/AmazonS3/latest/userguide/RESTAuthentication.html
* OBS: https://support.huaweicloud.com/intl/en-us/api-obs/obs_04_0010.html
"""

from __future__ import annotations

import hmac
import re
import time
from binascii import b2a_base64
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol
from urllib.parse import quote, unquote

from aioobs.config import REGION
from aioobs.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

__all__ = [
    "UNSIGNED_PAYLOAD",
    "Anonymous",
    "Credentials",
    "SigOBS",
    "SigV2",
    "SigV4",
    "Signer",
    "Target",
    "encode_query",
    "quote_path",
]

UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
UNRESERVED = re.compile(r"[A-Za-z0-9._~/-]*")
V4_LONGEST_EXPIRES = 7 * 24 * 3600

# Hop-by-hop and conditional headers are left out: a proxy or a cache may change them on the way.
SIGNED_V4 = frozenset({"content-md5", "content-type", "date", "range"})
CONDITIONS = frozenset({"if-match", "if-none-match"})

SUBRESOURCES_V2 = frozenset(
    """
    accelerate acl analytics cors defaultObjectAcl delete inventory lifecycle location logging
    metrics notification object-lock partNumber policy replication requestPayment
    response-cache-control response-content-disposition response-content-encoding
    response-content-language response-content-type response-expires restore select select-type
    storageClass tagging torrent uploadId uploads versionId versioning versions website
    """.split()  # noqa: SIM905 - quoted one to a line they fill two screens
)
# What the SDKs of OBS call ALLOWED_RESOURCE_PARAMTER_NAMES, in lower case, without workflows.
SUBRESOURCES_OBS = frozenset(
    """
    acl append asyncfetchjob attname backtosource cdnnotifyconfiguration cors customdomain delete
    deletebucket directcoldaccess dispolicy encryption extension_policy fileinterface
    getcontentsummary ignore-sign-in-query inventory length lifecycle listcontentsummary location
    logging metadata mirrorbacktosource mirrorrefresh modify multilistcontentsummary name
    notification object-lock obsalias obsbucketalias obscompresspolicy partnumber policy position
    quota readahead rename replication requestpayment response-cache-control
    response-content-disposition response-content-encoding response-content-language
    response-content-type response-expires restore retention select select-type storageclass
    storageinfo storagepolicy tagging torrent truncate uploadid uploads versionid versioning
    versions website x-image-process x-image-save-bucket x-image-save-object x-oss-process
    """.split()  # noqa: SIM905 - quoted one to a line they fill two screens
)

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True)
class Credentials:
    """An access key with its secret; temporary ones have a token and an end, in Unix seconds."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)
    expires: float | None = None


class SignedHeaders(dict[str, str]):
    """Headers with the proof of who asks, which tracebacks and debuggers do not show."""

    __slots__ = ()

    def __repr__(self) -> str:
        secret = ("authorization", "-security-token")
        shown = ((n, "***" if n.lower().endswith(secret) else v) for n, v in self.items())
        return repr(dict(shown))


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
    ) -> dict[str, str]:
        """Return all headers to send: the given ones and the proof.

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


class _Moment(NamedTuple):
    """What all signatures by one set of credentials within one second have in common."""

    credentials: Credentials
    second: int
    timestamp: str
    scope: str
    pads: tuple[bytes, bytes]


class SigV4:
    """AWS Signature Version 4."""

    def __init__(self, region: str, service: str = "s3") -> None:
        if not REGION.fullmatch(region):  # a store may have said so
            raise ConfigError(f"{region!r} cannot be the name of a region")
        self._region = region
        self._service = service
        # Threads race for it: one tuple, replaced as a whole, never changed.
        self._moment: _Moment | None = None

    def sign(
        self,
        target: Target,
        headers: Mapping[str, str],
        payload: str,
        credentials: Credentials,
        now: float,
    ) -> dict[str, str]:
        moment = self._at(now, credentials)
        sent = SignedHeaders(headers)
        sent["x-amz-content-sha256"] = payload
        sent["x-amz-date"] = moment.timestamp
        if credentials.token is not None:
            sent["x-amz-security-token"] = credentials.token
        # Nothing else to sign, which is usual: a third faster than the general way.
        if credentials.token is None and headers.keys() <= CONDITIONS:
            names = "host;x-amz-content-sha256;x-amz-date"
            lines = (
                f"host:{target.host}\nx-amz-content-sha256:{payload}\n"
                f"x-amz-date:{moment.timestamp}\n"
            )
        else:
            names, lines = _canonical_headers(target.host, sent)
        query = _canonical_query(target.query) if target.query else ""
        signature = _signature_v4(
            moment, f"{target.method}\n{target.path}\n{query}\n{lines}\n{names}\n{payload}"
        )
        sent["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{moment.scope}, "
            f"SignedHeaders={names}, Signature={signature}"
        )
        return sent

    def presign(
        self,
        target: Target,
        headers: Mapping[str, str],
        expires: int,
        credentials: Credentials,
        now: float,
    ) -> str:
        _check_expires(expires, V4_LONGEST_EXPIRES)
        moment = self._at(now, credentials)
        names, lines = _canonical_headers(target.host, headers)
        proof = [
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
            ("X-Amz-Credential", f"{credentials.access_key}/{moment.scope}"),
            ("X-Amz-Date", moment.timestamp),
            ("X-Amz-Expires", str(expires)),
            ("X-Amz-SignedHeaders", names),
        ]
        if credentials.token is not None:
            proof.append(("X-Amz-Security-Token", credentials.token))
        query = _canonical_query(_join(target.query, encode_query(proof)))
        payload = headers.get("x-amz-content-sha256", UNSIGNED_PAYLOAD)
        signature = _signature_v4(
            moment, f"{target.method}\n{target.path}\n{query}\n{lines}\n{names}\n{payload}"
        )
        return f"{query}&X-Amz-Signature={signature}"

    def _at(self, now: float, credentials: Credentials) -> _Moment:
        second = int(now)
        moment = self._moment
        if moment is None or moment.second != second or moment.credentials is not credentials:
            moment = self._moment = self._next(moment, second, credentials)
        return moment

    def _next(self, last: _Moment | None, second: int, credentials: Credentials) -> _Moment:
        timestamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))
        day = timestamp[:8]
        scope = f"{day}/{self._region}/{self._service}/aws4_request"
        if (
            last is not None
            and last.scope == scope
            and last.credentials.secret_key == credentials.secret_key
        ):
            pads = last.pads
        else:
            key = f"AWS4{credentials.secret_key}".encode()
            for part in (day, self._region, self._service, "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            pads = _pads(key)
        return _Moment(credentials, second, timestamp, scope, pads)


class SigV2:
    """AWS Signature Version 2."""

    scheme: ClassVar[str] = "AWS"
    prefix: ClassVar[str] = "x-amz-"
    access_key_name: ClassVar[str] = "AWSAccessKeyId"
    subresources: ClassVar[frozenset[str]] = SUBRESOURCES_V2

    def sign(
        self,
        target: Target,
        headers: Mapping[str, str],
        payload: str,  # the body is no part of this signature
        credentials: Credentials,
        now: float,
    ) -> dict[str, str]:
        sent = SignedHeaders(self._renamed(headers))
        sent["date"] = _http_date(now)
        if credentials.token is not None:
            sent[self.prefix + "security-token"] = credentials.token
        signature = self._signature(target, target.query, sent, sent["date"], credentials)
        sent["authorization"] = f"{self.scheme} {credentials.access_key}:{signature}"
        return sent

    def presign(
        self,
        target: Target,
        headers: Mapping[str, str],
        expires: int,
        credentials: Credentials,
        now: float,
    ) -> str:
        _check_expires(expires, None)
        end = str(int(now) + expires)
        signed = self._renamed(headers)
        query = target.query
        if credentials.token is not None:
            token = {self.prefix + "security-token": credentials.token}
            query = _join(query, encode_query(token.items()))
            if not self._signs_parameter(self.prefix + "security-token"):
                # S3 reads such a parameter as the header of that name.
                signed.update(token)
        signature = self._signature(target, query, signed, end, credentials)
        proof = (
            (self.access_key_name, credentials.access_key),
            ("Expires", end),
            ("Signature", signature),
        )
        return _join(query, encode_query(proof))

    def _renamed(self, headers: Mapping[str, str]) -> dict[str, str]:
        return dict(headers)

    def _signs_parameter(self, name: str) -> bool:
        return name in self.subresources

    def _signature(
        self,
        target: Target,
        query: str,
        headers: Mapping[str, str],
        date: str,
        credentials: Credentials,
    ) -> str:
        lines = [
            target.method,
            headers.get("content-md5", "").strip(),
            headers.get("content-type", "").strip(),
            date,
        ]
        names = sorted(name for name in headers if name.startswith(self.prefix))
        lines += [f"{name}:{headers[name].strip()}" for name in names]
        lines.append(target.resource + self._canonical_parameters(query))
        text = "\n".join(lines).encode()
        digest = hmac.digest(credentials.secret_key.encode(), text, "sha1")
        return b2a_base64(digest, newline=False).decode()

    def _canonical_parameters(self, query: str) -> str:
        """Return what of the query names another resource: sorted, with the values decoded."""
        pairs = (part.partition("=")[::2] for part in query.split("&") if part)
        signed = sorted(pair for pair in pairs if self._signs_parameter(pair[0]))
        # The stores drop the equals sign of an empty value.
        text = "&".join(f"{name}={unquote(value)}" if value else name for name, value in signed)
        return f"?{text}" if text else ""


class SigOBS(SigV2):
    """The signature of the native API of OBS: as V2, with names of its own.

    Headers that are given as ``x-amz-*`` are sent as ``x-obs-*``.
    """

    scheme = "OBS"
    prefix = "x-obs-"
    access_key_name = "AccessKeyId"
    subresources: ClassVar[frozenset[str]] = SUBRESOURCES_OBS

    def _renamed(self, headers: Mapping[str, str]) -> dict[str, str]:
        return {
            f"x-obs-{name[6:]}" if name.startswith("x-amz-") else name: value
            for name, value in headers.items()
        }

    def _signs_parameter(self, name: str) -> bool:
        lowered = name.lower()
        return lowered in self.subresources or lowered.startswith(self.prefix)


class Anonymous:
    """No proof at all, for what everybody may read; takes no notice of credentials."""

    def sign(
        self,
        target: Target,
        headers: Mapping[str, str],
        payload: str,
        credentials: Credentials | None,
        now: float,
    ) -> dict[str, str]:
        return dict(headers)

    def presign(
        self,
        target: Target,
        headers: Mapping[str, str],
        expires: int,
        credentials: Credentials | None,
        now: float,
    ) -> str:
        return target.query


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


def _join(query: str, more: str) -> str:
    return f"{query}&{more}" if query else more


def _check_expires(expires: int, longest: int | None) -> None:
    if expires < 1 or (longest is not None and expires > longest):
        limit = "at least 1 second" if longest is None else f"1 to {longest} seconds"
        raise ConfigError(f"a signed URL can be valid for {limit}, not for {expires}")


def _canonical_query(query: str) -> str:
    pairs = sorted(part.partition("=")[::2] for part in query.split("&"))
    return "&".join([f"{name}={value}" for name, value in pairs])


def _canonical_headers(host: str, headers: Mapping[str, str]) -> tuple[str, str]:
    """Return the names of the headers that V4 signs, and the lines that it signs for them."""
    names, order = _signed_names(tuple(headers))
    lines = ""
    for name in order:
        value = host if name == "host" else headers[name]
        if " " in value or "\t" in value or not value.isascii():
            value = " ".join(value.split())
        lines += f"{name}:{value}\n"
    return names, lines


@lru_cache(500)
def _signed_names(given: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Return which headers V4 signs, in order: as it writes them, and one by one."""
    signed = {name for name in given if name in SIGNED_V4 or name.startswith("x-amz-")}
    order = tuple(sorted({*signed, "host"}))
    return ";".join(order), order


def _signature_v4(moment: _Moment, request: str) -> str:
    digest = sha256(request.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{moment.timestamp}\n{moment.scope}\n{digest}"
    # By the definition of HMAC: `hmac.digest` lets go of the interpreter's lock for each call, and
    # waits for it while another thread writes files.
    inner, outer = moment.pads
    return sha256(outer + sha256(inner + text.encode()).digest()).hexdigest()


def _pads(key: bytes) -> tuple[bytes, bytes]:
    """Return what HMAC-SHA-256 puts before the text, and before the digest of that."""
    block = key.ljust(64, b"\0")
    return bytes(byte ^ 0x36 for byte in block), bytes(byte ^ 0x5C for byte in block)


def _http_date(now: float) -> str:
    """Write the time as RFC 9110 wants it, whatever the locale of the process."""
    moment = time.gmtime(int(now))
    return time.strftime(
        f"{WEEKDAYS[moment.tm_wday]}, %d {MONTHS[moment.tm_mon - 1]} %Y %H:%M:%S GMT", moment
    )
