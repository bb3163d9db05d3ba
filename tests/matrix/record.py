"""What is recorded of the trials, and how docs/reliability.md shows it."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

from matrix import RIGHT, UNHARMED
from matrix.faults import FAULTS
from matrix.verbs import VERBS

__all__ = ["NUMBERS", "PAGE", "Record", "Seen", "load", "page_with", "save", "seen_as"]

DOCS = Path(__file__).parents[2] / "docs"
PAGE, NUMBERS = DOCS / "reliability.md", DOCS / "reliability.json"
START, END = "<!-- faults -->\n", "<!-- end -->\n"

Seen = dict[str, set[str]]
"""The verdicts that were seen, by verb."""
Record = dict[str, dict[str, Seen]]
"""What was seen of each fault while it was ``passing`` and while it was ``lasting``."""


def seen_as(schedule: str) -> str:
    """Return what a fault is called that comes at these times."""
    return "lasting" if schedule == "always" else "passing"


def load() -> Record:
    """Return what is recorded."""
    found = json.loads(NUMBERS.read_text())
    return {
        fault: {
            kind: {verb: set(names) for verb, names in seen.items()} for kind, seen in kinds.items()
        }
        for fault, kinds in found.items()
    }


def save(record: Record) -> None:
    """Record it, and write the table anew."""
    plain = {
        fault: {
            kind: {verb: sorted(record[fault][kind][verb]) for verb in VERBS if verb in seen}
            for kind, seen in kinds.items()
        }
        for fault, kinds in record.items()
    }
    lines = json.dumps(plain, indent=1).replace('[\n    "', '["').replace('"\n   ]', '"]')
    NUMBERS.write_text(lines.replace('",\n    "', '", "') + "\n")
    PAGE.write_text(page_with(load()))


def page_with(record: Record) -> str:
    """Return the page with the table of what is recorded."""
    before, _, rest = PAGE.read_text().partition(START)
    _, _, after = rest.partition(END)
    rows = [
        f"| {name} | {told(record[name]['passing'])} | {told(record[name]['lasting'])} |"
        for name in FAULTS
    ]
    table = ["| fault | when it passes | when it lasts |", "|---|---|---|", *rows, ""]
    return before + START + "\n".join(table) + END + after


def told(seen: Seen) -> str:
    """Return what was seen in words: what is most usual first, then what differs, and for which."""
    verbs: dict[str, list[str]] = defaultdict(list)
    for verb, names in seen.items():
        met = names - {UNHARMED}
        if met:
            verbs[" or ".join(sorted(met, key=order))].append(f"`{verb}`")
    if not verbs:
        return "–"
    usual, *others = sorted(verbs, key=lambda names: -len(verbs[names]))
    parts = [shown(usual), *(f"{shown(names)}: {', '.join(verbs[names])}" for names in others)]
    return "; ".join(parts)


def order(name: str) -> tuple[bool, str]:
    return name != RIGHT, name


def shown(names: str) -> str:
    return " or ".join(
        "✓" if name == RIGHT else f"**{name}**" if name == "wrong bytes" else f"`{name}`"
        for name in names.split(" or ")
    )
