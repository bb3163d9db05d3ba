"""Measurements: one operation of one client in a process of its own, round by round.

The process (`python -m benchmarks.measure`) reads a `Job` and writes an `Outcome`, both in JSON.
Imports, the set-up of the client and its first request are not measured.
"""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.stores import Store

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parent.parent
LONGEST = 1800  # seconds that one measurement may take
SAID = 1000  # characters of what a failed process said


@dataclass(frozen=True)
class Job:
    """What a process is to measure."""

    client: str
    operation: str
    arguments: list[str]
    store: Store
    concurrency: int


@dataclass(frozen=True)
class Outcome:
    """Wall and CPU seconds and the peak of memory; or why there are none.

    The CPU time is the user's and the system's, of the client and the programs it started.
    """

    wall: float = 0.0
    cpu: float = 0.0
    peak_rss: int = 0
    """Bytes, of the client or the program it started, whichever is more."""
    error: str = ""
    offered: bool = True
    """Whether the client has such an operation at all."""


@dataclass(frozen=True)
class Record:
    """One measurement, and what it is one of."""

    workload: str
    operation: str
    client: str
    round: int
    outcome: Outcome = field(default_factory=Outcome)


def measure(job: Job) -> Outcome:
    """Measure in a new process; an error there is an outcome."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.measure"],
            input=json.dumps(asdict(job)),
            capture_output=True,
            text=True,
            timeout=LONGEST,
            cwd=ROOT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Outcome(error=f"took longer than {LONGEST} s")
    if done.returncode:
        return Outcome(error=done.stderr.strip()[-SAID:] or f"ended with {done.returncode}")
    return Outcome(**json.loads(done.stdout))


def rotated(clients: Sequence[str], number: int) -> list[str]:
    """Return the clients, in each round with another one first."""
    first = number % len(clients)
    return [*clients[first:], *clients[:first]]


def perform(job: Job) -> Outcome:
    """Set the client up, and measure in this process."""
    from benchmarks.peers import PEERS

    client = PEERS[job.client](job.store, job.concurrency)
    operation = getattr(client, job.operation, None)
    if operation is None:
        return Outcome(offered=False)
    cpu, begun = cpu_seconds(), time.perf_counter()
    operation(*job.arguments)
    wall, cpu = time.perf_counter() - begun, cpu_seconds() - cpu
    return Outcome(round(wall, 4), round(cpu, 4), peak_rss())


def cpu_seconds() -> float:
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def peak_rss() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    status = Path("/proc/self/status")
    if not status.exists():
        return unit * max(children, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    # What getrusage() says of this process begins with what the one that started it had.
    (peak,) = re.findall(r"^VmHWM:\s+(\d+) kB$", status.read_text(), re.MULTILINE)
    return unit * max(children, int(peak))


def main() -> None:
    """Do the job that comes on standard input."""
    told = json.load(sys.stdin)
    job = Job(**told | {"store": Store(**told["store"])})
    outcome = perform(job)
    print(json.dumps(asdict(outcome)), flush=True)
    # What a client does when the interpreter ends is not the subject.
    os._exit(0)


if __name__ == "__main__":
    main()
