"""The report of a sync."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SyncReport"]


@dataclass(frozen=True)
class SyncReport:
    """What a sync has done."""

    copied: int
    """Files, and empty folders."""
    bytes: int
    """Their sizes, together."""
    unchanged: int
    """Files that needed no copy."""
    deleted: int
    """Files, and empty folders, that were only in the target."""
    extras: int
    """What is only in the target, and still there."""
    failures: tuple[OSError, ...] = ()
    """An exception for each file that was not copied or not deleted."""
