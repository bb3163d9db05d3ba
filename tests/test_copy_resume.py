"""Copies that were interrupted and go on: journals, what is believed of them, and what is not."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from copies import noise
from faulty import STALL, Answer, FaultyServer, Received, answer, forward, refusal

import aioobs
from aioobs import Client, ConfigError, TransferFailed
from aioobs.transfer import shared_parts
from aioobs.transfer.journals import automatic
from aioobs.transfer.journals.storage import RemoteStorage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from aioobs.testing import LocalServer

MIB = 1 << 20
PART = 8 * MIB
SMALL, PARTS = 60, 4
BIG = (PARTS - 1) * PART + 2 * MIB
PROGRAM = """
import sys
import aioobs.sync as mox
source, target, journal = sys.argv[1:]
mox.file.copy_parallel(source, target, threads=4, is_processing=False, journal=journal)
"""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Give a local folder with small files."""
    root = tmp_path / "src"
    for number in range(SMALL):
        path = root / str(number % 7) / f"ü{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(number) * 3)
    return root


@pytest.fixture
def source(files: Path) -> Path:
    """Give a local folder with a big file and many small ones."""
    (files / "big").write_bytes(noise(BIG))
    return files


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Give the path of a journal that does not exist."""
    return tmp_path / "journal.jsonl"


class Watch:
    """Lets requests pass to a server, so many that move data, and remembers these."""

    def __init__(self, upstream: str, *, at_most: int = 1 << 30) -> None:
        self.moved: list[Received] = []
        self.full = threading.Event()
        self._pass = forward(upstream)
        self.at_most = at_most
        self._lock = threading.Lock()

    def __call__(self, received: Received) -> Answer:
        if moves_data(received):
            with self._lock:
                if len(self.moved) == self.at_most:
                    self.full.set()
                    return STALL
                self.moved.append(received)
        return self._pass(received)

    @property
    def parts(self) -> int:
        """How many parts of the big file were moved."""
        return len([one for one in self.moved if one.path.endswith("/big")])

    @property
    def files(self) -> int:
        """How many small files were moved."""
        return len(self.moved) - self.parts


def moves_data(received: Received) -> bool:
    if "list-type" in received.query or "uploads" in received.query or "/journal/" in received.path:
        return False
    listing = received.method == "GET" and "uploadId" in received.query
    return received.method in ("GET", "PUT") and not listing


@pytest.fixture
def watch(obs_server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    """Have this process talk to the server past a watch."""
    watch = Watch(obs_server.endpoint)
    with FaultyServer(always=watch) as proxy:
        monkeypatch.setenv("S3_ENDPOINT", proxy.endpoint)
        yield watch


def content(root: Path) -> dict[str, str]:
    """Return what is below a folder, without what a killed process has left."""
    return {
        str(path.relative_to(root)): sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file() and not path.name.startswith(".aioobs-")
    }


async def stored(root: str, into: Path) -> dict[str, str]:
    """Return what is below a folder of the store."""
    await aioobs.file.copy_parallel(root, into)
    return content(into)


def lines(journal: Path) -> list[dict[str, Any]]:
    whole = journal.read_bytes().rpartition(b"\n")[0] if journal.exists() else b""
    return [json.loads(line) for line in whole.splitlines()]


def rewrite(journal: Path, change: Callable[[dict[str, Any]], dict[str, Any] | None]) -> None:
    """Change or remove lines of a journal."""
    changed = filter(None, map(change, lines(journal)))
    journal.write_text("".join(json.dumps(line) + "\n" for line in changed))


def count(journal: Path, kind: str) -> int:
    """Return how many whole lines of a kind there are."""
    if not journal.exists():
        return 0
    return journal.read_bytes().count(b'{"%b": ' % kind.encode())


def noted(journal: Path) -> int:
    """Return how many small files and parts are said to be there."""
    return sum("part" in line or line.get("done", "big") != "big" for line in lines(journal))


@pytest.fixture
def begin(obs_server: LocalServer) -> Callable[..., Any]:
    """Give a function that begins a copy, and gives it up when so much is moved and noted."""

    async def begin(source: object, target: object, journal: Any, at_most: int = 2) -> None:
        gate = Watch(obs_server.endpoint, at_most=at_most)
        with FaultyServer(always=gate) as proxy, pytest.MonkeyPatch.context() as patch:
            patch.setenv("S3_ENDPOINT", proxy.endpoint)
            copy = asyncio.create_task(
                aioobs.file.copy_parallel(source, target, threads=4, journal=journal)  # type: ignore[arg-type]
            )
            assert await asyncio.to_thread(gate.full.wait, 30)
            while not isinstance(journal, str) and noted(journal) < at_most:
                await asyncio.sleep(0.01)
            copy.cancel()
            with pytest.raises(asyncio.CancelledError):
                await copy

    return begin


# Killed


@pytest.mark.parametrize("at_most", [25, SMALL + PARTS - 1], ids=["early", "late"])
@pytest.mark.parametrize("way", ["up", "down"])
async def test_a_killed_copy_goes_on_where_it_was(
    obs_server: LocalServer, obs_bucket: str, source: Path, journal: Path, watch: Watch,
    tmp_path: Path, way: str, at_most: int,
) -> None:  # fmt: skip
    expected, target, origin = content(source), f"{obs_bucket}/dst", str(source)
    if way == "down":
        origin, target = f"{obs_bucket}/src", str(tmp_path / "dst")
        await aioobs.file.copy_parallel(source, origin)
        watch.moved.clear()
    gate = Watch(obs_server.endpoint, at_most=at_most)
    with FaultyServer(always=gate) as proxy:
        program = [sys.executable, "-c", PROGRAM, origin, target, str(journal)]
        with subprocess.Popen(program, env={**os.environ, "S3_ENDPOINT": proxy.endpoint}) as copy:
            assert await asyncio.to_thread(gate.full.wait, 30)
            while noted(journal) < at_most:
                assert copy.poll() is None
                time.sleep(0.01)
            copy.send_signal(signal.SIGKILL)
    await aioobs.file.copy_parallel(origin, target, journal=journal)
    assert (watch.files, watch.parts) == (SMALL - gate.files, PARTS - gate.parts)
    found = content(tmp_path / "dst") if way == "down" else await stored(target, tmp_path / "got")
    assert found == expected


async def test_what_is_done_is_not_done_again(
    obs_bucket: str, source: Path, journal: Path, watch: Watch, tmp_path: Path
) -> None:
    seen: list[aioobs.file.Progress] = []
    total = sum(path.stat().st_size for path in source.rglob("*") if path.is_file())
    steps = (str(source), f"{obs_bucket}/a", f"{obs_bucket}/b", str(tmp_path / "c"))
    for number, (origin, target) in enumerate(itertools.pairwise(steps)):
        for _ in range(2):
            watch.moved.clear()
            log = journal.with_suffix(f".{number}")
            await aioobs.file.copy_parallel(origin, target, journal=log, progress=seen.append)
        assert watch.moved == []
        last = seen[-1]
        assert (last.files, last.bytes, last.bytes_total) == (SMALL + 1, total, total)
    assert content(tmp_path / "c") == content(source)


async def test_a_move_that_goes_on_removes_all_of_its_source(
    obs_bucket: str, source: Path, journal: Path, watch: Watch, tmp_path: Path
) -> None:
    expected, target = content(source), f"{obs_bucket}/dst"
    await aioobs.file.copy_parallel(source, target, journal=journal)
    plan = await aioobs.plan_copy(source, target)
    watch.moved.clear()
    await aioobs.run_copy(plan, move=True, journal=journal)
    assert watch.moved == []
    assert not source.exists()
    assert await stored(target, tmp_path / "got") == expected


async def test_a_single_file_and_the_files_of_a_list_go_on_as_well(
    obs_bucket: str, source: Path, journal: Path, watch: Watch
) -> None:
    for _ in range(2):
        watch.moved.clear()
        await aioobs.file.copy_parallel(source / "big", f"{obs_bucket}/one", journal=journal)
    assert watch.moved == []
    names = ["0/ü0", "0/ü7", "missing"]
    for _ in range(2):
        watch.moved.clear()
        with pytest.raises(TransferFailed, match="missing"):
            await aioobs.file.copy_parallel(
                source, f"{obs_bucket}/dst", names, journal=journal.with_suffix(".list")
            )
    assert watch.moved == []
    assert count(journal.with_suffix(".list"), "failed") == 2


async def test_processes_are_told_of_what_is_done_and_tell_it(
    obs_bucket: str, source: Path, journal: Path, watch: Watch, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(shared_parts, "PIECE", PART)
    target, copied = f"{obs_bucket}/dst", content(source)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:

        async def copy(origin: str, target: str, journal: Path) -> None:
            plan = await aioobs.plan_copy(origin, target)
            await aioobs.run_copy(plan, executor=pool, journal=journal)

        await copy(str(source), target, journal)
        assert (count(journal, "done"), count(journal, "part")) == (SMALL + 1, PARTS)
        rewrite(journal, lambda line: None if line.get("done") == "1/ü8" else line)
        watch.moved.clear()
        await copy(str(source), target, journal)
        assert [one.path.rpartition("/")[2] for one in watch.moved] == ["ü8"]

        down = journal.with_suffix(".down")
        await copy(target, str(tmp_path / "got"), down)
        assert (count(down, "done"), count(down, "part")) == (SMALL + 1, PARTS)
        watch.moved.clear()
        await copy(target, str(tmp_path / "got"), down)
        assert watch.moved == []
    assert content(tmp_path / "got") == copied


# Given up


async def test_a_big_upload_that_was_given_up_goes_on_with_the_parts_that_are_there(
    obs_bucket: str, source: Path, journal: Path, watch: Watch, tmp_path: Path, client: Client,
    begin: Callable[..., Any],
) -> None:  # fmt: skip
    target, bucket = f"{obs_bucket}/dst", obs_bucket.removeprefix("s3://")
    await begin(source / "big", target, journal)
    (upload,) = [one async for one in client.list_multipart_uploads(bucket)]
    there = [one async for one in client.list_parts(bucket, "dst", upload.upload_id)]
    assert len(there) == 2
    watch.moved.clear()
    await aioobs.file.copy_parallel(source / "big", target, journal=journal)
    assert len(watch.moved) == PARTS - 2
    assert [one async for one in client.list_multipart_uploads(bucket)] == []
    await aioobs.file.copy(target, tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == (source / "big").read_bytes()


@pytest.mark.parametrize("lie", ["upload", "part", "part size", "changed"])
async def test_no_part_is_used_that_the_store_does_not_confirm(
    obs_bucket: str, source: Path, journal: Path, watch: Watch, tmp_path: Path, client: Client,
    begin: Callable[..., Any], lie: str,
) -> None:  # fmt: skip
    target, bucket, big = f"{obs_bucket}/dst", obs_bucket.removeprefix("s3://"), source / "big"
    await begin(big, target, journal)
    if lie == "changed":
        with big.open("r+b") as file:
            file.write(b"another beginning")

    def change(line: dict[str, Any]) -> dict[str, Any]:
        if lie == "upload" and "at" in line:
            line["at"] = "0" * len(line["at"])
        if lie == "part" and "part" in line:
            line["is"] = "d41d8cd98f00b204e9800998ecf8427e"
        if lie == "part size" and "begun" in line:
            line["part_size"] += 1
        return line

    rewrite(journal, change)
    watch.moved.clear()
    await aioobs.file.copy_parallel(big, target, journal=journal)
    assert len(watch.moved) == PARTS
    await aioobs.file.copy(target, tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == big.read_bytes()
    left = [one async for one in client.list_multipart_uploads(bucket)]
    assert len(left) == (lie == "upload")


async def test_an_upload_that_ended_just_before_the_copy_did_is_known(
    obs_bucket: str, source: Path, journal: Path, watch: Watch
) -> None:
    await aioobs.file.copy_parallel(source / "big", f"{obs_bucket}/dst", journal=journal)
    rewrite(journal, lambda line: None if "done" in line else line)
    watch.moved.clear()
    await aioobs.file.copy_parallel(source / "big", f"{obs_bucket}/dst", journal=journal)
    assert watch.moved == []


async def test_an_object_that_has_replaced_what_an_upload_made_is_not_taken_for_it(
    obs_bucket: str, source: Path, journal: Path, watch: Watch
) -> None:
    target = f"{obs_bucket}/dst"
    await aioobs.file.copy_parallel(source / "big", target, journal=journal)
    rewrite(journal, lambda line: None if "done" in line else line)
    await aioobs.file.write(target, bytes(BIG))
    watch.moved.clear()
    await aioobs.file.copy_parallel(source / "big", target, journal=journal)
    assert len(watch.moved) == PARTS


async def test_a_part_that_the_store_lists_twice_is_sent_again(
    obs_server: LocalServer, obs_bucket: str, source: Path, journal: Path,
    monkeypatch: pytest.MonkeyPatch, begin: Callable[..., Any],
) -> None:  # fmt: skip
    await begin(source / "big", f"{obs_bucket}/dst", journal)
    pass_on = forward(obs_server.endpoint)

    def step(received: Received) -> Answer:
        found = pass_on(received)
        if received.method == "GET" and "uploadId" in received.query:
            document = found.message.partition(b"\r\n\r\n")[2]
            first, end, rest = document.partition(b"</Part>")
            again = re.sub(
                b"<ETag>.*</ETag>", b"<ETag>other</ETag>", first[first.index(b"<Part>") :]
            )
            return answer(body=first + end + again + end + rest)
        return found

    with FaultyServer(always=step) as store:
        monkeypatch.setenv("S3_ENDPOINT", store.endpoint)
        await aioobs.file.copy_parallel(source / "big", f"{obs_bucket}/dst", journal=journal)
    assert len([one for one in store.requests if "partNumber" in one.query]) == PARTS - 1


@pytest.fixture
async def half(
    obs_bucket: str, source: Path, journal: Path, tmp_path: Path, watch: Watch,
    begin: Callable[..., Any],
) -> Path:  # fmt: skip
    """Begin to fetch the big file, give it up, and return the staged file of it."""
    await aioobs.file.copy(source / "big", f"{obs_bucket}/big")
    (tmp_path / "dst").mkdir()
    await begin(f"{obs_bucket}/big", tmp_path / "dst" / "big", journal)
    watch.moved.clear()
    (staged,) = (tmp_path / "dst").iterdir()
    return staged


async def test_a_big_download_that_was_given_up_goes_on_in_its_staged_file(
    obs_bucket: str, source: Path, journal: Path, watch: Watch, half: Path
) -> None:
    target = half.with_name("big")
    await aioobs.file.copy_parallel(f"{obs_bucket}/big", target, journal=journal)
    assert len(watch.moved) == PARTS - 2
    assert list(target.parent.iterdir()) == [target]
    assert target.read_bytes() == (source / "big").read_bytes()


async def test_bytes_of_a_staged_file_that_are_not_what_they_were_are_fetched_again(
    obs_bucket: str, source: Path, journal: Path, watch: Watch, half: Path
) -> None:
    with half.open("r+b") as file:
        for offset in range(0, half.stat().st_size, PART):
            file.seek(offset)
            file.write(b"damage")
    target = half.with_name("big")
    await aioobs.file.copy_parallel(f"{obs_bucket}/big", target, journal=journal)
    assert len(watch.moved) == PARTS
    assert target.read_bytes() == (source / "big").read_bytes()


async def test_a_staged_file_of_another_version_is_removed(
    obs_bucket: str, source: Path, journal: Path, watch: Watch, half: Path
) -> None:
    with (source / "big").open("r+b") as file:
        file.write(b"another beginning")
    await aioobs.file.copy(source / "big", f"{obs_bucket}/big")
    watch.moved.clear()
    target = half.with_name("big")
    await aioobs.file.copy_parallel(f"{obs_bucket}/big", target, journal=journal)
    assert len(watch.moved) == PARTS
    assert list(target.parent.iterdir()) == [target]
    assert target.read_bytes() == (source / "big").read_bytes()


@pytest.mark.parametrize("kind", ["other name", "other folder", "link", "too long", "gone"])
async def test_nothing_but_a_staged_file_is_gone_on_with(
    obs_bucket: str, source: Path, journal: Path, half: Path, tmp_path: Path, kind: str
) -> None:
    target, precious = half.with_name("big"), tmp_path / "precious"
    precious.write_bytes(half.read_bytes())
    if kind == "link":
        half.unlink()
        half.symlink_to(precious)
    elif kind == "too long":
        precious = half
        half.write_bytes(noise(BIG + 1, seed=2))
    elif kind == "gone":
        half.unlink()
    before = precious.read_bytes()
    place = {"other name": precious, "other folder": tmp_path / half.name}.get(kind, half)
    if kind == "other folder":
        precious.rename(place)
        precious = place
    rewrite(journal, lambda line: {**line, "at": str(place)} if "at" in line else line)
    await aioobs.file.copy_parallel(f"{obs_bucket}/big", target, journal=journal)
    assert target.read_bytes() == (source / "big").read_bytes()
    assert precious.read_bytes() == before


# What is believed


@pytest.mark.parametrize("change", ["source", "target", "both"])
@pytest.mark.parametrize("way", ["up", "down", "here"])
async def test_what_has_changed_at_either_end_is_copied_again(
    obs_bucket: str, files: Path, journal: Path, watch: Watch, tmp_path: Path, way: str,
    change: str,
) -> None:  # fmt: skip
    origin, target = str(files), str(tmp_path / "dst")
    if way == "down":
        origin = f"{obs_bucket}/src"
        await aioobs.file.copy_parallel(files, origin)
    elif way == "up":
        target = f"{obs_bucket}/dst"
    await aioobs.file.copy_parallel(origin, target, journal=journal)
    for root in {"source": [origin], "target": [target], "both": [origin, target]}[change]:
        await aioobs.file.write(f"{root}/0/ü0", root[-3:])  # as long as it was
    watch.moved.clear()
    await aioobs.file.copy_parallel(origin, target, journal=journal)
    expected = "000" if change == "target" else origin[-3:]
    assert len(watch.moved) == (way != "here")
    assert await aioobs.file.read(f"{target}/0/ü0") == expected


async def test_a_file_that_was_removed_comes_again(
    obs_bucket: str, files: Path, journal: Path
) -> None:
    await aioobs.file.copy_parallel(files, f"{obs_bucket}/dst", journal=journal)
    await aioobs.file.remove(f"{obs_bucket}/dst/0/ü0")
    await aioobs.file.copy_parallel(files, f"{obs_bucket}/dst", journal=journal)
    assert await aioobs.file.read(f"{obs_bucket}/dst/0/ü0") == "000"


async def test_after_a_restart_of_the_machine_its_files_are_not_believed(
    obs_bucket: str, files: Path, journal: Path, watch: Watch, tmp_path: Path
) -> None:
    await aioobs.file.copy_parallel(files, f"{obs_bucket}/src", journal=journal)
    rewrite(journal, lambda line: {**line, "boot": "another"} if "boot" in line else line)
    watch.moved.clear()
    await aioobs.file.copy_parallel(files, f"{obs_bucket}/src", journal=journal)
    assert watch.moved == []  # the store was not restarted

    down, target = journal.with_suffix(".down"), tmp_path / "dst"
    await aioobs.file.copy_parallel(f"{obs_bucket}/src", target, journal=down)
    rewrite(down, lambda line: {**line, "boot": "another"} if "boot" in line else line)
    watch.moved.clear()
    await aioobs.file.copy_parallel(f"{obs_bucket}/src", target, journal=down)
    assert watch.files == SMALL


@pytest.mark.parametrize(
    "end", [b'{"done": "0/', b"\0\0\0", b"{}\n[]\n7\n", b'{"done": 1}\n', b"[" * 100_000]
)
async def test_lines_that_make_no_sense_cost_nothing_but_what_they_told(
    obs_bucket: str, files: Path, journal: Path, watch: Watch, end: bytes
) -> None:
    await aioobs.file.copy_parallel(files, f"{obs_bucket}/dst", journal=journal)
    rewrite(journal, lambda line: None if line.get("done") == "0/ü0" else line)
    for count_of_moved in (1, 0):
        with journal.open("ab") as file:
            file.write(end)
        watch.moved.clear()
        await aioobs.file.copy_parallel(files, f"{obs_bucket}/dst", journal=journal)
        assert len(watch.moved) == count_of_moved


async def test_a_journal_that_was_torn_in_its_first_line_is_an_empty_one(
    obs_bucket: str, source: Path, journal: Path
) -> None:
    journal.write_bytes(b'{"journal": 1, "sour')
    for _ in range(3):
        await aioobs.file.copy_parallel(source / "1", f"{obs_bucket}/dst", journal=journal)
    assert count(journal, "done") == len(list((source / "1").iterdir()))


async def test_a_file_that_is_no_journal_is_left_alone(
    obs_bucket: str, source: Path, journal: Path
) -> None:
    for text in ("important\n", "\nimportant", '{"a": 1}\n'):
        journal.write_text(text)
        with pytest.raises(ConfigError, match="no journal"):
            await aioobs.file.copy_parallel(source, f"{obs_bucket}/dst", journal=journal)
        assert journal.read_text() == text
    assert not await aioobs.file.exists(f"{obs_bucket}/dst")


async def test_the_journal_of_another_copy_is_refused(
    obs_bucket: str, source: Path, journal: Path
) -> None:
    await aioobs.file.copy_parallel(source / "1", f"{obs_bucket}/dst", journal=journal)
    with pytest.raises(ConfigError, match=r"another copy, from .*src/1 to s3://.*/dst"):
        await aioobs.file.copy_parallel(source / "2", f"{obs_bucket}/dst", journal=journal)


@pytest.mark.parametrize("inside", ["src/journal", "src", "src/1/journal"])
async def test_a_journal_within_the_source_is_refused(
    obs_bucket: str, source: Path, inside: str
) -> None:
    with pytest.raises(ConfigError, match="lies in what is to be copied"):
        await aioobs.file.copy_parallel(source, f"{obs_bucket}/dst", journal=source.parent / inside)


async def test_one_copy_at_a_time_writes_a_journal(
    obs_server: LocalServer, obs_bucket: str, files: Path, journal: Path
) -> None:
    source, target = files, f"{obs_bucket}/dst"
    gate = Watch(obs_server.endpoint, at_most=10)
    with FaultyServer(always=gate) as proxy:
        program = [sys.executable, "-c", PROGRAM, str(source), target, str(journal)]
        with subprocess.Popen(program, env={**os.environ, "S3_ENDPOINT": proxy.endpoint}) as copy:
            assert await asyncio.to_thread(gate.full.wait, 30)
            with pytest.raises(ConfigError, match="another copy is writing"):
                await aioobs.file.copy_parallel(source, target, journal=journal)
            copy.kill()
    done = await asyncio.gather(
        *(aioobs.file.copy_parallel(source, target, journal=journal) for _ in range(3)),
        return_exceptions=True,
    )
    assert sum(isinstance(error, ConfigError) for error in done) == 2
    assert done.count(None) == 1


async def test_a_journal_in_the_store_serves_another_machine(
    obs_bucket: str, source: Path, watch: Watch, tmp_path: Path, begin: Callable[..., Any]
) -> None:
    target, journal = f"{obs_bucket}/dst", f"{obs_bucket}/journal"
    await begin(source, target, journal, at_most=20)
    await aioobs.file.copy_parallel(source, target, journal=journal)
    assert len(watch.moved) <= SMALL + PARTS - 20 + 4  # those whose answers nobody saw
    assert await stored(target, tmp_path / "got") == content(source)
    names = await aioobs.file.list_directory(journal)
    told = "".join([await aioobs.file.read(f"{journal}/{name}") for name in names])
    assert told.count('{"done": ') == SMALL + 1


QUICKLY = """
from aioobs.transfer.journals.storage import RemoteStorage
RemoteStorage.pause, RemoteStorage.silence = 0.5, 3.0
"""


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have copies that write in one folder notice each other within seconds."""
    monkeypatch.setattr(RemoteStorage, "pause", 1.0)
    monkeypatch.setattr(RemoteStorage, "silence", 5.0)


@pytest.mark.parametrize("end", ["none", "killed"])
async def test_a_journal_in_the_store_is_gone_on_with_only_when_who_wrote_it_has_ended(
    obs_server: LocalServer, obs_bucket: str, files: Path, watch: Watch, tmp_path: Path,
    quickly: None, end: str,
) -> None:  # fmt: skip
    target, journal = f"{obs_bucket}/dst", f"{obs_bucket}/journal"
    gate = Watch(obs_server.endpoint, at_most=20)
    with FaultyServer(always=gate) as proxy:
        program = [sys.executable, "-c", QUICKLY + PROGRAM, str(files), target, journal]
        with subprocess.Popen(program, env={**os.environ, "S3_ENDPOINT": proxy.endpoint}) as copy:
            assert await asyncio.to_thread(gate.full.wait, 30)
            while await noted_in(journal) < 20:
                await asyncio.sleep(0.1)
            if end == "none":
                with pytest.raises(ConfigError, match="another copy is writing this journal") as it:
                    await aioobs.file.copy_parallel(files, target, journal=journal)
                assert f"process {copy.pid} of" in str(it.value)
                assert copy.poll() is None
            copy.kill()
    watch.moved.clear()
    await aioobs.file.copy_parallel(files, target, journal=journal)
    assert watch.files == SMALL - 20
    names = await aioobs.file.list_directory(journal)
    assert [name for name in names if not name.endswith(".jsonl")] == []


async def noted_in(journal: str) -> int:
    """Return how many files a journal in the store says are there."""
    names = await aioobs.file.list_directory(journal) if await aioobs.file.exists(journal) else []
    told = [await aioobs.file.read(f"{journal}/{name}") for name in names if name.endswith("l")]
    return "".join(told).count('{"done": ')


async def test_of_copies_that_begin_one_journal_in_the_store_at_once_none_does_anothers_work(
    obs_bucket: str, files: Path, watch: Watch, quickly: None
) -> None:
    target, journal = f"{obs_bucket}/dst", f"{obs_bucket}/journal"
    done = await asyncio.gather(
        *(aioobs.file.copy_parallel(files, target, journal=journal) for _ in range(3)),
        return_exceptions=True,
    )
    refused = [error for error in done if error is not None]
    assert all(type(error) is ConfigError for error in refused)
    assert len(refused) < 3  # on a busy machine one may begin when another has ended
    assert watch.files == SMALL
    await aioobs.file.copy_parallel(files, target, journal=journal)  # nobody is waited for
    assert watch.files == SMALL


async def test_a_journal_that_cannot_be_read_is_an_error_and_nothing_is_copied(
    obs_bucket: str, files: Path, tmp_path: Path
) -> None:
    for journal in ("s3://no-such-bucket-here/journal", tmp_path / "missing" / "journal"):
        with pytest.raises(FileNotFoundError):
            await aioobs.file.copy_parallel(files, f"{obs_bucket}/dst", journal=journal)
    assert not await aioobs.file.exists(f"{obs_bucket}/dst")


async def test_a_journal_that_cannot_be_written_does_not_end_the_copy(
    obs_server: LocalServer, obs_bucket: str, files: Path, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    pass_on = forward(obs_server.endpoint)

    def step(received: Received) -> Answer:
        refused = received.method == "PUT" and "/journal/" in received.path
        return refusal(403, "AccessDenied") if refused else pass_on(received)

    with FaultyServer(always=step) as proxy:
        monkeypatch.setenv("S3_ENDPOINT", proxy.endpoint)
        await aioobs.file.copy_parallel(files, f"{obs_bucket}/dst", journal=f"{obs_bucket}/journal")
        names = await aioobs.file.list_directory(f"{obs_bucket}/dst", recursive=True)
    assert caplog.text.count("goes on without its journal") == 1
    assert len(names) == SMALL + 7


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "aioobs", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)


async def test_the_same_command_goes_on(
    obs_bucket: str, files: Path, journal: Path, watch: Watch
) -> None:
    command = ("cp", "-r", "--journal", str(journal), str(files), f"{obs_bucket}/dst")
    done = await asyncio.to_thread(run, *command)
    assert (done.returncode, len(watch.moved)) == (0, SMALL)
    rewrite(journal, lambda line: None if line.get("done") == "0/ü0" else line)
    watch.moved.clear()
    done = await asyncio.to_thread(run, *command)
    assert (done.returncode, len(watch.moved)) == (0, 1)
    several = ("cp", "-r", "--journal", str(journal), str(files / "1"), str(files / "2"))
    done = await asyncio.to_thread(run, *several, f"{obs_bucket}/dst/")
    assert (done.returncode, "a journal is that of one source" in done.stderr) == (2, True)


# Without a journal

KILLED = """
import sys
from aioobs.transfer.journals import automatic
automatic.WORTH = 1 << 20
import aioobs.sync as mox
mox.file.copy_parallel(*sys.argv[1:], threads=4, is_processing=False)
"""


class Unasked(NamedTuple):
    """A copy of a big file, in one of the two directions, that nobody gives a journal."""

    origin: str
    target: str
    state: Path
    at_source: Path
    begin: Callable[[], contextlib.AbstractAsyncContextManager[subprocess.Popen[bytes]]]
    uploads: Callable[[], Awaitable[list[str]]]

    @property
    def notes(self) -> list[Path]:
        """The journals that there are."""
        return list(self.state.glob("aioobs/*"))

    @property
    def staged_files(self) -> list[Path]:
        """The staged files that there are."""
        return list(Path(self.target).parent.glob(".aioobs-*"))

    @property
    def is_up(self) -> bool:
        """Whether it is an upload."""
        return self.target.startswith("s3:")

    async def kill(self) -> None:
        """Begin it in another process, which is killed when two parts are there."""
        async with self.begin() as copy:
            copy.send_signal(signal.SIGKILL)

    async def again(self) -> None:
        """Do it in this process."""
        await aioobs.file.copy(self.origin, self.target)

    async def check(self, got: Path) -> None:
        """Find the right content, and nothing else."""
        await aioobs.file.copy(self.target, got)
        assert got.read_bytes() == self.at_source.read_bytes()
        assert [*self.notes, *self.staged_files, *await self.uploads()] == []


@pytest.fixture(params=["up", "down"])
async def unasked(
    request: pytest.FixtureRequest, obs_server: LocalServer, obs_bucket: str, source: Path,
    watch: Watch, tmp_path: Path, client: Client, monkeypatch: pytest.MonkeyPatch,
) -> Unasked:  # fmt: skip
    """Give a copy of the big file."""
    state, big = tmp_path / "state", source / "big"
    monkeypatch.setenv("XDG_STATE_HOME", str(state))
    origin, target = str(big), f"{obs_bucket}/dst/big"
    if request.param == "down":
        origin, target = f"{obs_bucket}/src/big", str(tmp_path / "dst" / "big")
        await aioobs.file.copy(big, origin)
        watch.moved.clear()
    monkeypatch.setattr(automatic, "WORTH", MIB)

    @contextlib.asynccontextmanager
    async def begin() -> AsyncIterator[subprocess.Popen[bytes]]:
        watch.at_most = 2
        watch.full.clear()
        with subprocess.Popen([sys.executable, "-c", KILLED, origin, target]) as copy:
            try:
                assert await asyncio.to_thread(watch.full.wait, 30)
                while sum(map(noted, state.glob("aioobs/*"))) < 2:
                    assert copy.poll() is None
                    await asyncio.sleep(0.01)
                watch.at_most = 1 << 30  # for others: this one got no answer, and waits
                watch.moved.clear()
                yield copy
            finally:
                copy.kill()

    async def uploads() -> list[str]:
        bucket = obs_bucket.removeprefix("s3://")
        return [one.upload_id async for one in client.list_multipart_uploads(bucket)]

    return Unasked(origin, target, state, big, begin, uploads)


async def test_a_big_file_goes_on_by_itself_after_its_process_was_killed(
    unasked: Unasked, watch: Watch, tmp_path: Path
) -> None:
    await unasked.kill()
    assert len(unasked.notes) == 1
    await unasked.again()
    assert watch.parts == PARTS - 2
    await unasked.check(tmp_path / "got")


def damage(path: Path) -> None:
    """Change what is in a file, but neither its size nor its time."""
    before = path.stat()
    with path.open("r+b") as file:
        for offset in range(0, before.st_size, PART):
            file.seek(offset)
            file.write(b"damage")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("change", ["source", "what was moved", "gone", "all of it", "notes"])
async def test_nothing_is_used_that_is_not_what_it_should_be(
    unasked: Unasked, watch: Watch, tmp_path: Path, client: Client, change: str
) -> None:
    await unasked.kill()
    (upload,) = await unasked.uploads() if unasked.is_up else [""]
    bucket, _, key = unasked.target.removeprefix("s3://").partition("/")
    if change == "source":
        damage(unasked.at_source)  # its time alone tells nothing
        if not unasked.is_up:
            await aioobs.file.copy(unasked.at_source, unasked.origin)
    elif change == "notes":
        unasked.notes[0].write_bytes(b"important\n")
    elif not unasked.is_up:
        (staged,) = unasked.staged_files
        if change == "gone":
            staged.unlink()
        elif change == "all of it":
            os.truncate(staged, 1)
        else:
            damage(staged)
    elif change == "what was moved":
        for part in [one async for one in client.list_parts(bucket, key, upload)]:
            await client.upload_part(bucket, key, upload, part.number, bytes(part.size))
    elif change == "gone":
        await client.abort_multipart_upload(bucket, key, upload)
    else:
        await client.put_object(bucket, key, bytes(BIG))
        await client.abort_multipart_upload(bucket, key, upload)
    watch.moved.clear()
    await unasked.again()
    # Of a download only the whole can be checked, so parts come that are of no use.
    in_vain = not unasked.is_up and change in ("what was moved", "all of it")
    assert watch.parts == PARTS + (PARTS - 2) * in_vain
    if change == "notes":  # nobody knows any more what was begun
        assert unasked.notes == []
        await asyncio.to_thread(clear, unasked.staged_files)
        if unasked.is_up:
            await client.abort_multipart_upload(bucket, key, upload)
    await unasked.check(tmp_path / "got")


@pytest.mark.parametrize("unasked", ["down"], indirect=True)
async def test_after_a_restart_of_the_machine_a_staged_file_is_not_believed_without_sums(
    unasked: Unasked, watch: Watch, tmp_path: Path
) -> None:
    await unasked.kill()
    (notes,) = unasked.notes
    rewrite(notes, lambda line: {**line, "boot": "another"} if "boot" in line else line)
    watch.moved.clear()
    await unasked.again()
    assert watch.parts == PARTS
    await unasked.check(tmp_path / "got")


def clear(paths: list[Path]) -> None:
    for path in paths:
        path.unlink()


@pytest.mark.parametrize("unasked", ["up"], indirect=True)
async def test_an_upload_that_was_completed_just_before_its_process_was_killed_is_known(
    unasked: Unasked, watch: Watch, tmp_path: Path, client: Client
) -> None:
    await unasked.kill()
    bucket, _, key = unasked.target.removeprefix("s3://").partition("/")
    (upload,), etags = await unasked.uploads(), {}
    with unasked.at_source.open("rb") as file:
        for number in range(1, PARTS + 1):
            etags[number] = await client.upload_part(bucket, key, upload, number, file.read(PART))
    await client.complete_multipart_upload(bucket, key, upload, etags, size=BIG)
    told = [{"part": "", "at": upload, "number": n, "is": etag} for n, etag in etags.items()]
    with unasked.notes[0].open("a") as notes:
        notes.writelines(json.dumps(line) + "\n" for line in told)
    watch.moved.clear()
    await unasked.again()
    assert watch.parts == 0
    await unasked.check(tmp_path / "got")


async def test_two_that_copy_one_big_file_do_not_meet(
    unasked: Unasked, watch: Watch, tmp_path: Path
) -> None:
    async with unasked.begin():
        await unasked.again()
        assert watch.parts == PARTS
        left = [*unasked.notes, *unasked.staged_files, *await unasked.uploads()]
        assert len(left) == 2  # of the first
    watch.moved.clear()
    both = [unasked.again(), unasked.again()]
    await asyncio.gather(*both)
    assert watch.parts == 2 * PARTS - 2  # one of them went on
    await unasked.check(tmp_path / "got")


async def test_a_big_file_that_is_given_up_leaves_nothing(
    unasked: Unasked, watch: Watch, tmp_path: Path
) -> None:
    watch.at_most = 2
    copy = asyncio.create_task(unasked.again())
    assert await asyncio.to_thread(watch.full.wait, 30)
    assert len(unasked.notes) == 1
    copy.cancel()
    with pytest.raises(asyncio.CancelledError):
        await copy
    watch.at_most = 1 << 30
    await unasked.again()
    await unasked.check(tmp_path / "got")


@pytest.mark.parametrize("obstacle", ["file", "open to all", "relative"])
async def test_where_nothing_can_be_kept_safely_a_big_file_begins_anew(
    unasked: Unasked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, obstacle: str
) -> None:
    if obstacle == "open to all":
        (unasked.state / "aioobs").mkdir(parents=True)
        (unasked.state / "aioobs").chmod(0o777)
    elif obstacle == "file":
        unasked.state.write_text("")
    else:
        monkeypatch.setenv("XDG_STATE_HOME", "state")
    seen = [unasked.notes]
    copy = asyncio.create_task(unasked.again())
    while not copy.done():
        seen.append(unasked.notes)
        await asyncio.sleep(0.01)
    assert not any(seen)
    await unasked.check(tmp_path / "got")


async def test_what_nobody_went_on_with_for_a_week_is_removed(
    unasked: Unasked, tmp_path: Path
) -> None:
    await unasked.kill()
    (left,) = unasked.notes
    foreign = left.with_name("notes.txt")
    foreign.write_text("of somebody else")
    for path in (left, foreign):
        os.utime(path, (1e9, 1e9))
    other = unasked.target + "-2"
    await aioobs.file.copy(unasked.origin, other)
    assert unasked.notes == [foreign]
    assert unasked.staged_files == []
    foreign.unlink()
    await aioobs.file.copy(other, tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == unasked.at_source.read_bytes()


async def test_processes_that_move_one_file_go_on_with_it_too(
    unasked: Unasked, watch: Watch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_parts, "PIECE", PART)
    await unasked.kill()
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        plan = await aioobs.plan_copy(unasked.origin, unasked.target)
        await aioobs.run_copy(plan, executor=pool)
    assert watch.parts == PARTS - 2
    await unasked.check(tmp_path / "got")
