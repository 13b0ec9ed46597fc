"""VaultClient: the few requests that are made of Vault, through the hook of Airflow's hashicorp provider."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import requests
from airflow.providers.hashicorp.hooks.vault import VaultHook
from hvac import exceptions
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from hdm_airflow.credentials.airflow_connections import look_up
from hdm_airflow.credentials.source import (
    TIMEOUT,
    Once,
    Outage,
    SlowSourceError,
    SourceDownError,
    Tell,
    is_readable_on_the_way,
)
from hdm_airflow.errors import ConfigurationError, HdmError

AT_ONCE = 16  # requests
#: Answers that may be another one a moment later: a standby, a node that starts.
_PASSING = (412, 502, 503)
_DOWN = (
    exceptions.VaultDown,
    exceptions.VaultNotInitialized,
    exceptions.BadGateway,
    exceptions.RateLimitExceeded,
    exceptions.UnexpectedError,
)


class VaultClient:
    """One login to Vault, made when the first question is asked, and shared by all threads.

    Args:
        conn_id: an Airflow connection of type vault.
        tell: takes warnings.
    """

    def __init__(self, conn_id: str, tell: Tell) -> None:
        self.where = f"Vault (connection {conn_id})"
        self._conn_id, self._tell = conn_id, tell
        self._once, self._outage = Once(), Outage()
        self._lent: Callable[[], None] | None = None

    def read_kv(self, path: str, mount: str | None, version: int | None) -> Any:
        """The fields of a secret in the KV engine; None where there is none, or its newest version is deleted."""
        hook: VaultHook = self._hook
        mount = mount or hook.vault_client.mount_point or "secret"
        version = version or hook.vault_client.kv_engine_version
        with self._explained(f"{mount}/{path}"):
            kv = self._hvac.secrets.kv
            try:
                if version == 1:
                    return kv.v1.read_secret(path=path, mount_point=mount)["data"]
                # A deleted version answers 404 with its metadata; raised like one that never was.
                answer = kv.v2.read_secret_version(path=path, mount_point=mount, raise_on_deleted_version=True)
                return answer["data"]["data"]
            except exceptions.InvalidPath as error:
                self._refuse_wrong_mount(error, mount, version)
                return None

    def read(self, path: str) -> Any:
        """The whole answer of any path, such as `database/creds/reader`; None where there is no such role."""
        with self._explained(path):
            try:
                answer = self._hvac.adapter.get(f"/v1/{quote(path)}")
            except exceptions.InvalidPath as error:
                self._refuse_wrong_mount(error, path.partition("/")[0])
                return None
            except exceptions.InvalidRequest as error:
                if any("unknown role" in str(text) for text in error.errors or ()):
                    return None
                raise
            if not isinstance(answer["data"], dict):
                raise TypeError
            return answer

    def renew(self, lease_id: str, seconds: float) -> float:
        """Prolong a lease; how many seconds it lasts now."""
        with self._told("sys/leases/renew"):
            return float(self._hvac.sys.renew_lease(lease_id=lease_id, increment=int(seconds))["lease_duration"])

    def revoke(self, lease_id: str) -> None:
        """End a lease."""
        with self._told("sys/leases/revoke"):
            self._hvac.sys.revoke_lease(lease_id=lease_id)

    def token_life(self) -> tuple[float, bool]:
        """How many seconds our token lasts (infinite where it has no end), and whether it can be renewed."""
        with self._explained("auth/token/lookup-self"):
            data = self._hvac.auth.token.lookup_self()["data"]
            return float(data["ttl"] or "inf"), bool(data.get("renewable"))

    def renew_token(self) -> float:
        """Prolong our token, and with it what was lent to it; how many seconds it lasts now."""
        with self._told("auth/token/renew-self"):
            return float(self._hvac.auth.token.renew_self()["auth"]["lease_duration"])

    def log_out(self) -> None:
        """End the token that our login made. One that was given to us is not ours to end."""
        if self._lent:
            with self._told("auth/token/revoke-self"):
                self._lent()

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
                hint = "add a connection of type vault, or name another in credentials.vault.conn_id"
                raise ConfigurationError(f"there is no connection {self._conn_id!r}", "Airflow connections", hint)
        session = _session()
        try:
            hook = VaultHook(self._conn_id, session=session, timeout=TIMEOUT)
            extra = dict(hook.connection.extra_dejson.get("client_kwargs") or {})
        except exceptions.VaultError as error:  # about the connection's fields; it quotes no secret
            hint = "see the hashicorp provider's page on the connection"
            raise ConfigurationError(f"the connection is wrong: {error.args[0]}", self.where, hint) from None
        except (ValueError, TypeError, AttributeError) as error:
            what = f"the connection's extra cannot be understood ({type(error).__name__})"
            raise ConfigurationError(what, self.where, "see the hashicorp provider's page on the connection") from None
        session.verify = extra.get("verify", True)  # hvac takes the session's over its own
        session.cert, session.proxies = extra.get("cert"), extra.get("proxies") or {}
        if session.verify is False:
            hint = 'name the authority instead: {"client_kwargs": {"verify": "/path/ca.pem"}}'
            raise ConfigurationError("the connection turns the verification of certificates off", self.where, hint)
        if is_readable_on_the_way(hook.vault_client.url or ""):
            self._tell(f"{self.where} is reached without TLS: use_tls in the connection's extra mends that")
        return hook

    def _log_in(self) -> Any:
        hook = self._hook
        with self._outage.watch():
            try:
                with self._told("login"):
                    client = hook.get_conn()
            except SourceDownError:
                raise
            except HdmError as error:  # whatever the login answers, nothing can be asked without it
                raise SourceDownError(f"Vault refuses the login ({error.what})", self.where, error.hint) from None
        if hook.vault_client.auth_type != "token":
            self._lent = client.auth.token.revoke_self
        return client

    @contextmanager
    def _explained(self, path: str) -> Iterator[None]:
        """Around each question for an endpoint: not asked where Vault is known to be down."""
        with self._outage.watch(), self._told(path):
            yield

    @contextmanager
    def _told(self, path: str) -> Iterator[None]:
        """Around each request: tells what went wrong, and nothing of what was sent."""
        try:
            yield
        except HdmError:
            raise
        except requests.ReadTimeout:
            what = f"Vault did not answer within {TIMEOUT[1]:.0f} s"
            raise SlowSourceError(what, self.where, "see its health; a retry may help") from None
        except requests.RequestException as error:
            hint = "see that it runs, is unsealed, and that its certificate is trusted; a retry may help"
            raise SourceDownError(f"Vault cannot be reached ({type(error).__name__})", self.where, hint) from None
        except _DOWN as error:
            hint = "see its health and seal status; a retry may help"
            raise SourceDownError(f"Vault is not ready ({type(error).__name__})", self.where, hint) from None
        except (exceptions.Forbidden, exceptions.Unauthorized) as error:
            what = f"Vault refuses access to {path} ({type(error).__name__})"
            raise HdmError(
                what, self.where, "see the policies of the login, and that its token has not ended"
            ) from None
        except exceptions.VaultError as error:
            hint = "see Vault's log; a retry may help"
            raise HdmError(f"Vault fails at {path} ({type(error).__name__})", self.where, hint) from None
        except OSError as error:  # the file of a token
            hint = "see the paths in the connection's extra"
            raise SourceDownError(f"a file for the login cannot be read ({error.strerror})", self.where, hint) from None
        except ImportError:
            hint = "install what this login needs, see the hashicorp provider's page on the connection"
            raise SourceDownError("the kind of login is not installed", self.where, hint) from None
        except (KeyError, TypeError, ValueError, AttributeError):
            hint = "see that the address in the connection is Vault's"
            raise HdmError(f"Vault's answer at {path} cannot be understood", self.where, hint) from None

    def _refuse_wrong_mount(self, error: exceptions.VaultError, mount: str, version: int | None = None) -> None:
        """A 404 that is no missing secret: else a typing error in the settings reads as `no entry` everywhere."""
        answer = error.json if isinstance(error.json, dict) else {}
        if any("no handler for route" in str(text) for text in answer.get("errors") or ()):
            raise ConfigurationError(f"Vault has no engine at {mount!r}", self.where, "correct the mount or the path")
        if version == 1 and any("versioned" in str(text).lower() for text in answer.get("warnings") or ()):
            what = f"the engine at {mount!r} is of KV version 2, and asked as version 1"
            raise ConfigurationError(what, self.where, "set credentials.vault.kv_version to 2")


def _session() -> requests.Session:
    """What the hook would make for itself retries more often, and does what the server says about when."""
    retries = Retry(
        total=2,
        connect=1,
        other=0,  # a certificate is not trusted the second time either
        read=False,  # not again: credentials may have been made although no answer came
        status=2,
        backoff_factor=0.2,
        status_forcelist=_PASSING,
        raise_on_status=False,
        respect_retry_after_header=False,  # a server must not make a worker sleep
    )
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=AT_ONCE, max_retries=retries))
    return session
