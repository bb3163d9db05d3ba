"""A hundred million objects and 100 TB on paper, from what was measured of a few."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks import scale
from benchmarks.peers import OURS
from benchmarks.results import cases_of, markdown, title

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from benchmarks.measure import Outcome
    from benchmarks.results import Document

OBJECTS, BYTES = 100_000_000, 100 * 10**12
PAGE = 1000  # keys of a page of a listing
PART, THRESHOLD = 8 << 20, 16 << 20
MIB, HOUR, GB = 1 << 20, 3600.0, 10**9
# Bytes for each file, with names of a dozen characters.
PLAN_COPY, PLAN_SYNC, JOURNAL, JOURNAL_READ = 500, 30, 110, 300
GROWING = {
    "what `plan_copy` returns, in memory": PLAN_COPY,
    "what a sync is to change, in memory": PLAN_SYNC,
    "a journal, on disk": JOURNAL,
    "a journal that the next run has read, in memory": JOURNAL_READ,
}


@dataclass(frozen=True)
class Limits:
    """What a store says that it takes; requests and bits in a second."""

    name: str
    source: str
    gets: int
    puts: int
    lists: int
    bits: float


STORES = (
    Limits(
        "Huawei OBS, an account's default",
        "https://support.huaweicloud.com/intl/en-us/productdesc-obs/obs_03_0360.html",
        10_000,
        6_000,
        1_000,
        16e9,
    ),
    Limits(
        "Amazon S3, one prefix, 25 Gbit/s to the machine",
        "https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html",
        5_500,
        3_500,
        5_500,
        25e9,
    ),
)


@dataclass(frozen=True)
class Costs:
    """CPU seconds of the client."""

    key: float
    down: float
    up: float
    byte_down: float
    byte_up: float


@dataclass(frozen=True)
class Shape:
    """One way in which so many bytes can be cut into objects."""

    name: str
    objects: int
    bytes: int

    @property
    def requests(self) -> int:
        """How many requests carry the bodies, one way."""
        size = self.bytes / self.objects
        return self.objects * (1 if size < THRESHOLD else -int(-size // PART))


SHAPES = (
    Shape("100,000,000 objects of 1 MB", OBJECTS, BYTES),
    Shape("100,000,000 objects of 4 KiB", OBJECTS, OBJECTS * 4096),
    Shape("10,000 objects of 10 GB", 10_000, BYTES),
)


def told(runs: Sequence[Document]) -> Iterator[str]:
    """Yield the section of the page, if the run that it needs is there."""
    run = next((run for run in runs if run.benchmark == scale.NAME), None)
    if run is None or any(record.outcome.error for record in run.records):
        return
    steps = list(steps_of(run))
    costs, peaks = costs_of(run, steps), peaks_of(runs)
    yield from ABOUT.splitlines()
    yield from ("", "What was measured, first a tenth and then the whole:", "")
    yield from markdown([HEADER, *(flat(*pair) for pair in zip(*steps, strict=True))])
    yield ""
    yield (
        f"So, of CPU: {costs.key * 1e6:.2f} µs for each key listed, {costs.down * 1e6:.0f} µs for "
        f"each object down and {costs.up * 1e6:.0f} µs up, {costs.byte_down * (1 << 30):.2f} s for "
        f"each GiB down and {costs.byte_up * (1 << 30):.2f} s up."
    )
    for store in STORES:
        yield from ("", f"### {store.name}", "")
        yield f"At most {store.gets:,} GET, {store.puts:,} PUT and {store.lists:,} LIST a second"
        yield f"and {store.bits / 1e9:g} Gbit/s ([source]({store.source}))."
        yield ""
        lines = [line for shape in SHAPES for line in lines_of(shape, store, costs, peaks)]
        yield from markdown([COLUMNS, *lines])
    yield from MEMORY.splitlines()
    yield ""
    yield from markdown(
        [
            ["", "bytes a file", f"{OBJECTS:,} files, GB"],
            *([name, str(each), f"{OBJECTS * each / GB:.0f}"] for name, each in GROWING.items()),
        ]
    )


ABOUT = """
## The scale model: 100,000,000 objects, 100 TB

On paper, from measured costs: the CPU time of the client for each key, each object and each byte,
the number of requests, and what stores publish as their limits. The CPU column is the whole work of
one core. A job takes at least as long as the longest of these columns, and the last one names it:
where that is the store or the network, a faster client changes nothing. RSS is the most that any
copy of this report took that way, since a copy knows a few thousand files at a time, however many
there are.
"""
MEMORY = """
### What grows with the number of files

What a copy holds in memory does not. These do, where they are asked for:
"""
HEADER = ["", "a tenth, s", "the whole, s", "time", "a tenth, MiB", "the whole, MiB", "more MiB"]
COLUMNS = ["", "requests", "listing, h", "requests, h", "network, h", "CPU, h", "RSS, MiB", "limit"]

Measured = tuple[str, str, "Outcome"]
"""A workload, an operation, and what that took."""


def steps_of(run: Document) -> Iterator[list[Measured]]:
    """Yield what was measured of each step: workload, operation, outcome."""
    found = [
        (workload, operation, records[0].outcome)
        for (workload, operation), records in cases_of(run.records).items()
    ]
    size = len(found) // len(scale.STEPS)
    for start in range(0, len(found), size):
        yield found[start : start + size]


def flat(tenth: Measured, whole: Measured) -> list[str]:
    """Return what ten times the work did to time and memory."""
    small, large = tenth[2], whole[2]
    return [
        title(whole[0], whole[1]),
        f"{small.wall:.2f}",
        f"{large.wall:.2f}",
        f"{large.wall / small.wall:.1f} ×",
        f"{small.peak_rss / MIB:.0f}",
        f"{large.peak_rss / MIB:.0f}",
        f"{(large.peak_rss - small.peak_rss) / MIB:+.0f}",
    ]


def costs_of(run: Document, steps: Sequence[Sequence[Measured]]) -> Costs:
    """Return what one more takes: the difference of the steps, which has no set-up in it."""
    counts = [scale.amounts(step * float(str(run.settings["scale"]))) for step in scale.STEPS]
    listed, up, down, big_up, big_down = (
        max(whole[2].cpu - tenth[2].cpu, 0.0) / max(after - before, 1)
        for tenth, whole, before, after in zip(*steps, *counts, strict=True)
    )
    return Costs(key=listed, down=down, up=up, byte_down=big_down, byte_up=big_up)


def peaks_of(runs: Sequence[Document]) -> dict[str, int]:
    """Return the most memory that this library took in any copy, by its way."""
    return {
        way: max(
            record.outcome.peak_rss
            for run in runs
            for record in run.records
            if record.client == OURS[0] and record.operation == way
        )
        for way in ("down", "up")
    }


def lines_of(
    shape: Shape, store: Limits, costs: Costs, peaks: Mapping[str, int]
) -> Iterator[list[str]]:
    """Yield the lines of one shape, down and up."""
    pages = -(-shape.objects // PAGE)
    network = shape.bytes * 8 / store.bits / HOUR
    for way in ("down", "up"):
        down = way == "down"
        # An upload in parts has two more requests, to begin and to end it.
        parts = shape.requests > shape.objects
        requests = shape.requests + (0 if down or not parts else 2 * shape.objects)
        listing = pages / store.lists / HOUR if down else 0.0
        asking = requests / (store.gets if down else store.puts) / HOUR
        each, byte = (costs.down, costs.byte_down) if down else (costs.up, costs.byte_up)
        cpu = (shape.objects * (costs.key + each) + shape.bytes * byte) / HOUR
        times = {"listing": listing, "requests": asking, "network": network, "CPU": cpu}
        yield [
            f"{shape.name}, {way}",
            f"{requests + (pages if down else 0):,}",
            *(f"{hours:.2f}" for hours in times.values()),
            f"{peaks[way] / MIB:.0f}",
            max(times, key=lambda name: times[name]),
        ]
