"""A plugin for pytest that runs every async test with anyio, as newer ones do by an option."""

from __future__ import annotations

import inspect

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Collector, name: str, obj: object) -> None:
    """Have what is async ask for the fixture that makes anyio run it."""
    if name.startswith("test_") and inspect.iscoroutinefunction(obj):
        pytest.mark.usefixtures("anyio_backend")(obj)
