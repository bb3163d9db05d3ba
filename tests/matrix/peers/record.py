"""What is recorded of the clients, and how docs/reliability-peers.md shows it."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from matrix.faults import FAULTS
from matrix.peers import NAMES
from matrix.peers.trial import BAD, ERROR, PEERS, RIGHT, STILL, UNKNOWN, UNMET, Seen

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["NUMBERS", "PAGES", "SCHEDULES", "TRIED", "Record", "load", "note", "page_with", "save"]

DOCS = Path(__file__).parents[3] / "docs"
NUMBERS = DOCS / "reliability-peers.json"
PAGES = (DOCS / "reliability-peers.md", DOCS / "reliability.md")
SCHEDULES = ("once", "always")
TRIED = [name for name in FAULTS if name != "page longer than asked"]
"""Most clients do not say how long a page may be."""
VERDICTS = (RIGHT, ERROR, STILL, *BAD, UNKNOWN)


class Record(TypedDict):
    """The versions, and a verdict and why by fault, time, client and operation."""

    versions: dict[str, str]
    seen: dict[str, dict[str, dict[str, dict[str, list[str]]]]]


def load() -> Record:
    """Return what is recorded."""
    if not NUMBERS.exists():
        return {"versions": {}, "seen": {}}
    found: Record = json.loads(NUMBERS.read_text())
    return found


def note(record: Record, fault: str, cell: tuple[str, str, str], seen: Seen) -> None:
    """Add what was seen of a fault, at a time, with a client, in an operation."""
    schedule, peer, operation = cell
    cells = record["seen"].setdefault(fault, {}).setdefault(schedule, {}).setdefault(peer, {})
    cells.pop(operation, None)
    if seen.verdict != UNMET:
        cells[operation] = [seen.verdict, *filter(None, [seen.why])]


def save(record: Record) -> None:
    """Record it, and write the tables anew."""
    faults = {fault: record["seen"][fault] for fault in TRIED if fault in record["seen"]}
    lines = [
        f'"versions": {json.dumps(record["versions"])}',
        '"seen": {\n' + ",\n".join(f" {json.dumps(f)}: {lined(faults[f])}" for f in faults) + "\n}",
    ]
    NUMBERS.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    for page in PAGES:
        page.write_text(page_with(page.read_text(), load()))


def lined(times: dict[str, dict[str, dict[str, list[str]]]]) -> str:
    """Return the cells of a fault, a line for each time and client."""
    rows = (
        f"  {json.dumps(time)}: {{\n"
        + ",\n".join(
            f"   {json.dumps(peer)}: {json.dumps(times[time][peer], ensure_ascii=False)}"
            for peer in PEERS
            if peer in times[time]
        )
        + "\n  }"
        for time in SCHEDULES
        if time in times
    )
    return "{\n" + ",\n".join(rows) + "\n }"


def page_with(text: str, record: Record) -> str:
    """Return a page with its tables of what is recorded."""
    for name, table in (("counts", counts(record)), ("findings", findings(record))):
        before, start, rest = text.partition(f"<!-- {name} -->\n")
        if start:
            _, end, after = rest.partition(f"<!-- end of {name} -->\n")
            text = before + start + "\n".join(table) + "\n" + end + after
    return text


def cells(record: Record) -> Iterator[tuple[str, str, str, str, Seen]]:
    """Yield a client, an operation, a fault, a time, and what was seen."""
    for fault, times in record["seen"].items():
        for time, peers in times.items():
            for peer, operations in peers.items():
                for operation, found in operations.items():
                    yield peer, operation, fault, time, Seen(*found)


def counts(record: Record) -> list[str]:
    """Return how often each verdict was given on each client, at each of the times."""
    number: Counter[tuple[str, str, str]] = Counter()
    for peer, _, _, time, seen in cells(record):
        number[peer, time, seen.verdict] += 1
    head = "| client | " + " | ".join(VERDICTS) + " |"
    rows = [head, "|---|" + "---:|" * len(VERDICTS)]
    for peer, version in record["versions"].items():
        found = (shown_count([number[peer, time, name] for time in SCHEDULES]) for name in VERDICTS)
        rows.append(f"| {peer} {version} | " + " | ".join(found) + " |")
    return rows


def shown_count(numbers: list[int]) -> str:
    return " + ".join(map(str, numbers)) if any(numbers) else ""


def findings(record: Record) -> list[str]:
    """Return what was bad, client by client."""
    found: dict[tuple[str, str, str], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    why: dict[tuple[str, str, str], str] = {}
    for peer, operation, fault, time, seen in cells(record):
        if seen.verdict in (*BAD, UNKNOWN):
            key = peer, seen.verdict, operation
            found[key][fault].append(time)
            why.setdefault(key, seen.why)
    head = [
        "| client | verdict | operation | faults | as seen with the first |",
        "|---|---|---|---|---|",
    ]
    order = sorted(found, key=lambda key: (NAMES.index(key[0]), VERDICTS.index(key[1])))
    return head + [
        f"| {peer} | {verdict} | `{operation}` | {faults_of(found[peer, verdict, operation])} | "
        f"{why[peer, verdict, operation]} |"
        for peer, verdict, operation in order
    ]


def faults_of(found: dict[str, list[str]]) -> str:
    """Return the names of faults, with when they hit where that was not at both times."""
    return ", ".join(
        fault if len(times) == len(SCHEDULES) else f"{fault} ({times[0]})"
        for fault, times in found.items()
    )
