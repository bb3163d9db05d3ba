"""Deletes the source of a move: exactly what was copied, and not what came meanwhile."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from aioobs.errors import TransferFailed
from aioobs.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aioobs.s3.client import Client
    from aioobs.transfer.plan import Job
    from aioobs.url import ObjectURL

__all__ = ["Moved"]


class Moved:
    """What has been copied of a file or a folder."""

    def __init__(self) -> None:
        self._names: set[str] = set()  # keys, or local paths

    def add(self, job: Job) -> None:
        """Take what has been copied."""
        source = job.source
        self._names.add(source if isinstance(source, str) else source.key)

    async def remove(self, client: Client, source: ObjectURL | str) -> None:
        """Remove it, a file or of a folder all of it, and the folders that hold nothing any more.

        Raises:
            TransferFailed: some objects could not be removed.
        """
        if isinstance(source, str):
            remove = os.unlink if source in self._names else partial(remove_files, self._names)
            await in_thread(remove, source)
            return
        if source.key not in self._names:
            self._names.add(source.folder)
        keys = sorted(filter(None, self._names), reverse=True)  # what is deepest comes first
        failures = await client.delete_objects(source.bucket, keys)
        if failures:
            raise TransferFailed(
                f"all was copied, {len(failures)} objects could not be removed; "
                f"the first: {failures[0]}",
                url=str(source),
                failures=failures,
            )


def remove_files(copied: Iterable[str], root: str) -> None:
    """Remove files of a tree, links to folders, and the folders that are empty then."""
    for folder, folders, files in os.walk(root, topdown=False):
        for name in files:
            if (path := os.path.join(folder, name)) in copied:
                os.unlink(path)
        for name in folders:
            path = os.path.join(folder, name)
            if os.path.islink(path):  # what it leads to was copied, and is not ours to remove
                os.unlink(path)
            else:
                with suppress(OSError):  # it is not empty
                    os.rmdir(path)
    with suppress(OSError):
        os.rmdir(root)
