"""This library, both ways in."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, TypedDict

from benchmarks.loops import new_event_loop

if TYPE_CHECKING:
    from benchmarks.stores import Store


class Auth(TypedDict):
    """Arguments of `set_auth`."""

    ak: str
    sk: str
    security_token: str
    server: str
    region: str
    path_style: bool
    ssl_verify: str | bool


class Aioobs:
    """This library, async."""

    def __init__(self, store: Store, concurrency: int) -> None:
        import aioobs

        self._file = aioobs.file
        self._file.set_auth(**auth(store))
        self._root, self._threads = f"s3://{store.bucket}", concurrency
        self._runner = asyncio.Runner(loop_factory=new_event_loop)
        self._client, self._bucket = store.client(), store.bucket
        self._runner.run(self._file.exists(self._root))
        self._runner.run(self._file.exists(os.curdir))  # or else an import is measured

    def up(self, folder: str, prefix: str) -> None:
        self._copy(folder, f"{self._root}/{prefix}")

    def copy(self, source: str, target: str) -> None:
        self._copy(f"{self._root}/{source}", f"{self._root}/{target}")

    def down(self, prefix: str, folder: str) -> None:
        self._copy(f"{self._root}/{prefix}", folder)

    def _copy(self, source: str, target: str) -> None:
        self._runner.run(self._file.copy_parallel(source, target, threads=self._threads))

    def list_all(self, prefix: str) -> int:
        return self._runner.run(self._list(prefix))

    async def _list(self, prefix: str) -> int:
        pages = self._client.list_pages(self._bucket, prefix)
        return sum([len(page.objects) async for page in pages])

    def load(self, key: str) -> int:
        return self._runner.run(self._load(key))

    async def _load(self, key: str) -> int:
        # The content must not be what the loop's main task returns: `Runner.run` takes the
        # representation of that, byte by byte, when it puts the handler of Ctrl-C back.
        return len(await self._file.read(f"{self._root}/{key}", binary=True))


class AioobsSync:
    """This library, blocking."""

    def __init__(self, store: Store, concurrency: int) -> None:
        from aioobs.sync import file
        from aioobs.sync.client import Client

        self._file = file
        self._file.set_auth(**auth(store))
        self._root, self._threads = f"s3://{store.bucket}", concurrency
        self._client, self._bucket = Client(store.client().config), store.bucket
        self._file.exists(self._root)
        self._file.exists(os.curdir)  # or else the import of what runs threads is measured

    def up(self, folder: str, prefix: str) -> None:
        self._file.copy_parallel(folder, f"{self._root}/{prefix}", threads=self._threads)

    def copy(self, source: str, target: str) -> None:
        self._file.copy_parallel(
            f"{self._root}/{source}", f"{self._root}/{target}", threads=self._threads
        )

    def down(self, prefix: str, folder: str) -> None:
        self._file.copy_parallel(f"{self._root}/{prefix}", folder, threads=self._threads)

    def list_all(self, prefix: str) -> int:
        return sum(len(page.objects) for page in self._client.list_pages(self._bucket, prefix))

    def load(self, key: str) -> int:
        return len(self._file.read(f"{self._root}/{key}", binary=True))

    def head(self, key: str) -> int:
        return self._file.get_size(f"{self._root}/{key}")

    get = load

    def read_range(self, key: str, start: int, size: int) -> int:
        return len(self._client.get_object(self._bucket, key, start=start, stop=start + size))


def auth(store: Store) -> Auth:
    """Return what `set_auth` takes."""
    return {
        "ak": store.access_key,
        "sk": store.secret_key,
        "security_token": store.token,
        "server": store.endpoint,
        "region": store.region,
        "path_style": True,
        "ssl_verify": store.ca_file or True,
    }
