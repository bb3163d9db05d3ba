"""Reading objects: ahead of its use, in ranges, one version of them, whatever breaks."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import io
import os
import random
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest
from faulty import (
    RESET,
    STALL,
    Answer,
    FaultyServer,
    Received,
    answer,
    connect,
    refusal,
    stored,
)

import aioobs.sync.file
from aioobs import file
from aioobs.errors import ObjectChanged
from aioobs.file import File

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from both import Recorder
    from faulty import End

    from aioobs.session import Session

pytest_plugins = ["verbs", "both"]

ROOT = Path(__file__).resolve().parent.parent
KIB, MIB = 1 << 10, 1 << 20
NOISE = random.Random(0).randbytes(20 * MIB)
URL = "s3://bucket/file"


@pytest.fixture
def serve(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., FaultyServer]]:
    """Give what starts a server that all requests go to, each tried at most three times."""
    session.set({"attempts": 3, "retry_wait": 0.001})
    monkeypatch.setenv("ACCESS_KEY_ID", "test-access-key")
    monkeypatch.setenv("SECRET_ACCESS_KEY", "test-secret-key")
    servers: list[FaultyServer] = []

    def start(*script: Any, **options: Any) -> FaultyServer:
        servers.append(FaultyServer(*script, **options).__enter__())
        monkeypatch.setenv("S3_ENDPOINT", servers[-1].endpoint)
        return servers[-1]

    yield start
    for server in servers:
        server.__exit__()


def asked(server: FaultyServer) -> list[tuple[int, int]]:
    """Return the ranges that were asked for, in order."""
    found = []
    for request in server.requests:
        first, _, last = request.headers["range"].removeprefix("bytes=").partition("-")
        found.append((int(first), int(last) + 1))
    return sorted(found)


# The bytes themselves


async def test_an_object_is_read_in_pieces_of_odd_sizes(
    root: str, opened: Callable[..., Any]
) -> None:
    await file.write(f"{root}/file", NOISE)
    sizes = random.Random(1)
    async with opened(f"{root}/file", "rb") as found:
        pieces = []
        while piece := await found.read(sizes.randrange(1, 700_001)):
            pieces.append(piece)
        assert b"".join(pieces) == NOISE
        assert await found.tell() == len(NOISE)


@pytest.mark.parametrize("seed", range(4))
async def test_any_sequence_of_calls_does_what_it_does_in_memory(
    root: str, opened: Callable[..., Any], seed: int
) -> None:
    content = NOISE[: 9 * MIB + seed]
    await file.write(f"{root}/file", content)
    chance, memory = random.Random(seed), io.BytesIO(content)
    async with opened(f"{root}/file", "rb") as found:
        for _ in range(80):
            size = chance.choice((0, 1, 10, 5000, 70_000, MIB, 5 * MIB))
            place = chance.randrange(len(content) + 10)
            call, arguments = chance.choice(
                [
                    ("read", (size,)),
                    ("read", (chance.randrange(200 * KIB),)),
                    ("readline", ()),
                    ("readline", (chance.randrange(100),)),
                    ("tell", ()),
                    ("seek", (place,)),
                    ("seek", (-min(chance.randrange(1, 300_000), memory.tell()), os.SEEK_CUR)),
                    ("seek", (chance.randrange(300_000), os.SEEK_CUR)),
                    ("seek", (-place // 2, os.SEEK_END)),
                ]
            )
            assert await getattr(found, call)(*arguments) == getattr(memory, call)(*arguments)
            buffers = bytearray(size % 70_001), bytearray(size % 70_001)
            assert await found.readinto(buffers[0]) == memory.readinto(buffers[1])
            assert buffers[0] == buffers[1]
        assert await found.read() == memory.read()


async def test_a_position_that_is_none_is_refused(root: str, opened: Callable[..., Any]) -> None:
    await file.write(f"{root}/file", "content")
    async with opened(f"{root}/file", "rb") as found:
        for arguments in ((-1,), (0, 7)):
            with pytest.raises((ValueError, OSError)):
                await found.seek(*arguments)
        assert await found.read() == b"content"
    async with opened(f"{root}/file") as found:
        with pytest.raises(ValueError, match="negative"):
            await found.seek(-1)
        assert await found.read() == "content"


# What is asked for


async def test_a_small_object_takes_one_request(
    bucket: str, recorder: Recorder, opened: Callable[..., Any]
) -> None:
    for size in (0, 1, 100_000):
        await file.write(f"{bucket}/{size}", NOISE[:size])
        before = len(recorder.requests)
        async with opened(f"{bucket}/{size}", "rb") as found:
            assert await found.read() == NOISE[:size]
            await found.seek(0)
            assert await found.read() == NOISE[:size]
        # Of an empty object no range can be had.
        assert len(recorder.requests) - before == (1 if size else 2)


async def test_what_is_read_in_order_takes_few_requests(
    bucket: str, recorder: Recorder, opened: Callable[..., Any]
) -> None:
    await file.write(f"{bucket}/file", NOISE)
    before = len(recorder.requests)
    async with opened(f"{bucket}/file", "rb") as found:
        while await found.read(50_000):
            pass
    assert len(recorder.requests) - before < 40
    ranges = [request.headers["range"] for request in recorder.requests[before:]]
    assert len(set(ranges)) == len(ranges)


async def test_small_steps_back_ask_nothing(
    bucket: str, recorder: Recorder, opened: Callable[..., Any]
) -> None:
    await file.write(f"{bucket}/file", NOISE)
    async with opened(f"{bucket}/file", "rb") as found:
        await found.read(3 * MIB)
        await found.read(100)
        for _ in range(5):  # what was asked for ahead may still be on its way
            before = len(recorder.requests)
            for step in (1, 100, 50_000):
                await found.seek(-step, os.SEEK_CUR)
                await found.read(step)
            if len(recorder.requests) == before:
                break
        assert len(recorder.requests) == before


async def test_after_a_jump_little_more_is_asked_for_than_is_wanted(
    serve: Callable[..., FaultyServer],
) -> None:
    server = serve(always=stored(NOISE))
    async with File(URL, "rb") as found:
        for place in (15 * MIB, 3 * MIB, 19 * MIB, 7 * MIB):
            await found.seek(place)
            assert await found.read(100) == NOISE[place : place + 100]
    ranges = asked(server)
    assert len(ranges) == 5
    assert sum(stop - start for start, stop in ranges) <= 128 * KIB + 4 * 64 * KIB


async def test_a_large_read_asks_for_several_ranges_at_once(
    serve: Callable[..., FaultyServer],
) -> None:
    together = threading.Barrier(2, timeout=20)
    good = stored(NOISE)

    def wait_for_another(received: Received) -> Answer:
        together.wait()
        return good(received)

    server = serve(good, wait_for_another, wait_for_another, always=good)
    async with File(URL, "rb") as found:
        assert await found.read() == NOISE
    stops = [start for start, _ in asked(server)[1:]] + [len(NOISE)]
    assert [stop for _, stop in asked(server)] == stops


@pytest.mark.parametrize(("size", "most"), [(200 * KIB, MIB), (12 * MIB, 6 * MIB)])
async def test_who_reads_slowly_is_not_far_behind_what_was_asked_for(
    serve: Callable[..., FaultyServer], size: int, most: int
) -> None:
    server = serve(always=stored(NOISE))
    before = asyncio.all_tasks()
    async with File(URL, "rb") as found:
        for _ in range(size // 20_000):
            await found.read(20_000)
            if busy := asyncio.all_tasks() - before:
                await asyncio.wait(busy)  # what was asked for is there before more is wanted
        assert max(stop for _, stop in asked(server)) <= size + most


# Other versions and broken connections


async def test_an_object_that_is_replaced_is_an_error_and_never_a_mixture(
    bucket: str, opened: Callable[..., Any]
) -> None:
    for first in (10, 300_000, 9 * MIB):
        await file.write(f"{bucket}/file", NOISE)
        async with opened(f"{bucket}/file", "rb") as found:
            got = await found.read(first)
            await file.write(f"{bucket}/file", bytes(len(NOISE)))
            with suppress(ObjectChanged):
                while piece := await found.read(MIB):
                    got += piece
            assert NOISE.startswith(got)
            assert len(got) < len(NOISE) or first > MIB  # else it may have been read ahead
            await found.seek(0)
            with pytest.raises(ObjectChanged):
                await found.read()


async def test_an_object_that_is_replaced_while_it_is_read_ahead_is_an_error(
    serve: Callable[..., FaultyServer],
) -> None:
    old, new = stored(NOISE, "old"), stored(bytes(len(NOISE)), "new")
    for number in range(1, 8):
        serve(*[old] * number, always=new)
        got = b""
        async with File(URL, "rb") as found:
            with pytest.raises(ObjectChanged):
                while piece := await found.read(60_000):
                    got += piece
        assert NOISE.startswith(got)


async def test_a_broken_body_is_read_on_at_its_byte(serve: Callable[..., FaultyServer]) -> None:
    good, chance = stored(NOISE), random.Random(2)
    broken: set[str] = set()  # the ends of ranges

    def break_off_once(received: Received) -> Answer:
        reply, end_of_range = good(received), received.headers["range"].rpartition("-")[2]
        if end_of_range in broken:
            return reply
        broken.add(end_of_range)
        length = len(reply.message.partition(b"\r\n\r\n")[2])
        end: End = "close" if chance.random() < 0.5 else "reset"
        return reply.cut(body=chance.randrange(1, length), end=end)

    serve(always=break_off_once)
    async with File(URL, "rb") as found:
        pieces = [await found.read(900_000) for _ in range(8)]
        pieces.append(await found.read())
    assert b"".join(pieces) == NOISE
    assert len(broken) > 8


@pytest.mark.parametrize("then", [refusal(416, "InvalidRange"), answer(body=NOISE, etag='"1"')])
async def test_an_attempt_that_fails_after_its_last_byte_has_brought_them_all(
    then: Answer,
) -> None:
    place = f"bytes 0-{KIB - 1}/{5 * KIB}"
    good = answer(206, NOISE[:KIB], chunked=True, etag='"1"', content_range=place)
    unended = replace(good, message=good.message.removesuffix(b"0\r\n\r\n"), end="stall")
    with FaultyServer(unended, then) as server:
        async with connect(server.endpoint, idle_timeout=0.5, transport="session") as client:
            found = await client.get_object("bucket", "key", stop=KIB)

    assert found == NOISE[:KIB]
    assert len(server.requests) == 2


@pytest.mark.parametrize("ways", ["read", "read all", "readline", "readinto"])
async def test_what_failed_can_be_done_again_at_its_place(
    serve: Callable[..., FaultyServer], ways: str
) -> None:
    good = stored(bytes(9 * MIB) + b"\n")
    failing = threading.Event()

    def sometimes(received: Received) -> Answer:
        return RESET if failing.is_set() and received.first_byte >= edge else good(received)

    edge = 0 if ways == "readinto" else MIB
    serve(always=sometimes)
    async with File(URL, "rb") as found:
        assert await found.read(10) == bytes(10)
        buffer = bytearray(8 * MIB)
        calls: dict[str, Callable[[], Any]] = {
            "read": lambda: found.read(8 * MIB),
            "read all": found.read,
            "readline": found.readline,
            "readinto": lambda: found.readinto(buffer),
        }
        failing.set()
        for _ in range(3):
            with pytest.raises(ConnectionError):
                await calls[ways]()
            assert await found.tell() == 10
        failing.clear()
        got = await calls[ways]()
        expected = {"read": bytes(8 * MIB), "readinto": 8 * MIB}
        assert got == expected.get(ways, bytes(9 * MIB - 10) + b"\n")


async def test_text_that_failed_is_read_again_from_its_place(
    serve: Callable[..., FaultyServer],
) -> None:
    text = "größer " * 200_000
    good, failing = stored(text.encode()), threading.Event()

    def sometimes(received: Received) -> Answer:
        return RESET if failing.is_set() and received.first_byte >= 500_000 else good(received)

    serve(always=sometimes)
    for name in ("read", "readline"):
        failing.clear()
        async with File(URL) as found:
            assert await found.read(7) == text[:7]
            failing.set()
            place = await found.tell()
            for _ in range(2):
                with pytest.raises(ConnectionError):
                    await (found.read(1_000_000) if name == "read" else found.readline())
                assert await found.read(3) == text[7:10]
                await found.seek(place)
            failing.clear()
            assert await found.read() == text[7:]


async def test_a_read_that_is_cancelled_leaves_the_file_at_its_place(
    serve: Callable[..., FaultyServer],
) -> None:
    content = NOISE[: 7 * MIB]
    serve(always=stored(content))
    for size in (1000, 400_000, 6 * MIB, -1):
        for steps in range(0, 40, 3):
            async with File(URL, "rb") as found:
                assert await found.read(10) == content[:10]
                await found.seek(300_000)
                task = asyncio.create_task(found.read(size))
                for _ in range(steps):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait([task])
                if not task.cancelled():
                    continue
                assert await found.tell() == 300_000
                stop = 300_000 + size if size >= 0 else len(content)
                assert await found.read(size) == content[300_000:stop]


async def test_a_timeout_around_a_read_is_not_swallowed(
    serve: Callable[..., FaultyServer],
) -> None:
    serve(stored(NOISE), always=STALL)
    async with File(URL, "rb") as found:
        await found.read(100_000)
        for size in (MIB, 10 * MIB, -1):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await found.read(size)


async def test_closing_gives_up_what_is_on_its_way(serve: Callable[..., FaultyServer]) -> None:
    good = stored(NOISE)
    server = serve(*[good] * 4, always=STALL)
    await file.exists(URL)  # what a client keeps for the loop is there
    before = asyncio.all_tasks()
    async with File(URL, "rb") as found:
        for _ in range(6):
            await found.read(60_000)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(found.read(MIB), 0.1)
        assert len(asyncio.all_tasks() - before) > 0
    assert asyncio.all_tasks() == before
    assert server.requests


async def test_what_is_skipped_is_given_up(
    serve: Callable[..., FaultyServer], caplog: pytest.LogCaptureFixture
) -> None:
    good, hole = stored(NOISE), (2 * MIB, 6 * MIB)
    broken = threading.Event()

    def refuse_some(received: Received) -> Answer:
        if broken.is_set() and hole[0] <= received.first_byte < hole[1]:
            return refusal(403, "AccessDenied")
        return good(received)

    serve(always=refuse_some)
    async with File(URL, "rb") as found:
        broken.set()
        place = 0
        while place < MIB:
            place += len(await found.read(100_000))
        await found.seek(8 * MIB)
        assert await found.read(10) == NOISE[8 * MIB : 8 * MIB + 10]
        assert await found.read(3 * MIB) == NOISE[8 * MIB + 10 : 11 * MIB + 10]
    gc.collect()
    assert [record for record in caplog.records if record.name == "asyncio"] == []


def test_a_file_that_was_opened_on_one_loop_can_be_read_and_closed_on_another(
    obs_bucket: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def begin() -> File:
        await file.write(f"{obs_bucket}/file", NOISE)
        found = await File(f"{obs_bucket}/file", "rb").__aenter__()
        for _ in range(10):
            assert await found.read(100_000)
        return found

    async def go_on(found: File) -> None:
        assert await found.read(MIB) == NOISE[1_000_000 : 1_000_000 + MIB]

    found = asyncio.run(begin())
    asyncio.run(go_on(found))
    asyncio.run(found.aclose())
    gc.collect()
    assert [record for record in caplog.records if record.name == "asyncio"] == []


def test_a_child_reads_on_where_its_parent_was_reading_ahead(obs_bucket: str) -> None:
    url = f"{obs_bucket}/file"
    aioobs.sync.file.write(url, NOISE)
    script = """
        import hashlib, os, sys, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        from aioobs.sync.file import File
        with File(sys.argv[1], "rb") as file:
            begin = b"".join(file.read(100_000) for _ in range(30))
            pid = os.fork()
            data = begin + b"".join(iter(lambda: file.read(100_000), b""))
            line = hashlib.sha256(data).hexdigest() + "\\n"
            os.write(1, line.encode())
            if not pid:
                file.close()
                sys.exit()
            status = os.waitpid(pid, 0)[1]
        sys.exit(status)
    """
    finished = subprocess.run(
        [sys.executable, "-W", "default", "-c", dedent(script), url],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    expected = hashlib.sha256(NOISE).hexdigest()
    assert (finished.stdout.split(), finished.stderr) == ([expected, expected], "")
    assert finished.returncode == 0


async def test_an_answer_that_does_not_tell_the_size_is_no_mixture_either(
    serve: Callable[..., FaultyServer],
) -> None:
    part = answer(206, NOISE[: 128 * KIB], etag='"old"', content_range="bytes 0-131071/*")
    head = answer(200, etag='"new"', content_length=str(len(NOISE)))
    serve(part, head)
    with pytest.raises(ObjectChanged):
        await File(URL, "rb").__aenter__()
