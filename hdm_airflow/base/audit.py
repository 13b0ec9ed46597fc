"""The audit trail: who changed what in the HDM base."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from hdm_airflow.base.queries import queries

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hdm_airflow.base.hook import BaseConnection

_SWITCHES = {"activate": (False, True), "deactivate": (True, False)}  # action -> active before and after
_TEXTS = ("config set", "config remove", "config restore")  # actions whose values are texts
_FIRST_ID, _LAST_ID = 0, 2**63 - 1


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One change, or a bulk change as a whole."""

    id: int  # of a bulk change: of its first row, which is the batch's number
    at: datetime
    actor: str
    action: str
    object: str  # table and key, or pack and slug; of a bulk change: of one of its rows
    old: Any  # the value before, None if there was none: a configuration's text, whether a pack was active, else JSON
    new: Any  # the value after; a text that cannot be decoded stays as it is stored: {"base64": ...}
    batch: int | None  # the bulk change that it belongs to
    size: int  # rows of that; else 1

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Entry:
        """Create it from a row of hdm_audit. Values are decoded, whichever release wrote them."""
        entry = cls(**row)
        if entry.action in _SWITCHES:
            old, new = _SWITCHES[entry.action]
            return replace(entry, old=old, new=new)
        if entry.action in _TEXTS:
            return replace(entry, old=_text(entry.old), new=_text(entry.new))
        return entry


def record(base: BaseConnection, actor: str, action: str, item: str, old: Any, new: Any) -> None:
    """Write one row, inside the transaction of the change itself.

    Args:
        base: the connection that makes the change.
        actor: the user's name.
        action: e.g. 'activate'.
        item: the table and key that changed.
        old: the value before, which JSON can hold; None if there was none. Never a secret.
        new: the value after.
    """
    from psycopg.types.json import Jsonb

    values = {"actor": actor, "action": action, "object": item, "old": Jsonb(old), "new": Jsonb(new)}
    base.execute(queries("audit")["record"], values)


def value_of_text(base: BaseConnection, text: str | None) -> dict[str, str] | None:
    """The value under which the audit trail keeps a text: exactly what somebody wrote, so that it can be searched.

    In base64 if the base cannot hold it: a NUL, or a character that the base's encoding lacks.
    """
    if text is None:
        return None
    unicode = base.info.parameter_status("server_encoding") == "UTF8"
    if "\0" in text or not (unicode or text.isascii()):
        return {"base64": base64.b64encode(text.encode("utf-8")).decode("ascii")}
    return {"text": text}


def listed(
    base: BaseConnection,
    *,
    actor: str | None = None,
    action: str | None = None,
    object: str | None = None,  # noqa: A002  # the column's name
    since: datetime | None = None,
    before_id: int | None = None,
    limit: int = 100,
) -> list[Entry]:
    """Read the newest changes, newest first; a bulk change is one entry.

    Args:
        base: the connection.
        actor: only those of this user.
        action: only these.
        object: only those of objects whose name has this text in it.
        since: only those from this time on.
        before_id: only those before this entry: the next page.
        limit: at most so many.
    """
    values = {"actor": actor, "action": action, "object": object, "since": since}
    values |= {"before_id": before_id, "limit": limit}
    return _read(base, "listed_of_object" if object else "listed", values)


def of_batch(base: BaseConnection, batch: int, limit: int = 1000) -> list[Entry]:
    """Read the single changes of a bulk change, in the order of its cells."""
    return _read(base, "of_batch", {"batch": batch, "limit": limit})


def newest(base: BaseConnection, item: str, actions: Sequence[str]) -> Entry | None:
    """Read the newest change of an object with one of these actions."""
    found = _read(base, "newest", {"object": item, "actions": list(actions)})
    return found[0] if found else None


def renames(base: BaseConnection) -> list[Entry]:
    """Read the renames of endpoints and packs, newest first. Their `old` and `new` have the key slug or name."""
    return _read(base, "renames", {})


def of_names(base: BaseConnection, names: Iterable[tuple[str, int | None, int | None]], limit: int) -> list[Entry]:
    """Read the changes of an object that had other names earlier, newest first.

    Args:
        base: the connection.
        names: each name, the id after which it was the object's, and the id before which; None: no limit.
        limit: at most so many.
    """
    objects, after, before = zip(*names, strict=True)
    values = {"objects": list(objects), "limit": limit}
    values["after"] = [_FIRST_ID if one is None else one for one in after]
    values["before"] = [_LAST_ID if one is None else one for one in before]
    return _read(base, "of_objects", values)


def actors(base: BaseConnection) -> list[str]:
    """Read the names of all who have changed anything."""
    return [row["actor"] for row in base.execute(queries("audit")["actors"])]


def actions(base: BaseConnection) -> list[str]:
    """Read the names of all that was done."""
    return [row["action"] for row in base.execute(queries("audit")["actions"])]


def _read(base: BaseConnection, query: str, values: dict[str, Any]) -> list[Entry]:
    return [Entry.from_row(row) for row in base.execute(queries("audit")[query], values)]


def _text(value: Any) -> Any:
    """The text of a configuration: in a key `text` or `base64`, or, of earlier releases, in base64 alone."""
    encoded = value
    if isinstance(value, dict):
        if "text" in value:
            return value["text"]
        encoded = value.get("base64")
    if not isinstance(encoded, str):
        return value
    try:
        return base64.b64decode("".join(encoded.split()), validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return {"base64": encoded}
