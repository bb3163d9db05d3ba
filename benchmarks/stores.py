"""Where a benchmark runs: a local server, the fast endpoint, or a store that is there.

The library is imported where it is used: every measuring process has this module, and the memory
of the other clients is their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from benchmarks.trees import Content

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    import aioobs

STORES = ("seaweedfs", "fast")
AT_ONCE = 64  # objects that are filled in


@dataclass(frozen=True)
class Store:
    """A bucket, and how every client reaches it: the bucket in the path, the keys given."""

    endpoint: str
    bucket: str
    access_key: str
    secret_key: str
    region: str = "us-east-1"
    ca_file: str = ""
    """The certificate authority to trust; empty: those of the system."""
    token: str = ""
    """Of temporary credentials."""

    @property
    def trusted(self) -> dict[str, str]:
        """The environment variables by which clients trust the authority."""
        names = ("SSL_CERT_FILE", "AWS_CA_BUNDLE") if self.ca_file else ()
        return dict.fromkeys(names, self.ca_file)

    def client(self) -> aioobs.Client:
        """Return a client for what is not measured."""
        import aioobs

        return aioobs.Client(
            aioobs.Config(
                endpoint=self.endpoint,
                access_key=self.access_key,
                secret_key=self.secret_key,
                security_token=self.token,
                region=self.region,
                addressing="path",
                verify=self.ca_file or True,
            )
        )

    def content_of(self, prefix: str) -> Content:
        """Count the objects below *prefix* and their bytes; marks of folders do not count."""
        return asyncio.run(self._content_of(prefix))

    async def _content_of(self, prefix: str) -> Content:
        files = size = 0
        async with self.client() as client:
            async for page in client.list_pages(self.bucket, prefix):
                found = [item.size for item in page.objects if not item.key.endswith("/")]
                files, size = files + len(found), size + sum(found)
        return Content(files, size)

    def keys(self, prefix: str) -> list[str]:
        """Return the keys of the objects below *prefix*."""
        return asyncio.run(self._keys(prefix))

    async def _keys(self, prefix: str) -> list[str]:
        async with self.client() as client:
            pages = client.list_pages(self.bucket, prefix)
            return [item.key async for page in pages for item in page.objects]

    def fill(self, prefix: str, count: int, size: int) -> None:
        """Put objects `00000000`, `00000001`, … below *prefix*, of that size."""
        asyncio.run(self._fill(prefix, count, size))

    async def _fill(self, prefix: str, count: int, size: int) -> None:
        data = os.urandom(size)
        numbers = iter(range(count))

        async def put() -> None:
            for number in numbers:
                await client.put_object(self.bucket, f"{prefix}{number:08}", data)

        async with self.client() as client, asyncio.TaskGroup() as group:
            for _ in range(min(AT_ONCE, count)):
                group.create_task(put())

    def remove(self, prefix: str) -> None:
        """Delete every object below *prefix*."""
        asyncio.run(self._remove(prefix))

    async def _remove(self, prefix: str) -> None:
        async with self.client() as client:
            pages = [page async for page in client.list_pages(self.bucket, prefix)]
            for page in pages:
                await client.delete_objects(self.bucket, [item.key for item in page.objects])


@dataclass(frozen=True)
class Places:
    """Makes empty prefixes in a bucket, each for a `with` block, at whose end it is removed."""

    place: Callable[[], AbstractContextManager[tuple[Store, str]]]
    fill: Callable[[Store, str, int, int], None] = Store.fill
    requests: Callable[[], int] | None = None
    """Returns how many requests the store has had, where it counts them."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where a benchmark runs, on a local server or elsewhere."""
    parser.add_argument(
        "--store", choices=STORES, default="seaweedfs", help="a local server (%(default)s)"
    )
    parser.add_argument("--tls", action="store_true", help="have the local server speak TLS")
    parser.add_argument(
        "--delay", type=float, default=0.0, help="ms that --store fast adds to each request"
    )
    add_endpoint(parser)


def add_endpoint(parser: argparse.ArgumentParser) -> None:
    """Add the options for a store that is there."""
    parser.add_argument(
        "--endpoint",
        help="an S3 endpoint in place of a local server; credentials, region and authority "
        "(AWS_CA_BUNDLE) are those of the environment",
    )
    parser.add_argument("--bucket", help="a bucket at the endpoint, for a prefix of its own")


def endpoint_arguments(options: argparse.Namespace) -> list[str]:
    """Return the options for a store that is there as they were given."""
    given = {"--endpoint": options.endpoint, "--bucket": options.bucket}
    return [word for name, value in given.items() if value for word in (name, value)]


def check(options: argparse.Namespace) -> None:
    """Refuse options that do not go together; where there is no compiler, take SeaweedFS.

    Raises:
        ValueError: they do not.
    """
    if bool(options.endpoint) != bool(options.bucket):
        raise ValueError("--endpoint and --bucket go together")
    if options.endpoint and (options.store == "fast" or options.tls or options.delay):
        raise ValueError("--store, --tls and --delay are for a local server, not for --endpoint")
    if options.delay and options.store != "fast":
        raise ValueError("--delay is for --store fast")
    if options.store == "fast":
        from benchmarks.endpoint import obstacle

        if reason := obstacle():
            print(f"No fast endpoint, SeaweedFS instead: {reason}.", file=sys.stderr)
            options.store, options.delay = "seaweedfs", 0.0


def name_of(options: argparse.Namespace) -> str:
    """Return what to call the store."""
    if options.endpoint:
        return str(options.endpoint)
    name = "the fast endpoint" if options.store == "fast" else "a local SeaweedFS"
    delay = f", {options.delay:g} ms added to each request" if options.delay else ""
    return f"{name}{' over TLS' if options.tls else ''}{delay}"


def places(options: argparse.Namespace) -> AbstractContextManager[Places]:
    """Return the store that is wanted, as a context manager."""
    if options.endpoint:
        return places_of(options.endpoint, options.bucket)
    if options.store == "fast":
        return fast_places(tls=options.tls, delay=options.delay / 1000)
    return local_places(tls=options.tls)


@contextlib.contextmanager
def local_places(*, tls: bool = False) -> Iterator[Places]:
    """Run a local server, on which each place is a bucket, since that frees its room at once."""
    from aioobs.testing import LocalServer

    with LocalServer(tls=tls) as server:
        keys = server.access_key, server.secret_key
        store = Store(server.endpoint, "", *keys, ca_file=server.ca_file or "")

        @contextlib.contextmanager
        def place() -> Iterator[tuple[Store, str]]:
            bucket = f"bench-{secrets.token_hex(6)}"
            server.create_bucket(bucket)
            try:
                yield replace(store, bucket=bucket), ""
            finally:
                server.delete_bucket(bucket)

        yield Places(place)


@contextlib.contextmanager
def fast_places(*, tls: bool = False, delay: float = 0.0) -> Iterator[Places]:
    """Run the fast endpoint.

    Raises:
        RuntimeError: it cannot be built here.
    """
    from benchmarks.endpoint import FastEndpoint

    with FastEndpoint(tls=tls, delay=delay) as server:
        keys = "test-access-key", "test-secret-key"
        store = Store(server.endpoint, "", *keys, ca_file=server.ca_file)

        @contextlib.contextmanager
        def place() -> Iterator[tuple[Store, str]]:
            bucket = f"bench-{secrets.token_hex(6)}"
            try:
                yield replace(store, bucket=bucket), ""
            finally:
                server.clear(bucket)

        def fill(at: Store, prefix: str, count: int, size: int) -> None:
            server.fill(at.bucket, prefix, count, size)

        yield Places(place, fill, server.requests)


@contextlib.contextmanager
def places_of(endpoint: str, bucket: str) -> Iterator[Places]:
    """Use a bucket that is there, as the environment of the library says.

    Raises:
        ValueError: it has no credentials.
    """
    import aioobs
    from aioobs.s3.auth.credential_files import from_environment

    found = from_environment(os.environ)
    if found is None:
        raise ValueError("set ACCESS_KEY_ID and SECRET_ACCESS_KEY to use an endpoint")
    given, config = found.credentials, aioobs.Config.from_env()
    store = Store(
        endpoint,
        bucket,
        given.access_key,
        given.secret_key,
        config.region or Store.region,
        config.verify if isinstance(config.verify, str) else "",
        given.token or "",
    )

    @contextlib.contextmanager
    def place() -> Iterator[tuple[Store, str]]:
        prefix = f"bench-{secrets.token_hex(6)}/"
        try:
            yield store, prefix
        finally:
            store.remove(prefix)

    yield Places(place)
