"""PostgreSQL: binary COPY sends the rows, at the lowest cost for the server; they are counted as they arrive."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import lru_cache, reduce
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hdm_profile as hp
import psycopg
from across import Across
from foreign_keys import Pair, Reference
from hdm_profile import Spec
from tables import BOOLEAN, DATE, DATETIME, FLOAT, INTEGER, OTHER, TEXT, TIME, Column, Table

from engines.engine import (
    CANCEL_SECONDS,
    CONNECT_SECONDS,
    DAY,
    MAX_EXACT_DIGITS,
    Contents,
    Engine,
    Reading,
    ca_file,
    hang_up,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import hdm
    from plans import RowPlan
    from settings import Settings

TABLES = Path(__file__).with_suffix(".sql").read_text("utf-8")
FOREIGN_KEYS = Path(__file__).with_name("postgres_keys.sql").read_text("utf-8")
# Type, without domains -> kind of the column, kind in the profile, wire format.
TYPES = {
    "int2": (INTEGER, hp.INTEGER, hp.PG_INT2),
    "int4": (INTEGER, hp.INTEGER, hp.PG_INT4),
    "int8": (INTEGER, hp.INTEGER, hp.PG_INT8),
    "oid": (INTEGER, hp.INTEGER, hp.PG_OID),
    "float4": (FLOAT, hp.FLOAT, hp.PG_FLOAT4),
    "float8": (FLOAT, hp.FLOAT, hp.PG_FLOAT8),
    "numeric": (FLOAT, hp.DECIMAL, hp.PG_NUMERIC),
    "bool": (BOOLEAN, hp.INTEGER, hp.PG_BOOL),
    **dict.fromkeys(("text", "varchar", "char", "name", "citext"), (TEXT, hp.TEXT, hp.PG_TEXT)),
    "bpchar": (TEXT, hp.TEXT, hp.PG_BPCHAR),
    "uuid": (TEXT, hp.TEXT, hp.PG_UUID),
    "date": (DATE, hp.DATE, hp.PG_DATE),
    "timestamp": (DATETIME, hp.DATETIME, hp.PG_TIMESTAMP),
    "timestamptz": (DATETIME, hp.DATETIME, hp.PG_TIMESTAMP),
    "time": (TIME, hp.TIME, hp.PG_TIME),
    "timetz": (TIME, hp.TEXT, hp.PG_TIMETZ),
}
# Types whose values PostgreSQL compares without losing an index.
COMPARABLE = (frozenset({"int2", "int4", "int8"}), frozenset({"text", "varchar"}))
ENUM = (TEXT, hp.TEXT, hp.PG_TEXT)
UNKNOWN = (OTHER, hp.OPAQUE, hp.PG_OPAQUE)
RELATIONS = {
    "r": "table",
    "p": "partitioned table",
    "v": "view",
    "m": "materialized view",
    "f": "foreign table",
}
KEYS = ("", "referenced", "unique", "primary")
SIZE_LOCK_TIMEOUT = "1s"  # for the locks that table sizes need
# Beyond about 1,000, the server frees and reallocates memory for each row, which is ten times slower.
MAX_COLUMNS = 800


class Postgres(Engine):
    """A connection through psycopg."""

    default_schema = "public"

    def __init__(self, endpoint: hdm.Endpoint, settings: Settings) -> None:
        # The libpq variables of this process are for the HDM base: each one is overridden.
        options: dict[str, Any] = {**_defaults(), "sslmode": "prefer"}
        if endpoint.ssl:
            options |= {"sslmode": "verify-full", "sslrootcert": ca_file() or "system"}
        if endpoint.ssl and not settings.ssl_verify:
            options |= {"sslmode": "require", "sslrootcert": ""}
        options |= {
            "host": endpoint.host or "localhost",
            "port": endpoint.port or "5432",
            "dbname": endpoint.database,
            "user": endpoint.user,
            "password": endpoint.password or None,
            "connect_timeout": CONNECT_SECONDS,
            "application_name": "hdm basic",
            "client_encoding": "UTF8",
            "keepalives_idle": 60,  # detects a lost server within two minutes
            "keepalives_interval": 15,
            "keepalives_count": 4,
        }
        self._connection = psycopg.connect(**options, autocommit=True)  # each statement sees one state of the database
        self._lock_timeout = f"{settings.lock_seconds}s"
        self._statement_seconds = self._limit = float(settings.statement_seconds)
        self._configure(
            default_transaction_read_only="on",
            lock_timeout=self._lock_timeout,
            statement_timeout=_milliseconds(self._statement_seconds),
            row_security="off",  # rows hidden by a policy are an error, not missing from the counts
            max_parallel_workers_per_gather="0",  # leave the server's other cores to others
            TimeZone="UTC",
        )

    def fetch(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        # Bytes, since psycopg's types accept no text but literals; `quote` has quoted the identifiers.
        try:
            return self._connection.execute(query.encode(), values or None).fetchall()
        except psycopg.Error as error:
            self._close_if_fatal(error)
            raise

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        if self._connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:  # already in a snapshot
            yield
            return
        self._connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        try:
            yield
        finally:
            if not self._connection.closed:
                self._connection.execute("ROLLBACK")

    def limit_statements(self, seconds: float | None) -> None:
        limit = min(self._statement_seconds, seconds or self._statement_seconds)
        if limit != self._limit:
            self._configure(statement_timeout=_milliseconds(limit))
            self._limit = limit

    def interrupt(self) -> None:
        if self._connection.closed:
            return
        with suppress(psycopg.Error):
            self._connection.cancel_safe(timeout=CANCEL_SECONDS)
        with suppress(psycopg.Error, OSError):  # the connection has ended in the meantime
            hang_up(self._connection.pgconn.socket)

    def close(self) -> None:
        self._connection.close()

    @property
    def is_closed(self) -> bool:
        return self._connection.closed or self._connection.broken

    def quote(self, name: str) -> str:
        return '"' + name.replace('"', '""') + '"'

    def path(self, table: Table) -> str:
        # Tables that inherit from this one are measured separately.
        return f"ONLY {super().path(table)}" if table.type == "table" else super().path(table)

    def tables(self) -> list[Table]:
        found = []
        for (schema, name), group in groupby(self._catalog(), key=lambda row: row[:2]):
            rows = list(group)
            _, _, kind, size, has_key, *_ = rows[0]
            found.append(
                Table(
                    schema,
                    name,
                    self.label(schema, name),
                    tuple(_columns(rows)),
                    type=RELATIONS[kind],
                    bytes=size,
                    last_change=None,  # PostgreSQL does not record it
                    has_key=has_key,
                )
            )
        return found

    def stream(self, table: Table, reading: Reading, share: float | None) -> Contents:
        count = len(table.columns)
        plan = reading.plan(table, table.columns, share)
        if count <= MAX_COLUMNS or share is not None:  # a second sample would have other rows
            return self._read(table, table.columns, reading, plan, share)
        with self.snapshot():
            parts = [self._read(table, part, reading, plan, None) for part in _parts(table.columns, plan)]
        found = {one[0].name: one for part in reversed(parts) for one in part.columns}
        across = reduce(Across.including, (part.across for part in parts))
        return Contents(parts[0].rows, [found[column.name] for column in table.columns], across)

    def references(self) -> list[Reference]:
        return [
            Reference((schema, table), (parent_schema, parent), tuple(map(Pair._make, zip(*lists, strict=True))), True)
            for schema, table, parent_schema, parent, *lists in self.fetch(FOREIGN_KEYS)
        ]

    def paired(self, column: Column, parent: Column, kind: str) -> Pair | None:
        pair, bases = super().paired(column, parent, kind), {column.base, parent.base}
        if pair is None or not (len(bases) == 1 or any(bases <= group for group in COMPARABLE)):
            return None
        return pair._replace(operator="OPERATOR(pg_catalog.=)")

    def _catalog(self) -> list[tuple[Any, ...]]:
        """The rows of postgres.sql; without sizes if somebody locks a table in the meantime and keeps the lock."""
        self._configure(lock_timeout=SIZE_LOCK_TIMEOUT)
        try:
            return self.fetch(TABLES, True)
        except psycopg.errors.LockNotAvailable:
            return self.fetch(TABLES, False)
        finally:
            if not self.is_closed:
                self._configure(lock_timeout=self._lock_timeout)

    def _read(
        self, table: Table, columns: tuple[Column, ...], reading: Reading, plan: RowPlan, share: float | None
    ) -> Contents:
        if len(columns) < len(table.columns):
            plan = replace(plan.part(columns), whole=False)
        specs = [_spec(column.base, reading.tomorrow) for column in columns]
        selected = ", ".join(
            self.quote(column.name) if spec.kind != hp.OPAQUE else self._presence(column)
            for column, spec in zip(columns, specs, strict=True)
        )
        sampling = f" WHERE pg_catalog.random() < {share!r}" if share is not None else ""
        profile = reading.profile(specs, plan.numbered(columns, reading.first_day))
        self._copy(f"COPY (SELECT {selected} FROM {self.path(table)}{sampling}) TO STDOUT (FORMAT binary)", profile)
        return Contents.of(columns, profile, plan)

    def _copy(self, statement: str, profile: hp.Profile) -> None:
        """Read a COPY to its end. psycopg's own `copy` would log the text of an error, which may quote a row."""
        connection = self._connection.pgconn
        result = connection.exec_(statement.encode())
        if result.status != psycopg.pq.ExecStatus.COPY_OUT:
            raise self._close_if_fatal(psycopg.errors.error_from_result(result))
        try:
            profile.copy(connection)
        except BaseException:
            with suppress(psycopg.Error):
                self._connection.cancel_safe(timeout=CANCEL_SECONDS)
            self._connection.close()  # the remaining rows would still arrive
            raise
        ends = list(iter(connection.get_result, None))  # all of them, or the connection stays busy
        for result in ends:
            if result.status != psycopg.pq.ExecStatus.COMMAND_OK:
                raise self._close_if_fatal(psycopg.errors.error_from_result(result))
        if not profile.has_ended:
            raise hp.ProfileError(hp.MALFORMED)

    def _close_if_fatal(self, error: psycopg.Error) -> psycopg.Error:
        """Return the error. Close the connection if the server closes it after this error: libpq notices only later."""
        if error.diag.severity_nonlocalized in {"FATAL", "PANIC"}:
            self._connection.close()
        return error

    def _presence(self, column: Column) -> str:
        """An expression for whether there is a value, for types whose values the profile does not compare."""
        return f"CASE WHEN {self.quote(column.name)} IS DISTINCT FROM NULL THEN true END"

    def _configure(self, **parameters: str) -> None:
        calls = ", ".join(["pg_catalog.set_config(%s, %s, false)"] * len(parameters))
        self.fetch(f"SELECT {calls}", *(part for item in parameters.items() for part in item))


def _parts(columns: tuple[Column, ...], plan: RowPlan) -> list[tuple[Column, ...]]:
    """The columns in parts that can be read at once: the first has all that are compared, each has the event column."""
    first = [column for column in columns if column.name in plan.compared]
    rest = [column for column in columns if column.name not in plan.compared]
    event = [column for column in columns if column.name == plan.event]
    size = -(-len(columns) // -(-len(columns) // MAX_COLUMNS))
    parts = [tuple(first + rest[: size - len(first)])]
    rest = rest[size - len(first) :]
    return parts + [tuple(event + rest[start : start + size]) for start in range(0, len(rest), size)]


def _columns(rows: list[tuple[Any, ...]]) -> list[Column]:
    columns: dict[str, Column] = {}
    for *_, required, name, declared, base, is_enum, typmod, rank, foreign, identifying, readable in rows:
        if name is None:  # a table without columns
            continue
        before = columns.get(name)  # one row per constraint of the column
        key = KEYS[rank]
        if before is not None:
            key = max(key, before.key_constraint, key=KEYS.index)
            foreign = foreign or before.foreign  # noqa: PLW2901  # of all constraints so far
        columns[name] = Column(
            name,
            declared,
            _kind(base, is_enum, typmod),
            _base(base, is_enum, typmod),
            key,
            foreign,
            identifying=identifying,
            readable=readable,
            required=required,
        )
    return list(columns.values())


def _kind(base: str | None, is_enum: bool, typmod: int | None) -> str:
    if base == "numeric" and typmod is not None and _scale(typmod) == 0:
        return INTEGER
    return (ENUM if is_enum else TYPES.get(base or "", UNKNOWN))[0]


def _base(base: str | None, is_enum: bool, typmod: int | None) -> str:
    """The type as in TYPES; `enum`; `small numeric` for a numeric of few digits."""
    if is_enum:
        return "enum"
    if base == "numeric" and typmod is not None:
        precision = (typmod - 4) >> 16 & 0xFFFF
        if 0 <= _scale(typmod) <= precision <= MAX_EXACT_DIGITS:
            return "small numeric"
    return base or ""


def _scale(typmod: int) -> int:
    return (((typmod - 4) & 2047) ^ 1024) - 1024


@lru_cache(maxsize=1000)
def _spec(base: str, tomorrow: int) -> Spec:
    if base == "small numeric":
        return Spec(hp.FLOAT, hp.PG_NUMERIC, decimal=True)
    _, kind, wire = ENUM if base == "enum" else TYPES.get(base, UNKNOWN)
    return Spec(kind, wire, future=tomorrow * (DAY if kind == hp.DATETIME else 1), single=base == "float4")


def _milliseconds(seconds: float) -> str:
    return str(max(1, round(seconds * 1000)))


def _defaults() -> dict[str, str]:
    """What libpq would use without the variables of this process."""
    options = psycopg.pq.Conninfo.get_defaults()
    return {
        option.keyword.decode(): (option.compiled or b"").decode()
        for option in options
        if option.envvar and option.envvar.decode() in os.environ
    }
