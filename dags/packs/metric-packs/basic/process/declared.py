"""The metrics: each is declared once, here.

From a declaration follow its columns and its row in create-table/create.sql, what is stored and compared, when it is
rounded or null, whether alerts of rule pack basic quote it, and its row in the documentation. After a change, run
`.venv/bin/python -m tests.unit.test_metric_basic_declared`, which rewrites create.sql and the documentation.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from tables import DATES, DATETIME, FLOAT, NUMBERS, TEXT

# What a metric describes: the column `describes` of table metric_basic_metric.
COLUMN, TABLE, VERSION, DATABASE = "column", "table", "version", "database"
FOREIGN_KEY = "foreign_key"
# How it compares with an earlier date: same or changed; a difference of integers, of doubles, of moments in days.
NOT_COMPARED, PROPERTY, COUNT, MEASURE, MOMENT = "", "property", "count", "measure", "moment"
# The types of the columns that hold delta_X and evol_X.
DELTAS = {PROPERTY: "smallint", COUNT: "bigint", MEASURE: "double precision", MOMENT: "double precision"}
EVOLUTIONS = {COUNT: "double precision", MEASURE: "double precision"}

TEXTS, FLOATS, DATETIMES = frozenset({TEXT}), frozenset({FLOAT}), frozenset({DATETIME})


class Reveals(Enum):
    """What a metric reveals of the values. Alerts quote only those that reveal nothing."""

    NOTHING = "nothing"  # does not change if all values are shifted and scaled, or all texts replaced by others as long
    TOTAL = "total"  # depends on all values: a mean
    MIDDLE = "middle"  # a value of one patient, among others like it; null if the column is personal
    EXTREME = "extreme"  # a value of one patient, far from others; null if the column is personal; rounded on request


NOTHING, TOTAL, MIDDLE, EXTREME = Reveals


@dataclass(frozen=True)
class Metric:
    """One metric."""

    name: str
    describes: str
    tier: int
    type: str  # of its SQL column
    compared: str
    reveals: Reveals
    about: str  # one line, for create.sql and the documentation
    stat: str = ""  # the field of hdm_profile.Stats that it is; "": metrics.py or a statement computes it
    kinds: frozenset[str] = frozenset()  # with `stat`: of columns that have it
    grows: bool = False  # with the number of rows: a sample is not compared with a whole table
    is_staged: bool = False  # without `stat` and not compared: measured with the table, not computed by a statement
    of_rare_flag: bool = (
        False  # with `stat`: the same for 2 ones among 100 as for 98, so it is published of a rare flag
    )

    @property
    def is_value(self) -> bool:
        """Whether it may be a value from the data, or computed from several."""
        return self.reveals is not NOTHING

    @property
    def columns(self) -> dict[str, str]:
        """Its SQL columns, with their types."""
        found = {self.name: self.type}
        if self.compared in DELTAS:
            found[f"delta_{self.name}"] = DELTAS[self.compared]
        if self.compared in EVOLUTIONS:
            found[f"evol_{self.name}"] = EVOLUTIONS[self.compared]
        return found


WORD, SMALL, BIG, DOUBLE, FLAG, TIMESTAMP, DAY = (
    *("text", "smallint", "bigint", "double precision", "boolean", "timestamp", "date"),
)

# name, describes, tier, type, compared, reveals, about, stat, kinds
METRICS = (
    Metric("data_type", COLUMN, 3, WORD, PROPERTY, NOTHING, "the type as the database declares it"),
    Metric(
        *("infered_data_type", COLUMN, 3, WORD, PROPERTY, NOTHING),
        "integer, float, text, date, datetime, time, boolean, other",
    ),
    Metric(
        *("key_constraint", COLUMN, 3, WORD, PROPERTY, NOTHING),
        "of this column alone: primary, unique, referenced (by a foreign key), or empty",
    ),
    Metric(
        "schema_change", COLUMN, 3, WORD, NOT_COMPARED, NOTHING, "new, dropped, retyped, renamed (a guess), or empty"
    ),
    Metric("renamed_from", COLUMN, 3, WORD, NOT_COMPARED, NOTHING, "if renamed: the dropped column"),
    Metric(
        *("sample_rows", COLUMN, 3, BIG, NOT_COMPARED, NOTHING),
        "size of the random sample that all metrics come from; null: all rows",
    ),
    Metric("value_counts", COLUMN, 3, BIG, COUNT, NOTHING, "values that are not null", grows=True),
    Metric("na_values", COLUMN, 3, BIG, COUNT, NOTHING, "nulls", grows=True),
    Metric("percent_na_values", COLUMN, 3, DOUBLE, MEASURE, NOTHING, "0-100; null if the table has no rows"),
    # Of every kind but `other`
    Metric("levels_count", COLUMN, 4, BIG, COUNT, NOTHING, "distinct values", grows=True),
    Metric(
        *("highest_frequency", COLUMN, 4, BIG, COUNT, NOTHING),
        "of the most frequent value; 0 if there are no values",
        grows=True,
    ),
    Metric(
        *("sndHighestFrequency", COLUMN, 4, BIG, COUNT, NOTHING),
        "of the second most frequent value; 0 if there is only one",
        grows=True,
    ),
    Metric(
        *("thrdHighestFrequency", COLUMN, 4, BIG, COUNT, NOTHING),
        "of the third most frequent value; 0 if there are only two",
        grows=True,
    ),
    Metric(
        *("ratio_level_frequency", COLUMN, 4, DOUBLE, MEASURE, NOTHING),
        "highest_frequency / levels_count",
        grows=True,
    ),
    Metric("is_key", COLUMN, 4, FLAG, PROPERTY, NOTHING, "whether the column is a key; null: unknown, in a sample"),
    Metric("is_categorical", COLUMN, 4, FLAG, PROPERTY, NOTHING, "whether the column holds categories"),
    # Of integers and floats, without non-finite values
    Metric(
        *("min_num_var", COLUMN, 4, DOUBLE, MEASURE, EXTREME, "minimum", "minimum", NUMBERS),
        of_rare_flag=True,
    ),
    Metric(
        *("max_num_var", COLUMN, 4, DOUBLE, MEASURE, EXTREME, "maximum", "maximum", NUMBERS),
        of_rare_flag=True,
    ),
    Metric("mean_num_var", COLUMN, 4, DOUBLE, MEASURE, TOTAL, "mean", "mean", NUMBERS),
    Metric("median_num_var", COLUMN, 4, DOUBLE, MEASURE, MIDDLE, "median, interpolated", "median", NUMBERS),
    Metric(
        *("std_num_var", COLUMN, 4, DOUBLE, MEASURE, TOTAL),
        "sample standard deviation; null with fewer than two values",
        *("deviation", NUMBERS),
    ),
    Metric("p01_num_var", COLUMN, 4, DOUBLE, MEASURE, EXTREME, "1st percentile, interpolated", "p01", NUMBERS),
    Metric("p99_num_var", COLUMN, 4, DOUBLE, MEASURE, EXTREME, "99th percentile, interpolated", "p99", NUMBERS),
    Metric("zero_count", COLUMN, 4, BIG, COUNT, NOTHING, "zeros", "zeros", NUMBERS, grows=True),
    Metric(
        *("negative_count", COLUMN, 4, BIG, COUNT, NOTHING, "numbers below zero", "negatives", NUMBERS),
        grows=True,
        of_rare_flag=True,
    ),
    Metric(
        *("non_finite_count", COLUMN, 4, BIG, COUNT, NOTHING),
        "NaN, infinities, and values beyond the range of a double",
        grows=True,
    ),
    Metric(
        *("fraction_count", COLUMN, 4, BIG, NOT_COMPARED, NOTHING),
        "of floats: numbers with digits after the point",
        *("fractions", FLOATS),
        grows=True,
        of_rare_flag=True,
    ),
    Metric(
        *("decimals_max", COLUMN, 4, BIG, NOT_COMPARED, NOTHING),
        "of floats: the most digits after the point that a number needs; null without numbers",
        *("places", FLOATS),
        of_rare_flag=True,
    ),
    # Of texts, in characters
    Metric("min_length", COLUMN, 4, BIG, COUNT, NOTHING, "characters of the shortest text", "shortest", TEXTS),
    Metric("max_length", COLUMN, 4, BIG, COUNT, NOTHING, "characters of the longest text", "longest", TEXTS),
    Metric("mean_length", COLUMN, 4, DOUBLE, MEASURE, NOTHING, "mean number of characters", "mean_length", TEXTS),
    Metric("empty_count", COLUMN, 4, BIG, COUNT, NOTHING, "texts without characters", "empty", TEXTS, grows=True),
    Metric(
        *("edge_blank_count", COLUMN, 4, BIG, NOT_COMPARED, NOTHING),
        "texts that begin or end with a blank",
        *("edge_blanks", TEXTS),
        grows=True,
    ),
    Metric(
        *("upper_count", COLUMN, 4, BIG, NOT_COMPARED, NOTHING),
        "texts with letters, all of them upper case",
        *("uppers", TEXTS),
        grows=True,
    ),
    Metric(
        *("lower_count", COLUMN, 4, BIG, NOT_COMPARED, NOTHING),
        "texts with letters, all of them lower case",
        *("lowers", TEXTS),
        grows=True,
    ),
    Metric(
        *("mojibake_count", COLUMN, 4, BIG, NOT_COMPARED, NOTHING),
        "texts that show a broken encoding",
        *("mojibakes", TEXTS),
        grows=True,
    ),
    Metric(
        *("placeholder_count", COLUMN, 4, BIG, NOT_COMPARED, NOTHING),
        "texts that stand for a missing value, such as n/a, unknown, xxx, -",
        *("placeholders", TEXTS),
        grows=True,
    ),
    # Of dates and datetimes (in UTC if the type has a time zone), years 1-9999
    Metric("min_date_var", COLUMN, 4, TIMESTAMP, MOMENT, EXTREME, "earliest date", "earliest", DATES),
    Metric("max_date_var", COLUMN, 4, TIMESTAMP, MOMENT, EXTREME, "latest date", "latest", DATES),
    Metric(
        *("future_dates", COLUMN, 4, BIG, COUNT, NOTHING, "dates later than the metric date", "future", DATES),
        grows=True,
    ),
    Metric(
        *("midnight_count", COLUMN, 4, BIG, NOT_COMPARED, NOTHING, "datetimes at midnight", "midnights", DATETIMES),
        grows=True,
    ),
    Metric(
        *("hour_mean", COLUMN, 4, DOUBLE, NOT_COMPARED, TOTAL),
        "mean hour of day, 0 to 24, of datetimes not at midnight; null if these are fewer than min_count",
        *("hour", DATETIMES),
    ),
    # Of booleans
    Metric(
        *("true_count", COLUMN, 4, BIG, COUNT, NOTHING),
        "null if either this or false_count is from 1 to min_count - 1",
        grows=True,
    ),
    Metric("false_count", COLUMN, 4, BIG, COUNT, NOTHING, "null whenever true_count is", grows=True),
    # Of the rows of the table's newest_day; null if they are fewer than min_count
    Metric(
        *("newest_values", COLUMN, 3, BIG, NOT_COMPARED, NOTHING),
        "of the rows of newest_day: values that are not null",
        is_staged=True,
    ),
    Metric("newest_na_values", COLUMN, 3, BIG, NOT_COMPARED, NOTHING, "of the same rows: nulls", is_staged=True),
    Metric(
        *("newest_mean", COLUMN, 4, DOUBLE, NOT_COMPARED, TOTAL),
        "of the same rows: mean, of texts mean length; null if they are fewer than min_count",
        is_staged=True,
    ),
    Metric(
        *("newest_deviation", COLUMN, 4, DOUBLE, NOT_COMPARED, TOTAL),
        "of the same rows: sample standard deviation, of texts that of the length",
        is_staged=True,
    ),
    # Of tables
    Metric(
        *("table_type", TABLE, 2, WORD, NOT_COMPARED, NOTHING),
        "table, view, materialized view, foreign table, partitioned table",
    ),
    Metric("schema_change", TABLE, 2, WORD, NOT_COMPARED, NOTHING, "new, dropped, renamed (a guess), or empty"),
    Metric("renamed_from", TABLE, 2, WORD, NOT_COMPARED, NOTHING, "if renamed: the dropped table"),
    Metric("rows_count", TABLE, 2, BIG, COUNT, NOTHING, "of the whole table, even if a sample was read"),
    Metric("columns_count", TABLE, 2, BIG, COUNT, NOTHING, "columns that the configuration selects"),
    Metric("bytes", TABLE, 2, BIG, COUNT, NOTHING, "on disk; null if the database does not report it"),
    Metric("last_change", TABLE, 2, TIMESTAMP, NOT_COMPARED, NOTHING, "UTC; null if the database does not report it"),
    Metric("sample_rows", TABLE, 2, BIG, NOT_COMPARED, NOTHING, "null: all rows were read"),
    Metric("columns_new", TABLE, 2, BIG, NOT_COMPARED, NOTHING, "columns whose schema_change is new"),
    Metric("columns_dropped", TABLE, 2, BIG, NOT_COMPARED, NOTHING, "dropped columns, and old names of renamed ones"),
    Metric("columns_renamed", TABLE, 2, BIG, NOT_COMPARED, NOTHING, "renamed columns"),
    Metric("columns_retyped", TABLE, 2, BIG, NOT_COMPARED, NOTHING, "columns whose declared type changed"),
    Metric("seconds", TABLE, 2, DOUBLE, NOT_COMPARED, NOTHING, "duration of reading it"),
    Metric(
        *("event_column", TABLE, 2, WORD, NOT_COMPARED, NOTHING),
        "the column of dates that says when a row happened or was loaded; empty if there is none",
        is_staged=True,
    ),
    Metric(
        *("newest_day", TABLE, 2, DAY, NOT_COMPARED, NOTHING),
        "newest event date of the 14 days before the metric date that has rows; null if none has",
        is_staged=True,
    ),
    Metric(
        *("newest_rows", TABLE, 2, BIG, NOT_COMPARED, NOTHING),
        "rows of newest_day; null if they are fewer than min_count",
        is_staged=True,
    ),
    Metric(
        *("duplicate_rows", TABLE, 2, BIG, NOT_COMPARED, NOTHING),
        "rows that repeat an earlier one whole; null if a key rules it out, or if whole rows are not read",
        is_staged=True,
    ),
    # Of a version of a database
    Metric("tables_count", VERSION, 1, BIG, COUNT, NOTHING, "tables and views measured"),
    Metric("columns_count", VERSION, 1, BIG, COUNT, NOTHING, "their columns"),
    Metric("rows_count", VERSION, 1, BIG, COUNT, NOTHING, "rows of tables, not of views"),
    Metric("bytes", VERSION, 1, BIG, COUNT, NOTHING, "on disk"),
    Metric("tables_new", VERSION, 1, BIG, NOT_COMPARED, NOTHING, "new tables"),
    Metric("tables_dropped", VERSION, 1, BIG, NOT_COMPARED, NOTHING, "dropped tables, and old names of renamed ones"),
    Metric("tables_renamed", VERSION, 1, BIG, NOT_COMPARED, NOTHING, "renamed tables"),
    Metric("columns_new", VERSION, 1, BIG, NOT_COMPARED, NOTHING, "new columns"),
    Metric("columns_dropped", VERSION, 1, BIG, NOT_COMPARED, NOTHING, "dropped columns, and old names of renamed ones"),
    Metric("columns_renamed", VERSION, 1, BIG, NOT_COMPARED, NOTHING, "renamed columns"),
    Metric("columns_retyped", VERSION, 1, BIG, NOT_COMPARED, NOTHING, "columns whose declared type changed"),
    Metric("excluded_count", VERSION, 1, BIG, NOT_COMPARED, NOTHING, "tables that the configuration excludes"),
    Metric(
        *("unreadable_count", VERSION, 1, BIG, NOT_COMPARED, NOTHING),
        "selected tables and columns that could not be measured",
    ),
    # Of a database, all of its versions
    Metric("version_changed", DATABASE, 0, SMALL, NOT_COMPARED, NOTHING, "0: as on previous_date, 1: changed"),
    Metric("versions_count", DATABASE, 0, BIG, NOT_COMPARED, NOTHING, "versions measured up to this date"),
    Metric("dates_count", DATABASE, 0, BIG, NOT_COMPARED, NOTHING, "dates measured up to this one"),
    Metric("tables_count", DATABASE, 0, BIG, COUNT, NOTHING, "tables and views measured"),
    Metric("columns_count", DATABASE, 0, BIG, COUNT, NOTHING, "their columns"),
    Metric("rows_count", DATABASE, 0, BIG, COUNT, NOTHING, "rows of tables, not of views"),
    Metric("bytes", DATABASE, 0, BIG, COUNT, NOTHING, "on disk"),
    # Of foreign keys
    Metric(
        *("declared", FOREIGN_KEY, 2, FLAG, NOT_COMPARED, NOTHING),
        "whether the database declares the foreign key; false: inferred",
    ),
    Metric(
        *("values_count", FOREIGN_KEY, 2, BIG, NOT_COMPARED, NOTHING), "rows of the child without a null in the key"
    ),
    Metric("orphans", FOREIGN_KEY, 2, BIG, NOT_COMPARED, NOTHING, "of these, rows whose value no parent has"),
    Metric("percent_orphans", FOREIGN_KEY, 2, DOUBLE, NOT_COMPARED, NOTHING, "0-100; null if values_count is 0"),
    Metric("parents", FOREIGN_KEY, 2, BIG, NOT_COMPARED, NOTHING, "different values of the parent's key"),
    Metric("parents_covered", FOREIGN_KEY, 2, BIG, NOT_COMPARED, NOTHING, "of these, values that the child refers to"),
)


def measured(describes: str) -> tuple[Metric, ...]:
    """The metrics that a measurement brings, compared or not, in their order: all others follow from several dates."""
    return tuple(one for one in METRICS if one.describes == describes and (one.compared or one.stat or one.is_staged))


def compared(describes: str) -> tuple[Metric, ...]:
    """The metrics that compare with an earlier date, in their order."""
    return tuple(one for one in METRICS if one.describes == describes and one.compared)
