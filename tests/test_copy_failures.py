"""`copy_parallel`: what cannot be copied fails by name, and the rest is copied."""

from __future__ import annotations

import pickle
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest
from copies import bucket_of, harvest, names_of, plant
from faulty import FaultyServer, answer, forward

import aioobs.file
from aioobs.config import Config
from aioobs.errors import TransferFailed, UnsafeKey
from aioobs.s3.client import Client

if TYPE_CHECKING:
    from pathlib import Path

    from faulty import Answer, Received


pytest_plugins = ["verbs", "ends"]
SERVERS = ("seaweedfs", "swift")


# What is in the way


async def test_a_folder_in_the_way_of_a_file_fails_and_the_rest_is_copied(
    mox: Any, bucket: str, target: Path
) -> None:
    await plant(mox, f"{bucket}/src", {"a": b"x", "in_the_way": b"y", "z": b"z"})
    (target / "in_the_way").mkdir(parents=True)
    with pytest.raises(TransferFailed, match="in_the_way") as caught:
        await mox.copy_parallel(f"{bucket}/src", str(target))

    (failure,) = caught.value.failures
    assert isinstance(failure, IsADirectoryError)
    assert names_of(target) == ["a", "in_the_way", "z"]


async def test_a_file_in_the_way_of_a_folder_fails_and_the_rest_is_copied(
    mox: Any, bucket: str, target: Path
) -> None:
    files = {"a": b"x", "d/1": b"1", "d/2": b"2", "d/e/3": b"3", "z": b"z"}
    await plant(mox, f"{bucket}/src", files)
    target.mkdir()
    (target / "d").write_text("file")
    with pytest.raises(TransferFailed) as caught:
        await mox.copy_parallel(f"{bucket}/src", str(target))

    assert len(caught.value.failures) == 3
    assert all(isinstance(failure, NotADirectoryError) for failure in caught.value.failures)
    for name in ("d/1", "d/2", "d/e/3"):
        assert f"/src/{name}" in str(caught.value)
    assert (target / "d").read_text() == "file"
    assert names_of(target) == ["a", "d", "z"]


async def test_a_target_that_is_a_file_is_an_error(mox: Any, root: str, target: Path) -> None:
    await plant(mox, f"{root}/src", {"file": b"x"})
    target.write_text("stays")

    with pytest.raises(OSError, match="dst"):
        await mox.copy_parallel(f"{root}/src", str(target))
    assert target.read_text() == "stays"


@pytest.mark.parametrize("inner", ["", "/", "/below", "/below/further/"])
async def test_a_folder_is_not_copied_into_itself(mox: Any, root: str, inner: str) -> None:
    await plant(mox, f"{root}/d", {"file": b"x"})

    with pytest.raises(ValueError, match="itself"):
        await mox.copy_parallel(f"{root}/d", f"{root}/d{inner}")
    assert await mox.list_directory(root, recursive=True) == ["d", "d/file"]


async def test_a_folder_is_not_copied_into_itself_through_a_link(
    mox: Any, source: Path, tmp_path: Path
) -> None:
    (source / "file").write_text("x")
    (tmp_path / "link").symlink_to("src")

    for ends in (("link", "src/below"), ("src", "link/below"), ("src/../src", "src/below")):
        with pytest.raises(ValueError, match="itself"):
            await mox.copy_parallel(*(str(tmp_path / end) for end in ends))
    assert names_of(source) == ["file"]


async def test_both_prefixes_of_one_folder_are_one_place(mox: Any, bucket: str) -> None:
    name = bucket_of(bucket)
    await plant(mox, f"{bucket}/d", {"file": b"x"})

    with pytest.raises(ValueError, match="itself"):
        await mox.copy_parallel(f"s3://{name}/d", f"obs://{name}/d/below")


async def test_a_folder_is_copied_out_of_itself(mox: Any, root: str) -> None:
    await plant(mox, f"{root}/d", {"file": b"x", "e/file": b"y"})
    await mox.copy_parallel(f"{root}/d/e", f"{root}/d")
    await mox.copy_parallel(f"{root}/d", f"{root}/d2")

    assert await harvest(mox, f"{root}/d2") == {"file": b"y", "e/file": b"y"}


# Keys that no local folder can hold


@pytest.mark.parametrize(
    "key",
    ["../x", "a/../../x", "a/../x", "/x", "//x", "/", "a//b", "./x", "a/./b", "..", ".", "a/..",
        "a/../", "../", "nul\0byte"],
)  # fmt: skip
async def test_a_key_that_would_escape_fails_and_the_rest_is_copied(
    moto_bucket: str, tmp_path: Path, key: str
) -> None:
    mox, name = aioobs.file, bucket_of(moto_bucket)
    target = tmp_path / "one" / "two"
    async with Client(Config.from_env()) as client:
        await client.put_object(name, f"src/{key}", b"" if key.endswith("/") else b"evil")
        await client.put_object(name, "src/good", b"good")
        keys = [item.key for item in (await client.list_objects(name)).objects]
    assert f"src/{key}" in keys
    with pytest.raises(TransferFailed) as caught:
        await mox.copy_parallel(f"{moto_bucket}/src", str(target))

    (failure,) = caught.value.failures
    assert isinstance(failure, UnsafeKey)
    assert failure.filename == f"s3://{name}/src/{key}"
    assert repr(key)[1:-1] in str(caught.value)
    assert names_of(tmp_path) == ["one", "one/two", "one/two/good"]


@pytest.mark.parametrize("key", ["a//b", "../x", "/x", "a/../../x", "./x", "a/", "a/b/"])
async def test_keys_are_copied_literally_between_stores(moto_bucket: str, key: str) -> None:
    mox, name = aioobs.file, bucket_of(moto_bucket)
    async with Client(Config.from_env()) as client:
        await client.put_object(name, f"src/{key}", b"content")
        await mox.copy_parallel(f"{moto_bucket}/src", f"{moto_bucket}/dst")

        assert await client.get_object(name, f"dst/{key}") == b"content"
        keys = [item.key for item in (await client.list_objects(name)).objects]
    assert sorted(keys) == sorted([f"src/{key}", f"dst/{key}"])


async def test_a_key_with_a_slash_at_its_end_that_holds_something_is_not_lost_silently(
    moto_bucket: str, target: Path
) -> None:
    async with Client(Config.from_env()) as client:
        await client.put_object(bucket_of(moto_bucket), "src/odd/", b"content")
        await client.put_object(bucket_of(moto_bucket), "src/good", b"good")
    with pytest.raises(TransferFailed) as caught:
        await aioobs.file.copy_parallel(f"{moto_bucket}/src", str(target))

    (failure,) = caught.value.failures
    assert str(failure.filename).endswith("src/odd/")
    assert (target / "good").read_text() == "good"


@pytest.mark.parametrize("page_size", [1, 2, 1000])
@pytest.mark.usefixtures("session")
async def test_of_a_key_that_is_file_and_folder_nothing_is_written(
    moto_bucket: str, target: Path, page_size: int
) -> None:
    mox, name = aioobs.file, bucket_of(moto_bucket)
    keys = ["a", "a/b", "a/c/d", "a-b", "a.txt", "ab", "b/c", "b/c/d", "b/c.txt", "z"]
    async with Client(Config.from_env()) as client:
        for key in keys:
            await client.put_object(name, f"src/{key}", key.encode())
    mox.set_auth(list_max_keys=page_size)
    with pytest.raises(mox.MoxFileNameDuplicateException) as caught:
        await mox.copy_parallel(f"{moto_bucket}/src", str(target))

    assert isinstance(caught.value, FileExistsError)
    failed = sorted(str(failure.filename) for failure in caught.value.failures)
    clashing = ["a", "a/b", "a/c/d", "b/c", "b/c/d"]
    assert failed == [f"s3://{name}/src/{key}" for key in clashing]
    files = [str(p.relative_to(target)) for p in target.rglob("*") if p.is_file()]
    assert sorted(files) == ["a-b", "a.txt", "ab", "b/c.txt", "z"]


async def test_a_file_beside_the_marker_of_its_folder_is_a_conflict(
    moto_bucket: str, target: Path
) -> None:
    mox, name = aioobs.file, bucket_of(moto_bucket)
    async with Client(Config.from_env()) as client:
        for key in ("src/a", "src/a/", "src/b"):
            await client.put_object(name, key, b"")
    with pytest.raises(mox.MoxFileNameDuplicateException):
        await mox.copy_parallel(f"{moto_bucket}/src", str(target))
    assert names_of(target) == ["b"]


# Failures


async def test_failures_are_told_one_by_one_and_survive_a_pickle(
    mox: Any, bucket: str, target: Path
) -> None:
    files = {f"{number:02}": b"x" for number in range(40)}
    await plant(mox, f"{bucket}/src", files)
    for number in range(0, 40, 2):
        (target / f"{number:02}").mkdir(parents=True)
    with pytest.raises(TransferFailed) as caught:
        await mox.copy_parallel(f"{bucket}/src", str(target))

    for error in (caught.value, pickle.loads(pickle.dumps(caught.value))):
        assert isinstance(error, TransferFailed)
        assert len(error.failures) == 20
        assert "20 of 40" in str(error)
        assert all(isinstance(failure, IsADirectoryError) for failure in error.failures)
        for number in range(0, 40, 2):
            assert f"/{number:02}" in str(error)
    assert sum(path.is_file() for path in target.iterdir()) == 20


@pytest.mark.usefixtures("session")
async def test_a_copy_without_a_server_fails_at_once_and_not_file_by_file(
    mox: Any, bucket: str, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(50):
        (source / str(number)).write_text("x")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("S3_ENDPOINT", f"http://127.0.0.1:{taken.getsockname()[1]}")
        mox.set_auth(retry=2, retry_wait=0.01)
        begun = time.monotonic()
        with pytest.raises(ConnectionError):
            await mox.copy_parallel(str(source), f"{bucket}/dst")
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("marked", [False, True])
async def test_a_moved_folder_that_cannot_be_removed_counts_only_where_it_is(
    moto_server: str, moto_bucket: str, monkeypatch: pytest.MonkeyPatch, marked: bool
) -> None:
    pass_on = forward(moto_server)

    def step(received: Received) -> Answer:
        if b"<Key>src/</Key>" not in received.body:
            return pass_on(received)
        error = "<Error><Key>src/</Key><Code>InternalError</Code></Error>"
        return answer(200, f"<DeleteResult>{error}</DeleteResult>")

    async with Client(Config.from_env()) as client:
        await client.put_object(bucket_of(moto_bucket), "src/file", b"content")
        if marked:
            await client.put_object(bucket_of(moto_bucket), "src/", b"")
    with FaultyServer(always=step) as server:
        monkeypatch.setenv("S3_ENDPOINT", server.endpoint)
        if marked:
            with pytest.raises(TransferFailed, match="InternalError"):
                await aioobs.file.rename(f"{moto_bucket}/src", f"{moto_bucket}/dst")
        else:
            await aioobs.file.rename(f"{moto_bucket}/src", f"{moto_bucket}/dst")
        assert await aioobs.file.read(f"{moto_bucket}/dst/file", binary=True) == b"content"
        assert await aioobs.file.exists(f"{moto_bucket}/src") is marked
