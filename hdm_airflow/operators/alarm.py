"""Alarm: what makes a rule task red although the pack has succeeded, with the setting `fail_on`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hdm_airflow.errors import HdmBaseError, HdmError, IncidentsOpenedError
from hdm_airflow.printable import printable

if TYPE_CHECKING:
    from hdm_airflow.base.incidents import Opened
    from hdm_airflow.base.runs import Attempt

_SHOWN = 10  # incidents, or endpoints
_MESSAGE = 200  # characters of an alert's message


def alarm(attempt: Attempt, opened: Sequence[Opened], level: str) -> HdmError:
    """The error that lists the incidents, as a task and a command show it.

    Args:
        attempt: the attempt after which they were derived.
        opened: at least one incident, the most severe first.
        level: the value of `fail_on`.
    """
    limit = "" if level == "Info" else f" of level {level}" + ("" if level == "High" else " or above")
    what = f"rp_{attempt.pack} opened or reopened {len(opened):,} incident(s){limit}"
    lines = [f"{what} on the metric date {attempt.metric_date}:", *(_line(one) for one in opened[:_SHOWN])]
    if len(opened) > _SHOWN:
        lines.append(f"  ... and {len(opened) - _SHOWN:,} more")
    filters = f"--state all --pack rp_{attempt.pack} --level {level} --since {attempt.metric_date}"
    command = f"airflow hdm incidents list --environment {attempt.environment} {filters}"
    hint = f"see all: {command}; when they are put right, run the packs again"
    return IncidentsOpenedError("\n".join(lines), f"setting fail_on, {level}", hint)


def not_derived(attempt: Attempt, slugs: Sequence[str]) -> HdmError:
    """The error if it is unknown what the attempt has opened on these endpoints: another one has yet to derive it."""
    where = f"rule pack {attempt.pack}, metric date {attempt.metric_date}"
    hint = "the results are stored; a retry sees the incidents once the other run has ended"
    return HdmBaseError(waiting(slugs), where, hint)


def waiting(slugs: Sequence[str]) -> str:
    """A sentence about endpoints that the derivation has left to another run; at least one."""
    named = ", ".join(slugs[:_SHOWN]) + (", ..." if len(slugs) > _SHOWN else "")
    return (
        f"incidents are not derived yet on {len(slugs):,} endpoint(s), where another run of the pack does it: {named}"
    )


def _line(one: Opened) -> str:
    place = ".".join(name for name in (one.table, one.column) if name)
    parts = [one.level, one.kind, one.endpoint, place, f"rule {one.rule_id}" if one.rule_id else "", one.message or ""]
    parts[-1] = " ".join(parts[-1].split())[:_MESSAGE]
    return printable("  " + ": ".join(part for part in parts if part))
