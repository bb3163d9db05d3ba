"""What people use fsspec by way of: each library reads back what it has written.

Those that take seconds to import are imported by the test that needs them.
"""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any, cast

import duckdb
import fsspec
import h5py
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from upath import UPath
from upath.registry import register_implementation

from aioobs.filesystem import ObsFileSystem
from aioobs.filesystem.paths import ObsPath

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aioobs.testing import LocalServer

# As the entry points do where the package is installed.
fsspec.register_implementation("obs", ObsFileSystem, clobber=True)
register_implementation("obs", ObsPath, clobber=True)

FRAME = pd.DataFrame({"number": range(1000), "name": [f"row {i}" for i in range(1000)]})


@pytest.fixture
def url(obs_bucket: str) -> str:
    """Give the URL of an empty bucket."""
    return obs_bucket.replace("s3://", "obs://")


@pytest.fixture
def options(
    obs_server: LocalServer, obs_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> dict[str, object]:
    """Give the store as storage options, and take it out of the environment."""
    for name in obs_server.environment:
        monkeypatch.delenv(name)
    return {
        "endpoint": obs_server.endpoint,
        "ak": obs_server.access_key,
        "sk": obs_server.secret_key,
    }


def test_pandas_reads_and_writes_with_storage_options(url: str, options: dict[str, object]) -> None:
    FRAME.to_csv(f"{url}/frame.csv.gz", index=False, storage_options=options)
    FRAME.to_parquet(f"{url}/frame.parquet", storage_options=options)

    csv = pd.read_csv(f"{url}/frame.csv.gz", storage_options=options)
    parquet = pd.read_parquet(f"{url}/frame.parquet", storage_options=options)

    pd.testing.assert_frame_equal(csv, FRAME)
    assert parquet.name.astype(str).tolist() == FRAME.name.tolist()


def test_pandas_does_with_options_that_were_written_for_s3fs(
    url: str, options: dict[str, object]
) -> None:
    written = {
        "key": options["ak"],
        "secret": options["sk"],
        "client_kwargs": {"endpoint_url": options["endpoint"], "region_name": "us-east-1"},
        "config_kwargs": {"s3": {"addressing_style": "path"}, "signature_version": "s3v4"},
        "default_fill_cache": False,
    }
    FRAME.to_csv(f"{url}/frame.csv", index=False, storage_options=written)

    assert len(pd.read_csv(f"{url}/frame.csv", storage_options=written)) == len(FRAME)


def test_pyarrow_writes_and_filters_a_partitioned_dataset(url: str) -> None:
    fs = fsspec.filesystem("obs")
    table = pa.table({"part": [0, 1] * 50, "value": range(100)})
    ds.write_dataset(
        table, f"{url[6:]}/set", format="parquet", partitioning=["part"], filesystem=fs
    )

    found = ds.dataset(f"{url[6:]}/set", filesystem=fs, partitioning=["part"])

    assert found.to_table(filter=ds.field("part") == 1)["value"].to_pylist() == list(
        range(1, 100, 2)
    )
    assert len(found.files) == 2
    pq.write_table(table, f"{url[6:]}/one.parquet", filesystem=fs)
    assert pq.read_table(f"{url[6:]}/one.parquet", filesystem=fs).num_rows == 100


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # dask's own
def test_dask_reads_what_it_has_written_in_parts(url: str) -> None:
    import dask
    import dask.dataframe as dd

    with dask.config.set(scheduler="threads", num_workers=2):
        frame: Any = dd.from_pandas(FRAME, npartitions=4)  # type: ignore[no-untyped-call]
        frame.to_parquet(f"{url}/frame")
        frame.to_csv(f"{url}/csv/*.csv", index=False)

        assert int(dd.read_parquet(f"{url}/frame").number.sum().compute()) == 499_500
        assert len(dd.read_parquet(f"{url}/frame")) == 1000  # of the files' statistics alone
        assert len(dd.read_csv(f"{url}/csv/*.csv").compute()) == 1000


def test_zarr_writes_and_reads_an_array_in_chunks(url: str) -> None:
    import zarr

    values = np.arange(10_000).reshape(100, 100)
    array = zarr.create_array(f"{url}/array.zarr", shape=(100, 100), chunks=(30, 30), dtype="i8")
    array[:] = values

    found = zarr.open_array(f"{url}/array.zarr", mode="r")

    assert np.array_equal(found[10:50, 60:], values[10:50, 60:])
    group = zarr.open_group(f"{url}/group.zarr", mode="w")
    group.create_array("inner", data=np.ones(3), chunks=(3,), shards=None)
    assert list(zarr.open_group(f"{url}/group.zarr", mode="r").array_keys()) == ["inner"]


def test_xarray_writes_and_reads_a_dataset_in_zarr(url: str) -> None:
    import xarray as xr

    data = xr.Dataset({"heat": (("x", "y"), np.arange(12.0).reshape(3, 4))})
    data.to_zarr(f"{url}/data.zarr", mode="w", consolidated=False)

    with xr.open_zarr(f"{url}/data.zarr", consolidated=False) as found:
        assert found.heat.to_numpy().sum() == 66.0


def test_h5py_reads_an_open_file_that_was_pickled_for_a_worker(url: str) -> None:
    fs = fsspec.filesystem("obs")
    with fs.open(f"{url}/data.h5", "w+b") as target, h5py.File(target, "w") as written:
        written["heat"] = [1.0, 2.0]
    with fs.open(f"{url}/data.h5") as source:
        again = pickle.loads(pickle.dumps(source))

    with again, h5py.File(again) as found:
        assert found["heat"][:].tolist() == [1.0, 2.0]


def test_duckdb_queries_files_of_a_registered_file_system(url: str) -> None:
    FRAME.to_parquet(f"{url}/part/a.parquet")
    FRAME.to_parquet(f"{url}/part/b.parquet")
    with duckdb.connect() as connection:
        connection.register_filesystem(fsspec.filesystem("obs"))

        query = f"select sum(number) from read_parquet('{url}/part/*.parquet')"
        assert connection.execute(query).fetchall() == [(999_000,)]
        connection.execute(f"copy (select 42 as answer) to '{url}/answer.csv'")
    assert fsspec.filesystem("obs").cat(f"{url}/answer.csv") == b"answer\n42\n"


def test_polars_reads_and_writes_open_files(url: str) -> None:
    frame = pl.DataFrame({"number": range(10)})
    fs = fsspec.filesystem("obs")
    with fs.open(f"{url}/frame.parquet", "wb") as target:
        frame.write_parquet(target)
    with fs.open(f"{url}/frame.csv", "wb") as target:
        frame.write_csv(target)

    with fs.open(f"{url}/frame.parquet", "rb") as source:
        assert pl.read_parquet(source, columns=["number"]).equals(frame)
    with fs.open(f"{url}/frame.csv", "rb") as source:
        assert pl.read_csv(source).equals(frame)
    table = ds.dataset(f"{url[6:]}/frame.parquet", filesystem=fs)
    assert pl.scan_pyarrow_dataset(table).filter(pl.col("number") > 7).collect().height == 2


# --- universal_pathlib ---------------------------------------------------------------------


@pytest.fixture
def root(url: str) -> UPath:
    """Give an empty bucket as a path."""
    return UPath(url)


def test_a_path_reads_and_writes(root: UPath) -> None:
    path = root / "dir" / "a.txt"
    assert path.write_text("text") == 4
    with path.open("a") as file:
        file.write("!")

    assert (path.read_text(), path.read_bytes()) == ("text!", b"text!")
    assert str(path) == f"{root}/dir/a.txt"
    assert (path.name, path.suffix, path.parent.name) == ("a.txt", ".txt", "dir")
    assert path.stat().st_size == 5
    assert path.stat().st_mtime > 1.7e9
    assert path.as_uri().startswith("obs://")


def test_a_path_tells_what_it_is(root: UPath) -> None:
    (root / "dir" / "a").touch()

    paths = [root, root / "dir", root / "dir" / "a", root / "none"]
    assert [path.exists() for path in paths] == [True, True, True, False]
    assert [path.is_dir() for path in paths] == [True, True, False, False]
    assert [path.is_file() for path in paths] == [False, False, True, False]


def test_a_path_lists_and_matches(root: UPath) -> None:
    for name in ("a.txt", "b.csv", "dir/c.txt", "dir/deep/d.txt"):
        (root / name).write_bytes(b"1")

    def names(paths: Iterable[UPath]) -> list[str]:
        return sorted(str(path.relative_to(root)) for path in paths)

    assert names(root.iterdir()) == ["a.txt", "b.csv", "dir"]
    assert names(root.glob("*.txt")) == ["a.txt"]
    assert names(root.rglob("*.txt")) == ["a.txt", "dir/c.txt", "dir/deep/d.txt"]
    walked = [(path.name, folders, files) for path, folders, files in (root / "dir").walk()]
    assert walked == [("dir", ["deep"], ["c.txt"]), ("deep", [], ["d.txt"])]
    with pytest.raises(NotADirectoryError):
        list((root / "a.txt").iterdir())


def test_a_path_makes_moves_and_removes(root: UPath) -> None:
    (root / "dir").mkdir()
    (root / "x" / "y").mkdir(parents=True)
    assert not list(root.iterdir())  # folders are there as soon as something is in them

    (root / "dir" / "a").write_text("1")
    (root / "dir").mkdir(exist_ok=True)
    for parents in (False, True):
        with pytest.raises(FileExistsError):
            (root / "dir").mkdir(parents=parents)
    moved = (root / "dir" / "a").rename(root / "dir" / "b")
    assert moved.read_text() == "1"
    assert not (root / "dir" / "a").exists()
    copied = moved.copy(root / "dir" / "c")
    assert copied.read_text() == "1"
    moved.unlink()
    moved.unlink(missing_ok=True)
    with pytest.raises(FileNotFoundError):
        moved.unlink()
    with pytest.raises(FileExistsError):
        copied.touch(exist_ok=False)
    with pytest.raises(FileNotFoundError):
        moved.read_text()
    (root / "dir").rmdir()
    assert not copied.exists()


def test_a_path_is_not_moved_to_where_this_process_works(root: UPath) -> None:
    (root / "a").write_text("1")
    with pytest.raises(NotImplementedError):
        (root / "a").rename("b")
    assert [path.name for path in root.iterdir()] == ["a"]


def test_a_path_keeps_its_storage_options(url: str, options: dict[str, object]) -> None:
    path = UPath(f"{url}/dir/a", **cast("Any", options))
    path.write_text("1")

    assert path.parent.joinpath("a").read_text() == "1"
    assert pickle.loads(pickle.dumps(path)).read_text() == "1"
    assert path == path.parent / "a"
    assert str(options["sk"]) not in str(path)
