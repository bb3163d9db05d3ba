"""The page about the benchmarks, written from the numbers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from benchmarks import model
from benchmarks.charts import chart, said
from benchmarks.peers import OURS
from benchmarks.results import cases_of, comparison, markdown, rows_of, title

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from benchmarks.measure import Record
    from benchmarks.results import Document

PAGE = "benchmarks.md"
IMAGES = "images/benchmarks"
GIB = 1 << 30

Table = tuple[str, list[list[str]]]

ABOUT = """\
# Benchmarks

Written by `make bench-report`; do not edit. All numbers are in `benchmarks.json`.

Each measurement is a process of its own. The clients take turns in each round, so that whatever
else the machine does meets all of them. Told are the median over the rounds and the spread from the
fastest to the slowest; the ratio is the median over the rounds of a client's time by that of
`aioobs.sync` in the same round: above 1, the client is slower. CPU is the user's and the system's
time of the client alone, RSS the peak of its memory. Imports, set-up and a first request are
measured under *Import* alone. Every copy is counted and weighed afterwards, and one that is not
whole is a failure. A client that takes many times as long as the fastest is asked once: see the
column of the rounds.

Compare within one table: the times belong to the machine, and on a busy one they are longer.

The *fast endpoint* is a small C++ program in `benchmarks/endpoint`: it checks no signature, drops
what is put and makes up what is got, so that the client is what is measured. SeaweedFS is a real
server, which on the same machine takes most of the time.

How each client is used is in `benchmarks/peers`: as somebody would who knows it well, with parts of
8 MiB from 16 MiB on, and without checksums that no other client computes. `aioobs` and
`aioobs.sync` do all they always do: temporary files renamed, ETags pinned, answers checked. obstore
and fast-s3 do not verify the certificate over TLS; fast-s3 has no listing and is told the keys.
"""


def written(runs: Sequence[Document], counts: Sequence[Table], seconds: float) -> dict[str, str]:
    """Return the page and its charts, by file name."""
    files: dict[str, str] = {}
    lines = [ABOUT]
    if runs:
        lines += [*machine(runs, seconds), *summary(runs)]
    for run in runs:
        lines += ["", f"## {run.title}", "", f"{run.about} {how(run)}"]
        cases = cases_of(run.records)
        if len({record.client for record in run.records}) == 1:
            lines += ["", *markdown(alone(cases))]
            continue
        for (workload, operation), records in cases.items():
            heading = title(workload, operation)
            name = f"{IMAGES}/{slug(run.title, workload.partition(' (')[0], operation)}.svg"
            files[name] = drawn(heading, records)
            lines += ["", f"### {heading}", "", f"![{heading}]({name})", ""]
            lines += markdown(comparison(records))
    if counts:
        lines += COUNTED.rstrip().splitlines()
        lines += [line for table in counts for line in counted(table)]
    lines += model.told(runs)
    files[PAGE] = "\n".join(lines).rstrip() + "\n"
    return files


def summary(runs: Sequence[Document]) -> Iterator[str]:
    """Yield the table of this library against the fastest other client of each case."""
    lines = [["", "aioobs.sync", "fastest other", "", "which takes"]]
    for run in runs:
        for case, records in cases_of(run.records).items():
            rows = [row for row in rows_of(records) if row.times]
            ours = next((row for row in rows if row.client == OURS[0]), None)
            others = [row for row in rows if row.client not in OURS]
            if ours is None or not others:
                continue
            best = min(others, key=lambda row: row.ratio or row.median)
            single = any(row.late for row in rows)
            times = [said(row.median, single=single) for row in (ours, best)]
            ratio = f"{best.ratio:.2f} ×" if best.ratio else ""
            lines.append([f"{run.title}: {title(*case)}", *times, best.client, ratio])
    if len(lines) > 1:
        yield from ("", "## In short", "", *markdown(lines))


def alone(cases: Mapping[tuple[str, str], Sequence[Record]]) -> list[list[str]]:
    """Return a table with a line for each case of one client."""
    lines: list[list[str]] = []
    for case, records in cases.items():
        header, row = comparison(records)
        lines = lines or [header]
        lines.append([title(*case), *row[1:]])
    return lines


COUNTED = """
## Counted

What one more object, or one more MiB, takes, with one request at a time: this hardly depends on
the speed of the machine. System calls are those of the client's process, but for those that wait or
wake a thread, which are more or fewer each time; bytes copied went between a descriptor and its
memory; Python calls are calls of functions written in Python, of the client and its libraries.
"""


def counted(table: Table) -> Iterator[str]:
    """Yield a table of counts."""
    yield from ("", f"### {table[0][0].upper()}{table[0][1:]}", "")
    yield from markdown(table[1])


def machine(runs: Sequence[Document], seconds: float) -> Iterator[str]:
    """Yield what was measured, on what, and when."""
    run = runs[0]
    about = run.machine
    memory = int(str(about["memory"])) / GIB
    scale = run.settings["scale"]
    yield "## This run"
    yield ""
    yield (
        f"{run.time[:10]}, {about['processor']}, {about['cores']} cores, {memory:.0f} GiB, "
        f"{about['system']}, Python {run.versions['python']}, files in `{run.settings['files']}`. "
        f"It took {seconds / 60:.0f} minutes; "
        f"the load of the machine was {about['load']} after the first section."
    )
    if scale != 1:
        yield ""
        yield (
            f"**Scale {scale}: this run had {scale:g} times the work of a full one. The smaller it "
            "is, the less its numbers say.**"
        )
    versions = {name: version for run in runs for name, version in run.versions.items()}
    del versions["python"]
    yield ""
    yield ", ".join(f"{name} {version}" for name, version in versions.items()) + "."


def how(run: Document) -> str:
    """Return how a section was measured."""
    settings = run.settings
    parts = [f"rounds: {settings['rounds']}"]
    if run.benchmark not in ("imports", "latency", "signer"):
        parts.append(f"requests at a time: {settings['concurrency']}")
    if settings["store"] and any(record.operation != "import" for record in run.records):
        parts.insert(0, str(settings["store"]))
    return f"({'; '.join(parts)})"


def drawn(heading: str, records: Sequence[Record]) -> str:
    """Return the chart of a case."""
    single = any(record.outcome.late for record in records)
    return chart(heading, rows_of(records), single=single)


def slug(*words: str) -> str:
    """Return words as a file name."""
    return re.sub(r"[^a-z0-9]+", "-", " ".join(words).lower()).strip("-")
