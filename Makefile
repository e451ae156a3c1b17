# Everything CI runs, by name. `make help` lists the targets. PYTHON is a Python with the "dev" extra (scripts/test makes one in .venv).
PYTHON ?= $(shell for p in .venv/bin/python python3; do command -v $$p && break; done)
.DEFAULT_GOAL := help

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1	\2/p' $(MAKEFILE_LIST) | expand -t 16

check: lint types imports sizes docs-fresh unit ## everything that must hold before a merge (no guest program is run)

lint: ## ruff
	$(PYTHON) -m ruff check .

fix: ## ruff's safe fixes
	$(PYTHON) -m ruff check --fix .

types: ## mypy --strict on pylibos, tests and scripts
	$(PYTHON) -m mypy

imports: ## the direction of imports
	PYTHONPATH=. $(PYTHON) -c 'from importlinter.cli import lint_imports; import sys; sys.exit(lint_imports())'

sizes: ## no file over 600 lines, no function over 60
	$(PYTHON) scripts/check_file_sizes.py

docs: ## regenerate the generated pages
	@if [ -e scripts/gen_syscall_docs.py ]; then PYTHONPATH=. $(PYTHON) scripts/gen_syscall_docs.py; fi

docs-fresh: ## fail when a generated page is stale
	@if [ -e scripts/gen_syscall_docs.py ]; then PYTHONPATH=. $(PYTHON) scripts/gen_syscall_docs.py --check; fi

unit: ## tests that run no guest
	./scripts/test -q tests/unit tests/property tests/architecture

test: ## every test, as CI runs it
	./scripts/test

bench: ## the comparison with native and PRoot
	./scripts/bench/bench

clean: ## remove what building made in the checkout
	rm -rf build dist ./*.egg-info pylibos/_build pylibos/tracer/_shim*.so .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

.PHONY: help check lint fix types imports sizes docs docs-fresh unit test bench clean
