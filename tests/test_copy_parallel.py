"""`copy_parallel`: trees in all four directions, and how far they are."""

from __future__ import annotations

import os
import socket
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from copies import MIB, digest, failures_of, harvest, names_of, noise, plant, staged_files, uploads
from faulty import Answer, FaultyServer, Received, answer, use

import aioobs.file
from aioobs.config import Config
from aioobs.errors import TransferFailed, UnsafeKey
from aioobs.s3.client import Client
from aioobs.transfer import engine, scheduler
from aioobs.url import parse

if TYPE_CHECKING:
    from pathlib import Path

    from aioobs.file import Progress
    from aioobs.session import Session

pytest_plugins = ["verbs", "ends"]
SERVERS = ("seaweedfs", "swift")

FILES = {
    "a.txt": b"a",
    "empty file": b"",
    "one/two/three.txt": b"three",
    "one/two.txt": b"two",
    "one.txt": b"one",
    "one+é你好😀/a b%20#?&.txt": "ünïcode".encode(),
    ".hidden/.file": b"hidden",
    "medium": b"m" * (2 * MIB + 1),
}
FOLDERS = ("nothing", "one/nothing/here")


def expected_names(files: dict[str, bytes], folders: tuple[str, ...] = ()) -> list[str]:
    names = {*files, *folders}
    for name in tuple(names):
        parts = name.split("/")
        names.update("/".join(parts[:end]) for end in range(1, len(parts)))
    return sorted(names)


def bucket_of(url: str) -> str:
    return url.partition("://")[2].partition("/")[0]


# What is copied


async def test_a_tree_is_copied_whole(mox: Any, ends: tuple[str, str], tmp_path: Path) -> None:
    await plant(mox, ends[0], FILES, FOLDERS)
    await mox.copy_parallel(*ends)

    names = await mox.list_directory(ends[1], recursive=True)
    assert names == expected_names(FILES, FOLDERS)
    assert await harvest(mox, ends[1]) == FILES
    assert await mox.list_directory(ends[0], recursive=True) == names
    assert staged_files(tmp_path) == []


async def test_slashes_at_the_end_make_no_difference(mox: Any, ends: tuple[str, str]) -> None:
    files = {"file": b"x", "d/file": b"y"}
    await plant(mox, ends[0], files, ("empty",))

    for number, slashes in enumerate([("/", ""), ("", "/"), ("/", "/"), ("//", "//")]):
        target = f"{ends[1]}/{number}"
        await mox.copy_parallel(src_url=ends[0] + slashes[0], dst_url=target + slashes[1])
        assert await mox.list_directory(target, True) == ["d", "d/file", "empty", "file"]


@pytest.mark.usefixtures("long")
async def test_any_number_of_threads_will_do(mox: Any, ends: tuple[str, str]) -> None:
    files = {f"{number % 3}/{number}": str(number).encode() for number in range(20)}
    await plant(mox, ends[0], files)

    for threads in (0, 1, 2, 100):
        target = f"{ends[1]}/{threads}"
        await mox.copy_parallel(ends[0], target, None, threads, False, False)
        assert await harvest(mox, target) == files


@pytest.mark.parametrize("threads", [0, 1, 4])
async def test_as_many_requests_are_under_way_as_there_are_threads(
    mox: Any, source: Path, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    for number in range(12):
        (source / str(number)).write_text("x")
    turn, lock, running, most = threading.Barrier(max(threads, 1)), threading.Lock(), 0, 0

    def count(_: Received) -> Answer:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        turn.wait(20)
        with lock:
            running -= 1
        return answer(etag='"1"')

    with FaultyServer(always=count) as server:
        use(server, monkeypatch)
        await mox.copy_parallel(str(source), "s3://bucket/dst", threads=threads)
    assert most == max(threads, 1)
    assert len(server.requests) == 12


async def test_the_target_is_merged_with_what_is_there(mox: Any, ends: tuple[str, str]) -> None:
    await plant(mox, ends[0], {"both": b"new", "d/new": b"n"})
    await plant(mox, ends[1], {"both": b"old and longer", "d/old": b"o"})
    await mox.copy_parallel(*ends)

    assert await harvest(mox, ends[1]) == {"both": b"new", "d/new": b"n", "d/old": b"o"}


async def test_whole_buckets_are_copied(mox: Any, bucket: str, target: Path) -> None:
    await plant(mox, bucket, {"file": b"x", "d/file": b"y"})
    await mox.copy_parallel(bucket, str(target))
    await mox.copy_parallel(str(target), bucket)

    assert names_of(target) == ["d", "d/file", "file"]
    assert await harvest(mox, bucket) == {"file": b"x", "d/file": b"y"}


async def test_folders_without_markers_are_copied(
    mox: Any, bucket: str, client: Client, target: Path
) -> None:
    await client.put_object(bucket_of(bucket), "src/one/two/file", b"x")
    await mox.copy_parallel(f"{bucket}/src", str(target))

    assert names_of(target) == ["one", "one/two", "one/two/file"]


async def test_names_that_begin_with_the_source_are_not_copied(
    mox: Any, bucket: str, target: Path
) -> None:
    await plant(mox, bucket, {"src/file": b"x", "src2/file": b"y", "src.txt": b"z"})
    await mox.copy_parallel(f"{bucket}/src", str(target))

    assert names_of(target) == ["file"]


@pytest.mark.parametrize("end", ["", "/"])
async def test_an_empty_folder_is_copied_with_a_warning(
    mox: Any, ends: tuple[str, str], end: str, caplog: pytest.LogCaptureFixture
) -> None:
    await mox.make_dirs(ends[0])
    await mox.copy_parallel(ends[0] + end, f"{ends[1]}/new")

    assert await mox.is_directory(f"{ends[1]}/new") is True
    assert await mox.list_directory(f"{ends[1]}/new") == []
    assert "nothing to copy" in caplog.text


async def test_a_missing_source_is_an_error_and_no_target_is_made(
    mox: Any, ends: tuple[str, str]
) -> None:
    await mox.make_dirs(ends[1])
    for name in ("missing", "missing/"):
        with pytest.raises(mox.MoxFileNotExistsException, match="missing"):
            await mox.copy_parallel(f"{ends[0]}/{name}", f"{ends[1]}/new")

    assert await mox.list_directory(ends[1]) == []


async def test_a_single_file_is_copied_to_exactly_the_target(
    mox: Any, ends: tuple[str, str]
) -> None:
    await mox.write(f"{ends[0]}/file", "x")
    await mox.copy_parallel(f"{ends[0]}/file", f"{ends[1]}/deep/copy")

    assert await mox.list_directory(ends[1], recursive=True) == ["deep", "deep/copy"]
    assert await mox.read(f"{ends[1]}/deep/copy") == "x"


async def test_a_big_file_among_small_ones(
    mox: Any, ends: tuple[str, str], client: Client, tmp_path: Path
) -> None:
    files = {"big": noise(24 * MIB + 1), "d/small": b"s", "edge": noise(16 * MIB, 1)}
    await plant(mox, ends[0], files)
    await mox.copy_parallel(*ends)

    for name, data in files.items():
        assert digest(await mox.read(f"{ends[1]}/{name}", binary=True)) == digest(data)
    assert staged_files(tmp_path) == []
    for end in ends:
        if "://" in end:
            assert await uploads(client, end) == []


async def test_files_keep_the_mode_of_what_they_replace(
    mox: Any, bucket: str, target: Path
) -> None:
    await plant(mox, bucket, {"small": b"x", "big": noise(17 * MIB)})
    target.mkdir()
    for name in ("small", "big"):
        (target / name).write_text("old")
        (target / name).chmod(0o600)
    await mox.copy_parallel(bucket, str(target))

    for name in ("small", "big"):
        assert (target / name).stat().st_mode & 0o777 == 0o600
        assert (target / name).stat().st_size != 3


async def test_a_reader_of_a_replaced_file_sees_the_old_one_to_its_end(
    mox: Any, bucket: str, target: Path
) -> None:
    await plant(mox, bucket, {"file": b"new"})
    target.mkdir()
    (target / "file").write_text("old")
    with (target / "file").open() as reader:
        await mox.copy_parallel(bucket, str(target))
        assert reader.read() == "old"
    assert (target / "file").read_text() == "new"


async def test_metadata_is_kept_between_objects(mox: Any, bucket: str, client: Client) -> None:
    name = bucket_of(bucket)
    await client.put_object(
        name, "src/file", b"x", content_type="text/x-test", metadata={"author": "me"}
    )
    await mox.copy_parallel(f"{bucket}/src", f"{bucket}/dst")

    info = await client.head_object(name, "dst/file")
    assert (info.headers["content-type"], info.metadata) == ("text/x-test", {"author": "me"})


async def test_the_store_copies_big_objects_in_parts(bucket: str, client: Client) -> None:
    name, data = bucket_of(bucket), noise(13 * MIB)
    for key in ("src/one", "src/d/two"):
        await client.put_object(
            name, key, data, content_type="text/x-test", metadata={"author": "me"}
        )
    async with Client(replace(Config.from_env(), largest_copy=6 * MIB)) as small:
        await engine.copy_tree(
            small, parse(f"{bucket}/src"), parse(f"{bucket}/dst"), engine.CopyOptions(threads=4)
        )

    for key in ("dst/one", "dst/d/two"):
        info = await client.head_object(name, key)
        assert info.etag.endswith("-3")
        assert (info.headers["content-type"], info.metadata) == ("text/x-test", {"author": "me"})
        assert digest(await client.get_object(name, key)) == digest(data)
    assert await uploads(client, bucket) == []


# file_list


async def test_only_the_files_of_the_list_are_copied(mox: Any, ends: tuple[str, str]) -> None:
    await plant(mox, ends[0], FILES, FOLDERS)
    chosen = ["a.txt", "one/two/three.txt", "one+é你好😀/a b%20#?&.txt"]
    await mox.copy_parallel(*ends, file_list=chosen)

    assert await harvest(mox, ends[1]) == {name: FILES[name] for name in chosen}


async def test_an_empty_list_copies_nothing(mox: Any, ends: tuple[str, str]) -> None:
    await plant(mox, ends[0], {"file": b"x"})
    await mox.copy_parallel(*ends, file_list=[])

    assert await mox.list_directory(ends[1]) == []


async def test_names_of_the_list_that_do_not_exist_fail_and_the_others_are_copied(
    mox: Any, ends: tuple[str, str]
) -> None:
    await plant(mox, ends[0], {"file": b"x", "d/file": b"y"})
    with pytest.raises(TransferFailed, match="no such file") as caught:
        await mox.copy_parallel(*ends, file_list=["missing", "file", "d/gone", "d/file"])

    failures = failures_of(caught.value)
    assert sorted(failures) == ["gone", "missing"]
    assert all(isinstance(error, FileNotFoundError) for error in failures.values())
    assert await harvest(mox, ends[1]) == {"file": b"x", "d/file": b"y"}


async def test_a_folder_in_the_list_fails(mox: Any, ends: tuple[str, str]) -> None:
    await plant(mox, ends[0], {"file": b"x", "d/file": b"y"})
    with pytest.raises(TransferFailed) as caught:
        await mox.copy_parallel(*ends, file_list=["d", "file"])

    (failure,) = caught.value.failures
    assert isinstance(failure, IsADirectoryError)
    assert await harvest(mox, ends[1]) == {"file": b"x"}


@pytest.mark.parametrize("name", ["../outside", "d/../../outside", "./file", "d//file", "", ".."])
async def test_a_name_of_the_list_never_leads_out_of_a_local_folder(
    mox: Any, bucket: str, tmp_path: Path, source: Path, target: Path, name: str
) -> None:
    (tmp_path / "outside").write_text("secret")
    await plant(mox, str(source), {"file": b"x", "d/file": b"y"})
    await plant(mox, f"{bucket}/src", {"file": b"x", "d/file": b"y"})

    for ends in (
        (f"{bucket}/src", str(target)),
        (str(source), f"{bucket}/dst"),
        (str(source), str(target)),
    ):
        with pytest.raises(TransferFailed) as caught:
            await mox.copy_parallel(*ends, file_list=[name, "file"])
        (failure,) = caught.value.failures
        assert isinstance(failure, UnsafeKey)
    assert names_of(target) == ["file"]
    assert await harvest(mox, f"{bucket}/dst") == {"file": b"x"}
    assert sorted(os.listdir(tmp_path)) == ["dst", "outside", "src"]


async def test_an_absolute_name_of_the_list_never_leads_out_of_a_local_folder(
    mox: Any, bucket: str, tmp_path: Path, source: Path
) -> None:
    (tmp_path / "outside").write_text("secret")
    (source / "file").write_text("x")
    with pytest.raises(TransferFailed) as caught:
        await mox.copy_parallel(str(source), f"{bucket}/dst", file_list=[str(tmp_path / "outside")])

    assert isinstance(caught.value.failures[0], UnsafeKey)
    assert await mox.exists(f"{bucket}/dst/outside") is False


# Local trees


async def test_links_are_followed(mox: Any, bucket: str, source: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "inner").write_text("inner")
    (source / "real").write_text("real")
    (source / "to_file").symlink_to("real")
    (source / "to_folder").symlink_to("../elsewhere")
    await mox.copy_parallel(str(source), f"{bucket}/dst")

    assert await harvest(mox, f"{bucket}/dst") == {
        "real": b"real",
        "to_file": b"real",
        "to_folder/inner": b"inner",
    }


async def test_links_to_nowhere_and_in_circles_fail_and_the_rest_is_copied(
    mox: Any, bucket: str, source: Path
) -> None:
    (source / "d").mkdir()
    (source / "d" / "file").write_text("x")
    (source / "d" / "up").symlink_to("..")
    (source / "dangling").symlink_to("nowhere")
    (source / "self").symlink_to("self")
    with pytest.raises(TransferFailed) as caught:
        await mox.copy_parallel(str(source), f"{bucket}/dst")

    failures = failures_of(caught.value)
    assert sorted(failures) == ["dangling", "self", "up"]
    assert isinstance(failures["dangling"], FileNotFoundError)
    assert await harvest(mox, f"{bucket}/dst") == {"d/file": b"x"}


async def test_a_source_that_is_itself_a_link_is_copied(
    mox: Any, bucket: str, source: Path, tmp_path: Path
) -> None:
    (source / "file").write_text("x")
    (tmp_path / "link").symlink_to("src")
    await mox.copy_parallel(str(tmp_path / "link"), f"{bucket}/dst")

    assert await harvest(mox, f"{bucket}/dst") == {"file": b"x"}


async def test_pipes_and_sockets_are_passed_over_with_a_warning(
    mox: Any, bucket: str, source: Path, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    (source / "file").write_text("x")
    os.mkfifo(source / "pipe")
    monkeypatch.chdir(source)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("sock")
        await mox.copy_parallel(str(source), f"{bucket}/dst")

    assert await harvest(mox, f"{bucket}/dst") == {"file": b"x"}
    assert "pipe" in caplog.text
    assert "sock" in caplog.text


async def test_a_file_name_that_is_no_utf_8_fails_and_the_rest_is_copied(
    mox: Any, bucket: str, source: Path
) -> None:
    (source / "file").write_text("x")
    with open(os.fsencode(source) + b"/\xff", "wb") as file:
        file.write(b"y")
    with pytest.raises(TransferFailed) as caught:
        await mox.copy_parallel(str(source), f"{bucket}/dst")

    assert len(caught.value.failures) == 1
    assert str(caught.value).encode("utf-8", "backslashreplace")
    assert await harvest(mox, f"{bucket}/dst") == {"file": b"x"}


async def test_a_file_that_cannot_be_read_fails_and_the_rest_is_copied(
    mox: Any, bucket: str, source: Path
) -> None:
    # /proc/self/mem is a regular file of no size that gives EIO to whoever reads at 0.
    if not os.path.exists("/proc/self/mem"):
        pytest.skip("this system has no /proc/self/mem")
    (source / "bad").symlink_to("/proc/self/mem")
    (source / "file").write_text("x")
    with pytest.raises(TransferFailed) as caught:
        await mox.copy_parallel(str(source), f"{bucket}/dst")

    (failure,) = caught.value.failures
    assert "bad" in str(failure.filename)
    assert "bad" in str(caught.value)
    assert await harvest(mox, f"{bucket}/dst") == {"file": b"x"}


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
async def test_what_may_not_be_read_fails_and_the_rest_is_copied(
    mox: Any, bucket: str, source: Path
) -> None:
    (source / "file").write_text("x")
    (source / "secret").write_text("y")
    (source / "secret").chmod(0)
    (source / "closed").mkdir(mode=0)
    with pytest.raises(TransferFailed) as caught:
        await mox.copy_parallel(str(source), f"{bucket}/dst")

    failures = failures_of(caught.value)
    assert sorted(failures) == ["closed", "secret"]
    assert all(isinstance(error, PermissionError) for error in failures.values())
    assert await harvest(mox, f"{bucket}/dst") == {"file": b"x"}


# Progress


async def test_the_last_report_has_the_totals(mox: Any, ends: tuple[str, str]) -> None:
    await plant(mox, ends[0], FILES)
    reports: list[Progress] = []
    await mox.copy_parallel(*ends, progress=reports.append)

    last, size = reports[-1], sum(map(len, FILES.values()))
    assert (last.files, last.files_total) == (len(FILES), len(FILES))
    assert (last.bytes, last.bytes_total, last.failed) == (size, size, 0)
    assert last.totals_known is True
    assert [report.bytes for report in reports] == sorted(report.bytes for report in reports)
    assert all(report.files <= report.files_total for report in reports)


async def test_reports_count_what_failed(mox: Any, bucket: str, target: Path) -> None:
    await plant(mox, f"{bucket}/src", {"good": b"123", "bad": b"4567"})
    (target / "bad").mkdir(parents=True)
    reports: list[Progress] = []
    with pytest.raises(TransferFailed):
        await mox.copy_parallel(f"{bucket}/src", str(target), progress=reports.append)

    last = reports[-1]
    assert (last.files, last.files_total, last.failed) == (2, 2, 1)
    assert (last.bytes, last.bytes_total) == (3, 7)


class Refusal(Exception):
    """What the callback of a test raises."""


async def test_what_the_callback_raises_ends_the_copy_and_leaves_nothing(
    mox: Any, ends: tuple[str, str], client: Client, bucket: str, tmp_path: Path
) -> None:
    files = {f"{number:02}": b"x" for number in range(30)} | {"big": noise(17 * MIB)}
    await plant(mox, ends[0], files)
    calls: list[Progress] = []
    error, reason = Refusal("enough"), ValueError("the reason")

    def refuse(progress: Progress) -> None:
        calls.append(progress)
        raise error from reason

    with pytest.raises(Refusal, match="enough") as caught:
        await mox.copy_parallel(*ends, progress=refuse)
    assert caught.value is error
    assert caught.value.__cause__ is reason
    assert len(calls) == 1
    assert staged_files(tmp_path) == []
    assert await uploads(client, bucket) == []
    assert await mox.exists(ends[0]) is True


@pytest.mark.parametrize("kind", [BrokenPipeError, FileNotFoundError, KeyError])
async def test_an_error_of_the_callback_is_never_taken_for_one_of_a_file(
    mox: Any, bucket: str, target: Path, kind: type[Exception]
) -> None:
    await plant(mox, f"{bucket}/src", {"1": b"x", "2": b"y"})
    error = kind("enough")

    def refuse(_: Progress) -> None:
        raise error

    with pytest.raises(kind, match="enough") as caught:
        await mox.copy_parallel(f"{bucket}/src", str(target), progress=refuse)
    assert caught.value is error


# Many


@pytest.fixture
def small_pages(session: Session) -> None:
    """Have listings come in pages of seven names."""
    session.set({"page_size": 7})


@pytest.mark.usefixtures("small_pages", "long")
async def test_listings_of_many_pages_are_copied_whole(
    bucket: str, target: Path, client: Client
) -> None:
    mox, name = aioobs.file, bucket_of(bucket)
    files = {f"{number % 10}/{number:03}": str(number).encode() for number in range(100)}
    for key, data in files.items():
        await client.put_object(name, f"src/{key}", data)
    await mox.copy_parallel(f"{bucket}/src", str(target))
    await mox.copy_parallel(f"{bucket}/src", f"{bucket}/dst")
    await mox.copy_parallel(str(target), f"{bucket}/back")

    for folder in (f"{bucket}/dst", f"{bucket}/back", str(target)):
        assert await harvest(mox, folder) == files
        assert len(await mox.list_directory(folder, recursive=True)) == 110


async def test_no_worker_waits_while_there_is_something_to_do_or_nothing_is_left(
    bucket: str, source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler, "IDLE", 3600)  # what waits for that never ends here
    sizes = (10, 1000, MIB + 1, 20, MIB // 4, 2 * MIB, 30, 3 * MIB)
    for number in range(40):
        (source / f"{number:02}").write_bytes(noise(sizes[number % len(sizes)]))
    mox = aioobs.file
    await mox.copy_parallel(source, f"{bucket}/one", threads=8)
    await mox.copy_parallel(f"{bucket}/one", f"{bucket}/two", threads=8)
    await mox.copy_parallel(f"{bucket}/two", target, threads=8)

    assert {path.name: digest(path.read_bytes()) for path in target.iterdir()} == {
        path.name: digest(path.read_bytes()) for path in source.iterdir()
    }


@pytest.mark.slow
async def test_thousands_of_files_there_and_back(bucket: str, source: Path, target: Path) -> None:
    mox = aioobs.file
    for number in range(3000):
        folder = source / str(number % 50)
        folder.mkdir(exist_ok=True)
        (folder / f"{number:05}").write_text(str(number))
    await mox.copy_parallel(str(source), f"{bucket}/many", threads=32)
    names = await mox.list_directory(f"{bucket}/many", recursive=True, skip_dir=True)
    await mox.copy_parallel(f"{bucket}/many", str(target), threads=32)

    assert names == sorted(f"{number % 50}/{number:05}" for number in range(3000))
    assert names_of(target) == names_of(source)
    for name in names:
        assert (target / name).read_text() == str(int(name.rpartition("/")[2]))
    assert staged_files(target) == []
