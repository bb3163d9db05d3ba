"""Programs in processes of their own, as users start them.

Every program looks at its end, after the library's own exit handlers, whether sockets, event loops
or threads are left; warnings are errors in it, and nothing may be said on its stderr.  The fixtures
`programs` and `holding` give what runs them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

from faulty import Answer, Received, stored

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
DEADLINE = 50  # seconds
IMPORT = "import aioobs.sync as mox\n"
BEGINNING = """
import atexit, contextlib, os, sys, threading
from collections import Counter

def opened():
    links = []
    for number in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else ():
        with contextlib.suppress(FileNotFoundError):
            links.append(os.readlink(f"/proc/self/fd/{number}"))
    return Counter(link for link in links if link.startswith(("socket:", "anon_inode:")))

before = opened()
process = os.getpid()

@atexit.register
def look_what_is_left():
    if os.getpid() == process:  # a forked child has what its parent had open
        for thread in threading.enumerate():
            if thread is not threading.main_thread():
                thread.join(5)
                assert not thread.is_alive(), thread
        left = opened() - before  # a fork server closes what the parent had, too
        assert not left, left

bucket, folder = sys.argv[1:3]
"""


class Holding:
    """Answers like a store with one object, but keeps who reads `slow` waiting until `release`."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.released = threading.Event()

    def __call__(self, received: Received) -> Answer:
        name = received.path.rpartition("/")[2]
        if name == "slow":
            self.asked.set()
            self.released.wait(DEADLINE)
        elif name == "asked":
            self.asked.wait(DEADLINE)
        elif name == "release":
            self.released.set()
        return stored(b"content")(received)


@contextlib.contextmanager
def running(command: list[str], folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a program that finds the project; neither it nor a child of it outlives the block."""
    with subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


class Programs:
    """Runs programs that find the project and the test's store."""

    def __init__(self, folder: Path, bucket: str, held: Holding | None = None) -> None:
        self.folder = folder
        self.bucket = bucket
        self._held = held

    @contextlib.contextmanager
    def start(
        self, program: str, *arguments: str, imports: str = IMPORT
    ) -> Iterator[subprocess.Popen[str]]:
        """Start a program; neither it nor a child of it outlives the block."""
        path = self.folder / "program.py"
        path.write_text(BEGINNING + imports + dedent(program))
        command = [sys.executable, "-u", "-W", "error"]
        # Newer Pythons warn of any fork while a thread runs.
        command += ["-W", "ignore:This process:DeprecationWarning", str(path)]
        command += [self.bucket, str(self.folder), *arguments]
        with running(command, self.folder) as process:
            yield process

    def run(self, program: str, *arguments: str, imports: str = IMPORT) -> list[str]:
        """Return the lines of a program, which has to end well and to complain of nothing."""
        with self.start(program, *arguments, imports=imports) as process:
            out, err = process.communicate(timeout=DEADLINE)
        assert (process.returncode, err) == (0, ""), out + err
        return out.splitlines()

    def wait_until_asked(self) -> None:
        """Wait until a program has asked for `slow`, where a store keeps it waiting."""
        assert self._held is not None
        assert self._held.asked.wait(DEADLINE)
