"""The one shape of head that is read without aiohttp.

Whatever two readers could understand differently is not of that shape.
"""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["LONGEST_HEAD", "Head", "is_foreign", "may_become_head", "parse_head"]

LONGEST_HEAD = 64 * 1024
MOST_HEADERS = 100

# No line may be longer than aiohttp takes, and nothing in them may take more than linear time.
STATUS_LINE = re.compile(rb"HTTP/1\.1 ([2-5][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]{0,4000}))?\r\n")
HEADER = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]{1,4000}):([\t\x20-\x7e\x80-\xff]{0,4000})")
LENGTH = "[0-9]{1,18}"
DIGITS = re.compile(LENGTH)
VALUE = r"(?:[\x21-\x7e][\t\x20-\x7e]{0,3900}(?<![\t ]))?"
SINGLE = frozenset(
    {
        "content-length",
        "content-location",
        "content-range",
        "content-type",
        "etag",
        "transfer-encoding",
    }
)
"""Headers of which there may be one alone."""
OTHER_PROTOCOLS = frozenset({"proxy-connection", "sec-websocket-key1", "upgrade"})
"""Headers that some readers take for the end of HTTP, or of the connection."""


REPEATED = frozenset(
    {
        "accept-ranges",
        "connection",
        "content-length",
        "content-type",
        "date",
        "keep-alive",
        "server",
        "strict-transport-security",
        "vary",
        "x-amz-bucket-region",
        "x-amz-server-side-encryption",
        "x-content-type-options",
        "x-xss-protection",
    }
)
"""Headers that stand in one answer after the other to the letter."""
MOST_USUAL = 500
usual: dict[bytes, tuple[str, str]] = {}
"""Such lines, with what they say."""


class Head(NamedTuple):
    """What comes before the body of an answer."""

    status: int
    reason: str
    headers: dict[str, str]
    """Names are in lower case."""
    length: int | None
    """The length of the body that is announced, whether or not there is a body."""
    chunked: bool = False
    keep: bool = True
    """Whether the server goes on with the connection, and nothing else is to be expected on it."""

    @property
    def body_length(self) -> int | None:
        """How many bytes come behind it, unless it answers HEAD; `None`: what comes tells that."""
        return 0 if self.status in (204, 304) else self.length


def is_foreign(data: bytes) -> bool:
    """Tell whether the first bytes of an answer are of another protocol than HTTP."""
    return not (b"HTTP/".startswith(data[:5]) or data.startswith((b"\r", b"\n")))


def may_become_head(data: bytes) -> bool:
    """Tell whether more bytes can make a head of these that is accepted here."""
    if len(data) > LONGEST_HEAD or not b"HTTP/1.1 ".startswith(data[:9]):
        return False
    return data.count(b"\n") == data.count(b"\r\n")


class Shape(NamedTuple):
    """What all the heads have in common that differ in nothing but the values in them."""

    pattern: re.Pattern[str]
    names: tuple[str, ...]
    status: int
    reason: str


MOST_SHAPES = 4
shapes: dict[bytes, tuple[Shape, ...]] = {}
"""The shapes of the last heads, by how they begin: a server writes one answer like the other, to
each kind of request.  Threads race for them: a tuple is replaced as a whole."""
BEGINNING = len(b"HTTP/1.1 200")


def parse_head(data: bytes) -> Head | None:
    """Return what a whole head says; `None`: it is not of the shape accepted here."""
    beginning = data[:BEGINNING]
    known = shapes.get(beginning, ())
    if known and data.isascii():
        text = data.decode("ascii")
        for shape in known:
            found = shape.pattern.fullmatch(text)
            if found is not None:
                headers = dict(zip(shape.names, found.groups(), strict=True))
                length = int(headers["content-length"])
                return Head(shape.status, shape.reason, headers, length)
    head = parse_any_head(data)
    new = None if head is None else shape_of(data, head)
    if new is not None and new not in known:
        shapes[beginning] = (new, *known[: MOST_SHAPES - 1])
    return head


def shape_of(data: bytes, head: Head) -> Shape | None:
    """Return the shape of a head that announces a length and is not the last on its connection."""
    lines = data[:-4].split(b"\r\n")
    if not (head.keep and head.length is not None and data.isascii()) or head.status == 204:
        return None
    if len(head.headers) != len(lines) - 1 or "connection" in head.headers:
        return None
    patterns = [re.escape(lines[0].decode("ascii"))]
    for line, (name, value) in zip(lines[1:], head.headers.items(), strict=True):
        before, _, _ = line.decode("ascii").partition(":")
        if line.decode("ascii") != f"{before}: {value}":
            return None
        patterns.append(f"{before}: ({LENGTH if name == 'content-length' else VALUE})")
    pattern = re.compile("\r\n".join([*patterns, "", ""]))
    return Shape(pattern, tuple(head.headers), head.status, head.reason)


def parse_any_head(data: bytes) -> Head | None:
    """Do as `parse_head` does, without knowing any other head."""
    line = STATUS_LINE.match(data)
    if line is None:
        return None
    reason = line[2] or b""
    if reason != reason.strip(b" \t"):
        return None
    lines = data[line.end() :].split(b"\r\n")
    if lines[-2:] != [b"", b""] or len(lines) - 2 > MOST_HEADERS:
        return None
    headers: dict[str, str] = {}
    for text in lines[:-2]:
        header = usual.get(text) or parse_header(text)
        if header is None:
            return None
        name, value = header
        if name in headers:
            if name in SINGLE:
                return None
            value = f"{headers[name]}, {value}"
        headers[name] = value
    if not OTHER_PROTOCOLS.isdisjoint(headers):
        return None
    length = None
    if "content-length" in headers:
        if "transfer-encoding" in headers or not DIGITS.fullmatch(headers["content-length"]):
            return None
        length = int(headers["content-length"])
    coding = headers.get("transfer-encoding", "")
    chunked = "transfer-encoding" in headers
    if chunked and not (coding.isascii() and coding.lower() == "chunked"):  # \u212a too is a K
        return None
    # An answer whose end only the end of the connection shows has one coming.
    ends = length is not None or chunked or line[1] in (b"204", b"304")
    keep = ends and "close" not in headers.get("connection", "").lower()
    if line[1] == b"204" and (length or chunked):  # there may be a body although there must not
        keep = False
    phrase = reason.decode("utf-8", "surrogateescape")
    return Head(int(line[1]), phrase, headers, length, chunked, keep)


def parse_header(line: bytes) -> tuple[str, str] | None:
    """Return what a line says; `None`: it is no header."""
    found = HEADER.fullmatch(line)
    if found is None:
        return None
    name = found[1].decode("ascii").lower()
    header = name, found[2].strip(b" \t").decode("utf-8", "surrogateescape")
    if name in REPEATED:
        if len(usual) >= MOST_USUAL:
            usual.clear()
        usual[line] = header
    return header
