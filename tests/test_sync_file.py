"""The blocking verbs in the places that users call them from."""

from __future__ import annotations

import asyncio
import inspect
import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from faulty import STALL, FaultyServer, use

import aioobs.sync as mox

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aioobs.session import Session

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


def there_and_back(url: str) -> str:
    """Write, copy and read an object."""
    mox.file.write(url, url)
    mox.file.copy(url, f"{url}-copy")
    return mox.file.read(f"{url}-copy")


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_the_verbs_work_in_worker_processes(obs_bucket: str, method: str) -> None:
    assert there_and_back(f"{obs_bucket}/parent") == f"{obs_bucket}/parent"
    urls = [f"{obs_bucket}/{number}" for number in range(4)]
    context = multiprocessing.get_context(method)

    with ProcessPoolExecutor(2, mp_context=context) as pool:
        assert list(pool.map(there_and_back, urls, timeout=30)) == urls
    assert there_and_back(f"{obs_bucket}/parent") == f"{obs_bucket}/parent"


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_tree_is_copied_by_a_process_of_its_own(
    obs_bucket: str, tmp_path: Path, method: str
) -> None:
    mox.file.write(f"{obs_bucket}/src/d/file", "x")
    target = tmp_path / "dst"
    script = f"""
import multiprocessing, sys
import aioobs.sync as mox
if __name__ == "__main__":
    mox.file.exists(sys.argv[1])
    process = multiprocessing.get_context("{method}").Process(
        target=mox.file.copy_parallel, args=sys.argv[1:]
    )
    process.start()
    process.join()
    sys.exit(process.exitcode)
"""
    (tmp_path / "script.py").write_text(script)
    done = subprocess.run(
        [sys.executable, tmp_path / "script.py", f"{obs_bucket}/src", target],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=30,
        check=False,
    )

    assert done.returncode == 0
    assert (target / "d" / "file").read_text() == "x"


def test_the_verbs_work_in_many_threads_at_once(obs_bucket: str) -> None:
    urls = [f"{obs_bucket}/{number}" for number in range(40)]
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(there_and_back, urls)) == urls


async def test_the_verbs_work_where_an_event_loop_is_running(obs_bucket: str) -> None:
    url = f"{obs_bucket}/file"
    await asyncio.sleep(0)

    assert there_and_back(url) == url
    with mox.file.File(url) as file:
        assert file.read() == url


def test_the_readers_of_the_standard_library_take_a_file_of_the_store(obs_bucket: str) -> None:
    url = f"{obs_bucket}/data.json"
    with mox.file.File(url, "w") as file:
        json.dump({"größe": [1, 2, 3]}, file)
    with mox.file.File(url) as file:
        assert json.load(file) == {"größe": [1, 2, 3]}
    with mox.file.File(url) as file:
        assert file.readlines() == [mox.file.read(url)]
    assert file.closed


def test_copies_take_the_names_that_callers_use(obs_bucket: str, tmp_path: Path) -> None:
    mox.file.write(f"{obs_bucket}/src/one", "1")
    mox.file.write(f"{obs_bucket}/src/two", "2")
    mox.file.copy_parallel(
        src_url=f"{obs_bucket}/src",
        dst_url=str(tmp_path / "dst"),
        file_list=["one"],
        threads=0,
        is_processing=False,
        use_queue=True,
    )
    mox.file.copy(src_url=f"{obs_bucket}/src/two", dst_url=str(tmp_path / "dst" / "two"))

    assert sorted(path.name for path in (tmp_path / "dst").iterdir()) == ["one", "two"]


def test_the_parameters_of_set_auth_have_the_names_and_order_of_the_documentation() -> None:
    names = list(inspect.signature(mox.file.set_auth).parameters)
    assert names[:12] == [
        "ak",
        "sk",
        "server",
        "port",
        "is_secure",
        "ssl_verify",
        "long_conn_mode",
        "path_style",
        "retry",
        "retry_wait",
        "client_timeout",
        "list_max_keys",
    ]
    assert {"timeout_config", "negotiation", "obs_client_log"} <= set(names)


@pytest.fixture
def stalled(session: Session, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyServer]:
    """Give a store that never answers, and 0.3 seconds to each look at an object."""
    with FaultyServer(always=STALL) as server:
        use(server, monkeypatch)
        session.set({"timeouts": {"getObjectMetadata": 0.3}})
        yield server


def seconds_of_an_error() -> float:
    """Look for an object of the store that never answers, and return how long it took."""
    begun = time.monotonic()
    with pytest.raises(mox.file.MoxTimeoutError, match="getObjectMetadata s3://bucket/object"):
        mox.file.exists("s3://bucket/object")
    return time.monotonic() - begun


@pytest.mark.usefixtures("stalled")
def test_a_timeout_that_is_set_ends_a_verb() -> None:
    assert 0.2 < seconds_of_an_error() < 5


@pytest.mark.usefixtures("stalled")
def test_a_timeout_that_is_set_ends_a_verb_in_a_thread() -> None:
    seconds: list[float] = []
    thread = threading.Thread(target=lambda: seconds.append(seconds_of_an_error()))
    thread.start()
    thread.join(20)
    assert 0.2 < seconds[0] < 5


@pytest.mark.usefixtures("stalled")
def test_a_timeout_that_is_set_ends_a_verb_in_a_child_process() -> None:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        assert 0.2 < pool.submit(seconds_of_an_error).result(20) < 5
