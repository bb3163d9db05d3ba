"""Write a log into a store: python logging_to_a_store.py [s3://bucket/prefix].

`StreamHandler` flushes after each record, and a flush is an upload, though only of what is new.
Where there are many records, `flush_interval` uploads at most once in so many seconds; closing the
file uploads the rest.
"""

from __future__ import annotations

import logging

from place import place

import aioobs.sync as mox


def main(url: str) -> None:
    stream = mox.file.File(f"{url}/sub_dir_0/logging.txt", "w")
    logging.basicConfig(level=logging.DEBUG, stream=stream)
    console = logging.StreamHandler()
    console.setLevel(logging.INFO)
    logging.getLogger("").addHandler(console)

    log = logging.getLogger("training")
    log.debug("for the file alone")
    log.info("hello world")
    stream.flush()
    print("so far:", mox.file.read(f"{url}/sub_dir_0/logging.txt").splitlines())

    log.info("the end")
    logging.basicConfig(force=True)  # nobody logs to a file that is closed
    stream.close()
    print("all:", mox.file.read(f"{url}/sub_dir_0/logging.txt").splitlines())

    with mox.file.File(f"{url}/steps.txt", "w", flush_interval=10) as steps:
        handler = logging.StreamHandler(steps)
        log.addHandler(handler)
        log.propagate = False
        for step in range(100):
            log.debug("step %d", step)
        log.removeHandler(handler)
    print("steps:", len(mox.file.read(f"{url}/steps.txt").splitlines()))


if __name__ == "__main__":
    with place() as url:
        main(url)
