"""The command line: sync and bench, in processes of their own on a real server."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from command import PROGRAM, at_terminal, checkout, local, make, objects, remote, run
from faulty import STALL, Answer, FaultyServer, Received, forward

from aioobs.sync import file

__all__ = ["checkout"]


def test_sync_makes_a_folder_like_another_one(obs_bucket: str) -> None:
    make("tree/a", "tree/sub/b")
    file.write(f"{obs_bucket}/x/old", "old")

    first = run("sync", "tree", f"{obs_bucket}/x", "-v").stdout.splitlines()
    assert sorted(first) == [
        f"copy tree/a to {obs_bucket}/x/a (new)",
        f"copy tree/sub/b to {obs_bucket}/x/sub/b (new)",
    ]
    assert run("sync", "tree", f"{obs_bucket}/x", "-v").stdout == ""
    assert remote(f"{obs_bucket}/x") == ["a", "old", "sub/b"]

    Path("tree/a").unlink()
    again = run("sync", "tree/", f"{obs_bucket}/x/", "--delete", "-v").stdout.splitlines()
    assert sorted(again) == [f"delete {obs_bucket}/x/a", f"delete {obs_bucket}/x/old"]
    assert remote(f"{obs_bucket}/x") == ["sub/b"]

    run("sync", f"{obs_bucket}/x", "back")
    assert local("back") == ["sub/b"]
    assert run("sync", "back", f"{obs_bucket}/x", "-v").stdout == ""


def test_sync_says_what_it_would_do(obs_bucket: str) -> None:
    make("tree/a", "tree/empty/")
    file.write(f"{obs_bucket}/x/old", "old")

    shown = run("sync", "-n", "tree", f"{obs_bucket}/x", "--delete").stdout.splitlines()
    assert shown == [
        f"copy tree/a to {obs_bucket}/x/a (new)",
        f"copy tree/empty/ to {obs_bucket}/x/empty/ (new)",
        f"delete {obs_bucket}/x/old",
    ]
    *_, total = objects("sync", "-n", "tree", f"{obs_bucket}/x", "--delete")
    assert (total["copied"], total["deleted"], total["dry_run"]) == (2, 1, True)
    assert remote(f"{obs_bucket}/x") == ["old"]


def test_sync_reports_as_lines_of_json(obs_bucket: str) -> None:
    make("tree/a", "tree/b")
    file.write(f"{obs_bucket}/x/b", "tree/b!")
    file.write(f"{obs_bucket}/x/old", "old")

    *rows, total = objects("sync", "tree", f"{obs_bucket}/x", "--delete")
    by_name = {(row.get("source") or row["path"]).rpartition("/")[2]: row for row in rows}
    assert by_name["a"]["reason"] == "new"
    assert by_name["b"]["reason"] == "size"
    assert by_name["old"] == {
        "operation": "delete",
        "path": f"{obs_bucket}/x/old",
        "dry_run": False,
    }
    assert total == {
        "operation": "sync",
        "copied": 2,
        "bytes": 12,
        "unchanged": 0,
        "deleted": 1,
        "extras": 0,
        "failed": 0,
        "dry_run": False,
    }


def test_sync_says_what_failed_and_deletes_nothing_then(obs_bucket: str) -> None:
    make("tree/a")
    os.symlink("nowhere", "tree/dead")
    file.write(f"{obs_bucket}/x/old", "old")

    done = run("sync", "tree", f"{obs_bucket}/x", "--delete", status=1)
    assert done.stderr.splitlines() == [
        "python -m aioobs: tree/dead: the link leads nowhere",
        "python -m aioobs: nothing was deleted, since not everything was copied",
    ]
    assert remote(f"{obs_bucket}/x") == ["a", "old"]
    run("sync", "-n", "tree", f"{obs_bucket}/x", status=1)


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (["tree", "{}/x", "--delete", "--max-delete", "1"], 2, "2 files would be deleted"),
        (["empty", "{}/x", "--delete"], 2, "give --max-delete 2 if"),
        (["tree/a", "{}/x"], 2, "sync is for folders, cp for files"),
        (["tree", "tree/sub"], 2, "lies in the other"),
        (["missing", "{}/x"], 3, "there is no such folder"),
        (["tree"], 2, "DST"),
        (["tree", "{}/x", "more"], 2, "unrecognized arguments: more"),
    ],
)
def test_sync_refuses_before_it_does_anything(
    arguments: list[str], status: int, text: str, obs_bucket: str
) -> None:
    make("tree/a", "empty/")
    for name in ("old", "older"):
        file.write(f"{obs_bucket}/x/{name}", name)
    given = [argument.format(obs_bucket) for argument in arguments]
    errors = run("sync", *given, status=status).stderr
    assert text in errors
    assert len(errors.splitlines()) == 1
    assert remote(obs_bucket) == ["x/old", "x/older"]


def test_a_terminal_sees_what_a_sync_has_done(obs_bucket: str) -> None:
    make("tree/a", "tree/b")
    file.write(f"{obs_bucket}/old", "old")
    shown = at_terminal("sync", "tree", obs_bucket)
    assert "comparing tree with s3://" in shown
    assert re.search(r"2 of 2 files  .*/s", shown)  # without a +: all is known from the beginning
    end = rf"2 files \(12 B\) copied, 0 unchanged, 1 only in {obs_bucket} in \d+\.\d s, .*/s\r\n$"
    assert re.search(end, shown)
    shown = at_terminal("sync", "tree", obs_bucket, "--delete")
    assert re.search(r"0 files \(0 B\) copied, 1 deleted, 2 unchanged in ", shown)


def test_ctrl_c_ends_a_sync_without_deletions(
    obs_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make("tree/a", "tree/b")
    file.write(f"{obs_bucket}/x/old", "old")
    pass_on, puts = forward(os.environ["S3_ENDPOINT"]), 0

    def respond(request: Received) -> Answer:
        nonlocal puts
        puts += request.method == "PUT"
        return STALL if puts > 1 else pass_on(request)

    with FaultyServer(always=respond) as server:
        monkeypatch.setenv("S3_ENDPOINT", server.endpoint)
        command = [*PROGRAM, "sync", "--jobs", "1", "--delete", "tree", f"{obs_bucket}/x"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as it:
            while puts < 2:
                assert server.arrived.acquire(timeout=20)
            it.send_signal(signal.SIGINT)
            _, errors = it.communicate(timeout=20)
    assert it.returncode == 130
    assert "interrupted: 1 file (6 B) copied before that, the rest is as it was" in errors
    assert not any(request.method in ("POST", "DELETE") for request in server.requests)


def test_bench_measures_and_leaves_nothing(obs_bucket: str) -> None:
    options = ["--files", "20", "--size", "1M"]
    lines = run("bench", f"{obs_bucket}/sub", *options).stdout.splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "latency",
        "small files up",
        "small files down",
        "removal",
        "big file up",
        "big file down",
    ]
    rows = {row.pop("measured"): row for row in objects("bench", obs_bucket, *options)}
    assert rows["latency"]["milliseconds"] > 0
    assert rows["small files up"]["files_per_second"] > 0
    assert rows["big file down"]["bytes_per_second"] > 0
    assert remote(obs_bucket) == []

    errors = run("bench", f"{obs_bucket}-missing", status=3).stderr
    assert len(errors.splitlines()) == 1
