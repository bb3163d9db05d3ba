"""mv: the sources of a move are deleted once they have been copied."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from aioobs.cli.failures import line_of, tell
from aioobs.cli.removing import delete
from aioobs.session import current_client
from aioobs.threads import in_thread
from aioobs.transfer.engine import move

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aioobs.cli.tally import Tally
    from aioobs.transfer.plan import Job
    from aioobs.url import ObjectURL

__all__ = ["SourceRemoval", "rename"]

BATCH = 1000  # objects that one request removes


class SourceRemoval:
    """Removes exactly what was copied: what came into a folder meanwhile stays."""

    def __init__(self, tally: Tally, folders: Sequence[ObjectURL | str]) -> None:
        self._tally = tally
        self._folders = folders
        self._copied: list[Job] = []
        self.failed: bool = False

    def add(self, job: Job) -> None:
        """Take a file that has been copied."""
        self._copied.append(job)

    async def remove_some(self) -> None:
        """Remove what has been copied, if that is worth a request."""
        if len(self._copied) >= BATCH:
            await self._remove()

    async def finish(self, *, remove_folders: bool) -> None:
        """Remove the rest, and if that is asked for the folders that hold nothing any more."""
        await self._remove()
        if not remove_folders:
            return
        for folder in self._folders:
            if isinstance(folder, str):
                await in_thread(remove_hollow, folder)
            elif folder.folder:
                await current_client().delete_object(folder.bucket, folder.folder)

    async def _remove(self) -> None:
        jobs, self._copied = self._copied, []
        files = await in_thread(self._removable, jobs)
        left = await delete(list(files))
        for error in left.values():
            tell(f"copied, but not removed: {line_of(error)}")
            self.failed = True
        for path, job in files.items():
            if path not in left:
                self._tally.add(job.size or 0)

    def _removable(self, jobs: Sequence[Job]) -> dict[str, Job]:
        """Return by its path each file that was copied; folders of this machine are left."""
        found = {}
        for job in jobs:
            source = job.source
            if not isinstance(source, str):
                marker = source.with_key(source.folder) if job.is_directory else source
                found[str(marker)] = job
            elif not (job.is_directory or self._is_foreign(source)):
                found[source] = job
        return found

    def _is_foreign(self, path: str) -> bool:
        """Tell whether a file was reached by a link that leads out of the folder to be moved."""
        for folder in self._folders:
            if isinstance(folder, str) and path.startswith(os.path.join(folder, "")):
                place = os.path.join(os.path.realpath(os.path.dirname(path)), "")
                return not place.startswith(os.path.join(os.path.realpath(folder), ""))
        return False


def remove_hollow(root: str) -> None:
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


async def rename(source: str, target: str) -> None:
    """Rename a local file or folder; the folders above its new name are made."""
    if folder := os.path.dirname(target.rstrip("/")):
        await in_thread(os.makedirs, folder, exist_ok=True)
    await move(current_client(), source, target)
