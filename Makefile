# The commands of this repository. `make` alone lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory --no-builtin-rules

BIN := .venv/bin
READY := .venv/.ready
# The first of these that exists, unless PYTHON is given.
PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3.13 python3,$(if $(shell $(name) --version 2>/dev/null),$(name))))

STRICT := vm consensus market node/ledger dispatch
# Much of the suite waits for processes and timers: three workers keep two cores busy.
JOBS ?= 3
# Hypothesis draws its examples from this; `make test SEED=random` explores.
SEED ?= 1
TEST_LIMIT_S ?= 600
SEEDS ?= 200
FIRST ?= 0
PROGRAMS ?= 10000
CYCLES ?= 500
CASES ?= 10000
PYMARKET := pandas==2.2.3 pymarket==0.7.6
# More arguments for pytest, for example ARGS="tests/house -k imports".
ARGS ?=

.PHONY: help setup demo test lint format sim canaries crashes long cycles browser pages api auctions agreement calls days boards contracts bench lock clean

help: ## list the commands
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1	\2/p' Makefile | expand -t 16

setup: $(READY) ## create .venv with bitenergy and its pinned dependencies, if needed

# Renewed when the pins or the package description change; the mark comes last, so a setup
# that was cut short is taken up again.
$(READY): requirements.lock pyproject.toml
	@if [ -z "$(PYTHON)" ] || ! $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then \
	    echo "setup: Python 3.11 or newer is needed; name one with: make $@ PYTHON=/path/to/python" >&2; exit 1; fi
	@if [ ! -x $(BIN)/python ] || ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	    echo "setup: creating .venv with $$($(PYTHON) --version)"; rm -rf .venv; \
	    $(PYTHON) -m venv .venv >/dev/null || { rm -rf .venv; \
	        echo "setup: no environment could be made; on Debian: apt-get install python3-venv" >&2; exit 1; }; fi
	@total=$$(grep -cE '^[A-Za-z0-9]' requirements.lock); count=0; \
	echo "setup: installing $$total pinned packages (a minute or two the first time)"; \
	$(BIN)/python -m pip install --disable-pip-version-check --no-input -r requirements.lock \
	| while IFS= read -r line; do \
	    case "$$line" in \
	        Collecting*|"Requirement already"*) count=$$((count + 1)); \
	            if [ -t 1 ]; then printf '\rsetup: %d of %d ' $$count $$total; fi ;; \
	        Installing*) if [ -t 1 ]; then printf '\rsetup: unpacking      \n'; fi ;; \
	    esac; done
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input --no-deps --no-build-isolation -e .
	@touch $@
	@echo "setup: ready, $(BIN)/bitenergy"

demo: setup ## four validators trade the three published cases; fails if a figure differs
	@$(BIN)/bitenergy demo --case all --exit

test: setup ## the whole test suite on two cores
	@timeout --foreground --signal=INT --kill-after=20 $(TEST_LIMIT_S) \
	    $(BIN)/python -m pytest --numprocesses=$(JOBS) --dist=loadgroup --durations=10 \
	    --hypothesis-seed=$(SEED) $(ARGS) \
	|| { status=$$?; [ $$status -ne 124 ] || echo "test: stopped after $(TEST_LIMIT_S) s" >&2; exit $$status; }

lint: setup ## ruff, and mypy strict on the layers below node
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check . || { echo "lint: lay the code out with: make format" >&2; exit 1; }
	@$(BIN)/mypy $(STRICT)

format: setup ## lay the code out and apply the safe mends
	@$(BIN)/ruff check --quiet --fix . || true
	@$(BIN)/ruff format .

sim: setup ## simulated networks under faults, SEEDS=20000 for a campaign
	@$(BIN)/python -m tests.sim.campaign --seeds $(SEEDS) --first $(FIRST) $(ARGS)

canaries: setup ## every planted fault must be caught by a simulation
	@$(BIN)/python -m tests.sim.canaries --jobs $(JOBS) $(ARGS)

crashes: setup ## kill a node at every call that writes its data, and fail each with ENOSPC and EIO
	@$(BIN)/python -m tests.e2e.crash_points $(ARGS)

long: setup ## tests of real processes that take longer than the suite allows
	@$(BIN)/python -m pytest --numprocesses=$(JOBS) --dist=loadgroup -q -m long $(ARGS)

cycles: setup ## kill -9 a validator of a trading network CYCLES=500 times
	@$(BIN)/python -m tests.e2e.cycles --cycles $(CYCLES) $(ARGS)

browser: setup ## every page of the explorer in Chromium, at phone and desktop size
	@$(BIN)/python -m pytest -q -m "browser or not browser" tests/browser $(ARGS)

pages: setup ## every page in Chromium on a chain of 100,000 blocks with 10,000 offers
	@$(BIN)/python -m tests.browser.long_chain $(ARGS)

api: setup ## send CASES=10000 requests made from the API's description to a node
	@$(BIN)/python -m tests.e2e.api_cases --cases $(CASES) $(ARGS)

days: setup ## random market days that conserve money and energy (DAYS=1000)
	@$(BIN)/python -m tests.market.day.random_days --days $(or $(DAYS),1000) $(ARGS)

calls: setup ## random signed transactions of every market module into chains (CHAINS=50)
	@$(BIN)/python -m tests.market.random_calls --seeds $(or $(CHAINS),50) $(ARGS)

auctions: setup ## a million lies in the strategy-proof auction, none of which may pay
	@$(BIN)/python -m tests.market.auction.deviations $(ARGS)

agreement: setup ## ask the public pymarket again, from the package index, for what tests compare with
	@[ -x .venv/agreement/bin/python ] || $(BIN)/python -m venv .venv/agreement
	@echo "agreement: installing pymarket and a pandas that it can use beside .venv"
	@.venv/agreement/bin/python -m pip install --quiet --disable-pip-version-check --no-input $(PYMARKET) \
	    || { echo "agreement: the package index did not give $(PYMARKET); try again later" >&2; exit 1; }
	@.venv/agreement/bin/python tests/market/auction/pymarket_answers.py
	@$(BIN)/python -m pytest -q tests/market/auction/test_pymarket.py

boards: setup ## rounds of boards with loss, liars and stopped ones, all to end with the optimum
	@$(BIN)/python -m tests.tools.board.campaign $(ARGS)

contracts: setup ## generated contracts against an oracle, and hostile code, PROGRAMS=100000 for a campaign
	@$(BIN)/python -m tests.vm.contract.hostile --cases $(PROGRAMS) --first $(FIRST)
	@$(BIN)/python -m tests.vm.contract.differential --programs $(PROGRAMS) --first $(FIRST) $(ARGS)

bench: setup ## transactions per second of four validators on this machine
	@$(BIN)/bitenergy bench chain --validators 4 --transactions 100000 $(ARGS)

lock: setup ## write what .venv holds into requirements.lock
	@{ sed -n '/^#/p' requirements.lock; \
	   $(BIN)/python -m pip freeze --all --exclude-editable | grep -vE '^(pip|wheel)=='; } > requirements.lock.new
	@mv requirements.lock.new requirements.lock

clean: ## remove .venv, builds and caches
	@rm -rf .venv build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .numba_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
