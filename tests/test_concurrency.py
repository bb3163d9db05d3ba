"""Fewer requests at a time while the store asks to slow down."""

from __future__ import annotations

import asyncio
import resource
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from faulty import STALL, Answer, FaultyServer, Received, answer, connect, refusal, stored

from aioobs import Client, ObsError, file
from aioobs.s3.http.memory_limit import MemoryLimit
from aioobs.session import session as current

if TYPE_CHECKING:
    from pathlib import Path

    from faulty import Certificates

    from aioobs import Attempt

WORK = 0.01  # seconds that the store needs for a request
FAR = 0.05


class Narrow:
    """A store that does so many requests at a time and refuses all others."""

    def __init__(self, room: int, work: float = WORK) -> None:
        self.room = room
        self._answer = stored(b"x")
        self._work = work
        self.refused = 0
        self.most = 0
        self._there = 0
        self._lock = threading.Lock()

    def __call__(self, received: Received) -> Answer:
        with self._lock:
            if self._there >= self.room:
                self.refused += 1
                return refusal(503, "SlowDown")
            self._there += 1
            self.most = max(self.most, self._there)
        try:
            time.sleep(self._work)
            return answer(etag='"1"') if received.method == "PUT" else self._answer(received)
        finally:
            with self._lock:
                self._there -= 1


async def reads(client: Client, count: int) -> list[bytes]:
    return await asyncio.gather(*(client.get_object("b", f"{i}") for i in range(count)))


async def test_a_store_that_can_do_two_at_a_time_is_soon_asked_for_no_more() -> None:
    store = Narrow(2)
    with FaultyServer(always=store) as server:
        async with connect(server.endpoint, connections=32, attempts=10) as client:
            assert await reads(client, 300) == [b"x"] * 300
    assert store.refused < 400  # it is not often that more is tried


async def test_once_the_store_can_do_more_it_is_asked_for_more() -> None:
    store = Narrow(1)
    with FaultyServer(always=store) as server:
        async with connect(server.endpoint, connections=16, attempts=10) as client:
            await reads(client, 40)
            store.room, store.most = 16, 0
            await reads(client, 400)
    assert store.most >= 8


async def test_those_who_are_cancelled_while_they_wait_leave_their_places() -> None:
    with FaultyServer(always=Narrow(100)) as server:
        async with connect(server.endpoint, connections=1, attempts=1) as client:
            for _ in range(5):
                tasks = [asyncio.create_task(client.get_object("b", "k")) for _ in range(8)]
                await asyncio.sleep(0)
                for task in tasks[::2]:
                    task.cancel()
                with pytest.raises((asyncio.CancelledError, ObsError)):
                    await tasks[0]
                await asyncio.gather(*tasks, return_exceptions=True)
            assert await client.get_object("b", "k") == b"x"


async def test_those_who_are_cancelled_together_with_who_has_the_place_are_cancelled() -> None:
    with FaultyServer(STALL, always=stored(b"x")) as server:
        async with connect(server.endpoint, connections=1) as client:
            first = asyncio.create_task(client.get_object("b", "first"))
            await asyncio.to_thread(server.arrived.acquire)
            others = [asyncio.create_task(client.get_object("b", name)) for name in "xyz"]
            await asyncio.sleep(0)  # they wait for a place now
            for task in (first, *others):
                task.cancel()
            found = await asyncio.gather(first, *others, return_exceptions=True)
            assert [type(error) for error in found] == [asyncio.CancelledError] * 4
            assert await client.get_object("b", "next") == b"x"


async def test_who_is_cancelled_when_memory_is_released_is_cancelled() -> None:
    memory = MemoryLimit(10)
    await memory.acquire(10)
    waiting = asyncio.create_task(memory.acquire(5))
    await asyncio.sleep(0)
    waiting.cancel()
    memory.release(10)
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert memory.take(10) == 10


def use(server: FaultyServer, **options: object) -> None:
    keys = {"access_key": "test-access-key", "secret_key": "test-secret-key"}
    current.set({"endpoint": server.endpoint, **keys, **options})


def write_files(folder: Path, count: int) -> None:
    for number in range(count):
        (folder / f"{number}").write_bytes(b"x")


async def most_from_afar(folder: Path, count: int, **options: Any) -> int:
    """Copy new files to a store that takes its time; return how many it got at the same time."""
    write_files(folder, count)
    store = Narrow(1000, work=FAR)
    with FaultyServer(always=store) as server:
        use(server)
        await file.copy_parallel(folder, "s3://b/tree", **options)
    assert len(server.requests) == count
    return store.most


@pytest.mark.usefixtures("session")
async def test_a_copy_asks_a_store_that_is_far_away_for_more_at_a_time(tmp_path: Path) -> None:
    assert 64 <= await most_from_afar(tmp_path, 800) <= 256


@pytest.mark.usefixtures("session")
async def test_what_does_not_go_in_short_requests_has_more_streams_as_well(tmp_path: Path) -> None:
    assert 32 <= await most_from_afar(tmp_path, 500, verify="digest") <= 64


@pytest.mark.usefixtures("session")
async def test_a_copy_leaves_descriptors_to_the_rest_of_the_program(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, limits[1]))
    try:
        assert 32 <= await most_from_afar(tmp_path, 400) <= 50
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.usefixtures("session")
async def test_a_copy_asks_for_as_many_at_a_time_as_it_is_told(tmp_path: Path) -> None:
    assert await most_from_afar(tmp_path, 100, threads=8) == 8


@pytest.mark.usefixtures("session")
async def test_so_does_each_of_its_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIOOBS_PROCESSES", "1")
    assert 32 < await most_from_afar(tmp_path, 3000, threads=32) <= 2 * 32


@pytest.mark.usefixtures("session")
async def test_a_copy_has_no_more_connections_than_are_allowed(tmp_path: Path) -> None:
    write_files(tmp_path, 100)
    store = Narrow(1000, work=FAR)
    with FaultyServer(always=store) as server:
        use(server, connections=12)
        await file.copy_parallel(tmp_path, "s3://b/tree")
    assert store.most == 12


@pytest.mark.usefixtures("session")
async def test_a_copy_does_not_ask_for_more_where_that_changes_nothing(tmp_path: Path) -> None:
    write_files(tmp_path, 500)
    turn = threading.Lock()

    def one_by_one(_: Received) -> Answer:
        with turn:
            time.sleep(0.002)
        return answer(etag='"1"')

    with FaultyServer(always=one_by_one) as server:
        use(server)
        await file.copy_parallel(tmp_path, "s3://b/tree")
    assert server.most_at_once <= 64


@pytest.mark.usefixtures("session")
async def test_others_need_not_wait_for_a_copy_that_takes_all_connections(tmp_path: Path) -> None:
    write_files(tmp_path, 2000)
    taken, there = answer(etag='"1"'), stored(b"x")

    def step(received: Received) -> Answer:
        return taken if received.method == "PUT" else there(received)

    with FaultyServer(always=step) as server:
        use(server, connections=1)
        copying = asyncio.create_task(file.copy_parallel(tmp_path, "s3://b/tree"))
        await asyncio.to_thread(server.arrived.acquire)
        assert await file.exists("s3://b/other")
        methods = [request.method for request in server.requests]
        await copying
    assert methods.index("HEAD") < 300
    assert len(server.requests) == 2001


@pytest.mark.usefixtures("session")
async def test_a_copy_that_is_cancelled_with_its_last_answer_leaves_its_connection_to_the_next(
    tmp_path: Path, certificates: Certificates
) -> None:
    (tmp_path / "file").write_bytes(b"x")

    def step(received: Received) -> Answer:
        return answer(etag='"1"') if received.method == "PUT" else refusal(404, "NoSuchKey")

    with FaultyServer(always=step, tls=certificates.server) as server:
        use(server, verify=certificates.authority)
        copying = asyncio.create_task(file.copy_parallel(tmp_path, "s3://b/tree"))

        def cancel(attempt: Attempt) -> None:
            if attempt.operation == "putContent":
                copying.cancel()

        current.client().on_attempt.append(cancel)
        with pytest.raises(asyncio.CancelledError):
            await copying
        made = server.connections
        await file.write("s3://b/other", b"x")
        await current.client().aclose()
    assert server.connections == made
