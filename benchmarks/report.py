"""What was measured, as tables to read and as JSON to keep."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import asdict
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from benchmarks.measure import Record

MIB = 1 << 20
NOTHING = "–"
HEADER = ("", "wall s", "spread", "ratio", "CPU s", "RSS MiB")
BASELINES = ("aioobs.sync", "aioobs")

Setting = str | int | float | list[str]


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a table, line by line; all columns but the first are numbers."""
    lines = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]


def comparison(records: Sequence[Record]) -> list[str]:
    """Return the table of one operation on one workload, a line for each client.

    The ratio is the median over the rounds of this client's wall time by the baseline's in the
    same round: above 1, the client is slower.
    """
    clients = list(dict.fromkeys(record.client for record in sorted(records, key=by_round)))
    walls = {
        client: {
            record.round: record.outcome.wall
            for record in records
            if record.client == client and record.outcome.offered and not record.outcome.error
        }
        for client in clients
    }
    baseline = next((walls[name] for name in BASELINES if walls.get(name)), {})
    return table(HEADER, [row(client, records, walls[client], baseline) for client in clients])


def row(
    client: str,
    records: Sequence[Record],
    walls: Mapping[int, float],
    baseline: Mapping[int, float],
) -> list[str]:
    outcomes = [record.outcome for record in records if record.client == client]
    if any(outcome.error for outcome in outcomes):
        return [client, "failed", *[NOTHING] * 4]
    if not walls:
        return [client, *[NOTHING] * 5]
    ratios = [wall / baseline[number] for number, wall in walls.items() if number in baseline]
    return [
        client,
        f"{median(walls.values()):.2f}",
        f"{min(walls.values()):.2f}–{max(walls.values()):.2f}",
        f"{median(ratios):.2f}" if ratios else NOTHING,
        f"{median(outcome.cpu for outcome in outcomes):.2f}",
        f"{max(outcome.peak_rss for outcome in outcomes) / MIB:.0f}",
    ]


def by_round(record: Record) -> int:
    return record.round


def document(
    benchmark: str,
    versions: Mapping[str, str],
    settings: Mapping[str, Setting],
    records: Iterable[Record],
) -> dict[str, object]:
    """Return all there is to know of a benchmark, for JSON."""
    return {
        "benchmark": benchmark,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": {
            "system": platform.platform(),
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        },
        "versions": {"python": platform.python_version(), **versions},
        "settings": dict(settings),
        "records": [asdict(record) for record in records],
    }
