"""Services: sends messages through Apprise to the address in an Airflow connection, and checks its result.

Apprise says only whether it has worked. So the answers that it got over HTTP are looked at too: 429 and Retry-After say
when to try again, and some say that this message will never be taken. Each request gets the message's key in a header.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from hdm_airflow.base.messages import Delivery
from hdm_airflow.notify.channel import ChannelDownError

if TYPE_CHECKING:
    import requests
    from typing_extensions import Self

    from hdm_airflow.base.messages import Message

HEADER = "Idempotency-Key"
_TOO_MANY = 429
_BUSY = 503
_UNACCEPTABLE = (400, 413, 422)  # about this message, not about the service
_DEFAULT_PAUSE = 60.0  # seconds, if a 429 does not say


class Services:
    """An open channel to the services behind Airflow's connections of type apprise."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing stays open."""

    def send(self, message: Message) -> Mapping[str, Delivery]:
        """Send a message to the service of its connection.

        Raises:
            ChannelDownError: if the connection is wrong, or the service cannot be reached or refuses.
        """
        found = {}
        for conn_id in message.waiting:
            found[conn_id] = self._send(conn_id, message)
        return found

    def _send(self, conn_id: str, message: Message) -> Delivery:
        try:
            from apprise import Apprise, AppriseAsset, NotifyFormat
        except ImportError:
            raise ChannelDownError("Apprise is not installed: pip install 'hdm_airflow[apprise]'") from None
        address = _address(conn_id)
        service = Apprise(asset=AppriseAsset(async_mode=False, secure_logging=True))
        try:
            known = service.add(address)
            with _observed(message.key) as answers:
                sent = known and service.notify(body=message.body, title=message.subject, body_format=NotifyFormat.TEXT)
        except Exception as error:  # noqa: BLE001  # one of a hundred plugins
            raise ChannelDownError(f"connection {conn_id}: Apprise failed: {type(error).__name__}") from None
        if not known:
            raise ChannelDownError(f"connection {conn_id}: its address is none that Apprise knows")
        if sent:
            return Delivery(state="sent")
        status = answers[-1].status_code if answers else 0
        what = f"connection {conn_id}: HTTP {status}" if status else f"connection {conn_id}: no answer"
        if status in _UNACCEPTABLE:
            return Delivery(state="refused", reason=what)
        pause = _pause(answers[-1]) if status in {_TOO_MANY, _BUSY} else None
        raise ChannelDownError(what, _DEFAULT_PAUSE if status == _TOO_MANY and pause is None else pause)


def _address(conn_id: str) -> str:
    """The address of Apprise in a connection, as AppriseHook keeps it: `{"config": {"path": ...}}` in its extra.

    Raises:
        ChannelDownError: if there is no such connection, or it has not exactly one address.
    """
    from airflow.sdk import BaseHook

    try:
        extra: Any = BaseHook.get_connection(conn_id).extra_dejson
    except Exception as error:  # noqa: BLE001  # Airflow and its backends raise what they like
        raise ChannelDownError(f"connection {conn_id}: {type(error).__name__}") from None
    config: Any = extra.get("config") if isinstance(extra, dict) else None
    paths = [one.get("path") for one in (config if isinstance(config, list) else [config]) if isinstance(one, dict)]
    if len(paths) != 1 or not isinstance(paths[0], str):
        hint = 'write {"config": {"path": "json://..."}} into its extra; one connection per service'
        raise ChannelDownError(f"connection {conn_id} has {len(paths)} addresses: {hint}")
    return paths[0]


@contextmanager
def _observed(key: str) -> Iterator[list[requests.Response]]:
    """The answers that come over HTTP meanwhile; each request gets the key in its header."""
    from requests import Session

    answers: list[requests.Response] = []
    original = Session.send

    def send(self: Session, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        request.headers.setdefault(HEADER, key)
        response = original(self, request, **options)
        answers.append(response)
        return response

    Session.send = send  # type: ignore[method-assign]  # Apprise offers no hook
    try:
        yield answers
    finally:
        Session.send = original  # type: ignore[method-assign]  # as above


def _pause(response: requests.Response) -> float | None:
    """Seconds after which the service wants to be asked again."""
    stated = response.headers.get("Retry-After", "").strip()
    if stated.isdecimal():
        return float(stated)
    try:
        return max((parsedate_to_datetime(stated) - datetime.now(timezone.utc)).total_seconds(), 0)
    except (TypeError, ValueError):
        return None
