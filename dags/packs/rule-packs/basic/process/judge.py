"""Judges rules: compares whole columns of metrics, and keeps of the results only counts and breaches.

A rule and an object give one outcome: ok, breached, or not judged for one of REASONS; a rule that cannot be judged
gives an error of its own. Rules with the same metric and operator are compared together.

Other modules plug in here: laws decide for the rules that state one (`laws.Law`), and whatever drops breaches before
the alerts are written takes a `Judgement` and returns one (`Judgement.without`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import conditions
import families
import numpy as np
import polars as pl
import wording
from checks import reason
from laws import BREACHED, NOT_JUDGED, OK, UNKNOWN
from rules import FINEST_SCOPES, Check, RuleError, Rules

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from conditions import Condition
    from families import Assignment
    from laws import Law
    from relations import Objects
    from rules import Exempt, Rule
    from watch import Watch

    Indices = np.ndarray[Any, np.dtype[np.int32]]
    Mask = np.ndarray[Any, np.dtype[np.bool_]]
    Levels = np.ndarray[Any, np.dtype[np.int8]]

REASONS = ("no value", "no history", "not applicable", "unknown")

# One row per breach. `rule` is an index into the list of rules; `observed` and `former` are null if they may be values
# of patients; `detail` says in words what was found. `level` is null, or another one than the rule's.
BREACHES: dict[str, Any] = {
    "rule": pl.Int32,
    **dict.fromkeys(("dbversion", "table", "column", "other_table", "other_column"), pl.String),
    **dict.fromkeys(("observed", "former", "threshold", "detail", "level"), pl.String),
}


@dataclass(frozen=True)
class Judgement:
    """The outcomes of one endpoint and date. Arrays have one element per rule."""

    rules: Sequence[Rule]
    ok: np.ndarray[Any, np.dtype[np.int64]]
    breached: np.ndarray[Any, np.dtype[np.int64]]  # all breaches, explained or not
    explained: np.ndarray[Any, np.dtype[np.int64]]  # breaches that raise no alert, because another one is their cause
    not_judged: dict[str, np.ndarray[Any, np.dtype[np.int64]]]  # by reason
    breaches: pl.DataFrame  # see BREACHES: those that raise alerts
    errors: dict[int, str]  # index of a rule -> why it could not be judged

    @property
    def covers_nothing(self) -> Mask:
        """The rules that no object matches."""
        found: Mask = self.ok + self.breached + sum(self.not_judged.values()) == 0
        found[list(self.errors)] = False
        return found

    def failed(self, errors: Mapping[int, str]) -> Judgement:
        """The same judgement after some rules could not be judged: index -> why. Nothing of them counts."""
        if not errors:
            return self
        is_failed = np.zeros(len(self.rules), np.bool_)
        is_failed[list(errors)] = True
        return replace(
            self,
            ok=np.where(is_failed, 0, self.ok),
            breached=np.where(is_failed, 0, self.breached),
            explained=np.where(is_failed, 0, self.explained),
            not_judged={reason: np.where(is_failed, 0, counts) for reason, counts in self.not_judged.items()},
            breaches=self.breaches.filter(~pl.col("rule").is_in(list(errors))),
            errors={**self.errors, **errors},
        )

    def without(self, explained: pl.Series) -> Judgement:
        """The same judgement after some breaches turned out to be explained: true, one per breach."""
        counts = np.bincount(self.breaches["rule"].filter(explained).to_numpy(), minlength=len(self.rules))
        return replace(self, explained=self.explained + counts, breaches=self.breaches.filter(~explained))

    def unjudged(self, reason: str, dropped: pl.Series) -> Judgement:
        """The same judgement after some breaches turned out to be none, for one of REASONS: true, one per breach."""
        counts = np.bincount(self.breaches["rule"].filter(dropped).to_numpy(), minlength=len(self.rules))
        return replace(
            self,
            breached=self.breached - counts,
            not_judged={**self.not_judged, reason: self.not_judged[reason] + counts},
            breaches=self.breaches.filter(~dropped),
        )


def judge(
    rules: Sequence[Rule],
    exempt: Sequence[Exempt],
    objects: Mapping[str, Objects],
    laws: Law | None = None,
    lost: Mapping[tuple[str, str], str] | None = None,
    watch: Watch | None = None,
) -> Judgement:
    """Judge each rule separately: an exception becomes the error of that rule and does not affect the others.

    Args:
        rules: the rules.
        exempt: disabled rules: what they match is not judged by the others of their family.
        objects: the endpoint's objects of the date, by what they are, with the metrics that the rules name.
        laws: decides for rules with a law; without it they are not judged: no history.
        lost: why metrics could not be computed: rules that name them are errors.
        watch: is told the outcomes of some objects.
    """
    judged = _Judging(Rules.of(rules), objects, laws, lost or {}, watch)
    for of, indices in judged.by_kind().items():
        if of in objects:
            for assignment in families.assign(judged.rules, indices, exempt, of, objects[of]):
                judged.judge(of, assignment)
    return judged.judgement()


class _Judging:
    """Judges assignments one after the other, and collects what they give."""

    def __init__(
        self,
        rules: Rules,
        objects: Mapping[str, Objects],
        laws: Law | None,
        lost: Mapping[tuple[str, str], str],
        watch: Watch | None,
    ) -> None:
        self.rules, self._objects, self._laws, self._lost, self._watch = rules, objects, laws, lost, watch
        self._id_rules = rules.frame["id_rule"].to_numpy()
        self._counts = {name: np.zeros(len(rules), np.int64) for name in ("ok", "breached", *REASONS)}
        self._errors: dict[int, str] = {}
        self._breaches: list[pl.DataFrame] = []
        # Rules with the same check share its number, and checks that differ in thresholds only the number of its shape.
        self._checks = rules.checks
        self._check_of = rules.frame["check"].to_numpy().astype(np.int32)
        shapes: dict[Any, int] = {}
        shape_of = [
            shapes.setdefault(one.shape if isinstance(one, Check) else None, len(shapes)) for one in self._checks
        ]
        self._shape_of = np.asarray(shape_of, np.int32)

    def by_kind(self) -> dict[str, Indices]:
        """The rules on each kind of object."""
        kinds = list(FINEST_SCOPES)
        kind_of = [kinds.index(one.of) if isinstance(one, Check) else len(kinds) for one in self._checks]
        found = np.asarray(kind_of, np.int32)[self._check_of]
        return {kinds[found[places[0]]]: places for places in _groups(found)}

    def _check(self, rule: int) -> Check:
        check = self._checks[int(self._check_of[rule])]
        if isinstance(check, RuleError):
            raise check
        return check

    def judge(self, of: str, assignment: Assignment) -> None:
        """Judge the rules of an assignment: together, and if that fails, one by one."""
        if isinstance(assignment.rules, int):
            self._try(of, assignment.rules, assignment.rows)
            return
        for places in _groups(self._shape_of[self._check_of[assignment.rules]]):
            rules, rows = assignment.rules[places], _taken(assignment.rows, places)
            try:
                self._judge(of, rules, rows)
            except Exception:  # noqa: BLE001  # one of them is bad: find out which
                for group in _groups(rules):
                    self._try(of, int(rules[group[0]]), rows[group])

    def _try(self, of: str, rule: int, rows: Indices | None) -> None:
        try:
            self._judge(of, rule, rows)
        except Exception as error:  # noqa: BLE001  # one bad rule never affects another
            self._errors[rule] = reason(error)

    def _judge(self, of: str, rules: Indices | int, rows: Indices | None) -> None:
        """Judge rules of one shape: all, or nothing if it raises."""
        objects = self._objects[of].frame
        first = rules if isinstance(rules, int) else int(rules[0])
        check = self._check(first)
        for name in sorted(check.metrics & self._lost.keys()):
            raise RuleError(self._lost[name])
        bounds = iter(self._bounds(rules, check))
        metrics = _taken(objects[check.metric], rows)
        levels = _levels(check, metrics, bounds)
        applies = np.ones(len(metrics), np.bool_)
        for condition in check.where:
            applies &= _held(condition, self._further(of, condition, rows), bounds)
        has_value = metrics.is_not_null().to_numpy()
        if check.condition is not None and check.condition.asks_for_null:
            has_value = np.ones_like(applies)
        judged = applies & has_value
        outcomes = {"not applicable": ~applies, "no value": applies & ~has_value}
        found, described = self._found(of, check, rules, rows, judged, levels)
        outcomes |= found
        breached = outcomes["breached"]
        breaches = self._breached(of, check, rules, rows, _places(breached), levels, described)
        for outcome, mask in outcomes.items():
            if isinstance(rules, int):
                self._counts[outcome][rules] += np.count_nonzero(mask)
            else:
                self._counts[outcome] += np.bincount(rules[mask], minlength=len(self.rules))
        if breaches.height:
            self._breaches.append(breaches)
        if self._watch is not None:
            self._watch.see(of, rules, rows, outcomes)

    def _bounds(self, rules: Indices | int, check: Check) -> list[Any]:
        """The bounds of all conditions of the check: each one for all objects, or one per object."""
        if isinstance(rules, int):
            return list(check.bounds)
        used, inverse = np.unique(self._check_of[rules], return_inverse=True)
        places = inverse.astype(np.int32)
        whole = [one.bounds for number in used.tolist() if isinstance(one := self._checks[number], Check)]
        if len(whole) == 1:
            return list(whole[0])
        return [_taken(conditions.column(values), places) for values in zip(*whole, strict=True)]

    def _further(self, of: str, condition: Condition, rows: Indices | None) -> pl.Series:
        """The metric of a condition of `where`, for each object: its own, its column's or its table's."""
        if condition.of == of:
            own: pl.Series = _taken(self._objects[of].frame[condition.metric], rows)
            return own
        if condition.of not in self._objects:
            raise RuleError(f"where names {condition.metric} of a {condition.of}, of which there is none")
        keys = ["table"] if condition.of == "table" else ["table", "column"]
        places = self._objects[of].frame.select(keys)
        wanted = places if rows is None else places[rows]
        others = self._objects[condition.of].frame.select([*keys, pl.col(condition.metric).alias("metric")])
        return wanted.join(others, on=keys, how="left", maintain_order="left").to_series(len(keys))

    def _found(
        self, of: str, check: Check, rules: Indices | int, rows: Indices | None, judged: Mask, levels: Levels
    ) -> tuple[dict[str, Mask], pl.DataFrame | None]:
        """The outcomes of what is judged, and the description of the breaches, if a law gives it."""
        if check.levels:
            breached = judged & (levels < len(check.levels))
            return {"breached": breached, "ok": judged & ~breached}, None
        if self._laws is None:
            nothing = np.zeros_like(judged)
            return {"breached": nothing, "ok": nothing, "no history": judged}, None
        return self._by_law(self._laws, of, check, rules, rows, judged)

    def _by_law(
        self, laws: Law, of: str, check: Check, rules: Indices | int, rows: Indices | None, judged: Mask
    ) -> tuple[dict[str, Mask], pl.DataFrame]:
        """What a law finds, by outcome, and the description of the breaches."""
        places = _places(judged)
        objects = self._objects[of].frame[places if rows is None else rows[places]]
        keys = [name for name in objects.columns if name in wording.KEYS]
        id_rules = self._id_rules[np.full(len(places), rules) if isinstance(rules, int) else rules[places]]
        verdict = laws(check, id_rules, objects.select([*keys, check.metric]))
        found = {}
        for outcome, name in ((OK, "ok"), (BREACHED, "breached"), (NOT_JUDGED, "no history"), (UNKNOWN, "unknown")):
            found[name] = np.zeros_like(judged)
            found[name][places[verdict.outcome == outcome]] = True
        return found, verdict.described(_places(verdict.outcome == BREACHED), check)

    def _breached(
        self,
        of: str,
        check: Check,
        rules: Indices | int,
        rows: Indices | None,
        places: Indices,
        levels: Levels,
        described: pl.DataFrame | None,
    ) -> pl.DataFrame:
        """The breaches among the objects at these places."""
        if not len(places):
            return pl.DataFrame(schema=BREACHES)
        objects = self._objects[of].frame[places if rows is None else rows[places]]
        index = np.full(len(places), rules, np.int32) if isinstance(rules, int) else rules[places]
        if described is None:
            described = wording.described(of, check, objects, self._limits(index, levels[places]))
            names = pl.Series([one.level or None for one in check.levels], dtype=pl.String)
            described = described.with_columns(level=names[levels[places]])
        found = wording.placed(of, objects, index).hstack(described)
        if "level" not in found.columns:
            found = found.with_columns(pl.lit(None, pl.String).alias("level"))
        return found.select(*BREACHES)

    def _limits(self, rules: Indices, levels: Levels) -> pl.Series:
        """The threshold of each breach in words; null if it would tell a value."""
        used, places = np.unique(np.stack([self._check_of[rules], levels]), axis=1, return_inverse=True)
        limits = [
            wording.limit(one, one.levels[level].condition)
            for number, level in used.T.tolist()
            if isinstance(one := self._checks[number], Check)
        ]
        return pl.Series(limits, dtype=pl.String).replace("", None)[places.reshape(-1)]

    def judgement(self) -> Judgement:
        """What all assignments gave."""
        frames = [frame for frame in self._breaches if frame.height]
        breaches = pl.concat(frames) if frames else pl.DataFrame(schema=BREACHES)
        judged = Judgement(
            rules=self.rules,
            ok=self._counts["ok"],
            breached=self._counts["breached"],
            explained=np.zeros(len(self.rules), np.int64),
            not_judged={reason: self._counts[reason] for reason in REASONS},
            breaches=breaches,
            errors={},
        )
        return judged.failed(self._errors)  # nothing of a rule counts of which a part could not be judged


def _held(condition: Condition, metrics: pl.Series, bounds: Iterator[Any]) -> Mask:
    """Whether each metric meets the condition, which takes its bounds. A null does so only if the condition asks."""
    limits = [next(bounds) for _ in condition.bounds]
    held: Mask = conditions.holds(metrics, condition.compared, limits, condition.listed)
    return held if condition.asks_for_null else held & metrics.is_not_null().to_numpy()


def _levels(check: Check, metrics: pl.Series, bounds: Iterator[Any]) -> Levels:
    """Per metric, the first level in breach, which is the gravest one; the number of levels if none is."""
    held = [
        conditions.holds(metrics, one.compared, [next(bounds) for _ in one.bounds], one.listed)
        for _, one in check.levels
    ]
    found = np.full(len(metrics), len(held), np.int8)
    for number in reversed(range(len(held))):
        found[held[number] == check.triggers_on] = number
    return found


def _groups(numbers: Indices) -> Iterable[Indices]:
    """The places of each number."""
    if not len(numbers):
        return []
    order = np.argsort(numbers, kind="stable").astype(np.int32)
    borders = np.flatnonzero(np.diff(numbers[order])) + 1
    return np.split(order, borders)


def _places(mask: Mask) -> Indices:
    return np.flatnonzero(mask).astype(np.int32)


def _taken(values: Any, rows: Indices | None) -> Any:
    return values if rows is None else values[rows]
