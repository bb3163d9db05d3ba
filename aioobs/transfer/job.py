"""What a copy has to do, file by file, and how sure it has to be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from aioobs.store.entry import version_of

if TYPE_CHECKING:
    from aioobs.store.headers import Headers
    from aioobs.url import ObjectURL

__all__ = ["DEFAULT_SAFETY", "Comparison", "Job", "Safety", "Verify", "Versions"]


Comparison = Literal["time", "size", "etag", "content"]
"""What files are compared by."""


class Job(NamedTuple):
    """One file to copy, or one empty folder to create, or one thing that cannot be copied."""

    source: ObjectURL | str
    target: ObjectURL | str
    size: int | None = 0
    """Bytes; `None`: not known yet."""
    etag: str = ""
    is_directory: bool = False
    error: OSError | None = None
    mtime_nsec: int = 0
    """The time that a local copy gets, nanoseconds since 1970; 0: when it is copied."""
    reason: str = ""
    """Why a sync copies it: "new", "size", "time" or "content"; else empty."""
    changed_nsec: int = 0
    """When a local source was last changed, as it was found; 0: not known."""
    headers: Headers = {}  # noqa: RUF012 - never changed
    """Content type and metadata of an object that is made of a local file."""

    @property
    def version(self) -> str:
        """What identifies the version of the source that was found; empty: nothing does."""
        if not isinstance(self.source, str):
            return self.etag
        return version_of(self.size or 0, self.changed_nsec) if self.changed_nsec else ""


class Versions(NamedTuple):
    """The versions of a source and its copy: an ETag, or size and time of a local file."""

    source: str = ""
    target: str = ""
    checked: bool = True
    """Whether the contents are known to be the same, if that was asked for."""


Verify = Literal["none", "size", "checksum", "digest"]


class Safety(NamedTuple):
    """How much is done to be sure of a copy; see `aioobs.file.copy_parallel`."""

    verify: Verify = "size"
    durable: bool = False

    @property
    def compares_content(self) -> bool:
        """Whether more than sizes is compared."""
        return self.verify in ("checksum", "digest")


DEFAULT_SAFETY = Safety()
