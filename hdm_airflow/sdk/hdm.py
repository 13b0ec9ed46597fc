"""The run of a pack, and its report: contract 1 for packs written in Python.

    import hdm

    run = hdm.load()
    for endpoint in run.endpoints:
        ...
        run.report(endpoint, "ok", metrics=120)

A pack that declares commands is also started to answer one:

    if run.command:
        run.answer(commands[run.command.name](run.command.arguments))
        sys.exit()

Standard library only, one file, Python 3.8 or later.
"""

from __future__ import annotations  # modern type syntax, also on 3.8

import datetime as dt
import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["CONTRACT", "Command", "ContextError", "Endpoint", "Run", "load"]

CONTRACT = 1
SKIPPED = 99  # exit code for: there was nothing to do
STATUSES = ("ok", "partial", "failed", "skipped")


class ContextError(RuntimeError):
    """The pack was not started as contract 1 requires. If not caught, it ends the pack with exit code 1."""


@dataclass(frozen=True)
class Endpoint:
    """One database to work on. Its repr does not show its password, URL and configuration."""

    slug: str  # name:type:host:port:user:ssl, the endpoint's identity everywhere
    database: str
    type: str  # as configured: postgres, postgresql, mysql, mariadb, sqlite, sqlite3
    host: str  # SQLite: the path of the file
    port: str  # "": the default port of the database
    user: str
    ssl: bool
    password: str = field(repr=False)
    url: str = field(repr=False)  # SQLAlchemy URL, with the password
    version: str  # last known dbversion; "0.0" if unknown
    config: Any = field(repr=False)  # external configuration merged with the endpoint's own; mostly a dict
    incomplete: tuple[str, ...]  # objects whose metrics are missing (packs with "partial": true)


@dataclass(frozen=True)
class Command:
    """What the pack is asked instead of running. Its repr does not show its arguments."""

    name: str  # one of "commands" in properties.json
    arguments: dict[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Run:
    """One run of one pack: what to work on, and where to report. Or one command: what to answer."""

    environment: str
    date: dt.date  # the metric date, for every row that the pack writes
    pack: str
    version: str
    config: Any = field(repr=False)  # external configuration, mostly a dict; text, list or number as configured
    endpoints: tuple[Endpoint, ...]
    report_path: Path = field(repr=False)
    command: Command | None = None  # None in an ordinary run
    answer_path: Path | None = field(default=None, repr=False)

    def report(
        self,
        endpoint: Endpoint | str,
        status: str,
        message: str = "",
        *,
        metrics: int | None = None,
        alerts: int | None = None,
        incomplete: Iterable[str] = (),
        version: str | None = None,
    ) -> None:
        """Report the result for one endpoint; the last report per endpoint counts.

        Args:
            endpoint: the endpoint, or its slug.
            status: ok, partial, failed or skipped.
            message: one line for people; never a value from the data.
            metrics: number of metric rows written.
            alerts: number of alerts written.
            incomplete: names of the objects that could not be processed (with status partial).
            version: the endpoint's dbversion as measured.

        Raises:
            ValueError: if the status is unknown.
        """
        if status not in STATUSES:
            raise ValueError(f"status must be one of {', '.join(STATUSES)}, not {status!r}")
        line: dict[str, Any] = {
            "endpoint": endpoint.slug if isinstance(endpoint, Endpoint) else endpoint,
            "status": status,
            "message": message,
        }
        optional = {"metrics": metrics, "alerts": alerts, "incomplete": list(incomplete), "version": version}
        line.update((key, value) for key, value in optional.items() if value is not None and value != [])
        self._append(line)

    def progress(self, share: float, message: str = "") -> None:
        """Report how far the run is (0 to 1), and what it is working on."""
        self._append({"progress": round(min(max(share, 0.0), 1.0), 4), "message": message})

    def skip(self, message: str = "") -> NoReturn:
        """End the pack now, because there was nothing to do (exit code 99)."""
        if message:
            print(message, flush=True)  # noqa: T201  # the standard output of a pack is its log
        sys.exit(SKIPPED)

    def answer(self, value: Any) -> None:
        """Answer the command; the last answer counts, if the pack then ends with exit code 0.

        Args:
            value: of JSON: texts, finite numbers, true, false, None, lists and dicts of those.

        Raises:
            ValueError: if it holds NaN or infinity, or half of a surrogate pair.
            RuntimeError: in an ordinary run, which nobody waits for.
        """
        if self.answer_path is None:
            raise RuntimeError("only a command is answered; in a run, use report()")
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        self.answer_path.write_text(text, encoding="utf-8")

    def refuse(self, message: str) -> NoReturn:
        """End the pack now, because the command cannot be done (exit code 1); people see the message.

        Args:
            message: what is wrong, one fault a line; never a value from the data.
        """
        self.answer(message)
        sys.exit(1)

    def _append(self, line: dict[str, Any]) -> None:
        # One write per line: two processes of a pack may report at the same time.
        with self.report_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def load() -> Run:
    """Read the run, or the command, from HDM_CONTEXT, HDM_REPORT and HDM_ANSWER.

    Raises:
        ContextError: if a variable is missing, or the context cannot be read or has another contract.
    """
    path = Path(_variable("HDM_CONTEXT", "the path of the run's context file"))
    report_path = Path(_variable("HDM_REPORT", "the path of the run's report file"))
    try:
        context = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ContextError(f"cannot read HDM_CONTEXT {str(path)!r}: {error.strerror}") from None
    except ValueError:
        raise ContextError(f"HDM_CONTEXT {str(path)!r} is not a JSON file") from None
    if not isinstance(context, dict) or context.get("contract") != CONTRACT:
        found = context.get("contract") if isinstance(context, dict) else None
        raise ContextError(f"HDM_CONTEXT has contract {found!r}; this hdm.py supports contract {CONTRACT}")
    asked = context.get("command")
    answer_path = Path(_variable("HDM_ANSWER", "the path of the answer file")) if asked else None
    try:
        return Run(
            environment=context["environment"],
            date=dt.date.fromisoformat(context["date"]),
            pack=context["pack"]["name"],
            version=context["pack"]["version"],
            config=_config(context.get("config")),
            endpoints=tuple(_endpoint(item) for item in context["endpoints"]),
            report_path=report_path,
            command=Command(name=asked["name"], arguments=asked["arguments"]) if asked else None,
            answer_path=answer_path,
        )
    except (KeyError, TypeError, ValueError) as error:
        # The text of the error may quote the context, which contains passwords: name only a missing key.
        missing = f": {error.args[0]!r} is missing" if isinstance(error, KeyError) else f" ({type(error).__name__})"
        raise ContextError(f"HDM_CONTEXT does not follow contract {CONTRACT}{missing}") from None


def _variable(name: str, meaning: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise ContextError(f"{name} is not set: it must hold {meaning}. Start packs with `airflow hdm packs run`")
    return value


def _endpoint(item: dict[str, Any]) -> Endpoint:
    return Endpoint(
        slug=item["slug"],
        database=item["database"],
        type=item["type"],
        host=_text(item.get("host")),
        port=_text(item.get("port")),
        user=_text(item.get("user")),
        ssl=_text(item.get("ssl")).lower() in {"true", "1", "yes", "on"},
        password=_text(item.get("password")),
        url=_text(item.get("url")),
        version=_text(item.get("version")) or "0.0",
        config=_config(item.get("config")),
        incomplete=tuple(item.get("incomplete") or ()),
    )


def _config(value: Any) -> Any:
    return {} if value is None else value


def _text(value: Any) -> str:
    return "" if value is None else str(value)
