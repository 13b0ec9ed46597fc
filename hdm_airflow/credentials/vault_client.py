"""VaultClient: the few requests to Vault, through the hook of Airflow's hashicorp provider."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests
from airflow.providers.hashicorp.hooks.vault import VaultHook
from hvac import exceptions
from urllib3.util import Retry

from hdm_airflow.credentials.airflow_connections import look_up
from hdm_airflow.credentials.rate_limit import RateLimitedAdapter
from hdm_airflow.credentials.source import (
    TIMEOUT,
    Once,
    Outage,
    SourceDownError,
    Warn,
    is_unencrypted,
)
from hdm_airflow.credentials.vault_errors import explain_errors
from hdm_airflow.errors import ConfigurationError, HdmError

AT_ONCE = 16  # requests
_PAGE_HINT = "see the page on the connection in the documentation of Airflow's hashicorp provider"
#: Status codes that may change a moment later: of a standby node, or one that is starting.
_TRANSIENT = (412, 502, 503)


class VaultClient:
    """One login to Vault, made at the first look-up and shared by all threads.

    Args:
        conn_id: an Airflow connection of type vault.
        warn: takes warnings.
    """

    def __init__(self, conn_id: str, warn: Warn) -> None:
        self.where = f"Vault (connection {conn_id})"
        self._conn_id, self._warn = conn_id, warn
        self._once, self._outage = Once(), Outage(self._is_alive)
        self._session = _session()
        self._closing = threading.Lock()  # guards the next two
        self._revoke_token: Callable[[], None] | None = None  # revokes the token of our login
        self._closed = False

    def read_kv(self, path: str, mount: str | None, version: int | None) -> Any:
        """Return the fields of a secret in the KV engine; None if it is missing or its newest version is deleted."""
        hook: VaultHook = self._hook
        mount = mount or hook.vault_client.mount_point or "secret"
        version = version or hook.vault_client.kv_engine_version
        with self._lookup(f"{mount}/{path}"):
            kv = self._hvac.secrets.kv
            try:
                if version == 1:
                    fields = kv.v1.read_secret(path=path, mount_point=mount)["data"]
                else:  # a deleted version answers 404 with its metadata; raise as for a missing secret
                    answer = kv.v2.read_secret_version(path=path, mount_point=mount, raise_on_deleted_version=True)
                    fields = answer["data"]["data"]
            except exceptions.InvalidPath as error:
                self._reject_wrong_mount(error, mount)
                self._reject_wrong_version(error, mount, version)
                return None
            if not isinstance(fields, dict):
                raise TypeError
            return fields

    def read(self, path: str) -> Any:
        """Return the whole response for a path, such as `database/creds/reader`; None if there is no such role."""
        with self._lookup(path):
            try:
                answer = self._hvac.adapter.get(f"/v1/{quote(path)}")
            except exceptions.InvalidPath as error:
                self._reject_wrong_mount(error, path.partition("/")[0])
                return None
            except exceptions.InvalidRequest as error:
                if any("unknown role" in str(text) for text in error.errors or ()):
                    return None
                raise
            if not isinstance(answer["data"], dict):
                raise TypeError
            return answer

    def renew(self, lease_id: str, seconds: float) -> float:
        """Renew a lease; return its new lifetime in seconds."""
        with self._explain_errors("sys/leases/renew"):
            return _seconds(self._hvac.sys.renew_lease(lease_id=lease_id, increment=int(seconds))["lease_duration"])

    def revoke(self, lease_id: str) -> None:
        """Revoke a lease."""
        with self._explain_errors("sys/leases/revoke"):
            self._hvac.sys.revoke_lease(lease_id=lease_id)

    def token_life(self) -> tuple[float, bool]:
        """Return the token's lifetime in seconds (infinite if it does not expire), and whether it can be renewed."""
        with self._lookup("auth/token/lookup-self"):
            data = self._hvac.auth.token.lookup_self()["data"]
            return _seconds(data["ttl"]) or math.inf, bool(data.get("renewable"))

    def renew_token(self) -> float:
        """Renew the token; return its new lifetime in seconds."""
        with self._explain_errors("auth/token/renew-self"):
            return _seconds(self._hvac.auth.token.renew_self()["auth"]["lease_duration"])

    def log_out(self) -> bool:
        """Revoke the token that our login created, and all its leases with it.

        Returns:
            Whether there was one. A token from the connection is not revoked.
        """
        with self._closing:
            self._closed, revoke_token = True, self._revoke_token
        if revoke_token:
            with self._explain_errors("auth/token/revoke-self"):
                revoke_token()
        return revoke_token is not None

    @property
    def _hook(self) -> VaultHook:
        hook: VaultHook = self._once.get("hook", self._make_hook)
        return hook

    @property
    def _hvac(self) -> Any:
        return self._once.get("login", self._log_in)

    def _make_hook(self) -> VaultHook:
        with self._outage.watch():
            if look_up(self._conn_id) is None:
                hint = "add a connection of type vault, or name another one in credentials.vault.conn_id"
                raise ConfigurationError(f"there is no connection {self._conn_id!r}", "Airflow connections", hint)
        session = self._session
        try:
            hook = VaultHook(self._conn_id, session=session, timeout=TIMEOUT)
            extra = dict(hook.connection.extra_dejson.get("client_kwargs") or {})
        except exceptions.VaultError as error:  # about the connection's fields; its text quotes no secret
            raise ConfigurationError(f"the connection is invalid: {error.args[0]}", self.where, _PAGE_HINT) from None
        except (ValueError, TypeError, AttributeError) as error:
            what = f"the connection's extra is invalid ({type(error).__name__})"
            raise ConfigurationError(what, self.where, _PAGE_HINT) from None
        session.verify = self._ca_file(extra.get("verify", True))  # hvac prefers the session's over its own
        session.cert, session.proxies = extra.get("cert"), extra.get("proxies") or {}
        if is_unencrypted(hook.vault_client.url or ""):
            self._warn(f"{self.where} is reached without TLS: set use_tls in the connection's extra")
        return hook

    def _ca_file(self, stated: Any) -> bool | str:
        """Return what verifies certificates. A false value such as 0, which would disable verification, is rejected."""
        hint = 'name your CA file instead: {"client_kwargs": {"verify": "/path/ca.pem"}}'
        if stated is True:
            return True
        if not isinstance(stated, str) or not stated:
            raise ConfigurationError("the connection disables the verification of certificates", self.where, hint)
        if not Path(stated).exists():
            raise ConfigurationError("the CA file in the connection's `verify` does not exist", self.where, hint)
        return stated

    def _log_in(self) -> Any:
        hook = self._hook
        with self._outage.watch():
            try:
                with self._explain_errors("the login"):
                    client = hook.get_conn()
            except SourceDownError:
                raise
            except HdmError as error:  # without a login, nothing can be looked up
                raise SourceDownError(f"the login to Vault failed ({error.what})", self.where, error.hint) from None
        if hook.vault_client.auth_type != "token":
            with self._closing:
                self._revoke_token, closed = client.auth.token.revoke_self, self._closed
            if closed:  # the run is no longer waiting: nothing else would revoke the token
                self.log_out()
        return client

    def _is_alive(self) -> bool:
        """Return whether Vault answers at all: look-ups may be slow due to databases in which it creates accounts."""
        address = f"{self._hook.vault_client.url}/v1/sys/health"
        try:
            self._session.get(address, params={"standbyok": "true", "perfstandbyok": "true"}, timeout=TIMEOUT)
        except requests.RequestException:
            return False
        return True

    @contextmanager
    def _lookup(self, path: str) -> Iterator[None]:
        """Wrap each look-up for an endpoint: it is not made if Vault is known to be down."""
        with self._outage.watch(), self._explain_errors(path):
            yield

    def _explain_errors(self, path: str) -> AbstractContextManager[None]:
        """Wrap each request: its errors say what went wrong, without quoting what was sent."""
        return explain_errors(path, self.where)

    def _reject_wrong_mount(self, error: exceptions.VaultError, mount: str) -> None:
        """Raise if a 404 means a missing mount: else a typo in the settings would read as `no entry` everywhere."""
        answer = error.json if isinstance(error.json, dict) else {}
        if any("no handler for route" in str(text) for text in answer.get("errors") or ()):
            what = f"Vault has no secrets engine at {mount!r}"
            raise ConfigurationError(what, self.where, "correct the mount or the path")

    def _reject_wrong_version(self, error: exceptions.VaultError, mount: str, version: int) -> None:
        """Raise if a 404 comes from a KV engine of the other version. Only version 2 warns about that itself."""
        answer = error.json if isinstance(error.json, dict) else {}
        is_version_2 = any("versioned" in str(text).lower() for text in answer.get("warnings") or ())
        actual = 2 if is_version_2 else self._once.get(("engine", mount), lambda: self._engine_version(mount))
        if actual not in {None, version}:
            what = f"the engine at {mount!r} has KV version {actual}, but was read as version {version}"
            raise ConfigurationError(what, self.where, f"set credentials.vault.kv_version to {actual}")

    def _engine_version(self, mount: str) -> int | None:
        """Return the version of a KV engine, found as Vault's own command line does; None if Vault does not show it.

        Every login that may read a path of the engine may ask for it. The format of the response might change, so an
        unexpected one counts as unknown.
        """
        try:
            with self._lookup(f"sys/internal/ui/mounts/{mount}"):
                engine = self._hvac.adapter.get(f"/v1/sys/internal/ui/mounts/{quote(mount)}")["data"]
                kind, options = engine.get("type"), engine.get("options") or {}
                return int(options.get("version") or 1) if kind in {"kv", "generic"} else None
        except SourceDownError:
            raise
        except HdmError:
            return None


def _session() -> requests.Session:
    """Return a session for the hook. Its own would retry more often, and wait for as long as the server says."""
    retries = Retry(
        total=2,
        connect=1,
        other=0,  # an untrusted certificate stays untrusted
        read=False,  # no retry: Vault may have created credentials although no answer came
        status=2,
        backoff_factor=0.2,
        status_forcelist=_TRANSIENT,
        raise_on_status=False,
        respect_retry_after_header=False,  # RateLimitedAdapter waits, within limits
    )
    session = requests.Session()
    session.max_redirects = 0  # requests would send the token to any host, with or without TLS
    adapter = RateLimitedAdapter(pool_maxsize=AT_ONCE, max_retries=retries)
    for scheme in ("http://", "https://"):
        session.mount(scheme, adapter)
    return session


def _seconds(stated: Any) -> float:
    """Return a time that Vault states.

    Raises:
        ValueError: if it is not a finite number of seconds; Python's JSON reads NaN and Infinity.
    """
    seconds = float(stated)
    if not 0 <= seconds < math.inf:
        raise ValueError
    return seconds
