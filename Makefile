# Everything a newcomer or an operator types. `make help` lists it.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
DEMO_ROWS ?= 1000000
PICTURE_ROWS ?= 200000
KILLS ?= 200
TABLES ?= 8
ROWS ?= 500000
TEST_PROCESSES ?= 2
BENCH_ROWS ?= 1000000
BENCH_ROUNDS ?= 3
# Each run starts several Python processes: what is compiled once need not be compiled at every start.
export UV_COMPILE_BYTECODE := 1
# uv trusts what the system trusts, as pip does: a company's proxy has a certificate of its own.
ifneq ($(wildcard /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt),)
export UV_SYSTEM_CERTS := 1
endif
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
unexport PYTHONPATH

# What is installed leads to the folder it was installed in: where that was moved or copied, it is installed anew.
MOVED := $(shell test ! -s $(VENV)/.installed || test "$$(cat $(VENV)/.installed)" = "$(CURDIR)" || echo yes)

PLUGINS := sync-rules tap-mssql tap-oracle-wms tap-sqlite target-postgres
PACKAGES := $(PLUGINS:%=-e plugins/%) -e .
PROJECT_FILES := pyproject.toml $(wildcard plugins/*/pyproject.toml)
MELTANO_FILES := meltano.yml $(wildcard extract/*.meltano.yml load/*.meltano.yml)

.PHONY: help demo test chaos many bench lint format docs picture setup sandbox-up stop clean lock

help: ## List these commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

demo: setup ## Set up everything, copy generated rows (DEMO_ROWS in the largest table), change some, compare both sides
	@$(BIN)/python -m paralelo.demo --rows $(DEMO_ROWS)

test: setup ## Set up everything and run all tests
	@$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile --max-worker-restart 0 $(PYTEST_ARGS)

chaos: setup ## Kill anything at any moment, KILLS times, and compare both sides; SEED=n plays one again
	@$(BIN)/python -m tests.chaos --kills $(KILLS) $(if $(SEED),--seed $(SEED))

many: setup ## TABLES tables of ROWS rows at once, one of them killed again and again, then every cell compared
	@$(BIN)/python -m tests.many --tables $(TABLES) --rows $(ROWS)

bench: setup ## Paralelo and its rivals on the same BENCH_ROWS rows, BENCH_ROUNDS rounds: docs/benchmark.md
	@bench/run --rows $(BENCH_ROWS) --rounds $(BENCH_ROUNDS) $(BENCH_ARGS)

lint: $(VENV)/.installed ## Formatting, lint and the strict type check
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

format: $(VENV)/.installed ## Format the code and mend what ruff can mend
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

docs: $(VENV)/.docs-installed ## Build the documentation into site/; a broken link fails it
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

picture: setup ## Draw a demo run of PICTURE_ROWS rows into docs/demo.svg
	@set -o pipefail; COLUMNS=108 $(BIN)/python -m paralelo.demo --rows $(PICTURE_ROWS) --picture docs/demo.svg | cat

setup: $(VENV)/.installed .meltano/.installed ## The virtual environment and Meltano's plugins
# A run's settings lie there while it lasts, passwords and all, and Meltano makes the files readable by everybody.
	@mkdir -p .meltano/run && chmod 700 .meltano/run
# Each time: what is compiled already, of the source as it is now, is only looked at.
	@$(BIN)/python -m tap_mssql.native

sandbox-up: setup ## Start the sandbox with DEMO_ROWS of data; write a .env pointing at it where there is none
	@$(BIN)/python -m sandbox start
	@$(BIN)/python -m sandbox load $(DEMO_ROWS) --if-empty
	@if [ -e .env ]; then echo ".env is yours and stays as it is; to point it at the sandbox: $(BIN)/python -m sandbox env > .env"; \
	else (umask 077 && $(BIN)/python -m sandbox env > .env) && echo "wrote .env, pointing at the sandbox"; fi

stop: ## Stop the sandbox
	@if [ -x $(BIN)/python ]; then $(BIN)/python -m sandbox stop; $(BIN)/python -m sandbox.wms stop; fi

clean: stop ## Remove what was set up and what runs left: environment, plugins, sandbox data (never .env or state/)
	@rm -rf $(VENV) .meltano .sandbox .paralelo .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist site
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

lock: $(VENV)/.installed ## Pin every dependency anew, with hashes and without index addresses
	@$(UV) pip compile --quiet --universal --upgrade --python-version 3.10 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-header --no-annotate \
	  requirements/direct.in -o requirements/constraints.txt
	@$(UV) pip compile --quiet --universal --upgrade --python-version 3.10 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-header --no-annotate \
	  requirements/docs.in -c requirements/constraints.txt -o requirements/docs.txt

.PHONY: moved
$(VENV)/.installed: requirements/constraints.txt requirements/bootstrap.txt requirements/direct.in $(PROJECT_FILES) \
  $(if $(MOVED),moved)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Paralelo needs Python 3.10 or newer")'
	@echo "Setting up $(VENV) with $$($(PYTHON) --version)"
	@$(if $(MOVED),rm -rf $(VENV) .meltano/extractors .meltano/loaders)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/bootstrap.txt
	@$(UV) pip install --quiet -r requirements/direct.in $(PACKAGES) -c requirements/constraints.txt
	@$(BIN)/python -m compileall -q plugins paralelo sandbox stores
	@echo "$(CURDIR)" > $@

$(VENV)/.docs-installed: requirements/docs.txt $(VENV)/.installed
	@$(UV) pip install --quiet -r requirements/docs.txt
	@touch $@

.meltano/.installed: $(VENV)/.installed $(MELTANO_FILES)
	@echo "Installing Meltano's plugins"
	@$(BIN)/meltano --log-level=warning install --force > .meltano-install.log 2>&1 \
	  || { cat .meltano-install.log; exit 1; }
	@rm -f .meltano-install.log
	@mkdir -p .meltano && touch $@
