"""Targets: the planned endpoints with their passwords, as the pack is given them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hdm_airflow.credentials.airflow_connections import AirflowConnections
from hdm_airflow.credentials.chain import Chain, Source
from hdm_airflow.errors import HdmError
from hdm_airflow.operators.plan import Item, one_line
from hdm_airflow.runner.job import Target


def sources() -> list[Source]:
    """Where passwords are looked for, in this order."""
    return [AirflowConnections()]


def find(items: Iterable[Item], chain: Chain, versions: Mapping[str, str]) -> tuple[list[Target], dict[str, str]]:
    """Look up each endpoint's password, once.

    Args:
        items: the planned endpoints.
        chain: where passwords come from.
        versions: slug -> last known version of the database.

    Returns:
        The targets, and slug -> reason of each endpoint whose password could not be looked up.
    """
    targets: list[Target] = []
    refused: dict[str, str] = {}
    for item in items:
        try:
            targets.append(_target(item, chain.find(item.registered), versions.get(item.slug, "0.0")))
        except HdmError as error:
            refused[item.slug] = one_line(error)
    return targets, refused


def _target(item: Item, password: str | None, version: str) -> Target:
    endpoint = item.registered.endpoint
    return Target(
        slug=endpoint.slug,
        database=endpoint.name,
        type=endpoint.type,
        host=endpoint.host,
        port=endpoint.port,
        user=endpoint.user,
        ssl=endpoint.ssl,
        url=endpoint.url(password),
        password=password,
        version=version,
        config=item.config,
        config_sources=item.config_sources,
        incomplete=item.incomplete,
    )
