"""What plain SQL says of the rows of a table: the oracle for the metrics across columns on PostgreSQL."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.pack_harness import Row

DAYS = 14
Found = dict[Any, Any]


@dataclass(frozen=True)
class RowOracle:
    """Asks about one table."""

    rows: Callable[[Any], list[tuple[Any, ...]]]  # of a query
    table: str
    today: dt.date

    def days(self, event: str) -> Found:
        """Rows per day: of every day before the metric date."""
        query = (
            "SELECT g.day, count({c}) FROM (SELECT {today}::date - i AS day FROM generate_series(1, 14) i) g"
            " LEFT JOIN {t} ON {c} >= g.day AND {c} < g.day + 1 GROUP BY 1"
        )
        return dict(self._rows(query, c=event))

    def newest(self, event: str) -> tuple[dt.date | None, int | None]:
        """The newest of these days, and its rows."""
        found = {day: count for day, count in self.days(event).items() if count}
        return (max(found), found[max(found)]) if found else (None, None)

    def of_newest(self, event: str, column: str, number: str) -> Row:
        """The metrics of one column in the rows of the newest day; `number`: an expression of {c}, or ''."""
        day, _ = self.newest(event)
        names = ("newest_values", "newest_na_values", "newest_mean", "newest_deviation")
        if day is None:
            return dict.fromkeys(names)
        mean = "avg(({n})::float8) FILTER (WHERE ({n})::float8 < 'Infinity' AND ({n})::float8 > '-Infinity')"
        numbers = f"{mean}, {mean.replace('avg', 'stddev_samp')}" if number else "NULL, NULL"
        query = (
            f"SELECT count({{c}}), count(*) - count({{c}}), {numbers} FROM {{t}}"
            f" WHERE {{event}} >= '{day}' AND {{event}} < '{day}'::date + 1"
        ).replace("{n}", number)
        return dict(zip(names, self._rows(query, c=column, event=event)[0], strict=True))

    def pair(self, one: str, other: str, cast: str) -> tuple[int, int, int]:
        """Both, greater, equal; `cast`: the type in which they compare."""
        a, b = f"{{a}}::{cast}", f"{{b}}::{cast}"
        sound = " AND ".join(f"{value}::text NOT IN ('NaN', 'Infinity', '-Infinity', 'infinity', '-infinity')"
                             for value in ("{a}", "{b}"))  # fmt: skip
        if cast in {"date", "timestamp"}:
            sound += "".join(f" AND {v} >= '0001-01-01' AND {v} < '10000-01-01'" for v in ("{a}", "{b}"))
        counts = f"count(*), count(*) FILTER (WHERE {a} > {b}), count(*) FILTER (WHERE {a} = {b})"
        return self._rows(f"SELECT {counts} FROM {{t}} WHERE {sound}", a=one, b=other)[0]

    def by_level(self, number: str, code: str) -> Found:
        """The count and mean of finite numbers by level, as text."""
        query = (
            "SELECT {b}::text, count(*), avg({a}::float8) FROM {t} WHERE {b} IS NOT NULL"
            " AND {a}::float8 < 'Infinity' AND {a}::float8 > '-Infinity' GROUP BY 1"
        )
        return {level: (count, mean) for level, count, mean in self._rows(query, a=number, b=code)}

    def duplicates(self) -> int:
        """Rows less the different ones."""
        query = "SELECT count(*) - (SELECT count(*) FROM (SELECT DISTINCT * FROM {t}) d) FROM {t}"
        return int(self._rows(query)[0][0])

    def _rows(self, query: str, **names: str) -> list[tuple[Any, ...]]:
        quoted = {name: sql.Identifier(column) for name, column in names.items()}
        return self.rows(
            sql.SQL(query).format(t=sql.Identifier(self.table), today=sql.Literal(str(self.today)), **quoted)
        )


def is_close(found: float | None, wanted: float | None, scale: float = 0.0) -> bool:
    """Whether both are missing, or as close as sums of doubles in different orders can be."""
    if found is None or wanted is None:
        return found is wanted
    return math.isclose(found, wanted, rel_tol=1e-9, abs_tol=max(1e-9 * scale, 1e-300))
