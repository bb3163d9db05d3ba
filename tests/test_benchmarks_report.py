"""The report: its page, charts and numbers; the comparison with what is recorded; the model."""

from __future__ import annotations

import argparse
import gc
import json
import shutil
import subprocess
import sys
import tracemalloc
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks import curve, model, scale
from benchmarks.charts import chart, curves
from benchmarks.command import read as read_command
from benchmarks.compare import fell_behind
from benchmarks.measure import Outcome, Record
from benchmarks.page import PAGE, written
from benchmarks.peers import OURS
from benchmarks.report import DOCS, NUMBERS, read
from benchmarks.results import Document, Row, as_json, from_json
from benchmarks.sections import SECTIONS, wanted
from benchmarks.stores import check
from benchmarks.trees import sizes_of, write_tree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aioobs.testing import LocalServer
    from benchmarks.results import Setting

ROOT = Path(__file__).parent.parent
MIB = 1 << 20
SVG = "{http://www.w3.org/2000/svg}"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def document(records: Sequence[Record], benchmark: str = "copy_parallel") -> Document:
    machine: dict[str, Setting] = {
        "system": "test",
        "processor": "test",
        "cores": 1,
        "memory": 1 << 30,
        "load": 0.0,
    }
    settings: dict[str, Setting] = {
        "scale": 1.0,
        "rounds": 1,
        "concurrency": 4,
        "store": "a store",
        "files": "/tmp",
    }
    versions = {"python": "3", "aioobs.sync": "0"}
    return Document(
        benchmark,
        "2026-01-02T03:04:05Z",
        machine,
        versions,
        settings,
        list(records),
        "Title",
        "So.",
    )


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with a report on imports."""
    folder = tmp_path_factory.mktemp("docs")
    clients = ("--peers", "aioobs.sync,aioobs")
    done = run("report", "--only", "import", "--rounds", "1", "--into", str(folder), *clients)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_report_has_a_page_a_chart_and_the_numbers(recorded: Path) -> None:
    page = (recorded / PAGE).read_text()
    assert "## Import\n" in page
    assert "| aioobs.sync | " in page
    images = [image.relative_to(recorded) for image in (recorded / "images").rglob("*.svg")]
    assert len(images) == 2
    assert all(f"]({image})" in page for image in images)
    runs, _, _ = read(recorded)
    assert [found.client for found in runs[0].records] == ["aioobs.sync", "aioobs"] * 2


def test_the_page_names_the_commit_and_the_libraries(recorded: Path) -> None:
    (run, *_), _, _ = read(recorded)
    page = (recorded / PAGE).read_text()
    assert ("commit" in run.versions) == bool((ROOT / ".git").exists() and shutil.which("git"))
    assert set(run.versions) >= {"aiohttp", "OpenSSL"}
    assert all(
        f"{name} {version}" in page for name, version in run.versions.items() if name != "python"
    )


def test_the_page_has_the_versions_of_all_sections() -> None:
    runs = [document([]), document([])]
    runs[1].versions["SeaweedFS"] = "4"
    assert "\naioobs.sync 0, SeaweedFS 4.\n" in written(runs, [], 60.0)[PAGE]


def test_a_page_that_was_lost_is_drawn_again_from_the_numbers(recorded: Path) -> None:
    before = (recorded / PAGE).read_text()
    (recorded / PAGE).unlink()
    done = run("report", "--redraw", "--into", str(recorded))
    assert done.returncode == 0, done.stderr
    assert (recorded / PAGE).read_text() == before


@pytest.mark.parametrize(
    ("wall", "cpu", "behind"),
    [(1000.0, 0.0001, ["import"]), (0.0001, 1000.0, ["import, CPU"]), (0.0001, 0.0001, [])],
)
def test_the_comparison_fails_when_the_lead_in_time_or_cpu_time_is_lost(
    recorded: Path, wall: float, cpu: float, behind: list[str], tmp_path: Path
) -> None:
    numbers = json.loads((recorded / NUMBERS).read_text())
    records = numbers["runs"][0]["records"]
    del records[2:]
    ours, other = (found["outcome"] for found in records)
    ours |= {"wall": 100.0, "cpu": 100.0}
    other |= {"wall": 100.0 * wall, "cpu": 100.0 * cpu}
    (tmp_path / NUMBERS).write_text(json.dumps(numbers))
    against = ("--against", str(tmp_path), "--reference", "aioobs", "--rounds", "1")
    done = run("compare", *against)
    assert done.returncode == bool(behind), done.stderr
    lost = [line.split("  ")[0] for line in done.stdout.splitlines() if "BEHIND" in line]
    assert lost == [f"Import: a fresh process, {case}" for case in behind]


@pytest.mark.parametrize(
    ("reference", "only", "message"),
    [
        ("aioobs", "nothing", "has no sections with 'nothing' in their title in which both"),
        ("boto3", "", "has no sections in which both aioobs.sync and boto3 took part"),
    ],
)
def test_a_comparison_with_nothing_has_failed(
    recorded: Path, reference: str, only: str, message: str
) -> None:
    done = run("compare", "--against", str(recorded), "--reference", reference, "--only", only)
    assert done.returncode == 1
    assert message in done.stderr


@pytest.mark.parametrize(
    ("recorded_ratio", "now", "behind"),
    [(2.0, 2.0, False), (2.0, 1.71, False), (2.0, 1.69, True), (0.5, 0.4, True), (2.0, 9.0, False)],
)
def test_15_per_cent_are_allowed(recorded_ratio: float, now: float, behind: bool) -> None:
    assert fell_behind(recorded_ratio, now, 0.15) == behind


def test_numbers_come_back_from_json_as_they_were() -> None:
    outcomes = [Outcome(1.5, 0.5, 7, middle=0.1), Outcome(offered=False), Outcome(error='"no"\n')]
    kept = document([Record("ä", "up", "aioobs", 1, outcome) for outcome in outcomes])
    assert from_json(json.loads(as_json(kept))) == kept
    assert from_json(json.loads(as_json(document([])))) == document([])


def test_the_page_names_the_fastest_other_client_of_each_case() -> None:
    walls = {"aioobs.sync": 1.0, "aioobs": 0.5, "slow": 4.0, "quick": 2.0}
    records = [Record("t (1 file)", "up", name, 0, Outcome(wall)) for name, wall in walls.items()]
    page = written([document(records)], [], 60.0)[PAGE]
    assert "| Title: t (1 file), up | 1.00 s | 2.00 s | quick | 2.00 × |" in page
    assert "images/benchmarks/title-t-up.svg" in page


def test_a_chart_has_the_fastest_on_top_and_bars_as_long_as_the_times() -> None:
    rows = [Row("a<b", times=(4.0,)), Row("quick", times=(1.0, 1.0, 2.0)), Row("lame", "–")]
    root = ET.fromstring(chart("x & y", rows, single=False))
    names = [text.text for text in root.iter(f"{SVG}text")]
    assert names[0] == "x & y"
    assert [name for name in names if name in ("a<b", "quick", "lame")] == ["quick", "a<b"]
    short, long = (float(bar.attrib["width"]) for bar in root.iter(f"{SVG}rect"))
    assert long == pytest.approx(4 * short, rel=0.01)


def test_the_model_takes_what_the_whole_costs_beyond_a_tenth() -> None:
    cases = [("k", "list_all"), ("f", "up"), ("f", "down"), ("b", "up"), ("b", "down")]
    records = []
    for step, seconds in zip(scale.STEPS, (1.0, 10.0), strict=True):
        records += [
            Record(f"{name} {step}", operation, "aioobs.sync", 0, Outcome(seconds, seconds, MIB))
            for name, operation in cases
        ]
    run = document(records, scale.NAME)
    costs = model.costs_of(run, list(model.steps_of(run)))
    assert costs.key == pytest.approx(9 / 900_000)
    assert costs.down == costs.up == pytest.approx(9 / 90_000)
    assert costs.byte_down == costs.byte_up == pytest.approx(9 / (0.9 * (1 << 30)), rel=0.001)
    text = "\n".join(model.told([run]))
    assert "100.00 µs" not in text  # of a key: 10
    assert "10.00 µs for each key listed, 100 µs for each object down" in text
    assert "| 100,000,000 objects of 1 MB, down | 100,100,000 |" in text
    more = document([Record("m", "up", "aioobs.sync", 0, Outcome(1.0, 1.0, 70 * MIB))])
    lines = list(model.told([more, run]))
    memory = {
        line.split(" | ")[0].split(", ")[-1]: line.split(" | ")[-2]
        for line in lines
        if "of 1 MB" in line
    }
    assert memory == {"down": "1", "up": "70"}


@pytest.mark.slow
def test_the_model_knows_what_plans_and_journals_take_for_each_file(
    obs_bucket: str, tmp_path: Path
) -> None:
    import aioobs.sync as mox

    files = 1000
    source, journal = str(tmp_path / "source"), tmp_path / "journal"
    write_tree(tmp_path / "source", dict.fromkeys(sizes_of("small", files / 5000), 1))
    mox.file.copy_parallel(source, f"{obs_bucket}/copy", journal=journal)
    assert journal.stat().st_size / files == pytest.approx(model.JOURNAL, rel=0.25)
    for plan, each in ((mox.plan_copy, model.PLAN_COPY), (mox.plan_sync, model.PLAN_SYNC)):
        tracemalloc.start()
        plans = [plan(source, f"{obs_bucket}/plan")]
        assert plans[0]
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
        plans.clear()
        gc.collect()
        left, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert each / 4 < (held - left) / files < 1.2 * each  # and nothing else that was kept


def test_the_model_counts_the_requests_of_parts() -> None:
    small, _, big = model.SHAPES
    assert small.requests == 100_000_000
    assert big.requests == 10_000 * 1193  # of 8 MiB in 10 GB


@pytest.mark.parametrize("endpoint", [None, "https://example.com"])
def test_every_section_is_a_command_line_that_can_be_read(endpoint: str | None) -> None:
    bucket = "bucket" if endpoint else None
    given = argparse.Namespace(endpoint=endpoint, bucket=bucket, only="")
    sections = list(wanted(given))
    for section in sections:
        read_back = read_command(section.command(given))
        check(read_back)
        assert (read_back.endpoint, read_back.bucket) == (endpoint, bucket)
    assert len({section.title for section in SECTIONS}) == len(SECTIONS)
    assert {section.title for section in SECTIONS if section not in sections} == (
        {section.title for section in SECTIONS if section.local} if endpoint else set()
    )


def test_a_report_on_a_store_of_ones_own_is_compared_there_alone(
    obs_server: LocalServer, obs_bucket: str, tmp_path: Path
) -> None:
    at = ("--endpoint", obs_server.endpoint, "--bucket", obs_bucket.removeprefix("s3://"))
    few = ("--only", "listing", "--rounds", "1")
    into = ("--into", str(tmp_path), "--scale", "0.001", "--peers", ",".join(OURS))
    done = run("report", *at, *few, *into)
    assert done.returncode == 0, done.stderr
    assert f"({obs_server.endpoint}; rounds: 1;" in (tmp_path / PAGE).read_text()
    against = ("--against", str(tmp_path), "--reference", "aioobs", "--allowed", "1000")
    assert run("compare", *at, *few, *against).returncode == 0
    elsewhere = run("compare", *few, *against)
    assert elsewhere.returncode == 1
    assert "nothing to compare" in elsewhere.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--only", "nothing"), "no section with 'nothing' in its title"),
        (("--endpoint", "http://127.0.0.1:1", "--bucket", "b"), "name a folder with --into"),
    ],
)
def test_a_report_that_would_overwrite_the_page_for_nothing_is_refused(
    options: tuple[str, ...], message: str
) -> None:
    done = run("report", *options)
    assert done.returncode == 1
    assert message in done.stderr


def test_the_page_in_the_docs_is_the_one_of_the_numbers_beside_it() -> None:
    pages = written(*read(DOCS))
    for name, text in pages.items():
        assert (DOCS / name).read_text(encoding="utf-8") == text, f"{name}: report --redraw"


def test_a_curve_tells_how_many_times_as_fast_more_workers_are() -> None:
    walls = {"up": (8.0, 4.0, 2.0, 1.0), "copy": (3.0, 3.0, 3.0, 3.0)}
    records = [
        Record("small (9 files, 1 MB)", leg, str(count), 0, Outcome(wall))
        for leg, each in walls.items()
        for count, wall in enumerate(each, 1)
    ]
    found = document(records, "workers")
    found.settings["executor"] = "processes"

    page = list(curve.told({part.name: found for part in curve.PARTS}))

    assert "| 2 | 4.00 s (2.00 ×) | 3.00 s (1.00 ×) |" in page
    assert "| 4 | 1.00 s (8.00 ×) | 3.00 s (1.00 ×) |" in page
    drawn = ET.fromstring(curves("A & B", {"up": [1.0, 2.0], "down": [1.0, 1.5]}, "workers"))
    lines = [line.get("points") for line in drawn.iter(f"{SVG}polyline")]
    assert len(lines) == 4  # an axis, what would be ideal, and two curves
    assert lines[1] == lines[2] != lines[3]


def test_the_page_has_what_was_measured_of_more_workers() -> None:
    page = (curve.DOCS / curve.PAGE).read_text(encoding="utf-8")
    found = curve.BLOCK.search(page)
    assert found
    assert found[0] == "\n".join(curve.told(curve.read(curve.DOCS / curve.NUMBERS)))
