"""Read and write tables with pandas: python pandas_csv.py [s3://bucket/prefix]."""

from __future__ import annotations

import pandas as pd
from place import place

import aioobs.sync as mox


def main(url: str) -> None:
    table = pd.DataFrame({"col1": [1, 2], "col2": [3, 4]})
    with mox.file.File(f"{url}/table.csv", "w") as file:
        table.to_csv(file, index=False)

    with mox.file.File(f"{url}/table.csv", "r") as file:
        print(pd.read_csv(file))


if __name__ == "__main__":
    with place() as url:
        main(url)
