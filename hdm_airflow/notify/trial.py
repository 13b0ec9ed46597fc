"""Trial: sends a message to one subscription at once, past the outbox."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from hdm_airflow.base.messages import Delivery, Message
from hdm_airflow.notify import words
from hdm_airflow.notify.channel import ChannelDownError
from hdm_airflow.notify.notifier import channels
from hdm_airflow.notify.texts import Texts

if TYPE_CHECKING:
    from hdm_airflow.base.subscriptions import Subscription
    from hdm_airflow.notify.words import Site
    from hdm_airflow.settings import NotifyOptions


def send(one: Subscription, site: Site, options: NotifyOptions) -> Mapping[str, Delivery]:
    """Send a test message; what became of it, per recipient.

    Args:
        one: the subscription; it has no flaw.
        site: where the message comes from.
        options: the setting `notify`.
    """
    written = words.trial(one, site, Texts(one.language or options.language))
    recipients = list(one.recipients)
    message = Message(
        id=0,
        subscription=one.id,
        at=datetime.now(timezone.utc),
        channel=one.channel,
        key=f"hdm.test.{one.id}.{uuid.uuid4().hex}",
        subject=written.subject,
        body=written.body,
        every=recipients,
        waiting=recipients,
    )
    sender = channels(options).get(one.channel)
    if sender is None:
        return dict.fromkeys(recipients, Delivery(state="waiting", reason="the setting notify has no smtp_conn_id"))
    try:
        with sender:
            return sender.send(message)
    except ChannelDownError as error:
        return dict.fromkeys(recipients, Delivery(state="waiting", reason=error.reason))
