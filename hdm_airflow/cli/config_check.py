"""Configuration check: whether a pack accepts a configuration and uses it, by its schema and version."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hdm_airflow.base import configuration, packs
from hdm_airflow.base.configuration import Configuration
from hdm_airflow.cli.console import warn
from hdm_airflow.errors import ConfigurationError
from hdm_airflow.packs import config_schema, files
from hdm_airflow.packs.pack import PREFIX
from hdm_airflow.packs.versions import newest_not_above

if TYPE_CHECKING:
    from hdm_airflow.base.hook import BaseConnection
    from hdm_airflow.cli.pack_names import Named


def refuse_misfit(base: BaseConnection, pack: Named, text: str, *, version: str | None, slug: str | None) -> None:
    """Refuse a configuration that the pack does not accept; warn if it will not use it, or if more is missing.

    Args:
        base: the connection.
        pack: the pack.
        text: the configuration.
        version: whose external configuration it is; None for one endpoint's.
        slug: the endpoint whose configuration it is; None for an external one.

    Raises:
        ConfigurationError: if it does not fit the pack's schema, or the schema cannot be read.
    """
    schema, source = _schema(base, pack, version or pack.version)
    value = configuration.decode(configuration.encode(text), "VALUE")
    (fault,) = config_schema.faults(schema, [value], parts=True)
    if fault:
        raise ConfigurationError(fault, source, "correct it; nothing was stored")
    if version and pack.version and newest_not_above(pack.version, [version]) is None:
        warn(f"{pack.task_id} has version {pack.version}, which does not use the configuration of version {version}")
    effective = value
    if slug:
        try:
            stored = configuration.read(base, pack.kind, pack.name).for_version(pack.version)
        except ConfigurationError as error:  # another row's fault
            warn(f"the pack will run on no endpoint: {error.what} ({error.where})")
            return
        effective, _ = configuration.merge(stored, Configuration(value=value, source=slug))
    (fault,) = config_schema.faults(schema, [effective])
    if fault:
        warn(f"the pack will not accept the configuration as a whole: {fault}")


def add_faults(base: BaseConnection, rows: list[dict[str, Any]]) -> None:
    """Add to the `fault` of each row why the pack, as it ran last, does not accept or use the configuration."""
    ran = {PREFIX[kind] + name: recorded for (kind, name), recorded in packs.newest(base).items()}
    grouped: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        if not row["fault"] and row["pack"] in ran:
            grouped[row["pack"]].append(row)
    for task_id, group in grouped.items():
        recorded = ran[task_id]
        for row, fault in zip(group, _faults(recorded, [row["value"] for row in group]), strict=True):
            unused = row["version"] and newest_not_above(recorded.version, [row["version"]]) is None
            notes = [f"not used: the pack ran last as version {recorded.version}"] if unused else []
            row["fault"] = "; ".join(filter(None, (*notes, fault)))


def _faults(recorded: packs.Recorded, values: list[Any]) -> list[str]:
    try:
        schema = files.parse_object(recorded.config_schema)[0] if recorded.config_schema else None
    except files.Unreadable as error:
        return [f"the pack's {config_schema.FILE} {error.reason}" for _ in values]
    return config_schema.faults(schema, values, parts=True)


def _schema(base: BaseConnection, pack: Named, version: str) -> tuple[dict[str, Any] | None, str]:
    """The schema of a version, and its source: the packs folder, else the last attempt, which may be another version's.

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
        warn("the configuration is not checked: the pack is not in the packs folder, and has not run yet")
        return None, ""
    text = recorded.config_schema
    where = f"hdm_pack {pack.task_id} {recorded.version}"
    return _read(lambda: files.parse_object(text)[0] if text else None, where)


def _read(read: Callable[[], dict[str, Any] | None], where: str) -> tuple[dict[str, Any] | None, str]:
    try:
        return read(), where
    except files.Unreadable as error:
        place = f"{where}:{error.place}".rstrip(":")
        raise ConfigurationError(f"the pack's {config_schema.FILE} {error.reason}", place, error.hint) from None
