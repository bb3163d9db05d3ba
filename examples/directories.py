"""Create, list, search and remove folders: python directories.py [s3://bucket/prefix]."""

from __future__ import annotations

from place import place

import aioobs.sync as mox


def main(url: str) -> None:
    folder = f"{url}/sub_dir_0"
    mox.file.make_dirs(f"{folder}/sub_dir_1")
    mox.file.mk_dir(f"{folder}/sub_dir_2")
    mox.file.write(f"{folder}/a.txt", "one")
    mox.file.write(f"{folder}/sub_dir_1/b.txt", "four")

    print(mox.file.list_directory(folder))
    print(mox.file.list_directory(folder, recursive=True))
    print(mox.file.glob(f"{folder}/*/*.txt"))

    print(mox.file.exists(f"{folder}/sub_dir_1"), mox.file.exists(f"{folder}/sub_dir_9"))
    print(mox.file.is_directory(f"{folder}/sub_dir_1"), mox.file.is_directory(f"{folder}/a.txt"))
    print(mox.file.get_size(folder, recursive=True))

    for path, folders, files in mox.file.walk(folder):
        print(path.removeprefix(url), folders, files)
    for entry in mox.file.scan_dir(folder):
        print(entry.name, "folder" if entry.is_dir() else entry.stat().st_size)

    mox.file.remove(f"{folder}/sub_dir_1", recursive=True)
    print(mox.file.list_directory(folder))


if __name__ == "__main__":
    with place() as url:
        main(url)
