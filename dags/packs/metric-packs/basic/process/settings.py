"""The pack's configuration: conf.json, overridden by the external and the endpoint configuration."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

DEFAULTS = Path(__file__).with_name("conf.json")
BOOLEANS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
ROUND_DATES = ("", "month", "year")

# Keys that change how fast a run is and how long it waits, but not its results. Each attempt counts the foreign keys.
NEUTRAL_KEYS = {
    "foreign_keys",
    *("table_seconds", "endpoint_seconds", "statement_seconds", "lock_seconds", "parallel_tables"),
    *("connections_per_host", "memory_mb", "ssl_verify", "warnings"),
}

MAX_COUNT = 2_000_000_000  # for counts without a smaller limit
MAX_SECONDS = 2_000_000  # servers take milliseconds in 32 bits
MAX_CONNECTIONS = 64
MIN_MEMORY_MB, MAX_MEMORY_MB = 16, 1_000_000
MAX_DIGITS = 15  # a double has no more


class SettingsError(ValueError):
    """The configuration is invalid. The message names every invalid key but no value."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The pack's settings. Unknown keys (esHost, ...) are ignored: they are meant for other packs.

    Patterns are shell patterns. They match schemas and tables case-sensitively, columns ignoring case and accents.
    """

    min_count: int  # levels and boolean counts below it are suppressed
    schemas: tuple[str, ...]  # patterns; (): all
    exclude_schemas: tuple[str, ...]
    tables: tuple[str, ...]  # patterns of label or schema.table; (): all
    exclude_tables: tuple[str, ...]
    columns: tuple[str, ...]  # patterns of column or table.column; (): all
    exclude_columns: tuple[str, ...]
    identifying: tuple[str, ...]  # patterns of column or table.column: never read
    not_identifying: tuple[str, ...]  # likewise: measured in full, even if the name suggests a person
    exclude_levels: tuple[str, ...]  # patterns of column or table.column: measured, but no levels stored
    row_limit: int | None  # approximate size of the random sample; None: all rows
    table_seconds: float | None  # time limit; None: none
    endpoint_seconds: float | None
    statement_seconds: int  # time limit that the server enforces
    lock_seconds: int  # how long to wait for a locked table
    parallel_tables: int  # connections that read one endpoint
    connections_per_host: int  # over all endpoints of the host
    memory_mb: int  # the rest goes to a temporary file
    round_numbers: int | None  # significant digits of min, max, p01 and p99; None: not rounded
    foreign_keys: bool  # whether their orphans are counted
    round_dates: str  # "", "month" or "year": min and max are rounded down to its first day
    ssl_verify: bool  # False: the server's certificate is not verified
    warnings: tuple[str, ...]  # for the log and the report

    @property
    def digest(self) -> str:
        """Equal for two configurations that measure the same and store the same."""
        given = {key: value for key, value in asdict(self).items() if key not in NEUTRAL_KEYS}
        return hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()[:12]


def read(config: Any) -> Settings:
    """The settings of one endpoint.

    Raises: SettingsError, with all errors at once.
    """
    values = json.loads(DEFAULTS.read_text(encoding="utf-8"))
    warnings = []
    if isinstance(config, str):
        if config.strip():
            warnings.append("ignoring the configuration: it is plain text, not JSON")
    elif not isinstance(config, dict):
        raise SettingsError("the configuration is a list or a single value, not an object")
    else:
        values.update(config)
    given = _Given(values)
    parallel = given.count("parallel_tables", 1, MAX_CONNECTIONS)
    per_host = given.count("connections_per_host", 1, MAX_CONNECTIONS)
    if parallel > per_host:
        warnings.append("parallel_tables is greater than connections_per_host, which takes precedence")
    settings = Settings(
        min_count=given.count("min_count", 1),
        schemas=given.patterns("schemas"),
        exclude_schemas=given.patterns("exclude_schemas"),
        tables=given.patterns("tables"),
        exclude_tables=given.patterns("exclude_tables"),
        columns=given.patterns("columns"),
        exclude_columns=given.patterns("exclude_columns"),
        identifying=given.patterns("identifying"),
        not_identifying=given.patterns("not_identifying"),
        exclude_levels=given.patterns("exclude_levels"),
        row_limit=given.row_limit(),
        table_seconds=given.seconds("table_seconds"),
        endpoint_seconds=given.seconds("endpoint_seconds"),
        statement_seconds=given.count("statement_seconds", 1, MAX_SECONDS),
        lock_seconds=given.count("lock_seconds", 1, MAX_SECONDS),
        parallel_tables=parallel,
        connections_per_host=per_host,
        memory_mb=given.count("memory_mb", MIN_MEMORY_MB, MAX_MEMORY_MB),
        round_numbers=given.digits("round_numbers"),
        round_dates=given.choice("round_dates", ROUND_DATES),
        foreign_keys=given.boolean("foreign_keys"),
        ssl_verify=given.boolean("ssl_verify"),
        warnings=tuple(warnings),
    )
    if given.errors:
        raise SettingsError("; ".join(given.errors))
    return settings


class _Given:
    """The configured values, which may be texts, and the errors in them."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values
        self.errors: list[str] = []

    def count(self, key: str, minimum: int, maximum: int = MAX_COUNT) -> int:
        found = _whole(self._values.get(key))
        if found is None or not minimum <= found <= maximum:
            allowed = f", at least {minimum}" if maximum == MAX_COUNT else f" from {minimum} to {maximum}"
            self.errors.append(f"{key} must be a whole number{allowed}")
            return minimum
        return found

    def digits(self, key: str) -> int | None:
        return None if self._is_missing(key) else self.count(key, 1, MAX_DIGITS)

    def row_limit(self) -> int | None:
        """From the original's pair of keys. The limit is ignored unless it is enabled."""
        if not self.boolean("limit_enabled"):
            return None
        found = _whole(self._values.get("search_results_limit"))
        if found is None or not 1 <= found <= MAX_COUNT:
            self.errors.append("search_results_limit must be a whole number, at least 1, when limit_enabled is true")
        return found

    def seconds(self, key: str) -> float | None:
        if self._is_missing(key):
            return None
        value = self._values[key]
        try:
            found = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError, OverflowError):
            found = math.nan
        if not 0 < found <= MAX_SECONDS:
            self.errors.append(f"{key} must be a number of seconds greater than 0 and at most {MAX_SECONDS}, or null")
            return None
        return found

    def patterns(self, key: str) -> tuple[str, ...]:
        value = self._values.get(key)
        items = [value] if isinstance(value, str) else value
        if value is None:
            return ()
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            self.errors.append(f"{key} must be a list of patterns")
            return ()
        return tuple(item for item in items if item.strip())

    def choice(self, key: str, choices: tuple[str, ...]) -> str:
        value = self._values.get(key)
        found = "" if value is None else str(value).strip().lower()
        if found not in choices:
            self.errors.append(f"{key} must be one of: {', '.join(choice or 'empty' for choice in choices)}")
            return ""
        return found

    def boolean(self, key: str) -> bool:
        value = self._values.get(key, False)
        if value is None or (isinstance(value, str) and not value.strip()):
            return False
        truth = value if isinstance(value, bool) else BOOLEANS.get(str(value).strip().lower())
        if truth is None:
            self.errors.append(f"{key} must be true or false")
            return False
        return truth

    def _is_missing(self, key: str) -> bool:
        value = self._values.get(key)
        return value is None or (isinstance(value, str) and not value.strip())


def _whole(value: Any) -> int | None:
    """The value as a whole number, also if it is a text or 5.0; otherwise None."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        return None
    if isinstance(value, int):
        return value
    text = value.strip()
    return int(text) if text.isdecimal() and len(text) <= len(str(MAX_COUNT)) else None
