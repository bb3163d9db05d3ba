"""CPython's own tests, run on a shifted standard library: ``python -m cpython`` in `tests`."""
