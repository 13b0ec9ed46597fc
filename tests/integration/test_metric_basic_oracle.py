"""Metric pack basic against plain SQL, one metric at a time, for every type that a warehouse on PostgreSQL has."""

from __future__ import annotations

import datetime as dt
import math
import random
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from tests.integration.metric_basic_harness import EXACT, TODAY, made_ward
from tests.integration.sql_oracle import Oracle, assert_same

if TYPE_CHECKING:
    from collections.abc import Iterator

    from demo.services import Database, Postgres
    from tests.integration.metric_basic_harness import Ward

ROWS = 1_500
SETUP = (
    "CREATE TYPE mood AS ENUM ('sad', 'ok', 'so so')",
    "CREATE TYPE pair AS (a int, b text)",
    "CREATE DOMAIN grade AS numeric(4,1) CHECK (value < 500)",
    "CREATE DOMAIN ward_code AS varchar(8)",
    "CREATE DOMAIN inner_code AS ward_code NOT NULL",
)
TEXTS = (
    *("", " ", "  ", "a", "A", "á", "a ", " a", "e\u0301", "é", "😀", "'", '"', "\\", "%s", "\t", "x" * 3000, "NULL"),
    *(
        "ÉTÉ",
        "Été",
        "straße",
        "TIẾNG VIỆT",
        "ĐÃ",
        "AMANHÃ\u201d",
        "«CAFÉ»",
        "x\x85y",
        "ж",
        "Ж",
        "ǅ",
        "\u00a0a",
        "b\u3000",
    ),
    *("Ã©tÃ©", "MÃœLLER", "â€\u201c", "5 Â°C", "\ufffd", "\x92", "ÅŸ", "N/A", " néant ", "NON RENSEIGNÉ", "xXx", "--"),
    *("?", "..", "*", "x", "unknown", "unknown1", "\\N", "#N/A"),
)
HUGE = "123456789012345678901234567890123456789012345678901234567890"
# Column (its name tells the type) -> kind, type, values
TYPES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "small": ("integer", "smallint", ("-32768", "32767", "0", "1")),
    "whole": ("integer", "int", ("-2147483648", "2147483647", "0", "1", "-1")),
    "big": ("integer", "bigint", ("-9223372036854775808", "9223372036854775807", "0", "9007199254740993", "7")),
    "object": ("integer", "oid", ("0", "4294967295", "2147483648")),
    "exact": ("integer", "numeric(10)", ("0", "-1", "9999999999")),
    "exact_long": ("integer", "numeric(40,0)", ("0", "9" * 40, "9" * 39, "-" + "9" * 40)),
    "price": ("float", "numeric(10,2)", ("0.00", "0.1", "0.10", "-99999999.99", "19.99", "NaN")),
    "price_long": ("float", "numeric(30,10)", ("0.1", "0.1000000001", "-1", "12345678901234567890.5")),
    "thousands": ("float", "numeric(5,-3)", ("1000", "-12345000", "0")),
    "tiny": ("float", "numeric(3,10)", ("0.0000000001", "0.0000000999", "0")),
    "free": ("float", "numeric", ("1", "1.0", "1.00", "-0.5", "NaN", "Infinity", "-Infinity", HUGE, f"{HUGE}.5", "0",
                                  "0.000", "1e400", "-1e400", "1e300", f"0.{HUGE}")),
    "single": ("float", "real", ("0.1", "-0", "0", "NaN", "Infinity", "-Infinity", "3e38", "1e-30", "16777217")),
    "double": ("float", "double precision", ("0.1", "-0", "0", "NaN", "Infinity", "-Infinity", "1e300", "-1e300",
                                              "5e-324", "2.5")),
    "flag": ("boolean", "boolean", ("t", "f")),
    "memo": ("text", "text", TEXTS),
    "word": ("text", "varchar(3000)", TEXTS),
    "padded": ("text", "char(5)", ("", "a", "a ", "ab", "áé", "A", " a")),
    "letter": ("text", '"char"', ("a", "b", "Z")),
    "object_name": ("text", "name", ("a", "b", "n" * 63)),
    "uuid_value": ("text", "uuid", ("00000000-0000-0000-0000-000000000000", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11")),
    "feeling": ("text", "mood", ("sad", "ok", "so so")),
    "grade_given": ("float", "grade", ("1.5", "499.9", "-1", "0")),
    "unit": ("text", "ward_code", ("w1", "w2", "")),
    "inner_unit": ("text", "inner_code", ("w1", "w2", "")),
    "day": ("date", "date", ("2020-02-29", "0001-01-01", "9999-12-31", "10000-01-01", "infinity", "-infinity",
                             "0044-03-15 BC", "2026-01-31", "2026-02-01", "1999-12-31", "5874897-12-31")),
    "at": ("datetime", "timestamp", ("2020-02-29 10:30:00.123456", "infinity", "-infinity", "0044-03-15 12:00 BC",
                                     "2026-01-31 23:59:59.999999", "2026-02-01 00:00", "294276-12-31 23:59:59",
                                     "0001-01-01 00:00:00", "9999-12-31 23:59:59.999999")),
    "at_zone": ("datetime", "timestamptz", ("2020-02-29 10:30+02", "2020-02-29 08:30Z", "infinity", "-infinity",
                                            "2026-01-31 23:30-01", "2026-02-01 00:30+01", "0001-01-01 00:00:00Z")),
    "clock": ("time", "time", ("00:00", "24:00", "10:30:00.5", "23:59:59.999999")),
    "clock_zone": ("time", "timetz", ("10:00+01", "09:00+00", "10:00:00+01:00", "24:00-12", "10:00:00.25+05:45:30")),
    "span": ("other", "interval", ("1 day", "24 hours", "-3 months")),
    "document": ("other", "json", ("{}", '{"a": 1}', "null")),
    "document_b": ("other", "jsonb", ("{}", '{"a": 1}', "null")),
    "list": ("other", "int[]", ("{}", "{1,2}", "{NULL}")),
    "words": ("other", "text[]", ("{}", "{a,b}")),
    "raw": ("other", "bytea", ("", "\\x00ff")),
    "address_of_host": ("other", "inet", ("127.0.0.1", "::1")),
    "spot": ("other", "point", ("(1,2)", "(0,0)")),
    "couple": ("other", "pair", ("(1,a)", "(,)")),
    "during": ("other", "int4range", ("[1,5)", "empty")),
    "days": ("other", "datemultirange", ("{[2020-01-01,2020-02-01)}", "{}")),
    "cost": ("other", "money", ("12.50", "-1")),
    "bits": ("other", "bit varying(8)", ("101", "")),
    "found": ("other", "tsvector", ("a b", "")),
    "mac": ("other", "macaddr", ("08:00:2b:01:02:03",)),
}  # fmt: skip
# What came with a later PostgreSQL than the oldest one that packs are tested on -> which
SINCE = {"thousands": 15, "tiny": 15, "days": 14, "Infinity": 14}
# As many different values that they are sorted, not counted in a table of levels
MANY = {
    "whole": ("integer", "int", "(random() * 2e9 - 1e9)::int"),
    "skewed": ("integer", "bigint", "(random() ^ 8 * 1e12)::bigint"),
    "price": ("float", "numeric(12,4)", "(random() * 1e7 - 1e6)::numeric(12,4)"),
    "free": ("float", "numeric", "(random() * 1e7)::numeric * 1e30 + i"),
    "single": ("float", "real", "(random() * 1000 - 10)::real"),
    "double": ("float", "double precision", "CASE WHEN i % 100 = 0 THEN 'NaN' ELSE random() - 0.5 END::float8"),
    "word": ("text", "text", "md5((i % 15000)::text) || repeat('é', i % 40)"),
    "code": ("text", "varchar(40)", "CASE WHEN i % 3 = 0 THEN 'x' ELSE i::text END"),
    "padded": ("text", "char(12)", "(i % 9000)::text"),
    "uuid_value": ("text", "uuid", "md5((i % 17000)::text)::uuid"),
    "day": ("date", "date", "date '1900-01-01' + (random() * 60000)::int"),
    "at": ("datetime", "timestamp", "timestamp '1900-01-01' + random() * interval '130 years'"),
    "at_zone": ("datetime", "timestamptz", "timestamptz '2000-01-01' + random() * interval '30 years'"),
    "clock": ("time", "time", "time '00:00' + random() * interval '1 day'"),
    "clock_zone": ("time", "timetz", "(time '00:00' + random() * interval '1 day') AT TIME ZONE 'Asia/Kolkata'"),
    "flag": ("boolean", "boolean", "random() < 0.3"),
}  # fmt: skip
MANY_ROWS = 20_000
KINDS = {
    ("types", column): kind for column, (kind, *_) in TYPES.items()
} | {("many", column): kind for column, (kind, *_) in MANY.items()}  # fmt: skip


@pytest.fixture(scope="module")
def warehouse(postgres: Postgres, pack_base: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    """Both tables, measured without suppression."""
    with made_ward(postgres, pack_base, tmp_path_factory.mktemp("oracle")) as ward:
        types = {name: column for name, column in TYPES.items() if SINCE.get(name, 0) <= postgres.version}
        if postgres.version < SINCE["Infinity"]:
            types["free"] = (*types["free"][:2], tuple(text for text in types["free"][2] if "Infinity" not in text))
        ward.execute(
            *SETUP,
            f"CREATE TABLE types ({', '.join(f'{name} {declared}' for name, (_, declared, _) in types.items())})",
            f"CREATE TABLE many ({', '.join(f'{name} {declared}' for name, (_, declared, _) in MANY.items())})",
        )
        chance = random.Random(20260131)  # noqa: S311  # not a secret
        with ward.database.connect() as connection:
            with connection.cursor().copy("COPY types FROM STDIN") as copy:
                for _ in range(ROWS):
                    copy.write_row(
                        [
                            None if chance.random() < 0.2 and name != "inner_unit" else chance.choice(values)
                            for name, (_, _, values) in types.items()
                        ]
                    )
            connection.execute(b"SELECT setseed(0.5)")
            drawn = (f"CASE WHEN random() < 0.9 THEN {expression} END" for _, _, expression in MANY.values())
            connection.execute(
                f"INSERT INTO many SELECT {', '.join(drawn)} FROM generate_series(1, {MANY_ROWS}) i".encode()
            )
        run = ward.measure(TODAY, config=EXACT)
        assert (run.exit_code, run.only()["status"]) == (0, "ok"), run.output
        yield ward


def skip_unknown(warehouse: Ward, column: str) -> None:
    """Skip a test of a type that this server does not have."""
    if SINCE.get(column, 0) > warehouse.database.server.version:
        pytest.skip(f"{TYPES[column][1]} is of PostgreSQL {SINCE[column]}")


@pytest.mark.parametrize(("table", "column"), KINDS)
def test_every_metric_is_what_sql_says(warehouse: Ward, table: str, column: str) -> None:
    """Count, distinct count, GROUP BY, min, max, avg, the root of var_samp, percentile_cont, length."""
    if table == "types":
        skip_unknown(warehouse, column)
    declared = {"types": TYPES, "many": MANY}[table][column][1]

    kind, found = KINDS[table, column], warehouse.columns(TODAY, table)[column]
    with warehouse.asking() as ask:
        assert_same(found, Oracle(ask, table, column, kind, declared, dt.date(2026, 1, 31)).metrics())
    if kind == "other":
        assert all(found[name] is None for name in ("levels_count", "highest_frequency", "min_num_var", "min_length"))


@pytest.mark.parametrize("column", [column for column, (kind, *_) in TYPES.items() if kind != "other"])
def test_levels_are_the_groups_of_sql(warehouse: Ward, column: str) -> None:
    """Each with its frequency, spelt one way: 0.1 of a numeric is not 0.10, midnight is told, zones are UTC."""
    skip_unknown(warehouse, column)
    declared = TYPES[column][1]
    spelt = "trim_scale({c})::text" if declared.startswith(("numeric", "grade")) else "{c}::text"
    if declared == "timestamptz":
        spelt = "({c} AT TIME ZONE 'UTC')::text"
    elif declared == "char(5)":
        spelt = "rtrim({c}::text)"
    chosen = sql.SQL(f"SELECT {spelt}, count(*) FROM types WHERE {{c}} IS NOT NULL GROUP BY 1")
    groups = warehouse.rows(chosen.format(c=sql.Identifier(column)))
    wanted: Counter[str] = Counter()
    for text, frequency in groups:
        is_double = declared in {"real", "double precision"} and text not in {"NaN", "Infinity", "-Infinity"}
        wanted[repr(float(text) + 0.0).removesuffix(".0") if is_double else text] += frequency
    free_text = any(len(text) > 50 or text.count(" ") > 4 for text in wanted) and TYPES[column][0] == "text"
    if len(wanted) >= 10 or free_text:
        wanted.clear()  # no categories
    assert warehouse.base.levels(TODAY, "types", column) == wanted


def is_of_15_digits(number: float) -> bool:
    """Whether it is still a double when PostgreSQL has made it a numeric: of the largest ones, 15 digits are more."""
    return math.isfinite(float(f"{number:.14e}")) or not math.isfinite(number)


def test_types_of_postgresql_are_told_as_declared(warehouse: Ward) -> None:
    """In the spelling of format_type, domains and all."""
    declared = warehouse.rows(
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
        " WHERE attrelid = 'types'::regclass AND attnum > 0"
    )
    assert {name: row["data_type"] for name, row in warehouse.columns(TODAY, "types").items()} == dict(declared)


def test_sql_agrees_on_rows_of_any_kind(warehouse: Ward) -> None:
    """Tables that hypothesis makes: numbers, texts, moments, with nulls, none, and many of them alike."""
    places = {
        "whole": ("integer", "bigint", st.integers(-3, 3) | st.integers(-(2**63), 2**63 - 1)),
        "exact": ("float", "numeric", st.decimals(-(10**40), 10**40, places=12) | st.just(Decimal("NaN"))),
        "double": ("float", "double precision", st.floats(allow_subnormal=False, width=64).filter(is_of_15_digits)),
        "word": ("text", "text", st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=9)),
        "day": ("date", "date", st.dates()),
        "at": ("datetime", "timestamp", st.datetimes()),
        "flag": ("boolean", "boolean", st.booleans()),
    }
    nights = (str(dt.date(2026, 3, 1) + dt.timedelta(days=i)) for i in range(1000))

    @settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(rows=st.lists(st.tuples(*(st.none() | values for *_, values in places.values())), max_size=40))
    def check(rows: list[tuple[Any, ...]]) -> None:
        declared = ", ".join(f"{name} {of_type}" for name, (_, of_type, _) in places.items())
        warehouse.execute("DROP TABLE IF EXISTS made", f"CREATE TABLE made ({declared})")
        with warehouse.database.connect() as connection, connection.cursor() as cursor:
            cursor.executemany(f"INSERT INTO made VALUES ({', '.join(['%s'] * len(places))})", rows)
        night = next(nights)
        run = warehouse.measure(night, config={**EXACT, "tables": ["made"]})
        assert run.exit_code == 0, run.output
        found = warehouse.columns(night, "made")
        with warehouse.asking() as ask:
            for name, (kind, of_type, _) in places.items():
                oracle = Oracle(ask, "made", name, kind, of_type, dt.date.fromisoformat(night))
                assert_same(found[name], oracle.metrics(), name)

    check()
