"""The Store of metric pack basic on PostgreSQL: what each level holds, comparisons, trends, attempts and their ends."""

from __future__ import annotations

import datetime as dt
import random
import statistics
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql

from tests.integration.pack_harness import PACKS, Base, Row
from tests.integration.store_harness import SLUG, Nights, column, measured, nights, pack, table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from demo.services import Database

FIRST, SECOND, THIRD = "2026-01-31", "2026-02-03", "2026-02-04"  # two nights were missed


@pytest.fixture
def ward(database: Database, tmp_path: Path) -> Iterator[Nights]:
    """Nights of one endpoint, in an HDM base of their own."""
    with nights(Base(database, tmp_path)) as written:
        yield written


def moment(*parts: int) -> dt.datetime:
    return dt.datetime(*parts)  # type: ignore[arg-type]  # noqa: DTZ001  # the metrics hold UTC without a zone


# Levels -----------------------------------------------------------------------------------------------------


def test_every_level_has_rows_of_its_own(ward: Nights) -> None:
    """Levels 0 to 5 are never mixed."""
    beds = table("beds", {"a": column(), "b": column("text")}, bytes=8192, last_change=moment(2026, 1, 30, 12))
    night = [
        measured("beds", {"a": column(), "b": column("text")}, table=beds, levels={"b": {"free\t\\N": 6, "": 7}}),
        measured("empty", {}, rows=0),
        measured("seen", {"a": column()}, table=table("seen", {"a": column()}, type="view"), rows=99),
    ]
    assert ward.write(FIRST, night, {"left out": {"x": column()}, "locked": {}}, unreadable=("locked",)) == 3
    assert set(ward.base.metrics(FIRST)) == {("beds", "a"), ("beds", "b"), ("seen", "a")}
    assert ward.base.levels(FIRST, "beds", "b") == {"free\t\\N": 6, "": 7}
    found = ward.tables(FIRST)
    assert {label: (t["table_type"], t["rows_count"], t["columns_count"]) for label, t in found.items()} == {
        "beds": ("table", 10, 2),
        "empty": ("table", 0, 0),
        "seen": ("view", 99, 1),
    }
    assert (found["beds"]["bytes"], found["beds"]["last_change"]) == (8192, moment(2026, 1, 30, 12))
    assert (found["beds"]["seconds"], found["beds"]["run_id"]) == (0.5, f"run of {FIRST}")
    version, database = ward.level("version", FIRST), ward.level("database", FIRST)
    assert (version["endpoint"], version["database"], version["dbversion"]) == (SLUG, "ward", "1.0")
    assert (version["tables_count"], version["columns_count"], version["rows_count"]) == (3, 3, 10)
    assert (version["bytes"], version["excluded_count"], version["unreadable_count"]) == (8192, 1, 1)
    assert (database["versions_count"], database["dates_count"], database["version_changed"]) == (1, 1, None)
    assert (database["tables_count"], database["rows_count"]) == (3, 10)


def test_the_database_remembers_its_versions(ward: Nights) -> None:
    """Level 0 counts versions and dates over all nights."""
    for date, version in ((FIRST, "0.9"), (SECOND, "0.10"), (THIRD, "0.10")):
        ward.write(date, {"t": {"a": column()}}, version=version)
    rows = [ward.level("database", date) for date in (FIRST, SECOND, THIRD)]
    assert [(r["version_changed"], r["versions_count"], r["dates_count"]) for r in rows] == [
        (None, 1, 1),
        (1, 2, 2),
        (0, 2, 3),
    ]
    assert {row["first_date"] for row in rows} == {dt.date(2026, 1, 31)}
    assert [row["previous_date"] for row in rows] == [None, dt.date(2026, 1, 31), dt.date(2026, 2, 3)]


def test_an_endpoint_without_tables_is_complete(ward: Nights) -> None:
    """Nothing to measure is said, too."""
    assert ward.write(FIRST, {}) == 0
    assert ward.level("version", FIRST)["tables_count"] == 0
    assert ward.level("version", FIRST)["rows_count"] == 0


# Comparisons ------------------------------------------------------------------------------------------------


def test_metrics_compare_with_the_most_recent_earlier_date(ward: Nights) -> None:
    """Numbers, lengths, dates in days, truths; one missed night loses nothing."""
    ward.write(
        FIRST,
        {
            "t": {
                "n": column(value_counts=1, max_num_var=1.0, std_num_var=None, zero_count=2, is_key=True),
                "d": column(
                    "date", 1, max_date_var=moment(2020, 1, 1), min_date_var=moment(2020, 1, 1), future_dates=0
                ),
                "s": column("text", 4, min_length=2, mean_length=2.5),
            }
        },
    )
    assert ward.base.metrics(FIRST)["t", "n"]["previous_date"] is None
    ward.write(
        SECOND,
        {
            "t": {
                "n": column("bigint", 2, max_num_var=3.0, std_num_var=1.5, zero_count=0),
                "d": column("date", 1, max_date_var=moment(2020, 1, 11, 12), min_date_var=None, future_dates=0),
                "s": column("text", 4, min_length=3, mean_length=5.0),
            }
        },
    )
    n, d, s = (ward.base.metrics(SECOND)["t", name] for name in ("n", "d", "s"))
    assert n["previous_date"] == dt.date(2026, 1, 31)
    assert (n["delta_value_counts"], n["evol_value_counts"]) == (1, 2.0)
    assert (n["delta_na_values"], n["evol_na_values"]) == (0, None)
    assert (n["delta_max_num_var"], n["evol_max_num_var"], n["delta_std_num_var"]) == (2, 3.0, None)
    assert (n["delta_zero_count"], n["evol_zero_count"]) == (-2, 0.0)
    assert (n["delta_data_type"], n["delta_key_constraint"], n["delta_is_key"], n["delta_is_categorical"]) == (
        1,
        0,
        1,
        None,
    )
    assert (d["delta_max_date_var"], d["delta_min_date_var"], d["delta_future_dates"]) == (10.5, None, 0)
    assert (s["delta_min_length"], s["evol_min_length"], s["evol_mean_length"]) == (1, 1.5, 2.0)


def test_tables_and_versions_compare_as_well(ward: Nights) -> None:
    """rows_count, columns_count, bytes."""
    small = table("t", {"a": column()}, bytes=100)
    ward.write(FIRST, [measured("t", {"a": column()}, table=small, rows=10)])
    large = table("t", {"a": column(), "b": column()}, bytes=300)
    ward.write(SECOND, [measured("t", {"a": column(), "b": column()}, table=large, rows=15), measured("u", {}, rows=0)])
    t = ward.tables(SECOND)["t"]
    assert (t["previous_date"], t["delta_rows_count"], t["evol_rows_count"]) == (dt.date(2026, 1, 31), 5, 1.5)
    assert (t["delta_columns_count"], t["delta_bytes"], t["evol_bytes"]) == (1, 200, 3.0)
    for level in ("version", "database"):
        row = ward.level(level, SECOND)
        assert (row["delta_tables_count"], row["delta_rows_count"], row["evol_columns_count"]) == (1, 5, 2.0)


def test_levels_compare_with_the_columns_previous_date(ward: Nights) -> None:
    """A level that was not stored then has no delta."""
    ward.write(FIRST, [measured("t", {"c": column("text")}, levels={"c": {"a": 10}})])
    ward.write(SECOND, {"u": {"c": column("text")}}, {"t": {"c": column("text")}})
    ward.write(THIRD, [measured("t", {"c": column("text")}, levels={"c": {"a": 15, "b": 6}})])
    rows = ward.base.rows('SELECT * FROM metric_basic_levels WHERE "date" = %s ORDER BY value', THIRD)
    assert [(r["value"], r["frequency"], r["delta_frequency"], r["evol_frequency"]) for r in rows] == [
        ("a", 15, 5, 1.5),
        ("b", 6, None, None),
    ]


def test_counts_of_a_sample_are_not_compared_with_those_of_a_whole_table(ward: Nights) -> None:
    """What does not grow with the rows is: shares, means, extremes."""
    values: Row = {"ratio_level_frequency": 0.5, "mean_num_var": 2.0, "percent_na_values": 10.0}

    def night(date: str, rows: int | None) -> Row:
        found = measured("t", {"n": column(**values)}, sample_rows=rows, rows=20, levels={"n": {"7": 8}})
        ward.write(date, [found])
        return ward.base.metrics(date)["t", "n"]

    night(FIRST, None)
    sample = night(SECOND, 10)
    assert sample["sample_rows"] == 10
    assert [sample[f"delta_{x}"] for x in ("value_counts", "levels_count", "ratio_level_frequency")] == [None] * 3
    assert (sample["evol_value_counts"], sample["evol_mean_num_var"], sample["delta_percent_na_values"]) == (None, 1, 0)
    assert ward.base.rows("SELECT DISTINCT delta_frequency FROM metric_basic_levels") == [{"delta_frequency": None}]
    assert ward.tables(SECOND)["t"]["delta_rows_count"] == 0
    assert night(THIRD, 11)["delta_value_counts"] == 0


@pytest.mark.parametrize(
    ("before", "now"),
    [(1.7e308, -1.7e308), (1e-300, 1e300), (1e300, 1e-300), (5e-324, 5e-324), (0.0, 1.0), (-0.0, 0.0)],
)
def test_doubles_at_the_edge_break_nothing(ward: Nights, before: float, now: float) -> None:
    """PostgreSQL answers an overflow with an error; the night and its trends must go on without that number."""
    for date, value in ((FIRST, before), (SECOND, now), ("2026-02-07", now)):
        ward.write(date, {"t": {"n": column("double precision", max_num_var=value)}})
    row = ward.base.metrics(SECOND)["t", "n"]
    assert row["delta_max_num_var"] == (None if abs(before) > 1e308 else now - before)
    assert row["evol_max_num_var"] is None
    assert len(ward.base.rows("SELECT * FROM metric_basic_trend")) == 3


# Trends -----------------------------------------------------------------------------------------------------


def test_trends_are_those_that_python_works_out(ward: Nights) -> None:
    """Same weekday, and means of the newest 7 and 28 earlier dates that there are."""
    start, counts = dt.date(2026, 1, 1), [7, 3, 12, 9, 30, 2, 5, 8, 1, 0] * 4
    kept = [day for day in range(40) if day not in {20, 32}]  # two nights were missed; 32 is a week before the last
    for day in kept:
        values = column(value_counts=counts[day], mean_num_var=counts[day] / 8)
        ward.write(str(start + dt.timedelta(days=day)), [measured("t", {"n": values}, rows=counts[day])])
    last = str(start + dt.timedelta(days=39))
    earlier = [counts[day] for day in reversed(kept[:-1])]
    (row,) = ward.base.rows('SELECT * FROM metric_basic_trend WHERE endpoint = %s AND "date" = %s', SLUG, last)
    assert (row["dates_7"], row["dates_28"], row["weekday_date"]) == (7, 28, start + dt.timedelta(days=25))
    assert (row["delta_weekday_value_counts"], row["evol_weekday_value_counts"]) == (counts[39] - counts[25], 0.0)
    for days in (7, 28):
        mean = statistics.fmean(earlier[:days])
        assert row[f"mean{days}_value_counts"] == pytest.approx(mean)
        assert row[f"delta_mean{days}_value_counts"] == pytest.approx(counts[39] - mean)
        assert row[f"evol_mean{days}_value_counts"] == pytest.approx(counts[39] / mean)
        assert row[f"mean{days}_mean_num_var"] == pytest.approx(mean / 8)
    (row,) = ward.base.rows('SELECT * FROM metric_basic_table_trend WHERE "date" = %s', last)
    assert row["mean28_rows_count"] == pytest.approx(statistics.fmean(earlier[:28]))
    assert row["delta_weekday_rows_count"] == counts[39] - counts[25]


def test_trends_of_a_first_date_are_null_and_those_of_samples_know_samples_only(ward: Nights) -> None:
    """There is nothing to compare with."""
    ward.write("2026-01-05", [measured("t", {"n": column(value_counts=100)})])
    ward.write("2026-01-06", [measured("t", {"n": column(value_counts=10)}, sample_rows=10)])
    ward.write("2026-01-12", [measured("t", {"n": column(value_counts=11)}, sample_rows=11)])
    rows = ward.base.rows('SELECT * FROM metric_basic_trend ORDER BY "date"')
    assert [(r["dates_28"], r["weekday_date"], r["mean7_value_counts"]) for r in rows] == [
        (0, None, None),
        (0, None, None),
        (1, None, 10),
    ]


# Attempts ---------------------------------------------------------------------------------------------------


def begin(ward: Nights, date: str, *labels: str, counts: int = 10, run_id: str = "run") -> None:
    """An attempt that measures some tables and dies."""
    with suppress(KeyboardInterrupt), ward.open(date, run_id) as store:
        for label in labels:
            store.add(measured(label, {"a": column(value_counts=counts)}))
            store.flush()
        store.add(measured("in its hands", {"a": column()}))
        raise KeyboardInterrupt


def finished(ward: Nights, date: str, run_id: str) -> set[str]:
    with ward.open(date, run_id) as store:
        return set(store.finished())


def test_a_run_goes_on_where_its_last_attempt_stopped(ward: Nights) -> None:
    """Only its own tables; until its end the date is not complete."""
    ward.write(FIRST, {"t": {"a": column()}, "u": {"a": column()}}, run_id="other")
    begin(ward, FIRST, "t", counts=20)
    assert finished(ward, FIRST, "run") == {"t"}
    assert ward.base.rows("SELECT FROM metric_basic_version UNION ALL SELECT FROM metric_basic_database") == []
    assert {place: row["value_counts"] for place, row in ward.base.metrics(FIRST).items()} == {
        ("t", "a"): 20,
        ("u", "a"): 10,  # the other run's, until this one is through
    }
    with ward.open(FIRST, "run") as store:
        store.add(measured("v", {"a": column()}))
        store.complete([table(label, {"a": column()}) for label in "tuv"], ["u"])
    assert set(ward.base.metrics(FIRST)) == {("t", "a"), ("v", "a")}
    assert set(ward.tables(FIRST)) == {"t", "v"}
    assert ward.level("version", FIRST)["unreadable_count"] == 1
    assert finished(ward, FIRST, "run") == {"t", "v"}  # a retry reads what is missing


def test_a_completed_run_that_is_repeated_measures_everything_anew(ward: Nights) -> None:
    """Also when the repetition is cut short: what it had not measured by then is not its own."""
    ward.write(FIRST, {"t": {"a": column()}, "u": {"a": column()}}, run_id="run")
    assert finished(ward, FIRST, "run") == set()
    begin(ward, FIRST, "t")
    assert finished(ward, FIRST, "run") == {"t"}


def test_a_second_run_replaces_its_date_and_no_other(ward: Nights) -> None:
    """A dbversion that changed in between leaves no rows behind."""
    night = [measured("t", {"a": column(), "b": column()}, levels={"a": {"1": 9}})]
    for date in (FIRST, SECOND):
        ward.write(date, [*night, measured("u", {"a": column()})])
    before = ward.base.rows('SELECT * FROM metric_basic WHERE "date" = %s', FIRST)
    assert ward.write(SECOND, [measured("t", {"a": column()})], run_id="again", version="2.0") == 3
    assert {place: row["schema_change"] for place, row in ward.base.metrics(SECOND).items()} == {
        ("t", "a"): "",
        ("t", "b"): "dropped",
        ("u", "a"): "dropped",
    }
    assert ward.base.levels(SECOND, "t", "a") == {}
    assert ward.base.levels(FIRST, "t", "a") == {"1": 9}
    for name in ("", "_table", "_version", "_database"):
        found = ward.base.rows(f'SELECT DISTINCT dbversion FROM metric_basic{name} WHERE "date" = %s', SECOND)
        assert found == [{"dbversion": "2.0"}]
    assert ward.base.rows('SELECT * FROM metric_basic WHERE "date" = %s', FIRST) == before


def test_a_failure_in_the_middle_of_storing_leaves_the_former_rows(ward: Nights) -> None:
    """All levels of a table in one transaction; the date stays complete."""
    ward.write(FIRST, [measured("t", {"a": column(value_counts=9)}, levels={"a": {"x": 9}})])
    ward.base.execute("ALTER TABLE metric_basic_levels ADD CONSTRAINT broken CHECK (false) NOT VALID")
    with pytest.raises(psycopg.errors.CheckViolation):
        ward.write(FIRST, [measured("t", {"a": column(value_counts=18)}, levels={"a": {"x": 18}})], run_id="again")
    assert ward.base.metrics(FIRST)["t", "a"]["value_counts"] == 9
    assert ward.base.levels(FIRST, "t", "a") == {"x": 9}
    assert ward.level("version", FIRST)["run_id"] == f"run of {FIRST}"


def test_small_tables_share_a_transaction_and_none_waits_long(ward: Nights, monkeypatch: pytest.MonkeyPatch) -> None:
    """By rows, and by the time that the first of them has waited."""
    monkeypatch.setattr(pack.store, "MAX_PENDING_ROWS", 6)
    written = []
    with ward.open(FIRST) as store:
        for label in "tuvw":
            store.add(measured(label, {"a": column()}))
            written.append(len(ward.tables(FIRST)))
        monkeypatch.setattr(pack.store, "MAX_PENDING_SECONDS", 0.0)
        store.add(measured("x", {"a": column()}))
        written.append(len(ward.tables(FIRST)))
        store.complete([], [])
    assert written == [0, 0, 3, 3, 5]


# The base ---------------------------------------------------------------------------------------------------


def test_check_needs_every_table(ward: Nights, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before hours of measuring, not after."""
    pack.store.check()
    ward.base.execute("ALTER TABLE metric_basic_version RENAME TO elsewhere")
    with pytest.raises(psycopg.errors.UndefinedTable):
        pack.store.check()
    monkeypatch.setenv("PGPORT", "1")
    with pytest.raises(psycopg.OperationalError):
        pack.store.check()


def test_a_role_without_further_rights_makes_and_fills_tables_and_views(ward: Nights, monkeypatch: Any) -> None:
    """As after `airflow hdm db grant`: a schema to make tables in, and temporary ones."""
    database, role = ward.base.database, f"packs_{ward.base.database.name}"
    name = sql.Identifier(role)
    with database.connect(autocommit=True) as owner:
        owner.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'secret'").format(name))
        owner.execute(sql.SQL("CREATE SCHEMA {0}; GRANT USAGE, CREATE ON SCHEMA {0} TO {0}").format(name))
        owner.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(database.name)))
        grant = sql.SQL("GRANT CONNECT, TEMPORARY ON DATABASE {} TO {}")
        owner.execute(grant.format(sql.Identifier(database.name), name))
    monkeypatch.setenv("PGUSER", role)
    monkeypatch.setenv("PGPASSWORD", "secret")
    try:
        with psycopg.connect() as packs:
            packs.execute((PACKS / "metric-packs/basic/create-table/create.sql").read_text("utf-8").encode())
        pack.store.check()
        ward.write(FIRST, {"t": {"a": column()}})
        with psycopg.connect() as packs:
            assert packs.execute("SELECT count(*) FROM metric_basic_trend").fetchone() == (1,)
        assert ward.base.metrics(FIRST) == {}  # the owner's table of that name is another
    finally:
        with database.connect(autocommit=True) as owner:
            owner.execute(sql.SQL("DROP OWNED BY {0} CASCADE; DROP ROLE {0}").format(name))


def test_a_base_of_version_1_0_0_gets_what_is_missing_and_goes_on(ward: Nights, database: Database) -> None:
    """Columns, the wider indexes, and rows of tables and versions for the dates that it has."""
    ward.write(FIRST, {"t": {"a": column(value_counts=8, na_values=2)}, "u": {"a": column()}})
    ward.base.execute("DROP VIEW metric_basic_trend, metric_basic_table_trend")
    ward.base.execute("DROP TABLE metric_basic_table, metric_basic_version, metric_basic_database")
    ward.base.execute(
        "ALTER TABLE metric_basic DROP renamed_from, DROP sample_rows, DROP zero_count, DROP delta_p01_num_var"
    )
    ward.base.execute('DROP INDEX metric_basic_date; CREATE INDEX metric_basic_date ON metric_basic (endpoint, "date")')
    script = (PACKS / "metric-packs/basic/create-table/create.sql").read_text("utf-8")
    for _ in range(2):
        ward.base.execute(script)
    ward.write(SECOND, {"t": {"a": column()}, "v": {"a": column()}})
    found = ward.tables(SECOND)
    assert {label: row["schema_change"] for label, row in found.items()} == {"t": "", "u": "dropped", "v": "new"}
    assert found["t"]["delta_rows_count"] == 0
    assert ward.level("database", SECOND)["dates_count"] == 2
    (index,) = ward.base.rows("SELECT indexdef FROM pg_indexes WHERE indexname = 'metric_basic_date'")
    assert index["indexdef"].endswith('(endpoint, date, "table", "column")')


def test_table_that_the_base_refuses_costs_no_other(ward: Nights) -> None:
    """A text that it cannot hold, a name longer than an index takes: the rest of the batch is written."""
    chance = random.Random(7)  # noqa: S311  # a name that does not compress
    long = "".join(chance.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=9000))
    night = [
        measured("a", {"x": column("text")}, levels={"x": {"one": 7}}),
        measured("b", {"x": column("text")}, levels={"x": {"nul\0": 7}}),
        measured("c", {long: column()}),
        measured(long, {"x": column()}),
        measured("e", {"no\0name": column()}),
        measured("d", {"x": column()}),
    ]
    with ward.open(FIRST) as store:
        for one in night:
            store.add(one)
        assert store.complete([one.table for one in night], ()) == 2
        assert {label: type(error).__name__ for label, error in store.refused.items()} == {
            "b": "DataError",
            "c": "ProgramLimitExceeded",
            long: "ProgramLimitExceeded",
            "e": "DataError",
        }
    assert set(ward.tables(FIRST)) == {"a", "d"}
    assert ward.base.levels(FIRST, "a", "x") == {"one": 7}
    assert ward.level("version", FIRST)["unreadable_count"] == 4
