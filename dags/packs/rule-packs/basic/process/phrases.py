"""Phrases: what a message says about a metric, after the rule's own text."""

from __future__ import annotations

from string import Formatter
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Mapping

# Of a unit: one, and several
UNITS = {
    "points": ("percentage point", "percentage points"),
    "times": ("time", "times"),
    "days": ("day", "days"),
    "hours": ("hour", "hours"),
    "years": ("year", "years"),
    "percent": ("%", "%"),
}
NOT_SHOWN = "the values are not shown"
OF_SHARE = "now {now}, formerly {then}; the share has changed by {size}"
OF_BOTH = "now {now}, formerly {then}"
OF_LENGTH = "the mean length is now {now}, formerly {then}"
OF_CODE = "its share has changed by {size}; codes are not shown"
# By metric: {now} and {then} are the value that it is about, on both dates; {number} is the metric, {size} with a unit.
DERIVED = {
    "step_emptied": "formerly {then} % were",
    **dict.fromkeys(("step_duplicates", "step_repeats"), "{number} % of all values repeat another one"),
    "step_key_na": OF_BOTH,
    "step_orphans": OF_BOTH,
    "step_uncovered": OF_BOTH,
    "step_levels_lost": OF_BOTH,
    "step_levels_gained": OF_BOTH,
    "step_length": OF_LENGTH,
    "step_fixed_length": OF_LENGTH,
    "step_texts_changed": OF_LENGTH,
    "step_level_new": OF_CODE,
    "step_level_lost": OF_CODE,
    "step_level_share": OF_CODE,
    "new_level_share": "its share is {size} outside the range of earlier nights; codes are not shown",
    "rows_lost": OF_BOTH,
    "recent_lost": OF_BOTH,
    "rows_grown": "now {now}, formerly {then}; {number} times as many",
    "rows_record": "{number} times the most on any earlier date",
    "load_missing": "for {size}",
    "load_low": "{number} % of what such days have",
    "load_high": "{number} times as many",
    "is_holiday": "",
    "is_weekend": "",
    "is_measure": "",
}
# Of the stored metrics that shipped rules judge, by what they describe and name
STORED = {
    ("table", "renamed_from"): "formerly named {now}",
    ("column", "renamed_from"): "formerly named {now}",
    **dict.fromkeys((("table", "schema_change"), ("column", "schema_change"), ("column", "delta_key_constraint")), ""),
    ("table", "rows_count"): "now {now}",
    ("column", "percent_na_values"): "{now} % are null",
    ("column", "future_dates"): "now {now}",
    ("column", "min_date_var"): NOT_SHOWN,
    ("foreign_key", "orphans"): "now {now}",
}


def of_derived(name: str, unit: str, *, shows: bool) -> str:
    """The phrase on a derived metric."""
    if name in DERIVED:
        return DERIVED[name]
    if name.startswith("new_"):
        return "{size} outside the range of earlier nights"
    return OF_SHARE if shows and unit == "points" else "by {size}"


def filled(phrase: str, values: Mapping[str, pl.Expr | pl.Series]) -> pl.Expr:
    """A phrase with the texts of each object in place of its fields; null if one is."""
    names, text = [], ""
    for literal, name, _, _ in Formatter().parse(phrase):
        text += literal
        if name:
            text += "{}"
            names.append(name)
    found: pl.Expr = pl.format(text, *(values[name] for name in names)) if names else pl.lit(text)
    return found


def with_unit(numbers: pl.Series, unit: str) -> pl.Expr:
    """Texts of numbers with their unit: 1 day, 2.3 times."""
    one, several = UNITS.get(unit, (unit, unit))
    return pl.when(pl.lit(numbers) == "1").then(pl.lit(f"1 {one}")).otherwise(pl.format(f"{{}} {several}", numbers))
