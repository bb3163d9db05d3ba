"""The parts of the report: which benchmarks are run for it, and with which options."""

from __future__ import annotations

from dataclasses import dataclass

QUICK = ("aioobs.sync", "obstore", "opendal", "s5cmd", "rclone")
OWN = ("aioobs.sync",)


@dataclass(frozen=True)
class Section:
    """A part of the report: what it is called, and the benchmark that it shows."""

    title: str
    about: str
    arguments: str
    clients: tuple[str, ...] = ()
    """Those that take part; none: all that are installed."""
    rounds: int | None = None
    """How often, whatever the report says."""


SECTIONS = (
    Section(
        "Files, on the fast endpoint",
        "Trees of files up, from one prefix to another, and down.",
        "copy_parallel --store fast --trees small,medium,big",
    ),
    Section(
        "Files of many sizes",
        "From 1 KiB to 8 MiB, on the fast endpoint.",
        "copy_parallel --store fast --trees mixed",
        QUICK,
    ),
    Section(
        "Files, 10 ms added to each request",
        "Small files, 256 requests at a time: how well the waiting is shared.",
        "copy_parallel --store fast --delay 10 --concurrency 256 --trees small --legs up,down",
        QUICK,
    ),
    Section(
        "Files, over TLS",
        "On the fast endpoint.",
        "copy_parallel --store fast --tls --trees small,big --legs up,down",
        QUICK,
    ),
    Section(
        "Files, on SeaweedFS",
        "A real server, which checks and stores everything, on the same machine.",
        "copy_parallel --trees small,big",
        QUICK,
    ),
    Section("Listing", "Keys below one prefix, with sizes and times.", "listing --store fast"),
    Section(
        "Blocking calls",
        "One after the other in one thread, as a script makes them.",
        "latency --store fast",
    ),
    Section("Into memory", "One object, whole.", "memory --store fast"),
    Section("Import", "In a process that has done nothing else.", "imports"),
    Section(
        "Growth",
        "Ten times the objects, ten times the size.",
        "growth --store fast",
        OWN,
        1,
    ),
    Section(
        "Scale",
        "A tenth, and then the whole, of a million keys, a hundred thousand files and 1 GiB.",
        "scale --store fast",
        OWN,
        1,
    ),
)
