"""Table: the results that a benchmark prints and writes to results/."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

RESULTS = Path(__file__).with_name("results")


def median_ms(call: Callable[[], object], rounds: int) -> float:
    """The median duration of a call, in milliseconds; an untimed call before fills the caches."""
    call()
    durations = []
    for _ in range(rounds):
        began = time.perf_counter()
        call()
        durations.append(time.perf_counter() - began)
    return statistics.median(durations) * 1e3


class Table:
    """Rows of one benchmark.

    Args:
        name: name of the file in results/ and of `make bench-<name>`.
        title: heading of the file.
        columns: headings, with units.
    """

    def __init__(self, name: str, title: str, columns: Sequence[str]) -> None:
        self.name, self.title, self.columns = name, title, columns
        self.rows: list[Sequence[str]] = []

    def add(self, *cells: str) -> None:
        """Add one row."""
        assert len(cells) == len(self.columns), "one cell per column"
        self.rows.append(cells)

    def finish(self, method: str, *facts: str, keep: bool = True) -> None:
        """Print the table and write it to results/<name>.md.

        Args:
            method: how the values were measured, such as the number of rounds.
            facts: other facts for the reader, such as a server's version.
            keep: False: only print the table.
        """
        system = f"{platform.system()} {platform.machine()}"
        machine = f"Python {platform.python_version()}, {os.cpu_count()} cores, {system}"
        widths = [max(len(row[i]) for row in [self.columns, *self.rows]) for i in range(len(self.columns))]
        lines = [" | ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in self.rows]
        head = " | ".join(name.rjust(width) for name, width in zip(self.columns, widths, strict=True))
        rule = " | ".join("-" * (width - 1) + ":" for width in widths)
        notes = "\n".join(f"- {fact}" for fact in (method, machine, *facts, f"to repeat: `make bench-{self.name}`"))
        text = f"# {self.title}\n\n" + "\n".join(f"| {line} |" for line in (head, rule, *lines)) + f"\n\n{notes}\n"
        print(text)
        if keep:
            RESULTS.mkdir(exist_ok=True)
            (RESULTS / f"{self.name}.md").write_text(text, "utf-8")
