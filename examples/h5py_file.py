"""Read and write HDF5 files with h5py: python h5py_file.py [s3://bucket/prefix].

To read, h5py takes an open file, and only what it needs is fetched.  To write, it wants a file of
this machine, which `OBSFile` uploads when it is closed.
"""

from __future__ import annotations

import os
import tempfile
from typing import Any

import h5py
import numpy as np
from place import place

import aioobs.sync as mox


class OBSFile(h5py.File):
    """`h5py.File` that takes URLs, by a file of this machine."""

    def __init__(self, name: Any, mode: str = "r", **options: Any) -> None:
        self._url = None
        if isinstance(name, str) and name.startswith(("s3://", "obs://")):
            self._url = name
            self._folder = tempfile.TemporaryDirectory()
            name = os.path.join(self._folder.name, "data.hdf5")
            if mode != "w" and mox.file.exists(self._url):
                mox.file.copy(self._url, name)
        super().__init__(name, mode, **options)

    def close(self) -> None:
        changed = bool(self) and self.mode != "r"
        super().close()  # before the upload: until then the file is not complete
        if self._url is not None:
            if changed:
                mox.file.copy(os.path.join(self._folder.name, "data.hdf5"), self._url)
            self._folder.cleanup()


def main(url: str) -> None:
    numbers = np.arange(1000, dtype=np.float32)
    with OBSFile(f"{url}/numbers.hdf5", "w") as file:
        file.create_dataset("default", data=numbers)
    with OBSFile(f"{url}/numbers.hdf5", "a") as file:
        file.create_dataset("more", data=numbers * 2)

    with OBSFile(f"{url}/numbers.hdf5", "r") as file:
        print(file.require_dataset("default", dtype=np.float32, shape=(1000,)))
        print(sorted(file))

    with mox.file.File(f"{url}/numbers.hdf5", "rb") as data, h5py.File(data, "r") as file:
        print(file["more"][500])


if __name__ == "__main__":
    with place() as url:
        main(url)
