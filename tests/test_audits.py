"""`verify`: what is the same, what is not, what is missing, and what nobody can know."""

from __future__ import annotations

import base64
import itertools
import json
import os
import random
import subprocess
import sys
import zlib
from contextlib import contextmanager
from hashlib import md5, sha1
from typing import TYPE_CHECKING, Any

import pytest
from faulty import Answer, FaultyServer, Received, answer, listing, refusal, use

import aioobs
from aioobs import Client, ConfigError, NotFound
from aioobs.sync import verify as verify_blocking
from aioobs.transfer import audit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


pytest_plugins = ["verbs"]

SERVERS = ("seaweedfs", "moto")
MIB = 1 << 20
SIZES = {"a": 1, "a-b": 5, "a/b": 7, "a0/é": 100, "empty": 0, "big": 17 * MIB, "z/z/z": 3000}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Give a local folder; of its files `a` is a folder, too, which no file system has."""
    root = tmp_path / "src"
    for number, (name, size) in enumerate(SIZES.items()):
        path = root / ("a.txt" if name == "a" else name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(random.Random(number).randbytes(size))
    (root / "nothing").mkdir()
    return root


@pytest.fixture
def copy(bucket: str) -> str:
    """Give the URL of the copy."""
    return f"{bucket}/copy"


def names(report: aioobs.VerifyReport, verdict: str) -> list[str]:
    return sorted(finding.name for finding in report.findings if finding.verdict == verdict)


@pytest.mark.parametrize("read", ["local", "all"])
async def test_a_copy_is_the_same_in_each_direction(
    source: Path, copy: str, bucket: str, tmp_path: Path, read: Any
) -> None:
    places = [str(source), copy, f"{bucket}/again", str(tmp_path / "dst")]
    for origin, target in itertools.pairwise(places):
        await aioobs.file.copy_parallel(origin, target)
    for origin in places:
        for target in places:
            report = await aioobs.verify(origin, target, read=read)
            known = report.same + report.unchecked * (origin[:1] == target[:1] and read != "all")
            assert (known, bool(report), report.extra) == (len(SIZES), True, 0)


async def test_each_difference_is_told(source: Path, copy: str) -> None:
    await aioobs.file.copy_parallel(source, copy)
    await aioobs.file.write(f"{copy}/a-b", b"other")
    await aioobs.file.write(f"{copy}/z/z/z", b"longer or shorter")
    await aioobs.file.remove(f"{copy}/a/b")
    await aioobs.file.write(f"{copy}/more/and more", b"")
    with (source / "big").open("r+b") as file:
        file.seek(9 * MIB)
        file.write(b"damage")

    found: list[aioobs.Finding] = []
    report = await aioobs.verify(source, copy, found=found.append)

    assert (report.same, report.different, report.missing, report.extra) == (3, 3, 1, 1)
    assert report.unchecked == 0
    assert not report
    assert names(report, "different") == ["a-b", "big", "z/z/z"]
    assert names(report, "missing") == ["a/b"]
    assert names(report, "extra") == ["more/and more"]
    assert len(found) == 8
    assert {finding.reason for finding in found if finding.name == "z/z/z"} == {
        "3000 bytes became 17"
    }
    back = await aioobs.verify(copy, source, read="all")
    assert (names(back, "missing"), names(back, "extra")) == (["more/and more"], ["a/b"])


async def test_what_is_extra_is_no_fault_of_a_copy(source: Path, copy: str) -> None:
    await aioobs.file.copy_parallel(source, copy)
    await aioobs.file.write(f"{copy}/extra", b"")
    assert await aioobs.verify(source, copy)


async def test_nothing_of_the_files_is_read_unless_that_is_wanted(source: Path, copy: str) -> None:
    await aioobs.file.copy_parallel(source, copy)
    (source / "a-b").write_bytes(b"other")
    report = await aioobs.verify(source, copy, read="nothing")
    assert names(report, "unchecked") == ["a-b", "a.txt", "a/b", "a0/é", "big", "z/z/z"]
    report = await aioobs.verify(source, copy)
    assert names(report, "different") == ["a-b"]


async def test_files_by_themselves_are_compared(source: Path, copy: str, tmp_path: Path) -> None:
    await aioobs.file.copy(source / "big", copy)
    assert (await aioobs.verify(source / "big", copy)).same == 1
    assert (await aioobs.verify(copy, source / "big")).same == 1
    assert (await aioobs.verify(source / "a-b", copy)).different == 1
    assert (await aioobs.verify(copy, tmp_path / "missing")).missing == 1
    assert (await aioobs.verify(source, f"{copy}/missing")).missing == len(SIZES)
    (tmp_path / "link").symlink_to("nowhere")
    for target in (source / "big", tmp_path / "link"):
        assert (await aioobs.verify(source, target)).missing == len(SIZES)
    with pytest.raises(NotFound):
        await aioobs.verify(f"{copy}/missing", copy)
    with pytest.raises(ConfigError, match="read='some'"):
        await aioobs.verify(source, copy, read="some")  # type: ignore[arg-type]


@pytest.mark.parametrize("part_size", [5, 8, 11])
async def test_the_parts_that_an_object_is_made_of_make_no_difference(
    source: Path, bucket: str, client: Client, part_size: int
) -> None:
    key, data = f"copy-{part_size}", (source / "big").read_bytes()
    name = bucket.partition("://")[2]
    upload = await client.create_multipart_upload(name, key)
    etags = {
        number: await client.upload_part(name, key, upload, number, data[at : at + part_size * MIB])
        for number, at in enumerate(range(0, len(data), part_size * MIB), 1)
    }
    await client.complete_multipart_upload(name, key, upload, etags, size=len(data))
    report = await aioobs.verify(source / "big", f"{bucket}/{key}")
    assert (report.same, report.unchecked) == (1, 0)
    (source / "big").write_bytes(b"!" + data[1:])
    assert (await aioobs.verify(source / "big", f"{bucket}/{key}")).different == 1


async def test_the_blocking_twin_does_the_same(source: Path, copy: str) -> None:
    from anyio import to_thread

    await aioobs.file.copy_parallel(source, copy)
    assert (await to_thread.run_sync(verify_blocking, source, copy)).same == len(SIZES)


async def test_a_file_that_cannot_be_compared_is_unchecked(source: Path, copy: str) -> None:
    await aioobs.file.copy_parallel(source, copy)
    (source / "a-b").unlink()
    (source / "a-b").symlink_to("nowhere")
    report = await aioobs.verify(source, copy)
    assert names(report, "unchecked") == ["a-b"]
    assert (report.same, bool(report)) == (len(SIZES) - 1, True)


@pytest.mark.parametrize("most", [0, 3, 10_000])
async def test_names_in_any_order_find_their_like(
    tmp_path: Path, copy: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "MOST_WAITING", most)
    shared = [f"{letter}{end}" for letter in "abc" for end in ("/1", "-1", "!/1", "0/1")]
    for name in (*shared, "b-lone", "c/lone"):
        path = tmp_path / "src" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    await aioobs.file.copy_parallel(tmp_path / "src", copy)
    for name in ("b-lone", "c/lone"):
        await aioobs.file.remove(f"{copy}/{name}")
    await aioobs.file.write(f"{copy}/a-more", b"")
    no_text = os.fsdecode(b"b\xff")
    (tmp_path / "src" / no_text).write_text("")
    report = await aioobs.verify(tmp_path / "src", copy)
    assert report.same == len(shared)
    assert names(report, "missing") == ["b-lone", no_text, "c/lone"]
    assert names(report, "extra") == ["a-more"]


@contextmanager
def serving(respond: Callable[[Received], Answer]) -> Iterator[None]:
    """Have all URLs lead to a server that answers so."""
    with FaultyServer(always=respond) as server, pytest.MonkeyPatch.context() as patch:
        use(server, patch)
        yield


def folders_first(keys: list[str]) -> list[str]:
    return sorted(keys, key=lambda key: key.split("/"))


def backwards(keys: list[str]) -> list[str]:
    return sorted(keys, key=lambda key: key[::-1])


@pytest.mark.parametrize("waiting", [0, 2, 10_000])
@pytest.mark.parametrize("order", [sorted, folders_first, backwards])
@pytest.mark.parametrize("other", [sorted, folders_first, backwards])
async def test_what_stores_list_in_orders_of_their_own_is_told_once(
    order: Any, other: Any, waiting: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = ["a", "a-", "a/b", "a/c/d", "a0", "b", "c/d"]
    kept = {
        "one": order([*shared, "a/b-one", "one"]),
        "two": other([*shared, "a-two", "two/two"]),
    }

    def respond(request: Received) -> Answer:
        if request.method == "HEAD":
            return answer(etag='"of no content"')
        keys = kept[request.path.strip("/")]
        if "delimiter" in request.query:
            keys = [key for key in keys if key == request.query["prefix"]]
        start = int(request.query.get("continuation-token", 0))
        more = str(start + 3) if start + 3 < len(keys) else ""
        return answer(body=listing(*keys[start : start + 3], following=more))

    monkeypatch.setattr(audit, "MOST_WAITING", waiting)
    with serving(respond):
        report = await aioobs.verify("s3://one", "s3://two", read="nothing")
    assert report.same + report.unchecked == len(shared)
    assert names(report, "missing") == ["a/b-one", "one"]
    assert names(report, "extra") == ["a-two", "two/two"]


async def test_a_key_that_no_file_can_have_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def respond(request: Received) -> Answer:
        if request.method == "HEAD":
            return answer(etag='"of no content"')
        keys = [] if "delimiter" in request.query else ["../outside", "a//b", "z"]
        return answer(body=listing(*keys))

    for path in (tmp_path / "outside", tmp_path / "copy/a/b", tmp_path / "copy/z"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    monkeypatch.setattr(audit, "MOST_WAITING", 0)
    with serving(respond):
        report = await aioobs.verify("s3://bucket", tmp_path / "copy", read="nothing")
    assert names(report, "missing") == ["../outside", "a//b"]
    assert names(report, "extra") == ["a/b"]
    assert names(report, "unchecked") == ["z"]


# What a store knows


async def test_an_etag_that_is_no_digest_does_not_tell_that_two_objects_are_the_same() -> None:
    def respond(request: Received) -> Answer:
        if "prefix" in request.query:
            return answer(body=listing(f"{request.query['prefix']}x"))
        return answer(body=b"1", etag='"e"')

    with serving(respond):
        report = await aioobs.verify("s3://bucket/one", "s3://bucket/other", read="nothing")
    assert names(report, "unchecked") == ["x"]


@pytest.fixture
def known(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Serve one object of five bytes; what is in this mapping are its headers."""
    headers: dict[str, str] = {}

    def step(received: Received) -> Answer:
        if received.method == "HEAD" and received.path == "/bucket/file":
            assert received.headers.get("x-amz-checksum-mode") in (None, "ENABLED")
            told: dict[str, Any] = {k.replace("-", "_"): v for k, v in headers.items()}
            return answer(200, b"right", **told)
        if received.method == "HEAD":
            return refusal(404, "")
        if "prefix" in received.query:
            return answer(200, "<ListBucketResult/>")
        return answer(200, b"right", etag=headers["etag"])

    with serving(step):
        yield headers


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


RIGHT = b"right"
OTHER = '"' + "0" * 32 + '"'
SSE = "x-amz-server-side-encryption"
# What the store says of an object, the verdict on the right content, and on a wrong one.
KNOWN = {
    "crc32": (
        {"x-amz-checksum-crc32": base64_of(zlib.crc32(RIGHT).to_bytes(4))},
        "same",
        "different",
    ),
    "sha1": ({"x-amz-checksum-sha1": base64_of(sha1(RIGHT).digest())}, "same", "different"),
    "metadata": ({"x-amz-meta-md5chksum": base64_of(md5(RIGHT).digest())}, "same", "different"),
    "md5": ({"etag": f'"{md5(RIGHT).hexdigest()}"', SSE: "AES256"}, "same", "different"),
    "md5 all the same": ({"etag": f'"{md5(RIGHT).hexdigest()}"', SSE: "aws:kms"}, "same", ""),
    "sum of sums": ({"x-amz-checksum-crc32": "AAAAAA==-2"}, "", ""),
    "sum of sums by type": (
        {"x-amz-checksum-crc32": "AAAAAA==", "x-amz-checksum-type": "COMPOSITE"},
        "",
        "",
    ),
    "parts of several sizes": ({"etag": f'{OTHER[:-1]}-3"'}, "", ""),
    "unknown sum": ({"x-obs-checksum-crc64ecma": "12345"}, "", ""),
    "encrypted": ({"etag": OTHER, SSE: "aws:kms"}, "", ""),
    "encrypted for a customer": ({"etag": OTHER, f"{SSE}-customer-algorithm": "AES256"}, "", ""),
    "appended": ({"etag": OTHER, "x-obs-object-type": "Appendable"}, "", ""),
    "nothing": ({"etag": '"a1b2-c3"'}, "", ""),
}


@pytest.mark.parametrize("kind", KNOWN)
async def test_what_the_store_knows_decides_and_what_it_does_not_is_unchecked(
    known: dict[str, str], tmp_path: Path, kind: str
) -> None:
    headers, right, wrong = KNOWN[kind]
    known.update({"etag": '"no-md5"', **headers})
    for content, verdict in ((RIGHT, right), (b"wrong", wrong)):
        (tmp_path / "file").write_bytes(content)
        report = await aioobs.verify(tmp_path / "file", "s3://bucket/file")
        assert getattr(report, verdict or "unchecked") == 1
    report = await aioobs.verify(tmp_path / "file", "s3://bucket/file", read="all")
    assert report.different == 1


# On the command line


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "aioobs", "verify", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)


async def test_the_command_line_says_it_in_lines_and_by_its_status(
    obs_bucket: str, tmp_path: Path
) -> None:
    root = tmp_path / "src"
    root.mkdir()
    for name in ("one", "two", "three"):
        (root / name).write_text(name)
    await aioobs.file.copy_parallel(root, f"{obs_bucket}/copy")
    done = run(str(root), f"{obs_bucket}/copy")
    summary = "3 same, 0 different, 0 missing, 0 extra, 0 unchecked\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, summary, "")

    (root / "two").write_text("owt")
    await aioobs.file.remove(f"{obs_bucket}/copy/one")
    done = run(str(root), f"{obs_bucket}/copy")
    assert done.returncode == 1
    *lines, _ = done.stdout.splitlines()
    assert sorted(lines) == ["! two: another content", "- one"]
    done = run("--json", str(root), f"{obs_bucket}/copy")
    *found, counts = map(json.loads, done.stdout.splitlines())
    assert (counts["same"], counts["different"], counts["missing"]) == (1, 1, 1)
    told = {line["name"]: line["verdict"] for line in found}
    assert told == {"one": "missing", "two": "different", "three": "same"}
    assert run(str(tmp_path / "nowhere"), f"{obs_bucket}/copy").returncode == 3
