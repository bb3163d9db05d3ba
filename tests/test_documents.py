"""What the documents of a store are believed to say: copies, uploads, listings, deletes."""

from __future__ import annotations

import asyncio
import hashlib
import os
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from faulty import (
    RESET,
    STALL,
    Answer,
    FaultyServer,
    Received,
    answer,
    connect,
    error_document,
    forward,
    listing,
    refusal,
    stored,
    use,
)

from aioobs import (
    AccessDenied,
    Client,
    Config,
    NotFound,
    ObjectChanged,
    ObsError,
    ProtocolError,
    ResponseError,
    file,
)
from aioobs.s3.objects import multipart_etag

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from aioobs.testing import LocalServer


pytestmark = pytest.mark.usefixtures("both_transports")


async def exhaust(listing: AsyncIterator[object], server: FaultyServer) -> None:
    async for _ in listing:
        assert len(server.requests) < 50, "the listing does not end"


class TestCopies:
    """Answers of which only the body says whether it is a success."""

    @pytest.mark.parametrize("code", ["AccessDenied", "NoSuchKey"])
    async def test_an_error_under_status_200_is_an_error(self, code: str) -> None:
        with FaultyServer(always=answer(body=error_document(code))) as server:
            async with connect(server.endpoint) as client:
                with pytest.raises(ObsError, match=rf"copyObject s3://b/k: .*{code}"):
                    await client.copy_object(("b", "source"), "b", "k")
                with pytest.raises(ObsError, match=rf"completeMultipartUpload s3://b/k: .*{code}"):
                    await client.complete_multipart_upload("b", "k", "u", {1: "e"}, size=1)

    async def test_an_internal_error_under_status_200_is_tried_again(self) -> None:
        failed = answer(body=error_document("InternalError"))
        good = answer(body="<CopyObjectResult><ETag>&quot;e&quot;</ETag></CopyObjectResult>")
        with FaultyServer(failed, good) as server:
            async with connect(server.endpoint) as client:
                assert await client.copy_object(("b", "source"), "b", "k") == "e"

    async def test_every_document_may_be_an_error_under_status_200(self) -> None:
        failed = answer(body=error_document("SlowDown"))
        begun = answer(
            body="<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"
        )
        deleted, listed = answer(body="<DeleteResult/>"), answer(body=listing("k"))
        script = [found for good in (begun, deleted, listed) for found in (failed, good)]
        with FaultyServer(*script) as server:
            async with connect(server.endpoint) as client:
                assert await client.create_multipart_upload("b", "k") == "u"
                assert await client.delete_objects("b", ["k"]) == []
                assert [item.key for item in (await client.list_objects("b")).objects] == ["k"]
        assert len(server.requests) == 6

    @pytest.mark.parametrize("body", ["", "<CopyPartResult></CopyPartResult>", "<html>"])
    async def test_a_copy_without_an_etag_is_an_error(self, body: str) -> None:
        with FaultyServer(always=answer(body=body)) as server:
            async with connect(server.endpoint) as client:
                with pytest.raises(ProtocolError, match="copyPart s3://b/k: "):
                    await client.upload_part_copy(
                        "b", "k", "u", 1, ("b", "source"), start=0, stop=9
                    )
                with pytest.raises(ProtocolError, match="copyObject s3://b/k: "):
                    await client.copy_object(("b", "source"), "b", "k")

    @pytest.mark.parametrize(
        "body",
        [
            (
                '<?xml version="1.0"?>\n<CopyObjectResult xmlns="http://s3.amazonaws.com/doc/"><ETag>'
                "&quot;e-2&quot;</ETag><LastModified>2026-01-01</LastModified></CopyObjectResult>"
            ),
            (
                '<CopyObjectResult>\n <LastModified>1</LastModified>\n <ETag>"e-2"</ETag>\n'
                "</CopyObjectResult>\n"
            ),
            "<CopyObjectResult><ETag>&#34;e-2&#34;</ETag></CopyObjectResult>",
            "<CopyObjectResult><ETag>&#x22;e-2&#x22;</ETag></CopyObjectResult>",
            '<s:CopyObjectResult xmlns:s="x"><s:ETag>"e-2"</s:ETag></s:CopyObjectResult>',
            '<CopyObjectResult><ETag>"e-2"</ETag><ChecksumCRC32>1</ChecksumCRC32></CopyObjectResult>',
            "<CopyObjectResult><ETag><![CDATA[e-2]]></ETag></CopyObjectResult>",
        ],
        ids=["s3", "spaces", "decimal", "hexadecimal", "prefixed", "checksum", "cdata"],
    )
    async def test_the_etag_of_a_copy_is_found_however_it_is_written(self, body: str) -> None:
        with FaultyServer(always=answer(body=body)) as server:
            async with connect(server.endpoint) as client:
                assert await client.copy_object(("b", "source"), "b", "k") == "e-2"

    @pytest.mark.parametrize("status", [405, 501])
    async def test_of_a_store_that_copies_no_parts_they_go_through_here(
        self, status: int, obs_bucket: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real, content = forward(os.environ["S3_ENDPOINT"]), bytes(6 << 20)

        def step(received: Received) -> Answer:
            copies = "x-amz-copy-source" in received.headers
            return refusal(status, "NotImplemented") if copies else real(received)

        with FaultyServer(always=step) as server:
            monkeypatch.setenv("S3_ENDPOINT", server.endpoint)
            await file.write(f"{obs_bucket}/k", content)
            await file.append(f"{obs_bucket}/k", b"tail")
            assert await file.read(f"{obs_bucket}/k", binary=True) == content + b"tail"
        copies = [request for request in server.requests if "x-amz-copy-source" in request.headers]
        assert len(copies) == 1
        assert server.requests[-1].method == "GET"

    async def test_an_answer_in_chunks_is_as_good(self) -> None:
        good = answer(body="<CopyPartResult><ETag>e</ETag></CopyPartResult>", chunked=True)
        with FaultyServer(always=good) as server:
            async with connect(server.endpoint) as client:
                assert await client.copy_object(("b", "source"), "b", "k") == "e"
        assert len(server.requests) == 1

    async def test_trailers_behind_the_chunks_cost_one_attempt_and_no_more(self) -> None:
        good = answer(body="ok", chunked=True, etag='"1"').message.removesuffix(b"\r\n")
        with FaultyServer(always=Answer(good + b"x-amz-note: a trailer\r\n\r\n")) as server:
            async with connect(server.endpoint) as client:
                assert await client.put_object("b", "k", b"content") == "1"
                assert await client.put_object("b", "k", b"content") == "1"
        assert len(server.requests) <= 3

    async def test_the_source_of_a_copy_is_encoded_and_its_range_inclusive(self) -> None:
        good = answer(body="<CopyPartResult><ETag>e</ETag></CopyPartResult>")
        with FaultyServer(good) as server:
            async with connect(server.endpoint) as client:
                await client.upload_part_copy(
                    "b", "k", "u", 3, ("other", "a b+ü?"), start=10, stop=20, if_match="v"
                )
        (request,) = server.requests
        assert request.headers["x-amz-copy-source"] == "/other/a%20b%2B%C3%BC%3F"
        assert request.headers["x-amz-copy-source-range"] == "bytes=10-19"
        assert request.headers["x-amz-copy-source-if-match"] == '"v"'
        assert request.query == {"partNumber": "3", "uploadId": "u"}

    async def test_a_copy_of_a_replaced_source_is_a_change_of_the_source(self) -> None:
        with FaultyServer(always=refusal(412, "PreconditionFailed")) as server:
            async with connect(server.endpoint) as client:
                with pytest.raises(ObjectChanged, match="s3://b/source"):
                    await client.copy_object(("b", "source"), "b", "k", if_match="v")

    async def test_a_copy_without_an_etag_has_to_have_the_size_of_its_source(self) -> None:
        nameless = answer(body="<CopyObjectResult><ETag></ETag></CopyObjectResult>")
        short, whole = stored(b"123"), stored(b"12345")
        with FaultyServer(nameless, whole, whole, nameless, short, whole) as server:
            async with connect(server.endpoint) as client:
                assert await client.copy_object(("b", "source"), "b", "k") == ""
                with pytest.raises(ProtocolError, match=r"copyObject s3://b/k: 5 .*, .* has 3"):
                    await client.copy_object(("b", "source"), "b", "k")

    async def test_a_copy_of_a_part_with_an_empty_etag_is_an_error(self) -> None:
        nameless = answer(body="<CopyPartResult><ETag></ETag></CopyPartResult>")
        with FaultyServer(nameless) as server:
            async with connect(server.endpoint, attempts=1) as client:
                with pytest.raises(ProtocolError, match=r"copyPart s3://b/k: .* no ETag"):
                    await client.upload_part_copy(
                        "b", "k", "u", 1, ("b", "source"), start=0, stop=9
                    )

    async def test_a_store_that_copies_no_objects_is_quoted(self) -> None:
        with FaultyServer(refusal(501, "NotImplemented")) as server:
            async with connect(server.endpoint) as client:
                with pytest.raises(ResponseError, match="copyObject s3://b/k: 501 NotImplemented"):
                    await client.copy_object(("b", "source"), "b", "k")


class TestCompletion:
    """An upload of which nobody knows whether it was completed."""

    PARTS: ClassVar[dict[int, str]] = {
        2: hashlib.md5(b"2").hexdigest(),
        1: hashlib.md5(b"1").hexdigest(),
    }

    def test_the_etag_of_parts_is_the_one_that_stores_give(self) -> None:
        joined = hashlib.md5(b"1").digest() + hashlib.md5(b"2").digest()
        etag = f"{hashlib.md5(joined).hexdigest()}-2"
        assert multipart_etag([self.PARTS[1], self.PARTS[2]]) == etag

    async def complete(self, *script: Answer | Callable[[Received], Answer]) -> list[str]:
        with FaultyServer(*script) as server:
            async with connect(server.endpoint) as client:
                try:
                    await client.complete_multipart_upload("b", "k", "u", self.PARTS, size=2)
                finally:
                    self.methods = [request.method for request in server.requests]
        return self.methods

    async def test_a_lost_answer_is_made_up_for_by_the_object_itself(self) -> None:
        etag = multipart_etag([self.PARTS[1], self.PARTS[2]])
        methods = await self.complete(RESET, refusal(404, "NoSuchUpload"), stored(b"12", etag))
        assert methods == ["POST", "POST", "HEAD"]

    async def test_an_object_of_another_size_is_not_the_upload(self) -> None:
        with pytest.raises(ProtocolError, match=r"completeMultipartUpload s3://b/k: .*gone"):
            await self.complete(RESET, refusal(404, "NoSuchUpload"), stored(b"123", "encrypted"))

    async def test_an_object_whose_etag_tells_nothing_is_known_by_its_size(self) -> None:
        methods = await self.complete(
            RESET, refusal(404, "NoSuchUpload"), stored(b"12", "encrypted")
        )
        assert methods == ["POST", "POST", "HEAD"]

    async def test_an_object_with_the_etag_of_other_parts_is_not_the_upload(self) -> None:
        other = multipart_etag([self.PARTS[2], self.PARTS[1]])
        with pytest.raises(ProtocolError, match="not what was uploaded"):
            await self.complete(RESET, refusal(404, "NoSuchUpload"), stored(b"12", other))

    async def test_an_object_that_is_not_there_is_an_upload_that_is_lost(self) -> None:
        with pytest.raises(NotFound):
            await self.complete(RESET, refusal(404, "NoSuchUpload"), refusal(404, "NoSuchKey"))

    async def test_an_unknown_upload_is_an_error_when_no_answer_was_lost(self) -> None:
        # The object that is there may be a former one.
        with pytest.raises(NotFound, match="completeMultipartUpload s3://b/k: 404 NoSuchUpload"):
            await self.complete(refusal(404, "NoSuchUpload"), stored(b"12", "former-2"))
        assert self.methods == ["POST"]

    FAILURES = (refusal(500, "InternalError"),) * 10
    """What Ceph says of an upload that is gone, as often as it is asked."""

    async def test_where_a_store_fails_for_ever_the_object_tells_that_it_was_completed(
        self,
    ) -> None:
        etag = multipart_etag([self.PARTS[1], self.PARTS[2]])
        ours = refusal(404, "NoSuchKey"), stored(b"12", etag)
        assert await self.complete(*self.FAILURES, *ours) == ["POST"] * 10 + ["GET", "HEAD"]

    @pytest.mark.parametrize(
        ("found", "kind", "message"),
        [
            ((refusal(404, "NoSuchUpload"), answer(404)), NotFound, "the upload is gone, and"),
            ((refusal(404, "NoSuchKey"), stored(b"12", "other")), ProtocolError, "is gone, and"),
            ((answer(200, "<ListPartsResult/>"),), ResponseError, "500 InternalError"),
            ((refusal(500, "InternalError"),), ResponseError, "500 InternalError"),
            ((RESET,), ResponseError, "500 InternalError"),
        ],
        ids=["no-object", "another-object", "still-there", "fails-as-before", "breaks"],
    )
    async def test_where_a_store_fails_for_ever_the_upload_is_looked_for_once(
        self, found: tuple[Answer, ...], kind: type[ObsError], message: str
    ) -> None:
        with pytest.raises(kind, match=f"completeMultipartUpload s3://b/k: .*{message}") as caught:
            await self.complete(*self.FAILURES, *found)
        assert type(caught.value) is kind
        assert len(self.methods) == 10 + len(found)

    async def test_an_empty_etag_is_asked_for(self) -> None:
        empty = answer(
            body="<CompleteMultipartUploadResult><ETag></ETag></CompleteMultipartUploadResult>"
        )
        assert await self.complete(empty, stored(b"12", "x-2")) == ["POST", "HEAD"]

    async def test_something_else_than_a_result_is_no_success(self) -> None:
        with pytest.raises(ProtocolError, match="completeMultipartUpload s3://b/k: "):
            await self.complete(answer(body=""), stored(b"12", "x-2"))

    async def test_the_parts_are_listed_in_order(self) -> None:
        good = answer(
            body="<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>"
        )
        with FaultyServer(good) as server:
            async with connect(server.endpoint) as client:
                parts = {10: "c", 2: "b", 1: "a"}
                await client.complete_multipart_upload("b", "k", "u", parts, size=3)
        body = server.requests[0].body.decode()
        assert body.index("<PartNumber>1<") < body.index("<PartNumber>2<")
        assert body.index("<PartNumber>2<") < body.index("<PartNumber>10<")

    async def test_a_real_store_completes_although_its_answer_is_lost(
        self, obs_server: LocalServer, obs_bucket: str
    ) -> None:
        bucket = obs_bucket.removeprefix("s3://")
        script = [forward(obs_server.endpoint, lose=True)]
        with FaultyServer(*script, always=forward(obs_server.endpoint)) as server:
            async with Client(Config.from_env()) as direct:
                upload = await direct.create_multipart_upload(bucket, "k")
                etag = await direct.upload_part(bucket, "k", upload, 1, b"content")
            keys = {"access_key": obs_server.access_key, "secret_key": obs_server.secret_key}
            async with connect(server.endpoint, **keys) as client:
                whole = await client.complete_multipart_upload(
                    bucket, "k", upload, {1: etag}, size=7
                )
                assert (await client.head_object(bucket, "k")).etag == whole
                assert await client.get_object(bucket, "k") == b"content"


class TestListings:
    """Listings that do not end, and stores that know only the first version."""

    async def pages(self, server: FaultyServer, **options: object) -> list[list[str]]:
        async with connect(server.endpoint, **options) as client:
            return [[item.key for item in page.objects] async for page in client.list_pages("b")]

    async def test_a_listing_that_does_not_advance_is_an_error(self) -> None:
        with (
            FaultyServer(always=answer(body=listing("a", following="t"))) as server,
            pytest.raises(ProtocolError, match=r"listObjects s3://b/: .*circles.*'t'"),
        ):
            await self.pages(server)
        assert len(server.requests) <= 3

    async def test_a_listing_in_circles_is_an_error(self) -> None:
        def step(received: Received) -> Answer:
            token = int(received.query.get("continuation-token", "0"))
            return answer(body=listing(f"k{token}", following=str(token % 7 + 1)))

        with FaultyServer(always=step) as server, pytest.raises(ProtocolError, match="circles"):
            await self.pages(server)
        assert len(server.requests) < 50

    async def test_who_has_enough_does_not_wait_for_the_page_that_is_on_its_way(self) -> None:
        with FaultyServer(answer(body=listing("a", following="m")), always=STALL) as server:
            async with connect(server.endpoint) as client:
                pages = client.list_pages("b")
                await anext(pages)
                await asyncio.to_thread(server.arrived.acquire)
                await asyncio.to_thread(server.arrived.acquire)
                async with asyncio.timeout(10):
                    await pages.aclose()  # type: ignore[attr-defined]

    async def test_uploads_and_parts_that_go_in_circles_are_an_error(self) -> None:
        def uploads(received: Received) -> Answer:
            marker = "b" if received.query.get("key-marker") == "a" else "a"
            return answer(
                body="<R><IsTruncated>true</IsTruncated><Upload><Key>k</Key><UploadId>u</UploadId>"
                f"</Upload><NextKeyMarker>{marker}</NextKeyMarker></R>"
            )

        with FaultyServer(always=uploads) as server:
            async with connect(server.endpoint) as client:
                uploads_of = client.list_multipart_uploads("b")
                with pytest.raises(ProtocolError, match="listMultipartUploads s3://b/"):
                    await exhaust(uploads_of, server)

    async def test_a_cut_off_list_of_parts_that_does_not_go_on_is_an_error(self) -> None:
        cut_off = answer(
            body="<R><IsTruncated>true</IsTruncated><Part><PartNumber>1</PartNumber>"
            "<Size>1</Size><ETag>e</ETag></Part></R>"
        )
        with FaultyServer(always=cut_off) as server:
            async with connect(server.endpoint) as client:
                parts = client.list_parts("b", "k", "u")
                with pytest.raises(ProtocolError, match="listParts s3://b/k"):
                    await exhaust(parts, server)

    @pytest.mark.parametrize(
        "refused",
        [
            refusal(400, "InvalidArgument"),
            refusal(501, "NotImplemented"),
            answer(body=listing("a", following="m", version=1)),
        ],
        ids=["400", "501", "ignored"],
    )
    async def test_a_store_without_the_second_version_gets_the_first(self, refused: Answer) -> None:
        def first(received: Received) -> Answer:
            if received.query.get("list-type") == "2":
                return refused
            marker = received.query.get("marker", "")
            return answer(
                body=listing(*("b" if marker else "a"), following="" if marker else "m", version=1)
            )

        with FaultyServer(always=first) as server:
            assert await self.pages(server) == [["a"], ["b"]]
            assert await self.pages(server, list_version=1) == [["a"], ["b"]]
        versions = [request.query.get("list-type") for request in server.requests]
        assert versions == ["2", None, None, None, None]

    async def test_the_first_version_has_the_same_limit(self) -> None:
        script = refusal(501, "NotImplemented"), answer(body=listing("a", version=1))
        with FaultyServer(*script) as server:
            async with connect(server.endpoint) as client:
                await client.list_objects("b", limit=7)
        assert [request.query["max-keys"] for request in server.requests] == ["7", "7"]

    @pytest.mark.parametrize("code", ["403 AccessDenied", "404 NoSuchBucket"])
    async def test_what_is_refused_in_either_version_is_asked_for_once(self, code: str) -> None:
        status, _, name = code.partition(" ")
        with (
            FaultyServer(always=refusal(int(status), name)) as server,
            pytest.raises(ObsError, match=code),
        ):
            await self.pages(server)
        assert len(server.requests) == 1

    async def test_a_version_that_was_asked_for_is_not_changed(self) -> None:
        with (
            FaultyServer(always=refusal(501, "NotImplemented")) as server,
            pytest.raises(ResponseError, match="NotImplemented"),
        ):
            await self.pages(server, list_version=2)
        assert len(server.requests) == 1

    async def test_obs_is_asked_in_the_first_version(self) -> None:
        with FaultyServer(always=answer(body=listing("a", version=1))) as server:
            endpoint = "http://obs.cn-north-4.myhuaweicloud.com"
            async with connect(endpoint, proxy=server.endpoint) as client:
                await client.list_objects("b-1")
        assert "list-type" not in server.requests[0].query
        assert server.requests[0].query["encoding-type"] == "url"

    async def test_an_entity_bomb_is_refused(self) -> None:
        entities = '<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">'
        bomb = f"<!DOCTYPE r [{entities}]><ListBucketResult>&b;</ListBucketResult>"
        for encoding in ("utf-8", "utf-16"):
            with (
                FaultyServer(always=answer(body=bomb.encode(encoding))) as server,
                pytest.raises(ProtocolError, match="listObjects s3://b/"),
            ):
                await self.pages(server)

    async def test_a_web_page_is_not_taken_for_an_empty_bucket(self) -> None:
        for page in ("<!doctype html><html></html>", "<html></html>", "", "{}"):
            with (
                FaultyServer(always=answer(body=page)) as server,
                pytest.raises(ProtocolError, match="listObjects s3://b/: "),
            ):
                await self.pages(server)

    @pytest.mark.parametrize("delimiter", ["", "/"])
    async def test_names_that_do_not_begin_with_the_prefix_are_no_answer(
        self, delimiter: str
    ) -> None:
        between = listing("dir/a", "other", "dir/b")  # out of order as well
        page = between if not delimiter else FOLDERS.format("dir/x/", "dirs/")
        with FaultyServer(always=answer(body=page)) as server:
            async with connect(server.endpoint) as client:
                with pytest.raises(
                    ProtocolError, match=r"begins with 'dir/', was told of '(other|dirs/)'"
                ):
                    await anext(client.list_pages("b", "dir/", delimiter=delimiter))

    @pytest.mark.parametrize(
        "remove",
        [
            partial(file.remove, "s3://b/dir", recursive=True),
            partial(file.rename, "s3://b/dir", "s3://b/target"),
        ],
        ids=["remove", "rename"],
    )
    async def test_a_store_that_ignores_the_prefix_has_nothing_removed(
        self, remove: Callable[[], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with FaultyServer(always=ignorant) as server:
            use(server, monkeypatch)
            with pytest.raises(ProtocolError, match="asked for what begins with 'dir/'"):
                await remove()
        assert {request.method for request in server.requests} <= {"GET", "HEAD"}

    @pytest.mark.parametrize("version", [1, 2])
    async def test_of_moto_each_folder_is_listed_once_and_parts_are_listed(
        self, version: int, moto_server: str
    ) -> None:
        bucket, names = f"moto-{version}", [f"dir/{name}/x" for name in "abcdefg"]
        options: dict[str, Any] = {"page_size": 3, "list_version": version}
        async with connect(moto_server, **options) as client:
            await client.create_bucket(bucket, exist_ok=True)
            for key in names:
                await client.put_object(bucket, key, b"")
            pages = [page async for page in client.list_pages(bucket, "dir/", delimiter="/")]
            upload = await client.create_multipart_upload(bucket, "k")
            etag = await client.upload_part(bucket, "k", upload, 1, b"content")
            parts = [part async for part in client.list_parts(bucket, "k", upload)]
            await client.abort_multipart_upload(bucket, "k", upload)
        assert [name for page in pages for name in page.prefixes] == [n[:-1] for n in names]
        assert parts == [(1, 7, etag)]

    async def test_what_a_page_repeats_of_the_one_before_is_there_once(self) -> None:
        pages = [
            listing("dir/a", "dir/b", following="1"),
            listing("dir/b", "dir/c", following="2"),
            FOLDERS.format("dir/x/", "dir/y/").replace("false", "true"),
            listing("dir/d", following="3"),
            FOLDERS.format("dir/x/", "dir/z/"),
        ]
        with FaultyServer(*[answer(body=page) for page in pages]) as server:
            async with connect(server.endpoint) as client:
                found = [page async for page in client.list_pages("b", "dir/", delimiter="/")]
        keys = [key for page in found for key in page.objects.keys]
        assert keys == ["dir/a", "dir/b", "dir/c", "dir/d"]
        assert [name for page in found for name in page.prefixes] == ["dir/x/", "dir/y/", "dir/z/"]


FOLDERS = (
    "<ListBucketResult><IsTruncated>false</IsTruncated><NextContinuationToken>t"
    "</NextContinuationToken><CommonPrefixes><Prefix>{}</Prefix></CommonPrefixes>"
    "<CommonPrefixes><Prefix>{}</Prefix></CommonPrefixes></ListBucketResult>"
)


def ignorant(received: Received) -> Answer:
    """Answer as a store that lists all that it has, whatever it is asked for."""
    if received.method == "HEAD":
        return answer(404)
    if received.method == "GET":
        return answer(body=listing("dir/mine", "precious"))
    return answer(body="<DeleteResult/>")


class TestDeletes:
    """Batches with errors in them."""

    async def test_each_key_that_is_left_is_reported(self) -> None:
        reply = answer(
            body="<DeleteResult><Error><Key>a</Key><Code>AccessDenied</Code><Message>no</Message>"
            "</Error><Error><Key>b</Key><Code>NoSuchKey</Code></Error></DeleteResult>"
        )
        with FaultyServer(reply) as server:
            async with connect(server.endpoint) as client:
                (failure,) = await client.delete_objects("bucket", ["a", "b", "c"])
        assert isinstance(failure, ResponseError)
        assert "deleteObjects s3://bucket/a: " in str(failure)
        assert "AccessDenied: no" in str(failure)

    async def test_keys_that_no_xml_can_hold_are_deleted_one_by_one(self) -> None:
        def step(received: Received) -> Answer:
            return answer(204) if received.method == "DELETE" else answer(body="<DeleteResult/>")

        with FaultyServer(always=step) as server:
            async with connect(server.endpoint) as client:
                assert await client.delete_objects("b", ["a\x01", "b", "c\uffff"]) == []
        deleted = [request.path for request in server.requests if request.method == "DELETE"]
        assert deleted == ["/b/a\x01", "/b/c\uffff"]

    @pytest.mark.parametrize("status", [405, 501])
    async def test_where_there_are_no_batches_each_key_is_deleted_by_itself(
        self, status: int
    ) -> None:
        answers = {
            "POST": refusal(status, "NotImplemented"),
            "/b/gone": refusal(404, "NoSuchKey"),
            "/b/kept": refusal(403, "AccessDenied"),
        }

        def step(received: Received) -> Answer:
            return answers.get(received.method) or answers.get(received.path) or answer(204)

        with FaultyServer(always=step) as server:
            async with connect(server.endpoint) as client:
                (failure,) = await client.delete_objects("b", ["one", "gone", "kept", "bad\x01"])
        assert isinstance(failure, AccessDenied)
        assert "deleteObject s3://b/kept: " in str(failure)
        deleted = {request.path for request in server.requests if request.method == "DELETE"}
        assert deleted == {"/b/one", "/b/gone", "/b/kept", "/b/bad\x01"}

    async def test_a_store_without_batches_is_not_flooded(self) -> None:
        def step(received: Received) -> Answer:
            return answer(204) if received.method == "DELETE" else refusal(501, "NotImplemented")

        with FaultyServer(always=step) as server:
            async with connect(server.endpoint) as client:
                assert await client.delete_objects("b", map(str, range(300))) == []
        assert max(request.connection for request in server.requests) <= 40

    @pytest.mark.parametrize("code", ["404 NoSuchBucket", "405 MethodNotAllowed"])
    async def test_what_keeps_every_key_from_being_deleted_is_told_once(self, code: str) -> None:
        status, _, name = code.partition(" ")
        script = refusal(501, "NotImplemented"), refusal(int(status), name)
        with FaultyServer(*script) as server:
            async with connect(server.endpoint) as client:
                with pytest.raises(ObsError, match=f"deleteObject s3://b/one: {code}"):
                    await client.delete_objects("b", ["one"])

    async def test_no_keys_are_no_request(self) -> None:
        with FaultyServer() as server:
            async with connect(server.endpoint) as client:
                assert await client.delete_objects("b", []) == []
        assert not server.requests

    async def test_an_aborted_upload_that_is_gone_is_no_error_but_a_missing_bucket_is(self) -> None:
        with FaultyServer(refusal(404, "NoSuchUpload"), refusal(404, "NoSuchBucket")) as server:
            async with connect(server.endpoint) as client:
                await client.abort_multipart_upload("b", "k", "u")
                with pytest.raises(NotFound, match="NoSuchBucket"):
                    await client.abort_multipart_upload("b", "k", "u")
