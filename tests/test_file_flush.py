"""What a flush sends, and when: everything so far can be read, and growth costs its tail alone."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest
from anyio import to_thread

from aioobs import file
from aioobs.file import File

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from both import Recorder

    Uploads = Callable[[], Awaitable[list[str]]]

pytest_plugins = ["verbs", "both"]

ROOT = Path(__file__).resolve().parent.parent
KIB, MIB = 1 << 10, 1 << 20
NOISE = random.Random(0).randbytes(17 * MIB)
LONG = 3600.0


async def arrived(recorder: Recorder, count: int) -> None:
    """Wait until *count* more requests that change something are there."""
    wanted = recorder.written + count
    while recorder.written < wanted:
        assert await to_thread.run_sync(recorder.arrived.acquire, True, 5)


async def test_growth_costs_its_tail_alone(
    bucket: str, recorder: Recorder, opened: Callable[..., Any]
) -> None:
    for mode in ("wb", "ab"):
        async with opened(f"{bucket}/{mode}", mode) as found:
            await found.write(NOISE[: 6 * MIB])
            await found.flush()
            before = recorder.sent
            for number in range(20):
                await found.write(bytes([number]) * KIB)
                await found.flush()
                size = await file.get_size(f"{bucket}/{mode}")
                assert size == 6 * MIB + (number + 1) * KIB
        assert recorder.sent - before < MIB
        tail = b"".join(bytes([number]) * KIB for number in range(20))
        assert await file.read(f"{bucket}/{mode}", binary=True) == NOISE[: 6 * MIB] + tail


async def test_a_short_log_is_flushed_line_by_line(
    bucket: str, recorder: Recorder, opened: Callable[..., Any]
) -> None:
    for mode in ("w", "a"):
        before = recorder.written
        async with opened(f"{bucket}/{mode}", mode) as log:
            for number in range(100):
                await log.write(f"{number}\n")
                await log.flush()
                assert (await file.read(f"{bucket}/{mode}")).count("\n") == number + 1
        assert recorder.written - before == 100


async def test_a_flush_without_news_asks_nothing(
    bucket: str, recorder: Recorder, opened: Callable[..., Any]
) -> None:
    for mode in ("wb", "ab"):
        for size in (10, 9 * MIB):
            async with opened(f"{bucket}/{mode}-{size}", mode) as found:
                await found.write(NOISE[:size])
                await found.flush()
                before = len(recorder.requests)
                await found.flush()
                await found.write(b"")
                await found.flush()
            assert len(recorder.requests) == before


@pytest.mark.parametrize("mode", ["wb", "ab"])
async def test_a_flush_completes_an_upload_and_the_next_begins_with_it(
    bucket: str, opened: Callable[..., Any], uploads: Uploads, mode: str
) -> None:
    async with opened(f"{bucket}/file", mode) as found:
        await found.write(NOISE[: 9 * MIB])
        await found.flush()
        assert await file.read(f"{bucket}/file", binary=True) == NOISE[: 9 * MIB]
        await found.write(NOISE[9 * MIB : 16 * MIB])
        await found.flush()
        assert await file.get_size(f"{bucket}/file") == 16 * MIB
        await found.write(NOISE[16 * MIB :])
    assert await file.read(f"{bucket}/file", binary=True) == NOISE
    assert await uploads() == []


async def test_an_exception_publishes_nothing_after_the_last_flush(
    bucket: str, opened: Callable[..., Any], uploads: Uploads
) -> None:
    for size in (10, 9 * MIB):
        with pytest.raises(LookupError):
            async with opened(f"{bucket}/file", "wb") as found:
                await found.write(NOISE[:size])
                await found.flush()
                await found.write(NOISE)
                raise LookupError
        assert await file.read(f"{bucket}/file", binary=True) == NOISE[:size]
        assert await uploads() == []


async def test_a_file_without_a_buffer_is_flushed_too(
    bucket: str, opened: Callable[..., Any]
) -> None:
    for mode in ("wb", "ab", "wb+"):
        async with opened(f"{bucket}/{mode}", mode, buffering=0) as found:
            await found.write(b"content")
            await found.flush()
            assert await file.read(f"{bucket}/{mode}") == "content"
    with pytest.raises(LookupError):
        async with opened(f"{bucket}/never", "wb", buffering=0) as found:
            await found.write(b"content")
            raise LookupError
    assert not await file.exists(f"{bucket}/never")


# Flushes that are put off


async def test_many_flushes_in_an_interval_are_two_writes(
    bucket: str, recorder: Recorder, opened: Callable[..., Any]
) -> None:
    for mode in ("w", "a"):
        before = recorder.written
        async with opened(f"{bucket}/{mode}", mode, flush_interval=LONG) as log:
            for number in range(200):
                await log.write(f"{number}\n")
                await log.flush()
            assert recorder.written == before + 1
            assert await file.read(f"{bucket}/{mode}") == "0\n"
        assert recorder.written == before + 2
        assert (await file.read(f"{bucket}/{mode}")).count("\n") == 200


async def test_a_flush_that_was_put_off_happens_by_itself(
    bucket: str, recorder: Recorder, opened: Callable[..., Any]
) -> None:
    async with opened(f"{bucket}/log", "w", flush_interval=0.1) as log:
        await log.write("first\n")
        await log.flush()
        await log.write("second\n")
        waiting = asyncio.create_task(arrived(recorder, 1))
        await log.flush()
        await waiting
        while "second" not in await file.read(f"{bucket}/log"):
            pass
        before = recorder.written
    assert recorder.written == before
    assert await file.read(f"{bucket}/log") == "first\nsecond\n"


async def test_the_error_of_a_flush_that_was_put_off_is_raised_by_what_is_done_next(
    bucket: str, recorder: Recorder, opened: Callable[..., Any]
) -> None:
    for act in ("flush", "write", "aclose"):
        log = opened(f"{bucket}/{act}", "wb", buffering=0, flush_interval=0.1)
        await log.__aenter__()
        await log.write(b"ours")
        await log.flush()
        await file.write(f"{bucket}/{act}", "another's")
        before = len(recorder.requests)
        await log.write(b"more")
        await log.flush()
        while len(recorder.requests) < before + 1:  # the look at what is there
            assert await to_thread.run_sync(recorder.arrived.acquire, True, 5)
        # Now it is in the middle of it, and so is waited for.
        with pytest.raises(OSError, match="an earlier write"):
            await (log.write(b"x") if act == "write" else getattr(log, act)())
        if act != "aclose":
            with pytest.raises(OSError, match="an earlier write"):
                await log.aclose()
        assert await file.read(f"{bucket}/{act}") == "another's"


async def test_after_an_exception_a_flush_that_was_put_off_does_not_happen(
    bucket: str, recorder: Recorder, opened: Callable[..., Any]
) -> None:
    with pytest.raises(LookupError):
        async with opened(f"{bucket}/log", "w", flush_interval=0.1) as log:
            await log.write("first\n")
            await log.flush()
            await log.write("second\n")
            await log.flush()
            raise LookupError
    before = len(recorder.requests)
    await asyncio.sleep(0.2)  # for longer than it would have been put off
    assert len(recorder.requests) == before
    assert await file.read(f"{bucket}/log") == "first\n"


async def test_no_task_is_left_of_a_flush_that_was_put_off(bucket: str) -> None:
    before = asyncio.all_tasks()
    async with File(f"{bucket}/log", "w", flush_interval=LONG) as log:
        await log.write("first\n")
        await log.flush()
        await log.write("second\n")
        await log.flush()
        assert len(asyncio.all_tasks() - before) == 1
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


def test_the_last_flush_happens_when_the_interpreter_exits(obs_bucket: str) -> None:
    script = """
        import logging, sys
        import aioobs.sync as mox
        stream = mox.file.File(sys.argv[1], "a", flush_interval=3600)
        logger = logging.getLogger("app")
        logger.propagate = False
        logger.addHandler(logging.StreamHandler(stream))
        for number in range(50):
            logger.warning("line %s", number)
        print(mox.file.read(sys.argv[1]), end="")
    """
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", dedent(script), f"{obs_bucket}/log"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (finished.stdout, finished.stderr) == ("line 0\n", "")
    found = asyncio.run(file.read(f"{obs_bucket}/log"))
    assert found == "".join(f"line {number}\n" for number in range(50))
