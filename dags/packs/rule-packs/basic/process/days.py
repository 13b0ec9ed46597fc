"""Days: whether a table has got the rows of its newest day, and kept those of older days.

Two views of metric pack basic tell: the rows per day of the last 14 days, as they are now, and `newest_day` and
`newest_rows` of each earlier night, as the newest day was then. The second has the age that the judged day has now.

- A table is fed with a lag: the days from its newest day to the metric date, of which the most frequent counts.
- A day is missing if it is empty at that lag, although days like it never are, and by chance would not be. Where some
  are, a run of empty days must be beyond their share, and clearly longer than any before.
- A working day on which most tables are like on a Sunday is a holiday. What was there on an earlier one tells nothing.
- Rows arrive late: what part of a day's rows comes after the first night is taken from the nights before.

Rows of a day are taken for a count whose variance is at least `MORE_THAN_POISSON` times its mean, and as many times
that of the days like it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import growth
import polars as pl
import sizes
from earlier import DAY
from growth import VIEW
from sizes import CLEARLY, FEWEST_ROWS, FRIDAY, MICROSECONDS, SPREADS, WEEK, iso_weekday
from steps import FORMER

if TYPE_CHECKING:
    from collections.abc import Sequence

WEEKEND_NIGHTS = (1, 6, 7)  # the night before a Monday stores the rows of a Sunday
FEWEST_PEERS = 3  # days that the newest is compared with
MANY_PEERS = 5  # more: the least of them may have been a holiday
MANY_NIGHTS = 5  # on which a day's rows were seen for the first time
FEWEST_STEADY = 30  # of a day, on average, of which far fewer are a fault although some day had fewer than FEWEST_ROWS
HIDDEN_MOST = 4  # rows that a hidden count may be
FEWEST_OF_RHYTHM = 8  # rows of a working day, of a table that tells of holidays
SPREADS_ABOVE = 4.5  # of a count, above what is expected
MORE_THAN_POISSON = 1.5  # times the variance
RARE, RARE_RUN = 1e-4, 1e-3  # the chance of an empty day that is missing; of a run of them, where days have been empty
CLEARLY_MOST = 1.3  # times the most rows on any day before
FAR = 4.0  # times the most rows: also tables with few rows a day then tell whether it is the first load
FEW_ROWS = 5  # that they have on the day with fewest
NIGHTS = 3  # from which on more rows than ever are judged in any case; before, if most tables are as ever
QUIET = 0.6  # of a working day: what quiet Sundays have at most
FEWEST_TABLES, MOST_TABLES = 2, 0.7  # with quiet Sundays; the share of them that must be quiet

# name -> unit ("" of a boolean), one line for the documentation
ABOUT = {
    "load_missing": ("days", "days that should have rows and have none"),
    "load_low": ("percent", "rows of the newest day, of what is to be expected; 100 if not clearly fewer, or unknown"),
    "load_high": ("times", "rows of the newest day, compared with the most on any night before, or with a steady mean"),
    "rows_lost": (
        "percent",
        "rows lost since the former date, beyond those of the busiest day and what was lost before",
    ),
    "recent_lost": ("percent", "rows lost by a table that holds little but its newest days"),
    "rows_grown": ("times", "rows compared with the former date, without those of the newest days"),
    "rows_record": ("times", "rows compared with the most on any earlier date"),
    "is_holiday": ("", "whether a missing or low day is like a Sunday in this and most other tables"),
    "is_weekend": ("", "whether tables that are fed on working days get no rows on this metric date"),
}
METRICS = tuple(ABOUT)
# What says something about the newest day, and about all rows
OF_LOADS, OF_SIZES = (
    ("load_missing", "load_low", "load_high"),
    ("rows_lost", "recent_lost", "rows_grown", "rows_record"),
)
NEEDS = ("rows_count", "newest_rows", "newest_day")


def of_tables(
    tables: pl.DataFrame,
    views: pl.DataFrame,
    history: pl.DataFrame,
    day: int,
    *,
    lost: pl.DataFrame | None = None,
    plans: Sequence[str] = (),
) -> pl.DataFrame:
    """What the days say of each table. Days are numbered from 1970-01-01.

    Args:
        tables: "table", NEEDS and DAY of the judged date, and those of the former with the suffix FORMER.
        views: rows per day as the judged night sees them: "table", "column", day (text), rows_count; null: hidden.
        history: NEEDS and DAY of earlier usable dates.
        day: the judged date.
        lost: `sizes.LOST_OF_DAYS` of tables that may have lost rows.
        plans: tables whose dates all lie ahead: they are written anew every night.

    Returns: "table" and METRICS; null if there is no former date.
    """
    days = views.select("table", *sizes.counts())
    lost = pl.DataFrame(schema=sizes.LOST_OF_DAYS) if lost is None else lost
    tables = tables.join(lost, on="table", how="left", maintain_order="left").with_columns(
        pl.col("table").is_in(list(plans)).alias("is_plan")
    )
    found = sizes.of_tables(tables, days, history)
    grown, history = growth.of_tables(tables, history, day)
    loads = _loads(pl.concat([days.join(grown, on="table", how="anti"), grown]), history, day)
    found = found.join(loads, on="table", how="left", maintain_order="left")
    weekend = pl.lit((day + 3) % WEEK + 1 in WEEKEND_NIGHTS, pl.Int8)
    return found.with_columns(weekend.alias("is_weekend")).select(
        "table", *(pl.when(pl.col(f"{DAY}{FORMER}").is_not_null()).then(pl.col(name)).alias(name) for name in METRICS)
    )


def since(views: pl.DataFrame, history: pl.DataFrame, starts: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The days and the nights after what is accepted of some tables: "table", since. Other tables have all.

    The newest day of the accepted night is what was accepted, for as many nights as it stays the newest; so are days
    without rows, until one has some. Of a table without dates, the night after the accepted one is the first.
    """
    of = pl.col("day").str.to_date().to_physical().cast(pl.Int64)
    of_views, of_nights = (
        frame.join(starts, on="table", how="left").filter(day >= pl.col("since").fill_null(0)).sort("table", day)
        for frame, day in ((views, of), (history, pl.col(DAY)))
    )
    has_rows = (pl.col("rows_count").ne_missing(0)).cast(pl.Int8).cum_max().over("table") == 1
    has_no_dates = pl.col("newest_day").is_null().all().over("table")  # the next night tells of rows of its own
    is_other = pl.col("newest_day").ne_missing(pl.col("newest_day").first().over("table"))
    has_come = has_no_dates | (is_other.cast(pl.Int8).cum_max().over("table") == 1)
    newer, nights = (
        frame.filter(pl.col("since").is_null() | counts).drop("since")
        for frame, counts in ((of_views, has_rows), (of_nights, has_come))
    )
    return newer, nights


def _loads(days: pl.DataFrame, history: pl.DataFrame, day: int) -> pl.DataFrame:
    """load_missing, load_low, load_high of tables that have had a newest day."""
    nights = history.filter(pl.col("newest_day").is_not_null()).select(
        "table",
        (pl.col("newest_day") // MICROSECONDS).alias("of"),
        (pl.col(DAY) - pl.col("newest_day") // MICROSECONDS).alias("lag"),
        pl.col("newest_rows").cast(pl.Float64).alias("then"),
    )
    lags = nights.group_by("table").agg(pl.col("lag").mode().max())
    found = lags.with_columns((day - pl.col("lag")).alias("expected"))
    seen = days.join(found.select("table", "expected"), on="table").filter(pl.col("of") <= pl.col("expected"))
    seen = _without_holidays(seen)
    known = nights.join(found.select("table", "expected", pl.col("lag").alias("usual_lag")), on="table")
    parts = (_judged(seen), _runs(seen), _gaps(known, day), _peers(seen), _late(nights, days), _nights(known))
    for one in (*parts, _sundays(seen)):
        found = found.join(one, on="table", how="left", maintain_order="left")
    early = pl.col("early").fill_null(1.0)
    found = found.with_columns(
        (pl.col("mean") * early).alias("mean"),
        (pl.col("least") * early).alias("least"),
        (pl.col("mean") * pl.coalesce("early_mean", early)).alias("first"),
        (pl.col("weekend_least") * early).alias("weekend_least"),
    )
    found = found.with_columns(_is_missing().alias("is_missing"), _is_low().alias("is_low"))
    found = found.with_columns(_is_holiday(found).alias("is_holiday"))
    is_fault, is_holiday = pl.col("is_missing") | pl.col("is_low"), pl.col("is_holiday")
    rows = pl.col("rows")
    return found.with_columns(_high(found).alias("load_high")).select(
        "table",
        pl.when(pl.col("is_missing") & ~is_holiday)
        .then(pl.col("current").cast(pl.Float64))
        .otherwise(0.0)
        .alias("load_missing"),
        pl.when(pl.col("is_low") & ~is_holiday).then(100 * rows / _expected()).otherwise(100.0).alias("load_low"),
        "load_high",
        (is_fault & is_holiday).fill_null(value=False).cast(pl.Int8).alias("is_holiday"),
    )


def _is_missing() -> pl.Expr:
    """Whether the expected day is empty, and should not be."""
    gap, longest = pl.col("current"), pl.max_horizontal(pl.col("longest").fill_null(0), "longest_then")
    empty, peers = pl.col("empty") + pl.col("older_empty"), pl.col("peers") + pl.col("older")
    chance = (
        pl.when(iso_weekday(pl.col("expected")) <= FRIDAY)
        .then(_chance_of_none())
        .otherwise(_chance_of_none_on_a_weekend())
    )
    is_rare = (empty == 0) & (chance < RARE)
    share = (empty + 1) / (peers + 2)
    is_rare_run = (empty > 0) & (share.pow(gap) < RARE_RUN) & (gap > CLEARLY * longest)
    return (
        (gap > 0)
        & (gap > longest)
        & (is_rare | is_rare_run)
        & (pl.col("typical") > 0)
        & (pl.col("fed") >= FEWEST_PEERS)
        & ((pl.col("week_before").fill_null(1) > 0) | (gap > 1))
        & ((iso_weekday(pl.col("expected")) <= FRIDAY) | (pl.col("gap_week_before") == 0))
    )


def _is_low() -> pl.Expr:
    """Whether the expected day has some rows, but fewer than any day like it, and too few for chance."""
    rows, peers, least = pl.col("rows"), pl.col("peers"), pl.col("least")
    is_many = (peers > MANY_PEERS) & (pl.col("mean") >= FEWEST_STEADY)
    is_below = (
        2 * (pl.col("mean").sqrt() - pl.max_horizontal(rows, HIDDEN_MOST).sqrt())
        > SPREADS * pl.col("dispersion").sqrt()
    )
    is_far_below = (least >= FEWEST_ROWS) & (least - rows > SPREADS * least.sqrt())
    return (rows > 0) & (rows < least) & is_below & (is_many | ((peers >= FEWEST_PEERS) & is_far_below))


def _expected() -> pl.Expr:
    """The rows with which a day with few rows is compared."""
    return pl.when(pl.col("peers") > MANY_PEERS).then("mean").otherwise("least")


def _high(found: pl.DataFrame) -> pl.Expr:
    """load_high: 1 if the day has no more rows than others had."""
    rows, most = pl.col("rows"), pl.max_horizontal("most_then", "greatest")
    is_known = (pl.col("peers") >= FEWEST_PEERS) & (pl.col("least") >= FEWEST_ROWS)
    has_more = (rows > CLEARLY * most).fill_null(value=False)
    alone = _is_alone(found.filter(is_known).select(has_more)["rows"])
    is_told = (pl.col("peers") >= FEWEST_PEERS) & (pl.col("least") >= FEW_ROWS)
    far_alone = _is_alone(found.filter(is_told).select(has_more)["rows"])
    is_far = is_known & (rows >= FAR * most) & pl.lit(far_alone)
    is_high = (
        ((pl.col("nights") >= NIGHTS) & (pl.col("most_then") >= FEWEST_ROWS)) | (is_known & pl.lit(alone)) | is_far
    )
    is_above = 2 * (rows.sqrt() - pl.col("mean").sqrt()) > SPREADS_ABOVE * pl.col("dispersion").sqrt()
    is_steady = (pl.col("peers") > MANY_PEERS) & (pl.col("empty") == 0) & (rows > CLEARLY_MOST * most) & is_above
    return (
        pl.when(is_high)
        .then(pl.when(is_steady).then(pl.max_horizontal(rows / most, rows / pl.col("mean"))).otherwise(rows / most))
        .otherwise(1.0)
    )


def _chance_of_none() -> pl.Expr:
    """Of an empty day: of a negative binomial count with this mean and dispersion."""
    mean, dispersion = pl.col("first"), pl.col("dispersion")
    return (-mean * dispersion.log() / (dispersion - 1)).exp()


def _chance_of_none_on_a_weekend() -> pl.Expr:
    """The same of rows that come in lumps of one size, as many as on the weekend day with fewest: few are known."""
    return (-pl.min_horizontal("weekend_least", "mean") / pl.col("dispersion")).exp()


def _without_holidays(seen: pl.DataFrame) -> pl.DataFrame:
    """Without the holidays: working days on which most tables with quiet Sundays were like on a Sunday."""
    is_before = (pl.col("of") < pl.col("expected")) & (iso_weekday(pl.col("of")) <= FRIDAY)
    typical = seen.filter(is_before).group_by("table").agg(pl.col("rows").median().alias("typical"))
    of_rhythm = seen.filter(is_before).join(typical.join(_sundays(seen), on="table").filter(_has_rhythm()), on="table")
    is_quiet = pl.col("rows") <= pl.min_horizontal(QUIET * pl.col("typical"), 2 * pl.col("sunday_most"))
    days = of_rhythm.group_by("of").agg(pl.len(), is_quiet.sum().alias("quiet"))
    is_holiday = (pl.col("len") >= FEWEST_TABLES) & (pl.col("quiet") >= MOST_TABLES * pl.col("len"))
    return seen.filter(~(is_before & pl.col("of").is_in(days.filter(is_holiday)["of"].implode())))


def _has_rhythm() -> pl.Expr:
    """Whether the Sundays of a table are quiet."""
    typical = pl.col("typical")
    return (pl.col("sunday_most") <= QUIET * typical) & (typical >= FEWEST_OF_RHYTHM)


def _judged(seen: pl.DataFrame) -> pl.DataFrame:
    """rows: of the expected day."""
    return seen.filter(pl.col("of") == pl.col("expected")).select("table", "rows")


def _runs(seen: pl.DataFrame) -> pl.DataFrame:
    """current: empty days up to the expected one; longest: of earlier runs.

    If the expected day is a working day, working days alone.
    """
    is_empty = pl.col("rows") == 0
    counts = is_empty & ((iso_weekday(pl.col("of")) <= FRIDAY) | (iso_weekday(pl.col("expected")) > FRIDAY))
    runs = (
        seen.sort("table", "of")
        .with_columns(counts.cast(pl.Int64).alias("counts"), (~is_empty).cum_sum().over("table").alias("run"))
        .group_by("table", "run")
        .agg(pl.col("counts").sum().alias("length"))
    )
    is_last = pl.col("run") == pl.col("run").max()
    return runs.group_by("table").agg(
        pl.col("length").filter(is_last).sum().alias("current"),
        pl.col("length").filter(~is_last).max().alias("longest"),
    )


def _gaps(nights: pl.DataFrame, day: int) -> pl.DataFrame:
    """longest_then: the longest run of empty days, counted alike, up to the day that an earlier night expected.

    gap_week_before: the run of the night a week before; null if that is not known.
    older, older_empty: the number of nights before the view that expected a day like this one, and had none.
    """
    last = pl.col("of") + pl.col("lag") - pl.col("usual_lag")
    working = _working_days(last) - _working_days(pl.col("of"))
    gap = pl.when(iso_weekday(pl.col("expected")) > FRIDAY).then(last - pl.col("of")).otherwise(working)
    week_before = (last - pl.col("of")).filter(pl.col("of") + pl.col("lag") == day - WEEK).max()
    told = nights.with_columns(gap.alias("gap"), last.alias("last"), (pl.col("of") + pl.col("lag")).alias("night"))
    told = told.with_columns(
        (pl.len().over("night") >= FEWEST_TABLES).alias("is_told"),
        (pl.col("gap") > 0).mean().over("night").alias("part"),
    )
    is_holiday = pl.col("is_told") & (pl.col("part") >= MOST_TABLES)
    wanted, weekday = iso_weekday(pl.col("expected")), iso_weekday(pl.col("last"))
    alike = pl.when(wanted > FRIDAY).then(weekday == wanted).otherwise(weekday <= FRIDAY)
    is_older = alike & ~is_holiday & (pl.col("last") <= pl.col("expected") - VIEW)
    return told.group_by("table").agg(
        pl.when(is_holiday).then(0).otherwise("gap").max().alias("longest_then"),
        week_before.alias("gap_week_before"),
        is_older.sum().alias("older"),
        (is_older & (pl.col("gap") > 0)).sum().alias("older_empty"),
    )


def _peers(seen: pl.DataFrame) -> pl.DataFrame:
    """Of the days before the expected one that are like it: other working days, or the same day of the weekend.

    Without those of its current run of empty days. The mean and the dispersion (variance by mean) are those of days
    with rows, without the day with most; the dispersion that of working days.
    """
    weekday, wanted = iso_weekday(pl.col("of")), iso_weekday(pl.col("expected"))
    alike = pl.when(wanted > FRIDAY).then(weekday == wanted).otherwise(weekday <= FRIDAY)
    last = pl.col("of").filter(pl.col("rows") > 0).max().over("table")
    before = seen.filter((pl.col("of") < pl.col("expected")) & (pl.col("of") <= last)).sort("table", "rows")
    counts, working = pl.col("rows").filter(alike), pl.col("rows").filter((weekday <= FRIDAY) & (pl.col("rows") > 0))
    with_rows, many = counts.filter(counts > 0), alike.sum() > MANY_PEERS
    least = pl.when(many).then(counts.bottom_k(2).max()).otherwise(counts.min())
    steady = working.head(pl.max_horizontal(working.len(), 2) - 1)
    dispersion = MORE_THAN_POISSON * pl.max_horizontal(steady.var() / steady.mean(), 1.0)
    return before.group_by("table", maintain_order=True).agg(
        alike.sum().alias("peers"),
        (counts == 0).sum().alias("empty"),
        (pl.col("rows") > 0).sum().alias("fed"),
        least.alias("least"),
        pl.col("rows").filter(weekday > FRIDAY).min().alias("weekend_least"),
        counts.max().alias("greatest"),
        counts.median().alias("typical"),
        pl.when(many)
        .then(with_rows.head(pl.max_horizontal(with_rows.len(), 2) - 1).mean())
        .otherwise(counts.min())
        .alias("mean"),
        dispersion.fill_nan(None).fill_null(MORE_THAN_POISSON).alias("dispersion"),
        pl.col("rows").filter(pl.col("of") == pl.col("expected") - WEEK).max().alias("week_before"),
    )


def _sundays(seen: pl.DataFrame) -> pl.DataFrame:
    """sunday_least, sunday_most: rows of the Sundays before the expected day."""
    sundays = seen.filter((iso_weekday(pl.col("of")) == WEEK) & (pl.col("of") < pl.col("expected")))
    return sundays.group_by("table").agg(
        pl.col("rows").min().alias("sunday_least"), pl.col("rows").max().alias("sunday_most")
    )


def _is_holiday(found: pl.DataFrame) -> pl.Expr:
    """Whether the table's expected day is a working day that is like a Sunday, as in most tables with quiet Sundays.

    The second such day in a row is none: a load that has failed as a whole is found then.
    """
    rows, typical = pl.col("rows"), pl.col("typical")
    is_working = (iso_weekday(pl.col("expected")) <= FRIDAY) & (pl.col("current") <= 1)
    like_sunday = (rows >= pl.col("sunday_least") / 2) & (rows <= 2 * pl.col("sunday_most")) & (rows <= QUIET * typical)
    told = found.filter(is_working & _has_rhythm()).select(like_sunday.fill_null(value=False).alias("is_quiet"))[
        "is_quiet"
    ]
    is_holiday = len(told) >= FEWEST_TABLES and told.sum() >= MOST_TABLES * len(told)
    return pl.lit(is_holiday) & is_working & like_sunday


def _is_alone(high: pl.Series) -> bool:
    """Whether two tables are as ever for each that is high: it is not the first load after one from an archive."""
    return len(high) - int(high.sum()) >= FEWEST_TABLES * max(int(high.sum()), 1)


def _late(nights: pl.DataFrame, days: pl.DataFrame) -> pl.DataFrame:
    """early: the least part of a day's rows that was there on the night on which the day was the newest, up to 1.

    early_mean: the mean part, if it is known of many nights.
    """
    part = pl.col("then") / pl.col("rows")
    return (
        nights.join(days.filter(pl.col("rows") > 0), on=["table", "of"])
        .group_by("table")
        .agg(
            pl.min_horizontal(pl.lit(1.0), part.min()).alias("early"),
            pl.when(pl.len() >= MANY_NIGHTS).then(part.clip(upper_bound=1.0).mean()).alias("early_mean"),
        )
    )


def _nights(nights: pl.DataFrame) -> pl.DataFrame:
    """nights, most_then: number of nights with the usual lag, and the most rows on one of them."""
    return (
        nights.filter(pl.col("lag") == pl.col("usual_lag"))
        .group_by("table")
        .agg(pl.len().alias("nights"), pl.col("then").max().alias("most_then"))
    )


def _working_days(day: pl.Expr) -> pl.Expr:
    """The number of working days up to a day, from a Monday on."""
    return (day + 3) // WEEK * FRIDAY + ((day + 3) % WEEK + 1).clip(upper_bound=FRIDAY)
