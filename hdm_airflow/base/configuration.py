"""Configuration: the options of a pack, for all endpoints (external) and for one endpoint.

The base stores free text, mostly JSON, in base64, under `pack:version` and `pack:slug`.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hdm_airflow.base.audit import record
from hdm_airflow.base.endpoints import canonical
from hdm_airflow.base.queries import queries
from hdm_airflow.errors import ConfigurationError
from hdm_airflow.packs.versions import newest_above, newest_not_above
from hdm_airflow.printable import printable

if TYPE_CHECKING:
    from hdm_airflow.base.hook import BaseConnection
    from hdm_airflow.packs.manifest import Kind

_DEEPEST = 100  # levels of objects and lists
_SHOWN = 200  # characters of a place in an error
TABLES: dict[Kind, str] = {"metric": "hdm_pack_metric_conf", "rule": "hdm_pack_rule_conf"}


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """One configuration and its source."""

    value: Any  # mostly an object; text that is not JSON stays a string; {} if there is none
    source: str = ""  # table and id, e.g. 'hdm_pack_metric_conf basic:1.0.0'; '' if there is none
    warning: str = ""  # why it is not the configuration that was asked for
    lost: bool = False  # whether a configuration exists that another version of the pack would use

    @property
    def sources(self) -> list[str]:
        """The source as a list; empty if there is none."""
        return [self.source] if self.source else []


NONE = Configuration(value={})


@dataclass(frozen=True, kw_only=True)
class Configurations:
    """The rows of one pack, decoded on demand: one bad row must not affect the others."""

    table: str
    pack: str
    external: Mapping[str, str] = field(default_factory=dict)  # version -> stored text
    endpoints: Mapping[str, str] = field(default_factory=dict)  # canonical slug -> stored text

    @classmethod
    def from_rows(cls, kind: Kind, pack: str, rows: Iterable[Mapping[str, Any]]) -> Configurations:
        """Create it from rows with id_config, pack_version and pack_config.

        If an endpoint has a row under its canonical slug and another under an old form, the canonical one counts: it is
        the one that `write` writes.
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
        """Return the external configuration of a version, else that of the newest lower version.

        A newer version's is not used, since it may have other keys; but its options are missing then, with a warning.

        Raises:
            ConfigurationError: if the stored text cannot be decoded.
        """
        found = newest_not_above(version, self.external)
        unused = None if found == version else newest_above(version, self.external)
        parts = [f"that of {found} is used"] if found not in (None, version) else []
        parts += [f"that of {unused}, which is not a lower version, is not used"] if unused else []
        warning = f"version {version} has no external configuration: {'; '.join(parts)}" if parts else ""
        if found is None:
            return Configuration(value={}, warning=warning, lost=unused is not None)
        source = f"{self.table} {self.pack}:{found}"
        value = decode(self.external[found], source)
        return Configuration(value=value, source=source, warning=warning, lost=unused is not None)

    def for_endpoint(self, slug: str) -> Configuration:
        """Return the configuration of one endpoint, without the external one.

        Raises:
            ConfigurationError: if the stored text cannot be decoded.
        """
        stored = self.endpoints.get(slug)
        if stored is None:
            return NONE
        source = f"{self.table} {self.pack}:{slug}"
        return Configuration(value=decode(stored, source), source=source)


def merge(external: Configuration, endpoint: Configuration) -> tuple[Any, list[str]]:
    """Merge both configurations and return the value with its sources. The endpoint's keys override the external ones.

    Unless both are objects, the endpoint's configuration replaces the external one, if the endpoint has one.
    """
    if not endpoint.source:
        return external.value, external.sources
    if isinstance(external.value, dict) and isinstance(endpoint.value, dict):
        return {**external.value, **endpoint.value}, [*external.sources, *endpoint.sources]
    return endpoint.value, endpoint.sources


def decode(stored: str, where: str) -> Any:
    """Decode a stored configuration: the value if it is JSON, else the text.

    Raises:
        ConfigurationError: if it is not base64 of UTF-8 text, or a JSON value that no context file can hold.
    """
    compact = "".join(stored.split())
    try:
        text = base64.b64decode(compact, validate=True).decode("utf-8")
    except ValueError:  # not ASCII, not base64, not UTF-8: subclasses, or ValueError itself
        hint = "write it again: airflow hdm config set"
        raise ConfigurationError("the configuration is not base64 of UTF-8 text", where, hint) from None
    if not text.strip():
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    check_writable(value, where)
    return value


def check_writable(value: object, where: str) -> None:
    """Refuse a value that Python reads from JSON but that other programs could not read from the context file.

    Raises:
        ConfigurationError: if it has NaN, an infinite number (also `1e999`), half of a surrogate pair, or is
            nested too deeply; the error names the place, and no value.
    """
    waiting: list[tuple[object, tuple[str, ...]]] = [(value, ())]
    while waiting:
        one, place = waiting.pop()
        fault = ""
        if isinstance(one, float) and not math.isfinite(one):
            fault = "a number that is not finite"
        elif isinstance(one, str) and _is_broken(one):
            fault = "half of a surrogate pair"
        elif isinstance(one, (dict, list)) and len(place) >= _DEEPEST:
            fault = f"more than {_DEEPEST} levels"
        if fault:
            at = ".".join(place)[:_SHOWN]
            hint = "correct it: airflow hdm config set"
            raise ConfigurationError(f"the configuration has {fault}" + (f" at {at}" if at else ""), where, hint)
        if isinstance(one, list):
            waiting += [(item, (*place, str(number))) for number, item in enumerate(one)]
        elif isinstance(one, dict):
            waiting += [(key, (*place, "(a key)")) for key in one]
            waiting += [(item, (*place, printable(key))) for key, item in one.items()]


def _is_broken(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= sign <= "\udfff" for sign in text)


def encode(text: str) -> str:
    """Encode a configuration text as it is stored."""
    return base64.b64encode(text.encode("utf-8")).decode("ascii")


def read(base: BaseConnection, kind: Kind, pack: str) -> Configurations:
    """Read every configuration of one pack."""
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
    """Store a configuration, either external (`version`) or of one endpoint (`slug`).

    Raises:
        ValueError: if both or neither of the two are given.
    """
    if (version is None) == (slug is None):
        raise ValueError("give either version or slug")
    values = {"id": f"{pack}:{version or slug}", "pack": pack, "version": version, "config": encode(text)}
    with base.transaction():
        row = base.execute(queries("configuration")[f"lock_{kind}"], values).fetchone()
        base.execute(queries("configuration")[f"write_{kind}"], values)
        old = row and row["pack_config"]
        record(base, actor, "config set", f"{TABLES[kind]} {values['id']}", old, values["config"])


def every(base: BaseConnection) -> list[dict[str, Any]]:
    """Read every row: kind, id_config, pack_name, pack_version, pack_config (as stored)."""
    return base.execute(queries("configuration")["all"]).fetchall()
