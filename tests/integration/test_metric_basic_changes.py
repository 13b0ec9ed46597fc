"""What metric pack basic says of changes, from night to night: the pack as a whole, on a real hospital."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from tests.integration.metric_basic_harness import EXACT, LATER, TODAY

if TYPE_CHECKING:
    from tests.integration.metric_basic_harness import Ward


def test_deltas_compare_with_the_last_date_there_is(ward: Ward) -> None:
    """One missed night lost all deltas; text metrics never had any."""
    ward.execute("CREATE TABLE t (n int, d date, flag boolean)", "INSERT INTO t VALUES (1, '2020-01-01', true)")
    ward.measure(TODAY, config=EXACT)
    first = ward.base.metrics(TODAY)["t", "n"]
    assert (first["previous_date"], first["delta_value_counts"], first["schema_change"]) == (None, None, "")
    ward.execute("INSERT INTO t VALUES (3, '2020-01-11', NULL), (NULL, NULL, true)")
    ward.measure(LATER, config=EXACT)
    n, d, flag = (ward.base.metrics(LATER)["t", column] for column in ("n", "d", "flag"))
    assert n["previous_date"] == dt.date(2026, 1, 31)
    assert (n["delta_value_counts"], n["evol_value_counts"]) == (1, 2.0)
    assert (n["delta_na_values"], n["evol_na_values"]) == (1, None)
    assert (n["delta_max_num_var"], n["evol_max_num_var"], n["delta_std_num_var"]) == (2, 3.0, None)
    assert (n["delta_data_type"], n["delta_infered_data_type"], n["delta_is_key"]) == (0, 0, 0)
    assert (d["delta_max_date_var"], d["delta_min_date_var"], d["delta_future_dates"]) == (10, 0, 0)
    assert (flag["delta_true_count"], flag["evol_true_count"]) == (1, 2.0)


def test_levels_change_against_the_columns_previous_date(ward: Ward) -> None:
    """delta_frequency and evol_frequency; a level that was not stored then has neither."""
    ward.execute("CREATE TABLE t (c text)", "INSERT INTO t SELECT 'a' FROM generate_series(1, 10)")
    ward.measure(TODAY)
    ward.execute(
        "INSERT INTO t SELECT 'a' FROM generate_series(1, 5)",
        "INSERT INTO t SELECT 'b' FROM generate_series(1, 6)",
    )
    ward.measure(LATER)
    rows = ward.base.rows('SELECT * FROM metric_basic_levels WHERE "date" = %s ORDER BY value', LATER)
    assert [(r["value"], r["frequency"], r["delta_frequency"], r["evol_frequency"]) for r in rows] == [
        ("a", 15, 5, 1.5),
        ("b", 6, None, None),
    ]


def test_what_came_went_or_changed_its_type_is_noted_once(ward: Ward) -> None:
    """A dropped column or table, or another type, raised nothing."""
    ward.execute("CREATE TABLE t (a int, b int, c int)", "CREATE TABLE u (x int)", "INSERT INTO t VALUES (1, 1, 1)")
    ward.measure(TODAY)
    ward.execute("ALTER TABLE t DROP a, ADD d int, ALTER b TYPE text", "DROP TABLE u")
    for _ in range(2):  # a second run on the same date says the same
        run = ward.measure(LATER)
        assert run.only()["status"] == "ok", run.output
        found = {place: row["schema_change"] for place, row in ward.base.metrics(LATER).items()}
        assert found == {
            ("t", "a"): "dropped",
            ("u", "x"): "dropped",
            ("t", "b"): "retyped",
            ("t", "c"): "",
            ("t", "d"): "new",
        }
        assert run.only()["metrics"] == 5
    gone, retyped = ward.base.metrics(LATER)["t", "a"], ward.base.metrics(LATER)["t", "b"]
    assert (gone["value_counts"], gone["previous_date"]) == (None, dt.date(2026, 1, 31))
    assert (retyped["delta_data_type"], retyped["delta_infered_data_type"], retyped["delta_levels_count"]) == (1, 1, 0)
    ward.measure("2026-02-04")
    assert {row["schema_change"] for row in ward.base.metrics("2026-02-04").values()} == {""}
    ward.execute("ALTER TABLE t ADD a int")
    ward.measure("2026-02-05")
    back = ward.base.metrics("2026-02-05")["t", "a"]
    assert (back["schema_change"], back["previous_date"]) == ("new", dt.date(2026, 1, 31))


def test_a_table_that_failed_or_is_left_out_is_not_called_dropped(ward: Ward) -> None:
    """Not seen is not gone."""
    ward.execute(
        "CREATE TABLE t (a int)",
        "CREATE TABLE u (x int)",
        "CREATE VIEW v AS SELECT 1 / (SELECT count(*) FROM t) AS one",
    )
    ward.execute("INSERT INTO t VALUES (1)")
    ward.measure(TODAY)
    ward.execute("DELETE FROM t")
    run = ward.measure(LATER, config={"exclude_tables": ["u"]})
    assert run.only()["incomplete"] == ["v"], run.output
    assert set(ward.base.metrics(LATER)) == {("t", "a")}, run.output
