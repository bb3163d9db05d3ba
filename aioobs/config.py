"""How to reach a store: one frozen value, from explicit arguments and from the environment."""

from __future__ import annotations

import operator
import os
import re
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple, SupportsIndex, cast, get_args
from urllib.parse import urlsplit

from aioobs.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = [
    "DEFAULT_THREADS",
    "TIMEOUTS",
    "Addressing",
    "Config",
    "PayloadSigning",
    "Signature",
    "TransportName",
]

Addressing = Literal["auto", "virtual", "path"]
Signature = Literal["v4", "v2", "obs"]
PayloadSigning = Literal["unsigned", "sha256"]
TransportName = Literal["lean", "session"]

MIB = 1 << 20

TIMEOUTS: Mapping[str, float | None] = MappingProxyType(
    {
        "abortMultipartUpload": 60,
        "appendObject": None,
        "completeMultipartUpload": 300,
        "copyObject": None,
        "copyPart": None,
        "createBucket": 60,
        "deleteBucket": 60,
        "deleteObject": 300,
        "deleteObjects": 300,
        "deleteObjectTagging": 30,
        "getObject": None,
        "getObjectMetadata": 30,
        "getObjectTagging": 30,
        "headBucket": 30,
        "initiateMultipartUpload": 60,
        "listBuckets": 60,
        "listMultipartUploads": 300,
        "listObjects": 300,
        "listParts": 300,
        "listVersions": 300,
        "putContent": None,
        "putFile": None,
        "putObject": None,
        "putObjectTagging": 30,
        "uploadPart": None,
    }
)
"""Seconds for each operation with all of its attempts; `None` sets no limit to the whole."""

DEFAULT_THREADS = 16
"""The requests that a copy has under way at first; what more there can be is found out."""

PUTS = ("putContent", "putFile")
"""What `putObject` stands for, where they have no timeout of their own."""

# Where the bucket has to be in the host name, and where in that name the region stands.
PUBLIC_CLOUDS = (
    re.compile(r"^(?:.+\.)?obs\.([a-z0-9-]+)\.myhuaweicloud\.(?:com|eu|cn)$"),
    re.compile(r"^(?:.+\.)?obs\.([a-z0-9-]+)\.otc\.t-systems\.com$"),
    re.compile(r"^(?:.+\.)?s3[.-](?:dualstack\.)?([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?$"),
    re.compile(r"^(?:.+\.)?oss-([a-z0-9-]+)\.aliyuncs\.com$"),
    re.compile(r"^(?:.+\.)?cos\.([a-z0-9-]+)\.myqcloud\.com$"),
)
REGION = re.compile(r"[A-Za-z0-9._-]+")
ENDPOINTS = ("S3_ENDPOINT", "OBS_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
REGIONS = ("S3_REGION", "OBS_REGION", "AWS_REGION", "AWS_DEFAULT_REGION")
AUTHORITIES = ("S3_CA_BUNDLE", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE")
SWITCHES = ("S3_USE_HTTPS", "S3_VERIFY_SSL", "MOX_FILE_LARGE_FILE_PART_SIZE")
PROXIES = tuple(
    variable
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY")
    for variable in (name, name.lower())
)
VARIABLES = (*ENDPOINTS, *REGIONS, *AUTHORITIES, *SWITCHES, *PROXIES, "AIOOBS_TRANSPORT")
"""What `Config.from_env` reads."""
TRUE, FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")

CHOICES: Mapping[str, tuple[object, ...]] = {
    "addressing": get_args(Addressing),
    "signature": get_args(Signature),
    "payload_signing": get_args(PayloadSigning),
    "transport": get_args(TransportName),
    "list_version": (0, 1, 2),
}
COUNTS = (
    "attempts",
    "bytes_in_flight",
    "connections",
    "largest_copy",
    "multipart_threshold",
    "page_size",
    "part_size",
)
SECONDS = ("connect_timeout", "idle_timeout", "retry_wait", "retry_wait_max")


@dataclass(frozen=True)
class Config:
    """Everything a `Client` needs to know; change a copy with `dataclasses.replace`.

    Sizes are bytes and times are seconds.  Credentials that are not given are looked for in the
    environment, in credential files and at the metadata services when they are needed.
    """

    endpoint: str = ""
    """Host, host:port or URL of the store."""
    secure: bool | None = None
    """Whether to use TLS; `None`: as the endpoint's scheme says, and TLS if it says nothing."""
    region: str = ""
    """The region to sign for; empty: as the endpoint's name says, else us-east-1."""
    access_key: str = ""
    secret_key: str = field(default="", repr=False)
    security_token: str = field(default="", repr=False)
    anonymous: bool = False
    """Send requests unsigned."""
    requester_pays: bool = False
    """Agree to be charged for requests to buckets whose owners want that."""
    signature: Signature = "v4"
    payload_signing: PayloadSigning = "unsigned"
    """`sha256` hashes every body before it is sent, which costs more than sending it."""
    addressing: Addressing = "auto"
    """Where the bucket goes; `auto`: into the host name on public clouds, else into the path."""
    verify: bool | str = True
    """Whether to verify certificates, or the file of the certificate authorities to trust."""
    proxy: str | None = field(default=None, repr=False)
    """URL of an HTTP proxy."""
    keep_alive: bool = True
    transport: TransportName = "lean"
    """`lean`: our own HTTP on aiohttp's connections where it will do; `session`: aiohttp's."""
    attempts: int = 10
    """How often a request is tried at most, without so much as 64 KiB of an object between."""
    retry_wait: float = 0.1
    """The wait before the second attempt; it doubles with each further one."""
    retry_wait_max: float = 10.0
    connect_timeout: float = 10.0
    """Seconds after which an attempt that is not connected is abandoned and retried."""
    idle_timeout: float = 60.0
    """Seconds after which an attempt that makes no progress is abandoned and retried.

    Progress is a whole head of an answer, the end of its body, or 1 KiB of a body, either way.
    """
    timeouts: Mapping[str, float | None] = field(default_factory=dict)
    """Seconds for an operation with all of its attempts, where not as in `TIMEOUTS`."""
    page_size: int = 1000
    """How many names one request lists at most."""
    list_version: Literal[0, 1, 2] = 0
    """Version of the listing request; 0: as the store has it."""
    connections: int = 256
    """How many requests are under way at the same time at most."""
    bytes_in_flight: int = 64 * MIB
    """How much memory the bodies under way take at most."""
    part_size: int = 8 * MIB
    """Size of a part of a big object; it grows where 10,000 parts would not do."""
    multipart_threshold: int = 16 * MIB
    """From this size on an object moves in parts."""
    largest_copy: int = 5 << 30
    """What the store copies by itself in one request; more it copies in parts."""

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            check_choice(name, getattr(self, name), choices)
        for name in COUNTS:
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ConfigError(f"{name}={value!r} is not a whole number from 1 on")
        for name in SECONDS:
            value = getattr(self, name)
            least = "0" if name.startswith("retry") else "more than 0"
            if not is_seconds(value) or (value == 0 and least != "0"):
                raise ConfigError(f"{name}={value!r} is not a number of seconds, {least}")
        check_timeouts(self.timeouts)
        if bool(self.access_key) != bool(self.secret_key):
            raise ConfigError(
                "access_key and secret_key, or ak and sk, are given together or not at all"
            )
        if self.region and not REGION.fullmatch(self.region):
            raise ConfigError(f"region={self.region!r} cannot be the name of a region")
        if self.endpoint:
            split_endpoint(self.endpoint)
        if self.proxy is not None:
            check_proxy(self.proxy)

    @cached_property
    def origin(self) -> str:
        """The endpoint as ``scheme://host[:port]``.

        Raises:
            ConfigError: no endpoint is known, or it is not one.
        """
        text = self.endpoint
        if not text and self.region:
            text = f"https://s3.{self.region}.amazonaws.com"
        if not text:
            raise ConfigError(
                "no endpoint is set: set S3_ENDPOINT, call set_auth(server=...), "
                "or give Config(endpoint=...)"
            )
        parts = split_endpoint(text)
        secure = self.secure if self.secure is not None else parts.scheme != "http"
        return f"{'https' if secure else 'http'}://{parts.netloc}"

    @cached_property
    def host(self) -> str:
        """The endpoint's host, without the port."""
        return urlsplit(self.origin).hostname or ""

    @cached_property
    def is_public_cloud(self) -> bool:
        """Whether the endpoint is one of a cloud that wants the bucket in the host name."""
        return any(cloud.match(self.host) for cloud in PUBLIC_CLOUDS)

    @cached_property
    def signing_region(self) -> str:
        """The region that signatures are made for."""
        if self.region:
            return self.region
        found = next(filter(None, (cloud.match(self.host) for cloud in PUBLIC_CLOUDS)), None)
        return found[1] if found else "us-east-1"

    def __repr__(self) -> str:
        """Show what is not as by default, and no secrets."""
        shown = (
            f"{one.name}={value!r}"
            for one in fields(self)
            if one.repr and (value := getattr(self, one.name)) != one.default and value != {}
        )
        return f"Config({', '.join(shown)})"

    def timeout(self, operation: str) -> float | None:
        """Return the seconds that *operation* may take with all of its attempts."""
        if operation in PUTS and operation not in self.timeouts:
            operation = "putObject"
        return self.timeouts.get(operation, TIMEOUTS[operation])

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Config:
        """Return what the environment says (`S3_*`, `OBS_*`, `AWS_*`), and defaults for the rest.

        Credentials are not read here but when they are needed, so that they can rotate.
        """
        env = Environment(os.environ if environ is None else environ)
        config = cls(
            endpoint=env.first(*ENDPOINTS),
            secure=env.switch("S3_USE_HTTPS"),
            region=env.first(*REGIONS),
            verify=env.verify(),
            transport=env.transport(cls.transport),
            part_size=env.number("MOX_FILE_LARGE_FILE_PART_SIZE", cls.part_size),
        )
        return config.with_proxy(environ)

    def with_proxy(self, environ: Mapping[str, str] | None = None) -> Config:
        """Return the same with the proxy that the environment has for the endpoint, if any."""
        if self.proxy is not None or not (self.endpoint or self.region):
            return self
        env = Environment(os.environ if environ is None else environ)
        return replace(self, proxy=env.proxy(self))


class Environment:
    """Environment variables as values."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def first(self, *names: str) -> str:
        return next(filter(None, (self._environ.get(name, "").strip() for name in names)), "")

    def switch(self, name: str) -> bool | None:
        text = self.first(name).lower()
        if not text:
            return None
        if text in TRUE or text in FALSE:
            return text in TRUE
        raise ConfigError(f"the environment variable {name}={text!r} is neither 0 nor 1")

    def number(self, name: str, default: int) -> int:
        text = self.first(name)
        if not text:
            return default
        if re.fullmatch("[0-9]{1,18}", text) and int(text):
            return int(text)
        raise ConfigError(f"the environment variable {name}={text!r} is not a number above 0")

    def transport(self, default: TransportName) -> TransportName:
        text = self.first("AIOOBS_TRANSPORT").lower() or default
        if text not in get_args(TransportName):
            raise ConfigError(
                f"the environment variable AIOOBS_TRANSPORT={text!r} is neither lean nor session"
            )
        return cast("TransportName", text)

    def verify(self) -> bool | str:
        """Return whether to verify certificates, or the file with the authorities to trust."""
        if self.switch("S3_VERIFY_SSL") is False:
            return False
        return self.first(*AUTHORITIES) or True

    def proxy(self, config: Config) -> str | None:
        """Return the proxy that the usual variables name for the endpoint."""
        proxies = {
            name.lower().removesuffix("_proxy"): value
            for name, value in self._environ.items()
            if value and name.lower().endswith("_proxy")
        }
        if not proxies:
            return None
        from urllib import request  # slow to import

        # Not in the documentation, and so not in the types; `requests` uses it as well.
        if request.proxy_bypass_environment(config.host, proxies):  # type: ignore[attr-defined]
            return None
        return proxies.get(config.origin.partition(":")[0]) or proxies.get("all")


class Endpoint(NamedTuple):
    """What an endpoint says: the scheme may be empty."""

    scheme: str
    netloc: str


def split_endpoint(text: str) -> Endpoint:
    """Return scheme and host of an endpoint given as a URL, a host, or host:port.

    Raises:
        ConfigError: it is none of these.
    """
    try:
        parts = urlsplit(text if "://" in text else f"//{text}")
        valid = bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if (
        not valid
        or parts.scheme not in ("", "http", "https")
        or parts.path.strip("/")
        or parts.query
        or parts.username is not None
        or not re.fullmatch(r"[A-Za-z0-9._:\[\]%-]+", parts.netloc)
    ):
        shown = text.rpartition("@")[2]  # no passwords in messages
        raise ConfigError(f"the endpoint {shown!r} is not https://host[:port] or host[:port]")
    return Endpoint(parts.scheme, parts.netloc.lower())


def check_proxy(text: str) -> None:
    """Refuse what is no URL of a proxy.

    Raises:
        ConfigError: it is none.
    """
    try:
        parts = urlsplit(text)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        shown = text.rpartition("@")[2]
        raise ConfigError(f"the proxy {shown!r} is not http://host:port or https://host:port")


def check_choice(name: str, value: object, choices: Sequence[object]) -> None:
    """Refuse the value of an option that is none of its choices.

    Raises:
        ConfigError: names them.
    """
    if value not in choices:
        wanted = ", ".join(map(repr, choices))
        raise ConfigError(f"{name}={value!r} is not one of {wanted}")


def check_list(name: str, value: Iterable[str]) -> None:
    """Refuse a text where several are wanted, each of whose letters would be taken for one.

    Raises:
        ConfigError: it is one.
    """
    if isinstance(value, str):
        raise ConfigError(f"{name}={value!r} is a single text; write {name}=[{value!r}]")


def check_threads(value: object) -> None:
    """Refuse a number of requests that cannot be under way at the same time; 0 stands for one.

    Raises:
        ConfigError: it is none, or negative.
    """
    if not isinstance(value, SupportsIndex) or operator.index(value) < 0:
        raise ConfigError(f"threads={value!r} is not a number of requests; write, say, threads=16")


def check_text(what: str, value: object) -> None:
    """Refuse what is not text, such as a number or bytes.

    Raises:
        TypeError: says what it is.
    """
    if not isinstance(value, str):
        raise TypeError(f"the {what} {value!r} is of type {type(value).__name__}; give a str")


def is_seconds(value: object) -> bool:
    """Tell whether *value* is a number of seconds."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return 0 <= value < float("inf")


def check_timeouts(timeouts: Mapping[str, float | None]) -> None:
    """Refuse names of operations that do not exist and times that are none.

    Raises:
        ConfigError: names the valid operations.
    """
    for name, seconds in timeouts.items():
        if name not in TIMEOUTS:
            raise ConfigError(
                f"timeout for the unknown operation {name!r}; valid are {', '.join(TIMEOUTS)}"
            )
        if seconds is not None and (not is_seconds(seconds) or not seconds):
            raise ConfigError(f"the timeout of {name} is {seconds!r}; it is seconds, or None")
