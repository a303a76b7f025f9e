# `make` lists what one can do. `make check-plain` and `make test-cluster` are everything that CI does.
SHELL := bash
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-plain test-cluster check check-plain lint types layers docs docs-check format bench constraints clean

# A Python that was named gets a folder of its own, so that several versions can be tried side by side.
ifeq ($(origin PYTHON), undefined)
PYTHON := $(shell for p in python3.11 python3.12 python3.13 python3 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
else
VENV ?= .venv-$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
endif
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt
PROCESSES ?= 2
PYTEST ?=
REQUIRE_INFRA ?= slurm,mpi,chromium
RUN_TESTS = $(BIN)/python -m pytest -n $(PROCESSES) --dist loadfile --no-loadscope-reorder --max-worker-restart 0

# Tests start hundreds of processes: each would compile our modules again, where bytecode is not kept.
unexport PYTHONDONTWRITEBYTECODE
export PYTHONPYCACHEPREFIX ?= $(abspath $(VENV))/pycache

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

setup: $(STAMP) ## make the virtual environment with everything in it (PYTHON=… chooses the interpreter)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "error: no Python 3.11 or newer (PYTHON = '$(PYTHON)'); hint: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; exit 6; }
	@echo "setting up $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) hatchling
	@$(PIP) --no-build-isolation -e '.[test,check]'
	@touch $@

demo: setup ## run manifests/quickstart.json and show its table
	$(BIN)/campaign submit manifests/quickstart.json -d results/quickstart
	$(BIN)/campaign ls results/quickstart --limit 10

test: test-plain ## run all tests (PYTEST='-k name' to choose) but those on a SLURM or in a browser
	$(RUN_TESTS) -m '(long or mpi) and not slurm and not chromium' $(PYTEST)

test-plain: setup ## the tests that need nothing but this Python, without the long ones
	$(RUN_TESTS) -m 'not long and not slurm and not mpi and not chromium' $(PYTEST)

test-cluster: PROCESSES = 3
test-cluster: setup ## the others: long ones, and those on a real SLURM (which mostly wait), MPI and Chromium
	.ci/infrastructure "$(REQUIRE_INFRA)" "$(BIN)/python"
	REQUIRE_INFRA="$(REQUIRE_INFRA)" $(RUN_TESTS) -m 'long or slurm or mpi or chromium' --durations=15 $(PYTEST)

check: setup lint types layers docs-check test ## everything that needs no infrastructure

check-plain: setup lint types layers docs-check test-plain ## `check` without MPI: CI does that in `test-cluster`

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/pyright --pythonpath $(BIN)/python

layers: setup
	$(BIN)/lint-imports

docs: setup ## make the generated pages of docs/ and manifests/schema/ anew
	$(BIN)/python docs/generate.py

docs-check: setup
	$(BIN)/python docs/generate.py --check

format: setup ## format and sort imports
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

bench: setup ## measurements against peers, and of a million runs
	$(BIN)/python benchmarks/fits.py
	$(BIN)/python benchmarks/million.py

constraints: setup ## pin what is installed now
	@{ head -n 1 constraints.txt; $(BIN)/python -m pip freeze --exclude-editable | grep -E '^[A-Za-z0-9._-]+==[^ ]+$$' | sort -f; } > constraints.new
	@mv constraints.new constraints.txt

clean: ## remove the environments, caches and results
	rm -rf .venv .venv-* .pytest_cache .ruff_cache .hypothesis .import_linter_cache build dist results
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
