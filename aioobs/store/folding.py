"""Whether a file system is case-insensitive, or takes two forms of an accented letter for one."""

from __future__ import annotations

import os
import secrets
import unicodedata
from contextlib import suppress
from typing import NamedTuple

__all__ = ["Folding", "folding"]


class Folding(NamedTuple):
    """What a file system makes no difference of in names."""

    case: bool = False
    form: bool = False
    """Whether letters with accents are the same in one character and in two."""

    def fold(self, name: str) -> str:
        """Return the same for all names that are one file."""
        if self.form:
            name = unicodedata.normalize("NFD", name)
        return name.casefold() if self.case else name


def folding(folder: str) -> Folding:
    """Return what is one name in a folder, or in the nearest one above that exists.

    Tried with a file of a name that cannot be guessed; where none can be made, nothing is one.
    """
    folder = os.path.abspath(folder)
    while not os.path.isdir(folder) and folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
    name = f".aioobs-{secrets.token_hex(8)}-\u00e9.probe"
    path = os.path.join(folder, name)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except (OSError, UnicodeEncodeError):  # it is told where something is to be written
        return Folding()
    try:
        with suppress(OSError):  # a network's disk may be full: what is written next will tell
            os.close(descriptor)
        upper = name.replace("aioobs", "AIOOBS")
        split = name.replace("\u00e9", "e\u0301")
        return Folding(*(os.path.lexists(os.path.join(folder, other)) for other in (upper, split)))
    finally:
        os.unlink(path)
