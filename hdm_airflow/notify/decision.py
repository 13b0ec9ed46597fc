"""Decision: writes what is news into the outbox, for all subscriptions, in one transaction."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hdm_airflow.base import messages, news, subscriptions
from hdm_airflow.notify import words
from hdm_airflow.notify.digest import Digests, is_due
from hdm_airflow.notify.texts import Texts

if TYPE_CHECKING:
    from hdm_airflow.base.hook import BaseConnection
    from hdm_airflow.base.subscriptions import Subscription
    from hdm_airflow.notify.words import Site

_BATCH = 200  # messages that are written at once


@dataclass(frozen=True, kw_only=True)
class Decided:
    """What a decision has done."""

    messages: int
    flawed: Sequence[Subscription]  # nobody could be told


def decide(base: BaseConnection, site: Site, language: str) -> Decided:
    """Decide what is news, and write it into the outbox. Repeated, it finds nothing new; interrupted, it did nothing.

    Args:
        base: a session that holds `messages.alone`.
        site: where the messages come from.
        language: of subscriptions that state none.

    Raises:
        HdmBaseError: if sessions that write events take too long.
    """
    until = news.settle(base)
    with base.transaction():
        subscriptions.begin(base)
        every = subscriptions.listed(base)
        wanted = [one for one in every if not one.flaw]
        found = news.collect(base, until, with_alerts=any(one.filter.asks_alerts for one in wanted))
        digests = Digests(base, found)
        told = []
        batch: list[dict[str, object]] = []
        ascii_only = base.info.parameter_status("server_encoding") != "UTF8"
        texts: dict[str, Texts] = {}
        for one in wanted:
            digest = digests.of(one)
            if is_due(one, digest):
                wish = one.language or language
                text = texts.setdefault(wish, Texts(wish, ascii=ascii_only))
                batch.append(_message(found.digest, one, words.message(digest, one, site, text)))
                told.append(one.id)
            if len(batch) == _BATCH:
                messages.add(base, batch)
                batch.clear()
        messages.add(base, batch)
        subscriptions.told(base, told, found.date)
        news.finish(base, found, len(told))
        messages.expire(base)
    return Decided(messages=len(told), flawed=[one for one in every if one.flaw])


def _message(digest: int, one: Subscription, written: words.Written) -> dict[str, object]:
    return {
        "subscription": one.id,
        "digest": digest,
        "channel": one.channel,
        "key": f"hdm.{digest}.{one.id}.{uuid.uuid4().hex}",
        "subject": written.subject,
        "body": written.body,
        "recipients": list(one.recipients),
    }
