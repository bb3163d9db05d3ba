"""Every fault with every verb: the right bytes or a clean error, and nothing left over.

What becomes of each is recorded in docs/reliability.json, by `make reliability`, and shown in
docs/reliability.md.
"""

from __future__ import annotations

import secrets
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from matrix import RIGHT, UNHARMED, WRONG, Site, trials
from matrix.faults import FAULTS
from matrix.record import PAGE, load, page_with, seen_as
from matrix.verbs import VERBS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from faulty import Certificates

    from aioobs.testing import LocalServer

pytestmark = pytest.mark.usefixtures("session")

QUICK = [verb for verb in VERBS if not verb.endswith("_big")]
BIG = [verb for verb in VERBS if verb.endswith("_big")]

# A fault meets every other verb here if it passes, and the others if it lasts; `make reliability`
# tries all of them.
BIG_SHARE = 3  # every third of the big files, if it passes

# Where TLS has its own way to send, to receive, or to notice an end.
OVER_TLS = (
    "half close",
    "reset while sending",
    "refused while sending",
    "reset in the body",
    "closed in the body",
    "stalled in the body",
    "closed after the answer",
    "more than announced",
)
SHARE_OVER_TLS = 6  # every sixth of the other verbs


@contextmanager
def new_site(
    server: LocalServer, folder: Path, certificates: Certificates | None = None
) -> Iterator[Site]:
    bucket = f"matrix-{secrets.token_hex(6)}"
    server.create_bucket(bucket)
    yield Site(server, bucket, folder, certificates)
    server.delete_bucket(bucket)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def site(obs_server: LocalServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Give a bucket of its own."""
    with new_site(obs_server, tmp_path_factory.mktemp("matrix")) as found:
        yield found


@pytest.fixture(scope="module")
def site_with_tls(
    obs_server: LocalServer,
    tmp_path_factory: pytest.TempPathFactory,
    certificates: Certificates,
) -> Iterator[Site]:
    """Give another one, before which TLS is spoken."""
    with new_site(obs_server, tmp_path_factory.mktemp("matrix"), certificates) as found:
        yield found


@pytest.fixture(autouse=True)
def settings(obs_server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have keys in the environment."""
    for name, text in obs_server.environment.items():
        monkeypatch.setenv(name, text)


@pytest.mark.parametrize(
    ("schedule", "transport"), [("first", "lean"), ("always", "session")], ids=["first", "always"]
)
@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_does_what_is_recorded(
    site: Site, name: str, schedule: str, transport: str
) -> None:
    recorded = load()[name][seen_as(schedule)]
    number, lasts = [*FAULTS].index(name), schedule == "always"
    verbs = QUICK[(number + lasts) % 2 :: 2]
    if not lasts:
        verbs += BIG[number % BIG_SHARE :: BIG_SHARE]
    found = await trials(site, FAULTS[name], schedule, transport, verbs)

    # Against a fault that lasts, or a store that lies, an error is as good, and may be chance.
    may_fail = schedule == "always" or FAULTS[name].lies
    new = {
        verb: verdict
        for verb, verdict in found.items()
        if not set(verdict.split(" or ")) <= recorded[verb] and (verdict == WRONG or not may_fail)
    }
    assert not new, "if it is meant: make reliability"


@pytest.mark.parametrize("name", OVER_TLS)
async def test_a_fault_that_passes_does_no_harm_over_tls(site_with_tls: Site, name: str) -> None:
    number = OVER_TLS.index(name)
    verbs = BIG[number % BIG_SHARE :: BIG_SHARE] + QUICK[number % SHARE_OVER_TLS :: SHARE_OVER_TLS]
    found = await trials(site_with_tls, FAULTS[name], "first", "lean", verbs)
    assert set(found.values()) <= {RIGHT, UNHARMED}


def test_what_is_recorded_is_what_is_tried() -> None:
    record = load()
    assert record.keys() == FAULTS.keys()
    for name, fault in FAULTS.items():
        assert record[name]["passing"].keys() == VERBS.keys()
        assert record[name]["lasting"].keys() == VERBS.keys() - set(fault.but)


def test_a_fault_that_passes_does_no_harm() -> None:
    harmed = {
        (name, verb)
        for name, kinds in load().items()
        for verb, verdicts in kinds["passing"].items()
        if not (verdicts <= {RIGHT, UNHARMED} or FAULTS[name].lies)
    }
    assert harmed == set()


def test_the_page_shows_what_is_recorded() -> None:
    assert PAGE.read_text() == page_with(load())
