# Everything runs in a virtual environment of its own, made from nothing and kept up to date by
# stamp files:
#
#     make train                              install, then train 1,000 agents on IEEE 123;
#                                             again: go on where it was interrupted
#     make train RUN=runs/long ARGS='--seconds 600'
#     make test                               install with the test extras, check and test
#     make docs                               the documentation's site, in site/
#
# constraints.txt pins what was tested. On Linux the package index may serve PyTorch with CUDA;
# install its CPU build into .venv first if the download matters.

PYTHON ?= python3
RUN    ?= runs/default
ARGS   ?=
# Of fuzzing.
SECONDS ?= 3600

VENV := .venv
BIN  := $(VENV)/bin
# Modules are compiled when first imported, and kept: of most that are installed none ever is.
PIP  := $(BIN)/python -m pip --disable-pip-version-check install --quiet --no-compile --constraint constraints.txt
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help install train test pytest kernels fuzz lint format docs dist audit clean
.DEFAULT_GOAL := help

help:
	@echo 'make install   the package, in $(VENV)'
	@echo 'make train     train, and write $(RUN)/report.html'
	@echo 'make test      check style and types, run the tests'
	@echo 'make fuzz      hand over what nobody would, for SECONDS=$(SECONDS)'
	@echo 'make lint      check style and types only'
	@echo 'make format    put the style right'
	@echo 'make docs      the documentation as a site, in site/'
	@echo 'make dist      wheels and source archives, in dist/'
	@echo 'make audit     which of the pinned packages have known vulnerabilities'
	@echo 'make clean     remove $(VENV), builds and caches; runs/ stays'

install: $(VENV)/.installed

train: $(VENV)/.installed
	$(BIN)/gradmap-train --run $(RUN) --resume $(ARGS)
	@echo 'Report: $(RUN)/report.html'

# Types are checked beside kernels and tests: either alone leaves a core idle for a while.
test: $(VENV)/.installed-test
	$(MAKE) --no-print-directory --jobs 2 lint pytest

# A file of tests is one worker's: what its tests share is made once. Each worker has one core. The
# files keep their order: sorted by their number of tests, the longest would be among the last.
pytest: kernels
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

# Kept on disk; workers that begin together would each compile all of them.
kernels: $(VENV)/.installed-test
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.compile_kernels

# Other examples than the tests', and other ones each time; it ends with what they came to.
fuzz: $(VENV)/.installed-test
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.robustness.fuzz $(SECONDS)

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Strictly: a link that leads nowhere, or a notebook that fails, ends it.
docs: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build
	@echo 'Site: $(BIN)/python -m http.server --bind 127.0.0.1 --directory site'

# Of the whole and of the gateway alone.
dist: $(VENV)/.installed-release
	rm -rf dist
	$(BIN)/python -m build --no-isolation --outdir dist .
	$(BIN)/python -m build --no-isolation --outdir dist gridedge_gateway

# A package of which nothing can be known fails it, too.
audit: $(VENV)/.installed-release
	$(BIN)/pip-audit --requirement constraints.txt --no-deps --disable-pip --strict

clean:
	rm -rf $(VENV) build dist site *.egg-info gridedge_gateway/*.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The version stands in gridedge_env/__init__.py.
METADATA := pyproject.toml constraints.txt gridedge_env/__init__.py

$(VENV)/.made:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "GridEdge needs Python 3.10 or newer")'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed: $(VENV)/.made $(METADATA)
	$(PIP) --editable .
	@touch $@

# Holds the plain installation too.
$(VENV)/.installed-test: $(VENV)/.made $(METADATA)
	$(PIP) --editable '.[test]'
	@touch $(VENV)/.installed $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(PIP) --editable '.[docs]'
	@touch $@

$(VENV)/.installed-release: $(VENV)/.installed
	$(PIP) --editable '.[release]'
	@touch $@
