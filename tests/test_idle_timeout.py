"""Servers that go on answering for ever, a few bytes at a time, and those that are only slow."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from faulty import Answer, FaultyServer, Received, answer, connect, listing, refusal, stored, use

import aioobs
import aioobs.sync
from aioobs import Config, ConnectionFailed
from aioobs.s3.http import idle_timeout
from aioobs.session import session

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("session")

IDLE = 0.3  # seconds
CONTENT = bytes(range(256)) * 3
GOOD = stored(CONTENT, "1")
WHOLE = answer(body=CONTENT, etag='"1"')


def dripping(good: Answer) -> Answer:
    """Send an answer in pieces of some bytes, each of them well before the time is over."""
    return replace(good, pause=IDLE / 3)


class Slowly:
    """Answers well, but dripping the first time that it is asked for a path in some way."""

    def __init__(self, method: str, path: str, bad: Answer, good: Callable[..., Answer]) -> None:
        self._bad = method, path
        self._answer = bad
        self._good = good
        self.times: list[float] = []

    def __call__(self, received: Received) -> Answer:
        """Answer a request."""
        if (received.method, received.path) == self._bad:
            self.times.append(time.monotonic())
            if len(self.times) == 1:
                return self._answer
        return self._good(received)


async def get(server: FaultyServer, _: Path) -> None:
    async with connect(server.endpoint, idle_timeout=IDLE) as client:
        assert await client.get_object("b", "k") == CONTENT


async def get_on_the_session(server: FaultyServer, _: Path) -> None:
    async with connect(server.endpoint, idle_timeout=IDLE, transport="session") as client:
        assert await client.get_object("b", "k") == CONTENT


async def get_blocking(server: FaultyServer, _: Path) -> None:
    config = Config(
        server.endpoint, access_key="a", secret_key="s", idle_timeout=IDLE, retry_wait=0.001
    )

    def ask() -> bytes:
        with aioobs.sync.Client(config) as client:
            client.head_object("b", "k")  # which leaves a connection to this thread
            return client.get_object("b", "k")

    assert await asyncio.to_thread(ask) == CONTENT


async def copy_from_there(server: FaultyServer, folder: Path) -> None:
    session.set({"idle_timeout": IDLE, "retry_wait": 0.001})
    await aioobs.file.copy_parallel("s3://b/", folder / "copy", is_processing=False)
    assert (folder / "copy/k").read_bytes() == CONTENT


READERS = [get, get_on_the_session, get_blocking, copy_from_there]


def one_object(received: Received) -> Answer:
    if "list-type" in received.query or "prefix" in received.query:
        page = listing("k").replace("<Size>1<", f"<Size>{len(CONTENT)}<")
        return answer(body=page.replace("<ETag>e<", "<ETag>1<"))
    return GOOD(received)


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    "bad",
    [
        dripping(WHOLE.cut(head=90, end="stall")),
        dripping(WHOLE),
        dripping(refusal(503, "SlowDown")),
        dripping(refusal(503, "SlowDown", chunked=True)),
    ],
    ids=["in-the-head", "in-the-body", "in-an-error", "in-the-chunks-of-an-error"],
)
async def test_an_answer_that_drips_is_given_up_and_asked_for_again(
    read: Callable[[FaultyServer, Path], Awaitable[None]],
    bad: Answer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    step = Slowly("GET", "/b/k", bad, one_object)
    with FaultyServer(always=step) as server:
        use(server, monkeypatch)
        await read(server, tmp_path)
    first, second = step.times
    assert second - first < 15 * IDLE / 3, "the answer had come to its end by then"


@pytest.mark.parametrize("read", READERS)
async def test_a_body_that_is_slow_comes_to_its_end(
    read: Callable[[FaultyServer, Path], Awaitable[None]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = bytes(range(256)) * 80  # each of sixteen pieces is more than 1 KiB
    monkeypatch.setattr("test_idle_timeout.CONTENT", content)
    monkeypatch.setattr("test_idle_timeout.IDLE", 1.0)
    monkeypatch.setattr("test_idle_timeout.GOOD", stored(content, "1"))
    slow = replace(answer(body=content, etag='"1"'), pause=0.08)
    step = Slowly("GET", "/b/k", slow, one_object)
    with FaultyServer(always=step) as server:
        use(server, monkeypatch)
        await read(server, tmp_path)
    assert len(step.times) == 1


def with_small_buffers(server: FaultyServer) -> None:
    """Have the system take little of what is sent on the connections to a server."""
    for number in map(int, os.listdir("/proc/self/fd")):
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(number)) as connection:
            if connection.getpeername()[1:] == (server.port,):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)


async def put(server: FaultyServer, path: Path) -> None:
    async with connect(server.endpoint, idle_timeout=IDLE, attempts=1) as client:
        await client.head_object("b", "warm")
        with_small_buffers(server)
        await client.put_object("b", "k", path.read_bytes())


async def copy_there(server: FaultyServer, path: Path) -> None:
    session.set({"idle_timeout": IDLE, "attempts": 1})
    await aioobs.current_client().head_object("b", "warm")
    with_small_buffers(server)
    await aioobs.file.copy_parallel(path.parent, "s3://b/copy", is_processing=False)


@pytest.mark.usefixtures("lean")  # aiohttp takes and tells whole pieces of 256 KiB
@pytest.mark.skipif(sys.platform != "linux", reason="connections are found in /proc")
@pytest.mark.parametrize(
    ("write", "size"),
    [(put, 250_000), (put, 300_000), (copy_there, 250_000)],
    ids=["by-the-loop", "by-a-thread", "queued"],
)
async def test_a_body_is_sent_that_is_taken_slowly(
    write: Callable[[FaultyServer, Path], Awaitable[None]],
    size: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("test_idle_timeout.IDLE", 1.0)
    (tmp_path / "k").write_bytes(bytes(size))
    with FaultyServer(always=answer(etag='"1"'), pace=0.06) as server:
        use(server, monkeypatch)
        await write(server, tmp_path / "k")
    assert [len(request.body) for request in server.requests if request.method == "PUT"] == [size]


DONE = {
    "complete": "<CompleteMultipartUploadResult><ETag>1</ETag></CompleteMultipartUploadResult>",
    "copy": "<CopyObjectResult><ETag>1</ETag></CopyObjectResult>",
}


def after_spaces(document: str, count: int, *, chunked: bool) -> Answer:
    """Answer after so many spaces, each of which comes before the time is over."""
    head = answer(chunked=True) if chunked else answer(content_length=str(count + len(document)))
    start = head.message.index(b"\r\n\r\n") + 4
    last = b"%x\r\n%b\r\n0\r\n\r\n" % (len(document), document.encode())
    body = b"1\r\n \r\n" * count + last if chunked else b" " * count + document.encode()
    # It comes in sixteen pieces.
    return replace(head, message=head.message[:start] + body, pause=IDLE / 3)


@pytest.mark.usefixtures("both_transports")
@pytest.mark.parametrize("chunked", [False, True], ids=["of-a-length", "in-chunks"])
@pytest.mark.parametrize("work", DONE)
async def test_a_store_that_is_at_work_may_say_so_with_spaces(work: str, chunked: bool) -> None:
    with FaultyServer(after_spaces(DONE[work], 700, chunked=chunked)) as server:
        async with connect(server.endpoint, idle_timeout=IDLE) as client:
            if work == "copy":
                assert await client.copy_object(("b", "s"), "b", "k") == "1"
            else:
                done = await client.complete_multipart_upload("b", "k", "u", {1: "e"}, size=1)
                assert done == "1"
    assert len(server.requests) == 1


@pytest.mark.usefixtures("both_transports")
async def test_a_store_that_is_at_work_for_ever_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(idle_timeout, "PATIENCE", 2)
    with FaultyServer(always=after_spaces(DONE["copy"], 700, chunked=False)) as server:
        async with connect(server.endpoint, idle_timeout=IDLE, attempts=1) as client:
            with pytest.raises(ConnectionFailed, match=f"no progress for {IDLE} s"):
                await client.copy_object(("b", "s"), "b", "k")
