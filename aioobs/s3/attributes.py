"""What a store keeps beside the content of an object, and changes without it: metadata and tags."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aioobs.s3.body import md5_of
from aioobs.s3.documents import xml
from aioobs.s3.reading import head
from aioobs.s3.request import Request, object_headers
from aioobs.s3.writing import copied, copy_request

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aioobs.s3.exchange import Exchange
    from aioobs.s3.objects import ObjectInfo

__all__ = ["get_tags", "put_tags", "set_metadata"]

TAGGING = (("tagging", None),)
# Beside the metadata, what a copy loses that has metadata of its own.
KEPT = {
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-storage-class",
    "x-amz-website-redirect-location",
}


async def set_metadata(
    exchange: Exchange, bucket: str, key: str, metadata: Mapping[str, str]
) -> str:
    """Copy an object onto itself, with other metadata; return its ETag.

    Raises:
        ObjectChanged: it was replaced meanwhile.
    """
    info = await head(exchange, bucket, key)
    has_tags = info.headers.get("x-amz-tagging-count", "0") != "0"
    tags = await get_tags(exchange, bucket, key) if has_tags else {}
    request = copy_request((bucket, key), bucket, key, info.etag)
    request.headers |= {"x-amz-metadata-directive": "REPLACE", **object_headers("", metadata)}
    request.headers |= dict(kept(info))
    etag = await copied(exchange, request, (bucket, key))
    if tags and await get_tags(exchange, bucket, key) != tags:  # as of Ceph
        await put_tags(exchange, bucket, key, tags)
    return etag


def kept(info: ObjectInfo) -> Iterator[tuple[str, str]]:
    """Yield the headers that an object is written with to be what it is, except for metadata."""
    for name, value in info.headers.items():
        name = name.replace("x-obs-", "x-amz-", 1)
        if name in KEPT:
            yield name, value


async def get_tags(exchange: Exchange, bucket: str, key: str) -> dict[str, str]:
    """Return the tags of an object."""
    return await exchange.document(
        Request("getObjectTagging", "GET", bucket, key, TAGGING), xml.parse_tags
    )


async def put_tags(exchange: Exchange, bucket: str, key: str, tags: Mapping[str, str]) -> None:
    """Replace all tags of an object."""
    if tags:
        request = Request("putObjectTagging", "PUT", bucket, key, TAGGING)
        request.body = xml.tags_document(tags)
        request.headers["content-md5"] = await md5_of(request.body)
    else:
        request = Request("deleteObjectTagging", "DELETE", bucket, key, TAGGING)
    await exchange.perform(request)
