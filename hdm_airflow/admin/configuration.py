"""Configuration: read, save, remove and restore the options of a pack, for all endpoints or for one.

`version` names the version whose external configuration is meant. `slug` means that of one endpoint; `version` is then
the version that will run with it. Values that look like secrets are hidden in everything that is returned; `save` puts
the stored ones back (admin/secrets).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from hdm_airflow.admin import audit, configuration_check, secrets
from hdm_airflow.admin.pack_names import Named, check_name
from hdm_airflow.admin.places import checked_slug
from hdm_airflow.base import configuration, endpoints, packs
from hdm_airflow.errors import ConfigurationError
from hdm_airflow.packs import files, json_fault
from hdm_airflow.packs.pack import PREFIX
from hdm_airflow.packs.versions import is_version

if TYPE_CHECKING:
    from hdm_airflow.base.configuration import Configurations
    from hdm_airflow.base.hook import BaseConnection
    from hdm_airflow.packs.manifest import Kind

_MOST_CHANGES = 10_000  # of one configuration, among which `restore` looks


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A text that can be stored."""

    value: Any  # as the pack gets it
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Effective:
    """What a pack really gets."""

    value: Any
    sources: list[str]  # of what it is merged: table and id
    keys: dict[str, str]  # key at the top level -> its source; none if the value is no object
    warnings: list[str] = field(default_factory=list)


_NOTHING = Effective(value={}, sources=[], keys={})


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One configuration as a person sees and changes it."""

    text: str | None  # as stored, without secrets; None if there is none, or if it cannot be decoded
    version: str  # of what is stored, for `seen`; '' if there is none
    effective: Effective
    without: Effective  # what the pack would get if this were removed
    schema: dict[str, Any] | None  # the pack's config.schema.json; None if it has none, or is not known
    schema_source: str
    warnings: list[str]


@dataclass(frozen=True, kw_only=True)
class Saved:
    """What `save` has stored."""

    version: str  # of what is stored now, for `seen`
    warnings: list[str]


def check(text: str, *, plain: bool = False) -> Checked:
    """Refuse what no pack could use.

    Args:
        text: the configuration, as the person wrote it.
        plain: it is plain text, not JSON.

    Returns:
        The value, and warnings about what packs do not expect.

    Raises:
        ConfigurationError: if it cannot be stored, or should be JSON and is not.
    """
    if "\0" in text:
        raise ConfigurationError("the value contains a zero byte", "VALUE", "remove it")
    try:
        stored = configuration.encode(text)
    except UnicodeEncodeError:
        raise ConfigurationError("the value contains half of a surrogate pair", "VALUE", "remove it") from None
    if plain:
        return Checked(value=configuration.decode(stored, "VALUE"))
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        cause, hint = json_fault.explain(text, error) if isinstance(error, json.JSONDecodeError) else (str(error), "")
        hint = f"{hint}, or store plain text with --text".lstrip(", ")
        raise ConfigurationError(f"the value is not JSON: {cause}", "VALUE", hint) from None
    configuration.check_writable(value, "VALUE")
    if not isinstance(value, dict):
        kind = type(value).__name__
        warning = f"the value is a {kind}, packs expect an object: it replaces every other configuration"
        return Checked(value=value, warnings=(warning,))
    _, doubled = files.parse_object(text)
    return Checked(
        value=value, warnings=tuple(f"the key {key!r} appears twice; the last one is used" for key in doubled)
    )


def check_version(version: str, where: str = "version") -> None:
    """Refuse a version that no pack can have.

    Raises:
        ConfigurationError: if it is none.
    """
    if not is_version(version):
        raise ConfigurationError(f"{version!r} is not a version", where, "write one such as 1.0.0")


def merged(stored: Configurations, version: str, slug: str | None) -> Effective:
    """What a version of a pack gets, on one endpoint or without one. Secrets are not hidden.

    Raises:
        ConfigurationError: if it cannot be decoded.
    """
    external = stored.for_version(version)
    own = stored.for_endpoint(slug) if slug else configuration.NONE
    value, sources = configuration.merge(external, own)
    keys = {}
    if isinstance(value, dict):
        of_endpoint = own.value if own.source else {}
        keys = {key: own.source if key in of_endpoint else external.source for key in value}
    return Effective(value=value, sources=sources, keys=keys, warnings=[external.warning] if external.warning else [])


def read(
    base: BaseConnection,
    kind: Kind,
    pack: str,
    *,
    version: str | None = None,
    slug: str | None = None,
    running: Named | None = None,
) -> Shown:
    """Read a configuration, what the pack really gets, and what is wrong with it.

    Args:
        base: the connection.
        kind: the pack's.
        pack: its name.
        version: see above; None for the version that runs.
        slug: see above.
        running: the pack in the packs folder; None for the pack as it ran last.

    Raises:
        ConfigurationError: if no version is stated or known.
    """
    slug = checked_slug(kind, pack, slug)
    named = running or _recorded(base, kind, pack)
    external = _external(named, version, slug)
    warnings: list[str] = []
    try:
        stored = configuration.stored(base, kind, pack, version=external, slug=slug)
    except ConfigurationError as error:
        warnings.append(f"{error.what} ({error.where})")
        digest = configuration.digest(base, kind, pack, version=external, slug=slug)
        stored = configuration.Stored(text=None, version=digest)
    try:
        schema = configuration_check.find_schema(base, named, version or named.version)
    except ConfigurationError as error:
        warnings.append(f"nothing can be stored: {error.what} ({error.where})")
        schema = configuration_check.Schema(value=None, source=error.where)
    every = configuration.read(base, kind, pack)
    try:
        effective = merged(every, version or named.version, slug)
    except ConfigurationError as error:
        effective = _NOTHING
        warning = f"{error.what} ({error.where})"
        warnings += [warning] if warning not in warnings else []
    else:
        warnings += [*effective.warnings, *configuration_check.misfits(schema, effective.value)]
    return Shown(
        text=None if stored.text is None else secrets.hide(stored.text),
        version=stored.version,
        effective=_hidden(effective),
        without=_without(every, version or named.version, external),
        schema=schema.value,
        schema_source=schema.source,
        warnings=[*warnings, *schema.warnings],
    )


def save(
    base: BaseConnection,
    kind: Kind,
    pack: str,
    text: str,
    *,
    actor: str,
    version: str | None = None,
    slug: str | None = None,
    seen: str | None = None,
    plain: bool = False,
    running: Named | None = None,
    action: str = "config set",
) -> Saved:
    """Store a configuration. Placeholders of secrets become the stored values again.

    Args:
        base: the connection.
        kind: the pack's.
        pack: its name.
        text: the configuration, as the person wrote it.
        actor: who does it.
        version: see above; None for the version that runs.
        slug: see above.
        seen: the version of what was stored when the person read it; None to replace whatever is stored.
        plain: it is plain text, not JSON.
        running: the pack in the packs folder; None for the pack as it ran last.
        action: for the audit trail.

    Raises:
        ConfigurationError: if it cannot be stored, does not fit the pack's schema, or the endpoint is not registered.
        ConflictError: if somebody else has changed it meanwhile. In all cases, nothing is stored.
    """
    check(text, plain=plain)
    check_name(pack, "PACK")
    slug = checked_slug(kind, pack, slug)
    named = running or _recorded(base, kind, pack)
    external = _external(named, version, slug)
    if slug and not endpoints.registered_among(base, [slug]):
        raise ConfigurationError(f"there is no endpoint {slug!r}", "hdm_core_dblist", "correct it, or add it first")
    if secrets.has_placeholder(text):
        before = configuration.stored(base, kind, pack, version=external, slug=slug)
        text = secrets.restore(text, before.text)
        seen = before.version if seen is None else seen  # what is put back is what is stored
    checked = check(text, plain=plain)
    misfits = configuration_check.refuse_misfit(base, named, checked.value, version=external, slug=slug)
    with base.transaction():  # so that nobody writes before the new version is read
        configuration.write(base, kind, pack, text, actor=actor, version=external, slug=slug, seen=seen, action=action)
        digest = configuration.digest(base, kind, pack, version=external, slug=slug)
    return Saved(version=digest, warnings=[*checked.warnings, *misfits])


def remove(
    base: BaseConnection,
    kind: Kind,
    pack: str,
    *,
    actor: str,
    version: str | None = None,
    slug: str | None = None,
    seen: str | None = None,
    running: Named | None = None,
) -> bool:
    """Remove a configuration, also that of an endpoint or a pack that is gone. The arguments are those of `save`.

    Returns:
        Whether there was one.

    Raises:
        ConfigurationError: if no version is stated or known.
        ConflictError: if somebody else has changed it meanwhile: nothing is removed.
    """
    slug = checked_slug(kind, pack, slug)
    external = _external(running or _recorded(base, kind, pack), version, slug)
    return configuration.remove(base, kind, pack, actor=actor, version=external, slug=slug, seen=seen)


def restore(
    base: BaseConnection,
    kind: Kind,
    pack: str,
    change: int,
    *,
    actor: str,
    version: str | None = None,
    slug: str | None = None,
    seen: str | None = None,
    before: bool = False,
    running: Named | None = None,
) -> Saved:
    """Store a configuration again as it was after a change, with its secrets. The other arguments are those of `save`.

    Args:
        base: the connection.
        kind: the pack's.
        pack: its name.
        change: id of a change in its history.
        actor: who does it.
        version: see above.
        slug: see above.
        seen: see `save`.
        before: as it was before the change instead.
        running: see `save`.

    Raises:
        ConfigurationError: if the change is not in its history, there was no configuration, or it no longer fits.
        ConflictError: if somebody else has changed it meanwhile: nothing is stored.
    """
    slug = checked_slug(kind, pack, slug)
    external = _external(running or _recorded(base, kind, pack), version, slug)
    past = configuration.history(base, kind, pack, version=external, slug=slug, limit=_MOST_CHANGES)
    entry = next((one for one in past if one.id == change), None)
    what = f"{PREFIX[kind]}{pack} for {slug or f'version {external}'}"
    if entry is None:
        hint = "choose one of its history: airflow hdm config history"
        raise ConfigurationError(f"the change {change} is not one of the configuration of {what}", "hdm_audit", hint)
    text = entry.old if before else entry.new
    if not isinstance(text, str):
        when = "before" if before else "after"
        fault = "there was no configuration" if text is None else "the configuration cannot be decoded"
        raise ConfigurationError(f"{fault} of {what} {when} the change {change}", "hdm_audit", "choose another change")
    return save(
        base,
        kind,
        pack,
        text,
        actor=actor,
        version=version,
        slug=slug,
        seen=seen,
        plain=not _is_json(text),
        running=running,
        action="config restore",
    )


def history(
    base: BaseConnection,
    kind: Kind,
    pack: str,
    *,
    version: str | None = None,
    slug: str | None = None,
    limit: int = 100,
    running: Named | None = None,
) -> list[audit.Change]:
    """Read the changes of a configuration with their differences, newest first. For the arguments see `read`.

    Raises:
        ConfigurationError: if no version is stated or known.
    """
    slug = checked_slug(kind, pack, slug)
    external = _external(running or _recorded(base, kind, pack), version, slug)
    past = configuration.history(base, kind, pack, version=external, slug=slug, limit=limit)
    return [audit.shown(entry) for entry in past]


def _hidden(effective: Effective) -> Effective:
    return replace(effective, value=secrets.hide_configuration(effective.value), warnings=[])


def _without(every: Configurations, version: str, external: str | None) -> Effective:
    """What a version gets without its external configuration, or, if `external` is None, without an endpoint's own."""
    others = {number: text for number, text in every.external.items() if number != external}
    try:
        return _hidden(merged(replace(every, external=others), version, None))
    except ConfigurationError:
        return _NOTHING


def _recorded(base: BaseConnection, kind: Kind, pack: str) -> Named:
    """The pack as it ran last; without a version if it never has."""
    recorded = packs.newest(base).get((kind, pack))
    return Named(kind=kind, name=pack, version=recorded.version if recorded else "")


def _external(pack: Named, version: str | None, slug: str | None) -> str | None:
    """The version whose external configuration is meant; None for that of an endpoint."""
    if slug:
        return None
    found = version or pack.version
    if not found:
        raise ConfigurationError(f"the version of {pack.task_id} is unknown", "packs folder", "give --version")
    check_version(found)
    return found


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
