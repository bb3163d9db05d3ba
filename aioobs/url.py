"""Names of objects: ``s3://bucket/key`` and ``obs://bucket/key``, which mean the same."""

from __future__ import annotations

import os
import re
from typing import NamedTuple, cast

from aioobs.errors import ConfigError

PREFIXES = ("s3://", "obs://")
SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|(?:s3|obs):/")

Path = str | os.PathLike[str]


class ObjectURL(NamedTuple):
    """A bucket and a key; the key is verbatim, nothing in it is decoded or normalised."""

    bucket: str
    key: str = ""
    scheme: str = "s3"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}/{self.key}" if self.key else self.root

    @property
    def root(self) -> str:
        """The bucket alone, ``s3://bucket``."""
        return f"{self.scheme}://{self.bucket}"

    @property
    def folder(self) -> str:
        """The key as the prefix of what a folder of that name holds: "" or ``a/b/``."""
        key = self.key.rstrip("/")
        return f"{key}/" if key else ""

    @property
    def name(self) -> str:
        """The last segment of the key."""
        return self.key.rstrip("/").rpartition("/")[2]

    @property
    def parent(self) -> ObjectURL:
        """The folder that holds this one; the bucket is its own parent."""
        return self.with_key(self.key.rstrip("/").rpartition("/")[0])

    def is_same(self, other: ObjectURL) -> bool:
        """Tell whether both name one object; what the scheme is makes no difference."""
        return self[:2] == other[:2]

    def with_key(self, key: str) -> ObjectURL:
        """Return another key of the same bucket."""
        return ObjectURL(self.bucket, key, self.scheme)

    def __truediv__(self, name: str) -> ObjectURL:
        return self.with_key(self.folder + name)


def key_of(url: str) -> str:
    """Return the key in the URL of an object, such as errors have."""
    return url.partition("://")[2].partition("/")[2]


def is_remote(value: object) -> bool:
    """Tell whether *value* is a path, as text or as `os.PathLike`, into a store."""
    if isinstance(value, str):
        return value.startswith(PREFIXES)
    if getattr(type(value), "__fspath__", None) is None:
        return False
    path = os.fspath(cast("os.PathLike[str] | os.PathLike[bytes]", value))
    return isinstance(path, str) and path.startswith(PREFIXES)


def parse(path: Path) -> ObjectURL | str:
    """Return the object that *path* names, or the local path as it is.

    Raises:
        ConfigError: it has no bucket, lacks a slash, or its scheme is neither s3 nor obs.
        TypeError: it is of bytes.
    """
    text: str | bytes = os.fspath(path)
    if isinstance(text, bytes):
        raise TypeError(f"the path {text!r} is of bytes; give text, as os.fsdecode does")
    if text.startswith(PREFIXES):
        scheme, _, rest = text.partition("://")
        bucket, _, key = rest.partition("/")
        if not bucket:
            raise ConfigError("the URL has no bucket; write s3://bucket/key", url=text)
        return ObjectURL(bucket, key, scheme)
    if found := SCHEME.match(text):
        if not found[0].endswith("//"):
            raise ConfigError("a slash is missing, which pathlib takes away; write s3://", url=text)
        raise ConfigError(
            f"{found[0]} is not supported; write s3://bucket/key, obs://bucket/key or a local path",
            url=text,
        )
    return text
