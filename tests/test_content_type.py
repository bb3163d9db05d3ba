"""The content type of objects: told by their names, or said, in every way to write one."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from command import checkout, make, run
from copies import noise
from faulty import FaultyServer, answer, use
from fsspec import register_implementation

import aioobs.file
from aioobs import Client
from aioobs.filesystem import ObsFileSystem
from aioobs.sync import Client as BlockingClient
from aioobs.sync import file as blocking_file
from aioobs.transfer import engine
from aioobs.transfer.job import Safety
from aioobs.url import parse

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aioobs import ObjectInfo

    Write = Callable[[str, str], Awaitable[None]]

__all__ = ["checkout"]

register_implementation("obs", ObsFileSystem, clobber=True)
LONG = noise((16 << 20) + 1)


def about(url: str) -> ObjectInfo:
    bucket, _, key = url.partition("://")[2].partition("/")
    with BlockingClient() as client:
        return client.head_object(bucket, key)


def types_below(bucket: str, *keys: str) -> list[str]:
    return [about(f"{bucket}/{key}").headers["content-type"] for key in keys]


@pytest.fixture
def fs() -> ObsFileSystem:
    """Give the file system of the environment's store."""
    return ObsFileSystem()


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("a.html", "text/html"),
        ("folder/A.JPG", "image/jpeg"),
        ("part.1/a.csv", "text/csv"),
        ("a.webp", "image/webp"),
        ("a.json.gz", "application/gzip"),
        ("a.tgz", "application/gzip"),
        ("a.tar.xz", "application/x-xz"),
        ("a.csv.br", None),
        ("html", None),
        ("a.html/b", None),
        ("a.", None),
        ("model.pt", None),
        ("a.bin", None),
    ],
)
async def test_a_name_tells_what_python_knows_and_what_is_compressed_is_that(
    monkeypatch: pytest.MonkeyPatch, key: str, expected: str | None
) -> None:
    with FaultyServer(always=answer(etag='"1"')) as server:
        use(server, monkeypatch)
        await aioobs.file.write(f"s3://bucket/{key}", b"x")
    assert [one.headers.get("content-type") for one in server.requests] == [expected]


async def with_write(source: str, target: str) -> None:
    await aioobs.file.write(target, Path(source).read_bytes())


async def with_append(source: str, target: str) -> None:
    await aioobs.file.append(target, Path(source).read_bytes())


async def with_file(source: str, target: str) -> None:
    async with aioobs.file.File(target, "wb") as file:
        await file.write(Path(source).read_bytes())


async def with_update(source: str, target: str) -> None:
    async with aioobs.file.File(target, "w+b") as file:
        await file.write(Path(source).read_bytes())


async def with_copy(source: str, target: str) -> None:
    await aioobs.file.copy(source, target)


async def with_copy_of_a_folder(source: str, target: str) -> None:
    await aioobs.file.copy_parallel(Path(source).parent, target.rpartition("/")[0])


async def with_executor(source: str, target: str) -> None:
    with ThreadPoolExecutor(1) as pool:
        folder = target.rpartition("/")[0]
        await aioobs.file.copy_parallel(Path(source).parent, folder, executor=pool)


async def with_sync(source: str, target: str) -> None:
    await aioobs.sync_tree(Path(source).parent, target.rpartition("/")[0])


async def with_put(source: str, target: str) -> None:
    await asyncio.to_thread(ObsFileSystem().put, source, target)


@pytest.mark.parametrize("content", [b"x", LONG], ids=["small", "in parts"])
@pytest.mark.parametrize(
    "write",
    [
        with_write,
        with_append,
        with_file,
        with_update,
        with_copy,
        with_copy_of_a_folder,
        with_executor,
        with_sync,
        with_put,
    ],
)
async def test_the_name_tells_it_however_an_object_is_written(
    obs_bucket: str, write: Write, content: bytes
) -> None:
    Path("src").mkdir()
    Path("src/page.html").write_bytes(content)
    await write("src/page.html", f"{obs_bucket}/made/page.html")

    info = about(f"{obs_bucket}/made/page.html")
    assert (info.headers["content-type"], info.size) == ("text/html", len(content))
    assert ("-" in info.etag) == (content is LONG)


async def test_a_copy_within_the_store_and_an_object_that_grows_keep_theirs(
    obs_bucket: str, client: Client
) -> None:
    name = obs_bucket.removeprefix("s3://")
    await client.put_object(name, "page.html", b"x", content_type="text/x-test")
    await aioobs.file.copy(f"{obs_bucket}/page.html", f"{obs_bucket}/copy.json")
    await aioobs.file.append(f"{obs_bucket}/page.html", b"more")
    assert types_below(obs_bucket, "copy.json", "page.html") == ["text/x-test"] * 2


# --- the file system -----------------------------------------------------------------------


def opened(fs: ObsFileSystem, source: str, target: str, **said: Any) -> None:
    with fs.open(target, "wb", **said) as file:
        file.write(Path(source).read_bytes())


def opened_for_await(_fs: ObsFileSystem, source: str, target: str, **said: Any) -> None:
    async def write() -> None:
        alone = ObsFileSystem(asynchronous=True)
        async with await alone.open_async(target, "wb", **said) as file:
            await file.write(Path(source).read_bytes())

    asyncio.run(write())


def piped(fs: ObsFileSystem, source: str, target: str, **said: Any) -> None:
    fs.pipe(target, Path(source).read_bytes(), **said)


def put(fs: ObsFileSystem, source: str, target: str, **said: Any) -> None:
    fs.put(source, target, **said)


def created(fs: ObsFileSystem, source: str, target: str, **said: Any) -> None:
    fs.put_file(source, target, mode="create", **said)


def put_with_its_folder(fs: ObsFileSystem, source: str, target: str, **said: Any) -> None:
    folder = target.rpartition("/")[0]
    fs.put(str(Path(source).parent), folder, recursive=True, **said)


WAYS: list[Callable[..., None]] = [
    opened,
    opened_for_await,
    piped,
    put,
    created,
    put_with_its_folder,
]


@pytest.mark.parametrize("content", [b"x", LONG], ids=["small", "in parts"])
@pytest.mark.parametrize("way", WAYS)
def test_what_is_said_to_the_file_system_goes_before_the_name(
    obs_bucket: str, fs: ObsFileSystem, way: Any, content: bytes
) -> None:
    Path("src").mkdir()
    Path("src/page.html").write_bytes(content)
    said = {"ContentType": "text/x-test", "Metadata": {"author": "me"}}
    way(fs, "src/page.html", f"{obs_bucket}/made/page.html", **said)

    info = about(f"{obs_bucket}/made/page.html")
    assert (info.headers["content-type"], info.metadata) == ("text/x-test", {"author": "me"})
    assert info.size == len(content)


def test_metadata_alone_leave_the_type_to_the_name(obs_bucket: str, fs: ObsFileSystem) -> None:
    fs.touch(f"{obs_bucket}/page.html", metadata={"author": "me"})
    info = about(f"{obs_bucket}/page.html")
    assert (info.headers["content-type"], info.metadata) == ("text/html", {"author": "me"})


@pytest.mark.parametrize("way", WAYS)
def test_what_would_not_be_followed_is_refused_and_nothing_is_written(
    obs_bucket: str, fs: ObsFileSystem, way: Any
) -> None:
    make("src/a")
    with pytest.raises(TypeError, match="'StorageClass'; of what S3 keeps beside a content"):
        way(fs, "src/a", f"{obs_bucket}/made/a", StorageClass="STANDARD_IA")
    assert fs.find(obs_bucket) == []


@pytest.mark.parametrize(
    ("call", "arguments", "said"),
    [
        ("open", ("ab",), {"ContentType": "text/html"}),
        ("open", ("r+b",), {"Metadata": {}}),
        ("open", ("rb",), {"ContentType": "text/html"}),
        ("cat_file", (), {"version_ids": "1"}),
        ("exists", (), {"version_id": "1"}),
        ("ls", (), {"versions": True}),
        ("find", (), {"versions": True}),
        ("get", ("local",), {"version_id": "1"}),
        ("cp", ("copy",), {"ACL": "public-read"}),
        ("rm", (), {"BypassGovernanceRetention": True}),
        ("mkdir", (), {"acl": "private"}),
    ],
)
def test_an_option_of_s3fs_is_never_ignored_in_silence(
    obs_bucket: str, fs: ObsFileSystem, call: str, arguments: tuple[str, ...], said: dict[str, Any]
) -> None:
    fs.pipe(f"{obs_bucket}/page.html", b"x")
    with pytest.raises(TypeError, match=rf"{min(said)}|modes w and x"):
        getattr(fs, call)(f"{obs_bucket}/page.html", *arguments, **said)
    assert fs.cat(f"{obs_bucket}/page.html") == b"x"


def test_listings_can_be_asked_to_be_fresh(obs_bucket: str) -> None:
    fs = ObsFileSystem(use_listings_cache=True)
    assert fs.ls(obs_bucket) == []
    blocking_file.write(f"{obs_bucket}/a", "a")
    name = f"{obs_bucket.removeprefix('s3://')}/a"
    assert fs.exists(name, refresh=True)
    assert fs.find(obs_bucket, refresh=True) == [name]
    assert fs.glob(f"{obs_bucket}/*", refresh=True) == [name]
    assert fs.ls(obs_bucket, refresh=True) == [name]


# --- the command line ----------------------------------------------------------------------


@pytest.mark.parametrize("command", [("cp", "-rT"), ("mv", "-T"), ("sync",)])
def test_the_command_line_sends_the_type_that_it_is_given(
    obs_bucket: str, command: tuple[str, ...]
) -> None:
    make("src/page.html", "src/sub/b")
    run(*command, "src", f"{obs_bucket}/x", "--content-type", "text/x-test")
    assert types_below(f"{obs_bucket}/x", "page.html", "sub/b") == ["text/x-test"] * 2


def test_the_standard_input_has_the_type_of_its_object(obs_bucket: str) -> None:
    run("cp", "-", f"{obs_bucket}/a.html", data=b"x")
    run("cp", "-", f"{obs_bucket}/b.html", "--content-type", "text/x-test", data=b"y")
    assert types_below(obs_bucket, "a.html", "b.html") == ["text/html", "text/x-test"]
    assert blocking_file.read(f"{obs_bucket}/b.html") == "y"


def test_no_type_at_all_can_be_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    make("page.html")
    with FaultyServer(always=answer(etag='"1"')) as server:
        use(server, monkeypatch)
        run("cp", "-T", "page.html", "s3://bucket/page.html", "--content-type", "")
    assert "content-type" not in server.requests[-1].headers


@pytest.mark.parametrize(
    ("command", "source", "target"),
    [
        ("cp", "{bucket}/a", "there"),
        ("cp", "{bucket}/a", "-"),
        ("cp", "{bucket}/a", "{bucket}/b"),
        ("mv", "a", "b"),
        ("sync", "{bucket}", "there"),
    ],
)
def test_a_type_that_would_not_be_sent_is_refused(
    obs_bucket: str, command: str, source: str, target: str
) -> None:
    make("a")
    blocking_file.write(f"{obs_bucket}/a", "a")
    words = [text.format(bucket=obs_bucket) for text in (source, target)]
    done = run(command, *words, "--content-type", "text/html", status=2)
    assert done.stderr.endswith(": --content-type is for local files that go to a store\n")
    assert Path("a").exists()
    assert not Path("there").exists()


async def test_a_type_is_told_of_digests_as_well(obs_bucket: str) -> None:
    make("page.html")
    options = engine.CopyOptions(safety=Safety("digest"), headers={"metadata": {"a": "b"}})
    url = parse(f"{obs_bucket}/page.html")
    async with Client() as client:
        await engine.copy_file(client, "page.html", url, options)
    info = about(f"{obs_bucket}/page.html")
    assert info.headers["content-type"] == "text/html"
    assert sorted(info.metadata) == ["a", "md5chksum"]
