"""The async `File`: what `open` does, over local files and objects alike."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

import pytest
from copies import noise
from faulty import RESET, Answer, FaultyServer, Received, answer, stored

from aioobs import file
from aioobs.errors import NotFound
from aioobs.file import File

if TYPE_CHECKING:
    from pathlib import Path

    from aioobs.s3.client import Client
    from aioobs.session import Session

pytest_plugins = ["verbs"]

MIB = 1 << 20
POEM = "Erste Zeile\nzweite – größer\n\nletzte 😀 ohne Ende"
LINES = POEM.splitlines(keepends=True)


# Reading


async def test_text_is_read_as_a_whole_and_in_pieces(root: str) -> None:
    await file.write(f"{root}/poem", POEM)

    async with File(f"{root}/poem") as poem:
        assert await poem.read() == POEM
        assert await poem.read() == ""
    async with File(f"{root}/poem", "r") as poem:
        assert await poem.read(5) == POEM[:5]
        assert await poem.read(0) == ""
        assert await poem.read(12) == POEM[5:17]
        assert await poem.read(-1) == POEM[17:]


async def test_lines_are_read_with_their_ends(root: str) -> None:
    await file.write(f"{root}/poem", POEM)

    async with File(f"{root}/poem") as poem:
        assert await poem.readline() == LINES[0]
        assert await poem.readlines() == LINES[1:]
        assert await poem.readline() == ""
    async with File(f"{root}/poem", "rb") as poem:
        assert [line async for line in poem] == [line.encode() for line in LINES]


@pytest.mark.parametrize(
    ("newline", "expected"),
    [(None, ["a\n", "b\n", "c"]), ("\n", ["a\r\n", "b\n", "c"]), ("", ["a\r\n", "b\n", "c"])],
)
async def test_ends_of_lines_are_translated_as_open_does(
    root: str, newline: str | None, expected: list[str]
) -> None:
    await file.write(f"{root}/file", b"a\r\nb\nc")

    async with File(f"{root}/file", newline=newline) as lines:
        assert [line async for line in lines] == expected


async def test_text_of_another_encoding_is_read_and_written(root: str) -> None:
    async with File(f"{root}/file", "w", encoding="utf-16-le", newline="\r\n") as text:
        assert await text.write("ü\n") == 2
    assert await file.read(f"{root}/file", binary=True) == "ü\r\n".encode("utf-16-le")

    async with File(f"{root}/file", encoding="ascii", errors="replace") as text:
        assert "\ufffd" in await text.read()
    async with File(f"{root}/file", encoding="ascii") as text:
        with pytest.raises(UnicodeDecodeError):
            await text.read()


async def test_bytes_are_read_at_any_position(root: str) -> None:
    data = noise(3 * MIB + 17)
    await file.write(f"{root}/file", data)

    async with File(f"{root}/file", "rb") as found:
        assert await found.size() == len(data)
        assert await found.read(10) == data[:10]
        assert await found.tell() == 10
        assert await found.seek(5, os.SEEK_CUR) == 15
        assert await found.read(3) == data[15:18]
        assert await found.seek(-7, os.SEEK_END) == len(data) - 7
        assert await found.read(100) == data[-7:]
        assert await found.seek(2 * MIB) == 2 * MIB
        assert await found.read() == data[2 * MIB :]
        assert await found.seek(len(data) + 5) == len(data) + 5
        assert await found.read() == b""
        assert await found.seek(0) == 0
        pieces = [piece async for piece in found]
        assert b"".join(pieces) == data


async def test_a_file_tells_what_it_is(root: str) -> None:
    remote = root.startswith("s3://")
    abilities = {"w": (False, True), "r": (True, False), "rb+": (True, True), "a": (False, True)}
    for mode, expected in abilities.items():
        async with File(f"{root}/file", mode) as found:
            assert (found.readable(), found.writable()) == expected
            assert found.seekable() is (expected[0] or not remote)
            assert (found.name, found.mode, found.closed) == (f"{root}/file", mode, False)
            assert repr(found) == f"<File name='{root}/file' mode='{mode}'>"
            assert found.isatty() is False
            if remote:
                with pytest.raises(io.UnsupportedOperation):
                    found.fileno()
            else:
                assert os.fstat(found.fileno()).st_size == 0
        assert found.closed


async def test_the_next_line_can_be_asked_for(root: str) -> None:
    await file.write(f"{root}/file", "one\ntwo")

    async with File(f"{root}/file") as lines:
        assert [await lines.next(), await lines.next()] == ["one\n", "two"]
        with pytest.raises(StopAsyncIteration):
            await lines.next()


async def test_a_buffer_is_filled(root: str) -> None:
    await file.write(f"{root}/file", b"0123456789")
    buffer = bytearray(4)

    async with File(f"{root}/file", "rb") as found:
        counts = [await found.readinto(buffer) for _ in range(4)]
    assert counts == [4, 4, 2, 0]
    assert buffer == b"8967"


async def test_text_begins_again_at_its_start(root: str) -> None:
    await file.write(f"{root}/poem", POEM)

    async with File(f"{root}/poem") as poem:
        await poem.read()
        assert await poem.seek(0) == 0
        assert await poem.readline() == LINES[0]


async def test_an_empty_file_has_no_lines(root: str) -> None:
    await file.write(f"{root}/file", "")

    async with File(f"{root}/file") as found:
        assert await found.size() == 0
        assert [line async for line in found] == []
        assert await found.read() == ""


async def test_what_cannot_be_opened_is_an_error(root: str) -> None:
    await file.make_dirs(f"{root}/folder")

    for name in ("missing", "missing/file"):
        with pytest.raises(NotFound, match="missing"):
            await File(f"{root}/{name}").__aenter__()
    with pytest.raises(IsADirectoryError):
        await File(f"{root}/folder").__aenter__()
    for mode in ("", "rw", "z", "rbt", "rr"):
        with pytest.raises(ValueError, match="mode"):
            File(f"{root}/file", mode)
    with pytest.raises(ValueError, match="not supported"):
        File("http://host/file")


async def test_a_file_is_not_used_before_or_after_its_block(root: str) -> None:
    await file.write(f"{root}/file", "content")
    found = File(f"{root}/file")
    with pytest.raises(ValueError, match="async with"):
        await found.read()

    async with found:
        assert await found.read() == "content"
    for call in (found.read, found.readline, found.size, found.tell, found.flush):
        with pytest.raises(ValueError, match="async with"):
            await call()
    await found.aclose()


@pytest.fixture
def hasty(session: Session) -> None:
    """Have requests tried twice, the second time at once."""
    session.set({"attempts": 2, "retry_wait": 0.001})


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have something to sign with."""
    monkeypatch.setenv("ACCESS_KEY_ID", "test-access-key")
    monkeypatch.setenv("SECRET_ACCESS_KEY", "test-secret-key")


@pytest.mark.usefixtures("hasty", "credentials")
async def test_a_read_that_failed_can_be_repeated_at_the_same_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = noise(MIB)
    good = stored(data)
    with FaultyServer(good, RESET, RESET, always=good) as server:
        monkeypatch.setenv("S3_ENDPOINT", server.endpoint)
        async with File("s3://bucket/file", "rb") as found:
            assert await found.read(4) == data[:4]  # which came when it was opened
            await found.seek(600_000)
            with pytest.raises(ConnectionError):
                await found.read()
            assert await found.read() == data[600_000:]


# Writing


async def test_what_is_written_shows_when_the_block_ends(bucket: str) -> None:
    async with File(f"{bucket}/file", "w") as text:
        assert await text.write("ü") == 1
        await text.writelines(["a\n", "b"])
        assert await text.size() == await text.tell() == 5
        assert await file.exists(f"{bucket}/file") is False

    assert await file.read(f"{bucket}/file") == "üa\nb"


async def test_any_buffer_is_written(root: str) -> None:
    async with File(f"{root}/file", "wb") as data:
        assert await data.write(b"12") == 2
        await data.write(bytearray(b"34"))
        await data.write(memoryview(b"56"))

    assert await file.read(f"{root}/file", binary=True) == b"123456"


async def test_an_object_of_many_parts_is_written_in_pieces(bucket: str, client: Client) -> None:
    data, name = noise(17 * MIB), bucket.partition("://")[2]
    async with File(f"{bucket}/file", "wb") as found:
        for start in range(0, len(data), 700_001):
            await found.write(data[start : start + 700_001])

    assert await file.read(f"{bucket}/file", binary=True) == data
    assert [upload async for upload in client.list_multipart_uploads(name)] == []


@pytest.mark.parametrize("size", [10, 9 * MIB])
async def test_an_exception_in_the_block_publishes_nothing(
    bucket: str, client: Client, size: int
) -> None:
    await file.write(f"{bucket}/old", "old")
    for name in ("old", "new"):
        with pytest.raises(LookupError):
            async with File(f"{bucket}/{name}", "wb") as found:
                await found.write(bytes(size))
                raise LookupError

    assert await file.list_directory(bucket) == ["old"]
    assert await file.read(f"{bucket}/old") == "old"
    name = bucket.partition("://")[2]
    assert [upload async for upload in client.list_multipart_uploads(name)] == []


@pytest.mark.usefixtures("hasty", "credentials")
async def test_after_a_failed_write_nothing_is_published(monkeypatch: pytest.MonkeyPatch) -> None:
    def lose_parts(received: Received) -> Answer:
        if received.method == "PUT":
            return RESET
        begun = (
            "<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>"
        )
        return answer(body=begun) if received.method == "POST" else answer(204)

    with FaultyServer(always=lose_parts) as server:
        monkeypatch.setenv("S3_ENDPOINT", server.endpoint)
        found = await File("s3://bucket/file", "wb").__aenter__()
        await found.write(bytes(9 * MIB))
        with pytest.raises(ConnectionError):
            await found.flush()
        for call in (found.write(b"more"), found.flush(), found.aclose()):
            with pytest.raises(OSError, match="an earlier write to s3://bucket/file failed"):
                await call
    begun, *parts, ended = [request.method for request in server.requests]
    assert (begun, set(parts), ended) == ("POST", {"PUT"}, "DELETE")


async def test_flush_shows_what_was_written_so_far(root: str) -> None:
    async with File(f"{root}/file", "w") as text:
        await text.write("one ")
        await text.flush()
        assert await file.read(f"{root}/file") == "one "
        await text.write("two")
        await text.flush()
        assert await file.read(f"{root}/file") == "one two"

    assert await file.read(f"{root}/file") == "one two"


async def test_a_new_file_is_never_an_old_one(root: str) -> None:
    async with File(f"{root}/file", "x") as found:
        await found.write("first")

    with pytest.raises(FileExistsError):
        await File(f"{root}/file", "x").__aenter__()
    assert await file.read(f"{root}/file") == "first"


async def test_a_file_is_open_for_one_thing(root: str) -> None:
    await file.write(f"{root}/file", "content")

    async with File(f"{root}/file", "rb") as found:
        with pytest.raises(io.UnsupportedOperation):
            await found.write(b"x")
        assert await found.read() == b"content"
    async with File(f"{root}/other", "wb") as found:
        with pytest.raises(io.UnsupportedOperation):
            await found.read()
        await found.write(b"still good")
    assert await file.read(f"{root}/other") == "still good"


async def test_a_local_file_is_read_and_written_in_place(tmp_path: Path) -> None:
    await file.write(tmp_path / "file", "0123")

    async with File(tmp_path / "file", "r+") as found:
        assert await found.read(1) == "0"
        await found.seek(0)
        await found.write("x")
    async with File(tmp_path / "file", "a") as found:
        await found.write("4")
    assert await file.read(tmp_path / "file") == "x1234"
