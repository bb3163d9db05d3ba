"""Build what is released, and see it work: ``python -m release [quick]``.

``quick`` builds, installs the wheel where nothing else is, and uses it.  Without it the build is
repeated and compared, and the core tests are run on each Python that is there, with the newest of
what the package depends on and with the oldest.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from release import environment, package


def main() -> int:
    """Make all checks, one after the other; return the exit status."""
    quick = sys.argv[1:] == ["quick"]
    with tempfile.TemporaryDirectory(prefix="aioobs-release-") as name:
        here = Path(name)
        try:
            built = package.build(here / "dist")
            say(f"{built.wheel.name}, {built.sdist.name}")
            package.check(built)
            say("hold what they should")
            if not quick:
                package.build_again(built, here / "again")
                say("are the same to the byte when built again from the sdist")
            for told in environment.checks(built, here, quick=quick):
                say(told)
        except package.CheckFailed as error:
            print(error, file=sys.stderr)
            return 1
        except subprocess.CalledProcessError as error:
            print(error, error.stdout, sep="\n", file=sys.stderr)
            return 1
    return 0


def say(text: str) -> None:
    """Say what is known now, and after how long."""
    print(f"{time.monotonic() - BEGIN:6.1f} s  {text}", flush=True)


BEGIN = time.monotonic()

if __name__ == "__main__":
    sys.exit(main())
