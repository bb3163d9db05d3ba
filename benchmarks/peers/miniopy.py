"""miniopy-async."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from benchmarks.files import place_for, read, size_of, write
from benchmarks.loops import Work
from benchmarks.peers.parts import BIG, PART
from benchmarks.trees import files_of

if TYPE_CHECKING:
    from benchmarks.stores import Store


class Miniopy:
    """Its calls for objects for small files, those for files for big ones."""

    def __init__(self, store: Store, concurrency: int) -> None:
        from miniopy_async import Minio

        scheme, _, place = store.endpoint.partition("://")
        self._client = Minio(
            place,
            access_key=store.access_key,
            secret_key=store.secret_key,
            session_token=store.token or None,
            secure=scheme == "https",
            region=store.region,
        )
        self._bucket, self._concurrency = store.bucket, concurrency
        self._work = Work(concurrency)
        self._work.run(self._listed("none/"))

    def up(self, folder: str, prefix: str) -> None:
        self._work.run(self._up(folder, prefix))

    async def _up(self, folder: str, prefix: str) -> None:
        async def put(path: str, key: str) -> None:
            if size_of(path) >= BIG:
                await self._client.fput_object(
                    self._bucket,
                    key,
                    path,
                    part_size=PART,
                    num_parallel_uploads=self._concurrency,
                )
                return
            data = read(path)
            await self._client.put_object(self._bucket, key, io.BytesIO(data), len(data))

        await self._work.gather(put(path, prefix + name) for path, name in files_of(folder))

    def down(self, prefix: str, folder: str) -> None:
        self._work.run(self._down(prefix, folder))

    async def _down(self, prefix: str, folder: str) -> None:
        async def get(key: str, size: int) -> None:
            path = place_for(folder, key.removeprefix(prefix))
            if size >= BIG:
                await self._client.fget_object(self._bucket, key, path)
                return
            answer = await self._client.get_object(self._bucket, key)
            write(path, await answer.read())
            answer.release()

        await self._work.gather(get(key, size) for key, size in await self._listed(prefix))

    def list_all(self, prefix: str) -> int:
        return len(self._work.run(self._listed(prefix)))

    async def _listed(self, prefix: str) -> list[tuple[str, int]]:
        found = self._client.list_objects(self._bucket, prefix=prefix, recursive=True)
        return [(item.object_name, item.size) async for item in found]
