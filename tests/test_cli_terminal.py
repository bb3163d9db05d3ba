"""The command line: what it shows, what it says when it ends, and how it is found."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import termios
import time
import tomllib
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import urlopen

import pytest
from command import (
    PROGRAM,
    ROOT,
    at_terminal,
    checkout,
    local,
    make,
    objects,
    run,
    typed_at_terminal,
)
from faulty import STALL, Answer, FaultyServer, Received, answer, forward, refusal

import aioobs
from aioobs.cli import main
from aioobs.cli.commands import COMMANDS
from aioobs.cli.output import age, duration, readable, size_of
from aioobs.sync import file

if TYPE_CHECKING:
    from aioobs.testing import LocalServer

__all__ = ["checkout"]

ACCESS_KEY, SECRET_KEY = "test-access-key", "test-secret-key"


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the environment of a store that has no endpoint yet."""
    monkeypatch.setenv("ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("SECRET_ACCESS_KEY", SECRET_KEY)


# --- Listings ---


@pytest.fixture
def tree(obs_bucket: str) -> str:
    """Give a bucket with a few files in it."""
    for name, size in {"a.txt": 3, "sub/b.log": 2000, "sub/deep/c.txt": 3 << 20}.items():
        file.write(f"{obs_bucket}/{name}", bytes(size), binary=True)
    file.make_dirs(f"{obs_bucket}/empty")
    return obs_bucket


@pytest.mark.parametrize("kind", ["remote", "local"])
def test_ls_names_what_is_in_a_folder(kind: str, tree: str) -> None:
    if kind == "local":
        run("cp", "-rT", tree, "copy")
        tree = "copy"
    assert sorted(run("ls", tree).stdout.splitlines()) == ["a.txt", "empty/", "sub/"]
    assert run("ls", "-1", tree).stdout == run("ls", tree).stdout
    assert sorted(run("ls", "-r", tree).stdout.splitlines()) == [
        "a.txt",
        "empty/",
        "sub/",
        "sub/b.log",
        "sub/deep/",
        "sub/deep/c.txt",
    ]
    assert run("ls", f"{tree}/a.txt").stdout == f"{tree}/a.txt\n"
    assert run("ls", f"{tree}/*.txt").stdout == f"{tree}/a.txt\n"
    long = re.compile(
        r" +1\.9 MiB|2\.0 KiB|3\.0 MiB +\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ  sub/deep/c.txt"
    )
    assert any(long.fullmatch(line.strip()) for line in run("ls", "-lhr", tree).stdout.splitlines())
    (row,) = [row for row in objects("ls", tree) if row["name"] == "a.txt"]
    assert (row["kind"], row["size"], row["path"]) == ("file", 3, f"{tree}/a.txt")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", row["modified"])
    run("ls", f"{tree}/missing", status=3)


@pytest.mark.parametrize("kind", ["remote", "local"])
def test_tree_draws_folders_and_files(kind: str, tree: str) -> None:
    if kind == "local":
        run("cp", "-rT", tree, "copy")
        tree = "copy"
    drawn = f"""\
{tree}
├── a.txt
├── empty/
└── sub/
    ├── b.log
    └── deep/
        └── c.txt

3 folders, 3 files
"""
    assert run("tree", tree).stdout == drawn
    assert len(run("tree", "-L", "1", tree).stdout.splitlines()) == 6


def test_du_adds_up(tree: str) -> None:
    total = 3 + 2000 + (3 << 20)
    assert objects("du", tree) == [{"path": tree, "size": total, "files": 3}]
    rows = objects("du", "-d", "2", tree)
    assert {row["path"][len(tree) :]: (row["size"], row["files"]) for row in rows} == {
        "/sub": (2000 + (3 << 20), 2),
        "/sub/deep": (3 << 20, 1),
        "": (total, 3),
    }
    assert objects("du", tree, "--include", "*.txt", "--exclude", "sub/*")[0]["size"] == 3
    assert run("du", "-h", f"{tree}/sub/deep").stdout.split()[:2] == ["3.0", "MiB"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], ["a.txt", "empty", "sub", "sub/b.log", "sub/deep", "sub/deep/c.txt"]),
        (["--type", "d"], ["empty", "sub", "sub/deep"]),
        (["--name", "*.txt"], ["a.txt", "sub/deep/c.txt"]),
        (["--larger", "1K", "--smaller", "1M"], ["sub/b.log"]),
        (["--newer", "1h", "--exclude", "sub/*"], ["a.txt"]),
        (["--older", "1h"], []),
    ],
)
def test_find_writes_what_all_options_are_true_of(
    options: list[str], expected: list[str], tree: str
) -> None:
    found = run("find", tree, *options).stdout.splitlines()
    assert sorted(found) == [f"{tree}/{name}" for name in expected]
    by_nul = run("find", "-0", tree, *options).stdout.split("\0")[:-1]
    assert sorted(by_nul) == sorted(found)


@pytest.mark.parametrize(
    ("options", "status", "expected"),
    [(["find"], 1, ["sub", "sub/a.txt"]), (["ls", "-r"], 0, ["sub/", "sub/a.txt"])],
)
def test_a_link_that_leads_back_is_told_and_what_is_beside_it_shown(
    options: list[str], status: int, expected: list[str], tmp_path: Path
) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.txt").write_text("a")
    (tmp_path / "sub" / "back").symlink_to(tmp_path)
    done = run(*options, str(tmp_path), status=status)
    found = [line.removeprefix(f"{tmp_path}/") for line in done.stdout.splitlines()]
    assert sorted(found) == expected
    assert done.stderr.count("leads back to a folder that it stands in") == 1


def test_stat_shows_what_the_store_says(tree: str) -> None:
    info = file.stat(f"{tree}/a.txt")
    (found,) = objects("stat", f"{tree}/a.txt")
    assert (found["size"], found["etag"], found["kind"]) == (3, info.etag, "file")
    assert "size:     3\n" in run("stat", f"{tree}/a.txt").stdout
    assert [row["kind"] for row in objects("stat", f"{tree}/*")] == ["file", "folder", "folder"]
    run("stat", f"{tree}/missing", status=3)


# --- At a terminal ---


def test_a_terminal_sees_progress_and_what_was_done(obs_bucket: str) -> None:
    make("tree/a", "tree/b")
    Path("tree/big").write_bytes(bytes(20 << 20))

    shown = at_terminal("cp", "-r", "tree", f"{obs_bucket}/x")
    assert re.search(r"\[#*\.*\] +\d+%  .* of 20\.0 MiB\+?  \d of 3\+? files  .*/s", shown)
    assert re.search(r"3 files \(20\.0 MiB\) copied in \d+\.\d s, .*/s\r\n$", shown)

    assert "%" not in at_terminal("cp", "-r", "tree", f"{obs_bucket}/x", "--no-progress")
    assert run("cp", "-r", "tree", f"{obs_bucket}/y").stderr == ""


@pytest.mark.parametrize("columns", [40, 70])
def test_the_bar_leaves_its_room_to_the_words(columns: int, obs_bucket: str) -> None:
    make("tree/a", "tree/b")
    Path("tree/big").write_bytes(bytes(20 << 20))

    shown = at_terminal("cp", "-r", "tree", f"{obs_bucket}/x", columns=columns)
    lines = re.findall(r"\r\x1b\[K([^\r]*% [^\r]*)", shown)
    assert lines
    assert max(map(len, lines)) < columns
    if columns == 40:
        assert "[" not in "".join(lines)
    else:
        assert {line.rpartition(" ")[2].lstrip("0123456789.") for line in lines} <= {"left", "B/s"}


def test_names_cannot_steer_the_terminal(obs_bucket: str) -> None:
    file.write(f"{obs_bucket}/x\x1b[2Jy", "x")
    assert "\x1b" not in at_terminal("ls", obs_bucket)
    assert run("ls", obs_bucket).stdout == "x\x1b[2Jy\n"
    assert "\x1b" not in run("cat", f"{obs_bucket}/\x1b[2J", status=3).stderr


def test_names_that_are_no_text_are_written_as_they_are() -> None:
    Path(os.fsdecode(b"caf\xe9")).touch()
    done = subprocess.run([*PROGRAM, "ls", "."], capture_output=True, check=True)
    assert done.stdout == b"caf\xe9\n"


def test_letters_that_the_locale_lacks_are_escaped(
    obs_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write(f"{obs_bucket}/größe.txt", "x")
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    done = subprocess.run([*PROGRAM, "ls", obs_bucket], capture_output=True, check=True)
    assert done.stdout == rb"gr\xf6\xdfe.txt" + b"\n"


def test_sizes_and_times_are_read_and_written_as_people_do() -> None:
    assert [readable(size) for size in (0, 1023, 1024, 1536, 5 << 30, 1 << 70)] == [
        "0 B",
        "1023 B",
        "1.0 KiB",
        "1.5 KiB",
        "5.0 GiB",
        "1024.0 EiB",
    ]
    assert [size_of(text) for text in ("7", "7b", "1K", "1.5M", "2GiB", "1 kb")] == [
        7,
        7,
        1024,
        1536 << 10,
        2 << 30,
        1024,
    ]
    assert [age(text) for text in ("90", "90s", "15m", "12h", "7d")] == [90, 90, 900, 43200, 604800]
    assert [duration(seconds) for seconds in (8, 68, 3723)] == ["0:08", "1:08", "1:02:03"]
    for wrong in ("", "x", "-1", "inf", "nan"):
        for read in (size_of, age):
            with pytest.raises(ValueError, match=r".*"):
                read(wrong)


# --- Ends ---


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_copy_in_good_order(
    number: signal.Signals, status: int, keys: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    make("tree/a", "tree/b")
    with FaultyServer(answer(etag='"1"'), always=STALL) as server:
        monkeypatch.setenv("S3_ENDPOINT", server.endpoint)
        command = [*PROGRAM, "cp", "-rT", "--jobs", "1", "tree", "s3://bucket/x"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as it:
            assert server.arrived.acquire(timeout=20)
            assert server.arrived.acquire(timeout=20)
            it.send_signal(number)
            _, errors = it.communicate(timeout=20)
    assert it.returncode == status
    word = {130: "interrupted", 143: "terminated"}[status]
    assert errors == (
        f"python -m aioobs: {word}: 1 file (6 B) copied before that, the rest is as it was\n"
    )


def test_ctrl_c_ends_a_copy_of_an_input_that_does_not_end(obs_bucket: str) -> None:
    command = [*PROGRAM, "cp", "-", f"{obs_bucket}/x"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as it:
        assert it.stdin is not None
        it.stdin.write(b"x")
        it.stdin.flush()
        while fcntl.ioctl(it.stdin, termios.FIONREAD, bytes(4)) != bytes(4):
            time.sleep(0.01)  # until it has been read, and more is waited for
        it.send_signal(signal.SIGINT)
        assert it.wait(timeout=20) == 130
    assert not file.exists(f"{obs_bucket}/x")


def test_an_end_of_the_reader_is_no_error(obs_bucket: str) -> None:
    file.write(f"{obs_bucket}/x", b"line\n" * 2_000_000)
    with subprocess.Popen(
        [*PROGRAM, "cat", f"{obs_bucket}/x"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as it:
        assert it.stdout is not None
        assert it.stderr is not None
        assert it.stdout.readline() == b"line\n"
        it.stdout.close()
        assert it.stderr.read() == b""
    assert it.returncode == 141


def test_each_class_of_error_has_its_status_and_one_line_with_the_next_step(
    obs_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = run("cat", f"{obs_bucket}/sub/x", status=3).stderr
    assert missing.endswith(f"; see what there is: aioobs ls {obs_bucket}/sub/\n")
    missing = run("cat", f"{obs_bucket}/a b/*", status=3).stderr
    assert missing.endswith(
        f"; and nothing matches it; see what there is: aioobs ls '{obs_bucket}/a b/'\n"
    )
    assert run("cp", "x", status=2).stderr.endswith("; see: python -m aioobs cp --help\n")
    assert "aioobs mb" in run("ls", f"{obs_bucket}-missing", status=3).stderr
    refused = run("ls", "--endpoint", "http://127.0.0.1:1", "--attempts", "1", status=5).stderr
    assert refused.endswith("find out why: aioobs doctor\n")
    assert "--help" in run("ls", "--unknown", status=2).stderr
    assert "did you mean sync?" in run("snyc", status=2).stderr
    wrong = run("cp", "a", "b", "--recursiv", status=2).stderr
    assert "--recursiv, did you mean --recursive? see: " in wrong
    assert wrong.endswith(" cp --help\n")
    file.write(f"{obs_bucket}/x", "x")
    full = run("cp", f"{obs_bucket}/x", "/dev/full", status=1).stderr
    assert full.endswith(f": {obs_bucket}/x to /dev/full: No space left on device\n")
    assert run("rb", obs_bucket, status=1).stderr.endswith("removes it with all that is in it\n")
    run("stat", "no such file", status=3)
    with monkeypatch.context() as changed:
        changed.setenv("SECRET_ACCESS_KEY", "wrong")
        assert "SignatureDoesNotMatch" in run("ls", status=4).stderr
    monkeypatch.delenv("SECRET_ACCESS_KEY")
    monkeypatch.delenv("ACCESS_KEY_ID")
    assert "give --anonymous" in run("ls", status=4).stderr
    monkeypatch.delenv("S3_ENDPOINT")
    assert "give --endpoint" in run("ls", status=2).stderr


def test_debug_shows_requests_and_where_an_error_arises(obs_bucket: str) -> None:
    done = subprocess.run(
        [*PROGRAM, "--debug", "cat", f"{obs_bucket}/x"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 3
    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("python -m aioobs: getObject")


def test_options_stand_before_and_after_the_command(
    obs_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write(f"{obs_bucket}/x", "x")
    endpoint = os.environ["S3_ENDPOINT"]
    monkeypatch.delenv("S3_ENDPOINT")
    assert run("ls", obs_bucket, "--endpoint", endpoint).stdout == "x\n"
    assert run("--endpoint", endpoint, "ls", obs_bucket, "--region", "us-east-1").stdout == "x\n"


# --- Help ---


def test_help_is_there_at_once() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "aioobs", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert all(f"    {name} " in done.stdout for name in COMMANDS)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "aioobs.cli.parser" in imported
    # What takes more time than all the rest together.
    slow = {"aiohttp", "anyio", "asyncio", "botocore", "email", "ssl", "urllib.request", "uvloop"}
    assert not imported & slow


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help_and_no_option_for_secrets(name: str) -> None:
    text = run(name, "--help").stdout
    assert text.startswith("usage: ")
    assert "--endpoint" not in text.partition("\n\n")[0]
    assert not {"--ak", "--sk", "--secret-key"} & set(text.split())


def test_help_is_what_comes_without_a_command() -> None:
    assert run(status=2).stderr == run("--help").stdout


def test_help_loads_nothing_that_is_slow() -> None:
    program = """
import sys
from aioobs.cli.parser import build
build()
print([name for name in ("asyncio", "aiohttp", "anyio", "ssl", "uvloop") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout == b"[]\n"


def test_bash_completes_commands_and_options() -> None:
    script = run("completion", "bash").stdout
    tried = """
tried() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _aioobs; echo "${COMPREPLY[*]}"; }
tried aioobs pre
tried aioobs --endpoint x doc
tried aioobs cp --rec
tried aioobs uploads s3://bucket --ab
tried aioobs cp some
"""
    done = subprocess.run(
        ["bash", "-c", script + tried], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["presign", "doctor", "--recursive", "--abort", ""]
    assert done.stderr == ""
    assert "-a presign\n" in run("completion", "fish").stdout


@pytest.mark.skipif(shutil.which("zsh") is None, reason="is for systems with zsh")
def test_zsh_completes_commands_and_options() -> None:
    Path("script").write_text(run("completion", "zsh").stdout)
    typed = """
autoload -U compinit; compinit -D -u; source ./script; aioobs() { print "<$*>" }
aioobs pre\t
aioobs --endpoint x doc\t
aioobs uploads s3://bucket --ab\t
exit
"""
    shown = typed_at_terminal("zsh", "-f", "-i", keys=typed)
    assert re.findall("<([^<$]+)>", shown) == [
        "presign",
        "--endpoint x doctor",
        "uploads s3://bucket --abort",
    ]


# --- The store itself ---


def test_config_says_how_the_store_is_reached_without_secrets(
    obs_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://user:test-password@127.0.0.1:3128")
    text = run("config").stdout
    (row,) = objects("config", "--addressing", "virtual")

    assert os.environ["S3_ENDPOINT"] in text
    assert f"{os.environ['ACCESS_KEY_ID'][:4]}… from the environment, ACCESS_KEY_ID" in text
    assert os.environ["SECRET_ACCESS_KEY"] not in text
    assert os.environ["ACCESS_KEY_ID"] not in text
    assert "test-password" not in text
    assert row["proxy"] == "http://127.0.0.1:3128"
    assert row["addressing"] == "bucket in the host name"
    assert row["version"] == aioobs.__version__
    assert row["sources"]["endpoint"] == "S3_ENDPOINT"
    assert row["sources"]["addressing"] == "--addressing"
    assert row["sources"]["proxy"] == "ALL_PROXY"
    assert row["sources"]["attempts"] == "default"


def test_config_tells_a_file_of_credentials_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("credentials").write_text(
        f"[default]\naws_access_key_id={ACCESS_KEY}\naws_secret_access_key={SECRET_KEY}\n"
    )
    assert "no credentials were found" in run("config").stdout
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    text = run("config").stdout
    assert "test… from a file of credentials\n" in text
    assert SECRET_KEY not in text


def test_doctor_finds_nothing_wrong_with_a_good_store_and_leaves_nothing(obs_bucket: str) -> None:
    rows = objects("doctor", f"{obs_bucket}/sub")
    assert {row["check"]: row["state"] for row in rows} == dict.fromkeys(
        [
            "endpoint",
            "host name",
            "connection",
            "TLS",
            "clock",
            "credentials",
            "account",
            "addressing",
            "list",
            "write",
            "read",
            "conditions",
            "delete",
        ],
        "ok",
    )
    assert file.list_directory(obs_bucket, recursive=True, skip_dir=True) == []


@pytest.mark.parametrize(
    ("change", "check", "status"),
    [
        ({"S3_ENDPOINT": ""}, "endpoint", 2),
        ({"S3_ENDPOINT": "http://nowhere.invalid"}, "host name", 5),
        ({"S3_ENDPOINT": "http://127.0.0.1:1"}, "connection", 5),
        ({"ACCESS_KEY_ID": ""}, "credentials", 4),
        ({"ACCESS_KEY_ID": "unknown"}, "account", 4),
        ({"SECRET_ACCESS_KEY": "wrong"}, "account", 4),
    ],
)
def test_doctor_names_the_first_thing_that_is_wrong(
    change: dict[str, str],
    check: str,
    status: int,
    obs_bucket: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in change.items():
        monkeypatch.setenv(name, value)
    lines = run("doctor", "--json", status=status).stdout.splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["check"] for row in rows if row["state"] == "fail"] == [check]
    assert rows[-1]["check"] == check


LONG_AGO = "Mon, 01 Jan 2001 00:00:00 GMT"


def test_doctor_sees_a_clock_that_is_wrong_also_where_anybody_may_list(
    keys: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = answer(body="<ListAllMyBucketsResult/>", date=LONG_AGO)
    with FaultyServer(always=listed) as server:
        monkeypatch.setenv("S3_ENDPOINT", server.endpoint)
        rows = run("doctor", status=1).stdout.splitlines()
    assert [line[6:18].strip() for line in rows if line.startswith("FAIL")] == ["clock"]


def test_doctor_sees_a_clock_that_is_wrong_and_a_place_that_is_closed(
    keys: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultyServer(always=refusal(403, "AccessDenied", date=LONG_AGO)) as server:
        monkeypatch.setenv("S3_ENDPOINT", server.endpoint)
        rows = run("doctor", "s3://bucket", status=1).stdout.splitlines()
    states = {line[6:18].strip(): line[:5].strip() for line in rows}
    assert states["clock"] == "FAIL"
    assert states["account"] == "note"
    assert (states["list"], states["write"], states["read"]) == ("FAIL", "FAIL", "note")


@pytest.mark.parametrize(
    ("quirk", "told"),
    [
        ({"if-none-match"}, "a put and an upload in parts"),
        ({"PUT"}, "a put"),
        ({"POST"}, "an upload in parts"),
    ],
)
def test_doctor_tells_which_conditions_the_store_does_not_keep(
    obs_server: LocalServer,
    obs_bucket: str,
    monkeypatch: pytest.MonkeyPatch,
    quirk: set[str],
    told: str,
) -> None:
    pass_on = forward(obs_server.endpoint)

    def step(received: Received) -> Answer:
        if "if-none-match" in received.headers:
            if received.method in quirk:
                return refusal(501, "NotImplemented")
            if "if-none-match" in quirk:
                del received.headers["if-none-match"]
        return pass_on(received)

    with FaultyServer(always=step) as server:
        monkeypatch.setenv("S3_ENDPOINT", server.endpoint)
        rows = objects("doctor", obs_bucket)
        assert file.list_directory(obs_bucket) == []
    (found,) = [row for row in rows if row["check"] == "conditions"]
    assert found["state"] == "note"
    assert f"not kept for {told}, " in found["text"]


def test_a_url_that_is_presigned_serves_anybody(obs_bucket: str) -> None:
    file.write(f"{obs_bucket}/x", "content")
    url = run("presign", f"{obs_bucket}/x", "--expires", "10m").stdout.strip()
    with urlopen(url) as reply:
        assert reply.read() == b"content"
    assert "Expires=600&" in url
    run("presign", f"{obs_bucket}/x", "--expires", "8d", status=2)


def test_serve_runs_a_store_until_it_is_told_to_end() -> None:
    command = [*PROGRAM, "serve", "--bucket", "my-bucket"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        lines = [server.stdout.readline() for _ in range(4)]
        done = subprocess.run(
            ["bash", "-c", f"{''.join(lines)}{sys.executable} -m aioobs ls"],
            capture_output=True,
            text=True,
            check=True,
        )
        server.send_signal(signal.SIGINT)
    assert done.stdout == "my-bucket/\n"
    assert server.returncode == 0


def test_the_command_is_installed_with_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    module, _, name = project["scripts"]["aioobs"].partition(":")
    assert getattr(import_module(module), name) is main


@pytest.mark.timeout(150)
def test_the_examples_of_the_page_run_as_they_stand(
    obs_bucket: str,
) -> None:
    page = (ROOT / "docs" / "cli.md").read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    script = "".join(blocks).replace("my-bucket", obs_bucket[5:])
    script = script.replace("my-other-bucket", f"{obs_bucket[5:]}-other")
    shell = f'set -eu\naioobs() {{ {" ".join(PROGRAM)} "$@"; }}\nexport -f aioobs\n'
    script = script.replace("xargs -0 -n 1 aioobs", f"xargs -0 -n 1 {' '.join(PROGRAM)}")

    done = subprocess.run(
        ["bash", "-c", shell + script], capture_output=True, text=True, timeout=120, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert local("texts") == ["a.txt"]
    assert local("copy") == ["train/b.log"]
    names = ["a.txt", "data.tar", "data/train/a.txt", "data/train/b.log"]
    names += ["mirror/train/a.txt", "mirror/train/b.log"]
    assert file.list_directory(obs_bucket, recursive=True, skip_dir=True) == names
    assert {name for name in COMMANDS if f"aioobs {name}" not in page} == set()
