"""What the tests of the verbs run on: both APIs, over every kind of place.

A pytest plugin: a test that asks for `root` runs for local files and for stores, one that asks
for `bucket` for stores alone.  It awaits the verbs of `mox`, whichever API they are of; one that
does not ask for `mox` runs once, with the async API.
"""

from __future__ import annotations

import secrets
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.request import Request, urlopen

import pytest
import swift_server as swift
from anyio import to_thread

import aioobs.file
from aioobs.config import Config
from aioobs.s3.client import Client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

TEST_KEY = "test-access-key"
BUCKETS = {"seaweedfs": "obs_bucket", "moto": "moto_bucket", "swift": "swift_bucket"}
"""The fixture of each server that gives a bucket."""


class Place(NamedTuple):
    """An API, and where its verbs are tried."""

    api: str
    kind: str
    server: str = ""

    def __str__(self) -> str:
        return "-".join(filter(None, self))


APIS = {"async": "s3", "sync": "obs"} if find_spec("aioobs.sync.file") else {"async": "s3"}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test at each place that it is meant for."""
    if "place" not in metafunc.fixturenames:
        return
    servers = getattr(metafunc.module, "SERVERS", ("seaweedfs",))
    if "folders_vanish" in metafunc.fixturenames:
        servers = ("moto",)
    elif "obs_server" in metafunc.fixturenames:
        servers = ("seaweedfs",)
    # Swift is slow, and what it shows in one API it shows in the other as well.
    is_long = "long" in metafunc.fixturenames or metafunc.definition.get_closest_marker("slow")
    places = []
    for api, scheme in APIS.items():
        if api != "async" and "mox" not in metafunc.fixturenames:
            continue
        if "bucket" not in metafunc.fixturenames:
            places.append(Place(api, "local"))
        if not {"bucket", "root"}.isdisjoint(metafunc.fixturenames):
            places += [
                Place(api, scheme, server)
                for server in servers
                if server != "swift" or (api == "async" and not is_long)
            ]
    found = [
        pytest.param(place, marks=[pytest.mark.slow] if place.server == "swift" else [])
        for place in places
    ]
    metafunc.parametrize("place", found, ids=str, indirect=True)


@pytest.fixture
def place(request: pytest.FixtureRequest) -> Place:
    """Give the API and the kind of place."""
    found: Place = request.param
    return found


@pytest.fixture
def mox(place: Place) -> Any:
    """Give the verbs, for `await`."""
    return aioobs.file if place.api == "async" else Blocking()


@pytest.fixture
def bucket(place: Place, request: pytest.FixtureRequest) -> str:
    """Give the URL of an empty bucket."""
    url: str = request.getfixturevalue(BUCKETS[place.server])
    return url.replace("s3://", f"{place.kind}://")


@pytest.fixture
def root(place: Place, request: pytest.FixtureRequest) -> str:
    """Give an empty folder that exists: a bucket, or a local one."""
    if place.kind != "local":
        return str(request.getfixturevalue("bucket"))
    path: Path = request.getfixturevalue("tmp_path") / "root"
    path.mkdir()
    return str(path)


@pytest.fixture
def folders_vanish() -> None:
    """Ask for a server where a folder is gone with its last key."""


@pytest.fixture
def long() -> None:
    """Ask for a server that is not as slow as Swift."""


@pytest.fixture
def moto_bucket(moto_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give the URL of an empty bucket on moto's server."""
    monkeypatch.setenv("S3_ENDPOINT", moto_server)
    monkeypatch.setenv("ACCESS_KEY_ID", TEST_KEY)
    monkeypatch.setenv("SECRET_ACCESS_KEY", TEST_KEY)
    name = f"test-{secrets.token_hex(6)}"
    urlopen(Request(f"{moto_server}/{name}", method="PUT")).close()
    return f"s3://{name}"


@pytest.fixture
async def swift_bucket(swift_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give the URL of an empty bucket on Swift."""
    monkeypatch.setenv("S3_ENDPOINT", swift_server)
    monkeypatch.setenv("ACCESS_KEY_ID", swift.KEY)
    monkeypatch.setenv("SECRET_ACCESS_KEY", swift.SECRET)
    name = f"test-{secrets.token_hex(6)}"
    async with Client(Config.from_env()) as made:
        await made.create_bucket(name)
    return f"s3://{name}"


class Blocking:
    """The blocking twin, for `await`: each call of it waits in a worker thread."""

    def __init__(self) -> None:
        self._module = import_module("aioobs.sync.file")

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._module, name)
        if name in ("scan_dir", "walk"):
            return partial(iterated, member)
        if name == "set_auth" or isinstance(member, type):
            return member
        return partial(in_thread, member)


def in_thread(function: Callable[..., Any], *args: object, **options: object) -> Awaitable[Any]:
    return to_thread.run_sync(partial(function, *args, **options))


async def iterated(
    function: Callable[..., Iterator[Any]], *args: object, **options: object
) -> AsyncIterator[Any]:
    items = iter(await in_thread(function, *args, **options))
    end = object()
    while (item := await in_thread(next, items, end)) is not end:
        yield item
