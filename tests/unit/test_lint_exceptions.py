"""Every exception to the linter and the type checker says why, in one form."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("hdm_airflow", "dags", "demo", "benchmarks", "tests")
#: One comment with its codes, and behind it another one with the reason.
FORM = re.compile(r"# (?:noqa: [A-Z]+\d+(?:, [A-Z]+\d+)*|type: ignore\[[a-z-]+(?:, ?[a-z-]+)*\])  # \S")
EXCEPTION = re.compile(r"# ?(?:noqa|type: ?ignore)\b")


def test_every_exception_names_its_code_and_gives_a_reason() -> None:
    """A reader who meets one must not have to guess, and a new one is a decision."""
    bad = []
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py*")):
            if path.suffix in {".py", ".in"} and ROOT / "tests/packs" not in path.parents:
                for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
                    if EXCEPTION.search(line) and not FORM.search(line) and path != Path(__file__):
                        bad.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    assert not bad
