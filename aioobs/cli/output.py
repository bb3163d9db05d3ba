"""How lines, JSON, sizes and times are written to the standard output."""

from __future__ import annotations

import codecs
import io
import json
import sys
from datetime import UTC, datetime

__all__ = [
    "age",
    "at_least_one",
    "count",
    "duration",
    "moment",
    "prepare_output",
    "readable",
    "say",
    "say_json",
    "size_of",
]

UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def prepare_output() -> None:
    """Have names of files that are not text written as the bytes that they are.

    Letters that the locale does not have are escaped.
    """
    codecs.register_error("aioobs", in_bytes_or_escaped)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="aioobs")


def in_bytes_or_escaped(error: UnicodeError) -> tuple[str | bytes, int]:
    """Return what to write for what the encoding does not have, and where to go on."""
    try:
        return codecs.lookup_error("surrogateescape")(error)
    except UnicodeEncodeError:
        return codecs.lookup_error("backslashreplace")(error)


def say(text: str) -> None:
    """Write a line; on a terminal without characters that would steer it."""
    if sys.stdout.isatty():
        text = "".join(letter if letter.isprintable() else "?" for letter in text)
    sys.stdout.write(f"{text}\n")


def say_json(**fields: object) -> None:
    """Write an object as a line of JSON."""
    sys.stdout.write(f"{json.dumps(fields)}\n")


def readable(size: float) -> str:
    """Return a number of bytes as people like it: ``4.5 MiB``."""
    for unit in UNITS[:-1]:
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} {UNITS[-1]}"


def moment(mtime_nsec: int) -> str:
    """Return a time in UTC, ``2026-01-31T12:00:00Z``; empty if it is not known."""
    if not mtime_nsec:
        return ""
    return datetime.fromtimestamp(mtime_nsec // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def duration(seconds: float) -> str:
    """Return a time span as ``0:08`` or ``1:02:03``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def count(text: str) -> int:
    """Return a number.

    Raises:
        ValueError: it is none, or less than 0.
    """
    if (number := int(text)) < 0:
        raise ValueError(text)
    return number


def at_least_one(text: str) -> int:
    """Return a number.

    Raises:
        ValueError: it is none, or less than 1.
    """
    if (number := int(text)) < 1:
        raise ValueError(text)
    return number


def size_of(text: str) -> int:
    """Return what ``10``, ``10K``, ``1.5M`` or ``2GiB`` says, in bytes.

    Raises:
        ValueError: it is none of these.
    """
    plain = text.strip().lower().removesuffix("b").removesuffix("i")
    power = "kmgtpe".find(plain[-1:]) + 1 if plain else 0
    number = float(plain[:-1] if power else plain)
    if not 0 <= number < float("inf"):
        raise ValueError(text)
    return int(number * 1024**power)


def age(text: str) -> float:
    """Return what ``90``, ``90s``, ``15m``, ``12h``, ``7d`` or ``2w`` says, in seconds.

    Raises:
        ValueError: it is none of these.
    """
    unit = SECONDS.get(text[-1:])
    number = float(text[:-1] if unit else text)
    if not 0 <= number < float("inf"):
        raise ValueError(text)
    return number * (unit or 1)
