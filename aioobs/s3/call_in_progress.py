"""One call in progress: its limits, and what is reported of it to its `Observer`."""

from __future__ import annotations

import logging
import time
from logging import DEBUG
from typing import TYPE_CHECKING

from aioobs.errors import ConnectionFailed, NotFound, ObsError
from aioobs.s3.body import size_of
from aioobs.s3.observer import Call, attempt_of
from aioobs.s3.retry import retry_after

if TYPE_CHECKING:
    from aioobs.s3.http.idle_timeout import Stopwatch
    from aioobs.s3.http.round_trip import RoundTrip
    from aioobs.s3.http.transport import Reply
    from aioobs.s3.observer import Attempt, Observer
    from aioobs.s3.request import Request
    from aioobs.s3.retry import Budget

    Begun = RoundTrip | ObsError
    """An attempt whose request has been sent already, or one that has failed."""

__all__ = ["CallInProgress"]

log: logging.Logger = logging.getLogger("aioobs.request")


class CallInProgress:
    """A call on its way; each attempt leaves its stopwatch here, and the answer."""

    stopwatch: Stopwatch | None = None
    reply: Reply | None = None
    error: ObsError | None = None
    """Why the last attempt failed."""
    is_reported: bool = False
    """Whether somebody wants to know of its attempts and its end."""
    _number: int = 1
    _began: float = 0.0
    _attempts: tuple[Attempt, ...] = ()

    def __init__(
        self,
        observer: Observer,
        request: Request,
        limit: float | None,
        budget: Budget | None,
        begun: Begun | None,
    ) -> None:
        self.request = request
        self.limit = limit  # seconds for all attempts
        self.budget = budget
        self.begun = begun
        self._observer = observer
        # As `Observer.has_listeners` does, but this is done with each request.
        if observer.on_attempt or observer.on_call or log.isEnabledFor(DEBUG):
            self.is_reported, self._began = True, time.time()

    def answered(self) -> None:
        """Count and report the attempt, which went well."""
        stopwatch, reply, request = self.stopwatch, self.reply, self.request
        assert stopwatch is not None
        assert reply is not None
        seconds, received = stopwatch.elapsed(), reply.received
        counter = self._observer.counters[request.operation]
        counter.add(seconds, size_of(request.body) if request.body else 0, received)
        if self._number > 1:
            counter.retries += 1
        if self.is_reported:
            self._report(attempt_of(request, self._number, seconds, reply, received))

    def failed(self, error: BaseException, wait: float | None = None, lesson: str = "") -> None:
        """Count and report the attempt, which failed; another one is made after *wait* seconds.

        It is made in another way if the store has taught a *lesson*.  `None`: none is made.
        """
        if isinstance(error, ObsError):
            self.error = error
        if self.stopwatch is None and not isinstance(error, ConnectionFailed):
            return  # it was not sent
        reply = self.reply
        seconds = 0.0 if self.stopwatch is None else self.stopwatch.elapsed()
        received = reply.received if reply else 0
        attempt = attempt_of(self.request, self._number, seconds, reply, received, error, wait)
        counter = self._observer.counters[attempt.operation]
        counter.add(seconds, attempt.sent, received)
        counter.failures += not isinstance(error, NotFound)
        counter.retries += self._number > 1
        if self.is_reported:
            self._report(attempt)
        if wait is not None:
            log_retry(attempt, lesson)
        self._number += 1
        self.stopwatch = self.reply = None

    def _report(self, attempt: Attempt) -> None:
        self._attempts += (attempt,)
        self._observer.attempted(attempt)

    def end(self, error: BaseException | None = None) -> None:
        """Report the call, which has ended."""
        if self.is_reported:
            request, began = self.request, self._began
            seconds = time.time() - began
            call = Call(request.operation, request.url, began, seconds, self._attempts, error)
            self._observer.called(call)


def log_retry(attempt: Attempt, lesson: str) -> None:
    """Log that an attempt is followed by another one."""
    error, extra = attempt.error, attempt.fields()
    if lesson:
        extra["reason"] = lesson
        log.info("%s %s: again with %s", attempt.operation, attempt.url, lesson, extra=extra)
        return
    asked = retry_after(error.resp) if isinstance(error, ObsError) else 0.0
    log.warning(
        "attempt %d failed, the next in %.2f s%s: %s",
        attempt.number,
        attempt.wait,
        ", as the store asks" if asked else "",
        error,
        extra=extra | {"retry_after": asked},
    )
