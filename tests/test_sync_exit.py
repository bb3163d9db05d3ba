"""The blocking verbs when a program ends: exit handlers, destructors, signals."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest
from faulty import RESET, STALL, Answer, FaultyServer, Received, forward
from programs import DEADLINE, IMPORT

from aioobs.s3.client import Client

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from programs import Programs

MIB = 1 << 20
SOON = 10.0  # seconds
ENDING = "blocking aioobs call while the interpreter is ending"


# --- exit ----------------------------------------------------------------------------------


def test_exit_handlers_can_call_every_kind_of_verb(programs: Programs, tmp_path: Path) -> None:
    out = programs.run("""
        @atexit.register
        def save():
            mox.file.write(f"{bucket}/d/one", "1")
            with mox.file.File(f"{bucket}/d/two", "w") as stream:
                stream.write("2")
            mox.file.copy_parallel(f"{bucket}/d", f"{folder}/d")
            mox.file.copy(f"{folder}/d/one", f"{bucket}/d/three")
            print(mox.file.list_directory(f"{bucket}/d"), mox.file.read(f"{bucket}/d/three"))
        mox.file.exists(bucket)
    """)
    assert out == ["['one', 'three', 'two'] 1"]
    assert (tmp_path / "d" / "two").read_text() == "2"


def test_an_exit_handler_that_makes_the_first_call_of_all_works_or_says_why(
    programs: Programs,
) -> None:
    out = programs.run("""
        @atexit.register
        def save():
            try:
                mox.file.write(f"{bucket}/file", "x")
                print(mox.file.read(f"{bucket}/file") == "x")
            except RuntimeError as error:  # Python 3.12 starts no threads then
                print("new thread at interpreter shutdown" in str(error))
    """)
    assert out == ["True"]


def test_a_thread_that_outlives_the_main_one_makes_the_first_call_of_all(
    programs: Programs,
) -> None:
    out = programs.run("""
        def work():
            threading.main_thread().join()
            try:
                mox.file.write(f"{bucket}/file", "x")
                print(mox.file.read(f"{bucket}/file") == "x")
            except RuntimeError as error:  # as above
                print("new thread at interpreter shutdown" in str(error))
        threading.Thread(target=work).start()
    """)
    assert out == ["True"]


def test_exit_handlers_that_are_registered_before_the_first_use_find_files_open(
    programs: Programs,
) -> None:
    programs.run("""
        @atexit.register
        def say_goodbye():
            for stream in streams:
                stream.write("the end")
        streams = []
        streams.append(mox.file.File(f"{bucket}/log", "w"))
        streams[0].write("hello, and this is ")
    """)
    assert programs.run('print(mox.file.read(f"{bucket}/log"))') == ["hello, and this is the end"]


def test_files_that_daemon_threads_are_just_closing_are_no_error_at_the_exit(
    programs: Programs,
) -> None:
    with programs.start("""
        def work(number):
            with contextlib.suppress(RuntimeError):  # the interpreter is ending
                while True:
                    with mox.file.File(f"{bucket}/{number}", "w") as stream:
                        stream.write("text")
                    begun.release()
        begun = threading.Semaphore(0)
        for number in range(6):
            threading.Thread(target=work, args=(number,), daemon=True).start()
        for _ in range(20):
            begun.acquire()
        atexit.unregister(look_what_is_left)  # these threads never end
    """) as process:
        out, err = process.communicate(timeout=DEADLINE)
    assert (process.returncode, out, err) == (0, "", "")


def test_an_exit_handler_that_comes_after_the_librarys_own_gets_an_error(
    programs: Programs,
) -> None:
    imports = """
@atexit.register
def late():
    try:
        mox.file.read(f"{bucket}/file")
    except RuntimeError as error:
        print(error)
"""
    out = programs.run('mox.file.write(f"{bucket}/file", "x")', imports=imports + IMPORT)
    assert out == [ENDING]


def test_daemon_threads_that_are_in_a_call_end_silently_with_the_program(holding: Programs) -> None:
    begun = time.monotonic()
    out = holding.run("""
        for verb in (mox.file.read, mox.file.exists, mox.file.get_size, mox.file.File):
            for _ in range(4):
                threading.Thread(target=verb, args=(f"{bucket}/slow",), daemon=True).start()
        mox.file.read(f"{bucket}/asked")
        atexit.unregister(look_what_is_left)  # these threads never end
        print("end")
    """)
    assert out == ["end"]
    assert time.monotonic() - begun < SOON


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
@pytest.mark.parametrize("used", [False, True])
@pytest.mark.parametrize(
    "verb",
    ["read(f'{bucket}/file')", "File(f'{bucket}/new', 'w')", "copy_parallel(bucket, folder)"],
)
def test_a_destructor_at_the_very_end_gets_an_error_and_does_not_hang(
    programs: Programs, verb: str, used: bool, loop: str
) -> None:
    without = "sys.modules['uvloop'] = None\n" if loop == "asyncio" else ""
    out = programs.run(
        f"""
        class Holder:
            def __del__(self, file=mox.file, bucket=bucket, folder=folder, write=os.write):
                try:
                    file.{verb}
                except RuntimeError as error:
                    write(1, str(error).encode())
        holder = Holder()
        {"mox.file.exists(bucket)" if used else ""}
        """,
        imports=without + IMPORT,
    )
    assert out == [ENDING]


def test_what_stands_for_stdout_and_writes_to_a_file_ends_well(programs: Programs) -> None:
    out = programs.run("""
        class Both:
            def __init__(self, file):
                self.console, self.file = sys.stdout, file
            def write(self, text):
                self.console.write(text)
                self.file.write(text)
            def flush(self):
                self.console.flush()
                self.file.flush()
        sys.stdout = Both(mox.file.File(f"{bucket}/log", "w"))
        print("end")
    """)
    assert out == ["end"]
    assert programs.run('print(mox.file.read(f"{bucket}/log"))') == ["end", ""]


def test_a_destructor_closes_what_is_read_at_the_very_end_and_on_the_loop_thread(
    programs: Programs,
) -> None:
    out = programs.run("""
        import gc
        class Reader:
            def __init__(self):
                self.file = mox.file.File(f"{bucket}/d/file")
            def __del__(self):
                self.file.close()
        mox.file.write(f"{bucket}/d/file", "x")
        at_the_end, collected = Reader(), Reader()
        collected.myself = collected
        gc.disable()
        del collected
        mox.file.copy_parallel(f"{bucket}/d", f"{folder}/d", progress=lambda _: gc.collect())
        print(at_the_end.file.read())
    """)
    assert out == ["x"]


def test_what_is_still_being_iterated_at_the_exit_is_let_go(programs: Programs) -> None:
    out = programs.run("""
        for number in range(20):
            mox.file.write(f"{bucket}/{number}/file", "x")
        mox.file.set_auth(list_max_keys=3)
        walk, scan = mox.file.walk(bucket), mox.file.scan_dir(bucket)
        print(next(walk)[0] == bucket, next(scan).is_dir())
        sys.kept = mox.file.scan_dir(bucket)
        next(sys.kept)
    """)
    assert out == ["True True"]


def test_finalizers_call_verbs_when_their_object_goes_and_at_the_exit(programs: Programs) -> None:
    programs.run("""
        import weakref
        class Thing:
            pass
        now, later = Thing(), Thing()
        weakref.finalize(now, mox.file.write, f"{bucket}/now", "x")
        weakref.finalize(later, mox.file.write, f"{bucket}/later", "x")
        seen = []
        reference = weakref.ref(now, lambda _: seen.append(mox.file.exists(f"{bucket}/missing")))
        del now
        assert mox.file.read(f"{bucket}/now") == "x"
        assert seen == [False]
        assert not mox.file.exists(f"{bucket}/later")
    """)
    assert programs.run('print(mox.file.read(f"{bucket}/later"))') == ["x"]


# --- the garbage collector -----------------------------------------------------------------


def test_destructors_that_the_collector_calls_in_a_thread_of_the_user_can_call_verbs(
    programs: Programs,
) -> None:
    out = programs.run("""
        import gc
        class Cycle:
            def __init__(self, number):
                self.myself, self.number = self, number
            def __del__(self):
                if threading.current_thread().name != "aioobs":
                    mox.file.write(f"{bucket}/{self.number}", "x")
                else:  # there it is refused, as the next test shows
                    refused.append(self.number)
        refused = []
        mox.file.exists(bucket)  # not while the module is being imported
        gc.set_threshold(50)  # in the middle of anything
        for number in range(40):
            Cycle(number)
            mox.file.exists(f"{bucket}/{number}")
            mox.file.set_auth(retry=number + 1)
        gc.set_threshold(700)
        gc.collect()
        found = mox.file.list_directory(bucket)
        print(len(found) + len(refused))
    """)
    assert out == ["40"]


def test_on_the_loop_thread_a_destructor_or_callback_gets_an_error_and_nothing_hangs(
    programs: Programs,
) -> None:
    out = programs.run("""
        import gc
        class Cycle:
            def __init__(self):
                self.myself = self
            def __del__(self):
                try:
                    mox.file.exists(bucket)
                except RuntimeError as error:
                    print(error)
        def collect(progress):
            gc.collect()
        def call(progress):
            mox.file.exists(bucket)
        mox.file.write(f"{bucket}/d/file", "x")
        gc.disable()
        Cycle()
        mox.file.copy_parallel(f"{bucket}/d", f"{folder}/one", progress=collect)
        try:
            mox.file.copy_parallel(f"{bucket}/d", f"{folder}/two", progress=call)
        except RuntimeError as error:
            print(error)
        print(mox.file.read(f"{bucket}/d/file"))
    """)
    refused = "blocking aioobs call on the aioobs loop: await the async one there"
    assert out == [refused, refused, "x"]


# --- signals -------------------------------------------------------------------------------


def test_a_signal_handler_calls_verbs_while_its_thread_is_in_one(holding: Programs) -> None:
    with holding.start("""
        import signal
        def handle(number, frame):
            print("handler", mox.file.read(f"{bucket}/other"))
            mox.file.set_auth(retry=3)
            mox.file.read(f"{bucket}/release")
        signal.signal(signal.SIGUSR1, handle)
        print("main", mox.file.read(f"{bucket}/slow"))
    """) as process:
        holding.wait_until_asked()
        process.send_signal(signal.SIGUSR1)
        out, err = process.communicate(timeout=DEADLINE)
    assert (out.splitlines(), err) == (["handler content", "main content"], "")
    assert process.returncode == 0


def test_a_signal_handler_may_set_what_its_thread_is_setting(programs: Programs) -> None:
    out = programs.run("""
        import random, signal
        count = 0
        def handle(number, frame):
            global count
            count += 1
            mox.file.set_auth(retry=2)
            assert mox.file.read(f"{bucket}/file") == "x"
        mox.file.write(f"{bucket}/file", "x")
        signal.signal(signal.SIGALRM, handle)
        turns = 0
        while count < 100:
            turns += 1
            signal.setitimer(signal.ITIMER_REAL, random.uniform(0.00001, 0.0003))
            for _ in range(3): mox.file.set_auth(retry=turns % 5 + 1)
        signal.setitimer(signal.ITIMER_REAL, 0)
        print(mox.file.read(f"{bucket}/file"))
    """)
    assert out == ["x"]


@pytest.fixture
def interrupted(
    programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Programs, FaultyServer, threading.Event]]:
    """Give a store of which no request with `slow` in its key is answered before the event."""
    upstream, reached = forward(os.environ["S3_ENDPOINT"]), threading.Event()

    def step(received: Received) -> Answer:
        last = "partNumber=2" in received.target
        if (received.method == "GET" and "slow" in received.path) or last:
            reached.set()
            return STALL
        if len(received.body) < received.length:  # the program has ended
            return RESET
        return upstream(received)

    with FaultyServer(always=step) as server:
        monkeypatch.setenv("S3_ENDPOINT", server.endpoint)
        yield programs, server, reached
        monkeypatch.undo()


COPY = """
def main():
    for number in range(5):
        mox.file.write(f"{bucket}/d/{number}", "whole" * 1000)
    mox.file.write(f"{bucket}/d/slow", "x")
    print("ready")
    mox.file.copy_parallel(f"{bucket}/d", f"{folder}/d", threads=4)
"""
SEND = f"""
def main():
    with open(f"{{folder}}/file", "wb") as stream:
        stream.truncate({24 * MIB})
    print("ready")
    mox.file.copy(f"{{folder}}/file", f"{{bucket}}/file")
"""
TERMINATE = """
import signal
def handle(number, frame):
    raise SystemExit(99)
signal.signal(signal.SIGTERM, handle)
"""


async def check_nothing_is_left(programs: Programs, folder: Path) -> None:
    found = {path.name: path.read_text() for path in folder.glob("d/*")}
    assert set(found.values()) <= {"whole" * 1000}, "no part of a file is under its name"
    assert not [name for name in found if name.startswith(".")], "no temporary file is left"
    async with Client() as client:
        name = programs.bucket.partition("://")[2]
        assert [upload async for upload in client.list_multipart_uploads(name)] == []


@pytest.mark.parametrize("work", [COPY, SEND], ids=["download", "upload"])
async def test_a_handler_of_sigterm_that_exits_leaves_nothing(
    interrupted: tuple[Programs, FaultyServer, threading.Event],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    work: str,
) -> None:
    programs, _, reached = interrupted
    with programs.start("main()", imports=IMPORT + work + TERMINATE) as process:
        assert reached.wait(DEADLINE)
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=DEADLINE)
    assert (process.returncode, out, err) == (99, "ready\n", "")
    assert time.monotonic() - begun < SOON
    await check_nothing_is_left(programs, tmp_path)


@pytest.mark.parametrize("work", [COPY, SEND], ids=["download", "upload"])
def test_sigterm_as_it_is_by_default_ends_a_copy_at_once(
    interrupted: tuple[Programs, FaultyServer, threading.Event], tmp_path: Path, work: str
) -> None:
    programs, _, reached = interrupted
    with programs.start("main()", imports=IMPORT + work) as process:
        assert reached.wait(DEADLINE)
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=DEADLINE)
    assert (process.returncode, out, err) == (-signal.SIGTERM, "ready\n", "")
    assert time.monotonic() - begun < SOON
    whole = [path for path in tmp_path.glob("d/*") if not path.name.startswith(".")]
    assert {path.read_text() for path in whole} <= {"whole" * 1000}


@pytest.mark.parametrize("work", [COPY, SEND], ids=["download", "upload"])
async def test_ctrl_c_ends_a_copy_although_the_store_does_not_answer(
    interrupted: tuple[Programs, FaultyServer, threading.Event], tmp_path: Path, work: str
) -> None:
    programs, _, reached = interrupted
    with programs.start("main()", imports=IMPORT + work) as process:
        assert reached.wait(DEADLINE)
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=DEADLINE)
    assert (process.returncode, out) == (-signal.SIGINT, "ready\n")
    assert time.monotonic() - begun < SOON
    assert err.startswith("Traceback")
    assert err.endswith("\nKeyboardInterrupt\n")
    assert err.count("Traceback") == 1, err
    await check_nothing_is_left(programs, tmp_path)


def test_ctrl_c_in_a_terminal_ends_a_program_and_the_process_that_copies_for_it(
    interrupted: tuple[Programs, FaultyServer, threading.Event], tmp_path: Path
) -> None:
    programs, _, reached = interrupted
    with programs.start(
        """
        import multiprocessing
        child = multiprocessing.get_context("fork").Process(target=main)
        child.start()
        try:
            child.join()
        except KeyboardInterrupt:
            child.join()
            print(child.exitcode)
        """,
        imports=IMPORT + COPY,
    ) as process:
        assert reached.wait(DEADLINE)
        begun = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=DEADLINE)
    assert (process.returncode, out) == (0, "ready\n1\n"), err
    assert time.monotonic() - begun < SOON
    assert err.count("Traceback") == 1, err  # the child's, by multiprocessing
    found = [path.name for path in tmp_path.glob("d/*")]
    assert "slow" not in found
    assert not [name for name in found if name.startswith(".")]
