"""Copies that are cancelled: they end soon and leave nothing, wherever it hits them."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import secrets
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from copies import staged_files, uploads
from faulty import STALL, Answer, FaultyServer, Received, answer, listing

from aioobs import file
from aioobs.config import Config
from aioobs.s3.body import FileSink
from aioobs.s3.client import Client
from aioobs.threads import MOST_THREADS, in_thread
from aioobs.transfer import engine
from aioobs.url import parse

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from aioobs.testing import LocalServer

MIB = 1 << 20
DIRECTIONS = ["local-local", "local-remote", "remote-local", "remote-remote"]
ATTEMPTS = 8
SOON = 2.5  # seconds, of a busy machine


@pytest.fixture(scope="module")
def sources(
    obs_server: LocalServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """Give the same tree here and in the store: small files, and two of several parts."""
    folder, bucket = tmp_path_factory.mktemp("tree"), f"tree-{secrets.token_hex(6)}"
    noise = random.Random(0).randbytes(17 * MIB)
    for number in range(60):
        (folder / str(number % 3)).mkdir(exist_ok=True)
        (folder / str(number % 3) / f"{number:02}").write_text("x" * 1000)
    for name in ("big", "large"):
        (folder / name).write_bytes(noise)
    (folder / "medium").write_bytes(noise[: 3 * MIB])
    found = {"local": str(folder), "remote": f"s3://{bucket}/src"}
    obs_server.create_bucket(bucket)
    asyncio.run(upload(obs_server, *found.values()))
    yield found
    obs_server.delete_bucket(bucket)


async def upload(server: LocalServer, source: str, target: str) -> None:
    config = replace(
        Config.from_env(server.environment),
        access_key=server.access_key,
        secret_key=server.secret_key,
    )
    async with Client(config) as client:
        await engine.copy_tree(client, source, parse(target), engine.CopyOptions())


@pytest.fixture
def ends(obs_bucket: str, tmp_path: Path) -> dict[str, str]:
    """Give an empty place here and in the store, for copies of the tree."""
    return {"local": str(tmp_path), "remote": obs_bucket}


def descriptors() -> dict[str, str]:
    """Return the open files that are neither sockets nor pipes of the loop."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            found[name] = os.readlink(f"/proc/self/fd/{name}")
    return {name: path for name, path in found.items() if path.startswith("/")}


class Moment:
    """A callback that lets a waiting task go on at the n-th report."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.reached = asyncio.Event()

    def __call__(self, _: file.Progress) -> None:
        """Take a report."""
        self.number -= 1
        if self.number <= 0:
            self.reached.set()


async def cancelled_at(
    source: str, target: str, moment: Callable[[asyncio.Task[None]], Awaitable[object]],
    progress: Callable[[file.Progress], object] | None = None,
) -> bool:  # fmt: skip
    """Copy, cancel at a moment, and tell whether it was still under way."""
    task = asyncio.create_task(file.copy_parallel(source, target, progress=progress))
    await moment(task)
    begun = time.monotonic()
    under_way = task.cancel()
    await asyncio.wait([task])
    assert time.monotonic() - begun < SOON
    assert task.cancelled() or task.exception() is None
    assert task.cancelled() is under_way or not under_way
    return task.cancelled()


@pytest.mark.parametrize("direction", DIRECTIONS)
async def test_a_cancelled_copy_ends_soon_and_leaves_nothing(
    sources: dict[str, str], ends: dict[str, str], client: Client, direction: str
) -> None:
    here, there = direction.split("-")
    source = sources[here]
    delays = random.Random(direction)
    begun = time.monotonic()
    await file.copy_parallel(source, f"{ends[there]}/whole")
    whole = time.monotonic() - begun
    # uvloop keeps a descriptor from the first connection on.
    assert await uploads(client, ends["remote"]) == []
    tasks, threads = asyncio.all_tasks(), threading.active_count()
    opened = descriptors()
    hits = 0
    while hits < ATTEMPTS:
        delay = delays.uniform(0, whole)
        if await cancelled_at(
            source,
            f"{ends[there]}/dst-{hits}",
            lambda _, delay=delay: asyncio.sleep(delay),  # type: ignore[misc]
        ):
            hits += 1
        else:
            whole = delay
        assert staged_files(Path(ends["local"])) == []
        assert await uploads(client, ends["remote"]) == []
        assert asyncio.all_tasks() == tasks
        assert descriptors() == opened

    assert threading.active_count() <= threads + 40
    await file.copy_parallel(source, f"{ends[there]}/again")
    names = await file.list_directory(f"{ends[there]}/again", recursive=True)
    assert names == await file.list_directory(source, recursive=True)


@pytest.mark.parametrize("direction", DIRECTIONS)
async def test_a_copy_can_be_cancelled_at_any_report(
    sources: dict[str, str], ends: dict[str, str], client: Client, direction: str
) -> None:
    here, there = direction.split("-")
    for number in (1, 2, 3):
        moment = Moment(number)

        async def reached(task: asyncio.Task[None], moment: Moment = moment) -> None:
            waiting = asyncio.create_task(moment.reached.wait())
            await asyncio.wait([task, waiting], return_when="FIRST_COMPLETED")
            waiting.cancel()
            await asyncio.wait([waiting])

        await cancelled_at(sources[here], f"{ends[there]}/dst-{number}", reached, moment)
        assert staged_files(Path(ends["local"])) == []
        assert await uploads(client, ends["remote"]) == []


async def test_a_copy_can_be_cancelled_after_any_step_of_the_loop(
    sources: dict[str, str], ends: dict[str, str], client: Client
) -> None:
    async def go_on(task: asyncio.Task[None], steps: int) -> None:
        for _ in range(steps):
            await asyncio.sleep(0)

    for steps in range(1, 60, 3):
        for here, there in (("remote", "local"), ("local", "remote"), ("local", "local")):
            target = f"{ends[there]}/dst-{here}-{steps}"
            await cancelled_at(sources[here], target, partial(go_on, steps=steps))
        assert staged_files(Path(ends["local"])) == []
    assert await uploads(client, ends["remote"]) == []


async def test_a_cancelled_copy_ends_the_listing_that_it_reads(tmp_path: Path) -> None:
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()

    def serve(received: Received) -> Answer:
        if not received.query:
            loop.call_soon_threadsafe(asked.set)
            return STALL
        names = [f"src/{number:03}" for number in range(500)]  # more than are read ahead
        return answer(200, listing(*names, following="more"))

    with FaultyServer(always=serve) as server:
        async with Client(
            Config(endpoint=server.endpoint, access_key="key", secret_key="secret")
        ) as client:
            source, options = parse("s3://bucket/src"), engine.CopyOptions()
            copy = asyncio.create_task(engine.copy_tree(client, source, str(tmp_path), options))
            await asked.wait()
            copy.cancel()
            await asyncio.wait([copy])
            assert copy.cancelled()
            del copy
            gc.collect()  # what has not ended complains now, which fails the test


async def test_a_copy_of_many_local_files_leaves_no_staged_files_when_it_is_cancelled(
    tmp_path: Path,
) -> None:
    (tmp_path / "src").mkdir()
    for number in range(300):
        (tmp_path / "src" / str(number)).write_text("x")
    delays = random.Random(0)
    for attempt in range(30):
        delay = delays.uniform(0, 0.05)
        await cancelled_at(
            str(tmp_path / "src"),
            str(tmp_path / f"dst-{attempt}"),
            lambda _, delay=delay: asyncio.sleep(delay),  # type: ignore[misc]
        )
    assert staged_files(tmp_path) == []


async def test_who_waits_for_a_thread_and_is_cancelled_waits_for_its_end() -> None:
    begun, go_on, ended = threading.Event(), threading.Event(), []

    def work() -> None:
        begun.set()
        go_on.wait()
        ended.append(True)

    task = asyncio.create_task(in_thread(work))
    await asyncio.to_thread(begun.wait)
    task.cancel()
    await asyncio.wait([task], timeout=0.05)
    early = task.done()
    go_on.set()
    await asyncio.wait([task])

    assert not early
    assert ended == [True]
    assert task.cancelled()


async def test_work_for_a_thread_that_has_not_begun_when_it_is_cancelled_never_does() -> None:
    begun, go_on = threading.Barrier(MOST_THREADS + 1), threading.Event()
    done: list[bool] = []

    def work() -> None:
        begun.wait()
        go_on.wait()

    busy = [asyncio.create_task(in_thread(work)) for _ in range(MOST_THREADS)]
    await asyncio.to_thread(begun.wait)
    late = asyncio.create_task(in_thread(done.append, True))
    await asyncio.wait([late], timeout=0.05)
    late.cancel()
    await asyncio.wait([late], timeout=5)
    go_on.set()
    await asyncio.wait(busy)

    assert late.cancelled()
    assert done == []


async def test_work_is_done_once_where_no_thread_can_be_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    pool, done = ThreadPoolExecutor(1), list[int]()
    monkeypatch.setattr("aioobs.threads.workers", lambda: pool)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        await in_thread(done.append, 1)
    assert done == [1]
    await in_thread(done.append, 2)
    assert done == [1, 2]
    pool.shutdown()


async def test_a_cancelled_write_of_a_body_has_ended_when_its_descriptor_is_closed(
    tmp_path: Path,
) -> None:
    for steps in range(20):
        with (tmp_path / "file").open("wb") as target:
            descriptor = target.fileno()
            tasks = [asyncio.create_task(FileSink(descriptor).write(bytes(MIB))) for _ in range(40)]
            for _ in range(steps):
                await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            os.ftruncate(descriptor, 0)
            # A thread that still writes would by now write into whatever has this descriptor.
            await asyncio.to_thread(time.sleep, 0.02)
            assert os.fstat(descriptor).st_size == 0


async def test_whole_files_stay_and_no_partial_one_is_seen(
    sources: dict[str, str], ends: dict[str, str]
) -> None:
    source, target = sources["remote"], f"{ends['local']}/dst"
    for attempt in range(6):
        await cancelled_at(source, target, lambda _, a=attempt: asyncio.sleep(0.02 * a))  # type: ignore[misc]
        for folder, _, names in os.walk(target):
            for name in names:
                path = os.path.join(folder, name)
                expected = os.path.join(sources["local"], os.path.relpath(path, target))
                assert os.path.getsize(path) == os.path.getsize(expected)


async def test_a_timeout_around_a_copy_works_as_for_anything_else(
    sources: dict[str, str], ends: dict[str, str], client: Client
) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await file.copy_parallel(sources["local"], f"{ends['remote']}/dst")

    assert await uploads(client, ends["remote"]) == []


async def test_a_cancelled_write_leaves_neither_object_nor_upload(
    obs_bucket: str, client: Client
) -> None:
    data = random.Random(0).randbytes(24 * MIB)
    for delay in (0, 0.005, 0.02, 0.05, 0.1):
        task = asyncio.create_task(file.write(f"{obs_bucket}/file-{delay}", data))
        await asyncio.sleep(delay)
        if task.cancel():
            await asyncio.wait([task])
        assert await uploads(client, obs_bucket) == []
        if await file.exists(f"{obs_bucket}/file-{delay}"):
            assert await file.get_size(f"{obs_bucket}/file-{delay}") == len(data)


async def test_a_cancelled_append_leaves_the_object_as_it_was_or_whole(
    obs_bucket: str, client: Client
) -> None:
    data = random.Random(0).randbytes(12 * MIB)
    for delay in (0, 0.005, 0.02, 0.05, 0.1):
        url = f"{obs_bucket}/file-{delay}"
        await file.write(url, data)
        task = asyncio.create_task(file.append(url, data))
        await asyncio.sleep(delay)
        if task.cancel():
            await asyncio.wait([task])
        assert await uploads(client, obs_bucket) == []
        assert await file.get_size(url) in (len(data), 2 * len(data))


INTERRUPTED = """
import sys, time
import aioobs.sync as mox
source, target = sys.argv[1:]
def report(progress):
    print("report", flush=True)
mox.file.exists(source)
try:
    print("ready", flush=True)
    mox.file.copy_parallel(source, target, progress=report)
    print("done", flush=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
    mox.file.exists(source)  # the loop is as good as before
    raise
"""


@pytest.mark.parametrize("direction", DIRECTIONS[:3])
@pytest.mark.parametrize("line", ["ready", "report"])
async def test_ctrl_c_ends_a_blocking_copy_soon_and_leaves_nothing(
    sources: dict[str, str], ends: dict[str, str], client: Client, direction: str, line: str
) -> None:
    here, there = direction.split("-")
    command = [sys.executable, "-c", INTERRUPTED, sources[here], f"{ends[there]}/dst"]

    def interrupt() -> tuple[str, str, float, int]:
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.getcwd()},
        ) as process:
            assert process.stdout is not None
            while process.stdout.readline().strip() != line:
                assert process.poll() is None
            process.send_signal(signal.SIGINT)
            begun = time.monotonic()
            out, errors = process.communicate(timeout=20)
            return out, errors, time.monotonic() - begun, process.returncode

    out, errors, seconds, status = await asyncio.to_thread(interrupt)

    assert seconds < SOON
    assert "interrupted" in out, errors
    assert status == -signal.SIGINT
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert staged_files(Path(ends["local"])) == []
    assert await uploads(client, ends["remote"]) == []
