"""Packs: what the attempts ran, for commands and pages that cannot read the packs folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hdm_airflow.base.queries import queries
from hdm_airflow.packs import config_schema, files

if TYPE_CHECKING:
    from hdm_airflow.base.hook import BaseConnection
    from hdm_airflow.packs.manifest import Kind
    from hdm_airflow.packs.pack import Pack


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """One version of a pack, as an attempt ran it."""

    kind: Kind
    name: str
    version: str
    config_schema: str | None  # text of config.schema.json; None if the pack has none


def record(base: BaseConnection, pack: Pack, sha256: str) -> str:
    """Record a pack. Call it only if its content has changed.

    Args:
        base: the connection.
        pack: the pack as the attempt runs it.
        sha256: of its content.

    Returns:
        Why it could not be recorded; '' if it was. A Readme that the base cannot store must not stop the pack.
    """
    from psycopg import DataError
    from psycopg.types.json import Jsonb

    rows = [
        {
            "severity": one.severity,
            "code": one.code,
            "file": one.file,
            "place": one.place,
            "message": one.message,
            "hint": one.hint,
        }
        for one in pack.findings
    ]
    values: dict[str, Any] = {"kind": pack.kind, "name": pack.name, "version": pack.version}
    values |= {"sha256": sha256, "readme": pack.readme}
    values |= {"config_schema": _schema_text(pack), "findings": Jsonb(rows)}
    try:
        base.execute(queries("packs")["record"], values)
    except DataError as error:
        return f"the base cannot store its texts ({error.sqlstate})"
    return ""


def find(base: BaseConnection, kind: Kind, name: str, version: str) -> Recorded | None:
    """The recorded version of a pack; if that one has not run yet, the version recorded last."""
    values = {"kind": kind, "name": name, "version": version}
    row = base.execute(queries("packs")["find"], values).fetchone()
    return Recorded(kind=kind, name=name, **row) if row else None


def newest(base: BaseConnection) -> dict[tuple[Kind, str], Recorded]:
    """The version of each pack that was recorded last, by kind and name."""
    rows = base.execute(queries("packs")["newest"])
    return {(row["kind"], row["name"]): Recorded(**row) for row in rows}


def _schema_text(pack: Pack) -> str | None:
    try:
        return files.decode(files.read_bytes(pack.path / config_schema.FILE, limit=config_schema.LIMIT))[0]
    except (FileNotFoundError, files.Unreadable):
        return None
