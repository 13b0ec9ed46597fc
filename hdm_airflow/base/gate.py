"""The gate: on which endpoints a pack may run, because every metric pack that it requires has succeeded there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hdm_airflow.base.runs import Run
from hdm_airflow.packs.pack import Requirement
from hdm_airflow.runner.report import EVERYTHING

_NOT_DONE = {"running": "is running", "failed": "failed", "skipped": "was skipped"}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether a pack may run on an endpoint."""

    reason: str = ""  # why not; '' if it may
    incomplete: tuple[str, ...] = ()  # objects without metrics, for a pack that accepts partial metrics
    unproven: tuple[str, ...] = ()  # objects where the absence of an alert proves nothing; EVERYTHING: all

    @property
    def passed(self) -> bool:
        """Whether it may run."""
        return not self.reason


@dataclass(frozen=True, kw_only=True)
class Gate:
    """The rule that no alert comes from missing, stale or partial metrics. The view hdm_whole says the same in SQL."""

    requires: tuple[Requirement, ...]
    activated: frozenset[tuple[str, str]]  # (metric pack, slug)
    runs: Mapping[tuple[str, str], Run]  # (metric pack, slug) -> its newest run of this metric date
    accepts_partial: bool
    require_reports: bool  # refuse metric runs whose success rests on the exit code alone
    lost: frozenset[str] = frozenset()  # slugs where a metric pack has measured that is deactivated; see runs.lost

    def judge(self, slug: str) -> Verdict:
        """Judge one endpoint. The verdict has every reason that speaks against it."""
        counted = [one for one in self.requires if one.explicit or (one.name, slug) in self.activated]
        reasons = [reason for one in counted if (reason := self._refusal(one, slug))]
        if reasons:
            return Verdict(reason="; ".join(reasons))
        metrics = [run for one in counted if (run := self.runs.get((one.name, slug)))]
        incomplete = tuple(name for run in metrics for name in run.incomplete if name != EVERYTHING)
        nothing = any(map(_proves_nothing, metrics)) or bool(self.requires and not counted) or slug in self.lost
        return Verdict(incomplete=incomplete, unproven=(*incomplete, EVERYTHING) if nothing else incomplete)

    def waits_for(self, slug: str) -> Iterable[Run]:
        """Return the metric runs on which this endpoint's verdict is based."""
        return (run for one in self.requires if (run := self.runs.get((one.name, slug))))

    def _refusal(self, requirement: Requirement, slug: str) -> str:
        name = f"mp_{requirement.name}"
        run = self.runs.get((requirement.name, slug))
        if requirement.quarantined:
            return f"{name} is quarantined"
        if run is None:
            activated = (requirement.name, slug) in self.activated
            return f"{name} has not run for this date" if activated else f"{name} is not activated here"
        if run.status == "partial":
            return "" if self.accepts_partial else f"{name} is partial: {', '.join(run.incomplete[:5]) or run.reason}"
        if run.status != "success":
            return f"{name} {_NOT_DONE.get(run.status, run.status)}" + (f": {run.reason}" if run.reason else "")
        if self.require_reports and not run.reported:
            return f"{name} reported nothing, and require_reports is set"
        return ""


def _proves_nothing(run: Run) -> bool:
    """Whether a metric run was partial but did not say where, or not exactly, or measured nothing at all."""
    return run.metrics == 0 or EVERYTHING in run.incomplete or (run.status == "partial" and not run.incomplete)
