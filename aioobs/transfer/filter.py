"""Include and exclude patterns."""

from __future__ import annotations

import re
from fnmatch import translate
from typing import TYPE_CHECKING

from aioobs.config import check_list

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Filter"]


class Filter:
    """Patterns for names below a folder, in which ``*`` also matches slashes.

    A name passes if it matches one of *include*, or that is empty, and none of *exclude*; the
    order of the patterns means nothing.  One that ends in a slash matches all below a folder.
    """

    def __init__(self, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> None:
        check_list("include", include)
        check_list("exclude", exclude)
        self._include = [matcher(pattern) for pattern in include]
        self._exclude = [matcher(pattern) for pattern in exclude]

    def __bool__(self) -> bool:
        return bool(self._include or self._exclude)

    def passes(self, name: str) -> bool:
        """Tell whether a name is wanted."""
        if self._include and not any(pattern.match(name) for pattern in self._include):
            return False
        return not any(pattern.match(name) for pattern in self._exclude)


def matcher(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(f"{pattern}*" if pattern.endswith("/") else pattern))
