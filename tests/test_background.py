"""`background_sync_copy`: what a round copies, what it survives, and how it ends."""

from __future__ import annotations

import asyncio
import gc
import inspect
import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest
from faulty import RESET, Answer, FaultyServer, Received, answer, forward, listing, refusal, use

import aioobs.file
import aioobs.sync.background
import aioobs.sync.file
from aioobs import background
from aioobs.background import BackgroundCopy, background_sync_copy
from aioobs.errors import ConfigError, NotFound, OperationTimeout, SourceError, TransferFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aioobs.session import Session
    from aioobs.testing import LocalServer

ROOT = Path(__file__).resolve().parent.parent
SELDOM = 3600.0  # seconds: the rounds of a test are those that it asks for
MIB = 1 << 20


@pytest.fixture(autouse=True)
def quick(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at files more often, and give up sooner."""
    monkeypatch.setattr(background, "PAUSE", 0.05)
    session.set({"attempts": 2, "retry_wait": 0.01})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a local folder."""
    (tmp_path / "model").mkdir()
    return tmp_path / "model"


class Door:
    """What stands between the client and the store, and can be shut."""

    def __init__(self, endpoint: str) -> None:
        self.opened = forward(endpoint)
        self.way: Callable[[Received], Answer] = self.opened
        self.server = FaultyServer(always=lambda received: self.way(received))

    def puts(self) -> list[str]:
        """Return the keys that were put since the last call, in order."""
        found = [each.path for each in self.server.requests if each.method == "PUT"]
        self.server.requests.clear()
        return sorted("/".join(path.split("/")[2:]) for path in found)


@pytest.fixture
def door(
    obs_bucket: str, obs_server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Door]:
    """Give the door to the test's bucket."""
    door = Door(obs_server.environment["S3_ENDPOINT"])
    with door.server:
        monkeypatch.setenv("S3_ENDPOINT", door.server.endpoint)
        yield door


async def names(url: str) -> list[str]:
    """Return what is below a folder; folders end with a slash."""
    return await aioobs.file.list_directory(url, recursive=True, remove_sep=False)


async def until(condition: Callable[[], object]) -> None:
    """Wait for what happens by itself."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


# --- what a round copies -------------------------------------------------------------------


async def test_all_of_a_folder_is_in_the_store_after_the_first_round(
    folder: Path, obs_bucket: str
) -> None:
    (folder / "step 1" / "empty").mkdir(parents=True)
    (folder / "step 1" / "weights").write_bytes(b"w" * 3 * MIB)
    (folder / "log").write_bytes(b"")

    async with background_sync_copy(folder, f"{obs_bucket}/model", SELDOM) as copy:
        await until(lambda: copy.rounds)
        found = await names(f"{obs_bucket}/model")
        assert found == ["log", "step 1/", "step 1/empty/", "step 1/weights"]
        url = f"{obs_bucket}/model/step 1/weights"
        assert await aioobs.file.read(url, binary=True) == b"w" * 3 * MIB
        assert (copy.rounds, copy.failed_rounds, copy.last_error) == (1, 0, None)


async def test_rounds_follow_each_other_by_themselves(folder: Path, obs_bucket: str) -> None:
    async with background_sync_copy(src_url=folder, dst_url=obs_bucket, seconds=0.05) as copy:
        for name in ("first", "second"):
            (folder / name).write_text(name)
            rounds = copy.rounds
            await until(lambda rounds=rounds: copy.rounds > rounds + 1)  # type: ignore[misc]
            assert await aioobs.file.read(f"{obs_bucket}/{name}") == name


def test_it_shows_what_it_copies_and_how_often(folder: Path, obs_bucket: str) -> None:
    with aioobs.sync.file.background_sync_copy(folder, f"{obs_bucket}/copy", SELDOM) as copying:
        assert repr(copying).startswith(f"<BackgroundCopy of {folder} to {obs_bucket}/copy: ")
        assert repr(copying).endswith(" rounds, 0 failed>")


async def test_only_what_is_new_or_changed_is_sent(
    folder: Path, obs_bucket: str, door: Door
) -> None:
    (folder / "nothing").mkdir()
    for name in ("same", "longer", "rewritten", "deleted"):
        (folder / name).write_text(name)
    async with background_sync_copy(folder, f"{obs_bucket}/model", SELDOM) as copy:
        await copy.sync_now()
        assert door.puts() == [
            f"model/{name}" for name in ("deleted", "longer", "nothing/", "rewritten", "same")
        ]
        await copy.sync_now()
        assert door.server.requests == []

        before = (folder / "deleted").stat().st_mtime_ns
        (folder / "longer").write_text("longer than it was")
        (folder / "rewritten").write_text("nettirwer")
        (folder / "new").write_text("new")
        (folder / "deleted").unlink()
        await copy.sync_now()
        assert {each.method for each in door.server.requests} == {"PUT"}
        assert door.puts() == ["model/longer", "model/new", "model/rewritten"]
        assert await aioobs.file.read(f"{obs_bucket}/model/deleted") == "deleted"

        (folder / "deleted").write_text("deleted")  # a file that comes back is a new one
        os.utime(folder / "deleted", ns=(before, before))
        await copy.sync_now()
        assert door.puts() == ["model/deleted"]


async def test_a_restarted_program_does_not_send_again_what_the_store_has(
    folder: Path, obs_bucket: str, door: Door
) -> None:
    for name in ("same", "other size", "later"):
        (folder / name).write_text(name)
        os.utime(folder / name, (1e9, 1e9))
    (folder / "nothing").mkdir()
    async with background_sync_copy(folder, f"{obs_bucket}/model", SELDOM):
        pass
    assert len(door.puts()) == 4

    (folder / "other size").write_text("size")
    os.utime(folder / "other size", (1e9, 1e9))
    os.utime(folder / "later", (4e9, 4e9))
    async with background_sync_copy(folder, f"{obs_bucket}/model", SELDOM) as copy:
        await copy.sync_now()
        assert door.puts() == ["model/later", "model/other size"]


async def test_a_store_that_may_only_be_written_to_gets_everything(
    folder: Path, obs_bucket: str, door: Door
) -> None:
    (folder / "name").write_text("text")

    def write_only(received: Received) -> Answer:
        is_put = received.method == "PUT"
        return door.opened(received) if is_put else refusal(403, "AccessDenied")

    door.way = write_only
    async with background_sync_copy(folder, f"{obs_bucket}/model", SELDOM) as copy:
        await copy.sync_now()
        assert door.puts() == ["model/name"]


async def test_twenty_thousand_files_that_do_not_change_cost_no_request(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [f"{number:05}" for number in range(20_000)]
    for name in files:
        (folder / name).write_text("x")
        os.utime(folder / name, (1e9, 1e9))

    def page(received: Received) -> Answer:
        after = received.query.get("continuation-token") or received.query.get("start-after", "")
        rest = [name for name in files if name > after] if after else files
        following = rest[999] if len(rest) > 1000 else ""
        return answer(body=listing(*rest[:1000], following=following))

    server = FaultyServer(always=page)
    with server:
        use(server, monkeypatch)
        async with background_sync_copy(folder, "s3://bucket", SELDOM) as copy:
            await copy.sync_now()
            await copy.sync_now()
        assert (copy.rounds, copy.failed_rounds) == (4, 0)
        assert {each.method for each in server.requests} == {"GET"}
        assert len(server.requests) < 50


async def test_a_file_that_is_being_written_to_is_left_to_the_next_round(
    folder: Path, obs_bucket: str
) -> None:
    async def write() -> None:
        with (folder / "growing").open("w") as file:
            while True:
                file.write("more ")
                file.flush()
                await asyncio.sleep(0.005)

    async with background_sync_copy(folder, obs_bucket, SELDOM) as copy:
        await copy.sync_now()
        writing = asyncio.create_task(write())
        await asyncio.sleep(0)
        (folder / "whole").write_text("whole")
        await copy.sync_now()
        assert await names(obs_bucket) == ["whole"]
        # It never stands still, as logs do; a round that sends it while it changes refuses it.
        while await names(obs_bucket) != ["growing", "whole"]:
            await copy.sync_now()
        assert set((await aioobs.file.read(f"{obs_bucket}/growing")).split()) == {"more"}
        writing.cancel()


async def test_the_last_round_copies_also_what_is_being_written_to(
    folder: Path, obs_bucket: str
) -> None:
    async def touch() -> None:
        while True:
            os.utime(folder / "busy")
            await asyncio.sleep(0.005)

    copy = background_sync_copy(folder, obs_bucket, SELDOM)
    await copy.sync_now()
    (folder / "busy").write_text("busy")
    touching = asyncio.create_task(touch())
    await copy.sync_now()
    assert await names(obs_bucket) == []
    await copy.stop()
    touching.cancel()
    assert await aioobs.file.read(f"{obs_bucket}/busy") == "busy"
    with pytest.raises(RuntimeError, match="stopped"):
        await copy.sync_now()


async def test_a_file_that_changes_while_it_is_sent_fails_the_last_round_alone(
    folder: Path, obs_bucket: str, door: Door
) -> None:
    copy = background_sync_copy(folder, f"{obs_bucket}/model", SELDOM)
    await copy.sync_now()
    (folder / "weights").write_bytes(bytes(17 * MIB))

    def disturb(received: Received) -> Answer:
        if len(received.body) < received.length:  # a part that was given up
            return RESET
        if received.method == "PUT":
            os.utime(folder / "weights")
        return door.opened(received)

    door.way = disturb
    await copy.sync_now()
    assert (copy.failed_rounds, copy.last_error) == (0, None)
    assert await aioobs.file.exists(f"{obs_bucket}/model/weights") is False

    with pytest.raises(TransferFailed) as caught:
        await copy.stop()
    assert isinstance(caught.value.failures[0], SourceError)
    assert await aioobs.file.exists(f"{obs_bucket}/model/weights") is False


async def test_a_file_that_vanishes_before_it_is_sent_is_no_failure(
    folder: Path, obs_bucket: str, door: Door
) -> None:
    for name in ("one", "two"):
        (folder / name).write_text(name)

    def take_away(received: Received) -> Answer:
        for path in folder.iterdir():
            path.unlink()
        return door.opened(received)

    copy = background_sync_copy(folder, f"{obs_bucket}/model", SELDOM, threads=1)
    await copy.sync_now()
    door.puts()
    for name in ("three", "four"):
        (folder / name).write_bytes(b"x" * 2 * MIB)  # too long to be read ahead
    door.way = take_away
    await copy.stop()
    assert len(door.puts()) == 1


async def test_a_folder_can_be_copied_to_another_local_one(folder: Path, tmp_path: Path) -> None:
    (folder / "a").mkdir()
    (folder / "a" / "name").write_text("text")
    async with background_sync_copy(folder, tmp_path / "copy", SELDOM) as copy:
        await copy.sync_now()
        assert (tmp_path / "copy" / "a" / "name").read_text() == "text"
        before = (tmp_path / "copy" / "a" / "name").stat()
        await copy.sync_now()
        assert (tmp_path / "copy" / "a" / "name").stat() == before


async def test_a_source_that_cannot_be_copied_is_refused_at_once(tmp_path: Path) -> None:
    for source, target in [
        ("s3://bucket/data", str(tmp_path)),
        ("", "s3://bucket"),
        (str(tmp_path), ""),
        (str(tmp_path), str(tmp_path / "below")),
        (str(tmp_path), "s3a://bucket"),
    ]:
        with pytest.raises(ConfigError):
            background_sync_copy(source, target)
    for seconds in (0, -1, float("nan")):
        with pytest.raises(ConfigError, match="seconds"):
            background_sync_copy(tmp_path, "s3://bucket", seconds)


# --- what fails ----------------------------------------------------------------------------


async def test_a_round_that_fails_is_logged_and_counted_and_the_next_one_works(
    folder: Path, obs_bucket: str, door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "name").write_text("text")
    door.way = lambda _: refusal(503, "SlowDown")
    async with background_sync_copy(folder, f"{obs_bucket}/model", 0.1) as copy:
        await until(lambda: copy.failed_rounds)
        assert "SlowDown" in str(copy.last_error)
        door.way = door.opened
        await until(lambda: copy.rounds > copy.failed_rounds)
        assert copy.last_error is None
        assert await names(f"{obs_bucket}/model") == ["name"]
    records = [record for record in caplog.records if record.name == "aioobs.background"]
    assert len(records) == copy.failed_rounds
    assert records[0].levelno == logging.WARNING
    assert "SlowDown" in records[0].getMessage()
    assert records[0].exc_info is None


async def test_one_file_that_fails_does_not_keep_the_others_back_and_is_tried_again(
    folder: Path, obs_bucket: str, door: Door
) -> None:
    for name in ("bad", "good"):
        (folder / name).write_text(name)

    def refuse_bad(received: Received) -> Answer:
        bad = received.path.endswith("/bad")
        return refusal(400, "InvalidArgument") if bad else door.opened(received)

    door.way = refuse_bad
    copy = background_sync_copy(folder, f"{obs_bucket}/model", SELDOM)
    with pytest.raises(TransferFailed, match="1 of 1 files were not copied") as caught:
        await copy.sync_now()
    assert copy.last_error is caught.value
    assert await names(f"{obs_bucket}/model") == ["good"]
    door.way = door.opened
    door.puts()
    await copy.stop()
    assert door.puts() == ["model/bad"]


async def test_a_folder_that_comes_later_is_copied_then(tmp_path: Path, obs_bucket: str) -> None:
    async with background_sync_copy(tmp_path / "later", obs_bucket, SELDOM) as copy:
        with pytest.raises(NotFound):
            await copy.sync_now()
        (tmp_path / "later").mkdir()
        (tmp_path / "later" / "name").write_text("text")
        await copy.sync_now()
        assert await names(obs_bucket) == ["name"]
        assert copy.last_error is None


async def test_a_folder_that_was_away_for_a_round_is_not_sent_again(
    folder: Path, obs_bucket: str, door: Door
) -> None:
    (folder / "name").write_text("text")
    async with background_sync_copy(folder, f"{obs_bucket}/model", SELDOM) as copy:
        await copy.sync_now()
        folder.rename(folder.with_name("away"))
        with pytest.raises(NotFound):
            await copy.sync_now()
        folder.with_name("away").rename(folder)
        door.puts()
        await copy.sync_now()
        assert door.puts() == []


async def test_what_a_broken_link_hides_for_a_round_is_not_sent_again(
    folder: Path, tmp_path: Path, obs_bucket: str, door: Door
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "name").write_text("text")
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    async with background_sync_copy(folder, f"{obs_bucket}/model", SELDOM) as copy:
        await copy.sync_now()
        assert door.puts() == ["model/link/name"]
        (tmp_path / "elsewhere").rename(tmp_path / "away")
        with pytest.raises(TransferFailed, match="leads nowhere"):
            await copy.sync_now()
        (tmp_path / "away").rename(tmp_path / "elsewhere")
        await copy.sync_now()
        assert door.puts() == []


async def test_a_last_round_that_fails_is_raised_by_stop_once(
    folder: Path, obs_bucket: str
) -> None:
    copy = background_sync_copy(folder, obs_bucket, SELDOM)
    await copy.sync_now()
    folder.rmdir()
    with pytest.raises(NotFound):
        await copy.stop()
    await copy.stop()
    assert isinstance(copy.last_error, NotFound)


async def test_a_last_round_that_fails_is_raised_by_the_end_of_the_block(
    folder: Path, obs_bucket: str
) -> None:
    async def run() -> None:
        async with background_sync_copy(folder, obs_bucket, SELDOM) as copy:
            await copy.sync_now()
            folder.rmdir()

    with pytest.raises(NotFound):
        await run()


async def test_an_exception_in_the_block_is_not_replaced_by_that_of_the_last_round(
    folder: Path, obs_bucket: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail() -> None:
        async with background_sync_copy(folder, obs_bucket, SELDOM) as copy:
            await copy.sync_now()
            folder.rmdir()
            _ = 1 / 0

    with pytest.raises(ZeroDivisionError):
        await fail()
    (record,) = (record for record in caplog.records if record.levelno == logging.ERROR)
    assert "the last round of the background copy" in record.getMessage()


async def test_the_last_round_is_given_up_when_nothing_moves(
    folder: Path, obs_bucket: str, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "PATIENCE", 0.5)
    copy = background_sync_copy(folder, f"{obs_bucket}/model", SELDOM)
    await copy.sync_now()
    (folder / "name").write_text("text")
    door.way = lambda _: Answer(end="stall")
    with pytest.raises(OperationTimeout, match=r"nothing has moved for 0\.5 seconds"):
        await copy.stop()
    assert isinstance(copy.last_error, OperationTimeout)
    await copy.stop()  # there is nothing more to wait for


async def test_the_last_round_is_waited_for_as_long_as_something_moves(
    folder: Path, obs_bucket: str, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "PATIENCE", 1.0)

    def slowly(received: Received) -> Answer:
        threading.Event().wait(0.3)
        return door.opened(received)

    copy = background_sync_copy(folder, f"{obs_bucket}/model", SELDOM, threads=1)
    await copy.sync_now()
    for number in range(6):
        (folder / str(number)).write_text("text")
    door.way = slowly
    await copy.stop()
    assert len(await names(f"{obs_bucket}/model")) == 6


# --- how it ends ---------------------------------------------------------------------------


async def test_a_copy_that_nobody_holds_goes_on(folder: Path, obs_bucket: str) -> None:
    background_sync_copy(folder, obs_bucket, 0.05)
    gc.collect()
    (folder / "name").write_text("text")
    (task,) = background.tasks
    async with asyncio.timeout(20):
        while not await aioobs.file.exists(f"{obs_bucket}/name"):
            gc.collect()
            await asyncio.sleep(0.02)
    task.cancel()
    await asyncio.wait([task])


def test_a_last_round_is_done_when_the_loop_ends(folder: Path, obs_bucket: str) -> None:
    copies: list[BackgroundCopy] = []

    async def main() -> None:
        copies.append(background_sync_copy(folder, obs_bucket, SELDOM))
        await until(lambda: copies[0].rounds)
        (folder / "late").write_bytes(b"late" * MIB)

    asyncio.run(main())
    assert (copies[0].rounds, copies[0].last_error) == (2, None)
    assert aioobs.sync.file.get_size(f"{obs_bucket}/late") == 4 * MIB


async def test_stopping_can_be_cancelled(folder: Path, obs_bucket: str, door: Door) -> None:
    copy = background_sync_copy(folder, f"{obs_bucket}/model", SELDOM)
    await until(lambda: copy.rounds)
    (folder / "name").write_text("text")
    door.way = lambda _: Answer(end="stall")
    stopping = asyncio.create_task(copy.stop())
    await until(lambda: door.server.requests)
    stopping.cancel()
    await asyncio.wait([stopping])
    assert stopping.cancelled()
    assert background.tasks == set()
    await copy.stop()


# --- the blocking twin ---------------------------------------------------------------------


def test_the_blocking_handle_has_what_the_async_one_has() -> None:
    ours, theirs = aioobs.sync.background.BackgroundCopy, BackgroundCopy
    public = {name for name in vars(theirs) if not name.startswith("_")}
    assert {name for name in vars(ours) if not name.startswith("_")} == public
    for name in public:
        assert isinstance(vars(ours)[name], property) == isinstance(vars(theirs)[name], property)
    blocking = inspect.signature(aioobs.sync.file.background_sync_copy).parameters
    assert blocking == inspect.signature(aioobs.file.background_sync_copy).parameters


def test_a_blocking_copy_returns_at_once_and_is_stopped_by_its_block(
    folder: Path, obs_bucket: str
) -> None:
    (folder / "name").write_text("text")
    with aioobs.sync.file.background_sync_copy(folder, obs_bucket, seconds=SELDOM) as copy:
        copy.sync_now()
        assert aioobs.sync.file.read(f"{obs_bucket}/name") == "text"
        (folder / "late").write_text("late")
        assert (copy.failed_rounds, copy.last_error) == (0, None)
    assert aioobs.sync.file.read(f"{obs_bucket}/late") == "late"
    assert copy not in aioobs.sync.background.running
    copy.stop()


def program(script: str) -> str:
    """Return a script that may be started afresh by `multiprocessing`."""
    first = """
        import logging, multiprocessing, os, signal, sys, time, warnings
        from pathlib import Path
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork while threads run
        import aioobs.sync as mox
        from aioobs import background
        folder, bucket = Path(sys.argv[1]), sys.argv[2]
    """
    return dedent(first) + dedent(script)


def start(script: str, folder: Path, bucket: str) -> subprocess.Popen[str]:
    path = folder.with_name("program.py")
    path.write_text(program(script))
    return subprocess.Popen(
        [sys.executable, "-W", "default", str(path), str(folder), bucket],
        stdin=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[str, str, int]:
    out, err = process.communicate(timeout=40)
    return out, err, process.returncode


def stored(bucket: str) -> list[str]:
    return aioobs.sync.file.list_directory(bucket, recursive=True)


def test_a_last_round_is_done_when_the_interpreter_exits(folder: Path, obs_bucket: str) -> None:
    script = """
        mox.file.background_sync_copy(folder, bucket, seconds=3600).sync_now()
        for size in (1, 3 << 20, 20 << 20):
            (folder / str(size)).write_bytes(bytes(size))
    """
    assert ended(start(script, folder, obs_bucket)) == ("", "", 0)
    assert stored(obs_bucket) == ["1", "20971520", "3145728"]
    assert aioobs.sync.file.get_size(f"{obs_bucket}/20971520") == 20 << 20


def test_a_round_that_is_under_way_at_exit_is_not_begun_anew(
    folder: Path, obs_bucket: str, door: Door
) -> None:
    script = """
        (folder / "name").write_text("text")
        mox.file.background_sync_copy(folder, bucket + "/model", seconds=3600)
        sys.stdin.readline()
    """
    begun, again = threading.Event(), threading.Event()

    def hold(received: Received) -> Answer:
        if received.method == "PUT":
            (again if begun.is_set() else begun).set()
            again.wait(1)
        return door.opened(received)

    door.way = hold
    process = start(script, folder, obs_bucket)
    assert begun.wait(20)
    assert process.communicate("exit\n", timeout=40) == ("", "")
    assert door.puts() == ["model/name"]


def test_a_last_round_that_fails_at_exit_is_logged(folder: Path, obs_bucket: str) -> None:
    script = """
        logging.basicConfig(format="%(name)s %(levelname)s %(message)s")
        mox.file.background_sync_copy(folder, bucket, seconds=3600).sync_now()
        folder.rmdir()
    """
    out, err, code = ended(start(script, folder, obs_bucket))
    assert (out, code) == ("", 0)
    assert err.startswith("aioobs.background ERROR the last round of the background copy of ")
    assert err.count("\n") == 1


def test_an_exit_does_not_hang_on_a_store_that_says_nothing(
    folder: Path, obs_bucket: str, door: Door
) -> None:
    script = """
        background.PATIENCE = 0.5
        logging.basicConfig(format="%(message)s")
        (folder / "name").write_text("text")
        mox.file.background_sync_copy(folder, bucket, seconds=3600)
    """
    door.way = lambda _: Answer(end="stall")
    out, err, code = ended(start(script, folder, obs_bucket))
    assert (out, code) == ("", 0)
    assert "nothing has moved for 0.5 seconds" in err


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_last_round_is_done_at_the_end_of_a_child_process(
    method: str, folder: Path, obs_bucket: str
) -> None:
    script = f"""
        def train():
            mox.file.background_sync_copy(folder, bucket, seconds=3600).sync_now()
            (folder / "late").write_text("late")

        if __name__ == "__main__":
            context = multiprocessing.get_context("{method}")
            print(mox.file.exists(bucket))
            child = context.Process(target=train)
            child.start()
            child.join()
            print(child.exitcode)
    """
    assert ended(start(script, folder, obs_bucket)) == ("True\n0\n", "", 0)
    assert stored(obs_bucket) == ["late"]


def test_a_forked_child_leaves_the_copy_to_its_parent(folder: Path, obs_bucket: str) -> None:
    script = """
        logging.basicConfig()
        copy = mox.file.background_sync_copy(folder, bucket, seconds=3600)
        copy.sync_now()
        if (pid := os.fork()) == 0:
            (folder / "from the child").write_text("text")
            try:
                copy.sync_now()
            except RuntimeError as error:
                print(error, flush=True)
            copy.stop()
            sys.exit()
        os.waitpid(pid, 0)
        print(mox.file.list_directory(bucket), flush=True)
        copy.sync_now()
        print(mox.file.list_directory(bucket), flush=True)
    """
    out, err, code = ended(start(script, folder, obs_bucket))
    assert (err, code) == ("", 0)
    first, *lists = out.splitlines()
    assert "another process" in first
    assert lists == ["[]", "['from the child']"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_do_what_they_always_do(
    number: signal.Signals, folder: Path, obs_bucket: str
) -> None:
    script = """
        (folder / "first").write_text("first")
        mox.file.background_sync_copy(folder, bucket, seconds=3600).sync_now()
        (folder / "late").write_text("late")
        print("ready", flush=True)
        time.sleep(60)
    """
    process = start(script, folder, obs_bucket)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    _, err, code = ended(process)
    assert code == -number
    # An interrupted program ends in an orderly way, a terminated one at once.
    assert err.endswith("KeyboardInterrupt\n") == (number == signal.SIGINT)
    assert stored(obs_bucket) == ["first", *(["late"] if number == signal.SIGINT else [])]


def test_ctrl_c_ends_the_waiting_for_the_last_round(
    folder: Path, obs_bucket: str, door: Door
) -> None:
    script = """
        (folder / "name").write_text("text")
        mox.file.background_sync_copy(folder, bucket, seconds=3600)
    """
    stalled = threading.Event()

    def stall(received: Received) -> Answer:
        stalled.set()
        return Answer(end="stall")

    door.way = stall
    process = start(script, folder, obs_bucket)
    assert stalled.wait(20)
    for _ in range(40):  # the first ones may come before the interpreter begins to exit
        process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=0.5)
        except subprocess.TimeoutExpired:
            continue
        break
    assert process.returncode is not None
