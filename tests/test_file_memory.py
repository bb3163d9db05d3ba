"""How much memory an open file takes, whatever its size, and how parts grow with it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from aioobs.s3.parts import LARGEST_PUT, MOST_PARTS, SMALLEST_PART, streamed_part_size

ROOT = Path(__file__).resolve().parent.parent
MIB = 1 << 20
GROWTH = 80  # MiB, at most

PROGRAM = """
    import asyncio, resource, sys
    from aioobs.file import File

    def peak():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    async def write(url, size):
        piece = bytes(1 << 20)
        async with File(url, "wb") as file:
            for _ in range(size):
                await file.write(piece)

    async def read(url, size):
        async with File(url, "rb") as file:
            for _ in range(size):
                assert len(await file.read(1 << 20)) == 1 << 20
            assert await file.read(1) == b""

    async def main(act, url):
        await write(url + "/small", 2)
        await act(url + "/small", 2)
        before = peak()
        await act(url + "/large", 300)
        print(peak() - before >> 10)

    asyncio.run(main(globals()[sys.argv[1]], sys.argv[2]))
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_what_is_written_and_read(obs_bucket: str) -> None:
    for act in ("write", "read"):
        finished = subprocess.run(
            [sys.executable, "-c", dedent(PROGRAM), act, obs_bucket],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
        assert finished.returncode == 0, finished.stderr
        assert int(finished.stdout) < GROWTH, act


def test_parts_grow_so_that_there_are_never_too_many() -> None:
    wanted = 8 * MIB
    sizes = [streamed_part_size(number, wanted) for number in range(1, MOST_PARTS + 1)]
    assert sizes == sorted(sizes)
    assert sizes[:1000] == [wanted] * 1000
    assert max(sizes) <= LARGEST_PUT
    assert sum(sizes) > 5 << 40  # what the largest stores take
    assert streamed_part_size(1, 1) == SMALLEST_PART
