"""The standard library with URLs, and without them as it always was."""

from __future__ import annotations

import builtins
import bz2
import errno
import glob
import gzip
import inspect
import io
import json
import linecache
import logging
import multiprocessing
import os
import pickle
import shutil
import ssl
import stat
import subprocess
import sys
import tarfile
import tempfile
import threading
import tokenize
import zipfile
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from importlib import import_module
from pathlib import Path, PosixPath, PurePath, PurePosixPath
from typing import TYPE_CHECKING, Any

import pytest

import aioobs.sync as mox
from aioobs.sync._refusals import REASONS
from aioobs.sync._standard import REPLACEMENTS
from aioobs.sync.shift import Shifted, shift, shifted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[1]
NAMES = ["builtins.open", *(name for name in REPLACEMENTS if name != "builtins.open")]
SUPPORTS = ("supports_dir_fd", "supports_effective_ids", "supports_fd", "supports_follow_symlinks")

pytest_plugins = ["verbs"]
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


def standard(name: str) -> Any:
    """Return what stands at a place of the standard library now."""
    path, _, attribute = name.rpartition(".")
    return getattr(import_module(path), attribute)


def everything() -> dict[str, object]:
    """Return all that a shift may touch."""
    modules = (builtins, bz2, glob, io, os, os.path, shutil, tarfile, tokenize)
    found: dict[str, object] = {
        f"{module.__name__}.{name}": value
        for module in modules
        for name, value in vars(module).items()
        if not name.startswith("supports_")
    }
    paths = {f"pathlib.PurePath.{name}": value for name, value in vars(PurePath).items()}
    return found | paths | {name: {*getattr(os, name)} for name in SUPPORTS}


BEFORE = everything()
REFUSED: dict[str, Callable[[str], object]] = {
    "os.chdir": lambda url: os.chdir(url),
    "os.chmod": lambda url: os.chmod(url, 0o600),
    "os.chown": lambda url: os.chown(url, 0, 0),
    "os.fwalk": lambda url: list(os.fwalk(url)),
    "os.link": lambda url: os.link(url, "/tmp/link"),
    "os.mkfifo": lambda url: os.mkfifo(url),
    "os.mknod": lambda url: os.mknod(url),
    "os.open": lambda url: os.open(url, os.O_RDONLY),
    "os.statvfs": lambda url: os.statvfs(url),
    "os.symlink": lambda url: os.symlink("/tmp", dst=Named(url)),
    "os.truncate": lambda url: os.truncate(url, 0),
    "os.utime": lambda url: os.utime(url, (1, 2)),
    "shutil.chown": lambda url: shutil.chown(url, 0),
    "shutil.disk_usage": lambda url: shutil.disk_usage(url),
    "tempfile.mkstemp": lambda url: tempfile.mkstemp(dir=url),
}


@pytest.fixture
def on() -> Iterator[None]:
    """Shift for the time of a test."""
    with shifted():
        yield


@pytest.fixture
def url(obs_bucket: str, on: None) -> str:
    """Give the URL of a folder with two files and a folder with one, in a shifted process."""
    for name, text in {"one.txt": "1", "two.bin": "22", "sub/three.txt": "333"}.items():
        with open(f"{obs_bucket}/data/{name}", "w") as file:
            file.write(text)
    return f"{obs_bucket}/data"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Give a local folder with two files, a link and a folder with one."""
    (tmp_path / "tree" / "sub").mkdir(parents=True)
    for name, text in {"one.txt": "1", "two.bin": "22", "sub/three.txt": "333"}.items():
        (tmp_path / "tree" / name).write_text(text)
    (tmp_path / "tree" / "link").symlink_to("one.txt")
    return tmp_path / "tree"


class Named:
    """A path that is neither a string nor of `pathlib`."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __fspath__(self) -> str:
        return self.path


# --- With URLs ---


def test_the_first_program_of_the_documentation_runs(obs_bucket: str) -> None:
    program = """
import os, sys
from aioobs.sync.shift import shift
shift('os', 'mox')
bucket = sys.argv[1]
with open(bucket + '/hello_world.txt', 'w') as f:
    f.write('hello')
os.makedirs(bucket + '/folder')
print(os.listdir(bucket))
with open(bucket + '/hello_world.txt') as f:
    print(f.read())
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, obs_bucket],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.stderr, done.stdout) == ("", "['folder', 'hello_world.txt']\nhello\n")


def test_open_reads_and_writes_text_and_bytes(url: str) -> None:
    with open(f"{url}/new", mode="w", encoding="utf-16-le", newline="\r\n") as text:
        text.write("größe\n")
    with open(file=f"{url}/new", mode="rb") as data:
        assert data.read() == "größe\r\n".encode("utf-16-le")
    with io.open(Named(f"{url}/new"), "r", -1, "utf-16-le") as text:  # noqa: UP020
        assert text.readlines() == ["größe\n"]
    with open(f"{url}/new.json", "w") as text:
        json.dump([1], text)
    with open(f"{url}/new.json".replace("s3:", "obs:")) as text:
        assert json.load(text) == [1]


def test_open_refuses_what_objects_cannot_do(url: str) -> None:
    with pytest.raises(FileNotFoundError) as missing:
        open(f"{url}/missing")  # noqa: SIM115
    assert (missing.value.errno, missing.value.filename) == (errno.ENOENT, f"{url}/missing")
    with pytest.raises(FileExistsError):
        open(f"{url}/one.txt", "x")  # noqa: SIM115
    with pytest.raises(ValueError, match="mode"):
        open(f"{url}/one.txt", "rw")  # noqa: SIM115
    with pytest.raises(ValueError, match="closefd"):
        open(f"{url}/one.txt", closefd=False)  # noqa: SIM115
    with pytest.raises(io.UnsupportedOperation):
        open(f"{url}/one.txt", opener=os.open)  # noqa: SIM115
    with pytest.raises(io.UnsupportedOperation), open(f"{url}/one.txt") as file:
        file.write("x")


def test_readers_of_the_standard_library_open_urls_by_themselves(url: str) -> None:
    with gzip.open(f"{url}/x.gz", "wt") as text:
        text.write("hello")
    with gzip.open(f"{url}/x.gz", "rt") as text:
        assert text.read() == "hello"
    with zipfile.ZipFile(f"{url}/x.zip", "w") as archive:
        archive.writestr("name", "hello")
    with zipfile.ZipFile(f"{url}/x.zip") as archive:
        assert archive.read("name") == b"hello"


def test_archives_are_made_and_unpacked_in_a_store(url: str, obs_bucket: str, tree: Path) -> None:
    for kind, suffix in {"zip": "zip", "bztar": "tar.bz2", "gztar": "tar.gz"}.items():
        options: Any = {} if kind == "zip" else {"filter": "data"}
        made = shutil.make_archive(f"{obs_bucket}/{kind}/all", kind, tree)
        assert made == f"{obs_bucket}/{kind}/all.{suffix}"
        shutil.unpack_archive(made, tree.parent / kind, **options)
        assert (tree.parent / kind / "sub" / "three.txt").read_text() == "333"
        shutil.unpack_archive(made, f"{url}/{kind}", **options)
        assert os.listdir(f"{url}/{kind}/sub") == ["three.txt"]
    with bz2.open(f"{url}/x.bz2", "wt") as text:
        text.write("hello")
    with bz2.open(f"{url}/x.bz2", "rt") as text:
        assert text.read() == "hello"


def test_a_folder_without_a_time_of_its_own_goes_into_an_archive(
    moto_bucket: str, on: None, tmp_path: Path
) -> None:
    with open(f"{moto_bucket}/tree/folder/file", "w") as file:  # which makes no marker
        file.write("content")
    made = shutil.make_archive(str(tmp_path / "all"), "zip", f"{moto_bucket}/tree")
    with zipfile.ZipFile(made) as archive:
        assert archive.namelist() == ["folder/", "folder/file"]


def test_what_reads_source_code_reads_it_in_a_store(url: str) -> None:
    with open(f"{url}/module.py", "w", encoding="latin-1") as source:
        source.write("# coding: latin-1\n# \u00e9\n")
    with tokenize.open(f"{url}/module.py") as source:
        assert source.read().splitlines()[1] == "# \u00e9"
    assert linecache.getline(f"{url}/module.py", 2) == "# \u00e9\n"


def test_a_wrong_key_does_not_look_like_an_absence(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = os.environ["S3_ENDPOINT"]
    monkeypatch.setenv("SECRET_ACCESS_KEY", "test-wrong-secret-key")
    monkeypatch.setenv("S3_ENDPOINT", endpoint.replace("127.0.0.1", "localhost"))
    for ask in (os.path.exists, os.path.isdir, os.path.isfile, os.stat, os.listdir):
        with pytest.raises(PermissionError) as denied:
            ask(f"{url}/one.txt")
        assert denied.value.errno == errno.EACCES
    assert not os.access(f"{url}/one.txt", os.R_OK)


def test_listdir_gives_names(url: str, obs_bucket: str) -> None:
    assert os.listdir(url) == os.listdir(path=f"{url}/") == ["one.txt", "sub", "two.bin"]
    assert os.listdir(obs_bucket) == ["data"]
    with pytest.raises(FileNotFoundError) as missing:
        os.listdir(f"{url}/missing")
    assert missing.value.filename == f"{url}/missing"
    with pytest.raises(NotADirectoryError):
        os.listdir(f"{url}/one.txt")


def test_scandir_gives_entries_like_those_of_a_directory(url: str) -> None:
    with os.scandir(url) as entries:
        found = {entry.name: entry for entry in entries}
    assert {name: entry.is_dir() for name, entry in found.items()} == {
        "one.txt": False,
        "sub": True,
        "two.bin": False,
    }
    two = found["two.bin"]
    assert (os.fspath(two), two.path) == (f"{url}/two.bin",) * 2
    assert (two.is_file(), two.is_symlink(), two.stat().st_size) == (True, False, 2)
    assert two.inode() == two.stat().st_ino == os.stat(two).st_ino
    with open(two) as file:
        assert file.read() == "22"
    with pytest.raises(FileNotFoundError):
        os.scandir(f"{url}/missing")


@pytest.mark.parametrize("scan", [lambda url: os.scandir(url), mox.file.scan_dir])
@pytest.mark.parametrize("is_local", [False, True])
def test_a_scan_that_is_closed_is_at_its_end(
    url: str, tmp_path: Path, scan: Any, is_local: bool
) -> None:
    folder = str(tmp_path) if is_local else url
    mox.file.write(f"{folder}/one.txt", "1")
    with scan(folder) as entries:
        assert next(entries).path.startswith(f"{folder}/")
    assert list(entries) == []


def test_walk_goes_down_where_it_is_allowed_to(url: str) -> None:
    assert [(path, sorted(d), sorted(f)) for path, d, f in os.walk(url)] == [
        (url, ["sub"], ["one.txt", "two.bin"]),
        (f"{url}/sub", [], ["three.txt"]),
    ]
    assert [path for path, _, _ in os.walk(url, topdown=False)] == [f"{url}/sub", url]
    pruned = []
    for path, folders, _ in os.walk(url):
        pruned.append(path)
        folders.clear()
    assert pruned == [url]
    errors: list[OSError] = []
    assert list(os.walk(f"{url}/missing", onerror=errors.append)) == []
    assert [error.filename for error in errors] == [f"{url}/missing"]


def test_stat_gives_what_a_file_system_would(url: str) -> None:
    info, folder = os.stat(f"{url}/two.bin"), os.stat(f"{url}/sub")
    assert isinstance(info, os.stat_result)
    assert (info[6], info.st_size, stat.S_ISREG(info.st_mode)) == (2, 2, True)
    assert info.st_mtime == pytest.approx(info.st_mtime_ns / 1e9)
    assert info.st_mtime == os.path.getmtime(f"{url}/two.bin") > 1e9
    assert stat.S_ISDIR(folder.st_mode)
    assert info.st_ino not in (0, os.stat(f"{url}/one.txt").st_ino, folder.st_ino)
    assert os.stat(f"{url}/two.bin", dir_fd=None, follow_symlinks=False) == info
    assert os.lstat(path=f"{url}/two.bin") == info
    assert pickle.loads(pickle.dumps(info)).st_mtime_ns == info.st_mtime_ns
    with pytest.raises(FileNotFoundError) as missing:
        os.stat(f"{url}/missing")
    assert (missing.value.errno, missing.value.filename) == (errno.ENOENT, f"{url}/missing")


def test_the_questions_of_os_path_are_answered(url: str) -> None:
    one, sub, missing = f"{url}/one.txt", f"{url}/sub", f"{url}/missing"
    questions: list[Callable[[str], object]] = [
        os.path.exists,
        os.path.lexists,
        os.path.isfile,
        os.path.isdir,
        os.path.islink,
    ]
    assert [ask(one) for ask in questions] == [True, True, True, False, False]
    assert [ask(sub) for ask in questions] == [True, True, False, True, False]
    assert [ask(missing) for ask in questions] == [False] * 5
    assert (os.path.getsize(f"{url}/two.bin"), os.path.getsize(filename=sub)) == (2, 0)
    assert os.path.samefile(one, one.replace("s3:", "obs:"))
    assert not os.path.samefile(one, f"{url}/two.bin")
    assert not os.path.samefile(one, __file__)
    assert os.access(one, os.R_OK | os.W_OK)
    assert not os.access(one, os.X_OK)
    assert os.access(sub, os.X_OK)
    assert not os.access(missing, os.F_OK)


def test_folders_are_made_and_removed(obs_bucket: str, on: None) -> None:
    os.makedirs(f"{obs_bucket}/a/b")
    assert os.path.isdir(f"{obs_bucket}/a")
    os.makedirs(f"{obs_bucket}/a/b", exist_ok=True)
    with pytest.raises(FileExistsError):
        os.makedirs(f"{obs_bucket}/a/b")
    os.mkdir(f"{obs_bucket}/a/c", 0o755)
    with pytest.raises(FileExistsError):
        os.mkdir(f"{obs_bucket}/a/c")
    with pytest.raises(FileNotFoundError):
        os.mkdir(f"{obs_bucket}/x/y")
    with pytest.raises(OSError, match="not empty") as full:
        os.rmdir(f"{obs_bucket}/a")
    assert full.value.errno == errno.ENOTEMPTY
    os.rmdir(f"{obs_bucket}/a/c")
    assert os.listdir(f"{obs_bucket}/a") == ["b"]
    os.removedirs(f"{obs_bucket}/a/b")
    assert os.listdir(obs_bucket) == []
    with pytest.raises(OSError, match="bucket"):
        os.rmdir(obs_bucket)
    with pytest.raises(FileNotFoundError):
        os.rmdir(f"{obs_bucket}/x")


def test_files_are_removed_and_folders_are_not_among_them(url: str) -> None:
    os.remove(f"{url}/one.txt")
    os.unlink(path=f"{url}/two.bin")
    assert os.listdir(url) == ["sub"]
    with pytest.raises(IsADirectoryError) as folder:
        os.remove(f"{url}/sub")
    assert (folder.value.errno, folder.value.filename) == (errno.EISDIR, f"{url}/sub")
    with pytest.raises(FileNotFoundError):
        os.remove(f"{url}/one.txt")
    with pytest.raises(NotADirectoryError):
        os.rmdir(f"{url}/sub/three.txt")


def test_rename_moves_within_the_store_and_out_of_it(url: str, tmp_path: Path) -> None:
    os.rename(f"{url}/one.txt", f"{url}/two.bin")
    assert os.listdir(url) == ["sub", "two.bin"]
    os.replace(src=f"{url}/two.bin", dst=tmp_path / "local")
    assert (tmp_path / "local").read_text() == "1"
    os.rename(tmp_path / "local", f"{url}/back")
    assert not (tmp_path / "local").exists()
    os.rename(f"{url}/sub", f"{url}/moved")
    assert os.listdir(f"{url}/moved") == ["three.txt"]
    os.renames(f"{url}/moved/three.txt", f"{url}/new/four.txt")
    assert os.listdir(f"{url}/new") == ["four.txt"]


def test_rename_replaces_no_folder_that_holds_something(url: str) -> None:
    os.makedirs(f"{url}/other")
    with pytest.raises(IsADirectoryError):
        os.rename(f"{url}/one.txt", f"{url}/sub")
    with pytest.raises(OSError, match="not empty"):
        os.rename(f"{url}/other", f"{url}/sub")
    with pytest.raises(NotADirectoryError):
        os.rename(f"{url}/sub", f"{url}/one.txt")
    with pytest.raises(OSError, match="into itself") as inside:
        os.rename(f"{url}/sub", f"{url}/sub/x")
    assert inside.value.errno == errno.EINVAL
    with pytest.raises(FileNotFoundError):
        os.rename(f"{url}/missing", f"{url}/x")
    assert os.listdir(f"{url}/sub") == ["three.txt"]


def test_single_files_are_copied_and_moved(url: str, tmp_path: Path) -> None:
    target = f"{url}/copy"
    assert shutil.copyfile(f"{url}/one.txt", target, follow_symlinks=False) == target
    assert shutil.copy(f"{url}/two.bin", f"{url}/sub") == f"{url}/sub/two.bin"
    assert shutil.copy2(f"{url}/copy", tmp_path / "copy") == tmp_path / "copy"
    assert (tmp_path / "copy").read_text() == "1"
    assert shutil.move(tmp_path / "copy", f"{url}/sub/") == f"{url}/sub/copy"
    assert os.listdir(f"{url}/sub") == ["copy", "three.txt", "two.bin"]
    assert not (tmp_path / "copy").exists()
    with pytest.raises(shutil.SameFileError):
        shutil.copyfile(target, target.replace("s3:", "obs:"))
    with pytest.raises(IsADirectoryError):
        shutil.copyfile(target, f"{url}/sub")
    with pytest.raises(FileNotFoundError):
        shutil.copyfile(f"{url}/missing", target)


def test_trees_are_copied(url: str, obs_bucket: str, tmp_path: Path) -> None:
    local, copy = tmp_path / "local", f"{obs_bucket}/copy"
    assert shutil.copytree(url, local) == local
    assert (local / "sub" / "three.txt").read_text() == "333"
    assert shutil.copytree(src=local, dst=copy) == copy
    with pytest.raises(FileExistsError):
        shutil.copytree(url, copy)
    os.remove(f"{copy}/one.txt")
    shutil.copytree(url, copy, dirs_exist_ok=True)
    assert os.listdir(copy) == ["one.txt", "sub", "two.bin"]
    with pytest.raises(NotADirectoryError):
        shutil.copytree(f"{url}/one.txt", f"{obs_bucket}/x")
    with pytest.raises(FileNotFoundError):
        shutil.copytree(f"{url}/missing", f"{obs_bucket}/x")
    assert not os.path.exists(f"{obs_bucket}/x")


def test_a_tree_with_files_that_cannot_be_copied_raises_the_error_of_shutil(
    tree: Path, obs_bucket: str, on: None
) -> None:
    (tree / "dangling").symlink_to("missing")
    with pytest.raises(shutil.Error) as failed:
        shutil.copytree(tree, f"{obs_bucket}/copy")
    assert [Path(source).name for source, _, _ in failed.value.args[0]] == ["dangling"]
    assert os.listdir(f"{obs_bucket}/copy") == ["link", "one.txt", "sub", "two.bin"]


def test_whoever_copies_a_tree_may_leave_out_files_and_copy_by_himself(
    url: str, obs_bucket: str, tmp_path: Path
) -> None:
    copied: list[str] = []

    def copy(source: str, target: str) -> None:
        copied.append(os.path.basename(source))
        shutil.copyfile(source, target)

    shutil.copytree(url, tmp_path / "a", ignore=shutil.ignore_patterns("*.txt"))
    assert sorted(os.listdir(tmp_path / "a")) == ["sub", "two.bin"]
    shutil.copytree(tmp_path / "a", f"{obs_bucket}/a", copy_function=copy)
    shutil.copytree(url, f"{obs_bucket}/b", copy_function=copy)
    assert sorted(copied) == ["one.txt", "three.txt", "two.bin", "two.bin"]
    assert os.listdir(f"{obs_bucket}/b/sub") == ["three.txt"]


def test_trees_are_removed(url: str, obs_bucket: str) -> None:
    os.makedirs(f"{obs_bucket}/data2")
    caught: list[tuple[object, object]] = []

    def note(function: object, path: object, info: object) -> None:
        caught.append((function, path))

    with pytest.raises(NotADirectoryError):
        shutil.rmtree(f"{url}/one.txt")
    with pytest.raises(FileNotFoundError):
        shutil.rmtree(f"{url}/missing")
    shutil.rmtree(f"{url}/missing", ignore_errors=True)
    shutil.rmtree(f"{url}/missing", onerror=note)
    assert caught == [(shutil.rmtree, f"{url}/missing")]
    shutil.rmtree(path=url)
    assert not os.path.exists(f"{url}/one.txt")
    assert not os.path.exists(f"{url}/sub/three.txt")
    assert os.path.isdir(f"{obs_bucket}/data2")


def test_glob_finds_urls(url: str) -> None:
    assert glob.glob(f"{url}/*.txt") == [f"{url}/one.txt"]
    assert glob.glob(f"{url}/**/*.txt") == [f"{url}/sub/three.txt"]
    assert glob.glob(pathname=f"{url}/**/*.txt", recursive=True) == [
        f"{url}/one.txt",
        f"{url}/sub/three.txt",
    ]
    assert glob.glob("*/*", root_dir=url) == ["sub/three.txt"]
    assert glob.glob("*/", root_dir=f"{url}/") == ["sub/"]
    assert list(glob.iglob(f"{url}/t?o.*")) == [f"{url}/two.bin"]
    assert glob.glob(f"{url}/missing*") == []
    with open(f"{url}/.hidden", "w") as file:
        file.write("")
    assert f"{url}/.hidden" not in glob.glob(f"{url}/*")
    assert ".hidden" in glob.glob("*", root_dir=url, include_hidden=True)
    assert f"{url}/.hidden" in glob.glob(f"{url}/**", recursive=True, include_hidden=True)


PATTERNS = [
    "*",
    "**",
    "**/",
    "**/*",
    "*/**",
    "sub/**",
    "sub",
    "sub/",
    "o*/**",
    "**/t*",
    "**/sub/**",
]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_finds_what_it_finds_in_local_files(pattern: str, url: str, tree: Path) -> None:
    (tree / "link").unlink()
    assert sorted(glob.glob(pattern, root_dir=url, recursive=True)) == sorted(
        glob.glob(pattern, root_dir=tree, recursive=True)
    )
    assert [
        name.removeprefix(url) for name in sorted(glob.glob(f"{url}/{pattern}", recursive=True))
    ] == [
        name.removeprefix(str(tree))
        for name in sorted(glob.glob(f"{tree}/{pattern}", recursive=True))
    ]


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_store_cannot_do_is_refused_by_its_name(name: str, on: None) -> None:
    with pytest.raises(io.UnsupportedOperation, match="s3://bucket/key") as refused:
        REFUSED[name]("s3://bucket/key")
    assert refused.value.errno == errno.ENOTSUP
    assert str(refused.value.filename).startswith("s3://bucket/key")


def test_no_object_is_a_link(url: str) -> None:
    with pytest.raises(OSError, match=r"one\.txt") as no_link:
        os.readlink(f"{url}/one.txt")
    assert no_link.value.errno == errno.EINVAL
    with pytest.raises(FileNotFoundError):
        os.readlink(f"{url}/missing")


def test_no_path_of_pathlib_is_made_of_a_url(on: None) -> None:
    url = "s3://bucket/key.txt"
    makers: list[Callable[[], Path]] = [
        lambda: Path(url),
        lambda: Path("/folder") / url,
        lambda: Path("/folder", "x", Named(url)),
        lambda: Path("/folder").joinpath(url),
    ]
    for make in makers:
        with pytest.raises(io.UnsupportedOperation, match=r"pathlib.*s3://bucket/key\.txt"):
            make()
    assert PurePosixPath(url).suffix == ".txt"


def test_a_class_that_knows_urls_may_be_a_path(on: None) -> None:
    kind: Any = type("URLPath", (PosixPath,), {})
    assert kind("s3://bucket/key.txt").name == "key.txt"


def test_a_file_goes_where_no_folder_is_only_without_a_slash(url: str) -> None:
    with pytest.raises(FileNotFoundError) as missing:
        shutil.copyfile(f"{url}/one.txt", f"{url}/missing/")
    assert missing.value.filename == f"{url}/missing/"
    with pytest.raises(IsADirectoryError):
        shutil.copyfile(f"{url}/sub", f"{url}/missing/")


def test_a_tree_can_be_copied_into_itself(url: str) -> None:
    assert shutil.copytree(url, f"{url}/new/deep") == f"{url}/new/deep"
    assert os.listdir(f"{url}/new/deep") == ["one.txt", "sub", "two.bin"]
    assert os.listdir(f"{url}/new/deep/sub") == ["three.txt"]


def test_dots_in_a_url_are_no_names(url: str) -> None:
    with open(f"{url}/./sub/../four.txt", "w") as file:
        file.write("4")
    assert os.listdir(f"{url}/sub/..") == ["four.txt", "one.txt", "sub", "two.bin"]
    assert os.path.isfile(Named(f"{url}/sub/.././four.txt"))
    os.makedirs(f"{url}/a/./b/.", exist_ok=True)
    assert os.listdir(f"{url}/a") == ["b"]
    assert os.path.join(url, "..", "x") == f"{url}/../x"
    with open(f"{url}/.x..y", "w") as file:
        file.write("hidden")
    assert ".x..y" in os.listdir(path=f"{url}/.")


def test_lines_of_bytes_are_not_what_a_buffer_ends_with(url: str) -> None:
    with pytest.warns(RuntimeWarning, match="line buffering"), open(f"{url}/x", "wb", 1) as file:
        file.write(b"x")


def test_names_are_taken_apart_and_put_together(on: None, tmp_path: Path) -> None:
    path = os.path
    assert path.join("s3://", "bucket", "key") == "s3://bucket/key"
    assert path.join("/local", "s3://bucket", Named("key"), "x") == "s3://bucket/key/x"
    assert path.normpath("obs://bucket//a/./b/../c/") == "obs://bucket/a/c"
    assert path.normpath("s3://bucket/../..") == path.abspath("s3://bucket/") == "s3://bucket"
    assert path.realpath("s3://bucket/a/..") == path.expanduser("s3://bucket") == "s3://bucket"
    assert path.basename("s3://bucket/a/b.txt") == "b.txt"
    assert path.splitext("s3://bucket/a/b.txt") == ("s3://bucket/a/b", ".txt")
    assert path.dirname("s3://bucket/a/b") == "s3://bucket/a"
    assert path.dirname("s3://bucket/a") == path.dirname("s3://bucket") == "s3://bucket"
    assert path.split("s3://bucket/a/") == ("s3://bucket/a", "")
    assert path.isabs("s3://bucket")
    assert path.relpath("s3://bucket/a/b", "s3://bucket/c") == "../a/b"
    assert path.relpath("s3://bucket/a/b", start=Named("obs://bucket")) == "a/b"
    assert path.commonpath(["s3://bucket/a/b", "s3://bucket/a/c/"]) == "s3://bucket/a"
    assert path.commonpath(("s3://bucket/ab", Named("s3://bucket/ac"))) == "s3://bucket"
    assert path.commonprefix(["s3://bucket/ab", "s3://bucket/ac"]) == "s3://bucket/a"
    for name in ("normpath", "abspath", "realpath", "expanduser", "expandvars", "normcase"):
        assert getattr(path, name)("s3://bucket/a/b") == "s3://bucket/a/b"
    for paths in (["s3://bucket/a", "s3://other/a"], ["/tmp/a", "s3://bucket/a"]):
        with pytest.raises(ValueError, match="bucket"):
            path.commonpath(paths)
        with pytest.raises(ValueError, match="bucket"):
            path.relpath(*paths)
    with pytest.raises(ValueError, match="no bucket"):
        path.relpath("s3://bucket/a")


def test_other_schemes_are_local_names(on: None) -> None:
    assert not os.path.exists("http://example.com/")
    with pytest.raises(FileNotFoundError) as missing:
        open("s3a://bucket/key")  # noqa: SIM115
    assert type(missing.value) is FileNotFoundError


# --- Without them ---


def opened(path: Any, *args: Any, **options: Any) -> object:
    with open(path, *args, **options) as file:
        return type(file), file.name, file.mode, file.readlines()


def entries(path: Any) -> object:
    with os.scandir(path) as found:
        return type(found), sorted((type(entry), entry.name, entry.is_dir()) for entry in found)


def same_kind(info: os.stat_result) -> object:
    """Return what is the same for a tree and its copy."""
    return type(info), info.st_mode, info.st_size, info.st_mtime_ns


LOCAL: dict[str, Callable[[Path], object]] = {
    "open": lambda tree: opened(f"{tree}/one.txt"),
    "open a path": lambda tree: opened(tree / "one.txt", "rb", 0),
    "open bytes": lambda tree: opened(os.fsencode(tree / "one.txt"), "r", -1, "latin-1"),
    "open by keyword": lambda tree: opened(path=str(tree / "one.txt"), newline=""),
    "open an opener": lambda tree: opened(tree / "one.txt", opener=lambda p, f: os.open(p, f)),
    "open nothing": lambda tree: opened(tree / "missing"),
    "open x": lambda tree: opened(tree / "one.txt", "x"),
    "open None": lambda tree: opened(None),
    "glob": lambda tree: sorted(glob.glob(f"{tree}/**/*", recursive=True)),
    "glob bytes": lambda tree: sorted(glob.glob(os.fsencode(tree / "*"))),
    "glob root_dir": lambda tree: sorted(glob.glob("*", root_dir=tree)),
    "iglob": lambda tree: sorted(glob.iglob(f"{tree}/*.txt")),
    "access": lambda tree: os.access(tree, os.X_OK, effective_ids=False),
    "listdir": lambda tree: sorted(os.listdir(path=tree)),
    "listdir bytes": lambda tree: sorted(os.listdir(os.fsencode(tree))),
    "listdir here": lambda tree: sorted(os.listdir()),
    "listdir nothing": lambda tree: os.listdir(tree / "missing"),
    "lstat": lambda tree: same_kind(os.lstat(tree / "link")),
    "stat": lambda tree: same_kind(os.stat(tree / "one.txt")),
    "stat a link": lambda tree: os.stat(tree / "link", follow_symlinks=False).st_mode,
    "stat a descriptor": lambda tree: stat.S_ISCHR(os.stat(0).st_mode),
    "stat no number of arguments": lambda tree: os.stat(),  # type: ignore[call-arg]
    "stat with an unknown option": lambda tree: os.stat(tree, x=1),  # type: ignore[call-arg]
    "makedirs": lambda tree: os.makedirs(tree / "a" / "b", 0o700, exist_ok=False),
    "makedirs again": lambda tree: os.makedirs(tree, exist_ok=True),
    "makedirs there": lambda tree: os.makedirs(tree),
    "mkdir": lambda tree: os.mkdir(tree / "new", mode=0o700),
    "mkdir nowhere": lambda tree: os.mkdir(tree / "x" / "y"),
    "abspath": lambda tree: os.path.abspath(tree / ".." / "x"),
    "dirname": lambda tree: os.path.dirname(os.fsencode(tree)),
    "exists": lambda tree: (os.path.exists(tree), os.path.exists(tree / "x"), os.path.exists(0)),
    "getsize": lambda tree: os.path.getsize(tree / "two.bin"),
    "isabs": lambda tree: (os.path.isabs(tree), os.path.isabs("x")),
    "isdir": lambda tree: (os.path.isdir(tree), os.path.isdir(b"x"), os.path.isdir(0)),
    "isfile": lambda tree: (os.path.isfile(tree), os.path.isfile(tree / "link")),
    "islink": lambda tree: (os.path.islink(tree), os.path.islink(tree / "link")),
    "join": lambda tree: (os.path.join("a", "/b", "c"), os.path.join(b"a", b"b")),
    "lexists": lambda tree: os.path.lexists(tree / "link"),
    "normpath": lambda tree: os.path.normpath("//a/../b/./c"),
    "realpath": lambda tree: os.path.realpath(tree / "link", strict=True),
    "samefile": lambda tree: os.path.samefile(tree / "link", tree / "one.txt"),
    "split": lambda tree: os.path.split(tree / "one.txt"),
    "remove": lambda tree: os.remove(tree / "one.txt"),
    "remove a folder": lambda tree: os.remove(tree / "sub"),
    "rename": lambda tree: os.rename(src=tree / "one.txt", dst=tree / "1.txt"),
    "rename into a full folder": lambda tree: os.rename(tree / "one.txt", tree / "sub"),
    "replace": lambda tree: os.replace(tree / "one.txt", str(tree / "two.bin")),
    "rmdir": lambda tree: os.rmdir(tree / "sub"),
    "scandir": entries,
    "scandir bytes": lambda tree: entries(os.fsencode(tree)),
    "unlink": lambda tree: os.unlink(tree / "link", dir_fd=None),
    "walk": lambda tree: [(p, sorted(d), sorted(f)) for p, d, f in os.walk(tree)],
    "copy": lambda tree: shutil.copy(tree / "one.txt", tree / "sub"),
    "copy2": lambda tree: shutil.copy2(tree / "one.txt", tree / "1.txt"),
    "copyfile": lambda tree: shutil.copyfile(tree / "link", tree / "1", follow_symlinks=False),
    "copyfile onto itself": lambda tree: shutil.copyfile(tree / "one.txt", tree / "one.txt"),
    "copymode": lambda tree: shutil.copymode(tree, tree / "sub"),
    "copystat": lambda tree: shutil.copystat(tree / "one.txt", tree / "two.bin"),
    "copytree": lambda tree: shutil.copytree(tree, tree.parent / "copy", symlinks=True),
    "disk_usage": lambda tree: shutil.disk_usage(tree).total,
    "move": lambda tree: shutil.move(tree / "one.txt", tree / "sub"),
    "rmtree": lambda tree: shutil.rmtree(tree / "sub"),
    "rmtree a file": lambda tree: shutil.rmtree(tree / "one.txt"),
}


def outcome(call: Callable[[Path], object], tree: Path) -> tuple[object, object]:
    """Return what a call gives, or its error, and what it makes of a tree."""
    try:
        result = call(tree)
    except (OSError, TypeError) as error:
        result = type(error), getattr(error, "errno", None), str(error)
    left = [
        (str(path), path.lstat().st_mode, path.lstat().st_size, path.read_bytes())
        if path.is_file()
        else (str(path), path.lstat().st_mode)
        for path in sorted(tree.parent.rglob("*"))
    ]
    return result, left


@pytest.mark.parametrize("name", LOCAL)
def test_local_paths_are_treated_as_ever(name: str, tree: Path) -> None:
    keep = tree.parent.with_name("keep")
    shutil.copytree(tree.parent, keep, symlinks=True)
    expected = outcome(LOCAL[name], tree)
    shutil.rmtree(tree.parent)
    keep.rename(tree.parent)
    with shifted():
        found = outcome(LOCAL[name], tree)

    assert found == expected


def test_a_descriptor_of_a_folder_still_leads_into_it(tree: Path, on: None) -> None:
    descriptor = os.open(tree, os.O_RDONLY)
    try:
        assert sorted(os.listdir(descriptor)) == ["link", "one.txt", "sub", "two.bin"]
        assert os.stat("one.txt", dir_fd=descriptor).st_size == 1
        os.rename("one.txt", "1", src_dir_fd=descriptor, dst_dir_fd=descriptor)
        os.unlink("1", dir_fd=descriptor)
        assert sorted(os.listdir(descriptor)) == ["link", "sub", "two.bin"]
    finally:
        os.close(descriptor)


def test_the_standard_library_itself_still_works(on: None, tmp_path: Path) -> None:
    assert isinstance(ssl.create_default_context(), ssl.SSLContext)
    with tempfile.TemporaryDirectory() as folder, tempfile.NamedTemporaryFile(dir=folder) as file:
        assert Path(file.name).exists()
    assert not os.path.exists(folder)
    handler = logging.FileHandler(tmp_path / "log")
    handler.emit(logging.makeLogRecord({"msg": "hello"}))
    handler.close()
    assert (tmp_path / "log").read_text() == "hello\n"


# --- Shifting ---


def test_all_is_put_back() -> None:
    assert everything() == BEFORE
    shift("os", "mox")
    try:
        assert all(isinstance(standard(name), Shifted) for name in NAMES)
        assert io.open is open
    finally:
        shift("mox", "os")
    after = everything()
    assert after == BEFORE
    assert [
        name for name in after if after[name] is not BEFORE[name] and name[:9] != "supports_"
    ] == []


def test_a_second_shift_changes_nothing() -> None:
    shift("os", "mox")
    once = everything()
    shift("os", "mox")
    assert everything() == once
    shift("mox", "os")
    assert everything() == BEFORE
    shift("mox", "os")
    assert everything() == BEFORE


def test_blocks_can_be_in_each_other_and_in_a_lasting_shift() -> None:
    with shifted():
        with shifted():
            pass
        assert isinstance(os.stat, Shifted)
        shift("os", "mox")
    assert isinstance(os.stat, Shifted)
    with pytest.raises(ZeroDivisionError), shifted():
        raise ZeroDivisionError
    shift("mox", "os")
    assert everything() == BEFORE


def test_what_others_have_put_in_place_of_a_function_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "lstat", os.lstat)  # for its end
    with shifted():
        vars(os)["lstat"] = len
    assert vars(os)["lstat"] is len
    vars(os)["lstat"] = BEFORE["os.lstat"]
    assert everything() == BEFORE


@pytest.mark.parametrize("names", [("os", "os"), ("mox", "mox"), ("os", "tf")])
def test_only_two_shifts_exist(names: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="shift"):
        shift(*names)


def test_threads_may_shift_at_the_same_time() -> None:
    begin = threading.Barrier(8)

    def block(_: int) -> bool:
        begin.wait(10)
        seen = []
        for _number in range(50):
            with shifted():
                seen.append(isinstance(os.stat, Shifted) and isinstance(open, Shifted))
        return all(seen)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(block, range(8)))
    assert everything() == BEFORE


def signature(function: Callable[..., object]) -> inspect.Signature | None:
    try:
        return inspect.signature(function)
    except ValueError:  # some builtins have none
        return None


@pytest.mark.parametrize("name", NAMES)
def test_a_shifted_function_looks_like_the_original(name: str) -> None:
    original = standard(name)
    with shifted():
        function = standard(name)
        assert signature(function) == signature(original)
        assert (function.__name__, function.__doc__) == (original.__name__, original.__doc__)
        assert pickle.loads(pickle.dumps(function)) is function
        for group in SUPPORTS:
            assert (function in getattr(os, group)) == (original in getattr(os, group))
        assert type("Holder", (), {"function": function})().function is function
        data = pickle.dumps(function)
    assert pickle.loads(data) is original


@pytest.mark.parametrize("name", [name for name in NAMES if name not in REASONS])
def test_a_replacement_takes_what_the_original_takes(name: str) -> None:
    taken = inspect.signature(REPLACEMENTS[name]).parameters
    for parameter in inspect.signature(standard(name)).parameters.values():
        assert parameter.name in taken
        assert (parameter.default is parameter.empty) <= (
            taken[parameter.name].default is parameter.empty
        )


def is_shifted(url: str) -> tuple[bool, bool]:
    """Tell whether the process is shifted, and whether there is something at a URL."""
    return isinstance(os.stat, Shifted), os.path.exists(url)


@pytest.mark.parametrize(("method", "expected"), [("fork", True), ("spawn", False)])
def test_a_child_is_shifted_if_it_is_forked(url: str, method: str, expected: bool) -> None:
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        assert pool.submit(is_shifted, url).result(30) == (expected, expected)
        assert pool.submit(os.path.exists, url).result(30) is expected


def test_a_fork_while_another_thread_shifts_gets_all_or_nothing() -> None:
    stop = threading.Event()

    def toggle() -> None:
        while not stop.is_set():
            with shifted():
                pass

    thread = threading.Thread(target=toggle)
    thread.start()
    codes = []
    for _ in range(20):
        if not (child := os.fork()):
            whole = {isinstance(standard(name), Shifted) for name in NAMES}
            shift("os", "mox")
            os._exit(0 if len(whole) == 1 else 1)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    stop.set()
    thread.join()
    assert codes == [0] * 20
