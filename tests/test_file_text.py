"""Text over objects: positions, ends of lines and byte order marks, as for `open`."""

from __future__ import annotations

import io
import os
import random
from typing import TYPE_CHECKING, Any

import pytest

from aioobs import file
from aioobs.file import File

if TYPE_CHECKING:
    from collections.abc import Callable

    from both import Recorder

pytest_plugins = ["verbs", "both"]

ENCODINGS = [
    "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "gb18030", "shift_jis", "iso2022_jp",
    "latin-1",
]  # fmt: skip
NEWLINES = [None, "", "\n", "\r", "\r\n"]
LETTERS = {"latin-1": "aü", "gb18030": "aü中😀", "utf-8": "aü中😀"}


def text_of(encoding: str, characters: int, seed: int = 0) -> str:
    """Return lines of many lengths, with every kind of end."""
    chance = random.Random(seed)
    letters = LETTERS.get(encoding, "a中かabc" if "j" in encoding else "aü中")
    pieces = []
    while characters > 0:
        length = chance.choice((0, 1, 5, 80, 300))
        line = "".join(chance.choices(letters, k=length)) + chance.choice(("\n", "\r\n", "\r"))
        pieces.append(line)
        characters -= len(line)
    return "".join(pieces) + "Ende".replace("E", letters[0])


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("newline", NEWLINES)
async def test_every_line_is_found_again_at_its_place(
    bucket: str, opened: Callable[..., Any], encoding: str, newline: str | None
) -> None:
    text = text_of(encoding, 80_000)
    data = text.encode(encoding)
    await file.write(f"{bucket}/file", data)
    lines = list(io.TextIOWrapper(io.BytesIO(data), encoding, newline=newline))
    async with opened(f"{bucket}/file", encoding=encoding, newline=newline) as found:
        assert await found.tell() == 0
        places = []
        while True:
            places.append(await found.tell())
            if not (line := await found.readline()):
                break
            assert line == lines[len(places) - 1]
        assert len(places) == len(lines) + 1
        chance = random.Random(1)
        for _ in range(60):
            number = chance.randrange(len(lines))
            assert await found.seek(places[number]) == places[number]
            await found.seek(await found.tell())
            assert await found.readline() == lines[number]
            assert await found.read(3) == "".join(lines[number + 1 : number + 4])[:3]
        await found.seek(places[-1])
        assert await found.read() == ""
        await found.seek(places[len(lines) // 2])
        assert await found.read() == "".join(lines[len(lines) // 2 :])
        await found.seek(0)
        assert await found.read() == "".join(lines)
        await found.seek(0, os.SEEK_END)
        assert await found.read() == ""


@pytest.mark.parametrize("newline", NEWLINES)
async def test_parts_of_lines_are_what_open_gives(
    root: str, opened: Callable[..., Any], newline: str | None
) -> None:
    data = text_of("utf-8", 200_000).encode()
    await file.write(f"{root}/file", data)
    memory, chance = io.TextIOWrapper(io.BytesIO(data), "utf-8", newline=newline), random.Random(3)
    async with opened(f"{root}/file", newline=newline) as found:
        for _ in range(1500):
            size = chance.choice((-1, -1, 0, 1, 7, 100, 1000))
            if chance.random() < 0.1:
                assert await found.read(size % 500) == memory.read(size % 500)
            else:
                assert await found.readline(size) == memory.readline(size)
        assert await found.read() == memory.read()
        assert await found.readline() == ""


async def test_a_very_long_line_is_read(root: str, opened: Callable[..., Any]) -> None:
    line = "ü" * 5_000_000 + "\n"
    await file.write(f"{root}/file", "first\n" + line + "last")
    async with opened(f"{root}/file") as found:
        assert await found.readline() == "first\n"
        assert await found.readline(1_500_000) == line[:1_500_000]
        assert await found.readline() == line[1_500_000:]
        assert await found.readline() == "last"


async def test_many_short_lines_take_few_requests(bucket: str, recorder: Recorder) -> None:
    await file.write(f"{bucket}/file", "line\n" * 400_000)
    before, count = len(recorder.requests), 0
    async with File(f"{bucket}/file") as found:
        async for line in found:
            count += line == "line\n"
    assert count == 400_000
    assert len(recorder.requests) - before < 12


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-32"])
async def test_a_byte_order_mark_is_written_once(
    root: str, opened: Callable[..., Any], encoding: str
) -> None:
    for mode in ("w", "x", "a"):
        async with opened(f"{root}/{mode}", mode, encoding=encoding) as text:
            await text.write("eins\n")
            await text.flush()
            await text.write("zwei\n")
        async with opened(f"{root}/{mode}", "a", encoding=encoding) as text:
            await text.write("drei\n")
        data = await file.read(f"{root}/{mode}", binary=True)
        assert data == "eins\nzwei\ndrei\n".encode(encoding)
        async with opened(f"{root}/{mode}", encoding=encoding) as text:
            assert await text.read() == "eins\nzwei\ndrei\n"
            await text.seek(0)
            assert await text.readline() == "eins\n"


async def test_text_that_cannot_be_decoded_is_an_error_every_time(
    bucket: str, opened: Callable[..., Any]
) -> None:
    await file.write(f"{bucket}/file", b"good\n" * 30_000 + b"\xff\n")
    async with opened(f"{bucket}/file") as found:
        assert await found.readline() == "good\n"
        with pytest.raises(UnicodeDecodeError):
            await found.read()
    async with File(f"{bucket}/file") as text:
        for _ in range(2):
            with pytest.raises(UnicodeDecodeError):
                await text.read()
        assert await text.readline() == "good\n"


async def test_options_that_do_not_fit_are_refused(root: str, opened: Callable[..., Any]) -> None:
    await file.write(f"{root}/file", "content")
    for mode, options in (
        ("r", {"newline": "x"}),
        ("rb", {"encoding": "utf-8"}),
        ("wb", {"newline": ""}),
        ("w", {"buffering": 0}),
    ):
        with pytest.raises(ValueError, match=r"newline|binary|buffer"):
            await opened(f"{root}/file", mode, **options).__aenter__()
    with pytest.raises(LookupError):
        await opened(f"{root}/file", encoding="no-such-encoding").__aenter__()
    assert await file.read(f"{root}/file") == "content"
