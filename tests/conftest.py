"""Fixtures for every test: a clean environment, transport and loop, and a second kind of server.

`--transport` and `--loop` say what the tests run on, unless they choose it themselves.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, get_args

import faulty
import pytest
import swift_server as swift
import trustme
from programs import Holding, Programs

from aioobs.config import Config, TransportName
from aioobs.s3.client import Client, exchange_of
from aioobs.session import Session
from aioobs.session import session as current
from aioobs.sync import _loop
from aioobs.testing import free_ports, isolate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("aioobs")
    group.addoption(
        "--transport",
        choices=get_args(TransportName),
        default=Config.transport,
        help="the transport of every client that names none (default: %(default)s)",
    )
    group.addoption(
        "--loop",
        choices=("asyncio", "uvloop"),
        help="the event loop of async tests (default: asyncio) and of blocking calls (uvloop)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make the transport the default, here and in the processes that tests start."""
    transport = config.getoption("--transport")
    names = [field.name for field in dataclasses.fields(Config)]
    defaults: list[Any] = list(Config.__init__.__defaults__ or ())
    defaults[names.index("transport")] = transport
    Config.__init__.__defaults__ = tuple(defaults)
    Config.transport = transport
    faulty.TRANSPORT = transport
    os.environ["AIOOBS_TRANSPORT"] = transport


def pytest_report_header(config: pytest.Config) -> str:
    """Say what the tests run on."""
    loop = config.getoption("--loop") or "asyncio for async tests, uvloop for blocking calls"
    return f"transport: {config.getoption('--transport')}, loop: {loop}"


def pytest_collection_finish() -> None:
    """Spare each search for garbage, of which tests make thousands, what stays till the end."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def empty_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a home directory without files of credentials."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, empty_home: Path) -> None:
    """Hide from a test every store, credential, authority and proxy of the machine."""
    isolate(monkeypatch)
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.setenv("HOME", str(empty_home))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    """Give the session of the process, with nothing set; what a test sets ends with it."""
    for name, value in vars(Session()).items():
        monkeypatch.setattr(current, name, value)
    yield current
    if client := vars(current)["_client"]:
        exchange_of(client).retire()


@pytest.fixture(scope="session")
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """Run async tests on the loop that was asked for."""
    return "asyncio", {"use_uvloop": request.config.getoption("--loop") == "uvloop"}


@pytest.fixture(autouse=True)
def loop_of_blocking_calls(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run blocking calls on the loop that was asked for, unless the test chooses one."""
    chooses = not {"loop", "loop_thread"}.isdisjoint(request.fixturenames)
    if request.config.getoption("--loop") == "asyncio" and not chooses:
        monkeypatch.setattr(_loop, "new_event_loop", asyncio.new_event_loop)


@pytest.fixture
def lean(request: pytest.FixtureRequest) -> None:
    """Leave out a test of what only the lean transport does."""
    if request.config.getoption("--transport") != "lean":
        pytest.skip("only the lean transport does that")


@pytest.fixture(params=get_args(TransportName))
def both_transports(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Talk to faulty servers on both transports, which have to behave alike."""
    monkeypatch.setattr(faulty, "TRANSPORT", request.param)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> faulty.Certificates:
    """Give the certificate of an authority, and of a server."""
    path = tmp_path_factory.mktemp("tls") / "ca.pem"
    authority = trustme.CA()
    authority.cert_pem.write_to_path(path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return faulty.Certificates(str(path), context)


@pytest.fixture(scope="session")
def moto_server() -> Iterator[str]:
    """Give the endpoint of a server with S3's own key semantics, which checks no signature.

    Judge folders on this one: SeaweedFS shows a folder for a while after its last key is gone.
    """
    if find_spec("moto") is None:
        pytest.skip("moto is not installed, as where a release is tried")
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with running(command, port):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="session")
def swift_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the endpoint of OpenStack Swift, which is strict: see `swift_server`."""
    folder = tmp_path_factory.mktemp("swift")
    if obstacle := swift.obstacle(folder):
        pytest.skip(obstacle)
    ports = free_ports(swift.PORTS)
    command = [sys.executable, swift.__file__, *map(str, ports)]
    with running(command, ports[0], folder):
        yield f"http://127.0.0.1:{ports[0]}"
    shutil.rmtree(folder, ignore_errors=True)  # half a gigabyte


@contextlib.contextmanager
def running(command: list[str], port: int, folder: Path | None = None) -> Iterator[None]:
    """Run a server while the block lasts, which begins when it listens."""
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,  # some end with it, and so with this process
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=folder,
    ) as server:
        try:
            while not listens(port):
                assert server.poll() is None, f"{command} ended at its start"
                time.sleep(0.02)
            yield
        finally:
            server.terminate()


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True


@pytest.fixture
async def client(request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    """Give a client of the store that the test's bucket is in."""
    buckets = (name for name in ("root", "bucket") if name in request.fixturenames)
    request.getfixturevalue(next(buckets, "obs_bucket"))
    async with Client(Config.from_env()) as found:
        yield found


@pytest.fixture
def programs(tmp_path: Path, obs_bucket: str) -> Programs:
    """Give a runner of programs that have a store."""
    return Programs(tmp_path, obs_bucket)


@pytest.fixture
def holding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Programs]:
    """Give a runner of programs whose store keeps some of them waiting."""
    held = Holding()
    with faulty.FaultyServer(always=held) as server:
        faulty.use(server, monkeypatch)
        yield Programs(tmp_path, "s3://bucket", held)
        held.released.set()
