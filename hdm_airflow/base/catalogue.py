"""Catalogue: what differs between the HDM base and this release's schema, and whether the base takes our writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hdm_airflow.base import (
    activation,
    configuration,
    endpoints,
    incidents,
    messages,
    news,
    pack_state,
    runs,
    subscriptions,
)
from hdm_airflow.base.endpoints import Endpoint, Registered
from hdm_airflow.base.queries import queries

if TYPE_CHECKING:
    from hdm_airflow.base.hook import BaseConnection
    from hdm_airflow.packs.manifest import Kind

_SCHEMA = Path(__file__).with_name("schema.sql")
_KINDS = {"r": "table", "v": "view"}
_TRIAL = "hdm db check"  # pack, endpoint and actor of rows that are rolled back


@dataclass(frozen=True, kw_only=True)
class _Catalogue:
    """The tables and views of one schema."""

    kinds: Mapping[str, str]  # name -> pg_class.relkind
    unlogged: frozenset[str]
    columns: Mapping[tuple[str, str], tuple[str, str]]  # (table or view, column) -> definition, default
    keys: frozenset[tuple[str, str]]  # (table, definition of an index or constraint)
    views: Mapping[str, str]  # name -> definition
    triggers: Mapping[tuple[str, str], tuple[str, bool]]  # (table, name) -> definition, whether it is enabled
    functions: Mapping[str, str]  # of triggers: name -> language, body and settings


def differences(base: BaseConnection) -> list[str]:
    """Compare the base with schema.sql, which is applied to the session's temporary schema and rolled back.

    What the base has in addition does not matter: a base of the original may have more columns and indexes.

    Args:
        base: a session of the base's owner; the base has a version.

    Returns:
        One sentence for each difference.
    """
    with base.transaction(force_rollback=True):
        base.execute(queries("role_grant")["limits"])
        found = _read(base, "base_schema")
        base.execute(queries("catalogue")["use_temporary"])
        # A function in the temporary schema is found only under its full name.
        script = _SCHEMA.read_text("utf-8").replace(" EXECUTE FUNCTION ", " EXECUTE FUNCTION pg_temp.")
        base.execute(script.encode("utf-8"))
        wanted = _read(base, "temporary_schema")
    faults = [*_of_tables(found, wanted), *_of_columns(found, wanted), *_of_keys(found, wanted)]
    faults += _of_triggers(found, wanted)
    return faults or _of_state(base)


def try_writing(base: BaseConnection) -> None:
    """Write to every table as commands and runs do, and roll it back. Numbers of ledger rows and endpoints are used up.

    Args:
        base: a session of the base's owner.

    Raises:
        psycopg.Error: if the base refuses one of the writes.
    """
    endpoint = Endpoint(name=_TRIAL, type=_TRIAL)
    slug, values = endpoint.slug, {"pack": _TRIAL, "slug": endpoint.slug, "date": date.min}
    attempt = runs.Attempt(
        kind="rule",
        pack=_TRIAL,
        pack_version="0",
        metric_date=date.min,
        environment=_TRIAL,
        dag_id=_TRIAL,
        run_id=_TRIAL,
        task_id=_TRIAL,
        try_number=0,
    )
    kinds: tuple[Kind, ...] = ("metric", "rule")
    with base.transaction(force_rollback=True):
        base.execute(queries("role_grant")["limits"])
        endpoints.add(base, endpoint, None, actor=_TRIAL)
        registered = Registered(id=-1, endpoint=endpoint, conn_id=None)
        activation.change(base, [(kind, _TRIAL, slug) for kind in kinds], active=True, actor=_TRIAL)
        for kind in kinds:
            configuration.write(base, kind, _TRIAL, "{}", actor=_TRIAL, slug=slug)
        endpoints.remove(base, registered, actor=_TRIAL)
        ids = runs.reserve(base, [slug])
        runs.start(base, attempt, ids)
        runs.close(base, attempt, ids, [runs.Outcome(endpoint=slug, status="success")])
        base.execute(queries("catalogue")["alert"], values)
        base.execute(queries("catalogue")["not_judged"], values)
        base.execute(queries("pack_schema")["record"], {"kind": "metric", "pack": _TRIAL, "file": "", "sha256": ""})
        recorded = {"kind": "metric", "name": _TRIAL, "version": "0", "sha256": "", "readme": "", "findings": "[]"}
        base.execute(queries("packs")["record"], {**recorded, "config_schema": None})
        incidents.derive(base, _TRIAL, reopen_days=0)
        subscriptions.allow(base, f"@{_TRIAL}", actor=_TRIAL)
        number = subscriptions.add(base, subscriptions.Subscription(recipients=(_TRIAL,)), actor=_TRIAL)
        found = news.collect(base, 0, with_alerts=False)
        message = {"subscription": number, "digest": found.digest, "channel": "mail", "key": _TRIAL, "subject": ""}
        messages.add(base, [{**message, "body": "", "recipients": [_TRIAL]}])
        base.execute(queries("catalogue")["told"], values)
        base.execute(queries("catalogue")["remove_alert"], values)


def _read(base: BaseConnection, schema: str) -> _Catalogue:
    found = base.execute(queries("catalogue")[schema]).fetchone()

    def rows(name: str) -> list[dict[str, Any]]:
        return base.execute(queries("catalogue")[name], found).fetchall()

    relations = rows("relations")
    return _Catalogue(
        kinds={row["name"]: row["kind"] for row in relations},
        unlogged=frozenset(row["name"] for row in relations if row["unlogged"]),
        columns={(row["name"], row["column"]): (row["definition"], row["default_value"]) for row in rows("columns")},
        keys=frozenset((row["name"], row["definition"]) for row in rows("keys")),
        views={row["name"]: row["definition"] for row in rows("views")},
        triggers={(row["name"], row["trigger"]): (row["definition"], row["enabled"]) for row in rows("triggers")},
        functions={row["name"]: row["definition"] for row in rows("functions")},
    )


def _of_tables(found: _Catalogue, wanted: _Catalogue) -> list[str]:
    faults = []
    for name, kind in sorted(wanted.kinds.items()):
        if name not in found.kinds:
            faults.append(f"there is no {_KINDS[kind]} {name}")
        elif found.kinds[name] != kind:
            faults.append(f"{name} is not a {_KINDS[kind]}")
        elif name in found.unlogged:
            faults.append(f"{name} is unlogged: a crash of the server empties it")
    return faults


def _of_columns(found: _Catalogue, wanted: _Catalogue) -> list[str]:
    faults = []
    for (name, column), (definition, default) in sorted(wanted.columns.items()):
        if found.kinds.get(name) != wanted.kinds[name]:
            continue
        if (name, column) not in found.columns:
            faults.append(f"{name} lacks the column {column}")
            continue
        has, has_default = found.columns[name, column]
        if has != definition or default not in {"", has_default}:
            now, needed = (" ".join(filter(None, one)) for one in ((has, has_default), (definition, default)))
            faults.append(f"the column {column} of {name} is {now}, not {needed}")
    return faults


def _of_keys(found: _Catalogue, wanted: _Catalogue) -> list[str]:
    present = {name for name, kind in wanted.kinds.items() if found.kinds.get(name) == kind}
    faults = [f"{name} lacks the {key}" for name, key in sorted(wanted.keys - found.keys) if name in present]
    changed = (name for name in sorted(wanted.views) if name in present and found.views[name] != wanted.views[name])
    return faults + [f"the view {name} has another definition" for name in changed]


def _of_triggers(found: _Catalogue, wanted: _Catalogue) -> list[str]:
    faults = []
    for (name, trigger), (definition, _) in sorted(wanted.triggers.items()):
        if name not in found.kinds:
            continue
        what = f"the trigger {trigger} on {name}"
        has, enabled = found.triggers.get((name, trigger), ("", False))
        if not has:
            faults.append(f"{name} lacks the trigger {trigger}")
        elif has != definition:
            faults.append(f"{what} has another definition")
        elif not enabled:
            faults.append(
                f"{what} is disabled: run ALTER TABLE {name} ENABLE TRIGGER {trigger}, then airflow hdm db upgrade"
            )
    for name, definition in sorted(wanted.functions.items()):
        if name not in found.functions:
            faults.append(f"there is no function {name}")
        elif found.functions[name] != definition:
            faults.append(f"the function {name} has another definition")
    return faults


def _of_state(base: BaseConnection) -> list[str]:
    if not (differing := pack_state.differing(base)):
        return []
    return [f"hdm_pack_state is not what the ledger says, {differing:,} times: airflow hdm db upgrade builds it again"]
