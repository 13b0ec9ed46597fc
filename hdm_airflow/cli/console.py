"""What commands print: data to stdout through Airflow's console, narration to stderr."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any, TextIO

import yaml
from airflow.cli.simple_table import AirflowConsole
from rich.markup import escape

from hdm_airflow.errors import ConfigurationError
from hdm_airflow.printable import HIDDEN, printable

Record = Mapping[str, Any]
_HIDDEN = re.compile(f"[\x7f{HIDDEN}]")  # outside of texts, JSON has none of these


class _Console(AirflowConsole):
    """Airflow's console, which ends the process with exit code 1 if the reader of a pipe has gone."""

    def __init__(self) -> None:
        super().__init__(emoji=False)  # a slug may have `:heart:` in it

    def on_broken_pipe(self) -> None:
        """Leave the error to the caller."""
        raise BrokenPipeError


@contextmanager
def surviving_readers() -> Iterator[None]:
    """Go on if the reader of our output, such as `head`, ends early: the exit code is about the command."""
    try:
        yield
    except BrokenPipeError:
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
            for stream in (sys.stdout, sys.stderr):
                if _is_broken(stream):
                    os.dup2(nowhere.fileno(), stream.fileno())


def _is_broken(stream: TextIO) -> bool:
    try:
        stream.flush()
    except BrokenPipeError:
        return True
    except OSError:
        return False
    return False


def say(text: str) -> None:
    """Print narration: one line on stderr."""
    with surviving_readers():
        sys.stderr.write(f"{printable(text, lines=True)}\n")
        sys.stderr.flush()


def warn(text: str) -> None:
    """Print a warning: one line on stderr."""
    say(f"warning: {text}")


def agreed(question: str, where: str) -> bool:
    """Ask on stderr, and return whether the answer is yes.

    Args:
        question: in one line.
        where: what it is about, for the error.

    Raises:
        ConfigurationError: if nobody can answer.
    """
    if not sys.stdin.isatty():
        raise ConfigurationError("cannot ask for confirmation (stdin is not a terminal)", where, "add --yes")
    sys.stderr.write(f"{printable(question)} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def put(text: str) -> None:
    """Print data; only control characters are escaped."""
    with surviving_readers():
        sys.stdout.write(f"{printable(text, lines=True)}\n")


def put_json(value: Any) -> None:
    """Print a value of JSON, for people and programs: indented, and what nobody would see as escapes of JSON."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    with surviving_readers():
        sys.stdout.write(f"{_HIDDEN.sub(lambda found: json.dumps(found[0])[1:-1], text)}\n")


def show(rows: Sequence[Record], output: str) -> None:
    """Print rows that have the same keys.

    Args:
        rows: values may be nested; only json and yaml preserve their types.
        output: table, json, yaml or plain.
    """
    console = _Console()
    with surviving_readers():
        if output in {"json", "yaml"}:
            _show_typed(console, rows, output)
        else:
            # rich would read [...] in a cell as markup and drop it; a plain table is printed unchanged
            clean = escape if output == "table" else str
            console.print_as(
                [{key: clean(printable(_cell(value), lines=True)) for key, value in row.items()} for row in rows],
                output=output,
            )


def show_json(value: Any) -> None:
    """Print any value of JSON."""
    with surviving_readers():
        _Console().print_as_json(value)


def show_one(record: Record, output: str) -> None:
    """Print one record: an object in json and yaml, one row per key in tables."""
    if output in {"json", "yaml"}:
        with surviving_readers():
            _show_typed(_Console(), record, output)
    else:
        show([{"property": key, "value": value} for key, value in record.items()], output)


def _show_typed(console: _Console, value: Any, output: str) -> None:
    """Print a value as json or yaml, in colours only for people: these take minutes for 100,000 rows."""
    typed = _typed(value)
    if console.is_terminal:
        (console.print_as_json if output == "json" else console.print_as_yaml)(typed)
        return
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # ten times faster
    sys.stdout.write(f"{json.dumps(typed) if output == 'json' else yaml.dump(typed, Dumper=dumper)}\n")


def compact(value: object, limit: int | None = None) -> str:
    """A value as one line of JSON, shortened to `limit` characters."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join(text.split())
    return text if limit is None or len(text) <= limit else f"{text[: limit - 3]}..."


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.isoformat(" ", timespec="seconds")
    if isinstance(value, (list, tuple)):
        return "\n".join(map(_cell, value))
    return compact(value) if isinstance(value, dict) else str(value)


def _typed(value: Any) -> Any:
    """The value, reduced to types that JSON has."""
    if isinstance(value, Mapping):
        return {str(key): _typed(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_typed(inner) for inner in value]
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
