"""Names of objects: an object, a local path, or refused; what is written is what was read."""

from __future__ import annotations

from hypothesis import strategies as st

from aioobs.errors import ConfigError
from aioobs.url import ObjectURL, is_remote, parse


def check(data: bytes) -> None:
    """Check one name."""
    text = data.decode("utf-8", "surrogateescape")
    try:
        found = parse(text)
    except ConfigError:
        return
    if not isinstance(found, ObjectURL):
        assert found == text
        assert not is_remote(text)
        return
    assert is_remote(text)
    assert found.bucket
    assert "/" not in found.bucket
    assert text in (str(found), f"{found}/")
    assert parse(str(found)) == found
    assert parse(str(found / "x")) == found / "x"
    assert found.folder in ("", f"{found.key.rstrip('/')}/")
    assert str(found.parent.root) == found.root


PARTS = [
    "s3://", "obs://", "S3://", "gs://", "http://", "a", "b", "/", "//", "..", ".", ":", "://",
    "?", "#", "%25",
    "\\", " ", "\n", "\0", "é", "@", "s3:", "~",
]  # fmt: skip
inputs = st.lists(st.sampled_from(PARTS), max_size=8).map(
    lambda parts: "".join(parts).encode()
) | st.binary(max_size=30)
"""A name."""
