"""What plain SQL says of a column, one metric at a time: the oracle for metric pack basic on PostgreSQL."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from psycopg import sql

from tests.integration.metric_basic_harness import moment

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable

    from tests.integration.pack_harness import Row

NUMBERS, DATES = {"integer", "float"}, {"date", "datetime"}
RATIO = 1e-9  # doubles are summed in different orders

# What is a number to the metrics: neither NaN nor infinite, nor beyond a double.
FINITE = {
    "integer": "{c} IS NOT NULL",
    "float": "{c}::text NOT IN ('NaN', 'Infinity', '-Infinity') AND abs({c}) <= 1.7976931348623157e308::numeric",
    "double": "{c} NOT IN ('NaN', 'Infinity', '-Infinity')",
}
NUMBER = {"oid": "{c}::bigint", "real": "{c}::float8"}
IN_CALENDAR = "{c} >= '0001-01-01' AND {c} < '10000-01-01'"


@dataclass(frozen=True)
class Oracle:
    """Asks about one column."""

    ask: Callable[[Any], Any]  # the one value that a query answers
    table: str
    column: str
    kind: str
    declared: str
    today: dt.date

    def metrics(self) -> Row:
        """All metrics that depend on values."""
        found = self._of_all()
        if self.kind != "other":
            found |= self._frequencies()
        if self.kind in NUMBERS:
            found |= self._numbers(found["value_counts"])
        if self.kind == "text":
            found |= {
                "min_length": self._one("SELECT min(length({c}::text)) FROM {t}"),
                "max_length": self._one("SELECT max(length({c}::text)) FROM {t}"),
                "mean_length": _float(self._one("SELECT avg(length({c}::text)) FROM {t}")),
                "empty_count": self._one("SELECT count(*) FROM {t} WHERE {c}::text = ''"),
            }
        if self.kind in DATES:
            found |= {
                "min_date_var": self._day("SELECT min({c}) FROM {t} WHERE " + IN_CALENDAR),
                "max_date_var": self._day("SELECT max({c}) FROM {t} WHERE " + IN_CALENDAR),
                "future_dates": self._one(f"SELECT count(*) FROM {{t}} WHERE {{c}} >= '{self.today}'::date + 1"),
            }
        if self.kind == "boolean":
            found |= {
                "true_count": self._one("SELECT count(*) FROM {t} WHERE {c}"),
                "false_count": self._one("SELECT count(*) FROM {t} WHERE NOT {c}"),
            }
        return found

    def _of_all(self) -> Row:
        rows = self._one("SELECT count(*) FROM {t}")
        missing = self._one("SELECT count(*) FROM {t} WHERE {c} IS NOT DISTINCT FROM NULL")
        return {
            "infered_data_type": self.kind,
            "value_counts": self._one("SELECT count({c}) FROM {t}"),
            "na_values": missing,
            "percent_na_values": 100 * missing / rows if rows else None,
        }

    def _frequencies(self) -> Row:
        nth = "SELECT count(*) FROM {t} WHERE {c} IS NOT NULL GROUP BY {c} ORDER BY 1 DESC OFFSET %s LIMIT 1"
        first, second, third = (self._one(nth.replace("%s", str(place))) or 0 for place in range(3))
        levels = self._one("SELECT count(DISTINCT {c}) FROM {t}")
        return {
            "levels_count": levels,
            "highest_frequency": first,
            "sndHighestFrequency": second,
            "thrdHighestFrequency": third,
            "ratio_level_frequency": first / levels if levels else None,
        }

    def _numbers(self, values: int) -> Row:
        is_double = self.declared in {"real", "double precision"}
        finite = FINITE["double" if is_double else self.kind]
        of_finite = f"FROM {{t}} WHERE {finite}"
        number = NUMBER.get(self.declared, "{c}")
        # its root by stddev_samp has no more decimals than this, which may be none
        variance = self._one(f"SELECT var_samp({number}::numeric) {of_finite}")
        quantile = f"SELECT percentile_cont(%s) WITHIN GROUP (ORDER BY {number}::float8) {of_finite}"
        return {
            "min_num_var": _float(self._one(f"SELECT min({number}) {of_finite}")),
            "max_num_var": _float(self._one(f"SELECT max({number}) {of_finite}")),
            "mean_num_var": _float(self._one(f"SELECT avg({number}::numeric) {of_finite}")),
            "std_num_var": None if variance is None else float(variance.sqrt()),
            "median_num_var": self._one(quantile.replace("%s", "0.5")),
            "p01_num_var": self._one(quantile.replace("%s", "0.01")),
            "p99_num_var": self._one(quantile.replace("%s", "0.99")),
            "zero_count": self._one(f"SELECT count(*) FROM {{t}} WHERE {number} = 0"),
            "negative_count": self._one(f"SELECT count(*) {of_finite} AND {number} < 0"),
            "non_finite_count": values - self._one(f"SELECT count(*) {of_finite}"),
        }

    def _day(self, query: str) -> dt.datetime | None:
        found = self._one(query)
        if found is None or hasattr(found, "hour"):
            return found.replace(tzinfo=None) if found else None
        return moment(found.year, found.month, found.day)

    def _one(self, query: str) -> Any:
        return self.ask(sql.SQL(query).format(t=sql.Identifier(self.table), c=sql.Identifier(self.column)))


def assert_same(found: Row, wanted: Row, place: str = "") -> None:
    """The same metrics; doubles as close as sums of numbers of that size can be."""
    scale = max((abs(wanted.get(name) or 0) for name in ("min_num_var", "max_num_var")), default=0)
    for name, value in wanted.items():
        if isinstance(value, float) and found[name] is not None:
            assert math.isclose(found[name], value, rel_tol=RATIO, abs_tol=RATIO * scale), (
                place,
                name,
                found[name],
                value,
            )
        else:
            assert found[name] == value, (place, name, found[name], value)


def _float(value: float | Decimal | None) -> float | None:
    return None if value is None else float(value)
