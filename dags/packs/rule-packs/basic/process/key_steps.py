"""The steps of keys and references, and of pairs of columns."""

from __future__ import annotations

import polars as pl
from steps import (
    COLUMN,
    FEW,
    FOREIGN_KEY,
    FORMER,
    KEPT,
    PAIR,
    RARE,
    Step,
    hidden_share,
    share,
    total_of,
)

FEW_KEYS = 50  # values of a key that no constraint, nor a name like its table's, declares
MANY_KEYS = 1_000  # of one that neither its name nor its values tell from an amount, a name or a time
MANY_PAIRS = 10  # pairs of values that would be alike by chance, on average, if the numbers were spread evenly
LONGEST_CODE = 40  # characters
BEYOND = 2  # times as many repeated values as all that came can bring
FAR_BEYOND = 10  # the same, where fewer than FEW are enough


KEY_NEEDS = (
    *("is_key", "key_constraint", "infered_data_type", "levels_count", "value_counts", "min_length", "max_length"),
)
WIDTH = ("min_num_var", "max_num_var")


def _was_key() -> pl.Expr:
    """Whether the column was a key by a constraint, or by its values and a name like its table's."""
    is_declared = pl.col(f"key_constraint{FORMER}") != ""
    own = pl.col("is_own_key") & (pl.col(f"value_counts{FORMER}") >= FEW)
    return pl.col(f"is_key{FORMER}").cast(pl.Boolean) & (is_declared | own)


def _was_named() -> pl.Expr:
    """Whether it was unique and has the name of an identifier: that of another table, a code, a telephone number."""
    is_many = pl.col(f"value_counts{FORMER}") >= FEW_KEYS
    return pl.col(f"is_key{FORMER}").cast(pl.Boolean) & ~pl.col("is_foreign") & is_many


def _was_unique() -> pl.Expr:
    """Whether all values differed, and would not by chance, although the name does not tell of a key.

    Names, amounts, times and dates of birth differ, too, while there are few of them. So whole numbers must have been
    so close together that several pairs would have been alike by chance, texts all of one length, or either very many.
    """
    kind, values = pl.col("infered_data_type"), total_of("value_counts")(FORMER)
    is_unique = (pl.col(f"levels_count{FORMER}") == values) & (values >= FEW_KEYS) & ~pl.col("is_foreign")
    width = total_of("max_num_var")(FORMER) - total_of("min_num_var")(FORMER) + 1
    is_dense = (kind == "integer") & (values * values >= 2 * MANY_PAIRS * width)
    longest = total_of("max_length")(FORMER)
    is_code = (kind == "text") & (pl.col(f"min_length{FORMER}") == longest)
    is_like_code = (kind == "integer") | ((kind == "text") & (longest <= LONGEST_CODE))
    are_many = is_like_code & (values >= MANY_KEYS)
    return (is_unique & (is_dense.fill_null(value=False) | is_code | are_many)).fill_null(value=False)


def _times_chance(repeats: pl.Expr) -> pl.Expr:
    """How many times as many values repeat another one as those that came can bring.

    If all n values of a column differed, two of them are alike with a probability of at most about 3 of the n * n / 2
    pairs, so m more repeat at most about 6 * m / n values.
    """
    return repeats / (2 * RARE * _came() / total_of("value_counts")(FORMER))


def _came() -> pl.Expr:
    """The values that have come; of a table that has not kept its rows, all."""
    n, n0 = total_of("value_counts")(""), total_of("value_counts")(FORMER)
    return pl.when(pl.col(KEPT)).then((n - n0).clip(0)).otherwise(n)


def _key_nulls() -> Step:
    """Nulls in a column that was a key, or of which all values differed."""
    missing, values = total_of("na_values")(""), total_of("value_counts")("")
    never = total_of("na_values")(FORMER) == 0
    # More than those that came can bring, as there were none before
    clear = (missing > 0) & (missing >= FAR_BEYOND * RARE * _came() / total_of("value_counts")(FORMER))
    of_named = _was_named() & clear
    of_unique = _was_unique() & clear & never & (missing >= FEW) & pl.col(KEPT)
    return Step(
        name="step_key_na",
        of=COLUMN,
        needs=(*KEY_NEEDS, "na_values"),
        also=WIDTH,
        moved=pl.when((_was_key() & (missing > 0)) | of_named | of_unique)
        .then(100 * missing / (missing + values))
        .otherwise(0.0),
        quantity=total_of("na_values"),
        shows="na_values",
        unit="points",
        about="the share of nulls, in a column that was a key",
    )


def _repeats(name: str, was_so: pl.Expr, about: str) -> Step:
    """Values that appear more than once."""
    n, levels = total_of("value_counts")(""), total_of("levels_count")("")
    return Step(
        name=name,
        of=COLUMN,
        needs=(*KEY_NEEDS, "highest_frequency"),
        also=WIDTH,
        moved=pl.when((pl.col("highest_frequency") > 1) & was_so).then(100 * (n - levels) / n).otherwise(0.0),
        quantity=total_of("highest_frequency"),
        shows="highest_frequency",
        unit="points",
        about=about,
    )


def _duplicates() -> Step:
    """In a column that was a key, one is enough, unless only its name says so."""
    repeats = total_of("value_counts")("") - total_of("levels_count")("")
    was_so = _was_key() | (_was_named() & (_times_chance(repeats) >= FAR_BEYOND))
    about = "the share of values that repeat another one, in a column that was a key"
    return _repeats("step_duplicates", was_so, about)


def _no_longer_unique() -> Step:
    """In a column that only looked like a key, several that chance does not explain."""
    repeats = total_of("value_counts")("") - total_of("levels_count")("")
    was_so = _was_unique() & ~(_was_key() | _was_named()) & (repeats >= FEW) & (_times_chance(repeats) >= BEYOND)
    about = "the share of values that repeat another one, in a column whose values all differed"
    return _repeats("step_repeats", was_so.fill_null(value=False), about)


STEPS: tuple[Step, ...] = (
    _duplicates(),
    _no_longer_unique(),
    _key_nulls(),
    hidden_share(
        "step_greater",
        PAIR,
        "greater_count",
        "both_count",
        "the share of rows in which the first column is greater has changed",
        least=FEW,
    ),
    share(
        "step_orphans",
        FOREIGN_KEY,
        "orphans",
        ("values_count",),
        "the share of values without a parent has grown",
        least=FEW,
        first=True,
    ),
    share(
        "step_uncovered",
        FOREIGN_KEY,
        "parents_covered",
        ("parents",),
        "the share of parents that are referenced has fallen",
        side="down",
        least=FEW,
    ),
)
