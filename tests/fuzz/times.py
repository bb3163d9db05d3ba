"""Times: a time, or what says that it is none; those that are written are read."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import strategies as st

from aioobs.errors import ProtocolError
from aioobs.s3.documents.dates import http_time, nanoseconds


def check(data: bytes) -> None:
    """Check one time."""
    text = data.decode("utf-8", "surrogateescape")
    with suppress(ProtocolError):
        assert isinstance(nanoseconds(text), int)
    assert isinstance(http_time(text), (float, type(None)))


PARTS = [
    "Mon, ", "02 ", "Jan ", "Dec ", "2026 ", "0000 ", "99999 ", "9999 ", "1", "99 ", "03:04:05 ",
    "24:00:00 ",
    "GMT", "+0000", "-2400", "+99999999", "EST", "2026-01-02", "0001-01-01", "9999-12-31", "T", "Z",
    "23:59:59", "23:59:60", ".999999999", "+14:00", "-23:59", "+24:00", "2026-W01-1", "\u0665",
    "-", " ",
]  # fmt: skip
inputs = (
    st.datetimes().map(lambda time: f"{time.isoformat()}Z".encode())
    | st.lists(st.sampled_from(PARTS), max_size=8).map(lambda parts: "".join(parts).encode())
    | st.binary(max_size=30)
)
"""A time."""
