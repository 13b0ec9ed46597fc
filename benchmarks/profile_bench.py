"""Bench: common to the parts of `make bench-profile`: where to measure, how to compare, the table."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.profile_measure import Usage
from benchmarks.profile_site import Site, endpoint
from benchmarks.table import Table


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Common to the parts."""

    place: Site
    table: Table
    rows: Sequence[int]
    quick: bool
    facts: list[str] = field(default_factory=list)

    def add(self, *cells: str) -> None:
        """Add a row and print it at once."""
        print(" | ".join(cells), file=sys.stderr, flush=True)
        self.table.add(*cells)

    def database(self, name: str, make: Callable[..., None], *arguments: int) -> tuple[Any, dict[str, Any]]:
        """A new database on the endpoint's server, and the same as an endpoint."""
        found = self.place.server.create_database(name)
        make(found, *arguments)
        return found, endpoint(name, "postgres", self.place.server)

    def compare(self, rounds: int, **ways: Callable[[], Usage]) -> dict[str, Usage]:
        """The medians of interleaved rounds; ways named `once_...` run only in the first round."""
        found: dict[str, list[Usage]] = {name: [] for name in ways}
        for number in range(rounds):
            for name, run in ways.items():
                if number == 0 or not name.startswith("once_"):
                    found[name].append(run())
                    print(f"  {name}: {_text(found[name][-1])}", file=sys.stderr, flush=True)
        return {name: _median(usages) for name, usages in found.items()}

    def faster(self, what: str, ours: Usage, rival: str, theirs: Usage, target: float) -> None:
        """Add a row with the factor by which we are faster."""
        goal = f"{target:g} times faster" if target else ""
        cells = f"{ours.seconds:.2f} s", rival, f"{theirs.seconds:.2f} s"
        self.add(what, *cells, f"{theirs.seconds / ours.seconds:.1f} times faster", goal)


def _median(usages: Sequence[Usage]) -> Usage:
    values = {
        name: statistics.median(getattr(usage, name) for usage in usages)
        for name in ("began", "seconds", "peak", "server")
    }
    return Usage(**values, output="")


def _text(usage: Usage) -> str:
    return f"{usage.seconds:.2f} s, {usage.peak:.0f} MB, server's CPU {usage.server:.2f} s"
