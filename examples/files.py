"""Open files of a store as any other file: python files.py [s3://bucket/prefix]."""

from __future__ import annotations

import json
import zipfile

from place import place

import aioobs.sync as mox


def main(url: str) -> None:
    with mox.file.File(f"{url}/lines.txt", "w") as lines:
        lines.write("first\n")
        lines.writelines(["second\n", "third\n"])
    with mox.file.File(f"{url}/lines.txt", "r") as lines:
        print(lines.readlines())
    with mox.file.File(f"{url}/lines.txt", "a") as lines:
        lines.write("fourth\n")

    with mox.file.File(f"{url}/lines.txt", "rb+") as data:
        print(data.read(5))
        data.seek(0)
        data.write(b"FIRST")
    print(mox.file.read(f"{url}/lines.txt"), end="")

    # Whatever takes a file takes these.
    with mox.file.File(f"{url}/numbers.json", "w") as text:
        json.dump({"numbers": [1, 2, 3]}, text)
    with mox.file.File(f"{url}/numbers.json") as text:
        print(json.load(text))
    with mox.file.File(f"{url}/packed.zip", "wb") as target, zipfile.ZipFile(target, "w") as packed:
        packed.writestr("inside.txt", "packed")
    with mox.file.File(f"{url}/packed.zip", "rb") as source, zipfile.ZipFile(source) as packed:
        print(packed.read("inside.txt"))


if __name__ == "__main__":
    with place() as url:
        main(url)
