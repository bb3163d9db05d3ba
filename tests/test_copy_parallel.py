"""`copy_parallel`: trees in all four directions, what fails, and what must never be left over."""

from __future__ import annotations

import os
import pickle
import random
import shutil
import socket
import threading
import time
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config as BotoConfig
from faulty import Answer, FaultyServer, Received, answer

import aioobs.file
from aioobs.config import Config
from aioobs.errors import SourceError, TransferFailed, UnsafeKey
from aioobs.s3.client import Client
from aioobs.transfer import engine
from aioobs.url import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

    from aioobs.file import Progress

pytest_plugins = ["verbs"]
SERVERS = ("seaweedfs", "swift")

MIB = 1 << 20
DIRECTIONS = ["local-local", "local-remote", "remote-local", "remote-remote"]
FILES = {
    "a.txt": b"a",
    "empty file": b"",
    "one/two/three.txt": b"three",
    "one/two.txt": b"two",
    "one.txt": b"one",
    "one+é你好😀/a b%20#?&.txt": "ünïcode".encode(),
    ".hidden/.file": b"hidden",
    "medium": b"m" * (2 * MIB + 1),
}
FOLDERS = ("nothing", "one/nothing/here")


@pytest.fixture(params=DIRECTIONS)
def ends(request: pytest.FixtureRequest, bucket: str, tmp_path: Path) -> tuple[str, str]:
    """Give a source and a target folder for each direction; local ones exist."""
    found = []
    for name, kind in zip(("src", "dst"), request.param.split("-"), strict=True):
        if kind == "local":
            (tmp_path / name).mkdir()
        found.append(str(tmp_path / name) if kind == "local" else f"{bucket}/{name}")
    return found[0], found[1]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Give a local folder."""
    (tmp_path / "src").mkdir()
    return tmp_path / "src"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Give the path of a local folder that does not exist."""
    return tmp_path / "dst"


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


def digest(data: bytes) -> str:
    return sha256(data).hexdigest()


async def plant(
    mox: Any, root: str, files: dict[str, bytes], folders: tuple[str, ...] = ()
) -> None:
    for name, data in files.items():
        if "://" not in root:
            await mox.make_dirs(f"{root}/{os.path.dirname(name)}")
        await mox.write(f"{root}/{name}", data)
    for name in folders:
        await mox.make_dirs(f"{root}/{name}")


async def harvest(mox: Any, root: str) -> dict[str, bytes]:
    """Return the content of all files below a folder."""
    names = await mox.list_directory(root, recursive=True, skip_dir=True)
    return {name: await mox.read(f"{root}/{name}", binary=True) for name in names}


def expected_names(files: dict[str, bytes], folders: tuple[str, ...] = ()) -> list[str]:
    names = {*files, *folders}
    for name in tuple(names):
        parts = name.split("/")
        names.update("/".join(parts[:end]) for end in range(1, len(parts)))
    return sorted(names)


def drafts(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.startswith(".aioobs-")]


def names_of(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def bucket_of(url: str) -> str:
    return url.partition("://")[2].partition("/")[0]


async def uploads(client: Client, bucket: str) -> list[str]:
    return [upload.key async for upload in client.list_multipart_uploads(bucket_of(bucket))]


def failures_of(error: BaseException) -> dict[str, OSError]:
    """Return what failed, by the last name of the file."""
    assert isinstance(error, TransferFailed)
    return {os.path.basename(str(failure.filename)): failure for failure in error.failures}


# What is copied


async def test_a_tree_is_copied_whole(mox: Any, ends: tuple[str, str], tmp_path: Path) -> None:
    await plant(mox, ends[0], FILES, FOLDERS)
    await mox.copy_parallel(*ends)

    names = await mox.list_directory(ends[1], recursive=True)
    assert names == expected_names(FILES, FOLDERS)
    assert await harvest(mox, ends[1]) == FILES
    assert await mox.list_directory(ends[0], recursive=True) == names
    assert drafts(tmp_path) == []


async def test_slashes_at_the_end_make_no_difference(mox: Any, ends: tuple[str, str]) -> None:
    files = {"file": b"x", "d/file": b"y"}
    await plant(mox, ends[0], files, ("empty",))

    for number, slashes in enumerate([("/", ""), ("", "/"), ("/", "/"), ("//", "//")]):
        target = f"{ends[1]}/{number}"
        await mox.copy_parallel(src_url=ends[0] + slashes[0], dst_url=target + slashes[1])
        assert await mox.list_directory(target, True) == ["d", "d/file", "empty", "file"]


@pytest.mark.usefixtures("long")
async def test_any_number_of_threads_will_do(mox: Any, ends: tuple[str, str]) -> None:
    files = {f"{number % 3}/{number}": str(number).encode() for number in range(20)}
    await plant(mox, ends[0], files)

    for threads in (0, 1, 2, 100):
        target = f"{ends[1]}/{threads}"
        await mox.copy_parallel(ends[0], target, None, threads, False, False)
        assert await harvest(mox, target) == files


@pytest.mark.parametrize("threads", [0, 1, 4])
async def test_as_many_requests_are_under_way_as_there_are_threads(
    mox: Any, source: Path, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    for number in range(12):
        (source / str(number)).write_text("x")
    turn, lock, running, most = threading.Barrier(max(threads, 1)), threading.Lock(), 0, 0

    def count(_: Received) -> Answer:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        turn.wait(20)
        with lock:
            running -= 1
        return answer(etag='"1"')

    with FaultyServer(always=count) as server:
        monkeypatch.setenv("S3_ENDPOINT", server.endpoint)
        monkeypatch.setenv("ACCESS_KEY_ID", "test-access-key")
        monkeypatch.setenv("SECRET_ACCESS_KEY", "test-secret-key")
        await mox.copy_parallel(str(source), "s3://bucket/dst", threads=threads)
    assert most == max(threads, 1)
    assert len(server.requests) == 12


async def test_the_target_is_merged_with_what_is_there(mox: Any, ends: tuple[str, str]) -> None:
    await plant(mox, ends[0], {"both": b"new", "d/new": b"n"})
    await plant(mox, ends[1], {"both": b"old and longer", "d/old": b"o"})
    await mox.copy_parallel(*ends)

    assert await harvest(mox, ends[1]) == {"both": b"new", "d/new": b"n", "d/old": b"o"}


async def test_whole_buckets_are_copied(mox: Any, bucket: str, target: Path) -> None:
    await plant(mox, bucket, {"file": b"x", "d/file": b"y"})
    await mox.copy_parallel(bucket, str(target))
    await mox.copy_parallel(str(target), bucket)

    assert names_of(target) == ["d", "d/file", "file"]
    assert await harvest(mox, bucket) == {"file": b"x", "d/file": b"y"}


async def test_folders_without_markers_are_copied(
    mox: Any, bucket: str, client: Client, target: Path
) -> None:
    await client.put_object(bucket_of(bucket), "src/one/two/file", b"x")
    await mox.copy_parallel(f"{bucket}/src", str(target))

    assert names_of(target) == ["one", "one/two", "one/two/file"]


async def test_names_that_begin_with_the_source_are_not_copied(
    mox: Any, bucket: str, target: Path
) -> None:
    await plant(mox, bucket, {"src/file": b"x", "src2/file": b"y", "src.txt": b"z"})
    await mox.copy_parallel(f"{bucket}/src", str(target))

    assert names_of(target) == ["file"]


@pytest.mark.parametrize("end", ["", "/"])
async def test_an_empty_folder_is_copied_with_a_warning(
    mox: Any, ends: tuple[str, str], end: str, caplog: pytest.LogCaptureFixture
) -> None:
    await mox.make_dirs(ends[0])
    await mox.copy_parallel(ends[0] + end, f"{ends[1]}/new")

    assert await mox.is_directory(f"{ends[1]}/new") is True
    assert await mox.list_directory(f"{ends[1]}/new") == []
    assert "nothing to copy" in caplog.text


async def test_a_missing_source_is_an_error_and_no_target_is_made(
    mox: Any, ends: tuple[str, str]
) -> None:
    await mox.make_dirs(ends[1])
    for name in ("missing", "missing/"):
        with pytest.raises(mox.MoxFileNotExistsException, match="missing"):
            await mox.copy_parallel(f"{ends[0]}/{name}", f"{ends[1]}/new")

    assert await mox.list_directory(ends[1]) == []


async def test_a_single_file_is_copied_to_exactly_the_target(
    mox: Any, ends: tuple[str, str]
) -> None:
    await mox.write(f"{ends[0]}/file", "x")
    await mox.copy_parallel(f"{ends[0]}/file", f"{ends[1]}/deep/copy")

    assert await mox.list_directory(ends[1], recursive=True) == ["deep", "deep/copy"]
    assert await mox.read(f"{ends[1]}/deep/copy") == "x"


async def test_a_big_file_among_small_ones(
    mox: Any, ends: tuple[str, str], client: Client, tmp_path: Path
) -> None:
    files = {"big": noise(24 * MIB + 1), "d/small": b"s", "edge": noise(16 * MIB, 1)}
    await plant(mox, ends[0], files)
    await mox.copy_parallel(*ends)

    for name, data in files.items():
        assert digest(await mox.read(f"{ends[1]}/{name}", binary=True)) == digest(data)
    assert drafts(tmp_path) == []
    for end in ends:
        if "://" in end:
            assert await uploads(client, end) == []


async def test_files_keep_the_mode_of_what_they_replace(
    mox: Any, bucket: str, target: Path
) -> None:
    await plant(mox, bucket, {"small": b"x", "big": noise(17 * MIB)})
    target.mkdir()
    for name in ("small", "big"):
        (target / name).write_text("old")
        (target / name).chmod(0o600)
    await mox.copy_parallel(bucket, str(target))

    for name in ("small", "big"):
        assert (target / name).stat().st_mode & 0o777 == 0o600
        assert (target / name).stat().st_size != 3


async def test_a_reader_of_a_replaced_file_sees_the_old_one_to_its_end(
    mox: Any, bucket: str, target: Path
) -> None:
    await plant(mox, bucket, {"file": b"new"})
    target.mkdir()
    (target / "file").write_text("old")
    with (target / "file").open() as reader:
        await mox.copy_parallel(bucket, str(target))
        assert reader.read() == "old"
    assert (target / "file").read_text() == "new"


async def test_metadata_is_kept_between_objects(mox: Any, bucket: str, client: Client) -> None:
    name = bucket_of(bucket)
    await client.put_object(
        name, "src/file", b"x", content_type="text/x-test", metadata={"author": "me"}
    )
    await mox.copy_parallel(f"{bucket}/src", f"{bucket}/dst")

    info = await client.head_object(name, "dst/file")
    assert (info.headers["content-type"], info.metadata) == ("text/x-test", {"author": "me"})


async def test_the_store_copies_big_objects_in_parts(bucket: str, client: Client) -> None:
    name, data = bucket_of(bucket), noise(13 * MIB)
    for key in ("src/one", "src/d/two"):
        await client.put_object(
            name, key, data, content_type="text/x-test", metadata={"author": "me"}
        )
    async with Client(replace(Config.from_env(), largest_copy=6 * MIB)) as small:
        await engine.copy_tree(
            small, parse(f"{bucket}/src"), parse(f"{bucket}/dst"), engine.CopyOptions(threads=4)
        )

    for key in ("dst/one", "dst/d/two"):
        info = await client.head_object(name, key)
        assert info.etag.endswith("-3")
        assert (info.headers["content-type"], info.metadata) == ("text/x-test", {"author": "me"})
        assert digest(await client.get_object(name, key)) == digest(data)
    assert await uploads(client, bucket) == []


# file_list


async def test_only_the_files_of_the_list_are_copied(mox: Any, ends: tuple[str, str]) -> None:
    await plant(mox, ends[0], FILES, FOLDERS)
    chosen = ["a.txt", "one/two/three.txt", "one+é你好😀/a b%20#?&.txt"]
    await mox.copy_parallel(*ends, file_list=chosen)

    assert await harvest(mox, ends[1]) == {name: FILES[name] for name in chosen}


async def test_an_empty_list_copies_nothing(mox: Any, ends: tuple[str, str]) -> None:
    await plant(mox, ends[0], {"file": b"x"})
    await mox.copy_parallel(*ends, file_list=[])

    assert await mox.list_directory(ends[1]) == []


async def test_names_of_the_list_that_do_not_exist_fail_and_the_others_are_copied(
    mox: Any, ends: tuple[str, str]
) -> None:
    await plant(mox, ends[0], {"file": b"x", "d/file": b"y"})
    with pytest.raises(TransferFailed, match="no such file") as caught:
        await mox.copy_parallel(*ends, file_list=["missing", "file", "d/gone", "d/file"])

    failures = failures_of(caught.value)
    assert sorted(failures) == ["gone", "missing"]
    assert all(isinstance(error, FileNotFoundError) for error in failures.values())
    assert await harvest(mox, ends[1]) == {"file": b"x", "d/file": b"y"}


async def test_a_folder_in_the_list_fails(mox: Any, ends: tuple[str, str]) -> None:
    await plant(mox, ends[0], {"file": b"x", "d/file": b"y"})
    with pytest.raises(TransferFailed) as caught:
        await mox.copy_parallel(*ends, file_list=["d", "file"])

    (failure,) = caught.value.failures
    assert isinstance(failure, IsADirectoryError)
    assert await harvest(mox, ends[1]) == {"file": b"x"}


@pytest.mark.parametrize("name", ["../outside", "d/../../outside", "./file", "d//file", "", ".."])
async def test_a_name_of_the_list_never_leads_out_of_a_local_folder(
    mox: Any, bucket: str, tmp_path: Path, source: Path, target: Path, name: str
) -> None:
    (tmp_path / "outside").write_text("secret")
    await plant(mox, str(source), {"file": b"x", "d/file": b"y"})
    await plant(mox, f"{bucket}/src", {"file": b"x", "d/file": b"y"})

    for ends in (
        (f"{bucket}/src", str(target)),
        (str(source), f"{bucket}/dst"),
        (str(source), str(target)),
    ):
        with pytest.raises(TransferFailed) as caught:
            await mox.copy_parallel(*ends, file_list=[name, "file"])
        (failure,) = caught.value.failures
        assert isinstance(failure, UnsafeKey)
    assert names_of(target) == ["file"]
    assert await harvest(mox, f"{bucket}/dst") == {"file": b"x"}
    assert sorted(os.listdir(tmp_path)) == ["dst", "outside", "src"]


async def test_an_absolute_name_of_the_list_never_leads_out_of_a_local_folder(
    mox: Any, bucket: str, tmp_path: Path, source: Path
) -> None:
    (tmp_path / "outside").write_text("secret")
    (source / "file").write_text("x")
    with pytest.raises(TransferFailed) as caught:
        await mox.copy_parallel(str(source), f"{bucket}/dst", file_list=[str(tmp_path / "outside")])

    assert isinstance(caught.value.failures[0], UnsafeKey)
    assert await mox.exists(f"{bucket}/dst/outside") is False


# Local trees


async def test_links_are_followed(mox: Any, bucket: str, source: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "inner").write_text("inner")
    (source / "real").write_text("real")
    (source / "to_file").symlink_to("real")
    (source / "to_folder").symlink_to("../elsewhere")
    await mox.copy_parallel(str(source), f"{bucket}/dst")

    assert await harvest(mox, f"{bucket}/dst") == {
        "real": b"real",
        "to_file": b"real",
        "to_folder/inner": b"inner",
    }


async def test_links_to_nowhere_and_in_circles_fail_and_the_rest_is_copied(
    mox: Any, bucket: str, source: Path
) -> None:
    (source / "d").mkdir()
    (source / "d" / "file").write_text("x")
    (source / "d" / "up").symlink_to("..")
    (source / "dangling").symlink_to("nowhere")
    (source / "self").symlink_to("self")
    with pytest.raises(TransferFailed) as caught:
        await mox.copy_parallel(str(source), f"{bucket}/dst")

    failures = failures_of(caught.value)
    assert sorted(failures) == ["dangling", "self", "up"]
    assert isinstance(failures["dangling"], FileNotFoundError)
    assert await harvest(mox, f"{bucket}/dst") == {"d/file": b"x"}


async def test_a_source_that_is_itself_a_link_is_copied(
    mox: Any, bucket: str, source: Path, tmp_path: Path
) -> None:
    (source / "file").write_text("x")
    (tmp_path / "link").symlink_to("src")
    await mox.copy_parallel(str(tmp_path / "link"), f"{bucket}/dst")

    assert await harvest(mox, f"{bucket}/dst") == {"file": b"x"}


async def test_pipes_and_sockets_are_passed_over_with_a_warning(
    mox: Any, bucket: str, source: Path, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    (source / "file").write_text("x")
    os.mkfifo(source / "pipe")
    monkeypatch.chdir(source)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("sock")
        await mox.copy_parallel(str(source), f"{bucket}/dst")

    assert await harvest(mox, f"{bucket}/dst") == {"file": b"x"}
    assert "pipe" in caplog.text
    assert "sock" in caplog.text


async def test_a_file_name_that_is_no_utf_8_fails_and_the_rest_is_copied(
    mox: Any, bucket: str, source: Path
) -> None:
    (source / "file").write_text("x")
    with open(os.fsencode(source) + b"/\xff", "wb") as file:
        file.write(b"y")
    with pytest.raises(TransferFailed) as caught:
        await mox.copy_parallel(str(source), f"{bucket}/dst")

    assert len(caught.value.failures) == 1
    assert str(caught.value).encode("utf-8", "backslashreplace")
    assert await harvest(mox, f"{bucket}/dst") == {"file": b"x"}


async def test_a_file_that_cannot_be_read_fails_and_the_rest_is_copied(
    mox: Any, bucket: str, source: Path
) -> None:
    # /proc/self/mem is a regular file of no size that gives EIO to whoever reads at 0.
    if not os.path.exists("/proc/self/mem"):
        pytest.skip("this system has no /proc/self/mem")
    (source / "bad").symlink_to("/proc/self/mem")
    (source / "file").write_text("x")
    with pytest.raises(TransferFailed) as caught:
        await mox.copy_parallel(str(source), f"{bucket}/dst")

    (failure,) = caught.value.failures
    assert "bad" in str(failure.filename)
    assert "bad" in str(caught.value)
    assert await harvest(mox, f"{bucket}/dst") == {"file": b"x"}


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
async def test_what_may_not_be_read_fails_and_the_rest_is_copied(
    mox: Any, bucket: str, source: Path
) -> None:
    (source / "file").write_text("x")
    (source / "secret").write_text("y")
    (source / "secret").chmod(0)
    (source / "closed").mkdir(mode=0)
    with pytest.raises(TransferFailed) as caught:
        await mox.copy_parallel(str(source), f"{bucket}/dst")

    failures = failures_of(caught.value)
    assert sorted(failures) == ["closed", "secret"]
    assert all(isinstance(error, PermissionError) for error in failures.values())
    assert await harvest(mox, f"{bucket}/dst") == {"file": b"x"}


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
async def test_of_a_key_that_is_file_and_folder_nothing_is_written(
    moto_bucket: str, target: Path, page_size: int
) -> None:
    mox, name = aioobs.file, bucket_of(moto_bucket)
    keys = ["a", "a/b", "a/c/d", "a-b", "a.txt", "ab", "b/c", "b/c/d", "b/c.txt", "z"]
    async with Client(Config.from_env()) as client:
        for key in keys:
            await client.put_object(name, f"src/{key}", key.encode())
    mox.set_auth(list_max_keys=page_size)
    try:
        with pytest.raises(mox.MoxFileNameDuplicateException) as caught:
            await mox.copy_parallel(f"{moto_bucket}/src", str(target))
    finally:
        mox.set_auth(list_max_keys=1000)

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
        try:
            with pytest.raises(ConnectionError):
                await mox.copy_parallel(str(source), f"{bucket}/dst")
        finally:
            mox.set_auth(retry=10, retry_wait=0.1)
    assert time.monotonic() - begun < 5


# Sources that change


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
    assert "big" in str(caught.value)
    assert await mox.exists(f"{bucket}/dst/big") is False
    assert await uploads(client, bucket) == []


async def test_a_file_that_fits_one_request_and_is_written_to_is_not_published(
    mox: Any, bucket: str, source: Path
) -> None:
    path = source / "file"
    path.write_bytes(noise(12 * MIB))
    ended = threading.Event()

    def scribble() -> None:
        with path.open("r+b", buffering=0) as file:
            while not ended.is_set():
                os.pwrite(file.fileno(), os.urandom(16), 6 * MIB)

    writer = threading.Thread(target=scribble)
    writer.start()
    try:
        with pytest.raises(TransferFailed) as caught:
            await mox.copy_parallel(str(source), f"{bucket}/dst")
    finally:
        ended.set()
        writer.join()
    (failure,) = caught.value.failures
    assert isinstance(failure, SourceError)
    assert await mox.exists(f"{bucket}/dst/file") is False


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


# Progress


async def test_the_last_report_has_the_totals(mox: Any, ends: tuple[str, str]) -> None:
    await plant(mox, ends[0], FILES)
    reports: list[Progress] = []
    await mox.copy_parallel(*ends, progress=reports.append)

    last, size = reports[-1], sum(map(len, FILES.values()))
    assert (last.files, last.files_total) == (len(FILES), len(FILES))
    assert (last.bytes, last.bytes_total, last.failed) == (size, size, 0)
    assert last.totals_known is True
    assert [report.bytes for report in reports] == sorted(report.bytes for report in reports)
    assert all(report.files <= report.files_total for report in reports)


async def test_reports_count_what_failed(mox: Any, bucket: str, target: Path) -> None:
    await plant(mox, f"{bucket}/src", {"good": b"123", "bad": b"4567"})
    (target / "bad").mkdir(parents=True)
    reports: list[Progress] = []
    with pytest.raises(TransferFailed):
        await mox.copy_parallel(f"{bucket}/src", str(target), progress=reports.append)

    last = reports[-1]
    assert (last.files, last.files_total, last.failed) == (2, 2, 1)
    assert (last.bytes, last.bytes_total) == (3, 7)


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


class Refusal(Exception):
    """What the callback of a test raises."""


async def test_what_the_callback_raises_ends_the_copy_and_leaves_nothing(
    mox: Any, ends: tuple[str, str], client: Client, bucket: str, tmp_path: Path
) -> None:
    files = {f"{number:02}": b"x" for number in range(30)} | {"big": noise(17 * MIB)}
    await plant(mox, ends[0], files)
    calls: list[Progress] = []
    error, reason = Refusal("enough"), ValueError("the reason")

    def refuse(progress: Progress) -> None:
        calls.append(progress)
        raise error from reason

    with pytest.raises(Refusal, match="enough") as caught:
        await mox.copy_parallel(*ends, progress=refuse)
    assert caught.value is error
    assert caught.value.__cause__ is reason
    assert len(calls) == 1
    assert drafts(tmp_path) == []
    assert await uploads(client, bucket) == []
    assert await mox.exists(ends[0]) is True


@pytest.mark.parametrize("kind", [BrokenPipeError, FileNotFoundError, KeyError])
async def test_an_error_of_the_callback_is_never_taken_for_one_of_a_file(
    mox: Any, bucket: str, target: Path, kind: type[Exception]
) -> None:
    await plant(mox, f"{bucket}/src", {"1": b"x", "2": b"y"})
    error = kind("enough")

    def refuse(_: Progress) -> None:
        raise error

    with pytest.raises(kind, match="enough") as caught:
        await mox.copy_parallel(f"{bucket}/src", str(target), progress=refuse)
    assert caught.value is error


# Many


@pytest.fixture
def small_pages() -> Iterator[None]:
    """Have listings come in pages of seven names."""
    aioobs.file.set_auth(list_max_keys=7)
    yield
    aioobs.file.set_auth(list_max_keys=1000)


@pytest.mark.usefixtures("small_pages", "long")
async def test_listings_of_many_pages_are_copied_whole(
    bucket: str, target: Path, client: Client
) -> None:
    mox, name = aioobs.file, bucket_of(bucket)
    files = {f"{number % 10}/{number:03}": str(number).encode() for number in range(100)}
    for key, data in files.items():
        await client.put_object(name, f"src/{key}", data)
    await mox.copy_parallel(f"{bucket}/src", str(target))
    await mox.copy_parallel(f"{bucket}/src", f"{bucket}/dst")
    await mox.copy_parallel(str(target), f"{bucket}/back")

    for folder in (f"{bucket}/dst", f"{bucket}/back", str(target)):
        assert await harvest(mox, folder) == files
        assert len(await mox.list_directory(folder, recursive=True)) == 110


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_twelve_thousand_files_there_and_back(
    bucket: str, source: Path, target: Path
) -> None:
    mox = aioobs.file
    for number in range(12_000):
        folder = source / str(number % 50)
        folder.mkdir(exist_ok=True)
        (folder / f"{number:05}").write_text(str(number))
    await mox.copy_parallel(str(source), f"{bucket}/many", threads=32)
    names = await mox.list_directory(f"{bucket}/many", recursive=True, skip_dir=True)
    await mox.copy_parallel(f"{bucket}/many", str(target), threads=32)

    assert names == sorted(f"{number % 50}/{number:05}" for number in range(12_000))
    assert names_of(target) == names_of(source)
    for name in names:
        assert (target / name).read_text() == str(int(name.rpartition("/")[2]))
    assert drafts(target) == []
