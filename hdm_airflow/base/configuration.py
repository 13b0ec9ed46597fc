"""Configuration: what a pack is told, for itself (external) and for one endpoint.

Stored as base64 of free text, mostly JSON, under `pack:version` and `pack:slug`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hdm_airflow.base.audit import record
from hdm_airflow.base.endpoints import canonical
from hdm_airflow.base.queries import queries
from hdm_airflow.errors import ConfigurationError
from hdm_airflow.packs.versions import newest_not_above

if TYPE_CHECKING:
    from hdm_airflow.base.hook import BaseConnection
    from hdm_airflow.packs.manifest import Kind

TABLES: dict[Kind, str] = {"metric": "hdm_pack_metric_conf", "rule": "hdm_pack_rule_conf"}


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """One configuration and where it stands."""

    value: Any  # an object mostly; a text that is not JSON stays a string; {} where there is none
    source: str = ""  # table and id, e.g. 'hdm_pack_metric_conf basic:1.0.0'; '' where there is none
    warning: str = ""  # why it is not exactly the one asked for

    @property
    def sources(self) -> list[str]:
        """The source as a list, empty where there is none."""
        return [self.source] if self.source else []


NONE = Configuration(value={})


@dataclass(frozen=True, kw_only=True)
class Configurations:
    """The rows of one pack, undecoded until asked for: one bad row must not spoil the others."""

    table: str
    pack: str
    external: Mapping[str, str] = field(default_factory=dict)  # version -> stored text
    endpoints: Mapping[str, str] = field(default_factory=dict)  # canonical slug -> stored text

    @classmethod
    def from_rows(cls, kind: Kind, pack: str, rows: Iterable[Mapping[str, Any]]) -> Configurations:
        """From rows with id_config, pack_version and pack_config.

        Where an endpoint has rows under an old form of its slug too, the one under today's form stands: it is the
        one that `write` writes.
        """
        external, endpoints, exact = {}, {}, {}
        for row in rows:
            name = row["id_config"].removeprefix(f"{pack}:")
            stored = row["pack_config"] or ""
            if row["pack_version"]:
                external[row["pack_version"]] = stored
            elif (slug := canonical(name)) == name:
                exact[slug] = stored
            else:
                endpoints[slug] = stored
        endpoints.update(exact)
        return cls(table=TABLES[kind], pack=pack, external=external, endpoints=endpoints)

    def for_version(self, version: str) -> Configuration:
        """The external configuration of a version, else of the newest lower one.

        Raises:
            ConfigurationError: the stored text does not decode.
        """
        found = newest_not_above(version, self.external)
        if found is None:
            return NONE
        source = f"{self.table} {self.pack}:{found}"
        missing = f"version {version} has no external configuration: that of {found} is used"
        warning = "" if found == version else missing
        return Configuration(value=decode(self.external[found], source), source=source, warning=warning)

    def for_endpoint(self, slug: str) -> Configuration:
        """The configuration of one endpoint alone.

        Raises:
            ConfigurationError: the stored text does not decode.
        """
        stored = self.endpoints.get(slug)
        if stored is None:
            return NONE
        source = f"{self.table} {self.pack}:{slug}"
        return Configuration(value=decode(stored, source), source=source)


def merge(external: Configuration, endpoint: Configuration) -> tuple[Any, list[str]]:
    """Both configurations as one, and its sources: objects are merged, the endpoint's keys win.

    Where either is not an object there is nothing to merge: the endpoint's stands alone, if it has one.
    """
    if not endpoint.source:
        return external.value, external.sources
    if isinstance(external.value, dict) and isinstance(endpoint.value, dict):
        return {**external.value, **endpoint.value}, [*external.sources, *endpoint.sources]
    return endpoint.value, endpoint.sources


def decode(stored: str, where: str) -> Any:
    """The value that base64 text stands for: JSON where it is JSON, else the text.

    Raises:
        ConfigurationError: it is not base64, or not of UTF-8 text.
    """
    compact = "".join(stored.split())
    try:
        text = base64.b64decode(compact, validate=True).decode("utf-8")
    except ValueError:  # not ASCII, not base64, not UTF-8: each has its own subclass, or none
        hint = "write it again: airflow hdm config set"
        raise ConfigurationError("the configuration is not base64 of UTF-8 text", where, hint) from None
    if not text.strip():
        return {}
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def encode(text: str) -> str:
    """The stored form of a configuration text."""
    return base64.b64encode(text.encode("utf-8")).decode("ascii")


def read(base: BaseConnection, kind: Kind, pack: str) -> Configurations:
    """Every configuration of one pack."""
    rows = base.execute(queries("configuration")["of_pack"], {"kind": kind, "pack": pack})
    return Configurations.from_rows(kind, pack, rows)


def write(
    base: BaseConnection,
    kind: Kind,
    pack: str,
    text: str,
    *,
    actor: str,
    version: str | None = None,
    slug: str | None = None,
) -> None:
    """Store a configuration, external (version) or of one endpoint (slug): exactly one of the two is given."""
    if (version is None) == (slug is None):
        raise ValueError("give version or slug, not both")
    values = {"id": f"{pack}:{version or slug}", "pack": pack, "version": version, "config": encode(text)}
    with base.transaction():
        row = base.execute(queries("configuration")[f"lock_{kind}"], values).fetchone()
        base.execute(queries("configuration")[f"write_{kind}"], values)
        old = row and row["pack_config"]
        record(base, actor, "config set", f"{TABLES[kind]} {values['id']}", old, values["config"])


def every(base: BaseConnection) -> list[dict[str, Any]]:
    """Every stored row: kind, id_config, pack_name, pack_version, pack_config (as stored)."""
    return base.execute(queries("configuration")["all"]).fetchall()
