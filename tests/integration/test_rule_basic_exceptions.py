"""Exceptions to the shipped rules: the examples of the documentation work as they are written there."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.pack_harness import Base
from tests.integration.store_harness import SLUG, Nights, column, measured, nights

if TYPE_CHECKING:
    from collections.abc import Iterator

    from demo.services import Database

ROOT = Path(__file__).parents[2]
README = "dags/packs/rule-packs/basic/Readme.md"
HOW_TO = "docs/how-to/read-and-tune-the-first-alerts.md"
WRITE = "docs/how-to/write-a-rule-pack.md"
DATES = ("2026-03-02", "2026-03-03", "2026-03-04")
ENDPOINT: dict[str, Any] = {
    "slug": SLUG,
    "database": "ward",
    "type": "postgres",
    "host": "db.example",
    "port": 5432,
    "user": "reader",
    "password": "x",
    "ssl": False,
    "config": {},
}
TABLES = ("stays", "visits", "scratch")
FILLED = column("text", value_counts=100, na_values=0, percent_na_values=0.0, levels_count=3, highest_frequency=40)
EMPTY = column("text", value_counts=0, na_values=100, percent_na_values=100.0, levels_count=0, highest_frequency=0)
RETYPED = column("integer", value_counts=100, na_values=0, percent_na_values=0.0, levels_count=3)
COLUMNS = ("comment", "diagnosis", "ward", "postcode")


@pytest.fixture
def written(database: Database, tmp_path: Path) -> Iterator[tuple[Base, Nights]]:
    """An empty base, into which nights are written."""
    base = Base(database, tmp_path)
    with nights(base) as made:
        yield base, made


@pytest.mark.parametrize("generate", [True, False])
def test_an_exception_from_an_unknown_class_says_so(written: tuple[Base, Nights], generate: bool) -> None:
    """A misspelled cause would be an exception without effect, and nobody would know. Known ones are named."""
    base, made = written
    made.write(DATES[0], [measured("stays", {"comment": FILLED}, rows=100)])
    base.execute(
        """INSERT INTO rule_basic (rule_name, cause, "table", "column", enabled) VALUES
        ('*', 'nuls', 'stays', 'comment', false), ('*', 'nulls, newst', 'stays', 'ward', false),
        ('*', 'nulls, newest', 'stays', 'diagnosis', false), ('*', '', 'stays', 'x', false)"""
    )
    report = base.judge(DATES[0], {**ENDPOINT, "config": {"generate": generate}}).only()
    found = [row["error"] for row in base.rows("SELECT reason AS error FROM hdm_not_judged ORDER BY rule_id::bigint")]
    assert report["status"] == "partial"
    assert [text.split(";")[0] for text in found] == [
        "covers nothing: no rule has the cause 'nuls'", "no rule has the cause 'newst'",
    ]  # fmt: skip
    assert all("known are column, " in text and ", nulls, " in text for text in found)


def examples(page: str, heading: str = "") -> list[str]:
    """The statements of a page, from a heading on."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(r"```sql\n(.*?)```", text[text.index(heading) :], re.DOTALL)


def run(base: Base, examples: list[str]) -> None:
    """Run the statements that change something."""
    for example in examples:
        for statement in filter(None, map(str.strip, example.split(";\n"))):
            if "INSERT" in statement or "UPDATE" in statement:
                base.execute(statement.replace("%", "%%"))


def judged(written: tuple[Base, Nights], changes: dict[str, Any], added: str = "") -> list[tuple[Any, ...]]:
    """Two sound nights, then one on which columns of all tables have changed: level, rule, table, column."""
    base, made = written
    for date in DATES[1:]:
        rows = {**dict.fromkeys(COLUMNS, FILLED), **(changes if date == DATES[2] else {})}
        if date == DATES[2] and added:
            rows[added] = FILLED
        made.write(date, [measured(label, {"id": column(value_counts=100), **rows}, rows=100) for label in TABLES])
        judgement = base.judge(date, ENDPOINT)
        assert judgement.only()["status"] == "ok", judgement.output
    return sorted(
        (row["alert_level"], row["rule_name"], row["table"], row["column"] or "")
        for row in base.rows(
            """SELECT a.*, r.rule_name FROM hdm_alerts a JOIN rule_basic r ON r.id_rule::text = a.rule_id
            WHERE a."date" = %s AND a.alert_level <> 'Info'""",
            DATES[2],
        )
    )


def installed(written: tuple[Base, Nights]) -> Base:
    """The base, with the shipped rules."""
    base, made = written
    columns = {"id": column(value_counts=100), **dict.fromkeys(COLUMNS, FILLED)}
    made.write(DATES[0], [measured(label, columns, rows=100) for label in TABLES])
    assert base.judge(DATES[0], ENDPOINT).only()["status"] == "ok"
    return base


def test_without_exceptions_each_table_has_an_alert(written: tuple[Base, Nights]) -> None:
    """What the following tests silence."""
    installed(written)
    found = judged(written, {"comment": EMPTY, "ward": RETYPED})
    assert found == sorted(
        ("High", rule, table, place)
        for rule, place in (("empty column", "comment"), ("retyped column", "ward"))
        for table in TABLES
    )


def test_the_examples_of_the_readme(written: tuple[Base, Nights]) -> None:
    """`scratch` is silent, `comment` may be empty everywhere, `stays` has other levels and new columns."""
    run(installed(written), examples(README, "## Families and exceptions")[:2])
    assert judged(written, {"comment": EMPTY, "ward": RETYPED}, added="remark") == [
        ("High", "retyped column", "visits", ""),  # also of the new column
        ("Warning", "retyped column", "stays", "ward"),
    ]


def test_the_examples_of_the_how_to(written: tuple[Base, Nights]) -> None:
    """All of them after one another, on one base: also rules of one's own on what is excepted from the shipped ones."""
    run(installed(written), examples(HOW_TO, "**Except a table.**"))
    found = judged(written, {"comment": EMPTY, "ward": RETYPED, "diagnosis": EMPTY}, added="remark")
    assert found == [
        ("High", "empty column", "visits", ""),
        ("High", "nulls in diagnoses", "stays", "diagnosis"),
        ("High", "retyped column", "visits", "ward"),
        ("Warning", "retyped column", "stays", "ward"),
        ("Warning", "too few diagnoses", "stays", "diagnosis"),
    ]


@pytest.mark.parametrize("page", [HOW_TO, WRITE])
def test_examples_of_new_rules_raise_alerts(written: tuple[Base, Nights], page: str) -> None:
    """A rule as written."""
    (example,) = [one for one in examples(page) if "'nulls in diagnoses'" in one or "'postcodes'" in one]
    base = installed(written)
    run(base, [example.replace("'patients'", "'stays'")])
    (name,) = re.findall(r"VALUES \('([^']+)'", example)
    found = judged(written, {"diagnosis": EMPTY, "postcode": EMPTY})
    assert name in {rule for _, rule, _, _ in found}, json.dumps(found)
