"""Compare this library with other clients: `python -m benchmarks [NAME] [options]`.

Each measurement is a process of its own, and in each round every client has its turn.  Read the
ratios: the times belong to the machine.  TMPDIR says where files and the local server's data go.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import copy_parallel, peers
from benchmarks.report import document
from benchmarks.stores import local_places, places_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from benchmarks.measure import Record
    from benchmarks.stores import Places

BENCHMARKS = {module.NAME: module for module in (copy_parallel,)}


def parser() -> argparse.ArgumentParser:
    """Return what reads the command line."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--rounds", type=int, default=5, help="how often (%(default)s)")
    common.add_argument(
        "--concurrency", type=int, default=32, help="requests at a time (%(default)s)"
    )
    common.add_argument("--peers", help="these clients alone, such as aioobs.sync,obstore")
    common.add_argument("--endpoint", help="an S3 endpoint; default: a local server")
    common.add_argument("--bucket", help="a bucket at the endpoint, for a prefix of its own")
    common.add_argument("--json", type=Path, help="a file for all that was measured")
    top = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = top.add_subparsers(dest="benchmark", required=True)
    for name, module in BENCHMARKS.items():
        module.add_arguments(commands.add_parser(name, help=module.HELP, parents=[common]))
    return top


def chosen(wanted: str | None, versions: dict[str, str]) -> list[str]:
    """Return the clients to compare.

    Raises:
        ValueError: one that is wanted is not there.
    """
    names = wanted.split(",") if wanted else list(versions)
    if missing := [name for name in names if name not in versions]:
        raise ValueError(f"not installed: {', '.join(missing)}; there are {', '.join(versions)}")
    return names


def run(options: argparse.Namespace) -> int:
    """Run one benchmark, print its tables, and return 1 if a measurement failed.

    After Ctrl-C there are tables of what was measured until then, and it returns 130.
    """
    benchmark = BENCHMARKS[options.benchmark]
    settings = benchmark.settings(options)
    versions = peers.installed()
    clients = chosen(options.peers, versions)
    if options.rounds < 1 or options.concurrency < 1:
        raise ValueError("rounds and requests at a time have to be at least 1")
    if bool(options.endpoint) != bool(options.bucket):
        raise ValueError("--endpoint and --bucket go together")
    settings |= {"rounds": options.rounds, "concurrency": options.concurrency, "clients": clients}
    records: list[Record] = []
    interrupted = False
    try:
        with places(options) as at:
            settings["store"] = at.name
            for record in benchmark.run(at, clients, options):
                records.append(record)
                tell(record, options.rounds)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        interrupted = True
    used = {name: versions[name] for name in clients}
    print(*benchmark.tables(records), sep="\n")
    print(", ".join(f"{name} {version}" for name, version in used.items()))
    if options.json:
        text = json.dumps(document(benchmark.NAME, used, settings, records), indent=1)
        options.json.write_text(f"{text}\n")
    failed = tell_failures(records)
    return 130 if interrupted else int(failed)


def places(options: argparse.Namespace) -> AbstractContextManager[Places]:
    """Return the store that is wanted, as a context manager."""
    if options.endpoint:
        return places_of(options.endpoint, options.bucket)
    return local_places()


def tell_failures(records: Sequence[Record]) -> bool:
    """Say on standard error what failed, and return whether anything did."""
    failed = [record for record in records if record.outcome.error]
    for record in failed:
        print(f"\n{said(record)} failed:\n{record.outcome.error}", file=sys.stderr)
    return bool(failed)


def said(record: Record) -> str:
    return f"{record.workload} {record.operation}, {record.client}, round {record.round + 1}"


def tell(record: Record, rounds: int) -> None:
    """Say on standard error how far the benchmark is."""
    outcome = record.outcome
    result = "failed" if outcome.error else f"{outcome.wall:.2f} s" if outcome.offered else "–"
    print(f"{said(record)} of {rounds}: {result}", file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    options = parser().parse_args(given or [copy_parallel.NAME])
    try:
        return run(options)
    except (OSError, RuntimeError, ImportError, ValueError) as error:
        print(f"The benchmark failed: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
