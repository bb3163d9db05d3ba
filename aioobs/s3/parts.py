"""How a big object is cut into parts: numbers, sizes and limits."""

from __future__ import annotations

from typing import NamedTuple

__all__ = [
    "LARGEST_PUT",
    "MOST_PARTS",
    "SMALLEST_PART",
    "Part",
    "cut",
    "part_size_for",
    "streamed_part_size",
]

MIB = 1 << 20
MOST_PARTS = 10_000
SMALLEST_PART = 5 * MIB  # of all but the last one
LARGEST_PUT = 5 << 30


class Part(NamedTuple):
    """A range of an object under its number, from 1 on."""

    number: int
    offset: int
    size: int


def part_size_for(size: int, wanted: int) -> int:
    """Return the size of the parts of an object of *size* bytes: *wanted*, or more if need be."""
    smallest = max(wanted, SMALLEST_PART)
    enough = -(-size // MOST_PARTS)
    if enough <= smallest:
        return smallest
    return -(-enough // MIB) * MIB


def streamed_part_size(number: int, wanted: int) -> int:
    """Return the size of part *number* of an object of which nobody knows how long it gets.

    It is *wanted* for the first 1,000 parts and doubles with each further thousand, so that
    10,000 parts suffice for what any store takes.
    """
    return min(max(wanted, SMALLEST_PART) << (number - 1) // 1000, LARGEST_PUT)


def cut(size: int, part_size: int) -> list[Part]:
    """Return the parts of an object of *size* bytes, all but the last one of *part_size* bytes."""
    return [
        Part(number, offset, min(part_size, size - offset))
        for number, offset in enumerate(range(0, size, part_size), 1)
    ]
