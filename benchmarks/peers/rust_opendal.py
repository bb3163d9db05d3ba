"""opendal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.files import opened, place_for, read, size_of, write
from benchmarks.loops import Work
from benchmarks.peers.parts import BIG, PART
from benchmarks.trees import files_of

if TYPE_CHECKING:
    from benchmarks.stores import Store


class Opendal:
    """Its async operator; big files through its own concurrent readers and writers."""

    def __init__(self, store: Store, concurrency: int) -> None:
        import opendal

        self._operator = opendal.AsyncOperator(
            "s3",
            bucket=store.bucket,
            endpoint=store.endpoint,
            region=store.region,
            access_key_id=store.access_key,
            secret_access_key=store.secret_key,
            **({"session_token": store.token} if store.token else {}),
            disable_config_load="true",
            disable_ec2_metadata="true",
        )
        self._blocking = self._operator.to_operator()
        self._options = {"concurrent": concurrency, "chunk": PART}
        self._work = Work(concurrency)
        self._work.run(self._listed("none/"))

    def up(self, folder: str, prefix: str) -> None:
        self._work.run(self._up(folder, prefix))

    async def _up(self, folder: str, prefix: str) -> None:
        async def put(path: str, key: str) -> None:
            if size_of(path) < BIG:
                await self._operator.write(key, read(path))
                return
            with opened(path, "rb") as file:
                async with await self._operator.open(key, "wb", **self._options) as writer:
                    while data := file.read(PART):
                        await writer.write(data)

        await self._work.gather(put(path, prefix + name) for path, name in files_of(folder))

    def copy(self, source: str, target: str) -> None:
        self._work.run(self._copy(source, target))

    async def _copy(self, source: str, target: str) -> None:
        async def one(key: str) -> None:
            await self._operator.copy(key, target + key.removeprefix(source))

        await self._work.gather(one(key) for key, _ in await self._listed(source))

    def down(self, prefix: str, folder: str) -> None:
        self._work.run(self._down(prefix, folder))

    async def _down(self, prefix: str, folder: str) -> None:
        async def get(key: str, size: int) -> None:
            path = place_for(folder, key.removeprefix(prefix))
            if size < BIG:
                write(path, await self._operator.read(key))
                return
            with opened(path, "wb") as file:
                async with await self._operator.open(key, "rb", **self._options) as reader:
                    while data := await reader.read(PART):
                        file.write(data)

        await self._work.gather(get(key, size) for key, size in await self._listed(prefix))

    async def _listed(self, prefix: str) -> list[tuple[str, int]]:
        entries = await self._operator.list(prefix, recursive=True)
        return [
            (entry.path, entry.metadata.content_length)
            async for entry in entries
            if not entry.path.endswith("/")
        ]

    def list_all(self, prefix: str) -> int:
        return sum(1 for _ in self._blocking.list(prefix))

    def load(self, key: str) -> int:
        return len(self._blocking.read(key, **self._options))

    def head(self, key: str) -> int:
        return int(self._blocking.stat(key).content_length)

    def get(self, key: str) -> int:
        return len(self._blocking.read(key))

    def read_range(self, key: str, start: int, size: int) -> int:
        return len(self._blocking.read(key, offset=start, size=size))
