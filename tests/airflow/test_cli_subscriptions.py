"""`airflow hdm subscriptions`: what a person types, and what they read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date

import pytest

from demo.services import Database
from hdm_airflow.base import endpoints
from hdm_airflow.base.hook import HdmHook
from tests.airflow.cli_harness import Hdm
from tests.airflow.stage import endpoint
from tests.stand_ins.mail import MailServer

WARD, LAB = "ward@hospital.example", "lab@hospital.example"
HEART = endpoint("heart")


@pytest.fixture
def hdm(base: Database, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Hdm:
    """Commands on a base with one endpoint and a rule pack; messages are switched on."""
    notify = {"smtp_conn_id": "mail_of_the_tests", "sender": "quality@hospital.example", "language": "fr"}
    monkeypatch.setenv("AIRFLOW_VAR_HDM", json.dumps({"notify": notify}))
    with HdmHook().session() as session:
        endpoints.add(session, HEART, None, actor="ada")
        session.execute("INSERT INTO hdm_core_table_corr_db_rp VALUES ('basic', %s)", [HEART.slug])
    return Hdm(capsys)


@pytest.fixture
def mail(monkeypatch: pytest.MonkeyPatch) -> Iterator[MailServer]:
    with MailServer() as server:
        monkeypatch.setenv("AIRFLOW_CONN_MAIL_OF_THE_TESTS", server.connection)
        yield server


def test_subscription_is_added_listed_changed_and_removed(hdm: Hdm) -> None:
    """Only its id is on stdout; what is not stated stays."""
    filters = ("--endpoint", "heart", "--pack", "rp_basic", "--class", "data", "--tag", "icu", "--tag", "night")
    assert hdm("subscriptions", "add", WARD, LAB, *filters, "--level", "warning", "--heartbeat").out == "1\n"
    expected = {
        "id": 1,
        "channel": "mail",
        "to": [WARD, LAB],
        "pack": "rp_basic",
        "endpoint": HEART.slug,
        "level": "Warning",
        "class": ["DATA"],
        "tags": ["icu", "night"],
        "owner": None,
        "language": None,
        "resolved": True,
        "heartbeat": True,
        "flaw": None,
    }
    assert hdm.json("subscriptions", "list") == [expected]
    hdm("subscriptions", "change", 1, "--to", WARD, "--tag", "", "--no-resolved", "--language", "en", "--endpoint", "")
    changes = {"to": [WARD], "tags": [], "resolved": False, "language": "en", "endpoint": None}
    assert hdm.json("subscriptions", "list") == [{**expected, **changes}]
    assert "unchanged" in hdm("subscriptions", "change", 1, "--language", "en").err
    assert "nothing is stated to change" in hdm("subscriptions", "change", 1, code=2).err
    assert "there is no subscription 2" in hdm("subscriptions", "change", 2, "--level", "High", code=2).err
    assert "add --yes" in hdm("subscriptions", "remove", 1, code=2).err
    assert f"subscription 1 of {WARD} was removed\n" in hdm("subscriptions", "remove", 1, "--yes").err
    assert hdm.json("subscriptions", "list") == []
    actions = [row["action"] for row in hdm.json("audit", "list", "--object", "hdm_core_mail_list")]
    assert actions == ["subscription remove", "subscription change", "subscription add"]


def test_list_says_what_cannot_be_read_what_waits_and_who_was_refused(hdm: Hdm, base: Database) -> None:
    """The exit code tells programs."""
    hdm("subscriptions", "add", WARD, LAB)
    with base.connect(autocommit=True) as owner:
        owner.execute("INSERT INTO hdm_core_mail_list (mail, filters) VALUES (%s, 'table=x')", [WARD])
        owner.execute(
            "INSERT INTO hdm_message (subscription, digest, channel, key, subject, body)"
            " VALUES (1, 1, 'mail', 'k', 's', 'b')"
        )
        owner.execute(
            "INSERT INTO hdm_message_recipient (message, recipient, state, reason) VALUES"
            " (1, %s, 'waiting', '450 later'), (1, %s, 'refused', '550 no such user')",
            [WARD, LAB],
        )
    hdm("subscriptions", "allow", "@hospital.example")
    err = hdm("subscriptions", "list", code=1).err
    assert "subscription 2 cannot be read: the filter 'table' is unknown\n" in err
    assert f"subscription 1: 1 message waits for {WARD} since {date.today():%Y}-" in err  # noqa: DTZ011  # of this machine
    assert ": 450 later\n" in err
    assert f"subscription 1: {LAB} was refused for good: 550 no such user\n" in err
    assert "everybody may subscribe: @hospital.example\n" in err
    assert "is allowed no longer" in hdm("subscriptions", "disallow", "@hospital.example").err
    assert "was not allowed" in hdm("subscriptions", "disallow", "@hospital.example").err
    assert "neither an address nor a domain" in hdm("subscriptions", "allow", "hospital", code=2).err


def test_test_sends_a_mail_and_says_what_became_of_it(hdm: Hdm, mail: MailServer, base: Database) -> None:
    """Per recipient; nothing of it is stored."""
    hdm("subscriptions", "add", WARD, LAB, "--level", "High")
    mail.recipients[LAB] = "550 no such user"
    done = hdm("subscriptions", "test", 1, "--output", "json", code=1)
    assert sorted(done.data, key=lambda row: row["recipient"]) == [
        {"recipient": LAB, "state": "refused", "answer": "550 no such user"},
        {"recipient": WARD, "state": "sent", "answer": ""},
    ]
    ((recipients, sent),) = mail.mails
    assert recipients == [WARD]
    assert sent["Subject"] == "[HDM prod] Essai de l\u2019abonnement 1"
    assert "niveau Grave ou plus grave" in sent.get_content()
    mail.recipients.clear()
    hdm("subscriptions", "test", 1)
    mail.stop()
    assert "ConnectionRefusedError" in hdm("subscriptions", "test", 1, code=1).out
    with base.connect() as connection:
        assert connection.execute("SELECT count(*) FROM hdm_message").fetchone() == (0,)


def test_test_needs_the_setting(hdm: Hdm, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or people would wait for mails that nobody sends."""
    hdm("subscriptions", "add", WARD)
    monkeypatch.setenv("AIRFLOW_VAR_HDM", "{}")
    assert "the environment prod has no setting notify" in hdm("subscriptions", "test", 1, code=2).err
