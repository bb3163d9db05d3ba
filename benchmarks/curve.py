"""How a copy grows with its workers, written into docs/scale.md: `python -m benchmarks curve`."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import command, workers
from benchmarks.charts import curves, said
from benchmarks.copy_parallel import LEGS
from benchmarks.results import as_json, cases_of, from_json, markdown, rows_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping

    from benchmarks.results import Document

NAME = "curve"
HELP = "copy with 1 to 4 workers, and write what that brings into docs/scale.md"
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
        "workers --delay 20 --concurrency 8",
        0.2,
    ),
    Part(
        "processors",
        "The processors are the limit",
        "The store, the workers and what hands out share the processors, and a single worker "
        "leaves little of them.",
        "workers --concurrency 32",
    ),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("--scale", type=float, default=1.0, help="0.01: a hundredth of the work")
    parser.add_argument("--rounds", type=int, default=3, help="how often (%(default)s)")
    parser.add_argument("--executor", choices=workers.EXECUTORS, default="processes")
    names = [part.name for part in PARTS]
    parser.add_argument(
        "--only", choices=names, default="", help="measure this again, keep the rest"
    )
    parser.add_argument("--redraw", action="store_true", help="write the page from the numbers")
    parser.add_argument("--into", type=Path, default=DOCS, help="a folder (%(default)s)")


def main(options: argparse.Namespace) -> int:
    """Measure and write; return 1 if a measurement failed, 130 after Ctrl-C.

    Then nothing is written.
    """
    numbers = options.into / NUMBERS
    runs = read(numbers) if options.only or options.redraw else {}
    for part in PARTS:
        if options.redraw or options.only not in ("", part.name):
            continue
        runs[part.name], complete = command.run(command.read(arguments(part, options)))
        if not complete:
            return 130
        if command.tell_failures(runs[part.name].records):
            return 1
    kept = ",\n".join(as_json(runs[part.name]) for part in PARTS)
    numbers.write_text(f"[\n{kept}\n]\n", encoding="utf-8")
    for part in PARTS:
        draw(part, runs[part.name], options.into / IMAGES)
    page, block = options.into / PAGE, "\n".join(told(runs))
    text = BLOCK.sub(lambda _: block, page.read_text(encoding="utf-8"))
    page.write_text(text, encoding="utf-8")
    return 0


def read(numbers: Path) -> dict[str, Document]:
    """Return what was measured before, by part."""
    found = json.loads(numbers.read_text(encoding="utf-8"))
    return {part.name: from_json(run) for part, run in zip(PARTS, found, strict=False)}


def arguments(part: Part, options: argparse.Namespace) -> list[str]:
    """Return the command line of the benchmark of a part."""
    return [
        *part.arguments.split(),
        *("--store", "fast", "--peers", "aioobs.sync", "--executor", options.executor),
        *("--scale", str(options.scale * part.share), "--rounds", str(options.rounds)),
    ]


def draw(part: Part, run: Document, images: Path) -> None:
    """Write the picture of a part."""
    images.mkdir(parents=True, exist_ok=True)
    lines = {LEGS[leg]: gains for leg, (_, gains) in gained(run).items()}
    picture = curves(part.title, lines, "workers; times as fast as one")
    (images / f"{part.name}.svg").write_text(picture, encoding="utf-8")


def told(runs: Mapping[str, Document]) -> Iterator[str]:
    """Yield the lines of the page."""
    run = runs[PARTS[0].name]
    about, versions = run.machine, run.versions
    yield ""
    yield (
        f"Measured by `python -m benchmarks curve` on {run.time[:10]}: {about['processor']}, "
        f"{about['cores']} cores, {about['system']}, Python {versions['python']}, aioobs "
        f"{versions['aioobs.sync']}, workers of the kind *{run.settings['executor']}*, the median "
        f"of {run.settings['rounds']} rounds. All of it ran on these {about['cores']} cores, the "
        "store too, and not alone on them: more cannot be seen here, and a curve bends where they "
        "are used up."
    )
    for part in PARTS:
        run = runs[part.name]
        yield from ("", f"### {part.title}", "", f"{part.about} {how(run)}", "")
        yield from (f"![{part.title}]({IMAGES}/{part.name}.svg)", "")
        header = ["workers", *(LEGS[leg] for leg in gained(run))]
        cells = [list(map(cell, *both)) for both in gained(run).values()]
        yield from markdown([header, *map(list, zip(workers.COUNTS, *cells, strict=True))])
    yield from ("", "")


def how(run: Document) -> str:
    """Return what was copied, and how busy the machine was."""
    tree = run.records[0].workload.partition("(")[2][:-1]
    return f"The tree has {tree}. The load of the machine was {run.machine['load']} at the end."


def cell(time: float, gain: float) -> str:
    return f"{said(time, single=False)} ({gain:.2f} ×)"


def gained(run: Document) -> dict[str, tuple[list[float], list[float]]]:
    """Return for each leg the times of 1, 2, … workers, and how many times as fast they are."""
    found: dict[str, tuple[list[float], list[float]]] = {}
    for (_, leg), records in cases_of(run.records).items():
        medians = {row.client: row.median for row in rows_of(records)}
        times = [medians[count] for count in workers.COUNTS]
        found[leg] = times, [times[0] / time for time in times]
    return found
