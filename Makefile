# Every target makes what it needs: a virtual environment from hash-pinned locks, and the system packages
# that can be had without asking. Options go through ARGS, e.g. make demo ARGS="--exit --json out.json".
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
LOCKS := deploy/requirements
SERVICES := scheduler dispatcher executors recorder gateway
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help install install-dev demo up test lint format lock bench clean browser

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(BIN)/uv: $(LOCKS)/uv.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --require-hashes --no-deps --disable-pip-version-check -r $(LOCKS)/uv.txt
	@touch $@

# One stamp per lock: the dev lock holds all that the local lock holds.
$(VENV)/.local: $(BIN)/uv $(LOCKS)/local.txt pyproject.toml
	@test -e $(VENV)/.dev || VIRTUAL_ENV=$(VENV) $(BIN)/uv pip sync --quiet --require-hashes --allow-empty-requirements $(LOCKS)/uv.txt $(LOCKS)/local.txt
	@test -e $(VENV)/.dev || $(BIN)/python deploy/link.py
	@touch $@

$(VENV)/.dev: $(BIN)/uv $(LOCKS)/dev.txt pyproject.toml
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip sync --quiet --require-hashes $(LOCKS)/uv.txt $(LOCKS)/dev.txt
	@$(BIN)/python deploy/link.py
	@touch $@ $(VENV)/.local

install: $(VENV)/.local browser ## everything `make demo` and `make up` need

install-dev: $(VENV)/.dev browser ## the same and the test tools

browser: $(VENV)/.local
	@$(BIN)/python -m webguard.local.browser --install

demo: install ## the whole platform, a shop with planted faults, and the tests that find them
	@$(BIN)/webguard demo $(ARGS)

up: install ## the platform on this machine; Ctrl-C stops it
	@$(BIN)/webguard up $(ARGS)

test: install-dev ## all tests, on real servers
	@$(BIN)/python -m pytest -n 2 --dist loadgroup $(ARGS)

lint: $(VENV)/.dev ## ruff, mypy strict, import contracts, the skills one folder at a time
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@for skill in skills/*/; do $(BIN)/mypy --strict $$skill/skill.py || exit 1; done
	@$(BIN)/lint-imports

format: $(VENV)/.dev ## ruff format and its safe fixes
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format --quiet .

bench: install-dev ## the numbers we claim; ARGS="--only pipeline --json FILE"
	@$(BIN)/python -m tests.bench $(ARGS)

lock: $(BIN)/uv ## renew the hash-pinned requirement files
	@for extra in $(SERVICES) local dev; do \
	  $(BIN)/uv pip compile --quiet pyproject.toml --extra $$extra --universal --python-version 3.11 \
	    --generate-hashes --no-header --no-emit-index-url --no-annotate --no-emit-package webguard $(ARGS) \
	    -o $(LOCKS)/$$extra.txt || exit 1; \
	  echo "$(LOCKS)/$$extra.txt"; done

clean: ## remove the virtual environment, caches and the local data folder
	@rm -rf $(VENV) .webguard .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -not -path './node_modules/*' -prune -exec rm -rf {} +
