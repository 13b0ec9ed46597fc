"""Take-over: whether tables of the base's names come from the original program, before a migration takes them over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hdm_airflow.errors import ConfigurationError

_CONF = ("id_config", "pack_config", "pack_name", "pack_version")
#: The original's tables -> the column by which they are recognised, and the others.
_ORIGINAL: Mapping[str, Sequence[str]] = {
    "hdm_core_dblist": ("db_name", "id", "db_type", "db_host", "db_port", "db_user", "db_is_ssl", "conn_id"),
    "hdm_core_table_corr_db_mp": ("mp_key", "db_key"),
    "hdm_core_table_corr_db_rp": ("rp_key", "db_key"),
    "hdm_pack_metric_conf": _CONF,
    "hdm_pack_rule_conf": _CONF,
    "hdm_alerts": (
        *("alert_level", "alert_message", "alert_class", "alert_scope", "database", "dbversion", "table", "column"),
        *("date", "rule_id", "rule_pack", "endpoint"),
    ),
    "hdm_core_mail_list": ("mail", "id", "type", "key", "db_key", "filters"),
}
#: Tables and views that only hdm_airflow has.
_OURS = (
    "hdm_pack",
    "hdm_pack_run",
    "hdm_pack_schema",
    "hdm_audit",
    "hdm_endpoint",
    "hdm_activation",
    "hdm_configuration",
    "hdm_whole",
    "hdm_not_judged",
    "hdm_incident",
    "hdm_incident_event",
    "hdm_incident_count",
    "hdm_mail_allowed",
    "hdm_digest",
    "hdm_told",
    "hdm_message",
    "hdm_message_recipient",
)
_ORDINARY_TABLE = "r"  # pg_class.relkind


@dataclass(frozen=True, kw_only=True)
class Relation:
    """A table, view or the like in the base."""

    name: str
    kind: str  # pg_class.relkind
    columns: Sequence[str]


def check(relations: Sequence[Relation], where: str) -> None:
    """Check a base without a version: it is empty, or the original's.

    Args:
        relations: those whose names begin with `hdm_`.
        where: names the base.

    Raises:
        ConfigurationError: if it has tables of hdm_airflow, or others with the names of the base's.
    """
    if ours := [one.name for one in relations if one.name in _OURS]:
        what = f"the HDM base has no version, but tables or views of hdm_airflow: {', '.join(ours)}"
        hint = "restore the table hdm_alembic_version from a backup; if these are not of hdm_airflow, rename them"
        raise ConfigurationError(what, where, hint)
    if foreign := [one.name for one in relations if one.name in _ORIGINAL and not _is_original(one)]:
        what = f"these have names of the HDM base's tables, but are not the original's: {', '.join(foreign)}"
        raise ConfigurationError(what, where, "rename them, or use a database of its own for the HDM base")


def _is_original(one: Relation) -> bool:
    known = _ORIGINAL[one.name]
    common = [column for column in one.columns if column in known]
    return one.kind == _ORDINARY_TABLE and known[0] in common and 2 * len(common) > len(one.columns)
