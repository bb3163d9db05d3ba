# Everything runs in .venv, which is made by itself and made anew when pyproject.toml changes.
PYTHON ?= python3
URL ?=
TRY ?=
# Processes that share the tests: one more than there are processors, as some tests only wait.
TEST_PROCESSES ?= $(shell expr $$(nproc 2>/dev/null || echo 1) + 1)
export FUZZ_SECONDS ?= 60
export SOAK_SECONDS ?= 600

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Apart, for some of the other clients want older versions of what the tests use.
BENCH_VENV := .venv-bench
READY_TO_BENCH := $(BENCH_VENV)/.ready
# Tests start programs by the hundred, each of which would compile the package anew.
export PYTHONDONTWRITEBYTECODE :=
# Where much fails the machine is at fault, a full disk for one, and each test would wait in vain.
SHARED := --numprocesses $(TEST_PROCESSES) --dist worksteal --maxfail 50
DOCS_VENV := .venv-docs
READY_FOR_DOCS := $(DOCS_VENV)/.ready
# Much of what is installed is never imported, and what is gets compiled then.
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile

.DEFAULT_GOAL := help
.PHONY: help demo test test-session test-matrix test-cpython fuzz reliability reliability-peers soak check release-check release-smoke audit format bench bench-report bench-compare docs clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-17s %s\n", $$1, $$2}' Makefile

demo: $(READY) ## see it work: on a local server, or make demo URL=s3://bucket/prefix
	$(BIN)/python -m benchmarks.demo $(URL)

test: $(READY) ## run all tests
	$(BIN)/python -m pytest $(SHARED)

# Blocking calls that stay on the disk are left out: they have run on uvloop before.
test-session: $(READY) ## run what moves data on aiohttp's own session, and on the other event loop
	$(BIN)/python -m pytest $(SHARED) --transport session --loop uvloop -m "not slow" -k "not [sync-local" \
	    $(patsubst %,tests/test_%.py,client copy file folders reading verbs)

# The combinations that `make test` has not; one that fails keeps no other from being run.
test-matrix: $(READY) ## run all tests on each other transport and event loop, in 40 minutes
	status=0; for pair in "session uvloop" "lean uvloop" "session asyncio"; do \
	    set -- $$pair; \
	    $(BIN)/python -m pytest $(SHARED) --transport $$1 --loop $$2 || status=1; \
	done; exit $$status

test-cpython: $(READY) ## run CPython's own tests with a shift and without, in three minutes
	cd tests && ../$(BIN)/python -m cpython
	$(BIN)/python -m pytest tests/test_cpython.py

fuzz: $(READY) ## look for inputs that go wrong, FUZZ_SECONDS=60 for each of the targets
	$(PIP_INSTALL) --only-binary atheris --editable '.[fuzz]' || true
	cd tests && ../$(BIN)/python -m fuzz

reliability: $(READY) ## try every fault with every verb and write docs/reliability.md, in 15 minutes
	cd tests && ../$(BIN)/python -m matrix

reliability-peers: $(READY_TO_BENCH) ## try the faults with other clients and write docs/reliability-peers.md; some: TRY="s3fs get 500"
	cd tests && ../$(BENCH_VENV)/bin/python -m matrix.peers $(or $(TRY),--record)

soak: $(READY) ## try everything for SOAK_SECONDS=600 with 2 % of bad answers: nothing may grow
	cd tests && ../$(BIN)/python -m matrix.soak

check: $(READY) ## check format, lint, types and the generated files
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m aioobs.sync._generate --check

release-check: $(READY) ## build, and test what is built on each Python, with old and new dependencies
	cd tests && ../$(BIN)/python -m release

release-smoke: $(READY) ## build, install the wheel where nothing else is, and use it
	cd tests && ../$(BIN)/python -m release quick

audit: $(READY) ## look for known vulnerabilities of what is installed, if the service can be reached
	@log=$$(mktemp); status=1; \
	if $(PIP_INSTALL) pip-audit >$$log 2>&1; then \
	    $(BIN)/python -m pip_audit --skip-editable --progress-spinner off --timeout 15 >$$log 2>&1; \
	    status=$$?; \
	fi; cat $$log; \
	if [ $$status -ne 0 ] && ! grep -q '^Found [0-9]' $$log; then \
	    echo "the service could not be asked: nothing is known" >&2; status=0; \
	fi; rm -f $$log; exit $$status

format: $(READY) ## write the generated files, format, and fix what can be fixed
	$(BIN)/python -m aioobs.sync._generate
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY_TO_BENCH) ## compare with other clients
	$(BENCH_VENV)/bin/python -m benchmarks

bench-report: $(READY_TO_BENCH) ## measure everything and write docs/benchmarks.md, in 20 minutes
	$(BENCH_VENV)/bin/python -m benchmarks report

bench-compare: $(READY_TO_BENCH) ## fail if this is slower than what docs/benchmarks.json has
	$(BENCH_VENV)/bin/python -m benchmarks compare

docs: $(READY_FOR_DOCS) ## write the documentation to site/, and fail if anything is wrong with it
	NO_MKDOCS_2_WARNING=1 $(DOCS_VENV)/bin/mkdocs build --strict

clean: ## remove the environment and everything else that was made
	rm -rf $(VENV) $(BENCH_VENV) $(DOCS_VENV) site .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "aioobs needs Python 3.11 or newer, and $(PYTHON) is not: make PYTHON=/path/to/python" >&2; \
	    exit 1; }
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) --editable '.[dev]'
	@touch $@

$(READY_TO_BENCH): pyproject.toml
	rm -rf $(BENCH_VENV)
	$(PYTHON) -m venv $(BENCH_VENV)
	$(BENCH_VENV)/bin/python -m pip install --quiet --upgrade pip
	$(BENCH_VENV)/bin/python -m pip install --quiet --editable '.[bench]'
	@touch $@

$(READY_FOR_DOCS): pyproject.toml
	rm -rf $(DOCS_VENV)
	$(PYTHON) -m venv $(DOCS_VENV)
	$(DOCS_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	@touch $@
