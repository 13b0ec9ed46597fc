"""What `run` and `command` share: a pack in the foreground, under the conditions of its task."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from airflow import settings as airflow_settings

from hdm_airflow.base import endpoints
from hdm_airflow.base.hook import HdmHook
from hdm_airflow.cli.command_context import choose_environment
from hdm_airflow.errors import ConfigurationError
from hdm_airflow.operators.attempt import Conditions
from hdm_airflow.packs.pack import Pack
from hdm_airflow.runner.job import tz
from hdm_airflow.settings import Environment, RunOptions, Settings

if TYPE_CHECKING:
    from argparse import Namespace

#: Stands for the id of a Dag in the ledger and the context.
DAG_ID = "cli"


class Abortable(Protocol):
    """What a signal ends in order."""

    def abort(self, reason: str) -> bool:
        """End it; return whether there was something to end."""


def run_id(now: datetime) -> str:
    """Stands for the id of a Dag run."""
    return f"{DAG_ID}__{now.isoformat()}"


def find_environment(settings: Settings, args: Namespace) -> tuple[str, Environment]:
    """The environment that the options mean, and its name.

    Raises:
        ConfigurationError: if they mean none, or one without a name: packs are told the name.
    """
    name, environment = choose_environment(settings, args.environment, args.conn_id)
    if name is None:
        hint = "name the environment for the pack: --environment NAME"
        raise ConfigurationError(f"no environment has the connection {args.conn_id!r}", "--conn-id", hint)
    return name, environment


def conditions(pack: Pack, settings: Settings, environment: Environment) -> Conditions:
    """The conditions under which the pack's task runs it."""
    return Conditions(
        conn_id=environment.conn_id,
        pack_conn_id=environment.pack_conn_id,
        options=_options(pack, settings, environment),
        timezone=tz(airflow_settings.TIMEZONE),
    )


def find_slugs(conn_id: str, stated: Iterable[str]) -> list[str]:
    """The slugs of the endpoints that a person named.

    Raises:
        ConfigurationError: if there is no such endpoint, or the name is ambiguous.
    """
    with HdmHook(conn_id).session() as base:
        return [endpoints.find(base, text).endpoint.slug for text in stated]


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


@contextmanager
def interruptible(attempt: Abortable) -> Iterator[list[int]]:
    """Let the first signal end a pack in order and the next one end us at once.

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
