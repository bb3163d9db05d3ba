"""The parts of the report: which benchmarks are run for it, and with which options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks import stores

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

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
    store: str = "--store fast"
    """The local store that it is for."""
    local: bool = False
    """Whether it is left out where an endpoint is given."""

    def command(self, options: argparse.Namespace) -> list[str]:
        """Return the command line of its benchmark, on its local store or the endpoint given."""
        return [
            *self.arguments.split(),
            *(stores.endpoint_arguments(options) or self.store.split()),
        ]


SECTIONS = (
    Section(
        "Files",
        "Trees of files up, from one prefix to another, and down.",
        "copy_parallel --trees small,medium,big",
    ),
    Section(
        "Files of many sizes",
        "From 1 KiB to 8 MiB.",
        "copy_parallel --trees mixed",
        QUICK,
    ),
    Section(
        "Files, 10 ms added to each request",
        "Small files, 256 requests at a time: how well the waiting is shared.",
        "copy_parallel --concurrency 256 --trees small --legs up,down",
        QUICK,
        store="--store fast --delay 10",
        local=True,
    ),
    Section(
        "Files, over TLS",
        "On the fast endpoint.",
        "copy_parallel --trees small,big --legs up,down",
        QUICK,
        store="--store fast --tls",
        local=True,
    ),
    Section(
        "Files, on SeaweedFS",
        "A real server, which checks and stores everything, on the same machine.",
        "copy_parallel --trees small,big",
        QUICK,
        store="--store seaweedfs",
        local=True,
    ),
    Section("Listing", "Keys below one prefix, with sizes and times.", "listing"),
    Section(
        "Blocking calls",
        "One after the other in one thread, as a script makes them.",
        "latency",
    ),
    Section("Into memory", "One object, whole.", "memory"),
    Section(
        "Import",
        "In a process that has done nothing else, from where the import begins: until it ends, and "
        "until the first request has told whether an object exists.",
        "imports",
    ),
    Section(
        "Signing",
        "Requests signed with Signature Version 4, without their bodies: by this library, and by "
        "botocore as boto3 uses it.",
        "signer",
        ("aioobs.sync", "boto3"),
    ),
    Section(
        "Growth",
        "Ten times the objects, ten times the size.",
        "growth",
        OWN,
        1,
    ),
    Section(
        "Scale",
        "A tenth, and then the whole, of a million keys, a hundred thousand files and 1 GiB.",
        "scale",
        OWN,
        1,
        local=True,
    ),
)


def wanted(options: argparse.Namespace) -> Iterator[Section]:
    """Yield the sections that are asked for and that there are where the benchmark runs."""
    for section in SECTIONS:
        there = not (options.endpoint and section.local)
        if there and options.only.lower() in section.title.lower():
            yield section
