"""cat, head, and the ``-`` of cp: the standard input and output."""

from __future__ import annotations

import os
import select
import sys
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING

from aioobs import file
from aioobs.cli.failures import UsageError
from aioobs.cli.items import expand
from aioobs.cli.output import say_json
from aioobs.cli.tally import Bar
from aioobs.io.writer import open_writer
from aioobs.session import current_client
from aioobs.threads import in_thread
from aioobs.transfer.progress import Progress

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from aioobs.cli.tally import Tally
    from aioobs.store.headers import Headers

    Write = Callable[[bytes], Awaitable[int]]

__all__ = ["cat", "copy_stream", "head"]

CHUNK = 1 << 20
LOOK_UP = 0.2  # seconds between two looks whether somebody still wants the standard input


async def cat(given: argparse.Namespace, _: Tally) -> int:
    """Write files to the standard output, one after the other."""
    for path, _by_pattern in await expand(given.paths):
        await to_output(path)
    return 0


async def to_output(path: str, moved: Callable[[int], None] = lambda _: None) -> None:
    """Write a file to the standard output; *moved* is called with numbers of bytes."""
    async with file.File(path, "rb") as source:
        while data := await source.read(CHUNK):
            await in_thread(write_out, data)
            moved(len(data))


async def head(given: argparse.Namespace, _: Tally) -> int:
    """Write the first lines or bytes of files to the standard output."""
    for path, _by_pattern in await expand(given.paths):
        async with file.File(path, "rb") as source:
            left = given.lines if given.bytes is None else given.bytes
            while left > 0:
                if given.bytes is None:
                    data = await source.readline()
                    left -= 1
                else:
                    data = await source.read(min(left, CHUNK))
                    left -= len(data)
                if not data:
                    break
                await in_thread(write_out, data)
    return 0


@asynccontextmanager
async def made(target: str, headers: Headers | None) -> AsyncIterator[Write]:
    """Make a file of what is written, if the block ends well; an object can be given headers."""
    if headers is None:
        async with file.File(target, "wb") as written:
            yield written.write
        return
    client = current_client()
    writer = await open_writer(client, target, exclusive=False, flush_interval=0, headers=headers)
    try:
        yield lambda data: writer.write(memoryview(data))
    except BaseException:
        await writer.abort()
        raise
    await writer.aclose()


async def from_input(target: str, headers: Headers | None, moved: Callable[[int], None]) -> None:
    """Write the standard input to a file, which appears when the input has ended."""
    async with made(target, headers) as write:
        while True:
            data = await in_thread(read_in)
            if data is None:
                continue
            if not data:
                return
            await write(data)
            moved(len(data))


async def copy_stream(
    source: str, target: str, given: argparse.Namespace, tally: Tally, headers: Headers | None
) -> int:
    """Copy from the standard input, or to the standard output."""
    if source == target or given.dry_run:
        raise UsageError("- stands for one side of a copy that takes place")
    if source == "-" and target.endswith("/"):
        raise UsageError(f"the standard input has no name: write one after {target}")
    if given.json and target == "-":
        raise UsageError("--json would stand among the data on the standard output")
    bar = Bar(wanted=not (given.no_progress or given.json))
    moved = partial(count, tally, bar)
    tally.verb = "copied" if source == "-" else ""
    try:
        if source == "-":
            await from_input(target, headers, moved)
        else:
            await to_output(source, moved)
    finally:
        bar.end()
    if given.json:
        say_json(operation="copy", source=source, target=target, size=tally.bytes, dry_run=False)
    return 0


def count(tally: Tally, bar: Bar, size: int) -> None:
    tally.bytes += size
    bar.update(Progress(0, 0, tally.bytes, 0, 0, totals_known=False))


def read_in() -> bytes | None:
    """Return what comes from the standard input, `None` if nothing did for a while.

    Whoever waits can give up in between.
    """
    with named("standard input"):
        if not select.select([0], [], [], LOOK_UP)[0]:
            return None
        return os.read(0, CHUNK)


def write_out(data: bytes) -> None:
    with named("standard output"):
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


@contextmanager
def named(stream: str) -> Iterator[None]:
    """Have errors say which stream they are of."""
    try:
        yield
    except OSError as error:
        error.filename = stream
        raise
