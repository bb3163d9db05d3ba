"""Compare CPython's tests with a shift and without: ``python -m cpython [MODULE …]``."""

from __future__ import annotations

import sys
import time

from cpython.compare import EXCLUDED, INSTALL, MODULES, differences, is_installed, results


def main() -> int:
    """Run the modules that the command line names, or all; return how many have differences."""
    if not is_installed():
        print(INSTALL, file=sys.stderr)
        return 1
    print(f"Python {sys.version.partition(' ')[0]}")
    print(f"{'module':17} tests    ok skipped excluded different  seconds")
    different = 0
    for module in sys.argv[1:] or MODULES:
        begin = time.monotonic()
        try:
            before, after = (results(module, shifted=shifted) for shifted in (False, True))
        except RuntimeError as error:
            print(error)
            different += 1
            continue
        found = differences(before, after)
        different += bool(found)
        tests = sum(map(len, before.ends.values()))
        excluded = len(before.ends.keys() & EXCLUDED.keys())
        print(
            f"{module:17} {tests:5} {after.count('ok'):5} {after.count('skipped'):7} "
            f"{excluded:8} {len(found):9} {time.monotonic() - begin:8.1f}",
            flush=True,
        )
        for test in found:
            print(f"  {test}: {before.ends.get(test)}, shifted {after.ends.get(test)}")
            print("    " + after.details.get(test, "")[-1500:].replace("\n", "\n    "))
    return different


if __name__ == "__main__":
    sys.exit(main())
