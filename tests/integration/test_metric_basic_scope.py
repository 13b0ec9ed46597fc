"""What of an endpoint metric pack basic reads, how much of it at once, and over how many connections."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.integration.metric_basic_harness import EXACT, TODAY, comparable, sqlite_file, wait_until
from tests.integration.pack_harness import mariadb_endpoint

if TYPE_CHECKING:
    from pathlib import Path

    from demo.services import MariaDB
    from tests.integration.metric_basic_harness import Ward


def test_configuration_chooses_schemas_tables_and_min_count(ward: Ward) -> None:
    """min_count, schemas, exclude_tables: of the endpoint's merged configuration."""
    ward.execute(
        "CREATE SCHEMA lab",
        "CREATE SCHEMA other",
        "CREATE TABLE lab.results (c text)",
        "INSERT INTO lab.results SELECT 'x' FROM generate_series(1, 3)",
        "CREATE TABLE lab.tmp_1 (c text)",
        "CREATE TABLE other.t (c text)",
        "CREATE TABLE t (c text)",
    )
    config = {"min_count": 3, "schemas": ["lab", "public"], "exclude_tables": ["*.tmp_*"], "esHost": "http://es"}
    run = ward.measure(TODAY, config=config)
    assert set(ward.base.metrics(TODAY)) == {("lab.results", "c"), ("t", "c")}
    assert ward.base.levels(TODAY, "lab.results", "c") == {"x": 3}
    assert run.only()["message"] == "2 of 2 tables measured, 2 excluded by the configuration"


def test_configuration_chooses_columns_and_says_what_it_does_not_find(ward: Ward) -> None:
    """Of a table without chosen columns the rows are counted; a pattern without effect is told."""
    ward.execute("CREATE TABLE t (a int, b int)", "CREATE TABLE u (b int)", "INSERT INTO u VALUES (1), (2)")
    run = ward.measure(config={"columns": ["A", "t.*"], "exclude_columns": ["t.b"], "exclude_tables": ["nothing*"]})
    assert set(ward.base.metrics(TODAY)) == {("t", "a")}
    assert ward.tables()["u"]["rows_count"] == 2
    assert "exclude_tables: nothing matches 'nothing*'" in run.only()["message"]


def test_row_limit_is_a_random_sample_and_says_so(ward: Ward) -> None:
    """Never the first n rows: several nights draw others, from everywhere, and their metrics are about the whole's."""
    ward.execute(
        "CREATE TABLE t AS SELECT i AS n, i % 4 AS code, i AS row_id FROM generate_series(1, 50000) i",
        "CREATE TABLE small AS SELECT i AS n FROM generate_series(1, 50) i",
        "ALTER TABLE small ADD PRIMARY KEY (n)",
        "CREATE VIEW v AS SELECT * FROM t",
    )
    drawn = []
    for night in ("2026-01-28", "2026-01-29", "2026-01-30"):
        run = ward.measure(night, config={**EXACT, "limit_enabled": "true", "search_results_limit": 2000})
        assert run.only()["status"] == "ok", run.output
        assert "tables with more than 2000 rows were sampled" in run.only()["message"]
        tables, found = ward.tables(night), ward.base.metrics(night)
        for name in ("t", "v"):
            n, code = found[name, "n"], found[name, "code"]
            assert tables[name]["rows_count"] == 50_000
            assert 1_700 < tables[name]["sample_rows"] == n["sample_rows"] == n["value_counts"] < 2_300
            assert (n["min_num_var"] < 1_000, n["max_num_var"] > 49_000) == (True, True)
            assert abs(n["mean_num_var"] - 25_000) < 2_500
            assert abs(n["std_num_var"] - 14_434) < 1_500
            assert (code["levels_count"], n["is_key"], found[name, "row_id"]["is_key"]) == (4, None, None)
            drawn.append((n["sample_rows"], n["mean_num_var"]))
        assert (tables["small"]["sample_rows"], found["small", "n"]["sample_rows"]) == (None, None)
        assert (found["small", "n"]["value_counts"], found["small", "n"]["is_key"]) == (50, True)
    assert len(set(drawn)) == len(drawn)


def test_row_limit_samples_on_mariadb_and_sqlite_too(
    ward: Ward, mariadb: MariaDB, mariadb_database: str, tmp_path: Path
) -> None:
    """Each server draws for itself."""
    numbers = "WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 20000) SELECT n FROM s"
    with mariadb.connect(mariadb_database, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("SET max_recursive_iterations = 30000")
        cursor.execute("CREATE TABLE t (n int, d date)")
        cursor.execute(f"INSERT INTO t SELECT n, date '2020-01-01' + INTERVAL n % 300 DAY FROM ({numbers}) x")
    lab = sqlite_file(
        tmp_path / "lab.sqlite",
        "CREATE TABLE t (n INTEGER, d DATE)",
        f"INSERT INTO t SELECT n, date('2020-01-01', (n % 300) || ' days') FROM ({numbers})",
    )
    limited = {"limit_enabled": True, "search_results_limit": 1500}
    endpoints = [mariadb_endpoint(mariadb, mariadb_database, config=limited), {**lab, "config": limited}]
    run = ward.base.measure(TODAY, *endpoints)
    for endpoint in endpoints:
        assert run.reports[endpoint["slug"]]["status"] == "ok", run.output
        found = ward.base.metrics(TODAY, endpoint)["t", "n"]
        assert 1_200 < found["sample_rows"] == found["value_counts"] < 1_800
        assert abs(found["mean_num_var"] - 10_000) < 1_200


def test_parallel_readers_and_little_memory_give_the_same_result(ward: Ward) -> None:
    """Three connections, five megabytes for each: values go to the disk."""
    ward.execute(
        *(
            f"CREATE TABLE t{i} AS SELECT n % {20 + i} AS a, n::text AS b FROM generate_series(1, {500 * i}) n"
            for i in range(9)
        ),
        "CREATE TABLE large AS SELECT n, md5(n::text) AS m, n * 1.5 AS f, -n AS k, n::text || 'x' AS x"
        " FROM generate_series(1, 120000) n",
    )
    results = []
    for config in ({}, {"parallel_tables": 3, "memory_mb": 16}):
        run = ward.measure(config=config)
        assert run.only()["status"] == "ok", run.output
        queries = (f"SELECT * FROM metric_basic{part}" for part in ("", "_levels", "_table", "_version"))
        results.append([comparable(ward.base.rows(query)) for query in queries])
    assert results[0] == results[1]


def test_host_gets_no_more_connections_than_it_allows(ward: Ward) -> None:
    """connections_per_host counts over all endpoints there; parallel_tables within it."""
    ward.execute(
        *(f"CREATE VIEW v{i} AS SELECT pg_sleep(0.2)::text AS a" for i in range(8)),
    )
    config = {"parallel_tables": 5, "connections_per_host": 2}
    twin = {**ward.endpoint, "slug": "twin", "config": config}
    running = ward.base.start(
        "metric-packs/basic", "metric_basic.py", TODAY, [{**ward.endpoint, "config": config}, twin]
    )
    most = 0
    with ward.asking() as ask:
        while not running.is_over:
            most = max(most, ask("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'hdm basic'"))
            time.sleep(0.02)
    run = running.finish()
    assert {report["status"] for report in run.reports.values()} == {"ok"}, run.output
    assert most == 2
    assert "parallel_tables is greater than connections_per_host" in run.output


def test_host_without_a_free_connection_keeps_nobody_waiting(ward: Ward, tmp_path: Path) -> None:
    """Its second endpoint takes none of the places that another host's could have."""
    ward.execute("CREATE TABLE t (a int)")
    config = {"connections_per_host": 1}
    lab = sqlite_file(tmp_path / "lab.sqlite", "CREATE TABLE t (a INTEGER)")
    endpoints = [{**ward.endpoint, "config": config}, {**ward.endpoint, "slug": "twin", "config": config}, lab]
    with ward.gate() as wait:
        running = ward.base.start("metric-packs/basic", "metric_basic.py", TODAY, endpoints)
        wait()
        wait_until(lambda: any(line.get("endpoint") == lab["slug"] for line in running.lines), 10)
    run = running.finish()
    assert {report["status"] for report in run.reports.values()} == {"ok"}, run.output


def test_wrong_configuration_fails_the_endpoint_with_all_its_errors(ward: Ward) -> None:
    """And without a word of what was given."""
    config = {
        "min_count": "secret",
        "table_seconds": -1,
        "limit_enabled": True,
        "tables": {"a": 1},
        "round_dates": "day",
    }
    report = ward.measure(config=config).only()
    assert report["status"] == "failed"
    for key in ("min_count", "table_seconds", "search_results_limit", "tables", "round_dates"):
        assert f"{key} must be" in report["message"]
    assert "secret" not in report["message"]
