"""Passwords from Keycloak: an access token of the client-credentials grant."""

from __future__ import annotations

import re
import time
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import quote, urlsplit

import requests
from airflow.sdk.log import mask_secret

from hdm_airflow.base.endpoints import Registered
from hdm_airflow.credentials.airflow_connections import look_up
from hdm_airflow.credentials.options import KeycloakOptions
from hdm_airflow.credentials.source import (
    TIMEOUT,
    Credential,
    Once,
    Outage,
    SourceDownError,
    Warn,
    is_text,
    is_unencrypted,
)
from hdm_airflow.errors import ConfigurationError, HdmError

_MAX_LIFETIME = 365 * 86_400  # seconds; longer lifetimes are invalid
_DEFAULT_LIFETIME = 60.0  # seconds that a token is used if Keycloak does not state its lifetime
_MARGIN = 10.0  # seconds before it expires (or a tenth of its lifetime, if less) in which a token is not handed out
_SERVER_ERROR = 500
_OK = 200
_HOST_HINT = "write it as https://sso.hospital.example"
_CODE = re.compile(r"[a-z_]{1,40}")  # an error code of OAuth, such as invalid_client


class Keycloak:
    """One token for all endpoints that get one, until it expires.

    Args:
        options: from the settings.
        warn: takes warnings.
    """

    at_once = 1  # the others reuse the first one's token

    def __init__(self, options: KeycloakOptions, warn: Warn) -> None:
        self._options, self._warn = options, warn
        self._where = f"Keycloak realm {options.realm} (connection {options.conn_id})"
        self._once, self._outage = Once(), Outage()
        self._token, self._expires_at = "", 0.0  # monotonic clock

    def find(self, registered: Registered) -> Credential | None:
        """Return the token; None if the settings do not name the endpoint.

        Raises:
            HdmError: if Keycloak cannot be asked, or refuses.
        """
        slug = registered.endpoint.slug
        if not any(fnmatchcase(slug, pattern) for pattern in self._options.endpoints):
            return None
        if time.monotonic() >= self._expires_at:
            with self._outage.watch():
                self._token, lifetime = self._fetch_token()
            self._expires_at = time.monotonic() + lifetime - min(_MARGIN, lifetime / 10)
        return Credential(password=self._token, source=f"Keycloak realm {self._options.realm}")

    def close(self, patience: float) -> None:
        """Do nothing: a token of this grant has no session to end."""

    def _fetch_token(self) -> tuple[str, float]:
        """Request a token; return it and its lifetime in seconds.

        Raises:
            ConfigurationError: if the connection is missing or incomplete.
            SourceDownError: if Keycloak issues no token; the other endpoints would get none either.
        """
        url, form = self._once.get("connection", self._request)
        try:
            with requests.Session() as session:
                # `auth`: a .netrc file must not add its own login. No redirects: they could leak the secret.
                answer = session.post(url, data=form, timeout=TIMEOUT, allow_redirects=False, auth=lambda one: one)
        except ValueError:  # requests cannot parse the address; its error quotes it
            raise SourceDownError("the connection's host is not a valid address", self._where, _HOST_HINT) from None
        except requests.RequestException as error:
            hint = "check that Keycloak is running and that its certificate is trusted; a retry may help"
            raise SourceDownError(f"Keycloak cannot be reached ({type(error).__name__})", self._where, hint) from None
        body = _json_object(answer)
        if answer.status_code != _OK:
            raise self._refusal(answer.status_code, str(body.get("error", "")))
        token, lifetime = body.get("access_token"), body.get("expires_in", _DEFAULT_LIFETIME)
        if not (token and is_text(token) and _is_lifetime(lifetime)):
            hint = "check that the connection's host is Keycloak's address, and the realm"
            raise SourceDownError("Keycloak sent an invalid response", self._where, hint)
        return token, float(lifetime)

    def _refusal(self, status: int, code: str) -> HdmError:
        detail = f"{status} {code}" if _CODE.fullmatch(code) else str(status)
        if status >= _SERVER_ERROR:
            hint = "see Keycloak's log; a retry may help"
            return SourceDownError(f"Keycloak reports an error ({detail})", self._where, hint)
        hint = "check the realm, the client's id and secret in the connection, and that its service account is enabled"
        return SourceDownError(f"Keycloak refuses to issue a token ({detail})", self._where, hint)

    def _request(self) -> tuple[str, dict[str, str]]:
        """Return the URL and the form of the token request."""
        options = self._options
        connection = look_up(options.conn_id)
        if connection is None:
            hint = "add it, or name another one in credentials.keycloak.conn_id"
            raise ConfigurationError(f"there is no connection {options.conn_id!r}", "Airflow connections", hint)
        if not (connection.host and connection.login and connection.password):
            hint = "set host to Keycloak's address, login to the client id and password to the client secret"
            raise ConfigurationError("the connection lacks host, login or password", self._where, hint)
        mask_secret(connection.password)
        form = {
            "grant_type": "client_credentials",
            "client_id": connection.login,
            "client_secret": connection.password,
            "scope": options.scope,
            "audience": options.audience,
        }
        try:
            host = _address(connection)
        except ValueError:  # its text quotes the host
            raise ConfigurationError("the connection's host is not a valid address", self._where, _HOST_HINT) from None
        address = f"{host}/realms/{quote(options.realm, safe='')}/protocol/openid-connect/token"
        if is_unencrypted(address):
            self._warn(f"{self._where} is reached without TLS: put https:// before the connection's host")
        return address, {key: value for key, value in form.items() if value}


def _address(connection: Any) -> str:
    """Return Keycloak's address, with https unless the connection's host or schema says http."""
    host = connection.host.rstrip("/")
    if "://" not in host:
        scheme = connection.schema if connection.schema in {"http", "https"} else "https"
        host = f"{scheme}://{host}"
    parts = urlsplit(host)
    if connection.port and parts.port is None:
        parts = parts._replace(netloc=f"{parts.netloc}:{connection.port}")
    return str(parts.geturl())


def _is_lifetime(stated: Any) -> bool:
    """Return whether it is a valid number of seconds, above 0: else each endpoint would request a token of its own."""
    return isinstance(stated, int | float) and not isinstance(stated, bool) and 0 < stated <= _MAX_LIFETIME


def _json_object(answer: requests.Response) -> dict[str, Any]:
    try:
        body = answer.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
