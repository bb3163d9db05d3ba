"""The clients that are compared, each one used as somebody would who knows it well.

A client is a class.  Made with a `Store` and a number of requests at a time, it sets itself up
and makes one request; `up`, `copy` and `down` then move a tree and return when all of it is
there.  A prefix ends with a slash.  What a client cannot do, its class does not have.

Checksums that no other client computes are switched off where that can be done.  Each client is
imported where it is used, so that the memory of one is not another's.
"""

from __future__ import annotations

import asyncio
import importlib.util
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypedDict, TypeVar

from benchmarks.files import create, opened, place_for, read, size_of, write, write_at
from benchmarks.loops import Work, new_event_loop
from benchmarks.programs import Rclone, S5cmd, find_program, version_of
from benchmarks.trees import MIB, files_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Iterator

    from benchmarks.stores import Store

T = TypeVar("T")

PART = 8 * MIB
BIG = 2 * PART  # from this size on, an expert moves a file in parts


class Auth(TypedDict):
    """Arguments of `set_auth`."""

    ak: str
    sk: str
    server: str
    region: str
    path_style: bool


class Peer(Protocol):
    """A client that is set up."""

    def __init__(self, store: Store, concurrency: int) -> None: ...


class Aioobs:
    """This library, async."""

    def __init__(self, store: Store, concurrency: int) -> None:
        import aioobs

        self._file = aioobs.file
        self._file.set_auth(**auth(store))
        self._root, self._threads = f"s3://{store.bucket}", concurrency
        self._runner = asyncio.Runner(loop_factory=new_event_loop)
        self._runner.run(self._file.exists(self._root))

    def up(self, folder: str, prefix: str) -> None:
        self._copy(folder, f"{self._root}/{prefix}")

    def copy(self, source: str, target: str) -> None:
        self._copy(f"{self._root}/{source}", f"{self._root}/{target}")

    def down(self, prefix: str, folder: str) -> None:
        self._copy(f"{self._root}/{prefix}", folder)

    def _copy(self, source: str, target: str) -> None:
        self._runner.run(self._file.copy_parallel(source, target, threads=self._threads))


class AioobsSync:
    """This library, blocking."""

    def __init__(self, store: Store, concurrency: int) -> None:
        from aioobs.sync import file

        self._file = file
        self._file.set_auth(**auth(store))
        self._root, self._threads = f"s3://{store.bucket}", concurrency
        self._file.exists(self._root)

    def up(self, folder: str, prefix: str) -> None:
        self._file.copy_parallel(folder, f"{self._root}/{prefix}", threads=self._threads)

    def copy(self, source: str, target: str) -> None:
        self._file.copy_parallel(
            f"{self._root}/{source}", f"{self._root}/{target}", threads=self._threads
        )

    def down(self, prefix: str, folder: str) -> None:
        self._file.copy_parallel(f"{self._root}/{prefix}", folder, threads=self._threads)


class Boto3:
    """Plain requests in threads for small files, the transfer manager for big ones."""

    def __init__(self, store: Store, concurrency: int) -> None:
        import boto3
        from boto3.s3.transfer import TransferConfig, create_transfer_manager
        from botocore.config import Config

        config = Config(
            max_pool_connections=concurrency,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": "path"},
        )
        self._client = boto3.client(
            "s3",
            endpoint_url=store.endpoint,
            region_name=store.region,
            aws_access_key_id=store.access_key,
            aws_secret_access_key=store.secret_key,
            config=config,
        )
        self._bucket = store.bucket
        self._parts = create_transfer_manager(
            self._client, TransferConfig(max_concurrency=concurrency, multipart_chunksize=PART)
        )
        self._pool = ThreadPoolExecutor(concurrency)
        self._client.head_bucket(Bucket=store.bucket)

    def up(self, folder: str, prefix: str) -> None:
        self._do(lambda found: self._put(found[0], prefix + found[1]), files_of(folder))

    def _put(self, path: str, key: str) -> None:
        if size_of(path) >= BIG:
            self._parts.upload(path, self._bucket, key).result()
            return
        with open(path, "rb") as file:
            self._client.put_object(Bucket=self._bucket, Key=key, Body=file)

    def copy(self, source: str, target: str) -> None:
        def one(found: tuple[str, int]) -> None:
            key = target + found[0].removeprefix(source)
            self._client.copy_object(
                Bucket=self._bucket,
                Key=key,
                CopySource={"Bucket": self._bucket, "Key": found[0]},
            )

        self._do(one, self._listed(source))

    def down(self, prefix: str, folder: str) -> None:
        def one(found: tuple[str, int]) -> None:
            path = place_for(folder, found[0].removeprefix(prefix))
            if found[1] >= BIG:
                self._parts.download(self._bucket, found[0], path).result()
                return
            data = self._client.get_object(Bucket=self._bucket, Key=found[0])["Body"].read()
            write(path, data)

        self._do(one, self._listed(prefix))

    def _listed(self, prefix: str) -> Iterator[tuple[str, int]]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=prefix
        )
        for page in pages:
            for item in page.get("Contents", ()):
                yield item["Key"], item["Size"]

    def _do(self, one: Callable[[tuple[str, T]], None], found: Iterable[tuple[str, T]]) -> None:
        for future in [self._pool.submit(one, item) for item in found]:
            future.result()


class S3fs:
    """Its recursive calls, all of them at once and without a cache of listings."""

    def __init__(self, store: Store, concurrency: int) -> None:
        import s3fs

        self._files = s3fs.S3FileSystem(
            key=store.access_key,
            secret=store.secret_key,
            endpoint_url=store.endpoint,
            client_kwargs={"region_name": store.region},
            config_kwargs={
                "max_pool_connections": concurrency,
                "request_checksum_calculation": "when_required",
                "response_checksum_validation": "when_required",
                "s3": {"addressing_style": "path"},
            },
            max_concurrency=concurrency,
            use_listings_cache=False,
            skip_instance_cache=True,
        )
        self._bucket, self._options = store.bucket, {"recursive": True, "batch_size": concurrency}
        self._files.exists(f"{store.bucket}/none")

    def up(self, folder: str, prefix: str) -> None:
        self._files.put(f"{folder}/", f"{self._bucket}/{prefix}", **self._options)

    def copy(self, source: str, target: str) -> None:
        self._files.copy(f"{self._bucket}/{source}", f"{self._bucket}/{target}", **self._options)

    def down(self, prefix: str, folder: str) -> None:
        self._files.get(f"{self._bucket}/{prefix}", f"{folder}/", **self._options)


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
            virtual_hosted_style_request=False,
            unsigned_payload=True,
            client_options={"allow_http": True, "timeout": "600s"},
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
            disable_config_load="true",
            disable_ec2_metadata="true",
        )
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


PEERS: dict[str, type[Peer]] = {
    "aioobs.sync": AioobsSync,
    "aioobs": Aioobs,
    "obstore": Obstore,
    "opendal": Opendal,
    "s5cmd": S5cmd,
    "rclone": Rclone,
    "s3fs": S3fs,
    "boto3": Boto3,
}
MODULES = ("obstore", "opendal", "s3fs", "boto3")
PROGRAMS = ("s5cmd", "rclone")


def installed() -> dict[str, str]:
    """Return the versions of the clients that are there, in the order of `PEERS`."""
    import aioobs

    versions = dict.fromkeys(("aioobs.sync", "aioobs"), aioobs.__version__)
    for name in MODULES:
        if importlib.util.find_spec(name):
            versions[name] = metadata.version(name)
    for name in PROGRAMS:
        if program := find_program(name):
            versions[name] = version_of(program)
    return {name: versions[name] for name in PEERS if name in versions}


def auth(store: Store) -> Auth:
    """Return what `set_auth` of this library takes."""
    return {
        "ak": store.access_key,
        "sk": store.secret_key,
        "server": store.endpoint,
        "region": store.region,
        "path_style": True,
    }
