"""The context of a command: settings, packs folder, HDM base, and the person who runs it."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from airflow.configuration import conf

from hdm_airflow.cli.console import warn
from hdm_airflow.errors import ConfigurationError
from hdm_airflow.runner.home import expanded
from hdm_airflow.settings import Environment, Settings
from hdm_airflow.variable import WHERE, UnreachableVariableError

if TYPE_CHECKING:
    from argparse import Namespace

    from hdm_airflow.base.hook import BaseConnection, HdmHook


def packs_folder(stated: str | None) -> Path:
    """The packs folder: the one stated, else the one in the settings, relative to the dags folder.

    If the Variable cannot be looked up, the default: packs are also checked on machines without a database.

    Raises:
        ConfigurationError: if the Variable is invalid, or `~` names no home.
    """
    if stated:
        return expanded(stated).absolute()
    settings = Settings()
    try:
        settings = Settings.load()
    except UnreachableVariableError as error:
        warn(f"{error.what}; using the default packs folder, {settings.packs_dir!r}")
    return expanded(conf.get_mandatory_value("core", "dags_folder")) / settings.packs_dir


def choose_environment(settings: Settings, name: str | None, conn_id: str | None) -> tuple[str | None, Environment]:
    """The environment that the options mean, and its name; the name is None for a base that is not in the settings.

    Raises:
        ConfigurationError: if the name is unknown, or there are several environments and none is named.
    """
    known = settings.environments
    if conn_id:
        if name in known and known[name].conn_id == conn_id:
            return name, known[name]
        own = next((key for key, one in known.items() if one.conn_id == conn_id), None)
        if name is None and own is not None:
            return own, known[own]
        return name, Environment(conn_id=conn_id)  # another base: the environment's pack_conn_id does not fit
    if name is None and len(known) == 1:
        return next(iter(known.items()))
    names = ", ".join(sorted(known))
    if name is None:
        raise ConfigurationError(f"there are several environments: {names}", WHERE, "choose one with --environment")
    if name not in known:
        raise ConfigurationError(f"there is no environment {name!r}", WHERE, f"choose one of: {names}")
    return name, known[name]


def find_hook(args: Namespace) -> HdmHook:
    """The hook of the base that `--environment` and `--conn-id` (for `endpoints add`: `--base-conn-id`) mean.

    Raises:
        ConfigurationError: if they mean no base, or Airflow has no such connection.
    """
    from hdm_airflow.base.hook import HdmHook

    conn_id = args.base_conn_id if "base_conn_id" in args else args.conn_id
    if not conn_id:
        _, environment = choose_environment(Settings.load(), args.environment, None)
        conn_id = environment.conn_id
    hook = HdmHook(conn_id)
    hook.load()
    return hook


def find_pack_conn_id(args: Namespace) -> str | None:
    """The connection that packs use for that base; None if it is the owner's, or if only the base is named.

    Raises:
        ConfigurationError: if the environment or the Variable is invalid.
    """
    try:
        settings = Settings.load()
    except UnreachableVariableError:
        if args.conn_id:  # the command names the base: it needs no Variable
            return None
        raise
    return choose_environment(settings, args.environment, args.conn_id)[1].pack_conn_id


@contextmanager
def open_base(args: Namespace) -> Iterator[BaseConnection]:
    """A connection to that base, which has the version that this release needs.

    Raises:
        HdmBaseError: if it cannot be reached or has another version.
    """
    from hdm_airflow.base import version

    hook = find_hook(args)
    with hook.session() as base:
        version.check(base, hook.where)
        yield base


def actor() -> str:
    """The name that the audit trail records for changes of this command."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user id without a name
        return f"uid {os.getuid()}"
