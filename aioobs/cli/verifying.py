"""verify: whether a copy is the same as its source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aioobs.audits import verify as audit
from aioobs.cli.output import say, say_json

if TYPE_CHECKING:
    import argparse

    from aioobs.audits import Finding
    from aioobs.cli.tally import Tally

__all__ = ["verify"]

SIGNS = {"same": "=", "different": "!", "missing": "-", "extra": "+", "unchecked": "?"}


async def verify(given: argparse.Namespace, _: Tally) -> int:
    """Compare a file or folder with its copy; the status is 0 if nothing is different or missing.

    Each file that is not the same is named, with *verbose* or *json* the others as well.
    """

    def show(finding: Finding) -> None:
        if given.json:
            say_json(name=finding.name, verdict=finding.verdict, reason=finding.reason)
        elif given.verbose or finding.verdict != "same":
            reason = f": {finding.reason}" if finding.reason else ""
            say(f"{SIGNS[finding.verdict]} {finding.name or given.target}{reason}")

    report = await audit(
        given.source, given.target, read=given.read, threads=given.jobs, found=show
    )
    counts = {verdict: getattr(report, verdict) for verdict in SIGNS}
    if given.json:
        say_json(**counts)
    else:
        say(", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
    return 0 if report else 1
