"""Messages: the outbox. A message is written in the transaction that decides it; what became of it, per recipient."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from hdm_airflow.base.queries import queries
from hdm_airflow.errors import HdmBaseError

if TYPE_CHECKING:
    from hdm_airflow.base.hook import BaseConnection
    from hdm_airflow.base.subscriptions import Channel

State = Literal["waiting", "sent", "refused"]
#: Days that a message is kept which nobody waits for.
DAYS = 90
_LONGEST = 500  # characters of a reason
_PATIENCE = 60.0  # seconds for another session that decides or sends
_PAUSE = 0.05  # seconds between two looks


@dataclass(frozen=True, kw_only=True)
class Message:
    """A message of the outbox."""

    id: int
    subscription: int
    at: datetime  # when it was decided
    channel: Channel
    key: str  # the same at each try
    subject: str
    body: str
    every: list[str]  # all recipients
    waiting: list[str]  # for whom it waits; not none


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """What became of a message for one recipient."""

    state: State
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """Messages that were not sent."""

    channel: str
    reason: str
    messages: int
    since: datetime
    not_before: datetime | None


@contextmanager
def alone(base: BaseConnection, patience: float = _PATIENCE) -> Iterator[None]:
    """Keep out other sessions that decide or send.

    Raises:
        HdmBaseError: if another one takes longer than `patience` seconds.
    """
    until = time.monotonic() + patience
    while not _locked(base):
        if time.monotonic() > until:
            hint = "nothing is lost: the other one sends what is there, and the next run what is left"
            raise HdmBaseError("another task is sending messages of this HDM base", "HDM base", hint)
        time.sleep(_PAUSE)
    try:
        yield
    finally:
        if not base.closed:
            base.execute(queries("messages")["unlock"])


def add(base: BaseConnection, every: Sequence[Mapping[str, Any]]) -> None:
    """Put messages into the outbox, within the transaction that decides them.

    Args:
        base: the connection.
        every: subscription, digest, channel, key, subject, body and recipients of each.
    """
    with base.cursor() as cursor:
        cursor.executemany(queries("messages")["add"], every)


def due(base: BaseConnection) -> list[int]:
    """Read the ids of messages that can be tried now, the oldest first."""
    return [row["message"] for row in base.execute(queries("messages")["due"])]


def read(base: BaseConnection, number: int) -> Message | None:
    """Read a message; None if nobody waits for it any more."""
    row = base.execute(queries("messages")["read"], {"id": number}).fetchone()
    return Message(**row) if row and row["waiting"] else None


def record(base: BaseConnection, number: int, deliveries: Mapping[str, Delivery]) -> None:
    """Keep what became of a message, per recipient. Who has got it or was refused for good is never asked again."""
    values = {
        "id": number,
        "recipients": list(deliveries),
        "states": [one.state for one in deliveries.values()],
        "reasons": [one.reason[:_LONGEST] for one in deliveries.values()],
    }
    base.execute(queries("messages")["record"], values)


def postpone(base: BaseConnection, channel: str, recipient: str | None, seconds: float, reason: str) -> None:
    """Try nothing that waits on a channel before so many seconds are over.

    Args:
        base: the connection.
        channel: mail or apprise.
        recipient: only what waits for it; None: everything on the channel.
        seconds: from now on.
        reason: why.
    """
    values = {"channel": channel, "recipient": recipient, "seconds": seconds, "reason": reason[:_LONGEST]}
    base.execute(queries("messages")["postpone"], values)


def waiting(base: BaseConnection) -> Sequence[Waiting]:
    """Read what waits, by channel and reason."""
    return [Waiting(**row) for row in base.execute(queries("messages")["waiting"])]


def expire(base: BaseConnection) -> int:
    """Remove old messages that nobody waits for; their number."""
    return base.execute(queries("messages")["expire"], {"days": DAYS}).rowcount


def _locked(base: BaseConnection) -> bool:
    row = base.execute(queries("messages")["lock"]).fetchone()
    return bool(row and row["locked"])
