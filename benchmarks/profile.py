"""`make bench-profile`: metric pack `basic` compared with the raw read, the original's way and other profilers.

The pack runs as it does for users (see profile_site.py). The time is that of its process from start to end, including
all writes to an HDM base on another server. All read the same rows from one PostgreSQL, MariaDB or SQLite on this
machine, over TCP, with warm caches. The rivals:

- the raw read: a binary COPY of the table that the client discards, without the start of Python: the lower limit;
- the original's way (profile_original.py): the whole table in pandas. It does not write anything;
- whylogs and Soda (profile_peers.py), which measure fewer metrics, or approximate ones.

To run only a part, without writing results: `python -m benchmarks.profile --only rows --rows 1000000`; with `--quick`,
also without the original and the peers.
"""

from __future__ import annotations

import argparse
import re
import signal
import statistics
import sys
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from benchmarks import profile_data as data
from benchmarks import profile_rivals as rivals
from benchmarks.profile_bench import Bench
from benchmarks.profile_measure import Usage
from benchmarks.profile_site import endpoint, server_settings, site
from benchmarks.table import Table

ROWS = (1_000_000, 5_000_000, 20_000_000)
ORIGINAL_ROWS = 5_000_000  # for more rows, the original's way needs more memory than most machines have
SMALL, SMALL_ROWS, HISTORY = 2000, 100, 28
WIDE, WIDE_ROWS = 200, 100_000
WIDEST, WIDEST_ROWS = 1600, 1000
STARTS = 5
_QUERY = re.compile(r"\b(select|with|copy|declare)\b", re.IGNORECASE)  # not BEGIN, not SET
_ROW = ("what", "ours", "rival", "theirs", "result", "target")
#: rows: times the raw read, times faster than the original, MB
_TARGETS = {1_000_000: (2.3, 6, 0), 5_000_000: (2.3, 9, 0), 20_000_000: (3, 0, 1500)}


def main() -> None:
    """Measure, print the table, and write it to results/ if it is complete."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="parts (default: all)")
    parser.add_argument("--rows", nargs="+", type=int, default=list(ROWS), help="sizes of the part `rows`")
    parser.add_argument("--quick", action="store_true", help="only ours and the raw read")
    chosen = parser.parse_args()
    whole = chosen == parser.parse_args([])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # also remove the databases
    table = Table("profile", "Metric pack basic: every table, about as fast as the raw read", _ROW)
    with site() as place:
        bench = Bench(place=place, table=table, rows=chosen.rows, quick=chosen.quick)
        for part in chosen.only:
            PARTS[part](bench)
    table.finish(
        "medians of interleaved rounds: 5 for up to a million rows, 3 for more rows or many tables; peers run once",
        "server: PostgreSQL 18 with default settings for reading; the HDM base is on another server of the machine",
        "memory: sum of the highest resident sizes of the pack's processes, shared libraries included",
        *bench.facts,
        keep=whole,
    )


def rows(bench: Bench) -> None:
    """The hospital's table at several sizes."""
    way, peaks = "", []
    for size in bench.rows:
        database, one = bench.database(f"hospital_{size}", data.hospital, size)
        if not way:
            way, seconds = rivals.fastest_copy(bench.place, database)
            each = ", ".join(f"{name} {value:.2f} s" for name, value in seconds.items())
            bench.facts.append(f"raw read: {way}, the fastest of: {each} ({size:,} rows)")
        else:
            rivals.copy(bench.place, database, way)  # fills the caches
        ways: dict[str, Callable[[], Usage]] = {
            "ours": lambda one=one: bench.place.measure(one),  # type: ignore[misc]  # mypy does not infer the default's type
            "raw": lambda database=database, way=way: rivals.copy(bench.place, database, way),  # type: ignore[misc]  # mypy does not infer the default's type
        }
        if not bench.quick and size <= ORIGINAL_ROWS:
            url = rivals.sqlalchemy_url(database)
            ways["original"] = lambda url=url: rivals.original(bench.place, url, "visit")  # type: ignore[misc]  # mypy does not infer the default's type
        found = bench.compare(3 if size > ROWS[0] or bench.quick else 5, **ways)
        assert bench.place.stored(one) == (12, 12 * size), bench.place.stored(one)
        _add_rows(bench, size, found)
        if not bench.quick and size <= ROWS[0]:
            for name in ("whylogs", "soda"):
                theirs = rivals.peer(bench.place, name, database)
                if theirs:
                    bench.faster(_rows(size), found["ours"], name, theirs, 0)
                else:
                    bench.facts.append(f"{name} does not run here")
        peaks.append((size, found["ours"].peak))
        bench.place.server.drop_database(database.name)
    for (fewer, low), (more, high) in pairwise(peaks):
        bench.add(f"peak memory, {_rows(fewer)} to {_rows(more)}", f"{high - low:+.0f} MB", "-", "-", "", "no growth")


def _add_rows(bench: Bench, size: int, found: dict[str, Usage]) -> None:
    ours, raw, what = found["ours"], found["raw"], _rows(size)
    of_raw, of_original, memory = _TARGETS.get(size, (0, 0, 0))
    cells = f"{ours.seconds:.2f} s", "raw COPY read", f"{raw.seconds:.2f} s"
    bench.add(what, *cells, f"{ours.seconds / raw.seconds:.2f} times", f"{of_raw} times at most" if of_raw else "")
    cells = f"{ours.server:.2f} s", "raw COPY read", f"{raw.server:.2f} s"
    bench.add(f"{what}, server's CPU", *cells, f"{ours.server / raw.server:.2f} times", "1.2 times at most")
    if "original" in found:
        bench.faster(what, ours, "original", found["original"], of_original)
    theirs = f"{found['original'].peak:.0f} MB" if "original" in found else "not run"
    goal = f"{memory} MB at most" if memory else ""
    bench.add(f"{what}, peak memory", f"{ours.peak:.0f} MB", "original", theirs, "", goal)


def small(bench: Bench) -> None:
    """Many small tables, including all writes."""
    database, one = bench.database("small", data.small, SMALL, SMALL_ROWS)
    what = f"{SMALL:,} tables of {SMALL_ROWS} rows"

    def fresh() -> Usage:
        bench.place.forget()
        return bench.place.measure(one)

    def nightly() -> Usage:
        bench.place.forget_night()
        return bench.place.measure(one)

    url = rivals.sqlalchemy_url(database)
    rival = {} if bench.quick else {"once_original": lambda: rivals.original(bench.place, url)}
    fresh()
    found = bench.compare(3, ours=fresh, **rival)
    bench.place.repeat(HISTORY)
    found |= bench.compare(3, nightly=nightly)
    assert bench.place.stored(one) == (10 * SMALL, 10 * SMALL * SMALL_ROWS), bench.place.stored(one)
    theirs = f"{1e3 * found['once_original'].seconds / SMALL:.2f} ms" if rival else "not run"
    for name, words in (("ours", what), ("nightly", f"{what}, {HISTORY} earlier dates")):
        cells = f"{1e3 * found[name].seconds / SMALL:.2f} ms", "original", theirs
        bench.add(f"{words}, each", *cells, f"{found[name].seconds:.2f} s in all", "3 ms at most")
    bench.place.forget()
    bench.place.server.drop_database(database.name)


def wide(bench: Bench) -> None:
    """Many columns: compared with the original's way, and whether twice as many take more than twice as long."""
    database, one = bench.database("wide", data.wide, WIDE, WIDE_ROWS)
    ways: dict[str, Callable[[], Usage]] = {"ours": lambda: bench.place.measure(one)}
    if not bench.quick:
        ways["original"] = lambda: rivals.original(bench.place, rivals.sqlalchemy_url(database), "wide")
    found = bench.compare(3, **ways)
    assert bench.place.stored(one) == (WIDE, WIDE * WIDE_ROWS), bench.place.stored(one)
    what = f"{WIDE} columns, {WIDE_ROWS:,} rows"
    if bench.quick:
        bench.add(what, f"{found['ours'].seconds:.2f} s", "-", "-", "", "")
    else:
        bench.faster(what, found["ours"], "original", found["original"], 4)
    bench.place.server.drop_database(database.name)
    half, widest = (bench.database(f"wide_{n}", data.wide, n, WIDEST_ROWS)[1] for n in (WIDEST // 2, WIDEST))
    _, none = bench.database("one_column", data.wide, 1, 1)
    measures = {name: (lambda one=one: bench.place.measure(one)) for name, one in (("one", none), ("half", half))}  # type: ignore[misc]  # mypy does not infer the default's type
    found = bench.compare(5, **measures, widest=lambda: bench.place.measure(widest))
    start, few, many = (found[name].seconds for name in ("one", "half", "widest"))
    what = f"{WIDEST:,} columns, {WIDEST_ROWS:,} rows"
    result = f"{(many - start) / (few - start):.2f} times"
    bench.add(what, f"{many:.2f} s", f"ours, {WIDEST // 2} columns", f"{few:.2f} s", result, "2 times: linear")
    bench.facts.append(f"linear in columns: after subtracting {start:.2f} s for a table of one column and one row")


def mariadb(bench: Bench) -> None:
    """A million rows in MariaDB."""
    from demo.services import MariaDB

    if reason := MariaDB.available():
        bench.facts.append(f"MariaDB: {reason}")
        return
    source, _ = bench.database("source", data.hospital, ROWS[0])
    with MariaDB(bench.place.folder / "mariadb") as server:
        data.to_mariadb(source, server, "hospital", bench.place.folder)
        driver = rivals.mariadb_driver(bench.place)
        bench.facts.append(f"MariaDB, the original's way: SQLAlchemy with {driver}")
        url = server.url("hospital").replace("+pymysql", f"+{driver}")
        _elsewhere(bench, "MariaDB", endpoint("hospital", "mariadb", server), url, 5)
    bench.place.server.drop_database(source.name)


def sqlite(bench: Bench) -> None:
    """A million rows in SQLite."""
    source, _ = bench.database("source", data.hospital, ROWS[0])
    path = bench.place.folder / "hospital.db"
    data.to_sqlite(source, path)
    _elsewhere(bench, "SQLite", endpoint("hospital", "sqlite", host=str(path)), f"sqlite:///{path}", 4)
    path.unlink()
    bench.place.server.drop_database(source.name)


def _elsewhere(bench: Bench, name: str, one: dict[str, Any], url: str, target: float) -> None:
    ways: dict[str, Callable[[], Usage]] = {"ours": lambda: bench.place.measure(one)}
    if not bench.quick:
        ways["original"] = lambda: rivals.original(bench.place, url, "visit")
    found = bench.compare(3, **ways)
    assert bench.place.stored(one) == (12, 12 * ROWS[0]), bench.place.stored(one)
    what = f"{name}, {_rows(ROWS[0])}"
    if "original" in found:
        bench.faster(what, found["ours"], "original", found["original"], target)
    theirs = f"{found['original'].peak:.0f} MB" if "original" in found else "not run"
    seconds = f"{found['ours'].seconds:.2f} s"
    bench.add(f"{what}, peak memory", f"{found['ours'].peak:.0f} MB", "original", theirs, seconds, "")


def start(bench: Bench) -> None:
    """From the start of the process to the first query in the log of the endpoint's server."""
    _, one = bench.database("start", data.small, 1, SMALL_ROWS)
    with server_settings(bench.place.server) as connection:
        connection.execute("ALTER DATABASE start SET log_statement = 'all'")
    log, seconds = bench.place.server.log, []
    for number in range(STARTS + 1):
        known = log.stat().st_size
        usage = bench.place.measure(one)
        lines = log.read_bytes()[known:].decode(errors="replace").splitlines()
        (first, *_) = [line for line in lines if " start LOG: " in line and _QUERY.search(line)]
        if number:  # the first run fills the caches
            seconds.append(float(first.split()[0]) - usage.began)
            print(f"  {seconds[-1]:.3f} s, {usage.seconds:.3f} s in all: {first[:150]}", file=sys.stderr)
    bench.add("start to first query", f"{statistics.median(seconds):.2f} s", "-", "-", "", "below 0.7 s")


def _rows(size: int) -> str:
    return f"{size // 1_000_000}M rows" if size % 1_000_000 == 0 else f"{size:,} rows"


PARTS: dict[str, Callable[[Bench], None]] = {
    "rows": rows,
    "small": small,
    "wide": wide,
    "mariadb": mariadb,
    "sqlite": sqlite,
    "start": start,
}

if __name__ == "__main__":
    main()
