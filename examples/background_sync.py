"""Keep a folder of a store up to date in the background: python background_sync.py [s3://…].

A training job writes its models to the local disk, where nothing can go wrong, and every so many
seconds what is new goes to the store.  A round that fails is logged, and the next one makes up
for it.
"""

from __future__ import annotations

import tempfile

from place import place

import aioobs.sync as mox


def train(folder: str, epochs: int) -> None:
    for epoch in range(epochs):
        mox.file.write(f"{folder}/model_{epoch}.txt", f"weights of epoch {epoch}\n")


def main(url: str, local: str) -> None:
    with mox.file.background_sync_copy(local, f"{url}/train_url", seconds=120) as sync:
        train(local, epochs=2)
        sync.sync_now()
        print("after a round:", mox.file.list_directory(f"{url}/train_url"))
        train(local, epochs=3)
    # The end of the block has waited for a last round.
    print("at the end:", mox.file.list_directory(f"{url}/train_url"))
    print("rounds:", sync.rounds, "last error:", sync.last_error)


if __name__ == "__main__":
    with place() as url, tempfile.TemporaryDirectory() as local:
        main(url, local)
