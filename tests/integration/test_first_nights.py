"""The first nights without configuration: silence on sound data, one alert per planted fault."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from demo.hospital import PLANTED_FAULTS, Hospital
from tests.integration.metric_basic_harness import made_ward
from tests.integration.pack_harness import Base, Row, postgres_endpoint, sqlite_endpoint
from tests.integration.test_omop import ARCHIVE, load

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from demo.services import Database, Postgres
    from tests.integration.metric_basic_harness import Ward

NIGHTS = ("2026-01-05", "2026-01-06", "2026-01-07")
RULES = {
    "duplicate_key": "duplicates in key column",
    "empty_column": "empty column",
    "vanished_table": "dropped table",
    "changed_type": "retyped column",
    "null_jump": "more nulls",
    "date_in_future": "dates far ahead",
    "date_in_past": "dates far back",
}


@pytest.fixture
def ward(postgres: Postgres, pack_base: Database, tmp_path: Path) -> Iterator[Ward]:
    """An empty hospital, and a base of its own."""
    with made_ward(postgres, pack_base, tmp_path) as made:
        yield made


def night(base: Base, date: str, endpoint: Row) -> list[tuple[Any, ...]]:
    """Run both packs; the High and Warning alerts: rule, table, column."""
    for run in (base.measure(date, endpoint), base.judge(date, endpoint)):
        assert (run.exit_code, run.only()["status"]) == (0, "ok"), run.output
    rows = base.rows(
        """SELECT r.rule_name, a."table", a."column" FROM hdm_alerts a JOIN rule_basic r ON r.id_rule::text = a.rule_id
        WHERE a."date" = %s AND a.endpoint = %s AND a.alert_level <> 'Info'""",
        *(date, endpoint["slug"]),
    )
    return sorted(tuple(row.values()) for row in rows)


@pytest.mark.parametrize("engine", ["postgres", "sqlite"])
def test_each_fault_of_the_demo_is_one_alert(ward: Ward, tmp_path: Path, engine: str) -> None:
    """On the second night: there is one earlier date to compare with."""
    hospital = Hospital(rows=2_000)
    if engine == "sqlite":
        endpoint = sqlite_endpoint(tmp_path / "hospital.sqlite")
        connection: Any = closing(sqlite3.connect(tmp_path / "hospital.sqlite", isolation_level=None))
    else:
        endpoint, connection = postgres_endpoint(ward.database), ward.database.connect()
    with connection as open_connection:
        hospital.first_night(open_connection)
        assert night(ward.base, NIGHTS[0], endpoint) == []
        hospital.second_night(open_connection)
    expected = sorted((RULES[fault.kind], fault.table, fault.column) for fault in PLANTED_FAULTS)
    assert night(ward.base, NIGHTS[1], endpoint) == expected


def test_sound_nights_of_a_real_database_are_silent(ward: Ward) -> None:
    """OMOP: half of the tables and 42 columns are empty; nothing changes; then a day is added by copies of rows."""
    if not ARCHIVE.exists():
        pytest.skip(f"the OMOP archive is not beside the repository: {ARCHIVE}")
    load(ward)
    for date in NIGHTS:
        assert night(ward.base, date, ward.endpoint) == [], date
    infos = ward.base.rows('SELECT "date", alert_message FROM hdm_alerts ORDER BY 1, 2')
    assert {str(row["date"]) for row in infos} == {NIGHTS[0]}
    assert any("since the first date" in row["alert_message"] for row in infos)


CANARY = "ZEBRAFISH-4711"


def test_no_value_is_in_an_alert_or_log(ward: Ward) -> None:
    """Not even where a level, a text or a number is what is wrong."""
    ward.execute(
        "CREATE TABLE stays (stay_id int, ward text, cost float, at date)",
        "INSERT INTO stays SELECT i, 'ward ' || i % 3, 100 + i % 7, date '2025-01-01' + i % 200"
        " FROM generate_series(1, 2000) i",
    )
    assert night(ward.base, NIGHTS[0], ward.endpoint) == []
    ward.execute(
        f"UPDATE stays SET ward = '{CANARY}' WHERE stay_id % 2 = 0",
        "UPDATE stays SET cost = 471104711 WHERE stay_id % 2 = 0",
        "UPDATE stays SET at = '2811-04-17' WHERE stay_id % 2 = 0",
    )
    found = night(ward.base, NIGHTS[1], ward.endpoint)
    assert found == [("dates in the future", "stays", "at"), ("other capitals", "stays", None)]
    run = ward.base.judge(NIGHTS[1], ward.endpoint)
    alerts = ward.base.rows("SELECT * FROM hdm_alerts")
    assert any(
        "2 columns have changed: cost (new level), ward (other capitals)" in alert["alert_message"] for alert in alerts
    )
    for trace in (CANARY, "471104711", "2811"):
        assert trace not in run.text + str(alerts)


def test_what_is_measured_today_is_not_compared_with_itself(ward: Ward) -> None:
    """A repetition of the date finds the same again."""
    ward.execute(
        "CREATE TABLE stays (stay_id int, ward text)", "INSERT INTO stays SELECT i, 'a' FROM generate_series(1, 100) i"
    )
    night(ward.base, NIGHTS[0], ward.endpoint)
    ward.execute("UPDATE stays SET ward = NULL")
    first = night(ward.base, NIGHTS[1], ward.endpoint)
    assert first == night(ward.base, NIGHTS[1], ward.endpoint) == [("empty column", "stays", "ward")]
    assert night(ward.base, NIGHTS[2], ward.endpoint) == first  # the second in a row
    assert night(ward.base, "2026-01-08", ward.endpoint) == first  # the third: from now on it is usual
    assert night(ward.base, "2026-01-09", ward.endpoint) == []


def test_rules_on_trends_and_steps_go_together(ward: Ward) -> None:
    """Metrics of a view are not those that steps compare."""
    ward.execute(
        "CREATE TABLE stays (stay_id int, ward text)", "INSERT INTO stays SELECT i, 'a' FROM generate_series(1, 100) i"
    )
    night(ward.base, NIGHTS[0], ward.endpoint)
    ward.base.execute(
        """INSERT INTO rule_basic (rule_name, condition_scope, rule_content) VALUES
        ('trend', 'all', '{"metric": "evol_mean7_value_counts", "condition": "<", "conditionValue": 0.9}'),
        ('key', 'all', '{"metric": "is_key", "condition": "==", "conditionValue": true}')"""
    )
    ward.execute("UPDATE stays SET ward = NULL WHERE stay_id % 2 = 0")
    found = night(ward.base, NIGHTS[1], ward.endpoint)
    assert found == [("key", "stays", "stay_id"), ("more nulls", "stays", "ward"), ("trend", "stays", "ward")]


LEDGER = """
INSERT INTO hdm_pack_run (kind, pack, pack_version, endpoint, metric_date, environment, dag_id, run_id, task_id,
    try_number, status, reported, finished_at, dbversion, incomplete)
VALUES ('metric', 'basic', '1.2.0', %s, %s, 'prod', 'hdm', %s, 'mp_basic', 1, %s, true, now(), '0.0', %s::jsonb)"""


@pytest.mark.parametrize(
    ("status", "incomplete", "expected"),
    [
        ("partial", '["stays"]', []),  # what is stored of this table is of no use
        ("partial", '["stays.ward"]', []),
        ("partial", "[]", []),  # nobody knows what is of no use
        ("failed", "[]", []),
        ("partial", '["other"]', [("more nulls", "stays", "ward")]),
        ("success", "[]", [("more nulls", "stays", "ward")]),
    ],
)
def test_only_usable_dates_are_compared_with(
    ward: Ward, status: str, incomplete: str, expected: list[tuple[Any, ...]]
) -> None:
    """Half of a column was null already on the first night; the second one's metrics say that none was."""
    ward.execute(
        "CREATE TABLE stays (stay_id int, ward text)",
        "INSERT INTO stays SELECT i, CASE WHEN i % 2 = 0 THEN 'a' END FROM generate_series(1, 100) i",
    )
    for date, fill, state, missing in (
        (NIGHTS[0], "NULL", "success", "[]"),
        (NIGHTS[1], "'a'", status, incomplete),
        (NIGHTS[2], "NULL", "success", "[]"),
    ):
        ward.execute(f"UPDATE stays SET ward = {fill} WHERE stay_id % 2 = 1")
        ward.measure(date)
        ward.base.execute(LEDGER, ward.endpoint["slug"], date, f"night__{date}", state, missing)
    # What has been before is no step: let it not have been
    ward.base.execute('DELETE FROM metric_basic WHERE "date" = %s', NIGHTS[0])
    assert night(ward.base, NIGHTS[2], ward.endpoint) == expected
