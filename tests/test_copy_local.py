"""The local side of a copy: permissions, full disks, names that are one, what reaches the disk."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import tempfile
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from copies import names_of, smallest_disk
from faulty import FaultyServer, Received, answer, listing, stored, use

import aioobs
import aioobs.file
from aioobs.errors import NameConflict, TransferFailed
from aioobs.store.folders import FolderSync, make_folder
from aioobs.store.staged_file import StagedFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytest_plugins = ["verbs"]

MIB = 1 << 20
SIZES = pytest.mark.parametrize("size", [10, 3 * MIB, 17 * MIB], ids=["small", "medium", "big"])


@pytest.fixture
def umask() -> Iterator[None]:
    """Let files be made that the group can read and write."""
    before = os.umask(0o002)
    yield
    os.umask(before)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Give the path of a local folder that does not exist."""
    return tmp_path / "dst"


class TestOtherFileSystem:
    """What is moved from one file system to another."""

    @pytest.fixture
    def elsewhere(self, tmp_path: Path) -> Iterator[Path]:
        """Give a folder on another file system."""
        with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
            if os.stat(folder).st_dev == tmp_path.stat().st_dev:
                pytest.skip("there is one file system")
            yield Path(folder)

    async def test_a_file_stays_what_it_is(self, mox: Any, tmp_path: Path, elsewhere: Path) -> None:
        source, target = tmp_path / "file", elsewhere / "file"
        source.write_bytes(b"content")
        source.chmod(0o600)
        os.utime(source, ns=(0, 10**18))
        target.write_bytes(b"old")
        target.chmod(0o664)
        await mox.rename(str(source), str(target))
        assert not source.exists()
        assert target.read_bytes() == b"content"
        info = target.stat()
        assert (info.st_mode & 0o7777, info.st_mtime_ns) == (0o600, 10**18)

    async def test_a_disk_that_is_full_has_no_half_of_a_file(
        self, mox: Any, tmp_path: Path, elsewhere: Path
    ) -> None:
        (tmp_path / "tree").mkdir()
        (tmp_path / "tree" / "small").write_bytes(b"x")
        (tmp_path / "tree" / "big").write_bytes(bytes(MIB))
        (elsewhere / "big").write_bytes(b"old")
        with smallest_disk(MIB // 2):
            with pytest.raises(OSError, match="File too large"):
                await mox.rename(str(tmp_path / "tree" / "big"), str(elsewhere / "big"))
            with pytest.raises(OSError, match="File too large"):
                await mox.rename(str(tmp_path / "tree"), str(elsewhere / "tree"))
        assert names_of(tmp_path / "tree") == ["big", "small"]
        assert (elsewhere / "big").read_bytes() == b"old"
        assert set(names_of(elsewhere)) <= {"big", "tree", "tree/small"}


class TestPermissions:
    """Who can read a file, before and after it has its name."""

    @SIZES
    async def test_a_new_file_has_what_the_umask_leaves(
        self, mox: Any, bucket: str, target: Path, size: int, umask: None
    ) -> None:
        await mox.write(f"{bucket}/file", b"x" * size)
        await mox.copy_parallel(bucket, str(target))
        assert (target / "file").stat().st_mode & 0o7777 == 0o664

    @SIZES
    async def test_what_replaces_a_private_file_is_never_open_to_others(
        self, mox: Any, bucket: str, target: Path, size: int, umask: None,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        await mox.write(f"{bucket}/file", b"x" * size)
        target.mkdir()
        (target / "file").write_text("old")
        (target / "file").chmod(0o600)
        made: list[int] = []
        real = os.open

        def watched(path: Any, flags: int, *rest: Any, **more: Any) -> int:
            descriptor = real(path, flags, *rest, **more)
            if flags & os.O_CREAT and str(path).startswith(str(target)):
                made.append(os.fstat(descriptor).st_mode & 0o7777)
            return descriptor

        monkeypatch.setattr(os, "open", watched)
        await mox.copy_parallel(bucket, str(target))
        assert made
        assert set(made) <= {0o600}
        assert (target / "file").stat().st_mode & 0o7777 == 0o600

    async def test_what_ran_as_its_owner_does_so_no_more_with_other_content(
        self, mox: Any, bucket: str, target: Path
    ) -> None:
        await mox.write(f"{bucket}/tool", b"new")
        target.mkdir()
        (target / "tool").write_text("old")
        (target / "tool").chmod(0o6755)
        await mox.copy(f"{bucket}/tool", str(target / "tool"))
        assert (target / "tool").stat().st_mode & 0o7777 == 0o755


class TestLinksInTheTarget:
    """Links that stand in the target are its owner's: no key can make one."""

    async def test_files_and_folders_that_are_links_are_followed(
        self, mox: Any, bucket: str, target: Path, tmp_path: Path
    ) -> None:
        await mox.write(f"{bucket}/folder/file", b"one")
        await mox.write(f"{bucket}/link", b"two")
        (tmp_path / "elsewhere").mkdir()
        target.mkdir()
        (target / "folder").symlink_to("../elsewhere")
        (target / "link").symlink_to("../elsewhere/other")
        (tmp_path / "elsewhere" / "other").write_text("old")
        await mox.copy_parallel(bucket, str(target))
        assert (tmp_path / "elsewhere" / "file").read_text() == "one"
        assert (tmp_path / "elsewhere" / "other").read_text() == "two"
        assert (target / "link").is_symlink()
        assert (target / "folder").is_symlink()

    async def test_no_staged_file_is_written_through_a_link(
        self, mox: Any, bucket: str, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await mox.write(f"{bucket}/file", b"evil")
        target.mkdir()
        (tmp_path / "precious").write_text("precious")
        monkeypatch.setattr("os.urandom", bytes)
        (target / f".aioobs-{'0' * 16}.part").symlink_to("../precious")
        with pytest.raises(OSError, match="exists"):
            await mox.copy(f"{bucket}/file", str(target / "file"))
        assert (tmp_path / "precious").read_text() == "precious"
        assert not (target / "file").exists()


FULL = """
import asyncio, resource, sys
from aioobs import file, TransferFailed
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    asyncio.run(file.copy_parallel(*sys.argv[1:]))
except TransferFailed as error:
    print(*sorted(type(one).__name__ + str(one.errno) + one.filename for one in error.failures))
"""


@pytest.mark.parametrize("size", [200_000, 17 * MIB], ids=["small", "big"])
async def test_where_there_is_no_room_for_a_file_the_old_one_stays_and_the_rest_is_copied(
    mox: Any, bucket: str, target: Path, size: int
) -> None:
    # The limit of a process stands for a disk that is full: the same call fails the same way.
    await mox.write(f"{bucket}/large", b"x" * size)
    await mox.write(f"{bucket}/little", b"y")
    target.mkdir()
    (target / "large").write_text("old")
    done = subprocess.run(
        [sys.executable, "-c", FULL, bucket, str(target)],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert done.stdout.strip() == f"OSError27{bucket}/large"
    assert names_of(target) == ["large", "little"]
    assert (target / "large").read_text() == "old"


class TestNames:
    """Names that a file system does not take, or takes for one another."""

    @pytest.mark.parametrize("name", ["n" * 300, "/".join(["n" * 200] * 25)], ids=["part", "path"])
    async def test_a_name_that_is_too_long_is_told_with_its_key_and_the_rest_is_copied(
        self, target: Path, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def store(request: Received) -> Any:
            if "list-type" in request.query:
                return answer(200, listing(name, "short"))
            return stored(b"x", "e")(request)

        with FaultyServer(always=store) as server:
            use(server, monkeypatch)
            with pytest.raises(TransferFailed, match="name too long") as caught:
                await aioobs.file.copy_parallel("s3://b", str(target))
        (failure,) = caught.value.failures
        assert failure.filename == f"{target}/{name}"
        assert f"s3://b/{name}" in failure.__notes__[0]
        assert (target / "short").read_text() == "x"

    @pytest.mark.parametrize(
        ("keys", "fold"),
        [
            (["A", "a", "b"], str.lower),
            (["d/X", "D/x", "b"], str.lower),
            (["\u00e9", "e\u0301", "b"], lambda name: unicodedata.normalize("NFD", name)),
        ],
        ids=["case", "folder", "form"],
    )
    async def test_no_key_silently_replaces_another_one(
        self, tmp_path: Path, keys: list[str], fold: Callable[[str], str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        folding(monkeypatch, tmp_path, fold)
        contents = {f"/b/{key}": b"%d" % number for number, key in enumerate(keys)}

        def store(request: Received) -> Any:
            if "list-type" in request.query:
                return answer(200, listing(*keys))
            return stored(contents.get(request.path, b""), "e")(request)

        with FaultyServer(always=store) as server:
            use(server, monkeypatch)
            with pytest.raises(NameConflict, match="is the same file as") as caught:
                await aioobs.file.copy_parallel("s3://b", str(tmp_path / "dst"))
        assert [one.filename for one in caught.value.failures] == [f"s3://b/{keys[1]}"]
        files = sorted(p.read_bytes() for p in (tmp_path / "dst").rglob("*") if p.is_file())
        assert files == [b"0", b"2"]

    @pytest.mark.parametrize("letters", [str.lower, str.upper])
    async def test_a_sync_does_not_delete_what_the_source_has_in_other_letters(
        self,
        obs_bucket: str,
        target: Path,
        monkeypatch: pytest.MonkeyPatch,
        letters: Callable[[str], str],
    ) -> None:
        target.mkdir()
        folding(monkeypatch, target, letters)
        for name in ("Folder/File", "Folder/Other"):
            await aioobs.file.write(f"{obs_bucket}/{name}", b"content")
        await aioobs.sync_tree(obs_bucket, str(target), delete=True)
        (target / letters("folder") / "extra").write_text("nobody has it")
        report = await aioobs.sync_tree(obs_bucket, str(target), delete=True)
        assert (report.copied, report.deleted) == (2, 1)
        assert names_of(target) == [*map(letters, ("folder", "folder/file", "folder/other"))]

    async def test_where_names_differ_all_are_copied_and_no_probe_is_left(
        self, mox: Any, bucket: str, target: Path
    ) -> None:
        names = sorted(["A", "a", "\u00e9", "e\u0301"])
        for name in names:
            await mox.write(f"{bucket}/{name}", b"x")
        await mox.copy_parallel(bucket, str(target))
        assert names_of(target.parent) == ["dst", *(f"dst/{name}" for name in names)]


def folding(monkeypatch: pytest.MonkeyPatch, root: Path, fold: Callable[[str], str]) -> None:
    """Let the file system below a folder make no difference of some names, as others do."""
    top = f"{root}/"

    def folded(path: Any) -> Any:
        text = path if isinstance(path, str) else ""
        return top + fold(text[len(top) :]) if text.startswith(top) else path

    for name in ("open", "lstat", "stat", "mkdir", "unlink"):
        call = getattr(os, name)
        monkeypatch.setattr(
            os, name, lambda path, *rest, _call=call, **more: _call(folded(path), *rest, **more)
        )
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda one, two: replace(folded(one), folded(two)))


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str]]:
    """Record what is synced, as ("sync", its path, ""), and renamed: ("rename", from, to)."""
    found: list[tuple[str, str, str]] = []
    sync, replace = os.fsync, os.replace

    def recorded_sync(descriptor: int) -> None:
        found.append(("sync", os.readlink(f"/proc/self/fd/{descriptor}"), ""))
        sync(descriptor)

    def recorded_replace(one: str, two: str) -> None:
        found.append(("rename", one, two))
        replace(one, two)

    monkeypatch.setattr(os, "fsync", recorded_sync)
    monkeypatch.setattr(os, "replace", recorded_replace)
    return found


class TestDurable:
    """What is on the disk when a staged file has been published."""

    def test_the_file_is_there_before_its_name_and_the_name_at_the_end(
        self, tmp_path: Path, events: list[tuple[str, str, str]]
    ) -> None:
        folders = FolderSync()
        make_folder(str(tmp_path / "a" / "b"), folders)
        for name in ("one", "two"):
            staged = StagedFile(str(tmp_path / "a" / "b" / name), folders)
            staged.open()
            os.write(staged.descriptor, b"content")
            path = staged.path
            assert events == []
            staged.publish()
            assert events == [("sync", path, ""), ("rename", path, staged.target)]
            events.clear()
        folders.finish()
        expected = [tmp_path, tmp_path / "a", tmp_path / "a" / "b"]
        assert sorted(events) == [("sync", str(folder), "") for folder in expected]

    @pytest.mark.parametrize("size", [10, 3 * MIB, 17 * MIB], ids=["small", "medium", "big"])
    @pytest.mark.parametrize("executor", [False, True])
    async def test_a_durable_copy_has_each_file_on_the_disk_before_its_name_and_then_the_names(
        self,
        obs_bucket: str,
        tmp_path: Path,
        events: list[tuple[str, str, str]],
        size: int,
        executor: bool,
    ) -> None:
        for name in ("d/one", "d/e/two"):
            await aioobs.file.write(f"{obs_bucket}/{name}", "x" * size)
        target = tmp_path / "dst"
        with ThreadPoolExecutor(1) as pool:
            await aioobs.file.copy_parallel(
                obs_bucket, target, durable=True, executor=pool if executor else None
            )
        renames = [number for number, event in enumerate(events) if event[0] == "rename"]
        assert {events[number][2] for number in renames} == {
            str(target / "d" / "one"),
            str(target / "d" / "e" / "two"),
        }
        for number in renames:
            assert ("sync", events[number][1], "") in events[:number]
        folders = {tmp_path, target, target / "d", target / "d" / "e"}
        assert {path for _, path, _ in events[renames[-1] + 1 :]} == set(map(str, folders))
        assert (target / "d" / "e" / "two").stat().st_size == size

    async def test_nothing_waits_for_the_disk_unless_it_is_wanted(
        self, obs_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await aioobs.file.write(f"{obs_bucket}/one", "x")
        monkeypatch.delattr(os, "fsync")
        await aioobs.file.copy_parallel(obs_bucket, tmp_path / "dst")
        with pytest.raises(AttributeError):
            await aioobs.file.copy_parallel(obs_bucket, tmp_path / "dst", durable=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Give a file system of 8 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("only some may mount")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("size", [9 * MIB, 17 * MIB], ids=["medium", "big"])
async def test_a_full_disk_is_told_and_what_fits_is_copied(
    obs_bucket: str, disk: Path, size: int
) -> None:
    await aioobs.file.write(f"{obs_bucket}/large", b"x" * size)
    await aioobs.file.write(f"{obs_bucket}/little", b"y")
    with pytest.raises(TransferFailed) as caught:
        await aioobs.file.copy_parallel(
            obs_bucket, disk, threads=1, journal=disk.parent / "journal"
        )
    (failure,) = caught.value.failures
    assert (failure.errno, failure.filename) == (errno.ENOSPC, f"{obs_bucket}/large")
    assert names_of(disk) == ["little"]


async def test_a_disk_that_cannot_be_written_to_is_told(obs_bucket: str, disk: Path) -> None:
    await aioobs.file.write(f"{obs_bucket}/one", b"x")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    with pytest.raises(TransferFailed, match="Read-only file system") as caught:
        await aioobs.file.copy_parallel(obs_bucket, disk)
    assert caught.value.failures[0].errno == errno.EROFS


class TestBrokenDisks:
    """What is said of a disk that fails, and what lies there afterwards."""

    async def test_the_file_that_tells_how_names_are_taken_does_not_stay(
        self, obs_bucket: str, target: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        close = os.close

        def failing(descriptor: int) -> None:
            failed = os.readlink(f"/proc/self/fd/{descriptor}").endswith(".probe")
            close(descriptor)
            if failed:
                raise OSError(errno.EIO, os.strerror(errno.EIO))

        await aioobs.file.write(f"{obs_bucket}/file", b"content")
        target.mkdir()
        monkeypatch.setattr(os, "close", failing)
        await aioobs.file.copy_parallel(obs_bucket, str(target))
        assert os.listdir(target) == ["file"]

    async def test_a_file_that_cannot_get_its_name_is_named_in_the_error(
        self, obs_bucket: str, target: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def replace(one: str, two: str) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO), one, None, two)

        await aioobs.file.write(f"{obs_bucket}/file", b"content")
        monkeypatch.setattr(os, "replace", replace)
        with pytest.raises(OSError, match="Input/output error") as caught:
            await aioobs.file.copy(f"{obs_bucket}/file", str(target))
        assert str(caught.value) == f"[Errno {errno.EIO}] Input/output error: '{target}'"
        assert os.listdir(target.parent) == []

    async def test_a_file_that_cannot_be_removed_is_told_of_and_hides_no_other_error(
        self,
        obs_bucket: str,
        target: Path,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        def refuse(path: str, *_: object) -> None:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), path)

        await aioobs.file.write(f"{obs_bucket}/file", b"content")
        with monkeypatch.context() as patch, pytest.raises(PermissionError) as caught:
            patch.setattr(os, "replace", refuse)
            patch.setattr(os, "unlink", refuse)
            await aioobs.file.copy(f"{obs_bucket}/file", str(target))
        assert caught.value.filename == str(target)
        (left,) = target.parent.iterdir()
        assert f"{left} stays behind: Operation not permitted" in caplog.text

    async def test_a_folder_that_does_not_reach_the_disk_is_named_in_the_error(
        self, obs_bucket: str, target: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def sync(descriptor: int) -> None:
            if os.path.isdir(f"/proc/self/fd/{descriptor}"):
                raise OSError(errno.EIO, os.strerror(errno.EIO))

        await aioobs.file.write(f"{obs_bucket}/file", b"content")
        monkeypatch.setattr(os, "fsync", sync)
        with pytest.raises(OSError, match=str(target.parent)):
            await aioobs.file.copy_parallel(obs_bucket, str(target), durable=True)

    def test_a_folder_that_cannot_be_looked_at_is_not_called_a_file(self, target: Path) -> None:
        target.symlink_to(target)
        with pytest.raises(OSError, match=f"levels of symbolic links: '{target}'"):
            make_folder(str(target))

    async def test_a_full_disk_is_named_in_the_error(self) -> None:
        for write in (aioobs.file.write, aioobs.file.append):
            with pytest.raises(OSError, match=r"No space left on device: '/dev/full'"):
                await write("/dev/full", b"content")

    async def test_the_size_of_a_tree_that_cannot_be_read_is_an_error(self, tmp_path: Path) -> None:
        here = os.open(tmp_path, os.O_RDONLY)
        for _ in range(20):  # a path of which is longer than any may be
            os.mkdir("x" * 250, dir_fd=here)
            below = os.open("x" * 250, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
        os.close(here)
        with pytest.raises(OSError, match="File name too long"):
            await aioobs.file.get_size(str(tmp_path), recursive=True)
        shutil.rmtree(tmp_path)  # few programs can
