"""Blocking files: the layers of io over a raw file, remote and local."""

from __future__ import annotations

import asyncio
import csv
import gc
import io
import json
import logging
import os
import subprocess
import sys
import threading
import warnings
import weakref
import zipfile
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest
from anyio import to_thread

from aioobs.errors import NotFound
from aioobs.sync._io import File, layers
from aioobs.sync._loop import run
from aioobs.sync._raw import BUFFER_SIZE, FIRST_READ, StreamedObject

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parent.parent
URL = "s3://bucket/key"
POEM = "Über allen Gipfeln\nist Ruh,\nin allen Wipfeln\nspürest du\n"


class Memory:
    """An object in memory that speaks the protocol of raw files and counts what it is asked."""

    def __init__(self, content: bytes = b"", *, reading: bool = False, writing: bool = False):
        self.readable = reading
        self.writable = writing
        self.content = bytearray(content)
        self.position = 0
        self.published: bytes | None = None
        self.calls: list[str] = []
        self.asked: list[int] = []
        self.error: BaseException | None = None
        self.ended = threading.Event()

    def note(self, call: str) -> None:
        if call not in ("readinto", "readall", "seek") and self.writable:
            asyncio.get_running_loop()  # never called from another thread
        self.calls.append(call)

    async def readinto(self, buffer: memoryview, /) -> int:
        self.note("readinto")
        self.asked.append(len(buffer))
        data = self.content[self.position : self.position + len(buffer)]
        buffer[: len(data)] = data
        self.position += len(data)
        return len(data)

    async def readall(self) -> bytes:
        self.note("readall")
        data = bytes(self.content[self.position :])
        self.position += len(data)
        return data

    async def write(self, data: memoryview, /) -> int:
        self.note("write")
        if self.error is not None:
            raise self.error
        self.content[self.position : self.position + len(data)] = data
        self.position += len(data)
        return len(data)

    async def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        self.note("seek")
        assert whence == os.SEEK_SET
        self.position = offset
        return offset

    async def size(self) -> int:
        self.note("size")
        return len(self.content)

    async def flush(self) -> None:
        self.note("flush")
        self.published = bytes(self.content)

    async def aclose(self) -> None:
        self.note("aclose")
        self.published = bytes(self.content)
        self.ended.set()

    async def abort(self) -> None:
        self.note("abort")
        self.ended.set()


def reading(content: bytes | str, mode: str = "rb", **options: Any) -> tuple[Any, Memory]:
    memory = Memory(content.encode() if isinstance(content, str) else content, reading=True)
    return layers(StreamedObject(memory, URL, "rb"), mode, **options), memory


def writing(mode: str = "wb", **options: Any) -> tuple[Any, Memory]:
    memory = Memory(writing=True)
    return layers(StreamedObject(memory, URL, "wb"), mode, **options), memory


def updating(content: bytes, mode: str = "rb+", **options: Any) -> tuple[Any, Memory]:
    memory = Memory(content, reading=True, writing=True)
    return layers(StreamedObject(memory, URL, "rb+"), mode, **options), memory


# --- reading -------------------------------------------------------------------------------


def test_a_remote_file_is_a_genuine_file_of_io() -> None:
    for mode, kind in [("r", io.TextIOBase), ("rb", io.BufferedIOBase)]:
        file, _ = reading(b"", mode)
        with file:
            assert isinstance(file, io.IOBase)
            assert isinstance(file, kind)
            assert isinstance(file, io.TextIOWrapper | io.BufferedReader)
            assert (file.name, file.mode) == (URL, mode)
            assert (file.readable(), file.writable(), file.seekable()) == (True, False, True)
            assert not file.isatty()
            assert not file.closed
        assert file.closed


def test_text_is_utf_8_unless_something_else_is_asked_for() -> None:
    with reading(POEM, "r")[0] as file:
        assert file.encoding == "utf-8"
        assert file.read() == POEM
    with reading(POEM.encode("latin-1"), "r", encoding="latin-1")[0] as file:
        assert file.read() == POEM


def test_the_methods_of_the_mox_file_work() -> None:
    with reading(POEM, "r")[0] as file:
        assert file.size() == len(POEM.encode())
        assert file.next() == "Über allen Gipfeln\n"
        with pytest.raises(OSError, match="disabled by next"):
            file.tell()
        assert file.readline() == "ist Ruh,\n"
        assert file.readlines() == ["in allen Wipfeln\n", "spürest du\n"]
        with pytest.raises(StopIteration):
            file.next()
        file.seek(0)
        assert file.read(4) == "Über"
        position = file.tell()
        rest = file.read()
        file.seek(position)
        assert file.read() == rest
        with pytest.raises(io.UnsupportedOperation):
            file.write("no")


def test_lines_are_fetched_a_buffer_at_a_time_and_not_8_kib() -> None:
    text = "".join(f"line {number}\n" for number in range(400_000))
    file, memory = reading(text, "r")
    with file:
        assert sum(1 for _ in file) == 400_000
    assert memory.calls.count("readinto") <= len(text) / BUFFER_SIZE + 8
    assert max(memory.asked) == BUFFER_SIZE


def test_reading_everything_takes_one_hop() -> None:
    data = os.urandom(3 << 20)
    file, memory = reading(data)
    with file:
        assert file.read() == data
    assert memory.calls == ["readall", "aclose"]


def test_a_large_read_goes_straight_into_the_memory_of_the_caller() -> None:
    data = os.urandom(5 << 20)
    file, memory = reading(data)
    target = bytearray(len(data))
    with file:
        assert file.readinto(target) == len(data)
    assert target == data
    assert memory.asked == [len(data)]


def test_a_read_after_a_jump_takes_one_hop_and_little_more_than_is_wanted() -> None:
    data = os.urandom(8 << 20)
    file, memory = reading(data)
    with file:
        for position in (6 << 20, 1 << 20, 3 << 20):
            memory.calls.clear()
            file.seek(position)
            assert file.read(FIRST_READ) == data[position : position + FIRST_READ]
            assert memory.calls == ["seek", "readinto"]
        assert set(memory.asked) == {FIRST_READ}


def test_seeking_and_telling_alone_ask_nothing() -> None:
    file, memory = reading(b"0123456789")
    with file:
        assert file.seek(3) == 3
        assert file.seek(2, os.SEEK_CUR) == 5
        assert file.tell() == 5
        assert memory.calls == []
        assert file.seek(-1, os.SEEK_END) == 9
        assert memory.calls == ["size"]
        assert file.read() == b"9"
        with pytest.raises(OSError, match="Invalid argument"):
            file.seek(-1)


def test_a_read_that_failed_can_be_repeated_at_the_same_place() -> None:
    class Flaky(Memory):
        fails = True

        async def readinto(self, buffer: memoryview, /) -> int:
            count = await super().readinto(buffer)
            if Flaky.fails:
                Flaky.fails = False
                raise ConnectionResetError("broken off")
            return count

    raw = StreamedObject(Flaky(b"0123456789", reading=True), URL, "rb")
    with layers(raw, "rb") as file:
        with pytest.raises(ConnectionResetError):
            file.read(4)
        assert file.read(4) == b"0123"


def test_buffers_of_any_element_size_can_be_filled() -> None:
    import array

    numbers = array.array("I", range(1000))
    target = array.array("I", bytes(len(numbers) * numbers.itemsize))
    with reading(numbers.tobytes(), buffering=0)[0] as file:
        assert file.readinto(target) == 4000
    assert target == numbers


def test_a_file_without_a_buffer_asks_for_exactly_what_is_wanted() -> None:
    file, memory = reading(b"0123456789", buffering=0)
    with file:
        assert file.read(3) == b"012"
        assert file.read() == b"3456789"
        assert file.read(1) == b""
        assert file.size() == 10
    assert memory.asked == [3, 1]
    with pytest.raises(ValueError, match="closed"):
        file.read(1)


def test_the_readers_of_the_standard_library_work() -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as target:
        target.writestr("name", "content" * 1000)
    with reading(archive.getvalue())[0] as file, zipfile.ZipFile(file) as source:
        assert source.read("name") == b"content" * 1000
    with reading('{"a": [1, 2]}', "r")[0] as file:
        assert json.load(file) == {"a": [1, 2]}
    with reading("a,b\r\n1,2\r\n", "r", newline="")[0] as file:
        assert list(csv.reader(file)) == [["a", "b"], ["1", "2"]]


@pytest.mark.parametrize(("newline", "expected"), [(None, "a\nb\n"), ("", "a\r\nb\r\n")])
def test_newlines_are_translated_as_open_does(newline: str | None, expected: str) -> None:
    with reading("a\r\nb\r\n", "r", newline=newline)[0] as file:
        assert file.read() == expected


# --- writing -------------------------------------------------------------------------------


def test_what_is_written_is_published_by_close_and_in_one_hop() -> None:
    file, memory = writing("w")
    file.write("a\n")
    file.writelines(["b\n", "c\n"])
    assert memory.calls == []
    file.close()
    assert memory.published == b"a\nb\nc\n"
    assert memory.calls == ["write", "aclose"]
    file.close()
    assert memory.calls == ["write", "aclose"]


def test_flush_publishes_what_was_written_so_far() -> None:
    for mode, data in [("w", "text"), ("wb", b"text")]:
        file, memory = writing(mode)
        with file:
            file.write(data)
            file.flush()
            assert memory.published == b"text"
            file.write(data)
            assert memory.published == b"text"
        assert memory.published == b"texttext"


def test_the_position_and_size_of_what_is_written_are_known_without_publishing() -> None:
    file, memory = writing("w")
    with file:
        file.write("ü" * 10)
        assert file.tell() == 20
        assert file.size() == 20
        assert not file.seekable()
        with pytest.raises(io.UnsupportedOperation):
            file.seek(0)
        assert memory.published is None


def test_a_zip_archive_can_be_written_without_seeking() -> None:
    file, memory = writing("wb")
    with file, zipfile.ZipFile(file, "w") as archive:
        archive.writestr("name", "content")
    assert memory.published is not None
    assert zipfile.ZipFile(io.BytesIO(memory.published)).read("name") == b"content"


@pytest.mark.parametrize(("mode", "buffering"), [("w", -1), ("wb", -1), ("wb", 0)])
def test_an_exception_in_the_block_publishes_nothing(mode: str, buffering: int) -> None:
    file, memory = writing(mode, buffering=buffering)
    with pytest.raises(LookupError), file:
        file.write("data" if "b" not in mode else b"data")
        raise LookupError
    assert memory.published is None
    assert memory.calls[-1] == "abort"
    assert file.closed


@pytest.mark.parametrize("mode", ["w", "wb"])
def test_abort_drops_what_was_not_flushed(mode: str) -> None:
    file, memory = writing(mode)
    file.write("lost" if mode == "w" else b"lost")
    file.abort()
    assert file.closed
    assert memory.calls == ["abort"]
    file.close()
    assert memory.calls == ["abort"]


@pytest.mark.parametrize("mode", ["w", "wb"])
def test_a_forgotten_writer_is_aborted_with_a_warning(mode: str) -> None:
    run(asyncio.sleep(0))  # the loop thread, which aborts, has begun
    file, memory = writing(mode)
    file.write("half of it" if mode == "w" else b"half of it")
    with pytest.warns(RuntimeWarning, match=r"unclosed file 's3://bucket/key'; nothing was"):
        del file
    assert memory.ended.wait(10)
    assert memory.calls == ["abort"]
    assert memory.published is None


def test_a_forgotten_reader_lets_its_connection_go() -> None:
    file, memory = reading(POEM, "r")
    file.readline()
    with pytest.warns(ResourceWarning, match=r"unclosed file 's3://bucket/key'$"):
        del file
    assert memory.ended.wait(10)


def test_a_file_in_garbage_that_the_loop_thread_collects_blocks_nothing() -> None:
    class Cycle:
        def __init__(self, file: object) -> None:
            self.file = file
            self.myself = self

    async def collect() -> None:
        gc.collect()

    gc.disable()
    try:
        file, memory = writing("w")
        file.write("half of it")
        Cycle(file)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            del file
            run(collect())
    finally:
        gc.enable()
    assert memory.ended.wait(10)
    assert memory.calls == ["abort"]


def test_an_open_file_is_no_garbage_for_the_collector_when_it_is_closed() -> None:
    gc.disable()
    try:
        file, memory = writing("w")
        file.write("text")
        file.close()
        reference = weakref.ref(memory)
        del file, memory
        assert reference() is None
    finally:
        gc.enable()


def test_after_a_failed_write_nothing_is_published() -> None:
    file, memory = writing("wb")
    memory.error = ConnectionResetError("broken off")
    with pytest.raises(ConnectionResetError):
        file.write(bytes(2 * BUFFER_SIZE))
    memory.error = None
    with pytest.raises(OSError, match="an earlier write to s3://bucket/key failed"):
        file.write(bytes(2 * BUFFER_SIZE))
    with pytest.raises(OSError, match="nothing is published"):
        file.close()
    assert file.closed
    assert memory.calls == ["write", "abort"]


def test_a_write_that_fails_in_close_publishes_nothing() -> None:
    file, memory = writing("w")
    file.write("text")
    memory.error = ConnectionResetError("broken off")
    with pytest.raises(OSError, match="failed") as caught:
        file.close()
    assert isinstance(caught.value.__context__, ConnectionResetError)
    assert memory.calls == ["write", "abort"]
    assert file.closed


@pytest.mark.parametrize("open_it", [lambda: writing("w"), writing, lambda: updating(b"old")])
def test_ctrl_c_in_close_is_raised_and_publishes_nothing(
    open_it: Callable[[], tuple[Any, Memory]],
) -> None:
    file, memory = open_it()
    file.write("text" if isinstance(file, io.TextIOBase) else b"text")
    memory.error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        file.close()
    assert memory.calls[-2:] == ["write", "abort"]
    assert file.closed


def test_after_ctrl_c_in_a_write_closing_says_that_nothing_is_published() -> None:
    file, memory = writing("wb")
    memory.error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        file.write(bytes(2 * BUFFER_SIZE))
    with pytest.raises(OSError, match="nothing is published"):
        file.close()


def test_logging_into_a_file_shows_each_record_at_once() -> None:
    stream, memory = writing("w")
    handler = logging.StreamHandler(stream)
    logger = logging.getLogger("test_sync_io")
    logger.propagate = False
    logger.addHandler(handler)
    logger.warning("hello %s", "world")
    logger.removeHandler(handler)
    assert memory.published == b"hello world\n"
    stream.close()


def test_what_a_flush_logs_itself_does_not_wait_for_the_handler_that_flushes() -> None:
    logger = logging.getLogger("test_sync_io")
    logger.propagate = False

    class Talkative(Memory):
        async def flush(self) -> None:
            logger.warning("from the loop thread")
            await to_thread.run_sync(logger.warning, "from a worker thread")
            await super().flush()

    memory, console = Talkative(writing=True), io.StringIO()
    stream: Any = layers(StreamedObject(memory, URL, "wb"), "w")
    handlers: list[logging.Handler] = [
        logging.StreamHandler(stream),
        logging.StreamHandler(console),
    ]
    for handler in handlers:
        logger.addHandler(handler)
    try:
        logger.warning("from outside")
    finally:
        for handler in handlers:
            logger.removeHandler(handler)
        stream.close()
    assert memory.published == b"from outside\n"
    lines = console.getvalue().splitlines()
    assert lines == ["from the loop thread", "from a worker thread", "from outside"]


# --- reading and writing -------------------------------------------------------------------


def test_a_file_can_be_changed_in_place() -> None:
    file, memory = updating(b"0123456789")
    with file:
        assert file.read(3) == b"012"
        file.seek(5)
        file.write(b"FIVE")
        assert file.tell() == 9
        assert file.size() == 10
        file.seek(0)
        assert file.read() == b"01234FIVE9"
        assert memory.published is None
    assert memory.published == b"01234FIVE9"


def test_text_can_be_changed_in_place_without_publishing_at_each_seek() -> None:
    file, memory = updating(b"one\ntwo\n", "r+")
    with file:
        assert file.readline() == "one\n"
        file.seek(0, os.SEEK_END)
        file.write("three\n")
        assert file.tell() == 14
        file.seek(0)
        assert file.read() == "one\ntwo\nthree\n"
        assert memory.published is None
    assert memory.published == b"one\ntwo\nthree\n"


# --- opening -------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["br", "rb", "bw", "wb", "ba", "br+", "rb+", "r+b", "bw+", "wb+"])
def test_the_letters_of_a_mode_can_be_in_any_order(mode: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"data")
    with File(path, mode) as file:
        assert isinstance(file, io.BufferedIOBase)
        assert file.writable() == ("r" not in mode or "+" in mode)
        assert file.readable() == ("r" in mode or "+" in mode)


@pytest.mark.parametrize("mode", ["", "b", "rw", "rr", "rbt", "q", "U"])
def test_a_wrong_mode_is_refused_before_anything_is_opened(mode: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    with pytest.raises(ValueError, match="mode"):
        File(path, mode)
    assert not path.exists()


@pytest.mark.parametrize(
    ("mode", "options"),
    [("wb", {"encoding": "utf-8"}), ("wb", {"errors": "strict"}), ("w", {"buffering": 0})],
)
def test_arguments_that_do_not_fit_are_refused_before_anything_is_opened(
    mode: str, options: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "file"
    with pytest.raises(ValueError, match=r"binary|buffer"):
        File(path, mode, **options)
    assert not path.exists()


def test_another_scheme_is_never_taken_for_a_local_path() -> None:
    with pytest.raises(ValueError, match="not supported"):
        File("ftp://host/file")


# --- local files ---------------------------------------------------------------------------


def test_a_local_file_is_what_open_gives_plus_size_and_next(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    with File(path, "w") as file:
        assert file.write(POEM) == len(POEM)
        assert file.size() == len(POEM.encode())
        file.flush()
        assert path.read_text("utf-8") == POEM
    with File(str(path)) as file, open(path, encoding="utf-8") as builtin:
        assert isinstance(file, io.TextIOWrapper)
        assert file.name == str(path)
        assert (file.mode, file.encoding) == (builtin.mode, "utf-8")
        assert file.fileno() > 0
        assert file.next() == builtin.readline()
        assert file.read() == builtin.read()
    with File(path, "rb+") as file:
        assert isinstance(file, io.BufferedRandom)
        assert file.read(5) == POEM.encode()[:5]
        file.write(b"!")
        assert file.size() == len(POEM.encode())
    with File(path, "rb", buffering=0) as file:
        assert isinstance(file, io.RawIOBase)
        assert len(file.read() or b"") == len(POEM.encode())


def test_a_local_file_that_is_not_open_for_reading_says_so_and_stays_usable(tmp_path: Path) -> None:
    file = File(tmp_path / "file", "wb")
    with pytest.raises(io.UnsupportedOperation):
        file.read()
    file.write(b"data")
    file.close()
    assert (tmp_path / "file").read_bytes() == b"data"


def test_an_exception_leaves_a_local_file_as_open_would(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with pytest.raises(LookupError), File(path, "w") as file:
        file.write("half of it")
        raise LookupError
    assert path.read_text() == "half of it"


def test_a_forgotten_local_file_loses_nothing(tmp_path: Path) -> None:
    file = File(tmp_path / "file", "w")
    file.write("data")
    with pytest.warns(ResourceWarning):
        del file
    assert (tmp_path / "file").read_text() == "data"


def test_a_missing_local_file_raises_what_a_missing_object_raises(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as caught:
        File(tmp_path / "missing")
    assert caught.value.filename == str(tmp_path / "missing")


def test_a_local_file_never_starts_the_loop(tmp_path: Path) -> None:
    script = """
        import sys, threading
        from aioobs.sync._io import File
        with File(sys.argv[1], "w") as file:
            file.write("data")
        with File(sys.argv[1]) as file:
            print(file.read(), threading.active_count())
    """
    assert python(script, tmp_path / "file") == ("data 1\n", "")


# --- over a store --------------------------------------------------------------------------


def test_an_object_is_written_and_read(obs_bucket: str) -> None:
    url = f"{obs_bucket}/folder/poem.txt"
    with File(url, "w") as file:
        file.write(POEM)
        with pytest.raises(FileNotFoundError):
            File(url)
    with File(url) as file:
        assert file.size() == len(POEM.encode())
        assert list(file) == POEM.splitlines(keepends=True)
    with pytest.raises(FileExistsError):
        File(url, "x")


def test_a_large_object_survives_the_way_there_and_back(obs_bucket: str) -> None:
    url = f"{obs_bucket}/large"
    data = os.urandom(11 << 20)
    with File(url, "wb") as file:
        for start in range(0, len(data), 700_001):
            file.write(data[start : start + 700_001])
    with File(url, "rb") as file:
        assert file.size() == len(data)
        assert file.read(1000) == data[:1000]
        file.seek(-5000, os.SEEK_END)
        assert file.read(4000) == data[-5000:-1000]
        file.seek(0)
        assert b"".join(iter(lambda: file.read(65_537), b"")) == data


def test_an_object_whose_block_fails_does_not_appear(obs_bucket: str) -> None:
    url = f"{obs_bucket}/never"
    with pytest.raises(LookupError), File(url, "w") as file:
        file.write("half of it")
        raise LookupError
    with pytest.raises(FileNotFoundError):
        File(url)


def python(script: str, *arguments: object) -> tuple[str, str]:
    """Return what a script that finds the project says on its two outputs."""
    finished = subprocess.run(
        [sys.executable, "-W", "default", "-c", dedent(script), *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return finished.stdout, finished.stderr


def test_what_is_still_open_when_the_interpreter_exits_is_published(obs_bucket: str) -> None:
    script = """
        import sys
        from aioobs.sync._io import File
        text, data = File(sys.argv[1] + "/text", "w"), File(sys.argv[1] + "/data", "wb")
        text.write("text")
        data.write(b"data")
    """
    assert python(script, obs_bucket) == ("", "")
    with File(f"{obs_bucket}/text") as text, File(f"{obs_bucket}/data", "rb") as data:
        assert (text.read(), data.read()) == ("text", b"data")


def test_a_log_that_is_still_open_when_the_interpreter_exits_is_whole(obs_bucket: str) -> None:
    url = f"{obs_bucket}/log.txt"
    script = """
        import logging, sys
        from aioobs.sync._io import File
        stream = File(sys.argv[1], "w")
        logging.basicConfig(stream=stream, format="%(message)s", level=logging.DEBUG)
        stream.write("begin\\n")
        logging.warning("hello")
        stream.write("end\\n")
    """
    assert python(script, url) == ("", "")
    with File(url) as file:
        lines = file.read().splitlines()
        assert [line for line in lines if "selector" not in line] == ["begin", "hello", "end"]


def test_a_forked_child_does_not_publish_the_files_of_its_parent(obs_bucket: str) -> None:
    url = f"{obs_bucket}/forked.txt"
    script = """
        import io, os, sys, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        from aioobs.sync._io import File
        closed, forgotten = File(sys.argv[1], "w"), File(sys.argv[1] + "2", "w")
        closed.write("from the parent")
        forgotten.write("from the parent")
        if (pid := os.fork()) == 0:
            try:
                closed.close()
            except io.UnsupportedOperation as error:
                print("refused", closed.closed)
            sys.exit()
        os.waitpid(pid, 0)
        for name in sys.argv[1], sys.argv[1] + "2":
            try:
                File(name)
            except FileNotFoundError:
                print("not there")
        closed.close()
        forgotten.close()
        with File(name) as file:
            print(file.read())
    """
    out, err = python(script, url)
    assert (out, err) == ("refused True\nnot there\nnot there\nfrom the parent\n", "")


def test_a_child_goes_on_reading_what_its_parent_has_opened(obs_bucket: str) -> None:
    url = f"{obs_bucket}/shared.txt"
    with File(url, "w") as file:
        file.write(POEM)
    script = """
        import os, sys
        from aioobs.sync._io import File
        with File(sys.argv[1], buffering=16) as file:
            line = file.readline()
            if (pid := os.fork()) == 0:
                print(line + file.read(), end="", flush=True)
                os._exit(0)
            os.waitpid(pid, 0)
            print(line + file.read(), end="")
    """
    out, err = python(script, url)
    assert out == POEM + POEM, err
