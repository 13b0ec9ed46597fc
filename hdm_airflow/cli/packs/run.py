"""`airflow hdm packs run`: one attempt of one pack, as its task would run it, without a Dag."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow import settings as airflow_settings

from hdm_airflow.base import endpoints
from hdm_airflow.base.hook import HdmHook
from hdm_airflow.base.runs import Attempt, Outcome
from hdm_airflow.cli.command import INTERRUPTED, command
from hdm_airflow.cli.command_context import choose_environment, packs_folder
from hdm_airflow.cli.console import say, show, warn
from hdm_airflow.errors import ConfigurationError, HdmError
from hdm_airflow.operators.attempt import AttemptResult, Conditions, PackAttempt
from hdm_airflow.packs.catalog import Catalog
from hdm_airflow.packs.pack import Pack
from hdm_airflow.runner.job import tz
from hdm_airflow.settings import Environment, RunOptions, Settings

if TYPE_CHECKING:
    from argparse import Namespace

log = logging.getLogger(__name__)

OK, FAILED, NOTHING = 0, 1, 3  # exit codes
#: Stands for the id of a Dag in the ledger and the context.
DAG_ID = "cli"


@command
def run(args: Namespace) -> int:
    """Run the pack and print the outcomes; the exit code says how it went."""
    settings = Settings.load()
    pack = Catalog.scan(packs_folder(args.packs_dir)).find(args.name)
    name, environment = choose_environment(settings, args.environment, args.conn_id)
    if name is None:
        hint = "name the environment for the pack: --environment NAME"
        raise ConfigurationError(f"no environment has the connection {args.conn_id!r}", "--conn-id", hint)
    attempt = PackAttempt(
        pack,
        _attempt(pack, name, args),
        _conditions(pack, settings, environment),
        log,
        only=_slugs(environment.conn_id, args.endpoint) if args.endpoint else None,
        keep=args.keep,
        dies_with_parent=False,  # `nohup airflow hdm packs run ...` may outlive its shell
    )
    with _interruptible(attempt) as interrupted:
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
        run_id=f"{DAG_ID}__{now.isoformat()}",
        task_id=pack.task_id,
        try_number=1,
    )


def _conditions(pack: Pack, settings: Settings, environment: Environment) -> Conditions:
    return Conditions(
        conn_id=environment.conn_id,
        pack_conn_id=environment.pack_conn_id,
        options=_options(pack, settings, environment),
        timezone=tz(airflow_settings.TIMEZONE),
    )


def _options(pack: Pack, settings: Settings, environment: Environment) -> RunOptions:
    """The options that the pack's task has; its module takes as long as a Dag file, and few sites have `pack_args`."""
    options = settings.run_options_for(pack, environment)
    if not settings.pack_args:
        return options
    from hdm_airflow.operators.arguments import PackArguments
    from hdm_airflow.operators.pack import PackOperator

    arguments = PackArguments(settings.pack_args).merge(pack, {"options": options})
    task = PackOperator(task_id=pack.task_id, pack=pack, **arguments)
    return task.options.model_copy(update={"timeout": task.limit})


def _slugs(conn_id: str, stated: list[str]) -> list[str]:
    with HdmHook(conn_id).session() as base:
        return [endpoints.find(base, text).endpoint.slug for text in stated]


@contextmanager
def _interruptible(attempt: PackAttempt) -> Iterator[list[int]]:
    """Let the first signal end the attempt in order (ledger, then processes) and the next one end us at once.

    Yields:
        The signals received so far.
    """
    came: list[int] = []

    def end(number: int, _frame: Any) -> None:
        came.append(number)
        if len(came) > 1 or not attempt.abort("interrupted"):
            raise KeyboardInterrupt

    wanted = [number for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if not _is_ignored(number)]
    before = {number: signal.signal(number, end) for number in wanted}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_ignored(number: int) -> bool:
    return signal.getsignal(number) is signal.SIG_IGN  # by nohup


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
