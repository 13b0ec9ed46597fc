"""Sources: the chain that the settings ask for."""

from __future__ import annotations

from collections.abc import Callable

from hdm_airflow.credentials.chain import Chain, WarningQueue
from hdm_airflow.credentials.options import CredentialOptions, SourceName
from hdm_airflow.credentials.source import Source
from hdm_airflow.packs.pack import Pack

PATIENCE = 5.0  # seconds for revoking leases; Airflow's timeout comes ten seconds after ours


def open_chain(
    options: CredentialOptions,
    *,
    environment: str | None,
    pack: Pack | None,
    warn: Callable[[str], None],
    patience: Callable[[], float] = lambda: PATIENCE,
) -> Chain:
    """Return the chain over the sources that the settings name and set up. Nothing is asked yet.

    Args:
        options: from the settings.
        environment: name of the HDM environment; None if it is not known.
        pack: the pack whose conf.json is read; None: no conf.json is read.
        warn: receives warnings.
        patience: returns the seconds that revoking leases may take; called then.
    """
    warnings = WarningQueue()
    found = [_open(name, options, environment, pack, warnings) for name in options.sources]
    sources = [source for source in found if source is not None]
    return Chain(sources, warnings, warn, patience)


def _open(
    name: SourceName, options: CredentialOptions, environment: str | None, pack: Pack | None, warnings: WarningQueue
) -> Source | None:
    if name == "airflow":
        from hdm_airflow.credentials.airflow_connections import AirflowConnections

        return AirflowConnections()
    if name == "vault" and options.vault:
        from hdm_airflow.credentials.vault import Vault

        return Vault(options.vault, environment, warnings)
    if name == "keycloak" and options.keycloak:
        from hdm_airflow.credentials.keycloak import Keycloak

        return Keycloak(options.keycloak, warnings)
    if name == "conf.json" and pack:
        from hdm_airflow.credentials.conf_json import ConfJson

        return ConfJson(pack, environment, warnings, refuse=options.conf_json == "refuse")
    return None
