"""Which failures are tried again, how often, and after how long."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from aioobs.errors import (
    ConnectionFailed,
    ObjectChanged,
    ReadError,
    ResponseError,
)
from aioobs.s3.documents.dates import http_time

if TYPE_CHECKING:
    from aioobs.config import Config
    from aioobs.errors import ErrorResponse, ObsError

__all__ = ["Budget", "asks_to_slow_down"]

ALWAYS = 1 << 30  # as often as the budget has it
NEVER = 1

STATUSES = {408: ALWAYS, 429: ALWAYS, 500: ALWAYS, 502: ALWAYS, 503: ALWAYS, 504: ALWAYS}
CODES = {
    "BadDigest": 3,
    "BandwidthLimitExceeded": ALWAYS,
    "InternalError": ALWAYS,
    "OperationAborted": ALWAYS,
    "RequestLimitExceeded": ALWAYS,
    "RequestTimeout": ALWAYS,
    "ServiceUnavailable": ALWAYS,
    "SlowDown": ALWAYS,
    "Throttling": ALWAYS,
    "ThrottlingException": ALWAYS,
    "TooManyRequests": ALWAYS,
    "XAmzContentSHA256Mismatch": 3,
}
TOO_MANY = frozenset(
    {
        "BandwidthLimitExceeded",
        "RequestLimitExceeded",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequests",
    }
)
# Nothing listens there or nobody knows the name: more attempts only keep the user waiting.
CONNECTIONS = {"refused": 5, "unknown host": 3, "not http": 3, "proxy": 3, "tls": NEVER}
RETURNING = frozenset({"refused", "unknown host"})  # unless it was there before, and is restarted

LONGEST_RETRY_AFTER = 120.0


def attempts_for(error: ObsError, *, was_there: bool) -> int:
    """Return how often a request may fail with *error* before it is given up."""
    if isinstance(error, ConnectionFailed):
        if was_there and error.kind in RETURNING:
            return ALWAYS
        return CONNECTIONS.get(error.kind, ALWAYS)
    if isinstance(error, ReadError):
        return NEVER if isinstance(error, ObjectChanged) else ALWAYS
    if isinstance(error, ResponseError) and error.resp is not None:
        code = CODES.get(error.resp.code)
        return code if code is not None else STATUSES.get(error.resp.status, NEVER)
    return NEVER


def asks_to_slow_down(resp: ErrorResponse) -> bool:
    """Tell whether a store refuses a request because there are too many."""
    return resp.status in (429, 503) or resp.code in TOO_MANY


class Budget:
    """The attempts of one request, shared by all that is done to answer it.

    A body that is read on with a new request draws on the budget of the first one, so that
    retries never multiply.
    """

    __slots__ = ("_hopeless", "_longest_wait", "_wait", "attempts", "made")

    def __init__(self, config: Config) -> None:
        self.attempts: int = config.attempts
        self.made: int = 0
        self._hopeless = 0  # of these, failures after a few of which it is given up
        self._wait = config.retry_wait
        self._longest_wait = config.retry_wait_max

    def renew(self) -> None:
        """Begin the count anew, as so much has come since that this can go on to the end."""
        self.made = self._hopeless = 0

    def wait_after(self, error: ObsError, *, was_there: bool = False) -> float | None:
        """Return the seconds to wait before the next attempt, or `None` if there is to be none.

        *was_there* tells that the store has answered before.
        """
        most = attempts_for(error, was_there=was_there)
        self.made += 1
        self._hopeless += most < ALWAYS
        if self.made >= self.attempts or self._hopeless >= most:
            return None
        wait = min(self._wait * 2.0 ** min(self.made - 1, 60), self._longest_wait)
        return max(wait * random.uniform(0.5, 1.0), retry_after(error.resp))  # noqa: S311


def retry_after(resp: ErrorResponse | None) -> float:
    """Return the seconds that the store asked to wait, at most two minutes."""
    text = resp.headers.get("retry-after", "") if resp else ""
    if not text:
        return 0.0
    try:
        seconds = float(text)
    except ValueError:
        asked, said = http_time(text), http_time(resp.headers.get("date", "")) if resp else None
        seconds = asked - said if asked is not None and said is not None else 0.0
    return min(seconds, LONGEST_RETRY_AFTER) if seconds > 0 else 0.0
