"""`File` in the hands of the standard library: it does as `open` does."""

from __future__ import annotations

import bz2
import codecs
import configparser
import csv
import fileinput
import gzip
import hashlib
import io
import json
import logging
import lzma
import mmap
import os
import pickle
import plistlib
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
import threading
import tomllib
import wave
import xml.etree.ElementTree as ET
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, redirect_stdout
from typing import IO, TYPE_CHECKING, Any

import pytest
from alike import Folder, alike

import aioobs.sync as mox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

POEM = "Über allen Gipfeln\nist Ruh,\nin allen Wipfeln\nspürest du\n"
DATA = bytes(range(256)) * 12_000
PART = DATA[:300_000]
RANDOM = os.urandom(9 << 20)


# --- bytes ---------------------------------------------------------------------------------


@alike
def test_bytes_are_read_in_every_way(folder: Folder) -> object:
    folder.put("data", DATA)
    target, rest = bytearray(1000), bytearray(len(DATA))
    with folder.open("data", "rb") as file:
        assert isinstance(file, io.BufferedReader)
        found: list[object] = [file.read(5), file.readline(), file.readline(3), file.peek(2)[:2]]
        found += [file.read1(7), file.readinto(target), file.readinto1(memoryview(target)[:9])]
        found += [file.tell(), file.seek(-500, os.SEEK_END), file.read(), file.read(), file.read(1)]
        found += [file.seek(10), file.seek(5, os.SEEK_CUR), next(file), file.readlines(2000)]
        found += [file.seek(len(DATA) + 10), file.read(), file.seek(0), file.readinto(rest)]
    return found, bytes(target), rest == DATA


@alike
def test_numbers_are_read_from_a_file_of_records(folder: Folder) -> object:
    record = struct.Struct("<IdH")
    with folder.open("records", "wb") as file:
        for number in range(5000):
            file.write(record.pack(number, number / 3, number % 1000))
    found = []
    with folder.open("records", "rb") as file:
        buffer = bytearray(record.size)
        for number in (4999, 0, 1, 2, 2500, 2499):
            file.seek(number * record.size)
            assert file.readinto(buffer) == record.size
            found.append(record.unpack(buffer))
    return found, folder.content("records")


@alike
def test_files_are_copied_into_each_other(folder: Folder) -> object:
    folder.put("source", RANDOM)
    with folder.open("source", "rb") as source, folder.open("target", "wb") as target:
        shutil.copyfileobj(source, target)
    with tempfile.TemporaryFile() as spare:
        with folder.open("target", "rb") as source:
            shutil.copyfileobj(source, spare, 1 << 20)
        spare.seek(0)
        with folder.open("again", "wb") as target:
            shutil.copyfileobj(spare, target, 100_003)
    with tempfile.SpooledTemporaryFile(1 << 20) as spooled:
        with folder.open("again", "rb") as source:
            spooled.writelines(source)
        spooled.seek(0)
        assert spooled.read() == RANDOM
    return folder.content("target") == RANDOM, folder.content("again") == RANDOM


@alike
def test_a_file_is_digested(folder: Folder) -> object:
    folder.put("data", RANDOM)
    with folder.open("data", "rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    assert digest.digest() == hashlib.sha256(RANDOM).digest()
    return digest.hexdigest()


@alike
def test_files_are_closed_by_closing_and_by_a_stack(folder: Folder) -> object:
    with ExitStack() as stack:
        files = [stack.enter_context(folder.open(f"file-{number}", "w")) for number in range(5)]
        for number, file in enumerate(files):
            file.write(f"{number}")
    with closing(folder.open("file-2")) as file:
        text = file.read()
    assert all(file.closed for file in files)
    return text, [folder.content(f"file-{number}") for number in range(5)]


@alike
def test_what_a_file_cannot_do_is_refused_as_for_a_local_file(folder: Folder) -> object:
    folder.put("data", POEM.encode())
    refusals = []

    def refused(action: Callable[[], object]) -> None:
        with pytest.raises((OSError, ValueError, TypeError)) as caught:
            action()
        refusals.append((type(caught.value), getattr(caught.value, "errno", None)))

    with folder.open("data", "rb") as reader:
        refused(lambda: reader.write(b"x"))
        refused(lambda: reader.seek(-1))
        refused(lambda: reader.seek(0, 9))
        refused(reader.truncate)
    refused(reader.read)
    with folder.open("data") as text:
        refused(lambda: text.write("x"))
        refused(lambda: text.seek(1, os.SEEK_CUR))
    refused(text.readline)
    with folder.open("new", "wb") as writer:
        refused(writer.read)
        refused(lambda: writer.write("text"))
        refused(writer.readline)
        writer.write(b"valid")
    refused(lambda: writer.write(b"x"))
    with folder.open("new", "w") as text:
        refused(lambda: text.write(b"x"))
        refused(text.read)
    refused(lambda: folder.open("new", "x"))
    with pytest.raises(FileNotFoundError) as missing:
        folder.open("missing")
    return refusals, missing.value.errno, os.path.basename(missing.value.filename)


@pytest.mark.parametrize("mode", ["rb", "wb", "r", "w"])
def test_what_needs_a_descriptor_is_refused_with_the_error_of_io(
    mode: str, obs_bucket: str
) -> None:
    url = f"{obs_bucket}/data"
    mox.file.write(url, DATA, binary=True)
    uses: list[Callable[[Any], object]] = [
        lambda file: file.fileno(),
        lambda file: os.fstat(file.fileno()),
        lambda file: mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ),
        lambda file: subprocess.run([sys.executable, "-c", ""], stdout=file, check=True),
        lambda file: subprocess.run([sys.executable, "-c", ""], stdin=file, check=True),
        lambda file: os.sendfile(file.fileno(), file.fileno(), 0, 1),
    ]
    with mox.file.File(url, mode) as file:
        assert not file.isatty()
        for use in uses:
            with pytest.raises(io.UnsupportedOperation, match="fileno"):
                use(file)


@alike
def test_the_output_of_a_program_is_passed_on(folder: Folder) -> object:
    script = "import sys; sys.stdout.write(sys.stdin.read().upper())"
    folder.put("input", POEM.encode())
    command = [sys.executable, "-X", "utf8", "-c", script]
    with (
        folder.open("input", "rb") as source,
        folder.open("output", "wb") as target,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program,
    ):
        assert program.stdin is not None
        assert program.stdout is not None
        shutil.copyfileobj(source, program.stdin)
        program.stdin.close()
        shutil.copyfileobj(program.stdout, target)
    return folder.content("output")


# --- text ----------------------------------------------------------------------------------


@alike
def test_text_is_written_and_read_line_by_line(folder: Folder) -> object:
    with folder.open("poem", "w") as file:
        print("Wanderers", "Nachtlied", sep=" ", end="\n\n", file=file)
        file.writelines(POEM.splitlines(keepends=True))
        with redirect_stdout(file):
            sys.stdout.write("Goethe\n")
    with folder.open("poem") as file:
        assert isinstance(file, io.TextIOWrapper)
        found: list[object] = [file.readline(), file.readline(), file.readline(4), file.read(3)]
        found += [list(file), file.read()]
    with folder.open("poem") as file:
        file.readline()
        position = file.tell()
        rest = file.read()
        file.seek(position)
        found += [position, rest, file.readlines(), file.seek(0), file.readlines(25)]
        found += [file.seek(0, os.SEEK_END), file.encoding, file.newlines, file.errors]
    return found, folder.content("poem")


@pytest.mark.parametrize("newline", [None, "", "\n", "\r", "\r\n"])
def test_newlines_are_those_of_open(newline: str | None, tmp_path: Path, obs_bucket: str) -> None:
    @alike
    def program(folder: Folder) -> object:
        folder.put("mixed", b"one\r\ntwo\nthree\rfour\r\n")
        with folder.open("mixed", newline=newline) as file:
            found = file.readlines(), file.newlines
        with folder.open("written", "w", newline=newline) as file:
            file.write("one\ntwo\r\nthree\rfour\n")
        return found, folder.content("written")

    program(tmp_path, obs_bucket)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8-sig", "utf-16", "utf-32", "utf-16-le"])
def test_encodings_are_those_of_open(encoding: str, tmp_path: Path, obs_bucket: str) -> None:
    @alike
    def program(folder: Folder) -> object:
        with folder.open("poem", "w", encoding=encoding) as file:
            file.write(POEM[:10])
            file.write(POEM[10:])
        with folder.open("poem", encoding=encoding) as file:
            start = file.read(3)
            position = file.tell()
            rest = file.read()
            file.seek(position)
            assert file.read() == rest
            file.seek(0)
            assert file.read() == POEM
        assert start + rest == POEM
        content = folder.content("poem")
        assert content == POEM.encode(encoding)
        return content

    program(tmp_path, obs_bucket)


@alike
def test_characters_that_do_not_fit_are_handled_as_by_open(folder: Folder) -> object:
    folder.put("broken", b"good \xff\xfe bad \xc3")
    found: dict[str, object] = {}
    for errors in ("replace", "ignore", "surrogateescape", "backslashreplace"):
        with folder.open("broken", errors=errors) as file:
            found[errors] = file.read()
        with folder.open(errors, "w", encoding="ascii", errors=errors) as file:
            file.write("größer" if errors != "surrogateescape" else "gr\udcf6sser")
        found[f"{errors} written"] = folder.content(errors)
    with folder.open("broken") as file, pytest.raises(UnicodeDecodeError) as caught:
        file.read()
    found["strict"] = caught.value.start, caught.value.reason
    with folder.open("strict", "w", encoding="ascii") as file:
        with pytest.raises(UnicodeEncodeError):
            file.write("größer")
        file.write("good")
    return found, folder.content("strict")


@alike
def test_a_layer_of_text_can_be_put_over_a_file_of_bytes(folder: Folder) -> object:
    with folder.open("poem", "wb") as binary:
        wrapper = io.TextIOWrapper(binary, encoding="utf-8", newline="\r\n", write_through=True)
        wrapper.write(POEM)
        assert wrapper.detach() is binary
        binary.write(b"end")
    with folder.open("poem", "rb") as binary, io.TextIOWrapper(binary, "utf-8") as text:
        lines = text.readlines()
    with folder.open("poem", "rb") as binary:
        decoded = codecs.getreader("utf-8")(binary).readlines()
    with folder.open("encoded", "wb") as binary:
        codecs.getwriter("utf-16-be")(binary).write(POEM)
    with folder.open("encoded", "rb") as binary:
        recoded = codecs.EncodedFile(binary, "utf-8", "utf-16-be").read()
    return lines, decoded, recoded, folder.content("poem"), folder.content("encoded")


@alike
def test_the_lines_of_several_files_are_one_input(folder: Folder) -> object:
    for name in ("first", "second"):
        folder.put(name, POEM.encode())
    opener: Any = folder.open
    with fileinput.FileInput(["first", "second"], openhook=opener) as lines:
        return [(lines.filename(), lines.filelineno(), line) for line in lines]


@alike
def test_csv_is_written_and_read(folder: Folder) -> object:
    rows = [["name", "text"], ["a", 'with "quotes", commas'], ["b", "two\nlines"], ["ü", "\r\n"]]
    with folder.open("rows.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)
    with folder.open("rows.csv", newline="") as file:
        assert list(csv.reader(file)) == rows
    with folder.open("rows.csv", newline="") as file:
        dialect = csv.Sniffer().sniff(file.read(20))
        file.seek(0)
        named = list(csv.DictReader(file, dialect=dialect))
    return named, folder.content("rows.csv")


@alike
def test_documents_are_written_and_read(folder: Folder) -> object:
    things = {"numbers": list(range(1000)), "text": "Größe", "nested": {"null": None}}
    with folder.open("things.json", "w") as file:
        json.dump(things, file, ensure_ascii=False, indent=1)
    for mode in ("r", "rb"):
        with folder.open("things.json", mode) as file:
            assert json.load(file) == things
    with folder.open("things.plist", "wb") as file:
        plistlib.dump({"numbers": [1, 2], "bytes": DATA[:300]}, file, fmt=plistlib.FMT_BINARY)
    with folder.open("things.plist", "rb") as file:
        assert plistlib.load(file) == {"numbers": [1, 2], "bytes": DATA[:300]}

    settings = configparser.ConfigParser()
    settings["store"] = {"endpoint": "http://127.0.0.1:1", "größe": "5"}
    with folder.open("settings.ini", "w") as file:
        settings.write(file)
    read = configparser.ConfigParser()
    with folder.open("settings.ini") as file:
        read.read_file(file)
    assert read == settings
    folder.put("settings.toml", b"[store]\nlayers = [64, 64]\n")
    with folder.open("settings.toml", "rb") as file:
        assert tomllib.load(file) == {"store": {"layers": [64, 64]}}

    tree = ET.ElementTree(ET.fromstring("<root><leaf name='ü'>text</leaf></root>"))
    with folder.open("tree.xml", "wb") as file:
        tree.write(file, encoding="utf-8", xml_declaration=True)
    for mode in ("r", "rb"):
        with folder.open("tree.xml", mode) as file:
            assert ET.parse(file).findtext("leaf") == "text"
    with folder.open("tree.xml", "rb") as file:
        events = [(event, element.tag) for event, element in ET.iterparse(file, ("start", "end"))]
    names = ("things.json", "things.plist", "settings.ini", "tree.xml")
    return events, [folder.content(name) for name in names]


# --- objects -------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_objects_are_pickled_one_after_the_other(
    protocol: int, tmp_path: Path, obs_bucket: str
) -> None:
    @alike
    def program(folder: Folder) -> object:
        things = [{"a": [1, None, "ü"]}, RANDOM[:200_000], bytearray(RANDOM[:300_000]), 1 << 99]
        with folder.open("things", "wb") as file:
            for thing in things:
                pickle.dump(thing, file, protocol)
        with folder.open("things", "rb") as file:
            assert [pickle.load(file) for _ in things] == things
            with pytest.raises(EOFError):
                pickle.load(file)
        return folder.content("things")

    program(tmp_path, obs_bucket)


@alike
def test_large_buffers_are_pickled_out_of_band(folder: Folder) -> object:
    buffers: list[pickle.PickleBuffer] = []
    with folder.open("head", "wb") as file:
        wrapped = pickle.PickleBuffer(RANDOM)
        pickle.Pickler(file, 5, buffer_callback=buffers.append).dump(["big", wrapped])
    with folder.open("buffers", "wb") as file:
        for buffer in buffers:
            file.write(buffer)
    target = bytearray(len(RANDOM))
    with folder.open("buffers", "rb") as file:
        assert file.readinto(target) == len(RANDOM)
    with folder.open("head", "rb") as file:
        name, found = pickle.load(file, buffers=[target])
    assert found == RANDOM
    return name, folder.content("head")


# --- archives ------------------------------------------------------------------------------


@alike
def test_a_small_file_is_no_archive(folder: Folder) -> object:
    folder.put("small", b"PK")
    with folder.open("small", "rb") as file:
        assert not zipfile.is_zipfile(file)
        with pytest.raises(zipfile.BadZipFile):
            zipfile.ZipFile(file)
        return tarfile.is_tarfile(file)


@alike
def test_a_zip_archive_is_written_in_a_stream_and_read_at_will(folder: Folder) -> object:
    with folder.open("archive.zip", "wb") as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("folder/poem.txt", POEM)
            archive.writestr("stored", RANDOM, zipfile.ZIP_STORED)
            with archive.open("streamed", "w") as member:
                for start in range(0, len(DATA), 100_003):
                    member.write(DATA[start : start + 100_003])
        assert not file.closed
    with folder.open("archive.zip", "rb") as file:
        assert zipfile.is_zipfile(file)
        with zipfile.ZipFile(file) as archive:
            assert archive.testzip() is None
            assert archive.read("stored") == RANDOM
            with archive.open("streamed") as first, archive.open("folder/poem.txt") as second:
                parts = [first.read(10), second.readline()]
                assert first.read() == DATA[10:]
                first.seek(256 * 5)
                parts.append(first.read(3))
            text = zipfile.Path(archive, "folder/poem.txt").read_text("utf-8")
            return archive.namelist(), parts, text


@pytest.mark.parametrize("kind", ["", "gz", "bz2", "xz"])
def test_a_tar_archive_is_written_and_read(kind: str, tmp_path: Path, obs_bucket: str) -> None:
    members = {"folder/poem.txt": POEM.encode(), "data": PART, "empty": b""}

    def fill(file: IO[bytes], mode: Any) -> None:
        with tarfile.open(fileobj=file, mode=mode) as archive:
            for name, content in members.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))

    @alike
    def program(folder: Folder) -> object:
        for name, mode in [("file.tar", "w:"), ("stream.tar", "w|")]:
            with folder.open(name, "wb") as file:
                fill(file, mode + kind)
            with folder.open(name, "rb") as file, tarfile.open(fileobj=file, mode="r") as archive:
                for member in ("data", "folder/poem.txt", "data"):
                    found = archive.extractfile(member)
                    assert found is not None
                    assert found.read() == members[member]
            stream: Any = f"r|{kind}"
            with (
                folder.open(name, "rb") as file,
                tarfile.open(fileobj=file, mode=stream) as archive,
            ):
                assert [member.name for member in archive] == list(members)
        # Gzip puts the time and the name of the file into its head.
        return "" if kind == "gz" else (folder.content("file.tar"), folder.content("stream.tar"))

    program(tmp_path, obs_bucket)


@pytest.mark.parametrize("module", [gzip, bz2, lzma], ids=lambda module: module.__name__)
def test_a_file_is_compressed_on_the_way(module: Any, tmp_path: Path, obs_bucket: str) -> None:
    @alike
    def program(folder: Folder) -> object:
        with folder.open("packed", "wb") as file, module.open(file, "wb") as packed:
            packed.write(PART)
            packed.flush()
            packed.write(b"end")
        with folder.open("packed", "rb") as file, module.open(file, "rb") as packed:
            assert packed.read() == PART + b"end"
            packed.seek(1000)
            assert packed.read(500) == PART[1000:1500]
        with folder.open("text", "wb") as file, module.open(file, "wt", encoding="utf-8") as text:
            text.write(POEM)
        with folder.open("text", "rb") as file, module.open(file, "rt", encoding="utf-8") as text:
            assert text.readlines() == POEM.splitlines(keepends=True)
        assert module.decompress(folder.content("text")) == POEM.encode()
        return module.decompress(folder.content("packed")) == PART + b"end"

    program(tmp_path, obs_bucket)


@alike
def test_sound_is_written_if_its_length_is_known_and_read(folder: Folder) -> object:
    with folder.open("sound.wav", "wb") as file, wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.setnframes(4000)
        sound.writeframesraw(DATA[:8000])
    with folder.open("sound.wav", "rb") as file, wave.open(file, "rb") as sound:
        sound.setpos(100)
        return sound.getparams(), sound.readframes(10), folder.content("sound.wav")


# --- logs and threads ----------------------------------------------------------------------


@contextmanager
def bare_root_logger() -> Iterator[logging.Logger]:
    """Have the root logger without the handlers that pytest puts there."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers.clear()
    try:
        yield root
    finally:
        root.handlers[:] = before
        root.setLevel(level)


def test_the_root_logger_writes_every_record_into_an_object(
    obs_bucket: str, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"{obs_bucket}/sub_dir_0/logging.txt"
    with bare_root_logger(), mox.file.File(url, "w") as stream:
        logging.basicConfig(level=logging.DEBUG, stream=stream)
        console = logging.StreamHandler()
        console.setLevel(logging.INFO)
        logging.getLogger("").addHandler(console)
        logging.info("hello world")  # noqa: LOG015
        # The handler flushed, so the record is there although the file is open.
        assert mox.file.read(url).startswith("INFO:root:hello world\n")
        logging.debug("größer")  # noqa: LOG015
        stream.flush()
        assert "DEBUG:root:größer\n" in mox.file.read(url)
        stream.close()
    text = mox.file.read(url)
    assert text.startswith("INFO:root:hello world\n")
    assert text.count("DEBUG:root:größer\n") == 1
    assert capsys.readouterr().err == "hello world\n"


def test_threads_that_log_into_one_object_do_not_wait_for_each_other_for_ever(
    obs_bucket: str,
) -> None:
    url = f"{obs_bucket}/log.txt"
    logger = logging.getLogger("threads")

    def work(worker: int) -> None:
        for number in range(10):
            logger.debug("%d-%d", worker, number)
            assert f"{worker}-{number}\n" in mox.file.read(url)

    with bare_root_logger() as root, mox.file.File(url, "w") as stream:
        root.setLevel(logging.DEBUG)
        handler = logging.StreamHandler(stream)
        handler.addFilter(logging.Filter("threads"))
        root.addHandler(handler)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(work, range(4)))
    lines = mox.file.read(url).splitlines()
    assert sorted(lines) == sorted(f"{worker}-{line}" for worker in range(4) for line in range(10))


@alike
def test_each_thread_has_a_file_of_its_own(folder: Folder) -> object:
    together = threading.Barrier(8)

    def work(number: int) -> int:
        with folder.open(f"file-{number}", "w") as file:
            together.wait(timeout=10)
            for line in range(1000):
                file.write(f"{number}:{line}\n")
        with folder.open(f"file-{number}") as file:
            return sum(len(line) for line in file)

    with ThreadPoolExecutor(8) as pool:
        lengths = list(pool.map(work, range(8)))
    return lengths, [folder.content(f"file-{number}") for number in range(8)]


@alike
def test_threads_take_turns_with_one_reader(folder: Folder) -> object:
    folder.put("data", RANDOM)
    lock, parts = threading.Lock(), []
    with folder.open("data", "rb") as file:

        def work(start: int) -> None:
            with lock:
                file.seek(start)
                parts.append((start, file.read(1 << 16)))

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(work, range(0, len(RANDOM), 1 << 18)))
    assert all(part == RANDOM[start : start + (1 << 16)] for start, part in parts)
    return len(parts)
