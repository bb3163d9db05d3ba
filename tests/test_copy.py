"""`copy`: one file, in all four directions."""

from __future__ import annotations

import asyncio
import itertools
import os
import resource
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from copies import MIB, bucket_of, digest, noise, staged_files, uploads
from faulty import Answer, FaultyServer, Received, answer, forward

import aioobs.file
from aioobs.config import Config
from aioobs.errors import ObjectChanged, ProtocolError
from aioobs.s3.client import Client
from aioobs.transfer import engine
from aioobs.url import parse

if TYPE_CHECKING:
    from collections.abc import Callable

pytest_plugins = ["verbs", "ends"]
SERVERS = ("seaweedfs", "swift")
ATTRIBUTE = "/sys/devices/system/cpu/online"  # its size is 4096, and it has less


@pytest.mark.parametrize("size", [0, 1, MIB, MIB + 1])
async def test_a_copy_is_equal_and_the_source_stays(
    mox: Any, ends: tuple[str, str], tmp_path: Path, size: int
) -> None:
    source, target = (f"{end}/file" for end in ends)
    await mox.write(source, noise(size))
    await mox.copy(source, target)

    for url in (source, target):
        assert digest(await mox.read(url, binary=True)) == digest(noise(size))
    assert staged_files(tmp_path) == []


@pytest.mark.parametrize("size", [16 * MIB - 1, 16 * MIB, 24 * MIB + 3])
async def test_a_large_file_is_copied_whole(
    mox: Any, ends: tuple[str, str], tmp_path: Path, client: Client, bucket: str, size: int
) -> None:
    data = noise(size)
    source, target = (f"{end}/file" for end in ends)
    await mox.write(source, data)
    await mox.copy(source, target)

    assert digest(await mox.read(target, binary=True)) == digest(data)
    assert staged_files(tmp_path) == []
    assert await uploads(client, bucket) == []


async def test_a_copy_has_exactly_the_name_that_was_given(mox: Any, ends: tuple[str, str]) -> None:
    source, target = (f"{end}/file" for end in ends)
    await mox.write(source, "x")
    await mox.copy(src_url=source, dst_url=f"{target}.copy")

    assert await mox.list_directory(ends[1]) == ["file.copy"]


async def test_folders_above_the_target_are_created(mox: Any, ends: tuple[str, str]) -> None:
    await mox.write(f"{ends[0]}/file", "x")
    await mox.copy(f"{ends[0]}/file", f"{ends[1]}/one/two/file")

    assert await mox.read(f"{ends[1]}/one/two/file") == "x"


async def test_a_relative_target_may_be_in_folders_that_are_missing(
    mox: Any, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    await mox.write(f"{bucket}/file", "x")
    await mox.copy(f"{bucket}/file", "cache/tmp/file")
    await mox.copy(f"{bucket}/file", "file")
    await mox.copy("file", f"{bucket}/back")

    assert (tmp_path / "cache" / "tmp" / "file").read_text() == "x"
    assert await mox.read(f"{bucket}/back") == "x"


async def test_what_is_at_the_target_is_replaced(mox: Any, ends: tuple[str, str]) -> None:
    source, target = (f"{end}/file" for end in ends)
    await mox.write(source, "new")
    await mox.write(target, "something longer that was there before")
    await mox.copy(source, target)

    assert await mox.read(target) == "new"


@pytest.mark.parametrize("size", [3, 2 * MIB])
async def test_a_replaced_file_keeps_its_mode_and_is_another_file(
    mox: Any, root: str, tmp_path: Path, size: int
) -> None:
    data = noise(size)
    await mox.write(f"{root}/file", data)
    target = tmp_path / "target"
    target.write_text("old")
    target.chmod(0o640)
    with target.open() as reader:
        await mox.copy(f"{root}/file", str(target))

        assert reader.read() == "old"
    assert target.read_bytes() == data
    assert target.stat().st_mode & 0o777 == 0o640


async def test_a_new_file_has_the_mode_of_the_umask(mox: Any, root: str, tmp_path: Path) -> None:
    await mox.write(f"{root}/file", "x")
    before = os.umask(0o027)
    try:
        await mox.copy(f"{root}/file", str(tmp_path / "target"))
    finally:
        os.umask(before)

    assert (tmp_path / "target").stat().st_mode & 0o777 == 0o640


async def test_a_target_that_is_a_link_stays_one(mox: Any, root: str, tmp_path: Path) -> None:
    await mox.write(f"{root}/file", "new")
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    await mox.copy(f"{root}/file", str(tmp_path / "link"))

    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


async def test_a_target_that_is_a_link_to_nowhere_is_filled(
    mox: Any, root: str, tmp_path: Path
) -> None:
    await mox.write(f"{root}/file", "new")
    (tmp_path / "link").symlink_to("real")
    await mox.copy(f"{root}/file", str(tmp_path / "link"))

    assert (tmp_path / "link").read_text() == "new"
    assert staged_files(tmp_path) == []


@pytest.mark.parametrize("size", [3, 2 * MIB, 17 * MIB])
async def test_a_device_as_target_is_written_to_and_stays(mox: Any, root: str, size: int) -> None:
    await mox.write(f"{root}/file", noise(size))
    await mox.copy(f"{root}/file", "/dev/null")

    assert not os.path.isfile("/dev/null")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no full device")
@pytest.mark.parametrize("size", [3, 2 * MIB, 17 * MIB])
async def test_a_full_device_is_an_error(mox: Any, root: str, size: int) -> None:
    await mox.write(f"{root}/file", noise(size))

    with pytest.raises(OSError, match="No space left"):
        await mox.copy(f"{root}/file", "/dev/full")


LIMITED = """
import asyncio, resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
from aioobs import file
try:
    asyncio.run(file.copy(*sys.argv[1:]))
except OSError as error:
    print(error.errno, error.filename)
"""


@pytest.mark.parametrize("size", [2 * MIB, 17 * MIB])
async def test_a_disk_that_gets_full_leaves_nothing(
    bucket: str, tmp_path: Path, size: int, mox: Any
) -> None:
    await mox.write(f"{bucket}/file", noise(size))
    target = tmp_path / "target"
    target.write_text("old")
    run = subprocess.run(
        [sys.executable, "-c", LIMITED, f"{bucket}/file", str(target)],
        capture_output=True, text=True, check=False, timeout=30,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )  # fmt: skip

    assert run.stderr == ""
    assert run.stdout.startswith(f"{27} "), run.stdout
    assert "target" in run.stdout or f"{bucket}/file" in run.stdout
    assert target.read_text() == "old"
    assert staged_files(tmp_path) == []
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


async def test_a_missing_source_is_an_error_and_nothing_is_made(
    mox: Any, ends: tuple[str, str], tmp_path: Path
) -> None:
    await mox.make_dirs(ends[1])
    with pytest.raises(mox.MoxFileNotExistsException, match="missing"):
        await mox.copy(f"{ends[0]}/missing", f"{ends[1]}/one/file")

    assert await mox.list_directory(ends[1]) == []
    assert staged_files(tmp_path) == []


async def test_a_folder_is_refused_with_the_name_of_the_verb_that_copies_it(
    mox: Any, ends: tuple[str, str]
) -> None:
    await mox.make_dirs(f"{ends[0]}/folder")
    await mox.write(f"{ends[0]}/folder/file", "x")
    await mox.make_dirs(ends[1])

    for end in ("", "/"):
        with pytest.raises(IsADirectoryError, match="copy_parallel"):
            await mox.copy(f"{ends[0]}/folder{end}", f"{ends[1]}/target")
    assert await mox.list_directory(ends[1]) == []


async def test_a_pipe_is_refused_and_not_waited_for(mox: Any, root: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    for verb in (mox.copy, mox.copy_parallel):
        with pytest.raises(OSError, match="neither a file nor a folder"):
            await verb(tmp_path / "pipe", f"{root}/copy")
    assert await mox.exists(f"{root}/copy") is False


@pytest.mark.skipif(not os.path.exists("/proc/version"), reason="there is no /proc")
async def test_what_only_says_that_it_is_empty_is_copied_whole_or_not_at_all(
    mox: Any, root: str
) -> None:
    for verb in (mox.copy, mox.copy_parallel):
        if "://" in root:
            with pytest.raises(OSError, match="its size is 0, but there is more"):
                await verb("/proc/version", f"{root}/copy")
            assert await mox.exists(f"{root}/copy") is False
        else:
            await verb("/proc/version", f"{root}/copy")
            assert await mox.read(f"{root}/copy") == Path("/proc/version").read_text()


@pytest.mark.skipif(not os.path.exists(ATTRIBUTE), reason="there is no /sys")
async def test_what_says_that_it_is_longer_than_it_is_is_copied_whole_or_not_at_all(
    mox: Any, root: str
) -> None:
    for verb in (mox.copy, mox.copy_parallel):
        if "://" in root:
            with pytest.raises(OSError, match=f"{ATTRIBUTE}: the file ends after") as caught:
                await verb(ATTRIBUTE, f"{root}/copy")
            assert caught.value.filename == ATTRIBUTE
            assert await mox.exists(f"{root}/copy") is False
        else:
            await verb(ATTRIBUTE, f"{root}/copy")
            assert await mox.read(f"{root}/copy") == Path(ATTRIBUTE).read_text()


async def test_a_link_that_leads_into_no_folder_is_named_in_the_error(
    mox: Any, root: str, tmp_path: Path
) -> None:
    await mox.write(f"{root}/file", "x")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere" / "target")

    with pytest.raises(OSError, match="nowhere/target'") as caught:
        await mox.copy(f"{root}/file", str(tmp_path / "link"))
    assert ".part" not in str(caught.value)


async def test_a_target_that_is_a_folder_is_refused(mox: Any, ends: tuple[str, str]) -> None:
    await mox.write(f"{ends[0]}/file", "x")
    await mox.make_dirs(f"{ends[1]}/folder")

    with pytest.raises(IsADirectoryError):
        await mox.copy(f"{ends[0]}/file", f"{ends[1]}/folder/")
    assert await mox.list_directory(ends[1], recursive=True) == ["folder"]


async def test_a_local_folder_is_not_replaced_by_a_file(
    mox: Any, root: str, tmp_path: Path
) -> None:
    await mox.write(f"{root}/file", "x")
    (tmp_path / "folder").mkdir()

    with pytest.raises(IsADirectoryError):
        await mox.copy(f"{root}/file", str(tmp_path / "folder"))
    assert list((tmp_path / "folder").iterdir()) == []


async def test_a_file_above_the_target_is_an_error(mox: Any, root: str, tmp_path: Path) -> None:
    await mox.write(f"{root}/file", "x")
    (tmp_path / "other").write_text("stays")

    with pytest.raises(NotADirectoryError):
        await mox.copy(f"{root}/file", str(tmp_path / "other" / "file"))
    assert (tmp_path / "other").read_text() == "stays"


async def test_a_file_copied_to_itself_stays(mox: Any, root: str, tmp_path: Path) -> None:
    await mox.write(f"{root}/file", "x")
    await mox.copy(f"{root}/file", f"{root}/file")
    assert await mox.read(f"{root}/file") == "x"

    local = tmp_path / "local"
    local.write_text("x")
    (tmp_path / "link").symlink_to("local")
    (tmp_path / "hard").hardlink_to(local)
    await mox.copy(str(tmp_path / "link"), str(local))
    await mox.copy(str(local), str(tmp_path / "hard"))
    assert local.read_text() == "x"


async def test_a_link_is_followed(mox: Any, bucket: str, tmp_path: Path) -> None:
    (tmp_path / "real").write_text("x")
    (tmp_path / "link").symlink_to("real")
    await mox.copy(str(tmp_path / "link"), f"{bucket}/file")

    assert await mox.read(f"{bucket}/file") == "x"


async def test_keys_are_copied_between_buckets_with_odd_names(mox: Any, bucket: str) -> None:
    for name in ("a b", "a+b", "a%20b", "a#b", "a?b&c=d", "é你好😀", "a'\"b", "a:b@c;d,e=f"):
        await mox.write(f"{bucket}/{name}", name)
        await mox.copy(f"{bucket}/{name}", f"{bucket}/copies/{name}")
        assert await mox.read(f"{bucket}/copies/{name}") == name


async def test_the_store_keeps_metadata_when_it_copies(
    mox: Any, bucket: str, client: Client
) -> None:
    name = bucket.partition("://")[2]
    await client.put_object(
        name, "file", b"x", content_type="text/x-test", metadata={"author": "me", "empty": ""}
    )
    before = (await client.head_object(name, "file")).metadata
    await mox.copy(f"{bucket}/file", f"{bucket}/copy")

    info = await client.head_object(name, "copy")
    assert info.headers["content-type"] == "text/x-test"
    assert info.metadata == before
    assert info.metadata["author"] == "me"


async def test_the_store_copies_in_parts_what_is_too_long_for_one_request(
    bucket: str, client: Client
) -> None:
    name, data = bucket.partition("://")[2], noise(13 * MIB)
    await client.put_object(
        name, "big file+é", data, content_type="text/x-test", metadata={"author": "me"}
    )
    async with Client(replace(Config.from_env(), largest_copy=6 * MIB)) as small:
        await engine.copy_file(
            small,
            parse(f"{bucket}/big file+é"),
            parse(f"{bucket}/copy"),
            engine.CopyOptions(threads=4),
        )

    info = await client.head_object(name, "copy")
    assert info.etag.endswith("-3")
    assert info.headers["content-type"] == "text/x-test"
    assert info.metadata == {"author": "me"}
    assert digest(await client.get_object(name, "copy")) == digest(data)
    assert await uploads(client, bucket) == []


async def test_parts_of_two_versions_are_never_mixed_where_the_store_ignores_conditions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    versions = itertools.count()

    def step(received: Received) -> Answer:
        if received.method == "HEAD":  # it is replaced all the time
            return answer(etag=f'"{next(versions)}"', content_length=str(13 * MIB))
        if received.method == "POST":
            return answer(body=b"<R><UploadId>1</UploadId><ETag>x</ETag></R>")
        return answer(body=b"<R><ETag>x</ETag></R>")  # whatever was asked for, as Ceph does

    with FaultyServer(always=step) as server:
        monkeypatch.setenv("S3_ENDPOINT", server.endpoint)
        monkeypatch.setenv("ACCESS_KEY_ID", "a")
        monkeypatch.setenv("SECRET_ACCESS_KEY", "s")
        async with Client(replace(Config.from_env(), largest_copy=6 * MIB)) as small:
            with pytest.raises(ObjectChanged, match="replaced while it was being copied"):
                await engine.copy_file(
                    small, parse("s3://bucket/big"), parse("s3://bucket/copy"), engine.CopyOptions()
                )
        made = [one.target for one in server.requests if one.method == "POST"]
        given_up = [one.target for one in server.requests if one.method == "DELETE"]
    assert len(given_up) == len(made) > 0
    assert not any("uploadId" in target for target in made)


@pytest.mark.parametrize("replaced", [False, True])
async def test_another_version_is_no_copy_where_the_store_ignores_conditions(
    moto_server: str, moto_bucket: str, monkeypatch: pytest.MonkeyPatch, replaced: bool
) -> None:
    pass_on, name = forward(moto_server), bucket_of(moto_bucket)
    loop, versions = asyncio.get_running_loop(), itertools.count(2)

    def ignoring(received: Received) -> Answer:
        if received.headers.pop("x-amz-copy-source-if-match", None) and replaced:
            writing = direct.put_object(name, "src", noise(12 * MIB, next(versions)))
            asyncio.run_coroutine_threadsafe(writing, loop).result()
        return pass_on(received)

    async with Client(Config.from_env()) as direct:
        etag = await direct.put_object(name, "src", noise(12 * MIB, 1))
        await direct.put_object(name, "dst", b"before")
        with FaultyServer(always=ignoring) as server:
            monkeypatch.setenv("S3_ENDPOINT", server.endpoint)
            async with Client(Config.from_env()) as client:
                with pytest.raises(ObjectChanged) if replaced else nullcontext():
                    await client.copy_object((name, "src"), name, "copy", if_match=etag)
            with pytest.raises(ObjectChanged) if replaced else nullcontext():
                await aioobs.file.append_remote(f"{moto_bucket}/src", f"{moto_bucket}/dst")
        added = b"" if replaced else noise(12 * MIB, 1)
        assert digest(await direct.get_object(name, "dst")) == digest(b"before" + added)


def replacing(path: str, content: bytes) -> Callable[[object], None]:
    """Return a callback that puts another file in the place of *path*, once."""
    done: list[bool] = []

    def callback(_: object) -> None:
        if not done:
            done.append(True)
            with open(f"{path}.new", "wb") as file:
                file.write(content)
            os.replace(f"{path}.new", path)

    return callback


async def test_a_copy_is_of_one_version_when_the_source_is_replaced(
    mox: Any, bucket: str, tmp_path: Path
) -> None:
    old, new = noise(40 * MIB, 1), noise(40 * MIB, 2)
    source = tmp_path / "file"
    source.write_bytes(old)
    await mox.copy_parallel(str(source), f"{bucket}/file", progress=replacing(str(source), new))

    # The open file is still the old one: what came is whole.
    assert digest(await mox.read(f"{bucket}/file", binary=True)) == digest(old)


async def test_concurrent_copies_to_one_target_leave_one_of_them_whole(
    bucket: str, tmp_path: Path
) -> None:
    mox, contents = aioobs.file, {noise(2 * MIB, seed) for seed in range(4)}
    for number, data in enumerate(contents):
        await mox.write(f"{bucket}/{number}", data)
    target = str(tmp_path / "target")
    await asyncio.gather(*(mox.copy(f"{bucket}/{number}", target) for number in range(4)))

    assert (tmp_path / "target").read_bytes() in contents
    assert os.listdir(tmp_path) == ["target"]


async def test_the_marker_of_a_folder_needs_no_etag(monkeypatch: pytest.MonkeyPatch) -> None:
    with FaultyServer(always=answer()) as server:  # JuiceFS says none of it
        monkeypatch.setenv("S3_ENDPOINT", server.endpoint)
        monkeypatch.setenv("ACCESS_KEY_ID", "a")
        monkeypatch.setenv("SECRET_ACCESS_KEY", "s")
        async with Client(Config.from_env()) as client:
            assert await client.put_object("bucket", "folder/", b"") == ""
            with pytest.raises(ProtocolError, match="no ETag"):
                await client.put_object("bucket", "file", b"")
