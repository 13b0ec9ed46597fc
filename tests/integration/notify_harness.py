"""What the tests of messages share: a rule pack's nights, subscriptions, a mail server, and runs of the notifier."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pytest

from hdm_airflow.base import subscriptions
from hdm_airflow.base.hook import BaseConnection, HdmHook
from hdm_airflow.base.subscriptions import Filter, Subscription
from hdm_airflow.notify import notifier
from hdm_airflow.notify.notifier import Notified
from hdm_airflow.notify.words import Site
from hdm_airflow.settings import NotifyOptions
from tests.integration.incident_harness import HEART, Pack, day
from tests.integration.incident_model import Key, Night
from tests.stand_ins.mail import MailServer

OPTIONS = NotifyOptions(smtp_conn_id="mail_of_the_tests", sender="Quality <quality@hospital.example>")
SITE = Site(environment="prod")
A: Key = ("1", "patients", "postcode")
B: Key = ("2", "stays", "")


@dataclass
class House:
    """A base with one rule pack, and a mail server."""

    base: BaseConnection
    server: MailServer
    pack: Pack
    naps: list[float] = field(default_factory=list)  # seconds that the notifier waited

    def subscribe(self, *recipients: str, filter: Filter | None = None, **more: Any) -> int:  # noqa: A002  # as the field is named
        one = Subscription(recipients=recipients or ("ward@hospital.example",), filter=filter or Filter(), **more)
        return subscriptions.add(self.base, one, actor="ada")

    def night(self, number: int, alerts: dict[Key, str], *, status: str = "success", **more: Any) -> date:
        """A night as a pack leaves it, with its incidents."""
        self.pack.judge(day(number), Night(status, alerts=alerts, **more), HEART)
        self.pack.derive()
        return day(number)

    def notify(self, options: NotifyOptions = OPTIONS) -> Notified:
        return notifier.notify(self.base, SITE, options, sleep=self.naps.append)

    def recipients(self) -> dict[str, tuple[str, str]]:
        """Recipient -> state and reason, of the newest message of each."""
        rows = self.base.execute("SELECT recipient, state, reason FROM hdm_message_recipient ORDER BY message")
        return {row["recipient"]: (row["state"], row["reason"]) for row in rows}


@contextmanager
def made_house(monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    """A house in the base behind the connection `hdm`."""
    with MailServer() as server, HdmHook().session() as base:
        monkeypatch.setenv("AIRFLOW_CONN_MAIL_OF_THE_TESTS", server.connection)
        base.execute("INSERT INTO hdm_core_dblist (db_name, db_type, db_is_ssl) VALUES ('a', 'postgres', 'false')")
        pack = Pack(base)
        pack.activate(HEART)
        yield House(base, server, pack)
