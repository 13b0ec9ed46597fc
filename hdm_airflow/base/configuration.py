"""Configuration: the options of a pack, for all endpoints (external) and for one endpoint.

The base stores free text, mostly JSON, in base64, under `pack:version` and `pack:slug`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hdm_airflow.base import audit
from hdm_airflow.base.endpoints import canonical
from hdm_airflow.base.queries import queries
from hdm_airflow.errors import ConfigurationError, ConflictError
from hdm_airflow.packs.versions import newest_above, newest_not_above
from hdm_airflow.printable import printable

if TYPE_CHECKING:
    from hdm_airflow.base.hook import BaseConnection
    from hdm_airflow.packs.manifest import Kind

_DEEPEST = 100  # levels of objects and lists
_SHOWN = 200  # characters of a place in an error
_DIGITS = 16  # of a version, hexadecimal
_ACTIONS = ("config set", "config remove", "config restore")
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
class Stored:
    """One configuration as it is stored, for people who change it."""

    text: str | None  # None if there is none
    version: str  # 16 hexadecimal digits, which change with what is stored; '' if there is none


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
    text = text_of(stored, where)
    if not text.strip():
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    check_writable(value, where)
    return value


def text_of(stored: str, where: str) -> str:
    """Decode the text of a stored configuration.

    Raises:
        ConfigurationError: if it is not base64 of UTF-8 text.
    """
    try:
        return base64.b64decode("".join(stored.split()), validate=True).decode("utf-8")
    except ValueError:  # not ASCII, not base64, not UTF-8: subclasses, or ValueError itself
        hint = "write it again: airflow hdm config set"
        raise ConfigurationError("the configuration is not base64 of UTF-8 text", where, hint) from None


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


def stored(
    base: BaseConnection, kind: Kind, pack: str, *, version: str | None = None, slug: str | None = None
) -> Stored:
    """Read a configuration, either external (`version`) or of one endpoint (`slug`).

    Raises:
        ConfigurationError: if it is not base64 of UTF-8 text.
        ValueError: if both or neither of the two are given.
    """
    name = _name(version, slug)
    rows = _rows(base, kind, pack, name, lock=False)
    where = f"{TABLES[kind]} {pack}:{name}"
    return Stored(text=text_of(rows[0]["pack_config"] or "", where) if rows else None, version=_digest(rows))


def digest(base: BaseConnection, kind: Kind, pack: str, *, version: str | None = None, slug: str | None = None) -> str:
    """Read only the `version` of a stored configuration, also of one that cannot be decoded."""
    return _digest(_rows(base, kind, pack, _name(version, slug), lock=False))


def write(
    base: BaseConnection,
    kind: Kind,
    pack: str,
    text: str,
    *,
    actor: str,
    version: str | None = None,
    slug: str | None = None,
    seen: str | None = None,
    action: str = "config set",
) -> None:
    """Store a configuration, either external (`version`) or of one endpoint (`slug`).

    Args:
        base: the connection.
        kind: of the pack.
        pack: its name.
        text: exactly what somebody wrote.
        actor: the user's name.
        version: of the pack.
        slug: of the endpoint, in its canonical form.
        seen: the `Stored.version` that they saw, '' if there was none; None: whatever is stored is replaced.
        action: in the audit trail: `config set` or `config restore`.

    Raises:
        ConflictError: if something else than `seen` is stored now: nothing is written.
        ValueError: if both or neither of version and slug are given.
    """
    name = _name(version, slug)
    values = {"id": f"{pack}:{name}", "pack": pack, "version": version, "config": encode(text)}
    with base.transaction():
        rows = _rows(base, kind, pack, name, lock=True)
        _refuse_other(base, kind, pack, name, rows, seen)
        base.execute(queries("configuration")[f"write_{kind}"], values)
        old, new = _audited(base, rows[0] if rows else None), audit.value_of_text(base, text)
        audit.record(base, actor, action, item(kind, pack, name), old, new)


def remove(
    base: BaseConnection,
    kind: Kind,
    pack: str,
    *,
    actor: str,
    version: str | None = None,
    slug: str | None = None,
    seen: str | None = None,
) -> bool:
    """Remove a configuration, under every form of the endpoint's slug, with the arguments of `write`.

    Returns:
        Whether there was one.

    Raises:
        ConflictError: if something else than `seen` is stored now: nothing is removed.
        ValueError: if both or neither of version and slug are given.
    """
    name = _name(version, slug)
    with base.transaction():
        rows = _rows(base, kind, pack, name, lock=True)
        _refuse_other(base, kind, pack, name, rows, seen)
        if rows:
            base.execute(queries("configuration")[f"remove_{kind}"], {"ids": [row["id_config"] for row in rows]})
        for number, row in enumerate(rows):
            # The row that counted is recorded under the name that people know, the others under their own.
            what = item(kind, pack, name) if not number else f"{TABLES[kind]} {row['id_config']}"
            audit.record(base, actor, "config remove", what, _audited(base, row), None)
    return bool(rows)


def history(
    base: BaseConnection,
    kind: Kind,
    pack: str,
    *,
    version: str | None = None,
    slug: str | None = None,
    limit: int = 100,
) -> list[audit.Entry]:
    """Read the changes of a configuration, newest first, also those under earlier names of the pack and endpoint.

    Raises:
        ValueError: if both or neither of version and slug are given.
    """
    name = _name(version, slug)
    names: list[tuple[str, int | None, int | None]] = []
    before: int | None = None  # id of the rename that ended the name; None: the name of today
    for rename in audit.renames(base):
        is_endpoint = rename.action == "endpoint rename"
        old, new = (_renamed(value, kind, rename) for value in (rename.old, rename.new))
        own = slug if is_endpoint else pack
        if own is None or own not in {old, new}:
            continue
        names.append((item(kind, pack, name), rename.id, before))
        if own != new:  # until then, the name was another's
            break
        before = rename.id
        pack, slug = (pack, old) if is_endpoint else (old or pack, slug)
        name = version or slug or ""
    else:
        names.append((item(kind, pack, name), None, before))
    return audit.of_names(base, names, limit)


def item(kind: Kind, pack: str, name: str) -> str:
    """The name of a configuration in the audit trail; `name` is a version or a slug."""
    return f"{TABLES[kind]} {pack}:{name}"


def every(base: BaseConnection) -> list[dict[str, Any]]:
    """Read every row: kind, id_config, pack_name, pack_version, pack_config (as stored)."""
    return base.execute(queries("configuration")["all"]).fetchall()


def _name(version: str | None, slug: str | None) -> str:
    if (version is None) == (slug is None):
        raise ValueError("give either version or slug")
    return version or slug or ""


def _rows(base: BaseConnection, kind: Kind, pack: str, name: str, *, lock: bool) -> list[dict[str, Any]]:
    """The rows of one configuration: the one that counts first, then those under other forms of the slug.

    Locked, nobody else changes it until the transaction ends: neither the rows nor one that does not exist yet.
    """
    values = {"id": f"{pack}:{name}", "pack": pack}
    if lock:
        base.execute(queries("configuration")["lock"], {"item": item(kind, pack, name)})
    found = base.execute(queries("configuration")[f"{'lock' if lock else 'find'}_{kind}"], values).fetchall()
    exact = [row for row in found if row["id_config"] == values["id"]]
    others = [
        row
        for row in found
        if row["id_config"] != values["id"] and canonical(row["id_config"].removeprefix(f"{pack}:")) == name
    ]
    return [*exact, *reversed(others)]  # of several others, `Configurations` takes the last


def _digest(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return ""
    return hashlib.sha256((rows[0]["pack_config"] or "").encode("utf-8")).hexdigest()[:_DIGITS]


def _refuse_other(
    base: BaseConnection, kind: Kind, pack: str, name: str, rows: list[dict[str, Any]], seen: str | None
) -> None:
    if seen is None or seen == _digest(rows):
        return
    what = "the configuration has been " + ("changed" if rows else "removed") + " meanwhile"
    newest = audit.newest(base, item(kind, pack, name), _ACTIONS)
    if newest:
        what += f": by {newest.actor}, at {newest.at.isoformat(sep=' ', timespec='seconds')}"
    raise ConflictError(what, item(kind, pack, name), "reload it, and make the change again; nothing was written")


def _audited(base: BaseConnection, row: dict[str, Any] | None) -> dict[str, str] | None:
    if row is None:
        return None
    stored = row["pack_config"] or ""
    try:
        return audit.value_of_text(base, text_of(stored, ""))
    except ConfigurationError:
        return {"base64": stored}


def _renamed(value: Any, kind: Kind, rename: audit.Entry) -> str | None:
    """The slug or name before or after a rename; None if it is that of a pack of the other kind."""
    if rename.action == "pack rename" and not rename.object.startswith(f"{kind} pack "):
        return None
    return (value or {}).get("slug" if rename.action == "endpoint rename" else "name")
