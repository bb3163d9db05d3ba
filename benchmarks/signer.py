"""Requests signed with Signature Version 4, by this library and by botocore, as boto3 uses it.

They have been made before, and are not sent.  Their bodies are not signed, which is what this
library does and botocore can be told to do.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from benchmarks.measure import Case, Outcome, Record, interleaved, outcome_of, timed

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping

    from benchmarks.results import Setting

NAME = "signer"
HELP = "requests signed, by this library and by botocore"
CALLS = 10_000
REQUESTS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "sign_get": ("GET", {}),
    "sign_range": ("GET", {"range": "bytes=0-65535"}),
    "sign_put": ("PUT", {"content-type": "application/octet-stream"}),
}
HOST, BUCKET, REGION = "s3.example.com", "bucket", "us-east-1"
KEYS = "test-access-key", "test-secret-key"

Signing = tuple[Callable[[Any], None], Sequence[object]]
"""What signs a request, and requests that are not signed yet."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that only this benchmark has."""
    parser.add_argument("--calls", type=int, default=CALLS, help="how many calls (%(default)s)")


def settings(options: argparse.Namespace) -> dict[str, Setting]:
    """Return the values of these options, and that there is no store."""
    return {"calls": options.calls, "store": ""}


def run(clients: Sequence[str], options: argparse.Namespace) -> Iterator[Record]:
    """Measure each kind of request."""
    calls = max(round(options.calls * options.scale), 2)
    cases = [case(operation, calls) for operation in REQUESTS]
    signers = [client for client in clients if client in SIGNERS]
    yield from interleaved(cases, signers, rounds=options.rounds, patience=0)


def case(operation: str, calls: int) -> Case:
    """Return the case of one kind of request."""

    def measured(client: str) -> Outcome:
        command = [sys.executable, "-m", "benchmarks.signer", client, operation, str(calls)]
        return outcome_of(command)

    return Case(f"{calls:,} calls", operation, lambda: contextlib.nullcontext(measured))


def ours(method: str, headers: Mapping[str, str], paths: Sequence[str]) -> Signing:
    """Return how this library signs, and what."""
    from aioobs.s3.auth.signing import UNSIGNED_PAYLOAD, Credentials, Target
    from aioobs.s3.auth.signing_v4 import SigV4

    signer, credentials = SigV4(REGION), Credentials(*KEYS)

    def sign(target: Target) -> None:
        signer.sign(target, headers, UNSIGNED_PAYLOAD, credentials, time.time())

    return sign, [Target(method, HOST, path, "", path) for path in paths]


def botocores(method: str, headers: Mapping[str, str], paths: Sequence[str]) -> Signing:
    """Return how botocore signs, and what."""
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.config import Config
    from botocore.credentials import Credentials

    signer = S3SigV4Auth(Credentials(*KEYS), "s3", REGION)
    config = Config(s3={"payload_signing_enabled": False})
    requests = [AWSRequest(method, f"https://{HOST}{path}", dict(headers)) for path in paths]
    for request in requests:
        request.context["client_config"] = config
    return signer.add_auth, requests


SIGNERS = {"aioobs.sync": ours, "boto3": botocores}


def main(client: str, operation: str, calls: str) -> None:
    """Measure in this process, and write the outcome."""
    method, headers = REQUESTS[operation]
    paths = [f"/{BUCKET}/{number:08}" for number in range(int(calls))]
    sign, requests = SIGNERS[client](method, headers, paths)
    print(json.dumps(asdict(timed(sign, [[request] for request in requests]))), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
