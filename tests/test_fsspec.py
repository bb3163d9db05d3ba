"""The file system of fsspec: fsspec's own tests, and what it does beyond them."""

from __future__ import annotations

import asyncio
import gc
import gzip
import logging
import os
import pickle
import subprocess
import sys
import tomllib
import weakref
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.request import urlopen

import boto3
import fsspec
import pytest
from faulty import FaultyServer, forward, stored
from fsspec.callbacks import Callback
from fsspec.tests.abstract import (
    AbstractCopyTests,
    AbstractFixtures,
    AbstractGetTests,
    AbstractOpenTests,
    AbstractPipeTests,
    AbstractPutTests,
)
from upath import UPath

from aioobs import Config, ConfigError, ObjectChanged
from aioobs.filesystem import ObsFileSystem
from aioobs.sync import file as mox
from aioobs.sync._loop import run

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest_plugins = ["verbs"]

# As the entry point does where the package is installed.
fsspec.register_implementation("obs", ObsFileSystem, clobber=True)


# Tests that look at folders after their last key is gone.
FOLDERS_VANISH = {
    "test_copy_directory_to_existing_directory",
    "test_copy_directory_to_new_directory",
    "test_copy_directory_without_files_with_same_name_prefix",
    "test_copy_glob_to_existing_directory",
    "test_put_directory_to_existing_directory",
    "test_put_directory_to_new_directory",
    "test_put_directory_without_files_with_same_name_prefix",
    "test_put_glob_to_existing_directory",
}


class Fixtures(AbstractFixtures):
    """What fsspec's tests run on."""

    @pytest.fixture
    def fs_path(self, request: pytest.FixtureRequest) -> str:
        vanish = request.function.__name__ in FOLDERS_VANISH
        url = request.getfixturevalue("moto_bucket" if vanish else "obs_bucket")
        return str(url).removeprefix("s3://")

    @pytest.fixture
    def fs(self, fs_path: str) -> ObsFileSystem:
        return ObsFileSystem()

    @pytest.fixture
    def supports_empty_directories(self) -> bool:
        return False


class TestCopy(AbstractCopyTests, Fixtures):
    """Copies within the store."""


class TestGet(AbstractGetTests, Fixtures):
    """Downloads."""


class TestPut(AbstractPutTests, Fixtures):
    """Uploads."""


class TestOpen(AbstractOpenTests, Fixtures):
    """Open files."""


class TestPipe(AbstractPipeTests, Fixtures):
    """Contents."""


@pytest.fixture
def fs(obs_bucket: str) -> ObsFileSystem:
    """Give the file system of the environment's store."""
    return ObsFileSystem()


@pytest.fixture
def bucket(obs_bucket: str) -> str:
    """Give the name of an empty bucket."""
    return obs_bucket.removeprefix("s3://")


@pytest.fixture
def counted(moto_bucket: str, moto_server: str) -> Iterator[tuple[ObsFileSystem, FaultyServer]]:
    """Give a file system, and the server that its requests pass through."""
    with FaultyServer(always=forward(moto_server)) as server:
        yield ObsFileSystem(endpoint=server.endpoint, skip_instance_cache=True), server


# --- instances -----------------------------------------------------------------------------


def test_the_entry_points_name_what_there_is() -> None:
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())
    points = project["project"]["entry-points"]
    module, _, name = points["universal_pathlib.implementations"]["obs"].partition(":")

    assert points["fsspec.specs"] == {"obs": f"{ObsFileSystem.__module__}.{ObsFileSystem.__name__}"}
    assert issubclass(getattr(import_module(module), name), UPath)
    assert name in import_module(module).__all__


def test_it_serves_s3_urls_where_it_is_registered_for_them(bucket: str) -> None:
    program = f"""
import fsspec
fsspec.register_implementation("s3", "aioobs.filesystem.ObsFileSystem", clobber=True)
with fsspec.open("s3://{bucket}/a", "wb") as file:
    file.write(b"content")
assert fsspec.open_files("s3a://{bucket}/*", protocol="s3")[0].full_name == "obs://{bucket}/a"
"""
    root = str(Path(__file__).parent.parent)
    subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        check=True,
        env={**os.environ, "PYTHONPATH": root},
    )
    assert mox.read(f"s3://{bucket}/a") == "content"


def test_instances_are_as_equal_as_what_they_were_made_with() -> None:
    first = fsspec.filesystem("obs", endpoint="http://127.0.0.1:1", ak="test-key", sk="test-1")

    again = fsspec.filesystem("obs", endpoint="http://127.0.0.1:1", ak="test-key", sk="test-1")
    other = fsspec.filesystem("obs", endpoint="http://127.0.0.1:1", ak="test-key", sk="test-2")
    third = [
        fsspec.filesystem("obs", config=Config(access_key="test-key", secret_key=secret))
        for secret in ("test-1", "test-2")
    ]

    assert first is again
    assert first != other
    assert third[0] != third[1]
    assert third[0].client.config.secret_key == "test-1"


def test_options_can_have_the_names_that_set_auth_has() -> None:
    fs = ObsFileSystem(
        server="store.test",
        ak="test-key",
        sk="test-secret",
        is_secure=0,
        path_style=True,
        retry=3,
        list_max_keys=7,
        timeout_config={"getObject": 5},
    )
    assert fs.client.config == Config(
        "store.test",
        access_key="test-key",
        secret_key="test-secret",
        secure=False,
        addressing="path",
        attempts=3,
        page_size=7,
        timeouts={"getObject": 5},
    )


@pytest.mark.parametrize(
    "options",
    [
        {"endpoint": "http://127.0.0.1:1", "ak": "test-key", "sk": "test-secret"},
        {"config": Config("http://127.0.0.1:1", access_key="test-key", secret_key="test-secret")},
        {
            "key": "test-key",
            "secret": "test-secret",
            "client_kwargs": {"endpoint_url": "http://127.0.0.1:1"},
            "config_kwargs": {
                "retries": {"max_attempts": 3},
                "max_pool_connections": 7,
                "request_checksum_calculation": "when_required",
                "response_checksum_validation": "when_required",
            },
            "requester_pays": True,
        },
        {
            "client_kwargs": {
                "endpoint_url": "http://127.0.0.1:1",
                "aws_access_key_id": "test-key",
                "aws_secret_access_key": "test-secret",
            }
        },
    ],
)
def test_an_instance_survives_pickle_and_json_and_keeps_its_secrets(
    options: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        fs = ObsFileSystem(**options)
    config = fs.client.config
    assert (config.endpoint, config.secret_key) == ("http://127.0.0.1:1", "test-secret")

    assert pickle.loads(pickle.dumps(fs)) == fs
    assert ObsFileSystem.from_json(fs.to_json()) == fs
    assert ObsFileSystem.from_dict(fs.to_dict()) == fs
    shown = (
        f"{fs!r} {fs} {fs.__dask_tokenize__()} {caplog.text} {fs.to_json(include_password=False)}"
    )
    assert "test-secret" not in shown
    assert "http://127.0.0.1:1" in shown


def test_options_go_before_the_environment_and_that_is_read_with_each_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fs, special = ObsFileSystem(), ObsFileSystem(region="north-1")

    monkeypatch.setenv("S3_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("S3_REGION", "south-1")
    assert fs.client.config.endpoint == special.client.config.endpoint == "http://127.0.0.1:1"
    assert special.client is special.client
    assert special.client.config.region == "north-1"
    monkeypatch.setenv("S3_ENDPOINT", "http://127.0.0.1:2")
    assert fs.client.config.endpoint == special.client.config.endpoint == "http://127.0.0.1:2"


def test_options_of_other_file_systems_are_left_to_these() -> None:
    other = {"token": "test-token", "endpoint": "http://127.0.0.1:2"}  # as datasets adds it

    fs = fsspec.filesystem("obs", endpoint="http://127.0.0.1:1", hf=other)

    assert fs is fsspec.filesystem("obs", endpoint="http://127.0.0.1:1")
    assert "test-token" not in fs.to_json()


def test_what_datasets_opens_compressed_files_with_is_taken() -> None:
    fs = ObsFileSystem(client_kwargs={"requote_redirect_url": False, "trust_env": True})

    assert fs.client is ObsFileSystem().client


@pytest.mark.parametrize(
    "options", [{"bucket": "b"}, {"version_aware": True}, {"retires": 3}, {"hf": 3}]
)
def test_an_option_that_would_not_be_followed_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        ObsFileSystem(**options)


def test_a_refused_option_of_s3fs_names_what_there_is_instead() -> None:
    with pytest.raises(ConfigError, match="'profile' is not known: set AWS_PROFILE"):
        ObsFileSystem(profile="mine")


# --- listings ------------------------------------------------------------------------------


def test_a_tree_is_found_with_one_listing(
    counted: tuple[ObsFileSystem, FaultyServer], moto_bucket: str
) -> None:
    fs, server = counted
    bucket = moto_bucket.removeprefix("s3://")
    fs.pipe({f"{bucket}/{name}": b"1" for name in ("t/a", "t/b/c", "t/b/d/e", "u")})
    before = len(server.requests)

    found = fs.find(f"{bucket}/t", withdirs=True, detail=True)

    assert len(server.requests) - before == 1
    kinds = {name.removeprefix(bucket): info["type"][0] for name, info in found.items()}
    assert kinds == {
        "/t": "d",
        "/t/a": "f",
        "/t/b": "d",
        "/t/b/c": "f",
        "/t/b/d": "d",
        "/t/b/d/e": "f",
    }
    assert fs.find(f"{bucket}/t", maxdepth=2) == [f"{bucket}/t/a", f"{bucket}/t/b/c"]
    assert fs.find(bucket, prefix="t/b") == [f"{bucket}/t/b/c", f"{bucket}/t/b/d/e"]
    assert fs.find(bucket, prefix=None) == fs.find(bucket)
    assert fs.du(bucket) == 4
    sizes = {f"{bucket}/t": 0, f"{bucket}/t/a": 1, f"{bucket}/t/b": 0}
    assert fs.du(f"{bucket}/t", total=False, maxdepth=1, withdirs=True) == sizes
    before = len(server.requests)
    assert fs.glob(f"{bucket}/t/a*") == [f"{bucket}/t/a"]
    (prefix,) = [request.query.get("prefix") for request in server.requests[before:]]
    assert prefix in {"t/a", "t/"}  # which is what older versions of fsspec ask for


def test_listings_are_fresh_unless_they_are_kept(fs: ObsFileSystem, bucket: str) -> None:
    keeping = ObsFileSystem(use_listings_cache=True, listings_expiry_time=60)
    fs.pipe(f"{bucket}/dir/a", b"1")
    assert keeping.ls(f"{bucket}/dir", detail=False) == [f"{bucket}/dir/a"]
    mox.write(f"s3://{bucket}/dir/b", "22")

    both = [f"{bucket}/dir/a", f"{bucket}/dir/b"]
    assert fs.ls(f"{bucket}/dir", detail=False) == both
    assert keeping.ls(f"{bucket}/dir", detail=False) == both[:1]
    assert keeping.ls(f"{bucket}/dir", detail=False, refresh=True) == both
    keeping.pipe(f"{bucket}/dir/c", b"333")
    assert len(keeping.ls(f"{bucket}/dir")) == 3
    assert keeping.info(f"{bucket}/dir/c")["size"] == 3
    keeping.rm(f"{bucket}/dir", recursive=True)
    assert keeping.find(bucket) == []


def test_an_instance_that_the_collector_finds_goes_in_silence(
    bucket: str, caplog: pytest.LogCaptureFixture
) -> None:
    fs = ObsFileSystem(attempts=3, skip_instance_cache=True)
    fs.pipe(f"{bucket}/a", b"1")
    gone = weakref.ref(fs.client)
    circle: list[object] = [fs]
    circle.append(circle)
    del fs, circle

    for _ in range(20):
        gc.collect()
        run(asyncio.sleep(0))

    assert gone() is None
    assert caplog.messages == []


def test_info_says_what_it_is(fs: ObsFileSystem, bucket: str) -> None:
    fs.pipe(f"{bucket}/dir/a", b"123", ContentType="text/x-a")

    info = fs.info(f"obs://{bucket}/dir/a/")

    assert (info["name"], info["size"], info["type"]) == (f"{bucket}/dir/a", 3, "file")
    assert (info["Key"], info["Size"]) == (f"{bucket}/dir/a", 3)  # as s3fs has it
    assert info["ETag"] == mox.stat(f"s3://{bucket}/dir/a").etag
    assert info["ContentType"] == "text/x-a"
    assert info["LastModified"] == fs.modified(f"{bucket}/dir/a") == fs.created(f"{bucket}/dir/a")
    assert [info] == fs.ls(f"{bucket}/dir/a", detail=True)
    assert fs.ls(f"{bucket}/dir") == [f"{bucket}/dir/a"]
    assert fs.find(bucket, prefix="di", withdirs=True) == [f"{bucket}/dir", f"{bucket}/dir/a"]
    assert [fs.isdir(f"{bucket}{name}") for name in ("", "/dir", "/dir/a", "/x")] == [1, 1, 0, 0]
    assert [fs.isfile(f"{bucket}{name}") for name in ("", "/dir", "/dir/a")] == [0, 0, 1]
    for missing in (f"{bucket}/x", "there-is-no-such-bucket"):
        with pytest.raises(FileNotFoundError):
            fs.info(missing)
        with pytest.raises(FileNotFoundError):
            fs.ls(missing)
        assert (fs.find(missing), fs.glob(f"{missing}/*"), fs.exists(missing)) == ([], [], False)


def test_a_folder_is_there_as_soon_as_something_is_in_it(fs: ObsFileSystem, bucket: str) -> None:
    for make in (fs.mkdir, fs.makedirs):
        make(f"{bucket}/a/b")
        assert (fs.exists(f"{bucket}/a"), fs.find(bucket)) == (False, [])
    fs.touch(f"{bucket}/a/b/file")
    for make in (fs.mkdir, fs.makedirs):
        for taken in (f"{bucket}/a", f"{bucket}/a/b", f"{bucket}/a/b/file"):
            with pytest.raises(FileExistsError):
                make(taken)
    fs.makedirs(f"{bucket}/a/b", exist_ok=True)
    with pytest.raises(FileExistsError, match="not empty"):
        fs.rmdir(f"{bucket}/a")
    with pytest.raises(OSError, match="not empty"):
        fs.rmdir(bucket)
    with pytest.raises(FileNotFoundError):
        fs.rmdir(f"{bucket}/none")


def test_the_marker_of_an_empty_folder_is_a_folder(fs: ObsFileSystem, bucket: str) -> None:
    mox.make_dirs(f"s3://{bucket}/a/b")

    assert fs.find(bucket, withdirs=True) == [bucket, f"{bucket}/a", f"{bucket}/a/b"]
    assert (fs.isdir(f"{bucket}/a/b"), fs.ls(f"{bucket}/a/b")) == (True, [])
    with pytest.raises(FileExistsError):
        fs.mkdir(f"{bucket}/a/b")
    fs.rmdir(f"{bucket}/a/b")
    assert not fs.exists(f"{bucket}/a/b")


def test_buckets_are_made_and_removed(fs: ObsFileSystem, bucket: str) -> None:
    other = f"{bucket}-2"
    fs.mkdir(other)
    for make in (fs.mkdir, fs.makedirs):
        with pytest.raises(FileExistsError):
            make(other)
    fs.makedirs(other, exist_ok=True)
    assert other in fs.ls("", detail=False)
    fs.rmdir(other)
    with pytest.raises(FileNotFoundError):
        fs.mkdir(f"{other}/a", create_parents=False)

    fs.mkdir(f"{other}/a/b")
    assert fs.ls(other) == []
    fs.pipe(f"{other}/a/b/file", b"1")
    fs.rm(other, recursive=True)
    assert not fs.exists(other)
    assert fs.exists(bucket)


def test_what_is_not_there_or_a_folder_is_not_removed_by_accident(
    fs: ObsFileSystem, bucket: str
) -> None:
    fs.pipe({f"{bucket}/{name}": b"1" for name in ("dir/a", "dir/b", "file")})

    with pytest.raises(IsADirectoryError):
        fs.rm(f"{bucket}/dir")
    with pytest.raises(FileNotFoundError):
        fs.rm(f"{bucket}/none")
    fs.mv(f"{bucket}/file", f"obs://{bucket}/file")
    assert len(fs.find(bucket)) == 3
    with pytest.raises(ValueError, match="a pattern matches the bucket"):
        fs.rm(f"{bucket[:-1]}*", recursive=True)
    fs.rm([f"{bucket}/dir/a", f"{bucket}/file"])
    assert fs.find(bucket) == [f"{bucket}/dir/b"]
    fs.rm(f"{bucket}/*", recursive=True)
    assert (fs.find(bucket), fs.exists(bucket)) == ([], True)


def test_what_is_both_a_file_and_a_folder_is_removed_as_both(moto_bucket: str) -> None:
    fs, bucket = ObsFileSystem(), moto_bucket.removeprefix("s3://")
    fs.pipe({f"{bucket}/{name}": b"1" for name in ("both", "both/a", "both-not")})

    fs.rm(f"{bucket}/both", recursive=True)
    assert fs.find(bucket) == [f"{bucket}/both-not"]


# --- contents ------------------------------------------------------------------------------


def test_a_part_of_a_file_is_read_as_a_slice_is(fs: ObsFileSystem, bucket: str) -> None:
    content = b"0123456789"
    fs.pipe(f"{bucket}/a", content)

    for start in (None, 0, 3, -3, 20):
        for end in (None, 5, 20, -2):
            found = fs.cat_file(f"{bucket}/a", start, end)
            assert found == content[start:end], (start, end)
    assert (fs.head(f"{bucket}/a", 2), fs.tail(f"{bucket}/a", 2)) == (b"01", b"89")
    assert fs.read_block(f"{bucket}/a", 3, 2) == b"34"
    assert fs.read_block(f"{bucket}/a", 50, 60) == b""


def test_a_long_range_takes_several_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    content = os.urandom(100_000)
    with FaultyServer(always=stored(content)) as server:
        fs = ObsFileSystem(endpoint=server.endpoint, ak="test-key", sk="test", part_size=20_000)

        assert fs.cat_file("b/k", 1000, 99_000) == content[1000:99_000]
        assert fs.cat_file("b/k", 50_000, 10**15) == content[50_000:]
        ranges = [request for request in server.requests if "range" in request.headers]
    assert len(ranges) == 5 + 3


def test_ranges_that_lie_close_together_are_read_at_once() -> None:
    content = os.urandom(1_000_000)
    with FaultyServer(always=stored(content)) as server:
        fs = ObsFileSystem(endpoint=server.endpoint, ak="test-key", sk="test-secret")
        starts, ends = [500_000, 0, 20_000, 10], [500_010, 10, 30_000, 20]

        found = fs.cat_ranges(["b/k"] * 4, starts, ends)

        assert found == [content[a:b] for a, b in zip(starts, ends, strict=True)]
        assert len(server.requests) == 2
        assert fs.cat_ranges(["b/k"] * 2, -5, None) == [content[-5:]] * 2


def test_an_error_of_a_range_is_returned_or_raised(fs: ObsFileSystem, bucket: str) -> None:
    fs.pipe(f"{bucket}/a", b"123")

    found = fs.cat_ranges([f"{bucket}/a", f"{bucket}/none"], 0, 2)

    assert found[0] == b"12"
    assert isinstance(found[1], FileNotFoundError)
    with pytest.raises(FileNotFoundError):
        fs.cat_ranges([f"{bucket}/none"], 0, 2, on_error="raise")


# --- trees ---------------------------------------------------------------------------------


def test_a_tree_goes_up_and_down_with_progress(
    fs: ObsFileSystem, bucket: str, tmp_path: Path
) -> None:
    tree = {f"{folder}/{number}": bytes([number]) for folder in "ab" for number in range(30)}
    for name, content in tree.items():
        (tmp_path / "up" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "up" / name).write_bytes(content)
    up, down = Callback(), Callback()

    fs.put(tmp_path / "up", f"obs://{bucket}/tree", recursive=True, callback=up)
    fs.cp(f"{bucket}/tree", f"{bucket}/copy/", recursive=True)
    fs.get(f"{bucket}/copy/tree/", str(tmp_path / "down"), recursive=True, callback=down)

    assert {name: (tmp_path / "down" / name).read_bytes() for name in tree} == tree
    assert (up.size, up.value) == (down.size, down.value) == (60, 60)
    assert len(fs.find(bucket)) == 120


def test_a_file_goes_up_and_down_with_progress(
    fs: ObsFileSystem, bucket: str, tmp_path: Path
) -> None:
    (tmp_path / "up").write_bytes(os.urandom(5000))
    up, down = Callback(), Callback()

    fs.put_file(tmp_path / "up", f"{bucket}/a", callback=up)
    fs.get_file(f"{bucket}/a", tmp_path / "new" / "down", callback=down)

    assert (tmp_path / "new" / "down").read_bytes() == (tmp_path / "up").read_bytes()
    assert (up.size, up.value) == (down.size, down.value) == (5000, 5000)
    with pytest.raises(FileExistsError):
        fs.put_file(str(tmp_path / "up"), f"{bucket}/a", mode="create")
    with (tmp_path / "open").open("wb") as target:
        fs.get_file(f"{bucket}/a", target)
        fs.get_file(f"{bucket}/a", outfile=target, callback=(again := Callback()))
    assert (tmp_path / "open").read_bytes() == (tmp_path / "up").read_bytes() * 2
    assert (again.size, again.value) == (5000, 5000)


def test_moving_a_tree_leaves_nothing_behind(fs: ObsFileSystem, bucket: str) -> None:
    fs.pipe({f"{bucket}/from/{name}": b"1" for name in ("a", "b/c")})

    fs.mv(f"{bucket}/from", f"{bucket}/to", recursive=True)

    assert fs.find(bucket) == [f"{bucket}/to/a", f"{bucket}/to/b/c"]


# --- open files ----------------------------------------------------------------------------


def fail(*_: object) -> None:
    """Raise after whatever was done."""
    raise KeyError


@pytest.mark.parametrize("mode", ["wb", "w", "wt"])
def test_an_error_in_the_block_publishes_nothing(fs: ObsFileSystem, bucket: str, mode: str) -> None:
    content = "half" if "b" not in mode else b"half"
    with pytest.raises(KeyError), fs.open(f"{bucket}/a", mode) as file:
        fail(file.write(content), file.flush())
    assert not fs.exists(f"{bucket}/a")


def test_a_file_appears_when_it_is_closed_and_not_when_it_is_flushed(
    fs: ObsFileSystem, bucket: str
) -> None:
    file: Any
    with fs.open(f"{bucket}/a", "wb") as file:
        file.write(b"123")
        file.flush()
        assert (file.size, file.tell(), fs.exists(f"{bucket}/a")) == (3, 3, False)
    with fs.open(f"{bucket}/a", "ab") as file:
        file.write(b"45")
    with fs.open(f"{bucket}/a", "r+b") as file:
        file.seek(1)
        file.write(b"--")
    with fs.open(f"{bucket}/a") as file:
        assert (file.read(), file.size) == (b"1--45", 5)
        assert file.full_name == f"obs://{bucket}/a"
        assert file.details["size"] == 5


def test_bytes_have_no_encoding_which_may_be_said(fs: ObsFileSystem, bucket: str) -> None:
    with fs.open(f"{bucket}/a", "wb", encoding=None) as file:  # as TensorBoard does
        file.write(b"\xff")
    with pytest.raises(ValueError, match="binary mode doesn't take an encoding argument"):
        fs.open(f"{bucket}/a", "rb", encoding="utf-8")


def test_hints_for_caches_are_taken_and_what_would_not_be_followed_is_refused(
    fs: ObsFileSystem, bucket: str
) -> None:
    fs.pipe(f"{bucket}/a", b"1")
    with fs.open(f"{bucket}/a", default_cache="none", blocksize=1 << 20) as file:
        assert file.read() == b"1"
    with pytest.raises(TypeError, match="unexpected keyword argument 'acl'"):
        fs.open(f"{bucket}/a", acl="private", fill_cache=False)
    fs.pipe(f"{bucket}/a", b"2", chunksize=5 << 20, max_concurrency=4)
    assert fs.cat(f"{bucket}/a") == fs.cat_file(f"{bucket}/a", max_concurrency=4) == b"2"
    with pytest.raises(TypeError, match="unexpected keyword argument 'acl'"):
        fs.pipe(f"{bucket}/a", b"3", acl="private")


def test_nothing_is_read_beyond_the_size_that_was_given(fs: ObsFileSystem, bucket: str) -> None:
    file: Any
    fs.pipe(f"{bucket}/a", b"0123456789")
    with fs.open(f"{bucket}/a", size=4) as file:
        assert (file.size, file.read(), file.read(1)) == (4, b"0123", b"")


@pytest.mark.parametrize("kind", [OSError, ValueError], ids=["as files", "as fsspec"])
def test_there_is_nothing_before_the_beginning(
    fs: ObsFileSystem, bucket: str, kind: type[Exception]
) -> None:
    fs.pipe(f"{bucket}/a", b"0123456789")
    with fs.open(f"{bucket}/a") as file, pytest.raises(kind):
        file.seek(-1)


def test_text_is_utf_8(fs: ObsFileSystem, bucket: str) -> None:
    with fs.open(f"{bucket}/a", "w", newline="") as file:
        file.write("Zeile «1»\r\n")
    assert fs.cat(f"{bucket}/a") == "Zeile «1»\r\n".encode()
    assert fs.read_text(f"{bucket}/a") == "Zeile «1»\n"
    fs.write_text(f"{bucket}/b", "ä", encoding="latin-1")
    assert fs.read_text(f"{bucket}/b", encoding="latin-1") == "ä"


def test_what_is_compressed_is_whole_when_its_file_is_closed(
    fs: ObsFileSystem, bucket: str
) -> None:
    for codec in ("gzip", "bz2", "xz"):
        with fs.open(f"{bucket}/a.{codec}", "wt", compression=codec) as file:
            file.write("text")
        with fs.open(f"{bucket}/a.{codec}", "rt", compression=codec) as file:
            assert file.read() == "text"
    assert gzip.decompress(fs.cat(f"{bucket}/a.gzip")) == b"text"


def test_a_transaction_publishes_all_or_nothing(fs: ObsFileSystem, bucket: str) -> None:
    with pytest.raises(KeyError), fs.transaction:
        fail(fs.open(f"{bucket}/a", "wb").write(b"1"), fs.open(f"{bucket}/b", "wb").close())
    assert fs.find(bucket) == []
    with fs.transaction:
        for name, mode in (("a", "wb"), ("b", "w")):
            with fs.open(f"{bucket}/{name}", mode) as file:
                file.write(b"1" if "b" in mode else "1")
        assert fs.find(bucket) == []
    assert fs.cat([f"{bucket}/a", f"{bucket}/b"]) == {f"{bucket}/a": b"1", f"{bucket}/b": b"1"}


def test_what_was_discarded_cannot_be_published(fs: ObsFileSystem, bucket: str) -> None:
    file: Any = fs.open(f"{bucket}/a", "wb", autocommit=False)
    file.write(b"1")
    file.close()
    file.discard()
    with pytest.raises(ValueError, match="was discarded"):
        file.commit()
    assert not fs.exists(f"{bucket}/a")


@pytest.mark.filterwarnings("ignore:unclosed file <_io.Buffered:ResourceWarning")  # fsspec's own
def test_caches_of_fsspec_read_one_version_of_an_object(
    fs: ObsFileSystem, bucket: str, tmp_path: Path
) -> None:
    fs.pipe(f"{bucket}/a", b"0123456789" * 10)

    with fs.open(f"{bucket}/a", cache_type="readahead", block_size=10) as file:
        assert file.read(5) == b"01234"
        fs.pipe(f"{bucket}/a", b"9876543210" * 10)
        file.seek(50)
        with pytest.raises(ObjectChanged):
            file.read(5)
    for kind in ("filecache", "simplecache"):
        cached = fsspec.filesystem(kind, fs=fs, cache_storage=str(tmp_path / kind))
        with cached.open(f"{bucket}/a") as file:
            assert file.read(3) == b"987"
    blocks = fsspec.filesystem("blockcache", fs=fs, cache_storage=str(tmp_path / "blocks"))
    with blocks.open(f"{bucket}/a", block_size=10) as file:
        file.seek(95)
        assert file.read() == b"43210"


def test_metadata_is_read_and_changed_name_by_name(fs: ObsFileSystem, bucket: str) -> None:
    path = f"{bucket}/a"
    fs.pipe(path, b"1", Metadata={"author": "me", "a-b": "c"}, ContentType="text/x-a")

    assert fs.metadata(path) == {"author": "me", "a-b": "c"}
    assert (fs.getxattr(path, "a_b"), fs.getxattr(path, "none")) == ("c", None)
    fs.setxattr(path, author=None, a_b="d", new="e f")
    with cast("Any", fs.open(path)) as file:
        assert file.metadata() == {"a-b": "d", "new": "e f"}
        assert (file.getxattr("new"), file.read()) == ("e f", b"1")
    assert fs.info(path)["ContentType"] == "text/x-a"
    for call in (fs.metadata, fs.setxattr, fs.get_tags):
        with pytest.raises(FileNotFoundError):
            call(f"{bucket}/none")
        with pytest.raises(IsADirectoryError):
            call(bucket)


def test_a_former_version_is_read(fs: ObsFileSystem, bucket: str) -> None:
    boto3.client(
        "s3",
        endpoint_url=os.environ["S3_ENDPOINT"],
        aws_access_key_id=os.environ["ACCESS_KEY_ID"],
        aws_secret_access_key=os.environ["SECRET_ACCESS_KEY"],
        region_name="us-east-1",
    ).put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    path, long = f"{bucket}/a", bytes(range(256)) * 4096
    for content in (long, b"new"):
        fs.pipe(path, content)
    fs.pipe(f"{path}b", b"another")

    new, old = fs.object_version_info(path)
    assert [(one["Size"], one["IsLatest"]) for one in (new, old)] == [(3, True), (len(long), False)]
    version = str(old["VersionId"])
    assert fs.cat_file(path, -2, version_id=version) == long[-2:]
    assert fs.cat(path, version_id=version) == long
    info = fs.info(path, version_id=version)
    assert (info["size"], info["ETag"], info["VersionId"]) == (len(long), old["ETag"], version)
    with fs.open(path, version_id=version) as file:
        assert file.read(4) == long[:4]
        file.seek(-8, os.SEEK_END)
        copy = pickle.loads(pickle.dumps(file))
        assert file.read() == copy.read() == long[-8:]
        file.seek(0)
        assert file.read() == long
    assert fs.cat(path) == b"new"
    with pytest.raises(ValueError, match="version_id"):
        fs.open(path, "wb", version_id=version)


def test_tags_are_replaced_or_added_to(fs: ObsFileSystem, bucket: str) -> None:
    path = f"{bucket}/a"
    fs.pipe(path, b"1")

    fs.put_tags(path, {"a": "1", "b": "2"})
    fs.put_tags(path, {"b": "3"}, mode="m")
    assert fs.get_tags(path) == {"a": "1", "b": "3"}
    fs.put_tags(path, {"c": "4"})
    assert fs.get_tags(path) == {"c": "4"}
    with pytest.raises(ValueError, match="'x'"):
        fs.put_tags(path, {}, mode="x")


def test_a_mapper_is_a_dict_of_the_store(fs: ObsFileSystem, bucket: str) -> None:
    mapper = fs.get_mapper(f"{bucket}/map")
    mapper.setitems({"a": b"1", "b/c": b"2"})

    assert dict(mapper) == {"a": b"1", "b/c": b"2"}
    assert mapper.getitems(["a", "none"], on_error="omit") == {"a": b"1"}
    del mapper["a"]
    assert list(mapper) == ["b/c"]


def test_a_signed_url_is_for_anybody(fs: ObsFileSystem, bucket: str) -> None:
    fs.pipe(f"{bucket}/a", b"1")

    with urlopen(fs.sign(f"{bucket}/a", expiration=60)) as answer:
        assert answer.read() == b"1"
    assert fs.url(f"{bucket}/a").startswith("http://127.0.0.1:")


# --- loops and processes -------------------------------------------------------------------


async def test_an_asynchronous_instance_runs_on_the_loop_of_its_caller(bucket: str) -> None:
    fs = ObsFileSystem(asynchronous=True)
    async with await fs.open_async(f"{bucket}/a", "wb") as file:
        assert await file.write(b"12345") == 5
        assert file.tell() == 5
    with pytest.raises(KeyError):
        async with await fs.open_async(f"{bucket}/b", "wb") as file:
            fail(await file.write(b"1"))
    async with await fs.open_async(f"{bucket}/a") as file:
        assert (file.size, await file.read(2), file.tell(), await file.read()) == (
            5,
            b"12",
            2,
            b"345",
        )
        assert (await file.seek(1), await file.read(1)) == (1, b"2")
    coroutines: Any = {name: getattr(fs, f"_{name}") for name in ("pipe", "find", "walk")}
    await coroutines["pipe"]({f"{bucket}/dir/{number}": b"1" for number in range(5)})
    assert len(await coroutines["find"](bucket)) == 6
    steps = [step[0] async for step in coroutines["walk"](bucket)]
    assert steps == [bucket, f"{bucket}/dir"]
    assert fs.loop is None
    await fs.client.aclose()


async def test_blocking_calls_work_inside_a_running_loop(fs: ObsFileSystem, bucket: str) -> None:
    fs.pipe(f"{bucket}/a", b"1")

    assert fs.cat(f"{bucket}/a") == b"1"
    assert fs.loop is not asyncio.get_running_loop()


def read(fs: ObsFileSystem, path: str) -> bytes:
    return cast("bytes", fs.cat(path))


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # which is what is tested
def test_workers_use_an_instance_that_they_were_given(
    fs: ObsFileSystem, bucket: str, method: str
) -> None:
    fs.pipe(f"{bucket}/a", b"1")

    with ProcessPoolExecutor(2, get_context(method)) as workers:
        assert list(workers.map(read, [fs] * 4, [f"{bucket}/a"] * 4)) == [b"1"] * 4


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_uses_the_instance_and_the_file_of_its_parent(
    fs: ObsFileSystem, bucket: str
) -> None:
    fs.pipe(f"{bucket}/a", b"123")
    with fs.open(f"{bucket}/a") as file:
        file.read(1)
        child = os.fork()
        if not child:
            good = False
            try:
                good = (fs.cat(f"{bucket}/a"), file.read(), fs.loop is not None) == (
                    b"123",
                    b"23",
                    True,
                )
            finally:
                os._exit(not good)
        assert os.waitpid(child, 0)[1] == 0
        assert file.read() == b"23"
