"""Files under the verbs: the same for local ones and for objects, and what errors say."""

from __future__ import annotations

import array
import os
import pickle
from typing import TYPE_CHECKING, Any

import pytest
from copies import digest, noise
from faulty import FaultyServer, forward

import aioobs.file
from aioobs.config import Config
from aioobs.errors import AccessDenied
from aioobs.s3.client import Client

if TYPE_CHECKING:
    from pathlib import Path

pytest_plugins = ["verbs"]
SERVERS = ("seaweedfs", "swift")

MIB = 1 << 20
NAMES = [
    "plain",
    "with space",
    " space around ",
    "a+b",
    "a%20b",
    "100%",
    "a#b",
    "a?b",
    "a&b=c",
    "a;b",
    "a:b@c",
    "a,b",
    "~tilde",
    "$dollar!",
    "single'quote",
    'double"quote',
    "(round)[square]{curly}",
    "star*",
    "<angle>",
    "back`tick^caret|pipe",
    "é",
    "e\u0301",
    "你好",
    "😀",
    "\u00a0no-break",
    "tab\there",
    ".hidden",
    "...",
    "-dash",
    "trailing.",
    "x" * 255,
]


# read, write


async def test_text_is_read_as_it_was_written(mox: Any, root: str) -> None:
    await mox.write(f"{root}/file", "Hello World!")

    assert await mox.read(f"{root}/file") == "Hello World!"
    assert await mox.read(f"{root}/file", binary=True) == b"Hello World!"
    assert await mox.get_size(f"{root}/file") == 12


async def test_text_is_utf_8_and_its_line_ends_stay_as_they_are(mox: Any, root: str) -> None:
    text = "Grüße\r\n你好\n😀\r\ttab\0nul"
    await mox.write(f"{root}/file", text)

    assert await mox.read(f"{root}/file", binary=True) == text.encode()
    assert await mox.read(f"{root}/file") == text


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize(
    "data",
    [
        "text",
        b"bytes",
        bytearray(b"bytearray"),
        memoryview(b"a view")[2:],
        memoryview(b"a0b0c0")[::2],
        array.array("I", [1, 2, 3]),
        memoryview(bytes(range(24))).cast("B", (2, 3, 4)),
        "",
        b"",
        memoryview(b""),
    ],
    ids=lambda data: type(data).__name__ + str(len(bytes(data, "u8") if data == "" else data)),
)
async def test_text_and_any_buffer_can_be_written(
    mox: Any, root: str, data: Any, binary: bool
) -> None:
    expected = data.encode() if isinstance(data, str) else bytes(memoryview(data).tobytes())
    await mox.write(f"{root}/file", data, binary)
    await mox.append(f"{root}/file", data, binary)

    assert await mox.read(f"{root}/file", binary=True) == expected * 2


async def test_a_file_is_overwritten(mox: Any, root: str) -> None:
    await mox.write(f"{root}/file", "a long text")
    await mox.write(f"{root}/file", "short")

    assert await mox.read(f"{root}/file") == "short"


async def test_an_empty_file_is_a_file(mox: Any, root: str) -> None:
    await mox.write(f"{root}/file", "")

    assert await mox.read(f"{root}/file") == ""
    assert await mox.read(f"{root}/file", binary=True) == b""
    assert await mox.exists(f"{root}/file") is True
    assert await mox.is_directory(f"{root}/file") is False
    assert (await mox.stat(f"{root}/file")).is_directory is False
    assert await mox.get_size(f"{root}/file") == 0
    assert await mox.list_directory(root) == ["file"]


async def test_bytes_that_are_no_text_need_binary(mox: Any, root: str) -> None:
    await mox.write(f"{root}/file", b"\xff\xfe")

    with pytest.raises(UnicodeDecodeError):
        await mox.read(f"{root}/file")
    assert await mox.read(f"{root}/file", binary=True) == b"\xff\xfe"


async def test_the_arguments_of_read_have_the_old_names_and_order(mox: Any, root: str) -> None:
    await mox.write(url=f"{root}/file", data=b"x", binary=True)

    assert await mox.read(f"{root}/file", None, True, True) == b"x"
    assert await mox.read(url=f"{root}/file", client_id=1, binary=False, exist_check=True) == "x"


async def test_paths_may_be_path_objects(mox: Any, tmp_path: Path) -> None:
    await mox.write(tmp_path / "file", "x")
    await mox.copy(tmp_path / "file", tmp_path / "copy")

    assert await mox.read(tmp_path / "copy") == "x"
    assert await mox.list_directory(tmp_path) == ["copy", "file"]
    assert await mox.exists(tmp_path / "copy") is True


@pytest.mark.parametrize("size", [MIB - 1, MIB, 16 * MIB - 1, 16 * MIB, 21 * MIB + 1])
async def test_content_of_any_size_is_written_and_read(mox: Any, root: str, size: int) -> None:
    data = noise(size)
    await mox.write(f"{root}/file", data)

    assert await mox.get_size(f"{root}/file") == size
    assert digest(await mox.read(f"{root}/file", binary=True)) == digest(data)


async def test_a_large_write_leaves_no_upload(mox: Any, bucket: str, client: Client) -> None:
    await mox.write(f"{bucket}/file", noise(20 * MIB))

    name = bucket.partition("://")[2]
    assert [upload async for upload in client.list_multipart_uploads(name)] == []
    assert (await client.head_object(name, "file")).etag.endswith("-3")


async def test_parts_are_of_the_size_that_the_environment_says(
    mox: Any, bucket: str, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOX_FILE_LARGE_FILE_PART_SIZE", str(5 * MIB))
    data = noise(17 * MIB)
    await mox.write(f"{bucket}/file", data)

    info = await client.head_object(bucket.partition("://")[2], "file")
    assert info.etag.endswith("-4")
    assert digest(await mox.read(f"{bucket}/file", binary=True)) == digest(data)


async def test_a_failed_large_write_leaves_neither_object_nor_upload(mox: Any, bucket: str) -> None:
    with pytest.raises(mox.MoxFileNotExistsException):
        await mox.write(f"{bucket}-missing/file", noise(17 * MIB))
    assert await mox.exists(f"{bucket}-missing/file") is False


# append


async def test_append_adds_to_the_end_and_creates(mox: Any, root: str) -> None:
    await mox.append(f"{root}/file", "begin")
    await mox.append(f"{root}/file", "\nend of file.")
    await mox.append(f"{root}/file", b"\xc3\xa9")

    assert await mox.read(f"{root}/file") == "begin\nend of file.é"


async def test_appending_nothing_creates_or_leaves_as_it_is(mox: Any, root: str) -> None:
    await mox.append(f"{root}/file", "")
    assert await mox.read(f"{root}/file") == ""
    await mox.append(f"{root}/file", "x")
    await mox.append(f"{root}/file", b"")
    assert await mox.read(f"{root}/file") == "x"


@pytest.mark.parametrize(
    ("before", "added"),
    [
        (5 * MIB - 1, 1),
        (5 * MIB - 1, 6 * MIB),
        (5 * MIB, 1),
        (5 * MIB, 0),
        (6 * MIB, 6 * MIB),
        (3, 18 * MIB),
        (11 * MIB, 18 * MIB),
    ],
)
async def test_append_works_for_any_sizes(mox: Any, root: str, before: int, added: int) -> None:
    one, two = noise(before, 1), noise(added, 2)
    await mox.write(f"{root}/file", one)
    await mox.append(f"{root}/file", two)

    found = await mox.read(f"{root}/file", binary=True)
    assert len(found) == before + added
    assert digest(found) == digest(one + two)


async def test_append_many_times(mox: Any, root: str) -> None:
    data = noise(5 * MIB + 10)
    await mox.write(f"{root}/file", data)
    for number in range(5):
        await mox.append(f"{root}/file", str(number))

    found = await mox.read(f"{root}/file", binary=True)
    assert digest(found) == digest(data + b"01234")


async def test_what_an_object_has_already_is_neither_fetched_nor_sent_again(
    mox: Any, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await mox.write(f"{bucket}/file", noise(6 * MIB))
    await mox.write(f"{bucket}/more", noise(6 * MIB, 1))
    with FaultyServer(always=forward(os.environ["S3_ENDPOINT"])) as server:
        monkeypatch.setenv("S3_ENDPOINT", server.endpoint)
        await mox.append(f"{bucket}/file", "end")
        await mox.append_remote(f"{bucket}/more", f"{bucket}/new")
        monkeypatch.undo()

    assert sum(len(request.body) for request in server.requests) < 10_000
    assert {request.method for request in server.requests} == {"HEAD", "POST", "PUT"}


SIZES = (0, 1, 5 * MIB - 1, 5 * MIB, 5 * MIB + 1, 11 * MIB)


@pytest.mark.slow
@pytest.mark.parametrize("target", SIZES)
async def test_append_remote_adds_one_object_to_another(
    bucket: str, client: Client, target: int
) -> None:
    mox, name, before = aioobs.file, bucket.partition("://")[2], noise(target, 1)
    for size in SIZES:
        added = noise(size, 2)
        await mox.write(f"{bucket}/src", added)
        await mox.write(f"{bucket}/dst", before)
        await mox.append_remote(f"{bucket}/src", f"{bucket}/dst")

        found = await mox.read(f"{bucket}/dst", binary=True)
        assert digest(found) == digest(before + added), (target, size)
        assert await mox.get_size(f"{bucket}/src") == size
    assert [upload async for upload in client.list_multipart_uploads(name)] == []


async def test_append_remote_creates_the_target(mox: Any, bucket: str) -> None:
    await mox.write(f"{bucket}/src", "x")
    await mox.append_remote(src_url=f"{bucket}/src", dst_url=f"{bucket}/new/dst")

    assert await mox.read(f"{bucket}/new/dst") == "x"


async def test_append_remote_of_an_object_to_itself_doubles_it(mox: Any, bucket: str) -> None:
    for data in (b"ab", noise(6 * MIB)):
        await mox.write(f"{bucket}/file", data)
        await mox.append_remote(f"{bucket}/file", f"{bucket}/file")

        assert digest(await mox.read(f"{bucket}/file", binary=True)) == digest(data * 2)


async def test_append_remote_of_a_missing_object_is_an_error(mox: Any, bucket: str) -> None:
    with pytest.raises(mox.MoxFileNotExistsException):
        await mox.append_remote(f"{bucket}/missing", f"{bucket}/dst")
    assert await mox.exists(f"{bucket}/dst") is False


async def test_append_remote_wants_urls(mox: Any, bucket: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    await mox.write(f"{bucket}/file", "x")

    with pytest.raises(ValueError, match="file"):
        await mox.append_remote(str(tmp_path / "file"), f"{bucket}/dst")
    with pytest.raises(ValueError, match="dst"):
        await mox.append_remote(f"{bucket}/file", str(tmp_path / "dst"))


# Names


async def test_odd_names_are_taken_literally(mox: Any, root: str) -> None:
    names = [name for name in NAMES if "\\" not in name]
    await mox.make_dirs(f"{root}/d")
    for name in names:
        await mox.write(f"{root}/d/{name}", name)

    assert await mox.list_directory(f"{root}/d") == sorted(names)
    for name in names:
        url = f"{root}/d/{name}"
        assert await mox.read(url) == name
        assert await mox.exists(url) is True
        assert await mox.get_size(url) == len(name.encode())
    assert sorted([entry.path async for entry in mox.scan_dir(f"{root}/d")]) == sorted(
        f"{root}/d/{name}" for name in names
    )
    await mox.rename(f"{root}/d", f"{root}/e")
    assert await mox.list_directory(f"{root}/e") == sorted(names)
    for name in names:
        await mox.remove(f"{root}/e/{name}")
        assert await mox.exists(f"{root}/e/{name}") is False


@pytest.mark.parametrize("name", ["with space", "a+b", "a%20b", "a#b", "a?b", "é", "你好", "a&b=c"])
async def test_folders_may_have_odd_names(mox: Any, root: str, name: str) -> None:
    await mox.make_dirs(f"{root}/{name}/{name}")
    await mox.write(f"{root}/{name}/{name}/file", "x")

    assert await mox.list_directory(root, recursive=True) == [
        name,
        f"{name}/{name}",
        f"{name}/{name}/file",
    ]
    assert [path async for path, _, _ in mox.walk(root)] == [
        root,
        f"{root}/{name}",
        f"{root}/{name}/{name}",
    ]


async def test_a_key_may_be_very_long(mox: Any, root: str) -> None:
    name = "/".join(["long" * 50] * 5)
    await mox.make_dirs(f"{root}/{name.rpartition('/')[0]}")
    await mox.write(f"{root}/{name}", "x")

    assert await mox.read(f"{root}/{name}") == "x"
    assert (await mox.list_directory(root, recursive=True))[-1] == name


@pytest.mark.parametrize(
    "key",
    ["a//b", "/a", "//a", "./a", "../a", "a/./b", "a/../b", "a\\b", "%2e%2e/a", "..."],
)
async def test_keys_are_neither_normalised_nor_decoded(moto_bucket: str, key: str) -> None:
    mox, url = aioobs.file, f"{moto_bucket}/{key}"
    await mox.write(url, "x")

    async with Client(Config.from_env()) as client:
        page = await client.list_objects(moto_bucket.partition("://")[2])
    assert [item.key for item in page.objects] == [key]
    assert await mox.read(url) == "x"
    assert await mox.exists(url) is True
    await mox.copy(url, f"{moto_bucket}/copy")
    assert await mox.read(f"{moto_bucket}/copy") == "x"
    await mox.remove(url)
    assert await mox.exists(url) is False


async def test_both_prefixes_name_the_same_object_and_come_back_as_given(obs_bucket: str) -> None:
    mox, name = aioobs.file, obs_bucket.partition("://")[2]
    await mox.write(f"s3://{name}/d/file", "x")
    assert await mox.read(f"obs://{name}/d/file") == "x"

    for root in (f"s3://{name}", f"obs://{name}"):
        assert await mox.glob(f"{root}/*/f*") == [f"{root}/d/file"]
        assert [step[0] async for step in mox.walk(root)] == [root, f"{root}/d"]
        assert [entry.path async for entry in mox.scan_dir(root)] == [f"{root}/d"]
        with pytest.raises(FileNotFoundError, match=root):
            await mox.stat(f"{root}/missing")


# Errors


@pytest.mark.parametrize("name", ["missing", "missing/file", "d/fil"])
async def test_reading_what_is_not_there_is_an_error(mox: Any, root: str, name: str) -> None:
    await mox.make_dirs(f"{root}/d")
    await mox.write(f"{root}/d/file", "x")

    with pytest.raises(mox.MoxFileNotExistsException) as caught:
        await mox.read(f"{root}/{name}", exist_check=True)
    assert isinstance(caught.value, FileNotFoundError)
    assert name in str(caught.value)
    assert caught.value.errno == 2
    assert str(caught.value.filename).endswith(name)


async def test_reading_a_folder_says_that_it_is_one(mox: Any, root: str) -> None:
    await mox.make_dirs(f"{root}/d")
    await mox.write(f"{root}/d/file", "x")

    for name in ("/d", "/d/", "", "/"):
        with pytest.raises(IsADirectoryError):
            await mox.read(f"{root}{name}")


async def test_a_folder_is_not_written_to(mox: Any, root: str) -> None:
    await mox.make_dirs(f"{root}/d")

    for name in ("/d/", "/new/", "", "/"):
        with pytest.raises((IsADirectoryError, FileNotFoundError)):
            await mox.write(f"{root}{name}", "x")
        with pytest.raises((IsADirectoryError, FileNotFoundError)):
            await mox.append(f"{root}{name}", "x")
    assert await mox.list_directory(root, recursive=True) == ["d"]


async def test_a_bucket_that_is_missing_is_an_error(mox: Any, bucket: str, tmp_path: Path) -> None:
    url, missing = f"{bucket}-missing", mox.MoxFileNotExistsException
    (tmp_path / "file").write_text("x")

    for verb, *arguments in (
        ("read", f"{url}/file"),
        ("write", f"{url}/file", "x"),
        ("append", f"{url}/file", "x"),
        ("append_remote", f"{url}/file", f"{bucket}/file"),
        ("list_directory", url),
        ("list_directory", f"{url}/d"),
        ("get_size", url),
        ("stat", url),
        ("stat", f"{url}/file"),
        ("remove", url, True),
        ("remove", f"{url}/file"),
        ("rename", f"{url}/file", f"{bucket}/file"),
        ("copy", f"{url}/file", f"{bucket}/file"),
        ("copy", str(tmp_path / "file"), f"{url}/file"),
        ("copy_parallel", url, str(tmp_path / "target")),
        ("copy_parallel", f"{url}/d", f"{bucket}/d"),
        ("copy_parallel", str(tmp_path), url),
    ):
        with pytest.raises(missing) as caught:
            await getattr(mox, verb)(*arguments)
        assert url.partition("://")[2] in str(caught.value)
    assert await mox.list_directory(bucket) == []
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


async def test_glob_in_a_bucket_that_is_missing_finds_nothing(mox: Any, bucket: str) -> None:
    assert await mox.glob(f"{bucket}-missing/*") == []
    assert await mox.glob(f"{bucket}-missing/**") == []
    assert await mox.glob(f"{bucket}-missing/a") == []


@pytest.mark.parametrize("url", ["http://host/file", "s3a://bucket/key", "S3://bucket/key"])
async def test_any_other_scheme_is_an_error(mox: Any, tmp_path: Path, url: str) -> None:
    local = str(tmp_path / "file")
    (tmp_path / "file").write_text("x")

    for verb, *arguments in (
        ("read", url),
        ("write", url, "x"),
        ("append", url, "x"),
        ("exists", url),
        ("is_directory", url),
        ("stat", url),
        ("get_size", url),
        ("list_directory", url),
        ("make_dirs", url),
        ("mk_dir", url),
        ("remove", url),
        ("rename", url, local),
        ("rename", local, url),
        ("copy", url, local),
        ("copy", local, url),
        ("copy_parallel", url, local),
        ("copy_parallel", local, url),
        ("glob", url),
        ("append_remote", url, url),
    ):
        with pytest.raises(ValueError, match="not supported"):
            await getattr(mox, verb)(*arguments)
    for steps in (mox.walk(url), mox.scan_dir(url)):
        with pytest.raises(ValueError, match="not supported"):
            _ = [step async for step in steps]
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("url", ["s3://", "s3:///key", "obs:///"])
async def test_a_url_without_a_bucket_is_an_error(mox: Any, tmp_path: Path, url: str) -> None:
    for verb, *arguments in (("read", url), ("exists", url), ("copy", str(tmp_path), url)):
        with pytest.raises(ValueError, match="bucket"):
            await getattr(mox, verb)(*arguments)


async def test_an_empty_path_is_an_error(mox: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")

    for verb, *arguments in (
        ("read", ""),
        ("write", "", "x"),
        ("stat", ""),
        ("list_directory", ""),
        ("remove", "", True),
        ("make_dirs", ""),
        ("copy_parallel", "", str(tmp_path)),
        ("copy_parallel", str(tmp_path), ""),
        ("copy", str(tmp_path / "file"), ""),
        ("rename", str(tmp_path / "file"), ""),
    ):
        with pytest.raises((ValueError, FileNotFoundError)):
            await getattr(mox, verb)(*arguments)
    assert await mox.exists("") is False
    assert await mox.is_directory("") is False
    assert os.listdir(tmp_path) == ["file"]


async def test_a_path_with_a_nul_is_an_error(mox: Any, tmp_path: Path) -> None:
    for verb, *arguments in (("read", f"{tmp_path}/\0"), ("write", f"{tmp_path}/\0", "x")):
        with pytest.raises(ValueError, match="null"):
            await getattr(mox, verb)(*arguments)


async def test_what_the_store_refused_is_told_in_full(
    mox: Any, bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    await mox.write(f"{bucket}/file", "x")
    endpoint = os.environ["S3_ENDPOINT"]
    monkeypatch.setenv("SECRET_ACCESS_KEY", "wrong")
    monkeypatch.setenv("S3_ENDPOINT", endpoint.replace("127.0.0.1", "localhost"))

    for verb, *arguments in (
        ("exists", f"{bucket}/file"),
        ("exists", bucket),
        ("is_directory", f"{bucket}/file"),
        ("is_directory", bucket),
        ("stat", f"{bucket}/file"),
        ("get_size", f"{bucket}/file"),
        ("list_directory", bucket),
        ("glob", f"{bucket}/*"),
        ("read", f"{bucket}/file"),
        ("write", f"{bucket}/file", "y"),
        ("append", f"{bucket}/file", "y"),
        ("remove", f"{bucket}/file"),
        ("make_dirs", f"{bucket}/d"),
        ("copy", f"{bucket}/file", str(tmp_path / "file")),
        ("copy_parallel", bucket, str(tmp_path / "d")),
        ("rename", f"{bucket}/file", f"{bucket}/other"),
    ):
        with pytest.raises(PermissionError) as caught:
            await getattr(mox, verb)(*arguments)
        assert isinstance(caught.value, mox.MoxFileRespException)
        assert caught.value.resp is not None
        assert caught.value.resp.status == 403
    monkeypatch.undo()
    assert not (tmp_path / "d").exists()


async def test_the_answer_of_the_store_is_in_the_error_and_in_its_pickle(
    mox: Any, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = os.environ["S3_ENDPOINT"]
    monkeypatch.setenv("SECRET_ACCESS_KEY", "wrong")
    monkeypatch.setenv("S3_ENDPOINT", endpoint.replace("127.0.0.1", "localhost"))

    with pytest.raises(mox.MoxFileRespException) as caught:
        await mox.read(f"{bucket}/file")
    for error in (caught.value, pickle.loads(pickle.dumps(caught.value))):
        assert type(error) is type(caught.value)
        assert isinstance(error, AccessDenied)
        assert isinstance(error, PermissionError)
        assert error.resp is not None
        assert error.resp.status == 403
        assert error.resp.errorCode == error.resp.code == "SignatureDoesNotMatch"
        assert error.resp.requestId == error.resp.request_id != ""
        assert error.resp.errorMessage == error.resp.message
        assert error.operation == "getObject"
        assert error.resp.requestId in str(error)
        assert "secret" in str(error)
        assert str(error) == str(caught.value)


async def test_errors_of_every_verb_can_be_pickled(mox: Any, root: str) -> None:
    await mox.write(f"{root}/file", "x")

    for verb, *arguments in (
        ("read", f"{root}/missing"),
        ("stat", f"{root}/missing"),
        ("list_directory", f"{root}/missing"),
        ("list_directory", f"{root}/file"),
        ("remove", f"{root}/missing"),
        ("make_dirs", f"{root}/file"),
        ("mk_dir", f"{root}/missing/d"),
        ("rename", f"{root}/missing", f"{root}/new"),
        ("copy", f"{root}/missing", f"{root}/new"),
        ("copy", root, f"{root}/new"),
        ("copy_parallel", f"{root}/missing", f"{root}/new"),
        ("read", "http://host/file"),
    ):
        with pytest.raises(OSError, match=r"\w") as caught:
            await getattr(mox, verb)(*arguments)
        copy = pickle.loads(pickle.dumps(caught.value))
        assert type(copy) is type(caught.value)
        assert str(copy) == str(caught.value)
        assert copy.filename == caught.value.filename
        assert copy.errno == caught.value.errno


def test_the_exceptions_are_those_that_callers_catch() -> None:
    file = aioobs.file

    assert issubclass(file.MoxFileNotExistsException, FileNotFoundError)
    assert issubclass(file.MoxFileNameDuplicateException, FileExistsError)
    assert issubclass(file.MoxFileReadException, OSError)
    assert issubclass(file.MoxFileRespException, OSError)
    assert issubclass(file.MoxTimeoutError, TimeoutError)
