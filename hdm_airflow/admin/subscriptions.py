"""Subscriptions: who is told about which incidents; which addresses everybody may subscribe."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hdm_airflow.base import activation, endpoints, incident_list, subscriptions
from hdm_airflow.base.subscriptions import CLASSES, Channel, Filter, Subscription
from hdm_airflow.errors import ConfigurationError
from hdm_airflow.packs.pack import PREFIX

if TYPE_CHECKING:
    from hdm_airflow.base.hook import BaseConnection

_WHERE = "the subscription"
_LONGEST = 200  # characters of a tag or an owner
_MOST = 100  # recipients


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What a person states of a subscription; None: nothing, '' or (): no such filter any more."""

    recipients: Sequence[str] | None = None
    channel: Channel | None = None
    pack: str | None = None  # basic or rp_basic
    endpoint: str | None = None  # slug, or a database name that only one endpoint has
    level: str | None = None
    alert_class: str | None = None
    tags: Sequence[str] | None = None
    owner: str | None = None
    language: str | None = None
    resolved: bool | None = None
    heartbeat: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A subscription, and what of its messages was not delivered."""

    subscription: Subscription
    undelivered: list[dict[str, Any]]  # recipient, state (waiting, refused), messages, since and reason


def listed(base: BaseConnection) -> list[Listed]:
    """Read every subscription."""
    deliveries = subscriptions.deliveries(base)
    return [Listed(subscription=one, undelivered=deliveries.get(one.id, [])) for one in subscriptions.listed(base)]


def find(base: BaseConnection, number: int) -> Subscription:
    """Find a subscription.

    Raises:
        ConfigurationError: if there is none with this id.
    """
    found = subscriptions.listed(base, [number])
    if not found:
        hint = "list them: airflow hdm subscriptions list"
        raise ConfigurationError(f"there is no subscription {number}", "hdm_core_mail_list", hint)
    return found[0]


def add(base: BaseConnection, wish: Wish, *, actor: str, is_writer: bool = True) -> int:
    """Add a subscription; its id.

    Args:
        base: the connection.
        wish: what the person states.
        actor: who does it.
        is_writer: whether the person may change things; others may subscribe only what a writer has allowed.

    Raises:
        ConfigurationError: if something about it is wrong, or not allowed.
    """
    one = _wished(base, Subscription(recipients=()), wish)
    _check(base, one, is_writer=is_writer)
    return subscriptions.add(base, one, actor=actor)


def change(base: BaseConnection, number: int, wish: Wish, *, actor: str, is_writer: bool = True) -> bool:
    """Change what is stated of a subscription, with the arguments of `add`; whether that changes anything.

    Raises:
        ConfigurationError: if there is none, or something about it is wrong or not allowed.
    """
    old = find(base, number)
    new = replace(_wished(base, old, wish), flaw="")
    _check(base, new, is_writer=is_writer)
    if new == old:
        return False
    subscriptions.change(base, old, new, actor=actor)
    return True


def remove(base: BaseConnection, one: Subscription, *, actor: str) -> int:
    """Remove a subscription; how many messages that wait are not sent any more."""
    return subscriptions.remove(base, one, actor=actor)


def allow(base: BaseConnection, pattern: str, *, actor: str) -> bool:
    """Let everybody subscribe an address, or all of a domain (`@hospital.example`); whether that is new.

    Raises:
        ConfigurationError: if it is neither.
    """
    return subscriptions.allow(base, _pattern(pattern), actor=actor)


def disallow(base: BaseConnection, pattern: str, *, actor: str) -> bool:
    """Let them no longer; whether it was allowed. Subscriptions stay."""
    return subscriptions.disallow(base, _pattern(pattern), actor=actor)


def is_allowed(base: BaseConnection, address: str) -> bool:
    """Whether everybody may subscribe an address: it, or its domain, is on the list."""
    wanted = address.lower()
    patterns = {row["pattern"] for row in subscriptions.allowed(base)}
    return wanted in patterns or f"@{wanted.rpartition('@')[2]}" in patterns


def _pattern(text: str) -> str:
    pattern = text.strip().lower()
    address = f"x{pattern}" if pattern.startswith("@") else pattern
    if not subscriptions.is_address(address):
        what = f"{text!r} is neither an address nor a domain"
        raise ConfigurationError(what, "hdm_mail_allowed", "write ward@hospital.example, or @hospital.example")
    return pattern


def _wished(base: BaseConnection, old: Subscription, wish: Wish) -> Subscription:
    changes: dict[str, Any] = {
        "channel": wish.channel,
        "recipients": None if wish.recipients is None else subscriptions.split(" ".join(wish.recipients)),
        "language": wish.language,
        "resolved": wish.resolved,
        "heartbeat": wish.heartbeat,
    }
    filters: dict[str, Any] = {
        "pack": _pack(base, wish.pack) if wish.pack else wish.pack,
        "endpoint": endpoints.find_slug(base, wish.endpoint) if wish.endpoint else wish.endpoint,
        "level": wish.level,
        "classes": None if wish.alert_class is None else tuple(filter(None, [wish.alert_class])),
        "tags": None if wish.tags is None else tuple(dict.fromkeys(one.strip() for one in wish.tags if one.strip())),
        "owner": None if wish.owner is None else wish.owner.strip(),
    }
    emptied = {name for name in ("pack", "endpoint", "owner") if filters[name] == ""}
    stated: dict[str, Any] = {
        name: None if name in emptied else value for name, value in filters.items() if value is not None
    }
    return replace(
        old,
        **{name: value for name, value in changes.items() if value is not None},
        filter=replace(old.filter, **stated),
    )


def _pack(base: BaseConnection, text: str) -> str:
    active = {name for kind, name, _ in activation.activated(base) if kind == "rule"}
    known = active | set(incident_list.rule_packs(base))
    for name in (text, text.removeprefix(PREFIX["rule"])):
        if name in known:
            return name
    names = ", ".join(f"{PREFIX['rule']}{name}" for name in sorted(known)) or "none"
    what = f"no rule pack {text!r} is activated or has incidents"
    raise ConfigurationError(what, _WHERE, f"the rule packs are: {names}")


def _check(base: BaseConnection, one: Subscription, *, is_writer: bool) -> None:
    """Check that people can be told, and may be.

    Raises:
        ConfigurationError: if not.
    """
    if not one.recipients:
        raise ConfigurationError("the subscription has no address", _WHERE, "give at least one")
    if len(one.recipients) > _MOST:
        hint = f"make several subscriptions, each with at most {_MOST}"
        raise ConfigurationError(f"the subscription has {len(one.recipients)} addresses", _WHERE, hint)
    if one.channel == "mail":
        _check_addresses(base, one.recipients, is_writer=is_writer)
    else:
        _check_connection(one.recipients, is_writer=is_writer)
    _check_words(one.filter)


def _check_addresses(base: BaseConnection, addresses: Sequence[str], *, is_writer: bool) -> None:
    for address in addresses:
        if not subscriptions.is_address(address):
            hint = "write it as name@hospital.example; only ASCII, since not all mail servers take others"
            raise ConfigurationError(f"{address!r} is no mail address", _WHERE, hint)
        if not is_writer and not is_allowed(base, address):
            hint = "ask somebody who may change the configuration to allow it, or its domain"
            raise ConfigurationError(f"{address} is not among the addresses that everybody may subscribe", _WHERE, hint)


def _check_connection(recipients: Sequence[str], *, is_writer: bool) -> None:
    if not is_writer:
        what = "only somebody who may change the configuration can subscribe a connection"
        raise ConfigurationError(what, _WHERE, "subscribe a mail address")
    if len(recipients) > 1 or not subscriptions.is_connection(recipients[0]):
        hint = "write the id of one connection of Airflow; the address of the service is a secret, and stays there"
        raise ConfigurationError("a service needs exactly one connection", _WHERE, hint)


def _check_words(wanted: Filter) -> None:
    if wrong := [one for one in wanted.classes if one not in CLASSES]:
        raise ConfigurationError(f"there is no class {wrong[0]!r}", _WHERE, f"the classes are: {', '.join(CLASSES)}")
    for word in (*wanted.tags, wanted.owner or ""):
        if len(word) > _LONGEST or re.search(r"[\x00-\x1f\ud800-\udfff]", word):
            what = f"a tag or owner is too long (more than {_LONGEST} characters) or not valid text"
            raise ConfigurationError(what, _WHERE, "write it as the rule has it")
