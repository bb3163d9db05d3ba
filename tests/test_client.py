"""Every operation of the client, on a real server."""

from __future__ import annotations

import asyncio
import hashlib
import os
import pickle
import re
import secrets
import time
import urllib.error
import urllib.request
from dataclasses import replace
from datetime import timedelta
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import pytest
from faulty import RESET, Answer, FaultyServer, Received, answer, connect, forward, refusal

from aioobs import (
    AccessDenied,
    AlreadyExists,
    Client,
    Config,
    ConnectionFailed,
    FilePart,
    NotFound,
    ObjectChanged,
    ResponseError,
)
from aioobs.s3.body import FileSink
from aioobs.s3.objects import multipart_etag
from aioobs.testing import LocalServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from aioobs import Page
    from aioobs.config import Signature

pytest_plugins = ["verbs"]
SERVERS = ("seaweedfs", "swift")

MIB = 1 << 20
ODD_KEYS = [
    "space in name",
    "plus+plus",
    "100%25",
    "percent%",
    "üñï/漢字/😀",
    "a&b<c>\"d'",
    "tilde~!*'()",
    "semi;colon:at@comma,=",
    "q?x=1#frag",
    "tab\tin",
    "line\nbreak",
    "control\x01\x1f",
    "trailing.",
    "[brackets]{braces}^`|",
]


@pytest.fixture
async def client(bucket: str) -> AsyncIterator[Client]:
    """Give a client of the server, for a bucket of its own."""
    async with Client() as client:
        yield client


@pytest.fixture
def bucket(bucket: str) -> str:
    return bucket.removeprefix("s3://")


@pytest.fixture(params=["v4", "v2", "sha256"])
def signing(request: pytest.FixtureRequest) -> dict[str, str]:
    """Give the options of each way to sign that the server knows."""
    if request.param == "sha256":
        return {"payload_signing": "sha256"}
    return {"signature": request.param}


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    """Run a server that speaks TLS alone, with a bucket."""
    with LocalServer(tls=True) as server:
        server.create_bucket("bucket")
        yield server


def keys_of(pages: list[Page]) -> list[str]:
    return [item.key for page in pages for item in page.objects]


async def pages_of(client: Client, bucket: str, prefix: str = "", **options: str) -> list[Page]:
    return [page async for page in client.list_pages(bucket, prefix, **options)]


class TestBuckets:
    """Buckets come, are there, and go."""

    async def test_a_bucket_is_created_found_listed_and_deleted(self, client: Client) -> None:
        name = f"test-{secrets.token_hex(6)}"
        await client.create_bucket(name)
        await client.head_bucket(name)
        assert name in await client.list_buckets()
        with pytest.raises(AlreadyExists, match=f"createBucket s3://{name}.*409"):
            await client.create_bucket(name)
        await client.create_bucket(name, exist_ok=True)
        await client.delete_bucket(name)
        with pytest.raises(NotFound, match=f"headBucket s3://{name}"):
            await client.head_bucket(name)
        assert name not in await client.list_buckets()

    async def test_a_bucket_that_is_not_empty_stays(self, client: Client, bucket: str) -> None:
        await client.put_object(bucket, "k", b"x")
        with pytest.raises(ResponseError, match="BucketNotEmpty"):
            await client.delete_bucket(bucket)
        assert await client.get_object(bucket, "k") == b"x"

    async def test_a_missing_bucket_is_not_found_by_any_operation(self, client: Client) -> None:
        for call in (
            client.head_bucket("missing-bucket"),
            client.delete_bucket("missing-bucket"),
            client.list_objects("missing-bucket"),
            client.head_object("missing-bucket", "k"),
            client.get_object("missing-bucket", "k"),
            client.put_object("missing-bucket", "k", b"x"),
            client.create_multipart_upload("missing-bucket", "k"),
        ):
            with pytest.raises(NotFound, match="s3://missing-bucket") as caught:
                await call
            assert isinstance(caught.value, FileNotFoundError)


class TestObjects:
    """Objects come, are there, and go."""

    @pytest.mark.parametrize("size", [0, 1, 70_000, 300_000, 3 * MIB + 7])
    async def test_what_is_put_is_what_is_got(
        self, client: Client, bucket: str, size: int, tmp_path: Path
    ) -> None:
        content = os.urandom(size)
        source, target = tmp_path / "source", tmp_path / "target"
        source.write_bytes(b"before" + content + b"behind")
        etag = await client.put_object(bucket, "memory", content)
        assert etag == hashlib.md5(content).hexdigest()
        with source.open("rb") as file:
            part = FilePart(file.fileno(), 6, size)
            assert await client.put_object(bucket, "file", part) == etag
        for key in ("memory", "file"):
            assert await client.get_object(bucket, key) == content
            info = await client.head_object(bucket, key)
            assert (info.key, info.size, info.etag) == (key, size, etag)
            with target.open("wb") as file:
                sink = FileSink(file.fileno(), 3)
                assert (await client.stream_object(bucket, key, sink)).size == size
            assert target.read_bytes() == (b"\0\0\0" + content if content else b"")

    async def test_ranges_are_those_of_a_slice(self, client: Client, bucket: str) -> None:
        content = bytes(range(256))
        await client.put_object(bucket, "k", content)
        for start, stop in [(0, 1), (0, 256), (5, 6), (250, 1000), (255, 256), (0, 9999)]:
            found = await client.get_object(bucket, "k", start=start, stop=stop)
            assert found == content[start:stop]
        assert await client.get_object(bucket, "k", start=100) == content[100:]
        with pytest.raises(ResponseError, match="416"):
            await client.get_object(bucket, "k", start=256, stop=300)

    @pytest.mark.parametrize("size", [0, 10, 17 * MIB + 5])
    async def test_memory_of_the_caller_is_filled(
        self, client: Client, bucket: str, size: int
    ) -> None:
        content = os.urandom(size)
        etag = await client.put_object(bucket, "k", content)
        assert await client.get_buffer(bucket, "k") == content
        for start in (0, 3, 9 * MIB):
            buffer = bytearray(b"-" * (size + 10))
            if start >= size:
                continue
            assert await client.get_into(bucket, "k", buffer, start=start) == size - start
            assert buffer == content[start:] + b"-" * (start + 10)
        exact = bytearray(size)
        assert await client.get_into(bucket, "k", exact, if_match=etag) == size
        assert exact == content
        if size:
            with pytest.raises(ObjectChanged):
                await client.get_into(bucket, "k", exact, if_match="another")

    async def test_ranges_of_an_empty_object_are_empty(self, client: Client, bucket: str) -> None:
        await client.put_object(bucket, "k", b"")
        assert await client.get_object(bucket, "k") == b""
        assert await client.get_object(bucket, "k", stop=100) == b""
        assert (await client.head_object(bucket, "k")).size == 0

    async def test_type_and_metadata_are_kept(self, client: Client, bucket: str) -> None:
        await client.put_object(
            bucket, "k", b"x", content_type="text/x-test", metadata={"Owner": "me and you"}
        )
        info = await client.head_object(bucket, "k")
        assert info.headers["content-type"] == "text/x-test"
        assert info.metadata == {"owner": "me and you"}
        assert info.mtime_nsec > 1_600_000_000 * 10**9

    async def test_conditions_of_a_put_hold_or_nothing_is_written(
        self, client: Client, bucket: str
    ) -> None:
        first = await client.put_object(bucket, "k", b"1", if_none_match="*")
        with pytest.raises(AlreadyExists, match=r"putContent s3://.*/k: there is one already"):
            await client.put_object(bucket, "k", b"2", if_none_match="*")
        with pytest.raises(ObjectChanged, match=rf"putContent s3://.*/k: .*{first}"):
            await client.put_object(bucket, "k", b"2", if_match="0" * 32)
        assert await client.get_object(bucket, "k") == b"1"
        await client.put_object(bucket, "k", b"2", if_match=first)
        assert await client.get_object(bucket, "k") == b"2"
        with pytest.raises(ObjectChanged):
            await client.get_object(bucket, "k", if_match=first)

    async def test_a_copy_has_content_type_and_metadata(self, client: Client, bucket: str) -> None:
        key = "dir/odd + ü & %20?#.bin"
        etag = await client.put_object(
            bucket, key, b"content", content_type="text/x-test", metadata={"a": "b"}
        )
        assert await client.copy_object((bucket, key), bucket, "copy") == etag
        info = await client.head_object(bucket, "copy")
        assert (info.headers["content-type"], info.metadata) == ("text/x-test", {"a": "b"})
        assert await client.get_object(bucket, "copy") == b"content"
        with pytest.raises(ObjectChanged, match="s3://"):
            await client.copy_object((bucket, key), bucket, "copy", if_match="0" * 32)
        with pytest.raises(NotFound):
            await client.copy_object((bucket, "missing"), bucket, "copy")

    async def test_metadata_is_replaced_and_nothing_else(self, client: Client, bucket: str) -> None:
        key, old = "dir/odd + ü & %20?#.bin", {"a": "b", "c": "d"}
        await client.put_object(bucket, key, b"content", content_type="text/x-test", metadata=old)
        for metadata in ({"c": "e f"}, {}):
            etag = await client.set_object_metadata(bucket, key, metadata)
            info = await client.head_object(bucket, key)
            assert (info.metadata, info.etag) == (metadata, etag)
            assert info.headers["content-type"] == "text/x-test"
            assert await client.get_object(bucket, key) == b"content"
        with pytest.raises(NotFound):
            await client.set_object_metadata(bucket, "missing", {})

    async def test_what_is_deleted_is_gone_and_may_be_deleted_again(
        self, client: Client, bucket: str
    ) -> None:
        await client.put_object(bucket, "k", b"x")
        await client.delete_object(bucket, "k")
        with pytest.raises(NotFound, match=r"getObject s3://.*/k: 404 NoSuchKey"):
            await client.get_object(bucket, "k")
        with pytest.raises(NotFound, match=r"getObjectMetadata s3://.*/k: 404"):
            await client.head_object(bucket, "k")
        await client.delete_object(bucket, "k")

    @pytest.mark.usefixtures("long")
    async def test_any_number_of_objects_is_deleted(self, client: Client, bucket: str) -> None:
        kept = ["keep/me", *(f"n/{number:04}" for number in range(20))]
        await asyncio.gather(*(client.put_object(bucket, key, b"") for key in kept))
        # Those that do not exist count as deleted.
        keys = (f"n/{number:04}" for number in range(2500))
        assert await client.delete_objects(bucket, keys) == []
        assert keys_of(await pages_of(client, bucket)) == ["keep/me"]

    async def test_odd_keys_are_put_read_listed_copied_and_deleted(
        self, client: Client, bucket: str
    ) -> None:
        for key in ODD_KEYS:
            await client.put_object(bucket, key, key.encode())
            assert await client.get_object(bucket, key) == key.encode()
            await client.copy_object((bucket, key), bucket, f"copy of/{key}")
        expected = {name for key in ODD_KEYS for name in (key, f"copy of/{key}")}
        assert set(keys_of(await pages_of(client, bucket))) == expected
        assert await client.delete_objects(bucket, expected) == []
        assert keys_of(await pages_of(client, bucket)) == []


@pytest.fixture(params=["obs_bucket", "moto_bucket"])
def tagged(request: pytest.FixtureRequest) -> str:
    """Give the name of an empty bucket on a server that has tags, and all headers of S3."""
    return str(request.getfixturevalue(request.param)).removeprefix("s3://")


class TestAttributes:
    """What an object has beside its content, and is changed without it."""

    async def test_other_metadata_leaves_headers_and_tags_alone(self, tagged: str) -> None:
        headers = {"Cache-Control": "max-age=5", "Content-Encoding": "gzip", "Content-Type": "a/b"}
        async with Client() as client:
            url = await client.presign(tagged, "k", method="PUT")
            request = urllib.request.Request(url, b"content", headers, method="PUT")
            (await asyncio.to_thread(urllib.request.urlopen, request)).close()
            await client.put_object_tagging(tagged, "k", {"a": "b"})

            await client.set_object_metadata(tagged, "k", {"c": "d"})

            info = await client.head_object(tagged, "k")
            assert {name: info.headers[name.lower()] for name in headers} == headers
            assert info.metadata == {"c": "d"}
            assert await client.get_object_tagging(tagged, "k") == {"a": "b"}

    async def test_tags_that_a_store_drops_with_the_metadata_are_put_back(self) -> None:
        tags = b"<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>"
        kept = [tags]

        def serve(received: Received) -> Answer:
            if received.method == "HEAD":
                return answer(etag='"e"', x_amz_tagging_count="1")
            if received.method == "GET":
                return answer(body=kept[-1])
            copies = "x-amz-copy-source" in received.headers
            kept.append(b"<Tagging><TagSet/></Tagging>" if copies else received.body)
            return answer(body='<CopyObjectResult><ETag>"e"</ETag></CopyObjectResult>')

        with FaultyServer(always=serve) as server:
            async with connect(server.endpoint) as client:
                await client.set_object_metadata("b", "k", {"c": "d"})
                assert await client.get_object_tagging("b", "k") == {"a": "b"}

    async def test_tags_are_replaced_and_removed(self, tagged: str) -> None:
        async with Client() as client:
            await client.put_object(tagged, "dir/a b", b"content")
            for tags in ({"a b": "1/2", "empty": ""}, {"ü": "漢"}, {}):
                await client.put_object_tagging(tagged, "dir/a b", tags)
                assert await client.get_object_tagging(tagged, "dir/a b") == tags
            assert await client.get_object(tagged, "dir/a b") == b"content"
            with pytest.raises(NotFound):
                await client.get_object_tagging(tagged, "missing")


@pytest.fixture
def versioned(tagged: str) -> str:
    """Give the name of an empty bucket that keeps versions."""
    from botocore.session import Session

    store: Any = Session().create_client(
        "s3",
        endpoint_url=os.environ["S3_ENDPOINT"],
        aws_access_key_id=os.environ["ACCESS_KEY_ID"],
        aws_secret_access_key=os.environ["SECRET_ACCESS_KEY"],
        region_name="us-east-1",
    )
    store.put_bucket_versioning(Bucket=tagged, VersioningConfiguration={"Status": "Enabled"})
    return tagged


class TestVersions:
    """What was there before an object was replaced or deleted."""

    async def test_former_versions_are_listed_and_read(self, versioned: str) -> None:
        bucket, key = versioned, "dir/a b"
        async with Client() as client:
            etags = [await client.put_object(bucket, key, body) for body in (b"first", b"second!")]
            await client.delete_object(bucket, key)
            await client.put_object(bucket, "other", b"")

            found = [one async for one in client.list_object_versions(bucket, "dir/")]
            assert {one.key for one in found} == {key}
            marks = [one for one in found if one.is_delete_marker]  # which moto lists last
            assert [one.is_latest for one in marks] == [True]
            second, first = (one for one in found if not one.is_delete_marker)
            assert (second.size, second.etag, second.is_latest) == (7, etags[1], False)
            assert (first.size, first.etag, first.is_latest) == (5, etags[0], False)

            old = first.version_id
            assert await client.get_object(bucket, key, version_id=old) == b"first"
            assert await client.get_object(bucket, key, start=1, stop=3, version_id=old) == b"ir"
            assert (await client.head_object(bucket, key, version_id=old)).etag == etags[0]
            with pytest.raises(NotFound):
                await client.get_object(bucket, key)

    async def test_any_number_of_versions_is_listed(self, moto_bucket: str) -> None:
        bucket = moto_bucket.removeprefix("s3://")
        keys = [f"n ü/{number:04}" for number in range(1005)]
        async with Client() as client:
            for batch in range(0, len(keys), 100):
                puts = (client.put_object(bucket, key, b"") for key in keys[batch : batch + 100])
                await asyncio.gather(*puts)
            assert [one.key async for one in client.list_object_versions(bucket)] == keys


class TestListings:
    """Pages of any size, in both versions of the request."""

    @pytest.fixture
    async def tree(self, client: Client, bucket: str) -> list[str]:
        """Make objects and return their keys."""
        keys = [f"{folder}/{name}" for folder in "abc d" for name in range(5)] + ["top"]
        await asyncio.gather(*(client.put_object(bucket, key, b"12") for key in keys))
        return keys

    @pytest.fixture(params=[1, 2])
    async def paged(self, request: pytest.FixtureRequest, tree: list[str]) -> AsyncIterator[Client]:
        """Give a client that lists seven names at a time."""
        config = replace(Config.from_env(), list_version=request.param, page_size=7)
        async with Client(config) as client:
            yield client

    async def test_every_object_is_listed_once(
        self, paged: Client, bucket: str, tree: list[str]
    ) -> None:
        pages = await pages_of(paged, bucket)
        assert sorted(keys_of(pages)) == sorted(tree)
        assert len(pages) == 4
        assert all(len(page.objects) <= 7 for page in pages)
        item = pages[0].objects[0]
        assert (item.size, item.etag) == (2, hashlib.md5(b"12").hexdigest())
        assert item.mtime_nsec > 1_600_000_000 * 10**9

    async def test_a_delimiter_folds_folders(self, paged: Client, bucket: str) -> None:
        pages = await pages_of(paged, bucket, delimiter="/")
        assert sorted(name for page in pages for name in page.prefixes) == [
            " /",
            "a/",
            "b/",
            "c/",
            "d/",
        ]
        assert keys_of(pages) == ["top"]

    async def test_more_folders_than_a_page_are_listed_once(
        self, client: Client, bucket: str
    ) -> None:
        names = [f"folder {number}/" for number in range(9)]
        await asyncio.gather(*(client.put_object(bucket, f"{n}x", b"") for n in names))
        for version in (1, 2):
            config = replace(client.config, list_version=version, page_size=2)
            async with Client(config) as paged:
                pages = await pages_of(paged, bucket, delimiter="/")
            assert sorted(name for page in pages for name in page.prefixes) == names

    async def test_a_prefix_selects(self, paged: Client, bucket: str, tree: list[str]) -> None:
        found = keys_of(await pages_of(paged, bucket, "b/"))
        assert sorted(found) == [key for key in sorted(tree) if key.startswith("b/")]
        assert keys_of(await pages_of(paged, bucket, "nothing")) == []

    async def test_a_listing_starts_after_a_key(
        self, paged: Client, bucket: str, tree: list[str]
    ) -> None:
        found = keys_of(await pages_of(paged, bucket, start_after="b/2"))
        assert sorted(found) == [key for key in sorted(tree) if key > "b/2"]

    @pytest.mark.parametrize("count", [6, 7, 8, 14])
    async def test_the_borders_of_pages_lose_nothing(
        self, client: Client, bucket: str, count: int
    ) -> None:
        keys = [f"{number:02} ü+%" for number in range(count)]
        await asyncio.gather(*(client.put_object(bucket, key, b"") for key in keys))
        for version in (1, 2):
            config = replace(client.config, list_version=version, page_size=7)
            async with Client(config) as paged:
                assert keys_of(await pages_of(paged, bucket)) == keys

    async def test_an_empty_bucket_is_one_empty_page(self, client: Client, bucket: str) -> None:
        (page,) = await pages_of(client, bucket)
        assert (list(page.objects), page.prefixes, page.next) == ([], [], "")

    async def test_a_first_page_can_be_limited(
        self, client: Client, bucket: str, tree: list[str]
    ) -> None:
        page = await client.list_objects(bucket, limit=3)
        assert len(page.objects) == 3
        assert page.next


class TestUploads:
    """Uploads in parts, to their end or not."""

    PARTS = (os.urandom(5 * MIB), os.urandom(5 * MIB), b"the end")

    async def test_parts_become_one_object(
        self, client: Client, bucket: str, tmp_path: Path
    ) -> None:
        upload = await client.create_multipart_upload(
            bucket, "big", content_type="text/x-test", metadata={"a": "b"}
        )
        file = tmp_path / "file"
        file.write_bytes(self.PARTS[1])
        with file.open("rb") as source:
            bodies = {3: self.PARTS[2], 1: self.PARTS[0]}
            bodies[2] = FilePart(source.fileno(), 0, 5 * MIB)  # type: ignore[assignment]
            etags = {
                number: await client.upload_part(bucket, "big", upload, number, body)
                for number, body in bodies.items()
            }
        listed = [part async for part in client.list_parts(bucket, "big", upload)]
        assert [(part.number, part.size) for part in listed] == [
            (1, 5 * MIB),
            (2, 5 * MIB),
            (3, 7),
        ]
        assert {part.number: part.etag for part in listed} == etags
        uploads = [found async for found in client.list_multipart_uploads(bucket)]
        assert [(found.key, found.upload_id) for found in uploads] == [("big", upload)]
        whole = b"".join(self.PARTS)
        etag = await client.complete_multipart_upload(bucket, "big", upload, etags, size=len(whole))
        assert etag == multipart_etag([etags[number] for number in (1, 2, 3)])
        assert await client.get_object(bucket, "big") == whole
        info = await client.head_object(bucket, "big")
        assert (info.size, info.etag) == (len(whole), etag)
        assert (info.headers["content-type"], info.metadata) == ("text/x-test", {"a": "b"})
        assert not [found async for found in client.list_multipart_uploads(bucket)]

    async def test_a_part_can_be_a_range_of_another_object(
        self, client: Client, bucket: str
    ) -> None:
        key = "the + source ü"
        source = await client.put_object(bucket, key, self.PARTS[0] + b"more")
        upload = await client.create_multipart_upload(bucket, "k")
        etags = {
            1: await client.upload_part_copy(
                bucket, "k", upload, 1, (bucket, key), start=0, stop=5 * MIB, if_match=source
            ),
            2: await client.upload_part(bucket, "k", upload, 2, b"tail"),
        }
        await client.complete_multipart_upload(bucket, "k", upload, etags, size=5 * MIB + 4)
        assert await client.get_object(bucket, "k") == self.PARTS[0] + b"tail"

    async def test_an_aborted_upload_leaves_nothing(self, client: Client, bucket: str) -> None:
        upload = await client.create_multipart_upload(bucket, "k")
        await client.upload_part(bucket, "k", upload, 1, b"x")
        await client.abort_multipart_upload(bucket, "k", upload)
        await client.abort_multipart_upload(bucket, "k", upload)
        assert not [found async for found in client.list_multipart_uploads(bucket)]
        with pytest.raises(NotFound):
            await client.complete_multipart_upload(bucket, "k", upload, {1: "e" * 32}, size=1)
        with pytest.raises(NotFound):
            await client.head_object(bucket, "k")

    async def test_a_wrong_part_completes_nothing(self, client: Client, bucket: str) -> None:
        upload = await client.create_multipart_upload(bucket, "k")
        await client.upload_part(bucket, "k", upload, 1, b"x")
        with pytest.raises(ResponseError, match=r"completeMultipartUpload .*InvalidPart"):
            await client.complete_multipart_upload(bucket, "k", upload, {1: "0" * 32}, size=1)
        with pytest.raises(NotFound):
            await client.head_object(bucket, "k")
        await client.abort_multipart_upload(bucket, "k", upload)

    async def test_unknown_uploads_are_never_mistaken_for_done(
        self, client: Client, bucket: str
    ) -> None:
        await client.put_object(bucket, "k", b"former")
        with pytest.raises(NotFound, match="NoSuchUpload"):
            await client.complete_multipart_upload(
                bucket, "k", "0" * 40, {1: hashlib.md5(b"latter").hexdigest()}, size=6
            )


UPLOADS = "<ListMultipartUploadsResult>{}</ListMultipartUploadsResult>"
UPLOAD = "<Upload><Key>{}</Key><UploadId>{}</UploadId><Initiated>{}</Initiated></Upload>"


class TestStaleUploads:
    """Uploads that nobody will end."""

    ANY_AGE = timedelta(hours=-1)

    async def begin(self, client: Client, bucket: str, *keys: str) -> list[str]:
        return [await client.create_multipart_upload(bucket, key) for key in keys]

    async def left(self, client: Client, bucket: str) -> set[str]:
        return {upload.key async for upload in client.list_multipart_uploads(bucket)}

    async def test_those_below_the_prefix_are_given_up(self, client: Client, bucket: str) -> None:
        await self.begin(client, bucket, "a/1", "a/b/2", "a", "ab", "c/a/3")
        found = await client.abort_stale_uploads(bucket, "a/", older_than=self.ANY_AGE)
        assert {upload.key for upload in found} == {"a/1", "a/b/2"}
        assert await self.left(client, bucket) == {"a", "ab", "c/a/3"}
        assert len(await client.abort_stale_uploads(bucket, older_than=self.ANY_AGE)) == 3
        assert not await self.left(client, bucket)

    async def test_younger_ones_go_on(self, client: Client, bucket: str) -> None:
        (upload,) = await self.begin(client, bucket, "k")
        etag = await client.upload_part(bucket, "k", upload, 1, b"x")
        assert not await client.abort_stale_uploads(bucket, older_than=timedelta(hours=1))
        await client.complete_multipart_upload(bucket, "k", upload, {1: etag}, size=1)

    async def test_their_keys_may_be_odd(self, client: Client, bucket: str) -> None:
        keys = {"a+b", "%41", *(key for key in ODD_KEYS if "\x01" not in key)}
        await self.begin(client, bucket, *keys)
        before = await self.left(client, bucket)
        assert before == keys
        found = await client.abort_stale_uploads(bucket, older_than=self.ANY_AGE)
        assert {upload.key for upload in found} == before
        assert not await self.left(client, bucket)

    async def test_ages_are_those_of_the_clock_of_the_store(
        self, obs_server: LocalServer, client: Client, bucket: str
    ) -> None:
        await self.begin(client, bucket, "k")
        pass_on = forward(obs_server.endpoint)
        hours = 2

        def ahead(received: Received) -> Answer:
            date = formatdate(time.time() + hours * 3600, usegmt=True).encode()
            message = re.sub(rb"(?i)(\ndate: )[^\r]*", rb"\g<1>" + date, pass_on(received).message)
            return Answer(message)

        keys = {"access_key": obs_server.access_key, "secret_key": obs_server.secret_key}
        with FaultyServer(always=ahead) as server:
            async with connect(server.endpoint, **keys) as late:
                older = timedelta(hours=hours, minutes=5)
                assert not await late.abort_stale_uploads(bucket, older_than=older)
                older = timedelta(hours=hours, minutes=-5)
                assert len(await late.abort_stale_uploads(bucket, older_than=older)) == 1
        assert not await self.left(client, bucket)

    async def test_nothing_is_given_up_that_need_not_be_old_or_below_the_prefix(self) -> None:
        long_ago = "2020-01-02T03:04:05Z"
        uploads = (
            UPLOAD.format("a/unknown", "1", "")
            + UPLOAD.format("b/elsewhere", "2", long_ago)
            + UPLOAD.format("a/vanished", "3", long_ago)
            + UPLOAD.format("a/old", "4", long_ago)
        )
        script = [
            answer(body=UPLOADS.format(uploads)),
            refusal(404, "NoSuchUpload"),
            answer(204),
        ]
        with FaultyServer(*script) as server:
            async with connect(server.endpoint) as client:
                found = await client.abort_stale_uploads("b", "a/", older_than=timedelta(days=1))
        assert [upload.key for upload in found] == ["a/old"]
        deleted = [request.path for request in server.requests if request.method == "DELETE"]
        assert deleted == ["/b/a/vanished", "/b/a/old"]

    async def test_one_whose_end_is_found_by_asking_again_was_given_up(self) -> None:
        script = [
            answer(body=UPLOADS.format(UPLOAD.format("old", "1", "2020-01-02T03:04:05Z"))),
            RESET,
            refusal(404, "NoSuchUpload"),
        ]
        with FaultyServer(*script) as server:
            async with connect(server.endpoint) as client:
                found = await client.abort_stale_uploads("b", older_than=timedelta(days=1))
        assert [upload.key for upload in found] == ["old"]

    async def test_keys_that_xml_cannot_hold_are_asked_for_encoded(self) -> None:
        in_clear = UPLOADS.format(UPLOAD.format("a&#1;b", "1", ""))
        encoded = UPLOADS.format(
            "<EncodingType>url</EncodingType>" + UPLOAD.format("a%01b+c", "1", "")
        )
        with FaultyServer(answer(body=in_clear), answer(body=encoded)) as server:
            async with connect(server.endpoint) as client:
                assert await self.left(client, "b") == {"a\x01b c"}
        assert [request.query.get("encoding-type") for request in server.requests] == [None, "url"]

    async def test_a_missing_bucket_has_none_to_give_up(self, client: Client) -> None:
        with pytest.raises(NotFound):
            await client.abort_stale_uploads("missing-bucket", older_than=self.ANY_AGE)


class TestProofs:
    """Who sends a request has to prove it."""

    async def test_each_signature_is_accepted_for_every_kind_of_request(
        self, bucket: str, signing: dict[str, str]
    ) -> None:
        key = "odd + key/ü?"
        async with Client(replace(Config.from_env(), **signing)) as client:  # type: ignore[arg-type]
            await client.put_object(bucket, key, b"x" * 100_000, metadata={"a": "b  c"})
            await client.copy_object((bucket, key), bucket, "copy")
            assert await client.get_object(bucket, key, start=99_999) == b"x"
            assert set(keys_of(await pages_of(client, bucket))) == {key, "copy"}
            upload = await client.create_multipart_upload(bucket, "parts")
            etag = await client.upload_part(bucket, "parts", upload, 1, b"x")
            assert [part.etag async for part in client.list_parts(bucket, "parts", upload)] == [
                etag
            ]
            await client.complete_multipart_upload(bucket, "parts", upload, {1: etag}, size=1)
            assert await client.delete_objects(bucket, [key, "copy", "parts"]) == []

    @pytest.mark.parametrize("signature", ["v4", "v2"])
    async def test_presigned_urls_serve_those_who_know_no_secret(
        self, bucket: str, signature: Signature
    ) -> None:
        key = "odd + key/ü?"
        async with Client(replace(Config.from_env(), signature=signature)) as client:
            url = await client.presign(bucket, key, method="PUT", expires=60)
            # What urllib would add by itself is not signed.
            request = urllib.request.Request(url, b"content", {"Content-Type": ""}, method="PUT")
            with await asyncio.to_thread(urllib.request.urlopen, request) as reply:
                assert reply.status == 200
            assert await client.get_object(bucket, key) == b"content"
            url = await client.presign(bucket, key)
            with await asyncio.to_thread(urllib.request.urlopen, url) as reply:
                assert reply.read() == b"content"
            tampered = url.replace("/odd", "/other")
            with pytest.raises(urllib.error.HTTPError, match="403") as caught:
                await asyncio.to_thread(urllib.request.urlopen, tampered)
            caught.value.close()

    async def test_a_presigned_url_is_good_for_its_method_alone(
        self, client: Client, bucket: str
    ) -> None:
        await client.put_object(bucket, "k", b"x")
        url = await client.presign(bucket, "k", method="GET")
        request = urllib.request.Request(url, method="DELETE")
        with pytest.raises(urllib.error.HTTPError, match="403") as caught:
            await asyncio.to_thread(urllib.request.urlopen, request)
        caught.value.close()
        assert await client.get_object(bucket, "k") == b"x"

    async def test_anonymous_requests_are_refused(
        self, client: Client, obs_server: LocalServer, bucket: str
    ) -> None:
        await client.put_object(bucket, "k", b"x")
        async with Client(Config(endpoint=obs_server.endpoint, anonymous=True)) as nobody:
            for call in (
                nobody.get_object(bucket, "k"),
                nobody.head_object(bucket, "k"),
                nobody.put_object(bucket, "k", b"y"),
                nobody.list_objects(bucket),
            ):
                with pytest.raises(AccessDenied, match=f"s3://{bucket}.* 403"):
                    await call
        assert await client.get_object(bucket, "k") == b"x"

    async def test_a_pickled_client_works_and_its_text_has_no_secret(
        self, client: Client, bucket: str
    ) -> None:
        await client.put_object(bucket, "k", b"x")
        async with pickle.loads(pickle.dumps(client)) as copy:
            assert await copy.get_object(bucket, "k") == b"x"
        config = replace(client.config, access_key="test-access-key", secret_key="test-secret-key")
        assert "test-secret-key" not in repr(Client(config)) + repr(config)


class TestTLS:
    """Nobody is trusted who cannot prove his name."""

    def config(self, server: LocalServer, **options: object) -> Config:
        return Config(
            endpoint=server.endpoint,
            access_key=server.access_key,
            secret_key=server.secret_key,
            retry_wait=0.01,
            **options,  # type: ignore[arg-type]
        )

    @pytest.mark.parametrize("transport", ["lean", "session"])
    async def test_an_authority_of_ones_own_is_trusted_when_named(
        self, server: LocalServer, transport: str
    ) -> None:
        content = os.urandom(3 * MIB)
        config = self.config(server, verify=server.ca_file, transport=transport)
        async with Client(config) as client:
            await client.put_object("bucket", "k", content)
            assert await client.get_object("bucket", "k") == content
            assert await client.get_object("bucket", "k", start=5, stop=9) == content[5:9]

    async def test_certificates_are_verified_by_default_and_at_once(
        self, server: LocalServer
    ) -> None:
        async with Client(self.config(server)) as client:
            with pytest.raises(
                ConnectionFailed, match=r"getObject s3://bucket/k: .*certificate.*verify="
            ) as caught:
                await client.get_object("bucket", "k")
        assert caught.value.kind == "tls"

    async def test_nothing_is_verified_where_that_is_wanted(self, server: LocalServer) -> None:
        async with Client(self.config(server, verify=False)) as client:
            await client.head_bucket("bucket")

    async def test_a_certificate_for_another_name_is_refused(self, server: LocalServer) -> None:
        config = self.config(server, verify=server.ca_file)
        # It is for 127.0.0.1 and localhost alone.
        port = server.endpoint.rpartition(":")[2]
        async with Client(replace(config, endpoint=f"https://127.0.0.2:{port}")) as client:
            with pytest.raises(ConnectionFailed):
                await client.head_bucket("bucket")
        async with Client(replace(config, endpoint=f"https://localhost:{port}")) as client:
            await client.head_bucket("bucket")

    async def test_the_environment_names_the_authority(
        self, server: LocalServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, text in server.environment.items():
            monkeypatch.setenv(name, text)
        async with Client() as client:
            assert "bucket" in await client.list_buckets()
