"""The pack's rivals: the raw read, the original's way and other profilers, each in its own venv."""

from __future__ import annotations

import statistics
import sys
from typing import TYPE_CHECKING

from benchmarks.profile_measure import CommandError, Usage, run

if TYPE_CHECKING:
    from benchmarks.profile_site import Site
    from demo.services import Database

PANDAS = ["pandas==3.1.1", "numpy==2.4.6", "sqlalchemy==2.1.9"]
PACKAGES = {
    "copy": ["psycopg[binary]==3.3.9", "asyncpg==0.32.0"],
    "original": [*PANDAS, "psycopg2-binary==2.9.13", "pymysql==1.2.4"],
    "mysqlclient": [*PANDAS, "mysqlclient==2.3.1"],
    "whylogs": ["whylogs==1.6.4", "pandas==2.3.3", "numpy==1.26.4", "sqlalchemy==2.1.9", "psycopg2-binary==2.9.13"],
    "soda": ["soda-core-postgres==3.5.6", "setuptools==80.9.0", "psycopg2-binary==2.9.13"],
}
COPY_WAYS = ("psql", "psycopg", "asyncpg")
COPY_ROUNDS = 3


def copy(place: Site, database: Database, way: str, table: str = "visit") -> Usage:
    """Read a table with binary COPY and discard it; seconds without the start of Python and connecting."""
    if way == "psql":
        statement = f"COPY (SELECT * FROM {table}) TO STDOUT (FORMAT binary)"
        command = [str(place.server.bin_dir / "psql"), "--no-psqlrc", "--quiet", "--output", "/dev/null"]
        return run([*command, "--command", statement, database.dsn], variables={}, server=place.server.pid)
    python = place.venv("copy", PACKAGES["copy"])
    usage = place.program(python, "profile_copy", way, database.dsn, table, watch=True)
    return Usage(**{**vars(usage), "seconds": float(usage.output)})


def fastest_copy(place: Site, database: Database) -> tuple[str, dict[str, float]]:
    """The fastest way to read with COPY, and the median seconds of each way."""
    found: dict[str, list[float]] = {way: [] for way in COPY_WAYS}
    for number in range(COPY_ROUNDS + 1):
        for way in COPY_WAYS:
            seconds = copy(place, database, way).seconds
            if number:  # the first round fills the caches
                found[way].append(seconds)
    medians = {way: statistics.median(times) for way, times in found.items()}
    return min(medians, key=medians.__getitem__), medians


def original(place: Site, url: str, *tables: str) -> Usage:
    """The original's way."""
    name = "mysqlclient" if url.startswith("mysql+mysqldb:") else "original"
    python = place.venv(name, PACKAGES[name])
    return place.program(python, "profile_original", url, *tables, watch=True)


def peer(place: Site, name: str, database: Database) -> Usage | None:
    """Another profiler on the hospital's table; None if it cannot be installed or run here."""
    try:
        python = place.venv(name, PACKAGES[name])
        return place.program(python, "profile_peers", name, database.dsn, watch=True)
    except CommandError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return None


def mariadb_driver(place: Site) -> str:
    """SQLAlchemy's name of the fastest driver for MariaDB that installs: mysqlclient needs a compiler and headers."""
    try:
        place.venv("mysqlclient", PACKAGES["mysqlclient"])
    except CommandError:
        return "pymysql"
    return "mysqldb"


def sqlalchemy_url(database: Database) -> str:
    """The database's URL for SQLAlchemy."""
    return database.dsn.replace("postgresql://", "postgresql+psycopg2://")
