"""The verbs called from where users call them: each test is a program in a process of its own.

Every program looks at its end, after the library's own exit handlers, whether sockets, event loops
or threads are left; warnings are errors in it, and nothing may be said on its stderr.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest
from faulty import RESET, STALL, Answer, FaultyServer, Received, forward, stored

from aioobs.s3.client import Client

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
MIB = 1 << 20
METHODS = ("fork", "spawn", "forkserver")
DEADLINE = 50
SOON = 10.0

BEGINNING = """
import atexit, contextlib, os, sys, threading

def opened():
    links = []
    for number in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else ():
        with contextlib.suppress(FileNotFoundError):
            links.append(os.readlink(f"/proc/self/fd/{number}"))
    return sorted(link for link in links if link.startswith(("socket:", "anon_inode:")))

before = opened()
process = os.getpid()

@atexit.register
def look_what_is_left():
    if os.getpid() == process:  # a forked child has what its parent had open
        for thread in threading.enumerate():
            if thread is not threading.main_thread():
                thread.join(5)
                assert not thread.is_alive(), thread
        assert opened() == before, opened()

bucket, folder = sys.argv[1:3]
"""
IMPORT = "import aioobs.sync as mox\n"
ENDING = "blocking aioobs call while the interpreter is ending"


class Programs:
    """Runs programs that find the project and the test's store."""

    def __init__(self, folder: Path, bucket: str) -> None:
        self.folder = folder
        self.bucket = bucket

    @contextlib.contextmanager
    def start(
        self, program: str, *arguments: str, imports: str = IMPORT
    ) -> Iterator[subprocess.Popen[str]]:
        """Start a program; neither it nor a child of it outlives the block."""
        path = self.folder / "program.py"
        path.write_text(BEGINNING + imports + dedent(program))
        command = [sys.executable, "-u", "-W", "error"]
        # Newer Pythons warn of any fork while a thread runs.
        command += ["-W", "ignore:This process:DeprecationWarning", str(path)]
        with subprocess.Popen(
            [*command, self.bucket, str(self.folder), *arguments],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                yield process
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)

    def run(self, program: str, *arguments: str, imports: str = IMPORT) -> list[str]:
        """Return the lines of a program, which has to end well and to complain of nothing."""
        with self.start(program, *arguments, imports=imports) as process:
            out, err = process.communicate(timeout=DEADLINE)
        assert (process.returncode, err) == (0, ""), out + err
        return out.splitlines()


@pytest.fixture
def programs(tmp_path: Path, obs_bucket: str) -> Programs:
    """Give programs a store."""
    return Programs(tmp_path, obs_bucket)


class Holding:
    """Answers like a store with one object, but keeps who reads `slow` waiting until `release`."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.released = threading.Event()

    def __call__(self, received: Received) -> Answer:
        name = received.path.rpartition("/")[2]
        if name == "slow":
            self.asked.set()
            self.released.wait(DEADLINE)
        elif name == "asked":
            self.asked.wait(DEADLINE)
        elif name == "release":
            self.released.set()
        return stored(b"content")(received)


@pytest.fixture
def holding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Programs]:
    """Give programs a store that keeps some of them waiting."""
    answers = Holding()
    with FaultyServer(always=answers) as server:
        monkeypatch.setenv("S3_ENDPOINT", server.endpoint)
        monkeypatch.setenv("ACCESS_KEY_ID", "test-access-key")
        monkeypatch.setenv("SECRET_ACCESS_KEY", "test-secret-key")
        found = Programs(tmp_path, "s3://bucket")
        found.answers = answers  # type: ignore[attr-defined]
        yield found
        answers.released.set()


# --- threads -------------------------------------------------------------------------------


def test_64_threads_call_all_verbs_at_once(programs: Programs) -> None:
    assert programs.run("""
        from concurrent.futures import ThreadPoolExecutor
        file, barrier = mox.file, threading.Barrier(64)

        def work(number):
            here, there = f"{bucket}/{number}", f"{folder}/{number}"
            barrier.wait(20)
            file.make_dirs(f"{here}/d")
            file.write(f"{here}/d/a", f"{number}")
            file.append(f"{here}/d/a", "+")
            assert file.read(f"{here}/d/a") == f"{number}+"
            with file.File(f"{here}/d/b", "w") as stream:
                stream.write("line\\n" * 10)
            with file.File(f"{here}/d/b") as stream:
                assert stream.readlines() == ["line\\n"] * 10
            file.copy(f"{here}/d/a", f"{here}/d/c")
            assert file.list_directory(f"{here}/d") == ["a", "b", "c"]
            file.copy_parallel(f"{here}/d", there)
            file.copy_parallel(there, f"{here}/e", threads=0)
            file.rename(f"{here}/e/a", f"{here}/e/z")
            assert file.glob(f"{here}/e/[xyz]") == [f"{here}/e/z"]
            assert sorted(entry.name for entry in file.scan_dir(f"{here}/e")) == ["b", "c", "z"]
            assert [names for _, _, names in file.walk(f"{here}/e")] == [["b", "c", "z"]]
            assert file.get_size(f"{here}/e", recursive=True) == 50 + 2 * len(f"{number}+")
            assert file.stat(f"{here}/e/b").length == 50
            file.remove(f"{here}/e", recursive=True)
            assert not file.exists(f"{here}/e/z")
            try:
                file.read(f"{here}/e/z")
            except FileNotFoundError:
                return number

        with ThreadPoolExecutor(64) as pool:
            assert list(pool.map(work, range(64))) == [*range(64)]
        print("done")
    """) == ["done"]


def test_threads_that_come_and_go_leave_neither_threads_nor_sockets(programs: Programs) -> None:
    out = programs.run("""
        def work(number):
            mox.file.write(f"{bucket}/{number}", "x")
            mox.file.copy(f"{bucket}/{number}", f"{folder}/{number}")
        def round():
            threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
            return threading.active_count(), len(opened())
        round()
        once = round()
        for _ in range(10): last = round()
        # Connections and worker threads are kept, as many as were needed at the same time.
        print(last[0] <= once[0] + 16, last[1] <= once[1] + 16, last[0] < 1 + 1 + 40)
    """)
    assert out == ["True True True"]


def test_a_setting_that_is_changed_again_and_again_leaves_no_sockets(programs: Programs) -> None:
    out = programs.run("""
        mox.file.write(f"{bucket}/file", "x")
        once = len(opened())
        for number in range(50):
            mox.file.set_auth(retry=number + 1)
            assert mox.file.read(f"{bucket}/file") == "x"
        mox.file.exists(f"{bucket}/file")
        print(len(opened()) - once < 5)
    """)
    assert out == ["True"]


def test_the_program_ends_when_its_threads_have_finished_what_they_copy(
    programs: Programs, tmp_path: Path
) -> None:
    assert (
        programs.run("""
        for number in range(100):
            os.makedirs(f"{folder}/src/{number % 7}", exist_ok=True)
            mox.file.write(f"{folder}/src/{number % 7}/{number}", str(number))
        def work():
            mox.file.copy_parallel(f"{folder}/src", f"{bucket}/d")
            mox.file.copy_parallel(f"{bucket}/d", f"{folder}/dst")
        threading.Thread(target=work).start()
    """)
        == []
    )
    copied = [path for path in (tmp_path / "dst").rglob("*") if path.is_file()]
    assert sorted(int(path.read_text()) for path in copied) == [*range(100)]


# --- processes -----------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_the_verbs_are_what_processes_and_pools_run(programs: Programs, method: str) -> None:
    out = programs.run(
        """
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor

        def main(method):
            file, context = mox.file, multiprocessing.get_context(method)
            urls = [f"{bucket}/d/{number}" for number in range(6)]
            for url in urls: file.write(url, url)
            # A worker that has done its work is replaced by one that a thread of the pool forks.
            pool = context.Pool(2, maxtasksperchild=2 if method == "fork" else None)
            assert pool.map(file.read, urls, chunksize=1) == urls
            assert pool.map(file.exists, urls) == [True] * 6
            pool.starmap(file.copy_parallel, [(f"{bucket}/d", f"{folder}/{n}") for n in range(3)])
            try:
                pool.apply(file.read, (f"{bucket}/missing",))
            except file.MoxFileNotExistsException as error:
                print(type(error).__name__, error.errno, error.filename == f"{bucket}/missing")
                print(error.resp.status, error.resp.errorCode)
            pool.close()
            pool.join()
            with ProcessPoolExecutor(2, mp_context=context) as executor:
                assert [*executor.map(file.get_size, urls)] == [*map(len, urls)]
                error = executor.submit(file.copy, f"{bucket}/missing", f"{folder}/new").exception()
                print(isinstance(error, FileNotFoundError))
            given = {"src_url": f"{folder}/0", "dst_url": f"{bucket}/e"}
            one = context.Process(target=file.copy_parallel, kwargs=given, daemon=True)
            two = context.Process(target=file.remove, args=(f"{bucket}/d", True))
            for started in (one, two): started.start()
            for started in (one, two): started.join()
            print(one.exitcode, two.exitcode)
            assert file.list_directory(f"{bucket}/e") == [*map(str, range(6))]
            assert not any(map(file.exists, urls))

        if __name__ == "__main__":
            main(sys.argv[3])
        """,
        method,
    )
    assert out == ["NotFound 2 True", "404 NoSuchKey", "True", "0 0"]


@pytest.mark.parametrize("method", METHODS)
def test_processes_are_started_while_a_thread_is_in_a_call(holding: Programs, method: str) -> None:
    out = holding.run(
        """
        import multiprocessing

        def look():
            assert mox.file.read(f"{bucket}/other") == "content"
            assert mox.file.exists(f"{bucket}/other")

        def main(method):
            found = []
            thread = threading.Thread(target=lambda: found.append(mox.file.read(f"{bucket}/slow")))
            thread.start()
            mox.file.read(f"{bucket}/asked")
            context = multiprocessing.get_context(method)
            children = [context.Process(target=look) for _ in range(2)]
            for child in children: child.start()
            for child in children: child.join()
            print([child.exitcode for child in children], found)
            mox.file.read(f"{bucket}/release")
            thread.join()
            print(found)

        if __name__ == "__main__":
            main(sys.argv[3])
        """,
        method,
    )
    assert out == ["[0, 0] []", "['content']"]


def test_a_child_may_end_in_any_way_while_its_parent_is_in_a_call(holding: Programs) -> None:
    out = holding.run("""
        found = []
        thread = threading.Thread(target=lambda: found.append(mox.file.read(f"{bucket}/slow")))
        thread.start()
        mox.file.read(f"{bucket}/asked")
        ends = [lambda: os._exit(0), sys.exit, lambda: mox.file.read(f"{bucket}/other")]
        for end in ends:
            if not (child := os.fork()):
                end()
                sys.exit()
            print(os.waitpid(child, 0)[1], found)
        mox.file.read(f"{bucket}/release")
        thread.join()
        print(found)
    """)
    assert out == ["0 []"] * 3 + ["['content']"]


def test_a_copy_goes_on_while_children_are_forked(programs: Programs) -> None:
    out = programs.run("""
        for number in range(300):
            os.makedirs(f"{folder}/src/{number % 9}", exist_ok=True)
            mox.file.write(f"{folder}/src/{number % 9}/{number}", str(number))
        mox.file.write(f"{bucket}/file", "x")

        def look(number):
            assert mox.file.read(f"{bucket}/file") == "x"
            mox.file.copy_parallel(f"{folder}/src/{number}", f"{bucket}/child/{number}")

        copy = threading.Thread(
            target=mox.file.copy_parallel, args=(f"{folder}/src", f"{bucket}/parent")
        )
        copy.start()
        codes = []
        for number in range(6):
            if not (child := os.fork()):
                look(number)
                os._exit(0)
            codes.append(os.waitpid(child, 0)[1])
        copy.join()
        print(codes)
        for root in (f"{bucket}/parent", f"{bucket}/child"):
            print(len(mox.file.list_directory(root, recursive=True, skip_dir=True)))
        mox.file.copy_parallel(f"{bucket}/parent", f"{folder}/dst")
        print(sum(int(mox.file.read(path)) for path in mox.file.glob(f"{folder}/dst/*/*")))
    """)
    assert out == ["[0, 0, 0, 0, 0, 0]", "300", "201", str(sum(range(300)))]


SAMPLES = """
import multiprocessing

class Samples:
    def __init__(self, root):
        self.root = root
        self.names = mox.file.list_directory(root)
    def __len__(self):
        return len(self.names)
    def __getitem__(self, index):
        return mox.file.read(f"{self.root}/{self.names[index]}", binary=True)

def work(samples, indices, results):
    while (index := indices.get()) is not None:
        try:
            results.put((index, samples[index]))
        except OSError as error:
            results.put((index, error))

class Loader:
    def __init__(self, samples, method):
        context = multiprocessing.get_context(method)
        self.samples, self.indices, self.results = samples, context.Queue(), context.Queue()
        given = (samples, self.indices, self.results)
        self.workers = [
            context.Process(target=work, args=given, daemon=True) for _ in range(2)
        ]
        for worker in self.workers: worker.start()
    def epoch(self):
        for index in range(len(self.samples)): self.indices.put(index)
        found = dict(self.results.get(timeout=20) for _ in self.samples.names)
        return [found[index] for index in range(len(self.samples))]
    def end(self):
        for _ in self.workers: self.indices.put(None)
        for worker in self.workers: worker.join()
        for queue in (self.indices, self.results):
            queue.close()
            queue.join_thread()
        return [worker.exitcode for worker in self.workers]
"""


@pytest.mark.parametrize("method", METHODS)
def test_workers_of_a_data_loader_read_samples(programs: Programs, method: str) -> None:
    out = programs.run(
        """
        def main(method):
            data = [os.urandom(number * 5000) for number in range(24)]
            for number, content in enumerate(data):
                mox.file.write(f"{bucket}/d/{number:02}", content)
            samples = Samples(f"{bucket}/d")
            loader = Loader(samples, method)
            for _ in range(3):  # the same workers
                assert loader.epoch() == data
                assert samples[5] == data[5]
            mox.file.remove(f"{bucket}/d/07")
            found = loader.epoch()
            print(type(found[7]).__name__, found[7].filename == f"{bucket}/d/07")
            assert found[:7] + found[8:] == data[:7] + data[8:]
            print(loader.end())
            samples = Samples(f"{bucket}/d")
            loader = Loader(samples, method)  # new workers
            assert loader.epoch() == data[:7] + data[8:]
            print(loader.end())

        if __name__ == "__main__":
            main(sys.argv[3])
        """,
        method,
        imports=IMPORT + SAMPLES,
    )
    assert out == ["NotFound True", "[0, 0]", "[0, 0]"]


def test_forked_workers_read_from_a_file_that_their_parent_has_opened(programs: Programs) -> None:
    out = programs.run(
        """
        class Records(Samples):
            def __init__(self, url):
                self.file = mox.file.File(url, "rb")
                self.names = range(self.file.size() // 1000)
            def __getitem__(self, index):
                self.file.seek(index * 1000)
                return self.file.read(1000)

        data = os.urandom(60_000)
        mox.file.write(f"{bucket}/records", data)
        records = Records(f"{bucket}/records")
        assert records[3] == data[3000:4000]
        loader = Loader(records, "fork")
        assert b"".join(loader.epoch()) == data
        assert records[4] == data[4000:5000]
        print(loader.end())
        records.file.close()
        """,
        imports=IMPORT + SAMPLES,
    )
    assert out == ["[0, 0]"]


def test_a_copy_starts_no_processes(programs: Programs) -> None:
    out = programs.run("""
        for number in range(40):
            mox.file.write(f"{bucket}/d/{number}", "x" * number)
        for processing in (True, False):
            mox.file.copy_parallel(f"{bucket}/d", f"{folder}/{processing}", None, 8, processing)
            assert len(os.listdir(f"{folder}/{processing}")) == 40
        try:
            os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            print("no children")
    """)
    assert out == ["no children"]


# --- event loops ---------------------------------------------------------------------------


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_blocking_verbs_are_called_inside_a_running_loop(programs: Programs, loop: str) -> None:
    pytest.importorskip(loop, reason="uvloop is optional")
    out = programs.run(
        f"""
        import asyncio, {loop}, aioobs

        async def main():
            url = f"{{bucket}}/d/file"
            mox.file.write(url, "blocking")
            assert await aioobs.file.read(url) == "blocking"
            await aioobs.file.write(url, "async")
            assert mox.file.read(url) == "async"
            reads = [aioobs.file.read(url) for _ in range(20)]
            waiting = asyncio.gather(*reads, *(asyncio.to_thread(mox.file.read, url),) * 1)
            mox.file.copy_parallel(f"{{bucket}}/d", f"{{folder}}/d")  # while these wait
            assert await waiting == ["async"] * 21
            async for path, _, names in aioobs.file.walk(bucket):
                assert [mox.file.get_size(f"{{path}}/{{name}}") for name in names] in ([], [5])
            with mox.file.File(url) as stream:
                assert stream.read() == "async"
            try:
                mox.file.read(f"{{bucket}}/missing")
            except FileNotFoundError:
                print("not found")

        {loop}.run(main())
        {loop}.run(main())
        """
    )
    assert out == ["not found"] * 2


NOTEBOOK = """
import ast, asyncio, types
loop, names = asyncio.new_event_loop(), {"bucket": bucket, "folder": folder}

def cell(text):
    code = compile(text, "<cell>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    async def run():
        found = types.FunctionType(code, names)()
        if asyncio.iscoroutine(found):
            await found
    loop.run_until_complete(run())
"""


def test_cells_of_a_notebook_use_both_apis(programs: Programs) -> None:
    out = programs.run(
        """
        cell("import aioobs, aioobs.sync as mox; url = f'{bucket}/file'")
        cell("mox.file.write(url, 'one')")
        cell("print(await aioobs.file.read(url), mox.file.read(url))")
        cell("for _, _, found in mox.file.walk(bucket): print(found)")
        cell("async for _, _, found in aioobs.file.walk(bucket): print(found)")
        cell("mox.file.copy_parallel(bucket, f'{folder}/d')")
        cell("print(mox.file.read(f'{folder}/d/file'))")
        cell("stream = mox.file.File(url)")
        cell("print(stream.read()); stream.close()")
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
        """,
        imports=NOTEBOOK,
    )
    assert out == ["one one", "['file']", "['file']", "one", "one"]


def test_a_cell_of_a_notebook_can_be_interrupted(holding: Programs) -> None:
    with holding.start(
        """
        cell("import aioobs.sync as mox; print(mox.file.read(f'{bucket}/other'))")
        try:
            cell("mox.file.read(f'{bucket}/slow')")
        except KeyboardInterrupt:
            print("interrupted")
        cell("print(mox.file.read(f'{bucket}/other'))")
        loop.close()
        """,
        imports=NOTEBOOK,
    ) as process:
        holding.answers.asked.wait(DEADLINE)  # type: ignore[attr-defined]
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=DEADLINE)
    assert (out.splitlines(), err) == (["content", "interrupted", "content"], "")
    assert process.returncode == 0


def test_two_loops_in_two_threads_share_a_client_and_the_verbs_with_blocking_callers(
    programs: Programs,
) -> None:
    out = programs.run("""
        import asyncio, aioobs
        client, name = aioobs.Client(aioobs.Config.from_env()), bucket.partition("://")[2]
        barrier = threading.Barrier(3)

        async def work(loop):
            barrier.wait(20)
            for turn in range(10):
                async def one(number):
                    key = f"{loop}/{turn}/{number}"
                    await client.put_object(name, key, key.encode())
                    assert await aioobs.file.read(f"{bucket}/{key}") == key
                    await aioobs.file.copy(f"{bucket}/{key}", f"{bucket}/{key}-copy")
                    assert await client.get_object(name, f"{key}-copy") == key.encode()
                await asyncio.gather(*map(one, range(8)))

        def block():
            barrier.wait(20)
            for number in range(80):
                mox.file.write(f"{bucket}/blocking/{number}", "x")
                assert mox.file.read(f"{bucket}/blocking/{number}") == "x"

        threads = [threading.Thread(target=asyncio.run, args=(work(n),)) for n in range(2)]
        threads.append(threading.Thread(target=block))
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        print(len(mox.file.list_directory(bucket, recursive=True, skip_dir=True)))
    """)
    assert out == [str(2 * 10 * 8 * 2 + 80)]


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
        mox.file
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
        holding.answers.asked.wait(DEADLINE)  # type: ignore[attr-defined]
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
