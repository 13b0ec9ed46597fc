"""Installs the shipped rules, which cover all endpoints by patterns; they take over the rows of older versions.

A shipped rule that a release no longer has goes, too, unless somebody edited it.

Older versions wrote a row per column of each endpoint. A row that is still as it was written goes: it stays only if
alerts refer to it, and then names its successor. A row that somebody edited or disabled stays, as an exception.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from checks import parsed_content
from psycopg import sql
from rule_error import RuleError

if TYPE_CHECKING:
    import hdm
    import psycopg

SHIPPED = Path(__file__).with_name("shipped_rules.json")
PROPERTIES = Path(__file__).parents[1] / "properties.json"
LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('rule_basic: shipped rules', 0))"  # of simultaneous runs
EDITABLE = (
    *("rule_name", "rule_type", "alert_level", "alert_class", "alert_message", "alert_scope", "condition_trigger"),
    *("condition_scope", "endpoint", "database", "table", "column", "rule_content", "enabled", "cause", "yields_to"),
)
NAMES = sql.SQL(", ").join(map(sql.Identifier, EDITABLE))
MARKS = sql.SQL(", ").join(map(sql.Placeholder, EDITABLE))

INSTALLED = sql.SQL(
    "SELECT id_rule, shipped, shipped_as, shipped_by, replaced_by, {} FROM rule_basic WHERE shipped <> ''"
).format(NAMES)
# A row of the same key is somebody's own rule, and stays.
INSTALL = sql.SQL(
    """INSERT INTO rule_basic (shipped, shipped_as, shipped_by, {})
    SELECT %(rule_name)s, %(shipped_as)s, %(shipped_by)s, {}
    WHERE NOT EXISTS (
        SELECT FROM rule_basic
        WHERE (endpoint, "database", "table", "column", rule_name)
            = (%(endpoint)s, %(database)s, %(table)s, %(column)s, %(rule_name)s)
    )
    ON CONFLICT DO NOTHING
    RETURNING id_rule"""
).format(NAMES, MARKS)
UPDATE = sql.SQL(
    """UPDATE rule_basic SET (replaced_by, shipped_as, shipped_by, {}) = (NULL, %(shipped_as)s, %(shipped_by)s, {})
    WHERE id_rule = %(id_rule)s"""
).format(NAMES, MARKS)

# The rows of versions before 1.2, as they wrote them: message and content, by the name that the successor has, too.
FORMER = {
    "duplicates in key column": (
        "A value of a key column appears more than once",
        '{"metric": "highest_frequency", "condition": ">", "conditionValue": 1}',
    ),
    "empty column": (
        "The column is empty",
        '{"metric": "percent_na_values", "condition": "==", "conditionValue": 100}',
    ),
}
OLD = sql.SQL(
    """r.endpoint = %(slug)s AND r.rule_name = %(name)s AND r.shipped = '' AND r.replaced_by IS NULL AND r.enabled
    AND r.id_rule <> %(successor)s AND r.rule_type = 'conditionnelle' AND r.alert_level = 'High'
    AND r.alert_class = 'METRIQUE' AND r.alert_message = %(message)s AND r.alert_scope = 'column'
    AND r.condition_trigger = 'returnTrue' AND r.condition_scope = 'column'
    AND r.cause = '' AND r.yields_to = ''"""
)
CONTENTS = sql.SQL("SELECT DISTINCT r.rule_content FROM rule_basic r WHERE {}").format(OLD)
GENERATED = sql.SQL("{} AND r.rule_content = ANY(%(contents)s)").format(OLD)
KEEP = sql.SQL(
    """UPDATE rule_basic r SET replaced_by = %(successor)s
    FROM (SELECT DISTINCT rule_id FROM hdm_alerts WHERE rule_pack = 'basic' AND endpoint = %(slug)s) a
    WHERE a.rule_id = r.id_rule::text AND {}"""
).format(GENERATED)
DELETE = sql.SQL("DELETE FROM rule_basic r WHERE {}").format(GENERATED)

# A shipped rule that this release no longer has; kept for its alerts, it is replaced by nothing but itself.
RETIRE = "UPDATE rule_basic SET replaced_by = id_rule WHERE id_rule = %(id_rule)s"
FORGET = """
DELETE FROM rule_basic r WHERE r.id_rule = %(id_rule)s AND NOT EXISTS (
    SELECT FROM hdm_alerts a WHERE a.rule_pack = 'basic' AND a.rule_id = r.id_rule::text)"""


class Generated(NamedTuple):
    """What `generate` has done."""

    installed: int  # new rules
    left: int  # rules that a newer version of this pack has installed or updated: they stay as they are


def shipped() -> list[dict[str, Any]]:
    """The rules that the pack brings, as rows of rule_basic."""
    content = json.loads(SHIPPED.read_text(encoding="utf-8"))
    return [_row(rule, content["yields_to"]) for rule in content["rules"]]


def generate(base: psycopg.Connection[Any], endpoint: hdm.Endpoint) -> Generated:
    """Install and update the shipped rules, and take over the endpoint's old rows.

    The transaction must see what others commit meanwhile (READ COMMITTED). It serialises simultaneous runs. Workers
    with different versions of the pack can share a base: an older version leaves what a newer one has installed.
    """
    base.execute(LOCK)
    installed = {row[1]: row for row in base.execute(INSTALLED).fetchall()}
    version = str(json.loads(PROPERTIES.read_text(encoding="utf-8"))["version"])
    newest = max((row[3] for row in installed.values()), key=_numbers, default="")
    is_older = _numbers(newest) > _numbers(version)
    written = left = 0
    for wanted in shipped():
        name = wanted["rule_name"]
        found = installed.pop(name, None)
        wanted["shipped_by"] = version
        if found is None:
            if is_older:  # the newer version has dropped it
                left += 1
                continue
            new = base.execute(INSTALL, wanted).fetchone()
            written += new is not None
            successor = new and new[0]
        else:
            successor, _, shipped_as, shipped_by, replaced_by, *_ = found
            is_same = shipped_as == wanted["shipped_as"] and replaced_by is None
            if _numbers(shipped_by) > _numbers(version):
                left += not is_same
            elif _is_as_installed(found) and not (is_same and shipped_by == version):
                base.execute(UPDATE, {**wanted, "id_rule": successor})
        if successor is not None and name in FORMER:
            _take_over(base, endpoint.slug, name, successor)
    for row in installed.values():  # those that this version does not have
        if row[4] is not None or not _is_as_installed(row):
            continue
        if _numbers(row[3]) > _numbers(version):
            left += 1
            continue
        base.execute(RETIRE, {"id_rule": row[0]})
        base.execute(FORGET, {"id_rule": row[0]})
    return Generated(written, left)


def _numbers(version: str) -> list[int]:
    """For comparing versions; without numbers it is the oldest."""
    return [int(number) for number in re.findall(r"\d+", version)]


def _take_over(base: psycopg.Connection[Any], slug: str, name: str, successor: int) -> None:
    message, content = FORMER[name]
    values: dict[str, Any] = {"slug": slug, "successor": successor, "name": name, "message": message}
    found = [row[0] for row in base.execute(CONTENTS, values).fetchall()]
    values["contents"] = [one for one in found if _is_same(one, json.loads(content))]
    if values["contents"]:
        base.execute(KEEP, values)
        base.execute(DELETE, values)


def _is_same(text: str, content: dict[str, Any]) -> bool:
    """Whether a rule_content says this, in whatever form: the editor saves base64 even if nothing was changed."""
    try:
        return parsed_content(text) == content
    except RuleError:
        return False


def _is_as_installed(row: tuple[Any, ...]) -> bool:
    """Whether nobody has edited a row of INSTALLED."""
    _, _, shipped_as, _, _, *values = row
    return _digest(dict(zip(EDITABLE, values, strict=True))) == str(shipped_as)


def _row(rule: dict[str, Any], yields_to: dict[str, list[str]]) -> dict[str, Any]:
    """A rule of shipped_rules.json as a row of rule_basic; it has the `yields_to` of its class, or its own."""
    is_of_table = rule["content"]["of"] == "table"
    row = {
        "rule_name": rule["name"],
        "rule_type": "conditionnelle",
        "alert_level": rule["level"],
        "alert_class": "METRIQUE",
        "alert_message": rule["message"],
        "alert_scope": "table",
        "condition_trigger": "returnTrue",
        "condition_scope": "table" if is_of_table else "column",
        "endpoint": "",
        "database": "",
        "table": "*",
        "column": "" if is_of_table else "*",
        "rule_content": json.dumps(rule["content"]),
        "enabled": True,
        "cause": rule["cause"],
        "yields_to": ", ".join(rule.get("yields_to", yields_to[rule["cause"]])),
    }
    return {**row, "shipped_as": _digest(row)}


def _digest(row: dict[str, Any]) -> str:
    values = [row[name] for name in EDITABLE]
    return hashlib.sha256(json.dumps(values, ensure_ascii=False).encode()).hexdigest()
