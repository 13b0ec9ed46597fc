"""Judging: rule pack basic on sound and faulty nights, and what a fault alone made it say."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from benchmarks.faults import hdm_base
from benchmarks.faults.cache import Cache, unpacked
from benchmarks.faults.data.dataset import DataSet, metric_date
from benchmarks.faults.endpoints import Endpoint
from benchmarks.faults.measure import key
from benchmarks.faults.pack_host import PackError

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.faults.hdm_base import Alert
    from benchmarks.faults.kinds import Fault
    from benchmarks.faults.pack_host import PackHost
    from demo.services import Database, Postgres

FOUND, WRONG_PLACE, ONLY_INFO, MISSED = "found", "wrong place", "only Info", "missed"
LOUD = {"High", "Warning"}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the rules said of one fault."""

    dataset: str
    k: int  # sound nights before it
    fault: Fault
    table: str
    column: str
    about: str
    verdict: str
    right: list[Alert] = field(repr=False)  # new High and Warning alerts that name the place
    extra: list[Alert] = field(repr=False)  # the other new ones
    infos: list[Alert] = field(repr=False)  # new Infos

    @property
    def alerts(self) -> int:
        """The new High and Warning alerts; one is aimed at."""
        return len(self.right) + len(self.extra)


@dataclass(kw_only=True)
class Judged:
    """The results of one data set."""

    dataset: str
    nights: dict[int, list[Alert]] = field(default_factory=dict)  # the alerts of each sound night
    outcomes: list[Outcome] = field(default_factory=list)
    inapplicable: list[tuple[str, int]] = field(default_factory=list)  # faults that fit nowhere, by name and k


@dataclass
class Judging:
    """One data set and its base."""

    dataset: DataSet
    cache: Cache
    server: Postgres
    folder: Path
    packs: dict[str, PackHost]  # by kind

    def judge(self, nights: int, faults: dict[int, list[Fault]]) -> Judged:
        """Judge sound nights from the first, and the faults by the number of sound nights before them."""
        judged = Judged(dataset=self.dataset.name)
        base = self.server.create_database(f"judged_{self.dataset.name}", template=hdm_base.TEMPLATE)
        planted: list[tuple[int, Fault, dict[str, Any], list[list[Alert]]]] = []
        for night in range(1, nights + 1):
            stored = self.cache.get(f"night-{night}")
            assert stored, "it was measured"
            judged.nights[night] = self._night(base, night, stored["metrics"])
            checkpoint = hdm_base.Checkpoint(base, metric_date(night)) if faults.get(night) else None
            for fault in faults.get(night, []):
                content = self.cache.get(key(fault, night))
                assert content, "it was measured"
                if content["applies"] and checkpoint:
                    alerts = [self._night(base, night + n, metrics) for n, metrics in enumerate(content["metrics"], 1)]
                    planted.append((night, fault, content, alerts))
                    checkpoint.restore()
                else:
                    judged.inapplicable.append((fault.name, night))
        self.server.drop_database(base.name)
        judged.outcomes = [self._outcome(*one, judged.nights) for one in planted]
        return judged

    def _night(self, base: Database, night: int, metrics: dict[str, Any]) -> list[Alert]:
        endpoint = Endpoint(self.server, self.folder, self.dataset.name, self.dataset.name, self.dataset.is_sqlite)
        date, version = metric_date(night), self.packs["metric"].properties["version"]
        hdm_base.import_metrics(base, unpacked(metrics))
        hdm_base.record(base, "metric", version, endpoint.slug, date, {"status": "ok"})
        report = self.packs["rule"].run(base, date, endpoint.context())
        if report["status"] != "ok":  # a rule that fails would seem to be quiet
            raise PackError(f"rule pack on {self.dataset.name}, {date}: {report}")
        hdm_base.record(base, "rule", self.packs["rule"].properties["version"], endpoint.slug, date, report)
        return hdm_base.alerts(base, date)

    def _outcome(
        self,
        k: int,
        fault: Fault,
        content: dict[str, Any],
        faulty: list[list[Alert]],
        nights: dict[int, list[Alert]],
    ) -> Outcome:
        twins = {alert.identity for n in range(len(faulty)) for alert in nights[k + 1 + n]}
        new = {alert.identity: alert for alerts in faulty for alert in alerts if alert.identity not in twins}
        places = [(content["table"], content["column"]), *map(tuple, content["also"])]
        loud = [alert for alert in new.values() if alert.level in LOUD]
        infos = [alert for alert in new.values() if alert.level not in LOUD]
        right = [alert for alert in loud if any(names(alert, *place) for place in places)]
        verdict = FOUND if right else WRONG_PLACE if loud else MISSED
        if verdict == MISSED and any(names(alert, *place) for alert in infos for place in places):
            verdict = ONLY_INFO
        return Outcome(
            dataset=self.dataset.name,
            k=k,
            fault=fault,
            table=content["table"],
            column=content["column"],
            about=content["about"],
            verdict=verdict,
            right=right,
            extra=[alert for alert in loud if alert not in right],
            infos=infos,
        )


def names(alert: Alert, table: str, column: str) -> bool:
    """Whether an alert names a place: its table, and the column in its own field or in its message."""
    if alert.table != table:
        return not alert.table and _mentions(alert.message, table) and (not column or _mentions(alert.message, column))
    return not column or alert.column == column or (not alert.column and _mentions(alert.message, column))


def _mentions(message: str, name: str) -> bool:
    return re.search(rf"(?<![\w]){re.escape(name)}(?![\w])", message) is not None
