"""The progress bar, and the summary of what a command has done."""

from __future__ import annotations

import shutil
import sys
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aioobs.cli.output import duration, readable

if TYPE_CHECKING:
    from aioobs.transfer.progress import Progress

__all__ = ["Bar", "Tally"]

WINDOW = 5.0  # seconds that the rate is an average of
BAR = 20  # characters at most
ERASE = "\r\x1b[K"


@dataclass
class Tally:
    """What a command has done so far."""

    verb: str = ""
    """Such as "copied"; empty: the command changes nothing."""
    files: int = 0
    bytes: int = 0
    deleted: int = 0
    rest: str = ""
    """What else there is to say, such as ", 12 unchanged"."""

    def add(self, size: int) -> None:
        """Count a file."""
        self.files += 1
        self.bytes += size

    def __str__(self) -> str:
        """Return how a line about the end of the command goes on."""
        return f": {self.done()} before that, the rest is as it was" if self.verb else ""

    def done(self) -> str:
        """Return what was done, ``12 files (4.5 MiB) copied, 2 deleted``."""
        noun = "file" if self.files == 1 else "files"
        deleted = f", {self.deleted} deleted" if self.deleted else ""
        return f"{self.files} {noun} ({readable(self.bytes)}) {self.verb}{deleted}"


class Bar:
    """A line on the terminal; where the standard error is none, or *wanted* is false, nothing."""

    def __init__(self, *, wanted: bool) -> None:
        self._shows = wanted and sys.stderr.isatty()
        self._begin = time.monotonic()
        self._times: deque[tuple[float, int]] = deque([(self._begin, 0)])

    def update(self, progress: Progress) -> None:
        """Show how far it is."""
        if not self._shows:
            return
        now = time.monotonic()
        self._times.append((now, progress.bytes))
        while len(self._times) > 2 and now - self._times[0][0] > WINDOW:
            self._times.popleft()
        before, count = self._times[0]
        rate = max(progress.bytes - count, 0) / max(now - before, 0.001)
        width = shutil.get_terminal_size().columns - 1
        sys.stderr.write(ERASE + line_of(progress, rate, width)[:width])
        sys.stderr.flush()

    def say(self, text: str) -> None:
        """Show a line that stays until the next one."""
        if self._shows:
            plain = "".join(letter for letter in text if letter.isprintable())
            sys.stderr.write(ERASE + plain[: shutil.get_terminal_size().columns - 1])
            sys.stderr.flush()

    def end(self, tally: Tally | None = None) -> None:
        """Take the line away; say what was done, if that is given."""
        if not self._shows:
            return
        sys.stderr.write(ERASE)
        if tally is not None:
            seconds = max(time.monotonic() - self._begin, 0.001)
            rate = readable(tally.bytes / seconds)
            sys.stderr.write(f"{tally.done()}{tally.rest} in {seconds:.1f} s, {rate}/s\n")
        sys.stderr.flush()


def line_of(progress: Progress, rate: float, width: int) -> str:
    """Return a line that says how far it is, how fast, and for how long still.

    Where nobody knows how much there is to do, the totals are 0.  The bar has the room that the
    rest leaves of the *width*.
    """
    total, more = progress.bytes_total, "" if progress.totals_known else "+"
    if not progress.files_total:
        return f"{readable(progress.bytes)}  {progress.files} files  {readable(rate)}/s"
    share = min(progress.bytes / total, 1.0) if total else 0.0
    parts = [
        f"{share:4.0%}",
        f"{readable(progress.bytes)} of {readable(total)}{more}",
        f"{progress.files} of {progress.files_total}{more} files",
        f"{readable(rate)}/s",
    ]
    if progress.failed:
        parts.append(f"{progress.failed} failed")
    if progress.totals_known and rate:
        parts.append(f"{duration(max(total - progress.bytes, 0) / rate)} left")
    line = "  ".join(parts)
    room = min(BAR, width - len(line) - len("[] "))
    full = round(share * room)
    return f"[{'#' * full}{'.' * (room - full)}] {line}" if room > 0 else line
