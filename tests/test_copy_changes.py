"""`copy_parallel`: sources that are replaced, written to or removed while they are copied."""

from __future__ import annotations

import os
import shutil
import threading
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config as BotoConfig
from copies import MIB, bucket_of, digest, failures_of, harvest, names_of, noise, plant, uploads

from aioobs.errors import SourceError, TransferFailed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

    from aioobs.file import Progress
    from aioobs.s3.client import Client

pytest_plugins = ["verbs", "ends"]
SERVERS = ("seaweedfs", "swift")


class Replacing:
    """A callback that does something once, at the first report of a copy."""

    def __init__(self, action: Callable[[], object]) -> None:
        self.action = action
        self.done = False

    def __call__(self, _: Progress) -> None:
        """Take a report."""
        if not self.done:
            self.done = True
            self.action()


@pytest.fixture
def store() -> S3Client:
    """Give a blocking client, for callbacks."""
    return boto3.client(
        "s3",
        endpoint_url=os.environ["S3_ENDPOINT"],
        aws_access_key_id=os.environ["ACCESS_KEY_ID"],
        aws_secret_access_key=os.environ["SECRET_ACCESS_KEY"],
        region_name="us-east-1",
        config=BotoConfig(request_checksum_calculation="when_required"),
    )


@pytest.fixture
def put(bucket: str, store: S3Client) -> Callable[[str, bytes], object]:
    """Give a blocking way to write an object."""
    name = bucket_of(bucket)
    return lambda key, data: store.put_object(Bucket=name, Key=key, Body=data)


async def test_an_object_that_is_replaced_while_it_is_read_is_never_mixed(
    mox: Any, bucket: str, target: Path, put: Callable[[str, bytes], object]
) -> None:
    old, new = noise(24 * MIB, 1), noise(24 * MIB, 2)
    await mox.write(f"{bucket}/src/file", old)
    change = Replacing(lambda: put("src/file", new))
    await mox.copy_parallel(f"{bucket}/src", str(target), threads=0, progress=change)

    assert change.done
    assert digest((target / "file").read_bytes()) == digest(new)
    assert names_of(target) == ["file"]


async def test_an_object_that_shrinks_while_it_is_read_has_its_new_length(
    mox: Any, bucket: str, target: Path, put: Callable[[str, bytes], object]
) -> None:
    await mox.write(f"{bucket}/src/file", noise(24 * MIB, 1))
    change = Replacing(lambda: put("src/file", b"short"))
    await mox.copy_parallel(f"{bucket}/src", str(target), threads=0, progress=change)

    assert (target / "file").read_bytes() == b"short"


async def test_an_object_that_is_replaced_while_it_waits_comes_in_its_new_version(
    mox: Any, bucket: str, target: Path, put: Callable[[str, bytes], object]
) -> None:
    files = {"1": noise(2 * MIB, 1), "2": b"two", "3": noise(2 * MIB, 3)}
    await plant(mox, f"{bucket}/src", files)
    change = Replacing(lambda: (put("src/2", b"changed"), put("src/3", b"changed as well")))
    await mox.copy_parallel(f"{bucket}/src", str(target), threads=0, progress=change)

    assert change.done
    assert (target / "2").read_bytes() == b"changed"
    assert (target / "3").read_bytes() == b"changed as well"


async def test_an_object_that_is_replaced_is_copied_in_its_new_version_within_the_store(
    mox: Any, bucket: str, put: Callable[[str, bytes], object]
) -> None:
    await plant(mox, f"{bucket}/src", {"1": noise(2 * MIB, 1), "2": b"two", "3": noise(2 * MIB, 3)})
    change = Replacing(lambda: (put("src/2", b"changed"), put("src/3", b"changed as well")))
    await mox.copy_parallel(f"{bucket}/src", f"{bucket}/dst", threads=0, progress=change)

    assert change.done
    assert await mox.read(f"{bucket}/dst/2") == "changed"
    assert await mox.read(f"{bucket}/dst/3") == "changed as well"


async def test_a_file_that_is_written_to_while_it_is_sent_is_not_published(
    mox: Any, bucket: str, source: Path, client: Client
) -> None:
    (source / "big").write_bytes(noise(24 * MIB))
    (source / "z").write_text("z")

    def add() -> None:
        with (source / "big").open("ab") as file:
            file.write(b"more")

    with pytest.raises(TransferFailed) as caught:
        await mox.copy_parallel(
            str(source), f"{bucket}/dst", ["big", "z"], threads=0, progress=Replacing(add)
        )

    (failure,) = caught.value.failures
    assert isinstance(failure, SourceError)
    assert "big" in str(failure.filename)
    assert await harvest(mox, f"{bucket}/dst") == {"z": b"z"}
    assert await uploads(client, bucket) == []


async def test_a_file_that_shrinks_while_it_is_sent_is_not_published(
    mox: Any, bucket: str, source: Path, client: Client
) -> None:
    (source / "big").write_bytes(noise(24 * MIB))
    change = Replacing(lambda: os.truncate(source / "big", MIB))
    with pytest.raises(TransferFailed) as caught:
        await mox.copy_parallel(str(source), f"{bucket}/dst", threads=0, progress=change)

    (failure,) = caught.value.failures
    assert isinstance(failure, SourceError)
    assert failure.filename == str(source / "big")
    assert "the file changed while it was being sent" in str(failure)
    assert await mox.exists(f"{bucket}/dst/big") is False
    assert await uploads(client, bucket) == []


@pytest.mark.parametrize(
    ("size", "local"),
    [(12 * MIB, False), (24 * MIB, False), (24 * MIB, True)],
    ids=["one request", "parts", "local"],
)
async def test_a_file_that_is_written_to_all_the_time_is_not_published(
    mox: Any, bucket: str, source: Path, size: int, local: bool
) -> None:
    path, target = source / "file", f"{source}-copy" if local else f"{bucket}/dst"
    path.write_bytes(noise(size))
    begun, ended = threading.Event(), threading.Event()

    def scribble() -> None:
        with path.open("r+b", buffering=0) as file:
            while not ended.is_set():
                os.pwrite(file.fileno(), os.urandom(16), 6 * MIB)
                begun.set()

    writer = threading.Thread(target=scribble)

    async def copy() -> None:
        for _ in range(20):  # it may be so quick that nothing was written meanwhile
            await mox.copy_parallel(str(source), target)
            await mox.remove(f"{target}/file")

    writer.start()
    begun.wait()
    try:
        with pytest.raises(TransferFailed) as caught:
            await copy()
    finally:
        ended.set()
        writer.join()
    (failure,) = caught.value.failures
    assert isinstance(failure, SourceError)
    assert await mox.exists(f"{target}/file") is False


async def test_files_that_vanish_while_they_wait_fail_one_by_one(
    mox: Any, bucket: str, source: Path
) -> None:
    for name in ("1", "2", "3"):
        (source / name).write_bytes(noise(2 * MIB))
    change = Replacing(lambda: shutil.rmtree(source))  # when one of them has been copied
    with pytest.raises(TransferFailed) as caught:
        await mox.copy_parallel(str(source), f"{bucket}/dst", threads=0, progress=change)

    failures = failures_of(caught.value)
    assert all(isinstance(failure, FileNotFoundError) for failure in failures.values())
    copied = await mox.list_directory(f"{bucket}/dst")
    assert len(copied) == 1
    assert sorted([*failures, *copied]) == ["1", "2", "3"]


async def test_a_folder_that_becomes_a_file_while_a_copy_is_under_way_is_named_with_its_file(
    mox: Any, bucket: str, target: Path
) -> None:
    def change() -> None:
        shutil.rmtree(target)
        target.write_bytes(b"in the way")

    await mox.write(f"{bucket}/src/big", noise(24 * MIB))
    with pytest.raises(TransferFailed) as caught:
        await mox.copy_parallel(f"{bucket}/src", str(target), threads=0, progress=Replacing(change))

    (failure,) = caught.value.failures
    assert isinstance(failure, NotADirectoryError)
    assert failure.filename == str(target / "big")
    assert target.read_bytes() == b"in the way"


@pytest.mark.usefixtures("long")
async def test_an_object_that_vanishes_while_it_waits_fails_and_the_rest_is_copied(
    mox: Any, bucket: str, store: S3Client, target: Path
) -> None:
    await plant(mox, f"{bucket}/src", {f"{number:03}": b"x" for number in range(300)})
    change = Replacing(lambda: store.delete_object(Bucket=bucket_of(bucket), Key="src/299"))
    with pytest.raises(TransferFailed) as caught:
        await mox.copy_parallel(f"{bucket}/src", str(target), threads=0, progress=change)

    (failure,) = caught.value.failures
    assert isinstance(failure, FileNotFoundError)
    assert str(failure.filename).endswith("299")
    assert len(names_of(target)) == 299


async def test_a_download_that_begins_again_does_not_count_more_than_there_is(
    mox: Any, bucket: str, target: Path, put: Callable[[str, bytes], object]
) -> None:
    await mox.write(f"{bucket}/src/file", noise(24 * MIB, 1))
    reports: list[Progress] = []
    change = Replacing(lambda: put("src/file", noise(24 * MIB, 2)))

    def report(progress: Progress) -> None:
        reports.append(progress)
        change(progress)

    await mox.copy_parallel(f"{bucket}/src", str(target), threads=0, progress=report)

    assert all(one.bytes <= one.bytes_total for one in reports)
    assert reports[-1].bytes == 24 * MIB
