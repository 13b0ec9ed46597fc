"""A stand-in for Keycloak: the token endpoint of one realm, for the client-credentials grant (RFC 6749, 4.4)."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs

from tests.stand_ins.server import Asked, StandIn

REALM = "hospital"


class Keycloak(StandIn):
    """Tests fill its attributes.

    Attributes:
        clients: client id -> secret.
        seconds: how long a token lasts.
        forms: what was asked, as dicts.
    """

    def __init__(self) -> None:
        super().__init__()
        self.clients: dict[str, str] = {"hdm": "client-secret-7"}
        self.seconds: Any = 300
        self.forms: list[dict[str, str]] = []

    def connection(self, **changes: Any) -> str:
        """An Airflow connection to it, as JSON."""
        host = f"http://127.0.0.1:{self.port}"
        return json.dumps(
            {"conn_type": "http", "host": host, "login": "hdm", "password": self.clients["hdm"], **changes}
        )

    def answer(self, asked: Asked) -> tuple[int, Any]:
        """What Keycloak would say."""
        if asked.path != f"/realms/{REALM}/protocol/openid-connect/token":
            return 404, {"error": "Realm does not exist"}
        form = {key: values[0] for key, values in parse_qs(asked.body.decode()).items()}
        self.forms.append(form)
        if form.get("grant_type") != "client_credentials":
            return 400, {"error": "unsupported_grant_type"}
        secret = self.clients.get(form.get("client_id", ""))
        if secret is None or secret != form.get("client_secret"):
            return 401, {"error": "invalid_client", "error_description": "Invalid client or Invalid client credentials"}
        token = f"eyJ-token-{len(self.forms)}-Zx9+/=.{form.get('scope', 'none')}"
        return 200, {
            "access_token": token,
            "expires_in": self.seconds,
            "token_type": "Bearer",
            "not-before-policy": 0,
            "scope": form.get("scope", "profile"),
        }
