"""What the arguments of a command name, and what is below a folder."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from aioobs import file
from aioobs.session import current_client
from aioobs.store.emptied import folders_of
from aioobs.store.pattern import has_magic
from aioobs.threads import in_thread
from aioobs.transfer.tree import walk_in_batches
from aioobs.url import ObjectURL, parse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

__all__ = ["Item", "Named", "expand", "items_below", "items_of", "joined", "with_folders"]


class Named(NamedTuple):
    """A path or URL that the command line names."""

    path: str
    by_pattern: bool
    """Whether a pattern has matched it, and nobody has written it."""


class Item(NamedTuple):
    """A file, or an empty folder, below a folder."""

    name: str
    """Relative to the folder, with slashes."""
    path: str
    size: int = 0
    mtime_nsec: int = 0
    is_directory: bool = False
    etag: str = ""
    error: OSError | None = None
    """Why nothing more is known of it."""


async def expand(paths: Sequence[str]) -> list[Named]:
    """Return what *paths* name; patterns are replaced by what matches, each in order.

    One that matches nothing stays as it is, for it may be a name.
    """
    found = []
    for path in paths:
        where = parse(path)
        pattern = where if isinstance(where, str) else where.key
        is_name = isinstance(where, str) and await in_thread(os.path.lexists, where)
        if is_name or not has_magic(pattern):
            found.append(Named(path, by_pattern=False))
        elif matches := await file.glob(path):
            found += [Named(match, by_pattern=True) for match in matches]
        else:
            found.append(Named(path, by_pattern=False))
    return found


async def items_of(path: str) -> AsyncIterator[Item]:
    """Yield what is below a folder; of a file itself, under its last name.

    Raises:
        NotFound: there is nothing of that name.
    """
    info = await file.stat(path)
    if info.is_directory:
        async for item in items_below(parse(path)):
            yield item
    else:
        name = os.path.basename(path)
        yield Item(name, path, info.length, info.mtime_nsec, etag=info.etag)


async def items_below(folder: ObjectURL | str) -> AsyncIterator[Item]:
    """Yield the files and the empty folders below a folder, as the place lists them."""
    if isinstance(folder, str):
        async for batch in walk_in_batches(folder):
            for name, size, mtime_nsec, is_directory, error, *_ in batch:
                path = joined(folder, name)
                yield Item(name, path, size, mtime_nsec, is_directory, error=error)
        return
    async for page in current_client().list_pages(folder.bucket, folder.folder):
        for found in page.objects:
            name, path = found.key[len(folder.folder) :], str(folder.with_key(found.key))
            if name:
                marks = name.endswith("/") and not found.size
                short = name[:-1] if marks else name
                yield Item(short, path, found.size, found.mtime_nsec, marks, found.etag)


async def with_folders(path: str, items: AsyncIterator[Item]) -> AsyncIterator[Item]:
    """Yield items below a folder as they are listed, and each folder before what is in it."""
    before = ""
    async for item in items:
        is_folder = item.is_directory and item.error is None
        name = f"{item.name}/" if is_folder else item.name
        for folder in new_folders(name, before):
            yield Item(folder, joined(path, folder), is_directory=True)
        before = name
        if not is_folder:
            yield item


def joined(folder: str, name: str) -> str:
    """Return the path of *name* in a folder."""
    return f"{folder}{name}" if folder.endswith("/") else f"{folder}/{name}"


def new_folders(name: str, before: str) -> list[str]:
    """Return the folders that *name* leads through and *before*, the name listed before, did not.

    A listing has what is in a folder in one piece, so that each folder is found once.
    """
    return [folder for folder in folders_of(name) if not before.startswith(f"{folder}/")]
