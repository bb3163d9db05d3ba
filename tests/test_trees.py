"""Trees made alike: whatever they are at first, and nothing that should stay is ever deleted."""

from __future__ import annotations

import asyncio
import os
import pickle
import random
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import TYPE_CHECKING

import boto3
import boto3.s3.transfer
import pytest
from faulty import (
    STALL,
    Answer,
    FaultyServer,
    Received,
    answer,
    forward,
    listing,
    refusal,
    stored,
    use,
)

import aioobs
import aioobs.sync as blocking
from aioobs.errors import ConfigError, NameConflict, NotFound, TransferFailed
from aioobs.sync import file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from aioobs.testing import LocalServer
    from aioobs.transfer.job import Comparison

pytest_plugins = ["verbs"]

DIRECTIONS = ["local-local", "local-remote", "remote-local", "remote-remote"]
HOUR = 3600
MIB = 1 << 20

Tree = dict[str, bytes]
"""Contents by name; an empty folder is a name with a slash."""


@pytest.fixture(params=["seaweedfs", "moto"])
def store(request: pytest.FixtureRequest) -> str:
    """Give an empty bucket of a store that lists by folders, and of one that lists by keys."""
    fixture = "obs_bucket" if request.param == "seaweedfs" else "moto_bucket"
    return str(request.getfixturevalue(fixture))


@pytest.fixture(params=DIRECTIONS)
def ends(request: pytest.FixtureRequest, obs_bucket: str, tmp_path: Path) -> tuple[str, str]:
    """Give the names of two folders that do not exist yet, for each direction."""
    kinds = request.param.split("-")
    return (
        places(obs_bucket, tmp_path)[kinds[0]] + "/src",
        places(obs_bucket, tmp_path)[kinds[1]] + "/dst",
    )


def places(bucket: str, folder: Path) -> dict[str, str]:
    return {"local": str(folder), "remote": bucket}


def plant(root: str, tree: Mapping[str, bytes]) -> None:
    """Write a tree; local files are an hour old."""
    for name, data in tree.items():
        path = f"{root}/{name}"
        if name.endswith("/"):
            file.make_dirs(path)
            continue
        if "://" not in root:
            file.make_dirs(os.path.dirname(path))
        file.write(path, data, binary=True)
        if "://" not in root:
            age(path, HOUR)


def age(path: str, seconds: float) -> None:
    """Have a local file claim that it was changed so long ago."""
    then = time.time() - seconds
    os.utime(path, (then, then))


def harvest(root: str) -> Tree:
    """Return what there is, in terms of `plant`."""
    if not file.exists(root):
        return {}
    names = file.list_directory(root, recursive=True, remove_sep=False)
    return {
        name: b"" if name.endswith("/") else file.read(f"{root}/{name}", binary=True)
        for name in names
        if not (name.endswith("/") and any(o != name and o.startswith(name) for o in names))
    }


def reasons(plan: blocking.SyncPlan) -> dict[str, str]:
    """Return why each file would be copied, by its last name."""
    return {os.path.basename(str(job.source)): job.reason for job in plan.jobs}


def counts(report: aioobs.SyncReport) -> tuple[int, int, int, int]:
    return report.copied, report.unchanged, report.deleted, report.extras


# --- Any two trees ---

SEGMENTS = ["a", "b", "a-", "a.b", "a0", "é 你", "😀"]
CONTENTS = [b"", b"1", b"2", b"33"]
EXAMPLES = 8


def random_tree(chance: random.Random) -> Tree:
    """Return what a file system can hold: no name is a file and a folder."""
    tree: Tree = {}
    for _ in range(chance.randrange(9)):
        parts = chance.choices(SEGMENTS, k=chance.randint(1, 3))
        name = "/".join(parts)
        above = ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]
        if any(one in tree or f"{one}/" in tree for one in above):
            continue
        if not any(other.startswith(f"{name}/") for other in tree):
            is_folder = chance.random() < 0.25
            tree[f"{name}/" if is_folder else name] = b"" if is_folder else chance.choice(CONTENTS)
    return tree


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_sync_makes_any_tree_like_any_other(
    direction: str, store: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    chance = random.Random(direction)
    is_slow_to_forget = "obs_bucket" in request.fixturenames
    for number in range(EXAMPLES):
        ends = [
            f"{places(store, tmp_path)[kind]}/{number}{name}"
            for kind, name in zip(direction.split("-"), ("src", "dst"), strict=True)
        ]
        before, after = random_tree(chance), {"always": b"x"} | random_tree(chance)
        plant(ends[0], after)
        plant(ends[1], before)

        planned = blocking.plan_sync(*ends, delete=True, compare="content")
        assert harvest(ends[1]) == before
        if planned.blocked and "remote" in direction.split("-")[1] and is_slow_to_forget:
            continue  # the store still has the folder, and would lose the file

        report = blocking.sync_tree(*ends, delete=True, compare="content")
        assert harvest(ends[1]) == after, (before, after)
        assert harvest(ends[0]) == after
        assert (report.copied, report.deleted) == (len(planned.jobs), len(planned.deletions))

        for compare in ("time", "etag", "content"):
            again = blocking.sync_tree(*ends, delete=True, compare=compare)
            assert counts(again) == (0, len(after), 0, 0), (compare, before, after)
        assert blocking.plan_sync(ends[1], ends[0], delete=True).is_empty


# --- What is copied ---


def test_what_is_alike_is_left_and_what_differs_is_copied(ends: tuple[str, str]) -> None:
    tree = {"a": b"1", "sub/b": b"2", "gone": b"3", "empty/": b""}
    plant(ends[0], tree)
    first = blocking.sync_tree(*ends)
    assert counts(first) == (4, 0, 0, 0)
    assert first.bytes == 3

    file.write(f"{ends[0]}/a", b"longer", binary=True)
    file.write(f"{ends[0]}/sub/b", b"3", binary=True)  # within the same second, perhaps
    file.write(f"{ends[0]}/new", b"4", binary=True)
    file.remove(f"{ends[0]}/gone")
    plan = blocking.plan_sync(*ends)
    assert reasons(plan) == {"a": "size", "b": "time", "new": "new"}

    assert counts(blocking.run_sync(plan)) == (3, 1, 0, 1)
    expected = {"a": b"longer", "sub/b": b"3", "new": b"4", "empty/": b""}
    assert harvest(ends[1]) == expected | {"gone": b"3"}
    assert counts(blocking.sync_tree(*ends, delete=True)) == (0, 4, 1, 0)
    assert harvest(ends[1]) == expected


def test_a_download_has_the_time_of_its_object(obs_bucket: str, tmp_path: Path) -> None:
    sizes = {"small": 1, "big": 20 * MIB}
    for name, size in sizes.items():
        file.write(f"{obs_bucket}/{name}", bytes(size), binary=True)
    blocking.sync_tree(obs_bucket, tmp_path)
    for name in sizes:
        assert (tmp_path / name).stat().st_mtime_ns == file.stat(f"{obs_bucket}/{name}").mtime_nsec
    blocking.sync_tree(tmp_path, tmp_path.with_name("again"))
    copied = tmp_path.with_name("again") / "small"
    assert copied.stat().st_mtime_ns == (tmp_path / "small").stat().st_mtime_ns


@pytest.mark.parametrize(
    ("compare", "expected"),
    [
        ("time", {}),
        ("size", {}),
        ("etag", {"changed": "content", "parts": "content"}),
        ("content", {"changed": "content"}),
    ],
)
def test_a_target_that_is_newer_is_looked_into_on_request(
    compare: Comparison, expected: dict[str, str], obs_bucket: str, tmp_path: Path
) -> None:
    client = boto3.client(
        "s3",
        endpoint_url=os.environ["S3_ENDPOINT"],
        aws_access_key_id=os.environ["ACCESS_KEY_ID"],
        aws_secret_access_key=os.environ["SECRET_ACCESS_KEY"],
        region_name="us-east-1",
    )
    data = random.Random(1).randbytes(17 * MIB)
    plant(str(tmp_path), {"same": b"1", "changed": b"2", "big": data, "parts": data})
    blocking.sync_tree(tmp_path, obs_bucket)
    file.write(f"{obs_bucket}/changed", b"3", binary=True)
    parts = boto3.s3.transfer.TransferConfig(
        multipart_chunksize=6 * MIB
    )  # whose ETag nobody guesses
    client.upload_file(str(tmp_path / "parts"), obs_bucket[5:], "parts", Config=parts)
    client.close()

    assert reasons(blocking.plan_sync(tmp_path, obs_bucket, compare=compare)) == expected


def test_objects_of_one_etag_are_read_where_their_content_is_to_be_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def step(received: Received) -> Answer:
        if "list-type" in received.query:
            return answer(body=listing(f"{received.query['prefix']}x"))
        return stored(received.path[3:4].encode(), "e")(received)

    with FaultyServer(always=step) as server:
        use(server, monkeypatch)
        assert reasons(blocking.plan_sync("s3://b/1", "s3://b/2", compare="etag")) == {}
        found = reasons(blocking.plan_sync("s3://b/1", "s3://b/2", compare="content"))
    assert found == {"x": "content"}


@pytest.mark.parametrize("gone", [("404", "NoSuchKey"), ("412", "PreconditionFailed")])
def test_what_is_replaced_while_it_is_compared_is_copied(
    obs_server: LocalServer,
    obs_bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    gone: tuple[str, str],
) -> None:
    plant(str(tmp_path), {"file": b"here"})
    plant(obs_bucket, {"file": b"gone"})
    pass_on = forward(obs_server.endpoint)

    def step(received: Received) -> Answer:
        if received.path.endswith("/file") and received.method == "GET":
            return refusal(int(gone[0]), gone[1])
        return pass_on(received)

    with FaultyServer(always=step) as server:
        monkeypatch.setenv("S3_ENDPOINT", server.endpoint)
        plan = blocking.plan_sync(tmp_path, obs_bucket, compare="content")
    assert reasons(plan) == {"file": "content"}


def test_patterns_choose_on_both_sides_in_any_order(ends: tuple[str, str]) -> None:
    plant(ends[0], {"a.txt": b"1", "a.log": b"2", "sub/b.txt": b"3", "tmp/c.txt": b"4"})
    plant(ends[1], {"old.txt": b"5", "old.log": b"6", "tmp/old.txt": b"7"})

    blocking.sync_tree(*ends, delete=True, include=["*.txt", "*.md"], exclude=["tmp/"])

    assert sorted(harvest(ends[1])) == ["a.txt", "old.log", "sub/b.txt", "tmp/old.txt"]


def test_folders_of_what_is_left_out_stay(store: str, tmp_path: Path) -> None:
    plant(str(tmp_path), {"new": b"1"})
    for folder in ("a/b", "c"):
        file.make_dirs(f"{store}/{folder}")  # whose markers stay when there is something in them
    plant(store, {"a/b/kept.log": b"2", "a/b/old": b"3", "c/old": b"4"})

    blocking.sync_tree(tmp_path, store, delete=True, exclude=["*.log"])

    assert {"a/b/kept.log", "new"} <= set(file.list_directory(store, recursive=True))
    assert not file.exists(f"{store}/a/b/old")


def test_a_folder_takes_the_place_of_a_file_and_a_file_that_of_a_folder(
    moto_bucket: str, tmp_path: Path
) -> None:
    plant(str(tmp_path / "src"), {"a/b": b"1", "c": b"2", "c-": b"3", "d/": b""})
    for target in (str(tmp_path / "dst"), f"{moto_bucket}/dst"):
        plant(target, {"a": b"1", "c/x/y": b"2", "c/z/": b"", "d": b"3"})

        with pytest.raises(TransferFailed) if target[0] == "/" else nullcontext():
            blocking.sync_tree(tmp_path / "src", target)
        assert {"a", "c/x/y", "d"} <= set(file.list_directory(target, recursive=True))

        blocking.sync_tree(tmp_path / "src", target, delete=True)
        assert harvest(target) == {"a/b": b"1", "c": b"2", "c-": b"3", "d/": b""}


def test_keys_that_are_file_and_folder_are_not_written(moto_bucket: str, tmp_path: Path) -> None:
    for key in ("a", "a/b", "a-", "c"):
        file.write(f"{moto_bucket}/{key}", b"x", binary=True)
    plant(str(tmp_path), {"old": b"1"})
    with pytest.raises(NameConflict) as failed:
        blocking.sync_tree(moto_bucket, tmp_path, delete=True)
    assert len(failed.value.failures) == 2
    assert harvest(str(tmp_path)) == {"a-": b"x", "c": b"x", "old": b"1"}


@pytest.mark.parametrize("order", [reversed, lambda keys: sorted(keys, key=lambda key: key[::-1])])
def test_a_store_may_list_in_any_order(
    order: Callable[[list[str]], list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["a", "a-", "a/b", "a/c/d", "a0", "b", "c/d"]
    keys = list(order([*names, "only/there"]))

    def respond(request: Received) -> Answer:
        if request.method != "GET":
            return answer(etag='"1"')
        start = int(request.query.get("continuation-token", 0))
        more = str(start + 3) if start + 3 < len(keys) else ""
        return answer(body=listing(*keys[start : start + 3], following=more))

    plant(str(tmp_path), {name: b"x" for name in names if name != "a"} | {"only here": b"1"})
    with FaultyServer(always=respond) as server:
        use(server, monkeypatch)
        plan = blocking.plan_sync(tmp_path, "s3://bucket", delete=True, compare="size")
    assert reasons(plan) == {"only here": "new"}
    assert sorted(plan.deletions) == ["a", "only/there"]


def test_a_plan_takes_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pages, each = 10, 1000

    def respond(request: Received) -> Answer:
        page = int(request.query.get("continuation-token", 0))
        keys = [f"folder/{page:04}/file-{number:04}.txt" for number in range(each)]
        more = str(page + 1) if page + 1 < pages else ""
        return answer(body=listing(*keys, following=more))

    with FaultyServer(always=respond) as server:
        use(server, monkeypatch)
        plan = blocking.plan_sync("s3://bucket", tmp_path / "new")
    assert len(plan.jobs) == pages * each
    packed = pickle.dumps(plan)
    assert len(packed) < 40 * pages * each
    assert len(pickle.loads(packed).jobs) == pages * each


def test_a_plan_can_be_carried_out_on_an_executor(ends: tuple[str, str]) -> None:
    tree = {f"{number % 7}/{number}": b"x" for number in range(150)}
    plant(ends[0], tree)
    plant(ends[1], {"old": b"1"})
    plan = pickle.loads(pickle.dumps(blocking.plan_sync(*ends, delete=True)))
    with ThreadPoolExecutor(2) as executor:
        report = blocking.run_sync(plan, executor=executor)
    assert counts(report) == (150, 0, 1, 0)
    assert harvest(ends[1]) == tree


async def test_progress_is_told(obs_bucket: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(10))
    told: list[aioobs.file.Progress] = []
    report = await aioobs.sync_tree(tmp_path, obs_bucket, progress=told.append)
    assert (told[-1].files, told[-1].bytes, told[-1].failed) == (1, 10, 0)
    assert report == aioobs.SyncReport(copied=1, bytes=10, unchanged=0, deleted=0, extras=0)


# --- What is never deleted ---


def test_more_than_allowed_is_refused_before_anything_is_copied(ends: tuple[str, str]) -> None:
    plant(ends[0], {"new": b"1"})
    plant(ends[1], {"old": b"2", "older": b"3"})

    with pytest.raises(ConfigError, match="2 files would be deleted"):
        blocking.sync_tree(*ends, delete=True, max_delete=1)
    assert harvest(ends[1]) == {"old": b"2", "older": b"3"}

    blocking.sync_tree(*ends, delete=True, max_delete=2)
    assert harvest(ends[1]) == {"new": b"1"}


def test_an_empty_source_does_not_empty_the_target(obs_bucket: str, tmp_path: Path) -> None:
    plant(obs_bucket, {"a": b"1", "sub/b": b"2"})
    with pytest.raises(ConfigError, match="max_delete=2"):
        blocking.sync_tree(tmp_path, obs_bucket, delete=True)
    with pytest.raises(NotFound):
        blocking.sync_tree(tmp_path / "missing", obs_bucket, delete=True)
    with pytest.raises(NotFound):
        blocking.sync_tree(f"{obs_bucket}/missing", tmp_path / "x", delete=True)
    assert sorted(harvest(obs_bucket)) == ["a", "sub/b"]

    assert blocking.sync_tree(tmp_path, obs_bucket, delete=True, max_delete=2).deleted == 2


@pytest.mark.parametrize("ends", DIRECTIONS[:3], indirect=True)
def test_nothing_is_deleted_when_something_has_failed(ends: tuple[str, str]) -> None:
    plant(ends[0], {"a": b"1"})
    plant(ends[1], {"old": b"2"})
    if "://" in ends[0]:
        file.write(f"{ends[0]}/bad", b"3", binary=True)
        os.mkfifo(f"{ends[1]}/bad")
    else:
        os.symlink("nowhere", f"{ends[0]}/bad")

    with pytest.raises(TransferFailed, match="nothing was deleted") as failed:
        blocking.sync_tree(*ends, delete=True)

    report = failed.value.report
    assert report is not None
    assert (report.copied, report.deleted, report.extras) == (1, 0, 1)
    assert report.failures == failed.value.failures
    assert "/bad" in str(report.failures[0])
    assert file.read(f"{ends[1]}/old") == "2"


async def test_nothing_is_deleted_when_it_is_cancelled(
    obs_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await aioobs.file.write(f"{obs_bucket}/old", "x")
    (tmp_path / "new").write_text("x")
    pass_on = forward(os.environ["S3_ENDPOINT"])

    def respond(request: Received) -> Answer:
        return STALL if request.method == "PUT" else pass_on(request)

    with FaultyServer(always=respond) as server:
        monkeypatch.setenv("S3_ENDPOINT", server.endpoint)
        task = asyncio.create_task(aioobs.sync_tree(tmp_path, obs_bucket, delete=True))
        while not any(request.method == "PUT" for request in server.requests):
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert not any(request.method in ("POST", "DELETE") for request in server.requests)


def test_links_in_the_target_lead_to_no_deletion(obs_bucket: str, tmp_path: Path) -> None:
    plant(obs_bucket, {"kept/a": b"1"})
    plant(str(tmp_path), {"elsewhere/precious": b"2", "dst/old": b"3"})
    os.symlink(tmp_path / "elsewhere", tmp_path / "dst/linked")
    os.symlink(tmp_path / "elsewhere/precious", tmp_path / "dst/link")
    os.symlink("nowhere", tmp_path / "dst/dead")
    os.symlink(".", tmp_path / "dst/loop")

    plan = blocking.plan_sync(obs_bucket, tmp_path / "dst", delete=True)
    assert sorted(plan.deletions) == ["dead", "link", "old"]
    report = blocking.run_sync(plan)

    assert (report.deleted, report.extras) == (3, 2)
    assert sorted(os.listdir(tmp_path / "dst")) == ["kept", "linked", "loop"]
    assert (tmp_path / "elsewhere/precious").read_bytes() == b"2"


def test_nothing_is_deleted_where_something_of_the_target_cannot_be_looked_at(
    obs_bucket: str, tmp_path: Path
) -> None:
    plant(obs_bucket, {"kept": b"1"})
    plant(str(tmp_path), {"dst/old": b"2"})
    os.symlink("old/below", tmp_path / "dst/link")  # into what is no folder

    with pytest.raises(TransferFailed, match="dst/link") as failed:
        blocking.sync_tree(obs_bucket, tmp_path / "dst", delete=True)
    assert "nothing was deleted" in str(failed.value)
    assert sorted(os.listdir(tmp_path / "dst")) == ["kept", "link", "old"]


def test_a_folder_that_became_a_link_since_is_not_followed(obs_bucket: str, tmp_path: Path) -> None:
    plant(obs_bucket, {"kept": b"1"})
    plant(str(tmp_path), {"dst/sub/precious": b"2"})
    plan = blocking.plan_sync(obs_bucket, tmp_path / "dst", delete=True)
    (tmp_path / "dst/sub").rename(tmp_path / "elsewhere")
    os.symlink(tmp_path / "elsewhere", tmp_path / "dst/sub")

    with pytest.raises(TransferFailed, match="could not be deleted") as failed:
        blocking.run_sync(plan)
    assert str(tmp_path / "dst/sub/precious") in str(failed.value.failures[0])
    assert (tmp_path / "elsewhere/precious").read_bytes() == b"2"


def test_what_cannot_be_made_alike_is_refused(obs_bucket: str, tmp_path: Path) -> None:
    plant(str(tmp_path), {"a/b": b"1"})
    file.write(f"{obs_bucket}/x/y", b"1", binary=True)
    one, other = str(tmp_path), f"{obs_bucket}/x"
    for source, target in (
        (one, f"{one}/a"),
        (f"{one}/a", one),
        (one, one),
        (other, obs_bucket),
        (obs_bucket, other.replace("s3:", "obs:")),
    ):
        with pytest.raises(ConfigError, match="lies in the other"):
            blocking.sync_tree(source, target, delete=True)
    for source, target in ((f"{one}/a/b", other), (f"{other}/y", one), (other, f"{one}/a/b")):
        with pytest.raises(NotADirectoryError):
            blocking.sync_tree(source, target, delete=True)
    with pytest.raises(ConfigError, match="compare='date'"):
        blocking.plan_sync(one, other, compare="date")  # type: ignore[arg-type]
    with pytest.raises(NotFound):
        blocking.sync_tree(one, f"{obs_bucket}-missing")
