# Two commands on a fresh machine: `make run` and `make test`. `make` alone lists all of them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
VENV := .venv
CACHEAI_HOST ?= 127.0.0.1
CACHEAI_PORT ?= 8080
# The first of these that is new enough.
PYTHON := $(shell for it in python3.11 python3.12 python3.13 python3; do \
	$$it -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$it && break; done)
DATA ?= $(wildcard ../shared/data/dev)
CONSTRAINTS := $(wildcard constraints.txt)
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check install $(addprefix -c ,$(CONSTRAINTS))
TOOLS := $(VENV)/bin

.PHONY: help
help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: $(VENV)/server.stamp  ## Start everything here and print the address, a key and two lines to paste
	@exec $(TOOLS)/python manage.py runstack --host $(CACHEAI_HOST) --port $(CACHEAI_PORT)

.PHONY: demo
demo: $(VENV)/server.stamp  ## Ask the running stack some hundred questions, so that there is something to see
	$(TOOLS)/python manage.py demo_traffic

.PHONY: test
test: $(VENV)/test.stamp  ## Run all tests on real parts; those that hurt a whole stack have the machine to themselves
	$(TOOLS)/pytest -n 2 --dist loadfile --ignore=tests/e2e
	$(TOOLS)/pytest tests/e2e

.PHONY: unit
unit: $(VENV)/test.stamp  ## Run the tests that need no database and no socket
	$(TOOLS)/pytest tests/unit

.PHONY: check
check: $(VENV)/test.stamp  ## Lint, format, types, walls, migrations
	$(TOOLS)/ruff check
	$(TOOLS)/ruff format --check
	$(TOOLS)/mypy
	$(TOOLS)/lint-imports
	$(TOOLS)/python manage.py makemigrations --check --dry-run

.PHONY: format
format: $(VENV)/test.stamp  ## Put the code into its one form
	$(TOOLS)/ruff check --fix
	$(TOOLS)/ruff format

.PHONY: bench
bench: $(VENV)/bench.stamp  ## Measure speed beside two peers; a table, JSON and a picture in out/
	$(TOOLS)/python -m tests.bench

.PHONY: quality
quality: $(VENV)/bench.stamp  ## Measure hits and wrong hits beside plain cosine; DATA=folder of questions, FLAGS=--quick
	$(TOOLS)/python -m tests.bench.quality $(addprefix --data ,$(DATA)) $(FLAGS)

.PHONY: soak
soak: $(VENV)/test.stamp  ## Hurt a stack at random, under load, and see what is left of it; MINUTES=1440
	$(TOOLS)/python -m tests.e2e.with_faults.soak --minutes $(or $(MINUTES),10)

.PHONY: clean
clean:  ## Remove what was installed and built; data in .cacheai stays
	rm -rf $(VENV) build dist out staticfiles *.egg-info .pytest_cache .ruff_cache .mypy_cache .import_linter_cache

# A stamp is newer than what it was made from, so a second run installs nothing.
$(VENV)/server.stamp: EXTRAS := server
$(VENV)/test.stamp: EXTRAS := server,test
$(VENV)/bench.stamp: EXTRAS := server,test,bench
$(VENV)/%.stamp: pyproject.toml $(CONSTRAINTS) | $(VENV)/bin/python
	@echo "Installing CacheAI [$(EXTRAS)] into $(VENV); the first time takes some minutes."
	@$(PIP) --progress-bar on -e ".[$(EXTRAS)]" | { grep --line-buffered -v '^Requirement already' || true; }; \
		exit $${PIPESTATUS[0]}
	@$(TOOLS)/python manage.py export_model || echo "Similarity will be off until that is mended."
	@touch $@

$(VENV)/bin/python:
	@if [ -z "$(PYTHON)" ]; then echo "CacheAI needs Python 3.11 or newer with its venv module:" \
		"install it (Debian: apt install python3.11 python3.11-venv) and run make again." >&2; exit 1; fi
	@$(PYTHON) -m venv $(VENV)
