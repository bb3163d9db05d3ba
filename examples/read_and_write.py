"""Read, write and append whole files: python read_and_write.py [s3://bucket/prefix]."""

from __future__ import annotations

from place import place

import aioobs.sync as mox


def main(url: str) -> None:
    file = f"{url}/obs_file.txt"

    mox.file.write(file, "Hello World!")
    mox.file.append(file, "\nend of file.")
    print(mox.file.read(file))
    print(mox.file.read(file, binary=True))

    print("size:", mox.file.get_size(file))
    stat = mox.file.stat(file)
    print("length:", stat.length, "changed:", stat.mtime_nsec, "folder:", stat.is_directory)

    mox.file.append_remote(file, f"{url}/twice.txt")
    mox.file.append_remote(file, f"{url}/twice.txt")
    print("twice:", mox.file.get_size(f"{url}/twice.txt"))

    mox.file.remove(file)
    try:
        mox.file.read(file)
    except mox.file.MoxFileNotExistsException as error:  # a FileNotFoundError
        print(error)


if __name__ == "__main__":
    with place() as url:
        main(url)
