"""`airflow hdm packs command`: one command to a pack, and its answer."""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow import settings as airflow_settings

from hdm_airflow.cli.command import INTERRUPTED, command
from hdm_airflow.cli.command_context import packs_folder
from hdm_airflow.cli.console import put, put_json, say
from hdm_airflow.cli.packs.foreground import DAG_ID, conditions, find_environment, find_slugs, interruptible, run_id
from hdm_airflow.errors import ConfigurationError, HdmError
from hdm_airflow.operators import pack_command
from hdm_airflow.operators.pack_command import Caller, PackCommand
from hdm_airflow.packs import files
from hdm_airflow.packs.catalog import Catalog
from hdm_airflow.runner.answer import LIMIT
from hdm_airflow.runner.home import expanded
from hdm_airflow.runner.job import Command
from hdm_airflow.settings import Settings

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterable, Sequence

    from hdm_airflow.packs.pack import Pack

log = logging.getLogger(__name__)

FAILED = 1  # exit code
_ARGUMENT = re.compile(r"([^:=]+)(:?=)(.*)", re.DOTALL)


@command
def ask(args: Namespace) -> int:
    """Ask the pack and print its answer."""
    asked = Command(name=args.command_name, arguments=_arguments(args))
    pack = Catalog.scan(packs_folder(args.packs_dir)).find(args.name)
    code, answer = ask_pack(pack, asked, args, endpoints=args.endpoint or ())
    if code:
        return code
    if args.output == "text" and isinstance(answer, str):
        put(answer)
    else:
        put_json(answer)
    return 0


def ask_pack(pack: Pack, asked: Command, args: Namespace, *, endpoints: Sequence[str] = ()) -> tuple[int, Any]:
    """Ask a pack in the foreground, with its output on stderr; also for commands of other names.

    Args:
        pack: the pack.
        asked: what it is asked.
        args: with `environment`, `conn_id` and, if it matters, `date`.
        endpoints: names or slugs of the endpoints that it gets.

    Returns:
        The exit code, and the answer if that is 0. An error of the pack has been printed.

    Raises:
        HdmError: if the pack was not started.
    """
    pack_command.check(pack, asked)
    settings = Settings.load()
    name, environment = find_environment(settings, args)
    now = datetime.now(airflow_settings.TIMEZONE)
    asking = PackCommand(
        pack,
        asked,
        conditions(pack, settings, environment),
        Caller(
            environment=name,
            metric_date=getattr(args, "date", None) or now.date(),
            dag_id=DAG_ID,
            run_id=run_id(now),
        ),
        log,
        endpoints=find_slugs(environment.conn_id, endpoints) if endpoints else (),
    )
    with interruptible(asking) as interrupted:
        try:
            return 0, asking.run()
        except HdmError as error:
            if not asking.begun:
                raise
            say(str(error))
            return (INTERRUPTED if interrupted else FAILED), None


def _arguments(args: Namespace) -> dict[str, Any]:
    """The arguments of the file, and those of the command line, which override them."""
    return {**(_of_file(args.arguments_file) if args.arguments_file else {}), **_of_words(args.arguments or ())}


def _of_words(words: Iterable[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for word in words:
        match = _ARGUMENT.fullmatch(word)
        if not match:
            hint = "write NAME=TEXT, or NAME:=JSON for a number, list or object"
            raise ConfigurationError(f"{word!r} is not an argument", "ARGUMENT", hint)
        name, sign, text = match.groups()
        if name in found:
            raise ConfigurationError(f"the argument {name} is given twice", "ARGUMENT", "keep one")
        found[name] = text if sign == "=" else _json(name, text)
    return found


def _json(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        hint = f"write {name}={text[:40]} for a text"
        raise ConfigurationError(f"the value of {name} is not JSON: {error}", "ARGUMENT", hint) from None


def _of_file(name: str) -> dict[str, Any]:
    """The object in a file, or in stdin."""
    where = "stdin" if name == "-" else name
    try:
        content = sys.stdin.buffer.read(LIMIT + 1) if name == "-" else files.read_bytes(expanded(name), limit=LIMIT)
        if len(content) > LIMIT:
            raise files.Unreadable(f"is longer than {LIMIT:,} bytes", hint="shorten it")
        found, doubled = files.parse_object(files.decode(content)[0])
    except FileNotFoundError:
        raise ConfigurationError("there is no such file", where, "correct the path") from None
    except files.Unreadable as error:
        place = f":{error.place}" if error.place else ""
        raise ConfigurationError(f"the file of arguments {error.reason}", f"{where}{place}", error.hint) from None
    if doubled:
        raise ConfigurationError(f"the argument {doubled[0]} is given twice", where, "keep one")
    return found
