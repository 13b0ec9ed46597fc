"""Digest: what one subscription gets of one decision."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hdm_airflow.base import news

if TYPE_CHECKING:
    from hdm_airflow.base.hook import BaseConnection
    from hdm_airflow.base.news import Cause, Line, News
    from hdm_airflow.base.subscriptions import Subscription

#: Lines of a message about single incidents.
LINES = 100


@dataclass(frozen=True, kw_only=True)
class Digest:
    """What a subscription is told; the same for all that ask the same."""

    date: dt.date | None  # the newest metric date
    lines: Sequence[Line]  # the first LINES, in the order of `news.CHANGES`
    counts: Mapping[str, int]  # change -> all of them; only those that there are
    open: int  # incidents, news or not
    causes: Sequence[Cause]  # why something could not be judged

    @property
    def is_news(self) -> bool:
        """Whether there is anything that was not told before."""
        return bool(self.counts) or any(one.fresh for one in self.causes)


class Digests:
    """The digests of one decision, within its transaction: what many subscriptions ask is read once.

    Args:
        base: the connection.
        found: what `news.collect` returned.
    """

    def __init__(self, base: BaseConnection, found: News) -> None:
        self._base = base
        self._news = found
        self._known: dict[object, Digest] = {}
        self._causes: dict[object, list[Cause]] = {}
        self._open: dict[object, int] = {}

    def of(self, one: Subscription) -> Digest:
        """The digest of a subscription."""
        oldest = self._news.oldest
        since = one.since if one.since and oldest and one.since > oldest else None
        key = (one.filter, one.resolved, since)
        if key not in self._known:
            self._known[key] = self._read(one, since)
        return self._known[key]

    def _read(self, one: Subscription, since: dt.datetime | None) -> Digest:
        wanted, base = one.filter, self._base
        lines = news.lines(base, wanted, since=since, resolved=one.resolved, limit=LINES)
        if len(lines) < LINES:
            counts: Mapping[str, int] = Counter(line.change for line in lines)
        else:
            counts = news.counts(base, wanted, since=since, resolved=one.resolved)
        place = (wanted.pack, wanted.endpoint)
        if place not in self._causes:
            self._causes[place] = news.causes(base, wanted)
        if wanted not in self._open:
            self._open[wanted] = news.still_open(base, wanted)
        return Digest(
            date=self._news.date, lines=lines, counts=counts, open=self._open[wanted], causes=self._causes[place]
        )


def is_due(one: Subscription, digest: Digest) -> bool:
    """Whether a subscription gets a message: there is news, or it asks for a sign of life, once per metric date."""
    if digest.is_news:
        return True
    return one.heartbeat and digest.date is not None and (one.told_on is None or digest.date > one.told_on)
