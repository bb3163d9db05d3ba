"""s3fs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.stores import Store


class S3fs:
    """Its recursive calls, all of them at once and without a cache of listings."""

    def __init__(self, store: Store, concurrency: int) -> None:
        import s3fs

        self._files = s3fs.S3FileSystem(
            key=store.access_key,
            secret=store.secret_key,
            token=store.token or None,
            endpoint_url=store.endpoint,
            client_kwargs={"region_name": store.region, "verify": store.ca_file or None},
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

    def list_all(self, prefix: str) -> int:
        return len(self._files.find(f"{self._bucket}/{prefix}"))

    def load(self, key: str) -> int:
        return len(self._files.cat_file(f"{self._bucket}/{key}"))

    def head(self, key: str) -> int:
        return int(self._files.info(f"{self._bucket}/{key}", refresh=True)["size"])

    get = load

    def read_range(self, key: str, start: int, size: int) -> int:
        return len(self._files.cat_file(f"{self._bucket}/{key}", start=start, end=start + size))
