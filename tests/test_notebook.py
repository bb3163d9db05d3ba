"""In a notebook: `await` at the top level and blocking calls, in a real kernel with its loop."""

from __future__ import annotations

import os
import queue
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aioobs.testing import LocalServer

manager = pytest.importorskip("jupyter_client.manager", reason="is for systems that have it")


class Notebook:
    """A kernel that runs one cell after the other."""

    def __init__(self, kernel: Any, client: Any) -> None:
        self.kernel = kernel
        self._client = client

    def begin(self, cell: str) -> str:
        """Begin to run a cell, and return what its answer will name."""
        begun: str = self._client.execute(cell)
        return begun

    def end(self, begun: str, timeout: float = 50) -> str:
        """Return what the cell has shown, or the name of its error."""
        shown = ""
        while True:
            message = self._client.get_iopub_msg(timeout=timeout)
            if message["parent_header"].get("msg_id") != begun:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "execute_result":
                shown = content["data"]["text/plain"]
            elif kind == "error":
                shown = content["ename"]
            elif kind == "status" and content["execution_state"] == "idle":
                return shown

    def interrupt(self, begun: str) -> str:
        """Stop a cell as somebody does who presses the button until it has stopped."""
        for _ in range(10):
            self.kernel.interrupt_kernel()
            self._client.kernel_info()  # a cell that awaits is cancelled when its loop wakes up
            with suppress(queue.Empty):  # the kernel may have been about to look at something else
                return self.end(begun, timeout=4)
        raise TimeoutError("the cell goes on")

    def run(self, cell: str) -> str:
        """Run a cell; return what it has shown."""
        return self.end(self.begin(cell))


@pytest.fixture(scope="module")
def notebook(obs_server: LocalServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Give a notebook in whose environment the store is."""
    home = str(tmp_path_factory.mktemp("home"))
    environment = {**os.environ, **obs_server.environment, "HOME": home, "IPYTHONDIR": home}
    kernel, client = manager.start_new_kernel(kernel_name="python3", env=environment, cwd=home)
    try:
        found = Notebook(kernel, client)
        found.run("import aioobs, os\nfrom aioobs.sync import file")
        yield found
    finally:
        client.stop_channels()
        kernel.shutdown_kernel(now=True)


def test_await_and_blocking_calls_take_turns(notebook: Notebook, obs_bucket: str) -> None:
    url = f"{obs_bucket}/notes.txt"
    assert notebook.run(f"await aioobs.file.write({url!r}, 'from await')") == ""
    assert notebook.run(f"file.read({url!r})") == "'from await'"
    assert notebook.run(f"file.append({url!r}, ', and not')") == ""
    cells = [
        f"await aioobs.file.read({url!r})",
        f"(file.read({url!r}), await aioobs.file.exists({url!r}))",
    ]
    assert list(map(notebook.run, cells)) == [
        "'from await, and not'",
        "('from await, and not', True)",
    ]
    assert notebook.run(f"list(file.scan_dir({obs_bucket!r}))") == (
        f"[Entry(name='notes.txt', path='{url}')]"
    )


def test_a_plan_says_what_it_is_about_and_reports_come_while_it_runs(
    notebook: Notebook, obs_bucket: str
) -> None:
    notebook.run("os.mkdir('data')\nfor name in 'abc': open(f'data/{name}', 'w').write(name)")
    assert notebook.run(f"plan = await aioobs.plan_copy('data', {obs_bucket!r} + '/x')\nplan") == (
        f"<CopyPlan data -> {obs_bucket}/x: 3 files, 3 bytes>"
    )
    assert notebook.run("reports = []\nawait aioobs.run_copy(plan, progress=reports.append)") == ""
    assert notebook.run("reports[-1].files, reports[-1].bytes") == "(3, 3)"


def test_a_cell_that_waits_for_the_store_can_be_interrupted(
    notebook: Notebook, obs_bucket: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server = f"http://127.0.0.1:{silent.getsockname()[1]}"
        for call in ("file.read('s3://bucket/key')", "await aioobs.file.read('s3://bucket/key')"):
            begun = notebook.begin(f"file.set_auth(server={server!r})\n{call}")
            connection, _ = silent.accept()
            with connection:
                connection.recv(1)
                assert notebook.interrupt(begun) in ("KeyboardInterrupt", "CancelledError")
    assert notebook.run("file.set_auth(server=os.environ['S3_ENDPOINT'])") == ""
    assert notebook.run(f"file.exists({obs_bucket!r})") == "True"
