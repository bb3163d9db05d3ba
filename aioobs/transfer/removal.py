"""Deletes the source of a move: exactly what was copied, not what has been added meanwhile."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING

from aioobs.errors import ObsError
from aioobs.store.emptied import EmptiedFolders
from aioobs.threads import in_thread
from aioobs.url import ObjectURL, key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from aioobs.s3.client import Client
    from aioobs.transfer.job import Job

__all__ = ["SourceRemoval", "unlink"]

BATCH = 1000  # objects that one request removes


class SourceRemoval:
    """Removes what has been copied of the files and folders that are moved.

    *gone* is called with the size of each file that has been removed.
    """

    def __init__(
        self,
        client: Client,
        sources: Sequence[ObjectURL | str],
        gone: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._client = client
        self._folders = list(sources)
        self._gone = gone
        self._emptied = EmptiedFolders()
        # Sizes: of files by path, of objects by bucket and key.
        self._files: dict[str, int] = {}
        self._objects: dict[str, dict[str, int]] = {}
        self._markers: dict[str, dict[str, int]] = {}
        self.left: list[OSError] = []
        """Why something that was copied could not be removed."""

    def add(self, job: Job) -> None:
        """Record what has been copied."""
        source, size = job.source, job.size or 0
        if not job.is_directory and source in self._folders:
            self._folders.remove(source)  # it is a file
        if isinstance(source, ObjectURL):
            if job.is_directory:
                self._markers.setdefault(source.bucket, {})[source.folder] = size
            else:
                self._objects.setdefault(source.bucket, {})[source.key] = size
        elif not job.is_directory:
            self._files[source] = size

    async def remove_some(self) -> None:
        """Remove what has been copied, if that is worth a request."""
        if len(self._files) + sum(map(len, self._objects.values())) >= BATCH:
            await self._remove()

    async def finish(self, *, with_folders: bool = True) -> None:
        """Remove the rest, and the folders that hold nothing any more."""
        await self._remove()
        await self._delete(self._markers)
        if not with_folders:
            return
        for folder in self._folders:
            if isinstance(folder, str):
                await in_thread(remove_empty_folders, folder)
            else:
                await self._remove_folder(folder)

    async def _remove_folder(self, folder: ObjectURL) -> None:
        try:
            failed = await self._emptied.remove(self._client, folder)
        except ObsError as error:
            self.left.append(error)
        else:
            self.left += [error for error in failed if key_of(error.url) == folder.folder]

    async def _remove(self) -> None:
        files, self._files = self._files, {}
        objects, self._objects = self._objects, {}
        left = await in_thread(self._unlink, list(files))
        self.left += left.values()
        for path, size in files.items():
            if path not in left:
                self._gone(size)
        await self._delete(objects)

    async def _delete(self, objects: dict[str, dict[str, int]]) -> None:
        for bucket, keys in objects.items():
            deepest_first = sorted(keys, reverse=True)
            failed = await self._client.delete_objects(bucket, deepest_first)
            self.left += failed
            left = {key_of(error.url) for error in failed}
            self._emptied.add(bucket, keys.keys() - left)
            for key, size in keys.items():
                if key not in left:
                    self._gone(size)

    def _unlink(self, paths: Sequence[str]) -> dict[str, OSError]:
        roots = [folder for folder in self._folders if isinstance(folder, str)]
        ours = lru_cache(16)(lambda folder: not reached_by_link(folder, roots))
        left = unlink(path for path in paths if ours(os.path.dirname(path)))
        return {path: why for path, why in left.items() if not isinstance(why, FileNotFoundError)}


def reached_by_link(folder: str, roots: Sequence[str]) -> bool:
    """Tell whether a link leads to a folder of one of the trees: what is there is not ours."""
    for root in roots:
        if f"{folder}/".startswith(os.path.join(root, "")):
            below = os.path.relpath(folder, root)
            straight = os.path.normpath(os.path.join(os.path.realpath(root), below))
            return os.path.realpath(folder) != straight
    return False


def unlink(paths: Iterable[str]) -> dict[str, OSError]:
    """Remove local files; return an error for each one that is left."""
    left: dict[str, OSError] = {}
    for path in paths:
        try:
            os.unlink(path)
        except OSError as error:
            left[path] = error
    return left


def remove_empty_folders(root: str) -> None:
    """Remove the empty folders of a tree, and links to folders, of which the content was copied."""
    for folder, names, _ in os.walk(root, topdown=False):
        for name in names:
            path = os.path.join(folder, name)
            with suppress(OSError):
                if os.path.islink(path):
                    os.unlink(path)
                else:
                    os.rmdir(path)
    with suppress(OSError):
        os.rmdir(root)
