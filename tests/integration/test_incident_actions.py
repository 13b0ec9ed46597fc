"""What people do with incidents: what it changes, how long it lasts, and that no night loses it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest

from demo.services import Database
from hdm_airflow.base import incident_actions, incident_list, incident_lock
from hdm_airflow.base.hook import BaseConnection, HdmHook
from hdm_airflow.base.incident_list import Filter
from hdm_airflow.errors import ConfigurationError
from tests.integration.incident_harness import HEART, Pack, day
from tests.integration.incident_model import Night
from tests.integration.test_whole import SLUGS

WARD, DAY = ("1", "visits", "ward"), ("1", "visits", "day")
LUNG = SLUGS[1]
PEOPLE = ("acknowledged_by", "acknowledged_on", "assignee", "muted_until", "muted_on")


@pytest.fixture
def session(base: Database) -> Iterator[BaseConnection]:
    with HdmHook().session() as opened:
        yield opened


@pytest.fixture
def pack(session: BaseConnection) -> Pack:
    """A rule pack that has found a fault in two columns on the first night."""
    made = Pack(session)
    made.activate(*SLUGS)
    nights(made, 0, bad())
    return made


def bad(*keys: tuple[str, str, str], level: str = "Warning") -> Night:
    return Night("success", alerts=dict.fromkeys(keys or (WARD, DAY), level))


GOOD = Night("success")


def nights(pack: Pack, first: int, *found: Night, slug: str = HEART) -> None:
    """Nights from this one on, each derived."""
    for number, night in enumerate(found, first):
        pack.judge(day(number), night, slug)
        pack.derive()


def ids(base: BaseConnection, **filters: Any) -> list[int]:
    return incident_list.ids(base, Filter(**{"state": None, **filters}))


def id_of(base: BaseConnection, key: tuple[str, str, str]) -> int:
    (row,) = base.execute('SELECT id FROM hdm_incident WHERE (rule_id, "table", "column") = (%s, %s, %s)', key)
    return int(row["id"])


def seen(base: BaseConnection, key: tuple[str, str, str] = WARD) -> dict[str, Any]:
    """How an incident is listed."""
    (row,) = incident_list.listed(base, Filter(ids=(id_of(base, key),), state=None), 1)
    return row


def by_people(base: BaseConnection) -> list[tuple[Any, ...]]:
    """The columns of people, and their events."""
    # A date of PostgreSQL can be infinite, one of Python cannot.
    columns = ", ".join(f"{name}::text" for name in PEOPLE)
    found = base.execute(f"SELECT id, {columns} FROM hdm_incident ORDER BY id".encode()).fetchall()
    query = 'SELECT id, incident, kind, "date", at, actor, detail FROM hdm_incident_event WHERE actor IS NOT NULL'
    return [tuple(row.values()) for row in (*found, *base.execute(f"{query} ORDER BY id".encode()))]


def test_no_night_loses_what_people_did(session: BaseConnection, pack: Pack) -> None:
    """Neither the next one, nor the same one again, nor one that comes late and opens the incident earlier."""
    one = [id_of(session, WARD)]
    incident_actions.acknowledge(session, one, actor="ada", comment="asked the ward")
    incident_actions.assign(session, one, "bob", actor="ada")
    incident_actions.mute(session, one, None, actor="ada")
    incident_actions.mute(session, [id_of(session, DAY)], day(9), actor="ada")
    before = by_people(session)
    for number in (1, 0, -1, 0):
        nights(pack, number, bad())
        assert by_people(session) == before
    listed = seen(session)
    assert (listed["opened_on"], listed["acknowledged_by"], listed["assignee"]) == (day(-1), "ada", "bob")
    assert listed["muted_until"] == "resolved"
    nights(pack, 0, GOOD)  # repaired, and repeated
    nights(pack, 1, GOOD)
    assert by_people(session) == before


@pytest.mark.parametrize(("kind", "closed_as"), [("accept", "accepted"), ("close", "by hand")])
def test_repeated_nights_close_what_people_closed(
    session: BaseConnection, pack: Pack, kind: str, closed_as: str
) -> None:
    """As of the metric date that they saw."""
    nights(pack, 1, bad())
    getattr(incident_actions, kind)(session, [id_of(session, WARD)], actor="ada")
    states = {key: (state.state, state.closed_as, state.ended_on) for key, state in pack.states().items()}
    assert states == {WARD: ("closed", closed_as, day(1)), DAY: ("open", None, None)}
    for number in (1, 0, -1):
        nights(pack, number, bad())
        states = {key: (state.state, state.closed_as, state.ended_on) for key, state in pack.states().items()}
        assert states == {WARD: ("closed", closed_as, day(1)), DAY: ("open", None, None)}
    nights(pack, 2, bad())
    assert pack.states()[WARD].state == ("open" if kind == "close" else "closed")


def test_action_has_the_newest_derived_date(session: BaseConnection, pack: Pack) -> None:
    """Of its own rule pack and endpoint, even if the incident was found before it, or the ledger is ahead."""
    nights(pack, 0, bad(), bad(), bad(), slug=LUNG)
    pack.judge(day(7), bad())  # not derived
    incident_actions.acknowledge(session, ids(session), actor="ada")
    dates = session.execute(
        'SELECT DISTINCT endpoint, "date", acknowledged_on FROM hdm_incident_event JOIN hdm_incident '
        "ON hdm_incident.id = incident WHERE kind = 'acknowledged' ORDER BY 1"
    ).fetchall()
    assert [tuple(row.values()) for row in dates] == [(HEART, day(0), day(0)), (LUNG, day(2), day(2))]


def test_acknowledgement_ends_with_the_incident(session: BaseConnection, pack: Pack) -> None:
    """Reopened, nobody has seen it yet."""
    one = [id_of(session, WARD)]
    assert incident_actions.acknowledge(session, one, actor="ada") == 1
    assert incident_actions.acknowledge(session, one, actor="bob") == 0
    assert seen(session)["acknowledged_by"] == "ada"
    nights(pack, 1, GOOD)
    assert seen(session)["acknowledged_by"] is None
    nights(pack, 2, bad())
    assert seen(session)["acknowledged_by"] is None
    assert ids(session, state="open", acknowledged=True) == []
    assert incident_actions.acknowledge(session, one, actor="bob") == 1
    assert seen(session)["acknowledged_by"] == "bob"


def test_mute_ends_with_its_date_or_with_the_incident(session: BaseConnection, pack: Pack) -> None:
    """Until resolved: reopened, it speaks. Until a date: reopened, it stays muted to that date."""
    incident_actions.mute(session, [id_of(session, WARD)], None, actor="ada")
    incident_actions.mute(session, [id_of(session, DAY)], day(3), actor="ada")
    nights(pack, 1, GOOD, bad())
    assert (seen(session, WARD)["muted_until"], seen(session, DAY)["muted_until"]) == (None, str(day(3)))
    assert ids(session, muted=True) == [id_of(session, DAY)]
    nights(pack, 3, bad())
    assert seen(session, DAY)["muted_until"] == str(day(3))
    nights(pack, 4, bad())
    assert seen(session, DAY)["muted_until"] is None
    assert incident_actions.unmute(session, ids(session), actor="ada") == 0
    assert incident_actions.mute(session, [id_of(session, WARD)], None, actor="ada") == 1  # this time
    assert seen(session, WARD)["muted_until"] == "resolved"
    assert incident_actions.unmute(session, ids(session), actor="ada") == 1
    assert ids(session, muted=True) == []


def test_mute_that_is_extended_counts_from_its_beginning(session: BaseConnection, pack: Pack) -> None:
    """An opening that it has kept silent stays silent when its night is repeated; a mute that was over begins anew."""

    def muted_on() -> date:
        found = session.execute("SELECT DISTINCT muted_on FROM hdm_incident").fetchall()
        return found[0]["muted_on"] if len(found) == 1 else None  # type: ignore[no-any-return, return-value]  # a row has any type

    incident_actions.mute(session, ids(session), day(3), actor="ada")
    nights(pack, 1, GOOD, bad())
    incident_actions.mute(session, ids(session), day(4), actor="ada")
    assert muted_on() == day(0)
    nights(pack, 3, bad(), bad(), bad())
    incident_actions.mute(session, ids(session), day(9), actor="ada")
    assert muted_on() == day(5)


@pytest.mark.parametrize("until", [day(0), day(-1), date(1, 1, 1)])
def test_mute_until_a_date_that_is_over_is_refused(session: BaseConnection, pack: Pack, until: date) -> None:
    before = by_people(session)
    with pytest.raises(ConfigurationError, match="is not after 2024-05-01, the newest metric date"):
        incident_actions.mute(session, ids(session), until, actor="ada")
    assert by_people(session) == before
    assert incident_actions.mute(session, ids(session), day(1), actor="ada") == 2


def test_incident_is_not_judged_since_its_own_date_or_that_of_the_pack(session: BaseConnection, pack: Pack) -> None:
    """A night that judged nothing counts for all; a run under way, and one before the newest good night, do not."""
    nights(pack, 1, Night("failed"), bad(WARD), Night("skipped"), Night("failed"))
    nights(pack, 2, Night("success", alerts={WARD: "Warning"}, not_judged={DAY: ("error", "why")}))
    assert seen(session, WARD)["not_judged_since"] == day(3)
    assert seen(session, DAY)["not_judged_since"] == day(2)
    assert incident_list.counted(session, Filter()) == incident_list.Count(
        incidents=2, groups=1, not_judged=2, not_judged_since=day(2)
    )
    nights(pack, 5, bad(WARD, DAY))
    assert seen(session)["not_judged_since"] is None
    pack.start(day(6), HEART)
    assert incident_list.counted(session, Filter()).not_judged == 0


def test_action_of_several_packs_takes_their_locks_in_order(session: BaseConnection, pack: Pack) -> None:
    """While it waits for the first, it holds none that comes later: two sessions never wait for each other."""
    other = Pack(session, "another")
    other.activate(HEART)
    nights(other, 0, bad())
    done: list[int] = []

    def act() -> None:
        with HdmHook().session() as own:
            done.append(incident_actions.close(own, ids(own)[::-1], actor="ada"))

    thread = threading.Thread(target=act)
    with session.transaction():
        incident_lock.take(session, "another")
        thread.start()
        waiting = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        end = time.monotonic() + 60
        while not session.execute(waiting).rowcount:
            assert time.monotonic() < end
            time.sleep(0.05)
        with HdmHook().session() as third, third.transaction():
            incident_lock.take(third, "basic")
    thread.join(60)
    assert done == [4]


def test_action_that_ends_between_two_derivations_is_seen_by_the_next(session: BaseConnection, pack: Pack) -> None:
    """Closed with the first date at hand while the second was being derived: the second date reopens it."""
    one = [id_of(session, WARD)]
    pack.judge(day(1), bad())
    incident_actions.close(session, one, actor="ada", comment="put right")
    pack.derive()
    state = pack.states()[WARD]
    assert (state.state, state.opened_on) == ("open", day(1))
    kinds = [event["kind"] for event in incident_list.events(session, *one)]
    assert kinds == ["opened", "closed", "commented", "reopened"]


def test_group_is_one_endpoint_table_and_opening_date(session: BaseConnection, pack: Pack) -> None:
    nights(pack, 0, bad(), slug=LUNG)
    late = ("1", "visits", "late")
    nights(pack, 1, bad(WARD, DAY, late, ("1", "labs", "")))
    assert ids(session, group=id_of(session, late)) == [id_of(session, late)]
    assert len(ids(session, state="open")) == 6
    group = incident_list.grouped(session, Filter(endpoint=HEART), 10)
    assert [(row["table"], row["opened_on"], row["incidents"], row["columns"]) for row in group] == [
        ("labs", day(1), 1, 0),
        ("visits", day(1), 1, 1),
        ("visits", day(0), 2, 2),
    ]


def test_totals_are_those_of_the_newest_date(session: BaseConnection, pack: Pack) -> None:
    nights(pack, 0, bad(), slug=LUNG)
    nights(pack, 1, bad(WARD, ("2", "labs", ""), level="High"))
    (heart, lung) = incident_list.nights(session, Filter())
    assert (heart.endpoint, heart.date, heart.opened, heart.resolved) == (HEART, day(1), 1, 1)
    assert (lung.endpoint, lung.date, lung.opened, lung.resolved) == (LUNG, day(0), 2, 0)
    (heart,) = incident_list.nights(session, Filter(endpoint=HEART, level="High"))
    assert (heart.opened, heart.resolved) == (1, 0)


def test_many_incidents_are_changed_by_one_action(session: BaseConnection, pack: Pack) -> None:
    """One row of the audit trail, and each event with its actor."""
    keys = [("1", f"t{number}", "") for number in range(300)]
    nights(pack, 1, bad(*keys))
    assert incident_actions.acknowledge(session, ids(session, since=day(1)), actor="ada") == len(keys)
    rows = session.execute("SELECT actor, count(*) AS many FROM hdm_incident_event WHERE actor IS NOT NULL GROUP BY 1")
    assert rows.fetchall() == [{"actor": "ada", "many": len(keys)}]
    trail = session.execute("SELECT action, object, new FROM hdm_audit WHERE actor = 'ada'").fetchall()
    assert trail == [
        {"action": "incident acknowledged", "object": "hdm_incident: 300 of them", "new": {"incidents": 300}}
    ]


def test_times_of_people_are_theirs(session: BaseConnection, pack: Pack) -> None:
    """The metric date says what they saw; `at` says when they acted."""
    incident_actions.add_comment(session, ids(session), "hello", actor="ada")
    (row,) = session.execute("SELECT DISTINCT now() - at < interval '1 minute' AS fresh FROM hdm_incident_event")
    assert row["fresh"]
    assert day(0) == incident_list.events(session, ids(session)[0])[-1]["date"]


def test_close_that_a_late_date_makes_void_says_so(session: BaseConnection, pack: Pack) -> None:
    """It was not open then: its history keeps what somebody did, without effect."""
    nights(pack, 1, bad())
    incident_actions.close(session, [id_of(session, WARD)], actor="ada")
    before = pack.states()[WARD]
    assert (before.state, before.ended_on) == ("closed", day(1))
    nights(pack, 1, GOOD)  # repaired, and repeated: it was resolved before ada acted
    events = incident_list.events(session, id_of(session, WARD))
    assert [(event["kind"], event["withdrawn"]) for event in events] == [
        ("opened", False),
        ("resolved", False),
        ("closed", True),
    ]
    nights(pack, 1, bad())
    events = incident_list.events(session, id_of(session, WARD))
    assert [(event["kind"], event["withdrawn"]) for event in events] == [("opened", False), ("closed", False)]
    assert pack.states()[WARD] == before
