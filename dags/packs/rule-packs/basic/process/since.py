"""The first version of metric pack basic that has a metric, for metrics that versions before do not have."""

from __future__ import annotations

METRICS: dict[str, dict[str, tuple[str, ...]]] = {
    "1.2": {
        "column": (
            *("edge_blank_count", "upper_count", "lower_count", "mojibake_count", "placeholder_count"),
            *("fraction_count", "decimals_max", "midnight_count", "hour_mean"),
            *("newest_values", "newest_na_values", "newest_mean", "newest_deviation"),
        ),
        "table": ("event_column", "newest_day", "newest_rows", "duplicate_rows"),
        "day": ("rows_count",),
        "pair": ("both_count", "greater_count", "equal_count"),
        "number_by_level": ("values_count", "mean_num"),
        "foreign_key": ("declared", "values_count", "orphans", "parents", "parents_covered", "percent_orphans"),
    },
}
# (what a metric describes, its name) -> version
SINCE = {(of, name): version for version, kinds in METRICS.items() for of, names in kinds.items() for name in names}
