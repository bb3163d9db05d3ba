"""What one object costs in things that can be counted, and so hardly depend on the machine's speed.

Everything is counted for so many objects and for twice as many; the difference is what is told, so
that imports and set-up are no part of it.  There is one request at a time, for how many connections
are made depends on how fast the others are.  System calls that wait are not counted: whether there
is anything to wait for depends on who comes first.  Run as `python -m benchmarks.counts`, this
module does the job on standard input like `benchmarks.measure`, and tells the calls of Python
functions.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aioobs.testing import forget_other_stores
from benchmarks.measure import ROOT, Job, perform
from benchmarks.peers import OURS
from benchmarks.results import NOTHING, plain
from benchmarks.stores import Store, fast_places
from benchmarks.trees import MIB, sizes_of, write_tree

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from benchmarks.stores import Places

NAME = "counts"
HELP = "requests, system calls and Python calls for each object"
OBJECTS = 200
AT_ONCE = 1  # request
SOME = ("aioobs.sync", "obstore", "opendal", "boto3")
TREES = ("small", "big")
LEGS = ("up", "down")
TOLD = "python calls: "
# What waits, or wakes what waits; and `getpid`, with which uvloop begins each turn.
WAITS = re.compile(
    r"futex|p?poll|p?select6?|epoll_p?wait2?|io_uring_enter|(clock_)?nanosleep|sched_yield|getpid"
)
# What moves bytes between a descriptor and the memory of a process.
COPIERS = re.compile(r"p?(read|write)(v|64|v2)?|(recv|send)(from|to|msg)?")
BEGUN = re.compile(r"^\d+\s+(\w+)\(", re.MULTILINE)
ENDED = re.compile(r"^\d+\s+(?:<\.\.\. )?(\w+)\b.*= (\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class Counts:
    """What a job took; `None` is what could not be counted."""

    requests: float
    python_calls: float
    system_calls: float | None = None
    """Those that do not wait."""
    copied: float | None = None
    """Bytes that went between a descriptor and the memory of the process."""

    def per(self, number: float, base: Counts) -> Counts:
        """Return what each of *number* more took than *base* did."""

        def share(mine: float | None, its: float | None) -> float | None:
            return None if mine is None or its is None else (mine - its) / number

        return Counts(
            (self.requests - base.requests) / number,
            (self.python_calls - base.python_calls) / number,
            share(self.system_calls, base.system_calls),
            share(self.copied, base.copied),
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("--peers", default="aioobs.sync", help="which clients (%(default)s)")
    parser.add_argument("--objects", type=int, default=OBJECTS, help="how many (%(default)s)")


def main(options: argparse.Namespace) -> int:
    """Print what each object costs."""
    forget_other_stores()
    for title, lines in told(options.peers.split(","), options.objects):
        print(title, *(f"  {line}" for line in plain(lines)), "", sep="\n")
    return 0


def told(clients: Sequence[str], objects: int) -> Iterator[tuple[str, list[list[str]]]]:
    """Yield a table for each tree and leg, as its title and its cells."""
    with fast_places() as at:
        for tree in TREES:
            unit = "object of 4 KiB" if tree == "small" else "MiB of a big file"
            for leg in LEGS:
                lines = [["", "requests", "system calls", "bytes copied", "Python calls"]]
                for client in clients:
                    found = each(at, client, tree, leg, objects)
                    lines.append([client, *cells(found)])
                yield f"for each {unit}, {leg}", lines


def cells(counts: Counts) -> list[str]:
    """Return the counts as text."""
    found = (counts.requests, counts.system_calls, counts.copied, counts.python_calls)
    return [NOTHING if number is None else f"{number:,.2f}" for number in found]


def each(at: Places, client: str, tree: str, leg: str, objects: int) -> Counts:
    """Return what one more object, or in `big` one more MiB, takes."""
    once, twice = (count(at, client, tree, leg, times * objects) for times in (1, 2))
    return twice.per(objects, once)


def count(at: Places, client: str, tree: str, leg: str, objects: int) -> Counts:
    """Count what a client does for a tree of so many objects, or of one with so many MiB."""
    assert at.requests is not None
    scale = objects / 5000 if tree == "small" else objects * MIB / (1 << 30)
    with tempfile.TemporaryDirectory(prefix="aioobs-counts-") as scratch, at.place() as (store, _):
        source, target = Path(scratch, "source"), Path(scratch, "target")
        write_tree(source, sizes_of(tree, scale))
        if leg != "up":
            call_counted(Job(OURS[0], "up", [[str(source), "source/"]], store, AT_ONCE))
        ends = {
            "up": [str(source), "target/"],
            "copy": ["source/", "target/"],
            "down": ["source/", str(target)],
        }
        job = Job(client, leg, [list(ends[leg])], store, AT_ONCE)
        before = at.requests()
        python_calls = call_counted(job)
        requests = at.requests() - before
        shutil.rmtree(target, ignore_errors=True)  # the second time is to be like the first
        return Counts(requests, python_calls, *system_calls(job, Path(scratch, "trace")))


def call_counted(job: Job) -> int:
    """Do a job in a process of its own, and return how often it called a Python function.

    Raises:
        RuntimeError: it failed.
    """
    done = run([sys.executable, "-m", "benchmarks.counts"], job)
    return int(done.rpartition(TOLD)[2])


def system_calls(job: Job, trace: Path) -> tuple[int, int] | tuple[None, None]:
    """Do a job under `strace`; return its calls that do not wait, and the bytes copied."""
    if not can_trace():
        return None, None
    command = ["strace", "-f", "-qq", "-o", str(trace)]
    run([*command, sys.executable, "-m", "benchmarks.measure"], job)
    text = trace.read_text(errors="replace")
    copied = sum(int(size) for name, size in ENDED.findall(text) if COPIERS.fullmatch(name))
    return sum(not WAITS.fullmatch(name) for name in BEGUN.findall(text)), copied


def can_trace() -> bool:
    """Tell whether there is a `strace` that may trace."""
    program = shutil.which("strace")
    if not program:
        return False
    command = [program, "-o", os.devnull, sys.executable, "-S", "-c", ""]
    return not subprocess.run(command, capture_output=True, check=False).returncode


def run(command: list[str], job: Job) -> str:
    """Give a program a job, and return what it wrote.

    Raises:
        RuntimeError: it failed.
    """
    text = json.dumps(asdict(job))
    done = subprocess.run(
        command, input=text, capture_output=True, text=True, cwd=ROOT, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{job.client} {job.operation} failed: {done.stderr[-1000:]}")
    return done.stdout


def profile(job: Job) -> int:
    """Do a job in this process, and return how often a Python function was called."""
    calls = 0

    def called(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    threading.setprofile(called)
    sys.setprofile(called)
    perform(job)
    sys.setprofile(None)
    return calls


if __name__ == "__main__":
    given = json.load(sys.stdin)
    print(TOLD, profile(Job(**given | {"store": Store(**given["store"])})), flush=True)
    os._exit(0)
