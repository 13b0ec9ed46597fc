"""Passwords from Airflow connections."""

from __future__ import annotations

import re
from typing import Any

from airflow.sdk.exceptions import (
    AirflowException,
    AirflowRuntimeError,
    AirflowSecretsBackendAccessDenied,
    ErrorType,
)
from airflow.sdk.execution_time.comms import ErrorResponse, GetConnection
from airflow.sdk.execution_time.secrets import ExecutionAPISecretsBackend
from airflow.sdk.execution_time.supervisor import ensure_secrets_backend_loaded

from hdm_airflow.base.endpoints import Registered
from hdm_airflow.credentials.source import Credential, Once, SourceDownError, is_text
from hdm_airflow.errors import ConfigurationError

_WHERE = "Airflow connections"
_REWRITE_HINT = "write it again, as JSON or as a URI with its parts percent-encoded"
#: What Airflow raises if it cannot parse a connection's text. The messages quote that text, with the password.
_MALFORMED = (ValueError, TypeError, LookupError, AttributeError, AirflowException)


class _ApiError(Exception):
    """The API server could not answer; the argument is the kind of error."""


class AirflowConnections:
    """The connection that the endpoint names, else `hdm_<database name>`; only its password is used.

    Each connection is looked up once: a look-up takes about 10 ms, and one connection may serve many endpoints.
    Look-ups do not run in parallel: a task has one pipe to its supervisor, so threads would only wait for each other.
    """

    at_once = 1

    def __init__(self) -> None:
        self._once = Once()
        self._down: dict[str, SourceDownError] = {}

    def find(self, registered: Registered) -> Credential | None:
        """Return the connection's password; None if it has none, or if there is no connection and none was named.

        Raises:
            ConfigurationError: if the connection that the endpoint names is missing, or if the connection is malformed
                or for another host.
            SourceDownError: if Airflow's connections cannot be looked up.
        """
        endpoint = registered.endpoint
        conn_id = registered.conn_id or default_conn_id(endpoint.name)
        connection = self._once.get(conn_id, lambda: look_up(conn_id, self._down))
        if connection is None:
            if registered.conn_id is None:
                return None
            hint = f"add the connection, or name another one: airflow hdm endpoints add {endpoint.slug} --conn-id ..."
            raise ConfigurationError(f"there is no connection {conn_id!r}", endpoint.slug, hint)
        host = (connection.host or "").lower()
        if host and host != endpoint.host.lower():
            # Do not show its host: in a URI whose password is not percent-encoded, it is the end of the password.
            what = f"the connection {conn_id!r} is for a host other than the endpoint's {endpoint.host!r}"
            hint = "correct the connection's host or leave it empty; in a URI, percent-encode the password"
            raise ConfigurationError(what, endpoint.slug, hint)
        if not connection.password:
            return None
        return Credential(password=connection.password, source=f"Airflow connection {conn_id}")

    def close(self, patience: float) -> None:
        """Do nothing: there is nothing to give back."""


def default_conn_id(name: str) -> str:
    """Return the default connection id, `hdm_<name>`, in which characters other than letters and digits become `_`."""
    return "hdm_" + re.sub(r"[^A-Za-z0-9_]", "_", name)


def look_up(conn_id: str, down: dict[str, SourceDownError] | None = None) -> Any:
    """Return an Airflow connection, or None if it does not exist.

    Airflow's own look-up ignores a secrets backend that fails and text that it cannot parse, as if the connection did
    not exist: the pack would then run without a password, or with one from elsewhere. So this function asks each
    backend itself.

    Args:
        conn_id: its id.
        down: secrets backends that have failed before and are not asked again; this function adds to it.

    Raises:
        ConfigurationError: if the connection is malformed, or a backend denies access to it.
        SourceDownError: if a backend cannot be asked.
    """
    for backend in ensure_secrets_backend_loaded():
        name = type(backend).__name__
        if down and name in down:
            raise SourceDownError(*down[name].args)
        try:
            if isinstance(backend, ExecutionAPISecretsBackend):
                connection = _ask_api(conn_id)
            else:
                connection = backend.get_connection(conn_id=conn_id)
        except AirflowSecretsBackendAccessDenied:
            hint = "grant the Dag's team or the worker the right to read it"
            raise ConfigurationError(f"{name} denies access to the connection {conn_id!r}", _WHERE, hint) from None
        except _MALFORMED as error:
            what = f"the connection {conn_id!r} cannot be read ({name}: {type(error).__name__})"
            raise ConfigurationError(what, _WHERE, _REWRITE_HINT) from None
        except Exception as error:  # noqa: BLE001  # any backend's: a database, Vault, a cloud service
            reason = error.args[0] if isinstance(error, _ApiError) else type(error).__name__
            what = f"connections cannot be looked up ({name}: {reason})"
            hint = "check that the secrets backend is running: other backends are not asked instead; a retry may help"
            fault = SourceDownError(what, _WHERE, hint)
            if down is not None:
                down[name] = fault
            raise fault from None
        if connection is not None:
            return _validate(connection, conn_id)
    return None


def _ask_api(conn_id: str) -> Any:
    """Ask the API server through the task's supervisor. Airflow's own backend treats every failure as `not found`."""
    from airflow.sdk import Connection
    from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

    try:
        answer: Any = SUPERVISOR_COMMS.send(GetConnection(conn_id=conn_id))
    except AirflowRuntimeError as error:
        answer = error.error
    if not isinstance(answer, ErrorResponse):
        return Connection(**answer.model_dump(exclude={"type"}, by_alias=True))
    if answer.error is ErrorType.CONNECTION_NOT_FOUND:
        return None
    if answer.error is ErrorType.PERMISSION_DENIED:
        raise AirflowSecretsBackendAccessDenied(conn_id)
    raise _ApiError(answer.error.value)


def _validate(connection: Any, conn_id: str) -> Any:
    """Return the connection if it is valid: Airflow accepts any text as a URI and any JSON value as a field.

    Raises:
        ConfigurationError: if it is empty (as a bare password is, read as a URI), or a field is not text.
    """
    for name in ("conn_type", "host", "login", "password", "schema", "extra"):
        value = getattr(connection, name, None)
        if value is not None and not is_text(value):
            raise ConfigurationError(f"the {name} of the connection {conn_id!r} is not text", _WHERE, _REWRITE_HINT)
    if any((connection.host, connection.login, connection.password, connection.port)):
        return connection
    what = f"the connection {conn_id!r} has no host, port, login or password"
    raise ConfigurationError(what, _WHERE, _REWRITE_HINT)
