"""What changed since the last time: delta and evolution of metrics, and columns that came, went or changed."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

COUNTS = (
    *("value_counts", "na_values", "levels_count", "highest_frequency", "sndHighestFrequency"),
    *("thrdHighestFrequency", "future_dates", "true_count", "false_count"),
)
MEASURES = (
    *("percent_na_values", "ratio_level_frequency", "min_num_var", "max_num_var", "mean_num_var"),
    *("median_num_var", "std_num_var"),
)
NUMERIC = COUNTS + MEASURES
MOMENTS = ("min_date_var", "max_date_var")
PROPERTIES = ("data_type", "infered_data_type", "key_constraint", "is_key", "is_categorical")
METRICS = PROPERTIES + NUMERIC + MOMENTS

SECONDS_PER_DAY = 86_400

Values = dict[str, Any]
Place = tuple[str, str]  # table, column


@dataclass(frozen=True)
class History:
    """What the base knows of an endpoint before the metric date."""

    measured: dict[Place, tuple[dt.date, Values]]  # the newest measured row of each column
    dropped: dict[Place, dt.date]  # when a column was last noted as gone

    def known(self, place: Place) -> bool:
        """Whether the column was there the last time that something was said about it."""
        if place not in self.measured:
            return False
        return place not in self.dropped or self.dropped[place] < self.measured[place][0]


def compare(place: Place, values: Values, history: History) -> Values:
    """previous_date, schema_change and the delta_ and evol_ columns of one column's metrics."""
    date, before = history.measured.get(place, (None, {}))
    found: Values = {"previous_date": date, "schema_change": _schema_change(place, values, before, history)}
    for name in PROPERTIES:
        found[f"delta_{name}"] = _changed(values.get(name), before.get(name))
    for name in MOMENTS:
        found[f"delta_{name}"] = _days(values.get(name), before.get(name))
    for name in NUMERIC:
        found[f"delta_{name}"], found[f"evol_{name}"] = difference(values.get(name), before.get(name))
    return found


def gone(existing: set[Place], history: History) -> dict[Place, dt.date]:
    """The columns that were there and are not any more, not yet noted as such, with their last measured date."""
    return {
        place: date
        for place, (date, _) in sorted(history.measured.items())
        if place not in existing and history.known(place)
    }


def difference(now: Any, before: Any) -> tuple[Any, float | None]:
    """Difference and quotient; None where one is missing, the quotient also where there is nothing to divide by."""
    if now is None or before is None:
        return None, None
    return now - before, (now / before if before else None)


def _schema_change(place: Place, values: Values, before: Values, history: History) -> str:
    if not history.measured:
        return ""  # the endpoint's first date: everything is new, so nothing is
    if not history.known(place):
        return "new"
    return "retyped" if values["data_type"] != before["data_type"] else ""


def _changed(now: Any, before: Any) -> int | None:
    if now is None or before is None:
        return None
    return int(now != before)


def _days(now: dt.datetime | None, before: dt.datetime | None) -> float | None:
    if now is None or before is None:
        return None
    return (now - before).total_seconds() / SECONDS_PER_DAY
