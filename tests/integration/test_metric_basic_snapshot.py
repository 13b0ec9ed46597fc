"""A table that takes several statements is still one state of the database, whoever writes meanwhile."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.metric_basic_harness import TODAY
from tests.integration.pack_harness import sqlite_endpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.integration.metric_basic_harness import Ward


@contextmanager
def writing(connect: Callable[[], Any], statement: Any) -> Iterator[list[int]]:
    """Somebody runs a statement over and over, each time a transaction of its own; how often, at the end."""
    is_over, written = threading.Event(), []

    def work() -> None:
        with closing(connect()) as connection:
            while not is_over.is_set():
                connection.execute(statement)
                connection.commit()
                written.append(1)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield written
    finally:
        is_over.set()
        thread.join()
    assert len(written) > 1, "nobody has written meanwhile"


@pytest.mark.parametrize("config", [{}, {"limit_enabled": True, "search_results_limit": 10_000_000}])
def test_table_read_in_two_statements_is_one_state(ward: Ward, config: Any) -> None:
    """More columns than one statement takes, and, with a row limit, its rows counted first."""
    names = [f"c{i}" for i in range(1000)]
    columns = ", ".join(f"{name} int DEFAULT 1" for name in names)
    ward.execute(f"CREATE TABLE t ({columns})", "INSERT INTO t (c0) SELECT i FROM generate_series(1, 4000) i")
    with writing(ward.database.connect, b"INSERT INTO t (c0) SELECT i FROM generate_series(1, 20) i"):
        run = ward.measure(config=config)
    assert run.only()["status"] == "ok", run.output
    counts = {row["value_counts"] for row in ward.columns().values()}
    assert counts == {ward.tables()["t"]["rows_count"]}


def test_columns_of_sqlite_that_are_read_again_are_of_the_same_state(ward: Ward, tmp_path: Path) -> None:
    """One text among numbers: the column is read a second time, as text."""
    path = tmp_path / "lab.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = wal")  # readers do not stop writers
        connection.execute("CREATE TABLE t (a INTEGER, b INTEGER)")
        connection.executemany("INSERT INTO t VALUES (?, ?)", (("x" if i == 7 else i, i) for i in range(200_000)))
        connection.commit()
    with writing(lambda: sqlite3.connect(path, timeout=30), "INSERT INTO t VALUES (1, 1)"):
        run = ward.base.measure(TODAY, sqlite_endpoint(path))
    assert run.only()["status"] == "ok", run.output
    found = ward.columns()
    assert (found["a"]["infered_data_type"], found["b"]["infered_data_type"]) == ("text", "integer")
    assert found["a"]["value_counts"] == found["b"]["value_counts"] == ward.tables()["t"]["rows_count"]
