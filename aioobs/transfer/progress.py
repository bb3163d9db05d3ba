"""The progress of a copy, and the callback that gets it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Meter", "Progress", "ProgressCallback", "ReportFailed"]

INTERVAL = 0.1  # seconds between two reports


@dataclass(frozen=True)
class Progress:
    """How far a copy has got; the totals grow while the source is still being listed."""

    files: int
    files_total: int
    bytes: int
    bytes_total: int
    failed: int
    """How many of the finished files have failed."""
    totals_known: bool
    """Whether the source has been listed to its end."""


ProgressCallback = Callable[[Progress], object]


class Meter:
    """Counts what is done, and reports it now and then and at the end."""

    def __init__(self, report: ProgressCallback | None) -> None:
        self._report = report
        self._next = 0.0
        self.files: int = 0
        self.files_total: int = 0
        self.bytes: int = 0
        self.bytes_total: int = 0
        self.failed: int = 0
        self.totals_known: bool = False

    def found(self, size: int) -> None:
        """Count a file that is to be copied."""
        self.files_total += 1
        self.bytes_total += size

    def grew(self, size: int) -> None:
        """Count the bytes of a file that was found without its size."""
        self.bytes_total += size

    def moved(self, size: int) -> None:
        """Count bytes that have been copied."""
        self.bytes += size
        if self._report is not None:
            self._tell(self._report)

    def ended(self, *, failed: bool) -> None:
        """Count a file that is done."""
        self.files += 1
        self.failed += failed
        if self._report is not None:
            self._tell(self._report)

    def finish(self) -> None:
        """Make the last report."""
        self._next = 0.0
        if self._report is not None:
            self._tell(self._report)

    def _tell(self, report: ProgressCallback) -> None:
        if (now := time.monotonic()) < self._next:
            return
        self._next = now + INTERVAL
        progress = Progress(
            self.files,
            self.files_total,
            self.bytes,
            self.bytes_total,
            self.failed,
            self.totals_known,
        )
        try:
            report(progress)
        except Exception as error:
            self._report = None
            raise ReportFailed from error


class ReportFailed(Exception):
    """The callback has raised its `__cause__`, which must not be taken for a failure of a file."""
