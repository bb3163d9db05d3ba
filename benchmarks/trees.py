"""Trees of files to copy: what is in them, and writing them."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30

TREES = ("small", "medium", "mixed", "big")
SEED = 7
BLOCK = MIB
DEMO_FOLDERS = (
    "plain",
    "with space",
    "größe",
    "a+b & 100%",
    "数据/训练集",
    "снимки/2026/11",
    "🚀/deep/down/here",
)
DEMO_EMPTY_FOLDERS = ("empty", "数据/空", "снимки/2026/12", "plain/nothing here")
DEMO_BIG = {"big/model.bin": 0.48, "big/a.bin": 0.18, "big/b.bin": 0.18, "big/rest.bin": 0.16}


class Content(NamedTuple):
    """How much is in a tree."""

    files: int
    bytes: int


def sizes_of(tree: str, scale: float = 1.0) -> dict[str, int]:
    """Return the files of one of `TREES`, their sizes by name.

    A *scale* other than 1 makes more or fewer files, and in big more or fewer bytes.
    """
    if tree == "big":
        return {"000000.bin": max(round(GIB * scale), 1)}
    if tree == "small":
        sizes = [4 * KIB] * max(round(5000 * scale), 1)
    elif tree == "medium":
        sizes = [100 * KIB] * max(round(2000 * scale), 1)
    else:
        sizes = spread(max(round(500 * scale), 1), KIB, 8 * MIB)
    return {f"{index // 100:03}/{index:06}.bin": size for index, size in enumerate(sizes)}


def demo_sizes(files: int, total: int) -> dict[str, int]:
    """Return the files of the demo: so many small ones, some of them empty, and a few big ones.

    The small ones have 1 to 64 KiB, or less if that would be more than half of *total*.
    """
    small = spread(files, KIB, 64 * KIB)
    small[1::50] = [0] * len(small[1::50])
    shrink = min(1.0, total / 2 / max(sum(small), 1))
    sizes = {
        f"{DEMO_FOLDERS[index % len(DEMO_FOLDERS)]}/{index // 500:02}/{index:05}.bin": int(
            size * shrink
        )
        for index, size in enumerate(small)
    }
    rest = total - sum(sizes.values())
    return sizes | {name: int(rest * share) for name, share in DEMO_BIG.items()}


def spread(count: int, low: int, high: int) -> list[int]:
    """Return sizes that are as often below as above the geometric middle of *low* and *high*."""
    chance = random.Random(SEED)  # noqa: S311 - always the same ones
    return [int(low * (high / low) ** chance.random()) for _ in range(count)]


def write_tree(root: Path, sizes: Mapping[str, int]) -> None:
    """Write files of these sizes, with bytes that no store can compress."""
    chance = random.Random(SEED)  # noqa: S311
    for name, size in sizes.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            for offset in range(0, size, BLOCK):
                file.write(chance.randbytes(min(BLOCK, size - offset)))


def files_of(root: str) -> Iterator[tuple[str, str]]:
    """Yield each file of a tree, as a path and as a name with slashes relative to *root*."""
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)
            yield path, os.path.relpath(path, root).replace(os.sep, "/")


def content_of(root: Path) -> Content:
    """Count the files of a tree and their bytes."""
    sizes = [os.path.getsize(path) for path, _ in files_of(str(root))]
    return Content(len(sizes), sum(sizes))
