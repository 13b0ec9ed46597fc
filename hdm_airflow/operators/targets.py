"""Targets: the planned endpoints with their passwords, as the pack receives them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from hdm_airflow.credentials.chain import Chain
from hdm_airflow.credentials.source import Credential
from hdm_airflow.operators.plan import Item, one_line
from hdm_airflow.runner.job import Target


def find(
    items: Sequence[Item], chain: Chain, versions: Mapping[str, str], heartbeat: Callable[[], None]
) -> tuple[list[Target], dict[str, str]]:
    """Look up each endpoint's password, once.

    Args:
        items: the planned endpoints.
        chain: the sources of passwords.
        versions: slug -> last known version of the database.
        heartbeat: called several times a second; an error that it raises ends the look-ups.

    Returns:
        The targets, and slug -> reason of each endpoint whose password could not be looked up.
    """
    answers = chain.find_all([item.registered for item in items], heartbeat)
    targets = [
        _target(item, answers.credentials.get(item.slug), versions.get(item.slug, "0.0"))
        for item in items
        if item.slug not in answers.faults
    ]
    return targets, {slug: one_line(error) for slug, error in answers.faults.items()}


def _target(item: Item, credential: Credential | None, version: str) -> Target:
    endpoint = item.registered.endpoint
    password = credential.password if credential else None
    user = (credential and credential.user) or endpoint.user
    return Target(
        slug=endpoint.slug,
        database=endpoint.name,
        type=endpoint.type,
        host=endpoint.host,
        port=endpoint.port,
        user=user,
        ssl=endpoint.ssl,
        url=replace(endpoint, user=user).url(password),
        password=password,
        version=version,
        config=item.config,
        config_sources=item.config_sources,
        incomplete=item.incomplete,
    )
