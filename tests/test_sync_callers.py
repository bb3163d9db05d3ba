"""The blocking verbs called from threads, from other processes, and inside running event loops."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
from programs import DEADLINE, IMPORT

if TYPE_CHECKING:
    from pathlib import Path

    from programs import Programs

METHODS = ("fork", "spawn", "forkserver")


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


def test_a_subinterpreter_awaits_and_is_told_so(programs: Programs) -> None:
    pytest.importorskip("concurrent.futures.interpreter", reason="is of Python 3.14")
    assert programs.run("""
        from concurrent.futures import InterpreterPoolExecutor

        def blocking(url):
            from aioobs.sync import file
            return file.exists(url)

        def awaiting(url):
            import asyncio, aioobs
            asyncio.run(aioobs.file.write(url, "content"))
            return asyncio.run(aioobs.file.read(url))

        if __name__ == "__main__":
            with InterpreterPoolExecutor(2) as pool:
                error = pool.submit(blocking, f"{bucket}/a").exception()
                print(type(error).__name__, str(error).endswith("await the async ones there"))
                print(pool.submit(awaiting, f"{bucket}/a").result())
    """) == ["RuntimeError True", "content"]


def test_threads_that_come_and_go_leave_neither_threads_nor_sockets(programs: Programs) -> None:
    out = programs.run("""
        def work(number):
            mox.file.write(f"{bucket}/{number}", "x")
            mox.file.copy(f"{bucket}/{number}", f"{folder}/{number}")
        def round():
            threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
            return threading.active_count(), opened().total()
        round()
        once = round()
        for _ in range(10): last = round()
        # Connections, some with a second descriptor, and worker threads are kept, as many as
        # were needed at the same time.  From 3.12 on, executors start one more where others are
        # about to be free, up to their 40.
        print(last[0] <= 1 + 1 + 40, last[1] <= once[1] + 32)
    """)
    assert out == ["True True"]


def test_a_setting_that_is_changed_again_and_again_leaves_no_sockets(programs: Programs) -> None:
    out = programs.run("""
        mox.file.write(f"{bucket}/file", "x")
        once = opened().total()
        for number in range(50):
            mox.file.set_auth(retry=number + 1)
            assert mox.file.read(f"{bucket}/file") == "x"
        mox.file.exists(f"{bucket}/file")
        print(opened().total() - once < 5)
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
            # Between the two the pool may have none, of which it cannot guess the size of a chunk.
            pool = context.Pool(2, maxtasksperchild=2 if method == "fork" else None)
            assert pool.map(file.read, urls, chunksize=1) == urls
            assert pool.map(file.exists, urls, chunksize=1) == [True] * 6
            copies = [(f"{bucket}/d", f"{folder}/{n}") for n in range(3)]
            pool.starmap(file.copy_parallel, copies, chunksize=1)
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


@pytest.mark.parametrize("module", ["aioobs.sync.file", "aioobs.s3.client", "aiohttp"])
def test_a_fork_waits_for_what_another_thread_is_importing(holding: Programs, module: str) -> None:
    out = holding.run(
        """
        import signal, time

        class Slow:
            def find_spec(self, name, path, target=None):
                if name == sys.argv[3]:
                    begun.set()
                    time.sleep(0.3)  # the fork begins meanwhile, which nobody could tell it

        begun = threading.Event()
        sys.meta_path.insert(0, Slow())
        thread = threading.Thread(target=lambda: mox.file.read(f"{bucket}/file"))
        thread.start()
        begun.wait()
        if not (child := os.fork()):
            signal.alarm(10)
            os._exit(mox.file.read(f"{bucket}/file") != "content")
        print(os.waitpid(child, 0)[1])
        thread.join()
        """,
        module,
    )
    assert out == ["0"]


def test_a_fork_in_the_middle_of_an_import_is_no_harm(holding: Programs) -> None:
    out = holding.run(
        """
        import importlib.machinery, logging, signal

        free, begun, forked = threading.Event(), threading.Event(), threading.Event()
        # What is registered first is called last: when the fork has waited for imports.
        os.register_at_fork(before=lambda: (free.set(), begun.wait()))
        import aioobs.sync as mox

        class Slow(importlib.machinery.SourceFileLoader):
            def exec_module(self, module):
                begun.set()
                forked.wait()
                super().exec_module(module)

        class Finder:
            def find_spec(self, name, path, target=None):
                if name == "aioobs.s3.http.pump":  # what imports it is half there by then
                    spec = importlib.machinery.PathFinder.find_spec(name, path)
                    spec.loader = Slow(name, spec.origin)
                    return spec

        sys.meta_path.insert(0, Finder())
        thread = threading.Thread(target=lambda: (free.wait(), mox.file.read(f"{bucket}/file")))
        thread.start()
        if not (child := os.fork()):
            signal.alarm(10)
            sys.meta_path.pop(0)
            os._exit(mox.file.read(f"{bucket}/file") != "content")
        forked.set()
        print(os.waitpid(child, 0)[1])
        thread.join()
        """,
        imports="",
    )
    assert out == ["0"]


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
    results.close()  # from 3.13 on, exit handlers come before what multiprocessing ends
    results.join_thread()

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
        holding.wait_until_asked()
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
