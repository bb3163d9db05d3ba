"""Counts the requests to a store, and calls the hooks for each attempt and call."""

from __future__ import annotations

import logging
import math
import time
from bisect import bisect_left
from dataclasses import dataclass, field
from logging import DEBUG
from typing import TYPE_CHECKING, TypeVar

from aioobs.errors import ConnectionFailed, ObsError
from aioobs.s3.body import size_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from aioobs.s3.http.response_head import Head
    from aioobs.s3.http.transport import Reply
    from aioobs.s3.request import Request

__all__ = ["Attempt", "Call", "Observer", "Stats", "attempt_of", "request_id"]

BOUNDS: tuple[float, ...] = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, math.inf),
)

T = TypeVar("T")

log: logging.Logger = logging.getLogger("aioobs.request")


@dataclass(frozen=True, slots=True)
class Stats:
    """What has been asked of a store up to now."""

    requests: int = 0
    """Attempts that have ended, well or not."""
    retries: int = 0
    """Those of them that were not the first one of a call."""
    failures: int = 0
    """Those that had no good answer; that something is not there is none."""
    sent: int = 0
    """Bytes of bodies in requests that were answered."""
    received: int = 0
    """Bytes of bodies in answers."""
    seconds: float = 0.0
    """How long all attempts took together, the bodies of answers included."""
    latency: Mapping[float, int] = field(default_factory=dict)
    """How many attempts took so many seconds at most and more than the bound before; the last
    bound is infinite."""
    operations: Mapping[str, Stats] = field(default_factory=dict)
    """The same for each operation, such as ``getObject``, alone."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request, and what came of it."""

    operation: str
    """The store's operation, such as ``getObject``."""
    url: str
    """What the request is about, as ``s3://bucket/key``."""
    number: int
    """1 for the first attempt of a call."""
    began: float
    """When it was sent, in Unix seconds."""
    seconds: float
    """How long it took, the body of the answer included."""
    sent: int
    """Bytes of the body that was sent."""
    received: int
    """Bytes of the body that came."""
    status: int | None
    """The status of the answer; `None`: there was none."""
    request_id: str
    """What the store's support asks for."""
    error: BaseException | None
    """Why it failed; `None`: it did not."""
    wait: float | None
    """Seconds until the next attempt; `None`: there is to be none."""

    @property
    def reason(self) -> str:
        """Why it failed, in a word: the store's code, a status, or what happened to it."""
        return reason(self.error) if self.error else ""

    def fields(self) -> dict[str, object]:
        """Return what a line in a log has beside its text."""
        return {
            "operation": self.operation,
            "url": self.url,
            "attempt": self.number,
            "seconds": self.seconds,
            "sent": self.sent,
            "received": self.received,
            "status": self.status,
            "request_id": self.request_id,
            "reason": self.reason,
            "wait": self.wait,
        }

    def __str__(self) -> str:
        """Return the line that a log has."""
        told = f"{self.operation} {self.url}: {self.reason or self.status} in {self.seconds:.3f} s"
        told += f", {self.sent} bytes sent, {self.received} received"
        told += f", attempt {self.number}" if self.number > 1 else ""
        return f"{told} (request {self.request_id})" if self.request_id else told


@dataclass(frozen=True, slots=True)
class Call:
    """One operation with all of its attempts."""

    operation: str
    url: str
    began: float
    """When, in Unix seconds."""
    seconds: float
    """How long it took, waits included."""
    attempts: tuple[Attempt, ...]
    error: BaseException | None
    """What was raised; `None`: it went well."""


class Counter:
    """The counts of one operation.

    Plain numbers: while Python has its lock, no thread can come between the halves of a ``+=``.
    """

    __slots__ = ("failures", "latency", "received", "retries", "seconds", "sent")

    def __init__(self) -> None:
        self.retries: int = 0
        self.failures: int = 0
        self.sent: int = 0
        self.received: int = 0
        self.seconds: float = 0.0
        self.latency: list[int] = [0] * len(BOUNDS)

    def add(self, seconds: float, sent: int, received: int) -> None:
        """Count an attempt."""
        self.seconds += seconds
        self.sent += sent
        self.received += received
        self.latency[bisect_left(BOUNDS, seconds)] += 1


class Counters(dict[str, Counter]):
    """A counter for each operation that was ever asked for."""

    def __missing__(self, operation: str) -> Counter:
        return self.setdefault(operation, Counter())  # another thread may have been faster


class Observer:
    """Counts what clients do, and calls their hooks; several clients may share one."""

    def __init__(self) -> None:
        self.counters: Counters = Counters()
        self.on_attempt: list[Callable[[Attempt], None]] = []
        """Called with each attempt that has ended."""
        self.on_call: list[Callable[[Call], None]] = []
        """Called with each call that has ended."""

    def has_listeners(self) -> bool:
        """Tell whether anybody wants more than the counts."""
        return bool(self.on_attempt or self.on_call) or log.isEnabledFor(DEBUG)

    def has_answer(self) -> bool:
        """Tell whether a request was ever answered as it should be."""
        counters = list(self.counters.values())  # to which another thread may add
        return any(sum(found.latency) > found.failures for found in counters)

    def stats(self) -> Stats:
        """Return what has been counted."""
        alone = {name: total([self.counters[name]], {}) for name in sorted(self.counters)}
        return total(self.counters.values(), alone)

    def attempted(self, attempt: Attempt) -> None:
        """Report an attempt that has ended."""
        if log.isEnabledFor(DEBUG):
            log.debug("%s", attempt, extra=attempt.fields())
        call_all(self.on_attempt, attempt)

    def called(self, call: Call) -> None:
        """Report a call that has ended."""
        call_all(self.on_call, call)

    def single_attempt(self, request: Request, head: Head, seconds: float) -> None:
        """Report a call that was one good attempt."""
        attempt = attempt_of(request, 1, seconds, head, head.length or 0)
        self.attempted(attempt)
        self.called(Call(attempt.operation, attempt.url, attempt.began, seconds, (attempt,), None))


def attempt_of(
    request: Request,
    number: int,
    seconds: float,
    answer: Reply | Head | None,
    received: int,
    error: BaseException | None = None,
    wait: float | None = None,
) -> Attempt:
    """Return the record of an attempt that has just ended."""
    resp = error.resp if isinstance(error, ObsError) else None
    told = request_id(answer.headers) if answer else ""
    return Attempt(
        operation=request.operation,
        url=request.url,
        number=number,
        began=time.time() - seconds,
        seconds=seconds,
        sent=size_of(request.body) if answer else 0,
        received=received,
        status=answer.status if answer else None,
        request_id=told or (resp.request_id if resp else ""),
        error=error,
        wait=wait,
    )


def reason(error: BaseException) -> str:
    """Return in a word why an attempt failed."""
    if isinstance(error, ObsError) and error.resp and not 200 <= error.resp.status < 300:
        return error.resp.code or str(error.resp.status)
    return error.kind if isinstance(error, ConnectionFailed) else type(error).__name__


def request_id(headers: Mapping[str, str]) -> str:
    """Return what the store's support asks for, from the head of an answer."""
    return headers.get("x-amz-request-id") or headers.get("x-obs-request-id") or ""


def call_all(hooks: list[Callable[[T], None]], value: T) -> None:
    """Call the hooks; an error of one is logged, and does no other harm."""
    for hook in tuple(hooks):
        try:
            hook(value)
        except Exception:
            log.exception("%r failed", hook)


def total(counters: Iterable[Counter], operations: Mapping[str, Stats]) -> Stats:
    """Return the sum of what was counted."""
    found = list(counters)
    latency = [sum(one.latency[place] for one in found) for place in range(len(BOUNDS))]
    return Stats(
        requests=sum(latency),
        retries=sum(one.retries for one in found),
        failures=sum(one.failures for one in found),
        sent=sum(one.sent for one in found),
        received=sum(one.received for one in found),
        seconds=sum(one.seconds for one in found),
        latency=dict(zip(BOUNDS, latency, strict=True)),
        operations=operations,
    )
