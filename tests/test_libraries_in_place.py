"""Files that are changed in place, `r+ w+ a a+ x+`: libraries find in objects what `open` gives."""

from __future__ import annotations

import bz2
import configparser
import csv
import gzip
import io
import json
import logging
import lzma
import os
import pickle
import subprocess
import sys
import tarfile
import wave
import zipfile
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pandas as pd
import pytest
from alike import Folder, alike
from PIL import Image

import aioobs.sync as mox

if TYPE_CHECKING:
    from pathlib import Path

POEM = "Über allen Gipfeln\nist Ruh,\nin allen Wipfeln\nspürest du\n"
DATA = bytes(range(256)) * 30_000
ARRAY = np.arange(100_000, dtype=np.float64).reshape(100, 1000)
FRAME = pd.DataFrame({"number": range(200), "name": [f"Zeile «{row}»" for row in range(200)]})


# --- bytes ---------------------------------------------------------------------------------


@alike
def test_bytes_are_changed_in_the_middle_and_at_the_end(folder: Folder) -> object:
    folder.put("data", DATA)
    with folder.open("data", "r+b") as file:
        assert isinstance(file, io.BufferedRandom)
        found: list[object] = [file.read(5), file.tell(), file.write(b"FIVE"), file.read(3)]
        found += [file.seek(-3, os.SEEK_END), file.write(b"beyond the end"), file.tell()]
        found += [file.seek(1_000_000), file.write(DATA[7:500_007]), file.seek(0), file.read(20)]
        found += [file.seek(len(DATA) + 100), file.write(b"after a hole")]
    return found, folder.content("data")


@alike
def test_a_file_is_cut_and_grown(folder: Folder) -> object:
    found: list[object] = []
    folder.put("data", DATA)
    with folder.open("data", "r+b") as file:
        file.seek(10)
        found += [file.truncate(), file.tell(), file.seek(0), file.read()]
        found += [file.truncate(20), file.seek(0), file.read(), file.truncate(5)]
        found += [file.tell(), file.write(b"x")]
    return found, folder.content("data")


@pytest.mark.parametrize("mode", ["w+b", "x+b", "a+b", "wb+", "bw+"])
def test_what_was_written_is_read_back_before_it_is_closed(
    mode: str, tmp_path: Path, obs_bucket: str
) -> None:
    @alike
    def program(folder: Folder) -> object:
        if "x" not in mode:
            folder.put("data", b"what was there")
        with folder.open("data", mode) as file:
            found: list[object] = [file.tell(), file.read(), file.write(DATA), file.tell()]
            found += [file.seek(100), file.read(5), file.write(b"!!"), file.tell(), file.read(5)]
            found += [file.seek(0), file.read() == DATA, file.readable(), file.seekable()]
        return found, folder.content("data")

    program(tmp_path, obs_bucket)


@pytest.mark.parametrize("mode", ["ab", "a"])
def test_what_is_added_comes_after_what_is_there(
    mode: str, tmp_path: Path, obs_bucket: str
) -> None:
    @alike
    def program(folder: Folder) -> object:
        found = []
        for line in ("eins\n", "zwei\n", "drei\n"):
            with folder.open("lines", mode) as file:
                found.append(file.tell())
                file.write(line if mode == "a" else line.encode())
                found.append(file.tell())
                with pytest.raises(io.UnsupportedOperation):
                    file.read()
        folder.put("large", DATA)
        with folder.open("large", "ab") as file:
            file.write(DATA[:100])
        assert folder.content("large") == DATA + DATA[:100]
        return found, folder.content("lines")

    program(tmp_path, obs_bucket)


@alike
def test_each_flush_shows_what_was_written_so_far(folder: Folder) -> object:
    found = []
    for mode in ("w", "r+", "a", "a+", "w+"):
        with folder.open("data", f"{mode}b") as file:
            for part in (b"one ", b"two ", b"three "):
                file.write(part)
                file.flush()
                found.append(folder.content("data"))
    return found, folder.content("data")


def test_an_object_that_was_only_read_stays_the_same_one(obs_bucket: str) -> None:
    url = f"{obs_bucket}/obs_file.txt"
    mox.file.write(url, POEM)
    before = mox.file.stat(url).mtime_nsec
    file = mox.file.File(url, "rb+")
    assert file.read() == POEM.encode()
    file.close()
    assert (mox.file.read(url), mox.file.stat(url).mtime_nsec) == (POEM, before)
    with mox.file.File(url, "rb+") as file:
        assert file.read(3) == POEM.encode()[:3]
        file.write(b"!!!")
        assert mox.file.read(url) == POEM
    assert mox.file.read(url, binary=True) == POEM.encode()[:3] + b"!!!" + POEM.encode()[6:]


# --- text ----------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "latin-1"])
def test_text_is_changed_in_any_encoding(encoding: str, tmp_path: Path, obs_bucket: str) -> None:
    @alike
    def program(folder: Folder) -> object:
        with folder.open("poem", "w+", encoding=encoding) as file:
            file.write(POEM)
            file.seek(0)
            found: list[object] = [file.read(4)]
        with folder.open("poem", "a", encoding=encoding) as file:
            found += [file.tell(), file.write("kaum einen Hauch\n"), file.tell()]
        with folder.open("poem", "a+", encoding=encoding) as file:
            file.seek(0)
            found += [file.readline(), file.tell(), file.write("Ende\n"), file.read()]
        with folder.open("poem", "r+", encoding=encoding) as file:
            found += [file.read(), file.seek(0), file.readline()]
            position = file.tell()
            file.seek(position)
            found += [file.write("IST"), file.seek(0), file.read()]
        return found, folder.content("poem")

    program(tmp_path, obs_bucket)


@alike
def test_a_document_is_loaded_changed_and_written_over(folder: Folder) -> object:
    folder.put("state.json", json.dumps({"rounds": 1, "long": "x" * 5000}).encode())
    for _ in range(3):
        with folder.open("state.json", "r+") as file:
            state = json.load(file)
            state["rounds"] += 1
            state["long"] = state["long"][1000:]
            file.seek(0)
            json.dump(state, file)
            file.truncate()
    settings = configparser.ConfigParser()
    folder.put("settings.ini", b"[first]\na = 1\n[second]\nb = 2\n")
    with folder.open("settings.ini", "r+") as file:
        settings.read_file(file)
        settings.remove_section("first")
        file.seek(0)
        settings.write(file)
        file.truncate()
    return state, folder.content("state.json"), folder.content("settings.ini")


@alike
def test_rows_records_and_objects_are_added(folder: Folder) -> object:
    for number in range(3):
        with folder.open("rows.csv", "a", newline="") as file:
            writer = csv.DictWriter(file, ["number", "name"])
            if not file.tell():
                writer.writeheader()
            writer.writerow({"number": number, "name": f"a\n{number}"})
        with folder.open("lines", "a") as file:
            print(number, "größer", file=file, flush=True)
        with folder.open("things", "ab") as file:
            pickle.dump({"number": number}, file)
        handler = logging.StreamHandler(folder.open("log", "a"))
        handler.emit(logging.makeLogRecord({"msg": f"round {number}"}))
        assert folder.content("log").endswith(b"round %d\n" % number)
        handler.stream.close()
    with folder.open("rows.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    with folder.open("things", "rb") as file:
        things = [pickle.load(file) for _ in range(3)]
    names = ("rows.csv", "lines", "things", "log")
    return rows, things, [folder.content(name) for name in names]


# --- archives ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_archive_is_written_and_added_to(kind: int, tmp_path: Path, obs_bucket: str) -> None:
    def add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
        member = zipfile.ZipInfo(name, (2024, 2, 29, 12, 0, 0))
        member.compress_type = kind
        archive.writestr(member, content)

    @alike
    def program(folder: Folder) -> object:
        with folder.open("archive.zip", "w+b") as file, zipfile.ZipFile(file, "w") as archive:
            add(archive, "data", DATA[:300_000])
            assert archive.read("data") == DATA[:300_000]
        first = folder.content("archive.zip")
        with folder.open("archive.zip", "r+b") as file, zipfile.ZipFile(file, "a") as archive:
            add(archive, "poem.txt", POEM.encode())
        with folder.open("archive.zip", "rb") as file, zipfile.ZipFile(file) as archive:
            assert archive.testzip() is None
            assert archive.read("poem.txt").decode() == POEM
            names = archive.namelist()
        return names, first, folder.content("archive.zip")

    program(tmp_path, obs_bucket)


@alike
def test_a_tar_archive_is_added_to(folder: Folder) -> object:
    for number in range(3):
        with (
            folder.open("archive.tar", "r+b" if number else "w+b") as file,
            tarfile.open(fileobj=file, mode="a" if number else "w") as archive,
        ):
            member = tarfile.TarInfo(f"member-{number}")
            member.size = 10_000 * number
            archive.addfile(member, io.BytesIO(DATA))
    with folder.open("archive.tar", "rb") as file, tarfile.open(fileobj=file) as archive:
        return archive.getnames(), folder.content("archive.tar")


@pytest.mark.parametrize("module", [gzip, bz2, lzma], ids=lambda module: module.__name__)
def test_compressed_parts_are_added(module: Any, tmp_path: Path, obs_bucket: str) -> None:
    @alike
    def program(folder: Folder) -> object:
        for part in (DATA[:1000], DATA[:2000]):
            with folder.open("packed", "ab") as file, module.open(file, "ab") as packed:
                packed.write(part)
        with folder.open("packed", "rb") as file, module.open(file, "rb") as packed:
            return packed.read() == DATA[:1000] + DATA[:2000]

    program(tmp_path, obs_bucket)


@alike
def test_sound_is_written_without_knowing_its_length(folder: Folder) -> object:
    with folder.open("sound.wav", "w+b") as file, wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        for start in range(0, 8000, 1000):
            sound.writeframes(DATA[start : start + 1000])  # each goes back to the head
    return folder.content("sound.wav")


# --- pandas and NumPy ----------------------------------------------------------------------


@alike
def test_pandas_adds_to_what_is_there(folder: Folder) -> object:
    for start in (0, 100):
        with folder.open("frame.csv", "a") as file:
            FRAME[start : start + 100].to_csv(file, index=False, header=not start)
        with folder.open("frame.jsonl", "ab") as file:
            FRAME[start : start + 100].to_json(file, orient="records", lines=True)
    with folder.open("frame.csv") as file:
        pd.testing.assert_frame_equal(pd.read_csv(file), FRAME)
    with folder.open("frame.jsonl") as file:
        pd.testing.assert_frame_equal(pd.read_json(file, lines=True), FRAME)
    return folder.content("frame.csv"), folder.content("frame.jsonl")


@alike
def test_pandas_writes_and_reads_one_open_file(folder: Folder) -> object:
    with folder.open("frame.parquet", "w+b") as file:
        FRAME.to_parquet(file)
        file.seek(0)
        pd.testing.assert_frame_equal(pd.read_parquet(file), FRAME)
    with folder.open("frame.csv", "w+") as file:
        FRAME.to_csv(file, index=False)
        file.seek(0)
        pd.testing.assert_frame_equal(pd.read_csv(file), FRAME)
    return folder.content("frame.parquet"), folder.content("frame.csv")


@alike
def test_pandas_adds_a_sheet_to_a_workbook(folder: Folder) -> object:
    with folder.open("book.xlsx", "w+b") as file:
        FRAME.to_excel(file, sheet_name="first", index=False)
    with (
        folder.open("book.xlsx", "r+b") as file,
        pd.ExcelWriter(file, engine="openpyxl", mode="a") as writer,
    ):
        FRAME.head(3).to_excel(writer, sheet_name="second", index=False)
    with folder.open("book.xlsx", "rb") as file:
        sheets = pd.read_excel(file, sheet_name=None)
    pd.testing.assert_frame_equal(sheets["first"], FRAME)
    return list(sheets), sheets["second"].to_dict()


@alike
def test_numpy_saves_and_changes_arrays_in_place(folder: Folder) -> object:
    with folder.open("array.npy", "w+b") as file:
        np.save(file, ARRAY)
        file.seek(0)
        assert np.array_equal(np.load(file), ARRAY)
    with folder.open("array.npy", "r+b") as file:
        np.lib.format.read_magic(file)
        np.lib.format.read_array_header_1_0(file)
        start = file.tell()
        file.seek(start + 5000 * ARRAY.itemsize)
        file.write(np.full(10, -1.0).tobytes())
    with folder.open("array.npy", "rb") as file:
        assert np.load(file).reshape(-1)[4999:5011].tolist() == [4999.0, *[-1.0] * 10, 5010.0]
    with folder.open("arrays.npz", "w+b") as file:
        np.savez(file, first=ARRAY)
        file.seek(0)
        with np.load(file) as arrays:
            assert np.array_equal(arrays["first"], ARRAY)
    return folder.content("array.npy"), folder.content("arrays.npz")


@alike
def test_what_goes_by_way_of_the_descriptor_is_published_too(folder: Folder) -> object:
    with folder.open("array", "w+b") as file:
        file.write(b"headhead")
        ARRAY.tofile(file)
        file.write(b"tail")
        file.flush()
        script = "import os; os.write(1, b'from a program')"
        subprocess.run([sys.executable, "-c", script], stdout=file, check=True)
    first = folder.content("array")
    with folder.open("array", "r+b") as file:
        assert file.read(8) == b"headhead"
        assert np.array_equal(np.fromfile(file, count=10), ARRAY[0, :10])
        file.write(ARRAY[5, :10].tobytes())
        file.flush()
        mapped = np.memmap(file, ARRAY.dtype, "r+", offset=8, shape=ARRAY.shape)
        assert np.array_equal(mapped[0, 10:20], ARRAY[5, :10])
        mapped[99, 990:] = -1
        mapped.flush()
        del mapped
    assert first != folder.content("array")
    return first, folder.content("array")


# --- Pillow and h5py -----------------------------------------------------------------------


def gradient() -> Image.Image:
    pixels = np.arange(192 * 256, dtype=np.uint32).view(np.uint8).reshape(192, 256, 4)
    return Image.fromarray(pixels[:, :, :3].copy())


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("JPEG", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"save_all": True, "append_images": [Image.new("RGB", (256, 192), "red")]}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_pillow_saves_pictures_that_go_back(
    kind: str, options: dict[str, Any], tmp_path: Path, obs_bucket: str
) -> None:
    @alike
    def program(folder: Folder) -> object:
        with folder.open("picture", "w+b") as file:
            gradient().save(file, format=kind, **options)
            file.seek(0)
            with Image.open(file) as picture:
                last = getattr(picture, "n_frames", 1) - 1
                picture.seek(last)
                pixels = picture.convert("RGB").tobytes()
        return last, pixels, folder.content("picture")

    program(tmp_path, obs_bucket)


@alike
def test_h5py_writes_reads_and_changes_in_place(folder: Folder) -> object:
    with folder.open("data.h5", "w+b") as raw, h5py.File(raw, "w") as file:
        file.create_dataset("group/data", data=ARRAY, chunks=(10, 1000), compression="gzip")
        file.create_dataset("plain", data=ARRAY)
    first = folder.content("data.h5")
    with folder.open("data.h5", "r+b") as raw, h5py.File(raw, "r+") as file:
        file["plain"][50:60] = -1
        file["plain"].attrs["unit"] = "Grad"
        file["group/data"][5] = 7
    with folder.open("data.h5", "rb") as raw, h5py.File(raw, "r") as file:
        assert (file["plain"][49:61, 0] == [49_000.0, *[-1.0] * 10, 60_000.0]).all()
        assert (file["group/data"][5] == 7).all()
        assert np.array_equal(file["group/data"][6:], ARRAY[6:])
        assert file["plain"].attrs["unit"] == "Grad"
    return first, folder.content("data.h5")


@alike
def test_h5py_shows_what_it_flushed(folder: Folder) -> object:
    with folder.open("data.h5", "w+b") as raw, h5py.File(raw, "w") as file:
        rows = file.create_dataset("rows", (0, 10), maxshape=(None, 10), dtype="f8")
        found = []
        for number in range(3):
            rows.resize(number + 1, axis=0)
            rows[number] = np.full(10, number)
            file.flush()
            with h5py.File(io.BytesIO(folder.content("data.h5")), "r") as shown:
                found.append(shown["rows"][...].tolist())
    return found
