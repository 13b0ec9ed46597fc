"""A stand-in for HashiCorp Vault: KV, database credentials, leases and three logins, by its public HTTP API.

Facts: developer.hashicorp.com/vault/api-docs: secret/kv, secret/databases, system/leases, auth/approle,
auth/kubernetes, auth/token.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from itertools import count
from typing import Any

from tests.stand_ins.server import Asked, StandIn

ROOT = "hvs.root-token-of-the-stand-in"


class Vault(StandIn):
    """Tests fill its dicts.

    Attributes:
        kv1, kv2: path below the mount `kv1`, `secret` -> fields; None in kv2: the newest version is deleted.
        odd: path in either engine -> what is told in place of its fields.
        roles: name of a database role -> what `database/creds/<name>` lends: seconds, longest time, renewable,
            stated (the seconds that are told, where they are others).
        app_roles: role id -> secret id.
        kubernetes: role -> token of the service account.
        denied: paths that no policy allows.
        broken_paths: path -> status, such as of a database that Vault cannot reach.
        token_seconds: how long a token of a login lasts.
        leases: lease id -> [user, seconds, ends, ends at the latest, token].
        make_account, drop_account: told user and password of each account made, the user of each account ended.
    """

    def __init__(self) -> None:
        super().__init__()
        self.kv1: dict[str, dict[str, Any]] = {}
        self.kv2: dict[str, dict[str, Any] | None] = {}
        self.odd: dict[str, Any] = {}
        self.roles: dict[str, dict[str, Any]] = {}
        self.app_roles: dict[str, str] = {}
        self.kubernetes: dict[str, str] = {}
        self.denied: set[str] = set()
        self.broken_paths: dict[str, int] = {}
        self.token_seconds = 3600
        self.leases: dict[str, list[Any]] = {}
        self.tokens: dict[str, float] = {ROOT: 0.0}  # -> when it ends; 0: never
        self._numbers = count(1)
        self.make_account: Callable[[str, str], None] = lambda _user, _password: None
        self.drop_account: Callable[[str], None] = lambda _user: None

    def connection(self, **extra: Any) -> str:
        """An Airflow connection to it, as JSON; `login` and `password` are taken out of `extra`."""
        stated = {"login": extra.pop("login", None), "password": extra.pop("password", ROOT)}
        base = {"conn_type": "vault", "host": "127.0.0.1", "port": self.port, **stated}
        return json.dumps({**base, "extra": {"use_tls": False, **extra}})

    def answer(self, asked: Asked) -> tuple[int, Any]:
        """What Vault would say."""
        path = asked.path.removeprefix("/v1/")
        body = json.loads(asked.body or b"{}")
        if path == "sys/health":
            return 200, {"sealed": False}
        if path.startswith("auth/") and path.endswith("/login"):
            return self._login(path, body)
        ends = self.tokens.get(asked.token)
        if ends is None or 0 < ends < time.monotonic() or path in self.denied:
            return 403, {"errors": ["permission denied"]}
        if path in self.broken_paths:
            return self.broken_paths[path], {"errors": ["1 error occurred: dial tcp: connect: connection refused"]}
        mount, _, rest = path.partition("/")
        engines = {
            "auth": lambda: self._token(rest, asked.token),
            "database": lambda: self._database(rest, asked.token),
            "kv1": lambda: self._kv1(rest),
            "secret": lambda: self._kv2(rest),
            "sys": lambda: self._sys(rest, body),
        }
        if mount not in engines:
            return 404, {"errors": [f'no handler for route "{path}". route entry not found.']}
        return engines[mount]()

    def _login(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if path == "auth/approle/login":
            known = self.app_roles.get(body.get("role_id", ""))
            if known is None or known != body.get("secret_id"):
                return 400, {"errors": ["invalid role or secret ID"]}
        elif path == "auth/kubernetes/login":
            known = self.kubernetes.get(body.get("role", ""))
            if known is None or known != body.get("jwt"):
                return 403, {"errors": ["permission denied"]}
        else:
            return 404, {"errors": [f'no handler for route "{path}". route entry not found.']}
        token = f"hvs.login-{len(self.tokens)}"
        self.tokens[token] = time.monotonic() + self.token_seconds
        auth = {"client_token": token, "lease_duration": self.token_seconds, "renewable": True, "policies": ["default"]}
        return 200, {"auth": auth}

    def _token(self, rest: str, token: str) -> tuple[int, Any]:
        ends = self.tokens[token]
        if rest == "token/lookup-self":
            seconds = int(ends - time.monotonic()) if ends else 0
            return 200, {"data": {"ttl": seconds, "renewable": ends > 0}}
        if rest == "token/renew-self":
            self.tokens[token] = time.monotonic() + self.token_seconds
            return 200, {"auth": {"client_token": token, "lease_duration": self.token_seconds, "renewable": True}}
        if rest == "token/revoke-self":
            del self.tokens[token]
            for lease_id in [one for one, lease in self.leases.items() if lease[4] == token]:
                self.drop_account(self.leases.pop(lease_id)[0])
            return 204, None
        return 404, {"errors": []}

    def _kv1(self, rest: str) -> tuple[int, Any]:
        if rest in self.odd:
            return 200, {"data": self.odd[rest]}
        fields = self.kv1.get(rest)
        return (404, {"errors": []}) if fields is None else (200, {"data": fields, "lease_duration": 2764800})

    def _kv2(self, rest: str) -> tuple[int, Any]:
        kind, _, path = rest.partition("/")
        if kind != "data":
            warning = "Invalid path for a versioned K/V secrets engine. See the API docs for the appropriate endpoints."
            return 404, {"errors": [], "warnings": [warning]}
        if path in self.odd:
            return 200, {"data": {"data": self.odd[path], "metadata": {"deletion_time": "", "destroyed": False}}}
        if path not in self.kv2:
            return 404, {"errors": []}
        fields = self.kv2[path]
        deleted = "" if fields is not None else "2026-01-01T00:00:00Z"
        metadata = {"created_time": "2025-12-31T00:00:00Z", "deletion_time": deleted, "destroyed": False, "version": 1}
        return (404 if fields is None else 200), {"data": {"data": fields, "metadata": metadata}}

    def _database(self, rest: str, token: str) -> tuple[int, Any]:
        kind, _, name = rest.partition("/")
        role = self.roles.get(name)
        if kind != "creds" or role is None:
            return 400, {"errors": [f"unknown role: {name}"]}
        number = next(self._numbers)
        user, password = f"v-token-{name}-{number}", f"dynamic-{name}-{number}-Zx9/+ä"
        lease = f"database/creds/{name}/{number:024d}"
        now = time.monotonic()
        self.leases[lease] = [user, role["seconds"], now + role["seconds"], now + role.get("longest", 86400), token]
        self.make_account(user, password)
        data = {"username": user, "password": password}
        seconds = role.get("stated", role["seconds"])
        about = {"lease_id": lease, "lease_duration": seconds, "renewable": role.get("renewable", True)}
        return 200, {**about, "data": data}

    def _sys(self, rest: str, body: dict[str, Any]) -> tuple[int, Any]:
        if rest.startswith("internal/ui/mounts/"):
            options = {"kv1": None, "secret": {"version": "2"}}
            mount = rest.rpartition("/")[2]
            return 200, {"data": {"type": "kv", "path": f"{mount}/", "options": options[mount]}}
        lease_id = body.get("lease_id", "")
        lease = self.leases.get(lease_id)
        now = time.monotonic()
        if lease is None or lease[2] < now:
            return 400, {"errors": ["lease not found"]}
        if rest == "leases/renew":
            granted = int(min(body.get("increment") or lease[1], lease[3] - now))
            lease[2] = now + granted
            return 200, {"lease_id": lease_id, "lease_duration": granted, "renewable": True}
        if rest == "leases/revoke":
            self.drop_account(lease[0])
            del self.leases[lease_id]
            return 204, None
        return 404, {"errors": []}
