"""Job: the input of one pack run, and the context file and variables that the child gets of it (contract 1)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timezone, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from hdm_airflow.packs import conf
from hdm_airflow.packs.limits import Limits
from hdm_airflow.packs.pack import Pack
from hdm_airflow.runner.processes.sandbox import Sandbox
from hdm_airflow.runner.venvs import package_index
from hdm_airflow.runner.workspace import Workspace

CONTRACT = 1
#: Variables of the worker that every pack sees if they are set: how to reach the network, and which CAs to trust.
_PASSED_ON = (
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS",
    *package_index.FOR_PACKS,
)  # fmt: skip
_SOUNDS_SECRET = re.compile(r"TOKEN|SECRET|PASS|PWD|KEY", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Target:
    """One endpoint as a pack sees it."""

    slug: str
    database: str
    type: str
    host: str
    port: str
    user: str
    ssl: bool
    url: str = field(repr=False)  # SQLAlchemy form, with the password
    password: str | None = field(default=None, repr=False)  # None if there is none
    version: str = "0.0"  # of the database, as last reported
    config: Any = None  # external and endpoint configuration, merged
    config_sources: tuple[str, ...] = ()
    incomplete: tuple[str, ...] = ()  # objects without metrics, for a pack that accepts partial metrics

    def as_context(self) -> dict[str, Any]:
        """The endpoint's entry in the context file."""
        return {
            **vars(self),
            "port": _number(self.port),
            "config_sources": [*self.config_sources],
            "incomplete": [*self.incomplete],
        }


@dataclass(frozen=True, kw_only=True)
class BaseAccess:
    """How the pack reaches the HDM base."""

    variables: Mapping[str, str] = field(default_factory=dict)  # libpq variables, without the password
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class Command:
    """What a pack is asked to do instead of its run. Its repr does not show the arguments, which may hold data."""

    name: str  # one that the manifest declares
    arguments: Mapping[str, Any] = field(default_factory=dict, repr=False)  # values of JSON


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run of one pack on some endpoints, or one command to it."""

    pack: Pack
    environment: str  # name of the HDM environment, e.g. 'prod'
    metric_date: date
    run_id: str
    dag_id: str
    task_id: str
    try_number: int
    base: BaseAccess
    config: Any  # external configuration; {} if there is none
    config_source: str
    targets: tuple[Target, ...]
    timezone: str  # for TZ
    timeout: float | None  # seconds
    limits: Limits = Limits()  # noqa: RUF009  # frozen
    sandbox: Sandbox = Sandbox()  # noqa: RUF009  # frozen
    command: Command | None = None  # None: a run

    @property
    def slugs(self) -> frozenset[str]:
        """The endpoints of this run."""
        return frozenset(target.slug for target in self.targets)

    @property
    def secrets(self) -> Iterable[str]:
        """Texts that no log may contain: passwords, secrets of the pack's conf.json, values of secret variables."""
        passwords = [self.base.password, *(one.password for one in self.targets)]
        passwords += conf.long_secrets(self.pack.path)  # used or not: a pack may print the file
        passed_on = self._passed_on()
        proxies = [value for name, value in passed_on.items() if name.lower().endswith("_proxy")]
        passwords += package_index.secrets(url if "://" in url else f"http://{url}" for url in proxies)
        passwords += [value for name, value in passed_on.items() if _SOUNDS_SECRET.search(name)]
        passwords += package_index.secrets(passed_on.get(name, "") for name in package_index.FOR_PACKS)
        return [secret for secret in passwords if secret]

    def context(self) -> dict[str, Any]:
        """The content of HDM_CONTEXT. Only a command has `command`, so that runs look as they always have."""
        variables = self.base.variables
        command = self.command
        asked = {"command": {"name": command.name, "arguments": dict(command.arguments)}} if command else {}
        return {
            "contract": CONTRACT,
            "environment": self.environment,
            "date": self.metric_date.isoformat(),
            "pack": {"kind": self.pack.kind, "name": self.pack.name, "version": self.pack.version},
            "run": {
                "id": self.run_id,
                "dag_id": self.dag_id,
                "task_id": self.task_id,
                "try_number": self.try_number,
            },
            "base": {
                "host": variables.get("PGHOST", ""),
                "port": _number(variables.get("PGPORT", "5432")),
                "user": variables.get("PGUSER", ""),
                "database": variables.get("PGDATABASE", ""),
                "sslmode": variables.get("PGSSLMODE", "prefer"),
            },
            "config": self.config,
            "config_source": self.config_source,
            "endpoints": [target.as_context() for target in self.targets],
            **asked,
        }

    def variables(self, place: Workspace, programs: Path) -> dict[str, str]:
        """All variables of the child: of the worker's, only those passed on to every pack and those the manifest names.

        Args:
            place: the run's folder.
            programs: the folder that comes before the worker's PATH.
        """
        return {
            **self._passed_on(),
            "PATH": os.pathsep.join([str(programs), *_path()]),
            "HOME": str(place.home),
            "TMPDIR": str(place.tmp),
            "LANG": os.environ.get("LANG") or "C.UTF-8",
            "TZ": self.timezone,
            "VIRTUAL_ENV": str(place.layer),
            "PYTHONUNBUFFERED": "1",  # output appears when it is written
            "PYTHONDONTWRITEBYTECODE": "1",  # the store has its .pyc files already, and runs do not change it
            "HDM_CONTEXT": str(place.context),
            "HDM_REPORT": str(place.report),
            **({"HDM_ANSWER": str(place.answer)} if self.command else {}),
            "HDM_ENVIRONMENT": self.environment,
            "ENV": self.environment,  # the name that packs of the original read
            "HDM_DATE": self.metric_date.isoformat(),
            "HDM_RUN_ID": self.run_id,
            "HDM_PACK": self.pack.name,
            "HDM_PACK_VERSION": self.pack.version,
            **self.base.variables,
            "PGPASSFILE": str(place.pgpass),
        }

    def _passed_on(self) -> dict[str, str]:
        """The worker's variables that the pack sees."""
        named = self.pack.manifest.variables if self.pack.manifest else ()
        found = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        found |= package_index.for_packs(os.environ)  # without logins, unless the manifest names the variable
        return found | {name: os.environ[name] for name in named if name in os.environ}


def _number(port: str) -> str | int:
    """A port as a number; several ports, or none, as text."""
    return int(port) if port.isdecimal() else port


def _path() -> list[str]:
    """The worker's PATH without the entries that mean the current folder, which is the pack's, or one below it."""
    entries = os.environ.get("PATH", "").split(os.pathsep)
    return [entry for entry in entries if os.path.isabs(entry)] or os.defpath.split(os.pathsep)


def tz(zone: tzinfo, now: datetime | None = None) -> str:
    """The value of the variable TZ that means a timezone.

    That is its name if it is one of the tz database. Other zones have an offset only: `+05:30` is `<+0530>-05:30`,
    because POSIX counts westwards. TZ with any other text means UTC.

    Args:
        zone: the timezone, of any library.
        now: the moment whose offset counts for a zone without such a name; default: now.
    """
    now = now or datetime.now(timezone.utc)
    offset = now.astimezone(zone).utcoffset()
    seconds = round(offset.total_seconds()) if offset else 0
    name = getattr(zone, "key", None) or getattr(zone, "name", None) or ""
    if name and _offset(name, now) == seconds:
        return str(name)
    if seconds == 0:
        return "UTC"
    hours, rest = divmod(abs(seconds), 3600)
    parts = [f"{part:02}" for part in (hours, *divmod(rest, 60))][: 3 if seconds % 60 else 2]
    east, west = ("+", "-") if seconds > 0 else ("-", "+")
    return f"<{east}{''.join(parts)}>{west}{':'.join(parts)}"


def _offset(name: object, now: datetime) -> float | None:
    """Seconds that a name of the tz database means; None if it is not one."""
    try:
        offset = now.astimezone(ZoneInfo(str(name))).utcoffset()
    except (KeyError, ValueError, OSError):  # not found, not a path, a folder
        return None
    return offset.total_seconds() if offset is not None else None
