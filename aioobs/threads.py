"""Blocking calls in worker threads, which cancellation waits for."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from contextlib import nullcontext, suppress
from contextvars import copy_context
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from aioobs.calling_thread import caller

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from concurrent.futures import ThreadPoolExecutor
    from contextlib import AbstractContextManager

__all__ = ["MOST_THREADS", "Pace", "in_thread", "settled", "to_its_end"]

MOST_THREADS = 40  # worker threads
SHORT_CALL = 0.0003  # seconds for a call; where they take longer a thread has something to do
LONG_CALL = 0.005  # seconds that none may take in the event loop
CAUTION = 1.0  # seconds in threads after one that did

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call *function* in a worker thread, or right here on the thread of a blocking call.

    A caller that is cancelled waits until the function has returned: what the function uses, a
    descriptor above all, may be closed afterwards.  One that has not begun is not begun any more.
    Where no thread can be had, as when the interpreter ends, the caller's own thread has to do.
    """
    if caller.loop is not None:
        return function(*args, **kwargs)
    work = Work(partial(copy_context().run, function, *args, **kwargs))
    try:
        workers().submit(work)
    except RuntimeError:
        work()  # which may stand in line all the same, for the next thread that is free
    try:
        await asyncio.shield(work.done)
    except asyncio.CancelledError:
        if work.has_begun():
            await settled(work.done)
        raise
    return work.outcome()


@cache
def workers() -> ThreadPoolExecutor:
    """Return the worker threads, which are ours: those of asyncio are few, and may be busy."""
    from concurrent.futures import ThreadPoolExecutor  # not needed to import aioobs

    return ThreadPoolExecutor(MOST_THREADS, thread_name_prefix="aioobs-worker")


if hasattr(os, "register_at_fork"):  # a child has none of them
    os.register_at_fork(after_in_child=workers.cache_clear)


class Pace:
    """Whether calls of one kind are so short that they are better made in the event loop.

    To look at a small file that the system has in memory takes less time than two threads take
    from each other that both want the interpreter's lock.  The first calls are made in a thread.
    """

    def __init__(self) -> None:
        self.is_quick: bool = False
        self._caution_until = 0.0

    def took_in_thread(self, seconds: float, calls: int) -> None:
        """Learn how long so many calls took in a thread."""
        careful = time.monotonic() < self._caution_until
        self.is_quick = seconds < SHORT_CALL * calls and not careful

    def took_in_loop(self, longest: float) -> None:
        """Learn how long the longest call took in the event loop."""
        if longest > LONG_CALL:
            self.is_quick, self._caution_until = False, time.monotonic() + CAUTION


class Work(Generic[T]):
    """A call that is made once, in a worker thread, and tells whether it has begun or is over."""

    _result: T

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._error: BaseException | None = None
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._begun = self._given_up = False
        self.done: asyncio.Future[None] = self._loop.create_future()

    def __call__(self) -> None:
        with self._lock:
            if self._begun or self._given_up:
                return
            self._begun = True
        try:
            self._result = self._call()
        except BaseException as error:  # noqa: BLE001 - raised in the task that waits
            self._error = error
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            self._loop.call_soon_threadsafe(self.done.set_result, None)

    def has_begun(self) -> bool:
        """Tell whether the call has begun; if it has not, it never will."""
        with self._lock:
            self._given_up = not self._begun
            return self._begun

    def outcome(self) -> T:
        """Return what the call has returned, or raise what it has raised."""
        if self._error is None:
            return self._result
        try:
            raise self._error
        finally:
            self._error = None  # or else its traceback would keep it


async def settled(future: asyncio.Future[Any]) -> None:
    """Wait until *future* is done; a cancellation that comes meanwhile is raised afterwards."""
    cancelled: asyncio.CancelledError | None = None
    with shield_from_anyio():
        while not future.done():
            try:
                await asyncio.wait([future])
            except asyncio.CancelledError as error:
                cancelled = error
    if cancelled is not None:
        raise cancelled


def shield_from_anyio() -> AbstractContextManager[object]:
    """Shield from the scopes of anyio, which cancel a task again and again, if anybody uses it."""
    if "anyio" not in sys.modules:
        return nullcontext()
    from anyio import CancelScope

    return CancelScope(shield=True)


async def to_its_end(coroutine: Coroutine[object, object, T]) -> T:
    """Await *coroutine*, which goes on when the waiting task is cancelled: for what must happen."""
    task = asyncio.create_task(coroutine)
    try:
        await settled(task)
    except asyncio.CancelledError:
        if not task.cancelled():
            task.exception()  # which would be logged if nobody asked
        raise
    return task.result()
