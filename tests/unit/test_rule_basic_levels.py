"""Levels that appear, vanish or move; levels that suppression only hides; shares of new rows."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from tests.unit.rule_basic_harness import pack

FORMER = pack.steps.FORMER
TODAY = 100


def frame(levels: dict[str, int]) -> pl.DataFrame:
    """Levels as they are stored."""
    return pl.DataFrame(
        [("t", "c", value, frequency) for value, frequency in levels.items()],
        schema={"table": pl.String, "column": pl.String, "value": pl.String, "frequency": pl.Int64},
        orient="row",
    )


def steps(
    now: dict[str, int],
    former: dict[str, int],
    *,
    values: int | None = None,
    before: int | None = None,
    kept: bool = True,
    kind: str = "text",
    past: list[tuple[dict[str, int], int]] | None = None,
    today: int = TODAY,
) -> dict[str, Any]:
    """The steps of one column.

    Args:
        now, former: its stored levels.
        values, before: of the column on both dates; None: those of the stored levels.
        kept: whether the table has kept its rows.
        kind: of the column.
        past: levels and values on earlier dates, the former the last; None: only it.
        today: the judged date.
    """
    values, before = values or sum(now.values()), before or sum(former.values())
    columns = pl.DataFrame(
        {
            "table": ["t"],
            "column": ["c"],
            "value_counts": [values],
            f"value_counts{FORMER}": [before],
            "kept": [kept],
            "infered_data_type": [kind],
        }
    )
    nights = [(former, before)] if past is None else past
    history = pl.concat(
        frame(levels).with_columns(
            pl.lit(today - len(nights) + n).alias("day_number"), pl.lit(count).alias("value_counts")
        )
        for n, (levels, count) in enumerate(nights)
    )
    return pack.level_steps.of_columns(columns, frame(now), frame(former), lambda _: history).row(0, named=True)


def test_nothing_moves() -> None:
    found = steps({"F": 520, "M": 500}, {"F": 510, "M": 490})
    assert [found[name] for name in pack.level_steps.METRICS] == [0, 0, 0, 0]


def test_a_level_appears() -> None:
    found = steps({"F": 510, "M": 250, "m": 240}, {"F": 510, "M": 490})
    assert found["step_level_new"] == pytest.approx(24)


def test_a_level_vanishes() -> None:
    found = steps({"F": 510, "X": 490}, {"F": 510, "M": 490})
    assert (found["step_level_lost"], found["step_level_new"]) == (pytest.approx(49), pytest.approx(49))


def test_a_share_moves() -> None:
    assert steps({"0": 900, "1": 100}, {"0": 600, "1": 400})["step_level_share"] == pytest.approx(30)


def test_what_is_hidden_may_have_been_there() -> None:
    """Levels of 30 values are hidden together with rare ones, so that these cannot be computed."""
    former, now = {"A": 500, "B": 400}, {"A": 500, "B": 400, "C": 30}
    assert steps(now, former, values=965, before=960)["step_level_new"] == 0
    assert steps(former, now, values=965, before=960)["step_level_lost"] == 0


def test_levels_that_come_and_go_are_no_news() -> None:
    now, former = {"A": 500, "B": 400, "C": 100}, {"A": 500, "B": 400}
    past = [(now, 1_000), (former, 900)]
    assert steps(now, former, past=past)["step_level_new"] == 0
    assert steps(former, now, past=[(former, 900), (now, 1_000)])["step_level_lost"] == 0


def test_dates_and_numbers_of_loads_are_no_codes() -> None:
    """A staging table is filled anew each night."""
    assert steps({"2026-01-31": 500}, {"2026-01-30": 500}, kind="date")["step_level_new"] is None
    assert steps({"32": 500}, {"31": 500}, kept=False)["step_level_new"] is None
    assert steps({"32": 500}, {"31": 500})["step_level_new"] == 100


def test_a_rare_new_code_is_no_step() -> None:
    assert steps({"A": 5_000, "B": 4_000, "N": 9}, {"A": 4_990, "B": 3_990})["step_level_new"] == 0


def test_columns_without_levels_have_no_steps() -> None:
    assert steps({}, {"A": 500}, values=500)["step_level_new"] is None
    assert steps({"A": 500}, {}, before=500)["step_level_new"] is None


GROWING = [({"0": 500 + 50 * n, "1": 500 + 50 * n}, 1_000 + 100 * n) for n in range(5)]


def test_the_rows_of_one_night_have_another_level() -> None:
    former, _ = GROWING[-1]
    now = {"0": former["0"] + 100, "1": former["1"]}
    assert steps(now, former, past=GROWING)["new_level_share"] == pytest.approx(50)
    assert steps(now, former, past=GROWING[-2:])["new_level_share"] == 0  # too few nights
    assert steps(now, former, past=GROWING, kept=False)["new_level_share"] == 0


def test_most_rows_of_the_second_night_have_a_level_that_never_was() -> None:
    former = {"a": 30_000, "b": 20_000}
    assert steps({**former, "0": 60}, former)["new_level_share"] == pytest.approx(100)
    assert steps({**former, "a": 30_030, "0": 30}, former)["new_level_share"] == 0
    assert steps({**former, "0": 60}, former, before=50_060, values=50_120)["new_level_share"] == 0  # hidden before


@pytest.mark.parametrize("rows", [60_000, 5_000])
def test_a_working_day_may_bring_a_first_stage_that_sundays_lack(rows: int) -> None:
    """If all that is known is the night of a Sunday."""
    monday, former = 95, {"sent": rows}
    now = {"sent": rows, "open": 140}
    found = steps(now, former, today=monday + 1)
    assert (found["step_level_new"], found["new_level_share"]) == (0, 0)
    assert steps(now, former)["new_level_share"] > 0
    old = {"sent": rows - 1_000, "open": 1_000}  # old rows have changed
    assert steps(old, former, today=monday + 1)["step_level_new"] > 0


def test_a_hidden_level_may_have_been_as_frequent_before() -> None:
    """As soon as another level has enough values, one that it would have revealed is stored."""
    past = [({"0": 500 + 50 * n}, 540 + 50 * n) for n in range(6)]
    former, before = past[-1]
    now = {"0": former["0"] + 25, "1": 35, "2": 5}
    assert steps(now, former, values=before + 25, before=before, past=past)["new_level_share"] == 0
    now = {"0": former["0"], "1": 60, "2": 5}
    assert steps(now, former, values=before + 25, before=before, past=past)["new_level_share"] == pytest.approx(100)


def test_the_rows_of_one_night_are_like_those_before() -> None:
    former, _ = GROWING[-1]
    assert steps({"0": former["0"] + 60, "1": former["1"] + 40}, former, past=GROWING)["new_level_share"] == 0


def new_rows(name: str, now: dict[str, Any], past: list[dict[str, Any]], *, kept: bool = True) -> Any:
    """One metric of the new rows of one column."""
    (metric,) = [one for one in pack.new_rows.METRICS if one.name == name]
    both = pl.DataFrame(
        [{"table": "t", "column": "c", **now, **{f"{k}{FORMER}": v for k, v in past[-1].items()}, "kept": kept}]
    )
    history = pl.DataFrame([{"table": "t", "column": "c", "day_number": n, **one} for n, one in enumerate(past)])
    return pack.new_rows.of_columns([metric], both, lambda *_: history)[name][0]


def nulls(missing: int, rows: int) -> dict[str, int]:
    """Metrics of a column."""
    return {"na_values": missing, "value_counts": rows - missing}


NIGHTS = [nulls(100 + 10 * n, 1_000 + 100 * n) for n in range(5)]


@pytest.mark.parametrize(
    ("now", "points"),
    [
        (nulls(240, 1_500), 90),  # all of the night's are null: 10 % were
        (nulls(150, 1_500), 0),
        (nulls(175, 1_500), 0),  # less than 30 points beyond
        (nulls(155, 1_415), 90),  # of a few rows all
        (nulls(147, 1_415), 0),  # and not half
        (nulls(147, 1_407), None),  # too few rows
    ],
)
def test_nulls_of_new_rows(now: dict[str, int], points: float | None) -> None:
    assert new_rows("new_na", now, NIGHTS) == (points if points is None else pytest.approx(points))


def test_the_first_nulls_of_few_rows() -> None:
    """So few rows come in a night that the nights tell of no range."""
    past = [nulls(0, 500 + 5 * n) for n in range(5)]
    assert new_rows("new_na", nulls(8, 528), past) == pytest.approx(100)
    assert new_rows("new_na", nulls(7, 528), past) == 0
    assert new_rows("new_na", nulls(8, 528), past[-3:]) == 0
    assert new_rows("new_na", nulls(9, 528), [nulls(1, 500 + 5 * n) for n in range(5)]) == 0


def test_the_first_placeholders_tell_from_the_second_night_on() -> None:
    """Nulls may be filled later; no text is written wrongly and corrected."""
    now = {"placeholder_count": 30, "na_values": 30, "value_counts": 530}
    former = {"placeholder_count": 0, "na_values": 0, "value_counts": 500}
    assert new_rows("new_placeholder", now, [former]) == pytest.approx(100)
    assert new_rows("new_placeholder", now, [{**former, "placeholder_count": 1}]) == 0
    assert new_rows("new_placeholder", now, [{**former, "value_counts": 100}]) == 0
    assert new_rows("new_na", {**now, "value_counts": 500}, [former]) == 0


def test_new_rows_are_known_only_of_tables_that_keep_their_rows() -> None:
    assert new_rows("new_na", nulls(240, 1_500), NIGHTS, kept=False) is None


def test_new_rows_of_open_stays_are_usual_without_an_end() -> None:
    """All new rows are null each night, and are filled later."""
    past = [nulls(100, 1_000 + 100 * n) for n in range(5)]
    assert new_rows("new_na", nulls(200, 1_500), [*past[:-1], nulls(100, 1_400)]) == pytest.approx(100)
    opened = [nulls(100 + 100 * n, 1_000 + 100 * n) for n in range(5)]
    assert new_rows("new_na", nulls(600, 1_500), opened) == 0


def hours(nights: list[float], *, distinct: int = 1_000) -> dict[str, Any]:
    """Metrics of 10,000 moments at noon, and of 1,000 more with the mean hour of each night."""
    rows = 10_000 + 1_000 * len(nights)
    mean = (12 * 10_000 + 1_000 * sum(nights)) / rows
    levels = 9_000 + 1_000 * (len(nights) - 1) + distinct
    return {"hour_mean": mean, "value_counts": rows, "midnight_count": 0, "levels_count": levels}


def test_the_hour_of_new_rows() -> None:
    nights = [12.2, 11.8, 12.1, 11.9]
    past = [hours(nights[:number]) for number in range(5)]
    assert new_rows("new_hour", hours([*nights, 17]), past) == pytest.approx(4.8)
    assert new_rows("new_hour", hours([*nights, 12.5]), past) == 0


def test_a_load_may_move_to_another_hour() -> None:
    """Its rows have few moments, or have been within minutes of each other every night."""
    nights = [12.2, 11.8, 12.1, 11.9]
    past = [hours(nights[:number]) for number in range(5)]
    assert new_rows("new_hour", hours([*nights, 17], distinct=12), past) is None
    nights = [12.02, 12.0, 12.01, 12.03]
    past = [hours(nights[:number]) for number in range(5)]
    assert new_rows("new_hour", hours([*nights, 17]), past) == 0


def test_a_new_month_is_no_new_level() -> None:
    now, former = {"2025-12": 500, "2026-01": 400, "2026-02": 100}, {"2025-12": 500, "2026-01": 400}
    assert steps(now, former)["step_level_new"] is None


def test_columns_whose_old_rows_change_say_nothing_of_new_rows() -> None:
    """An order has no date of delivery until it is delivered."""
    past = [nulls(50, 1_000), nulls(100, 1_100), nulls(90, 1_200), nulls(130, 1_300), nulls(140, 1_400)]
    assert new_rows("new_na", nulls(240, 1_500), past) == 0


def test_a_status_that_evolves_says_nothing_of_new_rows() -> None:
    """Orders are new until they are sent: in nights with few orders, more are sent than come."""
    past, new, sent = [], 6, 500
    for night in range(12):
        new, sent = (new + 4, sent + 8) if night % 2 == 0 else (new - 4, sent + 12)
        past.append(({"new": new, "sent": sent}, new + sent))
    former, _ = past[-1]
    assert steps({"new": new + 28, "sent": sent + 2}, former, past=past)["new_level_share"] == 0
    steady = [({"new": 100 + 25 * n, "sent": 900 + 25 * n}, 1_000 + 50 * n) for n in range(10)]
    evolved = {"new": 380, "sent": 1_100}  # old rows have changed tonight
    assert steps(evolved, steady[-1][0], past=steady)["new_level_share"] == 0


def test_a_table_that_does_not_change_has_a_level_that_is_new() -> None:
    former = {"F": 21, "M": 16}
    now = {"F": 18, "M": 11, "X": 8}
    assert steps(now, former)["step_level_new"] == 0
    assert steps(now, former, past=[(former, 37)] * 4)["step_level_new"] == pytest.approx(100 * 8 / 37)
    assert steps(now, former, past=[({"F": 22, "M": 15}, 37), *[(former, 37)] * 4])["step_level_new"] == 0
    assert steps(now, former, past=[(former, 37)] * 3)["step_level_new"] == 0
