"""Copy and move files and folders, up, across and down: python transfers.py [s3://bucket/prefix].

The calls are the same in all directions; what is a URL and what is a path decides.
"""

from __future__ import annotations

import os
import tempfile

from place import place

import aioobs.sync as mox


def main(url: str, local: str) -> None:
    mox.file.make_dirs(f"{local}/data/train")
    for number in range(20):
        mox.file.write(f"{local}/data/train/{number}.txt", f"sample {number}\n")

    # A folder: what is in the one comes into the other.
    mox.file.copy_parallel(f"{local}/data", f"{url}/data")
    mox.file.copy_parallel(f"{url}/data", f"{url}/copy", threads=32)
    mox.file.copy_parallel(f"{url}/copy", f"{local}/back", file_list=["train/3.txt", "train/7.txt"])
    print(len(mox.file.list_directory(f"{url}/copy", recursive=True, skip_dir=True)), "files")
    print(sorted(os.listdir(f"{local}/back/train")))

    # One file: the target is its new name.
    mox.file.copy(f"{local}/data/train/1.txt", f"{url}/one.txt")
    mox.file.copy(f"{url}/one.txt", f"{url}/two.txt")
    mox.file.copy(f"{url}/two.txt", f"{local}/three.txt")
    print(mox.file.read(f"{local}/three.txt"), end="")

    # Moves take files and folders.
    mox.file.rename(f"{url}/two.txt", f"{url}/moved.txt")
    mox.file.rename(f"{url}/copy", f"{local}/moved")
    mox.file.rename(f"{local}/moved/train/5.txt", f"{url}/five.txt")
    print(mox.file.list_directory(url, skip_dir=True))


if __name__ == "__main__":
    with place() as url, tempfile.TemporaryDirectory() as local:
        main(url, local)
