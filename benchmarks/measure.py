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
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.stores import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

ROOT = Path(__file__).parent.parent
LONGEST = 1800  # seconds that one measurement may take
SAID = 1000  # characters of what a failed process said
WARM_UP = 20  # calls before those that are timed one by one

Argument = str | int


@dataclass(frozen=True)
class Job:
    """What a process is to measure."""

    client: str
    operation: str
    calls: list[list[Argument]]
    """The arguments of each call; if there are several, each one is timed."""
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
    base_rss: int = 0
    """Bytes, of the client that is set up."""
    count: int = 0
    """What the calls returned, all together: keys, or bytes."""
    middle: float = 0.0
    """Seconds within which half of the calls end, if they were timed one by one."""
    late: float = 0.0
    """Seconds within which 99 of 100 calls end."""
    error: str = ""
    offered: bool = True
    """Whether the client has such an operation at all."""

    @property
    def seconds(self) -> float:
        """What is compared."""
        return self.middle or self.wall


@dataclass(frozen=True)
class Record:
    """One measurement, and what it is one of."""

    workload: str
    operation: str
    client: str
    round: int
    outcome: Outcome = field(default_factory=Outcome)


@dataclass(frozen=True)
class Case:
    """What every client does once in each round."""

    workload: str
    operation: str
    open: Callable[[], AbstractContextManager[Callable[[str], Outcome]]]
    """Prepares a round, for a `with` block, and gives what measures a client."""


def interleaved(
    cases: Sequence[Case], clients: Sequence[str], *, rounds: int, patience: float
) -> Iterator[Record]:
    """Measure, round by round; each round has every case with every client once.

    After the first round a client is left out of a case that it cannot do, fails in, or takes
    *patience* times as long for as the fastest one; 0 waits for all.
    """
    asked = [list(clients) for _ in cases]
    for number in range(rounds):
        for index, case in enumerate(cases):
            outcomes: dict[str, Outcome] = {}
            if not asked[index]:
                continue
            with case.open() as measured:
                for client in rotated(asked[index], number):
                    outcomes[client] = measured(client)
                    yield Record(case.workload, case.operation, client, number, outcomes[client])
            kept = worth_waiting_for(outcomes, patience)
            asked[index] = [client for client in asked[index] if client in kept]


def worth_waiting_for(outcomes: dict[str, Outcome], patience: float) -> set[str]:
    """Return the clients that take part in the next round."""
    walls = {
        client: outcome.seconds
        for client, outcome in outcomes.items()
        if outcome.offered and not outcome.error
    }
    longest = patience * min(walls.values(), default=0.0) or float("inf")
    return {client for client, wall in walls.items() if wall <= longest}


def rotated(clients: Sequence[str], number: int) -> list[str]:
    """Return the clients, in each round with another one first."""
    first = number % len(clients)
    return [*clients[first:], *clients[:first]]


def measure(job: Job) -> Outcome:
    """Measure in a new process; an error there is an outcome."""
    command = [sys.executable, "-m", "benchmarks.measure"]
    return outcome_of(command, json.dumps(asdict(job)), job.store.trusted)


def outcome_of(
    command: Sequence[str], told: str = "", variables: dict[str, str] | None = None
) -> Outcome:
    """Return the outcome that a program writes."""
    try:
        done = subprocess.run(
            command,
            input=told,
            capture_output=True,
            text=True,
            timeout=LONGEST,
            cwd=ROOT,
            env=os.environ | (variables or {}),
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Outcome(error=f"took longer than {LONGEST} s")
    if done.returncode:
        return Outcome(error=done.stderr.strip()[-SAID:] or f"ended with {done.returncode}")
    return Outcome(**json.loads(done.stdout))


def counted(outcome: Outcome, wanted: int) -> Outcome:
    """Return the outcome, or a failure if the client did not get all."""
    if outcome.error or not outcome.offered or outcome.count == wanted:
        return outcome
    return replace(outcome, error=f"got {outcome.count:,} of {wanted:,}")


def perform(job: Job) -> Outcome:
    """Set the client up, and measure in this process."""
    from benchmarks.peers import PEERS

    client = PEERS[job.client](job.store, job.concurrency)
    operation = getattr(client, job.operation, None)
    if operation is None:
        return Outcome(offered=False)
    return timed(operation, job.calls)


def timed(operation: Callable[..., int | None], calls: Sequence[Sequence[object]]) -> Outcome:
    """Measure calls in this process; if there are several, each one is timed."""
    if len(calls) > 1:
        for call in calls[:WARM_UP]:
            operation(*call)
    base = peak_rss()
    cpu, begun = cpu_seconds(), time.perf_counter()
    count, times = called(operation, calls)
    wall, cpu = time.perf_counter() - begun, cpu_seconds() - cpu
    outcome = Outcome(round(wall, 4), round(cpu, 4), peak_rss(), base, count)
    if len(times) == 1:
        return outcome
    return replace(outcome, middle=at_share(times, 0.5), late=at_share(times, 0.99))


def called(
    operation: Callable[..., int | None], calls: Iterable[Sequence[object]]
) -> tuple[int, list[float]]:
    """Call, and return the sum of what came back, and the seconds of each call."""
    count, times = 0, []
    for call in calls:
        begun = time.perf_counter()
        count += operation(*call) or 0
        times.append(time.perf_counter() - begun)
    return count, times


def at_share(times: Sequence[float], share: float) -> float:
    """Return the time within which that share of the calls end."""
    return round(sorted(times)[int(len(times) * share)], 7)


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
