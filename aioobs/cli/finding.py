"""du and find: what a tree holds."""

from __future__ import annotations

import sys
import time
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from aioobs.cli.failures import line_of, tell
from aioobs.cli.items import expand, items_of, joined, with_folders
from aioobs.cli.output import moment, readable, say, say_json
from aioobs.transfer.filter import Filter

if TYPE_CHECKING:
    import argparse

    from aioobs.cli.items import Item
    from aioobs.cli.tally import Tally

__all__ = ["du", "find"]


async def du(given: argparse.Namespace, _: Tally) -> int:
    """Add up what is below each path, and below the folders down to a depth."""
    status, wanted = 0, Filter(given.include, given.exclude)
    for path, _by_pattern in await expand(given.paths):
        sums: dict[str, list[int]] = {"": [0, 0]}
        async for item in items_of(path):
            if item.error is not None:
                tell(line_of(item.error))
                status = 1
            elif not item.is_directory and wanted.passes(item.name):
                folders = item.name.split("/")[:-1]
                for depth in range(min(len(folders), given.depth) + 1):
                    size_and_count = sums.setdefault("/".join(folders[:depth]), [0, 0])
                    size_and_count[0] += item.size
                    size_and_count[1] += 1
        for folder in (*sorted(sums)[1:], ""):
            size, files = sums[folder]
            where = joined(path, folder) if folder else path
            if given.json:
                say_json(path=where, size=size, files=files)
            else:
                noun = "file " if files == 1 else "files"
                say(f"{readable(size) if given.human else size:>12}  {files:>10} {noun}  {where}")
    return status


async def find(given: argparse.Namespace, _: Tally) -> int:
    """Write the path of each file and folder that all the options are true of."""
    status, now = 0, time.time()
    for path, _by_pattern in await expand(given.paths):
        async for item in with_folders(path, items_of(path)):
            if item.error is not None:
                tell(line_of(item.error))
                status = 1
            elif matches(item, given, now):
                show(item, given)
    return status


def matches(item: Item, given: argparse.Namespace, now: float) -> bool:
    """Tell whether all the options are true of an item; folders have no size and no age."""
    if given.type and (given.type == "d") != item.is_directory:
        return False
    if given.name and not fnmatchcase(item.name.rpartition("/")[2], given.name):
        return False
    if not Filter(given.include, given.exclude).passes(item.name):
        return False
    limits = (given.larger, given.smaller, given.newer, given.older)
    if item.is_directory:
        return all(limit is None for limit in limits)
    age = now - item.mtime_nsec / 1e9
    return (
        (given.larger is None or item.size > given.larger)
        and (given.smaller is None or item.size < given.smaller)
        and (given.newer is None or age < given.newer)
        and (given.older is None or age > given.older)
    )


def show(item: Item, given: argparse.Namespace) -> None:
    """Write one item as the options say."""
    if given.json:
        kind = "folder" if item.is_directory else "file"
        when = moment(item.mtime_nsec) or None
        say_json(path=item.path, kind=kind, size=item.size, modified=when, etag=item.etag)
    elif given.null:
        sys.stdout.write(f"{item.path}\0")
    else:
        say(item.path)
