"""Each recipe in `examples` runs, and does what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aioobs.sync import file

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"


def needs(*packages: str) -> pytest.MarkDecorator:
    """Leave out a test where a package for it is missing."""
    missing = [name for name in packages if find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


def run(name: str, *arguments: str) -> list[str]:
    """Run an example, and return the lines that it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / f"{name}.py"), *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


@pytest.fixture
def url(obs_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Give the URL to work under, and see that nothing else is touched."""
    monkeypatch.chdir(tmp_path)
    file.write(f"{obs_bucket}/other/kept.txt", "before")
    yield f"{obs_bucket}/work"
    assert file.read(f"{obs_bucket}/other/kept.txt") == "before"
    assert set(file.list_directory(obs_bucket)) <= {"other", "work"}
    assert not list(tmp_path.iterdir())


def test_every_example_has_a_test() -> None:
    tested = set(re.findall(r'run\("(\w+)"', Path(__file__).read_text()))
    assert tested | {"place"} == {path.stem for path in EXAMPLES.glob("*.py")}


def test_without_an_argument_an_example_has_a_server_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert run("read_and_write")[:2] == ["Hello World!", "end of file."]
    assert not list(tmp_path.iterdir())


def test_read_and_write(url: str) -> None:
    lines = run("read_and_write", url)

    assert lines[:4] == [
        "Hello World!",
        "end of file.",
        r"b'Hello World!\nend of file.'",
        "size: 25",
    ]
    assert re.fullmatch(r"length: 25 changed: \d{19} folder: False", lines[4])
    assert lines[5] == "twice: 50"
    assert lines[6].startswith(f"getObject {url}/obs_file.txt: 404 NoSuchKey")
    assert file.list_directory(url) == ["twice.txt"]
    assert file.read(f"{url}/twice.txt") == "Hello World!\nend of file." * 2


def test_directories(url: str) -> None:
    lines = run("directories", url)

    assert lines[:6] == [
        "['a.txt', 'sub_dir_1', 'sub_dir_2']",
        "['a.txt', 'sub_dir_1', 'sub_dir_1/b.txt', 'sub_dir_2']",
        f"['{url}/sub_dir_0/sub_dir_1/b.txt']",
        "True False",
        "True False",
        "7",
    ]
    assert "/sub_dir_0/sub_dir_1 [] ['b.txt']" in lines
    assert {"sub_dir_1 folder", "sub_dir_2 folder", "a.txt 3"} <= set(lines)
    assert lines[-1] == "['a.txt', 'sub_dir_2']"
    assert file.list_directory(f"{url}/sub_dir_0") == ["a.txt", "sub_dir_2"]


def test_transfers(url: str) -> None:
    assert run("transfers", f"{url}/") == [
        "20 files",
        "['3.txt', '7.txt']",
        "sample 1",
        "['five.txt', 'moved.txt', 'one.txt']",
    ]
    left = file.list_directory(url, recursive=True, skip_dir=True)
    samples = sorted(f"data/train/{number}.txt" for number in range(20))
    assert left == [*samples, "five.txt", "moved.txt", "one.txt"]
    assert file.read(f"{url}/five.txt") == "sample 5\n"


def test_files(url: str) -> None:
    assert run("files", url) == [
        r"['first\n', 'second\n', 'third\n']",
        "b'first'",
        "FIRST",
        "second",
        "third",
        "fourth",
        "{'numbers': [1, 2, 3]}",
        "b'packed'",
    ]
    assert file.read(f"{url}/lines.txt") == "FIRST\nsecond\nthird\nfourth\n"


@needs("pandas")
def test_pandas_csv(url: str) -> None:
    assert run("pandas_csv", url)[0].split() == ["col1", "col2"]
    assert file.read(f"{url}/table.csv") == "col1,col2\n1,3\n2,4\n"


@needs("pandas", "tables")
def test_pandas_hdf5(url: str) -> None:
    cells = [line.split() for line in run("pandas_hdf5", url)]

    assert cells == [
        ["A", "B"],
        ["a", "1", "4"],
        ["b", "2", "5"],
        ["c", "3", "6"],
        ["A", "B"],
        ["a", "10", "40"],
        ["b", "20", "50"],
        ["c", "30", "60"],
    ]
    assert file.read(f"{url}/hdftest.h5", binary=True).startswith(b"\x89HDF\r\n")


@needs("h5py")
def test_h5py_file(url: str) -> None:
    assert run("h5py_file", url) == [
        '<HDF5 dataset "default": shape (1000,), type "<f4">',
        "['default', 'more']",
        "1000.0",
    ]
    h5py = pytest.importorskip("h5py")
    with file.File(f"{url}/numbers.hdf5", "rb") as data, h5py.File(data, "r") as found:
        assert list(found["default"][:3]) == [0, 1, 2]
        assert len(found["more"]) == 1000


@needs("cv2", "numpy")
def test_cv2_image(url: str) -> None:
    assert run("cv2_image", url) == ["(48, 64, 3) [  0 128 255] the same: True"]
    assert file.read(f"{url}/image.png", binary=True).startswith(b"\x89PNG")


def test_logging_to_a_store(url: str) -> None:
    first = ["DEBUG:training:for the file alone", "INFO:training:hello world"]
    everything = [*first, "INFO:training:the end"]

    lines = run("logging_to_a_store", url)

    assert lines == [f"so far: {first}", f"all: {everything}", "steps: 100"]
    assert file.read(f"{url}/sub_dir_0/logging.txt").splitlines() == everything
    assert file.read(f"{url}/steps.txt").splitlines() == [f"step {step}" for step in range(100)]


def test_timeouts(url: str) -> None:
    lines = run("timeouts", url)

    assert lines[0] == "False"
    assert lines[1].startswith(f"getObjectMetadata {url}/object: no result within 0.5 s")
    assert lines[2] == "under a second: True"


def test_background_sync(url: str) -> None:
    lines = run("background_sync", url)

    assert lines[0] == "after a round: ['model_0.txt', 'model_1.txt']"
    assert lines[1] == "at the end: ['model_0.txt', 'model_1.txt', 'model_2.txt']"
    assert re.fullmatch(r"rounds: [2-9] last error: None", lines[2])
    assert file.read(f"{url}/train_url/model_2.txt") == "weights of epoch 2\n"


@pytest.mark.slow
@needs("ray")
def test_ray_executor(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    # Its sockets need a short path.
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        monkeypatch.setenv("RAY_TMPDIR", place)
        lines = run("ray_executor", url)

    assert lines == [
        "['0.txt', '1.txt', '2.txt', '3.txt', '4.txt']",
        "5 files 45 bytes",
        "['moved', 'samples']",
    ]
    assert file.read(f"{url}/moved/3.txt") == "sample 3\n"


def test_shift(url: str) -> None:
    assert run("shift", url) == [
        "['folder']",
        "Hello World!",
        "True 12",
        "['/folder/hello_world.txt']",
        "['hello_world.txt']",
        "False",
    ]
    assert not file.exists(f"{url}/folder/hello_world.txt")
