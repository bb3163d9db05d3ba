"""Where an example works: at the URL on its command line, or on a server of its own."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aioobs.testing import LocalServer

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def place() -> Iterator[str]:
    """Give the URL to work under."""
    if len(sys.argv) > 1:
        yield sys.argv[1].rstrip("/")
        return
    with LocalServer() as server:
        os.environ.update(server.environment)
        server.create_bucket("examples")
        yield "s3://examples"
