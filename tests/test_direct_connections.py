"""Short answers to blocking calls, which come on the thread of their caller.

That they do is seen where the event loop stands still: nothing else could answer then.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import resource
import signal
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import faulty
import pytest
from faulty import (
    GARBAGE,
    HALF_CLOSE,
    HANG_UP,
    RESET,
    STALL,
    Answer,
    FaultyServer,
    answer,
    error_document,
    listing,
    refusal,
    sockets_to,
    stored,
)
from suspensions import ctrl_c

import aioobs.sync as mox
from aioobs import Config
from aioobs.calling_thread import caller
from aioobs.errors import ConnectionFailed, NotFound, ObjectChanged, OperationTimeout, ResponseError
from aioobs.s3.auth import credentials
from aioobs.s3.http import direct_connections
from aioobs.s3.http.concurrency import ConcurrencyLimit
from aioobs.s3.request import JOINED
from aioobs.sync import Client
from aioobs.sync._loop import run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

CONTENT = b"0123456789" * 1000
GOOD = stored(CONTENT)
LONG = direct_connections.LONGEST_BODY

pytestmark = pytest.mark.usefixtures("lean")


@pytest.fixture(autouse=True, params=[0.0, 0.05], ids=["asleep", "looking"])
def parked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep connections and credentials, however long a busy machine takes between two calls.

    Threads sleep until there is an answer, or look whether it has come.
    """
    monkeypatch.setattr(direct_connections, "DIRECT_IDLE", 60.0)
    monkeypatch.setattr(credentials, "CHECK_INTERVAL", 60.0)
    monkeypatch.setattr(direct_connections, "LOOKING", request.param)
    monkeypatch.setattr(direct_connections, "NEAR", request.param)


def connect(server: FaultyServer, *, park: bool = True, **options: Any) -> Client:
    """Return a blocking client that has a connection for this thread."""
    given = {
        "access_key": "test-access-key",
        "secret_key": "test-secret-key",
        "retry_wait": 0.001,
        "transport": faulty.TRANSPORT,
        **options,
    }
    client = Client(Config(endpoint=server.endpoint, **given))
    if park:
        client.head_object("bucket", "key")
    return client


@contextlib.contextmanager
def standing_loop() -> Iterator[None]:
    """Let the event loop behind blocking calls do nothing."""

    async def running() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    stands, go_on, needed = threading.Event(), threading.Event(), threading.Event()

    def stand() -> None:
        stands.set()
        if not go_on.wait(20):  # or else a call that needs the loop would wait for ever
            needed.set()

    run(running()).call_soon_threadsafe(stand)
    stands.wait()
    try:
        yield
    finally:
        go_on.set()
    assert not needed.is_set()


def test_the_verbs_need_no_event_loop_for_short_answers(obs_bucket: str) -> None:
    url = f"{obs_bucket}/name"
    mox.file.write(url, CONTENT)
    mox.file.read(url)
    with mox.file.File(url, "rb") as file:
        file.seek(20)
        with standing_loop():
            assert mox.file.exists(url)
            assert mox.file.read(url, binary=True) == CONTENT
            assert mox.file.get_size(url) == len(CONTENT)
            assert mox.file.stat(url).length == len(CONTENT)
            mox.file.write(url + "2", b"more", binary=True)
            assert mox.file.read(url + "2") == "more"
            assert file.read(10) == b"0123456789"
            assert mox.file.exists(url + "3") is False
            assert mox.file.is_directory(obs_bucket)
            assert mox.file.list_directory(obs_bucket) == ["name", "name2"]
            assert mox.file.glob(obs_bucket + "/n*2") == [url + "2"]
            mox.file.make_dirs(obs_bucket + "/folder")
            mox.file.remove(url + "2")
    with pytest.raises(FileNotFoundError):
        mox.file.read(url + "3")


def test_a_listing_that_begins_on_the_calling_thread_goes_on_in_the_event_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pages = [listing("f/a", following="f/a"), listing("f/b", following="f/b"), listing("f/c")]
    with FaultyServer(GOOD, *(answer(body=page) for page in pages)) as server:
        faulty.use(server, monkeypatch)
        assert mox.file.exists("s3://b/name")
        assert mox.file.list_directory("s3://b/f") == ["a", "b", "c"]
    assert len(server.requests) == 4


def test_the_client_needs_no_event_loop_for_short_answers() -> None:
    with FaultyServer(always=GOOD) as server, connect(server) as client:
        with standing_loop():
            assert client.head_object("bucket", "key").size == len(CONTENT)
            assert client.get_object("bucket", "key") == CONTENT
            assert client.get_object("bucket", "key", start=15, stop=25) == b"5678901234"
            buffer = bytearray(10)
            assert client.get_into("bucket", "key", buffer, start=5) == 10
            assert bytes(buffer) == b"5678901234"
        with pytest.raises(ObjectChanged):
            client.get_object("bucket", "key", if_match="another")
        assert server.connections == 1
        stats = client.stats()
        assert (stats.requests, stats.retries) == (6, 0)


def test_that_something_is_not_there_is_a_short_answer() -> None:
    with (
        FaultyServer(GOOD, always=refusal(404, "NoSuchKey")) as server,
        connect(server) as client,
        standing_loop(),
        pytest.raises(NotFound) as caught,
    ):
        client.get_object("bucket", "key")
    assert caught.value.resp
    assert caught.value.resp.code == "NoSuchKey"
    assert caught.value.operation == "getObject"
    assert len(server.requests) == 2


WHOLE = answer(200, CONTENT, etag='"version-1"')
WRONG: dict[str, Answer] = {
    "reset": RESET,
    "hang up": HANG_UP,
    "half close": HALF_CLOSE,
    "stall": STALL,
    "garbage": GARBAGE,
    "a head that ends": WHOLE.cut(head=20, end="close"),
    "a head that stalls": WHOLE.cut(head=20, end="stall"),
    "a body that ends": WHOLE.cut(body=100, end="close"),
    "a body that is reset": WHOLE.cut(body=100, end="reset"),
    "a body that stalls": WHOLE.cut(body=100, end="stall"),
    "unavailable": refusal(503, "SlowDown"),
    "an internal error": refusal(500, "InternalError"),
    "an error under 200": answer(200, error_document("InternalError"), content_range="bytes 1-2/3"),
    "another range": answer(206, b"abc", etag='"version-1"', content_range="bytes 7-9/10000"),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_after_what_is_wrong_the_event_loop_tries_again(wrong: Answer) -> None:
    with FaultyServer(GOOD, wrong, always=GOOD) as server:
        with connect(server, idle_timeout=0.2) as client:
            assert client.get_object("bucket", "key") == CONTENT
            assert client.get_object("bucket", "key") == CONTENT
            assert client.stats().retries == 1
        # What has come of a body before it ended need not come again, if the loop has read on.
        assert len(server.requests) == 4


@pytest.mark.parametrize("cut", [{"head": 20}, {"body": 100}])
def test_a_server_that_stands_still_is_said_to(cut: dict[str, int]) -> None:
    standing = WHOLE.cut(**cut, end="stall")
    with (
        FaultyServer(GOOD, GOOD, standing) as server,
        connect(server, idle_timeout=0.2, attempts=1) as client,
    ):
        client.head_object("bucket", "key")
        with pytest.raises(ConnectionFailed, match="no progress") as caught:
            client.get_object("bucket", "key")
        assert caught.value.kind == "stalled"


def test_a_body_that_dribbles_is_no_progress() -> None:
    slow = replace(answer(200, bytes(2000), etag='"version-1"'), pause=0.1)
    with (
        FaultyServer(GOOD, GOOD, slow) as server,
        connect(server, idle_timeout=0.4, attempts=1) as client,
    ):
        client.head_object("bucket", "key")
        with pytest.raises(ConnectionFailed) as caught:
            client.get_object("bucket", "key")
        assert caught.value.kind == "stalled"


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="the system has no such limit")
def test_a_connection_that_the_system_gives_up_is_not_the_end_of_a_call() -> None:
    def stand(request: faulty.Received) -> None:
        while request.method == "PUT" and server.connections == 1:
            threading.Event().wait(0.01)

    with (
        FaultyServer(always=GOOD, at_head=stand, pace=0.001) as server,
        connect(server) as client,
    ):
        client.head_object("bucket", "key")
        for own in sockets_to(server):  # both descriptors are of the one connection
            own.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 100)
        assert client.put_object("bucket", "key", bytes(JOINED)) == "version-1"
        assert client.stats().retries == 1


STRANGE: dict[str, Answer] = {
    "chunks": answer(200, CONTENT, chunked=True, etag='"version-1"'),
    "an interim answer": Answer(WHOLE.message, interim=b"HTTP/1.1 100 Continue\r\n\r\n"),
    "HTTP/1.0": Answer(WHOLE.message.replace(b"HTTP/1.1", b"HTTP/1.0"), "close"),
    "the last one": answer(200, CONTENT, etag='"version-1"', connection="close", end="close"),
    "no length": answer(200, CONTENT, etag='"version-1"', chunked=True, end="close"),
    "a head in pieces": Answer(WHOLE.message, pause=0.001),
}


@pytest.mark.parametrize("strange", STRANGE.values(), ids=STRANGE)
def test_an_answer_of_another_shape_is_understood(strange: Answer) -> None:
    with FaultyServer(GOOD, always=strange) as server, connect(server) as client:
        assert client.get_object("bucket", "key") == CONTENT
        assert client.get_object("bucket", "key") == CONTENT


@pytest.mark.parametrize("size", [0, 1, 70_000, LONG - 1, LONG + 1, 5 * LONG])
def test_bodies_of_all_lengths_come_whole(size: int) -> None:
    content = os.urandom(size)
    with FaultyServer(always=stored(content)) as server, connect(server) as client:
        for _ in range(3):
            assert client.get_object("bucket", "key") == content
            client.put_object("bucket", "other", content)
            assert server.requests[-1].body == content


def test_an_answer_that_is_too_long_is_an_error_not_the_next_answer() -> None:
    overlong = Answer(WHOLE.message + b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nlie")
    with FaultyServer(GOOD, overlong, always=GOOD) as server, connect(server) as client:
        assert client.get_object("bucket", "key") == CONTENT
        assert client.get_object("bucket", "key") == CONTENT


@pytest.mark.parametrize("end", ["close", "reset"])
def test_a_connection_that_ended_meanwhile_is_not_used(end: Any) -> None:
    first = answer(200, CONTENT, etag='"version-1"', end=end)
    with FaultyServer(GOOD, first, always=GOOD) as server, connect(server) as client:
        assert client.get_object("bucket", "key") == CONTENT
        while server.alive:
            threading.Event().wait(0.01)
        assert client.put_object("bucket", "key", b"once") == "version-1"
        assert client.stats().retries == 0
    assert [request.method for request in server.requests] == ["HEAD", "GET", "PUT"]


def test_a_server_that_dribbles_runs_into_the_timeout_of_the_operation() -> None:
    slow = Answer(WHOLE.message, pause=0.1)
    seconds = {"getObject": 0.5}
    with FaultyServer(GOOD, always=slow) as server, connect(server, timeouts=seconds) as client:
        with pytest.raises(OperationTimeout):
            client.get_object("bucket", "key")
        client.head_object("bucket", "key")


def test_a_refusal_that_is_final_is_told_once() -> None:
    with FaultyServer(GOOD, always=refusal(400, "InvalidRequest")) as server:
        with connect(server) as client, pytest.raises(ResponseError) as caught:
            client.put_object("bucket", "key", b"data")
        assert caught.value.operation == "putContent"
        assert caught.value.url == "s3://bucket/key"
    assert len(server.requests) == 2


def test_many_threads_get_what_they_asked_for_on_no_more_connections_than_allowed() -> None:
    def content_of(request: faulty.Received) -> Answer:
        return stored(request.path.encode() * 100)(request)

    with FaultyServer(always=content_of) as server:
        with connect(server, connections=4) as client, ThreadPoolExecutor(16) as pool:

            def read(number: int) -> bytes:
                return client.get_object("bucket", str(number))

            found = list(pool.map(read, range(1000)))
        assert found == [f"/bucket/{number}".encode() * 100 for number in range(1000)]
        assert server.most_at_once <= 4


def test_a_thread_that_waits_does_not_keep_others_waiting() -> None:
    asked, go_on = threading.Event(), threading.Event()

    def hold(request: faulty.Received) -> Answer:
        asked.set()
        go_on.wait()
        return GOOD(request)

    with (
        FaultyServer(GOOD, hold, always=GOOD) as server,
        connect(server) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        waiting = pool.submit(client.get_object, "bucket", "key")
        asked.wait()
        assert client.get_object("bucket", "key") == CONTENT
        go_on.set()
        assert waiting.result() == CONTENT


def test_a_slot_that_is_given_back_as_another_call_asks_for_it_is_found() -> None:
    asked, free = threading.Event(), threading.Event()

    def at_first_wait(frame: FrameType, event: str, _: object) -> None:
        if event == "c_return" and frame.f_code is ConcurrencyLimit.__aenter__.__code__:
            sys.setprofile(None)
            asked.set()
            free.wait(20)

    async def watch() -> None:
        asyncio.get_running_loop().call_soon(sys.setprofile, at_first_wait)

    def hold(request: faulty.Received) -> Answer:
        asked.wait(20)
        return GOOD(request)

    with (
        FaultyServer(GOOD, GOOD, hold, always=GOOD) as server,
        connect(server, connections=1) as client,
        ThreadPoolExecutor(2) as pool,
    ):
        client.head_object("bucket", "key")
        run(watch())
        one = pool.submit(client.get_object, "bucket", "key")
        for _ in range(3):
            server.arrived.acquire(timeout=20)
        other = pool.submit(client.put_object, "bucket", "key", bytes(2 * JOINED))
        assert one.result() == CONTENT
        free.set()
        assert other.result(20) == "version-1"


@pytest.mark.parametrize("answer", [RESET, stored(bytes(2 * LONG))], ids=["broken", "long"])
def test_a_connection_that_a_thread_gives_up_makes_room_for_another(answer: Any) -> None:
    with FaultyServer(always=GOOD) as server, connect(server, connections=1) as client:
        client.head_object("bucket", "key")
        for _ in range(2):
            server.extend(answer)
            client.get_object("bucket", "key")
            client.head_object("bucket", "key")
            with standing_loop():
                client.head_object("bucket", "key")


@pytest.mark.parametrize("size", [len(CONTENT), 2 * LONG])
def test_a_client_that_is_closed_as_a_thread_asks_leaves_no_connection(size: int) -> None:
    asked, go_on = threading.Event(), threading.Event()

    def hold(request: faulty.Received) -> Answer:
        asked.set()
        go_on.wait()
        return stored(bytes(size))(request)

    with (
        FaultyServer(GOOD, GOOD, hold, always=stored(bytes(size))) as server,
        connect(server) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        client.head_object("bucket", "key")
        waiting = pool.submit(client.get_object, "bucket", "key")
        asked.wait()
        client.close()
        go_on.set()
        assert waiting.result(20) == bytes(size)
        client.close()
        deadline = time.monotonic() + 10
        while server.alive and time.monotonic() < deadline:
            threading.Event().wait(0.01)
        assert server.alive == 0


def test_an_unused_connection_goes_back_to_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct_connections, "DIRECT_IDLE", 0.0)
    pages: Callable[[Any], Answer] = lambda _: answer(200, listing("a"))  # noqa: E731
    with FaultyServer(GOOD, always=pages) as server, connect(server) as client:
        run(asyncio.sleep(0.05))  # the time of the loop that gives it back
        client.list_objects("bucket")
        assert server.connections == 1


def test_long_requests_share_a_connection_of_the_event_loop() -> None:
    with FaultyServer(always=GOOD) as server, connect(server) as client:
        for _ in range(4):
            client.put_object("bucket", "key", bytes(2 * JOINED))
            client.head_object("bucket", "key")
        assert server.connections == 2


def test_a_forked_child_has_connections_of_its_own() -> None:
    with FaultyServer(always=GOOD) as server, connect(server) as client:
        child = os.fork()
        if not child:
            good = all(client.get_object("bucket", "key") == CONTENT for _ in range(3))
            os._exit(0 if good else 1)
        for _ in range(3):
            assert client.get_object("bucket", "key") == CONTENT
        assert os.waitpid(child, 0) == (child, 0)
        assert server.connections == 2


@pytest.mark.usefixtures("session")
def test_what_another_client_is_set_to_meanwhile_harms_no_call(obs_bucket: str) -> None:
    url = f"{obs_bucket}/name"
    mox.file.write(url, "text")
    stop = threading.Event()

    def read() -> int:
        count = 0
        while not stop.is_set():
            assert mox.file.read(url) == "text"
            count += 1
        return count

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        for seconds in range(20):
            mox.file.set_auth(client_timeout=100 + seconds)
            assert mox.file.read(url) == "text"
        stop.set()
        assert all(reader.result() for reader in readers)


def test_ctrl_c_ends_the_wait_and_the_next_call_works() -> None:
    def interrupt(request: faulty.Received) -> Answer:
        os.kill(os.getpid(), signal.SIGINT)
        return STALL

    with FaultyServer(GOOD, interrupt, always=GOOD) as server, connect(server) as client:
        with pytest.raises(KeyboardInterrupt):
            client.get_object("bucket", "key")
        assert client.get_object("bucket", "key") == CONTENT
        assert client.stats().retries == 0
    assert len(server.requests) == 3


@pytest.mark.parametrize("operation", ["get", "head", "put", "missing"])
def test_ctrl_c_at_any_moment_loses_neither_connection_nor_slot(operation: str) -> None:
    def serve(request: faulty.Received) -> Answer:
        return refusal(404, "NoSuchKey") if "missing" in request.target else GOOD(request)

    # There is one connection: the call after the one that lost it would wait for ever.
    with (
        FaultyServer(always=serve) as server,
        connect(server, connections=1, connect_timeout=5.0) as client,
    ):
        calls: dict[str, Callable[[], object]] = {
            "get": lambda: client.get_object("bucket", "key"),
            "head": lambda: client.head_object("bucket", "key"),
            "put": lambda: client.put_object("bucket", "key", b"new"),
            "missing": lambda: client.head_object("bucket", "missing"),
        }
        moments = 0

        def call() -> None:
            with contextlib.suppress(NotFound):
                calls[operation]()

        for at in range(1, 1000):
            client.head_object("bucket", "key")  # after which there is one for this thread
            with standing_loop():
                client.head_object("bucket", "key")
            if not ctrl_c(call, at, "/aioobs/s3/"):
                break
            moments += 1
        assert 30 < moments < 999


@pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning")
def test_after_ctrl_c_at_any_moment_a_thread_may_run_an_event_loop_of_its_own(
    obs_bucket: str,
) -> None:
    for at in range(1, 200):
        came = ctrl_c(partial(mox.file.exists, f"{obs_bucket}/name"), at, "/aioobs/sync/")
        assert caller.loop is None, came[0]  # or what is awaited here would hold up the loop
        if not came:
            break
        came.clear()
    assert 5 < at < 199
    gc.collect()  # what was interrupted complains, but not in the next test


def test_without_a_descriptor_to_spare_calls_work_as_ever() -> None:
    def step(request: faulty.Received) -> Answer:
        return answer(200, listing("a")) if request.query else GOOD(request)

    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with FaultyServer(always=step) as server, connect(server, park=False) as client:
        client.list_objects("bucket")  # over a connection that others can have
        with contextlib.ExitStack() as taken:
            resource.setrlimit(resource.RLIMIT_NOFILE, (200, limits[1]))
            taken.callback(resource.setrlimit, resource.RLIMIT_NOFILE, limits)
            with contextlib.suppress(OSError):
                while True:
                    taken.callback(os.close, os.open(os.devnull, os.O_RDONLY))
            found = [client.get_object("bucket", "key") for _ in range(3)]
        assert found == [CONTENT] * 3
        assert server.connections == 1


def test_a_wait_of_any_length_can_be_asked_for() -> None:
    with FaultyServer(always=GOOD) as server, connect(server, idle_timeout=1e12) as client:
        assert client.get_object("bucket", "key") == CONTENT
