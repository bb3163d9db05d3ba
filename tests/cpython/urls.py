"""CPython's tests with URLs for names: which, how they are adapted, and which not and why.

Nothing of them is rewritten.  Where they put their files is told to `test.support` before they
are imported; that there are no links, modes and descriptors of folders many then find out for
themselves, for there are file systems without them.
"""

from __future__ import annotations

import glob
import os
import tempfile
from importlib import import_module
from typing import TYPE_CHECKING, Any

from aioobs.url import is_remote

if TYPE_CHECKING:
    from collections.abc import Callable

# Those of test_filecmp are not here: they compare times that no program can give to objects.
CLASSES = {
    "test_glob": {"GlobTests"},
    "test_os": {"WalkTests", "MakedirTests", "RemoveDirsTests", "TestScandir", "TestDirEntry"},
    "test_shutil": {"TestRmTree", "TestCopyTree", "TestCopy", "TestMove"},
    "test_genericpath": {"TestGenericTest", "PathLikeTests"},
    "test_file": {"CAutoFileTests", "COtherFileTests"},
    "test_io": {"CIOTest", "CMiscIOTest", "CTextIOWrapperTest"},
    "test_gzip": {"TestOpen"},
    "test_bz2": {"OpenTest"},
}

# Why not, and what: Class.test.  All that is here is beyond what stores are, or what a shift does.
EXCLUDED = {
    "names of objects are text: a name in bytes is a local one": {
        "CIOTest.test_fspath_support",
        "GlobTests.test_glob_bytes_directory_with_trailing_slash",
        "TestGenericTest.test_exists",
        "TestGenericTest.test_isdir",
        "TestGenericTest.test_isfile",
        "TestRmTree.test_rmtree_works_on_bytes",
        "TestScandir.test_bytes",
        "TestScandir.test_bytes_like",
        "TestScandir.test_fspath_protocol_bytes",
    },
    "wants `.` in what is found, as in the pattern; test_shift.py has other patterns": {
        "GlobTests.test_recursive_glob",
    },
    "a store has no links and pipes": {
        "GlobTests.test_glob_named_pipe",
        "TestCopy.test_copyfile_named_pipe",
        "TestCopy.test_dont_copy_file_onto_link_to_itself",
        "TestGenericTest.test_samefile_on_link",
        "TestGenericTest.test_samestat_on_link",
        "TestRmTree.test_rmtree_on_named_pipe",
        "TestScandir.test_attributes",
        "WalkTests.test_walk_named_pipe",
        "WalkTests.test_walk_named_pipe2",
    },
    "a folder in a store has no mode": {
        "MakedirTests.test_mode",
    },
    "an object or folder has no descriptor": {
        "CIOTest.test_closefd_attr",
        "CIOTest.test_flush_error_on_close",
        "CIOTest.test_opener",
        "CIOTest.test_opener_invalid_fd",
        "CIOTest.test_read_closed",
        "TestGenericTest.test_sameopenfile",
        "TestRmTree.test_rmtree_fails_on_close",
        "TestRmTree.test_rmtree_uses_safe_fd_version_if_available",
        "TestRmTree.test_rmtree_with_dir_fd",
    },
    "a store is no place to work in": {
        "TestScandir.test_current_directory",
    },
    "uses io.FileIO, which is a file of the operating system": {
        "CIOTest.test_array_writes",
        "CIOTest.test_destructor",
        "CIOTest.test_garbage_collection",
        "CTextIOWrapperTest.test_garbage_collection",
    },
    "an object that is written anew or added to is written from its beginning to its end": {
        "CIOTest.test_buffered_file_io",
        "CIOTest.test_raw_file_io",
        "CTextIOWrapperTest.test_seek_append_bom",
        "CTextIOWrapperTest.test_seek_with_encoder_state",
    },
    "a file that is forgotten warns that nothing was published, and not with its raw file": {
        "CMiscIOTest.test_warn_on_dealloc",
    },
    "an os.DirEntry can be made by the operating system alone": {
        "TestCopyTree.test_copytree_arg_types_of_ignore",
        "TestDirEntry.test_unpickable",
    },
    "an entry tells what the listing said, at no further cost, also when the file is gone": {
        "TestScandir.test_removed_dir",
        "TestScandir.test_removed_file",
    },
    "nothing is held open by a scan that is not closed": {
        "TestScandir.test_resource_warning",
    },
    "a tree is removed at one go, so what went wrong is told once and of rmtree": {
        "TestRmTree.test_rmtree_errors",
        "TestRmTree.test_rmtree_errors_onerror",
        "TestRmTree.test_rmtree_errors_onexc",
    },
    "pathlib takes no URLs": {
        "TestMove.test_move_file_to_dir_pathlike_dst",
        "TestMove.test_move_file_to_dir_pathlike_src",
        "TestOpen.test_pathlike_file",
    },
    "puts a mock into the module shutil, and expects it to be called": {
        "TestCopyTree.test_copytree_winerror",
    },
    "looks for descriptors that run out or for offsets of more than 32 bits, and takes minutes": {
        "CIOTest.test_large_file_ops",
        "GlobTests.test_glob_many_open_files",
        "WalkTests.test_walk_many_open_files",
    },
}


def is_chosen(test: str) -> bool:
    """Tell whether a test, by its id, is one of those that run on URLs."""
    _, module, *_, kind, name = test.split(".")
    chosen = kind in CLASSES.get(module, ())
    return chosen and not any(f"{kind}.{name}" in names for names in EXCLUDED.values())


def move_to(url: str) -> None:
    """Let the files of the tests that are imported from now on be below a URL."""
    os_helper: Any = import_module("test.support.os_helper")
    os_helper.TESTFN = f"{url}/@test"
    os_helper.create_empty_file = create_empty_file
    # What looks at them does without descriptors of folders then.
    os.supports_dir_fd.clear()
    os.supports_fd.clear()
    patch_os: Any = os
    patch_os.chmod = passing_over(os.chmod)  # tests make files removable again with it
    patch_tempfile: Any = tempfile
    patch_tempfile.mkstemp = make_file(tempfile.mkstemp)
    # What tests look for in the working directory, they want to find something there.
    create_empty_file("file")


def create_empty_file(filename: str) -> None:
    open(filename, "wb").close()


def passing_over(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(path: Any, *args: Any, **options: Any) -> Any:
        return None if is_remote(path) else function(path, *args, **options)

    return call


def make_file(mkstemp: Callable[..., tuple[int, str]]) -> Callable[..., tuple[int, str]]:
    def make(*args: Any, dir: str | None = None, **options: Any) -> tuple[int, str]:  # noqa: A002
        if not is_remote(dir):
            return mkstemp(*args, dir=dir, **options)
        name = f"{tempfile.mkdtemp(dir=dir)}/file"
        create_empty_file(name)
        return os.open(os.devnull, os.O_RDWR), name  # which tests close at once

    return make


def adapt(module: str, url: str) -> None:
    """Change in an imported module of tests what goes around `test.support`."""
    tests: Any = import_module(f"test.{module}")
    if module == "test_shutil":
        tests.BaseTest.mkdtemp = lambda self, prefix=None: tempfile.mkdtemp(prefix=prefix, dir=url)
    elif module == "test_glob":
        tests.GlobTests.glob = found


def found(test: Any, *parts: str, **options: Any) -> list[str]:
    """Do for URLs what the method of that name does: without bytes and working directories."""
    pattern = os.path.join(*parts)
    full = os.path.join(test.tempdir, pattern)
    result = glob.glob(full, **options)
    assert sorted(glob.iglob(full, **options)) == sorted(result)
    below = glob.glob(pattern, root_dir=test.tempdir, **options)
    assert sorted(glob.iglob(pattern, root_dir=test.tempdir, **options)) == sorted(below)
    assert not any(is_remote(name) for name in below)
    expected = result[1:] if pattern in ("**", "**/") else result
    assert sorted(os.path.join(test.tempdir, name) for name in below) == sorted(expected)
    return result
