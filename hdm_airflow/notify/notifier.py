"""Notifier: decides what is news, then sends what waits in the outbox. Every step can be repeated.

Each message is sent before its delivery is kept. Killed in between, it is sent again, with the same key: at least once.
Killed anywhere else, nothing doubles. What a channel cannot take now waits for the next run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hdm_airflow.base import messages
from hdm_airflow.notify import decision
from hdm_airflow.notify.channel import ChannelDownError
from hdm_airflow.notify.mail import Mail
from hdm_airflow.notify.services import Services

if TYPE_CHECKING:
    from hdm_airflow.base.hook import BaseConnection
    from hdm_airflow.base.messages import Message, Waiting
    from hdm_airflow.base.subscriptions import Subscription
    from hdm_airflow.notify.channel import Sender
    from hdm_airflow.notify.words import Site
    from hdm_airflow.settings import NotifyOptions

_PATIENCE = 60.0  # seconds in all that a run waits for servers that ask for it


@dataclass(kw_only=True)
class Notified:
    """What a run has done, and what is left."""

    decided: int = 0  # messages
    sent: int = 0  # messages to at least one recipient
    refused: list[str] = field(default_factory=list)  # recipients, each with the server's answer
    flawed: Sequence[Subscription] = ()  # nobody could be told
    waiting: Sequence[Waiting] = ()


def notify(
    base: BaseConnection, site: Site, options: NotifyOptions, *, sleep: Callable[[float], Any] = time.sleep
) -> Notified:
    """Decide what is news, and send what waits.

    Args:
        base: a session of the owner, in autocommit mode.
        site: where the messages come from.
        options: the setting `notify`.
        sleep: waits some seconds.

    Raises:
        HdmBaseError: if the base cannot be used; nothing is lost.
    """
    with messages.alone(base):
        decided = decision.decide(base, site, options.language)
        done = Notified(decided=decided.messages, flawed=decided.flawed)
        with ExitStack() as stack:
            senders = {name: stack.enter_context(one) for name, one in channels(options).items()}
            _Run(base, senders, done, sleep).send_all()
        done.waiting = messages.waiting(base)
    return done


def channels(options: NotifyOptions) -> dict[str, Sender]:
    """The channels, not connected yet."""
    found: dict[str, Sender] = {"apprise": Services()}
    if options.smtp_conn_id:
        found["mail"] = Mail(options.smtp_conn_id, options.sender)
    return found


class _Run:
    """One pass over what waits."""

    def __init__(
        self, base: BaseConnection, senders: Mapping[str, Sender], done: Notified, sleep: Callable[[float], Any]
    ) -> None:
        self._base = base
        self._senders = senders
        self._done = done
        self._sleep = sleep
        self._patience = _PATIENCE
        self._down: dict[tuple[str, str | None], str] = {}  # channel, or one connection of it -> why

    def send_all(self) -> None:
        """Try everything that is due, the oldest first."""
        for number in messages.due(self._base):
            message = messages.read(self._base, number)
            if message is not None:
                self._try(message)

    def _try(self, message: Message) -> None:
        key = (message.channel, None if message.channel == "mail" else message.waiting[0])
        while key not in self._down:
            try:
                deliveries = self._sender(message).send(message)
            except ChannelDownError as error:
                if not self._waited(error.seconds):
                    self._down[key] = error.reason
                    messages.postpone(self._base, *key, error.seconds or 0, error.reason)
                continue
            messages.record(self._base, message.id, deliveries)
            self._done.sent += any(one.state == "sent" for one in deliveries.values())
            self._done.refused += [
                f"{recipient}: {one.reason}" for recipient, one in deliveries.items() if one.state == "refused"
            ]
            return

    def _sender(self, message: Message) -> Sender:
        found = self._senders.get(message.channel)
        if found is None:
            raise ChannelDownError("the setting notify has no smtp_conn_id")
        return found

    def _waited(self, seconds: float | None) -> bool:
        """Wait as long as a server asks, if that is not too long."""
        if seconds is None or seconds > self._patience:
            return False
        self._patience -= max(seconds, 1)
        self._sleep(seconds)
        return True
