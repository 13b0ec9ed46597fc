"""`airflow hdm endpoints test`: connects as a pack would, reads the version, writes nothing."""

from __future__ import annotations

import importlib.util
import os
import sqlite3
import ssl
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from hdm_airflow.base import endpoints
from hdm_airflow.base.endpoints import Endpoint, Registered
from hdm_airflow.cli.command import command
from hdm_airflow.cli.console import show
from hdm_airflow.cli.surroundings import open_base
from hdm_airflow.credentials.airflow_connections import AirflowConnections, default_conn_id
from hdm_airflow.errors import ConfigurationError, HdmError
from hdm_airflow.operators import targets
from hdm_airflow.operators.plan import one_line
from hdm_airflow.runner.masking import Masker

if TYPE_CHECKING:
    from argparse import Namespace

    from hdm_airflow.credentials.chain import Source

_PATIENCE = 10  # seconds to wait for a server
_AT_ONCE = 8  # servers asked at the same time
UNREACHABLE = 1  # exit code


@dataclass(frozen=True, kw_only=True)
class Login:
    """One endpoint with what its password look-up gave."""

    endpoint: Endpoint
    password: str | None = None
    source: str = "none"  # where the password came from
    fault: str = ""  # why it could not be looked up


@command
def test(args: Namespace) -> int:
    """Test the endpoints named, or all; 1 where one cannot be reached."""
    with open_base(args) as base:
        found = [endpoints.find(base, text) for text in args.endpoints] or endpoints.registered(base)
    sources = targets.sources()
    logins = [look_up(one, sources) for one in found]  # one after the other: Airflow's look-up is not made for threads
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        rows = list(pool.map(probe, logins))
    show(rows, args.output)
    return 0 if all(row["reachable"] for row in rows) else UNREACHABLE


def look_up(registered: Registered, sources: list[Source]) -> Login:
    """The password that packs would get for an endpoint, and from where."""
    endpoint = registered.endpoint
    if endpoint.is_file:
        return Login(endpoint=endpoint, source="not needed")
    for source in sources:
        try:
            password = source.find(registered)
        except HdmError as error:
            return Login(endpoint=endpoint, fault=one_line(error))
        if password is not None:
            return Login(endpoint=endpoint, password=password, source=_name(source, registered))
    return Login(endpoint=endpoint)


def _name(source: Source, registered: Registered) -> str:
    if isinstance(source, AirflowConnections):
        return f"Airflow connection {registered.conn_id or default_conn_id(registered.endpoint.name)}"
    return type(source).__name__


def probe(login: Login) -> dict[str, Any]:
    """Connect, ask for the version, and tell how it went."""
    begin = time.monotonic()
    version, fault = "", login.fault
    if not fault:
        try:
            version = _connector(login.endpoint)(login.endpoint, login.password)
        except HdmError as error:
            fault = str(error.what) + (f"; {error.hint}" if error.hint else "")
        except Exception as error:  # noqa: BLE001  # of any driver; nothing has been read that it could quote
            fault = _first_line(error)
    mask = Masker([login.password or ""])
    return {
        "endpoint": login.endpoint.slug,
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
            f"type {endpoint.type!r} cannot be tested here", endpoint.slug, f"it is none of: {known}"
        )
    return found


def _postgres(endpoint: Endpoint, password: str | None) -> str:
    with psycopg.connect(
        host=endpoint.host or "localhost",
        port=endpoint.port or "5432",
        dbname=endpoint.name,
        user=endpoint.user,
        password=password,
        passfile=os.devnull,  # nobody else's password
        sslmode="verify-full" if endpoint.ssl else "prefer",  # as the reference packs do
        sslrootcert=(_authorities() or "system") if endpoint.ssl else "",
        connect_timeout=_PATIENCE,
        application_name="hdm endpoints test",
    ) as connection:
        connection.read_only = True
        row = connection.execute("SELECT current_setting('server_version')").fetchone()
    return f"PostgreSQL {row[0] if row else ''}"


def _mysql(endpoint: Endpoint, password: str | None) -> str:
    if importlib.util.find_spec("pymysql") is None:
        raise ConfigurationError("PyMySQL is not installed here", endpoint.slug, "pip install PyMySQL to test MySQL")
    import pymysql

    connection = pymysql.connect(
        host=endpoint.host or "localhost",
        port=int(endpoint.port or 3306),
        user=endpoint.user,
        password=password or "",
        database=endpoint.name,
        connect_timeout=_PATIENCE,
        read_timeout=_PATIENCE,
        ssl=ssl.create_default_context(cafile=_authorities()) if endpoint.ssl else None,
    )
    with closing(connection), connection.cursor() as cursor:
        cursor.execute("SELECT version()")
        row = cursor.fetchone()
    version = str(row[0]) if row else ""
    return version if "MariaDB" in version else f"MySQL {version}"


def _sqlite(endpoint: Endpoint, _password: str | None) -> str:
    file = Path(endpoint.host).absolute()
    if not file.is_file():
        raise ConfigurationError(f"there is no file {file}", endpoint.slug)
    uri = f"{file.as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, timeout=_PATIENCE)) as connection:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # the first look into the file
    return f"SQLite {sqlite3.sqlite_version}"


def _authorities() -> str | None:
    """The file of certificate authorities that this machine trusts: SSL_CERT_FILE, else OpenSSL's own."""
    return ssl.get_default_verify_paths().cafile


def _first_line(error: Exception) -> str:
    text = str(error.args[-1]) if error.args else ""
    return (text.strip().splitlines() or [type(error).__name__])[0]
