"""The modules of metric pack basic, imported the way the pack imports them, and columns as its engine counts them."""

from __future__ import annotations

import datetime as dt
import math
import re
import statistics
from collections import Counter
from types import SimpleNamespace
from typing import Any

from hdm_profile import Stats

from tests import shape_oracle
from tests.pack_modules import load

EPOCH = dt.datetime(2000, 1, 1)  # noqa: DTZ001  # the metrics hold UTC without a zone


pack = load(
    (
        *("patterns", "privacy", "tables", "settings", "rounding", "declared", "metrics", "levels", "events"),
        *("plans", "across", "rows"),
    )
)


def column(name: str = "c", kind: str = "integer", **more: Any) -> Any:
    """A column; its declared type is its kind."""
    return pack.tables.Column(name, kind, kind, kind, **more)


def table(label: str, *columns: Any, schema: str = "") -> Any:
    """A table, whose label is schema.name outside of public."""
    shown = label if schema in {"", "public"} else f"{schema}.{label}"
    return pack.tables.Table(schema, label, shown, columns)


def settings(**config: Any) -> Any:
    """The settings of an endpoint with this configuration."""
    return pack.settings.read(config)


def quantile(numbers: list[float], share: float) -> float:
    """Interpolated linearly, as SQL's percentile_cont."""
    place = (len(numbers) - 1) * share
    below = math.floor(place)
    above = min(below + 1, len(numbers) - 1)
    return numbers[below] + (numbers[above] - numbers[below]) * (place - below)


def stats_of(values: list[Any], kind: str, today: dt.date = dt.date(2026, 1, 31)) -> SimpleNamespace:
    """What the engine says of a column of these values; booleans are 0 and 1."""
    top = [count for _, count in Counter(values).most_common(3)] + [0, 0, 0]
    found = SimpleNamespace(
        **{name: None if "None" in str(kind) else 0 for name, kind in Stats.__annotations__.items()} | {
            "values": len(values), "levels": len(set(values)), "first": top[0], "second": top[1], "third": top[2],
            "classes": (0, 0, 0, 0),
        }
    )  # fmt: skip
    if kind in {"integer", "float", "boolean"}:
        numbers = sorted(float(value) for value in values if math.isfinite(value))
        found.finite, found.zeros = len(numbers), numbers.count(0)
        found.fractions, found.places = shape_oracle.of_numbers(numbers).values()
        found.negatives = sum(number < 0 for number in numbers)
        if numbers:
            found.minimum, found.maximum = numbers[0], numbers[-1]
            found.mean, found.median = math.fsum(numbers) / len(numbers), statistics.median(numbers)
            for name in filter(re.compile(r"p\d\d").fullmatch, Stats._fields):
                setattr(found, name, quantile(numbers, int(name[1:]) / 100))
        if len(numbers) > 1:
            found.deviation = statistics.stdev(numbers)
    if kind == "text" and values:
        lengths = [len(value) for value in values]
        found.shortest, found.longest = min(lengths), max(lengths)
        found.mean_length, found.empty = sum(lengths) / len(lengths), lengths.count(0)
        shape = shape_oracle.of_texts(values)
        found.edge_blanks, found.uppers, found.lowers, found.mojibakes, found.placeholders = shape.values()
        trimmed = [value.strip(" ") for value in values]
        found.trimmed, found.blanks = max(map(len, trimmed)), max(value.count(" ") for value in trimmed)
    if kind in {"date", "datetime"} and values:
        unit = dt.timedelta(days=1) if kind == "date" else dt.timedelta(microseconds=1)
        moments = [value if kind == "datetime" else dt.datetime.combine(value, dt.time()) for value in values]
        found.earliest, found.latest = (min(moments) - EPOCH) // unit, (max(moments) - EPOCH) // unit
        if kind == "datetime":
            found.midnights, found.hour = shape_oracle.of_datetimes(moments).values()
            found.clocks = len(moments) - found.midnights
        found.future = sum(moment.date() > today for moment in moments)
    return found


def measured(one: Any, values: list[Any], *, rows: int | None = None, sampled: bool = False, **config: Any) -> Any:
    """The metrics of a column that holds these values, and nulls up to `rows`."""
    stats = stats_of(values, one.kind)
    return pack.metrics.of_column(
        one, stats, len(values) if rows is None else rows, settings(**config), sampled=sampled
    )


def counted(values: list[Any]) -> Any:
    """A function that gives the frequencies of the values as text; None where they are too many."""
    found = Counter(str(int(value)) if isinstance(value, bool) else str(value) for value in values)
    return lambda: dict(found) if len(found) <= 5000 else None
