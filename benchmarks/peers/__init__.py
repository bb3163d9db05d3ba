"""The clients that are compared, each one used as somebody would who knows it well.

A client is a class.  Made with a `Store` and a number of requests at a time, it sets itself up
and makes one request.  What a client cannot do, its class does not have.  All prefixes end with a
slash, and all calls return when everything is there:

    up(folder, prefix)  copy(source, target)  down(prefix, folder)   a tree
    list_all(prefix)               returns how many keys there are
    load(key)                      an object of any size into memory; returns its size
    head(key)  get(key)            one request for a small object; return its size
    read_range(key, start, size)   one request for a piece; returns its size

Checksums that no other client computes are switched off where that can be done.  Each client is
imported where it is used, so that the memory of one is not another's.
"""

from __future__ import annotations

import importlib.util
from importlib import metadata
from typing import TYPE_CHECKING, Protocol

from benchmarks.peers.boto import Boto3, Crt
from benchmarks.peers.fast import FastS3
from benchmarks.peers.fsspec import S3fs
from benchmarks.peers.miniopy import Miniopy
from benchmarks.peers.ours import Aioobs, AioobsSync
from benchmarks.peers.programs import Rclone, S5cmd, find_program, version_of
from benchmarks.peers.rust_object_store import Obstore
from benchmarks.peers.rust_opendal import Opendal

if TYPE_CHECKING:
    from benchmarks.stores import Store


class Peer(Protocol):
    """A client that is set up."""

    def __init__(self, store: Store, concurrency: int) -> None: ...


PEERS: dict[str, type[Peer]] = {
    "aioobs.sync": AioobsSync,
    "aioobs": Aioobs,
    "obstore": Obstore,
    "opendal": Opendal,
    "s5cmd": S5cmd,
    "rclone": Rclone,
    "s3fs": S3fs,
    "boto3": Boto3,
    "crt": Crt,
    "miniopy-async": Miniopy,
    "fast-s3": FastS3,
}
OURS = ("aioobs.sync", "aioobs")
MODULES = {
    "obstore": "obstore",
    "opendal": "opendal",
    "s3fs": "s3fs",
    "boto3": "boto3",
    "awscrt": "crt",
    "miniopy_async": "miniopy-async",
    "fast_s3": "fast-s3",
}
PROGRAMS = ("s5cmd", "rclone")


def installed() -> dict[str, str]:
    """Return the versions of the clients that are there, in the order of `PEERS`."""
    import aioobs

    versions = dict.fromkeys(OURS, aioobs.__version__)
    for module, name in MODULES.items():
        if importlib.util.find_spec(module):
            versions[name] = metadata.version(module)
    for name in PROGRAMS:
        if program := find_program(name):
            versions[name] = version_of(program)
    return {name: versions[name] for name in PEERS if name in versions}
