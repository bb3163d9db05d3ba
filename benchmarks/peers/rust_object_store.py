"""obstore."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.files import create, place_for, read, size_of, write, write_at
from benchmarks.loops import Work
from benchmarks.peers.parts import BIG, PART
from benchmarks.trees import files_of

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from benchmarks.stores import Store


class Obstore:
    """Its async calls; big files in ranges written to their places, as it has no download."""

    def __init__(self, store: Store, concurrency: int) -> None:
        import obstore

        self._obstore = obstore
        self._store = obstore.store.S3Store(
            store.bucket,
            endpoint=store.endpoint,
            region=store.region,
            access_key_id=store.access_key,
            secret_access_key=store.secret_key,
            **({"session_token": store.token} if store.token else {}),
            virtual_hosted_style_request=False,
            unsigned_payload=True,
            client_options={
                "allow_http": True,
                "timeout": "600s",
                # It takes no authority of one's own.
                "allow_invalid_certificates": bool(store.ca_file),
            },
        )
        self._concurrency = concurrency
        self._work = Work(concurrency)
        self._work.run(self._listed("none/"))

    def up(self, folder: str, prefix: str) -> None:
        self._work.run(self._up(folder, prefix))

    async def _up(self, folder: str, prefix: str) -> None:
        async def put(path: str, key: str) -> None:
            if size_of(path) < BIG:
                await self._obstore.put_async(self._store, key, read(path), use_multipart=False)
                return
            await self._obstore.put_async(
                self._store, key, Path(path), chunk_size=PART, max_concurrency=self._concurrency
            )

        await self._work.gather(put(path, prefix + name) for path, name in files_of(folder))

    def copy(self, source: str, target: str) -> None:
        self._work.run(self._copy(source, target))

    async def _copy(self, source: str, target: str) -> None:
        async def one(key: str) -> None:
            await self._obstore.copy_async(self._store, key, target + key.removeprefix(source))

        await self._work.gather(one(key) for key, _ in await self._listed(source))

    def down(self, prefix: str, folder: str) -> None:
        self._work.run(self._down(prefix, folder))

    async def _down(self, prefix: str, folder: str) -> None:
        async def get(key: str, path: str) -> None:
            answer = await self._obstore.get_async(self._store, key)
            write(path, await answer.bytes_async())

        async def get_part(key: str, path: str, start: int, size: int) -> None:
            data = await self._obstore.get_range_async(self._store, key, start=start, length=size)
            write_at(path, data, start)

        jobs: list[Coroutine[None, None, None]] = []
        for key, size in await self._listed(prefix):
            path = place_for(folder, key.removeprefix(prefix))
            if size < BIG:
                jobs.append(get(key, path))
                continue
            create(path, size)
            jobs += [
                get_part(key, path, start, min(PART, size - start))
                for start in range(0, size, PART)
            ]
        await self._work.gather(jobs)

    async def _listed(self, prefix: str) -> list[tuple[str, int]]:
        return [
            (item["path"], item["size"])
            async for page in self._obstore.list(self._store, prefix, chunk_size=1000)
            for item in page
        ]

    def list_all(self, prefix: str) -> int:
        return sum(len(page) for page in self._obstore.list(self._store, prefix, chunk_size=1000))

    def load(self, key: str) -> int:
        return self._work.run(self._load(key))

    async def _load(self, key: str) -> int:
        size = (await self._obstore.head_async(self._store, key))["size"]
        whole = bytearray(size)

        async def get_part(start: int) -> None:
            length = min(PART, size - start)
            data = await self._obstore.get_range_async(self._store, key, start=start, length=length)
            whole[start : start + length] = data

        await self._work.gather(get_part(start) for start in range(0, size, PART))
        return len(whole)

    def head(self, key: str) -> int:
        return int(self._obstore.head(self._store, key)["size"])

    def get(self, key: str) -> int:
        return len(self._obstore.get(self._store, key).bytes())

    def read_range(self, key: str, start: int, size: int) -> int:
        return len(self._obstore.get_range(self._store, key, start=start, length=size))
