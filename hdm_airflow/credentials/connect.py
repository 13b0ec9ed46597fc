"""Connecting to an endpoint as a pack would: with TLS verified where the slug says so, and no worker's variables."""

from __future__ import annotations

import importlib.util
import os
import ssl
from typing import TYPE_CHECKING, Any

import psycopg

from hdm_airflow.errors import ConfigurationError

if TYPE_CHECKING:
    from hdm_airflow.base.endpoints import Endpoint

PATIENCE = 10  # seconds to wait for a server
#: What libpq would otherwise take from the worker's variables, PGHOSTADDR the server's address, for one.
_OVERRIDES: dict[str, Any] = {
    "hostaddr": "", "options": "", "target_session_attrs": "any", "sslcert": "", "sslkey": "",
}  # fmt: skip
#: Ways to log in to MySQL that send the password itself; a server chooses the way.
_CLEARTEXT_PLUGINS = ("mysql_clear_password", "dialog")
POSTGRES = {"postgres", "postgresql"}
MYSQL = {"mysql", "mariadb"}


def postgres(endpoint: Endpoint, password: str | None) -> psycopg.Connection[Any]:
    """A connection that only reads. Raises the driver's errors."""
    connection: psycopg.Connection[Any] = psycopg.connect(
        host=endpoint.host or "localhost",
        port=endpoint.port or "5432",
        dbname=endpoint.name,
        user=endpoint.user,
        password=password,
        passfile=os.devnull,  # nobody else's password
        **_OVERRIDES,
        sslmode="verify-full" if endpoint.ssl else "prefer",  # as the reference packs do
        sslrootcert=(_ca_file() or "system") if endpoint.ssl else "",
        connect_timeout=PATIENCE,
        application_name="hdm",
    )
    connection.read_only = True
    return connection


def mysql(endpoint: Endpoint, password: str | None) -> Any:
    """A connection to MySQL or MariaDB. Raises the driver's errors.

    Raises:
        ConfigurationError: the driver is not installed, or the server wants the password in clear, without TLS.
    """
    if importlib.util.find_spec("pymysql") is None:
        raise ConfigurationError("PyMySQL is not installed", endpoint.slug, "run: pip install PyMySQL")
    import pymysql

    return pymysql.connect(
        host=endpoint.host or "localhost",
        port=int(endpoint.port or 3306),
        user=endpoint.user,
        password=(password or "").encode(),  # text would be sent as Latin-1, which no server asks for
        database=endpoint.name,
        connect_timeout=PATIENCE,
        read_timeout=PATIENCE,
        ssl=ssl.create_default_context(cafile=_ca_file()) if endpoint.ssl else None,
        auth_plugin_map={} if endpoint.ssl else dict.fromkeys(_CLEARTEXT_PLUGINS, _RefusedPlugin),
    )


class _RefusedPlugin:
    """Stands in PyMySQL for a way to log in that is not taken."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def authenticate(self, _packet: Any) -> Any:
        """Refuse, whatever the server asks."""
        what = "the server asks for the password in clear text over a connection without TLS"
        hint = "register the endpoint with TLS, or check which server answers at this address"
        raise ConfigurationError(what, self._connection.host, hint)


def _ca_file() -> str | None:
    """The file of certificate authorities that this machine trusts: SSL_CERT_FILE, else OpenSSL's own."""
    return ssl.get_default_verify_paths().cafile
