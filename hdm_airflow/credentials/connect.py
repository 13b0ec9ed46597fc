"""Connecting to an endpoint as packs do: with verified TLS if the slug requires it, without the worker's variables."""

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
_NO_FILE = f"{os.devnull}/none"  # cannot exist; of a file that is not a plain one, libpq warns on stderr
#: Otherwise libpq would use the worker's variables, for example the server address from PGHOSTADDR.
_OVERRIDES: dict[str, Any] = {
    "hostaddr": "", "options": "", "target_session_attrs": "any", "sslcert": "", "sslkey": "",
}  # fmt: skip
#: Authentication plugins of MySQL that send the password in clear text; the server chooses the plugin.
_CLEARTEXT_PLUGINS = ("mysql_clear_password", "dialog")
POSTGRES = {"postgres", "postgresql"}
MYSQL = {"mysql", "mariadb"}


def postgres(endpoint: Endpoint, password: str | None) -> psycopg.Connection[Any]:
    """Open a read-only connection. Raises the driver's errors."""
    connection: psycopg.Connection[Any] = psycopg.connect(
        host=endpoint.host or "localhost",
        port=endpoint.port or "5432",
        dbname=endpoint.name,
        user=endpoint.user,
        password=password,
        passfile=_NO_FILE,  # never a password from the worker's file
        **_OVERRIDES,
        sslmode="verify-full" if endpoint.ssl else "prefer",  # as the reference packs do
        sslrootcert=(_ca_file() or "system") if endpoint.ssl else "",
        connect_timeout=PATIENCE,
        application_name="hdm",
    )
    connection.read_only = True
    return connection


def mysql(endpoint: Endpoint, password: str | None) -> Any:
    """Open a connection to MySQL or MariaDB. Also raises the driver's errors.

    Raises:
        ConfigurationError: if the driver is not installed, or if the server asks for the password in clear text without
            TLS.
    """
    if importlib.util.find_spec("pymysql") is None:
        raise ConfigurationError("PyMySQL is not installed", endpoint.slug, "run: pip install PyMySQL")
    import pymysql

    return pymysql.connect(
        host=endpoint.host or "localhost",
        port=int(endpoint.port or 3306),
        user=endpoint.user,
        password=(password or "").encode(),  # PyMySQL would send a str as Latin-1, which no server expects
        database=endpoint.name,
        connect_timeout=PATIENCE,
        read_timeout=PATIENCE,
        ssl=ssl.create_default_context(cafile=_ca_file()) if endpoint.ssl else None,
        auth_plugin_map={} if endpoint.ssl else dict.fromkeys(_CLEARTEXT_PLUGINS, _RefusedPlugin),
    )


class _RefusedPlugin:
    """Replaces an authentication plugin of PyMySQL that must not be used."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def authenticate(self, _packet: Any) -> Any:
        """Refuse every request of the server."""
        what = "the server asks for the password in clear text over a connection without TLS"
        hint = "register the endpoint with TLS, or check which server answers at this address"
        raise ConfigurationError(what, self._connection.host, hint)


def _ca_file() -> str | None:
    """Return the file of CA certificates that this machine trusts: SSL_CERT_FILE, else OpenSSL's default."""
    return ssl.get_default_verify_paths().cafile
