"""Compare: a metric of two endpoints, dates, versions or objects, with a tolerance.

Both sides must be whole, as hdm_whole says: what was not measured is not judged.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import relations
import usable_dates
from figures import figure
from laws import BREACHED, OK, UNKNOWN, Told
from relations import SOURCES
from rule_error import RuleError
from wording import shown

if TYPE_CHECKING:
    import psycopg
    from asked import Compare, Other
    from checks import Check
    from laws import Numbers
    from relations import Metric

STATE = """SELECT state = 'whole', coalesce(incomplete, '[]'::jsonb) FROM hdm_whole
    WHERE kind = 'metric' AND pack = %s AND endpoint = %s AND "date" = %s"""
DBVERSION = 'SELECT dbversion FROM metric_basic_version WHERE endpoint = %s AND "date" = %s'
OF_VERSION = """SELECT max("date") FROM metric_basic_version WHERE endpoint = %(slug)s AND "date" <= %(date)s
    AND CASE WHEN %(version)s = 'former' THEN dbversion <> %(own)s ELSE dbversion = %(version)s END"""
MEASURED = 'SELECT FROM metric_basic_version WHERE endpoint = %s AND "date" = %s'


class CompareLaw:
    """Compares metrics on one endpoint and date with those of others.

    Args:
        base: the HDM base, in a repeatable transaction.
        slug: the endpoint.
        date: the judged date.
        known: the metrics that rules may name.
    """

    def __init__(
        self, base: psycopg.Connection[Any], slug: str, date: dt.date, known: dict[tuple[str, str], Metric]
    ) -> None:
        self._base, self._slug, self._date, self._known = base, slug, date, known

    def __call__(self, check: Check, _: Numbers, objects: pl.DataFrame, /) -> Told:
        """Compare a metric of some objects: see laws.Law.

        Raises:
            RuleError: if the other side cannot be.
        """
        law: Compare = check.law
        metric = self._known[check.of, check.metric]
        if metric.kind not in {"number", "date"} and (law.condition != "==" or law.tolerance or law.percent):
            raise RuleError("a text or boolean can be compared only with ==, and without tolerance")
        values = objects[check.metric]
        others = self._others(check, objects)
        outcome = _compared(law, values, others, metric.kind)
        if not check.is_quotable:
            return Told(outcome, pl.DataFrame({"detail": [f"{check.metric}: the values are not shown"] * len(values)}))
        pairs = [shown(one, metric.kind, figure).fill_null("unknown") for one in (values, others)]
        detail = [f"{check.metric} = {one}, there {other}" for one, other in zip(*pairs, strict=True)]
        limits = [f"{law.condition} {one}" for one in shown(others, metric.kind).fill_null("")]
        words = pl.DataFrame({"observed": shown(values, metric.kind), "threshold": limits, "detail": detail})
        return Told(outcome, words)

    def _others(self, check: Check, objects: pl.DataFrame) -> pl.Series:
        """The metric of the other side, per object; null if it is unknown."""
        other: Other = check.law.other
        slug = other.endpoint or self._slug
        date = self._other_date(other, slug)
        missing = None if date is None else self._missing(slug, date)
        metric = self._known[check.of, check.metric]
        keys = list(SOURCES[check.of].keys)
        if missing is None or date is None:
            return pl.Series("other", [None] * objects.height, dtype=objects[check.metric].dtype)
        read = relations.read(self._base, slug, date, [(check.of, check.metric)], self._known)
        there = read[check.of].frame.select(*keys, pl.col(check.metric).cast(metric.dtype).alias("other"))
        if missing and keys:
            there = there.filter(~usable_dates.is_missing(keys, missing))
        elif missing:
            there = there.clear()
        named = {name: text for name in ("table", "column") if name in keys and (text := getattr(other, name))}
        wanted = objects.select(keys).with_columns(pl.lit(text).alias(name) for name, text in named.items())
        if not keys:
            return pl.Series("other", [there["other"][0] if there.height else None] * objects.height, metric.dtype)
        return wanted.join(there, on=keys, how="left", maintain_order="left")["other"]

    def _other_date(self, other: Other, slug: str) -> dt.date | None:
        """The date of the other side; None if there is none."""
        if other.date or other.days:
            return other.date or self._date + dt.timedelta(days=other.days)
        if not other.version:
            if slug == self._slug and not other.table and not other.column:
                raise RuleError("with names this side itself")
            return self._date
        row = self._base.execute(DBVERSION, (self._slug, self._date)).fetchone()
        values = {"slug": slug, "date": self._date, "version": other.version, "own": row[0] if row else ""}
        found = self._base.execute(OF_VERSION, values).fetchone()
        day: dt.date | None = found[0] if found else None
        return day

    def _missing(self, slug: str, date: dt.date) -> frozenset[str] | None:
        """What was not measured there; None: nothing is known to be whole."""
        row = self._base.execute(STATE, (usable_dates.METRIC_PACK, slug, date)).fetchone()
        if row is not None:
            is_whole, incomplete = row
            return frozenset(map(str, incomplete)) if is_whole or incomplete else None
        if self._base.execute(usable_dates.IN_LEDGER, (usable_dates.METRIC_PACK, slug)).fetchone() is not None:
            return None
        measured = self._base.execute(MEASURED, (slug, date)).fetchone()  # packs run without hdm_airflow
        return None if measured is None else frozenset()


def _compared(law: Compare, values: pl.Series, others: pl.Series, kind: str) -> np.ndarray[Any, np.dtype[np.int8]]:
    """The outcomes."""
    unknown = others.is_null().to_numpy()
    if kind in {"text", "boolean"}:
        differs = (values != others).fill_null(value=False).to_numpy()
    else:
        own, there = (one.cast(pl.Float64).fill_null(0).to_numpy() for one in (values, others))
        within = law.tolerance + law.percent / 100 * np.abs(there)
        more, less = own - there > within, there - own > within
        differs = {"==": more | less, "<=": more, ">=": less}[law.condition]
        differs |= np.isnan(own) != np.isnan(there)
    return np.where(unknown, UNKNOWN, np.where(differs, BREACHED, OK)).astype(np.int8)
