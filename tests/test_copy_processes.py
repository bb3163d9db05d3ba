"""Copies in several processes: on executors, and in workers that a copy starts by itself."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from copies import noise, uploads
from faulty import FaultyServer, forward

import aioobs
from aioobs import Client, Config
from aioobs.errors import ConfigError, NotFound, ObsError, SourceError, TransferFailed, WorkerLost
from aioobs.transfer import engine, shared_parts
from aioobs.transfer.processes import workers
from aioobs.url import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from faulty import Answer, Received

    from aioobs.file import Progress
    from aioobs.testing import LocalServer

MIB = 1 << 20
SOME = 100  # requests
MANY = 1000  # files: 20 batches, so that something is still to do when a worker is there
SPAWN = multiprocessing.get_context("spawn")


@contextlib.contextmanager
def leading_to(server: LocalServer) -> Iterator[None]:
    """Have the environment of processes that start now lead to a server, whatever a test has."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="module")
def pool(obs_server: LocalServer) -> Iterator[ProcessPoolExecutor]:
    """Give a pool of two processes of this machine."""
    with ProcessPoolExecutor(2, mp_context=SPAWN) as executor:
        with leading_to(obs_server):
            list(executor.map(abs, range(8)))
        yield executor


@pytest.fixture(scope="module")
def dask(obs_server: LocalServer) -> Iterator[Any]:
    """Give the client of a cluster of two processes."""
    distributed = pytest.importorskip("distributed", reason="is for systems that have it")
    with contextlib.ExitStack() as stack:
        with leading_to(obs_server):
            cluster = distributed.LocalCluster(
                n_workers=2,
                threads_per_worker=1,
                dashboard_address=":0",
                silence_logs=logging.CRITICAL,
            )
            stack.enter_context(cluster)
        yield stack.enter_context(distributed.Client(cluster))


@pytest.fixture(params=["pool", "dask"])
def executor(request: pytest.FixtureRequest, obs_bucket: str) -> Executor:
    """Give each kind of executor."""
    found = request.getfixturevalue(request.param)
    return found if request.param == "pool" else dask_executor(found)


def dask_executor(client: Any) -> Executor:
    found: Executor = client.get_executor(pure=False)
    return found


def of_the_library(kind: str) -> Executor:
    """Make an executor of the standard library."""
    if kind == "threads":
        return ThreadPoolExecutor(40)
    if kind == "forkserver":
        return ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(kind))
    futures: Any = pytest.importorskip("concurrent.futures.interpreter", reason="is of Python 3.14")
    executor: Executor = futures.InterpreterPoolExecutor(2)
    return executor


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Give a local folder with a big file, a folder with nothing in it, and many small files."""
    root = tmp_path / "src"
    plant(root, 300)
    (root / "empty" / "folder").mkdir(parents=True)
    (root / "big").write_bytes(noise(40 * MIB + 1))
    return root


def plant(root: Path, count: int) -> None:
    for number in range(count):
        path = root / str(number % 7) / str(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(number))


def content(root: Path) -> dict[str, str]:
    """Return what is below a folder."""
    return {
        str(path.relative_to(root)): sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in root.rglob("*")
    }


def workers_of(parent: int) -> list[int]:
    """Return the processes that a copy of *parent* has started by itself."""
    children: list[str] = []
    for thread in Path(f"/proc/{parent}/task").iterdir():
        with contextlib.suppress(OSError):  # it has ended
            children += (thread / "children").read_text().split()
    found = []
    for child in children:
        with contextlib.suppress(OSError):
            if b"aioobs.transfer.processes.workers" in Path(f"/proc/{child}/cmdline").read_bytes():
                found.append(int(child))
    return found


def at_work(pid: int) -> bool:
    """Tell whether a process has a connection over TCP."""
    with contextlib.suppress(OSError):  # it has ended
        own = {os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()}
        table = Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
        return not own.isdisjoint(f"socket:[{line.split()[9]}]" for line in table)
    return False


def workers_at_work(count: int) -> list[int]:
    """Wait until so many processes, that a copy has started by itself, have something to do."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if len(found := list(filter(at_work, workers_of(os.getpid())))) == count:
            return found
        time.sleep(0.01)
    raise AssertionError(f"there are no {count} worker processes at work")


def gone(pids: list[int]) -> bool:
    """Tell whether none of these processes is there any more, waiting for a while."""
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


# Executors


async def test_a_tree_goes_up_across_and_down(
    executor: Executor,
    source: Path,
    obs_bucket: str,
    client: Client,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shared_parts, "PIECE", 16 * MIB)
    reports: list[Progress] = []
    await aioobs.file.copy_parallel(
        source, f"{obs_bucket}/up", executor=executor, progress=reports.append
    )
    await aioobs.file.copy_parallel(f"{obs_bucket}/up", f"{obs_bucket}/over", executor=executor)
    await aioobs.file.copy_parallel(f"{obs_bucket}/over", tmp_path / "down", executor=executor)

    assert content(tmp_path / "down") == content(source)
    last = reports[-1]
    assert (last.files, last.files_total, last.totals_known) == (302, 302, True)
    assert last.bytes == last.bytes_total > 40 * MIB
    assert await uploads(client, obs_bucket) == []


async def test_the_store_copies_big_objects_in_parts_for_many(
    pool: Executor, obs_bucket: str, client: Client
) -> None:
    name, data = obs_bucket.removeprefix("s3://"), noise(13 * MIB)
    await client.put_object(name, "src/one", data, metadata={"author": "me"})
    async with Client(replace(Config.from_env(), largest_copy=6 * MIB)) as small:
        await engine.copy_tree(
            small,
            parse(f"{obs_bucket}/src"),
            parse(f"{obs_bucket}/dst"),
            engine.CopyOptions(threads=4, executor=pool),
        )

    info = await client.head_object(name, "dst/one")
    assert info.etag.endswith("-3")
    assert info.metadata == {"author": "me"}
    assert await client.get_object(name, "dst/one") == data


async def test_a_single_file_is_planned_and_moved(
    pool: Executor, source: Path, obs_bucket: str
) -> None:
    big = (source / "big").read_bytes()
    plan = await aioobs.plan_copy(source / "big", f"{obs_bucket}/deep/copy")
    assert (len(plan), plan.bytes) == (1, 40 * MIB + 1)
    await aioobs.run_copy(plan, executor=pool, move=True)

    assert not (source / "big").exists()
    assert (source / "0" / "0").exists()
    plan = await aioobs.plan_copy(f"{obs_bucket}/deep/copy", source / "back")
    await aioobs.run_copy(plan, executor=pool, move=True)
    assert (source / "back").read_bytes() == big
    assert await aioobs.file.exists(f"{obs_bucket}/deep/copy") is False


async def test_failures_have_names_and_all_else_is_copied(
    executor: Executor, source: Path, obs_bucket: str, tmp_path: Path
) -> None:
    await aioobs.file.copy_parallel(source, f"{obs_bucket}/src", file_list=["0/0", "1/1"])
    names = ["0/0", "missing", "1/1", "no/where"]
    with pytest.raises(TransferFailed) as caught:
        await aioobs.file.copy_parallel(
            f"{obs_bucket}/src", tmp_path / "dst", file_list=names, executor=executor
        )

    failed = sorted(str(error.filename).rpartition("/")[2] for error in caught.value.failures)
    assert failed == ["missing", "where"]
    assert sorted(content(tmp_path / "dst")) == ["0", "0/0", "1", "1/1"]


async def test_what_a_worker_says_of_a_file_arrives(
    pool: Executor, source: Path, obs_bucket: str, tmp_path: Path
) -> None:
    await aioobs.file.copy_parallel(source, f"{obs_bucket}/src", file_list=["0/0", "1/1"])
    (tmp_path / "dst").mkdir()
    (tmp_path / "dst" / "0").write_text("in the way")
    with pytest.raises(TransferFailed) as caught:
        await aioobs.file.copy_parallel(f"{obs_bucket}/src", tmp_path / "dst", executor=pool)

    (failure,) = caught.value.failures
    assert isinstance(failure, NotADirectoryError)
    assert f"while copying {obs_bucket}/src/0/0 to" in failure.__notes__[0]


async def test_what_ends_a_copy_in_a_worker_ends_it_all(
    pool: Executor, source: Path, obs_bucket: str
) -> None:
    wrong = replace(Config.from_env(), access_key="nobody", secret_key="wrong")
    async with Client(wrong) as client:
        with pytest.raises(PermissionError, match="InvalidAccessKeyId"):
            await engine.copy_tree(
                client,
                str(source),
                parse(f"{obs_bucket}/dst"),
                engine.CopyOptions(threads=4, executor=pool),
                [f"{number % 7}/{number}" for number in range(100)],
            )


async def test_credentials_travel_only_if_they_were_given(
    obs_server: LocalServer, source: Path, obs_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with ProcessPoolExecutor(1, mp_context=SPAWN) as bare:
        bare.submit(abs, 1).result()
        monkeypatch.setenv("ACCESS_KEY_ID", obs_server.access_key)
        monkeypatch.setenv("SECRET_ACCESS_KEY", obs_server.secret_key)
        with pytest.raises(ConfigError, match="credentials"):
            await aioobs.file.copy_parallel(source / "0", f"{obs_bucket}/dst", executor=bare)
        given = replace(
            Config.from_env(), access_key=obs_server.access_key, secret_key=obs_server.secret_key
        )
        assert obs_server.secret_key not in repr(given)
        async with Client(given) as client:
            await engine.copy_tree(
                client,
                str(source / "0"),
                parse(f"{obs_bucket}/dst"),
                engine.CopyOptions(threads=4, executor=bare),
            )
    assert len(await aioobs.file.list_directory(f"{obs_bucket}/dst")) == 43


async def test_a_move_removes_what_was_copied_and_nothing_else(
    executor: Executor, source: Path, obs_bucket: str, tmp_path: Path
) -> None:
    await aioobs.file.copy_parallel(source, f"{obs_bucket}/src")
    plan = await aioobs.plan_copy(f"{obs_bucket}/src", tmp_path / "dst")
    await aioobs.file.write(f"{obs_bucket}/src/0/late", "late")
    await aioobs.run_copy(pickle.loads(pickle.dumps(plan)), executor=executor, move=True)

    assert content(tmp_path / "dst") == content(source)
    left = await aioobs.file.list_directory(f"{obs_bucket}/src", recursive=True, skip_dir=True)
    assert left == ["0/late"]


async def test_a_move_that_fails_removes_nothing(
    pool: Executor, source: Path, obs_bucket: str
) -> None:
    before = content(source)
    plan = await aioobs.plan_copy(source, f"{obs_bucket}/dst", ["0/0", "missing"])
    with pytest.raises(TransferFailed):
        await aioobs.run_copy(plan, executor=pool, move=True)
    assert content(source) == before


async def test_a_file_that_changes_between_its_pieces_is_not_published(
    pool: Executor,
    source: Path,
    obs_bucket: str,
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shared_parts, "PIECE", 8 * MIB)
    big = source / "big"
    os.truncate(big, 400 * MIB)

    def change(_: Progress) -> None:
        os.utime(big)

    with pytest.raises(TransferFailed) as caught:
        await aioobs.file.copy_parallel(
            source, f"{obs_bucket}/dst", file_list=["big"], executor=pool, progress=change
        )
    assert isinstance(caught.value.failures[0], SourceError)
    assert await uploads(client, obs_bucket) == []
    assert await aioobs.file.exists(f"{obs_bucket}/dst/big") is False


async def test_a_pool_that_breaks_says_what_is_done_and_the_rest_can_follow(
    source: Path, obs_bucket: str, client: Client, tmp_path: Path
) -> None:
    plant(source, MANY)
    with ProcessPoolExecutor(2, mp_context=SPAWN) as executor:
        pids = [executor.submit(os.getpid).result() for _ in range(8)]

        def kill(progress: Progress) -> None:
            if progress.files > 100:
                for pid in pids:
                    os.kill(pid, signal.SIGKILL)
                pids.clear()

        with pytest.raises(TransferFailed, match=r"\d+ files were copied") as caught:
            await aioobs.file.copy_parallel(
                source, f"{obs_bucket}/dst", executor=executor, progress=kill
            )
    assert pids == []
    assert {type(error) for error in caught.value.failures} == {WorkerLost}
    assert await uploads(client, obs_bucket) == []

    with ProcessPoolExecutor(2, mp_context=SPAWN) as executor:
        await aioobs.file.copy_parallel(source, f"{obs_bucket}/dst", executor=executor)
    await aioobs.file.copy_parallel(f"{obs_bucket}/dst", tmp_path / "back")
    assert content(tmp_path / "back") == content(source)


@pytest.mark.parametrize("kind", ["threads", "forkserver", "interpreters"])
async def test_every_executor_of_the_standard_library_copies(
    kind: str, source: Path, obs_server: LocalServer, obs_bucket: str, tmp_path: Path
) -> None:
    with leading_to(obs_server), of_the_library(kind) as executor:
        await aioobs.file.copy_parallel(source, f"{obs_bucket}/up", executor=executor)
        await aioobs.file.copy_parallel(f"{obs_bucket}/up", tmp_path / "down", executor=executor)
    assert content(tmp_path / "down") == content(source)


async def test_big_files_have_room_however_many_workers_an_executor_has(
    source: Path, obs_server: LocalServer, obs_bucket: str, tmp_path: Path
) -> None:
    with leading_to(obs_server), ThreadPoolExecutor(100) as executor:
        async with asyncio.timeout(60):
            await aioobs.file.copy_parallel(source / "big", f"{obs_bucket}/up", executor=executor)
    await aioobs.file.copy(f"{obs_bucket}/up", tmp_path / "down")
    assert (tmp_path / "down").read_bytes() == (source / "big").read_bytes()


@pytest.mark.slow
async def test_a_cluster_loses_a_worker_and_nothing_else(
    dask: Any, source: Path, obs_bucket: str, client: Client, tmp_path: Path
) -> None:
    plant(source, MANY)
    pids = list(dask.run(os.getpid).values())
    reports: list[Progress] = []

    def kill(progress: Progress) -> None:
        reports.append(progress)
        if progress.files > 100 and len(pids) > 1:
            os.kill(pids.pop(), signal.SIGKILL)

    await aioobs.file.copy_parallel(
        source, f"{obs_bucket}/dst", executor=dask_executor(dask), progress=kill
    )
    assert len(pids) == 1
    assert reports[-1].files == reports[-1].files_total == MANY + 2
    assert await uploads(client, obs_bucket) == []
    await aioobs.file.copy_parallel(f"{obs_bucket}/dst", tmp_path / "back")
    assert content(tmp_path / "back") == content(source)


class Deaf(Executor):
    """An executor whose workers all die."""

    calls = 0

    def submit(self, function: Callable[..., Any], /, *args: Any, **options: Any) -> Any:
        """Fail."""
        self.calls += 1
        raise OSError("no worker")


async def test_an_executor_that_can_do_nothing_is_not_asked_for_ever(
    source: Path, obs_bucket: str
) -> None:
    deaf = Deaf()
    plan = await aioobs.plan_copy(source, f"{obs_bucket}/dst")
    with pytest.raises(WorkerLost, match="no worker"):
        await aioobs.run_copy(plan, executor=deaf, workers=1)
    assert 3 <= deaf.calls <= 6


async def test_a_cancelled_copy_leaves_no_upload(
    pool: Executor, source: Path, obs_bucket: str, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_parts, "PIECE", 8 * MIB)
    os.truncate(source / "big", 400 * MIB)
    begun = asyncio.Event()
    copy = asyncio.create_task(
        aioobs.file.copy_parallel(
            source,
            f"{obs_bucket}/dst",
            file_list=["big"],
            executor=pool,
            progress=lambda _: begun.set(),
        )
    )
    await begun.wait()
    assert await uploads(client, obs_bucket) == ["dst/big"]
    copy.cancel()
    with pytest.raises(asyncio.CancelledError):
        await copy
    assert await uploads(client, obs_bucket) == []


async def test_a_cancelled_download_leaves_no_staged_file(
    pool: Executor, obs_bucket: str, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_parts, "PIECE", 8 * MIB)
    os.truncate(source / "big", 200 * MIB)
    await aioobs.file.copy(source / "big", f"{obs_bucket}/src/big")
    seen: list[list[str]] = []
    begun = asyncio.Event()

    def begin(_: Progress) -> None:
        seen.append(os.listdir(tmp_path / "dst"))
        begun.set()

    copy = asyncio.create_task(
        aioobs.file.copy_parallel(
            f"{obs_bucket}/src", tmp_path / "dst", executor=pool, progress=begin
        )
    )
    await begun.wait()
    copy.cancel()
    with pytest.raises(asyncio.CancelledError):
        await copy
    assert len(seen[0]) == 1
    assert seen[0][0].startswith(".aioobs-")
    assert os.listdir(tmp_path / "dst") == []


# Workers of our own


class Gate:
    """Lets some requests pass to a server, and the others once it is open."""

    def __init__(self, upstream: str) -> None:
        self._pass = forward(upstream)
        self._open = threading.Event()
        self._passed = 0

    def __call__(self, received: Received) -> Answer:
        self._passed += 1
        if self._passed > SOME:
            self._open.wait(60)
        return self._pass(received)

    async def copied(
        self, copy: Coroutine[Any, Any, None], count: int, then: Callable[[int], None]
    ) -> None:
        """Do a copy, and something to each of so many workers while they are at work."""
        self._open.clear()
        self._passed = 0
        task = asyncio.create_task(copy)
        try:
            for worker in await asyncio.to_thread(workers_at_work, count):
                then(worker)
        finally:
            self._open.set()
            await task


@contextlib.contextmanager
def copies_through(proxy: Callable[[Received], Answer], workers: int) -> Iterator[None]:
    """Have copies go through a proxy, and start so many processes at once."""
    with FaultyServer(always=proxy) as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("S3_ENDPOINT", server.endpoint)
        patch.setenv("AIOOBS_PROCESSES", str(workers))
        yield


@pytest.fixture
def gate(obs_server: LocalServer, obs_bucket: str) -> Iterator[Gate]:
    """Have copies wait for worker processes."""
    gate = Gate(obs_server.endpoint)
    with copies_through(gate, workers=2):
        yield gate


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


@pytest.mark.slow
async def test_workers_share_a_copy_with_this_process(
    gate: Gate, source: Path, obs_bucket: str, client: Client, tmp_path: Path
) -> None:
    plant(source, MANY)
    reports: list[Progress] = []
    for one, other in (
        (str(source), f"{obs_bucket}/up"),
        (f"{obs_bucket}/up", f"{obs_bucket}/over"),
        (f"{obs_bucket}/over", str(tmp_path / "down")),
    ):
        copy = aioobs.file.copy_parallel(one, other, progress=reports.append)
        await gate.copied(copy, 2, lambda _: None)
        assert reports[-1].files == reports[-1].files_total == MANY + 2
        assert workers_of(os.getpid()) == []
    assert content(tmp_path / "down") == content(source)
    assert await uploads(client, obs_bucket) == []


@pytest.mark.slow
async def test_what_a_killed_worker_had_is_done_here(
    gate: Gate,
    source: Path,
    obs_bucket: str,
    client: Client,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plant(source, MANY)
    reports: list[Progress] = []
    copy = aioobs.file.copy_parallel(source, f"{obs_bucket}/dst", progress=reports.append)
    await gate.copied(copy, 2, kill)
    assert reports[-1].files == reports[-1].files_total == MANY + 2
    assert await uploads(client, obs_bucket) == []
    monkeypatch.setenv("AIOOBS_PROCESSES", "0")
    await aioobs.file.copy_parallel(f"{obs_bucket}/dst", tmp_path / "back")
    assert content(tmp_path / "back") == content(source)


async def test_files_that_were_looked_at_for_a_killed_worker_are_copied_here(
    gate: Gate, source: Path, obs_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(source, MANY)
    names = [f"{number % 7}/{number}" for number in range(MANY)]
    monkeypatch.setenv("AIOOBS_PROCESSES", "1")
    reports: list[Progress] = []
    copy = aioobs.file.copy_parallel(
        source, f"{obs_bucket}/dst", file_list=names, progress=reports.append
    )
    await gate.copied(copy, 1, kill)
    assert reports[-1].files == reports[-1].files_total == MANY
    copied = await aioobs.file.list_directory(f"{obs_bucket}/dst", recursive=True, skip_dir=True)
    assert sorted(copied) == sorted(names)


async def test_a_worker_that_dies_as_a_batch_is_sent_leaves_no_error_unheard(
    gate: Gate, obs_bucket: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    deep = tmp_path.joinpath(*["d" * 240] * 12)  # or else a batch fits into the socket
    plant(deep, 1000)
    # Records would keep the errors alive, and with them what is complained of when it is collected.
    caplog.set_level(logging.CRITICAL, "aioobs.transfer")
    await gate.copied(aioobs.file.copy_parallel(deep, f"{obs_bucket}/dst"), 2, kill)
    gc.collect()
    assert caplog.messages == []


async def test_a_copy_does_not_wait_for_a_worker_that_is_being_started(
    source: Path, obs_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(source, MANY)
    pipe, begun = tmp_path / "pipe", tmp_path / "begun"
    os.mkfifo(pipe)
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "if 'aioobs.transfer.processes.workers' in str(sys.orig_argv):\n"
        f"    open({str(begun)!r}, 'x').close()\n"
        f"    open({str(pipe)!r}).read()\n"  # which never ends
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("AIOOBS_PROCESSES", "1")
    async with asyncio.timeout(60):
        await aioobs.file.copy_parallel(source, f"{obs_bucket}/dst")
    assert begun.exists()
    assert workers_of(os.getpid()) == []


async def test_a_cancelled_copy_leaves_no_process(
    source: Path, obs_bucket: str, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(source, MANY)
    monkeypatch.setenv("AIOOBS_PROCESSES", "2")
    started = asyncio.Event()

    def look(_: Progress) -> None:
        if len(workers_of(os.getpid())) == 2:
            started.set()

    copy = asyncio.create_task(
        aioobs.file.copy_parallel(source, f"{obs_bucket}/dst", progress=look)
    )
    await started.wait()
    copy.cancel()
    with pytest.raises(asyncio.CancelledError):
        await copy
    assert workers_of(os.getpid()) == []
    assert await uploads(client, obs_bucket) == []


class Meeting:
    """Lets requests pass to a server, parts of files only once two are there at the same time."""

    def __init__(self, upstream: str) -> None:
        self.happened = threading.Event()
        self._pass = forward(upstream)
        self._there = 0
        self._lock = threading.Lock()

    def __call__(self, received: Received) -> Answer:
        if "partNumber" not in received.query and "range" not in received.headers:
            return self._pass(received)
        with self._lock:
            self._there += 1
            if self._there == 2:
                self.happened.set()
        self.happened.wait(30)
        try:
            return self._pass(received)
        finally:
            with self._lock:
                self._there -= 1


@pytest.fixture
def meeting(obs_server: LocalServer, obs_bucket: str) -> Iterator[Meeting]:
    """Have copies that ask for one thing at a time wait for another process."""
    meeting = Meeting(obs_server.endpoint)
    with copies_through(meeting, workers=1):
        yield meeting


async def test_a_worker_helps_with_a_single_file(
    meeting: Meeting, source: Path, obs_bucket: str, client: Client, tmp_path: Path
) -> None:
    reports: list[Progress] = []
    await aioobs.file.copy_parallel(
        source / "big", f"{obs_bucket}/up", threads=1, progress=reports.append
    )
    assert meeting.happened.is_set()
    assert (reports[-1].files, reports[-1].bytes) == (1, 40 * MIB + 1)
    assert await uploads(client, obs_bucket) == []

    meeting.happened.clear()
    await aioobs.file.copy_parallel(f"{obs_bucket}/up", tmp_path / "down", threads=1)
    assert meeting.happened.is_set()
    assert (tmp_path / "down").read_bytes() == (source / "big").read_bytes()
    assert workers_of(os.getpid()) == []


async def test_what_a_killed_worker_had_of_a_file_is_moved_here(
    meeting: Meeting, source: Path, obs_bucket: str, client: Client, tmp_path: Path
) -> None:
    copy = asyncio.create_task(
        aioobs.file.copy_parallel(source / "big", f"{obs_bucket}/up", threads=1)
    )
    assert await asyncio.to_thread(meeting.happened.wait, 30)
    (worker,) = workers_of(os.getpid())
    kill(worker)
    await copy
    assert await uploads(client, obs_bucket) == []
    await aioobs.file.copy(f"{obs_bucket}/up", tmp_path / "down")
    assert (tmp_path / "down").read_bytes() == (source / "big").read_bytes()


@pytest.mark.parametrize("way", ["up", "down"])
async def test_a_cancelled_copy_of_a_file_leaves_nothing(
    meeting: Meeting, source: Path, obs_bucket: str, client: Client, tmp_path: Path, way: str
) -> None:
    origin, target = str(source / "big"), f"{obs_bucket}/dst"
    (tmp_path / "dst").mkdir()
    if way == "down":
        meeting.happened.set()
        await aioobs.file.copy(origin, f"{obs_bucket}/src")
        meeting.happened.clear()
        origin, target = f"{obs_bucket}/src", str(tmp_path / "dst" / "big")
    copy = asyncio.create_task(aioobs.file.copy_parallel(origin, target, threads=1))
    assert await asyncio.to_thread(meeting.happened.wait, 30)
    copy.cancel()
    with pytest.raises(asyncio.CancelledError):
        await copy
    assert workers_of(os.getpid()) == []
    assert await uploads(client, obs_bucket) == []
    assert os.listdir(tmp_path / "dst") == []


async def test_a_cancelled_copy_does_not_wait_for_what_a_worker_has_of_a_file(
    meeting: Meeting,
    source: Path,
    obs_bucket: str,
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(workers, "PATIENCE", 0.1)
    copy = asyncio.create_task(
        aioobs.file.copy_parallel(source / "big", f"{obs_bucket}/up", threads=1)
    )
    assert await asyncio.to_thread(meeting.happened.wait, 30)
    (worker,) = workers_of(os.getpid())
    os.kill(worker, signal.SIGSTOP)
    copy.cancel()
    ended, _ = await asyncio.wait([copy], timeout=20)
    if not ended:
        kill(worker)
    with pytest.raises(asyncio.CancelledError):
        await copy
    assert ended
    assert workers_of(os.getpid()) == []
    assert await uploads(client, obs_bucket) == []


async def test_nothing_is_started_where_that_is_not_wanted(
    source: Path, obs_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIOOBS_PROCESSES", "2")
    seen: list[int] = []
    await aioobs.file.copy_parallel(
        source,
        f"{obs_bucket}/dst",
        is_processing=False,
        progress=lambda _: seen.extend(workers_of(os.getpid())),
    )
    assert seen == []


async def test_a_wrong_number_of_processes_is_an_error(
    source: Path, obs_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIOOBS_PROCESSES", "many")
    with pytest.raises(ConfigError, match="AIOOBS_PROCESSES='many'"):
        await aioobs.file.copy_parallel(source, f"{obs_bucket}/dst")


SCRIPT = """
import os, sys
print("body", flush=True)
from aioobs.sync import file
file.copy_parallel(sys.argv[1], sys.argv[2], progress=lambda now: print(now.files, flush=True))
"""


@pytest.mark.slow
async def test_a_script_without_a_guard_runs_once(
    source: Path, obs_bucket: str, tmp_path: Path
) -> None:
    plant(source, MANY)
    (tmp_path / "train.py").write_text(SCRIPT)
    with script(tmp_path, str(source), f"{obs_bucket}/dst") as running:
        seen: set[int] = set()
        lines = []
        for line in running.stdout or ():
            lines.append(line.strip())
            seen.update(workers_of(running.pid))
    assert running.returncode == 0
    assert lines.count("body") == 1
    assert lines[-1] == f"{MANY + 2}"
    assert len(seen) == 2
    assert gone(list(seen))


def script(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "train.py", *arguments],
        cwd=folder,
        env={
            **os.environ,
            "AIOOBS_PROCESSES": "2",
            "PYTHONPATH": str(Path(__file__).parent.parent),
        },
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
async def test_workers_end_with_their_parent(
    source: Path, obs_bucket: str, tmp_path: Path, end: signal.Signals
) -> None:
    plant(source, MANY)
    (tmp_path / "train.py").write_text(SCRIPT)
    with script(tmp_path, str(source), f"{obs_bucket}/dst") as running:
        for _ in running.stdout or ():
            if len(pids := workers_of(running.pid)) == 2:
                break
        running.send_signal(end)
        running.communicate()
    assert running.returncode != 0
    assert gone(pids)


def test_errors_come_back_from_a_worker_as_they_were() -> None:
    error = NotFound("gone", operation="getObject", url="s3://b/k")
    error.add_note("while copying")
    plain = PermissionError(13, "no", "/a", None, "/b")
    plain.add_note("while copying")
    for one in (error, plain, WorkerLost("lost", url="s3://b/k")):
        back = pickle.loads(pickle.dumps(one))
        assert type(back) is type(one)
        assert str(back) == str(one)
        assert back.filename == one.filename
        assert getattr(back, "__notes__", None) == getattr(one, "__notes__", None)
        assert isinstance(back, ObsError) == isinstance(one, ObsError)
