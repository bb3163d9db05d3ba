"""Try every fault with every verb at all times, and record it: ``python -m matrix [FAULT …]``."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import sys
import tempfile
import time
from pathlib import Path

from aioobs.testing import LocalServer, forget_other_stores
from matrix import Site, trials
from matrix.faults import FAULTS
from matrix.record import load, save, seen_as

TIMES = tuple(itertools.product(("first", "seventh", "random", "always"), ("lean", "session")))
"""When things go wrong, and over which transport."""


async def main() -> int:
    """Try the faults that the command line names, or all; return how many rows went wrong."""
    wrong = 0
    names = sys.argv[1:] or list(FAULTS)
    record = load() if sys.argv[1:] else {}
    with LocalServer() as server, tempfile.TemporaryDirectory() as folder:
        forget_other_stores()
        os.environ.update(server.environment)
        server.create_bucket("matrix")
        site = Site(server, "matrix", Path(folder))
        for name in names:
            record[name] = {"passing": {}, "lasting": {}}
            begun = time.monotonic()
            for schedule, transport in TIMES:
                seen = record[name][seen_as(schedule)]
                try:
                    found = await trials(site, FAULTS[name], schedule, transport)
                except AssertionError as error:
                    wrong += 1
                    notes = " ".join(getattr(error, "__notes__", []))
                    print(f"{name}, {schedule}, {transport}: {error} {notes}")
                    continue
                for verb, verdict in found.items():
                    seen.setdefault(verb, set()).update(verdict.split(" or "))
            print(f"{name}: {time.monotonic() - begun:.1f} s", flush=True)
    if not wrong:
        save(record)
    return wrong


if __name__ == "__main__":
    logging.disable()
    sys.exit(asyncio.run(main()))
