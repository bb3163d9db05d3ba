"""The faults: each makes a bad answer of the good one, or of none, for the requests it concerns."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from email.utils import formatdate
from time import time
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from faulty import (
    GARBAGE,
    HALF_CLOSE,
    HANG_UP,
    RESET,
    STALL,
    Answer,
    answer,
    error_document,
    refusal,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from faulty import End, Received

    Spoil = Callable[[Received, Answer], Answer | None]

__all__ = ["FAULTS", "NOTHING", "Fault", "is_get"]

INVERTED = bytes(reversed(range(256)))
HEAD_END = b"\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n"


@dataclass(frozen=True)
class Fault:
    """One way in which a server, or the network before it, goes wrong."""

    name: str
    spoil: Spoil
    """Returns the bad answer; `None`: such an answer cannot go wrong in this way."""
    concerns: Callable[[Received], bool]
    """Tells whether a request can meet it."""
    carried_out: bool
    """Whether the store carries the request out all the same."""
    asks: Callable[[Received], Received] | None = None
    """What the store is asked instead, of which the answer is."""
    waits: bool = False
    """Whether time goes by until somebody notices."""
    late: float = 0.0
    """Seconds that go by before the store carries the request out."""
    early: bool = False
    """Whether it comes before the body of the request has been read."""
    cuts: bool = False
    """Whether some of a body comes each time, after which it is read on."""
    in_a_row: int = 2
    """How often one request may meet it and still be expected to succeed in the end."""
    lies: bool = False
    """Whether it is well-formed and false, so that nobody asks again."""
    unnoticed: bool = False
    """Whether nobody can notice who does not know the content."""
    but: tuple[str, ...] = ()
    """Verbs that try for too long to be tried when it lasts."""


def anything(_: Received) -> bool:
    return True


def is_get(received: Received) -> bool:
    """Tell whether the content of an object is asked for."""
    return received.method == "GET" and not is_listing(received)


def is_listing(received: Received) -> bool:
    return received.method == "GET" and "prefix" in received.query


def is_ranged(received: Received) -> bool:
    return is_get(received) and "range" in received.headers


def is_later_piece(received: Received) -> bool:
    return is_get(received) and received.first_byte > 0


def has_body(received: Received) -> bool:
    return received.length > 0


def is_write(received: Received) -> bool:
    """Tell whether an object, or a part of one, is sent."""
    return received.method == "PUT" and "x-amz-copy-source" not in received.headers


def is_told_in_xml(received: Received) -> bool:
    """Tell whether the answer is a document that says what has become of a write."""
    copies = "x-amz-copy-source" in received.headers
    return copies or received.method == "POST"


def is_document(received: Received) -> bool:
    return is_listing(received) or is_told_in_xml(received)


def is_document_or_change(received: Received) -> bool:
    return is_document(received) or received.method in ("PUT", "DELETE")


# ── what an answer is made of ──


def halves(good: Answer) -> tuple[bytes, bytes]:
    """Return the head, with the empty line at its end, and the body."""
    head, blank, body = good.message.partition(HEAD_END)
    return head + blank, body


def status_of(good: Answer) -> int:
    return int(good.message[9:12])


def with_header(good: Answer, name: str, value: str | None) -> Answer:
    """Return an answer in which a header has another value, or does not stand any more."""
    head, body = halves(good)
    lines = head.split(b"\r\n")[:-2]
    kept = [line for line in lines if not line.lower().startswith(name.encode() + b":")]
    if value is not None:
        kept.append(f"{name}: {value}".encode())
    return replace(good, message=b"\r\n".join(kept) + HEAD_END + body)


def with_body(good: Answer, body: bytes) -> Answer:
    """Return an answer with another body, of the length that it announces."""
    head, _ = halves(with_header(good, "content-length", str(len(body))))
    return replace(good, message=head + body)


def header_of(good: Answer, name: str) -> str:
    found = re.search(rf"(?im)^{name}: *(.*?)\r$", halves(good)[0].decode("latin-1"))
    return found[1] if found else ""


# ── the ways in which it goes wrong ──


def instead(bad: Answer) -> Spoil:
    return lambda _received, _good: bad


def cut_in_head(end: End) -> Spoil:
    return lambda _, good: good.cut(head=30, end=end)


def cut_in_body(end: End) -> Spoil:
    def spoil(received: Received, good: Answer) -> Answer | None:
        body = halves(good)[1]
        if len(body) < 2 or received.method == "HEAD":
            return None
        return good.cut(body=len(body) // 2, end=end)

    return spoil


def then(end: End) -> Spoil:
    return lambda _, good: replace(good, end=end)


def longer(_: Received, good: Answer) -> Answer | None:
    return replace(good, message=good.message + b"HTTP/1.1 200 OK\r\n\r\n", end="keep")


def dribbled(_: Received, good: Answer) -> Answer | None:
    return replace(good, pause=0.002)


def announced(change: Callable[[int], str]) -> Spoil:
    """Announce another length than the body has, and hang up after it."""

    def spoil(received: Received, good: Answer) -> Answer | None:
        body = halves(good)[1]
        if not body or received.method == "HEAD":
            return None
        return replace(with_header(good, "content-length", change(len(body))), end="close")

    return spoil


def shortened(received: Received, good: Answer) -> Answer | None:
    """Lose the second half of the body, and announce no more than the first."""
    body = halves(good)[1]
    if len(body) < 2 or received.method == "HEAD":
        return None
    return with_body(good, body[: len(body) // 2])


def announced_twice(_: Received, good: Answer) -> Answer | None:
    length = int(header_of(good, "content-length") or 0)
    head, body = halves(good)
    more = b"content-length: %d\r\n\r\n" % (length + 7)
    return replace(good, message=head[:-2] + more + body, end="close")


def in_chunks(*, whole: bool) -> Spoil:
    def spoil(received: Received, good: Answer) -> Answer | None:
        head, body = halves(with_header(good, "content-length", None))
        if not body or received.method == "HEAD":
            return None
        first, rest = body[: len(body) // 2], body[len(body) // 2 :]
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (first, rest) if part)
        head = head[:-2] + b"transfer-encoding: chunked\r\n\r\n"
        if whole:
            return replace(good, message=head + chunks + b"0\r\n\r\n")
        return replace(good, message=head + chunks[: len(chunks) // 2], end="close")

    return spoil


def after_interim(interim: bytes) -> Spoil:
    return lambda _, good: replace(good, interim=interim)


def skewed(_received: Received, _good: Answer) -> Answer:
    """Refuse by a clock that is as far ahead as the store behind still takes."""
    date = formatdate(time() + 600, usegmt=True)
    return refusal(403, "RequestTimeTooSkewed", date=date)


def redirected(received: Received, _: Answer) -> Answer:
    location = f"http://{received.headers['host']}{received.target}"
    return refusal(307, "TemporaryRedirect", location=location)


def other_etag(received: Received, good: Answer) -> Answer | None:
    if not header_of(good, "etag"):
        return None
    return with_header(good, "etag", f'"{"0123456789abcdef" * 2}"')


def without_etag(received: Received, good: Answer) -> Answer | None:
    return with_header(good, "etag", None) if header_of(good, "etag") else None


def less_than_asked(_: Received, good: Answer) -> Answer | None:
    """Answer with the first half of a range, as a range."""
    found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", header_of(good, "content-range"))
    body = halves(good)[1]
    if not found or len(body) < 2:
        return None
    first, size = int(found[1]), len(body) // 2
    place = f"bytes {first}-{first + size - 1}/{found[3]}"
    return with_body(with_header(good, "content-range", place), body[:size])


def replaced(received: Received, good: Answer) -> Answer | None:
    """Answer as if somebody had put another object there since its beginning was read."""
    if "if-match" in received.headers:
        return refusal(412, "PreconditionFailed")
    head, body = halves(good)
    return other_etag(received, replace(good, message=head + body.translate(INVERTED)))


def flipped(_: Received, good: Answer) -> Answer | None:
    """Change one bit of the content."""
    head, body = halves(good)
    if not body or status_of(good) >= 300:
        return None
    middle = len(body) // 2
    return replace(
        good, message=head + body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]
    )


def half_a_document(_: Received, good: Answer) -> Answer | None:
    body = halves(good)[1]
    return with_body(good, body[: len(body) // 2]) if body else None


def marked(change: Callable[[Received, str], str]) -> Spoil:
    """Have a page say that the next one begins somewhere else."""

    def spoil(received: Received, good: Answer) -> Answer | None:
        body = halves(good)[1].decode()
        found = re.search(r"<NextContinuationToken>(.*?)</NextContinuationToken>", body)
        if not found:
            return None
        token = change(received, found[1])
        if not token:
            return None
        return with_body(good, body.replace(found[0], found[0].replace(found[1], token)).encode())

    return spoil


def the_same(received: Received, _: str) -> str:
    return received.query.get("continuation-token", "")


def out_of_order(_: Received, good: Answer) -> Answer | None:
    """Turn the entries of a page round."""
    body = halves(good)[1].decode()
    entries = re.findall(r"<Contents>.*?</Contents>", body, re.DOTALL)
    if len(entries) < 2:
        return None
    start, stop = body.index(entries[0]), body.rindex(entries[-1]) + len(entries[-1])
    turned = body[:start] + "".join(reversed(entries)) + body[stop:]
    return with_body(good, turned.encode())


def as_it_is(_: Received, good: Answer) -> Answer:
    return good


def without_range(received: Received) -> Received:
    kept = {name: text for name, text in received.headers.items() if name != "range"}
    return replace(received, headers=kept)


def one_further(received: Received) -> Received:
    """Ask for a range that begins and ends a byte further on."""
    found = re.fullmatch(r"bytes=(\d+)-(\d*)", received.headers["range"])
    if not found:
        return received
    first, last = int(found[1]) + 1, str(int(found[2]) + 1) if found[2] else ""
    return replace(received, headers={**received.headers, "range": f"bytes={first}-{last}"})


def asking(received: Received, **changes: str | None) -> Received:
    """Return a request with other parameters; `None`: without that one."""
    names = {name.replace("_", "-"): value for name, value in changes.items()}
    query = {**received.query, **names}
    given = {name: value for name, value in query.items() if value is not None}
    path = received.target.partition("?")[0]
    return replace(received, target=f"{path}?{urlencode(given)}")


def first_page(received: Received) -> Received:
    return asking(received, continuation_token=None)


def longer_page(received: Received) -> Received:
    return asking(received, max_keys="1000")


def is_later_page(received: Received) -> bool:
    return is_listing(received) and "continuation-token" in received.query


def fault(
    name: str,
    spoil: Spoil,
    concerns: Callable[[Received], bool] = anything,
    *,
    carried_out: bool = False,
    **options: object,
) -> Fault:
    return Fault(name, spoil, concerns, carried_out, **options)  # type: ignore[arg-type]


FAILED = refusal(500, "InternalError")
PROXY_PAGE = answer(502, "<html><body>Bad Gateway</body></html>", content_type="text/html")
SLOW_DOWN = refusal(503, "SlowDown")
BREAK = replace(RESET, early=True, after=1000)
TOO_EARLY = replace(SLOW_DOWN, early=True, end="close")
LATER = refusal(503, "SlowDown", retry_after="0.02")
EMPTY = answer(503)
TOO_MANY = refusal(429, "TooManyRequests", retry_after="0.02")
EXPIRED = refusal(400, "ExpiredToken")
BUT_AN_ERROR = answer(
    200, error_document("InternalError"), etag='"0123456789abcdef0123456789abcdef"'
)

NOTHING = fault("nothing", as_it_is, lambda _: False)
FAULTS = {
    found.name: found
    for found in (
        fault("connection reset", instead(RESET)),
        fault("connection closed", instead(HANG_UP)),
        fault("half close", instead(HALF_CLOSE)),
        fault("no answer", instead(STALL), waits=True),
        fault("not HTTP", instead(GARBAGE)),
        fault("reset while sending", instead(BREAK), has_body, early=True),
        fault("refused while sending", instead(TOO_EARLY), has_body, early=True),
        fault("500", instead(FAILED)),
        fault("502 of a proxy", instead(PROXY_PAGE)),
        fault("503", instead(SLOW_DOWN)),
        fault("503 with Retry-After", instead(LATER)),
        fault("503 without a body", instead(EMPTY)),
        fault("429 with Retry-After", instead(TOO_MANY)),
        fault("token expired", instead(EXPIRED), in_a_row=1),
        fault("clock skewed", skewed, in_a_row=1),
        fault("redirected to itself", redirected, in_a_row=1),
        fault("answer lost", instead(RESET), carried_out=True),
        fault("carried out late", instead(RESET), carried_out=True, waits=True, late=0.8),
        fault("done, but 500", instead(FAILED), carried_out=True),
        fault("reset in the head", cut_in_head("reset"), carried_out=True),
        fault("stalled in the head", cut_in_head("stall"), carried_out=True, waits=True),
        fault("reset in the body", cut_in_body("reset"), carried_out=True, cuts=True),
        fault("closed in the body", cut_in_body("close"), carried_out=True, cuts=True),
        fault("stalled in the body", cut_in_body("stall"), carried_out=True, waits=True, cuts=True),
        fault("silent after the answer", then("stall"), carried_out=True, waits=True),
        fault("closed after the answer", then("close"), carried_out=True),
        fault("reset after the answer", then("reset"), carried_out=True),
        fault("more than announced", longer, carried_out=True),
        fault("dribble", dribbled, carried_out=True),
        fault("Content-Length too long", announced(lambda size: str(size + 7)), carried_out=True),
        fault("Content-Length too short", announced(lambda size: str(size - 1)), carried_out=True),
        fault("Content-Length not a number", announced(lambda _: "many"), carried_out=True),
        fault("two Content-Lengths", announced_twice, carried_out=True),
        fault("cut, with a length that fits", shortened, is_get, carried_out=True),
        fault("in chunks", in_chunks(whole=True), carried_out=True),
        fault("chunks cut off", in_chunks(whole=False), carried_out=True, cuts=True),
        fault("1xx storm", after_interim(CONTINUE * 30 + HINTS * 30), carried_out=True),
        fault("200 with an Error", instead(BUT_AN_ERROR), is_document_or_change),
        fault("200 with nothing", instead(answer(200)), is_document, carried_out=True, lies=True),
        fault("half a document", half_a_document, is_document, carried_out=True, lies=True),
        fault("Range ignored", as_it_is, is_ranged, asks=without_range),
        fault("less than the range", less_than_asked, is_ranged, carried_out=True),
        fault("another range", as_it_is, is_ranged, asks=one_further),
        fault(
            "replaced while it is read",
            replaced,
            is_later_piece,
            carried_out=True,
            but=("append_big",),
            lies=True,
        ),
        fault(
            "wrong ETag",
            other_etag,
            carried_out=True,
            but=("append", "append_big", "file_append"),
            lies=True,
        ),
        fault("no ETag", without_etag, carried_out=True, lies=True),
        fault("page marker repeats", marked(the_same), is_listing, carried_out=True, lies=True),
        fault("page marker goes back", as_it_is, is_later_page, asks=first_page, lies=True),
        fault("page out of order", out_of_order, is_listing, carried_out=True),
        fault("page longer than asked", as_it_is, is_listing, asks=longer_page),
        fault("content corrupted", flipped, is_get, carried_out=True, unnoticed=True, lies=True),
    )
}
