"""Metric date: the date under which a run stores its results."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING

from hdm_airflow.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow.sdk import Context

PARAM = "metric_date"


def conf(context: Context) -> Mapping[str, object]:
    """The conf of the Dag run; empty if it has none. Airflow can be told to keep it out of the params."""
    found = getattr(context["dag_run"], "conf", None)
    return found if isinstance(found, Mapping) else {}


def metric_date(context: Context) -> date:
    """`metric_date` of the run's conf or of the Dag's params, else the logical date, else when the run was due.

    Dates are in the timezone of the Dag. Every try of a run has the same metric date, because the clock is not used.
    Manual runs can lack a logical date.

    Args:
        context: the context of the task.

    Raises:
        ConfigurationError: if it is stated and not a date.
    """
    stated = conf(context).get(PARAM) or (context.get("params") or {}).get(PARAM)
    if stated:
        try:
            return date.fromisoformat(str(stated))
        except ValueError:
            hint = "write it as YYYY-MM-DD"
            raise ConfigurationError(
                f"metric_date {stated!r} is not a date", "conf or params of the Dag run", hint
            ) from None
    run = context["dag_run"]
    moment = run.logical_date or run.run_after
    return moment.astimezone(context["dag"].timezone).date()
