"""Subscriptions: who is told about which incidents. Rows of the original are read as they are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Literal

from hdm_airflow.base.alerts import LEVELS
from hdm_airflow.base.audit import record
from hdm_airflow.base.endpoints import canonical
from hdm_airflow.base.queries import queries
from hdm_airflow.packs.pack import PREFIX

if TYPE_CHECKING:
    from hdm_airflow.base.hook import BaseConnection

Channel = Literal["mail", "apprise"]
#: Classes of alerts, as rule packs write them.
CLASSES = ("METRIQUE", "METRICCOMPARE", "DATA", "SCHEMA")

_TABLE = "hdm_core_mail_list"
_METRIC_TYPES = {"mp", "metric", "metric pack", "metric-pack", "metric_pack", "hdm-metric-pack"}
#: As mail servers on the way accept it: ASCII, no quotes, one @.
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_CONNECTION = re.compile(r"[\w#!()\-.:/\\]{1,250}")
_KEYS = {"level": "level", "alert_level": "level", "class": "class", "alert_class": "class"}
_MOST_RECIPIENTS = 100


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Which incidents: all that is stated must hold."""

    pack: str | None = None  # name of the rule pack
    endpoint: str | None = None  # slug
    level: str = LEVELS[-1]  # this one and all that are more severe
    classes: tuple[str, ...] = ()  # one of these; (): any
    tags: tuple[str, ...] = ()  # all of these
    owner: str | None = None

    @property
    def asks_alerts(self) -> bool:
        """Whether only the alert of an incident says if it is meant."""
        return bool(self.classes or self.tags or self.owner is not None)


@dataclass(frozen=True, kw_only=True)
class Subscription:
    """Who is told what."""

    id: int = 0  # 0: not stored yet
    channel: Channel = "mail"
    recipients: tuple[str, ...]  # addresses; of apprise, one connection
    filter: Filter = field(default_factory=Filter)
    language: str | None = None  # None: of the setting
    resolved: bool = True
    heartbeat: bool = False
    since: datetime | None = None
    told_on: date | None = None
    flaw: str = ""  # why nobody can be told; '' if nothing is wrong


def listed(base: BaseConnection, ids: Sequence[int] | None = None) -> list[Subscription]:
    """Read subscriptions in the order of their ids, also those of the original."""
    rows = base.execute(queries("subscriptions")["all"], {"ids": None if ids is None else list(ids)})
    return [_read(row) for row in rows]


def add(base: BaseConnection, one: Subscription, *, actor: str) -> int:
    """Store a new subscription; its id."""
    with base.transaction():
        row = base.execute(queries("subscriptions")["add"], _values(one)).fetchone()
        assert row is not None  # noqa: S101  # RETURNING gives a row
        found: int = row["id"]
        record(base, actor, "subscription add", f"{_TABLE} {found}", None, stated(one))
    return found


def change(base: BaseConnection, old: Subscription, new: Subscription, *, actor: str) -> None:
    """Store another state of a subscription."""
    with base.transaction():
        base.execute(queries("subscriptions")["lock"], {"id": old.id})
        base.execute(queries("subscriptions")["change"], {**_values(new), "id": old.id})
        record(base, actor, "subscription change", f"{_TABLE} {old.id}", stated(old), stated(new))


def remove(base: BaseConnection, one: Subscription, *, actor: str) -> int:
    """Remove a subscription. Messages that wait are not sent any more; their number."""
    with base.transaction():
        base.execute(queries("subscriptions")["remove"], {"id": one.id})
        count = base.execute(queries("messages")["withdraw"], {"subscription": one.id}).rowcount
        record(base, actor, "subscription remove", f"{_TABLE} {one.id}", stated(one), None)
    return count


def begin(base: BaseConnection) -> None:
    """Let rows begin that no digest has seen yet."""
    base.execute(queries("subscriptions")["begin"])


def told(base: BaseConnection, ids: Iterable[int], metric_date: date | None) -> None:
    """Keep which metric date the newest message of these subscriptions is about."""
    base.execute(queries("subscriptions")["told"], {"ids": list(ids), "date": metric_date})


def allowed(base: BaseConnection) -> list[dict[str, Any]]:
    """Read which addresses everybody may subscribe: rows of hdm_mail_allowed."""
    return base.execute(queries("subscriptions")["allowed"]).fetchall()


def allow(base: BaseConnection, pattern: str, *, actor: str) -> bool:
    """Allow an address or a domain; whether that is new."""
    return _set_allowed(base, "allow", pattern, actor)


def disallow(base: BaseConnection, pattern: str, *, actor: str) -> bool:
    """Allow it no longer; whether it was allowed."""
    return _set_allowed(base, "disallow", pattern, actor)


def deliveries(base: BaseConnection) -> dict[int, list[dict[str, Any]]]:
    """Read what waits or was refused, by subscription: recipient, state, messages, since and reason."""
    found: dict[int, list[dict[str, Any]]] = {}
    for row in base.execute(queries("subscriptions")["deliveries"]):
        found.setdefault(row.pop("subscription"), []).append(row)
    return found


def is_address(text: str) -> bool:
    """Whether it is a mail address that we can send to."""
    return bool(_ADDRESS.fullmatch(text)) and ".." not in text


def is_connection(text: str) -> bool:
    """Whether it can be the id of a connection in Airflow."""
    return bool(_CONNECTION.fullmatch(text))


def split(text: str) -> tuple[str, ...]:
    """The recipients in a text, each once."""
    return tuple(dict.fromkeys(part for part in re.split(r"[\s,;]+", text) if part))


def stated(one: Subscription) -> dict[str, Any]:
    """What a person states of it, for the audit trail and for programs."""
    found = {**asdict(one), "recipients": list(one.recipients), "filter": _filters(one.filter)}
    return {key: found[key] for key in ("channel", "recipients", "filter", "language", "resolved", "heartbeat")}


def _set_allowed(base: BaseConnection, query: str, pattern: str, actor: str) -> bool:
    with base.transaction():
        values = {"pattern": pattern, "actor": actor}
        changed = bool(base.execute(queries("subscriptions")[query], values).rowcount)
        if changed:
            before, after = (None, pattern) if query == "allow" else (pattern, None)
            record(base, actor, f"address {query}", f"hdm_mail_allowed {pattern}", before, after)
    return changed


def _values(one: Subscription) -> dict[str, Any]:
    more = {key: value for key, value in _filters(one.filter).items() if key not in {"pack", "endpoint"}}
    return {
        "mail": ", ".join(one.recipients),
        "key": one.filter.pack,
        "db_key": one.filter.endpoint,
        "filters": json.dumps(more, ensure_ascii=False) if more else None,
        "channel": one.channel,
        "language": one.language,
        "resolved": one.resolved,
        "heartbeat": one.heartbeat,
    }


def _filters(one: Filter) -> dict[str, Any]:
    found = {
        "pack": one.pack,
        "endpoint": one.endpoint,
        "level": None if one.level == LEVELS[-1] else one.level,
        "class": list(one.classes),
        "tags": list(one.tags),
        "owner": one.owner,
    }
    return {key: value for key, value in found.items() if value not in (None, [])}


# Reading -------------------------------------------------------------------------------------------------------------


class _FlawError(Exception):
    """What is wrong with a row."""


def _read(row: dict[str, Any]) -> Subscription:
    recipients = split(row["mail"] or "")
    common: dict[str, Any] = {
        name: row[name] for name in ("id", "channel", "language", "resolved", "heartbeat", "since", "told_on")
    }
    try:
        _check_recipients(row, recipients)
        pack = (row["key"] or "").strip().removeprefix(PREFIX["rule"])
        slug = (row["db_key"] or "").strip()
        found = Filter(pack=pack or None, endpoint=canonical(slug) if slug else None, **_stored(row["filters"]))
    except _FlawError as flaw:
        return Subscription(**common, recipients=recipients, flaw=str(flaw))
    return Subscription(**common, recipients=recipients, filter=found)


def _check_recipients(row: dict[str, Any], recipients: Sequence[str]) -> None:
    if (row["type"] or "").strip().lower() in _METRIC_TYPES:
        raise _FlawError("it is of a metric pack: only rule packs raise alerts")
    if not recipients:
        raise _FlawError("it has no address")
    if len(recipients) > _MOST_RECIPIENTS:
        raise _FlawError(f"it has {len(recipients)} addresses, more than {_MOST_RECIPIENTS}")
    is_valid = is_address if row["channel"] == "mail" else is_connection
    if row["channel"] == "apprise" and len(recipients) > 1:
        raise _FlawError("it has several connections: each needs a subscription of its own")
    wrong = [one for one in recipients if not is_valid(one)]
    if wrong:
        raise _FlawError(f"{wrong[0]!r} is no {'mail address' if row['channel'] == 'mail' else 'connection'}")


def _stored(text: str | None) -> dict[str, Any]:
    """The filters of a row: our JSON object, or what the original's have been seen to be.

    That is a list of words, in JSON or separated by commas, each a level or a class, also as `alert_level=High`; or a
    list of objects with these keys. Several levels mean the least severe of them and all above; several classes any of
    them.
    """
    if not (text or "").strip():
        return {}
    try:
        value = json.loads(text or "")
    except (ValueError, RecursionError):
        value = split((text or "").replace('"', "").replace("'", ""))
    levels: list[str] = []
    found: dict[str, Any] = {}
    classes: list[str] = []
    for key, one in _pairs(value):
        name = _KEYS.get(key.lower(), key.lower())
        if name == "level" or (not name and one.capitalize() in LEVELS):
            levels.append(_among(one.capitalize(), LEVELS, "level"))
        elif name == "class" or (not name and one.upper() in CLASSES):
            classes.append(one.upper())
        elif name == "tags":
            found["tags"] = (*found.get("tags", ()), one)
        elif name == "owner":
            found["owner"] = one
        else:
            raise _FlawError(f"the filter {key or one!r} is unknown")
    if levels:
        found["level"] = max(levels, key=LEVELS.index)
    return {**found, "classes": tuple(dict.fromkeys(classes))}


def _pairs(value: Any) -> Iterable[tuple[str, str]]:
    """Key and value of each filter; the key is '' if a word stands alone."""
    if isinstance(value, dict):
        for key, one in value.items():
            for each in one if isinstance(one, list) else [one]:
                if not isinstance(each, str):
                    raise _FlawError(f"the filter {key!r} is no text")
                yield key, each
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _pairs(one)
    elif isinstance(value, str):
        key, sign, one = value.partition("=")
        yield (key.strip(), one.strip("= ")) if sign else ("", value.strip())
    else:
        raise _FlawError(f"the filter {value!r} is no text")


def _among(value: str, known: Sequence[str], noun: str) -> str:
    if value not in known:
        raise _FlawError(f"{value!r} is no {noun}")
    return value
