"""boto3, alone and with the common runtime of AWS."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import TYPE_CHECKING, TypeVar

from benchmarks.files import place_for, size_of, write
from benchmarks.peers.parts import BIG, PART
from benchmarks.trees import files_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from s3transfer.crt import CRTTransferFuture

    from benchmarks.stores import Store

T = TypeVar("T")


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
            aws_session_token=store.token or None,
            verify=store.ca_file or None,
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

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield the keys below *prefix*."""
        return (key for key, _ in self._listed(prefix))

    def list_all(self, prefix: str) -> int:
        return sum(1 for _ in self._listed(prefix))

    def load(self, key: str) -> int:
        into = BytesIO()
        self._parts.download(self._bucket, key, into).result()
        return into.getbuffer().nbytes

    def head(self, key: str) -> int:
        return self._client.head_object(Bucket=self._bucket, Key=key)["ContentLength"]

    def get(self, key: str) -> int:
        return len(self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read())

    def read_range(self, key: str, start: int, size: int) -> int:
        wanted = f"bytes={start}-{start + size - 1}"
        answer = self._client.get_object(Bucket=self._bucket, Key=key, Range=wanted)
        return len(answer["Body"].read())


class Crt:
    """The transfer manager of boto3[crt] for files; what it lacks is boto3's."""

    def __init__(self, store: Store, concurrency: int) -> None:
        import botocore.session
        from s3transfer.crt import (
            BotocoreCRTCredentialsWrapper,
            BotocoreCRTRequestSerializer,
            CRTTransferManager,
            create_s3_crt_client,
        )

        self._plain = Boto3(store, concurrency)
        self._bucket = store.bucket
        session = botocore.session.get_session()
        session.set_credentials(store.access_key, store.secret_key, store.token or None)
        choices = {"region_name": store.region, "endpoint_url": store.endpoint}
        client = create_s3_crt_client(
            region=store.region,
            crt_credentials_provider=BotocoreCRTCredentialsWrapper(
                session.get_credentials()
            ).to_crt_credentials_provider(),
            part_size=PART,
            use_ssl=store.endpoint.startswith("https"),
            verify=store.ca_file or None,
        )
        self._files = CRTTransferManager(client, BotocoreCRTRequestSerializer(session, choices))

    def up(self, folder: str, prefix: str) -> None:
        wait_for(
            self._files.upload(path, self._bucket, prefix + name) for path, name in files_of(folder)
        )

    def down(self, prefix: str, folder: str) -> None:
        wait_for(
            self._files.download(self._bucket, key, place_for(folder, key.removeprefix(prefix)))
            for key in self._plain.keys(prefix)
        )

    def load(self, key: str) -> int:
        into = BytesIO()
        self._files.download(self._bucket, key, into).result()
        return into.getbuffer().nbytes


def wait_for(futures: Iterable[CRTTransferFuture]) -> None:
    """Return when all transfers are done."""
    for future in list(futures):
        future.result()
