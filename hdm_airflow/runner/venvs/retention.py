"""Retention: which venvs the store removes when they are old, damaged or too large together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from hdm_airflow.runner.venvs.options import VenvOptions


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One venv of the store."""

    key: str
    python: str  # major.minor; '' if the venv is incomplete
    packages: int | None  # installed; None if the venv is incomplete
    requirements: str  # for people to read
    size: int  # bytes
    last_used: datetime
    in_use: bool  # by a run or a build
    fault: str  # what is wrong with it; '' if nothing is

    @property
    def state(self) -> str:
        """`ready`, `in use` or `damaged: ...`."""
        return "in use" if self.in_use else f"damaged: {self.fault}" if self.fault else "ready"


def surplus(entries: Iterable[Entry], options: VenvOptions, now: datetime) -> Sequence[Entry]:
    """The venvs to remove, longest unused first: damaged ones, old ones, and enough others to meet the size limit.

    Args:
        entries: all venvs of the store; those in use count towards its size but are never removed.
        options: the limits.
        now: the current time, with timezone.
    """
    everything = sorted(entries, key=lambda entry: entry.last_used)
    total = sum(entry.size for entry in everything)
    chosen = []
    for entry in everything:
        old = options.days is not None and now - entry.last_used > timedelta(days=options.days)
        large = options.size is not None and total > options.size
        if not entry.in_use and (old or large or entry.fault):
            chosen.append(entry)
            total -= entry.size
    return chosen
