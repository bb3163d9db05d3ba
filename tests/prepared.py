"""The command in a process that has imported it already, and forks for each call of it.

To start an interpreter and to import all that takes longer than most of the commands, of which
tests run hundreds.  What is about starting, terminals, signals or pipes starts one of its own.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import subprocess
import sys
from importlib import import_module
from pkgutil import iter_modules
from typing import NoReturn

PATIENCE = 50  # seconds for a command
SIZE = 4  # bytes, which say how long the message is


class Prepared:
    """The process from the side of the tests."""

    def __init__(self) -> None:
        self._control, other = socket.socketpair()
        with other:
            self._process = subprocess.Popen(
                [sys.executable, "-W", "error", __file__, str(other.fileno())],
                pass_fds=[other.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._control.settimeout(PATIENCE)

    def run(self, *arguments: str, stdout: int, stderr: int) -> int:
        """Run the command in this folder and environment; return its status."""
        message = json.dumps([arguments, os.getcwd(), dict(os.environ)]).encode()
        size = len(message).to_bytes(SIZE, "big")
        socket.send_fds(self._control, [size], [stdout, stderr])
        try:
            self._control.sendall(message)
            return int(self._control.recv(10))
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """End it, with a command that it runs."""
        self._control.close()
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def serve(control: socket.socket) -> None:
    """Run one command after the other, until nobody wants another one."""
    while True:
        size, descriptors, _, _ = socket.recv_fds(control, SIZE, 2)
        if not size:
            return
        message = control.recv(int.from_bytes(size, "big"), socket.MSG_WAITALL)
        child = os.fork()
        if not child:
            control.close()
            become(*json.loads(message), *descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        _, status = os.waitpid(child, 0)
        control.sendall(str(os.waitstatus_to_exitcode(status)).encode())


def become(
    arguments: list[str], folder: str, environment: dict[str, str], stdout: int, stderr: int
) -> NoReturn:
    """Be the command."""
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [aioobs.__main__.__file__, *arguments]  # as by python -m
    aioobs.__main__.main()
    raise AssertionError("the command has not ended the process")


if __name__ == "__main__":
    import aioobs.__main__
    import aioobs.cli

    for found in iter_modules(aioobs.cli.__path__):
        import_module(f"aioobs.cli.{found.name}")
    for name in ("aioobs.file", "aioobs.loops", "aioobs.s3.http.lean_transport"):
        import_module(name)
    gc.freeze()
    serve(socket.socket(fileno=int(sys.argv[1])))
