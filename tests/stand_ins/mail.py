"""A mail server on 127.0.0.1 that keeps what it gets and can misbehave on request."""

from __future__ import annotations

import email
import json
import threading
from email.message import EmailMessage
from email.policy import default
from typing import TYPE_CHECKING, Any

from aiosmtpd.controller import Controller

from demo.services import free_port

if TYPE_CHECKING:
    from typing_extensions import Self


class MailServer:
    """A context manager.

    Attributes:
        mails: what was accepted, in order: its recipients and the mail.
        recipients: what it answers to an address, such as `550 no such user`; all others are accepted.
        senders: what it answers to the next senders, in order.
        data: what it answers to the next mails, in order: a reply, or `cut` (accepts it, then ends the connection
            without a word); '' accepts.
    """

    def __init__(self) -> None:
        self.mails: list[tuple[list[str], EmailMessage]] = []
        self.recipients: dict[str, str] = {}
        self.senders: list[str] = []
        self.data: list[str] = []
        self.lock = threading.Lock()
        self._controller = Controller(self, hostname="127.0.0.1", port=free_port(), decode_data=False)

    def __enter__(self) -> Self:
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, port: int) -> None:
        """Take connections again."""
        self._controller = Controller(self, hostname="127.0.0.1", port=port, decode_data=False)
        self._controller.start()

    def stop(self) -> None:
        """Take no connections any more."""
        if self._controller.server is not None:
            self._controller.stop()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._controller.port)

    @property
    def connection(self) -> str:
        """It as a connection of Airflow."""
        extra = {"disable_ssl": True, "disable_tls": True, "timeout": 10, "retry_limit": 0}
        stated = {"conn_type": "smtp", "host": "127.0.0.1", "port": self.port, "extra": extra}
        return json.dumps(stated)

    def texts(self) -> list[str]:
        """The bodies of all mails."""
        return [mail.get_content() for _, mail in self.mails]

    async def handle_MAIL(  # noqa: N802  # aiosmtpd asks for it
        self, _server: Any, _session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        """MAIL FROM."""
        with self.lock:
            reply = self.senders.pop(0) if self.senders else ""
        if reply:
            return reply
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(  # noqa: N802  # likewise
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any
    ) -> str:
        """RCPT TO."""
        reply = self.recipients.get(address, "")
        if reply:
            return reply
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802  # likewise
        """The mail."""
        with self.lock:
            reply = self.data.pop(0) if self.data else ""
        if reply not in {"", "cut"}:
            return reply
        parsed = email.message_from_bytes(envelope.content, policy=default)
        assert isinstance(parsed, EmailMessage)
        self.mails.append((list(envelope.rcpt_tos), parsed))
        if reply == "cut":
            server.transport.abort()
        return "250 OK"
