"""Files that are read and written: local copies of objects, which are written back."""

from __future__ import annotations

import gc
import io
import mmap
import os
import random
import tempfile
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from anyio import to_thread
from copies import smallest_disk
from suspensions import ctrl_c

import aioobs.sync.file
from aioobs import file
from aioobs.errors import ObjectChanged

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from both import Recorder

    from aioobs import Client

    Uploads = Callable[[], Awaitable[list[str]]]

pytest_plugins = ["verbs", "both"]

MIB = 1 << 20
NOISE = random.Random(0).randbytes(30 * MIB)


def copies() -> list[str]:
    """Return the local copies that are open."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            found.append(os.readlink(f"/proc/self/fd/{name}"))
    return [path for path in found if path.startswith(f"{tempfile.gettempdir()}/#")]


@pytest.fixture(autouse=True)
def nothing_stays_open() -> Any:
    """Check that no copy is left over."""
    before = copies()
    yield
    assert copies() == before


async def test_a_file_is_changed_in_the_middle(root: str, opened: Callable[..., Any]) -> None:
    await file.write(f"{root}/file", b"0123456789")
    for mode in ("rb+", "r+b", "+br"):
        async with opened(f"{root}/file", mode) as found:
            assert await found.read(3) == b"012"
            assert await found.seek(5) == 5
            assert await found.write(b"FIVE") == 4
            assert await found.tell() == 9
            assert await found.size() == 10
            await found.seek(0)
            assert await found.read() == b"01234FIVE9"
    assert await file.read(f"{root}/file") == "01234FIVE9"


async def test_a_file_grows_and_is_cut_off(root: str, opened: Callable[..., Any]) -> None:
    await file.write(f"{root}/file", "0123456789")
    async with opened(f"{root}/file", "r+") as found:
        await found.seek(0, os.SEEK_END)
        await found.write("more\n")
        assert await found.size() == 15
    assert await file.read(f"{root}/file") == "0123456789more\n"
    async with opened(f"{root}/file", "rb+") as found:
        assert await found.truncate(4) == 4
    assert await file.read(f"{root}/file") == "0123"
    async with opened(f"{root}/file", "rb+") as found:
        await found.read(2)
        assert await found.truncate() == 2
        assert await found.truncate(4) == 4
    assert await file.read(f"{root}/file", binary=True) == b"01\0\0"


async def test_what_is_not_changed_is_not_written(
    bucket: str, recorder: Recorder, opened: Callable[..., Any]
) -> None:
    await file.write(f"{bucket}/file", "content")
    before = recorder.written
    for mode in ("r+", "rb+", "a+", "ab+"):
        async with opened(f"{bucket}/file", mode) as found:
            await found.seek(0)
            assert len(await found.read()) == 7
            await found.flush()
            await found.seek(3)
    assert recorder.written == before


async def test_a_flush_writes_back_what_is_new_and_nothing_else(
    bucket: str, recorder: Recorder, opened: Callable[..., Any]
) -> None:
    await file.write(f"{bucket}/file", "0123")
    before = recorder.written
    async with opened(f"{bucket}/file", "r+") as found:
        for number, letter in enumerate("abcd", 1):
            await found.write(letter)
            await found.flush()
            assert recorder.written == before + number
            assert await file.read(f"{bucket}/file") == "abcd"[:number] + "0123"[number:]
            await found.flush()
        assert recorder.written == before + 4
    assert recorder.written == before + 4


async def test_what_is_missing_or_a_folder_is_not_opened(
    root: str, opened: Callable[..., Any]
) -> None:
    await file.make_dirs(f"{root}/folder")
    for mode in ("r+", "rb+"):
        with pytest.raises(FileNotFoundError, match="missing"):
            await opened(f"{root}/missing", mode).__aenter__()
    for mode in ("r+", "a+"):
        with pytest.raises(IsADirectoryError):
            await opened(f"{root}/folder", mode).__aenter__()
    with pytest.raises(FileExistsError):
        await opened(f"{root}/folder", "x+").__aenter__()


async def test_a_new_file_is_written_and_read_again(root: str, opened: Callable[..., Any]) -> None:
    for mode in ("w+", "x+", "a+"):
        async with opened(f"{root}/{mode}", mode) as found:
            assert await found.write("one\ntwo\n") == 8
            await found.seek(0)
            assert await found.readline() == "one\n"
            assert await found.read() == "two\n"
        assert await file.read(f"{root}/{mode}") == "one\ntwo\n"
        async with opened(f"{root}/{mode}-empty", mode) as found:
            assert await found.read() == ""
        assert await file.get_size(f"{root}/{mode}-empty") == 0
    with pytest.raises(FileExistsError):
        await opened(f"{root}/x+", "x+").__aenter__()
    async with opened(f"{root}/w+", "w+") as found:
        assert await found.read() == ""
    assert await file.read(f"{root}/w+") == ""


async def test_what_is_appended_goes_to_the_end_wherever_one_is(
    root: str, opened: Callable[..., Any]
) -> None:
    await file.write(f"{root}/file", "0123")
    async with opened(f"{root}/file", "ab+") as found:
        assert await found.tell() == 4
        await found.seek(1)
        assert await found.read(2) == b"12"
        await found.write(b"45")
        await found.seek(0)
        assert await found.read() == b"012345"
    assert await file.read(f"{root}/file") == "012345"


async def test_an_exception_in_the_block_changes_nothing(
    bucket: str, opened: Callable[..., Any]
) -> None:
    await file.write(f"{bucket}/file", "old")
    for name, mode in (("file", "r+"), ("file", "w+"), ("file", "a+"), ("new", "x+")):
        with pytest.raises(LookupError):
            async with opened(f"{bucket}/{name}", mode) as found:
                await found.write("new")
                raise LookupError
    assert await file.list_directory(bucket) == ["file"]
    assert await file.read(f"{bucket}/file") == "old"


@pytest.mark.parametrize("mode", ["rb+", "wb+", "ab+", "r+", "w+"])
@pytest.mark.parametrize("size", [100, MIB])
async def test_what_did_not_fit_on_the_disk_is_not_written_back(
    bucket: str, opened: Callable[..., Any], mode: str, size: int
) -> None:
    await file.write(f"{bucket}/file", "old")
    piece = bytes(size) if "b" in mode else "x" * size
    found = opened(f"{bucket}/file", mode)
    await found.__aenter__()
    with smallest_disk(MIB // 2), pytest.raises(OSError, match="File too large"):
        await found.writelines([piece] * (MIB // size))
    with pytest.raises(OSError, match="an earlier write"):
        await found.aclose()
    assert await file.read(f"{bucket}/file") == "old"


async def test_an_object_that_does_not_fit_on_the_disk_is_told(
    bucket: str, opened: Callable[..., Any]
) -> None:
    await file.write(f"{bucket}/file", bytes(MIB))
    found = opened(f"{bucket}/file", "rb+")
    with smallest_disk(MIB // 2), pytest.raises(OSError, match="File too large") as caught:
        await found.__aenter__()
    assert caught.value.filename == tempfile.gettempdir()


@pytest.mark.parametrize("size", [4, 9 * MIB])
async def test_what_another_wrote_meanwhile_is_not_replaced(
    bucket: str, opened: Callable[..., Any], uploads: Uploads, size: int
) -> None:
    await file.write(f"{bucket}/file", bytes(size))
    for mode in ("rb+", "ab+"):
        found = opened(f"{bucket}/file", mode)
        await found.__aenter__()
        await found.write(b"ours")
        await file.write(f"{bucket}/file", f"another's, and not for {mode}")
        with pytest.raises(ObjectChanged):
            await found.aclose()
        assert await file.read(f"{bucket}/file") == f"another's, and not for {mode}"
    found = opened(f"{bucket}/new", "x+")
    await found.__aenter__()
    await found.write("ours")
    await file.write(f"{bucket}/new", "another's")
    with pytest.raises(FileExistsError):
        await found.aclose()
    assert await file.read(f"{bucket}/new") == "another's"
    assert await uploads() == []


async def test_a_large_file_goes_there_and_back(bucket: str, opened: Callable[..., Any]) -> None:
    await file.write(f"{bucket}/file", NOISE)
    expected = bytearray(NOISE)
    async with opened(f"{bucket}/file", "rb+") as found:
        for place in (29 * MIB, 5, 12 * MIB):
            await found.seek(place)
            await found.write(b"changed")
            expected[place : place + 7] = b"changed"
        await found.seek(0)
        assert await found.read() == expected
    assert await file.read(f"{bucket}/file", binary=True) == expected


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "gb18030"])
async def test_text_of_another_encoding_is_changed(
    root: str, opened: Callable[..., Any], encoding: str
) -> None:
    async with opened(f"{root}/file", "w+", encoding=encoding) as text:
        await text.write("größer\n")
        await text.seek(0)
        assert await text.read() == "größer\n"
    async with opened(f"{root}/file", "a+", encoding=encoding) as text:
        await text.write("mehr\n")
    async with opened(f"{root}/file", "r+", encoding=encoding) as text:
        assert await text.readline() == "größer\n"
        assert await text.readline() == "mehr\n"
    data = await file.read(f"{root}/file", binary=True)
    assert data == "größer\nmehr\n".encode(encoding)


async def test_a_write_that_is_cut_short_by_the_store_can_be_repeated(
    bucket: str, opened: Callable[..., Any]
) -> None:
    await file.write(f"{bucket}/file", "0123")
    with pytest.raises(ObjectChanged):
        async with opened(f"{bucket}/file", "r+") as found:
            await found.write("ours")
            await file.remove(f"{bucket}/file")
            for _ in range(2):
                with pytest.raises(ObjectChanged):
                    await found.flush()
    assert not await file.exists(f"{bucket}/file")


# What only files of `io` have


def test_a_mapped_file_is_written_back(obs_bucket: str) -> None:
    url = f"{obs_bucket}/file"
    aioobs.sync.file.write(url, "0123456789")
    with aioobs.sync.file.File(url, "rb+") as found:
        assert os.fstat(found.fileno()).st_size == 10
        with mmap.mmap(found.fileno(), 0) as memory:
            assert memory[:3] == b"012"
            for number, letter in enumerate(b"abc"):
                # In the time of the file only the first change of a page shows, if any.
                memory[number] = letter
                found.flush()
                assert aioobs.sync.file.read(url)[: number + 1] == "abc"[: number + 1]
            memory[9] = ord("!")
    assert aioobs.sync.file.read(url) == "abc345678!"


async def test_a_file_whose_descriptor_was_asked_for_is_not_written_if_it_is_the_same(
    bucket: str, recorder: Recorder
) -> None:
    def look() -> None:
        with aioobs.sync.file.File(f"{bucket}/file", "rb+") as found:
            assert os.pread(found.fileno(), 4, 0) == b"0123"

    await file.write(f"{bucket}/file", "0123")
    before = recorder.written
    await to_thread.run_sync(look)
    assert recorder.written == before


def test_a_forgotten_copy_is_not_written_back_and_gone(obs_bucket: str) -> None:
    url = f"{obs_bucket}/file"
    aioobs.sync.file.write(url, "old")
    found: Any = aioobs.sync.file.File(url, "r+")
    found.write("new")
    with pytest.warns(RuntimeWarning, match="nothing was published"):
        del found
    assert aioobs.sync.file.read(url) == "old"


def test_the_copy_is_a_file_of_io(obs_bucket: str, tmp_path: Path) -> None:
    for url in (f"{obs_bucket}/file", str(tmp_path / "file")):
        with aioobs.sync.file.File(url, "w+b") as found:
            assert isinstance(found, io.BufferedRandom)
            assert (found.readable(), found.writable(), found.seekable()) == (True, True, True)
            assert found.mode == "rb+"
            found.write(bytes(100))
        with pytest.raises(ValueError, match="closed"):
            found.fileno()


async def test_a_copy_needs_no_loop_but_to_come_and_go(bucket: str, recorder: Recorder) -> None:
    await file.write(f"{bucket}/file", NOISE[: 2 * MIB])

    def change() -> int:
        with aioobs.sync.file.File(f"{bucket}/file", "rb+") as found:
            before = len(recorder.requests)
            for place in range(0, 2 * MIB, 100_000):
                found.seek(place)
                assert found.read(1) == NOISE[place : place + 1]
                found.seek(place)
                found.write(b"x")
            return len(recorder.requests) - before

    assert await to_thread.run_sync(partial(change)) == 0


async def test_a_big_object_keeps_its_type_and_metadata_when_it_is_changed(
    bucket: str, opened: Callable[..., Any], client: Client
) -> None:
    name = bucket.partition("://")[2]
    await client.put_object(
        name, "file", NOISE, content_type="text/x-test", metadata={"author": "me"}
    )
    async with opened(f"{bucket}/file", "r+b") as found:
        await found.write(b"changed")
    info = await client.head_object(name, "file")
    assert info.etag.endswith("-4")  # it went back in parts
    assert (info.headers["content-type"], info.metadata) == ("text/x-test", {"author": "me"})


@pytest.mark.filterwarnings("ignore:.*(unclosed file|never awaited|WeakSet)")
def test_ctrl_c_at_any_moment_leaves_no_local_copy_open(obs_bucket: str) -> None:
    url = f"{obs_bucket}/name"
    aioobs.sync.file.write(url, b"content", binary=True)

    def program() -> None:
        with aioobs.sync.file.File(url, "r+b") as opened:
            opened.write(b"new")

    for at in range(1, 1000):
        if not ctrl_c(program, at, "/aioobs/sync/"):
            break
    assert 20 < at < 999
    gc.collect()
