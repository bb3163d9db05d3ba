"""What the clients are asked to do, and what has to be there when that succeeded or failed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from matrix.peers import PART
from matrix.verbs import NEW, NOISE, OLD, TREE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from matrix.verbs import Place

__all__ = ["OPERATIONS", "Operation", "difference"]

BIG = NOISE[:PART] + NOISE[70_000:] + NOISE[:70_000]
START, SIZE = 4000, 3 * PART // 2
"""A piece from the middle, of more than a part."""


@dataclass(frozen=True)
class Operation:
    """One thing to do, with what is there before and after it."""

    arguments: Callable[[Place], tuple[Any, ...]]
    result: Any = None
    before: Mapping[str, bytes] = field(default_factory=dict)
    after: Mapping[str, bytes] | None = None
    """The objects; `None`: nothing in the store is changed."""
    made: Mapping[str, bytes] = field(default_factory=dict)
    """The local files that it makes."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """The local files that are there before."""


def key(place: Place, name: str) -> str:
    return f"{place.folder}/o/{name}"


def file(place: Place, name: str) -> str:
    return str(place.local / name)


SOURCE, BIG_SOURCE = {"source": OLD}, {"big": BIG}
OPERATIONS = {
    "get": Operation(lambda at: (key(at, "source"),), OLD, SOURCE),
    "get_big": Operation(lambda at: (key(at, "big"),), BIG, BIG_SOURCE),
    "get_range": Operation(
        lambda at: (key(at, "big"), START, SIZE), BIG[START : START + SIZE], BIG_SOURCE
    ),
    "put": Operation(
        lambda at: (key(at, "target"), NEW), before={"target": OLD}, after={"target": NEW}
    ),
    "put_big": Operation(
        lambda at: (key(at, "target"), BIG), before={"target": OLD}, after={"target": BIG}
    ),
    "head": Operation(lambda at: (key(at, "source"),), len(OLD), SOURCE),
    "list_all": Operation(
        lambda at: (key(at, "tree/"),),
        sorted(f"tree/{name}" for name in TREE),
        {f"tree/{name}": content for name, content in TREE.items()},
    ),
    "delete": Operation(
        lambda at: (key(at, "gone"),), before={"gone": OLD, "gone2": OLD}, after={"gone2": OLD}
    ),
    "copy": Operation(
        lambda at: (key(at, "source"), key(at, "target")),
        before={"source": NEW, "target": OLD},
        after={"source": NEW, "target": NEW},
    ),
    "download": Operation(
        lambda at: (key(at, "big"), file(at, "target")),
        before=BIG_SOURCE,
        files={"target": OLD},
        made={"target": BIG},
    ),
    "upload": Operation(
        lambda at: (file(at, "source"), key(at, "target")),
        before={"target": OLD},
        after={"target": BIG},
        files={"source": BIG},
        made={"source": BIG},
    ),
}


def difference(found: Any, expected: Any) -> str:
    """Return in words how what was found is not what was expected; empty: it is the same."""
    if found == expected:
        return ""
    if isinstance(expected, bytes) and isinstance(found, bytes):
        same = common(found, expected)
        size = f"{len(found):,} of {len(expected):,} bytes"
        return size if same == min(len(found), len(expected)) else f"{size}, wrong from {same:,} on"
    if isinstance(expected, list):
        missing, more = set(expected) - set(found), len(found) - len(set(found) & set(expected))
        return f"{len(missing)} of {len(expected)} names are missing, {more} are too many"
    if isinstance(expected, dict):
        names = sorted({*found, *expected})
        told = (
            f"`{name}` is missing"
            if name not in found
            else f"`{name}` is there, of {len(found[name]):,} bytes"
            if name not in expected
            else f"`{name}` has {difference(found[name], expected[name])}"
            for name in names
            if found.get(name) != expected.get(name)
        )
        return "; ".join(told)
    return f"{found!r}, not {expected!r}"


def common(one: bytes, other: bytes) -> int:
    """Return how many bytes the beginnings of two have in common."""
    least, most = 0, min(len(one), len(other))
    while least < most:
        middle = (least + most + 1) // 2
        if one[:middle] == other[:middle]:
            least = middle
        else:
            most = middle - 1
    return least
