"""Configuration check: whether a pack accepts a configuration and uses it, by its schema and version."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hdm_airflow.base import configuration, packs
from hdm_airflow.base.configuration import Configuration
from hdm_airflow.errors import ConfigurationError
from hdm_airflow.packs import config_schema, files
from hdm_airflow.packs.versions import newest_not_above

if TYPE_CHECKING:
    from hdm_airflow.admin.pack_names import Named
    from hdm_airflow.base.hook import BaseConnection

_UNCHECKED = "the configuration is not checked: the pack is not in the packs folder, and has not run yet"


@dataclass(frozen=True, kw_only=True)
class Schema:
    """The configuration schema of a pack, or of none."""

    value: dict[str, Any] | None  # None if the pack has none, or is not known
    source: str  # a file, or `hdm_pack` with the pack and version; '' if the pack is not known

    @property
    def warnings(self) -> list[str]:
        """That nothing is checked, if the pack is not known."""
        return [] if self.source else [_UNCHECKED]


def refuse_misfit(base: BaseConnection, pack: Named, value: Any, *, version: str | None, slug: str | None) -> list[str]:
    """Refuse a configuration that the pack does not accept.

    Args:
        base: the connection.
        pack: the pack.
        value: the configuration.
        version: whose external configuration it is; None for one endpoint's.
        slug: the endpoint whose configuration it is; None for an external one.

    Returns:
        Warnings: the pack will not use it, or more is missing.

    Raises:
        ConfigurationError: if it does not fit the pack's schema, or the schema cannot be read.
    """
    schema = find_schema(base, pack, version or pack.version)
    warnings = schema.warnings
    (fault,) = config_schema.faults(schema.value, [value], parts=True)
    if fault:
        raise ConfigurationError(fault, schema.source, "correct it; nothing was stored")
    if version and pack.version and newest_not_above(pack.version, [version]) is None:
        unused = f"which does not use the configuration of version {version}"
        warnings.append(f"{pack.task_id} has version {pack.version}, {unused}")
    effective = value
    if slug:
        try:
            stored = configuration.read(base, pack.kind, pack.name).for_version(pack.version)
        except ConfigurationError as error:  # another row's fault
            return [*warnings, f"the pack will run on no endpoint: {error.what} ({error.where})"]
        effective, _ = configuration.merge(stored, Configuration(value=value, source=slug))
    return [*warnings, *misfits(schema, effective)]


def misfits(schema: Schema, effective: Any) -> list[str]:
    """Why the pack will not accept a configuration as a whole; none if it will."""
    (fault,) = config_schema.faults(schema.value, [effective])
    return [f"the pack will not accept the configuration as a whole: {fault}"] if fault else []


def find_schema(base: BaseConnection, pack: Named, version: str) -> Schema:
    """The schema of a version: of the packs folder, else of the last attempt, which may be another version's.

    Raises:
        ConfigurationError: if it cannot be read.
    """
    recorded = None
    if not pack.path or version != pack.version:
        recorded = packs.find(base, pack.kind, pack.name, version)
    if pack.path and (recorded is None or recorded.version != version):
        folder = pack.path
        return _read(lambda: config_schema.read(folder), str(folder / config_schema.FILE))
    if recorded is None:
        return Schema(value=None, source="")
    text = recorded.config_schema
    where = f"hdm_pack {pack.task_id} {recorded.version}"
    return _read(lambda: files.parse_object(text)[0] if text else None, where)


def _read(read: Callable[[], dict[str, Any] | None], where: str) -> Schema:
    try:
        return Schema(value=read(), source=where)
    except files.Unreadable as error:
        place = f"{where}:{error.place}".rstrip(":")
        raise ConfigurationError(f"the pack's {config_schema.FILE} {error.reason}", place, error.hint) from None
