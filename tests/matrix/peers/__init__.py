"""The same faults with other clients: what each of them makes of a server that goes wrong.

A client is a class, made with a `Reach`, that has one method for each operation it knows; what it
does not have is not tried.  Each is set up as its documentation tells somebody who wants it to be
patient but not for ever: a second without a byte, and `TRIES` attempts with short waits, or what
comes closest.  All else, checksums among it, is as it comes.  An object of more than `PART` moves
in parts where a client can do that.

    get(key) → bytes                a small object
    get_big(key) → bytes            one of several parts
    get_range(key, start, size)     a piece of it
    put(key, data)  put_big(key, data)
    head(key) → its size
    list_all(prefix) → the keys below it
    delete(key)
    copy(source, target)            within the store
    download(key, path)  upload(path, key)
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["NAMES", "PART", "SECONDS", "TRIES", "Reach"]

NAMES = ("aioobs", "boto3", "s3fs", "obstore", "opendal", "s5cmd", "rclone")
PART = 5 << 20
SECONDS = 1
"""Without a byte, until an attempt is given up."""
TRIES = 4
"""Attempts at a request."""


@dataclass(frozen=True)
class Reach:
    """How a client gets to its bucket."""

    endpoint: str
    bucket: str
    access_key: str
    secret_key: str
    region: str = "us-east-1"
