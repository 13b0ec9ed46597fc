"""Incident actions: what people do with incidents. Each is an event with its actor, and a row of the audit trail.

All of them change the columns of people only, except `accept` and `close`, which also end the incident as a derivation
does when it comes to that metric date again. An action changes all incidents that it names, or none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hdm_airflow.base import incident_lock
from hdm_airflow.base.audit import record
from hdm_airflow.base.queries import queries
from hdm_airflow.errors import ConfigurationError

if TYPE_CHECKING:
    from datetime import date

    from hdm_airflow.base.hook import BaseConnection

_WHERE = "hdm_incident"
_LONGEST = 2000  # characters of a comment
_LONGEST_NAME = 200
_NAMED = 5  # incidents in an error
_LISTED = 50  # ids in a row of the audit trail


def acknowledge(base: BaseConnection, ids: Sequence[int], *, actor: str, comment: str | None = None) -> int:
    """Record that somebody has seen open incidents. It ends with them, and does not change what is acknowledged.

    Args:
        base: the connection, in autocommit mode.
        ids: of the incidents.
        actor: the user's name.
        comment: an event of its own, also of those that are not changed.

    Returns:
        The number of incidents that this has changed.

    Raises:
        ConfigurationError: if an id is unknown, an incident is not open, or the comment is empty: nothing has changed.
    """
    return _act(base, "acknowledge", "acknowledged", ids, actor=actor, comment=comment, opens="acknowledged")


def assign(base: BaseConnection, ids: Sequence[int], assignee: str, *, actor: str, comment: str | None = None) -> int:
    """Assign incidents to `assignee` ('': to nobody), with the arguments of `acknowledge`."""
    assignee = _checked(assignee, "the assignee", _LONGEST_NAME, empty=True)
    more = {"assignee": assignee}
    return _act(base, "assign", "assigned", ids, actor=actor, comment=comment, detail=assignee, more=more)


def add_comment(base: BaseConnection, ids: Sequence[int], comment: str, *, actor: str) -> int:
    """Write a comment into the history of incidents, with the arguments of `acknowledge`."""
    text = check_comment(comment)
    return _act(base, "comment", "commented", ids, actor=actor, comment=None, detail=text)


def mute(
    base: BaseConnection, ids: Sequence[int], until: date | None, *, actor: str, comment: str | None = None
) -> int:
    """Send no messages of incidents, with the arguments of `acknowledge`.

    `until` is the last metric date without messages, and must be to come. None: until the incident, which must be open,
    is resolved.
    """
    detail = f"until {until}" if until else "until it is resolved"
    return _act(
        base,
        "mute",
        "muted",
        ids,
        actor=actor,
        comment=comment,
        detail=detail,
        opens=None if until else "muted until they are resolved",
        more={"until": until},
    )


def unmute(base: BaseConnection, ids: Sequence[int], *, actor: str, comment: str | None = None) -> int:
    """Send messages of incidents again, with the arguments of `acknowledge`."""
    return _act(base, "unmute", "unmuted", ids, actor=actor, comment=comment)


def accept(base: BaseConnection, ids: Sequence[int], *, actor: str, comment: str | None = None) -> int:
    """Close open incidents as correct from now on, with the arguments of `acknowledge`."""
    more = {"closed_as": "accepted"}
    return _act(base, "end", "accepted", ids, actor=actor, comment=comment, opens="accepted", more=more)


def close(base: BaseConnection, ids: Sequence[int], *, actor: str, comment: str | None = None) -> int:
    """Close open incidents by hand, with the arguments of `acknowledge`. Found again, they are reopened."""
    more = {"closed_as": "by hand"}
    return _act(base, "end", "closed", ids, actor=actor, comment=comment, opens="closed", more=more)


def check_comment(text: str) -> str:
    """The comment without white space around it.

    Raises:
        ConfigurationError: if it is empty or too long, or no text.
    """
    return _checked(text, "the comment", _LONGEST)


def _act(
    base: BaseConnection,
    query: str,
    kind: str,  # of the event
    ids: Sequence[int],
    *,
    actor: str,
    comment: str | None,
    detail: str = "",  # of the event
    opens: str | None = None,  # what only open incidents can be; None: any state will do
    more: dict[str, Any] | None = None,  # parameters of the query
) -> int:
    note = "" if comment is None else check_comment(comment)
    values = {"ids": list(ids), "actor": actor, "kind": kind, "detail": detail, "comment": note, **(more or {})}
    with base.transaction():
        _collect(base, values)
        _check(base, opens, values.get("until"))
        action = queries("incident_actions")[query] + queries("incident_actions")["told"]
        changed: int = sum(row["changed"] for row in base.execute(action, values, prepare=False))
        if changed or note:
            new = {"incidents": changed, "detail": detail, "comment": note}
            record(base, actor, f"incident {kind}", _item(ids), None, {key: one for key, one in new.items() if one})
    return changed


def _collect(base: BaseConnection, values: dict[str, Any]) -> None:
    """Lock the incidents and read them into a temporary table, which all that follows joins: one look-up of each."""
    statements = queries("incident_actions")
    base.execute(queries("incident_list")["tune"])
    base.execute(statements["tables"])
    base.execute(statements["ids"], values)
    base.execute("ANALYZE action_id")
    for row in base.execute(statements["packs"]).fetchall():
        incident_lock.take(base, row["rule_pack"])  # sorted, or two sessions would wait for each other
    base.execute(statements["wanted"])
    base.execute("ANALYZE action_wanted")


def _check(base: BaseConnection, opens: str | None, until: date | None) -> None:
    """Check that all incidents can be changed.

    Raises:
        ConfigurationError: if one cannot.
    """
    statements = queries("incident_actions")
    missing = base.execute(statements["missing"]).fetchall()
    if missing:
        what = f"there is no incident {_named([str(row['id']) for row in missing])}"
        raise ConfigurationError(what, _WHERE, "list them: airflow hdm incidents list --state all")
    others = base.execute(statements["not_open"]).fetchall() if opens else []
    if others:
        names = _named([f"{row['id']} ({_state(row)})" for row in others])
        what = f"only open incidents can be {opens}; not open: {names}"
        raise ConfigurationError(what, _WHERE, f"look at one: airflow hdm incidents show {others[0]['id']}")
    newest = base.execute(statements["newest"]).fetchone()
    if until and newest and newest["newest"] and until <= newest["newest"]:
        what = f"{until} is not after {newest['newest']}, the newest metric date: nothing would be muted"
        raise ConfigurationError(what, _WHERE, "choose a later date")


def _state(row: dict[str, Any]) -> str:
    return f"{row['state']}{' as ' + row['closed_as'] if row['closed_as'] else ''} on {row['ended_on']}"


def _named(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more:,} more" if more > 0 else "")


def _item(ids: Sequence[int]) -> str:
    if len(ids) > _LISTED:
        return f"{_WHERE}: {len(ids):,} of them"
    return f"{_WHERE} {', '.join(map(str, ids))}"


def _checked(text: str, name: str, longest: int, *, empty: bool = False) -> str:
    """The text without white space around it.

    Raises:
        ConfigurationError: if it is empty or too long, or no text.
    """
    text = text.strip()
    if not text and not empty:
        raise ConfigurationError(f"{name} is empty", _WHERE, "write what others should know")
    if len(text) > longest:
        raise ConfigurationError(f"{name} has {len(text):,} characters", _WHERE, f"write at most {longest:,}")
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ConfigurationError(f"{name} is not valid text", _WHERE, "write it in UTF-8")
    return text
