"""Listings in fsspec's form: dictionaries with name, size and type."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aioobs.errors import NotFound
from aioobs.url import ObjectURL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, MutableMapping

    from aioobs.s3.client import Client
    from aioobs.s3.documents.page import Listed
    from aioobs.s3.objects import ObjectInfo
    from aioobs.store.entry import Stat

__all__ = [
    "Info",
    "all_below",
    "entries",
    "folder_info",
    "forget",
    "listed",
    "name_of",
    "stat_info",
    "url_of",
    "version_info",
]

Info = dict[str, object]


def url_of(path: str) -> ObjectURL:
    """Return the object or folder that *path* names.

    Raises:
        NotFound: it names none.
    """
    bucket, _, key = path.partition("/")
    if not bucket:
        raise NotFound("the path has no bucket", url=path)
    return ObjectURL(bucket, key, "obs")


def file_info(name: str, size: int, etag: str, mtime_nsec: int) -> Info:
    """Return the entry of an object."""
    seconds = mtime_nsec / 1e9
    return {
        "name": name,
        "size": size,
        "type": "file",
        "ETag": etag,
        "LastModified": datetime.fromtimestamp(seconds, UTC),
        "mtime": seconds,
        "Key": name,  # s3fs says these two once more, and there are programs that rely on it
        "Size": size,
    }


def folder_info(name: str) -> Info:
    """Return the entry of a folder or bucket."""
    return {"name": name, "size": 0, "type": "directory", "Key": name, "Size": 0}


def stat_info(name: str, stat: Stat) -> Info:
    """Return the entry of what `stat` was called for."""
    if stat.is_directory:
        return folder_info(name)
    found = file_info(name, stat.length, stat.etag, stat.mtime_nsec)
    return found | {"ContentType": stat.content_type}


def version_info(name: str, found: ObjectInfo, version_id: str) -> Info:
    """Return the entry of one version of an object."""
    stated = file_info(name, found.size, found.etag, found.mtime_nsec)
    said = found.headers.get("content-type", "")
    return stated | {"ContentType": said, "VersionId": version_id}


def name_of(info: Info) -> str:
    """Return the name by which a listing is sorted."""
    return str(info["name"])


async def listed(client: Client, name: str, prefix: str = "") -> list[Info] | None:
    """Return what is in a folder, or in the account, if its name begins with *prefix*.

    `None`: there is no such folder.
    """
    if name:
        return await entries(client, url_of(name), prefix)
    buckets = sorted(await client.list_buckets())
    return [folder_info(bucket) for bucket in buckets if bucket.startswith(prefix)]


async def all_below(client: Client, name: str, maxdepth: int | None, prefix: str) -> list[Info]:
    """Return what is in a folder and the folders in it, as far as they are not too deep."""
    try:
        if maxdepth == 1:
            return await listed(client, name, prefix) or []
        return [info async for info in below(client, url_of(name), prefix, maxdepth)]
    except NotFound:  # no such bucket
        return []


def forget(listings: MutableMapping[str, list[Info]], name: str) -> None:
    """Take out the listings of a folder, of what is in it, and of the folders above it."""
    for known in list(listings):
        above, under = f"{known}/" if known else "", f"{name}/"
        if under.startswith(above) or above.startswith(under):
            listings.pop(known, None)


async def entries(client: Client, url: ObjectURL, prefix: str) -> list[Info] | None:
    """Return what a folder holds under names that begin with *prefix*; `None`: no such folder."""
    found: list[Info] = []
    marked = False
    async for page in client.list_pages(url.bucket, url.folder + prefix, delimiter="/"):
        marked = marked or bool(page.objects)
        folders = (key.rstrip("/") for key in page.prefixes if key != url.folder)
        found += [folder_info(f"{url.bucket}/{key}") for key in folders]
        found += [info_of(url, item) for item in page.objects if not item.key.endswith("/")]
    return sorted(found, key=name_of) if found or marked else None


async def below(
    client: Client, url: ObjectURL, prefix: str, maxdepth: int | None
) -> AsyncIterator[Info]:
    """Yield what is in a folder and all folders in it, as one flat listing shows it.

    A folder is yielded when the first thing in it is.
    """
    known: set[str] = set()
    start = len(url.folder)
    async for page in client.list_pages(url.bucket, url.folder + prefix):
        for item in page.objects:
            for folder in folders_of(item.key, start, maxdepth):
                if folder not in known:
                    known.add(folder)
                    yield folder_info(f"{url.bucket}/{folder}")
            if item.key[-1:] != "/" and (maxdepth is None or item.key.count("/", start) < maxdepth):
                yield info_of(url, item)


def folders_of(key: str, start: int, maxdepth: int | None) -> Iterator[str]:
    """Yield the folders that a key passes through after its character *start*."""
    depth, end = 1, key.find("/", start)
    while end >= 0 and (maxdepth is None or depth <= maxdepth):
        if end > start:
            yield key[:end]
        depth, end = depth + 1, key.find("/", end + 1)


def info_of(url: ObjectURL, item: Listed) -> Info:
    return file_info(f"{url.bucket}/{item.key}", item.size, item.etag, item.mtime_nsec)
