"""The metric date: under which date a run files what it measures."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from hdm_airflow.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow.sdk import Context

PARAM = "metric_date"


def metric_date(context: Context) -> date:
    """The Dag param `metric_date`, else the run's logical date, else when it was due, in the Dag's timezone.

    The same for every try of a run: nothing in it is the clock's. A manual run has no logical date.

    Args:
        context: Airflow's task context.

    Raises:
        ConfigurationError: the param is no date.
    """
    stated = (context.get("params") or {}).get(PARAM)
    if stated:
        try:
            return date.fromisoformat(str(stated))
        except ValueError:
            hint = "write it as YYYY-MM-DD"
            raise ConfigurationError(f"metric_date {stated!r} is no date", "params of the Dag run", hint) from None
    run = context["dag_run"]
    moment = run.logical_date or run.run_after
    return moment.astimezone(context["dag"].timezone).date()
