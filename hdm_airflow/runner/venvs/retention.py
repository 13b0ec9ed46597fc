"""Retention: how long the venv store keeps what nobody uses, and how large it may grow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from hdm_airflow.runner.venvs.options import VenvOptions


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One venv as it lies in the store."""

    key: str
    python: str  # major.minor; '' where it is not complete
    packages: int | None  # installed; None where it is not complete
    requirements: str  # for people
    size: int  # bytes
    last_used: datetime
    in_use: bool  # by a run, or by its build
    fault: str  # what is wrong with it; '' where nothing is

    @property
    def state(self) -> str:
        """In a few words."""
        return "in use" if self.in_use else f"damaged: {self.fault}" if self.fault else "ready"


def surplus(entries: Iterable[Entry], options: VenvOptions, now: datetime) -> Sequence[Entry]:
    """Which venvs go, unused longest first: damaged ones, those too old, then what is too much.

    Args:
        entries: all of the store; those in use count for its size, and stay.
        options: what is kept.
        now: with timezone.
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
