"""Channel: what sends a message, and how it says that it cannot send anything now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from typing_extensions import Self

    from hdm_airflow.base.messages import Delivery, Message

_LONGEST = 200  # characters of a server's answer


class ChannelDownError(Exception):
    """Nothing can be sent on a channel now, whatever the message: all of it waits.

    Args:
        reason: why, in one line; no secret.
        seconds: after which the server wants to be asked again; None: it did not say.
    """

    def __init__(self, reason: str, seconds: float | None = None) -> None:
        super().__init__(reason, seconds)
        self.reason = reason
        self.seconds = seconds


class Sender(Protocol):
    """An open channel; a context manager, which closes it."""

    def __enter__(self) -> Self:
        """Nothing is connected before the first message."""
        ...

    def __exit__(self, *_: object) -> None:
        """Close what is open."""
        ...

    def send(self, message: Message) -> Mapping[str, Delivery]:
        """Send a message to all for whom it waits.

        Returns:
            What became of it, per recipient.

        Raises:
            ChannelDownError: if it could be sent to nobody, for a reason that other messages have too.
        """
        ...


def answer(code: int, text: bytes | str) -> str:
    """What a server has answered, in one line."""
    from hdm_airflow.printable import printable

    words = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return printable(f"{code} {' '.join(words.split())}")[:_LONGEST].strip()
