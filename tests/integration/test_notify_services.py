"""Messages through Apprise: its result is checked, and what the service answers decides what follows."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import pytest
from requests import Session

from demo.services import Database
from tests.integration.notify_harness import A, B, House, made_house
from tests.stand_ins.web_service import WebService

CHAT = "chat_of_the_tests"
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")  # Apprise imports it, and can do without


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebService]:
    with WebService() as server:
        monkeypatch.setenv("AIRFLOW_CONN_CHAT_OF_THE_TESTS", server.connection)
        yield server


@pytest.fixture
def house(base: Database, service: WebService, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    with made_house(monkeypatch) as made:
        made.subscribe(CHAT, channel="apprise")
        yield made


def test_message_arrives_as_text_with_its_key(house: House, service: WebService) -> None:
    """And once; afterwards requests of others are as they were."""
    before = Session.send
    house.night(0, {("1", "<b>t</b>*_", ""): "High"})
    assert house.notify().sent == 1
    assert house.notify().sent == 0
    (asked,) = service.asked
    told = json.loads(asked.body)
    assert told["title"] == "[HDM prod] 2024-05-01: 1 new"
    assert "<b>t</b>*_" in told["message"]
    stored = house.base.execute("SELECT key FROM hdm_message").fetchone()
    assert stored is not None
    assert asked.key == stored["key"]
    assert Session.send is before


@pytest.mark.parametrize("status", [500, 401, 404, 503])
def test_service_that_fails_delays_its_messages_and_no_others(house: House, service: WebService, status: int) -> None:
    """They keep their key."""
    house.subscribe("ward@hospital.example")
    service.broken = status
    house.night(0, {A: "High"})
    done = house.notify()
    assert [(one.channel, one.messages, one.reason) for one in done.waiting] == [
        ("apprise", 1, f"connection {CHAT}: HTTP {status}")
    ]
    assert len(house.server.mails) == 1
    service.broken = None
    done = house.notify()
    assert (done.sent, done.waiting) == (1, [])
    assert len({one.key for one in service.asked}) == 1


def test_service_that_does_not_answer_delays_its_messages(house: House, service: WebService) -> None:
    """Whether it has taken one is unknown: it is asked again with the same key."""
    service.hanging.add("/hook")
    house.night(0, {A: "High"})
    assert house.notify().waiting[0].reason == f"connection {CHAT}: no answer"
    service.hanging.clear()
    assert house.notify().sent == 1
    assert len({one.key for one in service.asked}) == 1


def test_service_that_asks_for_a_pause_gets_it(house: House, service: WebService) -> None:
    """A short one within the run."""
    service.statuses, service.headers = [429, 429], {"Retry-After": "7"}
    house.night(0, {A: "High"})
    assert house.notify().sent == 1
    assert house.naps == [7, 7]


def test_long_pause_is_kept_over_runs_and_by_all_messages_of_the_connection(house: House, service: WebService) -> None:
    """The service is not asked before it is over."""
    service.broken, service.headers = 429, {"Retry-After": "3600"}
    house.night(0, {A: "High"})
    (waiting,) = house.notify().waiting
    assert waiting.not_before is not None
    assert 3000 < (waiting.not_before - waiting.since).total_seconds() < 3700
    service.broken = None
    house.notify()
    assert len(service.asked) == 1
    house.base.execute("UPDATE hdm_message_recipient SET not_before = not_before - interval '2 hours'")
    assert house.notify().sent == 1


def test_pauses_have_an_end(house: House, service: WebService) -> None:
    """A service that always asks for a second more does not hold the task for ever."""
    service.broken, service.headers = 429, {"Retry-After": "0"}
    house.night(0, {A: "High"})
    assert house.notify().waiting[0].reason == f"connection {CHAT}: HTTP 429"
    assert 50 < len(house.naps) < 70


def test_message_that_a_service_will_never_take_is_refused_for_good(house: House, service: WebService) -> None:
    """It does not hold up the next one."""
    service.statuses = [413]
    house.night(0, {A: "High"})
    assert house.notify().refused == [f"{CHAT}: connection {CHAT}: HTTP 413"]
    house.night(1, {A: "High", B: "High"})
    assert house.notify().sent == 1


@pytest.mark.parametrize(
    ("connection", "reason"),
    [
        ({"conn_type": "apprise"}, "has 0 addresses"),
        (
            {"conn_type": "apprise", "extra": {"config": [{"path": "json://a"}, {"path": "json://b"}]}},
            "has 2 addresses",
        ),
        ({"conn_type": "apprise", "extra": {"config": {"path": "nothing://secret"}}}, "none that Apprise knows"),
    ],
)
def test_wrong_connection_delays_and_shows_no_address(
    house: House, monkeypatch: pytest.MonkeyPatch, connection: object, reason: str
) -> None:
    """The address is a secret."""
    monkeypatch.setenv("AIRFLOW_CONN_CHAT_OF_THE_TESTS", json.dumps(connection))
    house.night(0, {A: "High"})
    (waiting,) = house.notify().waiting
    assert reason in waiting.reason
    assert "secret" not in waiting.reason


def test_without_apprise_messages_wait_and_say_so(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an extra."""
    monkeypatch.setitem(sys.modules, "apprise", None)
    house.night(0, {A: "High"})
    assert "pip install 'hdm_airflow[apprise]'" in house.notify().waiting[0].reason
