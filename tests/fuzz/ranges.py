"""Ranges: what is taken for an answer to a request for a range is one, to the byte.

An input has lines: the first byte wanted and the one after the last (or nothing), how many have
come before, the status, and headers.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from hypothesis import strategies as st

from aioobs.errors import ObjectChanged, ReadError
from aioobs.s3.objects import Range

if TYPE_CHECKING:
    from aioobs.s3.http.transport import Reply


def number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def check(data: bytes) -> None:
    """Check one answer."""
    first, stop, before, status, *lines = [*data.decode("latin-1").split("\n"), "", "", "", ""]
    headers = dict(line.split(": ", 1) for line in lines if ": " in line)
    length = number(headers.get("content-length", ""))
    start, received = number(first) or 0, number(before) or 0
    asked = Range(start, number(stop), headers.get("x-wanted", ""))
    reply = SimpleNamespace(status=number(status) or 200, headers=headers, length=length)
    if asked.stop is not None and asked.stop <= start + received:
        return  # nobody asks for nothing
    try:
        total, coming = asked.check(cast("Reply", reply), received)
    except (ObjectChanged, ReadError):
        return
    assert coming is None or coming >= 0
    assert length is None or coming in (None, length)
    if asked.stop is not None and coming is not None:
        assert start + received + coming == min(asked.stop, total)
    if start + received:
        place = headers["content-range"].removeprefix("bytes ").split("-")[0]
        assert int(place) == start + received


numbers = st.sampled_from(["", "0", "1", "4", "5", "6", "10", "9" * 18, "9" * 5000])
inputs = st.builds(
    lambda first, stop, before, status, length, place, tag: "\n".join(
        [first, stop, before, status, *length, *place, *tag]
    ).encode(),
    numbers,
    numbers,
    st.sampled_from(["0", "0", "1", "4"]),
    st.sampled_from(["200", "206"]),
    st.builds(lambda n: [f"content-length: {n}"], numbers)
    | st.just(["transfer-encoding: chunked"]),
    st.builds(
        lambda first, last, total: [f"content-range: bytes {first}-{last}/{total}"],
        numbers,
        numbers,
        numbers | st.just("*"),
    )
    | st.just([]),
    st.sampled_from([[], ["etag: a"], ["etag: a", "x-wanted: a"], ["etag: a", "x-wanted: b"]]),
)
"""What was asked for, and the head of an answer."""
