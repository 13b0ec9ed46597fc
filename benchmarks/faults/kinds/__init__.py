"""The kinds of faults: each function yields plans, best first, of which the first that fits the data is planted."""

from benchmarks.faults.kinds import dates, keys, levels, nulls, numbers, rows, structure, texts
from benchmarks.faults.kinds.fault import FAULTS, Fault, Plan, Site

__all__ = [
    "FAULTS",
    "Fault",
    "Plan",
    "Site",
    "dates",
    "keys",
    "levels",
    "nulls",
    "numbers",
    "rows",
    "structure",
    "texts",
]
