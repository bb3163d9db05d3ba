"""Where a benchmark runs: a local server of its own, or a store that is there.

The library is imported where it is used: every measuring process has this module, and the memory
of the other clients is their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from benchmarks.trees import Content

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    import aioobs

CREDENTIALS = (
    ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"),
    ("OBS_ACCESS_KEY_ID", "OBS_SECRET_ACCESS_KEY"),
    ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
)


@dataclass(frozen=True)
class Store:
    """A bucket, and how every client reaches it: the bucket in the path, the keys given."""

    endpoint: str
    bucket: str
    access_key: str
    secret_key: str
    region: str = "us-east-1"

    def client(self) -> aioobs.Client:
        """Return a client for what is not measured."""
        import aioobs

        return aioobs.Client(
            aioobs.Config(
                endpoint=self.endpoint,
                access_key=self.access_key,
                secret_key=self.secret_key,
                region=self.region,
                addressing="path",
            )
        )

    def content_of(self, prefix: str) -> Content:
        """Count the objects below *prefix* and their bytes; marks of folders do not count."""
        return asyncio.run(self._content_of(prefix))

    async def _content_of(self, prefix: str) -> Content:
        sizes: list[int] = []
        async with self.client() as client:
            async for page in client.list_pages(self.bucket, prefix):
                sizes += [item.size for item in page.objects if not item.key.endswith("/")]
        return Content(len(sizes), sum(sizes))

    def remove(self, prefix: str) -> None:
        """Delete every object below *prefix*."""
        asyncio.run(self._remove(prefix))

    async def _remove(self, prefix: str) -> None:
        async with self.client() as client:
            pages = [page async for page in client.list_pages(self.bucket, prefix)]
            for page in pages:
                await client.delete_objects(self.bucket, [item.key for item in page.objects])


@dataclass(frozen=True)
class Places:
    """Makes empty prefixes in a bucket, each for a `with` block, at whose end it is removed."""

    name: str
    place: Callable[[], AbstractContextManager[tuple[Store, str]]]


@contextlib.contextmanager
def local_places() -> Iterator[Places]:
    """Run a local server, on which each place is a bucket, since that frees its room at once."""
    from aioobs.testing import LocalServer, is_foreign

    with LocalServer() as server:
        for variable in filter(is_foreign, list(os.environ)):
            del os.environ[variable]
        os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
        store = Store(server.endpoint, "", server.access_key, server.secret_key)

        @contextlib.contextmanager
        def place() -> Iterator[tuple[Store, str]]:
            bucket = f"bench-{secrets.token_hex(6)}"
            server.create_bucket(bucket)
            try:
                yield replace(store, bucket=bucket), ""
            finally:
                server.delete_bucket(bucket)

        yield Places("a local SeaweedFS", place)


@contextlib.contextmanager
def places_of(endpoint: str, bucket: str) -> Iterator[Places]:
    """Use a bucket that is there, with the credentials of the environment.

    Raises:
        ValueError: it has none.
    """
    keys = [pair for pair in CREDENTIALS if all(map(os.environ.get, pair))]
    if not keys:
        raise ValueError("set ACCESS_KEY_ID and SECRET_ACCESS_KEY to use an endpoint")
    access_key, secret_key = (os.environ[name] for name in keys[0])
    region = os.environ.get("AWS_REGION") or "us-east-1"
    store = Store(endpoint, bucket, access_key, secret_key, region)

    @contextlib.contextmanager
    def place() -> Iterator[tuple[Store, str]]:
        prefix = f"bench-{secrets.token_hex(6)}/"
        try:
            yield store, prefix
        finally:
            store.remove(prefix)

    yield Places(endpoint, place)
