"""What plain SQL says of a column, one metric at a time: the oracle for metric pack basic on PostgreSQL."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from psycopg import sql

from tests import shape_oracle
from tests.integration.metric_basic_harness import moment

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable

    from tests.integration.pack_harness import Row


def _class(characters: str) -> str:
    """Characters as PostgreSQL writes them in brackets."""
    return "".join(f"\\u{ord(character):04x}" for character in characters)


NUMBERS, DATES = {"integer", "float"}, {"date", "datetime"}
RATIO = 1e-9  # doubles are summed in different orders

# What is a number to the metrics: neither NaN nor infinite, nor beyond a double.
FINITE = {
    "integer": "{c} IS NOT NULL",
    "float": "{c}::text NOT IN ('NaN', 'Infinity', '-Infinity') AND abs({c}) <= 1.7976931348623157e308::numeric",
    "double": "{c} NOT IN ('NaN', 'Infinity', '-Infinity')",
}
NUMBER = {"oid": "{c}::bigint", "real": "{c}::float8"}
# Of shapes: brackets and alternatives of PostgreSQL's regular expressions, whatever its locale.
BLANKS, UPPERS, LOWERS = (_class(one) for one in (shape_oracle.BLANKS, shape_oracle.UPPERS, shape_oracle.LOWERS))
MARKS = r"\u20ac\u201a\u0192\u201e\u2020\u2021\u02c6\u2030\u2022\u02dc\u2122\u0178"  # € to Ÿ: no letter is before them
MOJIBAKE = (
    r"\ufffd|[\u0080-\u0084\u0086-\u009f]|\u00c2[\u0080-\u00bf]"
    rf"|\u00c3[\u0080-\u00bf{MARKS}\u0160\u2039\u0152\u017d\u2018\u201c\u2013\u0161\u0153\u017e]|[âÄÅÎÏÐÑ][{MARKS}]"
)
PLACEHOLDER = (
    f"regexp_replace(translate({{x}}, 'É', 'é'), '^[{BLANKS}]+|[{BLANKS}]+$', '', 'g') ~*"
    f" '^({'|'.join(map(re.escape, shape_oracle.WORDS))}|-+|\\?+|\\.+|\\*+|_+|x{{{{2,}}}})$'"
)
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
                "edge_blank_count": self._texts(f"{{x}} ~ '^[{BLANKS}]' OR {{x}} ~ '[{BLANKS}]$'"),
                "upper_count": self._texts(f"{{x}} ~ '[{UPPERS}]' AND {{x}} !~ '[{LOWERS}]'"),
                "lower_count": self._texts(f"{{x}} ~ '[{LOWERS}]' AND {{x}} !~ '[{UPPERS}]'"),
                "mojibake_count": self._texts(f"{{x}} ~ '{MOJIBAKE}'"),
                "placeholder_count": self._texts(PLACEHOLDER),
            }
        if self.kind == "datetime":
            found |= self._clocks()
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

    def _texts(self, condition: str) -> Any:
        texts = "(SELECT {c}::text AS x FROM {t}) AS texts"
        return self._one(f"SELECT count(*) FROM {texts} WHERE {condition.replace('{x}', 'x')}")

    def _clocks(self) -> Row:
        at_midnight = f"FROM {{t}} WHERE {IN_CALENDAR} AND {{c}}::time = '00:00'"
        other = f"FROM {{t}} WHERE {IN_CALENDAR} AND {{c}}::time <> '00:00'"
        return {
            "midnight_count": self._one(f"SELECT count(*) {at_midnight}"),
            "hour_mean": _float(self._one(f"SELECT avg(extract(epoch FROM {{c}}::time)::numeric) / 3600 {other}")),
        }

    def _numbers(self, values: int) -> Row:
        found: Row = {}
        is_double = self.declared in {"real", "double precision"}
        finite = FINITE["double" if is_double else self.kind]
        of_finite = f"FROM {{t}} WHERE {finite}"
        number = NUMBER.get(self.declared, "{c}")
        # its root by stddev_samp has no more decimals than this, which may be none
        variance = self._one(f"SELECT var_samp({number}::numeric) {of_finite}")
        if self.kind == "float":
            exact = "trim_scale({c}::text::numeric)"  # the shortest text that gives a double
            places = f"scale({exact})"
            if is_double:  # at most 15 digits, and 15 places
                places = (
                    f"CASE WHEN length(ltrim(translate({exact}::text, '-.', ''), '0')) > 15 THEN 15 ELSE {places} END"
                )
                places = f"CASE WHEN {{c}} = trunc({{c}}) THEN 0 ELSE least({places}, 15) END"
            found = {
                "fraction_count": self._one(f"SELECT count(*) {of_finite} AND {number} <> trunc({number})"),
                "decimals_max": self._one(f"SELECT max({places}) {of_finite}"),
            }
        quantile = f"SELECT percentile_cont(%s) WITHIN GROUP (ORDER BY {number}::float8) {of_finite}"
        return found | {
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
