"""What the engines have in common: how one table is read, and how errors are told without values."""

from __future__ import annotations

import os
import socket
import ssl
import traceback
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hdm_profile
from hdm_profile import Profile, Spec, Stats
from tables import Column, Table

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Sequence

CONNECT_SECONDS = 15
CANCEL_SECONDS = 3
EPOCH = 730_120  # 2000-01-01, from which a profile counts days, as an ordinal
DAY = 86_400_000_000  # microseconds
MAX_EXACT_DIGITS = 15  # of a decimal that a double tells from every other


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How a table is to be read."""

    date: dt.date  # the metric date: what is later lies in the future
    row_limit: int | None  # about so many rows, drawn at random; None: all
    seconds: float | None  # that it may take
    memory: int  # bytes
    folder: str  # for what does not fit
    watch: Callable[[Profile], None]  # told of every profile before its first row

    @property
    def tomorrow(self) -> int:
        """The first day that lies in the future, as a profile counts days."""
        return self.date.toordinal() + 1 - EPOCH

    def profile(self, specs: Sequence[Spec]) -> Profile:
        """A profile for the table's rows."""
        profile = Profile(specs, memory=self.memory, folder=self.folder)
        self.watch(profile)
        return profile


class Contents:
    """What a table holds: its rows counted, its columns with what is known of each, in the table's order."""

    def __init__(self, rows: int, columns: list[tuple[Column, Stats, Profile, int]]) -> None:
        self.rows = rows  # that were read
        self.table_rows = rows  # that there are
        self.is_sample = False
        self.columns = columns  # the last two: where its levels are

    @classmethod
    def of(cls, columns: Sequence[Column], profile: Profile) -> Contents:
        """What a profile has found of these columns; it may have one more, where a query needs one."""
        found = zip(columns, profile.finish(), strict=False)
        return cls(profile.rows, [(column, stats, profile, i) for i, (column, stats) in enumerate(found)])

    @property
    def sample_rows(self) -> int | None:
        """How many rows were drawn; None: all were read."""
        return self.rows if self.is_sample else None

    def close(self) -> None:
        """Give back the memory of its profiles: levels cannot be asked for any more."""
        for _, _, profile, _ in self.columns:
            profile.close()


class Engine(ABC):
    """One open, read-only connection."""

    default_schema = ""

    @abstractmethod
    def tables(self) -> list[Table]:
        """Every table and view that the account can see, sorted; also those it may not read."""

    @abstractmethod
    def fetch(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """All rows of a small query. Values are parameters, always."""

    @abstractmethod
    def stream(self, table: Table, reading: Reading, share: float | None) -> Contents:
        """Read a table's rows once; `share`: each with that probability."""

    @abstractmethod
    def quote(self, name: str) -> str:
        """An identifier, ready to stand in a query of `fetch`."""

    @abstractmethod
    def close(self) -> None:
        """Close the connection; nothing happens when it is closed."""

    @property
    @abstractmethod
    def is_closed(self) -> bool:
        """Whether the connection is lost."""

    def interrupt(self) -> None:  # noqa: B027 - SQLite ends by itself when its profile is stopped
        """End what another thread waits for in this engine, whatever the server does; the connection is lost."""

    def snapshot(self) -> AbstractContextManager[None]:
        """What several queries see as one state, where the engine needs to be asked for that."""
        return nullcontext()

    def limit_statements(self, seconds: float | None) -> None:  # noqa: B027 - not every engine can end a statement by itself
        """Let the server end statements that take longer, and those of the settings at the latest."""

    def read(self, table: Table, reading: Reading) -> Contents:
        """Read a table, or a random sample of its rows where it has more than the limit.

        Raises: ProfileError, or what the driver raises when the table cannot be read.
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
        """How many rows there are, in the snapshot."""
        ((rows,),) = self.fetch(f"SELECT count(*) FROM {self.path(table)}")
        return int(rows)

    def path(self, table: Table) -> str:
        """The table's quoted name, with its schema where there is one."""
        return ".".join(self.quote(part) for part in (table.schema, table.name) if part)

    def label(self, schema: str, name: str) -> str:
        """The table's name as stored, and no other table's: the plain one in the default schema, else schema.table.

        A dot in a name of the default schema keeps the schema; a schema with a dot is quoted.
        """
        if schema == self.default_schema and "." not in name:
            return name
        if "." in schema or '"' in schema:
            schema = '"' + schema.replace('"', '""') + '"'
        return f"{schema}.{name}"


def describe(error: BaseException) -> str:
    """An error without its text, which may quote a row: class, SQLSTATE or error number, and where it came up."""
    if isinstance(error, hdm_profile.ProfileError):
        return str(error)
    code = error.args[0] if error.args and isinstance(error.args[0], int) else None  # of MySQL, which says more
    code = code or getattr(error, "sqlstate", None) or getattr(error, "sqlite_errorname", None)
    if code is not None:
        return f"{type(error).__name__} ({code})"
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"


def hang_up(descriptor: int) -> None:
    """End a connection under whoever waits for it: the descriptor stays his to close."""
    with socket.socket(fileno=os.dup(descriptor)) as same:
        same.shutdown(socket.SHUT_RDWR)


def ca_file() -> str | None:
    """The file of certificate authorities that this machine trusts (SSL_CERT_FILE, else OpenSSL's own)."""
    return ssl.get_default_verify_paths().cafile
