"""Files that are open for appending, and what others add meanwhile."""

from __future__ import annotations

import asyncio
import os
import random
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from anyio import to_thread
from faulty import (
    Answer,
    FaultyServer,
    Received,
    answer,
    connect,
    forward,
    listing,
    refusal,
    stored,
)

import aioobs.sync.file
from aioobs import file
from aioobs.errors import ObjectChanged
from aioobs.io.writer import open_appender

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from both import Recorder
    from verbs import Place

    from aioobs.s3.client import Client

    Uploads = Callable[[], Awaitable[list[str]]]

pytest_plugins = ["verbs", "both"]
SERVERS = ("seaweedfs", "moto")

MIB = 1 << 20
WRITERS = 8
NOISE = random.Random(0).randbytes(20 * MIB)


@pytest.mark.parametrize("size", [0, 10, 6 * MIB, 9 * MIB])
async def test_what_is_written_goes_to_the_end_of_what_is_there(
    root: str, opened: Callable[..., Any], place: Place, size: int
) -> None:
    base = bytes(range(200)) * (size // 200) + bytes(size % 200)
    if place.server == "moto" and size == 9 * MIB:
        pytest.skip("takes long there, and shows nothing that 6 MiB do not")
    for added in (0, 3, 9 * MIB, 20 * MIB):
        name = f"{root}/file-{added}"
        await file.write(name, base)
        async with opened(name, "ab") as end:
            assert await end.tell() == size
            for start in range(0, added, 7 * MIB):
                await end.write(NOISE[start : min(start + 7 * MIB, added)])
            assert await end.tell() == size + added
            assert await end.size() == size + added
        assert await file.read(name, binary=True) == base + NOISE[:added]


@pytest.mark.parametrize("mode", ["a", "ab"])
async def test_a_file_that_is_not_there_is_created(
    root: str, opened: Callable[..., Any], mode: str
) -> None:
    async with opened(f"{root}/empty", mode) as end:
        assert await end.tell() == 0
    async with opened(f"{root}/file", mode) as end:
        await end.write("ab" if mode == "a" else b"ab")
    async with opened(f"{root}/file", mode) as end:
        await end.write("cd" if mode == "a" else b"cd")
        await end.flush()
        assert await file.read(f"{root}/file") == "abcd"
        await end.write("ef" if mode == "a" else b"ef")

    assert await file.get_size(f"{root}/empty") == 0
    assert await file.read(f"{root}/file") == "abcdef"


async def test_a_folder_is_not_appended_to(root: str, opened: Callable[..., Any]) -> None:
    await file.make_dirs(f"{root}/folder")
    with pytest.raises(IsADirectoryError):
        await opened(f"{root}/folder", "a").__aenter__()


@pytest.mark.parametrize("size", [10, 6 * MIB])
@pytest.mark.parametrize("added", [3, 17 * MIB])
async def test_an_exception_in_the_block_adds_nothing(
    bucket: str, uploads: Uploads, opened: Callable[..., Any], size: int, added: int
) -> None:
    await file.write(f"{bucket}/file", NOISE[:size])
    for name in ("file", "new"):
        with pytest.raises(LookupError):
            async with opened(f"{bucket}/{name}", "ab") as end:
                await end.write(bytes(added))
                raise LookupError

    assert await file.list_directory(bucket) == ["file"]
    assert await file.read(f"{bucket}/file", binary=True) == NOISE[:size]
    assert await uploads() == []


async def test_what_is_opened_and_closed_alone_is_not_written(
    bucket: str, recorder: Recorder, opened: Callable[..., Any]
) -> None:
    await file.write(f"{bucket}/file", "content")
    before = recorder.written
    async with opened(f"{bucket}/file", "a") as end:
        await end.flush()
    assert recorder.written == before


async def test_what_has_5_mib_is_not_sent_again(
    bucket: str, recorder: Recorder, opened: Callable[..., Any]
) -> None:
    await file.write(f"{bucket}/file", NOISE[: 6 * MIB])
    before = recorder.sent
    async with opened(f"{bucket}/file", "ab") as end:
        await end.write(b"tail")
    assert recorder.sent - before < MIB
    assert await file.read(f"{bucket}/file", binary=True) == NOISE[: 6 * MIB] + b"tail"


async def test_what_another_adds_between_two_flushes_is_kept(
    bucket: str, opened: Callable[..., Any]
) -> None:
    for size in (0, 6 * MIB):
        name = f"{bucket}/file-{size}"
        await file.write(name, bytes(size))
        async with opened(name, "a") as end:
            await end.write("1")
            await end.flush()
            await file.append(name, "2")
            await end.write("3")
            await end.flush()
            await file.append(name, "4")
            await end.write("5")
        found = await file.read(name, binary=True)
        assert found == bytes(size) + b"12345"


async def test_an_empty_addition_to_what_another_made_changes_nothing(
    bucket: str, recorder: Recorder, opened: Callable[..., Any]
) -> None:
    async with opened(f"{bucket}/file", "a"):
        await file.write(f"{bucket}/file", "another's")
        before = recorder.written
    assert recorder.written == before
    assert await file.read(f"{bucket}/file") == "another's"


@pytest.mark.parametrize("size", [0, 10, 6 * MIB])
async def test_who_has_parts_in_the_store_does_not_replace_what_another_wrote(
    bucket: str, uploads: Uploads, opened: Callable[..., Any], size: int
) -> None:
    if size:
        await file.write(f"{bucket}/file", bytes(size))
    end = opened(f"{bucket}/file", "ab")
    await end.__aenter__()
    await end.write(NOISE[: 17 * MIB])
    assert await uploads() == ["file"]
    await file.write(f"{bucket}/file", "another's")

    with pytest.raises(ObjectChanged if size else (ObjectChanged, FileExistsError)):
        await end.aclose()
    assert await file.read(f"{bucket}/file") == "another's"
    assert await uploads() == []


def lines(writer: int) -> list[str]:
    return [f"writer {writer}, line {number}\n" for number in range(4)]


EXPECTED = sorted(line for writer in range(WRITERS) for line in lines(writer))


@pytest.fixture
def in_turn(bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have the store write one object at a time.

    SeaweedFS looks whether a condition holds and writes in two steps when an upload is completed,
    moto always; S3 does not.
    """
    lock, pass_on = threading.Lock(), forward(os.environ["S3_ENDPOINT"])

    def write_in_turn(received: Received) -> Answer:
        with lock:
            return pass_on(received)

    with FaultyServer(always=write_in_turn) as server:
        monkeypatch.setenv("S3_ENDPOINT", server.endpoint)
        yield


@pytest.fixture
def atomic(place: Place, request: pytest.FixtureRequest) -> None:
    """Have the store look whether a condition holds, and write, in one step."""
    if place.server == "moto":
        request.getfixturevalue("in_turn")


@pytest.mark.usefixtures("atomic")
async def test_no_line_of_many_writers_at_once_is_lost(
    bucket: str, opened: Callable[..., Any]
) -> None:
    await write_lines(f"{bucket}/log", opened)
    found = await file.read(f"{bucket}/log")
    assert sorted(found.splitlines(keepends=True)) == EXPECTED


@pytest.mark.usefixtures("in_turn")
async def test_no_line_of_many_writers_to_a_large_object_is_lost(
    bucket: str, opened: Callable[..., Any], place: Place
) -> None:
    if place.server == "moto":
        pytest.skip("moto knows no conditions for an upload that is completed")
    await file.write(f"{bucket}/log", "\n" * 6 * MIB)
    await write_lines(f"{bucket}/log", opened)
    found = await file.read(f"{bucket}/log")
    assert sorted(found[6 * MIB :].splitlines(keepends=True)) == EXPECTED


async def write_lines(name: str, opened: Callable[..., Any]) -> None:
    async def write(writer: int) -> None:
        async with opened(name, "a") as end:
            for line in lines(writer):
                await end.write(line)
                await end.flush()

    await asyncio.gather(*map(write, range(WRITERS)))


@pytest.mark.usefixtures("atomic")
async def test_no_line_that_many_append_at_once_is_lost(bucket: str, place: Place) -> None:
    async def append(writer: int) -> None:
        for line in lines(writer):
            await file.append(f"{bucket}/tasks", line)

    def append_in_thread(writer: int) -> None:
        for line in lines(writer):
            aioobs.sync.file.append(f"{bucket}/threads", line)

    await asyncio.gather(*map(append, range(WRITERS)))
    threads = [to_thread.run_sync(partial(append_in_thread, n)) for n in range(WRITERS)]
    await asyncio.gather(*threads)
    for name in ("tasks", "threads"):
        found = (await file.read(f"{bucket}/{name}")).splitlines(keepends=True)
        assert sorted(found) == EXPECTED, place


class Obs:
    """One object that is appended to as OBS does it, or may not be."""

    def __init__(self, *, appendable: bool = True) -> None:
        self.content = b"" if appendable else b"old "
        self._kind = "Appendable" if appendable else "Normal"

    def __call__(self, received: Received) -> Answer:
        """Answer a request."""
        if received.path != "/b/log":
            return answer(body=listing())
        etag = f'"{len(self.content)}"'
        if "append" in received.query:
            assert int(received.query["position"]) == len(self.content)
            self.content += received.body
            return answer(x_obs_next_append_position=str(len(self.content)))
        if received.method == "PUT":
            self.content = received.body
            return answer(etag=f'"{len(self.content)}"')
        if not self.content:
            return refusal(404, "NoSuchKey")
        if received.method == "GET":
            return stored(self.content, etag.strip('"'))(received)
        return answer(body=self.content, etag=etag, x_obs_object_type=self._kind)


async def test_where_the_store_appends_each_flush_sends_what_is_new() -> None:
    store = Obs()
    with FaultyServer(always=store) as server:
        async with connect(server.endpoint, signature="obs") as client:
            log = await open_appender(client, "s3://b/log", flush_interval=0)
            for number in range(5):
                await log.write(memoryview(b"line %d\n" % number))
                await log.flush()
                assert store.content.endswith(b"line %d\n" % number)
            await log.aclose()
    assert store.content.count(b"\n") == 5
    bodies = [request.body for request in server.requests if request.method == "POST"]
    assert bodies == [b"line %d\n" % number for number in range(5)]


async def test_an_object_that_the_store_does_not_append_to_is_written_anew() -> None:
    store = Obs(appendable=False)
    with FaultyServer(always=store) as server:
        async with connect(server.endpoint, signature="obs") as client:
            log = await open_appender(client, "s3://b/log", flush_interval=0)
            await log.write(memoryview(b"new"))
            await log.aclose()
    assert store.content == b"old new"
    assert "POST" not in {request.method for request in server.requests}


@pytest.mark.parametrize("size", [10, 6 * MIB])
@pytest.mark.parametrize("way", ["append", "a", "a and flush", "r+"])
async def test_what_is_added_to_or_changed_keeps_its_type_and_metadata(
    bucket: str, client: Client, size: int, way: str
) -> None:
    name, url = bucket.partition("://")[2], f"{bucket}/file"
    kept = {"origin": "the test"}
    await client.put_object(name, "file", bytes(size), content_type="text/x-test", metadata=kept)
    if way == "append":
        await file.append(url, b"more")
    else:
        async with file.File(url, f"{way[:2].strip()}b") as found:
            await found.write(b"more")
            if way == "a and flush":
                await found.flush()
                await found.write(b"more")
    info = await client.head_object(name, "file")
    assert (info.headers["content-type"], info.metadata) == ("text/x-test", kept)
    assert b"more" in await file.read(url, binary=True)
