"""The loop thread: real threads, forks, signals and exits."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import fcntl
import gc
import inspect
import os
import signal
import sys
import termios
import threading
import weakref
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest
from programs import running

from aioobs.sync._loop import LoopThread, finish, iterate, run

if TYPE_CHECKING:
    import subprocess
    from collections.abc import AsyncIterator, Callable, Iterator

ROOT = Path(__file__).resolve().parent.parent
VARIABLE = contextvars.ContextVar("VARIABLE", default="unset")


@pytest.fixture(params=["uvloop", "asyncio"])
def loop_thread(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LoopThread]:
    if request.param == "uvloop":
        pytest.importorskip("uvloop", reason="uvloop is optional")
    else:
        monkeypatch.setitem(sys.modules, "uvloop", None)  # as if it were not installed
    thread = LoopThread()
    yield thread
    thread.stop()


async def answer() -> int:
    await asyncio.sleep(0)
    return 42


async def loop_module() -> str:
    return type(asyncio.get_running_loop()).__module__.partition(".")[0]


class Countdown:
    """An async iterator whose cleanup can be seen."""

    def __init__(self, count: int, error: Exception | None = None) -> None:
        self.count = count
        self.error = error
        self.produced = 0
        self.closed = threading.Event()

    async def items(self) -> AsyncIterator[int]:
        try:
            for number in range(self.count):
                self.produced += 1
                yield number
            if self.error is not None:
                raise self.error
        finally:
            self.closed.set()


@contextlib.contextmanager
def python(script: str, *, loop: str = "uvloop") -> Iterator[subprocess.Popen[str]]:
    """Run a script that finds the project; neither it nor a child of it outlives the test."""
    first = "" if loop == "uvloop" else "import sys; sys.modules['uvloop'] = None\n"
    command = [sys.executable, "-u", "-X", "dev", "-c", first + dedent(script)]
    with running(command, ROOT) as process:
        yield process


def completed(script: str, *, loop: str = "uvloop") -> tuple[str, str, int]:
    with python(script, loop=loop) as process:
        out, err = process.communicate(timeout=30)
    return out, err, process.returncode


# --- calls ---------------------------------------------------------------------------------


def test_a_result_comes_back(loop_thread: LoopThread) -> None:
    assert loop_thread.run(answer()) == 42


def test_uvloop_is_used_where_it_is_installed(
    loop_thread: LoopThread, request: pytest.FixtureRequest
) -> None:
    assert loop_thread.run(loop_module()) == request.node.callspec.params["loop_thread"]


def test_an_error_comes_back_with_the_frames_of_both_sides(loop_thread: LoopThread) -> None:
    async def fail() -> None:
        raise KeyError("lost")

    with pytest.raises(KeyError, match="lost") as caught:
        loop_thread.run(fail())
    names = [entry.name for entry in caught.traceback]
    assert names[0] == "test_an_error_comes_back_with_the_frames_of_both_sides"
    assert names[-1] == "fail"


def test_an_exception_that_is_returned_is_not_raised(loop_thread: LoopThread) -> None:
    error = ValueError("a value")

    async def give() -> ValueError:
        return error

    assert loop_thread.run(give()) is error


def test_a_timeout_error_is_handed_on_like_any_other(loop_thread: LoopThread) -> None:
    async def late() -> None:
        async with asyncio.timeout(0):
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        loop_thread.run(late())


def test_a_coroutine_that_is_cancelled_from_inside_raises_the_cancelled_error_of_futures(
    loop_thread: LoopThread,
) -> None:
    async def give_up() -> None:
        raise asyncio.CancelledError

    with pytest.raises(concurrent.futures.CancelledError) as caught:
        loop_thread.run(give_up())
    assert not isinstance(caught.value, asyncio.CancelledError)


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_no_exception_ends_the_loop(loop_thread: LoopThread, kind: type[BaseException]) -> None:
    async def leave() -> None:
        raise kind

    loop = loop_thread.run(running_loop())
    with pytest.raises(kind):
        loop_thread.run(leave())
    assert loop_thread.run(running_loop()) is loop


async def running_loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def test_system_exit_in_a_child_task_neither_ends_the_loop_nor_other_calls(
    loop_thread: LoopThread,
) -> None:
    waiting, proceed = threading.Event(), asyncio.Event()

    async def bystander() -> str:
        waiting.set()
        await proceed.wait()
        return "unharmed"

    async def leave() -> None:
        raise SystemExit(3)

    async def parent() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(leave())

    async def release() -> None:
        proceed.set()

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        future = pool.submit(lambda: loop_thread.run(bystander()))
        waiting.wait(10)
        with pytest.raises(SystemExit):
            loop_thread.run(parent())
        loop_thread.run(release())
        assert future.result(10) == "unharmed"


def test_a_failed_call_leaves_no_reference_cycle(loop_thread: LoopThread) -> None:
    class Thing:
        pass

    async def fail(thing: Thing) -> None:
        raise ValueError

    def call() -> weakref.ref[Thing]:
        thing = Thing()
        with contextlib.suppress(ValueError):
            loop_thread.run(fail(thing))
        return weakref.ref(thing)

    gc.disable()
    try:
        reference = call()
        loop_thread.run(answer())  # the loop has let go of the call as well
        assert reference() is None
    finally:
        gc.enable()


def test_the_context_of_the_caller_is_seen_by_the_coroutine(loop_thread: LoopThread) -> None:
    async def look() -> str:
        return VARIABLE.get()

    def call() -> str:
        VARIABLE.set("set by the caller")
        return loop_thread.run(look())

    assert contextvars.copy_context().run(call) == "set by the caller"
    assert loop_thread.run(look()) == "unset"


def test_64_threads_call_at_once_and_share_one_loop(loop_thread: LoopThread) -> None:
    barrier = threading.Barrier(64)

    async def echo(number: int) -> tuple[int, int]:
        await asyncio.sleep(0)
        return number, threading.get_ident()

    def call(number: int) -> tuple[int, int]:
        barrier.wait(20)  # the first call of all starts the loop, for everybody
        return loop_thread.run(echo(number))

    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        results = list(pool.map(call, range(64)))
    assert [number for number, _ in results] == list(range(64))
    assert len({thread for _, thread in results}) == 1


def test_a_call_from_inside_a_running_loop_works(loop_thread: LoopThread) -> None:
    async def main() -> int:
        return loop_thread.run(answer())

    assert asyncio.run(main()) == 42


def test_a_call_on_the_loop_thread_is_refused_and_its_coroutine_is_closed(
    loop_thread: LoopThread,
) -> None:
    inner = answer()

    async def outer() -> int:
        return loop_thread.run(inner)

    with pytest.raises(RuntimeError, match="on the aioobs loop"):
        loop_thread.run(outer())
    # There will be no warning that it was never awaited.
    assert inspect.getcoroutinestate(inner) == inspect.CORO_CLOSED


def test_the_main_task_of_the_loop_stays_the_same(loop_thread: LoopThread) -> None:
    from anyio import to_thread

    async def worker() -> int:
        return await to_thread.run_sync(threading.get_ident)

    assert loop_thread.run(worker()) == loop_thread.run(worker())  # anyio kept its thread


# --- iteration -----------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 3, 7, 1000])
def test_iteration_yields_every_item_in_order(loop_thread: LoopThread, batch: int) -> None:
    source = Countdown(21)
    assert list(loop_thread.iterate(source.items(), batch=batch)) == list(range(21))
    assert source.closed.is_set()


def test_iteration_is_in_lockstep_unless_a_batch_is_asked_for(loop_thread: LoopThread) -> None:
    source = Countdown(10)
    items = loop_thread.iterate(source.items())
    assert [next(items), next(items)] == [0, 1]
    assert source.produced == 2
    batched = Countdown(10)
    assert next(loop_thread.iterate(batched.items(), batch=4)) == 0
    assert batched.produced == 4


def test_leaving_an_iteration_early_closes_the_async_generator(loop_thread: LoopThread) -> None:
    source = Countdown(10)
    for number in loop_thread.iterate(source.items(), batch=2):
        if number == 4:
            break
    assert source.closed.wait(10)
    assert source.produced == 6


def test_the_items_before_an_error_come_before_the_error(loop_thread: LoopThread) -> None:
    source = Countdown(5, error=LookupError("page two"))
    items = loop_thread.iterate(source.items(), batch=1000)
    assert [next(items) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(LookupError, match="page two"):
        next(items)


def test_an_iterator_that_is_no_generator_can_be_left_early(loop_thread: LoopThread) -> None:
    class Ones:
        def __aiter__(self) -> Ones:
            return self

        async def __anext__(self) -> int:
            return 1

    items = loop_thread.iterate(Ones(), batch=2)
    assert next(items) == 1
    items.close()


# --- cleanup -------------------------------------------------------------------------------


def test_a_destructor_on_the_loop_thread_does_not_wait_for_the_loop(
    loop_thread: LoopThread,
) -> None:
    cleaned = threading.Event()

    async def clean() -> None:
        await asyncio.sleep(0)
        cleaned.set()

    class Holder:
        def __init__(self) -> None:
            self.myself = self  # only the garbage collector can free it

        def __del__(self) -> None:
            loop_thread.finish(clean())

    async def collect() -> None:
        gc.collect()

    loop_thread.run(answer())  # or else what it imports may have the collector come here
    Holder()
    loop_thread.run(collect())
    assert cleaned.wait(10)


def test_a_cleanup_is_not_waited_for_but_ended_before_the_loop(loop_thread: LoopThread) -> None:
    proceed, cleaned = threading.Event(), []

    async def clean() -> None:
        while not proceed.is_set():
            await asyncio.sleep(0)
        cleaned.append(True)

    loop_thread.run(answer())
    loop_thread.finish(clean())
    assert not cleaned
    proceed.set()
    loop_thread.stop()
    assert cleaned


def test_a_cleanup_without_a_loop_does_not_start_one(loop_thread: LoopThread) -> None:
    coroutine = answer()
    before = threading.active_count()
    loop_thread.finish(coroutine)  # type: ignore[arg-type]
    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED
    assert threading.active_count() == before


def test_stop_cancels_calls_and_the_next_call_starts_a_new_loop(loop_thread: LoopThread) -> None:
    started, cleaned = threading.Event(), threading.Event()

    async def forever() -> None:
        try:
            started.set()
            await asyncio.Event().wait()
        finally:
            cleaned.set()

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        future = pool.submit(lambda: loop_thread.run(forever()))
        assert started.wait(10)
        loop_thread.stop()
        with pytest.raises(concurrent.futures.CancelledError):
            future.result(10)
    assert cleaned.is_set()
    assert loop_thread.run(answer()) == 42


def test_a_loop_that_somebody_stopped_is_replaced(
    loop_thread: LoopThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda arguments: None)

    threads = []

    async def sabotage() -> None:
        threads.append(threading.current_thread())
        asyncio.get_running_loop().stop()
        await asyncio.Event().wait()

    with pytest.raises(concurrent.futures.CancelledError):
        loop_thread.run(sabotage())
    threads[0].join(10)
    assert loop_thread.run(answer()) == 42


def test_a_call_that_begins_while_the_loop_is_ending_never_hangs(
    loop_thread: LoopThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda arguments: None)
    ending, begun = threading.Event(), asyncio.Event()

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
        finally:  # after the tasks were cancelled
            ending.set()
            await begun.wait()

    async def late() -> None:
        begun.set()
        await asyncio.Event().wait()

    async def sabotage() -> None:
        asyncio.get_running_loop().stop()
        await asyncio.Event().wait()

    def call() -> None:
        ending.wait(10)
        loop_thread.run(late())

    items = loop_thread.iterate(numbers())
    assert next(items) == 1
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        future = pool.submit(call)
        with pytest.raises(concurrent.futures.CancelledError):
            loop_thread.run(sabotage())
        with pytest.raises(concurrent.futures.CancelledError):
            future.result(10)


def test_threads_that_call_while_the_loop_is_stopped_never_hang(loop_thread: LoopThread) -> None:
    calls, over = 0, threading.Event()

    def call() -> int:
        count = 0
        while not over.is_set():
            with contextlib.suppress(concurrent.futures.CancelledError, RuntimeError):
                loop_thread.run(answer())
            count += 1
        return count

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(call) for _ in range(4)]
        for _ in range(100):
            loop_thread.stop()
        over.set()
        calls = sum(future.result(20) for future in futures)
    assert calls


# --- Ctrl-C --------------------------------------------------------------------------------


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_ctrl_c_cancels_waits_for_the_cleanup_and_is_raised_again(loop: str) -> None:
    script = """
        import asyncio
        from aioobs.sync._loop import run
        async def work():
            print("working")
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0.05)
                print("cleaned up")
        async def alive():
            return "alive"
        try:
            run(work())
        except KeyboardInterrupt:
            print("interrupted")
        print(run(alive()))
    """
    with python(script, loop=loop) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert out.split("\n") == ["cleaned up", "interrupted", "alive", ""]
    assert (err, process.returncode) == ("", 0)


CLEANS_SLOWLY = """
    import asyncio
    from aioobs.sync._loop import run
    proceed = asyncio.Event()
    async def release():
        proceed.set()
    async def work():
        print("working")
        try:
            await asyncio.Event().wait()
        finally:
            print("cleaning up")
            await asyncio.shield(proceed.wait())
            print("cleaned up")
"""


def test_a_second_ctrl_c_stops_waiting_for_the_cleanup() -> None:
    script = dedent(CLEANS_SLOWLY) + dedent("""
        try:
            run(work())
        except KeyboardInterrupt:
            print("interrupted")
        run(release())
    """)
    with python(script) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "cleaning up\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert out.split("\n")[:2] == ["interrupted", "cleaned up"]
    assert (err, process.returncode) == ("", 0)


def test_ctrl_c_ends_the_reading_of_a_pipe_into_which_nobody_writes(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    script = f"""
        from aioobs.sync import file
        file.exists(".")  # the loop thread is there from now on
        try:
            file.read({str(pipe)!r})
        except KeyboardInterrupt:
            print("interrupted")
    """
    with python(script) as process:
        writer = os.open(pipe, os.O_WRONLY)
        os.write(writer, b"x")
        while has_unread(writer) or not is_asleep(process.pid):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
        os.close(writer)
    assert (out, err, process.returncode) == ("interrupted\n", "", 0)


def has_unread(pipe: int) -> bool:
    return fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)) != bytes(4)


def is_asleep(process: int) -> bool:
    """Tell whether the main thread of a process waits for something."""
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "S"


def test_a_caller_that_insists_outlasts_a_second_ctrl_c() -> None:
    script = """
        import asyncio
        from aioobs.sync._loop import run
        async def borrow(memory):
            try:
                print("working")
                await asyncio.Event().wait()
            finally:
                try:
                    print("cleaning up")
                    await asyncio.Event().wait()
                finally:
                    memory[:] = b"done"
        memory = bytearray(4)
        try:
            run(borrow(memory), insist=True)
        except KeyboardInterrupt:
            print(memory)
    """
    with python(script) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "cleaning up\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (out, err, process.returncode) == ("bytearray(b'done')\n", "", 0)


def test_an_exception_from_a_signal_handler_cancels_as_ctrl_c_does() -> None:
    out, err, code = completed("""
        import asyncio, signal
        from aioobs.sync._loop import run
        def handler(number, frame):
            raise TimeoutError("alarm")
        signal.signal(signal.SIGALRM, handler)
        async def work():
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            try:
                await asyncio.Event().wait()
            finally:
                print("cancelled")
        try:
            run(work())
        except TimeoutError as error:
            print(error)
    """)
    assert (out, err, code) == ("cancelled\nalarm\n", "", 0)


def test_an_interrupt_at_any_moment_of_a_call_neither_hangs_nor_loses_the_loop() -> None:
    """Signals arrive at random places of run(), between the queueing and the waiting as well."""
    out, err, code = completed("""
        import asyncio, random, signal
        from aioobs.sync._loop import run
        class Alarm(Exception):
            pass
        def handler(number, frame):
            raise Alarm
        async def answer():
            await asyncio.sleep(0)
            return 42
        run(answer())
        signal.signal(signal.SIGALRM, handler)
        interrupted = 0
        for _ in range(2000):
            try:
                signal.setitimer(signal.ITIMER_REAL, random.uniform(0.000001, 0.0002))
                run(answer())
                signal.setitimer(signal.ITIMER_REAL, 0)
            except Alarm:
                interrupted += 1
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        print(interrupted > 0, run(answer()))
    """)
    assert (out, code) == ("True 42\n", 0), err


# --- fork ----------------------------------------------------------------------------------

FORK = """
    import asyncio, os, sys, threading, time
    from aioobs.sync._loop import loop_thread, run
    async def answer():
        await asyncio.sleep(0)
        return 42
    def in_child(function):
        pid = os.fork()
        if pid == 0:
            function()
            sys.exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
@pytest.mark.parametrize(
    "script",
    [
        pytest.param(
            """
            print("parent", run(answer()))
            print("code", in_child(lambda: print("child", run(answer()))))
            print("parent", run(answer()))
            """,
            id="between calls",
        ),
        pytest.param(
            """
            started, go_on = threading.Event(), asyncio.Event()
            async def slow():
                try:
                    started.set()
                    await go_on.wait()
                    return 42
                finally:
                    print("parent", 42)  # once, and not in the child
            thread = threading.Thread(target=lambda: run(slow()))
            thread.start()
            started.wait()
            code = in_child(lambda: print("child", run(answer())))
            async def release():
                go_on.set()
            run(release())
            thread.join()
            print("code", code)
            print("parent", run(answer()))
            """,
            id="while a call is in flight",
        ),
        pytest.param(
            """
            held, release = threading.Event(), threading.Event()
            def hold():
                with loop_thread._lock:
                    held.set()
                    release.wait()
            thread = threading.Thread(target=hold)
            thread.start()
            held.wait()
            code = in_child(lambda: print("child", run(answer())))
            release.set()
            thread.join()
            print("parent", run(answer()))
            print("code", code)
            print("parent", run(answer()))
            """,
            id="while the start lock is held",
        ),
        pytest.param(
            """
            async def fork():
                # Not sys.exit(): its exception would end in the call that the child inherits.
                return in_child(lambda: (print("child", run(answer())), os._exit(0)))
            code = run(fork())
            print("parent", run(answer()))
            print("code", code)
            print("parent", run(answer()))
            """,
            id="on the loop thread",
        ),
    ],
)
def test_a_forked_child_has_a_loop_of_its_own(script: str, loop: str) -> None:
    out, err, code = completed(dedent(FORK) + dedent(script), loop=loop)
    assert sorted(out.split()) == sorted(
        ["parent", "42", "child", "42", "code", "0", "parent", "42"]
    ), (out, err)
    assert code == 0
    # Newer Pythons warn of any fork while a thread runs; nothing else may be said.
    assert all("fork" in line for line in err.splitlines()), err


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_a_fork_finds_the_loop_thread_without_any_lock(loop: str) -> None:
    out, err, code = completed(
        dedent(FORK)
        + dedent("""
        lock = threading.Lock()
        run(answer())  # or the first fork might come before there is a loop
        async def hold():
            for _ in range(150):
                with lock:  # as OpenSSL does it, without the lock of the interpreter
                    time.sleep(0.005)
                await asyncio.sleep(0)
        holder = threading.Thread(target=run, args=(hold(),))
        holder.start()
        for _ in range(5):
            in_child(lambda: (print("free" if lock.acquire(timeout=1) else "held"), run(answer())))
        holder.join()
    """),
        loop=loop,
    )
    assert (out.split(), code) == (["free"] * 5, 0), err


def test_an_iteration_of_the_parent_is_not_closed_in_the_child() -> None:
    out, err, code = completed(
        dedent(FORK)
        + dedent("""
        from aioobs.sync._loop import iterate
        async def numbers():
            try:
                for number in range(10):
                    yield number
            finally:
                print("closed by", "child" if os.getpid() != parent else "parent")
        parent = os.getpid()
        items = iterate(numbers())
        next(items)
        in_child(lambda: (run(answer()), items.close(), run(answer())))
        items.close()
        run(answer())
    """)
    )
    assert (out, code) == ("closed by parent\n", 0), err


# --- exit ----------------------------------------------------------------------------------


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_the_loop_ends_with_the_interpreter_and_says_nothing(loop: str) -> None:
    out, err, code = completed(
        """
        import asyncio, contextlib, threading
        from aioobs.sync._loop import iterate, run
        async def numbers():
            try:
                yield 1
                yield 2
            finally:
                print("generator closed")
        async def forever():
            started.set()
            try:
                await asyncio.Event().wait()
            finally:
                print("call cancelled")
        def call():
            with contextlib.suppress(BaseException):  # it may see its call cancelled
                run(forever())
        started = threading.Event()
        threading.Thread(target=call, daemon=True).start()
        started.wait()
        items = iterate(numbers())
        print(next(items))
    """,
        loop=loop,
    )
    assert sorted(out.splitlines()) == ["1", "call cancelled", "generator closed"]
    assert code == 0
    assert not err


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_the_exit_is_silent_when_the_default_executor_was_used(loop: str) -> None:
    script = """
        import asyncio
        from aioobs.sync._loop import run
        print(run(asyncio.to_thread(lambda: 42)))
    """
    assert completed(script, loop=loop) == ("42\n", "", 0)


def test_exit_handlers_that_were_registered_after_the_import_can_still_call() -> None:
    out, err, code = completed("""
        import asyncio, atexit
        from aioobs.sync._loop import finish, run
        async def answer():
            return 42
        async def cleanup():
            await asyncio.sleep(0.05)
            print("cleaned up")
        atexit.register(lambda: finish(cleanup()))
        atexit.register(lambda: print("at exit", run(answer())))
        run(answer())
    """)
    assert (out, err, code) == ("at exit 42\ncleaned up\n", "", 0)


def test_an_iterator_that_is_freed_after_the_loop_does_not_start_another() -> None:
    out, err, code = completed("""
        import sys
        from aioobs.sync._loop import iterate
        async def numbers():
            yield 1
            yield 2
        sys.kept = iterate(numbers())
        print(next(sys.kept))
    """)
    assert (out, err, code) == ("1\n", "", 0)


def test_nothing_starts_at_import() -> None:
    out, err, code = completed("""
        import sys, threading
        import aioobs.sync._loop
        print(threading.active_count(), sorted({"uvloop", "anyio", "aiohttp"} & {*sys.modules}))
    """)
    assert (out, err, code) == ("1 []\n", "", 0)


def test_the_module_level_functions_share_the_one_loop_of_the_process() -> None:
    functions: list[Callable[..., object]] = [run, iterate, finish]
    assert len({id(function.__self__) for function in functions}) == 1  # type: ignore[attr-defined]
