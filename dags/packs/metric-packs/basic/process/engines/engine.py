"""The base class of the engines: how a table is read, and how errors are described without values."""

from __future__ import annotations

import os
import socket
import ssl
import traceback
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hdm_profile
import key_values
import plans
from across import Across
from foreign_keys import Pair
from hdm_profile import Profile, Spec, Stats
from plans import RowPlan
from tables import INTEGER, TEXT, Column, Table

from engines import key_query

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Mapping, Sequence

    from events import LastNight
    from foreign_keys import ForeignKey, Reference

CONNECT_SECONDS = 15
CANCEL_SECONDS = 3
EPOCH = 730_120  # the ordinal of 2000-01-01, from which profiles count days
DAY = 86_400_000_000  # microseconds
MAX_EXACT_DIGITS = 15  # up to this many digits, different decimals are different doubles


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How to read a table."""

    date: dt.date  # the metric date: later dates lie in the future
    row_limit: int | None  # approximate size of a random sample; None: all rows
    seconds: float | None  # time limit; None: none
    memory: int  # bytes
    folder: str  # for values that do not fit into memory
    watch: Callable[[Profile], None]  # called with every profile before its first row
    known: Mapping[str, LastNight] = field(default_factory=dict)  # of an earlier date, by column

    @property
    def tomorrow(self) -> int:
        """The first day that lies in the future, counted as profiles count days."""
        return self.date.toordinal() + 1 - EPOCH

    @property
    def first_day(self) -> int:
        """The first of the event days, which end before the metric date."""
        return self.tomorrow - 1 - hdm_profile.DAYS

    def plan(self, table: Table, columns: Sequence[Column], share: float | None) -> RowPlan:
        """What to compute across these columns of the table: all that are read."""
        read = table if columns == table.columns else replace(table, columns=tuple(columns))
        return plans.of_table(read, self.known, is_sample=share is not None)

    def profile(self, specs: Sequence[Spec], plan: hdm_profile.Plan | None = None) -> Profile:
        """A profile for the table's rows."""
        profile = Profile(specs, memory=self.memory, folder=self.folder, plan=plan)
        self.watch(profile)
        return profile


class Contents:
    """A table's contents: the number of rows, and its columns with their statistics, in the table's order."""

    def __init__(
        self, rows: int, columns: list[tuple[Column, Stats, Profile, int]], across: Across | None = None
    ) -> None:
        self.rows = rows  # read
        self.across = across or Across()
        self.table_rows = rows  # in the whole table
        self.is_sample = False
        self.columns = columns  # the last two locate the levels

    @classmethod
    def of(cls, columns: Sequence[Column], profile: Profile, plan: RowPlan) -> Contents:
        """The contents of these columns from a profile, which may have one more column if the query needed one."""
        key_values.keep(columns, profile)
        found = list(zip(columns, profile.finish(), strict=False))
        return cls(
            profile.rows,
            [(column, stats, profile, i) for i, (column, stats) in enumerate(found)],
            Across.of(columns, plan, profile),
        )

    @property
    def sample_rows(self) -> int | None:
        """The size of the sample; None: all rows were read."""
        return self.rows if self.is_sample else None

    def close(self) -> None:
        """Free the memory of its profiles: levels are no longer available."""
        for profile in {profile for *_, profile, _ in self.columns}:
            profile.close()


class Engine(ABC):
    """One open, read-only connection."""

    default_schema = ""
    mark, percent = "%s", "%%"  # of a parameter in `fetch`; a percent sign in a query with parameters

    @abstractmethod
    def tables(self) -> list[Table]:
        """Every table and view that the account can see, sorted, including those it may not read."""

    @abstractmethod
    def fetch(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """All rows of a small query. Values are always parameters."""

    @abstractmethod
    def stream(self, table: Table, reading: Reading, share: float | None) -> Contents:
        """Read a table's rows once. `share`: the probability of each row to be read; None: read all."""

    @abstractmethod
    def quote(self, name: str) -> str:
        """The identifier, quoted for a query of `fetch`."""

    @abstractmethod
    def close(self) -> None:
        """Close the connection, if it is open."""

    @property
    @abstractmethod
    def is_closed(self) -> bool:
        """Whether the connection is closed or lost."""

    def interrupt(self) -> None:  # noqa: B027  # SQLite ends by itself when its profile is stopped
        """End whatever another thread waits for in this engine, even if the server hangs. The connection is lost."""

    def snapshot(self) -> AbstractContextManager[None]:
        """A context in which several queries see one state of the database; empty if the engine needs none."""
        return nullcontext()

    def limit_statements(self, seconds: float | None) -> None:  # noqa: B027  # not every engine can end a statement
        """Let the server end statements after this time, or after `statement_seconds` if that is less."""

    def read(self, table: Table, reading: Reading) -> Contents:
        """Read a table, or a random sample of its rows if it has more than the limit.

        Raises: ProfileError, or what the driver raises if the table cannot be read.
        """
        self.limit_statements(reading.seconds)
        if reading.row_limit is None:
            return self.stream(table, reading, None)
        with self.snapshot():
            rows = self.count(table)
            share = reading.row_limit / rows if rows > reading.row_limit else None
            found = self.stream(table, reading, share)
        found.table_rows, found.is_sample = rows, share is not None
        return found

    def count(self, table: Table) -> int:
        """The number of rows in the snapshot."""
        ((rows,),) = self.fetch(f"SELECT count(*) FROM {self.path(table)}")
        return int(rows)

    @abstractmethod
    def references(self) -> list[Reference]:
        """The foreign keys that the database declares, enforced or not."""

    def paired(self, column: Column, parent: Column, kind: str) -> Pair | None:
        """How an undeclared foreign key compares two columns whose values are of this kind; None if it cannot."""
        return Pair(column.name, parent.name) if kind in {INTEGER, TEXT} else None

    def count_values(self, key: ForeignKey) -> tuple[int, int, int]:
        """Rows of the child without nulls in the key, those without a parent, and the parents referred to."""
        ((values, orphans, covered),) = self.fetch(key_query.counting_values(self, key))
        return int(values), int(orphans), int(covered)

    def count_orphans(self, key: ForeignKey, values: Sequence[int]) -> int:
        """Rows of the child with one of these values, at most 900, that have no parent."""
        ((orphans,),) = self.fetch(key_query.counting_orphans(self, key, len(values)), *values)
        return int(orphans)

    def count_parents(self, key: ForeignKey) -> int:
        """The number of different parents."""
        ((parents,),) = self.fetch(key_query.counting_parents(self, key))
        return int(parents)

    def path(self, table: Table) -> str:
        """The table's quoted name, with its schema if it has one."""
        return ".".join(self.quote(part) for part in (table.schema, table.name) if part)

    def label(self, schema: str, name: str) -> str:
        """The table's unique name as stored: the plain one in the default schema, otherwise schema.table.

        A table of the default schema keeps the schema if its name contains a dot. A schema with a dot is quoted.
        """
        if schema == self.default_schema and "." not in name:
            return name
        if "." in schema or '"' in schema:
            schema = '"' + schema.replace('"', '""') + '"'
        return f"{schema}.{name}"


def describe(error: BaseException) -> str:
    """The error's class, with its code or the line that raised it, but without its text, which may quote a row."""
    if isinstance(error, hdm_profile.ProfileError):
        return str(error)
    # MySQL's error number comes first: it is more specific than its SQLSTATE.
    code = error.args[0] if error.args and isinstance(error.args[0], int) else None
    code = code or getattr(error, "sqlstate", None) or getattr(error, "sqlite_errorname", None)
    if code is not None:
        return f"{type(error).__name__} ({code})"
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"


def hang_up(descriptor: int) -> None:
    """Shut down a connection that another thread waits for. The descriptor remains for that thread to close."""
    with socket.socket(fileno=os.dup(descriptor)) as same:
        same.shutdown(socket.SHUT_RDWR)


def ca_file() -> str | None:
    """The file of certificate authorities that this machine trusts (SSL_CERT_FILE, or OpenSSL's default)."""
    return ssl.get_default_verify_paths().cafile
