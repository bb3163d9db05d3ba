"""Teach pandas' HDF5 functions to take URLs: python pandas_hdf5.py [s3://bucket/prefix].

HDF5 wants a file of this machine.  So: write there and upload; download and read there.  Copy the
upper part into your program, before it uses the functions.
"""

from __future__ import annotations

import functools
import os
import tempfile
from typing import Any

import pandas as pd
from pandas.core.generic import NDFrame
from pandas.io import pytables
from place import place

import aioobs.sync as mox

to_hdf, read_hdf = NDFrame.to_hdf, pytables.read_hdf


def is_url(path: object) -> bool:
    return isinstance(path, str) and path.startswith(("s3://", "obs://"))


@functools.wraps(to_hdf)
def to_hdf_anywhere(self: NDFrame, path_or_buf: Any, *args: Any, **options: Any) -> None:
    if not is_url(path_or_buf):
        to_hdf(self, path_or_buf, *args, **options)
        return
    with tempfile.TemporaryDirectory() as folder:
        local = os.path.join(folder, "table.h5")
        if options.get("mode", "a") != "w" and mox.file.exists(path_or_buf):
            mox.file.copy(path_or_buf, local)  # a table more in the same file
        to_hdf(self, local, *args, **options)
        mox.file.copy(local, path_or_buf)


@functools.wraps(read_hdf)
def read_hdf_anywhere(path_or_buf: Any, *args: Any, **options: Any) -> Any:
    if not is_url(path_or_buf):
        return read_hdf(path_or_buf, *args, **options)
    with tempfile.TemporaryDirectory() as folder:
        local = os.path.join(folder, "table.h5")
        mox.file.copy(path_or_buf, local)
        return read_hdf(local, *args, **options)


NDFrame.to_hdf = to_hdf_anywhere
pytables.read_hdf = pd.read_hdf = read_hdf_anywhere


def main(url: str) -> None:
    table = pd.DataFrame({"A": [1, 2, 3], "B": [4, 5, 6]}, index=["a", "b", "c"])
    table.to_hdf(f"{url}/hdftest.h5", key="first", mode="w")
    (table * 10).to_hdf(f"{url}/hdftest.h5", key="second")
    print(pd.read_hdf(f"{url}/hdftest.h5", "first"))
    print(pd.read_hdf(f"{url}/hdftest.h5", key="second"))


if __name__ == "__main__":
    with place() as url:
        main(url)
