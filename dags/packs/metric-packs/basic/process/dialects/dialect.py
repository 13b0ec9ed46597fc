"""What the engines have in common: expressions in plain SQL, and errors told without values."""

from __future__ import annotations

import ssl
import traceback
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tables import FLOAT, INTEGER, Column, Table

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

CONNECT_SECONDS = 15
# A table that somebody holds exclusively is reported as incomplete instead of waited for all night.
LOCK_SECONDS = 60


class OverflowInDatabaseError(ArithmeticError):
    """An aggregate left the range of the engine's doubles: ask again with `wide` expressions."""


class Dialect(ABC):
    """One open, read-only connection, and how its engine spells things.

    Expressions take the column's `source`, the quoted name, so that they nest.
    """

    placeholder = "%s"
    default_schema = ""

    @abstractmethod
    def tables(self) -> list[Table]:
        """Every table and view that the account can see, sorted; also those it may not read."""

    @abstractmethod
    def fetch(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """All rows of a query. Values are parameters, always."""

    @abstractmethod
    def transaction(self) -> AbstractContextManager[None]:
        """A read-only transaction that sees one state of the database, where the engine offers that."""

    @abstractmethod
    def close(self) -> None:
        """Close the connection; nothing happens when it is closed."""

    @abstractmethod
    def quote(self, name: str) -> str:
        """An identifier, ready to stand in a query."""

    @abstractmethod
    def group(self, source: str, column: Column) -> str:
        """What the column's values are told apart by: two values are one level exactly where this is equal."""

    @abstractmethod
    def number(self, source: str, column: Column, *, wide: bool) -> str:
        """The column's value as a number, null where it is not finite. `wide`: of a type that cannot overflow."""

    @abstractmethod
    def instant(self, source: str, column: Column) -> str:
        """The column's date or datetime (in UTC), null where it lies outside the years 1 to 9999."""

    @abstractmethod
    def truth(self, source: str, column: Column) -> str:
        """A condition: the column's value is true."""

    def kinds(self, table: Table) -> dict[str, str]:  # noqa: ARG002 - for engines whose declarations say it all
        """The kinds of those columns whose values say more than their declaration."""
        return {}

    def shown(self, source: str, column: Column) -> str:
        """An aggregate that is the level's own value, in a query grouped by `group`."""
        return self.group(source, column)

    def mean(self, number: str) -> str:
        """The mean of a number expression."""
        return f"avg({number})"

    def variance(self, number: str, source: str) -> str:  # noqa: ARG002 - for engines that have the function
        """The sample variance of a number expression over the table `source`."""
        return f"var_samp({number})"

    def length(self, text: str) -> str:
        """The number of characters of a text expression."""
        return f"char_length({text})"

    def text(self, source: str, column: Column) -> str:  # noqa: ARG002 - for engines that need the type
        """A text column's value as text."""
        return source

    def future(self, source: str, column: Column) -> str:  # noqa: ARG002 - for engines that need the type
        """A condition with one parameter, the first day that counts as future."""
        return f"{source} >= {self.placeholder}"

    def path(self, table: Table) -> str:
        """The table's quoted name, with its schema where there is one."""
        return ".".join(self.quote(part) for part in (table.schema, table.name) if part)

    def label(self, schema: str, name: str) -> str:
        """The table's name as stored. A dot in a name of the default schema keeps the schema, to stay apart."""
        return name if schema == self.default_schema and "." not in name else f"{schema}.{name}"


def number_kind(scale: int | None) -> str:
    """The kind of an exact number with that many decimals: none makes it an integer, unknown a float."""
    return INTEGER if scale == 0 else FLOAT


def describe(error: BaseException) -> str:
    """An error without its text, which may quote a row: class, SQLSTATE or error number, and where it came up."""
    code = getattr(error, "sqlstate", None) or getattr(error, "sqlite_errorname", None)
    if code is None and error.args and isinstance(error.args[0], int):
        code = error.args[0]
    if code is not None:
        return f"{type(error).__name__} ({code})"
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"


def authorities() -> str | None:
    """The file of certificate authorities that this machine trusts (SSL_CERT_FILE, else OpenSSL's own)."""
    return ssl.get_default_verify_paths().cafile
