"""The comparison with other clients: it runs, checks what was copied, and keeps all it saw."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import urllib.request
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from faulty import FaultyServer, forward

from aioobs.testing import LocalServer, isolate
from benchmarks.copy_parallel import checked
from benchmarks.measure import (
    Case,
    Job,
    Outcome,
    Record,
    interleaved,
    measure,
    rotated,
)
from benchmarks.results import comparison
from benchmarks.stores import Store
from benchmarks.trees import Content, content_of, demo_sizes, sizes_of, write_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parent.parent
BOTH = ["aioobs.sync", "aioobs"]
ELSEWHERE = ("--endpoint", "http://127.0.0.1:1", "--bucket", "bucket")


def run(
    scratch: Path, *arguments: str, benchmark: str = "copy_parallel"
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", benchmark, *arguments],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(scratch)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.timeout(180)  # a process for each measurement, and nothing else to wait for
def test_the_benchmark_measures_every_leg_of_every_tree_and_keeps_it_as_json(
    tmp_path: Path,
) -> None:
    scratch, kept = tmp_path / "scratch", tmp_path / "kept.json"
    scratch.mkdir()
    done = run(
        scratch,
        *("--trees", "small,big", "--scale", "0.004", "--rounds", "1"),
        *("--peers", ",".join(BOTH), "--json", str(kept)),
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(kept.read_text())
    measured = [
        (record["workload"].split()[0], record["operation"], record["client"], record["round"])
        for record in document["records"]
    ]
    assert measured == [
        (tree, leg, client, 0)
        for tree in ("small", "big")
        for leg in ("up", "copy", "down")
        for client in BOTH
    ]
    for record in document["records"]:
        outcome = record["outcome"]
        assert "error" not in outcome
        assert outcome["wall"] > 0
        assert outcome["cpu"] > 0
        assert outcome["peak_rss"] > 1 << 20
    assert document["settings"]["concurrency"] == 32
    assert document["settings"]["clients"] == BOTH
    assert set(document["versions"]) >= {"python", "aiohttp", "OpenSSL", "SeaweedFS", *BOTH}
    assert document["machine"]["cores"] >= 1
    assert "big (1 file, 4.3 MB), within the store" in done.stdout
    assert not list(scratch.iterdir())


@pytest.mark.slow
def test_a_bucket_of_ones_own_is_left_as_it_was(
    tmp_path: Path, obs_server: LocalServer, obs_bucket: str
) -> None:
    import aioobs.sync as mox

    mox.file.write(f"{obs_bucket}/kept", "before")
    at = ("--endpoint", obs_server.endpoint, "--bucket", obs_bucket.removeprefix("s3://"))
    options = ("--trees", "small", "--scale", "0.004", "--rounds", "1", "--peers", "aioobs")
    done = run(tmp_path, *at, *options)
    assert done.returncode == 0, done.stderr
    left = mox.file.list_directory(obs_bucket, recursive=True, skip_dir=True)
    assert left == ["kept"]


def test_temporary_credentials_of_the_environment_are_used(
    moto_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    isolate(monkeypatch)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test-access-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test-secret-key")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "test-token")
    created = urllib.request.Request(f"{moto_server}/temporary", method="PUT")
    urllib.request.urlopen(created).close()
    with FaultyServer(always=forward(moto_server)) as server:
        at = ("--endpoint", server.endpoint, "--bucket", "temporary", "--keys", "1")
        few = ("--rounds", "1", "--peers", "aioobs.sync,boto3")
        done = run(tmp_path, *at, *few, benchmark="listing")
        assert done.returncode == 0, done.stderr
        tokens = {received.headers.get("x-amz-security-token") for received in server.requests}
    assert tokens == {"test-token"}


def test_the_authority_of_the_environment_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    isolate(monkeypatch)
    with LocalServer(tls=True) as server:
        server.create_bucket("bucket")
        assert server.ca_file
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", server.access_key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", server.secret_key)
        monkeypatch.setenv("AWS_CA_BUNDLE", server.ca_file)
        at = ("--endpoint", server.endpoint, "--bucket", "bucket", "--keys", "1")
        done = run(tmp_path, *at, "--rounds", "1", "--peers", "aioobs.sync", benchmark="listing")
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--trees", "tall"), "no such tree: tall"),
        (("--legs", "sideways"), "no such leg: sideways"),
        (("--scale", "0"), "the scale has to be more than 0"),
        (("--delay", "10"), "--delay is for --store fast"),
        (("--peers", "aioobs,nothing"), "not installed: nothing"),
        (("--endpoint", "http://127.0.0.1:1"), "--endpoint and --bucket go together"),
        ((*ELSEWHERE, "--tls"), "--tls and --delay are for a local server, not for --endpoint"),
        ((*ELSEWHERE, "--delay", "1"), "not for --endpoint"),
        ((*ELSEWHERE, "--store", "fast"), "not for --endpoint"),
        (("--rounds", "0"), "have to be at least 1"),
    ],
)
def test_options_that_cannot_be_meant_are_refused_in_one_line(
    tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    done = run(tmp_path, *options)
    assert done.returncode == 1
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("benchmark", "cases"),
    [
        (["listing", "--keys", "2000"], 1),
        (["latency", "--calls", "200"], 3),
        (["memory"], 1),
        (["growth"], 8),
        (["scale"], 10),
        (["workers", "--workers", "1,2"], 6),
    ],
    ids=lambda found: found[0] if isinstance(found, list) else "",
)
def test_every_benchmark_runs_on_a_real_server(
    benchmark: list[str], cases: int, tmp_path: Path
) -> None:
    name, *options = benchmark
    kept = tmp_path / "kept.json"
    few = ("--scale", "0.001", "--rounds", "1", "--peers", "aioobs.sync")
    done = run(tmp_path, *options, *few, "--json", str(kept), benchmark=name)
    assert done.returncode == 0, done.stderr
    records = json.loads(kept.read_text())["records"]
    assert len(records) == cases
    assert all(record["outcome"]["wall"] > 0 for record in records)
    assert all(record["outcome"].get("middle", 0) > 0 for record in records) == (name == "latency")


def test_an_import_is_measured_alone_and_with_a_first_request(tmp_path: Path) -> None:
    kept = tmp_path / "kept.json"
    few = ("--rounds", "2", "--peers", "aioobs.sync,boto3", "--json", str(kept))
    done = run(tmp_path, *few, benchmark="imports")
    assert done.returncode == 0, done.stderr
    records = json.loads(kept.read_text())["records"]
    measured = {(found["operation"], found["client"], found["round"]) for found in records}
    assert measured == set(product(("import", "exists"), ("aioobs.sync", "boto3"), (0, 1)))
    assert all(0 < record["outcome"]["wall"] < 30 for record in records)


def test_signing_is_measured_in_microseconds_for_each_request(tmp_path: Path) -> None:
    kept = tmp_path / "kept.json"
    few = ("--calls", "100", "--rounds", "1", "--json", str(kept))
    done = run(tmp_path, *few, benchmark="signer")
    assert done.returncode == 0, done.stderr
    document = json.loads(kept.read_text())
    measured = [(found["operation"], found["client"]) for found in document["records"]]
    requests = ("sign_get", "sign_range", "sign_put")
    assert measured == list(product(requests, ("aioobs.sync", "boto3")))
    assert all(0 < found["outcome"]["middle"] < 1 for found in document["records"])
    assert "SeaweedFS" not in document["versions"]


def test_the_failure_of_a_client_is_an_outcome_with_its_reason(obs_server: LocalServer) -> None:
    store = Store(obs_server.endpoint, "not-there", obs_server.access_key, obs_server.secret_key)
    outcome = measure(Job("aioobs", "copy", [["source/", "target/"]], store, 4))
    assert "not-there" in outcome.error


def test_what_a_client_cannot_do_is_no_failure(obs_server: LocalServer, obs_bucket: str) -> None:
    bucket = obs_bucket.removeprefix("s3://")
    store = Store(obs_server.endpoint, bucket, obs_server.access_key, obs_server.secret_key)
    outcome = measure(Job("aioobs", "juggle", [[]], store, 4))
    assert outcome == Outcome(offered=False)


def test_a_copy_that_is_not_complete_is_a_failure() -> None:
    measured, tree = Outcome(1.0, 1.0, 1), Content(3, 300)
    assert checked(measured, tree, Content(3, 300)) == measured
    assert "2 files" in checked(measured, tree, Content(2, 300)).error
    assert "299 bytes" in checked(measured, tree, Content(3, 299)).error


def test_the_ratio_is_the_median_of_the_ratios_within_the_rounds() -> None:
    walls = {"aioobs.sync": (1.0, 2.0, 4.0), "other": (3.0, 4.0, 4.0)}
    records = [
        Record("tree", "up", client, number, Outcome(wall, 1.0, 1 << 20))
        for client, each in walls.items()
        for number, wall in enumerate(each)
    ]
    records.append(Record("tree", "up", "lame", 0, Outcome(offered=False)))
    records.append(Record("tree", "up", "broken", 0, Outcome(error="no")))
    assert comparison(records)[1:] == [
        ["aioobs.sync", "2.00", "1.00–4.00", "1.00", "1.00", "1", "3"],
        ["other", "4.00", "3.00–4.00", "2.00", "1.00", "1", "3"],
        ["lame", *"–" * 6],
        ["broken", "failed", *"–" * 5],
    ]


def test_single_calls_are_told_in_microseconds() -> None:
    outcome = Outcome(1.0, 1.0, 1 << 20, middle=0.000123, late=0.0045)
    header, row = comparison([Record("100 calls", "head", "aioobs.sync", 0, outcome)])
    assert header[1:5] == ["µs, middle", "spread", "ratio", "µs, 99 %"]
    assert row == ["aioobs.sync", "123", "123–123", "1.00", "4500", "1.00", "1", "1"]


def test_who_takes_too_long_fails_or_cannot_is_asked_once() -> None:
    outcomes = {
        "quick": Outcome(1.0),
        "slow": Outcome(3.1),
        "lame": Outcome(offered=False),
        "broken": Outcome(error="no"),
        "fair": Outcome(2.9),
    }
    opened = []

    @contextlib.contextmanager
    def prepared() -> Iterator[Callable[[str], Outcome]]:
        opened.append("a round")
        yield outcomes.__getitem__

    case = Case("tree", "up", prepared)
    records = list(interleaved([case], list(outcomes), rounds=3, patience=3))
    asked = [[found.client for found in records if found.round == number] for number in range(3)]
    assert asked == [list(outcomes), ["fair", "quick"], ["quick", "fair"]]
    assert len(opened) == 3
    assert len(list(interleaved([case], ["quick", "slow"], rounds=2, patience=0))) == 4


def test_every_client_is_once_the_first_of_a_round() -> None:
    orders = [rotated(["a", "b", "c"], number) for number in range(4)]
    assert orders == [["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"], ["a", "b", "c"]]


def test_a_tree_has_the_files_and_bytes_that_it_is_said_to_have(tmp_path: Path) -> None:
    sizes = sizes_of("mixed", 0.02) | sizes_of("big", 0.001) | sizes_of("medium", 0.01)
    assert len(sizes_of("medium", 0.01)) == 20
    write_tree(tmp_path, sizes)
    assert content_of(tmp_path) == Content(len(sizes), sum(sizes.values()))


@pytest.mark.parametrize(("files", "total"), [(3000, 600_000_000), (100, 1_000_000), (0, 1000)])
def test_the_tree_of_the_demo_is_as_big_as_wanted(files: int, total: int) -> None:
    sizes = demo_sizes(files, total)
    assert len(sizes) == files + 4
    assert total - 4 <= sum(sizes.values()) <= total
    assert (0 in sizes.values()) == (files > 0)
