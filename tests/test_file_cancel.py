"""Files in tasks that are cancelled, wherever it hits them: nothing is left, nothing is half."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import tempfile
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from faulty import FaultyServer, Store
from suspensions import counted, ctrl_c

import aioobs.sync as mox
from aioobs import file
from aioobs.file import File
from aioobs.sync._loop import loop_thread

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterator
    from pathlib import Path

    Uploads = Callable[[], Awaitable[list[str]]]

pytest_plugins = ["verbs", "both"]

MIB = 1 << 20
NOISE = random.Random(0).randbytes(21 * MIB)
OLD, FIRST, LAST = NOISE[: 6 * MIB], NOISE[6 * MIB : 12 * MIB], NOISE[12 * MIB : 18 * MIB]
MOST = 400  # suspensions


def copies() -> list[str]:
    """Return the local files that are open."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            found.append(os.readlink(f"/proc/self/fd/{name}"))
    places = (f"{tempfile.gettempdir()}/#", "/tmp/pytest")
    return sorted(path for path in found if path.startswith(places))


async def at_every_suspension(
    program: Callable[[], Coroutine[Any, Any, None]],
    check: Callable[[], Awaitable[None]],
    step: int,
) -> None:
    """Cancel *program* at one suspension after the other, and *check* what is there then."""
    await program()
    before, opened = asyncio.all_tasks(), copies()
    for times in (1, 3):
        for number in range(times, MOST, step):
            task: asyncio.Task[int] = asyncio.create_task(counted(program(), number, times))
            await asyncio.wait([task])
            await asyncio.sleep(0)
            assert asyncio.all_tasks() == before, number
            assert copies() == opened, number
            await check()
            if not task.cancelled():
                assert task.result() < number, f"the cancellation at {number} was swallowed"
                break
        else:
            raise AssertionError("it never came to its end")


@pytest.fixture(autouse=True)
def quiet_loop(caplog: pytest.LogCaptureFixture) -> Any:
    """Check that the loop has nothing to complain about."""
    yield
    gc.collect()
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have uploads begin early."""
    monkeypatch.setenv("MOX_FILE_LARGE_FILE_PART_SIZE", str(5 * MIB))


@pytest.fixture
def settled(bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Have a store that takes whole requests, and give what waits until they are carried out."""
    store = Store(os.environ["S3_ENDPOINT"])
    with FaultyServer(always=store) as server:
        monkeypatch.setenv("S3_ENDPOINT", server.endpoint)
        yield store.settle


@pytest.mark.parametrize("mode", ["wb", "xb", "ab"])
@pytest.mark.parametrize("sizes", [(10, 10), (6 * MIB, 10), (6 * MIB, 6 * MIB)])
@pytest.mark.parametrize("interval", [0.0, 3600.0])
async def test_what_is_written_is_whole_as_far_as_a_flush_or_not_there(
    bucket: str,
    uploads: Uploads,
    settled: Callable[[], None],
    mode: str,
    sizes: tuple[int, int],
    interval: float,
) -> None:
    urls = [f"{bucket}/file"]
    first, last = FIRST[: sizes[0]], LAST[: sizes[1]]

    async def program() -> None:
        urls.append(f"{bucket}/{len(urls)}")  # what was cancelled may still reach the one before
        async with File(urls[-1], mode, flush_interval=interval) as found:
            await found.write(first)
            await found.flush()
            await found.write(last)
            await found.flush()

    async def check() -> None:
        settled()
        assert await uploads() == []
        if await file.exists(urls[-1]):
            assert await file.read(urls[-1], binary=True) in (first, first + last)

    await at_every_suspension(program, check, 1 if sum(sizes) < MIB else 5)


async def test_what_is_appended_to_is_as_it_was_or_longer(
    bucket: str, uploads: Uploads, settled: Callable[[], None]
) -> None:
    url = f"{bucket}/file"
    await file.write(url, OLD)
    wanted = [OLD]

    async def program() -> None:
        async with File(url, "ab") as found:
            await found.write(b"x" * 10)
            await found.flush()
            await found.write(b"y" * 10)

    async def check() -> None:
        settled()
        assert await uploads() == []
        added = (await file.read(url, binary=True))[len(OLD) :]
        assert added.startswith(wanted[0][len(OLD) :])
        assert len(added) % 10 == 0
        wanted[0] = OLD + added

    await at_every_suspension(program, check, 4)


@pytest.mark.parametrize("mode", ["rb+", "wb+", "ab+"])
@pytest.mark.parametrize("size", [100, 6 * MIB])
async def test_a_local_copy_is_gone_and_the_object_as_it_was_or_changed(
    bucket: str, uploads: Uploads, settled: Callable[[], None], mode: str, size: int
) -> None:
    urls, old, new = [f"{bucket}/file"], OLD[:size], FIRST[:size]
    expected = old + new if mode == "ab+" else new

    async def program() -> None:
        urls.append(f"{bucket}/{len(urls)}")  # what was cancelled may still reach the one before
        await file.write(urls[-1], old)
        async with File(urls[-1], mode) as found:
            await found.read(10)
            await found.seek(0)
            await found.write(new)

    async def check() -> None:
        settled()
        assert await uploads() == []
        if await file.exists(urls[-1]):
            assert await file.read(urls[-1], binary=True) in (old, expected)

    await at_every_suspension(program, check, 1 if size < MIB else 7)


async def test_a_reader_that_is_cancelled_leaves_nothing(bucket: str) -> None:
    await file.write(f"{bucket}/file", NOISE)

    async def program() -> None:
        async with File(f"{bucket}/file", "rb") as found:
            for _ in range(10):
                await found.read(100_000)
            await found.seek(7 * MIB)
            await found.read(100)
            await found.seek(0)
            await found.read()

    async def check() -> None:
        pass

    await at_every_suspension(program, check, 1)


async def test_a_local_file_that_is_cancelled_is_closed(tmp_path: Path) -> None:
    for mode in ("w", "r", "a+"):

        async def program(mode: str = mode) -> None:
            async with File(tmp_path / "file", mode) as found:
                await (found.read() if mode == "r" else found.write("content"))

        async def check() -> None:
            pass

        await at_every_suspension(program, check, 1)


async def test_an_exception_in_the_block_and_a_cancellation_leave_no_upload(
    bucket: str, uploads: Uploads, settled: Callable[[], None]
) -> None:
    async def program() -> None:
        with suppress(LookupError):
            async with File(f"{bucket}/file", "wb") as found:
                await found.write(FIRST)
                await found.write(LAST)
                raise LookupError

    async def check() -> None:
        settled()
        assert await uploads() == []
        assert not await file.exists(f"{bucket}/file")

    await at_every_suspension(program, check, 1)


async def test_a_local_copy_that_is_created_while_its_task_is_cancelled_is_gone(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on, create = threading.Event(), threading.Event(), tempfile.TemporaryFile

    def create_slowly(**options: Any) -> Any:
        begun.set()
        go_on.wait()
        return create(**options)

    await file.exists(bucket)
    opened = copies()
    monkeypatch.setattr(tempfile, "TemporaryFile", create_slowly)
    task = asyncio.create_task(File(f"{bucket}/file", "w+").__aenter__())
    await asyncio.to_thread(begun.wait)
    task.cancel()
    await asyncio.wait([task], timeout=0.05)
    go_on.set()
    await asyncio.wait([task])
    assert task.cancelled()
    assert copies() == opened


@pytest.mark.filterwarnings("ignore:.*(unclosed file|never awaited|WeakSet)")
async def test_ctrl_c_at_any_moment_of_a_blocking_file_leaves_no_upload(
    bucket: str, uploads: Uploads
) -> None:
    url, moments = f"{bucket}/file", 0

    def program() -> None:
        with mox.file.File(url, "wb") as found:
            found.write(FIRST)

    for at in range(1, MOST):
        if not ctrl_c(program, at, "/aioobs/sync/"):
            break
        moments += 1
    assert 30 < moments < MOST - 1
    gc.collect()
    loop_thread.stop()  # which waits for what is being cleaned up
    assert await uploads() == []
    assert await file.read(url, binary=True) == FIRST
