"""Whether a file system is case-insensitive, or takes two forms of an accented letter for one."""

from __future__ import annotations

import os
import secrets
import unicodedata
from contextlib import suppress
from typing import NamedTuple

__all__ = ["Folding", "folding"]


class Folding(NamedTuple):
    """Which differences between names a file system ignores."""

    case: bool = False
    form: bool = False
    """Whether an accented letter is the same as one character and as two."""

    def fold(self, name: str) -> str:
        """Return the same for all names that are one file."""
        if self.form:
            name = unicodedata.normalize("NFD", name)
        return name.casefold() if self.case else name


def folding(folder: str) -> Folding:
    """Find out what a folder ignores, or the nearest one above it that exists.

    Tried with a file whose name cannot be guessed; where none can be made, every difference counts.
    """
    folder = os.path.abspath(folder)
    while not os.path.isdir(folder) and folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
    name = f".aioobs-{secrets.token_hex(8)}-\u00e9.probe"
    path = os.path.join(folder, name)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except (OSError, UnicodeEncodeError):  # what is written there next will raise it
        return Folding()
    try:
        with suppress(OSError):  # a network's disk may be full: likewise
            os.close(descriptor)
        upper = name.replace("aioobs", "AIOOBS")
        split = name.replace("\u00e9", "e\u0301")
        return Folding(*(os.path.lexists(os.path.join(folder, other)) for other in (upper, split)))
    finally:
        os.unlink(path)
