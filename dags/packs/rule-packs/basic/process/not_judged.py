"""Not judged: why open incidents have no alert on a date, unless all that they are about is well.

They become rows of hdm_not_judged.

An alert that is missing proves nothing by itself. So each open incident without one is looked into: what the rule gave
for each object that the alerts of the incident were about. Only if all are ok there is no row, and it is resolved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl
import returned
from kinds import ERROR, EXPLAINED, GONE, NO_HISTORY, NO_METRICS, NOT_APPLICABLE, OK, ORDER, REASONS, RETIRED, USUAL
from measured import Measured
from watch import SCHEMA, Watch, place

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from judge import Judgement
    from open_incidents import Incidents
    from relations import Objects
    from rules import Rules

MAX_REASON = 500  # characters


class Row(NamedTuple):
    """A row of hdm_not_judged."""

    rule_id: str
    table: str
    column: str
    kind: str
    reason: str


def watch(incidents: Incidents, rules: Rules, objects: Mapping[str, Objects]) -> Watch | None:
    """Keeps what the rules of open incidents give; None: there are none."""
    if incidents.frame.is_empty():
        return None
    numbers = rules.frame.select(pl.col("id_rule").alias("of_rule")).with_row_index("rule")
    of_members = incidents.members.select("of_rule").unique().join(numbers, on="of_rule")["rule"]
    own = incidents.frame.filter(pl.col("rule").is_not_null())
    everywhere = own.filter(pl.col("table") == "")["rule"].unique()
    tables = pl.concat([own["table"], incidents.members["of_table"]]).unique()
    return Watch(
        rules,
        objects,
        [*own["rule"].unique(), *of_members],
        tables.filter(tables != "").to_list(),
        everywhere.to_list(),
    )


def general(errors: Mapping[int, str], missing: Mapping[int, str], incomplete: Iterable[str]) -> Iterator[Row]:
    """What was not judged whatever incidents there are: rules, and tables and columns that were not measured.

    Args:
        errors: id_rule -> why it could not be judged.
        missing: id_rule -> which metric the metric pack does not have.
        incomplete: tables, and columns as table.column.
    """
    for number, error in errors.items():
        yield Row(str(number), "", "", ERROR, error[:MAX_REASON])
    for number, need in missing.items():
        yield Row(str(number), "", "", NO_METRICS, need[:MAX_REASON])
    for name in incomplete:
        table, _, column = name.rpartition(".")
        yield Row("", name, "", NO_METRICS, REASONS[NO_METRICS])
        if table:  # a table's name may have a dot of its own
            yield Row("", table, column, NO_METRICS, REASONS[NO_METRICS])


class Quiet(NamedTuple):
    """Open incidents without an alert on the judged date."""

    incidents: Incidents  # those that are open
    raised: pl.DataFrame  # rule_id, "table", "column" ('' for none) of those that have an alert
    judgement: Judgement
    news: pl.DataFrame  # the breaches that are news, explained or not; others have become usual, or were accepted
    incomplete: Sequence[str]  # what the metric pack could not measure
    night: returned.Night

    def unknown(self) -> list[Row]:
        """If nothing is known of them: they stay open."""
        frame = self._frame().select("rule_id", "table", "column")
        reason = "whether it has ended could not be computed"
        return [Row(rule_id, table, column, EXPLAINED, reason) for rule_id, table, column in frame.iter_rows()]

    def rows(
        self, _: list[Row], *, watch: Watch | None, errors: Mapping[int, str], missing: Mapping[int, str]
    ) -> list[Row]:
        """Why they have none.

        Args:
            _: what is written if this fails.
            watch: what it has kept; None: there are no incidents.
            errors: id_rule -> why it could not be judged.
            missing: id_rule -> which metric the metric pack does not have.
        """
        if watch is None:
            return []
        failed = {*errors, *missing}
        frame = self._frame().filter(~pl.col("id_rule").is_in([*failed]).fill_null(value=False))
        off = frame.filter(pl.col("rule").is_null())["rule_id"].unique().sort()
        found = [Row(rule_id, "", "", RETIRED, REASONS[RETIRED]) for rule_id in off]
        frame = frame.filter(pl.col("rule").is_not_null()).with_row_index("key")
        if frame.height:
            with self.night.base.transaction():
                found += _rows(frame, self._kinds(frame, watch.outcomes(), failed))
        return found

    def _frame(self) -> pl.DataFrame:
        return self.incidents.frame.join(self.raised, on=["rule_id", "table", "column"], how="anti")

    def _kinds(self, frame: pl.DataFrame, seen: pl.DataFrame, failed: Collection[int]) -> pl.DataFrame:
        """key, kind: of each object that an incident is about."""
        night = self.night
        targets = _targets(frame, self.incidents.members, night.rules)
        tables = pl.concat([targets["table"], frame["table"]]).unique()
        measured = Measured.read(night, tables.filter(tables != "").to_list(), self.incomplete)
        found = _compared_again(_found(targets, _settled(seen, self.news)), night)
        found = found.with_columns(_overruled(found, measured))
        absent = targets.join(found, on="number", how="anti").filter(~pl.col("is_optional"))
        whys = [
            _why_absent(one, failed, self.judgement, night.objects, measured) for one in absent.iter_rows(named=True)
        ]
        of_absent = absent.select("key", pl.Series("kind", whys, dtype=pl.String))
        return _without_new(pl.concat([found.select("key", "kind"), of_absent]), frame, night.rules)


def _rows(frame: pl.DataFrame, kinds: pl.DataFrame) -> Iterator[Row]:
    """Of several kinds of one incident, the first of ORDER. In most kinds, an empty column means all.

    What is about the whole table would be about its other incidents, too: then it names this one, which stays open.
    """
    order = pl.col("kind").replace_strict({kind: nth for nth, kind in enumerate(ORDER)}, return_dtype=pl.Int8)
    by_key = kinds.group_by("key").agg(pl.col("kind").sort_by(order).first())
    of_rule, of_table = pl.len().over("rule_id") > 1, pl.len().over("rule_id", "table") > 1
    is_wide = (pl.col("table") == "") & of_rule | (pl.col("table") != "") & (pl.col("column") == "") & of_table
    decided = frame.with_columns(is_wide=is_wide).join(by_key, on="key", how="left", maintain_order="left")
    for rule_id, table, column, kind, wide in decided.select(
        "rule_id", "table", "column", pl.col("kind").fill_null(NO_METRICS), "is_wide"
    ).iter_rows():
        if kind in {EXPLAINED, USUAL} or (kind != OK and not wide):
            yield Row(rule_id, table, column, kind, REASONS[kind])
        elif kind != OK:
            yield Row(rule_id, table, column, EXPLAINED, f"{kind}: {REASONS[kind]}")


def _without_new(kinds: pl.DataFrame, quiet: pl.DataFrame, rules: Rules) -> pl.DataFrame:
    """Without what does not count for an Info on states since the first date: other objects than those states."""
    of_all = quiet.filter(pl.col("table") == "")
    is_sum = [check.is_baseline for check in rules.checks_of(of_all["rule"])]
    sums = of_all.filter(pl.Series(is_sum, dtype=pl.Boolean))["key"]
    states = pl.col("kind").is_in([USUAL, OK])
    return kinds.filter(~pl.col("key").is_in(sums.implode()) | states | ~states.any().over("key"))


def _targets(quiet: pl.DataFrame, members: pl.DataFrame, rules: Rules) -> pl.DataFrame:
    """What each incident is about: number, key, opened_on, rule (null: not judged), of_rule, the place, is_exact.

    Those of which no alert has said more are about their own rule and place: an empty table or column is any.
    """
    numbers = rules.frame.select(pl.col("id_rule").alias("of_rule")).with_row_index("rule")
    keys = ["rule_id", "table", "column"]
    known = (
        quiet.select("key", "opened_on", *keys)
        .join(members, on=keys)
        .select(
            "key",
            "opened_on",
            "of_rule",
            pl.col("of_table").alias("table"),
            pl.col("of_column").alias("column"),
            "other_table",
            "other_column",
            is_exact=True,
            is_optional=False,
        )
    )
    has_members = pl.col("key").is_in(known["key"].unique().implode())
    own = quiet.filter(~has_members | (pl.col("column") != "")).select(
        "key",
        "opened_on",
        pl.col("id_rule").alias("of_rule"),
        "table",
        "column",
        other_table=pl.lit(""),
        other_column=pl.lit(""),
        is_exact=False,
        is_optional=has_members,
    )
    found = pl.concat([known, own]).join(numbers, on="of_rule", how="left", maintain_order="left")
    return found.with_columns(pl.col("rule").cast(pl.Int32)).with_row_index("number")


def _settled(seen: pl.DataFrame, news: pl.DataFrame) -> pl.DataFrame:
    """What was seen, with `kind`: of a breach, whether it is news."""
    keys = ["rule", "table", "column", "other_table", "other_column"]
    fresh = pl.concat(
        [
            news.select("rule", *place(pl.lit(value=is_alone))).with_columns(
                pl.col("rule").cast(pl.Int32), is_news=True
            )
            for is_alone in (False, True)
        ]
    ).unique(keys)
    return seen.join(fresh, on=keys, how="left", maintain_order="left").with_columns(
        kind=pl.when(pl.col("outcome") != "breached")
        .then(pl.col("outcome").replace({"no value": NOT_APPLICABLE, "unknown": NO_METRICS}))
        .when("is_news")
        .then(pl.lit(EXPLAINED))
        .otherwise(pl.lit(USUAL))
    )


def _found(targets: pl.DataFrame, seen: pl.DataFrame) -> pl.DataFrame:
    """The outcomes of each target: number, key, opened_on, and columns of `seen`."""
    about = ["number", "key", "opened_on"]
    exact = ["rule", "table", "column", "other_table", "other_column"]
    parts = [targets.filter("is_exact").select(*about, *exact).join(seen, on=exact)]
    own = targets.filter(~pl.col("is_exact"))
    for keys, chosen in (
        (["rule", "table", "column"], pl.col("column") != ""),
        (["rule", "table"], (pl.col("column") == "") & (pl.col("table") != "")),
        (["rule"], pl.col("table") == ""),
    ):
        parts.append(own.filter(chosen).select(*about, *keys).join(seen, on=keys))
    return pl.concat([part.select(*about, *SCHEMA, "kind") for part in parts])


def _compared_again(found: pl.DataFrame, night: returned.Night) -> pl.DataFrame:
    """The same, after what is not in breach has been compared with the dates before its incident."""
    if found.is_empty():
        return found
    numbers = found["rule"].unique()
    checks = list(zip(numbers, night.rules.checks_of(numbers), strict=True))
    compare = [number for number, check in checks if returned.compares(check)]
    changes = [number for number, check in checks if returned.is_change(check)]
    is_null = pl.col("outcome") == "no value"
    again = (pl.col("outcome") == "ok") & pl.col("rule").is_in(compare) | is_null & pl.col("rule").is_in(changes)
    found = found.with_columns(
        kind=pl.when(is_null & pl.col("rule").is_in(compare)).then(pl.lit(NO_HISTORY)).otherwise("kind")
    )
    some = found.filter(again)
    if some.is_empty():
        return found
    places = ["rule", "of", "table", "column", "other_table", "other_column", "opened_on"]
    distinct = some.select(places).unique(maintain_order=True)
    now = distinct.with_columns(returned.judged(night, distinct).alias("now"))
    joined = found.join(now, on=places, how="left", maintain_order="left")
    return joined.with_columns(kind=pl.when(again).then("now").otherwise("kind")).drop("now")


def _overruled(found: pl.DataFrame, measured: Measured) -> pl.Series:
    """The kind, unless the object was measured in part or is gone, and is not in breach."""
    if not measured.incomplete and not measured.dropped:
        return found["kind"]
    kinds = []
    for kind, table, column in found.select("kind", "table", "column").iter_rows():
        if kind != EXPLAINED and measured.is_incomplete(table, column):
            kinds.append(NO_METRICS)
        elif kind != EXPLAINED and measured.absent(table, column) == GONE:
            kinds.append(GONE)
        else:
            kinds.append(kind)
    return pl.Series("kind", kinds, dtype=pl.String)


def _why_absent(
    target: Mapping[str, Any],
    failed: Collection[int],
    judgement: Judgement,
    objects: Mapping[str, Objects],
    measured: Measured,
) -> str:
    """Why a rule has given nothing of an object."""
    number, table, column = target["rule"], target["table"], target["column"]
    if target["of_rule"] in failed:
        return ERROR
    if number is not None and measured.is_incomplete(table, column):
        return NO_METRICS
    gone = measured.absent(table, column) if table else ""
    if number is None or gone:
        return gone or RETIRED
    of = judgement.rules[number].check.of
    is_there = of in {"column", "table"} or not table or _is_object(objects, of, table, column)
    return RETIRED if is_there else NOT_APPLICABLE


def _is_object(objects: Mapping[str, Objects], of: str, table: str, column: str) -> bool:
    """Whether there is such an object of a column: a foreign key, a pair."""
    if of not in objects:
        return False
    frame = objects[of].frame
    return not frame.filter((pl.col("table") == table) & ((pl.col("column") == column) | (column == ""))).is_empty()
