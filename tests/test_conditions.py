"""Writes under a condition, on two real servers and on stores with the quirks of others."""

from __future__ import annotations

import asyncio
import hashlib
import random
import secrets
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

import pytest
import swift_server as swift
from faulty import (
    RESET,
    Answer,
    FaultyServer,
    Received,
    answer,
    connect,
    forward,
    refusal,
    stored,
)

from aioobs import (
    AlreadyExists,
    Client,
    ConfigError,
    FilePart,
    NotFound,
    ObjectChanged,
    ObsError,
    ProtocolError,
    ResponseError,
)
from aioobs.store import compose
from aioobs.url import ObjectURL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from aioobs.testing import LocalServer

CONDITIONS = ("if-match", "if-none-match")
WRONG = "0" * 32


@dataclass
class Store:
    """A real server behind a proxy that gives it the quirks of another store."""

    upstream: str
    lose: int = 0
    """How many writes are carried out without an answer."""
    drop: int = 0
    """How many writes are lost before they are carried out."""
    meanwhile: Callable[[], object] | None = None
    """What happens right after the next look at an object."""
    sent: list[tuple[str, str]] = field(default_factory=list)
    """The method and the condition of each write that came."""

    def __call__(self, received: Received) -> Answer:
        """Answer a request as this store does."""
        if is_write(received):
            given = next(filter(None, map(received.headers.get, CONDITIONS)), "")
            self.sent.append((received.method, given))
            if self.drop:
                self.drop -= 1
                return RESET
            answer = self.quirk(received) if given else None
            return answer or self.passed_on(received)
        answer = self.passed_on(received)
        if received.method == "HEAD" and self.meanwhile is not None:
            happen, self.meanwhile = self.meanwhile, None
            happen()
        return answer

    def passed_on(self, received: Received) -> Answer:
        """Let the real server do it."""
        if not self.lose or not is_write(received):
            return forward(self.upstream)(received)
        self.lose -= 1
        return forward(self.upstream, lose=True)(received)

    def quirk(self, received: Received) -> Answer | None:
        """Answer a write under a condition otherwise than the real server."""
        return None


class Ceph(Store):
    """Knows the ETag of If-Match only without quotes, and no condition of a Complete."""

    def quirk(self, received: Received) -> Answer | None:
        if received.method == "POST":
            without_conditions(received)
        elif etag := received.headers.get("if-match", ""):
            if etag.startswith('"'):
                return refusal(412, "PreconditionFailed")
            received.headers["if-match"] = f'"{etag}"'
        return None


class Ignoring(Store):
    """Does not look at conditions."""

    def quirk(self, received: Received) -> Answer | None:
        without_conditions(received)
        return None


class NotImplementing(Store):
    """Refuses all conditions."""

    def quirk(self, received: Received) -> Answer | None:
        return refusal(501, "NotImplemented")


class Swift(NotImplementing):
    """Refuses conditions, those of a Complete with another status."""

    def quirk(self, received: Received) -> Answer | None:
        if received.method == "POST":
            return refusal(412, "InvalidRequest")
        return refusal(501, "NotImplemented")


class Naming(NotImplementing):
    """Calls the condition an invalid argument."""

    def quirk(self, received: Received) -> Answer | None:
        name = "If-Match" if "if-match" in received.headers else "If-None-Match"
        return refusal(400, "InvalidArgument", f"<ArgumentName>{name}</ArgumentName>")


class Amazon(Store):
    """Calls an object that is to be replaced and not there a missing key."""

    def quirk(self, received: Received) -> Answer | None:
        answer = self.passed_on(received)
        if b" 412 " in answer.message[:16] and "if-match" in received.headers:
            return refusal(404, "NoSuchKey")
        return answer


class Conflicting(Store):
    """Says that somebody else is writing, instead of that the condition does not hold."""

    def quirk(self, received: Received) -> Answer | None:
        answer = self.passed_on(received)
        if b" 412 " in answer.message[:16]:
            return refusal(409, "ConditionalRequestConflict")
        return answer


class Encrypting(Store):
    """Has ETags that are no MD5, which only look like it."""

    def passed_on(self, received: Received) -> Answer:
        answer = super().passed_on(received)
        for content in (b"ours", b"mine"):
            etag = md5(content).encode()
            answer = replace(answer, message=answer.message.replace(etag, etag[::-1]))
        return answer


def is_write(received: Received) -> bool:
    if received.method == "PUT":
        return "partNumber" not in received.query
    return received.method == "POST" and "uploadId" in received.query


def without_conditions(received: Received) -> None:
    for name in CONDITIONS:
        received.headers.pop(name, None)


QUIRKS = (Store, Ceph, Amazon, Conflicting, Ignoring, NotImplementing, Swift, Naming)
KINDS = [*(pytest.param(kind, id=kind.__name__) for kind in QUIRKS)]


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, obs_server: LocalServer) -> Store:
    """Give a store of each kind, on SeaweedFS."""
    kind: type[Store] = request.param
    return kind(obs_server.endpoint)


@pytest.fixture
def proxy(store: Store) -> Iterator[FaultyServer]:
    """Run the store."""
    with FaultyServer(always=store) as server:
        yield server


@pytest.fixture
async def client(proxy: FaultyServer, obs_server: LocalServer) -> AsyncIterator[Client]:
    """Give a client of the store."""
    async with connect(proxy.endpoint, **keys_of(obs_server)) as client:
        yield client


@pytest.fixture
async def direct(obs_server: LocalServer) -> AsyncIterator[Client]:
    """Give a client of the real server, for what others do."""
    async with connect(obs_server.endpoint, **keys_of(obs_server)) as client:
        yield client


@pytest.fixture
def bucket(obs_bucket: str) -> str:
    return obs_bucket.removeprefix("s3://")


def keys_of(server: LocalServer) -> dict[str, str]:
    return {"access_key": server.access_key, "secret_key": server.secret_key}


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


class Put(Protocol):
    """A way to write an object."""

    async def __call__(
        self, client: Client, bucket: str, key: str, body: bytes, **conditions: str
    ) -> str: ...


async def put_in_parts(
    client: Client, bucket: str, key: str, body: bytes, **conditions: str
) -> str:
    upload = await client.create_multipart_upload(bucket, key)
    etags = {1: await client.upload_part(bucket, key, upload, 1, body)}
    try:
        return await client.complete_multipart_upload(
            bucket, key, upload, etags, size=len(body), **conditions
        )
    except ObsError:
        await client.abort_multipart_upload(bucket, key, upload)
        raise


async def put_whole(client: Client, bucket: str, key: str, body: bytes, **conditions: str) -> str:
    return await client.put_object(
        bucket,
        key,
        body,
        if_match=conditions.get("if_match", ""),
        if_none_match=conditions.get("if_none_match", ""),
    )


def writer(client: Client, bucket: str, body: bytes) -> Callable[[], object]:
    """Return what writes an object from the thread of a server."""
    loop = asyncio.get_running_loop()
    return lambda: asyncio.run_coroutine_threadsafe(
        client.put_object(bucket, "k", body), loop
    ).result()


WAYS = pytest.mark.parametrize("put", [put_whole, put_in_parts])


async def keeps_its_conditions(client: Client, bucket: str, put: Put) -> None:
    first = await put(client, bucket, "k", b"1", if_none_match="*")
    with pytest.raises(AlreadyExists, match=rf"s3://{bucket}/k: there is one already.*{first}"):
        await put(client, bucket, "k", b"2", if_none_match="*")
    with pytest.raises(ObjectChanged, match=rf"s3://{bucket}/k: .*{WRONG}.*{first}"):
        await put(client, bucket, "k", b"2", if_match=WRONG)
    with pytest.raises(ObjectChanged, match="there is none"):
        await put(client, bucket, "missing", b"2", if_match=first)
    assert await client.get_object(bucket, "k") == b"1"
    second = await put(client, bucket, "k", b"2", if_match=first)
    third = await put(client, bucket, "k", b"3", if_match=f'"{second}"')
    with pytest.raises(ObjectChanged):
        await put(client, bucket, "k", b"4", if_match=second)
    assert await client.get_object(bucket, "k", if_match=third) == b"3"
    assert not [upload async for upload in client.list_multipart_uploads(bucket)]
    with pytest.raises(NotFound):
        await client.head_object(bucket, "missing")


@WAYS
async def test_conditions_are_kept_whatever_the_store_makes_of_them(
    client: Client, bucket: str, put: Put
) -> None:
    await keeps_its_conditions(client, bucket, put)


@WAYS
@pytest.mark.parametrize("server", ["moto_server", "swift_server"])
async def test_conditions_are_kept_on_a_server_of_another_kind(
    request: pytest.FixtureRequest, server: str, put: Put
) -> None:
    endpoint = request.getfixturevalue(server)
    bucket = f"test-{secrets.token_hex(6)}"
    keys = {"access_key": swift.KEY, "secret_key": swift.SECRET}  # moto looks at none
    async with connect(endpoint, **keys) as client:
        await client.create_bucket(bucket)
        await keeps_its_conditions(client, bucket, put)


@WAYS
@pytest.mark.parametrize("options", [{"if_match": md5(b"old")}, {"if_none_match": "*"}])
async def test_what_happens_after_the_look_is_noticed_where_the_store_says_anything(
    store: Store,
    client: Client,
    direct: Client,
    bucket: str,
    put: Put,
    options: dict[str, str],
) -> None:
    if "if_match" in options:
        await direct.put_object(bucket, "k", b"old")
    blind = type(store) is Ignoring or (type(store) is Ceph and put is put_in_parts)
    store.meanwhile = writer(direct, bucket, b"theirs")
    if blind:
        await put(client, bucket, "k", b"ours", **options)
        return
    with pytest.raises((ObjectChanged, AlreadyExists)) as caught:
        await put(client, bucket, "k", b"ours", **options)
    assert caught.value.resp is not None
    assert await direct.get_object(bucket, "k") == b"theirs"


@pytest.mark.parametrize("store", [pytest.param(Ceph, id="Ceph")], indirect=True)
async def test_quotes_that_a_store_does_not_want_are_left_out_from_then_on(
    store: Store, client: Client, bucket: str
) -> None:
    first = await client.put_object(bucket, "k", b"1")
    second = await client.put_object(bucket, "k", b"2", if_match=first)
    third = await client.put_object(bucket, "k", b"3", if_match=second)
    await client.put_object(bucket, "k", b"4", if_match=third)
    conditions = [condition for _, condition in store.sent]
    assert conditions == ["", f'"{first}"', first, second, third]


@pytest.mark.parametrize(
    "store",
    [pytest.param(NotImplementing), pytest.param(Swift), pytest.param(Naming)],
    indirect=True,
)
@WAYS
async def test_a_store_without_conditions_is_asked_for_one_once(
    store: Store, client: Client, bucket: str, put: Put
) -> None:
    first = await put(client, bucket, "k", b"1", if_none_match="*")
    second = await put(client, bucket, "k", b"2", if_match=first)
    await put(client, bucket, "k", b"3", if_match=second)
    await put(client, bucket, "other", b"4", if_none_match="*")
    conditions = [condition for _, condition in store.sent]
    assert conditions == ["*", "", f'"{first}"', "", "", ""]


async def test_other_refusals_of_an_argument_are_not_about_the_condition(bucket: str) -> None:
    script = [refusal(404, ""), refusal(400, "InvalidArgument", "<ArgumentName>x</ArgumentName>")]
    with FaultyServer(*script) as server:
        async with connect(server.endpoint) as client:
            with pytest.raises(ResponseError, match="400 InvalidArgument"):
                await client.put_object("b", "k", b"", if_none_match="*")
    assert len(server.requests) == 2


async def test_a_missing_bucket_is_not_an_object_that_changed(client: Client) -> None:
    with pytest.raises(NotFound, match="NoSuchBucket"):
        await client.put_object("missing-bucket", "k", b"", if_none_match="*")


@WAYS
@pytest.mark.parametrize("new", [True, False])
async def test_a_write_whose_answer_is_lost_is_not_mistaken_for_another_ones(
    store: Store,
    proxy: FaultyServer,
    client: Client,
    direct: Client,
    bucket: str,
    put: Put,
    new: bool,
) -> None:
    options = {"if_none_match": "*"}
    if not new:
        options = {"if_match": await direct.put_object(bucket, "k", b"old")}
    store.lose = 1
    etag = await put(client, bucket, "k", b"ours", **options)
    assert not store.lose
    assert "GET" not in [request.method for request in proxy.requests]  # the ETag tells
    assert etag == (await direct.head_object(bucket, "k")).etag
    assert await direct.get_object(bucket, "k") == b"ours"


async def test_an_upload_whose_etag_cannot_be_told_is_known_by_its_end(
    store: Store, client: Client, direct: Client, bucket: str
) -> None:
    # What SeaweedFS copies in more than one piece is a part whose ETag is no MD5.
    base = random.Random(0).randbytes((5 << 20) + 70_000)
    await direct.put_object(bucket, "k", base)
    store.lose = 1
    await compose.append(client, ObjectURL(bucket, "k"), b"added once")
    assert not store.lose
    assert await direct.get_object(bucket, "k") == base + b"added once"


HEEDING = pytest.mark.parametrize(
    "store", [pytest.param(kind, id=kind.__name__) for kind in (Store, Amazon)], indirect=True
)
ENCRYPTING = pytest.mark.parametrize(
    "store", [pytest.param(Encrypting, id="Encrypting")], indirect=True
)


@HEEDING
@WAYS
@pytest.mark.parametrize("theirs", [b"theirs", b"mine"])
async def test_another_ones_write_is_not_taken_for_the_one_that_was_lost(
    store: Store, client: Client, direct: Client, bucket: str, put: Put, theirs: bytes
) -> None:
    old = await direct.put_object(bucket, "k", b"old")
    store.drop, store.meanwhile = 1, writer(direct, bucket, theirs)
    with pytest.raises(ObjectChanged):
        await put(client, bucket, "k", b"ours", if_match=old)
    assert len(store.sent) == 2
    assert await direct.get_object(bucket, "k") == theirs


@ENCRYPTING
@pytest.mark.parametrize("theirs", [None, b"mine", b"ours and more"])
@pytest.mark.parametrize("in_file", [False, True])
async def test_where_the_etag_is_no_md5_the_content_tells_whose_write_it_was(
    store: Store,
    client: Client,
    direct: Client,
    bucket: str,
    theirs: bytes | None,
    in_file: bool,
    tmp_path: Path,
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before ours behind")
    with path.open("rb") as file:
        body = FilePart(file.fileno(), 7, 4) if in_file else b"ours"
        if theirs is None:
            store.lose = 1
            etag = await client.put_object(bucket, "k", body, if_none_match="*")
            assert etag == md5(b"ours")[::-1]
        else:
            store.drop, store.meanwhile = 1, writer(direct, bucket, theirs)
            with pytest.raises(AlreadyExists):
                await client.put_object(bucket, "k", body, if_none_match="*")
    assert await direct.get_object(bucket, "k") == (theirs or b"ours")


@HEEDING
async def test_of_two_that_write_the_same_only_one_creates_it(
    store: Store, client: Client, direct: Client, bucket: str
) -> None:
    store.meanwhile = writer(direct, bucket, b"ours")
    with pytest.raises(AlreadyExists):  # for no answer was lost
        await client.put_object(bucket, "k", b"ours", if_none_match="*")


@HEEDING
async def test_an_upload_with_other_parts_is_not_the_one_that_was_lost(
    store: Store, client: Client, direct: Client, bucket: str
) -> None:
    store.drop = 1
    store.meanwhile = writer(direct, bucket, b"mine")  # of the same size, in one piece
    with pytest.raises(AlreadyExists):
        await put_in_parts(client, bucket, "k", b"ours", if_none_match="*")
    assert (await direct.head_object(bucket, "k")).etag == md5(b"mine")


async def test_an_upload_that_is_gone_when_refused_did_not_make_what_has_another_etag() -> None:
    with FaultyServer(
        stored(b"then", "old"),
        RESET,
        refusal(412, "PreconditionFailed"),
        stored(b"mine", "new"),
        refusal(404, "NoSuchUpload"),
    ) as server:
        async with connect(server.endpoint) as client:
            with pytest.raises(ProtocolError, match="not what was uploaded"):
                await client.complete_multipart_upload(
                    "b", "k", "upload", {1: md5(b"ours")}, size=4, if_match="old"
                )


async def test_an_object_without_an_etag_is_one_that_is_there() -> None:
    with FaultyServer(answer(last_modified="Fri, 02 Jan 2026 03:04:05 GMT")) as server:
        async with connect(server.endpoint) as client:
            with pytest.raises(AlreadyExists):
                await client.put_object("b", "k", b"ours", if_none_match="*")
    assert [request.method for request in server.requests] == ["HEAD"]


@HEEDING
async def test_an_upload_that_is_gone_was_not_completed_because_the_size_is_right(
    store: Store, client: Client, direct: Client, bucket: str
) -> None:
    old = await direct.put_object(bucket, "k", b"then")
    upload = await client.create_multipart_upload(bucket, "k")
    etags = {1: await client.upload_part(bucket, "k", upload, 1, b"ours")}
    loop = asyncio.get_running_loop()
    giving_up = direct.abort_multipart_upload(bucket, "k", upload)
    store.meanwhile = lambda: asyncio.run_coroutine_threadsafe(giving_up, loop).result()
    store.drop = 1
    with pytest.raises(ProtocolError, match="not what was uploaded"):
        await client.complete_multipart_upload(bucket, "k", upload, etags, size=4, if_match=old)
    assert await direct.get_object(bucket, "k") == b"then"


async def race(client: Client, bucket: str) -> None:
    """Have eight writers add a line each, by reading and writing, until all are done."""

    async def add(line: bytes) -> None:
        while True:
            try:
                info = await client.head_object(bucket, "k")
            except NotFound:
                options, before = {"if_none_match": "*"}, b""
            else:
                options = {"if_match": info.etag}
                try:
                    before = await client.get_object(bucket, "k", if_match=info.etag)
                except ObjectChanged:
                    continue
            try:
                await put_whole(client, bucket, "k", before + line, **options)
            except (ObjectChanged, AlreadyExists):
                continue
            return

    lines = [b"line %d\n" % number for number in range(8)]
    await asyncio.gather(*map(add, lines))
    assert sorted((await client.get_object(bucket, "k")).splitlines(keepends=True)) == lines


@pytest.mark.parametrize(
    "store", [pytest.param(kind, id=kind.__name__) for kind in (Store, Ceph)], indirect=True
)
async def test_writers_that_race_lose_nothing(client: Client, bucket: str) -> None:
    await race(client, bucket)


async def test_conditions_that_make_no_sense_are_refused_before_anything_is_sent() -> None:
    with FaultyServer() as server:
        async with connect(server.endpoint) as client:
            for options in ({"if_none_match": "etag"}, {"if_match": "e", "if_none_match": "*"}):
                for put in (put_whole, complete_unknown):
                    with pytest.raises(ConfigError, match="if_none_match"):
                        await put(client, "b", "k", b"", **options)
    assert not server.requests


async def complete_unknown(
    client: Client, bucket: str, key: str, body: bytes, **conditions: str
) -> str:
    return await client.complete_multipart_upload(
        bucket, key, "u", {1: md5(body)}, size=0, **conditions
    )
