"""The modules of rule pack basic, and frames for them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from tests.pack_modules import load

MODULES = (
    *(
        "conditions",
        "transfer",
        "relations",
        "usable_dates",
        "earlier",
        "steps",
        "seen",
        "date_steps",
        "key_steps",
        "row_steps",
        "number_steps",
        "text_steps",
        "column_steps",
        "new_rows",
        "level_steps",
        "sizes",
        "days",
        "growth",
    ),
    "derived",
    "rules",
    "accepted",
    *("figures", "phrases", "generator", "families", "wording", "judge", "alerts", "suspects", "causes", "baseline"),
)
pack: SimpleNamespace = load(MODULES, "rule-packs/basic")


def rule(number: int, cause: str, yields_to: str = "", level: str = "Warning", of: str = "column") -> Any:
    """A rule whose breaches are given."""
    return pack.rules.Rule(
        id_rule=number,
        name=f"rule {number}",
        level=level,
        message=f"Message {number}",
        alert_scope="table",
        endpoint="",
        database="",
        table="*",
        column="*",
        check=SimpleNamespace(of=of, metric="na_values", is_baseline=False, alert_class="METRIQUE"),
        cause=cause,
        yields_to=tuple(filter(None, yields_to.split(","))),
    )
