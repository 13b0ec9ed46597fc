"""The dbversion of an endpoint, from its own table `version`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from engines.engine import describe

if TYPE_CHECKING:
    from engines.engine import Engine
    from tables import Table

UNKNOWN = "0.0"
MAX_CHARACTERS = 64  # the limit of a report line


def read(engine: Engine, tables: list[Table]) -> str:
    """The greatest value of column `version` in table `version`, or 0.0. Numbers compare as numbers."""
    names = [(table, column.name) for table in tables if table.label == "version" for column in table.columns]
    found = next(((table, name) for table, name in names if name.lower() == "version"), None)
    if found is None:
        return UNKNOWN
    table, name = found
    try:
        rows = engine.fetch(f"SELECT DISTINCT {engine.quote(name)} FROM {engine.path(table)} LIMIT 1000")
    except Exception as error:  # noqa: BLE001  # the table is reported as incomplete when it is measured
        print(f"cannot read table version, using dbversion {UNKNOWN}: {describe(error)}", flush=True)
        return UNKNOWN
    versions = [str(value).strip() for (value,) in rows if value is not None and str(value).strip()]
    return max(versions, key=_order, default=UNKNOWN)[:MAX_CHARACTERS]


def _order(version: str) -> tuple[list[int], str]:
    return [int(number) for number in re.findall(r"\d+", version)], version
