"""Show the main job: copy a tree up, within the store and down again, and check every byte.

python -m benchmarks.demo                        on a local server of its own
python -m benchmarks.demo s3://bucket/prefix     on the store of the environment
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import os
import secrets
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TextIO

import aioobs
from aioobs.testing import LocalServer, forget_other_stores
from aioobs.url import parse
from benchmarks import trees
from benchmarks.loops import new_event_loop
from benchmarks.results import plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aioobs.file import Progress

THREADS = 32
MB = 1_000_000
LONGEST_TEXT, LONGEST_BAR, SHORTEST_BAR = 54, 30, 6
LINE_INTERVAL = 3.0  # seconds between two lines where lines cannot be rewritten
MOST_NAMED = 10
FOLDER = "folder"


class Leg(NamedTuple):
    """One way of the tree."""

    name: str
    source: str
    target: str


class Result(NamedTuple):
    """What a leg took."""

    leg: str
    objects: int
    bytes: int
    seconds: float


class Screen:
    """Writes lines, and the line that tells how far a leg is.

    That one is rewritten on a terminal; elsewhere another one comes every few seconds.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live = stream.isatty()
        self._coloured = self._live and not os.environ.get("NO_COLOR")
        self._name = ""
        self._begun = self._next = 0.0
        self.last: Progress | None = None

    def line(self, text: str = "", colour: str = "") -> None:
        """Write a line in place of one that is being rewritten."""
        start = "\r\x1b[K" if self._live else ""
        print(start + self._paint(text, colour), file=self._stream, flush=True)

    def step(self, name: str, text: str) -> None:
        """Write what a step of the demo does or did."""
        self.line(f"  {self._paint(f'{name:<12}', '1')} {text}")

    def begin(self, name: str) -> None:
        """Begin to show how far something is."""
        self._name, self.last = name, None
        self._begun = time.monotonic()
        self._next = self._begun + (0 if self._live else LINE_INTERVAL)

    def show(self, progress: Progress) -> None:
        """Show how far it is."""
        self.last = progress
        now = time.monotonic()
        if now < self._next:
            return
        text = told(progress, now - self._begun)
        if not self._live:
            self._next = now + LINE_INTERVAL
            self.step(self._name, text)
            return
        room = shutil.get_terminal_size().columns - len(f"  {'':<12} ") - 1
        width = min(LONGEST_BAR, room - LONGEST_TEXT - 2)
        if width >= SHORTEST_BAR and len(text) <= LONGEST_TEXT:
            done = round(width * share_done(progress))
            bar = self._paint("━" * done, "32") + self._paint("━" * (width - done), "2")
            text = f"{bar}  {text}"
        else:
            text = text[:room]
        line = f"  {self._paint(f'{self._name:<12}', '1')} {text}"
        self._stream.write(f"\r\x1b[K{line}")
        self._stream.flush()

    def _paint(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if colour and self._coloured else text


def told(progress: Progress, seconds: float) -> str:
    """Return a progress in words."""
    more = "" if progress.totals_known else "+"
    parts = [
        f"{progress.files:,}/{progress.files_total:,}{more} files",
        f"{progress.bytes / MB:,.0f}/{progress.bytes_total / MB:,.0f}{more} MB",
        f"{progress.bytes / MB / max(seconds, 0.001):,.0f} MB/s",
    ]
    share = share_done(progress)
    if progress.totals_known and share:
        parts.append(f"{seconds * (1 - share) / share:.0f} s left")
    return " · ".join(parts)


def share_done(progress: Progress) -> float:
    """Return how much is done, from 0 to 1: files and bytes take their time both."""
    files = progress.files / max(progress.files_total, 1)
    size = progress.bytes / progress.bytes_total if progress.bytes_total else files
    return (files + size) / 2


def digests(root: Path) -> dict[str, str]:
    """Return what is in a tree: the size and SHA-256 of each file, and each folder, by name."""
    found: dict[str, str] = {}
    for folder, folders, names in os.walk(root):
        for name in folders:
            found[(Path(folder) / name).relative_to(root).as_posix()] = FOLDER
        for name in names:
            path = Path(folder) / name
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                size = file.tell()
            found[path.relative_to(root).as_posix()] = f"{size} bytes {digest}"
    return found


def differences(source: Path, result: Path) -> list[str]:
    """Return what is not the same in two trees, a line for each file or folder; empty: nothing."""
    wanted, found = digests(source), digests(result)
    lines = [f"{name} is missing" for name in wanted.keys() - found.keys()]
    lines += [f"{name} is not in the source" for name in found.keys() - wanted.keys()]
    lines += [
        f"{name} differs: {wanted[name]}, then {found[name]}"
        for name in wanted.keys() & found.keys()
        if wanted[name] != found[name]
    ]
    return sorted(lines)


@contextlib.contextmanager
def store(url: str | None) -> Iterator[tuple[str, str]]:
    """Give the URL of a prefix that is not in use, and a word on where that is.

    Without *url* it is on a local server, which lasts as long as the block.

    Raises:
        ValueError: *url* is a local path.
    """
    name = f"aioobs-demo-{secrets.token_hex(4)}"
    if url is not None:
        if isinstance(parse(url), str):
            raise ValueError(f"{url} is a local path; give a URL such as s3://bucket/prefix")
        yield f"{url.rstrip('/')}/{name}", url
        return
    with LocalServer() as server:
        forget_other_stores()
        os.environ.update(server.environment)
        server.create_bucket(name)
        yield f"s3://{name}/tree", f"a local SeaweedFS at {server.endpoint}"


async def copy_legs(legs: Sequence[Leg], screen: Screen) -> list[Result]:
    """Copy the tree along all legs."""
    results = []
    for leg in legs:
        screen.begin(leg.name)
        begun = time.perf_counter()
        await aioobs.file.copy_parallel(
            leg.source, leg.target, threads=THREADS, progress=screen.show
        )
        seconds = time.perf_counter() - begun
        assert screen.last is not None
        result = Result(leg.name, screen.last.files, screen.last.bytes, seconds)
        results.append(result)
        screen.step(leg.name, f"{rates(result)} in {seconds:.1f} s")
    return results


async def copy_there_and_back(
    source: Path, base: str, result: Path, screen: Screen
) -> list[Result]:
    """Copy a tree up, within the store and down, and leave nothing below *base*."""
    legs = [
        Leg("up", str(source), f"{base}/up"),
        Leg("server-side", f"{base}/up", f"{base}/copy"),
        Leg("down", f"{base}/copy", str(result)),
    ]
    await aioobs.file.exists(base)  # connects, or fails before there is anything to clean up
    try:
        return await copy_legs(legs, screen)
    finally:
        with contextlib.suppress(aioobs.NotFound):
            await aioobs.file.remove(base, recursive=True)


def rates(result: Result) -> str:
    return f"{result.objects:,} objects, {result.bytes / MB:,.1f} MB"


def result_table(results: Sequence[Result]) -> list[str]:
    """Return the table of all legs, line by line."""
    header = ("leg", "objects", "MB", "seconds", "objects/s", "MB/s")
    rows = [
        (
            result.leg,
            f"{result.objects:,}",
            f"{result.bytes / MB:,.1f}",
            f"{result.seconds:.2f}",
            f"{result.objects / result.seconds:,.0f}",
            f"{result.bytes / MB / result.seconds:,.1f}",
        )
        for result in results
    ]
    return plain([header, *rows])


def run(url: str | None, files: int, total: int, screen: Screen) -> int:
    """Run the demo and return its exit status: 1 if a byte is not the same."""
    with (
        tempfile.TemporaryDirectory(prefix="aioobs-demo-") as scratch,
        store(url) as (base, place),
    ):
        screen.line(f"aioobs {aioobs.__version__}: a tree there and back", "1")
        screen.line(f"{THREADS} requests at a time, on {place}")
        screen.line()
        source, result = Path(scratch, "source"), Path(scratch, "result")
        screen.step("source", write_source(source, files, total))
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            results = runner.run(copy_there_and_back(source, base, result, screen))
        return report(results, differences(source, result), screen)


def write_source(source: Path, files: int, total: int) -> str:
    """Write the tree that is copied, and return what is in it."""
    begun = time.perf_counter()
    trees.write_tree(source, trees.demo_sizes(files, total))
    for name in trees.DEMO_EMPTY_FOLDERS:
        (source / name).mkdir(parents=True)
    content = trees.content_of(source)
    return (
        f"{content.files:,} files, {content.bytes / MB:,.1f} MB and "
        f"{len(trees.DEMO_EMPTY_FOLDERS)} empty folders in {time.perf_counter() - begun:.1f} s"
    )


def report(results: Sequence[Result], different: Sequence[str], screen: Screen) -> int:
    """Print the table and the verdict, and return the exit status."""
    screen.line()
    for number, line in enumerate(result_table(results)):
        screen.line(f"  {line}", "" if number else "1")
    screen.line()
    if different:
        screen.line(f"✗ what came back is not what went up: {len(different)} differences", "31")
        for line in different[:MOST_NAMED]:
            screen.line(f"  {line}")
        return 1
    screen.line("✓ every file and folder came back, byte for byte the same (SHA-256)", "32")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo from the command line and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.demo",
        description="Copy a tree up, within the store and down again, and check every byte.",
    )
    parser.add_argument(
        "url", nargs="?", help="a prefix such as s3://bucket/prefix; default: a local server"
    )
    parser.add_argument("--files", type=int, default=3000, help="small files (%(default)s)")
    parser.add_argument(
        "--bytes", type=int, default=600 * MB, help="bytes in all files (%(default)s)"
    )
    options = parser.parse_args(arguments)
    with contextlib.suppress(AttributeError):
        sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
    screen = Screen(sys.stdout)
    try:
        return run(options.url, options.files, options.bytes, screen)
    except KeyboardInterrupt:
        screen.line("Interrupted; what the demo made has been removed.")
        return 130
    except (OSError, RuntimeError, ImportError, ValueError) as error:
        screen.line()
        print(f"The demo failed: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
