"""Patterns of `glob`: ``*``, ``?`` and ``[...]`` within a name, ``**`` for any folders between."""

from __future__ import annotations

import fnmatch
import re
from functools import lru_cache

__all__ = ["has_magic", "literal_prefix", "name_matches", "path_matches"]

MAGIC = re.compile(r"[*?[]")


def has_magic(text: str) -> bool:
    """Tell whether *text* is a pattern rather than a name."""
    return MAGIC.search(text) is not None


def literal_prefix(pattern: str) -> str:
    """Return what every name that matches begins with."""
    return MAGIC.split(pattern, maxsplit=1)[0]


def name_matches(name: str, pattern: str) -> bool:
    """Tell whether a single name matches; as in a shell, hidden ones only if asked for."""
    if name.startswith(".") and not pattern.startswith("."):
        return False
    return compiled(pattern).match(name) is not None


def path_matches(names: list[str], patterns: list[str]) -> bool:
    """Tell whether a path, given as its names, matches; ``**`` stands for any folders or none."""
    if not patterns:
        return not names
    first, rest = patterns[0], patterns[1:]
    if first != "**":
        return bool(names) and name_matches(names[0], first) and path_matches(names[1:], rest)
    if path_matches(names, rest):
        return True
    return bool(names) and not names[0].startswith(".") and path_matches(names[1:], patterns)


@lru_cache(maxsize=256)
def compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(pattern))
