"""One target under atheris: ``python -m fuzz.guided TARGET``, and libFuzzer's options."""

from __future__ import annotations

import sys
from importlib import import_module

atheris = import_module("atheris")  # it has no types, and is not there for every Python

with atheris.instrument_imports(include=["aioobs", "aiohttp.http_parser"]):
    check = import_module(f"fuzz.{sys.argv[1]}").check

atheris.Setup([sys.argv[0], *sys.argv[2:]], check)
atheris.Fuzz()
