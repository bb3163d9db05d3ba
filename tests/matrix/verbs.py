"""The verbs: what each is tried on, and what has to be there when it has succeeded or failed."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from anyio import to_thread

from aioobs import file
from aioobs.errors import NotFound
from aioobs.file import File
from aioobs.sync import file as sync

if TYPE_CHECKING:
    from aioobs.s3.client import Client

__all__ = ["BIG", "FAILED", "READING", "SIZES", "VERBS", "Place", "Trial", "Verb"]

MIB = 1 << 20
NOISE = random.Random(0).randbytes(6 * MIB)
BIG = NOISE[: 5 * MIB + 70_000]
OLD, NEW, MORE = NOISE[-9000:-6000], NOISE[-6000:-3000], NOISE[-3000:]
TREE = {
    "a.txt": NOISE[:1000],
    "b.txt": NOISE[1000:3000],
    "deep/c.txt": NOISE[3000:3100],
    "deep/d.bin": NOISE[4000:9000],
    "deep/down/e.txt": b"",
    "deep/down/f.txt": b"f",
    "g/h.txt": NOISE[9000:9900],
    "g/i.bin": NOISE[500:900],
    "z.txt": b"the last one",
}
FOLDERS = ["deep", "deep/down", "g"]
SIZES = {"multipart_threshold": 5 * MIB, "part_size": 5 * MIB, "largest_copy": 5 * MIB}
"""What makes an object of 5 MiB a big one."""
CALM = "calm"
"""A folder with which nothing goes wrong."""
FAILED = object()
"""The result of a verb that has raised an error."""


@dataclass
class Place:
    """A folder in the store and a local one, for one trial of one verb."""

    bucket: str
    folder: str
    local: Path
    direct: Client
    """Reaches the store without anything that goes wrong."""
    planted: set[str] | None = None
    """The objects that are there from an earlier trial, of a verb that changes none."""

    @property
    def url(self) -> str:
        """The folder in the store."""
        return f"s3://{self.bucket}/{self.folder}"

    async def put(self, name: str, content: bytes) -> None:
        """Make an object."""
        if self.planted is not None:
            if name in self.planted:
                return
            self.planted.add(name)
        await self.direct.put_object(self.bucket, f"{self.folder}/{name}", content)

    async def get(self, name: str) -> bytes | None:
        """Return the content of an object; `None`: there is none."""
        try:
            return await self.direct.get_object(self.bucket, f"{self.folder}/{name}")
        except NotFound:
            return None

    async def put_tree(self, name: str) -> None:
        """Make the objects of the tree."""
        await asyncio.gather(*(self.put(f"{name}/{key}", TREE[key]) for key in TREE))

    async def tree(self, name: str) -> dict[str, bytes]:
        """Return the objects of a tree by their names, without those that vanish meanwhile."""
        start = len(f"{self.folder}/{name}/")
        names = [
            item.key[start:]
            async for page in self.direct.list_pages(self.bucket, f"{self.folder}/{name}/")
            for item in page.objects
        ]
        found = await asyncio.gather(*(self.get(f"{name}/{key}") for key in names))
        pairs = zip(names, found, strict=True)
        return {key: content for key, content in pairs if content is not None}

    def make(self, name: str, content: bytes) -> Path:
        """Make a local file."""
        path = self.local / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def make_tree(self, name: str) -> Path:
        """Make the local files of the tree."""
        for key, content in TREE.items():
            self.make(f"{name}/{key}", content)
        return self.local / name

    def files(self) -> dict[str, bytes]:
        """Return all local files, hidden ones too."""
        return {
            os.path.relpath(os.path.join(folder, name), self.local): Path(folder, name).read_bytes()
            for folder, _, names in os.walk(self.local)
            for name in names
        }


class Trial(NamedTuple):
    """A verb that is ready to be tried."""

    act: Callable[[], Awaitable[Any]]
    check: Callable[[Any], Awaitable[None]]
    """Takes the result, or `FAILED`."""


Verb = Callable[[Place], Awaitable[Trial]]
VERBS: dict[str, Verb] = {}
READING: set[str] = set()
"""Those that change nothing in the store."""


def verb(make: Verb) -> Verb:
    VERBS[make.__name__] = make
    return make


def reading(make: Verb) -> Verb:
    READING.add(make.__name__)
    return verb(make)


def returns(act: Callable[[], Awaitable[Any]], expected: Any) -> Trial:
    """Return the trial of what changes nothing."""

    async def check(result: Any) -> None:
        assert result is FAILED or result == expected, "wrong result"

    return Trial(act, check)


def publishes(
    place: Place, act: Callable[[], Awaitable[Any]], before: bytes | None, after: bytes
) -> Trial:
    """Return the trial of what makes an object."""

    async def check(result: Any) -> None:
        found = await place.get("target")
        assert found == after or (result is FAILED and found == before), "wrong content"

    return Trial(act, check)


def downloads(place: Place, act: Callable[[], Awaitable[Any]], content: bytes) -> Trial:
    """Return the trial of what makes a local file of an object."""

    async def check(result: Any) -> None:
        found = place.files()
        assert found == {"target": content} or (result is FAILED and not found), "wrong files"

    return Trial(act, check)


# ── one object ──


@reading
async def read(place: Place) -> Trial:
    await place.put("source", OLD)
    return returns(lambda: file.read(f"{place.url}/source", binary=True), OLD)


@reading
async def read_big(place: Place) -> Trial:
    await place.put("source", BIG)
    return returns(lambda: file.read(f"{place.url}/source", binary=True), BIG)


@verb
async def write(place: Place) -> Trial:
    await place.put("target", OLD)
    return publishes(place, lambda: file.write(f"{place.url}/target", NEW), OLD, NEW)


@verb
async def write_big(place: Place) -> Trial:
    return publishes(place, lambda: file.write(f"{place.url}/target", BIG), None, BIG)


@verb
async def append(place: Place) -> Trial:
    await place.put("target", OLD)
    return publishes(place, lambda: file.append(f"{place.url}/target", MORE), OLD, OLD + MORE)


@verb
async def append_big(place: Place) -> Trial:
    await place.put("target", BIG)
    return publishes(place, lambda: file.append(f"{place.url}/target", MORE), BIG, BIG + MORE)


@reading
async def stat(place: Place) -> Trial:
    await place.put("source", OLD)

    async def act() -> tuple[int, bool]:
        found = await file.stat(f"{place.url}/source")
        return found.length, found.is_directory

    return returns(act, (len(OLD), False))


@reading
async def exists(place: Place) -> Trial:
    await place.put("folder/file", OLD)
    names = ["folder", "folder/file", "missing"]

    async def act() -> list[bool]:
        return [await file.exists(f"{place.url}/{name}") for name in names]

    return returns(act, [True, True, False])


@verb
async def remove(place: Place) -> Trial:
    await place.put("file", OLD)
    await place.put("file2", OLD)

    async def check(result: Any) -> None:
        assert await place.get("file") in ((None, OLD) if result is FAILED else (None,))
        assert await place.get("file2") == OLD

    return Trial(lambda: file.remove(f"{place.url}/file"), check)


# ── on the thread of a blocking caller ──


async def in_thread_of_its_own(place: Place, act: Callable[[str], Any]) -> Any:
    """Call blocking code with the URL of a folder, on a thread that has a connection."""
    await place.direct.put_object(place.bucket, f"{CALM}/file", OLD)

    def call() -> Any:
        for _ in range(2):
            assert sync.exists(f"s3://{place.bucket}/{CALM}/file")
        return act(place.url)

    return await to_thread.run_sync(call)


@reading
async def blocking_read(place: Place) -> Trial:
    await place.put("source", OLD)

    def read(url: str) -> list[Any]:
        source = f"{url}/source"
        with sync.File(source, "rb") as opened:
            opened.seek(100)
            found = opened.read(50)
        return [sync.read(source, binary=True), sync.get_size(source), found]

    return returns(partial(in_thread_of_its_own, place, read), [OLD, len(OLD), OLD[100:150]])


@verb
async def blocking_write(place: Place) -> Trial:
    await place.put("target", OLD)

    def write(url: str) -> None:
        sync.write(f"{url}/target", NEW, binary=True)

    return publishes(place, partial(in_thread_of_its_own, place, write), OLD, NEW)


# ── copies of a file ──


@verb
async def copy_up(place: Place) -> Trial:
    source = place.make("source", NEW)
    return publishes(place, lambda: file.copy(source, f"{place.url}/target"), None, NEW)


@verb
async def copy_up_big(place: Place) -> Trial:
    source = place.make("source", BIG)
    return publishes(place, lambda: file.copy(source, f"{place.url}/target"), None, BIG)


@reading
async def copy_down(place: Place) -> Trial:
    await place.put("source", OLD)
    return downloads(place, lambda: file.copy(f"{place.url}/source", place.local / "target"), OLD)


@reading
async def copy_down_big(place: Place) -> Trial:
    await place.put("source", BIG)
    return downloads(place, lambda: file.copy(f"{place.url}/source", place.local / "target"), BIG)


@verb
async def copy_across(place: Place) -> Trial:
    await place.put("source", OLD)
    act = partial(file.copy, f"{place.url}/source", f"{place.url}/target")
    return publishes(place, act, None, OLD)


@verb
async def copy_across_big(place: Place) -> Trial:
    await place.put("source", BIG)
    act = partial(file.copy, f"{place.url}/source", f"{place.url}/target")
    return publishes(place, act, None, BIG)


# ── copies and moves of trees ──


def part_of_tree(found: dict[str, Any], *, whole: bool) -> None:
    """Check that every file is as it was, and all of them are there if they have to be."""
    assert found.items() <= TREE.items(), "a file that is not one of the source"
    assert not whole or found.keys() == TREE.keys(), "a file is missing"


@verb
async def parallel_up(place: Place) -> Trial:
    source = place.make_tree("source")

    async def check(result: Any) -> None:
        part_of_tree(await place.tree("target"), whole=result is not FAILED)

    return Trial(lambda: file.copy_parallel(source, f"{place.url}/target"), check)


@reading
async def parallel_down(place: Place) -> Trial:
    await place.put_tree("source")

    async def check(result: Any) -> None:
        found = {name.removeprefix("target/"): data for name, data in place.files().items()}
        part_of_tree(found, whole=result is not FAILED)

    return Trial(lambda: file.copy_parallel(f"{place.url}/source", place.local / "target"), check)


@verb
async def parallel_across(place: Place) -> Trial:
    await place.put_tree("source")

    async def check(result: Any) -> None:
        part_of_tree(await place.tree("target"), whole=result is not FAILED)

    act = partial(file.copy_parallel, f"{place.url}/source", f"{place.url}/target")
    return Trial(act, check)


def moves(found: dict[str, Any], source: dict[str, Any], result: Any) -> None:
    """Check that what is not in the source any more is in the target."""
    part_of_tree(source, whole=False)
    part_of_tree(found, whole=result is not FAILED)
    assert {**source, **found}.keys() == TREE.keys(), "a file is lost"
    assert result is FAILED or not source, "the source is still there"


@verb
async def rename(place: Place) -> Trial:
    await place.put("source", OLD)

    async def check(result: Any) -> None:
        source, target = await place.get("source"), await place.get("target")
        assert (source, target) == (None, OLD) or (
            result is FAILED and source == OLD and target in (None, OLD)
        ), "neither here nor there"

    return Trial(lambda: file.rename(f"{place.url}/source", f"{place.url}/target"), check)


@verb
async def rename_tree(place: Place) -> Trial:
    await place.put_tree("source")

    async def check(result: Any) -> None:
        moves(await place.tree("target"), await place.tree("source"), result)

    return Trial(lambda: file.rename(f"{place.url}/source", f"{place.url}/target"), check)


@verb
async def rename_up(place: Place) -> Trial:
    source = place.make_tree("source")

    async def check(result: Any) -> None:
        left = {name.removeprefix("source/"): data for name, data in place.files().items()}
        moves(await place.tree("target"), left, result)

    return Trial(lambda: file.rename(source, f"{place.url}/target"), check)


@verb
async def rename_down(place: Place) -> Trial:
    await place.put_tree("source")

    async def check(result: Any) -> None:
        found = {name.removeprefix("target/"): data for name, data in place.files().items()}
        moves(found, await place.tree("source"), result)

    return Trial(lambda: file.rename(f"{place.url}/source", place.local / "target"), check)


@verb
async def remove_tree(place: Place) -> Trial:
    await place.put_tree("tree")
    await place.put("tree2", OLD)

    async def check(result: Any) -> None:
        left = await place.tree("tree")
        assert result is FAILED or not left
        part_of_tree(left, whole=False)
        assert await place.get("tree2") == OLD

    return Trial(lambda: file.remove(f"{place.url}/tree", recursive=True), check)


# ── listings ──


@reading
async def list_directory(place: Place) -> Trial:
    await place.put_tree("tree")
    act = partial(file.list_directory, f"{place.url}/tree", recursive=True)
    return returns(act, sorted([*TREE, *FOLDERS]))


@reading
async def glob(place: Place) -> Trial:
    await place.put_tree("tree")
    expected = sorted(f"{place.url}/tree/{name}" for name in TREE if name.endswith(".txt"))
    return returns(lambda: file.glob(f"{place.url}/tree/**/*.txt"), expected)


@reading
async def walk(place: Place) -> Trial:
    await place.put_tree("tree")

    def raise_it(error: OSError) -> None:
        raise error

    async def act() -> list[Any]:
        root = f"{place.url}/tree"
        return [step async for step in file.walk(root, onerror=raise_it)]

    root = f"{place.url}/tree"
    expected = [
        (root, ["deep", "g"], ["a.txt", "b.txt", "z.txt"]),
        (f"{root}/deep", ["down"], ["c.txt", "d.bin"]),
        (f"{root}/deep/down", [], ["e.txt", "f.txt"]),
        (f"{root}/g", [], ["h.txt", "i.bin"]),
    ]
    return returns(act, expected)


# ── open files, and copies in the background ──


@reading
async def file_read(place: Place) -> Trial:
    await place.put("source", BIG)

    async def act() -> list[bytes]:
        async with File(f"{place.url}/source", "rb") as found:
            first = await found.read(200_000)
            await found.seek(5 * MIB)
            return [first, await found.read()]

    return returns(act, [BIG[:200_000], BIG[5 * MIB :]])


def writing(place: Place, mode: str, *pieces: bytes) -> Callable[[], Awaitable[None]]:
    async def act() -> None:
        async with File(f"{place.url}/target", mode) as found:
            for piece in pieces:
                await found.write(piece)

    return act


@verb
async def file_write(place: Place) -> Trial:
    await place.put("target", OLD)
    return publishes(place, writing(place, "wb", NEW, MORE), OLD, NEW + MORE)


@verb
async def file_write_big(place: Place) -> Trial:
    return publishes(place, writing(place, "wb", BIG[:MIB], BIG[MIB:]), None, BIG)


@verb
async def file_append(place: Place) -> Trial:
    await place.put("target", OLD)
    return publishes(place, writing(place, "ab", MORE), OLD, OLD + MORE)


@verb
async def background(place: Place) -> Trial:
    source = place.make_tree("source")

    async def act() -> None:
        async with file.background_sync_copy(source, f"{place.url}/target", seconds=0.02):
            pass

    async def check(result: Any) -> None:
        part_of_tree(await place.tree("target"), whole=result is not FAILED)

    return Trial(act, check)
