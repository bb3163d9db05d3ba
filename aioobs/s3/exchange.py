"""Requests with all of their attempts: addressed, signed afresh, sent, tried again, corrected."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from aioobs.calling_thread import caller, on_loop
from aioobs.errors import NotFound, ObsError, OperationTimeout
from aioobs.s3.access import Access
from aioobs.s3.call_in_progress import CallInProgress
from aioobs.s3.http.direct_connections import (
    BufferedReply,
    PartialReply,
    PollTimeout,
    is_short,
)
from aioobs.s3.http.idle_timeout import IdleTimeout
from aioobs.s3.http.loop_connections import LoopConnections
from aioobs.s3.observer import Observer
from aioobs.s3.replies import acknowledged, take
from aioobs.s3.retry import Budget, asks_to_slow_down

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aioobs.config import Config
    from aioobs.s3.call_in_progress import Begun
    from aioobs.s3.http.lean_transport import LeanTransport
    from aioobs.s3.http.transport import Reply
    from aioobs.s3.request import Request

__all__ = ["Exchange"]

T = TypeVar("T")

LONG_WORK = frozenset({"completeMultipartUpload", "copyObject", "copyPart"})
"""What a store may work on for minutes, while it sends nothing but spaces."""


class Exchange:
    """Sends the requests of one client, by what it knows of its store and over its connections."""

    def __init__(self, config: Config, observer: Observer | None = None) -> None:
        self.config = config
        self.observer: Observer = observer or Observer()
        self.access: Access = Access(config)
        self.connections: LoopConnections = LoopConnections(config)

    async def call(
        self,
        request: Request,
        receive: Callable[[Reply], Awaitable[T]],
        *,
        budget: Budget | None = None,
        begun: Begun | None = None,
    ) -> T:
        """Return what *receive* makes of the first good answer to *request*.

        All attempts together take no longer than the operation's timeout.  The first of them may
        have *begun* elsewhere.

        Raises:
            OperationTimeout: they would.
            ObsError: the last attempt's error.
        """
        limit = self.config.timeout(request.operation)
        call = CallInProgress(self.observer, request, limit, budget, begun)
        try:
            if caller.loop is None or begun is not None:
                result = await self._in_time(call, receive)
            else:
                result = await self._on_calling_thread(call, receive, caller.loop)
        except BaseException as exc:
            call.end(exc)
            raise
        if call.is_reported:
            call.end()
        return result

    async def _in_time(
        self,
        call: CallInProgress,
        receive: Callable[[Reply], Awaitable[T]],
        spent: float = 0.0,
    ) -> T:
        if call.limit is None:
            return await self._attempts(call, receive)
        timer = None
        try:
            async with asyncio.timeout(call.limit - spent) as timer:
                return await self._attempts(call, receive)
        except TimeoutError as exc:
            if timer is None or not timer.expired():
                raise
            raise too_late(call) from (call.error or exc)

    async def _on_calling_thread(
        self,
        call: CallInProgress,
        receive: Callable[[Reply], Awaitable[T]],
        loop: asyncio.AbstractEventLoop,
    ) -> T:
        """Do as `_in_time` does, on a thread without an event loop as long as all goes well."""
        request, timeout = call.request, PollTimeout(self._idle_timeout(call.limit), call.limit)
        sent = self._send_directly(request, timeout, loop)
        if isinstance(sent, BufferedReply):
            call.stopwatch, call.reply = timeout, sent
            try:
                result = await take(request, sent, receive)
            except NotFound as error:
                call.failed(error)
                raise
            except ObsError as error:
                sent = error
            else:
                call.answered()
                return result
        elif isinstance(sent, ObsError):
            call.stopwatch = timeout
        try:
            await on_loop()
        except BaseException:
            if isinstance(sent, PartialReply):
                sent.abort()
            raise
        begun = sent.move_to_loop(request.method) if isinstance(sent, PartialReply) else sent
        call.begun = begun
        try:
            result = await self._in_time(call, receive, timeout.elapsed())
        finally:
            if begun is not None and not isinstance(begun, ObsError):
                begun.close()
        if is_short(request.body):  # a long one needs a connection on the loop the next time, too
            self._park_connection(request, loop)
        return result

    def _park_connection(self, request: Request, loop: asyncio.AbstractEventLoop) -> None:
        """Have a connection ready for the next call on a thread, where there was none."""
        connections = self.connections.find(loop)  # none if they were closed meanwhile
        if connections and connections.lean is not None:
            connections.lean.park(self.access.origin(request.bucket))

    def _send_directly(
        self, request: Request, timeout: PollTimeout, loop: asyncio.AbstractEventLoop
    ) -> BufferedReply | PartialReply | ObsError | None:
        connections, sign = self.connections.find(loop), self.access.signing_at_once()
        lean = connections.lean if connections else None
        if connections is None or lean is None or sign is None or not connections.slots.enter():
            return None
        slots = connections.slots
        try:
            return lean.direct.ask(request, sign, timeout)
        finally:
            slots.taken -= 1
            if slots.is_wanted:
                slots.tell(loop)

    async def document(self, request: Request, parse: Callable[[bytes], T]) -> T:
        """Return what *parse* makes of the whole body of the answer."""

        async def receive(reply: Reply) -> T:
            return parse(await reply.read())

        return await self.call(request, receive)

    async def perform(self, request: Request, *, budget: Budget | None = None) -> None:
        """Send a request whose answer has nothing to say."""
        await self.call(request, acknowledged, budget=budget)

    async def _attempts(self, call: CallInProgress, receive: Callable[[Reply], Awaitable[T]]) -> T:
        budget, request = call.budget or Budget(self.config), call.request
        learned: set[str] = set()
        while True:
            try:
                result = await self._attempt(call, receive)
            except ObsError as raised:
                error = raised
                error.operation = error.operation or request.operation
                error.url = error.url or request.url
            except BaseException as given_up:
                call.failed(given_up)
                raise
            else:
                call.answered()
                return result
            wait = self._wait_after(call, error, budget, learned)
            if wait is None:
                raise error
            await asyncio.sleep(wait)

    def _wait_after(
        self, call: CallInProgress, error: ObsError, budget: Budget, learned: set[str]
    ) -> float | None:
        """Return the seconds before the next attempt; `None`: there is to be none.

        What the store has taught is tried at once, and each such lesson once.
        """
        lesson, wait = "", None
        try:
            lesson = self.access.learn(call.request, error.resp) if error.resp else ""
            if lesson in learned:
                lesson = ""
            learned.add(lesson)
            was_there = self.observer.has_answer()
            wait = 0.0 if lesson else budget.wait_after(error, was_there=was_there)
        finally:
            call.failed(error, wait, lesson)
        return wait

    async def _attempt(self, call: CallInProgress, receive: Callable[[Reply], Awaitable[T]]) -> T:
        begun, call.begun = call.begun, None
        if isinstance(begun, ObsError):
            raise begun
        loop, request = asyncio.get_running_loop(), call.request
        connections = self.connections.find(loop) or await self.connections.get()
        signed_by = request.signed_by

        async with connections.slots as since:
            signed = await self.access.signed(request)
            if begun is not None:  # the answer is to what has been sent already
                request.signed_by = signed_by
            with IdleTimeout(self._idle_timeout(call.limit)) as idle_timeout:
                call.stopwatch = idle_timeout
                at_work = request.operation in LONG_WORK
                progress = idle_timeout.sign_of_life if at_work else idle_timeout.progress
                reply = await connections.send(signed, progress, begun)
                call.reply = reply
                try:
                    return await take(request, reply, receive)
                except ObsError as error:
                    if error.resp is not None and asks_to_slow_down(error.resp):
                        connections.slots.slow_down(since)
                    raise

    def _idle_timeout(self, limit: float | None) -> float:
        """Return how many seconds an attempt may wait for a byte, in a call limited to *limit*."""
        return min(self.config.idle_timeout, limit / 2 if limit else self.config.idle_timeout)

    async def lean(self, request: Request) -> LeanTransport | None:
        """Return what can send *request* in a row of others; `None`: it has to go by itself."""
        if self.config.timeout(request.operation) is not None or not self.access.signs_unread:
            return None
        return (await self.connections.get()).lean

    def retire(self, successor: Exchange | None = None) -> None:
        """Close the connections of every loop once nothing is under way on them.

        What is under way goes on with the credentials that were given to a *successor* at the same
        store as soon as its own have expired.
        """
        if successor is not None:
            self.access.successor = successor.access
        self.connections.retire()


def too_late(call: CallInProgress) -> OperationTimeout:
    """Return the error for a call that did not end in time."""
    before = f"; the last attempt: {call.error.message}" if call.error else ""
    return OperationTimeout(
        f"no result within {call.limit:g} s{before}",
        operation=call.request.operation,
        url=call.request.url,
    )
