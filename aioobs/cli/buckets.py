"""mb, rb, uploads and presign: buckets, unfinished uploads, and URLs for others."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING

from aioobs.cli.failures import UsageError
from aioobs.cli.items import items_below
from aioobs.cli.output import moment, say, say_json
from aioobs.cli.removing import Removal
from aioobs.session import current_client
from aioobs.store.remote import file_url
from aioobs.url import ObjectURL, parse

if TYPE_CHECKING:
    import argparse

    from aioobs.cli.tally import Tally
    from aioobs.s3.documents.xml import Upload

__all__ = ["mb", "presign", "rb", "uploads"]


async def mb(given: argparse.Namespace, _: Tally) -> int:
    """Make buckets."""
    for url in map(bucket_url, given.paths):
        await current_client().create_bucket(url.bucket)
        if given.json:
            say_json(operation="make", path=str(url))
    return 0


async def rb(given: argparse.Namespace, tally: Tally) -> int:
    """Remove buckets; with force what is in them, too."""
    for url in map(bucket_url, given.paths):
        if given.force:
            tally.verb = "removed"
            await empty(url, given, tally)
        await current_client().delete_bucket(url.bucket)
        if given.json:
            say_json(operation="remove", path=str(url))
    return 0


async def empty(url: ObjectURL, given: argparse.Namespace, tally: Tally) -> None:
    """Remove all that is in a bucket, uploads that were not finished included."""
    client, removal = current_client(), Removal(given, tally)
    try:
        async for item in items_below(url):
            await removal.add(item.path, item.size)
        await removal.finish()
    finally:
        removal.bar.end()
    async for upload in client.list_multipart_uploads(url.bucket):
        await client.abort_multipart_upload(url.bucket, upload.key, upload.upload_id)


async def uploads(given: argparse.Namespace, tally: Tally) -> int:
    """List the uploads in parts that were not finished, or abort those of some age."""
    url, client = remote_url(given.url), current_client()
    if given.abort:
        if given.older_than is None:
            raise UsageError("--abort needs --older-than: uploads may be under way; 0s takes all")
        older = timedelta(seconds=given.older_than)
        for upload in await client.abort_stale_uploads(url.bucket, url.key, older_than=older):
            tally.add(0)
            show(url, upload, given)
        return 0
    limit = time.time() - (given.older_than or 0)
    async for upload in client.list_multipart_uploads(url.bucket, url.key):
        if given.older_than is None or upload.initiated_nsec / 1e9 < limit:
            show(url, upload, given)
    return 0


def show(url: ObjectURL, upload: Upload, given: argparse.Namespace) -> None:
    where, when = str(url.with_key(upload.key)), moment(upload.initiated_nsec)
    if given.json:
        say_json(path=where, upload_id=upload.upload_id, begun=when or None, aborted=given.abort)
    else:
        say(f"{when:20}  {upload.upload_id}  {where}")


async def presign(given: argparse.Namespace, _: Tally) -> int:
    """Write a URL that anybody can use until it expires."""
    url, seconds = file_url(given.url), int(given.expires)
    if not 0 < seconds <= 7 * 86400:
        raise UsageError("--expires is from 1s to 7d")
    method = given.method
    signed = await current_client().presign(url.bucket, url.key, method=method, expires=seconds)
    if given.json:
        say_json(path=str(url), method=method, url=signed, expires=seconds)
    else:
        say(signed)
    return 0


def remote_url(text: str) -> ObjectURL:
    """Return what *text* names in a store.

    Raises:
        UsageError: it is a local path.
    """
    where = parse(text)
    if isinstance(where, str):
        raise UsageError(f"{text} is a local path: write s3://bucket")
    return where


def bucket_url(text: str) -> ObjectURL:
    """Return the bucket that *text* names.

    Raises:
        UsageError: it names something else.
    """
    url = remote_url(text)
    if url.key.strip("/"):
        raise UsageError(f"{text} is no bucket: write {url.root}")
    return url
