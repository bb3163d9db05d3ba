"""The interface of open objects, and the modes in which they are opened."""

from __future__ import annotations

import os
from typing import Protocol

__all__ = ["Raw", "check_options", "split_mode"]

LETTERS = {"r", "w", "x", "a"}


class Raw(Protocol):
    """One open object, read or written in a stream, without a buffer for the caller.

    A blocking file begins what reads on the thread of its caller: see `aioobs.calling_thread`.
    """

    readable: bool
    writable: bool

    async def readinto(self, buffer: memoryview, /) -> int:
        """Fill *buffer* as far as there is something."""

    async def readall(self) -> bytes:
        """Return all from the current position on."""

    async def write(self, data: memoryview, /) -> int:
        """Take *data* and return its length."""

    async def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to a position and return it."""

    async def size(self) -> int:
        """Return the number of bytes of the object."""

    async def flush(self) -> None:
        """Publish what was written so far."""

    async def aclose(self) -> None:
        """Publish what was written, and close."""

    async def abort(self) -> None:
        """Close without publishing."""


def split_mode(mode: str) -> tuple[str, bool, bool]:
    """Return the letter of a mode, whether it updates, and whether it is binary.

    Raises:
        ValueError: it is not a mode.
    """
    letters = sorted(set(mode) - set("bt+"))
    if len(letters) != 1 or letters[0] not in LETTERS or len(set(mode)) != len(mode):
        raise ValueError(f"invalid mode: {mode!r}")
    if "b" in mode and "t" in mode:
        raise ValueError("can't have text and binary mode at once")
    return letters[0], "+" in mode, "b" in mode


def check_options(
    *, binary: bool, buffering: int, encoding: str | None, errors: str | None, newline: str | None
) -> None:
    """Check that the arguments of `open` fit together, before anything is opened.

    Raises:
        ValueError: they do not.
    """
    if binary and not (encoding is errors is newline is None):
        raise ValueError("binary files take no encoding, errors or newline")
    if buffering == 0 and not binary:
        raise ValueError("text files cannot be without a buffer")
    if newline not in (None, "", "\n", "\r", "\r\n"):
        raise ValueError(f"illegal newline value: {newline!r}")
