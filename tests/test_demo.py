"""The demo: what it prints, that it finds a damaged byte, and that Ctrl-C leaves nothing."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from benchmarks.demo import differences

ROOT = Path(__file__).parent.parent
SMALL = ("--files", "60", "--bytes", "12_000_000")
# In the background of a shell Ctrl-C is ignored, and so in what is started there.
INTERRUPTIBLE = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from benchmarks.demo import main
sys.exit(main())
"""


def start(scratch: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start Python with arguments and a directory for its temporary files."""
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(scratch), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(scratch: Path, *arguments: str) -> tuple[int, str]:
    """Run the demo to its end, and return its exit status and all it wrote."""
    with start(scratch, "-m", "benchmarks.demo", *SMALL, *arguments) as demo:
        output, _ = demo.communicate()
    return demo.returncode, output


def endpoint_in(line: str) -> tuple[str, int]:
    found = re.search(r"http://\S+", line)
    assert found, line
    parts = urlsplit(found[0])
    assert parts.hostname
    assert parts.port
    return parts.hostname, parts.port


def objects_in(output: str, leg: str) -> int:
    """Return how many objects the table says a leg has copied."""
    found = re.search(
        rf"^  {leg} +([\d,]+) +[\d.,]+ +[\d.]+ +[\d,]+ +[\d.,]+$", output, re.MULTILINE
    )
    assert found, output
    return int(found[1].replace(",", ""))


def test_the_demo_copies_a_tree_there_and_back_and_leaves_nothing(tmp_path: Path) -> None:
    status, output = run(tmp_path)
    assert status == 0, output
    counts = {leg: objects_in(output, leg) for leg in ("up", "server-side", "down")}
    assert len(set(counts.values())) == 1
    assert counts["up"] > 60
    assert "byte for byte the same" in output
    assert "\x1b" not in output
    assert not list(tmp_path.iterdir())


def test_the_demo_uses_the_store_of_the_environment_and_leaves_nothing_there(
    tmp_path: Path, obs_bucket: str
) -> None:
    import aioobs.sync as mox

    mox.file.write(f"{obs_bucket}/mine/kept", "before")
    status, output = run(tmp_path, f"{obs_bucket}/mine")
    assert status == 0, output
    assert f"{obs_bucket}/mine" in output
    left = mox.file.list_directory(obs_bucket, recursive=True, skip_dir=True)
    assert left == ["mine/kept"]


def test_the_demo_says_in_one_line_that_a_bucket_does_not_exist(
    tmp_path: Path, obs_bucket: str
) -> None:
    status, output = run(tmp_path, f"{obs_bucket}-none")
    assert status == 1
    assert "Traceback" not in output
    assert "The demo failed: " in output.splitlines()[-1]
    assert "NoSuchBucket" in output
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("until", ["source ", "up "])
def test_ctrl_c_ends_the_demo_with_one_line_and_leaves_neither_server_nor_files(
    tmp_path: Path, until: str
) -> None:
    with start(tmp_path, "-c", INTERRUPTIBLE, "--bytes", "50_000_000") as demo:
        assert demo.stdout is not None
        demo.stdout.readline()
        server = endpoint_in(demo.stdout.readline())
        socket.create_connection(server).close()
        while not demo.stdout.readline().strip().startswith(until):
            pass
        demo.send_signal(signal.SIGINT)
        rest, _ = demo.communicate()
    assert demo.returncode == 130
    assert rest.strip().splitlines()[-1] == "Interrupted; what the demo made has been removed."
    assert "Traceback" not in rest
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(server)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def trees(tmp_path: Path) -> tuple[Path, Path]:
    """Give two trees that are the same."""
    for root in (tmp_path / "source", tmp_path / "result"):
        (root / "数据" / "empty").mkdir(parents=True)
        (root / "数据" / "größe").write_bytes(bytes(range(256)) * 100)
        (root / "none").write_bytes(b"")
    return tmp_path / "source", tmp_path / "result"


def test_trees_that_are_the_same_have_no_differences(trees: tuple[Path, Path]) -> None:
    assert differences(*trees) == []


def test_one_damaged_byte_is_found(trees: tuple[Path, Path]) -> None:
    with (trees[1] / "数据" / "größe").open("r+b") as file:
        file.seek(12_345)
        file.write(b"x")
    (found,) = differences(*trees)
    assert found.startswith("数据/größe differs")


def test_a_missing_file_an_extra_file_and_a_missing_empty_folder_are_found(
    trees: tuple[Path, Path],
) -> None:
    _, result = trees
    (result / "none").unlink()
    (result / "extra").touch()
    (result / "数据" / "empty").rmdir()
    assert differences(*trees) == [
        "extra is not in the source",
        "none is missing",
        "数据/empty is missing",
    ]


def test_a_folder_in_the_place_of_an_empty_file_is_found(trees: tuple[Path, Path]) -> None:
    _, result = trees
    (result / "none").unlink()
    (result / "none").mkdir()
    (found,) = differences(*trees)
    assert found.startswith("none differs")
