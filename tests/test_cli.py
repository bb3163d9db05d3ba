"""The command line: files go where its help says, in processes of its own on a real server."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from command import PROGRAM, checkout, local, make, objects, remote, run
from faulty import Answer, FaultyServer, Received, answer, refusal, use

from aioobs.sync import Client, file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aioobs.testing import LocalServer

__all__ = ["checkout"]


@pytest.fixture
def other_bucket(obs_server: LocalServer, obs_bucket: str) -> Iterator[str]:
    """Give the URL of a second empty bucket."""
    url = f"{obs_bucket}-2"
    obs_server.create_bucket(url[5:])
    yield url
    obs_server.delete_bucket(url[5:])


# --- Where copies go ---


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["a.txt", "{}/new"], ["new"]),
        (["a.txt", "{}/new/"], ["new/a.txt"]),
        (["a.txt", "{}"], ["a.txt"]),
        (["a.txt", "b.txt", "{}/new/"], ["new/a.txt", "new/b.txt"]),
        (["*.txt", "{}/new/"], ["new/a.txt", "new/b.txt"]),
        (["-r", "tree", "{}/new"], ["new/c", "new/sub/d"]),
        (["-r", "tree/", "{}/new/"], ["new/tree/c", "new/tree/sub/d"]),
        (["tree", "a.txt", "-r", "{}"], ["a.txt", "tree/c", "tree/sub/d"]),
        (["-rT", "tree", "{}"], ["c", "sub/d"]),
        (["-r", "tree/.", "{}/new/"], ["new/c", "new/sub/d"]),
        (["-r", "tree", "{}/new", "--include", "*d"], ["new/sub/d"]),
        (["-r", "tree", "{}/new", "--exclude", "sub/*"], ["new/c"]),
    ],
)
def test_a_copy_goes_into_a_folder_or_gets_its_exact_name(
    arguments: list[str], expected: list[str], obs_bucket: str
) -> None:
    make("a.txt", "b.txt", "tree/c", "tree/sub/d")

    run("cp", *(text.format(obs_bucket) for text in arguments))

    assert remote(obs_bucket) == expected


def test_a_folder_that_exists_takes_the_copy_at_either_place(obs_bucket: str) -> None:
    make("tree/c", "here/")
    file.write(f"{obs_bucket}/there/x", "x")

    run("cp", "-r", "tree", f"{obs_bucket}/there")
    run("cp", f"{obs_bucket}/there/tree/c", "here")
    run("cp", "-r", obs_bucket, "here")

    assert remote(obs_bucket) == ["there/tree/c", "there/x"]
    name = obs_bucket[5:]
    assert local("here") == ["c", f"{name}/there/tree/c", f"{name}/there/x"]


def test_patterns_match_objects_and_leave_folders_out(obs_bucket: str) -> None:
    for name in ("a.txt", "b.txt", "c.log", "sub/d.txt"):
        file.write(f"{obs_bucket}/{name}", name)

    run("cp", f"{obs_bucket}/*.txt", "texts/")
    run("cp", f"{obs_bucket}/**/*.txt", "deep/")
    left_out = run("cp", f"{obs_bucket}/*", "all/").stderr

    assert local("texts") == ["a.txt", "b.txt"]
    assert local("deep") == ["a.txt", "b.txt", "d.txt"]
    assert local("all") == ["a.txt", "b.txt", "c.log"]
    assert left_out == f"python -m aioobs: {obs_bucket}/sub is a folder: left out, add -r\n"


def test_a_name_with_the_letters_of_a_pattern_is_a_name(obs_bucket: str) -> None:
    make("a[1].txt")
    run("cp", "a[1].txt", f"{obs_bucket}/b[1].txt")
    run("cp", f"{obs_bucket}/b[1].txt", "back/")
    assert local("back") == ["b[1].txt"]


def test_what_makes_no_sense_is_refused_before_anything_is_copied(obs_bucket: str) -> None:
    make("a.txt", "b/a.txt", "tree/c")
    os.mkfifo("pipe")
    file.write(f"{obs_bucket}/x/y", "y")

    for arguments in (
        ["a.txt"],
        ["a.txt", "b/a.txt", f"{obs_bucket}/new"],
        ["*", f"{obs_bucket}/new"],
        ["a.txt", "b/a.txt", f"{obs_bucket}/new/"],
        ["a.txt", "a.txt"],
        ["tree", f"{obs_bucket}/new"],
        ["-T", "a.txt", f"{obs_bucket}/new/"],
        ["-r", "tree", "tree/sub/"],
        ["-r", f"{obs_bucket}/x", f"{obs_bucket}/x"],
        [f"{obs_bucket}/x/y", f"{obs_bucket}/x/y"],
        ["-", f"{obs_bucket}/new/"],
        ["pipe", f"{obs_bucket}/new"],
        ["a.txt", f"{obs_bucket}/new", "--unknown"],
        ["a.txt", "http://somewhere/new"],
    ):
        errors = run("cp", *arguments, status=2).stderr
        assert len(errors.splitlines()) == 1, errors

    assert remote(obs_bucket) == ["x/y"]
    assert local() == ["a.txt", "b/a.txt", "tree/c"]


def test_a_dry_run_says_what_it_would_do_and_does_nothing(obs_bucket: str) -> None:
    make("tree/c", "tree/sub/d")
    file.write(f"{obs_bucket}/x/y", "y")

    copied = run("cp", "-rn", "tree", f"{obs_bucket}/new").stdout.splitlines()
    moved = run("mv", "--dry-run", f"{obs_bucket}/x", "x").stdout
    removed = run("rm", "-rn", obs_bucket, "tree").stdout.splitlines()
    run("cp", "-n", f"{obs_bucket}/missing", "x", status=3)

    assert sorted(copied) == [
        f"copy tree/c to {obs_bucket}/new/c",
        f"copy tree/sub/d to {obs_bucket}/new/sub/d",
    ]
    assert moved == f"move {obs_bucket}/x/y to x/y\n"
    assert sorted(removed) == [
        f"remove {obs_bucket}/x/y",
        "remove tree/c",
        "remove tree/sub/d",
    ]
    assert remote(obs_bucket) == ["x/y"]
    assert local() == ["tree/c", "tree/sub/d"]


def test_each_file_is_named_as_json_or_in_words(obs_bucket: str) -> None:
    make("tree/c", "tree/sub/d")

    words = run("cp", "-rv", "tree", f"{obs_bucket}/new").stdout.splitlines()
    found = objects("mv", f"{obs_bucket}/new/c", "back")

    assert min(words) == f"copy tree/c to {obs_bucket}/new/c"
    assert found == [
        {
            "operation": "move",
            "source": f"{obs_bucket}/new/c",
            "target": "back",
            "size": 6,
            "dry_run": False,
        }
    ]


def test_what_is_made_and_removed_is_told_as_json(obs_bucket: str) -> None:
    made = f"{obs_bucket}-made"

    def removed(path: str, size: int | None, *, dry_run: bool = False) -> dict[str, object]:
        return {"operation": "remove", "path": path, "size": size, "dry_run": dry_run}

    assert objects("mb", made) == [{"operation": "make", "path": made}]
    make("tree/c", "tree/sub/d")
    for name in ("c", "sub/d"):
        file.write(f"{made}/{name}", name)
    streamed = run("cp", "-", f"{made}/input", "--json", data=b"12345").stdout
    assert json.loads(streamed) == {
        "operation": "copy",
        "source": "-",
        "target": f"{made}/input",
        "size": 5,
        "dry_run": False,
    }
    run("cp", f"{made}/input", "-", "--json", status=2)

    would_go = objects("rm", "-n", f"{made}/c", "tree/c")
    assert would_go == [removed(f"{made}/c", 1, dry_run=True), removed("tree/c", 6, dry_run=True)]
    assert objects("rm", "-r", f"{made}/sub", "tree") == [
        removed(f"{made}/sub/d", 5),
        removed("tree", None),
    ]
    assert objects("rb", "--force", made) == [
        removed(f"{made}/c", 1),
        removed(f"{made}/input", 5),
        {"operation": "remove", "path": made},
    ]


def test_files_that_fail_do_not_keep_others_from_being_copied(obs_bucket: str) -> None:
    make("tree/c", "tree/sub/d", "out/sub")
    run("cp", "-rT", "tree", obs_bucket)

    done = run("cp", "-rT", obs_bucket, "out", "--json", status=1)

    assert local("out") == ["c", "sub"]
    assert len(done.stderr.splitlines()) == 1
    assert "sub/d" in done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["target"] for row in rows if "target" in row] == ["out/c"]
    assert ["a file stands where a folder is wanted" in row["error"] for row in rows[1:]] == [True]


# --- Streams ---


def test_the_standard_input_of_any_length_becomes_an_object(obs_bucket: str) -> None:
    data = os.urandom(1 << 20) * 20
    run("cp", "-", f"{obs_bucket}/big", data=data)
    run("cp", "-", f"{obs_bucket}/empty")

    assert file.read(f"{obs_bucket}/big", binary=True) == data
    assert file.get_size(f"{obs_bucket}/empty") == 0
    for arguments in (["cp", f"{obs_bucket}/big", "-"], ["cat", f"{obs_bucket}/big"]):
        done = subprocess.run([*PROGRAM, *arguments], capture_output=True, check=True)
        assert done.stdout == data


def test_cat_writes_one_after_the_other_and_head_the_beginnings(obs_bucket: str) -> None:
    file.write(f"{obs_bucket}/a", "".join(f"{number}\n" for number in range(100_000)))
    Path("b").write_text("no end of line")

    assert run("cat", "b", f"{obs_bucket}/a", "b").stdout.endswith("99999\nno end of line")
    for lines in (["-n", "2"], ["-2"]):
        assert run("head", *lines, f"{obs_bucket}/a", "b").stdout == "0\n1\nno end of line"
    assert run("head", f"{obs_bucket}/a").stdout == "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n"
    assert run("head", "-c", "5", f"{obs_bucket}/a").stdout == "0\n1\n2"
    assert len(run("head", "-c", "100K", f"{obs_bucket}/a").stdout) == 102_400


# --- Moves ---


def test_a_move_leaves_nothing_behind_in_each_direction(obs_bucket: str, other_bucket: str) -> None:
    make("tree/c", "tree/sub/d", "tree/empty/")

    run("mv", "tree", f"{obs_bucket}/tree")
    assert not Path("tree").exists()
    run("mv", f"{obs_bucket}/tree", f"{other_bucket}/moved")
    assert remote(obs_bucket) == []
    run("mv", f"{other_bucket}/moved", "back/")
    assert remote(other_bucket) == []
    run("mv", "back", "new/sub")

    assert local() == ["new/sub/moved/c", "new/sub/moved/sub/d"]
    assert Path("new/sub/moved/empty").is_dir()


def test_a_move_that_is_filtered_takes_what_passes_alone(obs_bucket: str) -> None:
    make("tree/a.txt", "tree/b.log", "tree/sub/c.txt")
    run("mv", "tree", obs_bucket, "--include", "*.txt")
    run("mv", "-T", f"{obs_bucket}/tree", "back", "--exclude", "sub/*")

    assert local() == ["back/a.txt", "tree/b.log"]
    assert remote(obs_bucket) == ["tree/sub/c.txt"]


def test_what_could_not_be_moved_stays(obs_bucket: str) -> None:
    make("tree/c", "tree/sub/d", "out/sub")
    run("cp", "-rT", "tree", f"{obs_bucket}/x")

    run("mv", "-T", f"{obs_bucket}/x", "out", status=1)

    assert local("out") == ["c", "sub"]
    assert remote(obs_bucket) == ["x/sub/d"]


def test_a_move_onto_itself_loses_nothing(obs_bucket: str) -> None:
    for name in ("a/x", "a/a/x"):
        file.write(f"{obs_bucket}/{name}", name)
    make("f", "elsewhere/x")

    run("mv", f"{obs_bucket}/a/x", f"{obs_bucket}/a/", status=2)
    run("mv", f"{obs_bucket}/a", obs_bucket, status=2)
    run("mv", f"{obs_bucket}/a/a", obs_bucket, status=2)
    run("mv", "f", "f", status=2)
    run("mv", "-T", f"{obs_bucket}/a", f"{obs_bucket}/a/b", status=2)

    assert remote(obs_bucket) == ["a/a/x", "a/x"]
    assert local() == ["elsewhere/x", "f"]


def test_what_a_link_leads_to_outside_the_folder_is_copied_and_stays(obs_bucket: str) -> None:
    make("elsewhere/x", "tree/c")
    Path("tree/link").symlink_to(Path("elsewhere").absolute())

    run("mv", "tree", f"{obs_bucket}/tree")

    assert remote(obs_bucket) == ["tree/c", "tree/link/x"]
    assert local() == ["elsewhere/x"]
    assert not Path("tree").exists()


def test_what_a_link_leads_to_within_the_folder_is_moved_once(obs_bucket: str) -> None:
    make("tree/sub/c")
    Path("tree/link").symlink_to("sub")

    run("mv", "tree", f"{obs_bucket}/tree")

    assert remote(obs_bucket) == ["tree/link/c", "tree/sub/c"]
    assert not Path("tree").exists()


# --- Removals ---


def test_rm_removes_files_folders_and_what_a_pattern_matches(obs_bucket: str) -> None:
    names = ["a.txt", "b.txt", "c.log", "sub/d", "sub/e/f", "subway/g"]
    make(*names, below="tree")
    run("cp", "-rT", "tree", obs_bucket)

    for root in (obs_bucket, "tree"):
        run("rm", f"{root}/*.txt")
        assert len(run("rm", "-v", "-r", f"{root}/sub").stdout.splitlines()) >= 1
        assert sorted(file.list_directory(root)) == ["c.log", "subway"]
    assert remote(obs_bucket) == local("tree") == ["c.log", "subway/g"]
    run("rm", "-r", "--exclude", "*.log", "--force", obs_bucket, "tree")
    assert remote(obs_bucket) == local("tree") == ["c.log"]


def test_rm_of_many_objects_leaves_none(obs_bucket: str) -> None:
    make(*(f"{number % 7}/{number}" for number in range(1200)), below="tree")
    run("cp", "-rT", "tree", f"{obs_bucket}/many")
    assert len(remote(f"{obs_bucket}/many")) == 1200

    assert len(run("rm", "-rv", f"{obs_bucket}/many").stdout.splitlines()) == 1200

    assert file.list_directory(obs_bucket, recursive=True) == []


def test_rm_refuses_too_much_before_it_removes_anything(
    obs_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make("home/x", "a")
    file.write(f"{obs_bucket}/sub/x", "x")
    monkeypatch.setenv("HOME", str(Path("home").absolute()))

    assert "--force" in run("rm", "-r", "a", obs_bucket, status=2).stderr
    assert "add -r" in run("rm", "a", f"{obs_bucket}/sub", status=2).stderr
    run("rm", "-r", "a", "home", status=2)
    run("rm", "a", f"{obs_bucket}/missing", status=3)

    assert local() == ["a", "home/x"]
    assert remote(obs_bucket) == ["sub/x"]
    run("rm", "-r", "--force", obs_bucket)
    assert remote(obs_bucket) == []


@pytest.fixture
def stubborn(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Lead to a store with one object, which it does not remove."""
    left = "<Error><Key>key</Key><Code>AccessDenied</Code><Message>stays</Message></Error>"

    def reply(request: Received) -> Answer:
        if request.method == "POST":
            return answer(body=f"<DeleteResult>{left}</DeleteResult>")
        if request.path.endswith("/key"):
            body = b"abc" if request.method == "GET" else b""
            return answer(body=body, content_length="3", etag='"1"')
        return answer(body="<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")

    with FaultyServer(always=reply) as server:
        use(server, monkeypatch)
        yield


@pytest.mark.usefixtures("stubborn")
def test_rm_and_mv_say_what_the_store_does_not_let_go() -> None:
    removed = run("rm", "-v", "s3://bucket/key", status=1)
    assert removed.stdout == ""
    assert removed.stderr == (
        "python -m aioobs: deleteObjects s3://bucket/key: 200 AccessDenied: stays\n"
    )
    told = json.loads(run("rm", "--json", "s3://bucket/key", status=1).stdout)
    assert told["path"] == "s3://bucket/key"
    assert "AccessDenied" in told["error"]
    moved = run("mv", "s3://bucket/key", "here", status=1)
    assert moved.stderr == (
        "python -m aioobs: copied, but not removed: "
        "deleteObjects s3://bucket/key: 200 AccessDenied: stays\n"
    )
    assert Path("here").read_text() == "abc"


def test_a_refusal_names_where_to_look(monkeypatch: pytest.MonkeyPatch) -> None:
    with FaultyServer(always=refusal(403, "AccessDenied")) as server:
        use(server, monkeypatch)
        errors = run("ls", "s3://bucket/folder/", status=4).stderr
    assert len(errors.splitlines()) == 1
    assert errors.endswith("; see what is allowed: aioobs doctor s3://bucket\n")


# --- Buckets ---


def test_buckets_are_made_and_removed(obs_bucket: str) -> None:
    url = f"{obs_bucket}-new"
    run("mb", url)
    assert f"{url[5:]}/" in run("ls").stdout.splitlines()
    run("mb", f"{url}/key", status=2)
    file.write(f"{url}/sub/x", "x")
    with Client() as client:
        client.create_multipart_upload(url[5:], "unfinished")

    run("rb", url, status=1)
    run("rb", "--force", url)

    assert not file.exists(url)


def test_uploads_that_were_not_finished_are_listed_and_aborted(obs_bucket: str) -> None:
    bucket = obs_bucket[5:]
    with Client() as client:
        upload = client.create_multipart_upload(bucket, "logs/a")
        client.create_multipart_upload(bucket, "other")

    (row,) = objects("uploads", f"{obs_bucket}/logs/")
    assert (row["path"], row["upload_id"], row["aborted"]) == (
        f"{obs_bucket}/logs/a",
        upload,
        False,
    )
    assert run("uploads", obs_bucket, "--older-than", "1h").stdout == ""
    assert "--older-than" in run("uploads", obs_bucket, "--abort", status=2).stderr
    assert objects("uploads", obs_bucket, "--abort", "--older-than", "1h") == []
    assert len(objects("uploads", obs_bucket)) == 2
