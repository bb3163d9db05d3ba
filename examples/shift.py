"""Let the standard library take URLs: python shift.py [s3://bucket/prefix]."""

from __future__ import annotations

import glob
import os
import shutil
import tempfile

from place import place

import aioobs.sync as mox


def main(url: str, local: str) -> None:
    mox.file.shift("os", "mox")

    os.makedirs(f"{url}/folder")
    with open(f"{url}/folder/hello_world.txt", "w") as file:
        file.write("Hello World!")
    print(os.listdir(url))
    with open(f"{url}/folder/hello_world.txt") as file:
        print(file.read())
    print(os.path.exists(f"{url}/folder"), os.path.getsize(f"{url}/folder/hello_world.txt"))
    print([name.removeprefix(url) for name in glob.glob(f"{url}/*/*.txt")])

    shutil.copytree(f"{url}/folder", f"{local}/folder")
    print(os.listdir(f"{local}/folder"))
    shutil.rmtree(f"{url}/folder")
    print(os.path.exists(f"{url}/folder/hello_world.txt"))

    mox.file.shift("mox", "os")


if __name__ == "__main__":
    with place() as url, tempfile.TemporaryDirectory() as local:
        main(url, local)
