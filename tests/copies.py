"""What tests of copies compare: contents, trees, and what must never be left over."""

from __future__ import annotations

import functools
import os
import random
import resource
from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from aioobs.errors import TransferFailed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aioobs.s3.client import Client

MIB = 1 << 20


@functools.lru_cache(4)  # making it takes longer than copying it
def noise(size: int, seed: int = 0) -> bytes:
    """Return bytes that no compression or mistake makes of others."""
    return random.Random(seed).randbytes(size)


def digest(data: bytes) -> str:
    """Return what stands for long bytes when pytest shows how two differ."""
    return sha256(data).hexdigest()


@contextmanager
def smallest_disk(size: int) -> Iterator[None]:
    """Let no file become longer, like a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def plant(
    mox: Any, root: str, files: dict[str, bytes], folders: tuple[str, ...] = ()
) -> None:
    """Make a tree."""
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


def names_of(folder: Path) -> list[str]:
    """Return the names of all that is below a local folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def staged_files(folder: Path) -> list[Path]:
    """Return the temporary files of copies below a local folder."""
    return [path for path in folder.rglob("*") if path.name.startswith(".aioobs-")]


def bucket_of(url: str) -> str:
    """Return the name of the bucket that a URL is in."""
    return url.partition("://")[2].partition("/")[0]


async def uploads(client: Client, url: str) -> list[str]:
    """Return the keys of a bucket's uploads that were neither completed nor aborted."""
    return [upload.key async for upload in client.list_multipart_uploads(bucket_of(url))]


def failures_of(error: BaseException) -> dict[str, OSError]:
    """Return what failed, by the last name of the file."""
    assert isinstance(error, TransferFailed)
    return {os.path.basename(str(failure.filename)): failure for failure in error.failures}
