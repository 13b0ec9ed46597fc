"""Metric date: the date under which a run stores its results."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from hdm_airflow.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow.sdk import Context

PARAM = "metric_date"


def metric_date(context: Context) -> date:
    """The Dag param `metric_date`, else the logical date of the run, else the date on which it was due.

    Dates are in the timezone of the Dag. Every try of a run has the same metric date, because the clock is not used.
    Manual runs can lack a logical date.

    Args:
        context: the context of the task.

    Raises:
        ConfigurationError: if the param is not a date.
    """
    stated = (context.get("params") or {}).get(PARAM)
    if stated:
        try:
            return date.fromisoformat(str(stated))
        except ValueError:
            hint = "write it as YYYY-MM-DD"
            raise ConfigurationError(f"metric_date {stated!r} is not a date", "params of the Dag run", hint) from None
    run = context["dag_run"]
    moment = run.logical_date or run.run_after
    return moment.astimezone(context["dag"].timezone).date()
