"""bench: how fast the store is from here, as copies would use it."""

from __future__ import annotations

import os
import secrets
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from aioobs.cli.buckets import remote_url
from aioobs.cli.failures import tell
from aioobs.cli.output import readable, say, say_json
from aioobs.session import current_client
from aioobs.store.remote import RemoteStore
from aioobs.threads import in_thread, to_its_end
from aioobs.transfer.engine import CopyOptions, copy_file, copy_tree

if TYPE_CHECKING:
    import argparse
    from collections.abc import Awaitable

    from aioobs.cli.tally import Tally
    from aioobs.s3.client import Client
    from aioobs.url import ObjectURL

__all__ = ["bench"]

CALLS = 30
SMALL = 4096  # bytes


async def bench(given: argparse.Namespace, _: Tally) -> int:
    """Measure latency, small files and a big one, in a folder that is removed in the end."""
    place = remote_url(given.url) / f".aioobs-bench-{secrets.token_hex(8)}"
    with tempfile.TemporaryDirectory(prefix="aioobs-bench-") as folder:
        bench = Bench(current_client(), place, folder, given)
        await in_thread(bench.prepare)
        await bench.begin()
        try:
            await bench.latency()
            await bench.small_files()
            await bench.big_file()
        finally:
            await to_its_end(bench.clean_up())
    return 0


class Bench:
    """Measurements of one store, in one place of it."""

    def __init__(
        self, client: Client, place: ObjectURL, folder: str, given: argparse.Namespace
    ) -> None:
        self._client = client
        self._place = place
        self._folder = folder
        self._files = max(given.files, 1)
        self._size = max(given.size, 1)
        self._jobs = given.jobs
        self._as_json = given.json

    def prepare(self) -> None:
        """Write the files that are sent: of noise, for the way may compress what it can."""
        small = Path(self._folder, "small")
        small.mkdir()
        for number in range(self._files):
            (small / str(number)).write_bytes(os.urandom(SMALL))
        with open(Path(self._folder, "big"), "wb") as file:
            left = self._size
            while left:
                left -= file.write(os.urandom(min(left, 1 << 20)))

    async def begin(self) -> None:
        """Write an object, which may not be allowed."""
        one = self._place / "one"
        await self._client.put_object(one.bucket, one.key, b"x")

    async def latency(self) -> None:
        """Time requests that follow one another."""
        bucket, key = self._place.bucket, (self._place / "one").key
        times = [await self._timed(self._client.head_object(bucket, key)) for _ in range(CALLS)]
        middle = statistics.median(times) * 1000
        slow = statistics.quantiles(times, n=10)[-1] * 1000
        text = f"{middle:.1f} ms, one of ten takes {slow:.1f} ms or more"
        self._tell("latency", text, milliseconds=round(middle, 3), slow=round(slow, 3))

    async def small_files(self) -> None:
        """Copy many small files up and down, and remove them."""
        there, back = self._place / "small", str(Path(self._folder, "small-back"))
        for name, source, target in (
            ("small files up", str(Path(self._folder, "small")), there),
            ("small files down", there, back),
        ):
            copy = copy_tree(self._client, source, target, CopyOptions(threads=self._jobs))
            self._tell_rate(name, await self._timed(copy))
        remove = RemoteStore(self._client).remove(str(there), recursive=True)
        self._tell_rate("removal", await self._timed(remove))

    async def big_file(self) -> None:
        """Copy a big file up and down."""
        there, back = self._place / "big", str(Path(self._folder, "big-back"))
        parts = readable(self._client.config.part_size)
        for name, source, target in (
            ("big file up", str(Path(self._folder, "big")), there),
            ("big file down", there, back),
        ):
            copy = copy_file(self._client, source, target, CopyOptions(threads=self._jobs))
            seconds = await self._timed(copy)
            rate = self._size / seconds
            text = f"{readable(rate)}/s ({readable(self._size)} in parts of {parts})"
            self._tell(name, text, bytes_per_second=round(rate))

    async def clean_up(self) -> None:
        """Remove what was written to the store."""
        store = RemoteStore(self._client)
        try:
            if await store.is_directory(str(self._place)):
                await store.remove(str(self._place), recursive=True)
        except OSError as error:
            tell(f"{self._place} may not be empty: {error}; aioobs rm -r {self._place}")

    @staticmethod
    async def _timed(work: Awaitable[object]) -> float:
        begin = time.perf_counter()
        await work
        return max(time.perf_counter() - begin, 1e-9)

    def _tell_rate(self, name: str, seconds: float) -> None:
        rate = self._files / seconds
        text = f"{rate:,.0f} files/s ({self._files} of {readable(SMALL)})"
        self._tell(name, text, files_per_second=round(rate, 1))

    def _tell(self, name: str, text: str, **values: object) -> None:
        if self._as_json:
            say_json(measured=name, **values)
        else:
            say(f"{name + ':':19}{text}")
