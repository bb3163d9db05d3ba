"""What an import takes, and what the first answer does, in a process that has done nothing else.

Both are measured from where the import begins: what starts the interpreter is the same for all.
"""

from __future__ import annotations

import contextlib
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from benchmarks.measure import Case, Outcome, Record, interleaved, outcome_of
from benchmarks.stores import places

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from benchmarks.results import Setting
    from benchmarks.stores import Places

NAME = "imports"
HELP = "what an import takes, and an import with a first exists()"
IMPORTS = {
    "aioobs.sync": "import aioobs.sync",
    "aioobs": "import aioobs",
    "obstore": "import obstore.store",
    "opendal": "import opendal",
    "s3fs": "import s3fs",
    "boto3": "import boto3",
    "miniopy-async": "import miniopy_async",
    "fast-s3": "import fast_s3",
}
# Scripts, as somebody writes them who wants to know whether an object is there.
EXISTS = {
    "aioobs.sync": """
from aioobs.sync import file
file.set_auth(
    ak=access_key, sk=secret_key, security_token=token, server=endpoint, region=region,
    path_style=True, ssl_verify=ca_file or True,
)
found = file.exists(f"s3://{bucket}/{key}")
""",
    "aioobs": """
import asyncio
from aioobs import file
file.set_auth(
    ak=access_key, sk=secret_key, security_token=token, server=endpoint, region=region,
    path_style=True, ssl_verify=ca_file or True,
)
found = asyncio.run(file.exists(f"s3://{bucket}/{key}"))
""",
    "obstore": """
from obstore.store import S3Store
store = S3Store(
    bucket, endpoint=endpoint, region=region, access_key_id=access_key,
    secret_access_key=secret_key, **temporary, virtual_hosted_style_request=False,
    client_options={"allow_http": True, "allow_invalid_certificates": bool(ca_file)},
)
found = store.head(key)
""",
    "opendal": """
import opendal
operator = opendal.Operator(
    "s3", bucket=bucket, endpoint=endpoint, region=region, access_key_id=access_key,
    secret_access_key=secret_key, **temporary, disable_config_load="true",
    disable_ec2_metadata="true",
)
found = operator.exists(key)
""",
    "s3fs": """
import s3fs
files = s3fs.S3FileSystem(
    key=access_key, secret=secret_key, token=token or None, endpoint_url=endpoint,
    client_kwargs={"region_name": region, "verify": ca_file or None},
)
found = files.exists(f"{bucket}/{key}")
""",
    "boto3": """
import boto3
client = boto3.client(
    "s3", endpoint_url=endpoint, region_name=region, aws_access_key_id=access_key,
    aws_secret_access_key=secret_key, aws_session_token=token or None, verify=ca_file or None,
)
found = client.head_object(Bucket=bucket, Key=key)
""",
}
PROGRAM = """
import time
{given}
found = True
cpu, begun = time.process_time(), time.perf_counter()
{script}
wall, cpu = time.perf_counter() - begun, time.process_time() - cpu
assert found
import json
from benchmarks.measure import peak_rss
print(json.dumps({{"wall": round(wall, 5), "cpu": round(cpu, 5), "peak_rss": peak_rss()}}))
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing."""


def settings(options: argparse.Namespace) -> dict[str, Setting]:
    """Return nothing."""
    return {}


def run(clients: Sequence[str], options: argparse.Namespace) -> Iterator[Record]:
    """Measure both, once more beforehand so that all bytecode is there."""
    with places(options) as at:
        cases = [case("import", IMPORTS, at), case("exists", EXISTS, at)]
        for _ in interleaved(cases, clients, rounds=1, patience=0):
            pass
        yield from interleaved(cases, clients, rounds=options.rounds, patience=0)


def case(operation: str, scripts: Mapping[str, str], at: Places) -> Case:
    """Return the case of one script for each client."""

    @contextlib.contextmanager
    def prepared() -> Iterator[Callable[[str], Outcome]]:
        with at.place() as (store, prefix):
            at.fill(store, prefix, 1, 1)
            temporary = {"session_token": store.token} if store.token else {}
            names = asdict(store) | {"key": f"{prefix}{0:08}", "temporary": temporary}
            given = "\n".join(f"{name} = {value!r}" for name, value in names.items())

            def measured(client: str) -> Outcome:
                if client not in scripts:
                    return Outcome(offered=False)
                program = PROGRAM.format(given=given, script=scripts[client])
                return outcome_of([sys.executable, "-c", program], variables=store.trusted)

            yield measured

    return Case("a fresh process", operation, prepared)
