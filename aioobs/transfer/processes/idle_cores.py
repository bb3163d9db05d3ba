"""Whether worker processes can be started, and how many the idle cores would allow."""

from __future__ import annotations

import asyncio
import os
import sys
import time

from aioobs.errors import ConfigError

__all__ = ["can_start_processes", "idle_cores", "wanted_processes"]

VARIABLE = "AIOOBS_PROCESSES"
INTERVAL = 1.0  # seconds for which the cores are watched
BUSY = 0.75  # of a core, above which this process is the bottleneck


def can_start_processes() -> bool:
    """Tell whether processes can be started here, and may be."""
    if sys.platform != "linux" or not sys.executable or getattr(sys, "frozen", False):
        return False
    # The program that started this process has decided how many there are.
    multiprocessing = sys.modules.get("multiprocessing.process")
    if multiprocessing is not None and multiprocessing.parent_process() is not None:
        return False
    count = wanted_processes()
    return usable_cores() >= 2 if count is None else count > 0


def wanted_processes() -> int | None:
    """Return how many processes the environment wants; `None`: as many as pay.

    Raises:
        ConfigError: it does not say a number.
    """
    text = os.environ.get(VARIABLE, "").strip()
    if not text:
        return None
    if text.isascii() and text.isdigit() and int(text) < 1000:
        return int(text)
    raise ConfigError(f"the environment variable {VARIABLE}={text!r} is not a number of processes")


async def idle_cores() -> int:
    """Watch for a while; return how many cores are idle, 0 if this process does not need them."""
    began, used, idle = time.monotonic(), time.process_time(), idle_seconds()
    await asyncio.sleep(INTERVAL)
    passed = time.monotonic() - began
    if time.process_time() - used < BUSY * passed:
        return 0
    free = (idle_seconds() - idle) / passed
    return max(min(round(free), round(usable_cores()) - 1), 0)


def idle_seconds() -> float:
    """Return for how long the cores that this process may use have had nothing to do."""
    mine = {f"cpu{number}" for number in os.sched_getaffinity(0)}
    ticks = 0
    try:
        with open("/proc/stat", encoding="ascii") as file:
            for line in file:
                name, *times = line.split()
                if name in mine:
                    ticks += int(times[3]) + int(times[4])  # idle, and waiting for a disk
    except (OSError, ValueError, IndexError):
        return 0.0
    return ticks / os.sysconf("SC_CLK_TCK")


def usable_cores() -> float:
    """Return how many cores this process may use, by its affinity and its control group."""
    cores = float(len(os.sched_getaffinity(0)))
    try:
        with open("/sys/fs/cgroup/cpu.max", encoding="ascii") as file:
            quota, period = file.read().split()
        if quota != "max":
            cores = min(cores, int(quota) / int(period))
    except (OSError, ValueError):
        pass
    return cores
