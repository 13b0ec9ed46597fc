"""The pack's configuration: conf.json, then what external and endpoint configuration say."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DEFAULTS = Path(__file__).with_name("conf.json")
TRUTHS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


class SettingsError(ValueError):
    """The configuration is wrong; the message names every key and none of the values."""


@dataclass(frozen=True)
class Settings:
    """What the pack heeds. Unknown keys belong to others (esHost, ...) and are left alone."""

    min_count: int  # levels with a lower frequency are suppressed
    schemas: tuple[str, ...]  # PostgreSQL: only these; () = all
    exclude_tables: tuple[str, ...]  # patterns as in a shell, on the table's name as stored
    exclude_levels: tuple[str, ...]  # patterns on column or table.column: measured, but none of their values stored
    ssl_verify: bool  # False: an encrypted connection does not check who answers
    warnings: tuple[str, ...]  # said in the log and in the report


def read(config: dict[str, Any] | str) -> Settings:
    """The settings of one endpoint.

    Raises: SettingsError, with all errors at once.
    """
    values = json.loads(DEFAULTS.read_text(encoding="utf-8"))
    warnings = []
    if isinstance(config, str):
        if config.strip():
            warnings.append("the configuration is plain text, not JSON: ignored")
    else:
        values.update(config)
    errors: list[str] = []
    limited = _boolean(values, "limit_enabled", errors)
    if limited:
        warnings.append("limit_enabled is set, but this version does not sample: all rows are read")
    settings = Settings(
        min_count=_count(values, "min_count", errors),
        schemas=_names(values, "schemas", errors),
        exclude_tables=_names(values, "exclude_tables", errors),
        exclude_levels=_names(values, "exclude_levels", errors),
        ssl_verify=_boolean(values, "ssl_verify", errors),
        warnings=tuple(warnings),
    )
    if errors:
        raise SettingsError("; ".join(errors))
    return settings


def _count(values: dict[str, Any], key: str, errors: list[str]) -> int:
    value = values.get(key)
    text = str(value).strip()
    if isinstance(value, bool) or not text.isdecimal() or int(text) < 1:
        errors.append(f"{key} must be a whole number of at least 1")
        return 1
    return int(text)


def _names(values: dict[str, Any], key: str, errors: list[str]) -> tuple[str, ...]:
    value = values.get(key)
    if value is None or value == "":
        return ()
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        errors.append(f"{key} must be a list of names")
        return ()
    return tuple(items)


def _boolean(values: dict[str, Any], key: str, errors: list[str]) -> bool:
    value = values.get(key, False)
    if isinstance(value, str) and not value.strip():
        return False
    truth = value if isinstance(value, bool) else TRUTHS.get(str(value).strip().lower())
    if truth is None:
        errors.append(f"{key} must be true or false")
        return False
    return truth
