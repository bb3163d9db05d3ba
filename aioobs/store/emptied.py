"""Folders that a store still shows when all that was in them has been removed.

Where folders are those of a file system, they are there without an object, and so outlive what
was in them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aioobs.errors import AccessDenied, NotFound, ResponseError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aioobs.errors import ObsError
    from aioobs.s3.client import Client
    from aioobs.s3.objects import ObjectInfo
    from aioobs.url import ObjectURL

__all__ = ["EmptiedFolders", "folders_of", "marker_of"]

MOST_FOLDERS = 100_000  # that are remembered in a bucket


class EmptiedFolders:
    """Removes the folders of what has been removed from trees, if the store still shows them."""

    def __init__(self) -> None:
        self._folders: dict[str, set[str]] = {}

    def add(self, bucket: str, keys: Iterable[str]) -> None:
        """Record what has been removed."""
        folders = self._folders.setdefault(bucket, set())
        if len(folders) < MOST_FOLDERS:
            for above in {key.rpartition("/")[0] for key in keys} - folders:
                folders.update(folders_of(f"{above}/"))

    async def remove(self, client: Client, root: ObjectURL) -> list[ObsError]:
        """Remove a folder with the recorded ones below it; of a bucket only those.

        Return an error for each one that is left: one that holds something again stays.
        """
        if not await shows(client, root):
            return []
        folders = self._folders.get(root.bucket, ())
        keys = {root.folder, *(f"{name}/" for name in folders)}
        below = [key for key in keys if key.startswith(root.folder) and is_plain(key)]
        return await client.delete_objects(root.bucket, sorted(below, reverse=True))


async def shows(client: Client, root: ObjectURL) -> bool:
    """Tell whether there is a folder, or something in a bucket."""
    try:
        if root.key:
            return await marker_of(client, root) is not None
        page = await client.list_objects(root.bucket, delimiter="/", limit=1)
    except NotFound:
        return False
    except AccessDenied:  # whoever may remove need not be allowed to look
        return True
    return bool(page.objects or page.prefixes)


async def marker_of(client: Client, folder: ObjectURL) -> ObjectInfo | None:
    """Return what the store says of the object that stands for a folder; `None`: there is none."""
    try:
        return await client.head_object(folder.bucket, folder.folder)
    except NotFound:
        return None
    except ResponseError as error:
        if error.resp is None or error.resp.status != 400:
            raise
        return None  # where keys are names of files, one with a slash at its end is a bad request


def is_plain(folder: str) -> bool:
    """Tell whether a key names a folder, and neither the bucket nor another folder in disguise."""
    return {"", ".", ".."}.isdisjoint(folder[:-1].split("/"))


def folders_of(name: str) -> list[str]:
    """Return the folders that a name below another leads through."""
    parts = name.split("/")[:-1]
    return ["/".join(parts[: end + 1]) for end in range(len(parts))]
