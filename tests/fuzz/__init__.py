"""What must hold whatever comes in: targets for coverage-guided fuzzing, and for Hypothesis.

A target is a module with a function `check`, which takes any bytes and raises if something is
wrong, and with `inputs`, a strategy for bytes that are worth a look.  `corpus/<target>.txt` holds
inputs to begin with and those that went wrong once, one to a line, as in a literal of bytes.
``python -m fuzz`` looks for new ones; tests/test_fuzz.py runs the old ones, and some more.
"""

from __future__ import annotations

from pathlib import Path

TARGETS = ("response", "documents", "pages", "ranges", "times", "urls", "settings")
CORPUS = Path(__file__).with_name("corpus")


def corpus(target: str) -> list[bytes]:
    """Return the inputs that are kept for a target."""
    lines = (CORPUS / f"{target}.txt").read_text(encoding="ascii").splitlines()
    return [line.encode().decode("unicode_escape").encode("latin-1") for line in lines]


def written(data: bytes) -> str:
    """Return an input as a line of the corpus."""
    return data.decode("latin-1").encode("unicode_escape").decode()
