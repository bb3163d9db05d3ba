"""What an object has beside its content, as s3fs has it: metadata, tags and versions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aioobs.store.remote import file_url

if TYPE_CHECKING:
    from aioobs.filesystem.interface import FileSystem
    from aioobs.s3.client import Client
    from aioobs.url import ObjectURL

__all__ = ["Attributes"]


class Attributes:
    """The methods of `ObsFileSystem` for what is not the content."""

    async def _metadata(self: FileSystem, path: str) -> dict[str, str]:
        """Return the metadata of an object."""
        return await metadata_of(self.client, object_of(self, path))

    async def _getxattr(self: FileSystem, path: str, attr_name: str) -> str | None:
        """Return one value of an object's metadata; `None`: there is none of that name."""
        found = await metadata_of(self.client, object_of(self, path))
        return {spelled(name): value for name, value in found.items()}.get(spelled(attr_name))

    async def _setxattr(self: FileSystem, path: str, **attributes: str | None) -> None:
        """Change an object's metadata: `None` removes a name, and others stay as they are.

        The store copies the object onto itself, so its time may change, and who may read it is as
        for a new object.  In a name, ``_`` is sent as ``-``.
        """
        url, given = object_of(self, path), {spelled(n): v for n, v in attributes.items()}
        found = await metadata_of(self.client, url)
        kept = {name: value for name, value in found.items() if spelled(name) not in given}
        changed = {name: value for name, value in given.items() if value is not None}
        await self.client.set_object_metadata(url.bucket, url.key, kept | changed)
        self.invalidate_cache(path)

    async def _object_version_info(self: FileSystem, path: str) -> list[dict[str, object]]:
        """Return what the store has of each version of an object; see `list_object_versions`."""
        url = object_of(self, path)
        return [
            {
                "Key": version.key,
                "VersionId": version.version_id,
                "IsLatest": version.is_latest,
                "IsDeleteMarker": version.is_delete_marker,
                "Size": version.size,
                "ETag": version.etag,
                "LastModified": datetime.fromtimestamp(version.mtime_nsec / 1e9, UTC),
            }
            async for version in self.client.list_object_versions(url.bucket, url.key)
            if version.key == url.key
        ]

    async def _get_tags(self: FileSystem, path: str) -> dict[str, str]:
        """Return the tags of an object."""
        url = object_of(self, path)
        return await self.client.get_object_tagging(url.bucket, url.key)

    async def _put_tags(self: FileSystem, path: str, tags: dict[str, str], mode: str = "o") -> None:
        """Give an object *tags* instead of its own; with the mode ``m``, beside its own."""
        if mode not in ("o", "m"):
            raise ValueError(f"the mode {mode!r} is neither 'o' nor 'm'")
        client, (bucket, key, _) = self.client, object_of(self, path)
        found = await client.get_object_tagging(bucket, key) if mode == "m" else {}
        await client.put_object_tagging(bucket, key, found | tags)


async def metadata_of(client: Client, url: ObjectURL) -> dict[str, str]:
    return (await client.head_object(url.bucket, url.key)).metadata


def object_of(fs: FileSystem, path: str) -> ObjectURL:
    """Return the object that *path* names.

    Raises:
        IsADirectory: it names a bucket.
    """
    return file_url(str(fs.url_of(path)))


def spelled(name: str) -> str:
    """Return a name of metadata as headers have it: an argument of Python has no hyphen."""
    return name.lower().replace("_", "-")
