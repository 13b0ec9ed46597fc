"""`airflow hdm runs list`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hdm_airflow.base import endpoints, runs
from hdm_airflow.cli.command import command
from hdm_airflow.cli.command_context import open_base
from hdm_airflow.cli.console import show
from hdm_airflow.packs.pack import PREFIX

if TYPE_CHECKING:
    from argparse import Namespace


@command
def list_recent(args: Namespace) -> int:
    """List the ledger's newest rows; json and yaml have every column."""
    with open_base(args) as base:
        rows = runs.recent(
            base,
            limit=args.limit,
            pack=args.pack,
            endpoint=endpoints.find_slug(base, args.endpoint) if args.endpoint else None,
            status=args.status,
            metric_date=args.date,
        )
    show(rows if args.output in {"json", "yaml"} else [_row(row) for row in rows], args.output)
    return 0


def _row(row: dict[str, Any]) -> dict[str, Any]:
    took = row["finished_at"] and round((row["finished_at"] - row["started_at"]).total_seconds(), 1)
    return {
        "started": row["started_at"],
        "pack": PREFIX["metric" if row["kind"] == "metric" else "rule"] + row["pack"],
        "version": row["pack_version"],
        "endpoint": row["endpoint"],
        "date": row["metric_date"],
        "status": row["status"],
        "seconds": took,
        "metrics": row["metrics"],
        "alerts": row["alerts"],
        "reason": row["reason"],
    }
