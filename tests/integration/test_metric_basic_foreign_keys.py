"""The orphans of declared foreign keys: those that plain SQL counts row by row, on PostgreSQL, MariaDB and SQLite."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.metric_basic_harness import LATER, TODAY, sqlite_file
from tests.integration.pack_harness import Row, mariadb_endpoint, sqlite_endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from demo.services import MariaDB
    from tests.integration.metric_basic_harness import Ward

Key = tuple[str, list[str], str, list[str]]  # child, its columns, parent, its columns

CHILD, PARENT = 'a "child"', "100%"
PARENTS = f"""CREATE TABLE `{PARENT}` (`n` int PRIMARY KEY, `h 1` int, `k0` varchar(9), `code` varchar(9) {{nocase}},
              `boss` int, UNIQUE (`k0`, `h 1`), UNIQUE (`code`))"""
CHILDREN = f"""CREATE TABLE `{CHILD}` (`v0` int PRIMARY KEY, `n` {{number}}, `p` int, `select` varchar(9),
               `%s` {{text}}, `g` varchar(9))"""
KEYS: list[Key] = [
    (CHILD, ["n"], PARENT, ["n"]),
    (CHILD, ["select", "p"], PARENT, ["k0", "h 1"]),
    (CHILD, ["%s"], PARENT, ["code"]),
    (CHILD, ["g"], PARENT, ["code"]),  # no value has a parent
    (PARENT, ["boss"], PARENT, ["n"]),
]
TYPES = {
    "postgres": {"number": "bigint", "text": "text", "nocase": ""},
    "MariaDB": {"number": "int", "text": "varchar(9)", "nocase": ""},  # without case by default
    "sqlite3": {"number": "TEXT", "text": "text", "nocase": "COLLATE NOCASE"},
}

NUMBERS = st.none() | st.integers(0, 6) | st.integers(-(2**31), 2**31 - 1)
CODES = st.none() | st.sampled_from(["a", "A", "b", "B", "á", "x y", "", "%s", "'", "b "])
WARDS = st.lists(st.tuples(NUMBERS, NUMBERS, CODES, CODES, NUMBERS), max_size=12)
STAYS = st.lists(st.tuples(NUMBERS, NUMBERS, CODES, CODES), max_size=25)


class Site:
    """One database of the three, and plain SQL about its foreign keys."""

    def __init__(self, endpoint: Row, connection: Any) -> None:
        self.endpoint, self._connection = endpoint, connection
        self.kind: str = endpoint["type"]
        self._quote = "`" if self.kind == "MariaDB" else '"'
        self._mark = "?" if self.kind == "sqlite3" else "%s"

    def name(self, text: str) -> str:
        return self._quote + text.replace(self._quote, self._quote * 2) + self._quote

    def run(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run a statement, whose names are in backticks."""
        parts = statement.split("`")
        quoted = "".join(self.name(part) if i % 2 else part for i, part in enumerate(parts))
        cursor = self._connection.cursor()
        if values:
            marks = quoted if self.kind == "sqlite3" else quoted.replace("%", "%%")
            cursor.execute(marks.replace("{}", self._mark), values)
        else:
            cursor.execute(quoted)
        found: list[tuple[Any, ...]] = cursor.fetchall() if cursor.description else []
        self._connection.commit()
        return found

    def fill(self, wards: list[tuple[Any, ...]], stays: list[tuple[Any, ...]]) -> None:
        """Make both tables; parents that are not unique for this database's collation are left out."""
        for table in (CHILD, PARENT):
            self.run(f"DROP TABLE IF EXISTS `{table}`" + " CASCADE" * (self.kind == "postgres"))
        if self.kind == "MariaDB":
            self.run("SET foreign_key_checks = 0")
        keys = self._constraints()
        is_inline = self.kind != "postgres"
        for table, text in ((PARENT, PARENTS), (CHILD, CHILDREN)):
            made = text.format(**TYPES[self.kind])
            added = "".join(", " + key for of, key in keys if of == table) * is_inline
            self.run(made.rstrip(")") + ")" + added + ")" if table == CHILD else made[:-1] + added + ")")
        ignore = {"postgres": "", "MariaDB": "IGNORE", "sqlite3": "OR IGNORE"}[self.kind]
        end = " ON CONFLICT DO NOTHING" * (self.kind == "postgres")
        for ward in wards:
            if ward[0] is not None:
                self.run(f"INSERT {ignore} INTO `{PARENT}` VALUES ({{}}, {{}}, {{}}, {{}}, {{}}){end}", *ward)
        for i, stay in enumerate(stays):
            values = (i, str(stay[0]) if self.kind == "sqlite3" and stay[0] is not None else stay[0], *stay[1:])
            self.run(f"INSERT INTO `{CHILD}` VALUES ({{}}, {{}}, {{}}, {{}}, {{}}, 'nobody')", *values)
        if not is_inline:
            for table, key in keys:
                self.run(f"ALTER TABLE `{table}` ADD {key} NOT VALID")

    def _constraints(self) -> list[tuple[str, str]]:
        def listed(columns: list[str]) -> str:
            return ", ".join(f"`{column}`" for column in columns)

        return [
            (child, f"FOREIGN KEY ({listed(columns)}) REFERENCES `{parent}` ({listed(others)})")
            for child, columns, parent, others in KEYS
        ]

    def expected(self, key: Key) -> Row:
        """What plain SQL counts, each number in a query of its own."""
        child, columns, parent, others = key
        present = " AND ".join(f"c.`{column}` IS NOT NULL" for column in columns)
        same = " AND ".join(f"p.`{other}` = c.`{column}`" for column, other in zip(columns, others, strict=True))
        is_key = " AND ".join(f"p.`{other}` IS NOT NULL" for other in others)
        distinct = ", ".join(f"p.`{other}`" for other in others)

        def count(query: str) -> int:
            return int(self.run(f"SELECT count(*) FROM {query}")[0][0])

        values = count(f"`{child}` c WHERE {present}")
        orphans = count(f"`{child}` c WHERE {present} AND NOT EXISTS (SELECT 1 FROM `{parent}` p WHERE {same})")
        referred = f"EXISTS (SELECT 1 FROM `{child}` c WHERE {same})"
        return {
            "declared": True,
            "values_count": values,
            "orphans": orphans,
            "percent_orphans": 100 * orphans / values if values else None,
            "parents": count(f"(SELECT DISTINCT {distinct} FROM `{parent}` p WHERE {is_key}) k"),
            "parents_covered": count(f"(SELECT DISTINCT {distinct} FROM `{parent}` p WHERE {is_key} AND {referred}) k"),
        }


def stored(ward: Ward, date: str = TODAY, endpoint: Row | None = None) -> dict[str, Row]:
    """The keys of one date, as `child (columns) -> parent (columns)`, without what identifies them."""
    names = ("table", "column", "parent_table", "parent_column")
    told = {*names, "endpoint", "database", "dbversion", "date"}
    query = 'SELECT * FROM metric_basic_foreign_key WHERE endpoint = %s AND "date" = %s'
    rows = ward.base.rows(query, (endpoint or ward.endpoint)["slug"], date)
    return {
        "{} ({}) -> {} ({})".format(*(row[name] for name in names)): {
            name: value for name, value in row.items() if name not in told
        }
        for row in rows
    }


def orphans(ward: Ward, date: str = TODAY) -> dict[str, int]:
    """The orphans of each key of one date."""
    return {key: row["orphans"] for key, row in stored(ward, date).items()}


@pytest.fixture
def sites(ward: Ward, mariadb: MariaDB, mariadb_database: str, tmp_path: Path) -> Iterator[list[Site]]:
    """The three engines."""
    path = tmp_path / "lab.sqlite"
    connections = [ward.database.connect(), mariadb.connect(mariadb_database), sqlite3.connect(path)]
    endpoints = [ward.endpoint, mariadb_endpoint(mariadb, mariadb_database), sqlite_endpoint(path)]
    yield [Site(*pair) for pair in zip(endpoints, connections, strict=True)]
    for connection in connections:
        connection.close()


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(wards=WARDS, stays=STAYS)
def test_counts_are_those_of_plain_sql_on_all_three_engines(
    ward: Ward, sites: list[Site], wards: list[tuple[Any, ...]], stays: list[tuple[Any, ...]]
) -> None:
    """Keys of two columns, of the same table, with nulls, of other types, without case, with names like the query's."""
    for site in sites:
        site.fill(wards, stays)
    run = ward.base.measure(TODAY, *(site.endpoint for site in sites))
    assert {report["status"] for report in run.reports.values()} == {"ok"}, run.output
    for site in sites:
        found = stored(ward, TODAY, site.endpoint)
        declared = {key: row for key, row in found.items() if row["declared"]}
        wanted = {f"{c} ({', '.join(cs)}) -> {p} ({', '.join(ps)})": (c, cs, p, ps) for c, cs, p, ps in KEYS}
        assert {key: site.expected(wanted[key]) for key in wanted} == declared, (site.kind, run.output)


def test_collations_decide_which_values_are_equal(ward: Ward, sites: list[Site]) -> None:
    """Without case, A and a are one parent, which is covered once; with case, A has no parent."""
    for site in sites:
        site.fill([(1, None, None, "a", None), (2, None, None, "b", 9)], [(1, None, None, c) for c in ("A", "a", "x")])
    ward.base.measure(TODAY, *(site.endpoint for site in sites))
    found = {site.kind: stored(ward, TODAY, site.endpoint)[f"{CHILD} (%s) -> {PARENT} (code)"] for site in sites}
    counts = {kind: (row["values_count"], row["orphans"], row["parents_covered"]) for kind, row in found.items()}
    assert counts == {"postgres": (3, 2, 1), "MariaDB": (3, 1, 1), "sqlite3": (3, 1, 1)}


def test_postgres_compares_as_its_own_constraints_do(ward: Ward) -> None:
    """Other schemas, types, collations, partitions, parts of a table that inherits, triggers that were off."""
    ward.execute(
        'CREATE SCHEMA "my.ward"',
        'CREATE TABLE "my.ward".wards (ward numeric PRIMARY KEY, code text COLLATE "C" UNIQUE)',
        """INSERT INTO "my.ward".wards SELECT i, 'c' || i FROM generate_series(1, 10) i""",
        'CREATE TABLE stays (ward int REFERENCES "my.ward".wards, code varchar(9) COLLATE "POSIX")',
        'ALTER TABLE stays ADD FOREIGN KEY (code) REFERENCES "my.ward".wards (code) NOT VALID',
        "ALTER TABLE stays DISABLE TRIGGER ALL",
        "INSERT INTO stays SELECT i, 'c' || i FROM generate_series(6, 13) i",
        'CREATE TABLE moves (ward int REFERENCES "my.ward".wards) PARTITION BY RANGE (ward)',
        "CREATE TABLE moves_low PARTITION OF moves FOR VALUES FROM (1) TO (5)",
        "INSERT INTO moves VALUES (2), (2), (3)",
        "CREATE TABLE kin () INHERITS (stays)",
        "INSERT INTO kin VALUES (99, 'c99')",
    )
    run = ward.measure(TODAY)
    assert run.only()["status"] == "ok", run.output
    counts = ("values_count", "orphans", "parents", "parents_covered")
    found = {key: tuple(row[name] for name in counts) for key, row in stored(ward).items()}
    assert found == {
        'stays (ward) -> "my.ward".wards (ward)': (8, 3, 10, 5),
        'stays (code) -> "my.ward".wards (code)': (8, 3, 10, 5),
        'moves (ward) -> "my.ward".wards (ward)': (3, 0, 10, 2),
    }


def test_a_key_that_is_gone_is_not_stored(ward: Ward) -> None:
    """Nor one that the configuration does not measure, or whose columns the account may not read."""
    ward.execute(
        "CREATE TABLE wards (ward int PRIMARY KEY, name text)",
        "CREATE TABLE stays (a int REFERENCES wards, b int REFERENCES wards, note text)",
        "CREATE TABLE beds (ward int REFERENCES wards)",
    )
    every = {"stays (a) -> wards (ward)", "stays (b) -> wards (ward)", "beds (ward) -> wards (ward)"}
    ward.measure(TODAY)
    assert set(stored(ward)) == every
    ward.measure(TODAY, config={"exclude_tables": ["beds"], "identifying": ["a"]})
    assert set(stored(ward)) == {"stays (b) -> wards (ward)"}
    ward.measure(TODAY, config={"foreign_keys": "off"})
    assert not stored(ward)
    with ward.reader("GRANT SELECT ON beds, wards TO {}", "GRANT SELECT (b, note) ON stays TO {}") as reader:
        run = ward.measure(TODAY, as_user=reader)
    assert run.only()["incomplete"] == ["stays.a"]
    assert set(stored(ward)) == every - {"stays (a) -> wards (ward)"}
    ward.execute("DROP TABLE beds", "ALTER TABLE stays DROP COLUMN b")
    ward.measure(LATER)
    assert set(stored(ward, LATER)) == {"stays (a) -> wards (ward)"}
    assert set(stored(ward)) == every - {"stays (a) -> wards (ward)"}  # the earlier date stays as it was


def test_repeating_a_date_replaces_its_keys(ward: Ward) -> None:
    """The same run, and another one."""
    ward.execute(
        "CREATE TABLE wards (ward int PRIMARY KEY)",
        "CREATE TABLE stays (ward int REFERENCES wards)",
        "INSERT INTO wards SELECT generate_series(1, 9)",
        "INSERT INTO stays SELECT generate_series(1, 9)",
    )
    ward.measure(TODAY, run_id="one")
    first = stored(ward)
    ward.measure(TODAY, run_id="one")
    assert stored(ward) == first != {}
    ward.execute("ALTER TABLE stays DISABLE TRIGGER ALL", "INSERT INTO stays VALUES (10)")
    ward.measure(TODAY, run_id="two")
    assert orphans(ward) == {"stays (ward) -> wards (ward)": 1}


def test_a_retry_counts_the_keys_of_tables_that_it_does_not_read_again(ward: Ward) -> None:
    """Their values are no longer in memory: the database is asked."""
    ward.execute(
        *("CREATE TABLE wards (ward int PRIMARY KEY)", "CREATE TABLE beds (bed int PRIMARY KEY)"),
        "CREATE TABLE stays (ward int REFERENCES wards, bed int REFERENCES beds)",
        *("INSERT INTO wards SELECT generate_series(1, 9)", "INSERT INTO beds SELECT generate_series(1, 5)"),
        "INSERT INTO stays SELECT i, i FROM generate_series(1, 5) i",
    )
    with ward.held("LOCK TABLE beds IN ACCESS EXCLUSIVE MODE"):
        run = ward.measure(TODAY, run_id="one", config={"lock_seconds": 1})
    assert run.only()["incomplete"] == ["beds"], run.output
    assert set(stored(ward)) == {"stays (ward) -> wards (ward)"}
    run = ward.measure(TODAY, run_id="one")
    assert "skipping 2 tables that an earlier attempt of this run measured" in run.output
    counts = ("values_count", "orphans", "parents", "parents_covered")
    assert {key: tuple(row[name] for name in counts) for key, row in stored(ward).items()} == {
        "stays (ward) -> wards (ward)": (5, 0, 9, 5),
        "stays (bed) -> beds (bed)": (5, 0, 5, 5),
    }


def test_a_key_whose_query_fails_costs_nothing_but_itself(ward: Ward) -> None:
    """Somebody locks a parent between the reading of its table and the counting of its key."""
    ward.execute(
        *("CREATE TABLE wards (ward int PRIMARY KEY)", "INSERT INTO wards VALUES (1)"),
        *("CREATE TABLE units (unit int PRIMARY KEY)", "INSERT INTO units VALUES (1)"),
        "CREATE TABLE stays (ward int, unit int)",
        "INSERT INTO stays VALUES (4711, 4711)",
        "ALTER TABLE stays ADD FOREIGN KEY (ward) REFERENCES wards NOT VALID",
        "ALTER TABLE stays ADD FOREIGN KEY (unit) REFERENCES units NOT VALID",
    )
    with ward.gate() as wait:
        running = ward.start(TODAY, config={"lock_seconds": 1})
        wait()
        locker = ward.database.connect()
        locker.execute("LOCK TABLE wards IN ACCESS EXCLUSIVE MODE")
    run = running.finish()
    locker.close()
    assert (run.exit_code, run.only()["status"]) == (0, "ok"), run.output
    assert "foreign key stays (ward) -> wards (ward) not measured: LockNotAvailable (55P03)" in run.output
    assert "4711" not in run.text
    assert orphans(ward) == {"stays (unit) -> units (unit)": 1}
    assert {"wards", "units", "stays"} <= set(ward.tables())


def test_keys_end_with_the_time_of_the_endpoint(ward: Ward) -> None:
    """The server ends the query that is running; what was measured is stored."""
    ward.execute(
        *("CREATE TABLE wards (ward int PRIMARY KEY)", "CREATE TABLE stays (ward int)"),
        "INSERT INTO stays VALUES (1)",
        "ALTER TABLE stays ADD FOREIGN KEY (ward) REFERENCES wards NOT VALID",
    )
    with ward.gate() as wait:
        running = ward.start(TODAY, config={"endpoint_seconds": 4})
        wait()
        locker = ward.database.connect()
        locker.execute("LOCK TABLE wards IN ACCESS EXCLUSIVE MODE")
    run = running.finish()
    locker.close()
    assert (run.exit_code, run.only()["status"]) == (0, "ok"), run.output
    assert "foreign key stays (ward) -> wards (ward) not measured: QueryCanceled (57014)" in run.output
    assert not stored(ward)
    assert len(ward.tables()) == 3


def test_an_account_that_may_only_read_sees_the_keys_of_mariadb(
    ward: Ward, mariadb: MariaDB, mariadb_database: str
) -> None:
    """The catalog tells an account of keys only with some right to their table."""
    with mariadb.connect(mariadb_database) as connection, connection.cursor() as cursor:
        for statement in (
            "CREATE TABLE wards (ward int PRIMARY KEY)",
            "CREATE TABLE stays (ward int, FOREIGN KEY (ward) REFERENCES wards (ward))",
            "CREATE USER reader@'%' IDENTIFIED BY 'reader'",
            f"GRANT SELECT ON {mariadb_database}.* TO reader@'%'",
        ):
            cursor.execute(statement)
    try:
        endpoint = mariadb_endpoint(mariadb, mariadb_database) | {"user": "reader", "password": "reader"}
        run = ward.base.measure(TODAY, endpoint)
    finally:
        with mariadb.connect(mariadb_database) as connection, connection.cursor() as cursor:
            cursor.execute("DROP USER reader@'%'")
    assert set(stored(ward, TODAY, endpoint)) == {"stays (ward) -> wards (ward)"}, run.output


def test_sqlite_tells_of_keys_to_columns_and_tables_that_do_not_exist(ward: Ward, tmp_path: Path) -> None:
    """It checks nothing when a key is declared: only keys that can be counted are."""
    lab = sqlite_file(
        tmp_path / "lab.sqlite",
        "CREATE TABLE Wards (Ward INTEGER, Bed INTEGER, PRIMARY KEY (Bed, Ward))",
        "CREATE TABLE stays (ward INTEGER REFERENCES nowhere, unit INTEGER REFERENCES wards (unit), a, b,"
        " FOREIGN KEY (a, b) REFERENCES wards)",
        "INSERT INTO Wards VALUES (1, 2), (1, 3)",
        "INSERT INTO stays VALUES (1, 1, 2, 1), (1, 1, 2, 7)",
    )
    run = ward.base.measure(TODAY, lab)
    assert run.only()["status"] == "ok", run.output
    found = {key: (row["orphans"], row["parents_covered"]) for key, row in stored(ward, TODAY, lab).items()}
    assert found == {"stays (a, b) -> Wards (Bed, Ward)": (1, 1)}
