"""Look for inputs that go wrong: ``python -m fuzz [TARGET …]``.

Each target has as many seconds as FUZZ_SECONDS says, or 60.  What atheris finds worth a look is
kept in build/fuzz, where the next run begins.  Put what goes wrong into the corpus.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from fuzz import TARGETS, corpus, written

FOUND = Path(__file__).parents[2] / "build" / "fuzz"
ROUND = 200  # examples of Hypothesis between two looks at the clock


def main() -> int:
    """Run the targets that the command line names, or all; return how many went wrong."""
    seconds = int(os.environ.get("FUZZ_SECONDS") or "60")
    look = with_atheris
    if not is_installed("atheris"):
        print(f"There is no atheris for Python {sys.version.split()[0]}: Hypothesis looks instead.")
        look = with_hypothesis
    wrong = 0
    for target in sys.argv[1:] or TARGETS:
        print(f"{target}, {seconds} s", flush=True)
        wrong += not look(target, seconds)
    return wrong


def is_installed(name: str) -> bool:
    """Tell whether a module can be imported."""
    try:
        return find_spec(name) is not None
    except ValueError:  # sys.modules says that it cannot
        return False


def with_atheris(target: str, seconds: int) -> bool:
    """Let atheris look for inputs that reach new code; tell whether nothing went wrong."""
    kept, wrong = FOUND / target, FOUND / f"{target}-wrong"
    for folder in (kept, wrong):
        folder.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(corpus(target)):
        (kept / f"seed-{number}").write_bytes(data)
    before = set(wrong.iterdir())
    done = subprocess.run(
        [
            *(sys.executable, "-m", "fuzz.guided", target, kept),
            *(f"-max_total_time={seconds}", f"-artifact_prefix={wrong}/"),
            *("-max_len=4096", "-timeout=20", "-verbosity=0", "-print_final_stats=1"),
        ],
        check=False,
    )
    for path in set(wrong.iterdir()) - before:
        print(f"for tests/fuzz/corpus/{target}.txt:\n{written(path.read_bytes())}")
    return done.returncode == 0


def with_hypothesis(target: str, seconds: int) -> bool:
    """Let Hypothesis look; tell whether nothing went wrong."""
    from hypothesis import HealthCheck, given, settings

    module = import_module(f"fuzz.{target}")
    few = settings(
        max_examples=ROUND,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    rounds, end = 0, time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            few(given(data=module.inputs)(module.check))()
            rounds += 1
    except Exception:  # noqa: BLE001 - that is what it is for
        sys.excepthook(*sys.exc_info())
        return False
    print(f"{rounds * ROUND} examples")
    return True


if __name__ == "__main__":
    sys.exit(main())
