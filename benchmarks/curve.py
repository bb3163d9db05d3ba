"""How a copy grows with its workers, written into docs/scale.md: `python -m benchmarks curve`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import command, workers
from benchmarks.charts import curves, said
from benchmarks.copy_parallel import LEGS
from benchmarks.results import as_json, cases_of, markdown, rows_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from benchmarks.results import Document

NAME = "curve"
HELP = "copy with 1 to 4 workers, and write what that does into docs/scale.md"
DOCS = Path(__file__).parent.parent / "docs"
PAGE, IMAGES, NUMBERS = "scale.md", "images/scale", "scale.json"
BLOCK = re.compile(r"(?<=<!-- curve -->\n).*(?=<!-- end of curve -->)", re.DOTALL)


@dataclass(frozen=True)
class Part:
    """One of the curves, and how it is measured."""

    name: str
    title: str
    about: str
    arguments: str
    share: float = 1.0
    """Of the tree; less where each file takes longer."""


PARTS = (
    Part(
        "waiting",
        "The store is waited for",
        "20 ms are added to each request, and each worker has 8 under way: another worker is "
        "another 8, until the processors are busy.",
        "--store fast --delay 20 --concurrency 8",
        0.2,
    ),
    Part(
        "processors",
        "The processors are the limit",
        "The store, the workers and what hands out share the processors, and a single worker "
        "leaves little of them.",
        "--store fast --concurrency 32",
    ),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("--scale", type=float, default=1.0, help="0.01: a hundredth of the work")
    parser.add_argument("--rounds", type=int, default=3, help="how often (%(default)s)")
    parser.add_argument("--executor", choices=workers.EXECUTORS, default="processes")
    parser.add_argument("--into", type=Path, default=DOCS, help="a folder (%(default)s)")


def main(options: argparse.Namespace) -> int:
    """Measure and write; return 1 if a measurement failed, 130 after Ctrl-C."""
    runs: list[Document] = []
    for part in PARTS:
        given = [workers.NAME, *part.arguments.split(), "--executor", options.executor]
        given += ["--scale", str(options.scale * part.share), "--rounds", str(options.rounds)]
        found, complete = command.run(command.read([*given, "--peers", "aioobs.sync"]))
        if not complete:
            return 130
        if command.tell_failures(found.records):
            return 1
        runs.append(found)
    target = options.into / PAGE
    block = "\n".join(told(runs))
    target.write_text(BLOCK.sub(lambda _: block, target.read_text(encoding="utf-8")))
    numbers = ",\n".join(map(as_json, runs))
    (options.into / NUMBERS).write_text(f"[\n{numbers}\n]\n", encoding="utf-8")
    images = options.into / IMAGES
    images.mkdir(parents=True, exist_ok=True)
    for part, run in zip(PARTS, runs, strict=True):
        lines = {LEGS[leg]: gains for leg, (_, gains) in gained(run).items()}
        picture = curves(part.title, lines, "workers; times as fast as one")
        (images / f"{part.name}.svg").write_text(picture, encoding="utf-8")
    return 0


def told(runs: Sequence[Document]) -> Iterator[str]:
    """Yield the lines of the page."""
    run = runs[0]
    about, versions = run.machine, run.versions
    yield ""
    yield (
        f"Measured by `python -m benchmarks curve` on {run.time[:10]}: {about['processor']}, "
        f"{about['cores']} cores, {about['system']}, Python {versions['python']}, aioobs "
        f"{versions['aioobs.sync']}, "
        f"workers of the kind *{run.settings['executor']}*, the median of "
        f"{run.settings['rounds']} rounds; the load was {about['load']} after the first part. "
        f"All of it ran on these {about['cores']} cores, the store too: more cannot be seen here, "
        "and where the lines bend is where the cores are used up."
    )
    for part, run in zip(PARTS, runs, strict=True):
        tree = run.records[0].workload.partition("(")[2][:-1]
        yield from ("", f"### {part.title}", "", f"{part.about} The tree has {tree}.", "")
        yield from (f"![{part.title}]({IMAGES}/{part.name}.svg)", "")
        header = ["workers", *(LEGS[leg] for leg in gained(run))]
        cells = [
            [
                said(time, single=False) + f" ({gain:.2f} ×)"
                for time, gain in zip(*both, strict=True)
            ]
            for both in gained(run).values()
        ]
        yield from markdown([header, *map(list, zip(workers.COUNTS, *cells, strict=True))])
    yield from ("", "")


def gained(run: Document) -> dict[str, tuple[list[float], list[float]]]:
    """Return for each leg the times of 1, 2, … workers, and how many times as fast they are."""
    found: dict[str, tuple[list[float], list[float]]] = {}
    for (_, leg), records in cases_of(run.records).items():
        medians = {row.client: row.median for row in rows_of(records)}
        times = [medians[count] for count in workers.COUNTS]
        found[leg] = times, [times[0] / time for time in times]
    return found
