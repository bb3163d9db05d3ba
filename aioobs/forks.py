"""Forks in the middle of an import.

Most of this library, and what it needs, is imported when it is first used, in whatever thread that
is.  A child that is forked meanwhile would have the lock of such an import, but not the thread that
gives it back, and would wait for ever when it came to use the library itself.
"""

from __future__ import annotations

import contextlib
import importlib._bootstrap
import os

__all__ = ["fork_after_imports"]

IMPORTED_LATE = {"aioobs", "aiofiles", "aiohttp", "anyio", "botocore", "encodings", "uvloop"}


def fork_after_imports() -> None:
    """Have every fork of this process wait for the imports of other threads."""
    os.register_at_fork(before=finish_imports)


def finish_imports() -> None:
    """Wait until no other thread is importing this library or something that it needs."""
    passed: set[str] = set()  # what this thread itself is importing is under way all the time
    while names := under_way() - passed:
        for name in names:
            with contextlib.suppress(Exception):  # it is raised where it is imported
                importlib.import_module(name)
        passed |= names & under_way()


def under_way() -> set[str]:
    """Return the names of the modules that are being imported, as far as they count here."""
    locks = vars(importlib._bootstrap).get("_module_locks", {})  # noqa: SLF001
    return {name for name in list(locks) if name.partition(".")[0] in IMPORTED_LATE}
