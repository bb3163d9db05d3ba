"""Connections: shared within an event loop, kept, retired, and closed with it."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import uvloop
from aiohttp.client_proto import ResponseHandler
from faulty import (
    Answer,
    FaultyServer,
    Received,
    answer,
    connect,
    refusal,
    sockets_to,
    stored,
)

from aioobs import Client, NotFound, ReadError
from aioobs.s3.client import exchange_of

if TYPE_CHECKING:
    from faulty import Certificates

    from aioobs.testing import LocalServer

pytestmark = pytest.mark.usefixtures("both_transports")

ROOT = Path(__file__).parents[1]


class TestLoops:
    """Connections belong to an event loop, a client does not."""

    def test_one_client_serves_two_loops_in_two_threads_at_once(self) -> None:
        barrier = threading.Barrier(2)
        results: list[bytes] = []

        async def read(client: Client) -> bytes:
            first = await client.get_object("b", "k")
            await asyncio.to_thread(barrier.wait)
            return first + await client.get_object("b", "k")

        with FaultyServer(always=stored(b"x")) as server:
            client = connect(server.endpoint)
            threads = [
                threading.Thread(target=lambda: results.append(asyncio.run(read(client))))
                for _ in range(2)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert results == [b"xx", b"xx"]

    def test_one_client_serves_loops_one_after_the_other(self) -> None:
        with FaultyServer(always=stored(b"x")) as server:
            client = connect(server.endpoint)
            for _ in range(3):
                assert asyncio.run(client.get_object("b", "k")) == b"x"
        assert server.connections == 3

    async def test_requests_share_no_more_than_the_connections(self) -> None:
        under_way = most = 0
        lock = threading.Lock()
        met = threading.Barrier(3)

        def step(received: Received) -> Answer:
            nonlocal under_way, most
            with lock:
                under_way += 1
                most = max(most, under_way)
            met.wait(5)
            with lock:
                under_way -= 1
            return stored(b"x")(received)

        with FaultyServer(always=step) as server:
            async with connect(server.endpoint, connections=3) as client:
                await asyncio.gather(*(client.get_object("b", "k") for _ in range(9)))
        assert most == 3
        assert server.connections == 3

    async def test_a_connection_is_kept_also_after_an_error(self) -> None:
        with FaultyServer(
            refusal(404, "NoSuchKey"), refusal(500, "InternalError"), always=stored(b"x")
        ) as server:
            async with connect(server.endpoint) as client:
                with pytest.raises(NotFound):
                    await client.get_object("b", "k")
                await client.head_object("b", "k")
                await client.get_object("b", "k")
        assert server.connections == 1

    async def test_no_connection_is_kept_where_that_is_not_wanted(self) -> None:
        with FaultyServer(always=stored(b"x")) as server:
            async with connect(server.endpoint, keep_alive=False) as client:
                for _ in range(2):
                    await client.get_object("b", "k")
        assert server.connections == 2

    async def test_a_retired_client_finishes_what_is_under_way_and_what_waits(self) -> None:
        release = threading.Event()

        def step(received: Received) -> Answer:
            release.wait(5)
            return stored(b"x")(received)

        with FaultyServer(step, always=stored(b"x")) as server:
            client = connect(server.endpoint, connections=1)
            reads = [asyncio.create_task(client.get_object("b", "k")) for _ in range(3)]
            await asyncio.to_thread(server.arrived.acquire)
            exchange_of(client).retire()
            late = asyncio.create_task(client.get_object("b", "k"))
            await asyncio.sleep(0)
            release.set()
            assert await asyncio.gather(*reads, late) == [b"x"] * 4
            await client.aclose()

    async def test_an_operation_of_a_retired_client_goes_on_with_its_next_request(self) -> None:
        release = threading.Event()

        def step(received: Received) -> Answer:
            release.wait(5)
            return answer()

        with FaultyServer(step, always=answer()) as server:
            client = connect(server.endpoint, connections=1)
            first = asyncio.create_task(client.head_bucket("b"))
            await asyncio.to_thread(server.arrived.acquire)
            exchange_of(client).retire()
            for _ in range(5):  # its connections are about to be closed
                await asyncio.sleep(0)
            others = [asyncio.create_task(client.head_bucket("b")) for _ in range(3)]
            await asyncio.sleep(0)
            release.set()
            await asyncio.gather(first, *others)
            for _ in range(2):
                await client.head_bucket("b")
            connections = exchange_of(client).connections
            assert connections.find(asyncio.get_running_loop()) is None, "nobody would close them"

    async def test_a_closed_client_can_be_used_again(self) -> None:
        with FaultyServer(always=stored(b"x")) as server:
            client = connect(server.endpoint)
            await client.aclose()
            for _ in range(2):
                assert await client.get_object("b", "k") == b"x"
                await client.aclose()
                await client.aclose()
        assert server.connections == 2

    async def test_a_body_breaks_off_when_its_client_is_closed(self) -> None:
        class Sink:
            received = 0

            async def write(self, chunk: bytes) -> None:
                self.received += len(chunk)
                begun.set()

        begun, content = asyncio.Event(), stored(bytes(1 << 20))
        with FaultyServer(lambda asked: content(asked).cut(body=1 << 19, end="stall")) as server:
            client = connect(server.endpoint, attempts=1)
            reading = asyncio.create_task(client.stream_object("b", "k", Sink()))
            await begun.wait()
            await client.aclose()
            with pytest.raises(ReadError):
                await reading

    def test_a_used_client_works_in_a_forked_child(self) -> None:
        with FaultyServer(always=stored(b"x")) as server:
            client = connect(server.endpoint)

            async def fork() -> int:
                assert await client.get_object("b", "k") == b"x"
                pid = os.fork()
                if not pid:
                    status = 1
                    try:
                        # A child of a coroutine has the mark of the loop, which is the parent's.
                        asyncio.events._set_running_loop(None)  # noqa: SLF001
                        status = int(asyncio.run(client.get_object("b", "k")) != b"x")
                    finally:
                        os._exit(status)
                assert await client.get_object("b", "k") == b"x"
                await client.aclose()
                return pid

            _, status = os.waitpid(asyncio.run(fork()), 0)
        assert status == 0

    @pytest.mark.parametrize("how", ["", "await client.aclose()", "exchange_of(client).retire()"])
    @pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
    def test_nothing_is_left_open_when_a_loop_ends(
        self, how: str, loop: str, obs_server: LocalServer
    ) -> None:
        program = f"""
import asyncio, {loop}, aioobs
from aioobs.s3.client import exchange_of
client = aioobs.Client(aioobs.Config(
    endpoint={obs_server.endpoint!r}, access_key={obs_server.access_key!r},
    secret_key={obs_server.secret_key!r}))
async def main():
    asyncio.get_running_loop().slow_callback_duration = 60  # the machine may be busy
    await asyncio.gather(*(client.list_buckets() for _ in range(5)))
    {how}
{loop}.run(main())
{loop}.run(main())
"""
        done = subprocess.run(
            [sys.executable, "-X", "dev", "-W", "error", "-c", program],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


async def test_a_client_that_the_collector_finds_closes_its_connections() -> None:
    with FaultyServer(always=stored(b"content")) as server:
        client = connect(server.endpoint)
        circle: list[object] = [client]
        circle.append(circle)
        assert await client.get_object("bucket", "key") == b"content"
        assert server.alive == 1
        del client, circle
        gc.collect()
        while server.alive:
            await asyncio.sleep(0.01)


def test_a_forgotten_client_closes_its_connections_on_loops_that_are_quick_to_do_so() -> None:
    class Quick(asyncio.SelectorEventLoop):
        """A loop that has done what another thread wants before that thread goes on."""

        def call_soon_threadsafe(  # type: ignore[override]
            self, *args: Any, **kwargs: Any
        ) -> asyncio.Handle:
            before = server.alive
            handle = super().call_soon_threadsafe(*args, **kwargs)
            while threading.current_thread() is collecting and server.alive == before:
                time.sleep(0.001)
            return handle

    async def read(client: Client) -> None:
        assert await client.get_object("bucket", "key") == b"content"

    collecting = threading.current_thread()
    loops = [Quick() for _ in range(3)]
    with FaultyServer(always=stored(b"content")) as server:
        client = connect(server.endpoint)
        for loop in loops:
            loop.run_until_complete(read(client))
        assert server.alive == len(loops)
        threads = [threading.Thread(target=loop.run_forever, daemon=True) for loop in loops]
        for thread in threads:
            thread.start()
        del client
        gc.collect()
        assert server.alive == 0
    for loop, thread in zip(loops, threads, strict=True):
        asyncio.SelectorEventLoop.call_soon_threadsafe(loop, loop.stop)
        thread.join()
        loop.close()


def test_a_connection_that_is_made_when_its_request_is_cancelled_is_kept(
    certificates: Certificates,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Where a handshake ends while its connection is being closed, uvloop logs a fatal error.
    reported: list[dict[str, Any]] = []
    tasks: list[asyncio.Task[str]] = []
    connected = ResponseHandler.connection_made

    def cancelling(handler: ResponseHandler, transport: asyncio.BaseTransport) -> None:
        connected(handler, transport)
        tasks[-1].cancel()

    async def cancel_once(server: FaultyServer) -> None:
        async with connect(server.endpoint, verify=certificates.authority) as client:
            tasks.append(asyncio.create_task(client.put_object("b", "k", b"")))
            with pytest.raises(asyncio.CancelledError):
                await tasks[-1]
            assert await client.put_object("b", "k", b"") == "1"

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, told: reported.append(told))
        for _ in range(20):
            with FaultyServer(always=answer(etag="1"), tls=certificates.server) as server:
                await cancel_once(server)
            assert server.connections == 1

    monkeypatch.setattr(ResponseHandler, "connection_made", cancelling)
    uvloop.run(main())
    assert not reported


async def test_who_closes_does_not_wait_for_a_connection_that_is_not_made(
    certificates: Certificates,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:  # it does not answer a handshake
        endpoint = f"https://127.0.0.1:{deaf.getsockname()[1]}"
        before = len(asyncio.all_tasks())
        async with connect(endpoint, verify=certificates.authority) as client:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.put_object("b", "k", b""), 0.1)
            begun = time.monotonic()
        assert time.monotonic() - begun < 2
        assert len(asyncio.all_tasks()) == before


NOBODY_READS = Answer(early=True, after=1000, deaf=True)
MUCH = bytes(16 << 20)


async def test_an_upload_that_nobody_reads_ends_when_the_other_side_ends() -> None:
    gone = replace(NOBODY_READS, end="half close")
    with FaultyServer(gone, always=answer(etag="1")) as server:
        async with connect(server.endpoint, idle_timeout=100) as client, asyncio.timeout(20):
            assert await client.put_object("b", "k", MUCH) == "1"
            assert client.stats().retries == 1


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_an_upload_that_nobody_reads_ends_with_its_client(
    certificates: Certificates, *, tls: bool
) -> None:
    context = certificates.server if tls else None
    with FaultyServer(replace(NOBODY_READS, end="stall"), tls=context) as server:
        async with connect(server.endpoint, verify=certificates.authority) as client:
            upload = asyncio.create_task(client.put_object("b", "k", MUCH))
            await asyncio.to_thread(server.arrived.acquire)
            upload.cancel()
            await asyncio.wait([upload])
        for _ in range(10):
            await asyncio.sleep(0)
        assert list(sockets_to(server)) == []


async def test_what_comes_between_two_requests_is_no_answer() -> None:
    good, forged, wanted = answer(body=b"good", etag="1"), answer(body=b"bad", etag="2"), [True]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readline():
            await reader.readuntil(b"\r\n\r\n")
            writer.write(good.message)
            await is_idle.wait()
            if wanted:
                wanted.clear()
                writer.write(forged.message)
                has_come.set()
        writer.close()

    is_idle, has_come = asyncio.Event(), asyncio.Event()
    async with await asyncio.start_server(serve, "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
        async with connect(f"http://127.0.0.1:{port}", attempts=1) as client:
            assert await client.get_object("b", "k") == b"good"
            is_idle.set()
            await has_come.wait()
            for _ in range(10):
                await asyncio.sleep(0)
            assert await client.get_object("b", "k") == b"good"
