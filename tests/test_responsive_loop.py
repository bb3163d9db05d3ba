"""The event loop is there for others while bodies move, however long that takes."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

import pytest
from faulty import SocketServer, hang_up

from aioobs import Client, Config, FilePart
from aioobs.s3.body import FileSink
from aioobs.testing import LocalServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

MIB = 1 << 20
SIZE = 32 * MIB
BUFFER = MIB // 4  # of a connection, so that most of a body waits outside
PATIENCE = 10  # seconds, after which the loop is said to be blocked


class Relay:
    """Stands before a server, and passes bytes on once the running loop has made a turn for them.

    So a body moves only if the event loop runs on meanwhile, on a machine of any speed.
    """

    def __init__(self, endpoint: str) -> None:
        self._server = urlsplit(endpoint)
        self._loop = asyncio.get_running_loop()
        self._listener = SocketServer(self._pass_on, BUFFER)
        self.endpoint = f"{self._server.scheme}://127.0.0.1:{self._listener.port}"
        self.turns = 0
        """How many turns the loop has made for bytes that waited."""

    def __enter__(self) -> Self:
        self._listener.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._listener.__exit__()

    def _pass_on(self, client: socket.socket, _: int) -> None:
        server = socket.create_connection((self._server.hostname, self._server.port))
        self._listener.sockets.append(server)
        self._listener.start(self._carry, server, client)
        self._carry(client, server)

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while (data := source.recv(MIB)) and self._loop_turns():
                target.sendall(data)
        except OSError:  # an end is gone
            pass
        hang_up(source)
        hang_up(target)
        source.close()  # which resets it if there are bytes that were not passed on

    def _loop_turns(self) -> bool:
        turned = threading.Event()
        self._loop.call_soon_threadsafe(self._turn, turned)
        return turned.wait(PATIENCE)

    def _turn(self, turned: threading.Event) -> None:
        self.turns += 1
        turned.set()


@pytest.fixture(scope="module", params=["plain", "tls"])
def server(request: pytest.FixtureRequest) -> Iterator[LocalServer]:
    """Run a server with a bucket."""
    with LocalServer(tls=request.param == "tls") as found:
        found.create_bucket("bucket")
        yield found


@pytest.fixture
async def relay(server: LocalServer) -> AsyncIterator[Relay]:
    """Run a relay before it."""
    with Relay(server.endpoint) as found:
        yield found


@pytest.fixture
async def client(relay: Relay, server: LocalServer) -> AsyncIterator[Client]:
    """Give a client that tries once."""
    config = Config(
        endpoint=relay.endpoint,
        access_key=server.access_key,
        secret_key=server.secret_key,
        verify=server.ca_file or True,
        attempts=1,
    )
    async with Client(config) as found:
        yield found


async def test_the_loop_turns_while_files_move(
    client: Client, relay: Relay, tmp_path: Path
) -> None:
    content = os.urandom(SIZE)
    (tmp_path / "source").write_bytes(content)
    with (tmp_path / "source").open("rb") as file:
        await client.put_object("bucket", "file", FilePart(file.fileno(), 0, SIZE, zero_copy=True))
    uploaded = relay.turns
    with (tmp_path / "target").open("wb") as file:
        await client.stream_object("bucket", "file", FileSink(file.fileno()))
    assert (tmp_path / "target").read_bytes() == content
    assert min(uploaded, relay.turns - uploaded) >= SIZE // MIB


async def test_the_loop_turns_while_memory_moves(client: Client, relay: Relay) -> None:
    content = os.urandom(SIZE)
    await client.put_object("bucket", "memory", content)
    uploaded = relay.turns
    assert await client.get_object("bucket", "memory") == content
    assert min(uploaded, relay.turns - uploaded) >= SIZE // MIB
