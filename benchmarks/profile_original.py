"""The original's way, rebuilt from its description: loads each table whole into pandas, then measures each column.

Run as a program: URL [TABLE...]; without tables, all of them. It keeps what it found, and writes nothing.
"""

from __future__ import annotations

import sys
from typing import Any

import pandas as pd
from sqlalchemy import create_engine, inspect

FEW, MANY = 10, 5000


def measure(column: Any, declared: str) -> dict[str, Any]:
    """All metrics of one column."""
    values, missing = int(column.count()), int(column.isna().sum())
    kind = pd.api.types.infer_dtype(column, skipna=True)
    found: dict[str, Any] = {"data_type": declared, "infered_data_type": kind, "value_counts": values}
    found |= {"na_values": missing, "percent_na_values": 100 * missing / len(column) if len(column) else None}
    if kind in {"boolean", "bytes"} or "date" in kind:
        return found
    counts = column.value_counts()
    highest = [int(count) for count in counts.iloc[:3]] + [0, 0, 0]
    ratio = highest[0] / len(counts) if len(counts) else None
    key = not missing and highest[0] == 1 and len(counts) == values
    few = len(counts) < FEW and found["percent_na_values"] is not None and found["percent_na_values"] < 50  # noqa: PLR2004  # the original's limits
    categorical = not key and (few or (ratio is not None and ratio > 100 and len(counts) < MANY))  # noqa: PLR2004  # the original's limits
    found |= {"levels_count": len(counts), "highest_frequency": highest[0], "sndHighestFrequency": highest[1]}
    found |= {"thrdHighestFrequency": highest[2], "ratio_level_frequency": ratio, "is_key": key}
    found |= {"is_categorical": categorical, "levels": counts.to_dict() if categorical else {}}
    if kind in {"integer", "floating"}:
        summary = column.describe()
        names = {"min": "min_num_var", "max": "max_num_var", "mean": "mean_num_var", "50%": "median_num_var"}
        found |= {name: float(summary[key]) for key, name in (names | {"std": "std_num_var"}).items()}
    return found


def main() -> None:
    """Measure each table."""
    url, *tables = sys.argv[1:]
    engine = create_engine(url)
    declared = inspect(engine).get_multi_columns(filter_names=tables or None)
    found = {}
    for (_, table), columns in declared.items():
        types = {column["name"]: str(column["type"]) for column in columns}
        frame = pd.read_sql(f"SELECT * FROM {table}", engine)
        for name in frame:
            found[table, name] = measure(frame[name], types[str(name)])
    print(len(found), "columns")


if __name__ == "__main__":
    main()
