"""`airflow hdm packs run`: one attempt of one pack, as its task would run it, without a Dag."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow import settings as airflow_settings

from hdm_airflow.base.runs import Attempt, Outcome
from hdm_airflow.cli.command import INTERRUPTED, command
from hdm_airflow.cli.command_context import packs_folder
from hdm_airflow.cli.console import say, show, warn
from hdm_airflow.cli.packs.foreground import DAG_ID, conditions, find_environment, find_slugs, interruptible, run_id
from hdm_airflow.errors import HdmError
from hdm_airflow.operators.attempt import AttemptResult, PackAttempt
from hdm_airflow.packs.catalog import Catalog
from hdm_airflow.packs.pack import Pack
from hdm_airflow.settings import Settings

if TYPE_CHECKING:
    from argparse import Namespace

log = logging.getLogger(__name__)

OK, FAILED, NOTHING = 0, 1, 3  # exit codes


@command
def run(args: Namespace) -> int:
    """Run the pack and print the outcomes; the exit code says how it went."""
    settings = Settings.load()
    pack = Catalog.scan(packs_folder(args.packs_dir)).find(args.name)
    name, environment = find_environment(settings, args)
    attempt = PackAttempt(
        pack,
        _attempt(pack, name, args),
        conditions(pack, settings, environment),
        log,
        only=find_slugs(environment.conn_id, args.endpoint) if args.endpoint else None,
        keep=args.keep,
        dies_with_parent=False,  # `nohup airflow hdm packs run ...` may outlive its shell
    )
    with interruptible(attempt) as interrupted:
        try:
            result = attempt.run()
        except HdmError as error:
            if not attempt.begun:
                raise
            say(str(error))
            return FAILED
    show(_rows(result), args.output)
    if result.fault:
        say(str(result.fault))
    return INTERRUPTED if interrupted else _exit_code(result, pack)


def _attempt(pack: Pack, environment: str, args: Namespace) -> Attempt:
    now = datetime.now(airflow_settings.TIMEZONE)
    metric_date = args.date or now.date()
    if metric_date != now.date() and pack.kind == "metric" and not (pack.manifest and pack.manifest.backfill):
        warn(f"{pack.task_id} measures the state of today and stores it under {metric_date}")
    return Attempt(
        kind=pack.kind,
        pack=pack.name,
        pack_version=pack.version,
        metric_date=metric_date,
        environment=environment,
        dag_id=DAG_ID,
        run_id=run_id(now),
        task_id=pack.task_id,
        try_number=1,
    )


def _rows(result: AttemptResult) -> list[dict[str, Any]]:
    rows = [_row(one) for one in result.done]
    rows += [_row(Outcome(endpoint=slug, status="skipped", reason=why)) for slug, why in result.planned.gated.items()]
    for slug in result.planned.kept:
        rows.append(
            {**_row(Outcome(endpoint=slug, status="success")), "reason": "has succeeded before", "reported": None}
        )
    return sorted(rows, key=lambda row: str(row["endpoint"]))


def _row(outcome: Outcome) -> dict[str, Any]:
    return {
        "endpoint": outcome.endpoint,
        "status": outcome.status,
        "metrics": outcome.metrics,
        "alerts": outcome.alerts,
        "reported": outcome.reported,
        "reason": outcome.reason,
        "incomplete": list(outcome.incomplete),
    }


def _exit_code(result: AttemptResult, pack: Pack) -> int:
    if result.bad or result.fault:
        return FAILED
    if not result.skip_reason:
        return OK
    say(f"nothing ran: {result.skip_reason}")
    if result.planned.empty:
        say(f"do: activate the pack: airflow hdm activate {pack.task_id} ENDPOINT")
    return NOTHING
