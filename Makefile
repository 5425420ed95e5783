# Equigrad's two commands are `make demo` and `make test`; each makes its own environment.
# `make` alone prints what else there is.

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	if $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	command -v $$p; break; fi; done)
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
PYTEST_ARGS ?= --numprocesses=2 --dist=loadfile
DEMO := runs/demo

.DEFAULT_GOAL := help
.PHONY: help demo test check format docs docs-serve bench-quick clean

help: ## Print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "error: expected Python 3.11 or newer, got none." \
		"Install it, or name it: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@"$(PYTHON)" -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and \
		f"error: expected Python 3.11 or newer, got {v[0]}.{v[1]}. " \
		"Name another one: make PYTHON=/path/to/python3.11")'
	@echo "Making $(VENV) with $(PYTHON)"
	@"$(PYTHON)" -m venv $(VENV) || { rm -rf $(VENV); echo "error: $(PYTHON) cannot make an" \
		"environment. On Debian: apt-get install python3-venv" >&2; exit 2; }

# The stamps are older than pyproject.toml after every change of it: then pip runs again.
# The development stamp renews the plain one, which it includes.
$(VENV)/.installed: pyproject.toml | $(BIN)/python
	@echo "Installing equigrad (the first time takes minutes: PyTorch is large)"
	@$(PIP) install --quiet --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	@echo "Installing equigrad with its development extras (the first time takes minutes)"
	@$(PIP) install --quiet --editable '.[dev]'
	@touch $(VENV)/.installed $@

demo: $(VENV)/.installed ## Train the example consortium and show who earned what
	@rm -rf $(DEMO)
	@$(BIN)/equigrad run examples/consortium.toml --folder $(DEMO)

test: $(VENV)/.installed-dev ## Run the whole test suite (EQUIGRAD_GOLDEN: other golden cases)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(PYTEST_ARGS)

check: $(VENV)/.installed-dev ## Format, lint, types, import rules, documentation
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy --strict
	@$(BIN)/lint-imports --no-cache
	@site=$$(mktemp -d) && trap 'rm -rf "$$site"' EXIT && \
		NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --site-dir "$$site"

format: $(VENV)/.installed-dev ## Format the code, repair what ruff can, renew generated pages
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .
	@$(BIN)/python docs/tools/pages.py

docs: $(VENV)/.installed-dev ## Build the documentation into site/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "Open site/index.html (searching needs a server: make docs-serve)"

docs-serve: $(VENV)/.installed-dev ## Serve the documentation on this machine while writing it
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

bench-quick: $(VENV)/.installed-dev ## Run every benchmark in its quick form
	@for script in benchmarks/[a-z]*.py; do \
		echo "== $$script"; $(BIN)/python "$$script" --quick || exit 1; done

clean: ## Remove environment, caches, built documentation and the demo's run
	@rm -rf $(VENV) site dist $(DEMO) .mypy_cache .ruff_cache .pytest_cache .hypothesis \
		.import_linter_cache
	@find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
