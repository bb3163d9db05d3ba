"""fast-s3."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.files import place_for, write
from benchmarks.trees import files_of

if TYPE_CHECKING:
    from benchmarks.stores import Store


class FastS3:
    """Its uploader and fetcher; as it has no listing, this library's tells it the keys."""

    def __init__(self, store: Store, concurrency: int) -> None:
        from fast_s3 import Fetcher, Status, Uploader

        self._store, self._fetcher, self._uploader = store, Fetcher, Uploader
        self._good = Status.succeeded
        self._options = {
            "endpoint_url": store.endpoint,
            "aws_access_key_id": store.access_key,
            "aws_secret_access_key": store.secret_key,
            "region_name": store.region,
            "bucket_name": store.bucket,
            "addressing_style": "path",
            "verify_ssl": not store.ca_file,
            "concurrency": concurrency,
        }

    def up(self, folder: str, prefix: str) -> None:
        found = list(files_of(folder))
        with self._uploader(**self._options) as uploader:
            uploader.queue_upload(
                source=[path for path, _ in found],
                destination=[prefix + name for _, name in found],
            )
            check([result.status != "error" for result in uploader.await_upload()])

    def down(self, prefix: str, folder: str) -> None:
        keys = self._store.keys(prefix)
        fetched = self._fetcher(paths=keys, ordered=False, hedge=False, **self._options)
        for file in fetched:
            check([file.status == self._good])
            write(place_for(folder, str(file.path).removeprefix(prefix)), file.content)


def check(done: list[bool]) -> None:
    """Raise if not everything is done.

    Raises:
        RuntimeError: it is not.
    """
    if not all(done):
        raise RuntimeError(f"{done.count(False):,} of {len(done):,} files failed")
