"""Deletes what is only in the target of a sync."""

from __future__ import annotations

import os
from contextlib import suppress
from itertools import groupby, islice
from typing import TYPE_CHECKING

from aioobs.threads import in_thread
from aioobs.url import key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable

    from aioobs.s3.client import Client
    from aioobs.url import ObjectURL

__all__ = ["delete_extras"]

BATCH = 1000
FOLDER = os.O_RDONLY | os.O_DIRECTORY


async def delete_extras(
    client: Client,
    target: ObjectURL | str,
    names: Iterable[str],
    keep: Container[str],
    removed: Callable[[str], None],
) -> list[OSError]:
    """Remove what has these names below *target*, and return an error for each one that is left.

    What is deepest comes first.  Local folders in which nothing is left go as well, but for those
    in *keep*.  No link is followed.  *removed* is called with the path or URL of each one.
    """
    failures: list[OSError] = []
    remaining = iter(names)
    while batch := list(islice(remaining, BATCH)):
        if isinstance(target, str):
            left = await in_thread(remove_locally, target, batch, keep)
        else:
            left = await delete(client, target, batch)
        for name in batch:
            if name not in left:
                removed(place_of(target, name))
        failures += left.values()
    return failures


def place_of(target: ObjectURL | str, name: str) -> str:
    """Return the path or URL of what has a name below a folder."""
    if isinstance(target, str):
        return os.path.join(target, name.rstrip("/"))
    return str(target.with_key(target.folder + name))


async def delete(client: Client, target: ObjectURL, names: list[str]) -> dict[str, OSError]:
    keys = {target.folder + name: name for name in names}
    left: dict[str, OSError] = {}
    for error in await client.delete_objects(target.bucket, list(keys)):
        key = key_of(error.url)
        left[keys.get(key, key)] = error
    return left


def remove_locally(root: str, names: list[str], keep: Container[str]) -> dict[str, OSError]:
    left: dict[str, OSError] = {}
    for folder, group in groupby(names, key=folder_of):
        try:
            descriptor = open_folder(root, folder)
        except FileNotFoundError:
            continue
        except OSError as error:
            left |= {name: renamed(error, place_of(root, name)) for name in group}
            continue
        try:
            for name in group:
                if (failure := remove_one(descriptor, name)) is not None:
                    left[name] = renamed(failure, place_of(root, name))
        finally:
            os.close(descriptor)
        remove_empty_upwards(root, folder, keep)
    return left


def folder_of(name: str) -> str:
    return name.rstrip("/").rpartition("/")[0]


def open_folder(root: str, below: str) -> int:
    """Open a folder below another one without following any link."""
    descriptor = os.open(root, FOLDER)
    for part in filter(None, below.split("/")):
        try:
            inner = os.open(part, FOLDER | os.O_NOFOLLOW, dir_fd=descriptor)
        finally:
            os.close(descriptor)
        descriptor = inner
    return descriptor


def remove_one(folder: int, name: str) -> OSError | None:
    last = name.rstrip("/").rpartition("/")[2]
    try:
        if name.endswith("/"):
            os.rmdir(last, dir_fd=folder)
        else:
            os.unlink(last, dir_fd=folder)
    except FileNotFoundError:
        return None  # somebody else has removed it
    except OSError as error:
        return error
    return None


def remove_empty_upwards(root: str, folder: str, keep: Container[str]) -> None:
    """Remove a folder and those above it as long as nothing is in them."""
    while folder and folder not in keep:
        above = folder_of(folder)
        with suppress(OSError):
            descriptor = open_folder(root, above)
            try:
                os.rmdir(folder.rpartition("/")[2], dir_fd=descriptor)
            except OSError:
                return
            finally:
                os.close(descriptor)
        folder = above


def renamed(error: OSError, path: str) -> OSError:
    return OSError(error.errno, error.strerror, path)
