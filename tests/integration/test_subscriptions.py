"""Subscriptions: rows of ours and of the original, what is refused, and what the audit trail says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from demo.services import Database
from hdm_airflow.admin import subscriptions as admin
from hdm_airflow.admin.subscriptions import Wish
from hdm_airflow.base import audit, endpoints, subscriptions
from hdm_airflow.base.hook import BaseConnection, HdmHook
from hdm_airflow.base.subscriptions import Filter, Subscription
from hdm_airflow.errors import ConfigurationError

WARD = "ward@hospital.example"
HEART = endpoints.Endpoint(name="heart", type="postgres", host="db")


@pytest.fixture
def session(base: Database) -> Iterator[BaseConnection]:
    with HdmHook().session() as opened:
        endpoints.add(opened, HEART, None, actor="ada")
        opened.execute("INSERT INTO hdm_core_table_corr_db_rp VALUES ('basic', %s)", [HEART.slug])
        yield opened


def stored(base: BaseConnection, **columns: Any) -> Subscription:
    """A row as some program has written it."""
    names = {"mail": WARD, **columns}
    query = (
        f"INSERT INTO hdm_core_mail_list ({', '.join(names)}) VALUES ({', '.join(['%s'] * len(names))}) RETURNING id"
    )
    row = base.execute(query.encode(), list(names.values())).fetchone()
    assert row is not None
    (found,) = subscriptions.listed(base, [row["id"]])
    return found


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (None, Filter()),
        ("", Filter()),
        ("High", Filter(level="High")),
        ("high,warning", Filter(level="Warning")),
        ('["High","DATA"]', Filter(level="High", classes=("DATA",))),
        ("'High', 'METRIQUE', 'SCHEMA'", Filter(level="High", classes=("METRIQUE", "SCHEMA"))),
        ("alert_level=High, alert_class=DATA", Filter(level="High", classes=("DATA",))),
        ('{"alert_level": ["Warning", "High"]}', Filter(level="Warning")),
        ('[{"alert_class": "data"}, {"level": "Info"}]', Filter(classes=("DATA",))),
        ('{"tags": ["icu", "night"], "owner": "team = a"}', Filter(tags=("icu", "night"), owner="team = a")),
    ],
)
def test_filters_of_the_original_are_read_word_by_word(
    session: BaseConnection, filters: str | None, expected: Filter
) -> None:
    """Two of them mean both, not one literal that nothing matches."""
    found = stored(session, filters=filters)
    assert (found.filter, found.flaw) == (expected, "")


@pytest.mark.parametrize(
    ("columns", "flaw"),
    [
        ({"mail": None}, "it has no address"),
        ({"mail": "ward"}, "'ward' is no mail address"),
        ({"mail": "a@b.example, x\r\nBcc:@"}, "'x' is no mail address"),
        ({"type": "mp"}, "it is of a metric pack: only rule packs raise alerts"),
        ({"filters": "table=patients"}, "the filter 'table' is unknown"),
        ({"filters": "level=Fatal"}, "'Fatal' is no level"),
        ({"filters": "[1]"}, "the filter 1 is no text"),
        ({"filters": '{"tags": {"a": 1}}'}, "the filter 'tags' is no text"),
        ({"filters": "[" * 100_000}, "the filter"),
        ({"channel": "apprise", "mail": "a b"}, "it has several connections: each needs a subscription of its own"),
    ],
)
def test_row_that_cannot_be_read_says_why_and_others_are_served(
    session: BaseConnection, columns: dict[str, Any], flaw: str
) -> None:
    """It is never taken for one without filters."""
    assert stored(session, **columns).flaw.startswith(flaw)
    assert stored(session).flaw == ""


def test_old_forms_of_pack_and_slug_are_read(session: BaseConnection) -> None:
    """As activation has them."""
    found = stored(
        session, key="rp_basic", db_key="heart:postgres:db:::False", type="rp", mail=f"{WARD}; lab@b.example"
    )
    assert found.filter == Filter(pack="basic", endpoint=HEART.slug)
    assert found.recipients == (WARD, "lab@b.example")


def test_what_a_person_states_is_stored_and_audited(session: BaseConnection) -> None:
    """Add, change, remove: each with what it was and is."""
    wish = Wish(recipients=[WARD], pack="rp_basic", endpoint="heart", level="High", tags=["icu"], language="fr")
    number = admin.add(session, wish, actor="ada")
    (one,) = subscriptions.listed(session)
    assert one.filter == Filter(pack="basic", endpoint=HEART.slug, level="High", tags=("icu",))
    assert (one.id, one.language, one.resolved, one.heartbeat, one.since is None) == (number, "fr", True, False, False)
    assert admin.change(session, number, Wish(pack="", tags=[""], heartbeat=True), actor="bob")
    assert not admin.change(session, number, Wish(heartbeat=True), actor="bob")
    (one,) = subscriptions.listed(session)
    assert (one.filter, one.heartbeat) == (Filter(endpoint=HEART.slug, level="High"), True)
    admin.remove(session, one, actor="cy")
    assert subscriptions.listed(session) == []
    trail = [(entry.actor, entry.action, entry.object) for entry in audit.listed(session, object="hdm_core_mail_list")]
    assert trail == [
        ("cy", "subscription remove", f"hdm_core_mail_list {number}"),
        ("bob", "subscription change", f"hdm_core_mail_list {number}"),
        ("ada", "subscription add", f"hdm_core_mail_list {number}"),
    ]


@pytest.mark.parametrize(
    ("wish", "what"),
    [
        (Wish(), "no address"),
        (Wish(recipients=["ward"]), "no mail address"),
        (Wish(recipients=["a..b@hospital.example"]), "no mail address"),
        (Wish(recipients=["médecin@hospital.example"]), "no mail address"),
        (Wish(recipients=[f"a{number}@b.example" for number in range(101)]), "101 addresses"),
        (Wish(recipients=[WARD], pack="none"), "no rule pack 'none'"),
        (Wish(recipients=[WARD], endpoint="lungs"), "no endpoint 'lungs'"),
        (Wish(recipients=[WARD], alert_class="OTHER"), "no class 'OTHER'"),
        (Wish(recipients=[WARD], owner="a\x00b"), "not valid text"),
        (Wish(recipients=[WARD], tags=["x" * 201]), "too long"),
        (Wish(recipients=["a", "b"], channel="apprise"), "exactly one connection"),
        (Wish(recipients=["json://user:secret@host?"], channel="apprise"), "exactly one connection"),
    ],
)
def test_what_nobody_can_be_told_by_is_refused(session: BaseConnection, wish: Wish, what: str) -> None:
    """Nothing is stored."""
    with pytest.raises(ConfigurationError) as failure:
        admin.add(session, wish, actor="ada")
    assert what in failure.value.what
    assert subscriptions.listed(session) == []


def test_flawed_row_is_mended_by_a_change(session: BaseConnection) -> None:
    """What is not stated anew and cannot be read is dropped: the filter of nobody knows what."""
    number = stored(session, filters="table=patients").id
    assert admin.change(session, number, Wish(level="High"), actor="ada")
    (one,) = subscriptions.listed(session)
    assert (one.flaw, one.filter, one.recipients) == ("", Filter(level="High"), (WARD,))


def test_viewer_subscribes_only_what_a_writer_has_allowed(session: BaseConnection) -> None:
    """An address or its domain, whatever the case; never a connection, and no subdomain."""
    for pattern in (WARD, "@Lab.example"):
        assert admin.allow(session, pattern, actor="ada")
        assert not admin.allow(session, pattern, actor="ada")
    for address in ("WARD@hospital.example", "x@lab.EXAMPLE"):
        admin.add(session, Wish(recipients=[address]), actor="eve", is_writer=False)
    for wish in (
        Wish(recipients=["other@hospital.example"]),
        Wish(recipients=["x@sub.lab.example"]),
        Wish(recipients=[WARD, "x@evil.example"]),
        Wish(recipients=["chat"], channel="apprise"),
    ):
        with pytest.raises(ConfigurationError):
            admin.add(session, wish, actor="eve", is_writer=False)
    assert admin.disallow(session, "@lab.example", actor="ada")
    with pytest.raises(ConfigurationError):
        admin.add(session, Wish(recipients=["x@lab.example"]), actor="eve", is_writer=False)
    with pytest.raises(ConfigurationError):
        admin.allow(session, "hospital.example", actor="ada")
    trail = [entry.action for entry in audit.listed(session, object="hdm_mail_allowed")]
    assert trail == ["address disallow", "address allow", "address allow"]
