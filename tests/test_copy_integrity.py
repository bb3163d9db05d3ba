"""Copies that check contents: what is sent with its MD5, and what comes against what is known."""

from __future__ import annotations

import base64
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from hashlib import md5
from typing import TYPE_CHECKING, Any, Literal

import pytest
from copies import noise
from faulty import Answer, FaultyServer, Received, answer, forward, listing, refusal, use

import aioobs
from aioobs import Client, ConfigError, ReadError, ResponseError, TransferFailed
from aioobs.session import session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from aioobs.testing import LocalServer

MIB = 1 << 20
SIZES = {"empty": 0, "small": 1000, "medium": 3 * MIB, "big": 17 * MIB}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Give a local folder with files that take each of the ways."""
    root = tmp_path / "src"
    root.mkdir()
    for number, (name, size) in enumerate(SIZES.items()):
        (root / name).write_bytes(noise(size, number))
    return root


@contextmanager
def through(
    server: LocalServer,
    *,
    request: Callable[[Received], None] = lambda _: None,
    reply: Callable[[Received, Answer], Answer] = lambda _, answer: answer,
) -> Iterator[FaultyServer]:
    """Have this process talk to the server past somebody who changes what goes by."""
    pass_on = forward(server.endpoint)

    def step(received: Received) -> Answer:
        request(received)
        return reply(received, pass_on(received))

    with FaultyServer(always=step) as proxy, pytest.MonkeyPatch.context() as patch:
        patch.setenv("S3_ENDPOINT", proxy.endpoint)
        yield proxy


def content(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in root.iterdir()}


def spoil(data: bytes) -> bytes:
    """Change one bit."""
    return data[:-1] + bytes([data[-1] ^ 1])


def spoil_uploads(once: set[str] | None = None) -> Callable[[Received], None]:
    """Return what damages the bodies that are sent, with *once* each one at its first attempt."""

    def change(received: Received) -> None:
        if received.method == "PUT" and received.body:
            if once is not None and received.target in once:
                return
            if once is not None:
                once.add(received.target)
            received.body = spoil(received.body)

    return change


def spoil_downloads(received: Received, reply: Answer) -> Answer:
    """Damage the content of objects on its way."""
    full = not reply.message.endswith(b"\r\n\r\n")
    whole = received.method == "GET" and "list-type" not in received.query and full
    return replace(reply, message=spoil(reply.message)) if whole else reply


@pytest.mark.parametrize("executor", [False, True])
async def test_all_that_is_sent_has_its_md5_and_all_that_comes_is_checked(
    obs_server: LocalServer, obs_bucket: str, source: Path, tmp_path: Path, executor: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    with through(obs_server) as proxy, ThreadPoolExecutor(1) as pool:
        chosen: dict[str, Any] = {"executor": pool if executor else None, "verify": "checksum"}
        await aioobs.file.copy_parallel(source, f"{obs_bucket}/a", **chosen)
        sent = [one for one in proxy.requests if one.method == "PUT"]
        assert len(sent) == 6
        for one in sent:
            expected = base64.b64encode(md5(one.body).digest()).decode()
            assert one.headers["content-md5"] == expected
        await aioobs.file.copy_parallel(f"{obs_bucket}/a", f"{obs_bucket}/b", **chosen)
        await aioobs.file.copy_parallel(f"{obs_bucket}/b", tmp_path / "c", **chosen)
        await aioobs.file.copy_parallel(tmp_path / "c", tmp_path / "d", verify="checksum")
    assert content(tmp_path / "d") == content(source)
    assert "could not be checked" not in caplog.text


async def test_nothing_of_that_is_done_unless_it_is_wanted(
    obs_server: LocalServer, obs_bucket: str, source: Path, tmp_path: Path
) -> None:
    with through(obs_server) as proxy:
        await aioobs.file.copy_parallel(source, f"{obs_bucket}/a")
        await aioobs.file.copy_parallel(f"{obs_bucket}/a", tmp_path / "b")
    assert not any("content-md5" in one.headers for one in proxy.requests)
    assert not any(one.method == "HEAD" for one in proxy.requests)


async def test_what_is_damaged_on_its_way_up_is_sent_again_or_refused(
    obs_server: LocalServer, obs_bucket: str, source: Path, tmp_path: Path
) -> None:
    with through(obs_server, request=spoil_uploads(once=set())):
        await aioobs.file.copy_parallel(source, f"{obs_bucket}/a", verify="checksum")
    await aioobs.file.copy_parallel(f"{obs_bucket}/a", tmp_path / "a")
    assert content(tmp_path / "a") == content(source)

    with through(obs_server, request=spoil_uploads()), pytest.raises(TransferFailed) as caught:
        await aioobs.file.copy_parallel(source, f"{obs_bucket}/b", verify="checksum")
    assert len(caught.value.failures) == 3
    for failure in caught.value.failures:
        assert isinstance(failure, ResponseError)
        assert "BadDigest" in str(failure)
    assert await aioobs.file.list_directory(f"{obs_bucket}/b") == ["empty"]


async def test_what_is_damaged_on_its_way_down_gets_no_name(
    obs_server: LocalServer, obs_bucket: str, source: Path, tmp_path: Path
) -> None:
    await aioobs.file.copy_parallel(source, f"{obs_bucket}/a")
    (tmp_path / "dst").mkdir()
    (tmp_path / "dst" / "small").write_text("old")
    with (
        through(obs_server, reply=spoil_downloads),
        pytest.raises(TransferFailed, match="checksum that the store has") as caught,
    ):
        await aioobs.file.copy_parallel(f"{obs_bucket}/a", tmp_path / "dst", verify="checksum")
    assert all(isinstance(failure, ReadError) for failure in caught.value.failures)
    assert content(tmp_path / "dst") == {"empty": b"", "small": b"old"}


async def test_a_single_file_and_a_plan_are_checked_as_well(
    obs_server: LocalServer, obs_bucket: str, source: Path, tmp_path: Path
) -> None:
    await aioobs.file.copy_parallel(source, f"{obs_bucket}/a")
    with through(obs_server, reply=spoil_downloads):
        with pytest.raises(ReadError):
            await aioobs.file.copy(f"{obs_bucket}/a/big", tmp_path / "big", verify="checksum")
        plan = await aioobs.plan_copy(f"{obs_bucket}/a", tmp_path / "dst", ["small"])
        with pytest.raises(TransferFailed):
            await aioobs.run_copy(plan, verify="checksum")
    with pytest.raises(ConfigError, match="verify='md5'"):
        await aioobs.file.copy(source / "small", tmp_path / "x", verify="md5")  # type: ignore[arg-type]


async def test_a_digest_is_kept_where_it_is_wanted(
    obs_bucket: str, source: Path, client: Client, tmp_path: Path
) -> None:
    bucket = obs_bucket.removeprefix("s3://")
    with ThreadPoolExecutor(1) as pool:
        for name, executor in (("a", None), ("b", pool)):
            target = f"{obs_bucket}/{name}"
            await aioobs.file.copy_parallel(source, target, executor=executor, verify="digest")
            for path in source.iterdir():
                info = await client.head_object(bucket, f"{name}/{path.name}")
                found = base64.b64encode(md5(path.read_bytes()).digest()).decode()
                assert info.metadata == {"md5chksum": found}


async def test_a_digest_does_not_outlive_what_it_is_of(
    obs_bucket: str, source: Path, client: Client
) -> None:
    bucket = obs_bucket.removeprefix("s3://")
    for name in ("small", "big"):
        url = f"{obs_bucket}/{name}"
        await aioobs.file.copy(source / name, url, verify="digest")
        await aioobs.file.append(url, b"more")
        assert (await client.head_object(bucket, name)).metadata == {}


def one_object(data: bytes, **headers: str) -> Callable[[Received], Answer]:
    """Serve an object whose ETag is no MD5."""

    def step(received: Received) -> Answer:
        if "list-type" in received.query:
            return answer(200, listing("file").replace("<Size>1<", f"<Size>{len(data)}<"))
        if received.path.rstrip("/") == "/bucket":
            return answer(200)
        given: dict[str, Any] = {"etag": '"e"', **headers}
        return answer(200, data, **given)

    return step


@pytest.mark.parametrize("known", ["right", "wrong", ""])
async def test_a_kept_digest_decides_and_where_there_is_none_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, known: str
) -> None:
    monkeypatch.setenv("ACCESS_KEY_ID", "test-access-key")
    monkeypatch.setenv("SECRET_ACCESS_KEY", "test-secret-key")
    kept = base64.b64encode(md5(known.encode()).digest()).decode()
    headers = {"x_amz_meta_md5chksum": kept} if known else {}
    with FaultyServer(always=one_object(b"right", **headers)) as server:
        monkeypatch.setenv("S3_ENDPOINT", server.endpoint)
        if known == "wrong":
            with pytest.raises(TransferFailed, match="checksum"):
                await aioobs.file.copy_parallel("s3://bucket", tmp_path / "a", verify="checksum")
        else:
            await aioobs.file.copy_parallel("s3://bucket", tmp_path / "a", verify="checksum")
    assert os.listdir(tmp_path / "a") == ([] if known == "wrong" else ["file"])
    said = "1 files were copied but could not be checked" in caplog.text
    assert said == (not known)


@pytest.mark.parametrize("verify", ["none", "size"])
async def test_only_sizes_are_compared_unless_more_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verify: Literal["none", "size"]
) -> None:
    with FaultyServer(always=one_object(b"right", etag=f'"{md5(b"wrong").hexdigest()}"')) as server:
        use(server, monkeypatch)
        await aioobs.file.copy_parallel("s3://bucket", tmp_path / "a", verify=verify)
        with pytest.raises(TransferFailed, match="checksum"):
            await aioobs.file.copy_parallel("s3://bucket", tmp_path / "b", verify="checksum")
    assert content(tmp_path / "a") == {"file": b"right"}
    assert content(tmp_path / "b") == {}


@pytest.mark.usefixtures("session")
@pytest.mark.parametrize(("status", "code"), [(403, "AccessDenied"), (500, "InternalError")])
async def test_a_file_whose_check_is_refused_is_not_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, code: str
) -> None:
    whole = one_object(b"right", etag=f'"{"f" * 32}-2"')
    session.set({"retry_wait": 0.001})

    def step(received: Received) -> Answer:
        return refusal(status, code) if "partNumber" in received.query else whole(received)

    with FaultyServer(always=step) as server:
        use(server, monkeypatch)
        with pytest.raises(TransferFailed):
            await aioobs.file.copy_parallel("s3://bucket", tmp_path / "a", verify="checksum")
    assert content(tmp_path / "a") == {}


async def test_a_store_that_forgets_parts_knows_nothing_of_their_object(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    whole = one_object(b"right", etag=f'"{"f" * 32}-2"')

    def step(received: Received) -> Answer:
        return refusal(416, "InvalidRange") if "partNumber" in received.query else whole(received)

    with FaultyServer(always=step) as server:
        use(server, monkeypatch)
        await aioobs.file.copy_parallel("s3://bucket", tmp_path / "a", verify="checksum")
    assert content(tmp_path / "a") == {"file": b"right"}
    assert "1 files were copied but could not be checked" in caplog.text


@pytest.mark.parametrize("etag", ["0" * 32, "f" * 32])
async def test_a_copy_within_the_store_is_compared_by_what_it_knows(
    monkeypatch: pytest.MonkeyPatch, etag: str
) -> None:
    monkeypatch.setenv("ACCESS_KEY_ID", "test-access-key")
    monkeypatch.setenv("SECRET_ACCESS_KEY", "test-secret-key")

    def step(received: Received) -> Answer:
        if received.method == "PUT":
            return answer(200, f"<CopyObjectResult><ETag>{etag}</ETag></CopyObjectResult>")
        found = "0" * 32 if received.path == "/bucket/one" else etag
        return answer(200, b"right", etag=f'"{found}"')

    with FaultyServer(always=step) as server:
        monkeypatch.setenv("S3_ENDPOINT", server.endpoint)
        copy = aioobs.file.copy("s3://bucket/one", "s3://bucket/two", verify="checksum")
        if etag == "0" * 32:
            await copy
        else:
            with pytest.raises(ReadError, match="checksum of its source"):
                await copy
