"""The demo's Airflow connections, as a user would add them in the UI."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from demo.endpoints import Site
from demo.services import Database


def of_base(database: Database, role: str | None = None, password: str | None = None) -> dict[str, Any]:
    """The connection of the HDM base, or of the packs' own role, which is also its id."""
    server = database.server
    return {
        "connection_id": role or "hdm",
        "conn_type": "postgres",
        "description": "HDM base of the environment prod" + (", with the packs' own role" if role else ""),
        "host": server.host,
        "port": server.port,
        "schema": database.name,
        "login": role or server.user,
        "password": password if role else server.password,
    }


def of_endpoints(places: Iterable[Site]) -> list[dict[str, Any]]:
    """One connection per endpoint with a password, under the id that the operator looks for."""
    from hdm_airflow.credentials.airflow_connections import default_conn_id

    return [
        {
            "connection_id": default_conn_id(site.endpoint.name),
            "conn_type": "generic",
            "description": f"Password with which packs read the endpoint {site.endpoint.name}",
            "host": site.endpoint.host,
            "login": site.endpoint.user,
            "password": site.password,
        }
        for site in places
        if site.password
    ]
