"""The clients that are libraries, aioobs the first of them.

Each is imported where it is used, as not all of them have to be there.
"""

from __future__ import annotations

import io
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from matrix.peers import PART, SECONDS, TRIES

if TYPE_CHECKING:
    from matrix.peers import Reach

__all__ = ["Aioobs", "Boto3", "Obstore", "Opendal", "S3fs"]


class Aioobs:
    """The verbs of aioobs.sync, and its client for a piece."""

    def __init__(self, reach: Reach) -> None:
        import aioobs.sync
        from aioobs.session import session

        session.set(
            {
                "endpoint": reach.endpoint,
                "access_key": reach.access_key,
                "secret_key": reach.secret_key,
                "idle_timeout": SECONDS,
                "attempts": TRIES,
                "multipart_threshold": PART,
                "part_size": PART,
            }
        )
        self._file, self._client = aioobs.sync.file, aioobs.sync.current_client()
        self._bucket, self._root = reach.bucket, f"s3://{reach.bucket}/"

    def get(self, key: str) -> bytes:
        return self._file.read(self._root + key, binary=True)

    get_big = get

    def get_range(self, key: str, start: int, size: int) -> bytes:
        return self._client.get_object(self._bucket, key, start=start, stop=start + size)

    def put(self, key: str, data: bytes) -> None:
        self._file.write(self._root + key, data)

    put_big = put

    def head(self, key: str) -> int:
        return self._file.stat(self._root + key).length

    def list_all(self, prefix: str) -> list[str]:
        pages = self._client.list_pages(self._bucket, prefix)
        return [item.key for page in pages for item in page.objects]

    def delete(self, key: str) -> None:
        self._file.remove(self._root + key)

    def copy(self, source: str, target: str) -> None:
        self._file.copy(self._root + source, self._root + target)

    def download(self, key: str, path: str) -> None:
        self._file.copy(self._root + key, path)

    def upload(self, path: str, key: str) -> None:
        self._file.copy(path, self._root + key)


class Boto3:
    """Its client for small objects, its transfer manager for big ones and for files."""

    def __init__(self, reach: Reach) -> None:
        import boto3
        from boto3.s3.transfer import TransferConfig
        from botocore.config import Config

        self._client = boto3.client(
            "s3",
            endpoint_url=reach.endpoint,
            region_name=reach.region,
            aws_access_key_id=reach.access_key,
            aws_secret_access_key=reach.secret_key,
            config=Config(
                connect_timeout=SECONDS,
                read_timeout=SECONDS,
                retries={"total_max_attempts": TRIES, "mode": "standard"},
            ),
        )
        self._parts = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART)
        self._bucket = reach.bucket

    def get(self, key: str) -> bytes:
        return self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()

    def get_big(self, key: str) -> bytes:
        into = io.BytesIO()
        self._client.download_fileobj(self._bucket, key, into, Config=self._parts)
        return into.getvalue()

    def get_range(self, key: str, start: int, size: int) -> bytes:
        wanted = f"bytes={start}-{start + size - 1}"
        return self._client.get_object(Bucket=self._bucket, Key=key, Range=wanted)["Body"].read()

    def put(self, key: str, data: bytes) -> None:
        self._client.put_object(Bucket=self._bucket, Key=key, Body=data)

    def put_big(self, key: str, data: bytes) -> None:
        self._client.upload_fileobj(io.BytesIO(data), self._bucket, key, Config=self._parts)

    def head(self, key: str) -> int:
        return self._client.head_object(Bucket=self._bucket, Key=key)["ContentLength"]

    def list_all(self, prefix: str) -> list[str]:
        paginator = self._client.get_paginator("list_objects_v2")
        pages = paginator.paginate(Bucket=self._bucket, Prefix=prefix)
        return [item["Key"] for page in pages for item in page.get("Contents", ())]

    def delete(self, key: str) -> None:
        self._client.delete_object(Bucket=self._bucket, Key=key)

    def copy(self, source: str, target: str) -> None:
        where = {"Bucket": self._bucket, "Key": source}
        self._client.copy_object(Bucket=self._bucket, Key=target, CopySource=where)  # type: ignore[arg-type]

    def download(self, key: str, path: str) -> None:
        self._client.download_file(self._bucket, key, path, Config=self._parts)

    def upload(self, path: str, key: str) -> None:
        self._client.upload_file(path, self._bucket, key, Config=self._parts)


class S3fs:
    """Its calls for one file, without a cache of listings."""

    def __init__(self, reach: Reach) -> None:
        import s3fs

        self._files = s3fs.S3FileSystem(
            key=reach.access_key,
            secret=reach.secret_key,
            endpoint_url=reach.endpoint,
            client_kwargs={"region_name": reach.region},
            # botocore's attempts are within its own, of which it makes five.
            config_kwargs={
                "connect_timeout": SECONDS,
                "read_timeout": SECONDS,
                "retries": {"total_max_attempts": 2, "mode": "standard"},
            },
            default_block_size=PART,
            use_listings_cache=False,
        )
        self._files.retries = TRIES - 1
        self._root = f"{reach.bucket}/"

    def get(self, key: str) -> bytes:
        return bytes(self._files.cat_file(self._root + key))

    get_big = get

    def get_range(self, key: str, start: int, size: int) -> bytes:
        return bytes(self._files.cat_file(self._root + key, start=start, end=start + size))

    def put(self, key: str, data: bytes) -> None:
        self._files.pipe_file(self._root + key, data)

    def put_big(self, key: str, data: bytes) -> None:
        self._files.pipe_file(self._root + key, data, chunksize=PART)

    def head(self, key: str) -> int:
        return int(self._files.info(self._root + key)["size"])

    def list_all(self, prefix: str) -> list[str]:
        return [path.removeprefix(self._root) for path in self._files.find(self._root + prefix)]

    def delete(self, key: str) -> None:
        self._files.rm_file(self._root + key)

    def copy(self, source: str, target: str) -> None:
        self._files.cp_file(self._root + source, self._root + target)

    def download(self, key: str, path: str) -> None:
        self._files.get_file(self._root + key, path)

    def upload(self, path: str, key: str) -> None:
        self._files.put_file(path, self._root + key, chunksize=PART)


class Obstore:
    """Its calls; it has none that downloads to a file."""

    def __init__(self, reach: Reach) -> None:
        import obstore
        from obstore.store import S3Store

        self._obstore = obstore
        self._store = S3Store(
            reach.bucket,
            endpoint=reach.endpoint,
            region=reach.region,
            access_key_id=reach.access_key,
            secret_access_key=reach.secret_key,
            virtual_hosted_style_request=False,
            client_options={
                "allow_http": True,
                "connect_timeout": timedelta(seconds=SECONDS),
                "read_timeout": timedelta(seconds=SECONDS),
            },
            retry_config={
                "max_retries": TRIES - 1,
                "backoff": {"max_backoff": timedelta(seconds=SECONDS)},
            },
        )

    def get(self, key: str) -> bytes:
        return bytes(self._obstore.get(self._store, key).bytes())

    get_big = get

    def get_range(self, key: str, start: int, size: int) -> bytes:
        return bytes(self._obstore.get_range(self._store, key, start=start, length=size))

    def put(self, key: str, data: bytes) -> None:
        self._obstore.put(self._store, key, data)

    put_big = put

    def head(self, key: str) -> int:
        return int(self._obstore.head(self._store, key)["size"])

    def list_all(self, prefix: str) -> list[str]:
        return [item["path"] for page in self._obstore.list(self._store, prefix) for item in page]

    def delete(self, key: str) -> None:
        self._obstore.delete(self._store, key)

    def copy(self, source: str, target: str) -> None:
        self._obstore.copy(self._store, source, target)

    def upload(self, path: str, key: str) -> None:
        self._obstore.put(self._store, key, Path(path))


class Opendal:
    """Its operator, with the layers that it has against what hangs and what fails; no files."""

    def __init__(self, reach: Reach) -> None:
        import opendal
        from opendal.layers import RetryLayer, TimeoutLayer

        operator = opendal.Operator(
            "s3",
            bucket=reach.bucket,
            endpoint=reach.endpoint,
            region=reach.region,
            access_key_id=reach.access_key,
            secret_access_key=reach.secret_key,
            disable_config_load="true",
            disable_ec2_metadata="true",
        )
        timeout = TimeoutLayer(timeout=SECONDS, io_timeout=SECONDS)
        retry = RetryLayer(max_times=TRIES - 1, min_delay=0.1, max_delay=SECONDS)
        self._operator = operator.layer(timeout).layer(retry)

    def get(self, key: str) -> bytes:
        return bytes(self._operator.read(key))

    def get_big(self, key: str) -> bytes:
        return bytes(self._operator.read(key, concurrent=4, chunk=PART))

    def get_range(self, key: str, start: int, size: int) -> bytes:
        return bytes(self._operator.read(key, offset=start, size=size))

    def put(self, key: str, data: bytes) -> None:
        self._operator.write(key, data)

    def put_big(self, key: str, data: bytes) -> None:
        self._operator.write(key, data, concurrent=4, chunk=PART)

    def head(self, key: str) -> int:
        return int(self._operator.stat(key).content_length)

    def list_all(self, prefix: str) -> list[str]:
        found = self._operator.list(prefix, recursive=True)
        return [entry.path for entry in found if not entry.path.endswith("/")]

    def delete(self, key: str) -> None:
        self._operator.delete(key)

    def copy(self, source: str, target: str) -> None:
        self._operator.copy(source, target)
