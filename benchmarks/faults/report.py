"""Report: the result table, and a detailed one for those who tune rules."""

from __future__ import annotations

import json
from collections import Counter
from statistics import mean
from typing import TYPE_CHECKING

from benchmarks.faults.data.dataset import HOLIDAYS, event_day
from benchmarks.faults.judge import FOUND, LOUD, MISSED, ONLY_INFO, WRONG_PLACE, Judged, Outcome
from benchmarks.faults.pack_host import PACKS, PROGRAMS
from benchmarks.table import RESULTS, Table

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from benchmarks.faults.hdm_base import Alert

FORMER = RESULTS / "faults_former.json"
SHOWN_NIGHTS = 6  # alerts of sound nights in the detailed report: so many nights of one alert are named


def summary(judged: list[Judged], ks: list[int], about: dict[str, str]) -> Table:
    """A row per data set, and one of all."""
    columns = [
        *("data set", "faults"),
        *(f"recall, {k} sound night{'s' * (k > 1)} before" for k in ks),
        *("recall", "alerts per fault", "exactly one", "wrong place", "only Info", "missed"),
        *("sound nights", "High", "Warning", "Info", "on a holiday: High, Warning"),
    ]
    table = Table("faults", "Planted faults: what rule pack basic says of them, and on sound nights", columns)
    for one in [*judged, None]:
        chosen = judged if one is None else [one]
        outcomes = [outcome for each in chosen for outcome in each.outcomes]
        ordinary = [alerts for each in chosen for night, alerts in each.nights.items() if not _is_holiday(night)]
        levels = Counter(alert.level for alerts in ordinary for alert in alerts)
        odd = Counter(
            alert.level
            for each in chosen
            for night, alerts in each.nights.items()
            if _is_holiday(night)
            for alert in alerts
        )
        verdicts = Counter(outcome.verdict for outcome in outcomes)
        table.add(
            f"{one.dataset}: {about[one.dataset]}" if one else "all",
            f"{len(outcomes):,}",
            *(_recall(outcome for outcome in outcomes if outcome.k == k) for k in ks),
            _recall(outcomes),
            _alerts(outcomes),
            _share(sum(o.verdict == FOUND and o.alerts == 1 for o in outcomes), len(outcomes)),
            *(f"{verdicts[verdict]:,}" for verdict in (WRONG_PLACE, ONLY_INFO, MISSED)),
            f"{len(ordinary):,}",
            *(f"{levels[level]:,}" for level in ("High", "Warning", "Info")),
            ", ".join(f"{odd[level]:,}" for level in ("High", "Warning")),
        )
    return table


def keep_as_former(table: Table) -> None:
    """Keep the last row, of all data sets, to compare later packs with."""
    versions = {kind: _version(folder) for kind, (folder, _) in PROGRAMS.items()}
    content = {"versions": versions, "row": dict(zip(table.columns, table.rows[-1], strict=True))}
    FORMER.write_text(json.dumps(content, indent=1) + "\n", "utf-8")


def add_former(table: Table) -> None:
    """Add the row that was kept, if there is one with the same columns."""
    if FORMER.exists():
        former = json.loads(FORMER.read_text("utf-8"))
        if list(former["row"]) == list(table.columns):
            versions = ", ".join(f"{kind} pack basic {version}" for kind, version in former["versions"].items())
            table.add(f"all, with {versions}", *list(former["row"].values())[1:])


def _version(folder: str) -> str:
    return str(json.loads((PACKS / folder / "properties.json").read_text("utf-8"))["version"])


def by_kind(outcomes: list[Outcome]) -> str:
    """A Markdown table: how often each kind of fault was found."""
    lines = ["| kind | what happens | found | of | alerts per fault found |", "|---|---|---:|---:|---:|"]
    names = dict.fromkeys((outcome.fault.group, outcome.fault.name) for outcome in outcomes)
    for _, name in sorted(names):
        own = [outcome for outcome in outcomes if outcome.fault.name == name]
        found = [outcome for outcome in own if outcome.verdict == FOUND]
        lines.append(f"| {name} | {own[0].fault.about} | {len(found)} | {len(own)} | {_alerts(found)} |")
    return "\n".join(lines) + "\n"


def append_kinds(outcomes: list[Outcome]) -> None:
    """Add the second table to the file of the first."""
    path = RESULTS / "faults.md"
    path.write_text(f"{path.read_text('utf-8')}\n## By kind of fault\n\n{by_kind(outcomes)}", "utf-8")


def details(folder: Path, judged: list[Judged]) -> None:
    """Write what tuning needs: faults.md, with each fault's alerts, and those of sound nights."""
    lines = ["# Sound nights: High and Warning alerts", ""]
    for one in judged:
        nights: dict[tuple[str, ...], list[int]] = {}
        example = {}
        for night, alerts in one.nights.items():
            for alert in alerts:
                if alert.level in LOUD:
                    nights.setdefault(alert.identity, []).append(night)
                    example[alert.identity] = alert
        lines += [f"## {one.dataset}", ""]
        for identity, found in sorted(nights.items(), key=lambda item: (-len(item[1]), item[0])):
            when = ", ".join(map(str, found[:SHOWN_NIGHTS])) + ", ..." * (len(found) > SHOWN_NIGHTS)
            lines.append(f"- {len(found)} nights ({when}): {_told(example[identity])}")
        lines += ["", "not applicable: " + ", ".join(f"{name} ({k})" for name, k in one.inapplicable), ""]
    lines += ["# Faults", ""]
    order = {MISSED: 0, ONLY_INFO: 1, WRONG_PLACE: 2, FOUND: 3}
    outcomes = [outcome for one in judged for outcome in one.outcomes]
    for outcome in sorted(outcomes, key=lambda o: (o.fault.group, o.fault.name, order[o.verdict], o.dataset, o.k)):
        place = outcome.table + f".{outcome.column}" * bool(outcome.column)
        lines.append(
            f"- **{outcome.verdict}** {outcome.fault.name}, {outcome.dataset}, k = {outcome.k}: {place}:"
            f" {outcome.about}; {outcome.alerts} alerts"
        )
        lines += [f"    - right: {_told(alert)}" for alert in outcome.right]
        lines += [f"    - extra: {_told(alert)}" for alert in outcome.extra]
        lines += [f"    - Info: {_told(alert)}" for alert in outcome.infos]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "faults.md").write_text("\n".join(lines) + "\n", "utf-8")
    rows = ["dataset;k;fault;group;table;column;verdict;alerts;right rules;extra rules;info rules"]
    rows += [
        ";".join(
            [
                *(o.dataset, str(o.k), o.fault.name, o.fault.group, o.table, o.column, o.verdict, str(o.alerts)),
                *(", ".join(sorted({alert.rule for alert in found})) for found in (o.right, o.extra, o.infos)),
            ]
        )
        for o in outcomes
    ]
    (folder / "faults.csv").write_text("\n".join(rows) + "\n", "utf-8")


def _is_holiday(night: int) -> bool:
    """Whether the night loads the events of a holiday that is no weekend: no history foretells it."""
    return event_day(night) in HOLIDAYS


def _told(alert: Alert) -> str:
    place = ".".join(filter(None, (alert.table, alert.column)))
    return f"{alert.level} [{alert.rule}] {place}: {alert.message}"


def _recall(outcomes: Iterable[Outcome]) -> str:
    verdicts = [outcome.verdict == FOUND for outcome in outcomes]
    return _share(sum(verdicts), len(verdicts))


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.2f}" if whole else "-"


def _alerts(outcomes: list[Outcome]) -> str:
    """Per fault that raised any."""
    counts = [outcome.alerts for outcome in outcomes if outcome.alerts]
    return f"{mean(counts):.2f}" if counts else "-"
