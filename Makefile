# Everything a newcomer types. `make` alone lists it.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
NEEDED_MB := 4096

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-quick test test-long test-feast-universal lint types
.PHONY: bench bench-language bench-gpu bench-ingest bench-windows bench-feast bench-learning up clean

help:  ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-21s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP)  ## Make the virtual environment with every dependency; quick when nothing changed
	@echo "ready: try make demo"

demo: $(STAMP)  ## Watch a year of shopping land, train and change what is recommended (2 to 4 minutes)
	@$(BIN)/tidegate demo

demo-quick: $(STAMP)  ## The same story, shorter (90 seconds)
	@$(BIN)/tidegate demo --quick

up: $(STAMP)  ## Run the whole stack in the foreground until Ctrl-C
	@$(BIN)/tidegate up

test: $(STAMP)  ## Run the tests, all but the long ones and those that need a GPU
	@$(BIN)/pytest

test-long: $(STAMP)  ## Run the long tests too
	@$(BIN)/pytest -m "not gpu"

test-feast-universal: $(STAMP)  ## Run Feast's own tests on our stores: FEAST_REPO=/path/to/a/checkout
	@$(BIN)/python -m tests.universal "$(FEAST_REPO)"

lint: $(STAMP)  ## Check style, format and the import contracts
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/lint-imports --no-cache

types: $(STAMP)  ## Check types
	@$(BIN)/mypy

bench: $(STAMP)  ## Measure what the database, the queue and an increment cost
	@$(BIN)/python -m benchmarks

bench-ingest: $(STAMP)  ## Measure what writing costs, and whether a read sees the last commit
	@$(BIN)/python -m benchmarks ingest freshness

bench-windows: $(STAMP)  ## Measure cutting and reading windows, the way to a task, the memory of training
	@$(BIN)/python -m benchmarks windows latency memory

bench-feast: $(STAMP)  ## Measure Feast's stores and server beside its own and beside code by hand (17 minutes)
	@$(BIN)/python -m benchmarks feast_online feast_offline feast_http

bench-language: $(STAMP)  ## Measure what a smaller text encoder gains and loses
	@$(BIN)/python -m benchmarks.language

bench-gpu: $(STAMP)  ## Measure how much of a GPU an increment of a language model uses; says so where there is none
	@$(BIN)/python -m benchmarks.gpu

# recbole asks for old libraries; only the data in its package is read.
bench-learning: $(STAMP)  ## Compare every method of learning on MovieLens 100k (DATA=complete-journey, or a path)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps recbole==1.2.1
	@$(BIN)/python -m benchmarks.learning --data "$(or $(filter-out no yes,$(DATA)),ml-100k)" --out .bench/learning

# The data goes only on a plain "yes": typed at the question, or given as `make clean DATA=yes`.
clean:  ## Remove caches; ask before removing the data in .tidegate
	@find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist
	@if [ -d .tidegate ]; then \
	  echo "This removes the embedded database in $$(readlink -f .tidegate), events, models and all:"; \
	  du -sh "$$(readlink -f .tidegate/postgres)" .tidegate 2>/dev/null || true; \
	  answer="$(DATA)"; \
	  if [ -z "$$answer" ] && [ -t 0 ]; then printf 'Type yes to remove it: '; read -r answer; fi; \
	  if [ "$$answer" != yes ]; then echo "Kept."; exit 0; fi; \
	  if [ -x $(BIN)/tidegate ]; then env -u TIDEGATE_DATABASE_URL TIDEGATE_HOME=.tidegate $(BIN)/tidegate database stop; fi && \
	  rm -rf "$$(readlink -f .tidegate/postgres)" .tidegate && echo "Removed."; \
	fi

# The stamp is as old as the dependencies it stands for, so an unchanged pyproject.toml costs nothing.
$(STAMP): pyproject.toml
	@set -e; \
	for candidate in $(or $(PYTHON),python3.13 python3.12 python3.11 python3); do \
	  if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$$candidate; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "tidegate needs Python 3.11 or newer; python3 here is: $$(python3 --version 2>&1 || echo missing)."; \
	  echo "Install one, or name it: make setup PYTHON=/path/to/python3.12"; exit 1; \
	fi; \
	if ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then \
	  echo "$$python cannot make virtual environments. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; \
	fi; \
	free=$$(df -Pm . | awk 'NR == 2 {print $$4}'); \
	if [ ! -x $(BIN)/python ] && [ "$$free" -lt $(NEEDED_MB) ]; then \
	  echo "Only $$free MB are free here; the dependencies and the demo need $(NEEDED_MB) MB."; exit 1; \
	fi; \
	if ! $(BIN)/python -c '' 2>/dev/null; then echo "making $(VENV) with $$python"; "$$python" -m venv --clear $(VENV); fi; \
	echo "installing the dependencies (1.7 GB the first time, some minutes)"; \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[all,dev]'; \
	$(BIN)/python -m pip check; \
	touch $(STAMP)
