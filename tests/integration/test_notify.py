"""Messages: who is told what, over a real mail server, and what is left if something fails."""

from __future__ import annotations

import os
import re
import signal
import smtplib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from email.message import EmailMessage
from typing import Any

import psycopg
import pytest

from demo.services import Database
from hdm_airflow.base import endpoints, incident_actions, messages, subscriptions
from hdm_airflow.base.hook import HdmHook
from hdm_airflow.base.incident_list import Filter as Incidents
from hdm_airflow.base.incident_list import ids
from hdm_airflow.base.subscriptions import Filter
from hdm_airflow.errors import HdmBaseError
from hdm_airflow.notify import notifier
from hdm_airflow.notify.mail import Mail
from hdm_airflow.settings import NotifyOptions
from tests.integration.incident_harness import HEART, Pack, day
from tests.integration.incident_model import Night
from tests.integration.notify_harness import OPTIONS, SITE, A, B, House, made_house

WARD, LAB, CHIEF = "ward@hospital.example", "lab@hospital.example", "chief@hospital.example"


@pytest.fixture
def house(base: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    with made_house(monkeypatch) as made:
        yield made


def body(mail: EmailMessage) -> str:
    text: str = mail.get_content()
    return text.replace("\r\n", "\n")


def lines(house: House) -> list[str]:
    """The lines about incidents of the newest mail."""
    found = body(house.server.mails[-1][1]).splitlines()
    return [line for line in found if line.startswith("- ") or re.fullmatch(r"[A-Z][a-z ]+: \d+", line)]


# What is told ---------------------------------------------------------------------------------------------------------


def test_a_subscription_gets_one_mail_about_a_night(house: House) -> None:
    """Once: the next run has nothing new."""
    number = house.subscribe(WARD)
    house.night(0, {A: "High", B: "Info"})
    done = house.notify()
    assert (done.decided, done.sent, done.refused, done.waiting) == (1, 1, [], [])
    ((recipients, mail),) = house.server.mails
    assert recipients == [WARD]
    assert mail["From"] == "Quality <quality@hospital.example>"
    assert mail["To"] == WARD
    assert mail["Subject"] == "[HDM prod] 2024-05-01: 2 new"
    assert mail["Message-ID"].startswith("<hdm.")
    assert body(mail) == (
        "Data quality in prod, night of 2024-05-01\n"
        "2 new. 2 incidents are open in all.\n"
        "\n"
        "New: 2\n"
        "- High: a (postgres): patients.postcode: message; since 2024-05-01\n"
        "- Info: a (postgres): stays: message; since 2024-05-01\n"
        "\n"
        "All of it: airflow hdm incidents list --environment prod --state all --since 2024-05-01\n"
        f"You get this because of subscription {number}: everything."
        f" To change it: airflow hdm subscriptions change {number}\n"
    )
    done = house.notify()
    assert (done.decided, done.sent) == (0, 0)
    assert len(house.server.mails) == 1


def test_life_of_an_incident_is_told_step_by_step(house: House) -> None:
    """New, worse, over, back again; a night like the one before is silent."""
    house.subscribe(WARD)
    steps: list[tuple[dict[Any, str], list[str]]] = [
        ({A: "Info"}, ["New: 1", "- Info: a (postgres): patients.postcode: message; since 2024-05-01"]),
        ({A: "Info"}, []),
        (
            {A: "High"},
            ["Worse: 1", "- High (was Info): a (postgres): patients.postcode: message; since 2024-05-01"],
        ),
        ({A: "Warning"}, []),
        ({}, ["Over: 1", "- Warning: a (postgres): patients.postcode: message; since 2024-05-01 until 2024-05-05"]),
        ({A: "Warning"}, ["Back again: 1", "- Warning: a (postgres): patients.postcode: message; since 2024-05-06"]),
    ]
    for number, (alerts, expected) in enumerate(steps):
        house.night(number, alerts)
        sent = len(house.server.mails)
        house.notify()
        assert len(house.server.mails) - sent == bool(expected), number
        if expected:
            assert lines(house) == expected


def test_what_a_pack_writes_is_told_in_words_of_the_language(house: House) -> None:
    """Before and after, the limit, how far it reaches; numbers as French writes them."""
    house.subscribe(WARD, language="fr")
    house.night(0, {A: "High"})
    house.base.execute(
        "UPDATE hdm_alerts SET alert_message = 'Many more nulls.', former = '18', observed = '259',"
        " threshold = '> 100', affected_rows = 24100, affected_patients = 1"
    )
    house.notify()
    (mail,) = (mail for _, mail in house.server.mails)
    assert mail["Subject"] == "[HDM prod] 2024-05-01 : 1 nouveau"
    assert (
        "- Grave : a (postgres): patients.postcode : Many more nulls; depuis le 2024-05-01; avant : 18;"
        " maintenant : 259; limite : > 100; au moins 24\u202f100 lignes; au moins 1 patient\n"
    ) in body(mail)


def test_muted_incidents_are_told_when_the_mute_ends(house: House) -> None:
    """By its date, or by hand; one that people have accepted is no news."""
    house.subscribe(WARD)
    house.night(0, {A: "High", B: "High", ("3", "c", ""): "High"})
    house.notify()
    found = {row["table"]: row["id"] for row in house.base.execute('SELECT id, "table" FROM hdm_incident').fetchall()}
    incident_actions.mute(house.base, [found["patients"]], day(2), actor="ada")
    incident_actions.mute(house.base, [found["stays"]], day(9), actor="ada")
    incident_actions.accept(house.base, [found["c"]], actor="ada")
    for number in (1, 2):
        house.night(number, {A: "High", B: "High"})
        house.notify()
    assert len(house.server.mails) == 1
    house.night(3, {A: "High", B: "High"})
    house.notify()
    assert lines(house) == ["No longer muted: 1", "- High: a (postgres): patients.postcode: message; since 2024-05-01"]
    house.notify()
    incident_actions.unmute(house.base, [found["stays"]], actor="ada")
    house.notify()
    assert lines(house) == ["No longer muted: 1", "- High: a (postgres): stays: message; since 2024-05-01"]
    assert len(house.server.mails) == 3


def test_muted_until_resolved_is_silent_until_it_is(house: House) -> None:
    """Then the mute is over, and so is the incident."""
    house.subscribe(WARD)
    house.night(0, {A: "Info"})
    house.notify()
    incident_actions.mute(house.base, ids(house.base, Incidents()), None, actor="ada")
    house.night(1, {A: "High"})
    house.notify()
    assert len(house.server.mails) == 1
    house.night(2, {})
    house.notify()
    assert lines(house)[0] == "Over: 1"


def test_what_could_not_be_judged_is_told_by_cause_and_once(house: House) -> None:
    """A database that was judged before is news by itself, single checks are not."""
    house.subscribe(WARD)
    house.night(0, {A: "High"})
    house.notify()
    house.night(1, {A: "High"}, not_judged={("7", "", ""): ("no metrics", "no run of mp_basic"), B: ("error", "")})
    house.notify()
    assert len(house.server.mails) == 1
    house.night(2, {}, status="failed")
    house.notify()
    ((_, mail),) = house.server.mails[1:]
    assert mail["Subject"] == "[HDM prod] 2024-05-03: nothing new, 1 database not judged"
    assert "- 1 database: the rules have failed: a (postgres)\n" in body(mail)
    house.night(3, {}, status="failed")
    house.notify()
    assert len(house.server.mails) == 2
    ids = house.pack.start(day(4), HEART)  # the next one goes on, and fails too
    house.notify()
    house.pack.close(ids, day(4), Night("failed"))
    house.notify()
    assert len(house.server.mails) == 2
    new = ("9", "t", "")
    house.night(4, {A: "High", new: "Info"}, not_judged={("7", "", ""): ("no metrics", "nothing"), B: ("error", "")})
    house.notify()
    text = body(house.server.mails[-1][1])
    assert "New: 1\n" in text
    assert "- 1 check: nothing was measured (nothing): a (postgres)\n" in text
    assert "- 1 check: the rule has an error: a (postgres)\n" in text


def test_heartbeat_comes_once_per_metric_date(house: House) -> None:
    """On request; another run of the same night is silent."""
    house.subscribe(WARD, heartbeat=True)
    house.subscribe(LAB)
    for number in (0, 1):
        house.night(number, {})
        house.notify()
        house.notify()
    assert [recipients for recipients, _ in house.server.mails] == [[WARD], [WARD]]
    assert house.server.mails[0][1]["Subject"] == "[HDM prod] 2024-05-01: nothing new"


def test_every_filter_must_hold(house: House) -> None:
    """Pack, endpoint, level, class, tags and owner; two of them match less than one."""
    house.night(0, {A: "High", B: "Info"})
    house.base.execute(
        "UPDATE hdm_alerts SET alert_class = 'DATA', owner = 'data team', tags = '{icu,night}' WHERE rule_id = '1'"
    )
    other = Pack(house.base, name="other")
    other.activate(HEART)
    wanted = {
        "pack": Filter(pack="basic"),
        "other": Filter(pack="other"),
        "endpoint": Filter(endpoint=HEART),
        "elsewhere": Filter(endpoint="b:postgres::::false"),
        "level": Filter(level="Warning"),
        "class": Filter(classes=("DATA",)),
        "tag": Filter(tags=("icu",)),
        "tags": Filter(tags=("icu", "night")),
        "foreign": Filter(tags=("icu", "day")),
        "owner": Filter(owner="data team"),
        "both": Filter(level="High", classes=("DATA", "SCHEMA"), owner="data team", endpoint=HEART, pack="basic"),
        "neither": Filter(level="High", owner="somebody"),
    }
    for name, one in wanted.items():
        house.subscribe(f"{name}@hospital.example", filter=one)
    house.base.execute("UPDATE hdm_core_mail_list SET since = NULL")  # the night was before
    house.notify()
    told = {
        recipients[0].partition("@")[0]: len(re.findall("^- (?:High|Info): ", body(mail), re.MULTILINE))
        for recipients, mail in house.server.mails
    }
    assert told == {
        "pack": 2,
        "endpoint": 2,
        "level": 1,
        "class": 1,
        "tag": 1,
        "tags": 1,
        "owner": 1,
        "both": 1,
    }


def test_subscription_hears_nothing_of_before_and_no_ends_if_it_wants_none(house: House) -> None:
    """What others have been told does not change."""
    house.night(0, {A: "High"})
    house.subscribe(WARD, resolved=False)
    house.subscribe(LAB)
    house.notify()
    assert house.server.mails == []
    house.night(1, {})
    house.notify()
    assert [recipients for recipients, _ in house.server.mails] == [[LAB]]


def test_repeated_and_late_nights_are_silent(house: House) -> None:
    """As in the history of incidents."""
    house.subscribe(WARD)
    house.night(5, {A: "High"})
    house.notify()
    house.night(5, {A: "High"})
    house.night(2, {B: "High"})
    house.notify()
    assert len(house.server.mails) == 1


def test_a_hundred_lines_then_counts_and_a_link(house: House) -> None:
    """The most severe first."""
    house.subscribe(WARD)
    alerts = {("1", f"t{number:03}", ""): "Info" for number in range(120)}
    house.night(0, {**alerts, A: "High"})
    notifier.notify(house.base, type(SITE)(environment="prod", link="https://airflow.example/plugin/x"), OPTIONS)
    text = body(house.server.mails[0][1])
    assert text.count("\n- ") == 100
    assert text.index("- High: ") < text.index("- Info: ")
    assert "New: 121\n" in text
    assert "\n... and 21 more incidents: 21 new\n" in text
    assert "\nAll of it: https://airflow.example/plugin/x\n" in text


def test_scripts_and_controls_in_names_stay_text(house: House) -> None:
    """The mail is plain text, its headers are ours, and nothing moves a cursor."""
    house.subscribe(WARD)
    table = "<script>alert(1)</script>\r\nBcc: all@hospital.example\x1b[2J\u202e{level}"
    house.night(0, {("1", table, "x"): "High"})
    house.notify()
    ((recipients, mail),) = house.server.mails
    assert recipients == [WARD]
    assert mail["Bcc"] is None
    assert mail.get_content_type() == "text/plain"
    assert "<script>alert(1)</script> Bcc: all@hospital.example\\x1b[2J\\u202e{level}.x" in body(mail)


def test_no_value_of_a_patient_is_in_a_mail(house: House) -> None:
    """Messages are made from alerts and the ledger only: what metrics hold stays in their tables."""
    house.subscribe(WARD, heartbeat=True)
    canary = "Canary-4711"
    house.base.execute('CREATE TABLE metric_basic (endpoint text, "date" date, min_num_var text, note text)')
    house.base.execute('CREATE TABLE metric_basic_levels (endpoint text, "date" date, value text)')
    for number, alerts in enumerate(({A: "High"}, {A: "High", B: "Info"}, {})):
        values = {"slug": HEART, "date": day(number), "canary": canary}
        house.base.execute("INSERT INTO metric_basic VALUES (%(slug)s, %(date)s, %(canary)s, %(canary)s)", values)
        house.base.execute("INSERT INTO metric_basic_levels VALUES (%(slug)s, %(date)s, %(canary)s)", values)
        house.night(number, alerts)
        house.notify()
    assert len(house.server.mails) == 3
    assert not any(canary in mail.as_string() + body(mail) for _, mail in house.server.mails)
    stored = house.base.execute("SELECT string_agg(message::text, '') AS text FROM hdm_message AS message").fetchone()
    assert stored is not None
    assert canary not in stored["text"]


# What is left if something fails --------------------------------------------------------------------------------------


def test_recipient_refused_for_good_is_named_and_the_others_get_one_mail(house: House) -> None:
    """The next run sends nothing again."""
    house.subscribe(WARD, LAB)
    house.server.recipients[LAB] = "550 5.1.1 no such user"
    house.night(0, {A: "High"})
    done = house.notify()
    assert done.refused == [f"{LAB}: 550 5.1.1 no such user"]
    assert done.waiting == []
    house.notify()
    assert [recipients for recipients, _ in house.server.mails] == [[WARD]]
    assert house.server.mails[0][1]["To"] == f"{LAB}, {WARD}"
    assert house.recipients() == {WARD: ("sent", ""), LAB: ("refused", "550 5.1.1 no such user")}


def test_recipient_refused_for_now_gets_the_same_mail_later(house: House) -> None:
    """With the same Message-ID; who has got it does not get it again."""
    house.subscribe(WARD, LAB)
    house.server.recipients[LAB] = "451 4.7.1 greylisted"
    house.night(0, {A: "High"})
    done = house.notify()
    assert [(one.messages, one.reason) for one in done.waiting] == [(1, "451 4.7.1 greylisted")]
    house.server.recipients.clear()
    assert house.notify().waiting == []
    (first, second) = house.server.mails
    assert (first[0], second[0]) == ([WARD], [LAB])
    assert first[1].as_bytes() == second[1].as_bytes()


@pytest.mark.parametrize("reply", ["452 too much now", "550 spam"])
def test_refused_mail_does_not_hold_up_the_next(house: House, reply: str) -> None:
    """For now it waits, for good it is named; the session goes on."""
    house.subscribe(WARD)
    house.subscribe(LAB)
    house.server.data = [reply]
    house.night(0, {A: "High"})
    done = house.notify()
    assert [recipients for recipients, _ in house.server.mails] == [[LAB]]
    assert bool(done.waiting) == reply.startswith("4")
    house.notify()
    assert len(house.server.mails) == (2 if reply.startswith("4") else 1)


@pytest.mark.parametrize("reply", ["421 closing", "450 later", "550 sender unknown"])
def test_refused_sender_is_a_channel_that_is_down(house: House, reply: str) -> None:
    """Nothing is tried on it any more in this run, nothing is lost, and no recipient is blamed."""
    house.subscribe(WARD)
    house.subscribe(LAB)
    house.server.senders = [reply]
    house.night(0, {A: "High"})
    done = house.notify()
    assert (done.sent, done.refused) == (0, [])
    assert sum(one.messages for one in done.waiting) == 2
    assert reply in done.waiting[0].reason
    done = house.notify()
    assert (done.decided, done.sent, done.waiting) == (0, 2, [])


def test_connection_that_is_cut_after_the_mail_sends_it_again(house: House) -> None:
    """At least once: the same mail, by its Message-ID; others are sent once."""
    house.subscribe(WARD)
    house.subscribe(LAB)
    house.server.data = ["cut"]
    house.night(0, {A: "High"})
    done = house.notify()
    assert "may have arrived" in done.waiting[0].reason
    assert house.notify().waiting == []
    assert [recipients for recipients, _ in house.server.mails] == [[WARD], [LAB], [WARD]]
    assert house.server.mails[0][1].as_bytes() == house.server.mails[2][1].as_bytes()


def test_server_that_is_down_for_nights_loses_nothing(house: House) -> None:
    """Each night's message waits; all arrive in their order when it is back."""
    house.subscribe(WARD)
    port = house.server.port
    house.server.stop()
    for number, alerts in enumerate(({A: "High"}, {A: "High", B: "Info"})):
        house.night(number, alerts)
        done = house.notify()
        assert done.decided == 1
        assert done.waiting[0].messages == number + 1
        assert "ConnectionRefusedError" in done.waiting[0].reason
    house.server.start(port)
    assert house.notify().sent == 2
    assert [mail["Subject"][11:21] for _, mail in house.server.mails] == ["2024-05-01", "2024-05-02"]


def test_missing_connection_or_sender_delays_messages(house: House) -> None:
    """The reason says what to correct."""
    house.subscribe(WARD)
    house.night(0, {A: "High"})
    for options, reason in (
        (NotifyOptions(smtp_conn_id="none_of_this_name"), "connection none_of_this_name"),
        (NotifyOptions(), "no smtp_conn_id"),
        (NotifyOptions(smtp_conn_id="mail_of_the_tests"), "no valid sender"),
    ):
        assert reason in house.notify(options).waiting[0].reason
    assert house.notify().sent == 1


def test_removed_subscription_gets_nothing_that_waits(house: House) -> None:
    """Somebody may have left the hospital."""
    number = house.subscribe(WARD)
    house.server.recipients[WARD] = "450 later"
    house.night(0, {A: "High"})
    house.notify()
    (one,) = subscriptions.listed(house.base, [number])
    assert subscriptions.remove(house.base, one, actor="ada") == 1
    house.server.recipients.clear()
    assert house.notify().sent == 0
    assert house.recipients()[WARD][0] == "withdrawn"


def test_old_messages_are_removed_unless_somebody_waits(house: House) -> None:
    """Their number does not grow for ever."""
    house.subscribe(WARD)
    house.subscribe(LAB)
    house.server.recipients[LAB] = "450 later"
    house.night(0, {A: "High"})
    house.notify()
    house.base.execute("UPDATE hdm_message SET at = at - interval '91 days'")
    house.notify()
    assert house.recipients() == {LAB: ("waiting", "450 later")}


def test_two_notifiers_take_turns(house: House) -> None:
    """The second one says so if it takes too long, and sends nothing."""
    with (
        HdmHook().session() as other,
        messages.alone(other),
        pytest.raises(HdmBaseError) as failure,
        messages.alone(house.base, patience=0.1),
    ):
        pytest.fail("both have the lock")
    assert "another task is sending" in failure.value.what
    house.notify()


def test_event_of_a_transaction_that_ends_late_is_not_missed(house: House) -> None:
    """Its number may be lower than one that was told: the decision waits for it."""
    house.subscribe(WARD)
    house.night(0, {A: "High"})
    house.notify()
    with HdmHook().session() as late, HdmHook().session() as base, ThreadPoolExecutor(1) as pool:
        other = Pack(late, name="other")
        other.activate(HEART)
        with late.transaction():
            other.judge(day(1), Night("success", alerts={("late", "t", ""): "High"}))
            other.derive()
            house.night(1, {A: "High", B: "High"})
            running = pool.submit(notifier.notify, base, SITE, OPTIONS)
            with pytest.raises(FutureTimeoutError):
                running.result(1)
        assert running.result(60).sent == 1
    assert len(lines(house)) == 3  # a heading and both


def test_sigkill_at_any_statement_loses_nothing_and_doubles_only_what_was_sent_last(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies before its n-th statement or command to the mail server, for every n; then a run goes on."""
    kinds = [WARD, LAB, CHIEF]
    for one in kinds[:2]:
        house.subscribe(one)
    house.subscribe(CHIEF, WARD)
    point, killed, doubled = 0, True, 0
    while killed:
        alerts = {("1", f"t{point}", ""): "High"}
        house.night(point, alerts)
        before = len(house.server.mails)
        killed = _dies_at(point)
        after = house.notify()
        assert after.waiting == []
        mails = [(tuple(recipients), mail["Message-ID"]) for recipients, mail in house.server.mails[before:]]
        assert len({number for _, number in mails}) == 3, f"killed before step {point}: a message is lost"
        assert len(mails) <= 4, f"killed before step {point}: a message came twice that was kept as sent"
        doubled += len(mails) == 4
        point += 1
    assert point > 25
    assert doubled == 3  # once per message: after it was sent, before that was kept


def _dies_at(point: int) -> bool:
    """Notify in a process that dies before its n-th step; whether it has died."""
    child = os.fork()
    if child == 0:
        try:
            left = point

            def step() -> None:
                nonlocal left
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                left -= 1

            _before(psycopg.Connection, "execute", step)
            _before(Mail, "_connected", step)
            for name in ("mail", "rcpt", "data"):
                _before(smtplib.SMTP, name, step)
            with HdmHook().session() as base:
                notifier.notify(base, SITE, OPTIONS)
        except BaseException:  # noqa: BLE001  # nothing of pytest may run in the child
            os._exit(3)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0
    return os.WIFSIGNALED(status)


def _before(owner: type, name: str, step: Any) -> None:
    original = getattr(owner, name)

    def wrapped(self: Any, *arguments: Any, **more: Any) -> Any:
        step()
        return original(self, *arguments, **more)

    setattr(owner, name, wrapped)


def test_renamed_endpoint_keeps_its_subscriptions_and_what_was_told(house: House) -> None:
    """An old form of the slug is one of it."""
    from hdm_airflow.base import rename

    house.subscribe(WARD, filter=Filter(endpoint=HEART))
    house.base.execute("INSERT INTO hdm_core_mail_list (mail, db_key) VALUES (%s, 'a:postgres::::False')", [LAB])
    house.night(0, {A: "High"})
    house.notify()
    (old,) = endpoints.registered(house.base)
    new = endpoints.Endpoint(name="renamed", type="postgres")
    rename.start(house.base, old, new, [], actor="ada")
    assert {one.filter.endpoint for one in subscriptions.listed(house.base)} == {new.slug}
