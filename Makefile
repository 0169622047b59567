# Each target sets itself up: the first run makes .venv/ and installs what requirements.txt and pyproject.toml list.
#
#   make book PROFILE=location JOBS=4 ARGS="--only attacks/conf -p sparsity 0.9"
#   make test ARGS="-k experiment"
#   make book PYTHON=python3.12

PYTHON ?= python3
PROFILE ?= default
JOBS ?=
ARGS ?=
BIN := .venv/bin
READY := .venv/ready
LOG := .venv/install.log

.DEFAULT_GOAL := help
.PHONY: help book pdf test lint bench results clean
.DELETE_ON_ERROR:

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-7s %s\n", $$1, $$2}' Makefile

book: $(READY) ## execute what changed and build the book [PROFILE=default JOBS=2 ARGS=…]
	@$(BIN)/prunemia book --profile $(PROFILE) $(if $(JOBS),--jobs $(JOBS)) $(ARGS)

pdf: book ## the whole book as build/book.pdf; needs chromium and poppler-utils
	@$(BIN)/prunemia pdf

test: $(READY) ## unit tests, every page on the smoke profile, the built book checked [ARGS=…]
	@$(BIN)/python -m pytest -n $(or $(JOBS),2) --dist loadscope $(ARGS)

lint: $(READY) ## ruff, mypy, and no outputs in notebook sources
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/nb-clean check --preserve-cell-metadata-field tags --preserve-cell-metadata-field mystnb --preserve-cell-metadata-field jupyter --preserve-notebook-metadata notebooks

bench: $(READY) ## time each claim about speed, side by side; writes results/bench.txt
	@mkdir -p build && $(BIN)/python bench/_machine.py > build/bench.txt
	@set -e; for script in $(sort $(filter-out bench/_% bench/dp_tuning.py,$(wildcard bench/*.py))); do \
	  echo "$$script …"; $(BIN)/python $$script > build/bench.part; cat build/bench.part; cat build/bench.part >> build/bench.txt; \
	done; rm -f build/bench.part
	@mv build/bench.txt results/bench.txt; echo "The table: results/bench.txt"

results: $(READY) ## compute what the tables of results/ lack; can take hours [ARGS="NAME… --anew"]
	@$(BIN)/prunemia results --workers $(or $(JOBS),2) $(ARGS)

clean: ## remove build/ and caches; results (.prunemia/) and the set-up (.venv/) stay
	@rm -rf build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find src tests bench -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Python 3.11 or newer is needed, and '$(PYTHON)' is not that; name one with: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@mkdir -p .venv; echo "Setting up .venv/ (once; several minutes where PyTorch is to be downloaded) …"
	@{ { command -v uv && uv venv --allow-existing --python '$(PYTHON)' .venv && uv pip install --python $(BIN)/python --editable '.[dev]'; } || \
	  { $(PYTHON) -m venv .venv && $(BIN)/python -m pip install --disable-pip-version-check --editable '.[dev]'; }; } > $(LOG) 2>&1 || { \
	  tail -n 40 $(LOG) >&2; echo "The set-up failed; what the installer said: $(LOG)" >&2; exit 1; }
	@touch $@
