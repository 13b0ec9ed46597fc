"""Mutants of SQL: one fault at a time in a named query, each in a copy of the repository with tests of its own."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.mutation_survivors import End, Mutant

QUERIES = ("base/sql/runs.sql newest", "base/sql/assignments.sql read")  # file below hdm_airflow, name
TESTS = (
    "tests/integration/test_plan_of_a_base.py",
    "tests/integration/test_ledger.py::test_required_metric_packs_are_read_along_and_nothing_else",
    "tests/integration/test_assignments.py",
)
_SECONDS = 240  # for one mutant: most of it is for the start of PostgreSQL on a busy machine
_CHANGES = (
    (r" = (?=%|'|ANY)", " <> "),
    (r"\bAND\b", "OR"),
    (r"\bOR\b", "AND"),
    (r"\bDESC\b", "ASC"),
    (r"\bANY\b", "ALL"),
    (r"\bIN \(", "NOT IN ("),
    (r"'metric'", "'rule'"),
    (r"nullif\((\w+), '\[\]'\)", r"\1"),
    (r"coalesce\((.+), '\[\]'\)", r"\1"),
)


def mutants_of_queries(folder: Path, workers: int) -> list[Mutant]:
    """Run every mutant of QUERIES.

    Args:
        folder: a copy of the repository, as far as the tests need it.
        workers: how many mutants are run at a time.
    """
    jobs = [(code, change, text) for code in QUERIES for change, text in _changes(folder, code)]
    if _end(folder) != "survived":
        sys.exit("the tests of the queries fail without a fault in them")
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(lambda job: _run(folder, *job), jobs))


def _changes(folder: Path, code: str) -> Iterator[tuple[tuple[str, str], str]]:
    """The changed line, before and after, and the whole file with it."""
    file, name = code.split()
    text = (folder / "hdm_airflow" / file).read_text("utf-8")
    began = text.index(f"-- name: {name}\n")
    ended = text.find("\n-- name: ", began)
    block = text[began : ended if ended > 0 else len(text)]
    lines = block.split("\n")
    for number, line in enumerate(lines):
        if line.startswith("--"):
            continue
        for pattern, replacement in _CHANGES:
            for found in re.finditer(pattern, line):
                changed = line[: found.start()] + found.expand(replacement) + line[found.end() :]
                whole = "\n".join([*lines[:number], changed, *lines[number + 1 :]])
                yield (line.strip(), changed.strip()), text.replace(block, whole)


def _run(folder: Path, code: str, change: tuple[str, str], text: str) -> Mutant:
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        copy = Path(name, folder.name)
        shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("mutants", "__pycache__"))
        (copy / "hdm_airflow" / code.split(maxsplit=1)[0]).write_text(text, "utf-8")
        return Mutant(code=code, change=change, end=_end(copy))


def _end(folder: Path) -> End:
    command = [sys.executable, "-m", "pytest", "-x", "-q", *TESTS]
    try:
        done = subprocess.run(command, cwd=folder, check=False, capture_output=True, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        return "timed out"
    return "killed" if done.returncode else "survived"
