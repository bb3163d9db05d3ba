"""Times in XML documents and in headers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from aioobs.errors import ProtocolError

__all__ = ["http_time", "nanoseconds"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def nanoseconds(text: str) -> int:
    """Return an ISO 8601 time, with or without a fraction, in nanoseconds since 1970.

    Raises:
        ProtocolError: it is no such time.
    """
    if not text:
        return 0
    try:
        time = datetime.fromisoformat(text)
    except ValueError as exc:
        raise ProtocolError(f"{text!r} is not a time") from exc
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    return (time - EPOCH) // MICROSECOND * 1000


def http_time(text: str) -> float | None:
    """Return the time of a header in seconds since 1970, or `None` if it is none."""
    from email.utils import parsedate_to_datetime  # slow to import, and seldom needed

    try:
        return parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError):
        return None
