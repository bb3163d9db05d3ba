"""Set how long calls may take: python timeouts.py [s3://bucket/prefix].

A timeout holds for an operation with all of its attempts, in the main thread and in any other.
"""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor

from place import place

import aioobs.sync as mox


def main(url: str) -> None:
    mox.file.set_auth(timeout_config={"getObjectMetadata": 10})
    print(mox.file.exists(f"{url}/object"))

    # A store that takes connections and never says a word.
    with socket.create_server(("127.0.0.1", 0)) as silent, ThreadPoolExecutor() as pool:
        mox.file.set_auth(
            server=f"http://127.0.0.1:{silent.getsockname()[1]}",
            timeout_config={"getObjectMetadata": 0.5},
        )
        start = time.monotonic()
        try:
            pool.submit(mox.file.exists, f"{url}/object").result()
        except mox.file.MoxTimeoutError as error:  # a TimeoutError
            print(error)
        print("under a second:", time.monotonic() - start < 1)


if __name__ == "__main__":
    with place() as url:
        main(url)
