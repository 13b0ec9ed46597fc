"""Whatever PostgreSQL has rows in: views, partitions, foreign tables, tables without rows or columns, odd names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.metric_basic_harness import EXACT, TODAY

if TYPE_CHECKING:
    from tests.integration.metric_basic_harness import Ward


def test_views_and_partitioned_tables_are_measured_once(ward: Ward) -> None:
    """Partitions count with their parent, at any depth; children by inheritance for themselves."""
    ward.execute(
        "CREATE TABLE t (a int, at date) PARTITION BY RANGE (at)",
        "CREATE TABLE t_2020 PARTITION OF t FOR VALUES FROM ('2020-01-01') TO ('2021-01-01') PARTITION BY LIST (a)",
        "CREATE TABLE t_2020_1 PARTITION OF t_2020 FOR VALUES IN (1)",
        "CREATE TABLE t_rest PARTITION OF t DEFAULT",
        "INSERT INTO t VALUES (1, '2020-05-01'), (1, '2020-06-01'), (7, '2023-01-01')",
        "CREATE TABLE plain AS SELECT i AS a FROM generate_series(1, 5) i",
        "CREATE TABLE heir (b int) INHERITS (plain)",
        "INSERT INTO heir VALUES (1, 2), (3, 4)",
        "CREATE VIEW v AS SELECT a, a::text AS b FROM plain",
        "CREATE MATERIALIZED VIEW m AS SELECT a FROM plain",
        "CREATE MATERIALIZED VIEW m_empty AS SELECT a FROM plain WITH NO DATA",
        "CREATE UNLOGGED TABLE unlogged AS SELECT 1 AS a",
        "CREATE SEQUENCE s",
        "CREATE TYPE composite AS (a int)",
    )
    run = ward.measure(config=EXACT)
    assert run.only()["incomplete"] == ["m_empty"], run.output  # it has no rows, not even none
    found = {label: (row["table_type"], row["rows_count"]) for label, row in ward.tables().items()}
    assert found == {
        "t": ("partitioned table", 3),
        "plain": ("table", 5),
        "heir": ("table", 2),
        "v": ("view", 7),
        "m": ("materialized view", 7),
        "unlogged": ("table", 1),
    }
    assert ward.columns(table="t")["a"]["max_num_var"] == 7
    partitions = ward.ask("SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree('t')")
    sizes = {label: row["bytes"] for label, row in ward.tables().items()}
    assert (sizes["t"], sizes["v"]) == (partitions, None)
    assert sizes["plain"] == ward.ask("SELECT pg_total_relation_size('plain')")


def test_table_of_one_partition_somebody_holds_is_incomplete(ward: Ward) -> None:
    """The other tables do not wait."""
    ward.execute(
        "CREATE TABLE t (a int) PARTITION BY LIST (a)", "CREATE TABLE t_1 PARTITION OF t FOR VALUES IN (1)",
        "CREATE TABLE u (a int)",
    )  # fmt: skip
    with ward.held("LOCK TABLE t_1 IN ACCESS EXCLUSIVE MODE"):
        run = ward.measure(config={"lock_seconds": 1})
    assert run.only()["incomplete"] == ["t"], run.output
    assert set(ward.tables()) == {"u"}


@pytest.mark.parametrize("rows", [0, 3])
def test_tables_without_rows_or_columns_have_a_row_of_their_own(ward: Ward, rows: int) -> None:
    """Rows without columns are counted all the same."""
    ward.execute("CREATE TABLE nothing ()", "CREATE TABLE t (a int, b text, c date, d boolean, e json)")
    ward.execute(*["INSERT INTO nothing DEFAULT VALUES", "INSERT INTO t DEFAULT VALUES"] * rows)
    run = ward.measure(config=EXACT)
    assert run.only()["status"] == "ok", run.output
    assert {label: (row["rows_count"], row["columns_count"]) for label, row in ward.tables().items()} == {
        "nothing": (rows, 0),
        "t": (rows, 5),
    }
    for row in ward.columns(table="t").values():
        assert (row["value_counts"], row["na_values"]) == (0, rows)
        assert row["percent_na_values"] == (100 if rows else None)
        assert [row[name] for name in ("min_num_var", "max_date_var", "max_length", "is_key")] == [None] * 3 + [False]


def test_widest_table_there_may_be_is_measured(ward: Ward) -> None:
    """1,600 columns, of which the last are as good as the first; nearly all of them are empty."""
    names = [f"c{i}" for i in range(1600)]
    ward.execute(
        f"CREATE TABLE t ({', '.join(f'{name} int' for name in names)})",
        "INSERT INTO t (c0, c799, c800, c1599) SELECT i, 1, i * 2, i * 3 FROM generate_series(1, 50) i",
    )
    run = ward.measure(config=EXACT)
    assert (run.only()["status"], run.only()["metrics"]) == ("ok", 1600)
    found = ward.columns()
    assert set(found) == set(names)
    sums = {name: row["max_num_var"] for name, row in found.items() if row["value_counts"]}
    assert sums == {"c0": 50, "c799": 1, "c800": 100, "c1599": 150}


def test_dropped_and_generated_columns(ward: Ward) -> None:
    """The former are gone, the latter have values."""
    ward.execute(
        "CREATE TABLE t (a int, b int, c int GENERATED ALWAYS AS (a * 2) STORED, d int GENERATED ALWAYS AS IDENTITY)",
        "INSERT INTO t (a, b) VALUES (1, 2), (3, 4)",
        "ALTER TABLE t DROP b, ADD e int DEFAULT 9",
    )
    ward.measure(config=EXACT)
    assert {name: row["max_num_var"] for name, row in ward.columns().items()} == {"a": 3, "c": 6, "d": 2, "e": 9}


def test_names_of_any_kind_stay_apart(ward: Ward) -> None:
    """Upper case, unicode, dots, quotes, reserved words, 63 bytes, and the dots that labels have themselves."""
    tables = ["Stays", "stays", "séjours", "日本語", "a.b", 'say "hi"', "select", "x" * 63, " ", "100%", "it's", "a\\b"]
    quoted = ['"' + name.replace('"', '""') + '"' for name in tables]
    ward.execute(
        'CREATE SCHEMA "A.b"',
        "CREATE SCHEMA a",
        *(f"CREATE TABLE {name} ({name} int)" for name in quoted),
        'CREATE TABLE "A.b"."c.d" (n int)',
        "CREATE TABLE a.b (n int)",
    )
    run = ward.measure()
    assert run.only()["status"] == "ok", run.output
    others = {("public.a.b", "a.b"), ("a.b", "n"), ('"A.b".c.d', "n")}
    assert set(ward.base.metrics(TODAY)) == {(name, name) for name in tables if name != "a.b"} | others


def test_tables_of_extensions_and_of_the_server_are_not_the_hospitals(ward: Ward) -> None:
    """Neither are temporary ones of somebody."""
    with ward.database.connect(autocommit=True) as connection:
        connection.execute(b"CREATE TEMP TABLE mine (a int)")
        connection.execute(b"CREATE TABLE t (a int)")
        ward.measure()
    assert set(ward.tables()) == {"t"}


def test_foreign_table_that_nobody_can_read_is_incomplete(ward: Ward) -> None:
    """It is there as any other. The servers of these tests bring no wrapper that has rows."""
    ward.execute(
        "CREATE FOREIGN DATA WRAPPER nobody",
        "CREATE SERVER elsewhere FOREIGN DATA WRAPPER nobody",
        "CREATE FOREIGN TABLE far (a int) SERVER elsewhere",
        "CREATE TABLE near (a int)",
    )
    run = ward.measure()
    assert run.only()["incomplete"] == ["far"]
    assert "table far not measured: ObjectNotInPrerequisiteState (55000)" in run.output
    assert set(ward.tables()) == {"near"}


def test_names_that_would_be_one_label_stay_apart(ward: Ward) -> None:
    """A dot may be part of a schema's name and of a table's; quotes may be, too."""
    ward.execute(
        'CREATE SCHEMA "a.b"',
        "CREATE SCHEMA a",
        'CREATE SCHEMA """a"',
        'CREATE TABLE "a.b".c (x int)',
        'CREATE TABLE a."b.c" (y int)',
        'CREATE TABLE """a"."b"".c" (z int)',
        'CREATE TABLE "public.a" (v int)',
    )
    run = ward.measure()
    assert run.only()["status"] == "ok", run.output
    found = {column: label for label, column in ward.base.metrics(TODAY)}
    assert found == {"x": '"a.b".c', "y": "a.b.c", "z": '"""a".b".c', "v": "public.public.a"}


def test_rows_that_inherit_are_counted_once(ward: Ward) -> None:
    """With the table that has them; its parent has its own, also in a sample."""
    ward.execute(
        "CREATE TABLE p (a int)",
        "INSERT INTO p VALUES (0)",
        "CREATE TABLE c (b int) INHERITS (p)",
        "INSERT INTO c SELECT i, i FROM generate_series(1, 100) i",
    )
    for config in ({}, {"limit_enabled": True, "search_results_limit": 99}):
        assert ward.measure(config=config).only()["status"] == "ok"
        assert {label: row["rows_count"] for label, row in ward.tables().items()} == {"p": 1, "c": 100}
    assert ward.base.rows("SELECT rows_count FROM metric_basic_version")[0]["rows_count"] == 101


def test_table_whose_rows_a_policy_hides_is_incomplete(ward: Ward) -> None:
    """A part of it would be called the whole; an account that sees all of it measures it."""
    ward.execute(
        "CREATE TABLE p AS SELECT i AS a FROM generate_series(1, 100) i",
        "CREATE TABLE q (a int)",
        "ALTER TABLE p ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY few ON p USING (a < 26)",
    )
    with ward.reader("GRANT SELECT ON p, q TO {}") as reader:
        run = ward.measure(as_user=reader)
        assert run.only()["incomplete"] == ["p"], run.output
        assert "table p not measured: InsufficientPrivilege (42501)" in run.output
        assert set(ward.tables()) == {"q"}
        ward.execute(f"ALTER ROLE {reader['user']} BYPASSRLS")
        assert ward.measure(as_user=reader).only()["status"] == "ok"
    assert ward.tables()["p"]["rows_count"] == 100
