"""Folders under the verbs: the same for local files, SeaweedFS and plain keys (moto)."""

from __future__ import annotations

import asyncio
import logging
import os
import re
from typing import TYPE_CHECKING, Any

import pytest
from faulty import Answer, FaultyServer, Received, answer, forward, listing, use

from aioobs import file
from aioobs.config import Config
from aioobs.errors import NotFound
from aioobs.s3.client import Client

if TYPE_CHECKING:
    from pathlib import Path

pytest_plugins = ["verbs"]

SERVERS = ("seaweedfs", "moto", "swift")
TREE = ("b/c/deep.txt", "b/one.txt", "a.txt", "z.txt", "b2/two.txt")


async def plant(mox: Any, root: str, *names: str) -> None:
    """Write files that hold their own names; a name with a slash at its end is a folder."""
    for name in names:
        if name.endswith("/") or "://" not in root:
            await mox.make_dirs(f"{root}/{os.path.dirname(name)}")
        if not name.endswith("/"):
            await mox.write(f"{root}/{name}", name)


async def tree(mox: Any, root: str) -> list[str]:
    found: list[str] = await mox.list_directory(root, recursive=True)
    return found


async def collected(items: Any) -> list[Any]:
    return [item async for item in items]


# list_directory


async def test_a_listing_names_files_and_folders_of_one_level_in_order(mox: Any, root: str) -> None:
    await plant(mox, root, *TREE)

    assert await mox.list_directory(root) == ["a.txt", "b", "b2", "z.txt"]
    assert await mox.list_directory(f"{root}/b") == ["c", "one.txt"]


async def test_a_recursive_listing_names_every_level_relative_to_its_root(
    mox: Any, root: str
) -> None:
    await plant(mox, root, *TREE)

    assert await mox.list_directory(root, recursive=True) == [
        "a.txt",
        "b",
        "b/c",
        "b/c/deep.txt",
        "b/one.txt",
        "b2",
        "b2/two.txt",
        "z.txt",
    ]
    assert await mox.list_directory(f"{root}/b", True) == ["c", "c/deep.txt", "one.txt"]


@pytest.mark.parametrize("recursive", [False, True])
async def test_a_listing_does_not_care_for_slashes_at_the_end(
    mox: Any, root: str, recursive: bool
) -> None:
    await plant(mox, root, *TREE)

    for folder in (root, f"{root}/b"):
        expected = await mox.list_directory(folder, recursive)
        assert await mox.list_directory(f"{folder}/", recursive) == expected
        assert await mox.list_directory(f"{folder}//", recursive) == expected


async def test_files_or_folders_can_be_left_out_of_a_listing(mox: Any, root: str) -> None:
    await plant(mox, root, *TREE)

    assert await mox.list_directory(root, skip_file=True) == ["b", "b2"]
    assert await mox.list_directory(root, skip_dir=True) == ["a.txt", "z.txt"]
    assert await mox.list_directory(root, True, skip_file=True) == ["b", "b/c", "b2"]
    assert await mox.list_directory(f"{root}/b", True, skip_dir=True) == ["c/deep.txt", "one.txt"]
    assert await mox.list_directory(root, skip_file=True, skip_dir=True) == []


async def test_folders_of_a_listing_keep_their_slash_if_asked_to(mox: Any, root: str) -> None:
    await plant(mox, root, *TREE)

    assert await mox.list_directory(root, remove_sep=False) == ["a.txt", "b/", "b2/", "z.txt"]
    below = await mox.list_directory(f"{root}/b", recursive=True, remove_sep=False)
    assert below == ["c/", "c/deep.txt", "one.txt"]


async def test_an_empty_folder_is_listed_and_lists_nothing(mox: Any, root: str) -> None:
    await mox.make_dirs(f"{root}/full/empty")

    assert await mox.list_directory(f"{root}/full/empty") == []
    assert await mox.list_directory(f"{root}/full/empty", recursive=True) == []
    assert await mox.list_directory(f"{root}/full") == ["empty"]
    assert await mox.list_directory(root, recursive=True) == ["full", "full/empty"]


async def test_an_empty_root_lists_nothing(mox: Any, root: str) -> None:
    assert await mox.list_directory(root) == []
    assert await mox.list_directory(root, recursive=True) == []


@pytest.mark.parametrize("recursive", [False, True])
async def test_listing_what_is_not_there_or_not_a_folder_is_an_error(
    mox: Any, root: str, recursive: bool
) -> None:
    await plant(mox, root, "b/file")

    for name in ("missing", "missing/", "b/missing", "b/fil"):
        with pytest.raises(mox.MoxFileNotExistsException) as caught:
            await mox.list_directory(f"{root}/{name}", recursive)
        assert isinstance(caught.value, FileNotFoundError)
        assert name.rstrip("/") in str(caught.value)
    with pytest.raises(NotADirectoryError):
        await mox.list_directory(f"{root}/b/file", recursive)


# exists, is_directory


async def test_files_and_folders_exist_and_folders_are_directories(mox: Any, root: str) -> None:
    await plant(mox, root, "b/c/file", "empty/")

    for name in ("b/c/file", "b", "b/", "b/c", "b/c/", "empty", "empty/"):
        assert await mox.exists(f"{root}/{name}") is True
        assert await mox.is_directory(f"{root}/{name}") is (name != "b/c/file")


@pytest.mark.parametrize("name", ["missing", "missing/", "b/fil", "b/file2", "b/f", "b/file/below"])
async def test_a_beginning_of_a_name_does_not_exist(mox: Any, root: str, name: str) -> None:
    await plant(mox, root, "b/file", "b/folder/file")

    assert await mox.exists(f"{root}/{name}") is False
    assert await mox.is_directory(f"{root}/{name}") is False


async def test_a_file_with_a_slash_at_its_end_does_not_exist(mox: Any, root: str) -> None:
    await plant(mox, root, "file")

    assert await mox.exists(f"{root}/file/") is False
    assert await mox.is_directory(f"{root}/file/") is False


async def test_the_root_is_a_directory_also_when_it_is_empty(mox: Any, root: str) -> None:
    for name in (root, f"{root}/"):
        assert await mox.exists(name) is True
        assert await mox.is_directory(name) is True


async def test_a_folder_without_a_marker_is_one(mox: Any, bucket: str, client: Client) -> None:
    await client.put_object(bucket.partition("://")[2], "a/b/c", b"x")

    for name in ("a", "a/", "a/b", "a/b/"):
        assert await mox.exists(f"{bucket}/{name}") is True
        assert await mox.is_directory(f"{bucket}/{name}") is True
        found = await mox.stat(f"{bucket}/{name}")
        assert (found.is_directory, found.length) == (True, 0)
    assert await mox.list_directory(bucket, recursive=True) == ["a", "a/b", "a/b/c"]


async def test_a_bucket_that_is_missing_does_not_exist(mox: Any, bucket: str) -> None:
    for name in (f"{bucket}-missing", f"{bucket}-missing/", f"{bucket}-missing/a"):
        assert await mox.exists(name) is False
        assert await mox.is_directory(name) is False


# stat, get_size


async def test_a_file_has_size_and_time(mox: Any, root: str) -> None:
    await mox.write(f"{root}/file", b"12345")
    found = await mox.stat(f"{root}/file")

    assert (found.length, found.is_directory) == (5, False)
    assert isinstance(found.mtime_nsec, int)
    assert found.mtime_nsec > 1_600_000_000_000_000_000
    assert found.st_size == 5
    assert found.st_mtime == pytest.approx(found.mtime_nsec / 1e9)
    assert await mox.get_size(f"{root}/file") == 5
    assert await mox.get_size(f"{root}/file", recursive=True) == 5


@pytest.mark.parametrize("name", ["", "/", "/b", "/b/", "/empty", "/empty/"])
async def test_a_folder_is_a_directory_of_no_length(mox: Any, root: str, name: str) -> None:
    await plant(mox, root, "b/file", "empty/")
    found = await mox.stat(root + name)

    assert (found.length, found.is_directory) == (0, True)


async def test_the_size_of_a_folder_is_that_of_all_files_below(mox: Any, root: str) -> None:
    await plant(mox, root, "b/", "empty/", *TREE)

    assert await mox.get_size(root, recursive=True) == sum(map(len, TREE))
    assert await mox.get_size(f"{root}/b", recursive=True) == len("b/c/deep.txt" + "b/one.txt")
    assert await mox.get_size(f"{root}/b/", recursive=True) == len("b/c/deep.txt" + "b/one.txt")
    assert await mox.get_size(f"{root}/empty", recursive=True) == 0


async def test_the_size_of_a_remote_folder_is_0_unless_recursive(mox: Any, bucket: str) -> None:
    await plant(mox, bucket, *TREE)

    for name in ("", "/", "/b", "/b/"):
        assert await mox.get_size(bucket + name) == 0


async def test_the_size_of_a_local_folder_is_always_that_of_all_files(
    mox: Any, tmp_path: Any
) -> None:
    await plant(mox, str(tmp_path), *TREE)

    assert await mox.get_size(str(tmp_path)) == sum(map(len, TREE))
    assert await mox.get_size(f"{tmp_path}/b/") == len("b/c/deep.txt" + "b/one.txt")


@pytest.mark.parametrize("name", ["missing", "missing/", "b/fil", "b/file/"])
async def test_what_is_not_there_has_neither_size_nor_time(mox: Any, root: str, name: str) -> None:
    await plant(mox, root, "b/file")

    # A file with a slash at its end is "not a directory" to a file system.
    wrong = (mox.MoxFileNotExistsException, NotADirectoryError)
    with pytest.raises(wrong):
        await mox.stat(f"{root}/{name}")
    for recursive in (False, True):
        with pytest.raises(wrong):
            await mox.get_size(f"{root}/{name}", recursive)


# make_dirs, mk_dir


@pytest.mark.parametrize("end", ["", "/", "//"])
async def test_make_dirs_creates_all_levels_and_can_be_repeated(
    mox: Any, root: str, end: str
) -> None:
    for _ in range(2):
        await mox.make_dirs(f"{root}/one/two/three{end}")

    assert await tree(mox, root) == ["one", "one/two", "one/two/three"]
    for name in ("one", "one/two", "one/two/three"):
        assert await mox.is_directory(f"{root}/{name}") is True


async def test_make_dirs_of_the_root_is_no_error(mox: Any, root: str) -> None:
    await mox.make_dirs(root)
    await mox.make_dirs(f"{root}/")

    assert await tree(mox, root) == []


async def test_made_folders_stay_when_what_is_in_them_goes(mox: Any, root: str) -> None:
    await mox.make_dirs(f"{root}/one/two")
    await mox.write(f"{root}/one/two/file", "x")
    await mox.remove(f"{root}/one/two/file")
    assert await mox.is_directory(f"{root}/one/two") is True

    await mox.remove(f"{root}/one/two", recursive=True)
    assert await mox.is_directory(f"{root}/one") is True


async def test_make_dirs_does_not_touch_what_is_in_the_folder(mox: Any, root: str) -> None:
    await plant(mox, root, "one/two/file")
    await mox.make_dirs(f"{root}/one/two")

    assert await mox.read(f"{root}/one/two/file") == "one/two/file"


async def test_make_dirs_over_a_file_is_an_error(mox: Any, root: str) -> None:
    await mox.write(f"{root}/file", "x")

    with pytest.raises(FileExistsError):
        await mox.make_dirs(f"{root}/file")
    with pytest.raises(NotADirectoryError):
        await mox.make_dirs(f"{root}/file/below")
    with pytest.raises(NotADirectoryError):
        await mox.make_dirs(f"{root}/file/below/further")
    assert await mox.read(f"{root}/file") == "x"
    assert await tree(mox, root) == ["file"]


@pytest.mark.parametrize("end", ["", "/"])
async def test_mk_dir_creates_one_level(mox: Any, root: str, end: str) -> None:
    await mox.mk_dir(f"{root}/one{end}")
    await mox.mk_dir(f"{root}/one/two{end}")

    assert await tree(mox, root) == ["one", "one/two"]


async def test_mk_dir_without_its_parent_is_an_error(mox: Any, root: str) -> None:
    with pytest.raises(mox.MoxFileNotExistsException):
        await mox.mk_dir(f"{root}/one/two")
    assert await tree(mox, root) == []


async def test_mk_dir_of_a_folder_that_is_there_changes_nothing(mox: Any, root: str) -> None:
    await plant(mox, root, "folder/file")

    for name in ("/folder", "/folder/", ""):
        await mox.mk_dir(f"{root}{name}")

    assert await tree(mox, root) == ["folder", "folder/file"]


async def test_mk_dir_over_a_file_is_an_error(mox: Any, root: str) -> None:
    await plant(mox, root, "file")

    with pytest.raises(FileExistsError):
        await mox.mk_dir(f"{root}/file")
    with pytest.raises(NotADirectoryError):
        await mox.mk_dir(f"{root}/file/below")
    assert await mox.read(f"{root}/file") == "file"


@pytest.mark.parametrize("name", ["", "/", "/one/two"])
async def test_folders_in_a_bucket_that_is_missing_cannot_be_made(
    mox: Any, bucket: str, name: str
) -> None:
    with pytest.raises(mox.MoxFileNotExistsException):
        await mox.make_dirs(f"{bucket}-missing{name}")
    with pytest.raises(mox.MoxFileNotExistsException):
        await mox.mk_dir(f"{bucket}-missing/one")


# remove


@pytest.mark.parametrize("recursive", [False, True])
async def test_removing_a_file_removes_it_alone(mox: Any, root: str, recursive: bool) -> None:
    await plant(mox, root, "d/file", "d/file2", "d/fil")
    await mox.remove(f"{root}/d/file", recursive=recursive)

    assert await tree(mox, root) == ["d", "d/fil", "d/file2"]


@pytest.mark.parametrize("recursive", [False, True])
async def test_removing_a_file_with_a_slash_at_its_end_does_nothing(
    mox: Any, root: str, recursive: bool
) -> None:
    await plant(mox, root, "d/file")
    await mox.remove(f"{root}/d/file/", recursive=recursive)

    assert await mox.read(f"{root}/d/file") == "d/file"


@pytest.mark.parametrize("end", ["", "/"])
async def test_removing_a_folder_removes_it_alone(mox: Any, root: str, end: str) -> None:
    await plant(mox, root, "d/dir/sub/file", "d/dir/empty/", "d/dir2/file", "d/di", "d/dir.txt")
    await mox.remove(f"{root}/d/dir{end}", recursive=True)

    assert await tree(mox, root) == ["d", "d/di", "d/dir.txt", "d/dir2", "d/dir2/file"]
    assert await mox.exists(f"{root}/d/dir") is False


@pytest.mark.parametrize("end", ["", "/"])
@pytest.mark.parametrize("name", ["full", "empty"])
async def test_removing_a_folder_without_recursive_warns_and_does_nothing(
    mox: Any, root: str, name: str, end: str, caplog: pytest.LogCaptureFixture
) -> None:
    await plant(mox, root, "full/file", "empty/")
    with caplog.at_level(logging.WARNING, "aioobs"):
        await mox.remove(f"{root}/{name}{end}")

    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "recursive" in caplog.text
    assert await tree(mox, root) == ["empty", "full", "full/file"]


@pytest.mark.parametrize("recursive", [False, True])
@pytest.mark.parametrize("name", ["missing", "missing/", "d/fil", "d2"])
async def test_removing_what_is_not_there_is_an_error(
    mox: Any, root: str, name: str, recursive: bool
) -> None:
    await plant(mox, root, "d/file")

    with pytest.raises(mox.MoxFileNotExistsException):
        await mox.remove(f"{root}/{name}", recursive=recursive)
    assert await tree(mox, root) == ["d", "d/file"]


async def test_removing_an_empty_folder_needs_recursive(mox: Any, root: str) -> None:
    await mox.make_dirs(f"{root}/empty")
    await mox.remove(f"{root}/empty", recursive=True)

    assert await mox.exists(f"{root}/empty") is False


async def test_removing_a_bucket_empties_it(mox: Any, bucket: str) -> None:
    await plant(mox, bucket, *TREE, "empty/")
    await mox.remove(bucket, recursive=True)

    assert await mox.list_directory(bucket) == []
    assert await mox.exists(bucket) is True


@pytest.mark.parametrize("status", [200, 403])  # whoever may remove need not be allowed to look
async def test_no_bucket_and_no_other_folder_is_taken_for_an_emptied_one(
    monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    removed: list[str] = []

    def serve(received: Received) -> Answer:
        if received.method == "POST":
            removed.extend(re.findall("<Key>(.*?)</Key>", received.body.decode()))
            return answer(body="<DeleteResult/>")
        if received.method == "HEAD":
            return answer(status if received.path.endswith("/") else 404, etag='"e"')
        return answer(body=listing("d/../x", "d//y", "d/./z", "d/e/f"))

    with FaultyServer(always=serve) as server:
        use(server, monkeypatch)
        await file.remove("s3://bucket/d", recursive=True)
    assert removed[4:] == ["d/e/", "d/"]


async def test_a_store_where_no_key_ends_in_a_slash_has_folders_without_objects(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def serve(received: Received) -> Answer:
        if received.method == "POST":
            return answer(body="<DeleteResult/>")
        if received.method == "HEAD":
            return answer(400 if received.path.endswith("/") else 404)
        return answer(body=listing("d/file"))

    with FaultyServer(always=serve) as server:
        use(server, monkeypatch)
        found = await file.stat("s3://bucket/d")
        assert (found.is_directory, found.length) == (True, 0)
        await file.remove("s3://bucket/d", recursive=True)


async def test_a_link_is_removed_and_not_what_it_leads_to(mox: Any, tmp_path: Any) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "file").write_text("x")
    for name, target in (("to_folder", folder), ("to_file", folder / "file"), ("dangling", "?")):
        link = tmp_path / name
        link.symlink_to(target)
        await mox.remove(str(link), recursive=True)
        assert not link.is_symlink()
    assert (folder / "file").read_text() == "x"


@pytest.mark.usefixtures("session")
async def test_a_folder_of_several_pages_is_removed_whole(
    mox: Any, bucket: str, client: Client
) -> None:
    name = bucket.partition("://")[2]
    for number in range(25):
        await client.put_object(name, f"d/{number % 3}/{number}", b"")
    mox.set_auth(list_max_keys=4)
    await mox.remove(f"{bucket}/d", recursive=True)
    assert await mox.list_directory(bucket) == []


# rename


async def test_a_renamed_file_is_there_under_its_new_name_only(mox: Any, root: str) -> None:
    await plant(mox, root, "d/old", "e/")
    await mox.rename(f"{root}/d/old", f"{root}/e/new")

    assert await mox.read(f"{root}/e/new") == "d/old"
    assert await mox.exists(f"{root}/d/old") is False


async def test_a_file_is_renamed_over_another(mox: Any, root: str) -> None:
    await plant(mox, root, "d/old", "d/other")
    await mox.rename(f"{root}/d/old", f"{root}/d/other")

    assert await mox.read(f"{root}/d/other") == "d/old"
    assert await tree(mox, root) == ["d", "d/other"]


async def test_a_file_renamed_to_itself_stays(mox: Any, root: str) -> None:
    await plant(mox, root, "d/file")
    await mox.rename(f"{root}/d/file", f"{root}/d/file")

    assert await mox.read(f"{root}/d/file") == "d/file"


async def test_what_is_missing_is_not_renamed_to_itself(mox: Any, root: str) -> None:
    with pytest.raises(NotFound):
        await mox.rename(f"{root}/missing", f"{root}/missing")


@pytest.mark.parametrize("ends", [("", ""), ("/", ""), ("", "/"), ("/", "/")])
async def test_a_folder_is_renamed_with_all_that_is_in_it(
    mox: Any, root: str, ends: tuple[str, str]
) -> None:
    await plant(mox, root, "old/sub/deep/file", "old/empty/", "old2/file")
    await mox.rename(f"{root}/old{ends[0]}", f"{root}/new{ends[1]}")

    names = ["new", "new/empty", "new/sub", "new/sub/deep", "new/sub/deep/file"]
    assert await tree(mox, root) == [*names, "old2", "old2/file"]
    assert sorted(await mox.list_directory(root)) == ["new", "old2"]
    assert await mox.read(f"{root}/new/sub/deep/file") == "old/sub/deep/file"


@pytest.mark.parametrize("local", [True, False])
async def test_what_comes_into_a_folder_while_it_is_renamed_stays_there(
    mox: Any, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, local: bool
) -> None:
    source, target = str(tmp_path / "src") if local else f"{bucket}/src", f"{bucket}/dst"
    for name in ("a", "sub/b"):
        if local:
            (tmp_path / "src/sub").mkdir(parents=True, exist_ok=True)
        await mox.write(f"{source}/{name}", name)
    store, late = Client(Config.from_env()), f"{source}/sub/late"
    pass_on = forward(os.environ["S3_ENDPOINT"])

    def disturbed(received: Received) -> Answer:
        if received.method == "PUT" and received.path.endswith("dst/a"):
            if local:
                (tmp_path / "src/sub/late").write_text("late")
            else:
                name, _, key = late.partition("://")[2].partition("/")
                asyncio.run(store.put_object(name, key, b"late"))
        return pass_on(received)

    with FaultyServer(always=disturbed) as server, monkeypatch.context() as patch:
        patch.setenv("S3_ENDPOINT", server.endpoint)
        await mox.rename(source, target)
    assert await mox.list_directory(target, recursive=True) == ["a", "sub", "sub/b"]
    assert await mox.read(late) == "late"
    assert await mox.exists(f"{source}/sub/b") is False
    assert await mox.exists(f"{source}/a") is False


@pytest.mark.parametrize("target", ["d/below", "d/sub/below", "d/sub/../below"])
async def test_a_folder_is_never_renamed_into_itself(mox: Any, root: str, target: str) -> None:
    await plant(mox, root, "d/sub/file")

    # A bucket has no "..", there this names a folder of d as well.
    with pytest.raises((ValueError, OSError)):
        await mox.rename(f"{root}/d", f"{root}/{target}")
    assert await tree(mox, root) == ["d", "d/sub", "d/sub/file"]


async def test_a_folder_renamed_to_itself_stays(mox: Any, root: str) -> None:
    await plant(mox, root, "d/file")
    for source, target in (("d", "d"), ("d/", "d"), ("d", "d/")):
        await mox.rename(f"{root}/{source}", f"{root}/{target}")
    assert await tree(mox, root) == ["d", "d/file"]


async def test_a_folder_can_be_renamed_to_a_name_that_begins_with_its_own(
    mox: Any, root: str
) -> None:
    await plant(mox, root, "d/file")
    await mox.rename(f"{root}/d", f"{root}/d2")

    assert await mox.read(f"{root}/d2/file") == "d/file"
    assert await mox.exists(f"{root}/d/file") is False


async def test_a_file_is_not_renamed_over_a_folder_nor_a_folder_over_a_file(
    mox: Any, root: str
) -> None:
    await plant(mox, root, "folder/inner", "file")

    with pytest.raises(IsADirectoryError):
        await mox.rename(f"{root}/file", f"{root}/folder")
    with pytest.raises(NotADirectoryError):
        await mox.rename(f"{root}/folder", f"{root}/file")
    with pytest.raises(FileNotFoundError, match="missing"):
        await mox.rename(f"{root}/missing", f"{root}/folder")
    assert await tree(mox, root) == ["file", "folder", "folder/inner"]
    assert await mox.read(f"{root}/file") == "file"


@pytest.mark.parametrize("name", ["missing", "missing/", "d/fil"])
async def test_renaming_what_is_not_there_is_an_error(mox: Any, root: str, name: str) -> None:
    await plant(mox, root, "d/file")

    with pytest.raises(mox.MoxFileNotExistsException):
        await mox.rename(f"{root}/{name}", f"{root}/new")
    assert await tree(mox, root) == ["d", "d/file"]


async def test_files_and_folders_are_moved_to_this_machine(
    mox: Any, bucket: str, tmp_path: Any
) -> None:
    await plant(mox, bucket, "old/sub/file", "old/empty/", "single")
    await mox.rename(f"{bucket}/old", str(tmp_path / "new"))
    await mox.rename(f"{bucket}/single", str(tmp_path / "deep" / "single"))

    assert (tmp_path / "new" / "sub" / "file").read_text() == "old/sub/file"
    assert (tmp_path / "new" / "empty").is_dir()
    assert (tmp_path / "deep" / "single").read_text() == "single"
    for name in ("old/sub/file", "single"):
        assert await mox.exists(f"{bucket}/{name}") is False


async def test_files_and_folders_are_moved_to_a_store(mox: Any, bucket: str, tmp_path: Any) -> None:
    await plant(mox, str(tmp_path), "old/sub/file", "old/empty/", "single")
    await mox.rename(str(tmp_path / "old"), f"{bucket}/new")
    await mox.rename(str(tmp_path / "single"), f"{bucket}/deep/single")

    assert await tree(mox, bucket) == [
        "deep",
        "deep/single",
        "new",
        "new/empty",
        "new/sub",
        "new/sub/file",
    ]
    assert list(tmp_path.iterdir()) == []


async def test_nothing_is_removed_when_a_move_fails(mox: Any, bucket: str, tmp_path: Any) -> None:
    await plant(mox, bucket, "d/file", "d/other")
    (tmp_path / "d" / "file").mkdir(parents=True)

    with pytest.raises(OSError, match="file"):
        await mox.rename(f"{bucket}/d", str(tmp_path / "d"))
    assert await tree(mox, bucket) == ["d", "d/file", "d/other"]


# glob


PATTERNS = {
    "*": ["a.txt", "b", "b2", "rank_0.txt", "rank_1.txt", "rank_10.txt"],
    "*.txt": ["a.txt", "rank_0.txt", "rank_1.txt", "rank_10.txt"],
    "rank_?.txt": ["rank_0.txt", "rank_1.txt"],
    "rank_[12]*": ["rank_1.txt", "rank_10.txt"],
    "rank_[!0]*": ["rank_1.txt", "rank_10.txt"],
    "b*": ["b", "b2"],
    "b/*": ["b/c", "b/one.txt"],
    "*/*.txt": ["b/one.txt", "b2/two.txt"],
    "*/c/*": ["b/c/deep.txt"],
    "b/*/deep.txt": ["b/c/deep.txt"],
    "?2/two.???": ["b2/two.txt"],
    ".*": [".hidden"],
    "*hidden": [],
    "b/.*": ["b/.secret"],
    "a.txt": ["a.txt"],
    "b": ["b"],
    "b/c": ["b/c"],
    "missing": [],
    "missing/*": [],
    "*/missing": [],
    "a.txt/*": [],
    "A*": [],
    "**/*.txt": [
        "a.txt",
        "b/c/deep.txt",
        "b/one.txt",
        "b2/two.txt",
        "rank_0.txt",
        "rank_1.txt",
        "rank_10.txt",
    ],
    "b/**": ["b", "b/c", "b/c/deep.txt", "b/one.txt"],
    "b/**/*": ["b/c", "b/c/deep.txt", "b/one.txt"],
    "**/c": ["b/c"],
    "b/**/deep.txt": ["b/c/deep.txt"],
    "*/": ["b", "b2"],
    "b/*/": ["b/c"],
    "**/": ["", "b", "b/c", "b2"],
}


async def test_glob_finds_what_matches(mox: Any, root: str) -> None:
    await plant(mox, root, "b/c/deep.txt", "b/one.txt", "b2/two.txt", "a.txt", ".hidden")
    await plant(mox, root, "rank_0.txt", "rank_1.txt", "rank_10.txt", "b/.secret")
    found = {pattern: await mox.glob(f"{root}/{pattern}") for pattern in PATTERNS}

    assert found == {
        pattern: [f"{root}/{name}".rstrip("/") for name in sorted(names)]
        for pattern, names in PATTERNS.items()
    }


async def test_glob_does_not_find_the_markers_of_folders(mox: Any, root: str) -> None:
    await plant(mox, root, "b/c/", "b/file")

    assert await mox.glob(f"{root}/b/*") == [f"{root}/b/c", f"{root}/b/file"]
    assert await mox.glob(f"{root}/*/c/*") == []
    assert await mox.glob(f"{root}/b/**") == [f"{root}/b", f"{root}/b/c", f"{root}/b/file"]
    assert await mox.glob(f"{root}/*/*/") == [f"{root}/b/c"]


async def test_glob_finds_names_that_hold_magic_of_another_kind(mox: Any, root: str) -> None:
    await plant(mox, root, "d/a+b", "d/a.b", "d/a{b}", "d/(a)", "d/[x]")

    assert await mox.glob(f"{root}/d/a+*") == [f"{root}/d/a+b"]
    assert await mox.glob(f"{root}/d/a.*") == [f"{root}/d/a.b"]
    assert await mox.glob(f"{root}/d/*[}}]") == [f"{root}/d/a{{b}}"]
    assert await mox.glob(f"{root}/d/(*") == [f"{root}/d/(a)"]
    assert await mox.glob(f"{root}/d/[[]x]") == [f"{root}/d/[x]"]


async def test_glob_of_the_root_itself(mox: Any, root: str) -> None:
    assert await mox.glob(root) == [root]


async def test_the_bucket_is_no_pattern(mox: Any, bucket: str) -> None:
    with pytest.raises(ValueError, match="bucket"):
        await mox.glob(f"{bucket[:-3]}*/a")


# walk, scan_dir


async def test_walk_shows_each_folder_with_its_folders_and_files(mox: Any, root: str) -> None:
    await plant(mox, root, *TREE, "empty/")
    steps = await collected(mox.walk(root))

    assert steps[0][0] == root
    shown = {path: (sorted(folders), sorted(files)) for path, folders, files in steps}
    assert shown == {
        root: (["b", "b2", "empty"], ["a.txt", "z.txt"]),
        f"{root}/b": (["c"], ["one.txt"]),
        f"{root}/b/c": ([], ["deep.txt"]),
        f"{root}/b2": ([], ["two.txt"]),
        f"{root}/empty": ([], []),
    }


async def test_walk_bottom_up_shows_what_is_below_first(mox: Any, root: str) -> None:
    await plant(mox, root, "b/c/file")
    steps = await collected(mox.walk(root, topdown=False))

    assert [path for path, _, _ in steps] == [f"{root}/b/c", f"{root}/b", root]


async def test_walk_does_not_enter_folders_that_are_taken_away(mox: Any, root: str) -> None:
    await plant(mox, root, "keep/sub/file", "leave/sub/file")
    seen = []
    async for path, folders, _ in mox.walk(root):
        seen.append(path)
        if "leave" in folders:
            folders.remove("leave")

    assert seen == [root, f"{root}/keep", f"{root}/keep/sub"]


async def test_walk_enters_folders_in_the_order_that_the_caller_makes(mox: Any, root: str) -> None:
    await plant(mox, root, "a/file", "b/file", "c/file")
    seen = []
    async for path, folders, _ in mox.walk(root):
        seen.append(path)
        folders.sort(reverse=True)

    assert seen == [root, f"{root}/c", f"{root}/b", f"{root}/a"]


async def test_walk_from_a_folder_with_a_slash_at_its_end(mox: Any, root: str) -> None:
    await plant(mox, root, "b/c/file")

    steps = await collected(mox.walk(f"{root}/b/"))
    assert [path for path, _, _ in steps] == [f"{root}/b/", f"{root}/b/c"]


async def test_walk_of_what_is_not_there_yields_nothing(mox: Any, root: str) -> None:
    assert await collected(mox.walk(f"{root}/missing")) == []


async def test_walk_hands_errors_to_whoever_wants_them(mox: Any, root: str) -> None:
    errors: list[OSError] = []

    assert await collected(mox.walk(f"{root}/missing", onerror=errors.append)) == []
    assert [type(error) for error in errors if isinstance(error, FileNotFoundError)] != []


async def test_walk_ends_with_what_onerror_raises(mox: Any, root: str) -> None:
    def refuse(error: OSError) -> None:
        raise error

    with pytest.raises(FileNotFoundError):
        await collected(mox.walk(f"{root}/missing", onerror=refuse))


async def test_walk_can_be_left_early(mox: Any, root: str) -> None:
    await plant(mox, root, *TREE)

    async for path, _, _ in mox.walk(root):
        assert path == root
        break
    assert await mox.exists(f"{root}/a.txt") is True


async def test_entries_tell_name_path_kind_and_size(mox: Any, root: str) -> None:
    await plant(mox, root, "d/sub/inner", "d/file", "d/empty/")
    entries = {entry.name: entry for entry in await collected(mox.scan_dir(f"{root}/d"))}

    assert sorted(entries) == ["empty", "file", "sub"]
    for name, entry in entries.items():
        assert entry.path == f"{root}/d/{name}"
        assert os.fspath(entry) == entry.path
        assert entry.is_dir() is (name != "file")
        assert entry.is_file() is (name == "file")
        assert entry.is_symlink() is False
    assert entries["file"].stat().length == len("d/file")
    assert entries["file"].stat().mtime_nsec > 1_600_000_000_000_000_000
    assert entries["sub"].stat().is_directory is True


async def test_entries_of_a_folder_with_a_slash_at_its_end(mox: Any, root: str) -> None:
    await plant(mox, root, "d/file")

    (entry,) = await collected(mox.scan_dir(f"{root}/d/"))
    assert entry.path == f"{root}/d/file"


async def test_an_empty_folder_has_no_entries(mox: Any, root: str) -> None:
    await mox.make_dirs(f"{root}/empty")

    assert await collected(mox.scan_dir(f"{root}/empty")) == []
    (entry,) = await collected(mox.scan_dir(root))
    assert (entry.name, entry.is_dir()) == ("empty", True)


async def test_scanning_what_is_not_there_or_no_folder_is_an_error(mox: Any, root: str) -> None:
    await plant(mox, root, "file")

    with pytest.raises(mox.MoxFileNotExistsException):
        await collected(mox.scan_dir(f"{root}/missing"))
    with pytest.raises(NotADirectoryError):
        await collected(mox.scan_dir(f"{root}/file"))


async def test_links_of_a_local_folder_are_told_from_what_they_lead_to(
    mox: Any, tmp_path: Any
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "to_folder").symlink_to("folder")
    (tmp_path / "dangling").symlink_to("nowhere")
    entries = {entry.name: entry for entry in await collected(mox.scan_dir(str(tmp_path)))}

    assert entries["to_folder"].is_symlink() is True
    assert entries["to_folder"].is_dir() is True
    assert entries["to_folder"].is_dir(follow_symlinks=False) is False
    assert entries["dangling"].is_dir() is False
    assert entries["dangling"].is_file() is False


# Keys that only an object store can hold


@pytest.mark.usefixtures("folders_vanish")
async def test_a_key_that_is_file_and_folder_is_both(mox: Any, bucket: str, client: Client) -> None:
    name = bucket.partition("://")[2]
    for key in ("a", "a/b"):
        await client.put_object(name, key, key.encode())

    assert await mox.exists(f"{bucket}/a") is True
    assert await mox.is_directory(f"{bucket}/a") is True
    assert await mox.read(f"{bucket}/a") == "a"
    assert (await mox.stat(f"{bucket}/a")).is_directory is False
    assert await mox.list_directory(f"{bucket}/a") == ["b"]
    assert await mox.list_directory(bucket, recursive=True) == ["a", "a", "a/b"]
    await mox.remove(f"{bucket}/a", recursive=True)
    assert await mox.exists(f"{bucket}/a/b") is True


@pytest.mark.parametrize("key", ["a//b", "/a", "//", "./a", "../a", "a/./b", "a/../b", "a/"])
@pytest.mark.usefixtures("folders_vanish")
async def test_keys_no_file_system_can_hold_are_walked_and_removed(
    mox: Any, bucket: str, client: Client, key: str
) -> None:
    name = bucket.partition("://")[2]
    await client.put_object(name, key, b"" if key.endswith("/") else b"12345")
    await client.put_object(name, "plain", b"")

    assert "plain" in await mox.list_directory(bucket)
    await mox.list_directory(bucket, recursive=True)
    assert await mox.get_size(bucket, recursive=True) == (0 if key.endswith("/") else 5)
    files = []
    async for path, _, names in mox.walk(bucket):
        assert len(path) < 100
        files += names
    assert "plain" in files
    await mox.remove(bucket, recursive=True)
    page = await client.list_objects(name)
    assert page.objects == []


@pytest.mark.usefixtures("folders_vanish")
async def test_an_object_with_a_slash_at_its_end_may_hold_something(
    mox: Any, bucket: str, client: Client
) -> None:
    name = bucket.partition("://")[2]
    await client.put_object(name, "d/", b"content")

    assert await mox.is_directory(f"{bucket}/d") is True
    assert await mox.list_directory(f"{bucket}/d") == []
    assert (await mox.stat(f"{bucket}/d")).is_directory is True
