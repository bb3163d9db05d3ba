"""The interface of the file system that its own modules use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from typing import IO

    from aioobs.filesystem.listing import Info
    from aioobs.s3.client import Client
    from aioobs.url import ObjectURL

__all__ = ["FileSystem"]


class FileSystem(Protocol):
    """`ObsFileSystem`, as far as its parts use it."""

    batch_size: int | None

    @property
    def client(self) -> Client:
        """The client that makes the requests."""

    def url_of(self, path: object) -> ObjectURL:
        """Return the object or folder that *path* names."""

    def unstrip_protocol(self, name: str) -> str:
        """Return the URL of a path."""

    def invalidate_cache(self, path: str | None = None) -> None:
        """Forget the listings that a change of *path* makes wrong."""

    def info(self, path: str) -> Info:
        """Return what is known about a path."""

    def url(self, path: str, expires: int = 3600) -> str:
        """Return a URL with which anybody can read an object."""

    def metadata(self, path: str) -> dict[str, str]:
        """Return the metadata of an object."""

    def getxattr(self, path: str, attr_name: str) -> str | None:
        """Return one value of an object's metadata."""

    def open(self, path: str, *, version_id: str = "") -> IO[bytes]:
        """Open an object, or a version of it, for reading."""
