"""Configuration list: every stored configuration, and what is wrong with it."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from hdm_airflow.admin.pack_names import task_ids
from hdm_airflow.base import configuration, endpoints, packs
from hdm_airflow.errors import HdmError
from hdm_airflow.packs import config_schema, files
from hdm_airflow.packs.pack import PREFIX
from hdm_airflow.packs.versions import newest_not_above

if TYPE_CHECKING:
    from hdm_airflow.base.hook import BaseConnection
    from hdm_airflow.packs.catalog import Catalog


def listed(base: BaseConnection, catalog: Catalog | None) -> list[dict[str, Any]]:
    """Read every configuration: pack (task id), version, endpoint, value and `fault`, which says what is wrong.

    Args:
        base: the connection.
        catalog: the packs folder, if it can be read.

    Returns:
        The rows. Secrets are not hidden: a page calls `secrets.hide_configuration`.
    """
    rows = [_row(row) for row in configuration.every(base)]
    _add_faults(base, rows)
    present = task_ids(catalog) if catalog else set()
    for row in rows if catalog else ():
        if row["pack"] not in present:
            row["fault"] = "; ".join(filter(None, ("no pack of this name in the packs folder", row["fault"])))
    return rows


def _row(row: dict[str, Any]) -> dict[str, Any]:
    version = row["pack_version"]
    source = f"{configuration.TABLES[row['kind']]} {row['id_config']}"
    fault, value = "", None
    try:
        value = configuration.decode(row["pack_config"] or "", source)
    except HdmError as error:
        fault = error.what
    endpoint = None if version else endpoints.canonical(row["id_config"].removeprefix(f"{row['pack_name']}:"))
    pack = PREFIX["rule" if row["kind"] == "rule" else "metric"] + (row["pack_name"] or "")
    return {"pack": pack, "version": version, "endpoint": endpoint, "value": value, "fault": fault}


def _add_faults(base: BaseConnection, rows: list[dict[str, Any]]) -> None:
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
