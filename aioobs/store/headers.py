"""Content type and metadata of objects, and the content type that a name implies."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Headers", "content_type_of", "headers_of"]

# A compressed file has the type of its compression: no content encoding says what is inside.
COMPRESSED = {"gzip": "application/gzip", "bzip2": "application/x-bzip2", "xz": "application/x-xz"}

ANYTHING = "application/octet-stream"


class Headers(TypedDict, total=False):
    """What an object has beside its content: a content type and metadata."""

    content_type: str
    metadata: Mapping[str, str]


def content_type_of(key: str) -> str:
    """Return the content type of an object; empty where its name implies none."""
    _, dot, suffix = key.rpartition(".")
    return types_by_suffix().get(suffix.lower(), "") if dot else ""


def headers_of(key: str, given: Headers | None = None) -> Headers:
    """Return what an object is made with: what is given, and the content type if that is not."""
    if given:
        return given if "content_type" in given else {**given, "content_type": content_type_of(key)}
    found = content_type_of(key)
    return {"content_type": found} if found else {}


@cache
def types_by_suffix() -> Mapping[str, str]:
    from mimetypes import MimeTypes

    # Python's own table alone: that of a machine may take checkpoints (.pt) for something else.
    known = MimeTypes()
    found = {**known.types_map[False], **known.types_map[True]}
    for suffix, encoding in known.encodings_map.items():
        found[suffix.lower()] = COMPRESSED.get(encoding, "")
    for suffix, longer in known.suffix_map.items():
        found[suffix] = found.get(longer[longer.rfind(".") :], "")
    return {suffix[1:]: kind for suffix, kind in found.items() if kind != ANYTHING}
