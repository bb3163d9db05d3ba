"""`File` in the hands of pandas, NumPy, Pillow, h5py and PyTorch: it does as `open` does."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import tarfile
import zipfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from alike import Folder, alike
from PIL import Image

import aioobs.sync as mox

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO

FRAME = pd.DataFrame(
    {
        "number": range(2000),
        "half": [number / 2 for number in range(2000)],
        "name": [f"Zeile «{number}»" for number in range(2000)],
    }
)
CSV = FRAME.to_csv(index=False, lineterminator="\n").encode()
ARRAY = np.arange(300_000, dtype=np.float64).reshape(300, 1000)


def same_frame(found: object) -> bool:
    """Compare with FRAME, and say in which way it differs."""
    pd.testing.assert_frame_equal(found, FRAME)
    return True


# --- pandas --------------------------------------------------------------------------------


@alike
def test_pandas_writes_csv_to_a_file_of_text(folder: Folder) -> object:
    with folder.open("frame.csv", "w") as file:
        FRAME.to_csv(file, index=False)
    with folder.open("frame.csv") as file:
        return same_frame(pd.read_csv(file)), folder.content("frame.csv")


@alike
def test_pandas_writes_csv_to_a_file_of_bytes(folder: Folder) -> object:
    with folder.open("frame.csv", "wb") as file:
        FRAME.to_csv(file, index=False, encoding="utf-8-sig")
    with folder.open("frame.csv", "rb") as file:
        found = pd.read_csv(file, encoding="utf-8-sig")
    return same_frame(found), folder.content("frame.csv")


@alike
def test_pandas_reads_csv_in_chunks_and_stops_where_it_likes(folder: Folder) -> object:
    folder.put("frame.csv", CSV)
    with folder.open("frame.csv") as file, pd.read_csv(file, chunksize=300) as chunks:
        whole = pd.concat(chunks)
    with folder.open("frame.csv", "rb") as file:
        head = pd.read_csv(file, nrows=3, usecols=["name"])
    with folder.open("frame.csv", "rb") as file:
        tail = pd.read_csv(file, skiprows=1990, header=None, engine="python")
    with folder.open("frame.csv", "rb") as file:
        arrow = pd.read_csv(file, engine="pyarrow")
    return same_frame(whole), head.to_dict(), tail.to_dict(), arrow.number.tolist()


def test_pandas_2_does_not_take_a_writer_for_a_local_file(obs_bucket: str) -> None:
    file: Any
    with mox.file.File(f"{obs_bucket}/frame.parquet", "wb") as file:
        # Its to_parquet lets pyarrow open such a name, and so writes somewhere else.
        assert not (isinstance(file, io.BufferedWriter) and isinstance(file.name, str | bytes))


@pytest.mark.parametrize("compression", ["gzip", "bz2", "xz", "zip", "tar"])
def test_pandas_compresses_csv(compression: str, tmp_path: Path, obs_bucket: str) -> None:
    @alike
    def program(folder: Folder) -> object:
        with folder.open("frame.csv.packed", "wb") as file:
            FRAME.to_csv(file, index=False, compression=compression)
        with folder.open("frame.csv.packed", "rb") as file:
            found = pd.read_csv(file, compression=compression)
        # The others have the time in their heads.
        packed = folder.content("frame.csv.packed") if compression in ("bz2", "xz") else b""
        return same_frame(found), packed

    program(tmp_path, obs_bucket)


@alike
def test_pandas_writes_and_reads_json(folder: Folder) -> object:
    with folder.open("frame.json", "w") as file:
        FRAME.to_json(file)
    with folder.open("frame.json") as file:
        assert same_frame(pd.read_json(file))
    with folder.open("frame.jsonl", "wb") as file:
        FRAME.to_json(file, orient="records", lines=True)
    with folder.open("frame.jsonl") as file, pd.read_json(file, lines=True, chunksize=500) as parts:
        lengths = [len(part) for part in parts]
    with folder.open("frame.jsonl", "rb") as file:
        assert same_frame(pd.read_json(file, lines=True))
    return lengths, folder.content("frame.json"), folder.content("frame.jsonl")


@alike
def test_pandas_writes_and_reads_parquet(folder: Folder) -> object:
    with folder.open("frame.parquet", "wb") as file:
        FRAME.to_parquet(file, row_group_size=200)
        assert not file.closed
    with folder.open("frame.parquet", "rb") as file:
        assert same_frame(pd.read_parquet(file))
    with folder.open("frame.parquet", "rb") as file:
        some = pd.read_parquet(file, columns=["half"], filters=[("number", ">=", 1990)])
    with folder.open("frame.parquet", "rb") as file:
        group = pq.ParquetFile(file).read_row_group(4, columns=["number"])
    return some.to_dict(), group.to_pylist(), folder.content("frame.parquet")


@alike
def test_pandas_writes_and_reads_excel(folder: Folder) -> object:
    few = FRAME.head(50)
    with folder.open("frame.xlsx", "wb") as file:
        few.to_excel(file, index=False)
    with folder.open("frame.xlsx", "rb") as file:
        found = pd.read_excel(file)
    with folder.open("sheets.xlsx", "wb") as file, pd.ExcelWriter(file) as writer:
        few.to_excel(writer, sheet_name="first")
        few.to_excel(writer, sheet_name="second")
    with folder.open("sheets.xlsx", "rb") as file, pd.ExcelFile(file) as book:
        names = book.sheet_names
    pd.testing.assert_frame_equal(found, few)
    return names


@alike
def test_pandas_writes_and_reads_pickle(folder: Folder) -> object:
    with folder.open("frame.pickle", "wb") as file:
        FRAME.to_pickle(file)
    with folder.open("frame.pickle", "rb") as file:
        return same_frame(pd.read_pickle(file)), folder.content("frame.pickle")


def test_the_frame_of_the_mox_examples_is_written_and_read(obs_bucket: str) -> None:
    frame = pd.DataFrame({"col1": [1, 2], "col2": [3, 4]})
    with mox.file.File(f"{obs_bucket}/b.txt", "w") as file:
        frame.to_csv(file)
    assert mox.file.read(f"{obs_bucket}/b.txt") == frame.to_csv()
    with mox.file.File(f"{obs_bucket}/b.txt", "r") as file:
        assert pd.read_csv(file, index_col=0).equals(frame)


# --- NumPy ---------------------------------------------------------------------------------


@alike
def test_numpy_saves_and_loads_an_array(folder: Folder) -> object:
    with folder.open("array.npy", "wb") as file:
        np.save(file, ARRAY)
        np.save(file, np.asfortranarray(ARRAY[:10]))
    with folder.open("array.npy", "rb") as file:
        assert np.array_equal(np.load(file), ARRAY)
        assert np.array_equal(np.load(file), ARRAY[:10])
        assert file.read() == b""
    return folder.content("array.npy")


@alike
def test_numpy_saves_and_loads_objects(folder: Folder) -> object:
    things = np.array([{"a": 1}, None, "text"], dtype=object)
    with folder.open("array.npy", "wb") as file:
        np.save(file, things, allow_pickle=True)
    with folder.open("array.npy", "rb") as file:
        assert np.load(file, allow_pickle=True).tolist() == things.tolist()
    return folder.content("array.npy")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_numpy_saves_archives_and_loads_their_members_when_they_are_wanted(
    save: Callable[..., None], tmp_path: Path, obs_bucket: str
) -> None:
    @alike
    def program(folder: Folder) -> object:
        with folder.open("arrays.npz", "wb") as file:
            save(file, first=ARRAY[:50], second=ARRAY[50::-1])
        with folder.open("arrays.npz", "rb") as file, np.load(file) as arrays:
            assert np.array_equal(arrays["second"], ARRAY[50::-1])
            assert np.array_equal(arrays["first"], ARRAY[:50])
            return sorted(arrays.files)

    program(tmp_path, obs_bucket)


@alike
def test_numpy_writes_and_reads_text(folder: Folder) -> object:
    numbers = ARRAY[:20, :5]
    for name, mode in [("text", "w"), ("bytes", "wb")]:
        with folder.open(name, mode) as file:
            np.savetxt(file, numbers, header="Größe", encoding="utf-8")
        with folder.open(name, mode.replace("w", "r")) as file:
            assert np.array_equal(np.loadtxt(file), numbers)
    with folder.open("text") as file:
        assert np.array_equal(np.genfromtxt(file), numbers)
    return folder.content("text"), folder.content("bytes")


def test_what_numpy_does_with_descriptors_is_refused_with_the_error_of_io(obs_bucket: str) -> None:
    url = f"{obs_bucket}/array"
    with mox.file.File(url, "wb") as file, pytest.raises(io.UnsupportedOperation, match="fileno"):
        ARRAY.tofile(file)
    mox.file.write(url, ARRAY.tobytes(), binary=True)
    with mox.file.File(url, "rb") as file:
        with pytest.raises(io.UnsupportedOperation, match="fileno"):
            np.fromfile(file)
        # What the message of a refusal leads to: the same numbers, by way of the file.
        assert np.array_equal(np.frombuffer(file.read()).reshape(ARRAY.shape), ARRAY)


def test_numpy_does_not_map_an_object_into_memory(obs_bucket: str) -> None:
    url = f"{obs_bucket}/array.npy"
    with mox.file.File(url, "wb") as file:
        np.save(file, ARRAY)
    with mox.file.File(url, "rb") as file:
        with pytest.raises((TypeError, ValueError), match=r"PathLike|existing file handles"):
            np.load(file, mmap_mode="r")
        with pytest.raises(io.UnsupportedOperation, match="fileno"):
            np.memmap(file, mode="r")
        file.seek(0)
        assert np.array_equal(np.load(file), ARRAY)


# --- Pillow --------------------------------------------------------------------------------


def gradient() -> Image.Image:
    return Image.fromarray(
        np.arange(192 * 256, dtype=np.uint32).view(np.uint8).reshape(192, 256, 4)
    )


@pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF", "WEBP"])
def test_pillow_saves_and_opens_pictures(kind: str, tmp_path: Path, obs_bucket: str) -> None:
    @alike
    def program(folder: Folder) -> object:
        with folder.open("picture", "wb") as file:
            gradient().save(file, format=kind)
        with folder.open("picture", "rb") as file, Image.open(file) as picture:
            # Only what is asked for is read: the head now, the pixels when they are wanted.
            assert (picture.format, picture.size) == (kind, (256, 192))
            pixels = picture.convert("RGBA").tobytes()
        return pixels, folder.content("picture")

    program(tmp_path, obs_bucket)


@alike
def test_pillow_saves_and_opens_a_photograph(folder: Folder) -> object:
    with folder.open("photo.jpg", "wb") as file:
        gradient().convert("RGB").save(file, format="JPEG", quality=90, optimize=True)
    with folder.open("photo.jpg", "rb") as file, Image.open(file) as picture:
        picture.draft("RGB", (64, 48))
        small = picture.resize((64, 48)).tobytes()
    with folder.open("photo.jpg", "rb") as file, Image.open(file) as picture:
        picture.verify()
    return small, folder.content("photo.jpg")


@alike
def test_pillow_opens_the_pages_of_a_file(folder: Folder) -> object:
    pages = [Image.new("L", (64, 64), shade) for shade in (10, 20, 30)]
    for kind in ("TIFF", "GIF"):
        content = io.BytesIO()
        pages[0].save(content, format=kind, save_all=True, append_images=pages[1:])
        folder.put(kind, content.getvalue())
    shades = []
    for kind in ("TIFF", "GIF"):
        with folder.open(kind, "rb") as file, Image.open(file) as picture:
            for page in (2, 0, 1):
                picture.seek(page)
                shades.append(picture.convert("L").getpixel((5, 5)))
    assert shades == [30, 10, 20] * 2
    return shades


def test_a_picture_is_decoded_from_what_read_returns(obs_bucket: str) -> None:
    with mox.file.File(f"{obs_bucket}/picture.png", "wb") as file:
        gradient().save(file, format="PNG")
    codes = np.frombuffer(mox.file.read(f"{obs_bucket}/picture.png", binary=True), np.uint8)
    with Image.open(io.BytesIO(codes.tobytes())) as picture:
        assert picture.tobytes() == gradient().tobytes()


# --- h5py ----------------------------------------------------------------------------------


@alike
def test_h5py_reads_what_it_needs(folder: Folder) -> object:
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        file.create_dataset("group/data", data=ARRAY, chunks=(10, 1000), compression="gzip")
        file["group"].attrs["unit"] = "Grad"
    folder.put("data.h5", content.getvalue())
    with folder.open("data.h5", "rb") as raw, h5py.File(raw, "r") as file:
        assert list(file["group"]) == ["data"]
        assert np.array_equal(file["group/data"][150:160], ARRAY[150:160])
        assert np.array_equal(file["group/data"][...], ARRAY)
        return file["group"].attrs["unit"]


def test_a_class_that_copies_there_and_back_makes_h5py_take_urls(
    obs_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    class File(h5py.File):  # type: ignore[misc]
        def __init__(self, name: str, mode: str) -> None:
            self._url = name
            self.copy_path = os.path.join("cache", "h5py_tmp", name.replace("/", "_"))
            if mox.file.exists(name):
                mox.file.copy(name, self.copy_path)
            else:
                mox.file.make_dirs(os.path.dirname(self.copy_path))
            super().__init__(self.copy_path, mode)

        def close(self) -> None:
            if self.id:
                super().close()  # or else what is copied is half a file
                mox.file.copy(self.copy_path, self._url)

    url = f"{obs_bucket}/folder/random.hdf5"
    with File(url, "w") as file:
        file.create_dataset("default", data=ARRAY)
    Path(file.copy_path).unlink()
    with File(url, "r") as file:
        assert np.array_equal(file["default"][...], ARRAY)


@pytest.mark.parametrize(
    "save",
    [lambda file: gradient().save(file, format="TIFF"), lambda file: h5py.File(file, "w")],
    ids=["TIFF", "HDF5"],
)
def test_a_format_that_goes_back_is_refused_by_a_stream_and_nothing_is_published(
    save: Callable[[IO[bytes]], object], obs_bucket: str
) -> None:
    url = f"{obs_bucket}/file"
    # h5py goes on with an error pending, which CPython may find before h5py tells of it.
    refused = pytest.raises((OSError, SystemError), match="seek")
    with refused, mox.file.File(url, "wb") as file:
        save(file)
    assert not mox.file.exists(url)


# --- PyTorch -------------------------------------------------------------------------------
#
# Too big to be installed for a test, so these make the calls that it makes on a file object.

STORAGES = {f"data/{number}": os.urandom(700_001) for number in range(8)}


def save_like_torch(file: IO[bytes]) -> None:
    """Do as `torch.save`: its writer of archives is given `write` and nothing else.

    It never asks for the position and never goes back: the sizes are known when a record begins.
    `flush` comes at its end.
    """
    pieces = io.BytesIO()
    with zipfile.ZipFile(pieces, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(list(STORAGES), protocol=2))
        for name, storage in STORAGES.items():
            archive.writestr(f"archive/{name}", storage)
    content = pieces.getbuffer()
    start = 0
    # A head of a record, its padding, its bytes: lengths between one and a whole storage.
    for length in (30, 1, 64, 700_001, 3, 65_536) * 40:
        piece = content[start : start + length]
        if piece:
            assert file.write(piece) == len(piece)
        start += length
    file.write(content[start:])
    file.flush()


def load_like_torch(file: Any) -> dict[str, bytes]:
    """Do as `torch.load` of an archive.

    First it looks whether this is one and whether it can seek; then its reader asks for the size by
    way of the end, goes to an absolute position before each read, and reads by `readinto` into
    memory of its own, the directory of the archive from the end and 4 KiB at a time.
    """
    start = file.tell()
    assert file.read(4) == b"PK\x03\x04"
    file.seek(start)
    file.seek(file.tell())
    file.seek(0, os.SEEK_END)
    size = file.tell() - start
    file.seek(start)

    def read_at(position: int, length: int) -> bytes:
        target = bytearray(length)
        file.seek(start + position)
        assert file.readinto(memoryview(target)) == length
        return bytes(target)

    tail = read_at(size - 4096, 4096)
    count, directory_size, directory = struct.unpack(
        "<HII", tail[(at := tail.rindex(b"PK\x05\x06")) + 10 : at + 20]
    )
    entries = read_at(directory, directory_size)
    found, at = {}, 0
    for _ in range(count):
        (length,) = struct.unpack("<I", entries[at + 20 : at + 24])
        name_size, extra_size, comment_size = struct.unpack("<HHH", entries[at + 28 : at + 34])
        (header,) = struct.unpack("<I", entries[at + 42 : at + 46])
        name = entries[at + 46 : at + 46 + name_size].decode()
        local_name, local_extra = struct.unpack("<HH", read_at(header + 26, 4))
        found[name] = read_at(header + 30 + local_name + local_extra, length)
        at += 46 + name_size + extra_size + comment_size
    return found


@alike
def test_torch_saves_and_loads_an_archive(folder: Folder) -> object:
    with folder.open("model.pt", "wb") as file:
        save_like_torch(file)
    with folder.open("model.pt", "rb") as file:
        found = load_like_torch(file)
    with folder.open("model.pt", "rb") as file, zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None
    assert found.pop("archive/data.pkl")
    assert found == {f"archive/{name}": storage for name, storage in STORAGES.items()}
    return sorted(found)


@alike
def test_torch_loads_an_archive_that_begins_in_the_middle_of_a_file(folder: Folder) -> object:
    with folder.open("models", "wb") as file:
        file.write(b"what stands before")
        save_like_torch(file)
    with folder.open("models", "rb") as file:
        file.seek(len(b"what stands before"))
        return sorted(load_like_torch(file))


@alike
def test_torch_saves_and_loads_the_older_format(folder: Folder) -> object:
    """Pickles one after the other, then each storage as a length and bytes.

    The loader tries a tar archive first, wants to know whether it may use the descriptor, and
    reads pickles by `read`, `readinto` and `readline` and the storages by `readinto`.
    """
    with folder.open("model.pth", "wb") as file:
        for thing in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, list(STORAGES)):
            pickle.dump(thing, file, protocol=2)
        file.flush()
        for storage in STORAGES.values():
            file.write(struct.pack("<Q", len(storage)))
            file.write(storage)
    with folder.open("model.pth", "rb") as file:
        file.seek(file.tell())
        with pytest.raises(tarfile.TarError), tarfile.open(fileobj=file, mode="r:"):
            pass
        file.seek(0)
        if not folder.is_local:
            with pytest.raises(io.UnsupportedOperation):
                file.fileno()
        assert [pickle.load(file) for _ in range(3)][:2] == [0x1950A86A20F9469CFC6C, 1001]
        for name in pickle.load(file):
            (length,) = struct.unpack("<Q", file.read(8))
            target = bytearray(length)
            assert file.readinto(target) == length
            assert target == STORAGES[name]
        assert file.read() == b""
    return folder.content("model.pth")


@alike
def test_a_checkpoint_with_its_settings_beside_it(folder: Folder) -> object:
    settings = {"rate": 1e-3, "layers": [64, 64], "name": "Größe"}
    with closing(folder.open("settings.json", "w")) as file:
        json.dump(settings, file, ensure_ascii=False, indent=2)
    with closing(folder.open("settings.json")) as file:
        assert json.load(file) == settings
    with closing(folder.open("settings.json", "rb")) as binary:
        assert json.load(binary) == settings
    return folder.content("settings.json")
