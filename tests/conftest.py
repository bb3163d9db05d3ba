"""Fixtures for every test: a clean environment, asyncio, and a second kind of server."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from aioobs.testing import free_ports, isolate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def empty_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a home directory without files of credentials."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, empty_home: Path) -> None:
    """Let no store, credentials, authorities or proxy of the machine into a test."""
    isolate(monkeypatch)
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.setenv("HOME", str(empty_home))


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run async tests on asyncio."""
    return "asyncio"


@pytest.fixture(scope="session")
def moto_server() -> Iterator[str]:
    """Give the endpoint of a server with S3's own key semantics, which checks no signature.

    Judge folders on this one: SeaweedFS shows a folder for a while after its last key is gone.
    """
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as server:
        try:
            while not listens(port):
                assert server.poll() is None, "moto's server ended at its start"
                time.sleep(0.02)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True
