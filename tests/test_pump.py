"""Bodies between files and connections under faults: right bytes, and nothing left behind."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import resource
import socket
import subprocess
import sys
import threading
import time
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import faulty
import pytest
from copies import smallest_disk
from faulty import Certificates, FaultyServer, answer, connect, listing, stored

from aioobs import (
    AccessDenied,
    Client,
    Config,
    ConnectionFailed,
    FilePart,
    NotFound,
    ObsError,
    ReadError,
    SourceError,
)
from aioobs.s3.body import FileSink
from aioobs.s3.http.pump import receive_into, send_body

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable, Iterator

    from faulty import Answer, End, Received

    from aioobs.testing import LocalServer

    Part = Callable[..., FilePart]

ROOT = Path(__file__).parents[1]
MIB = 1 << 20
CONTENT = random.Random(0).randbytes(8 * MIB)
BIG = 12 * MIB  # more than the buffers of a connection hold
MARK = b"another file, which nobody may touch"


@pytest.fixture(
    scope="module",
    params=[("asyncio", {"use_uvloop": False}), ("asyncio", {"use_uvloop": True})],
    ids=["asyncio", "uvloop"],
)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """Run async tests on both event loops."""
    return request.param


class Place:
    """Starts servers and clients, with TLS or without."""

    def __init__(self, authority: str | None, context: ssl.SSLContext | None) -> None:
        self.tls = context is not None
        self._verify = authority or True
        self._context = context

    def serve(self, *script: Any, **options: Any) -> FaultyServer:
        """Return a server."""
        return FaultyServer(*script, tls=self._context, **options)

    def connect(self, server: FaultyServer, **options: Any) -> Client:
        """Return a client of it."""
        return connect(server.endpoint, **{"verify": self._verify, "idle_timeout": 20, **options})


@pytest.fixture(params=["pumped", "tls"])
def setting(
    request: pytest.FixtureRequest, certificates: Certificates
) -> Place:  # fmt: skip
    """Run a test without TLS and with it."""
    return Place(*certificates) if request.param == "tls" else Place(None, None)


def pumps() -> list[threading.Thread]:
    """Return the threads that still do something, and not merely end."""
    found = [thread for thread in threading.enumerate() if thread.name == "aioobs-pump"]
    for thread in found:
        thread.join(0.05)
    return [thread for thread in found if thread.is_alive()]


def descriptors() -> dict[str, str]:
    """Return what is open, but for the pipes that event loops have for themselves."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            found[name] = os.readlink(f"/proc/self/fd/{name}")
    return {name: path for name, path in found.items() if path.startswith(("/", "socket:"))}


@pytest.fixture
def nothing_stays_open() -> Iterator[None]:
    """See that a test leaves no descriptor open."""
    opened = descriptors()
    yield
    assert descriptors().items() <= opened.items()  # what others had open may have been closed
    assert not pumps()


pytestmark = pytest.mark.usefixtures("nothing_stays_open")


@pytest.fixture
def source(tmp_path: Path) -> Iterator[int]:
    """Give a file to send."""
    path = tmp_path / "source"
    path.write_bytes(CONTENT)
    descriptor = os.open(path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


@contextmanager
def target(path: Path) -> Iterator[FileSink]:
    """Give a sink that writes a new file."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        yield FileSink(descriptor)
    finally:
        os.close(descriptor)


@asynccontextmanager
async def received(count: int, setting: Place, path: Path) -> AsyncIterator[None]:
    """Stand where so much of a body is in a new file, and no more comes; then cancel."""
    whole = stored(CONTENT)
    with (
        setting.serve(lambda asked: whole(asked).cut(body=count, end="stall")) as server,
        target(path) as sink,
    ):
        async with setting.connect(server) as client:
            task = asyncio.create_task(client.stream_object("b", "k", sink))
            await moved(task, sink, count)
            yield
            await cancelled(task, random.Random(0))


def keeping(kept: list[bytes]) -> Callable[[Received], Answer]:
    """Answer like a store that has taken the body."""

    def step(received: Received) -> Answer:
        if len(received.body) == received.length:
            kept.append(received.body)
        return answer(etag='"1"')

    return step


class TestReceiving:
    """Downloads into files."""

    @pytest.mark.parametrize("end", ["reset", "close", "half close"])
    async def test_a_broken_download_goes_on_at_its_byte(
        self, setting: Place, end: End, tmp_path: Path
    ) -> None:
        chance = random.Random(end)
        places = sorted(chance.randrange(len(CONTENT)) for _ in range(4))
        whole = stored(CONTENT)

        def breaking(received: Received, last: int) -> Answer:
            good = whole(received)
            return good.cut(body=max(last - received.first_byte, 0), end=end)

        script = [partial(breaking, last=last) for last in places]
        with setting.serve(*script, always=whole) as server, target(tmp_path / "file") as sink:
            async with setting.connect(server) as client:
                info = await client.stream_object("b", "k", sink)
                assert not pumps()
        assert (tmp_path / "file").read_bytes() == CONTENT
        assert info.size == sink.received == len(CONTENT)
        begun = [request.first_byte for request in server.requests]
        assert begun[0] == 0
        # What is on its way when a connection is reset may be lost, or in a buffer of TLS or of
        # aiohttp.
        if end == "reset" or setting.tls or faulty.TRANSPORT == "session":
            assert all(first <= last for first, last in zip(begun[1:], places, strict=True))
            assert begun == sorted(begun)
        else:
            assert begun[1:] == places

    async def test_a_download_that_stalls_is_given_up_and_goes_on(
        self, setting: Place, tmp_path: Path
    ) -> None:
        stalled = stored(CONTENT)
        half = len(CONTENT) // 2

        def step(received: Received) -> Answer:
            return stalled(received).cut(body=half, end="stall")

        with setting.serve(step, always=stored(CONTENT)) as server, target(tmp_path / "f") as sink:
            async with setting.connect(server, idle_timeout=0.5) as client:
                begun = time.monotonic()
                await client.stream_object("b", "k", sink)
                assert time.monotonic() - begun < 20
        assert (tmp_path / "f").read_bytes() == CONTENT
        assert [request.first_byte for request in server.requests] == [0, half]

    async def test_a_part_of_an_object_goes_to_its_place_in_the_file(
        self, setting: Place, tmp_path: Path
    ) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"-" * 100)
        with setting.serve(always=stored(CONTENT)) as server, path.open("r+b") as file:
            async with setting.connect(server) as client:
                for start, stop in ((1_000_000, 3_000_001), (5, 400_000)):
                    sink = FileSink(file.fileno(), start)
                    await client.stream_object("b", "k", sink, start=start, stop=stop)
            assert server.connections == 1
        data = path.read_bytes()
        assert data[5:400_000] == CONTENT[5:400_000]
        assert data[1_000_000:] == CONTENT[1_000_000:3_000_001]
        assert (data[:5], data[400_000:1_000_000]) == (b"-" * 5, bytes(600_000))

    async def test_a_connection_is_kept_after_the_thread_has_read_from_it(
        self, setting: Place, tmp_path: Path
    ) -> None:
        with setting.serve(always=stored(CONTENT)) as server:
            async with setting.connect(server) as client:
                for _ in range(3):
                    with target(tmp_path / "file") as sink:
                        await client.stream_object("b", "k", sink)
                    assert (await client.head_object("b", "k")).size == len(CONTENT)
                    assert (tmp_path / "file").read_bytes() == CONTENT
        assert server.connections == 1

    @pytest.mark.usefixtures("lean")
    async def test_a_thread_moves_a_long_body(self, setting: Place, tmp_path: Path) -> None:
        half = len(CONTENT) // 2
        async with received(half, setting, tmp_path / "file"):
            assert len(pumps()) == 1
        assert not pumps()
        assert (tmp_path / "file").read_bytes() == CONTENT[:half]

    @pytest.mark.usefixtures("lean")
    async def test_the_disk_has_room_for_a_long_body_before_it_comes(
        self, setting: Place, tmp_path: Path
    ) -> None:
        if not os.major(tmp_path.stat().st_dev):
            pytest.skip("the folder for temporary files is not on a disk")
        half = len(CONTENT) // 2
        async with received(half, setting, tmp_path / "file"):
            info = os.stat(tmp_path / "file")
        assert info.st_blocks * 512 >= len(CONTENT)
        assert info.st_size == half

    async def test_a_long_answer_that_is_no_object_comes_whole(self, setting: Place) -> None:
        keys = [f"{number:0200}" for number in range(8000)]
        with setting.serve(always=answer(body=listing(*keys))) as server:
            async with setting.connect(server) as client:
                assert (await client.list_objects("b")).objects.keys == keys

    async def test_a_client_that_is_closed_meanwhile_does_no_harm(
        self, setting: Place, tmp_path: Path
    ) -> None:
        for number in range(8):
            with setting.serve(always=stored(CONTENT)) as server, target(tmp_path / "f") as sink:
                async with setting.connect(server, attempts=1) as client:
                    task = asyncio.create_task(client.stream_object("b", "k", sink))
                    await moved(task, sink, number * MIB + 1)
                with suppress(ObsError):
                    await task
                assert (tmp_path / "f").read_bytes() == CONTENT[: sink.received]

    async def test_bytes_behind_a_body_are_not_the_next_answer(
        self, setting: Place, tmp_path: Path
    ) -> None:
        surplus = answer(body=b"poison", etag='"2"').message
        overlong = answer(body=CONTENT, etag='"version-1"')
        overlong = replace(overlong, message=overlong.message + surplus)
        with setting.serve(overlong, always=stored(CONTENT)) as server:
            async with setting.connect(server, attempts=1) as client:
                for _ in range(2):
                    with target(tmp_path / "file") as sink:
                        await client.stream_object("b", "k", sink)
                    assert (tmp_path / "file").read_bytes() == CONTENT
        assert server.connections == 2

    async def test_a_full_disk_is_an_error_at_once(self, setting: Place, tmp_path: Path) -> None:
        with (
            setting.serve(always=stored(CONTENT)) as server,
            target(tmp_path / "file") as sink,
            smallest_disk(3 * MIB),
        ):
            async with setting.connect(server) as client:
                with pytest.raises(OSError, match="File too large") as caught:
                    await client.stream_object("b", "k", sink)
        assert not isinstance(caught.value, ObsError)
        assert caught.value.errno == errno.EFBIG
        assert sink.received == 3 * MIB
        assert len(server.requests) == 1

    async def test_a_file_that_takes_nothing_from_a_pipe_is_written(
        self, setting: Place, tmp_path: Path
    ) -> None:
        appended = tmp_path / "file"
        with setting.serve(always=stored(CONTENT)) as server, appended.open("ab") as file:
            async with setting.connect(server) as client:
                await client.stream_object("b", "k", FileSink(file.fileno()))
        assert (tmp_path / "file").read_bytes() == CONTENT
        assert len(server.requests) == 1

    async def test_without_descriptors_for_a_pipe_a_file_is_written(
        self, setting: Place, tmp_path: Path
    ) -> None:
        with setting.serve(always=stored(CONTENT)) as server, target(tmp_path / "file") as sink:
            async with setting.connect(server) as client:
                await client.head_object("b", "k")
                with descriptors_left(2):  # one is for the thread
                    await client.stream_object("b", "k", sink)
        assert (tmp_path / "file").read_bytes() == CONTENT
        assert len(server.requests) == 2

    async def test_where_pipes_may_not_hold_much_a_file_is_written(
        self, setting: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("aioobs.s3.http.pump.PIPE", (1 << 31) - 1)  # more than any may hold
        with setting.serve(always=stored(CONTENT)) as server, target(tmp_path / "file") as sink:
            async with setting.connect(server) as client:
                await client.stream_object("b", "k", sink)
        assert (tmp_path / "file").read_bytes() == CONTENT
        assert len(server.requests) == 1

    async def test_pipes_are_closed(self, setting: Place, tmp_path: Path) -> None:
        with setting.serve(always=stored(CONTENT)) as server:
            async with setting.connect(server) as client:
                counts = []
                for _ in range(3):
                    with target(tmp_path / "file") as sink:
                        await client.stream_object("b", "k", sink)
                    assert not pumps()
                    counts.append(len(os.listdir("/proc/self/fd")))
        assert len(set(counts)) == 1

    async def test_a_disk_that_does_not_answer_stops_nobody_else(
        self, setting: Place, tmp_path: Path
    ) -> None:
        with (
            setting.serve(always=stored(CONTENT)) as server,
            (tmp_path / "file").open("wb") as file,
        ):
            async with setting.connect(server) as client:
                stuck = [SlowSink(file.fileno()) for _ in range(3)]
                tasks = [
                    asyncio.create_task(client.stream_object("b", "k", sink)) for sink in stuck
                ]
                try:
                    for sink in stuck:
                        await asyncio.to_thread(sink.begun.wait)
                    data = await client.get_object("b", "k")
                finally:
                    for sink in stuck:
                        sink.go_on.set()
                await asyncio.gather(*tasks)
        assert data == CONTENT
        assert (tmp_path / "file").read_bytes() == CONTENT

    async def test_a_cancelled_download_has_let_go_of_the_file(
        self, setting: Place, tmp_path: Path
    ) -> None:
        chance = random.Random(1)
        with setting.serve(always=stored(CONTENT)) as server:
            async with setting.connect(server) as client:
                for number in range(8):
                    path = tmp_path / str(number)
                    with target(path) as sink:
                        task = asyncio.create_task(client.stream_object("b", "k", sink))
                        await moved(task, sink, chance.randrange(len(CONTENT)))
                        await cancelled(task, chance)
                        assert not pumps()
                        received = sink.received
                        descriptor = sink._descriptor  # noqa: SLF001
                    other = reused(descriptor, tmp_path / "other")
                    assert (await client.head_object("b", "k")).size == len(CONTENT)
                    os.close(other)
                    assert (tmp_path / "other").read_bytes() == MARK
                    assert sink.received == received
                    assert path.read_bytes() == CONTENT[:received]


@contextmanager
def descriptors_left(count: int) -> Iterator[None]:
    """Let no more than *count* files be opened."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(map(int, os.listdir("/proc/self/fd")))
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1 + count, limits[1]))
    taken: list[int] = []
    try:
        with suppress(OSError):
            while True:
                taken.append(os.open("/dev/null", os.O_RDONLY))
        for _ in range(count):
            os.close(taken.pop())
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for descriptor in taken:
            os.close(descriptor)


async def moved(task: asyncio.Task[Any], sink: FileSink, size: int) -> None:
    """Wait until so much has arrived."""
    while sink.received < size and not task.done():
        await asyncio.sleep(0)


async def cancelled(task: asyncio.Task[Any], chance: random.Random) -> None:
    """Cancel a task once, or more often than once while it cleans up."""
    task.cancel()
    for _ in range(chance.randrange(3)):
        await asyncio.sleep(0)
        task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def reused(descriptor: int, path: Path) -> int:
    """Open another file under a number that was somebody else's."""
    path.write_bytes(MARK)
    opened = os.open(path, os.O_RDWR)
    while opened != descriptor:
        try:
            os.dup2(opened, descriptor)
        except OSError as error:
            if error.errno != errno.EBUSY:  # another thread is about to open something there
                raise
        else:
            os.close(opened)
            opened = descriptor
    return descriptor


class TestSending:
    """Uploads from files, which are read or sent without a copy."""

    @pytest.fixture(params=[False, True], ids=["read", "zero-copy"])
    def part(self, request: pytest.FixtureRequest) -> Part:
        """Give what makes parts of files."""
        return partial(FilePart, zero_copy=request.param)

    async def test_a_part_of_a_file_is_sent(self, part: Part, setting: Place, source: int) -> None:
        kept: list[bytes] = []
        with setting.serve(always=keeping(kept)) as server:
            async with setting.connect(server) as client:
                for start, size in ((0, len(CONTENT)), (1_000_001, 300_000), (7, 4 * MIB)):
                    await client.put_object("b", "k", part(source, start, size))
                    assert kept.pop() == CONTENT[start : start + size]
        assert server.connections == 1

    @pytest.mark.parametrize(
        ("end", "deaf"),
        [("reset", False), ("close", False), ("half close", False), ("half close", True)],
    )
    async def test_a_broken_upload_is_sent_again(
        self, part: Part, setting: Place, source: int, end: End, deaf: bool
    ) -> None:
        uvloop = "uvloop" in type(asyncio.get_running_loop()).__module__
        if uvloop and setting.tls and faulty.TRANSPORT == "session":
            pytest.skip("uvloop sends what it has over TLS before it says that nothing comes")
        chance = random.Random(end)
        kept: list[bytes] = []
        broken = [
            replace(answer(), message=b"", early=True, after=after, end=end, deaf=deaf)
            for after in (0, chance.randrange(MIB), chance.randrange(6 * MIB))
        ]
        with setting.serve(*broken, always=keeping(kept)) as server:
            async with setting.connect(server) as client:
                begun = time.monotonic()
                await client.put_object("b", "k", part(source, 0, len(CONTENT)))
                assert time.monotonic() - begun < 3
                assert not pumps()
        assert kept == [CONTENT]
        assert len(server.requests) == server.connections == 4

    async def test_an_upload_that_nobody_reads_is_given_up(
        self, part: Part, setting: Place, tmp_path: Path
    ) -> None:
        (tmp_path / "big").write_bytes(bytes(BIG))
        silent = replace(answer(), message=b"", early=True, after=100_000, deaf=True)
        with setting.serve(always=silent) as server, (tmp_path / "big").open("rb") as file:
            async with setting.connect(server, idle_timeout=0.2, attempts=2) as client:
                begun = time.monotonic()
                with pytest.raises(ConnectionFailed, match=r"no progress for 0\.2 s") as caught:
                    await client.put_object("b", "k", part(file.fileno(), 0, BIG))
                assert time.monotonic() - begun < 2
                assert not pumps()
        assert caught.value.kind == "stalled"
        assert len(server.requests) == 2

    @pytest.mark.parametrize("after", [0, 5 * MIB])
    @pytest.mark.parametrize("then", ["drains", "deaf", "closes", "resets"])
    async def test_a_refusal_while_sending_is_read(
        self, part: Part, setting: Place, tmp_path: Path, after: int, then: str
    ) -> None:
        if setting.tls and then in ("closes", "resets"):
            return  # what comes before the break is lost with the connection, in aiohttp too
        (tmp_path / "big").write_bytes(bytes(BIG))
        ends: dict[str, End] = {"closes": "close", "resets": "reset"}
        refused = replace(
            answer(403, "no", early=True, end=ends.get(then, "keep")),
            after=after,
            deaf=then == "deaf",
        )
        with setting.serve(always=refused) as server, (tmp_path / "big").open("rb") as file:
            async with setting.connect(server) as client:
                begun = time.monotonic()
                with pytest.raises(AccessDenied):
                    await client.put_object("b", "k", part(file.fileno(), 0, BIG))
                assert time.monotonic() - begun < 2
                assert not pumps()
        assert len(server.requests) == 1

    async def test_a_file_that_became_shorter_is_not_stored(
        self, part: Part, obs_server: LocalServer, obs_bucket: str, source: int
    ) -> None:
        bucket = obs_bucket.removeprefix("s3://")
        async with Client(Config.from_env()) as client:
            for start, size in ((0, len(CONTENT) + 1), (len(CONTENT) - 10, MIB), (0, 12 * MIB)):
                told = rf"putFile s3://.*/k: the file ends after {len(CONTENT)} bytes"
                with pytest.raises(SourceError, match=told):
                    await client.put_object(bucket, "k", part(source, start, size))
                assert not pumps()
                with pytest.raises(NotFound):
                    await client.head_object(bucket, "k")

    async def test_a_file_that_changed_is_not_stored(
        self, part: Part, setting: Place, source: int
    ) -> None:
        def changed() -> None:
            raise SourceError("the file is another one now")

        kept: list[bytes] = []
        with setting.serve(always=keeping(kept)) as server:
            async with setting.connect(server) as client:
                with pytest.raises(SourceError, match="another one"):
                    await client.put_object("b", "k", part(source, 0, len(CONTENT), changed))
        assert not kept
        assert len(server.requests) == 1

    async def test_a_cancelled_upload_has_let_go_of_the_file(
        self, part: Part, setting: Place, tmp_path: Path
    ) -> None:
        (tmp_path / "big").write_bytes(bytes(BIG))
        chance = random.Random(2)
        kept: list[bytes] = []

        for number in range(8):
            taken = chance.randrange(8 * MIB)
            silent = replace(answer(), message=b"", early=True, after=taken, deaf=True)
            with setting.serve(silent, always=keeping(kept)) as server:
                async with setting.connect(server) as client:
                    descriptor = os.open(tmp_path / "big", os.O_RDONLY)
                    body = part(descriptor, 0, BIG)
                    task = asyncio.create_task(client.put_object("b", "k", body))
                    await asyncio.to_thread(server.arrived.acquire)
                    await asyncio.sleep(0)
                    await cancelled(task, chance)
                    assert task.cancelled(), number
                    assert not pumps()
                    os.close(descriptor)
                    other = reused(descriptor, tmp_path / "other")
                    await client.put_object("b", "k", b"next")
                    os.close(other)
                    assert (tmp_path / "other").read_bytes() == MARK
        assert kept == [b"next"] * 8

    @pytest.mark.usefixtures("lean")
    async def test_a_file_whose_pages_cannot_be_sent_is_read(
        self, source: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: int) -> int:
            refused.append(True)
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

        refused: list[bool] = []
        kept: list[bytes] = []
        monkeypatch.setattr(os, "sendfile", refuse)
        with FaultyServer(always=keeping(kept)) as server:
            async with connect(server.endpoint) as client:
                body = FilePart(source, 7, 4 * MIB, zero_copy=True)
                await client.put_object("b", "k", body)
        assert refused
        assert kept == [CONTENT[7 : 7 + 4 * MIB]]


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Give both ends of a connection."""
    here, there = socket.socketpair()
    here.setblocking(False)
    with here, there:
        yield here, there


class SlowSink(FileSink):
    """A file on a disk that takes its time."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor)
        self.begun = threading.Event()
        self.go_on = threading.Event()

    def take(self, pipe: int, count: int) -> None:
        """Take the next bytes once that is allowed."""
        self._wait()
        super().take(pipe, count)

    def write_now(self, view: memoryview) -> None:
        """Write the next bytes once that is allowed."""
        self._wait()
        super().write_now(view)

    def _wait(self) -> None:
        self.begun.set()
        self.go_on.wait()


class TestThread:
    """The worker thread on a connection."""

    async def test_it_waits_for_bytes_whatever_sockets_wait_by_default(
        self, pair: tuple[socket.socket, socket.socket], tmp_path: Path
    ) -> None:
        here, there = pair
        socket.setdefaulttimeout(0.001)
        try:
            with target(tmp_path / "file") as sink:
                moving = receive_into(here.fileno(), 2000, sink, lambda _: None)
                task = asyncio.create_task(moving)
                there.sendall(CONTENT[:1000])
                await moved(task, sink, 1000)
                assert not (await asyncio.wait([task], timeout=0.03))[0]
                there.sendall(CONTENT[1000:2000])
                await task
            sending = send_body(here.fileno(), b"head", CONTENT, lambda _: None, lambda: False)
            sent = asyncio.create_task(sending)
            assert not (await asyncio.wait([sent], timeout=0.03))[0]
            there.settimeout(None)
            assert await asyncio.to_thread(receive, there, 4 + len(CONTENT)) == b"head" + CONTENT
            assert await sent
        finally:
            socket.setdefaulttimeout(None)
        assert (tmp_path / "file").read_bytes() == CONTENT[:2000]

    async def test_it_stops_sending_when_that_is_over_although_nobody_reads(
        self, pair: tuple[socket.socket, socket.socket]
    ) -> None:
        here, _ = pair
        over = threading.Event()
        sending = send_body(here.fileno(), b"head", CONTENT, lambda _: None, over.is_set)
        task = asyncio.create_task(sending)
        assert not (await asyncio.wait([task], timeout=0.03))[0]
        over.set()
        async with asyncio.timeout(1):
            assert await task is False

    async def test_it_reports_what_moves(
        self,
        pair: tuple[socket.socket, socket.socket],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("aioobs.s3.http.pump.REPORT", 0.0)
        here, there = pair
        reports: list[int] = []
        with target(tmp_path / "file") as sink:
            moving = receive_into(here.fileno(), 3000, sink, reports.append)
            task = asyncio.create_task(moving)
            for size in (1000, 2000, 3000):
                there.sendall(CONTENT[size - 1000 : size])
                await moved(task, sink, size)
            await task
        assert reports == [1000] * 3

    async def test_it_neither_spins_nor_is_left_when_everybody_cancels_it(
        self, pair: tuple[socket.socket, socket.socket], tmp_path: Path
    ) -> None:
        here, there = pair
        descriptor = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
        sink = SlowSink(descriptor)
        there.sendall(b"content")
        timer = threading.Timer(0.3, sink.go_on.set)
        with anyio.CancelScope() as scope:
            task = asyncio.current_task()
            assert task is not None

            def cancel() -> None:
                scope.cancel()
                timer.start()

            waiting = threading.Thread(
                target=lambda: (sink.begun.wait(), loop.call_soon_threadsafe(cancel))
            )
            loop = asyncio.get_running_loop()
            waiting.start()
            used = time.process_time()
            try:
                await receive_into(here.fileno(), 1000, sink, lambda _: None)
            finally:
                used = time.process_time() - used
                assert not pumps()
                os.close(descriptor)
        waiting.join()
        timer.join()
        assert scope.cancelled_caught
        assert used < 0.1
        assert (tmp_path / "file").read_bytes() == b"content"

    async def test_it_ends_when_the_other_end_does(
        self, pair: tuple[socket.socket, socket.socket], tmp_path: Path
    ) -> None:
        here, there = pair
        there.sendall(CONTENT[:1000])
        there.close()
        with target(tmp_path / "file") as sink:
            with pytest.raises(ReadError, match="1000 bytes short"):
                await receive_into(here.fileno(), 2000, sink, lambda _: None)
            assert sink.received == 1000
        with pytest.raises(ConnectionFailed, match="broke while sending"):
            await send_body(here.fileno(), b"head", CONTENT, lambda _: None, lambda: False)

    @pytest.mark.parametrize("scheme", ["pumped", "tls"])
    def test_files_are_moved_after_the_main_thread_has_ended(
        self, scheme: str, certificates: Certificates, tmp_path: Path
    ) -> None:
        path, copy = tmp_path / "path", tmp_path / "copy"
        path.write_bytes(CONTENT)
        kept: list[bytes] = []

        def step(received: Received) -> Answer:
            return (stored(kept[0]) if received.method == "GET" else keeping(kept))(received)

        tls = certificates.server if scheme == "tls" else None
        with FaultyServer(always=step, tls=tls) as server:
            program = f"""
import asyncio, atexit, os, threading
from aioobs import Client, Config, FilePart
from aioobs.s3.body import FileSink

async def main():
    config = Config(endpoint={server.endpoint!r}, verify={certificates.authority!r}, attempts=1,
                    access_key="test-access-key", secret_key="test-secret-key")
    async with Client(config) as client:
        with open({str(path)!r}, "rb") as source, open({str(copy)!r}, "wb") as target:
            await client.put_object("b", "k", FilePart(source.fileno(), 0, {len(CONTENT)}))
            await client.stream_object("b", "k", FileSink(target.fileno()))

def last():
    assert not threading.main_thread().is_alive()
    asyncio.run(main())
    print("done")

atexit.register(last)
"""
            done = subprocess.run(
                [sys.executable, "-W", "error", "-c", program],
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=False,
            )
        assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
        assert copy.read_bytes() == CONTENT
        assert kept == [CONTENT]


def receive(connection: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        data += connection.recv(1 << 20)
    return bytes(data)


async def test_the_event_loop_moves_a_body_where_no_thread_can_be_started(
    setting: Place, source: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "aioobs-pump":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    kept, path = list[bytes](), tmp_path / "target"
    with setting.serve(keeping(kept), always=stored(CONTENT)) as server:
        async with setting.connect(server) as client:
            await client.put_object("b", "k", FilePart(source, 0, len(CONTENT)))
            for _ in range(2):
                with target(path) as sink:
                    await client.stream_object("b", "k", sink)
                assert path.read_bytes() == CONTENT
        assert server.connections == 1
    assert kept == [CONTENT]
