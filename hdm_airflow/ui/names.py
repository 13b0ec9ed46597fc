"""Names: packs, endpoints and configurations, as people call them. The HDM base has slugs and keys for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hdm_airflow.base.configuration import TABLES
from hdm_airflow.base.endpoints import Endpoint
from hdm_airflow.errors import ConfigurationError
from hdm_airflow.packs.pack import PREFIX

if TYPE_CHECKING:
    from hdm_airflow.packs.manifest import Kind
    from hdm_airflow.ui.texts import Texts


@dataclass(frozen=True, kw_only=True)
class Place:
    """An endpoint as people call it."""

    slug: str
    name: str  # of the database; the slug if that cannot be read
    more: str  # type and server: "postgres, db1:5432"; '' if the slug cannot be read

    def __str__(self) -> str:
        return f"{self.name} ({self.more})" if self.more else self.name


@dataclass(frozen=True, kw_only=True)
class Named:
    """A configuration: of one endpoint, or of a version for all endpoints."""

    kind: Kind
    pack: str
    version: str | None
    place: Place | None

    @property
    def task_id(self) -> str:
        """The pack: mp_basic."""
        return PREFIX[self.kind] + self.pack

    def words(self, text: Texts) -> str:
        """The name in a language: `mp_basic on ward_1 (postgres, db1:5432)`."""
        if self.place:
            return text("frame.pack-on-endpoint", pack=self.task_id, endpoint=self.place)
        return text("frame.pack-everywhere", pack=self.task_id, version=self.version)


def place(slug: str) -> Place:
    """The endpoint of a slug."""
    try:
        endpoint = Endpoint.from_slug(slug)
    except ConfigurationError:
        return Place(slug=slug, name=slug, more="")
    server = endpoint.host if not endpoint.port or not endpoint.host else f"{endpoint.host}:{endpoint.port}"
    return Place(slug=slug, name=endpoint.name, more=", ".join(filter(None, (endpoint.type, server))))


def configuration(kind: Kind, key: str) -> Named:
    """The configuration of a key, such as `basic:1.0.0`. A version has no colon, a slug has."""
    pack, _, name = key.partition(":")
    if ":" in name:
        return Named(kind=kind, pack=pack, version=None, place=place(name))
    return Named(kind=kind, pack=pack, version=name, place=None)


def configuration_of(source: str) -> Named | None:
    """The configuration of a table and key, such as `hdm_pack_rule_conf basic:1.0.0`; None if it is none."""
    table, _, key = source.partition(" ")
    kind = next((kind for kind, name in TABLES.items() if name == table), None)
    return configuration(kind, key) if kind else None


def split(task_id: str) -> tuple[Kind, str]:
    """Kind and name of a pack: of `mp_basic`, metric and basic."""
    kind: Kind = "rule" if task_id.startswith(PREFIX["rule"]) else "metric"
    return kind, task_id.removeprefix(PREFIX[kind])
