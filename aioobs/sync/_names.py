"""What the functions of `os.path` that never touch a file system do for URLs."""

from __future__ import annotations

import os
import posixpath
from typing import TYPE_CHECKING, cast

from aioobs import file as verbs
from aioobs.sync._loop import run
from aioobs.url import Path, is_remote, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["NAMES", "resolved"]

ORIGINAL_COMMONPATH = posixpath.commonpath
ORIGINAL_JOIN = posixpath.join
ORIGINAL_RELPATH = posixpath.relpath


def split(p: Path) -> tuple[str, str]:
    """Split off the last name; as the root of a file system, a bucket has none."""
    url = os.fspath(p)
    scheme, _, rest = url.partition("://")
    head, slash, name = rest.rpartition("/")
    return (f"{scheme}://{head.rstrip('/')}", name) if slash else (url, "")


def dirname(p: Path) -> str:
    return split(p)[0]


def isabs(s: Path) -> bool:
    return True


def join(a: Path, /, *p: Path) -> str:
    """Join names; a URL among them is a beginning, as a name with a slash in front is."""
    parts = [os.fspath(part) for part in (a, *p)]
    first = max(index for index, part in enumerate(parts) if is_remote(part))
    return ORIGINAL_JOIN(*parts[first:])


def resolved(value: object) -> object:
    """Return a URL without the names ``.`` and ``..``, and anything else as it is.

    They go away as in a path without links, up to the bucket; what they would be in a key, no
    program that believes to have a file system before it can mean.
    """
    if not is_remote(value) or "/." not in (url := os.fspath(cast("Path", value))):
        return value
    scheme, _, rest = url.partition("://")
    bucket, *names = rest.split("/")
    kept: list[str] = []
    for name in names:
        if name == "..":
            del kept[-1:]
        elif name != ".":
            kept.append(name)
    return "/".join([f"{scheme}://{bucket}", *kept])


def normpath(path: Path) -> str:
    """Resolve ``.``, ``..`` and slashes in excess, without leaving the bucket."""
    scheme, _, rest = os.fspath(path).partition("://")
    slim = "/".join(filter(None, rest.split("/")))
    return str(resolved(f"{scheme}://{slim}"))


def realpath(filename: Path, *, strict: object = False) -> str:
    if strict and strict is not getattr(os.path, "ALLOW_MISSING", None):
        run(verbs.stat(filename))
    return normpath(filename)


def relpath(path: Path, start: Path | None = None) -> str:
    """Return the way from one URL to another of the same bucket."""
    bucket, names = local_names(path)
    other, above = local_names(os.getcwd() if start is None else start)
    if bucket != other:
        raise ValueError(f"path is in {bucket or 'no bucket'}, start in {other or 'no bucket'}")
    return ORIGINAL_RELPATH(names, above)


def commonpath(paths: Iterable[Path]) -> str:
    """Return the folder that all of the URLs, of one bucket, are below, or their bucket."""
    urls = list(paths)
    places = [local_names(url) for url in urls]
    if len({bucket for bucket, _ in places}) > 1:
        raise ValueError("Paths are not all in the same bucket")
    first = parse(urls[0])
    assert not isinstance(first, str)
    common = ORIGINAL_COMMONPATH([names for _, names in places])
    return str(first.with_key(common.strip("/")))


def local_names(path: Path) -> tuple[str, str]:
    """Return the bucket, or "" for a local path, and the names in it as an absolute path."""
    url = parse(normpath(path) if is_remote(path) else path)
    return ("", url) if isinstance(url, str) else (url.bucket, f"/{url.key}")


NAMES: dict[str, Callable[..., object]] = {
    "os.path.abspath": normpath,
    "os.path.commonpath": commonpath,
    "os.path.dirname": dirname,
    "os.path.isabs": isabs,
    "os.path.join": join,
    "os.path.normpath": normpath,
    "os.path.realpath": realpath,
    "os.path.relpath": relpath,
    "os.path.split": split,
}
