"""run and serve: scripts that were written for moxing, and a store for tests."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from typing import TYPE_CHECKING

from aioobs.cli.failures import program

if TYPE_CHECKING:
    import argparse

__all__ = ["run", "serve"]


def run(given: argparse.Namespace) -> int:
    """Run a script; its errors, its exit status and its signals are its own."""
    from aioobs.sync.moxing import prepare, run_module, run_script

    if not given.is_module and not os.path.isfile(given.program):
        sys.stderr.write(f"{program()}: there is no file {given.program!r}\n")
        return 2
    try:
        prepare(given.program, given.arguments, module=given.is_module, replace=given.replace)
    except ImportError as error:
        sys.stderr.write(f"{program()}: {error}\n")
        return 1
    if given.is_module:
        run_module(given.program)
    else:
        run_script(given.program)
    return 0


def serve(given: argparse.Namespace) -> int:
    """Run a server until SIGINT or SIGTERM, and print the environment that leads to it."""
    from aioobs.testing import LocalServer

    signals = (signal.SIGINT, signal.SIGTERM)
    with LocalServer(tls=given.tls) as server:
        # Blocked first, so that none is lost between the last line and the wait.
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        for bucket in given.bucket:
            server.create_bucket(bucket.removeprefix("s3://").removeprefix("obs://"))
        for name, text in server.environment.items():
            sys.stdout.write(f"export {name}={shlex.quote(text)}\n")
        sys.stdout.flush()
        signal.sigwait(signals)
    return 0
