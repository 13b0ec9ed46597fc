"""hdm_profile: rows that SQLite hands over without Python's objects; the answers are those of objects."""

from __future__ import annotations

import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import hdm_profile as hp
import pytest
from hdm_profile import ProfileError, Spec, libsqlite
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.hdm_profile_harness import profile

pytestmark = pytest.mark.skipif(libsqlite.library() is None, reason="Python's SQLite is no library of its own here")

KINDS = [
    Spec(hp.INTEGER, hp.ANY_INTEGER),
    Spec(hp.FLOAT, hp.ANY_FLOAT),
    Spec(hp.TEXT, hp.ANY_TEXT),
    Spec(hp.DATE, hp.ANY_DATE, 7),
    Spec(hp.DATETIME, hp.ANY_DATETIME, 7),
    Spec(hp.TIME, hp.ANY_TIME),
    Spec(hp.OPAQUE, hp.ANY_OPAQUE),
]
ANYTHING = (
    st.none()
    | st.integers(-(2**63), 2**63 - 1)
    | st.integers(-2, 2)
    | st.floats(allow_nan=False)
    | st.sampled_from(["", "1", "aä\0b", "😀" * 51, "2020-01-01", "2020-01-01 10:00:00", "10:00:00"])
    | st.sampled_from([b"", b"\xff"])
)
FOREVER = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with a column that may hold anything; its name is no plain word of a URI."""
    path = tmp_path_factory.mktemp("sqlite") / "a b?mode=rwc#%41ä.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (v BLOB)")
    connection.close()
    return path


def drain(path: Path, query: str, *specs: Spec, seconds: float = 60) -> hp.Profile:
    """A profile of all rows of a query."""
    one = profile(*specs)
    connection = libsqlite.Connection(path, 1)
    try:
        with connection.prepare(query) as statement:
            one.drain_sqlite(statement, seconds)
    finally:
        connection.close()
    return one


@settings(max_examples=40)
@given(st.lists(ANYTHING, max_size=12))
def test_same_answers_as_from_objects(path: Path, values: list[Any]) -> None:
    """Whatever a column is taken for."""
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("DELETE FROM t")
        connection.executemany("INSERT INTO t VALUES (?)", [(value,) for value in values])
    rows = connection.execute("SELECT " + ", ".join("v" * len(KINDS)) + " FROM t").fetchall()
    connection.close()
    expected = profile(*KINDS)
    expected.feed_rows(rows)
    found = drain(path, "SELECT " + ", ".join("v" * len(KINDS)) + " FROM t", *KINDS)
    assert (found.rows, found.finish()) == (len(values), expected.finish())
    for index in range(len(KINDS)):
        assert found.frequencies(index) == expected.frequencies(index)


def test_statement_that_takes_too_long_is_stopped(path: Path) -> None:
    """Also one that has no row to show."""
    for query in (FOREVER, FOREVER + " WHERE i < 0"):
        with pytest.raises(ProfileError) as caught:
            drain(path, query, KINDS[0], seconds=0.02)
        assert caught.value.failure == hp.STOPPED


def test_stopped_profile_takes_no_rows(path: Path) -> None:
    """Stopped before it began."""
    one = profile(KINDS[0])
    one.stop()
    connection = libsqlite.Connection(path, 1)
    with connection.prepare("SELECT 1") as statement, pytest.raises(ProfileError) as caught:
        one.drain_sqlite(statement, 60)
    connection.close()
    assert (caught.value.failure, one.rows) == (hp.STOPPED, 0)


def test_errors_have_a_number_and_no_text(path: Path, tmp_path: Path) -> None:
    """While it is opened, prepared, read; nothing is ever written."""
    with pytest.raises(libsqlite.LibraryError, match=r"^14$"):
        libsqlite.Connection(tmp_path / "missing.db", 1)
    assert not list(tmp_path.iterdir())
    with pytest.raises(libsqlite.LibraryError, match=r"^1$"):
        drain(path, "SELECT secret FROM missing", KINDS[0])
    with pytest.raises(ProfileError, match=r"error 1$") as caught:
        drain(path, "SELECT abs(-9223372036854775807 - 1)", KINDS[0])
    assert (caught.value.failure, caught.value.code) == (hp.SERVER_ERROR, 1)
    connection = libsqlite.Connection(path, 1)
    with pytest.raises(libsqlite.LibraryError, match=r"^8$"):
        connection.execute("INSERT INTO t VALUES (1)")
    connection.close()


def test_text_that_is_no_utf8_is_a_level_all_the_same(path: Path) -> None:
    """Python's module would refuse it."""
    one = drain(path, "SELECT CAST(x'ff' AS TEXT) UNION ALL SELECT CAST(x'fe' AS TEXT)", KINDS[2])
    assert one.finish()[0].levels == 2
    assert one.frequencies(0) == {"\ufffd": 2}


def test_columns_that_a_row_does_not_have_are_null(path: Path) -> None:
    """A statement with fewer columns than were told, or with none."""
    one = drain(path, "SELECT 1", KINDS[0], KINDS[2])
    assert [stats.values for stats in one.finish()] == [1, 0]


def test_whole_numbers_that_share_a_double_stay_apart(path: Path) -> None:
    """A column of numbers of any kind; a real is the number that it is, and 1.0 is 1."""
    values = [*range(2**53 - 1, 2**53 + 6), -(2**53) - 1, -(2**53) - 2, 2**63 - 1, 2**63 - 2, -(2**63), 1]
    rows = " UNION ALL ".join(f"SELECT {value}" for value in [*values, "9007199254740992.0", "1.0", "0.1", "9e18"])
    one = drain(path, rows.replace(f"{-(2**63)}", "-9223372036854775807 - 1"), Spec(hp.DECIMAL, hp.ANY_FLOAT))
    (stats,) = one.finish()
    assert (stats.values, stats.levels, stats.first) == (len(values) + 4, len(values) + 2, 2)
    wanted = Counter([*map(str, values), str(2**53), "1", "0.1", "9000000000000000000"])
    assert one.frequencies(0) == wanted
