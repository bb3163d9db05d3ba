"""What the documentation of moxing promises, and what its callers rely on, held against `mox.file`.

What one verb does is tested with that verb; here is what only shows when they come together.
"""

from __future__ import annotations

import inspect
import logging
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest
from faulty import (
    Answer,
    FaultyServer,
    Received,
    answer,
    listing,
    refusal,
    stored,
)

import aioobs.file
import aioobs.sync as mox

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]
MIB = 1 << 20

pytestmark = [
    pytest.mark.usefixtures("session"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have credentials in the environment."""
    monkeypatch.setenv("ACCESS_KEY_ID", "key-of-the-environment")
    monkeypatch.setenv("SECRET_ACCESS_KEY", "test-secret-key")


def python(program: str, *arguments: str) -> tuple[str, str]:
    """Return what a program says on its two outputs, which has to end well."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", dedent(program), *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


# --- the examples of the documentation -----------------------------------------------------


@pytest.mark.parametrize("scheme", ["s3", "obs"])
def test_the_examples_of_the_documentation_run_one_after_the_other(
    obs_bucket: str, tmp_path: Path, scheme: str
) -> None:
    file, bucket = mox.file, obs_bucket.replace("s3://", f"{scheme}://")
    url, other, local = f"{bucket}/obs_file.txt", f"{bucket}/obs_file_2.txt", f"{tmp_path}/file"

    file.write(url, "Hello World!")
    assert file.read(url) == "Hello World!"
    file.append(url, "\nend of file.")
    assert file.read(url) == "Hello World!\nend of file."
    file.make_dirs(f"{bucket}/sub_dir_0/sub_dir_1")
    assert file.list_directory(bucket) == ["obs_file.txt", "sub_dir_0"]
    names = ["obs_file.txt", "sub_dir_0", "sub_dir_0/sub_dir_1"]
    assert file.list_directory(bucket, recursive=True) == names
    assert file.exists(f"{bucket}/sub_dir_0/sub_dir_1") is True
    assert file.is_directory(f"{bucket}/sub_dir_0/sub_dir_1") is True
    assert file.get_size(url) == 25
    stat = file.stat(url)
    assert (stat.length, stat.is_directory) == (25, False)
    assert abs(stat.mtime_nsec / 1e9 - time.time()) < 60

    file.rename(url, other)
    file.rename(other, local)
    assert (file.exists(url), file.exists(other)) == (False, False)
    file.rename(local, url)
    assert not os.path.exists(local)
    file.copy(url, other)
    file.copy(other, local)
    file.copy(local, url)
    assert Path(local).read_text() == file.read(url) == file.read(other)

    file.write(f"{bucket}/sub_dir_0/sub_dir_1/deep.txt", "deep")
    file.copy_parallel(f"{bucket}/sub_dir_0", f"{bucket}/sub_dir_2")
    file.copy_parallel(f"{bucket}/sub_dir_2", f"{tmp_path}/sub_dir_0")
    file.copy_parallel(f"{tmp_path}/sub_dir_0", f"{bucket}/sub_dir_3")
    assert file.read(f"{bucket}/sub_dir_3/sub_dir_1/deep.txt") == "deep"
    with file.File(url, "r") as stream:
        data = stream.readlines()
    assert data == ["Hello World!\n", "end of file."]

    file.remove(url, recursive=False)
    file.remove(f"{bucket}/sub_dir_0/sub_dir_1", recursive=True)
    assert file.exists(url) is False
    assert file.exists(f"{bucket}/sub_dir_0/sub_dir_1/deep.txt") is False
    assert file.exists(f"{bucket}/sub_dir_2/sub_dir_1/deep.txt") is True


PARAMETERS = {
    "File": ["name", "mode"],
    "append": ["url", "data", "binary"],
    "append_remote": ["src_url", "dst_url"],
    "copy": ["src_url", "dst_url", "client_id"],
    "copy_parallel": [
        "src_url",
        "dst_url",
        "file_list",
        "threads",
        "is_processing",
        "use_queue",
    ],
    "exists": ["url"],
    "get_size": ["url", "recursive"],
    "glob": ["url"],
    "is_directory": ["url"],
    "list_directory": ["url", "recursive", "remove_sep", "skip_file", "skip_dir"],
    "make_dirs": ["url"],
    "mk_dir": ["url"],
    "read": ["url", "client_id", "binary", "exist_check"],
    "remove": ["url", "recursive"],
    "rename": ["src_url", "dst_url"],
    "scan_dir": ["url"],
    "stat": ["url"],
    "walk": ["url", "topdown", "onerror", "followlinks"],
    "write": ["url", "data", "binary"],
}


@pytest.mark.parametrize("verb", PARAMETERS)
def test_parameters_have_the_names_and_order_of_the_documentation(verb: str) -> None:
    for module in (mox.file, aioobs.file):
        found = inspect.signature(getattr(module, verb)).parameters.values()
        names = [one.name for one in found if one.kind is one.POSITIONAL_OR_KEYWORD]
        assert names[: len(PARAMETERS[verb])] == PARAMETERS[verb]
    defaults = inspect.signature(mox.file.copy_parallel).parameters
    assert [defaults[name].default for name in PARAMETERS["copy_parallel"][2:]] == [
        None,
        16,
        True,
        True,
    ]


@pytest.mark.parametrize("schemes", [("s3", "obs"), ("obs", "s3"), ("s3", "s3")])
def test_nothing_is_lost_when_something_is_moved_or_copied_to_itself(
    obs_bucket: str, schemes: tuple[str, str]
) -> None:
    here, there = (obs_bucket.replace("s3://", f"{scheme}://") for scheme in schemes)
    mox.file.write(f"{here}/d/file", "x")

    mox.file.rename(f"{here}/d/file", f"{there}/d/file")
    mox.file.copy(f"{here}/d/file", f"{there}/d/file")
    mox.file.rename(f"{here}/d", f"{there}/d")
    mox.file.rename(f"{here}/d/", f"{there}/d")
    assert mox.file.read(f"{here}/d/file") == "x"
    with pytest.raises((ValueError, OSError)):
        mox.file.rename(f"{here}/d", f"{there}/d/below")
    assert mox.file.list_directory(here, recursive=True) == ["d", "d/file"]


# --- files that are read -------------------------------------------------------------------


def test_a_file_is_closed_when_its_block_fails(obs_bucket: str, tmp_path: Path) -> None:
    for url in (f"{obs_bucket}/file", f"{tmp_path}/file"):
        mox.file.write(url, "a\nb\n")
        for mode in ("r", "rb"):
            with pytest.raises(LookupError), mox.file.File(url, mode) as stream:
                stream.readline()
                raise LookupError
            assert stream.closed
            with pytest.raises(ValueError, match="closed"):
                stream.read()


@pytest.mark.usefixtures("keys")
def test_a_big_object_is_read_in_little_memory_over_few_connections(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    size = 192 * MIB
    with FaultyServer(always=endless(size)) as server:
        monkeypatch.setenv("S3_ENDPOINT", server.endpoint)
        grown = python(
            """
            import resource
            import aioobs.sync as mox
            def peak():
                return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            with mox.file.File("s3://bucket/small", "rb") as stream:
                stream.read(1 << 20)
            before, count = peak(), 0
            with mox.file.File("s3://bucket/big", "rb") as stream:
                while chunk := stream.read(1 << 20):
                    count += len(chunk)
            assert count == stream_size, count
            print(peak() - before)
            """.replace("stream_size", str(size))
        )[0]
    assert int(grown) < 64
    assert server.connections <= 16


@pytest.mark.usefixtures("keys")
def test_files_that_are_closed_half_read_or_forgotten_hold_no_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with FaultyServer(always=endless(40 * MIB)) as server:
        monkeypatch.setenv("S3_ENDPOINT", server.endpoint)
        for number in range(30):
            stream = mox.file.File("s3://bucket/big", "rb")
            stream.read(number * 10_000)
            if number % 2:
                stream.close()
            else:
                with pytest.warns(ResourceWarning, match="unclosed file 's3://bucket/big'"):
                    del stream
        assert mox.file.get_size("s3://bucket/big") == 40 * MIB
    assert server.connections <= 16


def endless(size: int) -> Callable[[Received], Answer]:
    """Answer like a store whose objects are of *size* bytes, without having them."""

    def step(received: Received) -> Answer:
        if received.method == "HEAD":
            return answer(content_length=str(size), etag='"1"')
        first, last = map(int, received.headers["range"].removeprefix("bytes=").split("-"))
        place = f"bytes {first}-{last}/{size}"
        return answer(206, bytes(last + 1 - first), etag='"1"', content_range=place)

    return step


# --- exceptions ----------------------------------------------------------------------------

REQUEST_ID = "request-7"


@pytest.mark.parametrize(
    ("given", "name", "builtin", "status", "code"),
    [
        (refusal(404, "NoSuchKey"), "MoxFileNotExistsException", FileNotFoundError, 404, ""),
        (refusal(404, "NoSuchBucket"), "MoxFileNotExistsException", FileNotFoundError, 404, ""),
        (refusal(403, "AccessDenied"), "MoxFileRespException", PermissionError, 403, ""),
        (refusal(400, "InvalidArgument"), "MoxFileRespException", OSError, 400, ""),
        (refusal(503, "SlowDown"), "MoxFileRespException", OSError, 503, ""),
        (
            answer(body=b"12345", etag='"1"', x_amz_request_id=REQUEST_ID).cut(body=2, end="close"),
            "MoxFileReadException",
            OSError,
            200,
            "-",
        ),
        (
            answer(body=b"12345", chunked=True, etag='"1"', x_amz_request_id=REQUEST_ID).cut(
                body=4, end="close"
            ),
            "MoxFileReadException",
            OSError,
            200,
            "-",
        ),
    ],
    ids=["no key", "no bucket", "forbidden", "refused", "busy", "broken off", "broken chunks"],
)
def test_an_exception_has_its_builtin_and_the_answer_of_the_store(
    given: Answer, name: str, builtin: type[OSError], status: int, code: str
) -> None:
    def step(received: Received) -> Answer:
        return given if received.path.endswith("/file") else answer(body=listing())

    with FaultyServer(always=step) as server:
        mox.file.set_auth("test-access-key", "test-secret-key", server.endpoint, retry=1)
        with pytest.raises(getattr(mox.file, name)) as caught:
            mox.file.read("s3://bucket/file")
    for error in (caught.value, pickle.loads(pickle.dumps(caught.value))):
        assert isinstance(error, builtin)
        assert error.filename == "s3://bucket/file"
        resp = error.resp  # type: ignore[attr-defined]
        assert (resp.status, resp.requestId) == (status, REQUEST_ID)
        if not code:
            assert resp.errorCode in str(error)
            assert (resp.errorMessage, bool(resp.errorCode)) == ("said the test", True)
        assert resp.reason


@pytest.mark.parametrize("where", ["local", "remote"])
def test_a_missing_source_is_caught_under_every_name_that_callers_use(
    obs_bucket: str, tmp_path: Path, where: str
) -> None:
    missing = f"{tmp_path if where == 'local' else obs_bucket}/missing"
    for kind in (mox.file.MoxFileNotExistsException, FileNotFoundError, OSError, Exception):
        with pytest.raises(kind) as caught:
            mox.file.copy_parallel(missing, f"{tmp_path}/target")
        assert caught.value.errno == 2  # type: ignore[attr-defined]
        assert "missing" in str(caught.value)


# --- silence -------------------------------------------------------------------------------


@pytest.mark.parametrize("silent", ["0", "1"])
def test_neither_import_nor_use_says_or_configures_anything(
    obs_bucket: str, monkeypatch: pytest.MonkeyPatch, silent: str, tmp_path: Path
) -> None:
    monkeypatch.setenv("MOX_SILENT_MODE", silent)
    program = """
        import logging, signal, sys, threading, warnings
        SIGNALS = signal.SIGINT, signal.SIGALRM, signal.SIGTERM
        def state():
            root = logging.getLogger()
            return (
                root.level, list(root.handlers), root.manager.disable, logging.raiseExceptions,
                list(map(signal.getsignal, SIGNALS)), list(warnings.filters),
                sys.excepthook, threading.excepthook, sys.unraisablehook,
            )
        before = state()
        import aioobs.sync as mox
        mox.file
        assert threading.active_count() == 1
        assert state() == before
        mox.file.write(sys.argv[1] + "/d/file", "x")
        mox.file.copy_parallel(sys.argv[1] + "/d", sys.argv[2])
        assert mox.file.list_directory(sys.argv[1]) == ["d"]
        with mox.file.File(sys.argv[1] + "/d/file") as stream:
            stream.read()
        assert state() == before
    """
    assert python(program, obs_bucket, str(tmp_path / "d")) == ("", "")


@pytest.mark.parametrize("name", ["aioobs.sync.file", "aioobs.sync.shift"])
def test_the_import_of_the_verbs_opens_and_starts_nothing(name: str) -> None:
    program = f"""
        import socket, sys, threading
        def refuse(*arguments, **options):
            raise AssertionError("no network at the import")
        socket.socket.connect = socket.getaddrinfo = refuse
        import {name}
        import aioobs.sync as mox
        mox.file.shift("os", "mox")
        assert threading.active_count() == 1
        heavy = {{"aiohttp", "botocore", "anyio", "uvloop", "yarl"}}
        print(sorted(heavy & set(sys.modules)))
    """
    assert python(program) == ("[]\n", "")


def test_the_log_of_the_library_goes_where_its_user_says(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with (
        caplog.at_level(logging.WARNING, "aioobs"),
        FaultyServer(refusal(503, "SlowDown"), stored(b"x")) as server,
    ):
        mox.file.set_auth("test-access-key", "test-secret-key", server.endpoint, retry_wait=0.0)
        mox.file.read("s3://bucket/file")
    assert len(caplog.records) == 1
    assert caplog.records[0].name.startswith("aioobs")
    assert "503" in caplog.text
