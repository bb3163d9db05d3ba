"""Forks in the middle of an import.

Most of this library, and what it needs, is imported when it is first used, in whatever thread that
is.  A child that is forked meanwhile would have the lock of such an import, but not the thread that
gives it back, and would wait for ever when it came to use the library itself.
"""

from __future__ import annotations

import contextlib
import importlib._bootstrap
import os
import sys
import threading
from typing import Any

__all__ = ["fork_after_imports"]

IMPORTED_LATE = {"aioobs", "aiofiles", "aiohttp", "anyio", "botocore", "encodings", "uvloop"}


def fork_after_imports() -> None:
    """Have every fork of this process wait for the imports of other threads.

    One may begin after all, while what others do before a fork is done: the child forgets it.
    """
    os.register_at_fork(before=finish_imports, after_in_child=forget_unfinished)


def finish_imports() -> None:
    """Wait until no other thread is importing this library or something that it needs."""
    passed: set[str] = set()  # what this thread itself is importing is under way all the time
    while names := under_way() - passed:
        for name in names:
            with contextlib.suppress(Exception):  # it is raised where it is imported
                importlib.import_module(name)
        passed |= names & under_way()


def forget_unfinished() -> None:
    """Forget modules of which a thread that is no more has run a part, to be imported again."""
    me = threading.get_ident()
    mine = {name for name, lock in list(locks().items()) if getattr(lock(), "owner", None) == me}
    for name, module in list(sys.modules.items()):
        unfinished = getattr(getattr(module, "__spec__", None), "_initializing", False)
        if unfinished and counts(name) and name not in mine:
            del sys.modules[name]


def under_way() -> set[str]:
    """Return the names of the modules that are being imported, as far as they count here."""
    return set(filter(counts, list(locks())))


def locks() -> dict[str, Any]:
    """Return weak references to the locks of imports, by the name of the module."""
    found: dict[str, Any] = vars(importlib._bootstrap).get("_module_locks", {})  # noqa: SLF001
    return found


def counts(name: str) -> bool:
    """Tell whether a module is of this library, or of those that it imports late."""
    return name.partition(".")[0] in IMPORTED_LATE
