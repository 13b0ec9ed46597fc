"""Passwords from Airflow connections."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from hdm_airflow.base.endpoints import Registered
from hdm_airflow.errors import ConfigurationError


class AirflowConnections:
    """The connection that the endpoint names, else `hdm_<database name>`; only its password is used.

    Looked up once per connection: a look-up takes about 10 ms, and one connection may serve many endpoints.
    """

    def __init__(self) -> None:
        self._get = cache(_get)

    def find(self, registered: Registered) -> str | None:
        """The connection's password; None where there is no connection and none was named.

        Raises:
            ConfigurationError: the connection that the endpoint names is missing, or it is for another host.
        """
        endpoint = registered.endpoint
        conn_id = registered.conn_id or default_conn_id(endpoint.name)
        connection = self._get(conn_id)
        if connection is None:
            if registered.conn_id is None:
                return None
            hint = f"add the connection, or correct it: airflow hdm endpoints add {endpoint.slug} --conn-id ..."
            raise ConfigurationError(f"there is no connection {conn_id!r}", endpoint.slug, hint)
        host = (connection.host or "").lower()
        if host and host != endpoint.host.lower():
            what = f"the connection {conn_id!r} is for host {connection.host!r}, the endpoint is on {endpoint.host!r}"
            raise ConfigurationError(what, endpoint.slug, "correct the connection's host, or leave it empty")
        return connection.password or None


def default_conn_id(name: str) -> str:
    """The id of the connection of a database that names none: `hdm_<name>`, other characters as `_`."""
    return "hdm_" + re.sub(r"[^A-Za-z0-9_]", "_", name)


def _get(conn_id: str) -> Any:
    try:
        return BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        return None
