"""Days: missing, partial and doubled loads; rows lost and gained; what is none of these."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl
import pytest

from tests.unit.rule_basic_harness import pack

FORMER = pack.steps.FORMER
TODAY = dt.date(2026, 1, 30)  # a Friday: its night loads a Thursday
EPOCH = dt.date(1970, 1, 1)
MICROSECONDS = 86_400_000_000  # of a day


def number(date: dt.date) -> int:
    """Days since 1970."""
    return (date - EPOCH).days


def judged(
    counts: dict[dt.date, int | None],
    *,
    rows: int = 10_000,
    nights: list[tuple[dt.date, dt.date, int, int]],
    today: dt.date = TODAY,
    lost: tuple[float, float] | None = None,
    is_plan: bool = False,
) -> dict[str, Any]:
    """What the days say of one table.

    Args:
        counts: rows per day of the last 14 days, as the judged night sees them; days without are empty.
        rows: of the table.
        nights: metric date, newest day, its rows then, rows of the table then; ascending.
        today: the metric date.
        lost: rows lost of the days that the former night saw, and the most on an earlier night.
        is_plan: all its dates lie ahead.
    """
    span = [today - dt.timedelta(days=n) for n in range(14, 0, -1)]
    views = pl.DataFrame(
        {
            "table": "t",
            "column": "at",
            "day": [str(day) for day in span],
            "rows_count": [counts.get(day, 0) for day in span],
        }
    )
    history = pl.DataFrame(
        [("t", number(date), number(day) * MICROSECONDS, newest, then) for date, day, newest, then in nights],
        schema=["table", "day_number", "newest_day", "newest_rows", "rows_count"],
        orient="row",
    )
    date, day, newest, then = nights[-1]
    with_rows = [one for one in span if counts.get(one, 0) != 0]
    now = {
        "rows_count": rows,
        "newest_rows": counts[with_rows[-1]] if with_rows else None,
        "newest_day": number(with_rows[-1]) * MICROSECONDS if with_rows else None,
        "day_number": number(today),
    }
    former = {
        "rows_count": then,
        "newest_rows": newest,
        "newest_day": number(day) * MICROSECONDS,
        "day_number": number(date),
    }
    tables = pl.DataFrame([{"table": "t", **now, **{f"{name}{FORMER}": value for name, value in former.items()}}])
    of_days = pl.DataFrame([("t", *lost)] if lost else [], schema=pack.sizes.LOST_OF_DAYS, orient="row")
    found = pack.days.of_tables(tables, views, history, number(today), lost=of_days, plans=["t"] if is_plan else [])
    return found.row(0, named=True)


def week(*, weekday: int = 100, weekend: int = 100, today: dt.date = TODAY) -> dict[dt.date, int | None]:
    """Rows per day."""
    days = [today - dt.timedelta(days=n) for n in range(14, 0, -1)]
    return {day: weekday if day.isoweekday() < 6 else weekend for day in days}


def night(
    before: int = 1, *, rows: int = 100, then: int = 9_900, lag: int = 1, today: dt.date = TODAY
) -> tuple[Any, ...]:
    """An earlier night."""
    date = today - dt.timedelta(days=before)
    return date, date - dt.timedelta(days=lag), rows, then


def less(counts: dict[dt.date, int | None], days: int, rows: int | None) -> dict[dt.date, int | None]:
    """The same with other rows on the day so many days ago."""
    return {**counts, TODAY - dt.timedelta(days=days): rows}


QUIET = {"load_missing": 0, "load_low": 100, "load_high": 1, "rows_lost": 0, "recent_lost": 0, "rows_grown": 1}


def test_a_sound_night_is_quiet() -> None:
    found = judged(week(), nights=[night()])
    assert {name: found[name] for name in QUIET if name != "rows_grown"} == {
        k: v for k, v in QUIET.items() if k != "rows_grown"
    }
    assert found["rows_grown"] < 1
    assert found["is_weekend"] == 0


@pytest.mark.parametrize("weekend", [100, 5, 0])
def test_a_missing_day_is_found_on_the_second_night(weekend: int) -> None:
    assert judged(less(week(weekend=weekend), 1, 0), nights=[night()])["load_missing"] == 1


def test_a_weekend_without_rows_is_no_missing_day() -> None:
    sunday = dt.date(2026, 2, 1)  # its night would load a Saturday
    counts = week(weekend=0, today=sunday)
    assert judged(counts, nights=[night(today=sunday)], today=sunday)["load_missing"] == 0
    nights = [night(7, today=sunday), night(today=sunday)]  # a week before, there were rows on its night
    missing = {**week(today=sunday), sunday - dt.timedelta(days=1): 0}
    assert judged(missing, nights=nights, today=sunday)["load_missing"] == 1


def test_one_sunday_before_tells_little() -> None:
    """Visits of few patients, with many rows each: on the Saturdays there were hardly any."""
    monday = dt.date(2026, 1, 26)
    nights = [night(7, today=monday), night(today=monday)]
    lumps = (120, 90, 60, 150, 80, 2, 53, 140, 70, 130, 60, 110, 0, 0)
    counts: dict[dt.date, int | None] = dict(zip(week(today=monday), lumps, strict=True))
    assert judged(counts, nights=nights, today=monday)["load_missing"] == 0
    steady = (120, 119, 121, 120, 118, 60, 62, 121, 120, 119, 118, 122, 61, 0)
    counts = dict(zip(week(today=monday), steady, strict=True))
    assert judged(counts, nights=nights, today=monday)["load_missing"] == 1


def test_a_table_fed_every_third_day_misses_none() -> None:
    counts = {TODAY - dt.timedelta(days=n): 100 if n % 3 == 0 else 0 for n in range(1, 15)}
    assert judged(counts, nights=[night(2, lag=1), night(1, lag=2)])["load_missing"] == 0


def test_rows_that_come_two_days_late_are_not_missing() -> None:
    counts = less(less(week(), 1, 0), 2, 0)
    assert judged(counts, nights=[night(lag=3)])["load_missing"] == 0
    assert judged(less(counts, 3, 0), nights=[night(lag=3)])["load_missing"] == 1


def test_few_rows_a_day_tell_nothing() -> None:
    assert judged(less(week(weekday=9, weekend=9), 1, 0), nights=[night(rows=9)])["load_missing"] == 0


def test_a_partial_day_is_found_on_the_second_night() -> None:
    assert judged(less(week(weekend=10), 1, 40), nights=[night()])["load_low"] == pytest.approx(40)


def test_half_of_the_rows_come_a_day_late() -> None:
    counts = less(week(), 1, 52)
    assert judged(counts, nights=[night(rows=50)])["load_low"] == 100  # yesterday's had doubled since
    assert judged(less(counts, 1, 10), nights=[night(rows=50)])["load_low"] == pytest.approx(20)


def test_more_rows_than_ever_are_judged_after_three_nights() -> None:
    counts = less(week(), 1, 200)
    assert judged(counts, nights=[night(2), night(1)])["load_high"] == 1  # no other table tells
    assert judged(counts, nights=[night(3), night(2), night(1)])["load_high"] == 2


def test_old_rows_are_lost() -> None:
    assert judged(week(), rows=4_950, nights=[night()])["rows_lost"] == pytest.approx(49, abs=1)


def test_a_window_of_few_days_loses_no_old_rows() -> None:
    """It holds ten days: each night, one goes and one comes."""
    counts = week(weekend=0)
    assert judged(counts, rows=900, nights=[night(then=1_000)])["rows_lost"] == 0


def test_a_table_of_one_day_may_shrink_on_weekends() -> None:
    sunday = dt.date(2026, 2, 1)
    found = judged(
        {sunday - dt.timedelta(days=1): 40}, rows=40, nights=[night(rows=100, then=100, today=sunday)], today=sunday
    )
    assert (found["rows_lost"], found["recent_lost"], found["is_weekend"]) == (0, pytest.approx(60), 1)


def test_what_has_been_seen_before_is_no_loss() -> None:
    nights = [night(2, then=4_000), night(1, then=9_900)]
    assert judged(week(), rows=4_950, nights=nights)["rows_lost"] == 0


def test_rows_of_new_days_are_no_growth() -> None:
    first = judged(week(), rows=2_000, nights=[night(then=1_000)])
    assert first["rows_grown"] < 1.3  # a young table
    assert judged(week(), rows=20_000, nights=[night(then=9_900)])["rows_grown"] > 1.9


def test_hidden_counts_are_few_rows() -> None:
    assert judged(less(week(), 1, None), nights=[night()])["load_low"] == pytest.approx(2)


def test_weekends_of_earlier_nights_do_not_excuse_working_days() -> None:
    """On a Monday's night the newest day was a Friday: three days before."""
    nights = [(dt.date(2026, 1, 26), dt.date(2026, 1, 23), 100, 9_500), night(2), night(1)]
    assert judged(less(week(weekend=0), 1, 0), nights=nights)["load_missing"] == 1


def test_a_load_that_comes_after_the_weekend_misses_no_saturday() -> None:
    """The view shows last Saturday's rows, but they were not there on its night."""
    sunday = dt.date(2026, 2, 1)
    counts = {**week(today=sunday), sunday - dt.timedelta(days=1): 0}
    nights = [(dt.date(2026, 1, 25), dt.date(2026, 1, 23), 100, 9_000), night(today=sunday)]
    assert judged(counts, nights=nights, today=sunday)["load_missing"] == 0


def several(rows: dict[str, tuple[int, int, int]], metric: str = "", *, holiday: int = 0) -> dict[str, float]:
    """A metric of several tables; without one, whether their judged day is missing or low: 1, or a holiday: 0.

    Args:
        rows: by table: on working days, on weekends, on the judged Thursday.
        metric: the metric.
        holiday: so many days ago no table got rows; on its night the newest day was an older one.
    """
    views, tables, history = [], [], []
    for table, (weekday, weekend, last) in rows.items():
        days = {**week(weekday=weekday, weekend=weekend), TODAY - dt.timedelta(days=1): last}
        views += [(table, "at", str(day), count) for day, count in days.items()]
        newest = (number(TODAY) - (1 if last else 2)) * MICROSECONDS
        former = (number(TODAY) - 2) * MICROSECONDS
        tables.append((table, 9_000, last, newest, number(TODAY), 9_000, weekday, former, number(TODAY) - 1))
        history.append((table, number(TODAY) - 1, former, weekday, 9_000))
        if holiday:
            views[-holiday] = (table, "at", views[-holiday][2], 0)
            of_holiday = number(TODAY) - holiday
            history += [
                (table, of_holiday + 1 + n, (of_holiday + n - 2 * (n == 0)) * MICROSECONDS, weekday, 9_000)
                for n in range(6)
            ]
    names = ["rows_count", "newest_rows", "newest_day", "day_number"]
    found = pack.days.of_tables(
        pl.DataFrame(tables, schema=["table", *names, *(f"{name}{FORMER}" for name in names)], orient="row"),
        pl.DataFrame(views, schema=["table", "column", "day", "rows_count"], orient="row"),
        pl.DataFrame(history, schema=["table", "day_number", "newest_day", "newest_rows", "rows_count"], orient="row"),
        number(TODAY),
    )
    if metric:
        return dict(zip(found["table"], found[metric], strict=True))
    return {row["table"]: row["load_missing"] + (row["load_low"] < 50) for row in found.iter_rows(named=True)}


def test_a_holiday_is_like_a_sunday_in_most_tables() -> None:
    quiet = {"a": (100, 30, 32), "b": (200, 50, 45), "office": (100, 0, 0)}
    assert several(quiet) == {"a": 0, "b": 0, "office": 0}
    assert several({"a": (100, 0, 0), "b": (200, 0, 0)}) == {"a": 0, "b": 0}


def test_one_quiet_table_is_no_holiday() -> None:
    assert several({"a": (100, 30, 32), "b": (200, 50, 190), "c": (100, 0, 0)}) == {"a": 1, "b": 0, "c": 1}


def test_no_rows_at_all_are_no_holiday() -> None:
    """A load that has failed as a whole."""
    assert several({"a": (100, 30, 0), "b": (200, 50, 0)}) == {"a": 1, "b": 1}


def test_one_table_with_more_rows_than_ever_is_found_on_the_second_night() -> None:
    found = several({"a": (100, 100, 210), "b": (200, 200, 190), "c": (100, 100, 110)}, "load_high")
    assert found == {"a": 2.1, "b": 0.95, "c": 1.1}


def test_the_first_load_after_one_from_an_archive_is_no_fault() -> None:
    """All tables have far more rows than on the days of the archive."""
    found = several({"a": (100, 100, 2_000), "b": (200, 200, 4_000), "c": (100, 100, 110)}, "load_high")
    assert found == {"a": 1, "b": 1, "c": 1}


def test_tables_with_few_rows_tell_of_the_archive_if_one_has_many_times_as_many() -> None:
    small = {"b": (10, 10, 9), "c": (12, 12, 14)}
    assert several({"a": (100, 100, 1_000), **small}, "load_high") == {"a": 10, "b": 1, "c": 1}
    assert several({"a": (100, 100, 210), **small}, "load_high") == {"a": 1, "b": 1, "c": 1}
    tenfold = {"b": (10, 10, 90), "c": (12, 12, 140)}
    assert several({"a": (100, 100, 1_000), **tenfold}, "load_high") == {"a": 1, "b": 1, "c": 1}


def growing(came: list[int], *, late: bool = False) -> dict[str, Any]:
    """What the days say of a table that has got so many rows on the nights up to today's.

    Args:
        came: rows of a night.
        late: whether it has a date, that of the load, so that what came the night before is of the newest day.
    """
    nights, count, first = [], 5_000, number(TODAY) - len(came)
    for n, rows in enumerate([0, *came]):
        count += rows
        newest = ((first + n - 1) * MICROSECONDS, [0, *came][n - 1]) if late and n > 1 else (None, None)
        nights.append(("t", first + n, *newest, count))
    names = ["day_number", "newest_day", "newest_rows", "rows_count"]
    seen = pl.DataFrame(nights, schema={"table": pl.String, **dict.fromkeys(names, pl.Int64)}, orient="row")
    history, now = seen.head(-1), seen.tail(1)
    former = history.tail(1).rename({name: name + FORMER for name in names})
    views = pl.DataFrame(schema={"table": pl.String, "column": pl.String, "day": pl.String, "rows_count": pl.Int64})
    if late:
        views = pl.DataFrame(
            [("t", "at", str(TODAY - dt.timedelta(days=n)), rows) for n, rows in enumerate(came[-2::-1], 1)],
            schema=views.schema,
            orient="row",
        )
    return pack.days.of_tables(now.join(former, on="table"), views, history, number(TODAY)).row(0, named=True)


def test_a_table_without_dates_gets_no_rows() -> None:
    """What it has grown by each night takes the place of rows per day."""
    came = [42, 45, 38, 41, 44, 39, 43, 40, 46]
    assert growing([*came, 41])["load_missing"] == 0
    assert growing([*came, 0])["load_missing"] == 1
    assert growing([0])["load_missing"] is None
    assert not growing([*came[:4], -60, *came[4:], 0])["load_missing"]  # it does not keep its rows
    assert growing([0, 0, 200, 0, 0, 0, 190, 0, 0, 0])["load_missing"] == 0


def test_a_table_without_dates_gets_too_few_or_too_many() -> None:
    came = [142, 145, 138, 141, 144, 139, 143, 140, 146]
    assert growing([*came, 60])["load_low"] == pytest.approx(42, abs=1)
    assert growing([*came, 285])["load_high"] == pytest.approx(2, abs=0.05)


def test_a_date_of_the_load_does_not_hide_what_the_night_has_loaded() -> None:
    came = [142, 145, 138, 141, 144, 139, 143, 140, 146]
    assert growing([*came, 0], late=True)["load_missing"] == 1
    assert growing([*came, 60], late=True)["load_low"] == pytest.approx(42, abs=1)
    assert growing([*came, 285], late=True)["load_high"] == pytest.approx(2, abs=0.05)
    assert growing([*came, 140], late=True)["load_missing"] == 0
    assert growing([*came, 0, 141], late=True)["load_missing"] == 0  # that of the night before has been told


def test_a_holiday_two_weeks_ago_excuses_nothing() -> None:
    """Neither that it was empty in all tables, nor that their nights saw a gap."""
    rows = {"a": (100, 0, 0), "b": (100, 0, 90)}
    assert several(rows, "load_missing", holiday=8) == {"a": 1, "b": 0}
    rows = {"a": (100, 0, 30), "b": (100, 0, 90)}
    assert several(rows, "load_low", holiday=8) == {"a": pytest.approx(30), "b": 100}


def test_an_empty_day_of_one_table_is_no_holiday() -> None:
    """It has been empty before, so one more such day tells nothing."""
    counts = less(week(weekend=0), 8, 0)
    assert judged(less(counts, 1, 0), nights=[night(n) for n in range(6, 0, -1)])["load_missing"] == 0
    assert judged(less(counts, 1, 30), nights=[night(n) for n in range(6, 0, -1)])["load_low"] == pytest.approx(30)


def test_a_long_run_of_empty_days_is_news_even_if_single_ones_are_not() -> None:
    nights = [night(n) for n in range(35, 5, -1) if n != 20]
    nights[15:15] = [(TODAY - dt.timedelta(days=20), TODAY - dt.timedelta(days=22), 100, 9_900)]  # an empty day
    for empty in (1, 2, 3):
        view = week()
        for n in range(1, empty + 1):
            view = less(view, n, 0)
        assert judged(view, nights=nights)["load_missing"] == (3 if empty == 3 else 0)


def test_a_small_load_of_every_day_is_missed() -> None:
    """Fourteen rows a day are not none by chance; nine may be."""
    small = [12, 16, 14, 11, 17, 13, 15, 14, 12, 18, 14, 13, 16, 14]
    counts: dict[dt.date, int | None] = dict(zip(week(), small, strict=True))
    assert judged(less(counts, 1, 0), nights=[night(rows=14)])["load_missing"] == 1
    halves = {day: rows and round(rows / 2) for day, rows in counts.items()}
    assert judged(less(halves, 1, 0), nights=[night(rows=7)])["load_missing"] == 0


def test_rows_that_come_in_lumps_may_be_none() -> None:
    """Twenty rows a patient, and few patients."""
    lumps = [20, 80, 20, 40, 60, 20, 20, 80, 40, 20, 20, 60, 20, 40]
    counts: dict[dt.date, int | None] = dict(zip(week(), lumps, strict=True))
    assert judged(less(counts, 1, 0), nights=[night(rows=40)])["load_missing"] == 0


@pytest.mark.parametrize(
    ("spread", "low", "high"),
    [(6, 43, 2), (50, 100, 1)],  # steady: a day of 40 or 200 percent is none of them; unsteady: it may be
)
def test_a_day_is_judged_by_how_steady_the_others_are(spread: int, low: float, high: float) -> None:
    signs = [-1, 1, 0, -1, 1, -1, 1, 0, 1, -1, 1, -1, 0, 1]
    counts: dict[dt.date, int | None] = {day: 90 + spread * sign for day, sign in zip(week(), signs, strict=True)}
    nights = [night(n, rows=90) for n in (3, 2, 1)]
    assert judged(less(counts, 1, 36), nights=nights)["load_low"] == pytest.approx(low, abs=2)
    assert judged(less(counts, 1, 180), nights=nights)["load_high"] == pytest.approx(high if high == 1 else 2, abs=0.3)


def test_a_growing_table_that_loses_its_newest_days_has_lost_rows() -> None:
    """It held fewer rows three weeks ago."""
    nights = [night(n, then=10_000 - 100 * n) for n in range(20, 0, -1)]
    view = dict.fromkeys(week(), 0) | dict.fromkeys(list(week())[:7], 100)
    nights[5] = night(15, then=8_390)  # it has lost some before
    found = judged(view, rows=9_300, nights=nights, lost=(600, 0))
    assert found["rows_lost"] == pytest.approx(5, abs=0.1)
    assert judged(view, rows=9_300, nights=nights)["rows_lost"] == 0
    assert judged(view, rows=9_300, nights=nights, lost=(600, 500))["rows_lost"] == 0  # as on earlier nights


@pytest.mark.parametrize(
    ("nights", "came", "found"),
    [(20, 100, True), (8, 450, True), (7, 450, False), (5, 100, True), (4, 100, False)],
)
def test_a_table_that_has_only_grown_loses_old_rows(nights: int, came: int, found: bool) -> None:
    """It held less on the first of so many nights. On few, it may have risen by chance, and fall by as much."""
    then = [night(n, then=10_000 - came * n) for n in range(nights, 0, -1)]
    rows = 9_150 if nights > 5 else 9_700
    assert (judged(week(), rows=rows, nights=then)["rows_lost"] > 0) == found


@pytest.mark.parametrize("then", [0, 200])
def test_the_first_working_day_of_a_table_that_is_filled_anew(then: int) -> None:
    """All nights before were of a weekend."""
    tuesday = dt.date(2026, 1, 27)
    nights = [night(n, rows=then, then=then, lag=1, today=tuesday) for n in (2, 1)]
    found = judged({}, rows=450, nights=nights, today=tuesday)
    assert (found["rows_grown"], found["rows_record"]) == (1, 1)
    nights = [night(n, rows=then, then=then, lag=1, today=tuesday) for n in (4, 2, 1)]
    assert judged({}, rows=450, nights=nights, today=tuesday)["rows_record"] == (2.25 if then else 1)


def test_a_snapshot_that_has_risen_a_few_times_may_fall() -> None:
    """It is written anew once a week."""
    then = [night(n, then=9_000 + 300 * (3 - (n - 1) // 7)) for n in range(20, 0, -1)]
    assert judged(week(), rows=9_300, nights=then)["rows_lost"] == 0


def test_a_table_that_has_lost_rows_before_must_lose_clearly_more() -> None:
    then = [80, 72, 79, 70, 84]
    nights = [night(n, rows=0, then=rows) for n, rows in zip(range(5, 0, -1), then, strict=True)]
    assert judged({}, rows=65, nights=nights)["rows_lost"] == 0
    assert judged({}, rows=20, nights=nights)["rows_lost"] > 70


def test_a_plan_loses_rows_by_chance() -> None:
    nights = [night(rows=0, then=73)]
    assert judged({}, rows=63, nights=nights)["rows_lost"] > 10
    assert judged({}, rows=63, nights=nights, is_plan=True)["rows_lost"] == 0
    assert judged({}, rows=20, nights=nights, is_plan=True)["rows_lost"] > 70


def test_plans_are_tables_with_a_column_of_which_all_dates_lie_ahead() -> None:
    day = number(TODAY)
    oldest = [(day - 1) * MICROSECONDS, (day - 400) * MICROSECONDS, None]
    columns = pl.DataFrame({"table": ["plan", "log", "static"], "min_date_var": oldest})
    assert pack.sizes.plans(columns, day) == ["plan"]


def views(night_of: dt.date, rows: dict[int, int | None]) -> pl.DataFrame:
    """A night's rows per day, by how many days ago."""
    days = [str(night_of - dt.timedelta(days=n)) for n in rows]
    return pl.DataFrame(
        {"table": "t", "column": "at", "day": days, "rows_count": list(rows.values()), "day_number": number(night_of)},
        schema_overrides={"rows_count": pl.Int64, "day_number": pl.Int64},
    )


@pytest.mark.parametrize(
    ("now", "lost"),
    [
        ({1: 0, 2: 0, 3: 0, 4: 100}, 200),  # restored from an old copy
        ({1: 0, 2: 0, 3: 0, 4: 0}, 300),
        ({1: 100, 2: 100, 3: 0, 4: 0}, 0),  # a window of two days
        ({1: 100, 2: None, 3: 100, 4: 100}, 98),
    ],
)
def test_rows_lost_of_the_days_that_the_former_night_saw(now: dict[int, int | None], lost: int) -> None:
    former = pl.concat(
        [
            views(TODAY - dt.timedelta(days=2), {1: 120, 2: 100, 3: 100}),
            views(TODAY - dt.timedelta(days=1), {1: 100, 2: 100, 3: 100}),
        ]
    )
    found = pack.sizes.lost_of_days(views(TODAY, now).drop("day_number"), former, number(TODAY))
    assert found.row(0) == ("t", lost, 20)
