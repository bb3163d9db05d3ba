"""The command line: `python -m aioobs`, which is the command `aioobs`."""

from __future__ import annotations

from aioobs.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
