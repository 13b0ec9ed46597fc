"""`airflow hdm endpoints test`: connects as a pack would, reads the version, writes nothing."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hdm_airflow.base import endpoints
from hdm_airflow.base.endpoints import Endpoint, Registered
from hdm_airflow.cli.command import command
from hdm_airflow.cli.command_context import choose_environment, open_base
from hdm_airflow.cli.console import show, warn
from hdm_airflow.credentials import connect
from hdm_airflow.credentials.airflow_connections import default_conn_id
from hdm_airflow.credentials.chain import Answers
from hdm_airflow.credentials.sources import open_chain
from hdm_airflow.errors import ConfigurationError, HdmError
from hdm_airflow.operators.plan import one_line
from hdm_airflow.runner import forms
from hdm_airflow.runner.masking import Masker
from hdm_airflow.settings import Settings

if TYPE_CHECKING:
    from argparse import Namespace

#: In the errors of servers that ask for a password, and of drivers that have none.
_NEEDS_PASSWORD = re.compile(r"password|authentication|access denied", re.IGNORECASE)
_AT_ONCE = 8  # servers tested at the same time
UNREACHABLE = 1  # exit code


@dataclass(frozen=True, kw_only=True)
class Login:
    """One endpoint and the result of its password look-up."""

    endpoint: Endpoint  # with the credential's user, if it has one
    slug: str
    password: str | None = field(default=None, repr=False)
    source: str = "none"  # where the password came from
    fault: str = ""  # why the look-up failed
    missing: str = ""  # the Airflow connection that would hold the password, if no source has one


@command
def test(args: Namespace) -> int:
    """Test the endpoints named, or all; returns 1 if one cannot be reached."""
    settings = Settings.load()
    environment, _ = choose_environment(settings, args.environment, args.conn_id)
    with open_base(args) as base:
        found = [endpoints.find(base, text) for text in args.endpoints] or endpoints.registered(base)
    distinct = list({one.endpoint.slug: one for one in found}.values())
    # Accounts that Vault creates are given back only after the test.
    with open_chain(settings.credentials, environment=environment, pack=None, warn=warn) as chain:
        answers = chain.find_all(distinct)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            logins = [_login(one, answers) for one in distinct]
            for login in logins:
                _warn_if_short(login)
            rows = list(pool.map(probe, logins))
    show(rows, args.output)
    return 0 if all(row["reachable"] for row in rows) else UNREACHABLE


def _login(registered: Registered, answers: Answers) -> Login:
    """What packs would use to log in."""
    endpoint, slug = registered.endpoint, registered.endpoint.slug
    if endpoint.is_file:
        return Login(endpoint=endpoint, slug=slug, source="not needed")
    if slug in answers.faults:
        return Login(endpoint=endpoint, slug=slug, fault=one_line(answers.faults[slug]))
    credential = answers.credentials.get(slug)
    if credential is None:
        return Login(endpoint=endpoint, slug=slug, missing=registered.conn_id or default_conn_id(endpoint.name))
    endpoint = replace(endpoint, user=credential.user or endpoint.user)
    return Login(endpoint=endpoint, slug=slug, password=credential.password, source=credential.source)


def _warn_if_short(login: Login) -> None:
    """Warn if a password is so short that masking it blanks ordinary text, and lets encoded forms pass."""
    if login.password and len(login.password) < forms.DISTINCT:
        limit = f"the password has fewer than {forms.DISTINCT} characters"
        warn(f"{login.slug}: {limit}, so masking it makes logs hard to read; choose a longer one")


def probe(login: Login) -> dict[str, Any]:
    """Connect, read the version, and report the result."""
    begin = time.monotonic()
    version, fault = "", login.fault
    if not fault:
        try:
            version = _connector(login.endpoint)(login.endpoint, login.password)
        except HdmError as error:
            fault = str(error.what) + (f"; {error.hint}" if error.hint else "")
        except Exception as error:  # noqa: BLE001  # any driver's; no data has been read that it could quote
            fault = _first_line(error)
            if login.missing and _NEEDS_PASSWORD.search(fault):
                fault = f"no password was found: add it to the Airflow connection {login.missing!r} ({fault})"
    mask = Masker([login.password or ""])
    return {
        "endpoint": login.slug,
        "reachable": not fault,
        "version": version,
        "seconds": round(time.monotonic() - begin, 2),
        "password_from": login.source,
        "message": mask(fault),
    }


def _connector(endpoint: Endpoint) -> Callable[[Endpoint, str | None], str]:
    connectors = {
        "postgres": _postgres,
        "postgresql": _postgres,
        "mysql": _mysql,
        "mariadb": _mysql,
        "sqlite": _sqlite,
        "sqlite3": _sqlite,
    }
    found = connectors.get(endpoint.type.strip().lower())
    if found is None:
        known = ", ".join(connectors)
        raise ConfigurationError(
            f"type {endpoint.type!r} cannot be tested here", endpoint.slug, f"supported types: {known}"
        )
    return found


def _postgres(endpoint: Endpoint, password: str | None) -> str:
    with connect.postgres(endpoint, password) as connection:
        row = connection.execute("SELECT current_setting('server_version')").fetchone()
    return f"PostgreSQL {row[0] if row else ''}"


def _mysql(endpoint: Endpoint, password: str | None) -> str:
    with closing(connect.mysql(endpoint, password)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT version()")
        row = cursor.fetchone()
    version = str(row[0]) if row else ""
    return version if "MariaDB" in version else f"MySQL {version}"


def _sqlite(endpoint: Endpoint, _password: str | None) -> str:
    file = Path(endpoint.host).absolute()
    if not file.is_file():
        raise ConfigurationError(f"there is no file {file}", endpoint.slug)
    uri = f"{file.as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, timeout=connect.PATIENCE)) as connection:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # the first statement reads the file
    return f"SQLite {sqlite3.sqlite_version}"


def _first_line(error: Exception) -> str:
    text = str(error.args[-1]) if error.args else ""
    return (text.strip().splitlines() or [type(error).__name__])[0]
