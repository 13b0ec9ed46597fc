"""Subscriptions against histories of incidents: what a reader knows from mails alone is what the base says.

Nights come in their order, several between two runs of the notifier, and people act in between. A reader keeps a
picture of what is open, from the mails of one subscription. It must hold everything that is open and meant, and nothing
else.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demo.services import Database, Postgres
from hdm_airflow.base import incident_actions, messages, subscriptions
from hdm_airflow.base.alerts import LEVELS
from hdm_airflow.base.hook import BaseConnection, HdmHook
from hdm_airflow.base.subscriptions import Filter, Subscription
from hdm_airflow.notify import decision
from tests.integration.incident_harness import TABLES, Pack, day
from tests.integration.incident_model import Key, Night
from tests.integration.notify_harness import SITE
from tests.integration.test_whole import SLUGS

pytestmark = pytest.mark.timeout(900)
KEYS: list[Key] = [("1", "t", "a"), ("2", "t", ""), ("3", "u", "b")]
USED = (*TABLES, "hdm_pack_run", "hdm_alerts", "hdm_not_judged", "hdm_core_mail_list", "hdm_told")
PACKS = (f"told_{number}" for number in count())
HEADS = {"New": True, "Back again": True, "Worse": True, "No longer muted": True, "Over": False}
ENDED = ("; already over", "; closed: ")

nights = st.tuples(
    st.sampled_from(SLUGS[:2]),
    st.builds(
        Night,
        st.sampled_from(["success", "success", "success", "partial", "failed"]),
        alerts=st.dictionaries(st.sampled_from(KEYS), st.sampled_from(LEVELS), max_size=3),
        not_judged=st.dictionaries(
            st.sampled_from(KEYS),
            st.tuples(st.sampled_from(["error", "no metrics", "usual", "gone"]), st.just("")),
            max_size=1,
        ),
    ),
)
acts = st.tuples(st.sampled_from(["mute", "mute until", "unmute", "accept", "close"]), st.integers(0, 5))
steps = st.lists(st.one_of(nights, nights, nights, acts, st.just("notify")), min_size=2, max_size=14)


@dataclass
class Reader:
    """Somebody who knows only the mails of one subscription."""

    wanted: Filter
    number: int
    open: set[tuple[str, str]] = field(default_factory=set)  # name of the database, and the object

    def read(self, text: str) -> None:
        head = ""
        for line in text.splitlines():
            found = re.fullmatch(r"([A-Z][a-z ]+): \d+", line)
            if found:
                head = found[1]
            elif not line:
                head = ""
            elif head in HEADS:
                _, database, name, *_ = line.removeprefix("- ").split(": ")
                one = (database.partition(" ")[0], name)
                is_open = HEADS[head] and not any(mark in line for mark in ENDED)
                (self.open.add if is_open else self.open.discard)(one)


@pytest.fixture(scope="module")
def shared(postgres: Postgres, base_template: Database) -> Iterator[BaseConnection]:
    """One base for all examples: each has a pack of its own."""
    database = postgres.create_database("notify_model", template=base_template.name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_HDM", database.dsn)
        with HdmHook().session() as session:
            session.execute("SET synchronous_commit = off")
            for slug in SLUGS[:2]:
                session.execute(
                    "INSERT INTO hdm_core_dblist (db_name, db_type) VALUES (split_part(%s, ':', 1), 'postgres')", [slug]
                )
            yield session
    postgres.drop_database(database.name)


@settings(max_examples=int(os.environ.get("HDM_TEST_EXAMPLES", "25")))
@given(steps=steps)
def test_picture_of_every_reader_is_what_is_open(shared: BaseConnection, steps: list[Any]) -> None:
    """Whatever happens between two mails; and a second run of the notifier is silent."""
    pack = Pack(shared, name=next(PACKS))
    pack.activate(*SLUGS[:2])
    shared.execute(f"TRUNCATE {', '.join(USED)}".encode())
    _decide(shared)
    wanted = [
        Filter(pack=pack.name),
        Filter(pack=pack.name, endpoint=SLUGS[0]),
        Filter(pack=pack.name, level="Warning"),
        Filter(pack=pack.name, level="High", endpoint=SLUGS[1]),
    ]
    readers = [
        Reader(one, subscriptions.add(shared, Subscription(recipients=("a@b.example",), filter=one), actor="ada"))
        for one in wanted
    ]
    number = 0
    for step in [*steps, "notify"]:
        if step == "notify":
            _tell(shared, readers)
            _compare(shared, pack.name, readers)
        elif isinstance(step[1], Night):
            slug, night = step
            number += 1
            pack.judge(day(number), night, slug)
            pack.derive()
        else:
            _act(shared, pack.name, *step, day(number), readers)


def _decide(base: BaseConnection) -> int:
    with messages.alone(base):
        return decision.decide(base, SITE, "en").messages


def _tell(base: BaseConnection, readers: list[Reader]) -> None:
    last = base.execute("SELECT coalesce(max(id), 0) AS id FROM hdm_message").fetchone()
    assert last is not None
    _decide(base)
    for reader in readers:
        rows = base.execute(
            "SELECT body FROM hdm_message WHERE id > %s AND subscription = %s", [last["id"], reader.number]
        ).fetchall()
        assert len(rows) <= 1, "one digest per subscription and run"
        for row in rows:
            reader.read(row["body"])
    assert _decide(base) == 0, "nothing has happened since"


def _incidents(base: BaseConnection, pack: str) -> list[dict[str, Any]]:
    """All of them; `muted` as people understand it: a date that the newest night of the endpoint has not passed."""
    query = """SELECT id, endpoint, state, level, concat_ws('.', "table", nullif("column", '')) AS name,
            split_part(endpoint, ':', 1) AS database, CASE WHEN muted_until = 'infinity'
                THEN state = 'open' AND muted_on >= opened_on
                ELSE coalesce(muted_until >= (
                    SELECT max("date") FROM hdm_incident_count AS count
                    WHERE count.rule_pack = incident.rule_pack AND count.endpoint = incident.endpoint
                ), false)
            END AS muted
        FROM hdm_incident AS incident WHERE rule_pack = %s"""
    return base.execute(query, [pack]).fetchall()


def _compare(base: BaseConnection, pack: str, readers: list[Reader]) -> None:
    for reader in readers:
        for row in _incidents(base, pack):
            one = (row["database"], row["name"])
            if row["muted"]:
                continue
            meant = reader.wanted.endpoint in (None, row["endpoint"])
            meant &= LEVELS.index(row["level"]) <= LEVELS.index(reader.wanted.level)
            if row["state"] == "open" and meant:
                assert one in reader.open, f"{one} is open, and nobody has told {reader.wanted}"
            if row["state"] != "open":
                assert one not in reader.open, f"{one} is over, and nobody has told {reader.wanted}"


def _act(base: BaseConnection, pack: str, act: str, which: int, today: Any, readers: list[Reader]) -> None:
    """Somebody does something with an incident. Who accepts or closes it knows: it leaves the pictures."""
    found = [row for row in _incidents(base, pack) if row["state"] == "open"]
    if not found:
        return
    row = found[which % len(found)]
    if act == "mute":
        incident_actions.mute(base, [row["id"]], None, actor="ada")
    elif act == "mute until":
        incident_actions.mute(base, [row["id"]], today.replace(day=min(today.day + 1 + which, 28)), actor="ada")
    elif act == "unmute":
        incident_actions.unmute(base, [row["id"]], actor="ada")
    else:
        {"accept": incident_actions.accept, "close": incident_actions.close}[act](base, [row["id"]], actor="ada")
        for reader in readers:
            reader.open.discard((row["database"], row["name"]))
