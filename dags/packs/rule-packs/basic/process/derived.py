"""Derived metrics: what rules may name although metric pack basic does not store it.

They follow from the stored metrics of the judged date and of earlier ones: steps (`column_steps.py`), levels
(`level_steps.py`), days (`days.py`). Only those that a rule names are computed.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import days
import level_steps
import new_rows
import polars as pl
import seen
import sizes
import steps
from checks import reason
from column_steps import STEPS
from earlier import DAY, EPOCH
from relations import SOURCES, Metric, Objects
from since import SINCE
from steps import FORMER, KEPT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from accepted import Accepted
    from earlier import Earlier
    from new_rows import NewRows
    from steps import Step

Name = tuple[str, str]  # what a metric describes, and its name

OF_TABLES = ("rows_count", "newest_rows")  # tell whether a table has kept its rows; the second is not needed
BLOCK = 20_000  # objects whose metrics are derived at a time
MEASURE_NEEDS = ("infered_data_type", "key_constraint", "is_key", "levels_count", "value_counts", "fraction_count")
DECIMALS = 0.05  # of the numbers: so many have decimals only if they measure something
# Names of columns whose numbers identify or encode something: their mean says nothing.
CODED = (
    r"(?i)(^|_)(id|ids|key|code|codes|concept|number|num|numero|no|nr|nbo|zip|postcode|postal|phone|tel|uuid|guid|mrn|ssn|nir"
    r"|ipp|iep|rpps|finess|siret|year|annee|month|mois|day|jour)(_|$)"
    r"|[a-z]I[dD]$|(?-i:[a-z](Nr|No|Num|Code|Key)$)"
)


class Derived(NamedTuple):
    """One derived metric."""

    kind: str  # number or boolean
    needs: frozenset[Name]  # stored metrics
    shows: str  # the stored metric that alerts quote as observed and former; "": none
    unit: str
    about: str
    also: frozenset[Name] = frozenset()  # stored metrics that it reads if there are any, and that it does not show


def _declared() -> dict[Name, Derived]:
    found: dict[Name, Derived] = {}
    of_tables = {("table", OF_TABLES[0])}
    for step in STEPS:
        needs = frozenset({*((step.of, name) for name in step.needs), *of_tables})
        also = frozenset((step.of, name) for name in step.also)
        found[step.of, step.name] = Derived("number", needs, step.shows, step.unit, step.about, also)
    of_levels = (*level_steps.NEEDS, level_steps.KIND)
    needs = frozenset({("level", "frequency"), *(("column", name) for name in of_levels), *of_tables})
    for name, about in level_steps.ABOUT.items():
        found["column", name] = Derived("number", needs, "", "points", about)
    needs = frozenset({("day", "rows_count"), *(("table", name) for name in days.NEEDS)})
    for name, (unit, about) in days.ABOUT.items():
        shows = "rows_count" if name in {"rows_lost", "recent_lost", "rows_grown"} else ""
        kind, also = "number" if unit else "boolean", frozenset({("column", sizes.OLDEST)})
        found["table", name] = Derived(kind, needs, shows, unit, about, also)
    for metric in new_rows.METRICS:
        needs = frozenset({*(("column", need) for need in metric.needs), *of_tables})
        found["column", metric.name] = Derived("number", needs, "", metric.unit, metric.about)
    about = (
        "whether the numbers measure something, rather than identify or encode it, as far as their name and values tell"
    )
    found["column", "is_measure"] = Derived("boolean", frozenset(("column", n) for n in MEASURE_NEEDS), "", "", about)
    return found


METRICS = _declared()


def known(stored: Mapping[Name, Metric]) -> dict[Name, Metric]:
    """The derived metrics whose needs this version of metric pack basic stores."""
    return {
        name: Metric(
            one.kind,
            "",
            is_quotable=all(stored[need].is_quotable for need in one.needs),
            dtype=pl.Int8 if one.kind == "boolean" else pl.Float64,
        )
        for name, one in METRICS.items()
        if one.needs <= stored.keys()
    }


def since() -> dict[Name, str]:
    """The first version of metric pack basic that has a metric, or all that a derived one follows from; others always.

    Versions are compared by their numbers.
    """
    versions = {name: [SINCE[need] for need in one.needs if need in SINCE] for name, one in METRICS.items()}
    newest = {name: max(found, key=_numbers) for name, found in versions.items() if found}
    return {**SINCE, **newest}


def _numbers(version: str) -> list[int]:
    return [int(number) for number in version.split(".")]


def needed(metrics: Iterable[Name], stored: Iterable[Name]) -> set[Name]:
    """The stored metrics to read for these metrics."""
    found = {("table", name) for name in OF_TABLES}
    for name in metrics:
        found |= METRICS[name].needs | METRICS[name].also if name in METRICS else {name}
    return found & {*stored}


def add(
    objects: Mapping[str, Objects], metrics: Iterable[Name], earlier: Earlier, accepted: Accepted
) -> tuple[dict[str, Objects], dict[Name, str]]:
    """The objects with the derived metrics among these, and the former values that alerts on them quote.

    Metrics of one kind are computed together: an exception costs these, and no others.

    Args:
        objects: of the judged date, with what `needed` says.
        metrics: the metrics that rules name.
        earlier: the dates before.
        accepted: what somebody has said is right.

    Returns: the objects, and why metrics could not be computed.
    """
    named = {*metrics}
    wanted = named & METRICS.keys()
    errors: dict[Name, str] = {}
    if not wanted:
        return dict(objects), errors
    whole = {of: one.frame for of, one in objects.items()}
    of_days = {(of, name) for of, name in wanted if of == "table" and name in days.METRICS}
    if of_days:  # a holiday is told from all tables
        whole = _Night(whole, of_days, earlier, accepted, errors, None).frames()
    parts: dict[str, list[pl.DataFrame]] = {of: [] for of in objects}
    for tables, frames in _blocks(whole):
        for of, frame in _Night(frames, wanted - of_days, earlier, accepted, errors, tables).frames().items():
            parts[of].append(frame.select(_kept_columns(of, frame, named)))
    found = {of: pl.concat(parts[of], how="diagonal") for of in objects}  # what fails is missing in some blocks
    lost = {of: [name for one, name in errors if one == of] for of in objects}
    return {of: replace(one, frame=found[of].drop(lost[of], strict=False)) for of, one in objects.items()}, errors


def _kept_columns(of: str, frame: pl.DataFrame, named: set[Name]) -> list[str]:
    """The columns that rules and alerts need: not those from which only derived metrics follow."""
    names = {name for one, name in named if one == of}
    shown = {METRICS[of, name].shows for name in names if (of, name) in METRICS}
    kept = {"dbversion", *SOURCES[of].keys, *names, *shown, *(f"{name}{FORMER}" for name in shown)}
    return [name for name in frame.columns if name in kept]


def _blocks(frames: Mapping[str, pl.DataFrame]) -> Iterator[tuple[pl.Series | None, dict[str, pl.DataFrame]]]:
    """The objects of some tables at a time, so that what is computed of them takes little memory.

    Yields: the tables (None: all), and their objects, by what they are; all else with the first tables.
    """
    of_tables = [frame.select("table") for frame in frames.values() if "table" in frame.columns]
    counts = pl.concat(of_tables).group_by("table").len().sort("table") if of_tables else pl.DataFrame()
    if counts.is_empty() or counts["len"].sum() <= BLOCK:
        yield None, dict(frames)
        return
    part = ((counts["len"].cum_sum() - 1) // BLOCK).alias("part")
    for number, (_, some) in enumerate(counts.group_by(part, maintain_order=True)):
        tables = some["table"]
        is_here = pl.col("table").is_between(pl.lit(tables[0]), pl.lit(tables[-1]))
        block = {of: frame.filter(is_here) for of, frame in frames.items() if "table" in frame.columns}
        others = {of: (frame.clear() if number else frame) for of, frame in frames.items() if of not in block}
        yield tables, {**block, **others}


class _Night:
    """Computes the derived metrics of the objects of some tables in one night (tables: None: of all)."""

    def __init__(
        self,
        frames: Mapping[str, pl.DataFrame],
        wanted: set[Name],
        earlier: Earlier,
        accepted: Accepted,
        errors: dict[Name, str],
        tables: pl.Series | None,
    ) -> None:
        self._originals, self._frames = frames, dict(frames)
        self._wanted, self._earlier, self._errors, self._tables = wanted, earlier, errors, tables
        self._accepted = accepted
        self._day = earlier.date.toordinal() - EPOCH
        read = (METRICS[name].needs | METRICS[name].also for name in wanted)
        self._needs = {("table", name) for name in OF_TABLES}.union(*read)
        self._both: dict[str, pl.DataFrame] = {}

    def frames(self) -> dict[str, pl.DataFrame]:
        """The objects with the derived metrics, without those that cannot be computed."""
        of_steps = {
            of: [step for step in STEPS if step.of == of and (of, step.name) in self._wanted] for of in self._frames
        }
        for of, wanted in of_steps.items():
            self._try(of, [step.name for step in wanted], lambda: self._add_steps(of, wanted))  # noqa: B023  # called at once
        self._try("column", level_steps.METRICS, self._add_level_steps)
        of_new_rows = [one for one in new_rows.METRICS if ("column", one.name) in self._wanted]
        self._try("column", [one.name for one in of_new_rows], lambda: self._add_new_rows(of_new_rows))
        self._try("column", ["is_measure"], self._add_measures)
        self._try("table", days.METRICS, self._add_days)
        return self._frames

    def _try(self, of: str, names: Iterable[str], add: Callable[[], None]) -> None:
        """Add those of some metrics that are wanted, or say why that fails."""
        wanted = [(of, name) for name in names if (of, name) in self._wanted]
        if not wanted or wanted[0] in self._errors:  # they have failed of other tables
            return
        try:
            with self._earlier.apart():
                add()
        except Exception as error:  # noqa: BLE001  # a fault in one kind of metrics never affects the others
            self._errors.update((name, f"{name[1]} could not be computed: {reason(error)}") for name in wanted)

    @cached_property
    def _kept(self) -> pl.DataFrame:
        tables = self._frames.get("table")
        if tables is None or OF_TABLES[0] not in tables.columns:
            return pl.DataFrame(schema={"table": pl.String, KEPT: pl.Boolean})
        return steps.kept(self._with_former("table"))

    def _with_former(self, of: str) -> pl.DataFrame:
        """The objects with the metrics of both dates: all that are needed, read once."""
        if of not in self._both:
            keys, now = SOURCES[of].keys, self._originals[of]
            names = [name for name in now.columns if (of, name) in self._needs]
            former = self._earlier.former(of, names, now, self._tables)
            renamed = {name: name + FORMER for name in names} | {DAY: DAY + FORMER}
            now = now.select(*keys, *names, pl.lit(self._day, pl.Int64).alias(DAY))
            self._both[of] = now.join(former.rename(renamed), on=keys, how="left", maintain_order="left")
        return self._both[of]

    def _with_kept(self, of: str) -> pl.DataFrame:
        """The same, and whether the table of each object has kept its rows."""
        both = self._with_former(of).join(self._kept, on="table", how="left", maintain_order="left")
        return both.with_columns(pl.col(KEPT).fill_null(value=False))

    def _add_steps(self, of: str, wanted: list[Step]) -> None:
        keys = list(SOURCES[of].keys)
        both = self._with_kept(of)
        if of == "column":
            both = both.with_columns(_is_foreign(self._frames.get("foreign_key")), _is_own_key())
        elif of == "number_by_level":
            both = both.with_columns(_is_foreign(self._frames.get("foreign_key")))
        found = seen.of_night(
            wanted,
            keys,
            both,
            lambda names, places: self._earlier.recall(of, names, places),
            lambda name, past: self._accepted.unlike(of, name, past),
        )
        shown = dict.fromkeys(f"{step.shows}{FORMER}" for step in wanted if step.shows)
        self._put(of, both.select(*keys, *shown).join(found, on=keys, how="left", maintain_order="left"))

    def _add_level_steps(self) -> None:
        both = self._with_kept("column")
        levels = self._frames["level"].select("table", "column", "value", "frequency")
        former = self._earlier.levels_at(
            both.select("table", "column", pl.col(f"{DAY}{FORMER}").alias(DAY)), self._tables
        )
        found = level_steps.of_columns(both, levels, former, self._levels_of)
        self._put(
            "column",
            found.select("table", "column", *(n for n in level_steps.METRICS if ("column", n) in self._wanted)),
        )

    def _levels_of(self, columns: pl.DataFrame) -> pl.DataFrame:
        """The levels of columns on earlier dates, with the number of the column's values."""
        counts = self._earlier.recall("column", ["value_counts"], columns)
        counts = self._accepted.counted("column", level_steps.METRICS, counts)
        return self._earlier.levels_of(columns).join(counts, on=["table", "column", DAY])

    def _add_new_rows(self, wanted: list[NewRows]) -> None:
        found = new_rows.of_columns(
            wanted,
            self._with_kept("column"),
            lambda names, places: self._accepted.counted(
                "column", [one.name for one in wanted], self._earlier.recall("column", names, places)
            ),
        )
        self._put("column", found)

    def _add_measures(self) -> None:
        self._frames["column"] = self._frames["column"].with_columns(_is_measure(self._frames.get("foreign_key")))

    def _add_days(self) -> None:
        tables = self._with_former("table")
        history = self._earlier.recall("table", ["newest_day", "newest_rows", "rows_count"], tables.select("table"))
        views = self._frames.get(
            "day",
            pl.DataFrame(schema={"table": pl.String, "column": pl.String, "day": pl.String, "rows_count": pl.Int64}),
        )
        fewer = tables.filter(pl.col("rows_count") < pl.col(f"rows_count{FORMER}"))
        of_fewer = views.join(fewer, on="table", how="semi")
        former = self._earlier.days_of(of_fewer.select("table", "column").unique())
        lost = sizes.lost_of_days(of_fewer, former, self._day)
        columns = self._frames.get("column")
        plans = sizes.plans(columns, self._day) if columns is not None and sizes.OLDEST in columns.columns else []
        found = days.of_tables(tables, views, history, self._day, lost=lost, plans=plans)
        for names in (days.OF_LOADS, days.OF_SIZES):
            since = self._accepted.since("table", names, tables)
            if since is None:
                continue
            starts = tables.select("table", pl.Series("since", since)).filter(pl.col("since") > 0)
            newer = days.since(views, history, starts)
            if names is days.OF_SIZES:
                newer = views, self._accepted.counted("table", names, history)
            anew = days.of_tables(tables, *newer, self._day, lost=lost, plans=plans)
            anew = anew.join(starts, on="table", how="semi").select("table", *names)
            found = found.update(anew, on="table", include_nulls=True)
        self._put("table", found.join(tables.select("table", f"rows_count{FORMER}"), on="table", how="left"))

    def _put(self, of: str, found: pl.DataFrame) -> None:
        """Add columns to the objects, in their order."""
        keys = list(SOURCES[of].keys)
        more = found.drop([name for name in found.columns if name not in keys and name in self._frames[of].columns])
        self._frames[of] = self._frames[of].join(more, on=keys, how="left", maintain_order="left")


def _is_foreign(foreign_keys: pl.DataFrame | None) -> pl.Expr:
    """Whether the column refers to another table, alone or with others: those of a key are joined by commas."""
    if foreign_keys is None or foreign_keys.is_empty():
        return pl.lit(value=False).alias("is_foreign")
    apart = foreign_keys.select("table", pl.col("column").str.split(", ")).explode("column")
    columns = pl.concat([foreign_keys.select("table", "column"), apart])
    places = columns.select(pl.concat_str("table", "column", separator="\0")).to_series().unique()
    return pl.concat_str("table", "column", separator="\0").is_in(places.implode()).alias("is_foreign")


def _is_own_key() -> pl.Expr:
    """Whether the column is named `id`, or like its table: stay_id of stays."""
    name = pl.col("column").str.to_lowercase()
    table = pl.col("table").str.to_lowercase().str.split(".").list.last()
    stem = name.str.strip_suffix("_id")
    return ((name == "id") | ((stem != name) & table.str.starts_with(stem))).alias("is_own_key")


def _is_measure(foreign_keys: pl.DataFrame | None) -> pl.Expr:
    kind = pl.col("infered_data_type")
    has_decimals = (pl.col("fraction_count") >= DECIMALS * pl.col("value_counts")).fill_null(value=False)
    numbered = (kind == "integer") & (pl.col("levels_count") >= pl.col("value_counts")) & (pl.col("value_counts") > 1)
    found = (
        kind.is_in(["integer", "float"])
        & (pl.col("key_constraint") == "")
        & (pl.col("is_key").fill_null(0) == 0)
        & ~numbered
        & (~pl.col("column").str.contains(CODED) | has_decimals)
        & ~_is_foreign(foreign_keys)
    )
    return found.fill_null(value=False).cast(pl.Int8).alias("is_measure")
