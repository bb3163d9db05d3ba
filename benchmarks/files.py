"""Local files as the clients need them that have no transfer to files of their own."""

from __future__ import annotations

import os
from typing import IO, TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from typing_extensions import Buffer


def place_for(folder: str, name: str) -> str:
    """Return the path of a file below *folder*, whose own folder is there then."""
    path = os.path.join(folder, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    return path


def size_of(path: str) -> int:
    """Return the size of a file."""
    return os.path.getsize(path)


def read(path: str) -> bytes:
    """Return the content of a file."""
    with open(path, "rb", buffering=0) as file:
        return file.readall()


def write(path: str, data: Buffer) -> None:
    """Create a file."""
    with open(path, "wb", buffering=0) as file:
        file.write(data)


def create(path: str, size: int) -> None:
    """Create a file of that size, the bytes of which are still to come."""
    with open(path, "wb") as file:
        file.truncate(size)


def write_at(path: str, data: Buffer, offset: int) -> None:
    """Write into a file that is there."""
    with open(path, "r+b", buffering=0) as file:
        file.seek(offset)
        file.write(data)


def opened(path: str, mode: Literal["rb", "wb"]) -> IO[bytes]:
    """Open a file."""
    return open(path, mode)
