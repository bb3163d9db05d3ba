"""The event-loop thread behind every blocking call.

One daemon thread runs one event loop for the whole process.  It starts with the first
blocking call, is replaced after a fork, and ends with the interpreter.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import contextlib
import contextvars
import inspect
import logging
import os
import sys
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Generator
from typing import Any, Generic, TypeVar

from aioobs.calling_thread import caller
from aioobs.loops import new_event_loop

T = TypeVar("T")

CLEANUP_TIMEOUT = 10.0  # seconds for the cleanups that are under way when the loop is stopped
FORK_TIMEOUT = 5.0  # seconds that a fork waits for the loop thread at most

# Python does not notice a signal that comes in the last moment before it waits for a lock.
SIGNAL_DELAY = 0.5  # seconds until it does all the same

# True in the coroutine of a call and in the worker threads that it uses.
inside: contextvars.ContextVar[bool] = contextvars.ContextVar("inside", default=False)


class _Call(Generic[T]):
    """One coroutine on its way through the loop thread, and its outcome on the way back."""

    _result: T

    def __init__(self, coroutine: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.done = False
        self._coroutine = coroutine
        self._task: asyncio.Task[None] | None = None
        self._begun = False
        self._error: BaseException | None = None
        # A one-shot signal, cheaper than a Future: waiting is acquiring it a second time.
        self._signal = threading.Lock()
        self._signal.acquire()

    def start(self) -> None:
        """Begin, on the loop thread."""
        self._task = self.loop.create_task(self._deliver())

    async def _deliver(self) -> None:
        self._begun = True
        inside.set(True)
        try:
            self._result = await self._coroutine
        except asyncio.CancelledError:
            # Not asyncio's own: the caller may be inside a task that nobody has cancelled.
            self._settle(concurrent.futures.CancelledError())
        except BaseException as error:  # noqa: BLE001 - SystemExit must not end the loop
            self._settle(error)
        else:
            self._settle(None)

    def _settle(self, error: BaseException | None) -> None:
        if not self.done:
            self._error = error
            self.done = True
            with contextlib.suppress(RuntimeError):  # two threads at once: released already
                self._signal.release()

    def cancel(self) -> None:
        """Cancel, on the loop thread."""
        if self._task is not None:
            self._task.cancel()
        if not self._begun:  # then nobody else would tell the caller
            self.abandon()

    def abandon(self) -> None:
        """Let the caller go although the coroutine has not ended, and never will."""
        if not self._begun:
            self._coroutine.close()
        self._settle(concurrent.futures.CancelledError())

    def leave(self) -> None:
        """Never let the caller go."""
        self.done = True

    def wait(self) -> None:
        """Wait for the outcome; a signal handler may raise out of this."""
        while not self._signal.acquire(timeout=SIGNAL_DELAY):
            pass

    def interrupt(self, *, insist: bool) -> None:
        """Cancel from the caller's thread and wait until the coroutine has cleaned up."""
        while not self.done:
            try:
                if self.loop.is_closed():
                    self.abandon()
                else:
                    self.loop.call_soon_threadsafe(self.cancel)
                self.wait()
            except BaseException:  # Ctrl-C again
                if not insist:
                    raise

    def outcome(self) -> T:
        """Return the result or raise the error."""
        if self._error is None:
            return self._result
        error, self._error = self._error, None
        try:
            raise error
        finally:
            del error  # its traceback holds this frame: a cycle


class LoopThread:
    """Runs coroutines for threads that have no event loop of their own."""

    def __init__(self) -> None:
        self._leaked: list[object] = []
        self._reset()
        os.register_at_fork(
            before=self._hold, after_in_parent=self._go_on, after_in_child=self._leave_to_parent
        )

    def _reset(self) -> None:
        # Re-entrant: a destructor or a signal handler can come in the middle of _start().
        self._lock = threading.RLock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stopping = asyncio.Event()
        self._ended = False
        self._calls: set[_Call[Any]] = set()
        self._cleanups: set[asyncio.Task[None]] = set()
        self._held: dict[int, threading.Event] = {}  # by the threads that are forking

    def _hold(self) -> None:
        """Stop the loop where it holds no lock, which nobody would release in a child.

        Those of OpenSSL, for one, are held just when other threads can run, and fork.
        """
        loop = self._loop
        if loop is None or self.is_current():
            return
        stopped, forked = threading.Event(), threading.Event()

        def stop() -> None:
            stopped.set()
            forked.wait()

        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(stop)
            self._held[threading.get_ident()] = forked
            stopped.wait(FORK_TIMEOUT)

    def _go_on(self) -> None:
        if forked := self._held.pop(threading.get_ident(), None):
            forked.set()

    def _leave_to_parent(self) -> None:
        # Finalising these in the child would run cleanups there, and touch the epoll
        # descriptor and the sockets that the parent is still using.
        self._leaked.append((self._loop, self._calls, self._cleanups))
        if type(self._loop).__module__.startswith("uvloop"):
            atexit.register(_start_threads_of_libuv)
        self._reset()

    def is_current(self) -> bool:
        """Tell whether this is the loop thread."""
        return threading.current_thread() is self._thread

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self.is_current():
            raise RuntimeError("blocking aioobs call on the aioobs loop: await the async one there")
        # A thread that is started now never runs, or crashes when the interpreter is gone.
        if self._ended or sys.is_finalizing():
            raise RuntimeError("blocking aioobs call while the interpreter is ending")
        loop = self._loop
        if loop is None or loop.is_closed():
            return self._start()
        return loop

    def _start(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None or self._loop.is_closed():
                loop, stopping = new_event_loop(), asyncio.Event()
                try:
                    thread = self._thread_for(loop, stopping)
                    thread.start()
                except RuntimeError:  # the interpreter is about to end, or a second one
                    loop.close()
                    raise
                self._loop, self._thread, self._stopping = loop, thread, stopping
            return self._loop

    def _thread_for(
        self, loop: asyncio.AbstractEventLoop, stopping: asyncio.Event
    ) -> threading.Thread:
        try:
            return threading.Thread(
                target=self._serve, args=(loop, stopping), name="aioobs", daemon=True
            )
        except RuntimeError as error:
            raise RuntimeError(
                "blocking aioobs calls need a daemon thread, which a subinterpreter may not have: "
                "await the async ones there"
            ) from error

    def _serve(self, loop: asyncio.AbstractEventLoop, stopping: asyncio.Event) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                # A main task to park in, not run_forever(): anyio, which a hook of the user may
                # use, keeps its worker threads for as long as the main task lives.
                main = runner.get_loop().create_task(self._park(stopping))
                while not main.done():
                    # What asyncio lets through when a child task of a call raises it.
                    with contextlib.suppress(SystemExit, KeyboardInterrupt):
                        loop.run_until_complete(main)
        except RuntimeError:
            # The runner ends the default executor with a thread that cannot be started any
            # more when the interpreter exits; the executor is gone by then.
            if not stopping.is_set():
                raise
        finally:
            for call in list(self._calls):
                if call.loop is loop:
                    call.abandon()

    async def _park(self, stopping: asyncio.Event) -> None:
        await stopping.wait()
        if self._cleanups:
            await asyncio.wait(self._cleanups, timeout=CLEANUP_TIMEOUT)

    def stop(self, *, exiting: bool = False) -> None:
        """Wait for the cleanups, cancel whatever else still runs, and end the thread.

        When the interpreter is *exiting*, only daemon threads can still be waiting: these are
        left to end with it, as an error in each of them would help nobody.
        """
        with self._lock:
            loop, thread, stopping = self._loop, self._thread, self._stopping
            self._loop = None
        if exiting:
            self._ended = True
            for call in list(self._calls):
                call.leave()
        if loop is not None and thread is not None and not loop.is_closed():
            loop.call_soon_threadsafe(stopping.set)
            thread.join()

    def run(self, coroutine: Coroutine[Any, Any, T], *, insist: bool = False) -> T:
        """Run *coroutine* on the loop thread and wait for its result.

        An exception in the waiting thread, as Ctrl-C is, cancels the coroutine, waits until
        it has cleaned up, and is raised again.  A second one during that time stops the
        waiting, unless the caller must *insist* because the coroutine uses memory of his.

        Raises:
            RuntimeError: this is the loop thread itself, which would wait for ever.
            concurrent.futures.CancelledError: the coroutine was cancelled from inside, or
                by the end of the loop.
        """
        try:
            loop = self._running_loop()
        except BaseException:
            coroutine.close()
            raise
        call = _Call(coroutine, loop)
        try:
            self._calls.add(call)
            loop.call_soon_threadsafe(call.start)
            call.wait()
        except BaseException:
            call.interrupt(insist=insist)
            raise
        finally:
            self._calls.discard(call)
        return call.outcome()

    def run_here(self, coroutine: Coroutine[Any, Any, T], *, insist: bool = False) -> T:
        """Do as `run`, but begin on this thread: see `aioobs.calling_thread`."""
        loop = self._loop
        if loop is None or self._ended or self.is_current():
            return self.run(coroutine, insist=insist)
        before, was_inside = caller.loop, inside.get()
        try:
            inside.set(True)
            caller.loop = loop
            coroutine.send(None)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:  # Ctrl-C may come at each call, and keeps nothing below from being undone
            caller.loop = before
            inside.set(was_inside)
        return self.run(_rest(coroutine), insist=insist)

    def iterate(self, items: AsyncIterator[T], *, batch: int = 1) -> Generator[T, None, None]:
        """Iterate over *items*, fetching *batch* of them to a thread hop.

        The async iterator must not hold a cancel scope or a task group open across a
        yield: every hop is a task of its own.
        """
        process = os.getpid()
        try:
            while True:
                taken, error = self.run(_take(items, batch))
                yield from taken
                if error is not None:
                    raise error
                if len(taken) < batch:
                    return
        except BaseException:
            if isinstance(items, AsyncGenerator) and process == os.getpid():
                self.finish(items.aclose())
            raise
        finally:
            error = None  # its traceback holds this frame: a cycle

    def finish(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a cleanup soon, without waiting for it.

        Meant for destructors: they are called on any thread, the loop's included, while
        that thread holds any lock.  Without a loop there is nothing left to clean up.
        """
        loop = self._loop
        with contextlib.suppress(RuntimeError):  # closed in this moment
            if loop is not None:
                loop.call_soon_threadsafe(self._clean, coroutine)
                return
        coroutine.close()

    def let_go(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Do as `run_here`; but as `finish` where one cannot wait and an error helps nobody.

        That is on the loop thread, where the collector closes files, and when the interpreter ends.
        """
        if self._ended or self.is_current():
            self.finish(coroutine)
        else:
            self.run_here(coroutine)

    def _clean(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._cleanups.add(task)
        task.add_done_callback(self._cleanups.discard)


async def _rest(coroutine: Coroutine[Any, Any, T]) -> T:
    """Do what is left of a coroutine that has begun."""
    return await _Begun(coroutine)


class _Begun(Generic[T]):
    """A coroutine that has begun, to be awaited."""

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self._coroutine = coroutine

    def __await__(self) -> Generator[Any, Any, T]:
        # Python does not await what is waiting for something, though that has said no word yet.
        return self._coroutine.__await__()


async def _take(items: AsyncIterator[T], batch: int) -> tuple[list[T], Exception | None]:
    """Return the next items, and the error that came after them if there was one."""
    taken: list[T] = []
    try:
        async for item in items:
            taken.append(item)
            if len(taken) == batch:
                break
    except Exception as error:  # noqa: BLE001 - raised by iterate()
        return taken, error
    return taken, None


def guard_log_handlers() -> None:
    """Keep what a blocking call itself logs out of the log handlers that are waiting for it.

    A handler that writes to a remote file waits for the loop with its lock held; a record that
    came to it from the loop's side would wait for that lock, and neither would ever end.
    """
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code is logging.Handler.handle.__code__:
            frame.f_locals["self"].addFilter(_is_from_outside)
        frame = frame.f_back


def _is_from_outside(record: logging.LogRecord) -> bool:
    return not inside.get() and not loop_thread.is_current()


def _start_threads_of_libuv() -> None:
    """Start them again in a forked child, where none of the parent's are.

    libuv waits for them in the end, and without them hangs or crashes.
    """
    loop = new_event_loop()
    loop.run_until_complete(loop.getaddrinfo("127.0.0.1", 1))
    loop.close()


loop_thread = LoopThread()
run = loop_thread.run
run_here = loop_thread.run_here
iterate = loop_thread.iterate
finish = loop_thread.finish
let_go = loop_thread.let_go


def end() -> None:
    """Stop as the interpreter exits."""
    loop_thread.stop(exiting=True)
