"""The run of a pack, and its report: contract 1 for packs written in Python.

    import hdm

    run = hdm.load()
    for endpoint in run.endpoints:
        ...
        run.report(endpoint, "ok", metrics=120)

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

__all__ = ["CONTRACT", "ContextError", "Endpoint", "Run", "load"]

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
class Run:
    """One run of one pack: what to work on, and where to report."""

    environment: str
    date: dt.date  # the metric date, for every row that the pack writes
    pack: str
    version: str
    config: Any = field(repr=False)  # external configuration, mostly a dict; text, list or number as configured
    endpoints: tuple[Endpoint, ...]
    report_path: Path = field(repr=False)

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

    def _append(self, line: dict[str, Any]) -> None:
        # One write per line: two processes of a pack may report at the same time.
        with self.report_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def load() -> Run:
    """Read the run from HDM_CONTEXT and HDM_REPORT.

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
    try:
        return Run(
            environment=context["environment"],
            date=dt.date.fromisoformat(context["date"]),
            pack=context["pack"]["name"],
            version=context["pack"]["version"],
            config=_config(context.get("config")),
            endpoints=tuple(_endpoint(item) for item in context["endpoints"]),
            report_path=report_path,
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
