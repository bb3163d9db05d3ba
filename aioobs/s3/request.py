"""One request to a store before it is signed, and the host it goes to."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from aioobs.config import check_text
from aioobs.errors import ConfigError
from aioobs.s3.auth.signing import Target, encode_query, quote_path
from aioobs.s3.body import Body, FilePart

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aioobs.config import Config
    from aioobs.s3.auth.signing import Credentials

__all__ = ["Address", "Body", "FilePart", "Request", "Sign", "SignedRequest", "address"]

# Stricter than S3's rules for new buckets, which old buckets do not keep: only what is unsafe in
# a host name or a path is refused.
BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
DNS_LABEL = re.compile(r"[a-z0-9][a-z0-9-]*[a-z0-9]")
HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
FORBIDDEN_IN_HEADERS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # a tab may stand there
BODIES = (bytes, bytearray, memoryview, FilePart)
JOINED = 64 * 1024
"""Up to this size a body is sent together with the head."""
WITHOUT_KEY = frozenset(
    {
        "createBucket",
        "deleteBucket",
        "deleteObjects",
        "headBucket",
        "listBuckets",
        "listMultipartUploads",
        "listObjects",
        "listVersions",
    }
)


@dataclass(slots=True)
class Request:
    """What is asked of a store; it can be sent any number of times."""

    operation: str
    method: str
    bucket: str = ""
    key: str = ""
    query: tuple[tuple[str, str | None], ...] = ()
    """What is asked for; `None`: a name alone, as of the subresource in ``?uploads``."""
    headers: dict[str, str] = field(default_factory=dict)
    body: Body = b""
    signed_by: Credentials | None = field(default=None, repr=False, compare=False)
    """Whose credentials it was sent with last."""

    @property
    def url(self) -> str:
        """The name of what the request is about, for messages."""
        return f"s3://{self.bucket}/{self.key}" if self.bucket else "s3://"

    def check(self) -> None:
        """Refuse what would be a request for something else.

        Raises:
            ConfigError: no bucket or no key is named, or a header cannot be sent.
            TypeError: the body is nothing that can be sent, or the key is not text.
        """
        if not isinstance(self.body, BODIES):
            raise TypeError(
                f"the body is of type {type(self.body).__name__}; "
                "give bytes, a bytearray, a memoryview or an aioobs.FilePart"
            )
        if not isinstance(self.key, str):  # first, for a call takes as long as all of this
            check_text("key", self.key)
        if not self.bucket and self.operation != "listBuckets":
            raise ConfigError("no bucket is named")
        if not self.key and self.operation not in WITHOUT_KEY:
            raise ConfigError("the key is empty: an object needs a name")
        if not self.key.isascii() and not is_text(self.key):
            raise ConfigError(f"the key {self.key!a} is not text: keys are UTF-8")
        for name, value in self.query:
            if value and not is_text(value):
                raise ConfigError(f"{name}={value!a} is not text: what is asked for is UTF-8")
        if self.headers:
            check_headers(self.headers)


class SignedRequest(NamedTuple):
    """A request in the words in which it is sent, once and soon."""

    origin: str
    """Where it goes."""
    method: str
    target: str
    """What it asks for there: a path and a query."""
    lines: str
    """Its headers, each with the end of its line."""
    body: Body

    def __repr__(self) -> str:
        """Name it without its secrets, for tracebacks and debuggers."""
        return f"<SignedRequest {self.method} {self.url}>"

    @property
    def url(self) -> str:
        """Where it goes and what it asks for there."""
        return self.origin + self.target

    @property
    def head(self) -> bytes:
        """What is sent before its body."""
        head = f"{self.method} {self.target} HTTP/1.1\r\n{self.lines}\r\n"
        return head.encode("utf-8", "surrogateescape")

    @property
    def headers(self) -> dict[str, str]:
        """Its headers, one by one."""
        return dict(line.split(": ", 1) for line in self.lines.split("\r\n")[:-1])


Sign = Callable[[Request], SignedRequest]


class Address(NamedTuple):
    """Where a bucket's requests go."""

    origin: str
    host: str
    in_host: bool
    """Whether the bucket is part of the host name."""

    def target(self, request: Request) -> Target:
        """Return what of *request* is signed, under this address."""
        key = quote_path(request.key)
        resource = f"/{request.bucket}/{key}" if request.bucket else "/"
        if self.in_host:
            path = f"/{key}"
        else:
            path = resource = resource if request.key else resource.rstrip("/") or "/"
        query = encode_query(request.query) if request.query else ""
        return Target(request.method, self.host, path, query, resource)


def address(config: Config, bucket: str, origin: str = "") -> Address:
    """Return where requests to *bucket* go; *origin* is where a store has redirected them to.

    Raises:
        ConfigError: the name cannot be one of a bucket.
    """
    origin = origin or config.origin
    scheme, _, netloc = origin.partition("://")
    if not bucket:
        return Address(origin, netloc, in_host=False)
    if not BUCKET.fullmatch(bucket) or ".." in bucket:
        raise ConfigError(f"{bucket!r} cannot be the name of a bucket")
    if netloc.startswith(f"{bucket}."):  # a redirect may name the bucket's own host
        return Address(origin, netloc, in_host=True)
    if not in_host_name(config, bucket, scheme):
        return Address(origin, netloc, in_host=False)
    return Address(f"{scheme}://{bucket}.{netloc}", f"{bucket}.{netloc}", in_host=True)


def in_host_name(config: Config, bucket: str, scheme: str) -> bool:
    """Tell whether the bucket belongs in the host name rather than in the path."""
    if config.addressing != "auto":
        return config.addressing == "virtual"
    if not config.is_public_cloud or is_ip(config.host):
        return False
    if DNS_LABEL.fullmatch(bucket):
        return True
    # A name with dots matches no wildcard certificate, one with other letters is no host name.
    return scheme == "http" and all(DNS_LABEL.fullmatch(label) for label in bucket.split("."))


def is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def check_headers(headers: dict[str, str]) -> None:
    """Refuse names that are none, and values that would end a header line.

    Raises:
        ConfigError: names the header.
        TypeError: a value is not text.
    """
    for name, value in headers.items():
        if not isinstance(value, str):
            raise TypeError(f"the header {name!r} is of type {type(value).__name__}; give a str")
        if not HEADER_NAME.fullmatch(name):
            raise ConfigError(f"{name!r} cannot be the name of a header")
        if value.isascii() and value.isprintable():
            continue
        if FORBIDDEN_IN_HEADERS.search(value):
            raise ConfigError(f"the header {name!r} holds a line break or a NUL, or the like")
        if not is_text(value):
            raise ConfigError(f"the header {name!r} is not text: it is sent as UTF-8")


def is_text(text: str) -> bool:
    """Tell whether UTF-8 can hold it: no half of a character, as bytes of another kind become."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def object_headers(content_type: str, metadata: Mapping[str, str] | None) -> dict[str, str]:
    """Return the headers that say what an object is."""
    headers = {"content-type": content_type} if content_type else {}
    if metadata:
        for name in metadata:
            check_text("name of metadata", name)
        headers |= {f"x-amz-meta-{name.lower()}": value for name, value in metadata.items()}
    return headers


def version_query(version_id: str) -> tuple[tuple[str, str | None], ...]:
    """Return the query that asks for one version of an object, if one is named."""
    return (("versionId", version_id),) if version_id else ()


def source_headers(source: tuple[str, str], if_match: str) -> dict[str, str]:
    """Return the headers that name the object to copy."""
    if isinstance(source, str):
        raise ConfigError(f"the source {source!r} is a text; write ('bucket', 'key')")
    bucket, key = source
    headers = {"x-amz-copy-source": f"/{bucket}/{quote_path(key)}"}
    if if_match:
        headers["x-amz-copy-source-if-match"] = f'"{if_match}"'
    return headers
