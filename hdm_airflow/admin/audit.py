"""Audit: the audit trail as people read it, with differences and without secrets."""

from __future__ import annotations

import base64
import difflib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from hdm_airflow.admin import secrets
from hdm_airflow.base import audit

if TYPE_CHECKING:
    from hdm_airflow.base.audit import Entry
    from hdm_airflow.base.hook import BaseConnection

UNREADABLE = "(cannot be decoded)"
_LONGEST = 100_000  # characters of a text that is shown: a list may have hundreds
_MOST_LINES = 2_000  # of a value: a comparison takes the product of both
_AROUND = 3  # lines that are shown before and after a difference


@dataclass(frozen=True, kw_only=True)
class Change:
    """One change, or a bulk change as a whole. Values that look like secrets are hidden."""

    id: int
    at: datetime
    actor: str
    action: str
    object: str  # of a bulk change: of its first row
    #: The value before: a configuration's text, whether a pack was active, else JSON; None if there was none. A text of
    #: more than 100,000 characters is left out, with a remark in its place.
    old: Any
    new: Any  # the value after
    batch: int | None  # number of the bulk change
    size: int  # rows of that; else 1
    difference: str  # unified, without a heading; '' if nothing that is shown differs
    hidden_changed: bool  # whether hidden values differ


def listed(
    base: BaseConnection,
    *,
    actor: str | None = None,
    action: str | None = None,
    object: str | None = None,  # noqa: A002  # the column's name
    since: datetime | None = None,
    before_id: int | None = None,
    limit: int = 100,
) -> list[Change]:
    """Read the newest changes, newest first; a bulk change is one. For the arguments see base/audit."""
    found = audit.listed(base, actor=actor, action=action, object=object, since=since, before_id=before_id, limit=limit)
    return [shown(entry) for entry in found]


def of_batch(base: BaseConnection, batch: int, limit: int = 1000) -> list[Change]:
    """Read the single changes of a bulk change."""
    return [shown(entry) for entry in audit.of_batch(base, batch, limit)]


def shown(entry: Entry) -> Change:
    """A change without secrets, with its difference."""
    old, new = _readable(entry, entry.old), _readable(entry, entry.new)
    shown_old, shown_new = _hidden(old), _hidden(new)
    return Change(
        id=entry.id,
        at=entry.at,
        actor=entry.actor,
        action=entry.action,
        object=entry.object,
        old=shown_old,
        new=shown_new,
        batch=entry.batch,
        size=entry.size,
        difference=_difference(_lines(shown_old), _lines(shown_new)),
        hidden_changed=_secrets(old) != _secrets(new),
    )


def _readable(entry: Entry, value: Any) -> Any:
    """The value; a configuration's text that is still encoded is decoded, or not shown at all: it may hold secrets."""
    encoded = value["base64"] if isinstance(value, dict) and value.keys() == {"base64"} else None
    if entry.action == "deduplicate" and isinstance(value, str):
        encoded = value
    if encoded is None:
        return value
    try:
        return base64.b64decode("".join(encoded.split()), validate=True).decode("utf-8")
    except ValueError:
        return UNREADABLE


def _hidden(value: Any) -> Any:
    if isinstance(value, str):
        return f"({len(value):,} characters, too long to show)" if len(value) > _LONGEST else secrets.hide(value)
    try:
        return secrets.hide_value(value)
    except RecursionError:
        return UNREADABLE


def _secrets(value: Any) -> list[str]:
    try:
        text = value if isinstance(value, str) else json.dumps(value)
    except RecursionError:
        return []
    return secrets.hidden(text) if len(text) <= _LONGEST else []


def _lines(value: Any) -> list[str]:
    """The value in lines that can be compared: JSON with a line per key, whatever its layout."""
    if value is None:
        return []
    if isinstance(value, str):
        try:
            parsed = json.loads(value)
        except (ValueError, RecursionError):
            return value.splitlines()
        return _lines(parsed) if isinstance(parsed, (dict, list)) else value.splitlines()
    try:
        return json.dumps(value, indent=2, ensure_ascii=False).splitlines()
    except RecursionError:
        return [UNREADABLE]


def _difference(old: list[str], new: list[str]) -> str:
    if max(len(old), len(new)) > _MOST_LINES:
        return "" if old == new else f"(too long to compare: {len(old):,} and {len(new):,} lines)"
    return "\n".join([*difflib.unified_diff(old, new, lineterm="", n=_AROUND)][2:])
