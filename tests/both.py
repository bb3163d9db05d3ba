"""Files of both APIs, for the same tests: each call of the blocking one runs in a worker thread.

A pytest plugin, to be used with `verbs`: a test that asks for `opened` runs for both APIs.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import pytest
from anyio import to_thread
from faulty import FaultyServer, forward

import aioobs.sync.file
from aioobs.file import File

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from verbs import Place

    from aioobs.s3.client import Client

WRITES = {"PUT", "POST", "DELETE"}


class InThread:
    """A blocking file, for `async with` and `await`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._open = partial(aioobs.sync.file.File, *arguments, **options)
        self.file: Any = None

    async def __aenter__(self) -> Self:
        self.file = await to_thread.run_sync(self._open)
        return self

    async def __aexit__(self, *exception: Any) -> None:
        await to_thread.run_sync(self.file.__exit__, *exception)

    async def aclose(self) -> None:
        """Close it."""
        await to_thread.run_sync(self.file.close)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.file, name)

        async def call(*arguments: Any) -> Any:
            return await to_thread.run_sync(partial(method, *arguments))

        return call


@pytest.fixture
def opened(mox: Any, place: Place) -> Callable[..., Any]:
    """Give what opens a file."""
    return File if place.api == "async" else InThread


class Recorder(FaultyServer):
    """A proxy in front of a store, which keeps all requests."""

    @property
    def written(self) -> int:
        """The number of requests that change something."""
        return sum(request.method in WRITES for request in self.requests)

    @property
    def sent(self) -> int:
        """The number of bytes that came with requests."""
        return sum(len(request.body) for request in self.requests)


@pytest.fixture
def recorder(bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    """Give a proxy in front of the store of the bucket, and send all requests through it."""
    with Recorder(always=forward(os.environ["S3_ENDPOINT"])) as server:
        monkeypatch.setenv("S3_ENDPOINT", server.endpoint)
        yield server


@pytest.fixture
def uploads(client: Client, bucket: str) -> Callable[[], Awaitable[list[str]]]:
    """Give what lists the keys of the uploads that have not ended."""

    async def listed() -> list[str]:
        name = bucket.partition("://")[2]
        return [upload.key async for upload in client.list_multipart_uploads(name)]

    return listed
