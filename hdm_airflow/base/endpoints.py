"""Endpoints: the databases that packs work on, and their slugs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from hdm_airflow.base import incident_deactivation
from hdm_airflow.base.audit import record
from hdm_airflow.base.queries import queries
from hdm_airflow.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hdm_airflow.base.hook import BaseConnection

_TRUE = {"true", "t", "1", "yes", "on"}
_PARTS = ("name", "type", "host", "port", "user", "ssl")
#: Other names of a database type. MySQL and MariaDB are two types: packs may treat them differently.
_ALIASES = {"postgresql": "postgres", "sqlite3": "sqlite"}
#: Database type -> the scheme of its URL as SQLAlchemy and libpq read it.
_SCHEMES = {"postgres": "postgresql"}


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One database. Its slug `name:type:host:port:user:ssl` never holds a password."""

    name: str  # of the database
    type: str  # e.g. postgres, mysql, mariadb, sqlite
    host: str = ""  # SQLite: the file's path
    port: str = ""  # text, as in the base; '' for the type's default
    user: str = ""
    ssl: bool = False

    @property
    def slug(self) -> str:
        """The endpoint's name in every table. Only `%` and `:` inside a part are percent-encoded."""
        parts = (self.name, self.type, self.host, self.port, self.user, "true" if self.ssl else "false")
        slug = ":".join(parts)
        return slug if _is_plain(slug) else ":".join(part.replace("%", "%25").replace(":", "%3A") for part in parts)

    @classmethod
    def from_slug(cls, slug: str) -> Endpoint:
        """Read an endpoint from its slug.

        Old slugs, whose parts are not encoded, may hold a bare IPv6 host. They have too many colons, and are read from
        both ends.

        Raises:
            ConfigurationError: if the text has fewer than six parts.
        """
        parts = slug.split(":")
        if len(parts) < len(_PARTS):
            what = f"{slug!r} is not an endpoint slug: it has {len(parts)} parts, not {len(_PARTS)}"
            raise ConfigurationError(what, "endpoint slug", "write name:type:host:port:user:ssl")
        if len(parts) > len(_PARTS):
            parts = [*parts[:2], ":".join(parts[2:-3]), *parts[-3:]]
        name, type_, host, port, user, ssl = (_decode(part) for part in parts)
        return cls(name=name, type=type_, host=host, port=port, user=user, ssl=ssl.lower() in _TRUE)

    @property
    def is_file(self) -> bool:
        """Whether it is a file, not a server: it has no host to compare and no password to look up."""
        return self.kind == "sqlite"

    @property
    def kind(self) -> str:
        """The type under its usual name: `postgresql` and `postgres` are one type."""
        kind = self.type.strip().lower()
        return _ALIASES.get(kind, kind)

    def is_same(self, other: Endpoint) -> bool:
        """Whether both are one database, whose type may have different names in the two slugs."""
        return replace(self, type=self.kind) == replace(other, type=other.kind)

    def url(self, password: str | None = None) -> str:
        """The endpoint as an SQLAlchemy URL without a driver, e.g. `postgresql://user:password@host:5432/name`."""
        scheme = _SCHEMES.get(self.kind, self.kind)
        if self.is_file:
            return f"{scheme}:///{self.host}"
        secret = f":{quote(password, safe='')}" if password is not None else ""
        login = f"{quote(self.user, safe='')}{secret}@" if self.user or secret else ""
        host = f"[{self.host}]" if ":" in self.host and not self.host.startswith("[") else self.host
        port = f":{self.port}" if self.port else ""
        mode = "?sslmode=require" if self.ssl and scheme == "postgresql" else ""
        return f"{scheme}://{login}{host}{port}/{quote(self.name, safe='')}{mode}"


@dataclass(frozen=True, kw_only=True)
class Registered:
    """An endpoint that is a row of hdm_core_dblist."""

    id: int
    endpoint: Endpoint
    conn_id: str | None  # the Airflow connection that holds its password

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Registered:
        """Create it from a row of the view hdm_endpoint."""
        endpoint = Endpoint(
            name=row["db_name"],
            type=row["db_type"],
            host=row["db_host"],
            port=row["db_port"],
            user=row["db_user"],
            ssl=row["ssl"],
        )
        return cls(id=row["id"], endpoint=endpoint, conn_id=row["conn_id"] or None)


def canonical(slug: str) -> str:
    """Return the canonical form of a slug, which may be in an old form; return any other text unchanged."""
    if _is_plain(slug) and slug.endswith((":true", ":false")):
        return slug
    try:
        return Endpoint.from_slug(slug).slug
    except ConfigurationError:
        return slug


def registered(base: BaseConnection) -> list[Registered]:
    """Read every endpoint, sorted by slug."""
    return [Registered.from_row(row) for row in base.execute(queries("endpoints")["all"])]


def registered_among(base: BaseConnection, slugs: Sequence[str]) -> set[str]:
    """Read which of some slugs, in their canonical form, are registered."""
    return {row["slug"] for row in base.execute(queries("endpoints")["among"], {"slugs": list(slugs)})}


def find(base: BaseConnection, text: str) -> Registered:
    """Find the endpoint with this slug, with the same slug but for another name of its type, or the only endpoint with
    this database name.

    Raises:
        ConfigurationError: if none or several match.
    """
    every = registered(base)
    slug = canonical(text)
    found = [one for one in every if one.endpoint.slug == slug] or [one for one in every if one.endpoint.name == text]
    found = found or _same(every, slug)
    if len(found) == 1:
        return found[0]
    if found:
        slugs = ", ".join(one.endpoint.slug for one in found)
        raise ConfigurationError(f"{text!r} names {len(found)} endpoints", "hdm_core_dblist", f"write one of: {slugs}")
    known = ", ".join(one.endpoint.slug for one in every[:20]) or "none"
    raise ConfigurationError(f"there is no endpoint {text!r}", "hdm_core_dblist", f"the endpoints are: {known}")


def find_slug(base: BaseConnection, text: str) -> str:
    """Find the slug of an endpoint, even of a removed one: its rows stay. Any text that has the form of a slug is one.

    Raises:
        ConfigurationError: if it has not, and no endpoint or several have this database name.
    """
    return canonical(text) if text.count(":") >= len(_PARTS) - 1 else find(base, text).endpoint.slug


def _same(every: Sequence[Registered], slug: str) -> list[Registered]:
    try:
        endpoint = Endpoint.from_slug(slug)
    except ConfigurationError:
        return []
    return [one for one in every if one.endpoint.is_same(endpoint)]


def add(base: BaseConnection, endpoint: Endpoint, conn_id: str | None, *, actor: str) -> bool:
    """Register an endpoint, or change the connection of a registered one.

    Returns:
        Whether it is new.
    """
    values = {**asdict(endpoint), "ssl": "true" if endpoint.ssl else "false", "conn_id": conn_id}
    with base.transaction():
        old = base.execute(queries("endpoints")["lock"], values).fetchone()
        row = base.execute(queries("endpoints")["add"], values).fetchone()
        new = bool(row and row["new"])
        action = "endpoint add" if new else "endpoint change"
        record(base, actor, action, f"hdm_core_dblist {endpoint.slug}", old, {"conn_id": conn_id})
    return new


def remove(base: BaseConnection, endpoint: Registered, *, actor: str) -> int:
    """Remove an endpoint and its activations. Its open incidents are closed; metrics, alerts and ledger rows stay.

    Returns:
        The number of packs that were activated for it.
    """
    slug = endpoint.endpoint.slug
    with base.transaction():
        values = {"slugs": stored_forms(base, slug)}
        activated = base.execute(queries("endpoints")["remove_activations"], values).fetchall()
        base.execute(queries("endpoints")["remove"], {"id": endpoint.id})
        packs = incident_deactivation.packs_with_open(base, slug)
        incident_deactivation.close(base, [(pack, slug) for pack in packs], actor=actor)
        old = {"conn_id": endpoint.conn_id, "activated": [row["pack"] for row in activated]}
        record(base, actor, "endpoint remove", f"hdm_core_dblist {slug}", old, None)
    return len(activated)


def stored_forms(base: BaseConnection, slug: str) -> list[str]:
    """Read the slugs under which an endpoint is activated: the canonical form, and old ones."""
    rows = base.execute(queries("endpoints")["activated_slugs"])
    return [row["slug"] for row in rows if canonical(row["slug"]) == slug]


def _is_plain(slug: str) -> bool:
    """Return whether no part is or needs to be encoded: the fast path, since a base may hold 10,000 slugs."""
    return "%" not in slug and slug.count(":") == len(_PARTS) - 1


def _decode(part: str) -> str:
    return part.replace("%3A", ":").replace("%3a", ":").replace("%25", "%")
