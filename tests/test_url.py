"""Names of objects."""

from __future__ import annotations

import posixpath
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioobs import ConfigError
from aioobs.url import ObjectURL, is_remote, parse

KEYS = st.text(st.characters(exclude_categories=["Cs"]))


class Fspath:
    """A path of somebody else's making."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __fspath__(self) -> str:
        return self._path


@pytest.mark.parametrize("scheme", ["s3", "obs"])
@pytest.mark.parametrize(
    ("rest", "bucket", "key"),
    [
        ("b", "b", ""),
        ("b/", "b", ""),
        ("b/k", "b", "k"),
        ("b/a/../k", "b", "a/../k"),
        ("b//a//", "b", "/a//"),
        ("b/100%25?x=1#y", "b", "100%25?x=1#y"),
        ("b/s3://c/d", "b", "s3://c/d"),
        ("b/\n ", "b", "\n "),
    ],
)
def test_a_key_is_taken_verbatim(scheme: str, rest: str, bucket: str, key: str) -> None:
    url = parse(f"{scheme}://{rest}")
    assert url == ObjectURL(bucket, key, scheme)
    assert parse(Fspath(f"{scheme}://{rest}")) == url


@given(KEYS)
def test_what_is_written_is_what_is_read(key: str) -> None:
    url = ObjectURL("bucket", key)
    assert parse(str(url)) == url


@pytest.mark.parametrize("text", ["s3://", "obs://", "s3:///key"])
def test_a_url_needs_a_bucket(text: str) -> None:
    with pytest.raises(ConfigError, match=f"{text}: .*no bucket; write s3://bucket/key"):
        parse(text)


@pytest.mark.parametrize("text", ["gs://b/k", "S3://b/k", "file:///tmp", "http://h/p", "s3a://b/k"])
def test_another_scheme_is_refused_and_not_taken_for_a_path(text: str) -> None:
    with pytest.raises(ConfigError, match=r"is not supported; write s3://") as caught:
        parse(text)
    assert text in str(caught.value)


def test_a_url_that_has_been_a_path_is_refused_and_not_taken_for_one() -> None:
    for path in (PurePosixPath("s3://bucket/key"), posixpath.normpath("obs://bucket/key")):
        with pytest.raises(ConfigError, match=r"bucket/key: a slash is missing, which pathlib"):
            parse(path)


@pytest.mark.parametrize(
    "text", ["a", "/a/b", "", ".", "C:/x", "a/s3://b", "s3:", "./s3:/b", "s3", "xs3:/b"]
)
def test_all_else_is_a_local_path(text: str) -> None:
    assert parse(text) == text
    assert not is_remote(text)


def test_a_path_object_is_a_local_path() -> None:
    assert parse(PurePosixPath("/a/b")) == "/a/b"
    assert not is_remote(PurePosixPath("/a/b"))


@pytest.mark.parametrize("path", [b"s3://bucket/key", b"/a/b"])
def test_a_path_of_bytes_is_refused(path: Any) -> None:
    with pytest.raises(TypeError, match=r"is of bytes; give text, as os\.fsdecode does"):
        parse(path)


def test_remote_is_what_names_a_store() -> None:
    assert is_remote("s3://b/k")
    assert is_remote("obs://b")


@pytest.mark.parametrize(
    ("key", "folder", "name", "parent"),
    [
        ("", "", "", ""),
        ("a", "a/", "a", ""),
        ("a/", "a/", "a", ""),
        ("a/b", "a/b/", "b", "a"),
        ("a/b/", "a/b/", "b", "a"),
        ("a//b", "a//b/", "b", "a/"),
    ],
)
def test_a_key_has_a_folder_a_name_and_a_parent(
    key: str, folder: str, name: str, parent: str
) -> None:
    url = ObjectURL("bucket", key, "obs")
    assert (url.folder, url.name) == (folder, name)
    assert url.parent == ObjectURL("bucket", parent, "obs")
    assert url / "x" == ObjectURL("bucket", f"{folder}x", "obs")
    assert url.root == "obs://bucket"
