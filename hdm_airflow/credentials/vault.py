"""Passwords from HashiCorp Vault: secrets of the KV engine, and dynamic database credentials."""

from __future__ import annotations

import math
import time
from typing import Any

from hdm_airflow.base.endpoints import Registered
from hdm_airflow.credentials.leases import Lease, Leases
from hdm_airflow.credentials.options import VaultOptions
from hdm_airflow.credentials.paths import fill
from hdm_airflow.credentials.pool import DeadlineError, each, until
from hdm_airflow.credentials.source import Credential, Once, SlowSourceError, Warn
from hdm_airflow.credentials.vault_client import AT_ONCE, VaultClient
from hdm_airflow.errors import ConfigurationError, HdmError

_UNLIMITED = 365 * 86_400  # seconds: used for a lease that does not expire, which Vault states as 0


class Vault:
    """Looks up an endpoint's dynamic credentials, then its secret; each path once.

    Args:
        options: from the settings.
        environment: name of the HDM environment; None if it is not known.
        warn: takes warnings.
    """

    at_once = AT_ONCE

    def __init__(self, options: VaultOptions, environment: str | None, warn: Warn) -> None:
        self._options, self._environment, self._warn = options, environment, warn
        self._client = VaultClient(options.conn_id, warn)
        self._once = Once()
        self._leases = Leases(warn)

    def find(self, registered: Registered) -> Credential | None:
        """Return the endpoint's credential; None if neither path has an entry.

        Raises:
            HdmError: if Vault cannot be asked, or its answer contains no password.
        """
        options, endpoint = self._options, registered.endpoint
        found: Credential | None = None
        if options.dynamic_path:
            path = fill(options.dynamic_path, endpoint, self._environment)
            found = self._once.get(("dynamic", path), lambda: self._create_account(path))
        if found is None and options.path:
            path = fill(options.path, endpoint, self._environment)
            found = self._once.get(("kv", path), lambda: self._read(path))
        return found

    def close(self, patience: float) -> None:
        """Revoke the token of our login, and all leases with it, in one request; else revoke each lease separately."""
        deadline = time.monotonic() + patience
        try:
            (result,) = each(lambda log_out: log_out(), [self._client.log_out], at_once=1, heartbeat=until(deadline))
        except DeadlineError:
            result = HdmError(f"no answer within {patience:.0f} s")
        if isinstance(result, HdmError):
            self._warn(f"the token of the Vault login could not be revoked: {result.what}")
        if result is True:
            self._leases.stop()
        else:
            self._leases.close(max(0.0, deadline - time.monotonic()))

    def _read(self, path: str) -> Credential | None:
        options = self._options
        secret = self._client.read_kv(path, options.mount, options.kv_version)
        if secret is None:
            return None
        return Credential(
            password=self._text(secret, options.password_key, path),
            user=self._text(secret, options.user_key, path) if options.user_key else None,
            source=f"Vault {path}",
        )

    def _create_account(self, path: str) -> Credential | None:
        try:
            answer = self._client.read(path)
        except SlowSourceError:
            self._warn(f"Vault might still create an account from {path}; it would expire unused")
            raise
        if answer is None:
            return None
        lease_id, seconds = answer.get("lease_id"), answer.get("lease_duration")
        if lease_id:
            seconds = min(seconds, _UNLIMITED) if isinstance(seconds, int) and seconds > 0 else _UNLIMITED
            self._once.get("token", self._keep_token_alive)
            self._leases.add(
                Lease(
                    name=f"the account from {path}",
                    seconds=seconds,
                    renew=(lambda: self._client.renew(lease_id, seconds)) if answer.get("renewable") else None,
                    revoke=lambda: self._client.revoke(lease_id),
                )
            )
        data = answer["data"]
        return Credential(
            password=self._text(data, "password", path),
            user=self._text(data, "username", path),
            source=f"Vault {path}",
        )

    def _keep_token_alive(self) -> None:
        """Renew the token too: when it expires, Vault revokes its leases."""
        try:
            seconds, renewable = self._client.token_life()
        except HdmError as error:
            self._warn(f"cannot find out when Vault's token and its accounts expire: {error.what}")
            return
        if math.isfinite(seconds):
            renew = self._client.renew_token if renewable else None
            self._leases.add(Lease(name="Vault's token", seconds=seconds, renew=renew, revoke=lambda: None))

    def _text(self, fields: Any, key: str, path: str) -> str:
        value = fields.get(key) if isinstance(fields, dict) else None
        if isinstance(value, str) and value:
            return value
        what = f"the secret at {path} has no text in its field {key!r}"
        raise ConfigurationError(what, self._client.where, "add it there, or correct the field in credentials.vault")
