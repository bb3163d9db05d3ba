"""What a store says of an object, and the checks that its answers have to pass."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote

from aioobs.errors import ObjectChanged, ProtocolError, ReadError
from aioobs.s3.documents.dates import http_time
from aioobs.s3.documents.xml import unquote_etag

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aioobs.s3.http.transport import Reply

__all__ = ["MD5", "STORED_MD5", "ObjectInfo", "Range", "if_match", "multipart_etag"]

CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")
MD5 = re.compile(r"[0-9a-f]{32}")
STORED_MD5 = "md5chksum"
"""The metadata that holds an MD5 in Base64; rclone writes and reads it, too."""

OBJECT_TYPE = ("x-amz-object-type", "x-obs-object-type")


@dataclass(frozen=True)
class ObjectInfo:
    """What a store says of one object."""

    key: str
    size: int
    """Bytes of the whole object, also where only a range was asked for."""
    etag: str
    """Without quotes; changes whenever the content does."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """All headers of the answer, names in lower case."""

    @property
    def mtime_nsec(self) -> int:
        """When the object was last written, nanoseconds since 1970; 0: the store did not say."""
        time = http_time(self.headers.get("last-modified", ""))
        return int(time or 0) * 1_000_000_000

    @property
    def appendable(self) -> bool:
        """Whether `append_object` has created the object, and so can add to it."""
        return any(self.headers.get(name) == "Appendable" for name in OBJECT_TYPE)

    @property
    def metadata(self) -> dict[str, str]:
        """The user's own metadata, names in lower case."""
        found = {}
        for name, value in self.headers.items():
            if name.startswith("x-amz-meta-"):
                found[name[11:]] = value
            elif name.startswith("x-obs-meta-"):
                found[name[11:]] = decoded(value)
        return found


def if_match(etag: str) -> dict[str, str]:
    """Return the header that asks for the version of an object with an ETag, if that is known."""
    return {"if-match": f'"{etag}"'} if etag else {}


@dataclass
class Range:
    """The bytes of one object that are wanted, and what has been learned on the way.

    All answers have to be of one version of the object: the first answer's ETag is pinned.
    """

    start: int = 0
    """Less than 0: so many bytes before the end, until the first answer tells where that is."""
    stop: int | None = None
    etag: str = ""
    size: int | None = None
    """What the whole object has, if it is known."""
    version_id: str = ""

    def headers(self, received: int) -> dict[str, str]:
        """Return the headers that ask for what is missing after *received* bytes."""
        headers = if_match(self.etag)
        first = self.start + received
        if self.start < 0:
            headers["range"] = f"bytes={self.start}"
        elif first or self.stop is not None:
            last = "" if self.stop is None else str(self.stop - 1)
            headers["range"] = f"bytes={first}-{last}"
        return headers

    def check(self, reply: Reply, received: int) -> tuple[int, int | None]:
        """Return the size of the object and the number of bytes to come, as the head has it.

        Raises:
            ObjectChanged: the object is not the one that was read before.
            ReadError: the answer is not what was asked for.
        """
        etag = unquote_etag(reply.headers.get("etag", ""))
        if self.etag and etag and etag != self.etag:
            raise ObjectChanged(f"the object was replaced: its ETag was {self.etag}, is {etag}")
        found = CONTENT_RANGE.fullmatch(reply.headers.get("content-range", ""))
        if self.start < 0:  # without a range it is all, which is enough
            self.start = first_of_tail(-self.start, found) if found else 0
        first = self.start + received
        if found:
            if int(found[1]) != first:
                raise ReadError(f"asked for the bytes from {first} on, got those from {found[1]}")
            length = int(found[2]) + 1 - first
            total = first + length if found[3] == "*" else int(found[3])
            stop = total if self.stop is None else min(self.stop, total)
            if (first, length, total) == (0, 1, 0):  # as some stores say of an empty object
                length = 0
            elif reply.length not in (None, length):
                raise ReadError(f"the answer announces both {length} and {reply.length} bytes")
            elif length <= 0 or first + length != stop:
                raise ReadError(f"asked for the bytes {first} to {stop}, got {length} of {total}")
        elif first or reply.status == 206:
            raise ReadError(f"asked for the bytes from {first} on, got an answer without a range")
        elif reply.length is not None:
            total = length = reply.length
        elif "chunked" in reply.headers.get("transfer-encoding", "").lower():
            total, length = 0, -1
        else:
            raise ReadError("the answer does not say how long it is")
        if self.size is not None and length >= 0 and total != self.size:
            raise ReadError(f"the object has {self.size} bytes, the answer is one of {total}")
        if self.stop is not None and length > self.stop - first:
            raise ReadError(f"asked for {self.stop - first} bytes, got {length}")
        self.etag = self.etag or etag
        return total, length if length >= 0 else None


def first_of_tail(size: int, found: re.Match[str]) -> int:
    """Return where the last *size* bytes of an object begin.

    Raises:
        ReadError: the range of the answer is another one.
    """
    first, total = int(found[1]), found[3]
    if total != "*" and first == max(int(total) - size, 0):
        return first
    raise ReadError(f"asked for the last {size} bytes, got those from {first} on of {total}")


def decoded(value: str) -> str:
    """Return metadata as it was given, which clients of OBS's own API percent-encode."""
    try:
        return unquote(value, errors="strict")
    except UnicodeDecodeError:
        return value


def info_of(key: str, reply: Reply, size: int | None = None) -> ObjectInfo:
    """Return what the head of an answer says of an object.

    Raises:
        ProtocolError: it says nothing that an object store says.
    """
    headers = reply.headers
    if "etag" not in headers and "last-modified" not in headers:
        raise ProtocolError(
            "the answer has neither ETag nor Last-Modified; is this an S3 endpoint?"
        )
    length = size if size is not None else reply.length
    if length is None:
        raise ProtocolError("the answer does not say how long the object is")
    return ObjectInfo(key, length, unquote_etag(headers.get("etag", "")), headers)


def multipart_etag(etags: list[str]) -> str:
    """Return the ETag that most stores give an object of these parts, or "" if none can be told."""
    import hashlib

    if not all(MD5.fullmatch(etag) for etag in etags):
        return ""
    joined = b"".join(map(bytes.fromhex, etags))
    return f"{hashlib.md5(joined, usedforsecurity=False).hexdigest()}-{len(etags)}"
