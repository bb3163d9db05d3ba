"""What every installation has to be able to do; run by the interpreter that it is in."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path

import aioobs
import aioobs.sync as mox
from aioobs.testing import LocalServer


async def copied(url: str, target: Path) -> list[str]:
    """Copy from the store to a folder, and return what is there."""
    await aioobs.file.copy_parallel(url, target)
    async with aioobs.Client() as client:
        info = await client.head_object("bucket", "data/1")
        assert info.size == len("number 1")
    return sorted(path.name for path in target.iterdir())


def main() -> None:
    """Go once there and back."""
    assert Path(aioobs.__file__).is_relative_to(sys.prefix), aioobs.__file__
    with LocalServer() as server, tempfile.TemporaryDirectory() as name:
        os.environ.update(server.environment)
        server.create_bucket("bucket")
        source = Path(name, "source")
        source.mkdir()
        for number in range(50):
            (source / str(number)).write_text(f"number {number}")
        mox.file.copy_parallel(source, "s3://bucket/data")
        with mox.file.File("s3://bucket/data/7") as file:
            assert file.read() == "number 7"
        names = asyncio.run(copied("s3://bucket/data", Path(name, "target")))
        assert names == sorted(map(str, range(50)))
    print(f"aioobs {aioobs.__version__} on Python {sys.version.partition(' ')[0]}")


if __name__ == "__main__":
    main()
