"""Options that several commands share, and how a command is declared. Light: loaded at every start of `airflow`."""

from __future__ import annotations

import re
from argparse import ArgumentParser
from collections.abc import Iterable
from datetime import date
from typing import Any

from airflow.cli.cli_config import ARG_OUTPUT, ARG_VERBOSE, ActionCommand, Arg, lazy_load_command


def arg(*flags: str, **options: Any) -> Arg:
    """An argument of a command, as argparse takes it."""
    return Arg(flags, **options)  # type: ignore[no-untyped-call]  # Airflow's is not annotated


class Trailing(Arg):
    """An optional positional argument that may follow options: `new pulse --kind rule packs`.

    Python before 3.13 considers it omitted as soon as an option follows the arguments before it
    (https://github.com/python/cpython/issues/59317), and then refuses the word after the option.
    """

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__((name,), **options)  # type: ignore[no-untyped-call]  # Airflow's is not annotated

    def add_to_parser(self, parser: ArgumentParser) -> None:
        """Add it, and make the parser wait with empty matches until all options are read."""
        super().add_to_parser(parser)
        match = type(parser)._match_arguments_partial  # noqa: SLF001  # all that argparse gives

        def match_late(actions: Any, pattern: str) -> list[int]:
            counts = match(parser, actions, pattern)
            while "O" in pattern and counts and not counts[-1]:
                counts.pop()
            return counts

        parser.__dict__["_match_arguments_partial"] = match_late


OUTPUT = ARG_OUTPUT
ENVIRONMENT = arg("--environment", metavar="NAME", help="Environment of the Variable hdm; required if it has several")
CONN_ID = arg("--conn-id", metavar="ID", help="Airflow connection of the HDM base; overrides --environment")
PACKS_DIR = arg(
    "--packs-dir",
    metavar="FOLDER",
    help="The packs folder (default: packs_dir of the Variable hdm, relative to the dags folder, else packs)",
)
PACK = arg("pack", metavar="PACK", help="basic, mp_basic (metric pack) or rp_basic (rule pack)")
KIND = arg("--kind", choices=("metric", "rule"), help="The pack's kind, if the name is ambiguous")
YES = arg("-y", "--yes", action="store_true", help="Do not ask for confirmation")
BASE = (ENVIRONMENT, CONN_ID)

#: The exit codes of every command whose help does not list its own.
EXIT_CODES = "0 done, 2 wrong usage or configuration, 130 interrupted"


def several(flag: str, metavar: str, text: str) -> Arg:
    """An option that takes one or more values and may be repeated."""
    return arg(flag, action="extend", nargs="+", metavar=metavar, help=text)


def day(text: str) -> date:
    """A date as argparse reads it; its error names this function."""
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        raise ValueError(text)  # since Python 3.11, fromisoformat also reads 20260131 and 2026-W05
    return date.fromisoformat(text)


def number(text: str) -> int:
    """A positive number as argparse reads it."""
    value = int(text)
    if value < 1:
        raise ValueError(text)
    return value


DATE = arg("--date", type=day, metavar="YYYY-MM-DD", help="The metric date")
LIMIT = arg("--limit", type=number, default=30, metavar="N", help="At most N rows (30)")


def action(
    name: str,
    text: str,
    function: str,
    args: Iterable[Arg],
    *,
    example: str,
    exit_codes: str = EXIT_CODES,
    more: str = "",
) -> ActionCommand:
    """Declare one command.

    Args:
        name: the word that runs it.
        text: what it does, in one line.
        function: module and function below hdm_airflow.cli, imported when the command runs.
        args: its arguments, except `--verbose`.
        example: a command line that works.
        exit_codes: the meaning of each exit code.
        more: further lines of its help.
    """
    return ActionCommand(
        name=name,
        help=text,
        description=f"{text}.\n\n{more}".rstrip(),
        func=lazy_load_command(f"hdm_airflow.cli.{function}"),
        args=(*args, ARG_VERBOSE),
        epilog=f"Example:\n  {example}\n\nExit codes: {exit_codes}",
    )
