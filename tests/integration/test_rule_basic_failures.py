"""What goes wrong in rule pack `basic` costs what depends on it, never the alerts of an endpoint's other rules."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration import pack_harness
from tests.integration.metric_basic_harness import made_ward
from tests.integration.store_harness import column, measured, nights
from tests.pack_modules import load

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from demo.services import Database, Postgres
    from tests.integration.metric_basic_harness import Ward
    from tests.integration.pack_harness import Base, PackRun

pack = load(("transfer", "relations", "since"), "rule-packs/basic")
DATES = ("2026-01-05", "2026-01-06")
EMPTY = ("empty column", "stays", "ward")


@pytest.fixture
def ward(postgres: Postgres, pack_base: Database, tmp_path: Path) -> Iterator[Ward]:
    """A hospital with two nights of metrics: on the second night all wards are null. The first night is judged."""
    with made_ward(postgres, pack_base, tmp_path) as made:
        with nights(made.base) as written:
            written.slug, written.database = made.endpoint["slug"], made.endpoint["database"]
            for date, nulls in zip(DATES, (0, 100), strict=True):
                columns = {
                    "stay_id": column(value_counts=100, is_key=True),
                    "ward": column("text", 100 - nulls, na_values=nulls, percent_na_values=float(nulls)),
                }
                written.write(date, [measured("stays", columns, rows=100)])
        made.base.judge(DATES[0], made.endpoint)
        yield made


def judged(ward: Ward) -> tuple[PackRun, set[tuple[Any, ...]]]:
    """A run for the second date, and its High and Warning alerts: rule, table, column."""
    run = ward.base.judge(DATES[1], ward.endpoint)
    return run, loud(ward.base)


def loud(base: Base) -> set[tuple[Any, ...]]:
    rows = base.rows(
        """SELECT r.rule_name, a."table", a."column" FROM hdm_alerts a JOIN rule_basic r ON r.id_rule::text = a.rule_id
        WHERE a."date" = %s AND a.alert_level <> 'Info'""",
        DATES[1],
    )
    return {tuple(row.values()) for row in rows}


def write_rule(ward: Ward, content: dict[str, Any]) -> int:
    """A rule on all objects; its id."""
    query = "INSERT INTO rule_basic (rule_name, condition_scope, rule_content) VALUES ('own', 'all', %s) RETURNING *"
    return int(ward.base.rows(query, json.dumps(content))[0]["id_rule"])


def errors(ward: Ward) -> dict[str, str]:
    """The errors of rules on the second date, by the rule's name."""
    rows = ward.base.rows(
        """SELECT rule_name, reason AS error FROM hdm_not_judged JOIN rule_basic ON id_rule::text = rule_id
        WHERE kind = 'error' AND "date" = %s""",
        DATES[1],
    )
    return {row["rule_name"]: row["error"] for row in rows}


def break_pack(monkeypatch: pytest.MonkeyPatch, folder: Path, module: str, function: str, body: str) -> None:
    """Replace a function of the pack in the copy that runs."""
    shutil.copytree(pack_harness.PACKS, folder / "packs")
    with (folder / "packs/rule-packs/basic/process" / f"{module}.py").open("a") as file:
        file.write(f"\n\ndef {function}(*arguments, **keywords):\n    {body}\n")
    monkeypatch.setattr(pack_harness, "PACKS", folder / "packs")


RAISES = "raise ValueError('of ZEBRAFISH')"


@pytest.mark.parametrize(
    ("module", "function", "body", "rule", "finds"),
    [
        ("days", "of_tables", RAISES, "rows lost", True),
        ("level_steps", "of_columns", RAISES, "new level", True),
        ("new_rows", "of_columns", RAISES, "other nulls in new rows", True),
        ("seen", "of_night", RAISES, "empty column", False),
        ("days", "of_tables", "return arguments[0]._base", "rows lost", True),
    ],
)
def test_a_derived_metric_that_cannot_be_computed_costs_its_own_rules(
    ward: Ward,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    function: str,
    body: str,
    rule: str,
    finds: bool,
) -> None:
    break_pack(monkeypatch, tmp_path, module, function, body)
    run, found = judged(ward)
    assert (run.exit_code, run.only()["status"]) == (0, "partial"), run.output
    assert (EMPTY in found) is finds
    metric = {"rows lost": "rows_lost", "new level": "step_level_new", "other nulls in new rows": "new_na"}.get(rule)
    metric = metric or "step_emptied"
    error = "AttributeError" if body.startswith("return") else "ValueError"
    assert errors(ward)[rule] == f"{metric} could not be computed: unexpected error: {error}"
    assert "ZEBRAFISH" not in run.text
    assert ward.base.rows('SELECT FROM rule_basic_result WHERE "date" = %s AND ok > 0', DATES[1])


@pytest.mark.parametrize(("module", "function"), [("causes", "explain"), ("suspects", "of_pairs")])
def test_alerts_that_cannot_be_summed_up_are_raised_one_by_one(
    ward: Ward, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, function: str
) -> None:
    break_pack(monkeypatch, tmp_path, module, function, RAISES)
    run, found = judged(ward)
    assert (run.exit_code, run.only()["status"]) == (0, "partial"), run.output
    assert EMPTY in found
    assert f"alerts are not summed up: ValueError at {module}.py:" in run.only()["incomplete"][-1]
    assert "ZEBRAFISH" not in run.text


def test_a_baseline_that_cannot_be_read_costs_its_own_rule(
    ward: Ward, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even if the HDM base has refused a query, which ends what was read or written with it."""
    body = "return arguments[2]._base.execute('SELECT 1 / 0')"
    break_pack(monkeypatch, tmp_path, "baseline", "_states", body)
    write_rule(ward, {"metric": "na_values", "condition": ">", "conditionValue": 1, "baseline": True})
    run, found = judged(ward)
    assert (run.exit_code, run.only()["status"]) == (0, "partial"), run.output
    assert EMPTY in found
    assert errors(ward)["own"] == "unexpected error: DivisionByZero"


@pytest.mark.parametrize(
    "content",
    [
        {"metric": "percent_na_values", "usual": True, "baseline": True},
        {"metric": "step_na", "condition": ">", "conditionValue": 0, "baseline": True},
        {"metric": "rows_count", "of": "day", "condition": ">=", "conditionValue": 0, "baseline": True},
        {"metric": "rows_count", "of": "table", "usual": {"limit": 0.5}},
        {"metric": "na_values", "usual": {"floor": 1e300}},
        {"metric": "na_values", "of": ["column"], "condition": "==", "conditionValue": 1},
        {"metric": "rows_lost", "of": "table", "usual": True},
    ],
)
def test_a_rule_that_asks_for_nonsense_costs_no_other_rule(ward: Ward, content: dict[str, Any]) -> None:
    """And says what is wrong with it."""
    write_rule(ward, content)
    run, found = judged(ward)
    assert (run.exit_code, run.only()["status"]) == (0, "partial"), run.output
    assert EMPTY in found
    assert list(errors(ward)) == ["own"]
    assert "unexpected" not in errors(ward)["own"]


def test_metrics_since_a_version_exist_in_this_one(ward: Ward) -> None:
    """Otherwise a rule waits for ever."""
    with ward.base.database.connect() as connection:
        assert pack.since.SINCE.keys() <= pack.relations.known(connection).keys()


def test_an_older_metric_pack_costs_the_rules_that_need_the_newer_one(ward: Ward) -> None:
    """They are no errors: the installed version is allowed."""
    for of, names in pack.since.METRICS["1.2"].items():
        relation = {"column": "metric_basic", "table": "metric_basic_table"}.get(of)
        if relation is None:
            ward.base.execute(f"DROP TABLE {pack.relations.SOURCES[of].relations[0]} CASCADE")
        for name in names if relation else ():
            ward.base.execute(f'ALTER TABLE {relation} DROP COLUMN "{name}" CASCADE')
    run, found = judged(ward)
    assert (run.exit_code, run.only()["status"]) == (0, "ok"), run.output
    assert (found, errors(ward)) == ({EMPTY}, {})
    assert "a newer version of metric pack basic: not judged" in run.only()["message"]
    assert "load_missing needs metric pack basic 1.2" in run.output
