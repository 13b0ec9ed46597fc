"""The tables that `make bench-profile` measures, made by the server itself: the same rows at every run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from demo.services import Database, MariaDB

#: name, type in PostgreSQL, type in MariaDB and SQLite, expression of row `i` of `n`. Every value is a hash of `i`.
HOSPITAL: Sequence[tuple[str, str, str, str]] = (
    ("id", "bigint", "bigint", "i"),
    ("patient", "uuid", "char(36)", "md5((i * 2654435761 % (n / 3 + 1))::text)::uuid"),
    ("name", "text", "varchar(40)", "initcap(substr(md5('n' || i), 1, 8) || ' ' || substr(md5('g' || i), 1, 6))"),
    ("ward", "text", "varchar(20)", "'ward ' || {2} % 12"),
    ("code", "text", "varchar(10)", "'I' || lpad(({3} % 5000)::text, 5, '0')"),
    ("note", "text", "varchar(60)", "CASE WHEN {4} % 8 > 0 THEN 'seen today, ' || substr(md5('t' || i), 1, 28) END"),
    ("weight", "numeric(6,2)", "decimal(6,2)", "CASE WHEN {5} % 33 > 0 THEN (4000 + {5} % 8000) / 100.0 END"),
    ("lab", "double precision", "double", "CASE WHEN {6} % 20 > 0 THEN ln(1 + {6}) * ({7} + 1) / 977 END"),
    ("age", "integer", "integer", "{8} % 105"),
    ("birth", "date", "date", "date '1920-01-01' + ({9} % 38000)::integer"),
    ("admitted", "timestamp", "datetime", "timestamp '2015-01-01' + {10} % 300000000 * interval '1 second'"),
    ("discharged", "boolean", "tinyint(1)", "CASE WHEN {11} % 10 > 0 THEN {11} % 3 > 0 END"),
)
#: Columns of a wide table, in turns: mostly numbers. The first five alone fit 1,600 times into a page of 8 KB.
WIDE: Sequence[tuple[str, str]] = (
    ("integer", "{0} % 1000"),
    ("text", "'w' || {0} % 12"),
    ("real", "CASE WHEN {0} % 20 > 0 THEN {0} % 4000 / 7.0 END"),
    ("smallint", "CASE WHEN {0} % 5 > 0 THEN {0} % 90 END"),
    ("boolean", "{0} % 3 > 0"),
    ("double precision", "CASE WHEN {0} % 33 > 0 THEN ln(1 + {0}) END"),
    ("bigint", "{0}"),
    ("text", "'I' || lpad(({0} % 5000)::text, 5, '0')"),
    ("date", "date '2015-01-01' + ({0} % 4000)::integer"),
    ("numeric(6,2)", "{0} % 10000 / 100.0"),
)
_NARROW = WIDE[:5]
_FITTING = 400  # columns of all ten types
_SMALL = [column for column in HOSPITAL if column[0] not in {"name", "discharged"}]


def hospital(database: Database, rows: int, table: str = "visit") -> None:
    """The table of 12 columns with which engines are compared."""
    _make(database, [_create(table, [column[:2] for column in HOSPITAL], [column[3] for column in HOSPITAL], rows)])
    _run(database, [f"ALTER TABLE {table} ADD PRIMARY KEY (id)", f"VACUUM (FREEZE, ANALYZE) {table}", "CHECKPOINT"])


def small(database: Database, tables: int, rows: int) -> None:
    """Many tables of 10 columns, each with other rows."""
    for first in range(0, tables, 250):
        _make(
            database,
            [
                _create(f"t{number:04}", [c[:2] for c in _SMALL], [c[3] for c in _SMALL], rows, number * 100)
                for number in range(first, min(first + 250, tables))
            ],
        )
    _run(database, ["VACUUM (FREEZE, ANALYZE)", "CHECKPOINT"])


def wide(database: Database, columns: int, rows: int) -> None:
    """One table of many columns, each with other rows."""
    kinds = WIDE if columns <= _FITTING else _NARROW
    chosen = [kinds[number % len(kinds)] for number in range(columns)]
    names = [(f"c{number:04}", kind) for number, (kind, _) in enumerate(chosen)]
    expressions = [_hashed(expression, number) for number, (_, expression) in enumerate(chosen)]
    _make(database, [_create("wide", names, expressions, rows)])
    _run(database, ["VACUUM (FREEZE, ANALYZE) wide", "CHECKPOINT"])


def to_mariadb(database: Database, server: MariaDB, name: str, folder: Path) -> None:
    """The hospital's table, copied into a new database of MariaDB."""
    columns = ", ".join(f"{column} {kind}" for column, _, kind, _ in HOSPITAL)
    path = folder / "visit.tsv"
    _export(database, path)
    server.create_database(name)
    with server.connect(name, local_infile=True) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE visit ({columns}, PRIMARY KEY (id))")
        cursor.execute(f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE visit CHARACTER SET utf8mb4")
        cursor.execute("ANALYZE TABLE visit")
        connection.commit()
    path.unlink()


def to_sqlite(database: Database, target: Path) -> None:
    """The hospital's table, copied into a new file of SQLite."""
    import sqlite3

    path = target.with_suffix(".tsv")
    _export(database, path)
    columns = ", ".join(f"{column} {kind}" for column, _, kind, _ in HOSPITAL).replace("id bigint", "id integer")
    with sqlite3.connect(target) as connection, path.open() as lines:
        connection.execute(f"CREATE TABLE visit ({columns}, PRIMARY KEY (id))")
        values = ([None if cell == "\\N" else cell for cell in line.rstrip("\n").split("\t")] for line in lines)
        connection.executemany(f"INSERT INTO visit VALUES ({', '.join('?' * len(HOSPITAL))})", values)
    connection.close()
    path.unlink()


def _export(database: Database, path: Path) -> None:
    """The table as text of COPY, which MariaDB reads as well; booleans as 0 and 1."""
    columns = ", ".join(name if kind != "boolean" else f"{name}::integer" for name, kind, _, _ in HOSPITAL)
    statement = f"COPY (SELECT {columns} FROM visit ORDER BY id) TO STDOUT"
    with database.connect() as connection, connection.cursor().copy(statement) as copy, path.open("wb") as file:
        for block in copy:
            file.write(block)


def _create(
    table: str, columns: Sequence[tuple[str, str]], expressions: Sequence[str], rows: int, seed: int = 0
) -> str:
    declared = ", ".join(f"{name} {kind}" for name, kind in columns)
    values = ", ".join(
        f"({_hashed(expression, seed)})::{kind}" for expression, (_, kind) in zip(expressions, columns, strict=True)
    )
    # unlogged: loaded in half the time, read like any other
    return (
        f"CREATE UNLOGGED TABLE {table} ({declared}); "
        f"INSERT INTO {table} SELECT {values} "
        f"FROM generate_series(1, {rows}::bigint) AS i, (SELECT {rows}::bigint AS n)"
    )


def _hashed(expression: str, seed: int) -> str:
    """Put a hash of the row's number, 0 up to 2^40, in the place of each {number}."""
    places = [f"(hashint8extended(i, {seed + number}) & 1099511627775)" for number in range(len(HOSPITAL))]
    return expression.format(*places)


def _make(database: Database, statements: Sequence[str]) -> None:
    with database.connect() as connection:
        connection.execute("SET LOCAL synchronous_commit = off")
        connection.execute("; ".join(statements))


def _run(database: Database, statements: Sequence[str]) -> None:
    with database.connect(autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)
