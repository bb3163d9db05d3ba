"""ls, tree and stat: what is in folders."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from aioobs import file
from aioobs.cli.failures import line_of, tell
from aioobs.cli.items import Item, expand, items_below, with_folders
from aioobs.cli.output import moment, readable, say, say_json
from aioobs.session import current_client
from aioobs.threads import in_thread
from aioobs.url import parse

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator

    from aioobs.cli.tally import Tally
    from aioobs.store.entry import Stat

__all__ = ["ls", "stat", "tree"]


async def ls(given: argparse.Namespace, _: Tally) -> int:
    """List folders, or the buckets."""
    if not given.paths or given.paths in (["s3://"], ["obs://"]):
        for bucket in await current_client().list_buckets():
            show(Item(bucket, f"s3://{bucket}", is_directory=True), given)
        return 0
    named = await expand(given.paths)
    for path, by_pattern in named:
        info = await file.stat(path)
        if not info.is_directory or (by_pattern and not given.recursive):
            show(item_of(path, path, info), given)
            continue
        if len(named) > 1 and not given.json:
            say(f"{path}:")
        async for item in everything(path) if given.recursive else children(path):
            show(item, given)
    return 0


def show(item: Item, given: argparse.Namespace) -> None:
    """Write a line about an item as the options say."""
    name = f"{item.name}/" if item.is_directory else item.name
    if given.json:
        kind = "folder" if item.is_directory else "file"
        when = moment(item.mtime_nsec) or None
        say_json(name=name, path=item.path, kind=kind, size=item.size, modified=when)
    elif given.long:
        size = "-" if item.is_directory else readable(item.size) if given.human else str(item.size)
        say(f"{size:>12}  {moment(item.mtime_nsec):20}  {name}")
    else:
        say(name)


def item_of(name: str, path: str, info: Stat) -> Item:
    return Item(name, path, info.length, info.mtime_nsec, info.is_directory)


async def children(path: str) -> AsyncIterator[Item]:
    """Yield what is in a folder: of a local one in order."""
    if isinstance(parse(path), str):
        for item in await in_thread(local_items, path):
            yield item
        return
    async for entry in file.scan_dir(path):
        yield item_of(entry.name, entry.path, entry.stat())


def local_items(path: str) -> list[Item]:
    items = []
    with os.scandir(path) as scan:
        for entry in scan:
            info = entry.stat(follow_symlinks=entry.is_file() or entry.is_dir())
            size = 0 if entry.is_dir() else info.st_size
            items.append(Item(entry.name, entry.path, size, info.st_mtime_ns, entry.is_dir()))
    return sorted(items, key=lambda item: item.name)


async def everything(path: str) -> AsyncIterator[Item]:
    """Yield all that is below a folder, each folder before what is in it."""
    async for item in with_folders(path, items_below(parse(path))):
        if item.error is not None:
            tell(line_of(item.error))
        else:
            yield item


async def tree(given: argparse.Namespace, _: Tally) -> int:
    """Draw a folder, with one listing for each folder in it."""
    say(given.path)
    counts = [0, 0]
    await draw(given.path, "", given.depth, counts)
    say(f"\n{counts[0]} folders, {counts[1]} files")
    return 0


async def draw(path: str, margin: str, depth: int | None, counts: list[int]) -> None:
    """Draw what is in a folder; *counts* are those of folders and files."""
    entries = sorted([entry async for entry in file.scan_dir(path)], key=lambda entry: entry.name)
    for number, entry in enumerate(entries, 1):
        name, folder, last = entry.name, entry.is_dir(), number == len(entries)
        counts[0 if folder else 1] += 1
        say(f"{margin}{'└── ' if last else '├── '}{name}{'/' if folder else ''}")
        if folder and (depth is None or depth > 1) and not entry.is_symlink():
            deeper = None if depth is None else depth - 1
            await draw(entry.path, f"{margin}{'    ' if last else '│   '}", deeper, counts)


async def stat(given: argparse.Namespace, _: Tally) -> int:
    """Show what is known of files and folders."""
    for path, _by_pattern in await expand(given.paths):
        info = await file.stat(path)
        fields: dict[str, object] = {
            "path": path,
            "kind": "folder" if info.is_directory else "file",
            "size": info.length,
            "modified": moment(info.mtime_nsec) or None,
        }
        where = parse(path)
        if not isinstance(where, str) and not info.is_directory:
            found = await current_client().head_object(where.bucket, where.key)
            fields["etag"] = found.etag
            fields["type"] = found.headers.get("content-type", "")
            fields["class"] = found.headers.get("x-amz-storage-class", "STANDARD")
            fields["metadata"] = found.metadata
        if given.json:
            say_json(**fields)
            continue
        for name, value in fields.items():
            if isinstance(value, dict):
                value = " ".join(f"{key}={word}" for key, word in value.items())
            if value not in (None, ""):
                say(f"{name + ':':10}{value}")
    return 0
