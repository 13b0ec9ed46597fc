"""Mail: sends messages over the connection that Airflow's SmtpHook opens, and checks the answer for each recipient.

The hook's own way of sending drops which recipients were refused, and tries again after any error: a mail may double.
"""

from __future__ import annotations

import smtplib
from collections.abc import Mapping
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from typing import TYPE_CHECKING

from hdm_airflow.base.messages import Delivery
from hdm_airflow.base.subscriptions import is_address
from hdm_airflow.notify.channel import ChannelDownError, answer

if TYPE_CHECKING:
    from typing_extensions import Self

    from hdm_airflow.base.messages import Message

_OK = (250, 251)
_FOR_GOOD = 500  # replies from here on are final
_CLOSING = 421  # the server ends the session
_LOGIN = 530  # it wants a login first
_CUT = "the connection was cut after the mail was sent: it may have arrived"


class Mail:
    """An open mail channel.

    Args:
        conn_id: an Airflow connection of type smtp.
        sender: the address in From; '': the connection's `from_email`.
    """

    def __init__(self, conn_id: str, sender: str = "") -> None:
        self._conn_id = conn_id
        self._sender = sender
        self._client: smtplib.SMTP | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        client, self._client = self._client, None
        if client is not None:
            try:
                client.quit()
            except (OSError, smtplib.SMTPException):
                client.close()

    def send(self, message: Message) -> Mapping[str, Delivery]:
        """Send a mail to all for whom it waits, in one transaction of SMTP.

        Raises:
            ChannelDownError: if the server cannot be reached, refuses login or sender, or ends the session.
        """
        client = self._connected()
        try:
            return self._send(client, message)
        except (OSError, smtplib.SMTPException) as error:
            self._drop()
            raise ChannelDownError(f"mail server: {_words(error)}") from None

    def _send(self, client: smtplib.SMTP, message: Message) -> dict[str, Delivery]:
        address = parseaddr(self._sender)[1]
        code, reply = client.mail(address)
        if code not in _OK:
            self._drop()
            raise ChannelDownError(f"mail server refuses the sender {address}: {answer(code, reply)}")
        found: dict[str, Delivery] = {}
        accepted: list[str] = []
        for recipient in message.waiting:
            code, reply = client.rcpt(recipient)
            if code in {_CLOSING, _LOGIN}:
                raise smtplib.SMTPResponseException(code, reply)
            if code in _OK:
                accepted.append(recipient)
            else:
                found[recipient] = _refused(code, reply)
        if not accepted:
            client.rset()
            return found
        return found | dict.fromkeys(accepted, self._data(client, message))

    def _data(self, client: smtplib.SMTP, message: Message) -> Delivery:
        content = written(message, self._sender).as_bytes()
        try:
            code, reply = client.data(content)
        except smtplib.SMTPDataError as error:  # before anything was sent
            code, reply = error.smtp_code, _bytes(error.smtp_error)
            client.rset()
        except (OSError, smtplib.SMTPServerDisconnected):
            self._drop()
            return Delivery(state="waiting", reason=_CUT)
        if code == _CLOSING:
            raise smtplib.SMTPResponseException(code, reply)
        return Delivery(state="sent") if code in _OK else _refused(code, reply)

    def _connected(self) -> smtplib.SMTP:
        if self._client is None:
            from airflow.providers.smtp.hooks.smtp import SmtpHook

            hook = SmtpHook(smtp_conn_id=self._conn_id)
            try:
                hook.get_conn()
                client = hook._smtp_client  # noqa: SLF001  # its only way to an open session
                assert isinstance(client, smtplib.SMTP)  # noqa: S101  # `get_conn` opens this kind
                client.ehlo_or_helo_if_needed()
            except (OSError, smtplib.SMTPException) as error:
                raise ChannelDownError(f"mail server: {_words(error)}") from None
            except Exception as error:  # noqa: BLE001  # the hook raises what it likes, about the connection
                what = f"{type(error).__name__}: {' '.join(str(error).split())}"
                raise ChannelDownError(f"connection {self._conn_id}: {what}") from None
            self._sender = self._sender or hook.from_email or ""
            if not is_address(parseaddr(self._sender)[1]):
                client.close()
                hint = "set the sender in the setting notify, or from_email in the extra of the connection"
                raise ChannelDownError(f"mails have no valid sender: {hint}")
            self._client = client
        return self._client

    def _drop(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None


def written(message: Message, sender: str) -> EmailMessage:
    """The mail: plain text, the same bytes at each try."""
    mail = EmailMessage(policy=SMTP)
    domain = parseaddr(sender)[1].rpartition("@")[2] or "localhost"
    mail["From"] = sender
    mail["To"] = ", ".join(message.every)
    mail["Subject"] = message.subject
    mail["Date"] = format_datetime(message.at)
    mail["Message-ID"] = f"<{message.key}@{domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(message.body, cte="quoted-printable")
    return mail


def _refused(code: int, reply: bytes) -> Delivery:
    return Delivery(state="refused" if code >= _FOR_GOOD else "waiting", reason=answer(code, reply))


def _words(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        return answer(error.smtp_code, _bytes(error.smtp_error))
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def _bytes(text: bytes | str) -> bytes:
    return text if isinstance(text, bytes) else text.encode("utf-8", "replace")
