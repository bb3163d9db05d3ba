"""An S3 endpoint that costs next to nothing, so that the client is what is measured.

It is C++, built when it is first wanted and kept in the cache directory of the user.  It checks no
signature, drops what is put and makes up what is got: correctness is shown on real servers.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Self
from urllib.parse import quote

HERE = Path(__file__).parent
SOURCES = ("server.cc", "store.cc")
FLAGS = ("-O2", "-std=c++17")
SAID = 2000  # characters of what the compiler said


class FastEndpoint:
    """The endpoint on 127.0.0.1 for as long as a `with` lasts, with *delay* seconds to an answer.

    With `tls=True` it speaks HTTPS alone, and `ca_file` is the certificate authority to trust.
    """

    endpoint = ""
    ca_file = ""

    def __init__(self, *, tls: bool = False, delay: float = 0.0) -> None:
        self._tls, self._delay = tls, delay
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Build it if need be, and start it.

        Raises:
            RuntimeError: it cannot be built here.
        """
        command = [str(build(tls=self._tls)), "--delay", str(self._delay * 1000)]
        with contextlib.ExitStack() as stack:
            if self._tls:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                self.ca_file, pair = str(folder / "ca.pem"), str(folder / "server.pem")
                write_certificates(folder)
                command += ["--tls", pair, pair]
            # It ends with its standard input, and so also when this process dies.
            server = stack.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            assert server.stdout is not None
            port = server.stdout.readline().strip()
            if not port:
                raise RuntimeError("the fast endpoint ended at its start")
            self.endpoint = f"{'https' if self._tls else 'http'}://127.0.0.1:{port}"
            stack.callback(self._close_input, server)
            self._stack = stack.pop_all()
        return self

    @staticmethod
    def _close_input(server: subprocess.Popen[str]) -> None:
        assert server.stdin is not None
        server.stdin.close()

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def fill(self, bucket: str, prefix: str, count: int, size: int) -> None:
        """Make objects `00000000`, `00000001`, … below *prefix*, of that size."""
        self._ask("POST", f"/{bucket}/?fill&prefix={quote(prefix)}&count={count}&size={size}")

    def clear(self, bucket: str) -> None:
        """Forget all objects of a bucket."""
        self._ask("DELETE", f"/{bucket}/")

    def requests(self) -> int:
        """Return how many requests there were."""
        return int(self._ask("GET", "/?requests"))

    def _ask(self, method: str, target: str) -> bytes:
        place = self.endpoint.partition("//")[2]
        connection = http.client.HTTPConnection(place, timeout=60)
        if self._tls:
            context = ssl.create_default_context(cafile=self.ca_file)
            connection = http.client.HTTPSConnection(place, timeout=60, context=context)
        with contextlib.closing(connection):
            connection.request(method, target)
            answer = connection.getresponse()
            data = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"the fast endpoint answers {answer.status} to {method} {target}")
        return data


def obstacle() -> str:
    """Return why there can be no fast endpoint here; nothing: there can be one."""
    if sys.platform != "linux":
        return "it is for Linux"
    return "" if compiler() else "there is no C++ compiler"


def compiler() -> str | None:
    """Return the path of a C++ compiler."""
    return shutil.which(os.environ.get("CXX") or "c++") or shutil.which("g++")


def build(*, tls: bool) -> Path:
    """Return the program, which is compiled unless the cache has it.

    Raises:
        RuntimeError: there is no compiler, or it failed; with TLS, OpenSSL has to be there.
    """
    if reason := obstacle():
        raise RuntimeError(f"no fast endpoint: {reason}")
    choice = ["-lssl", "-lcrypto"] if tls else ["-DWITHOUT_TLS"]
    text = b"".join(path.read_bytes() for path in sorted(HERE.iterdir()) if path.is_file())
    name = hashlib.sha256(text + " ".join((*FLAGS, *choice)).encode()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "aioobs-benchmarks"
    program = cache / f"endpoint-{name}"
    if program.exists():
        return program
    cache.mkdir(parents=True, exist_ok=True)
    fresh = cache / f"{program.name}.{os.getpid()}"
    command = [str(compiler()), *FLAGS, "-o", str(fresh), *(str(HERE / name) for name in SOURCES)]
    done = subprocess.run([*command, *choice], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the fast endpoint cannot be built:\n{done.stderr[:SAID]}")
    os.replace(fresh, program)
    return program


def write_certificates(folder: Path) -> None:
    """Write an authority's certificate, and one for 127.0.0.1 with its key."""
    from aioobs import testing

    testing.write_certificates(folder)
