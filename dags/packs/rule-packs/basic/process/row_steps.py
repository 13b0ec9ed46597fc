"""The steps of whole rows: those that repeat another one."""

from __future__ import annotations

import polars as pl
from steps import FEW, ODDS, SPREADS_OF_KEPT, TABLE, Step, of_both, total_of

UNSEEN = 3  # repeats that there may have been where none was seen: 95 % of the counts of a mean of 3 are above 0


def _duplicates() -> Step:
    """Rows that repeat another one, beyond those that so many rows bring by chance.

    Chance repeats are as frequent as pairs of rows, whose number grows with the square of that of the rows. So small
    tables are judged as well, and it does not matter whether the table has kept its rows.
    """
    repeats, repeats0 = of_both(total_of("duplicate_rows"))
    rows, rows0 = of_both(total_of("rows_count"))
    expected = (repeats0 + UNSEEN) * (rows / rows0).pow(2)
    share, share0 = repeats / rows, repeats0 / rows0
    is_new = (repeats - expected > SPREADS_OF_KEPT * expected.sqrt()) & (repeats - repeats0 >= FEW)
    clear = is_new & (share >= ODDS * share0)
    return Step(
        name="step_duplicate_rows",
        of=TABLE,
        needs=("duplicate_rows", "rows_count"),
        moved=pl.when((rows <= 0) | (rows0 < FEW)).then(None).when(clear).then(100 * (share - share0)).otherwise(0.0),
        quantity=lambda suffix: 100 * total_of("duplicate_rows")(suffix) / total_of("rows_count")(suffix),
        shows="duplicate_rows",
        unit="points",
        about="the share of repeated rows has grown",
    )


STEPS: tuple[Step, ...] = (_duplicates(),)
