"""The matrix of packs and endpoints."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdm_airflow.base import activation, configuration, endpoints, matrix, runs
from hdm_airflow.base.endpoints import Endpoint, canonical
from hdm_airflow.base.hook import HdmHook
from hdm_airflow.base.matrix import Filters
from tests.integration.test_activation import statements
from tests.integration.test_whole import attempt, write

TODAY = datetime.now(UTC).date()
YESTERDAY = TODAY - timedelta(days=1)
HEART = Endpoint(name="100% cœur", type="postgres", host="fe80::1", port="5432", user="hdm")
OLD_HEART = "100% cœur:postgres:fe80::1:5432:hdm:False"
LUNGS = Endpoint(name="lungs", type="mysql", host="db1")
WARD, TWIN = (Endpoint(name="ward", type="sqlite", host=f"/{name}.sqlite") for name in "ab")
EVERY = [HEART, LUNGS, WARD, TWIN]
METRIC, RULE, OTHER = ("metric", "basic"), ("rule", "basic"), ("metric", "other")
PACKS: Any = [METRIC, RULE, OTHER]


@pytest.fixture
def session(base: Any) -> Any:
    """A base with four endpoints."""
    with HdmHook().session() as connection:
        for endpoint in reversed(EVERY):
            endpoints.add(connection, endpoint, None, actor="ada")
        yield connection


def activate(session: Any, *cells: Any) -> None:
    activation.change(session, list(cells), active=True, actor="ada")


def ran(session: Any, pack: Any, endpoint: Endpoint, when: date, status: Any) -> None:
    write(session, attempt(pack[1], when, pack[0]), endpoint.slug, status)


def names(session: Any, filters: Filters = Filters(), packs: Any = PACKS) -> list[str]:  # noqa: B008  # it is frozen
    index = matrix.index(session, filters, packs)
    return [row.slug if not row.registered else row.name for row in matrix.rows(session, index.keys, packs)]


def bits(session: Any) -> dict[str, list[int]]:
    rows = matrix.rows(session, matrix.index(session, Filters(), PACKS).keys, PACKS)
    return {row.slug: [matrix.ALPHABET.index(letter) for letter in row.cells] for row in rows}


def test_rows_are_in_the_order_of_names_then_slugs_and_strangers_last(session: Any) -> None:
    """By code points, so that every base sorts alike."""
    activate(session, ("metric", "basic", "zombie:postgres:x:::false"), ("rule", "other", "garbage"))
    assert names(session) == ["100% cœur", "lungs", "ward", "ward", "garbage", "zombie:postgres:x:::false"]
    rows = matrix.rows(session, matrix.index(session, Filters(), PACKS).keys, PACKS)
    assert [row.host for row in rows] == ["fe80::1", "db1", "/a.sqlite", "/b.sqlite", "", "x"]
    assert [row.slug for row in rows[:4]] == [one.slug for one in EVERY]
    assert [row.key for row in rows[4:]] == ["garbage", "zombie:postgres:x:::false"]
    assert [row.registered for row in rows] == [True] * 4 + [False] * 2


def test_an_old_form_of_a_registered_slug_is_no_stranger(session: Any) -> None:
    """Its activation and configuration are the endpoint's."""
    session.execute("INSERT INTO hdm_core_table_corr_db_rp VALUES ('basic', %s)", [OLD_HEART])
    session.execute("INSERT INTO hdm_pack_metric_conf VALUES (%s, 'basic', NULL, '')", [f"basic:{OLD_HEART}"])
    assert bits(session) == {HEART.slug: [2, 1, 0], LUNGS.slug: [0] * 3, WARD.slug: [0] * 3, TWIN.slug: [0] * 3}
    cell = matrix.cell(session, "rule", "basic", HEART.slug)
    assert (cell.active, cell.configured) == (True, False)
    assert matrix.cell(session, "metric", "basic", HEART.slug).configured
    assert names(session, Filters(active=True)) == ["100% cœur"]
    assert names(session, Filters(search="cœur", active=True, packs=(RULE,))) == ["100% cœur"]
    assert names(session, Filters(search="FE80")) == ["100% cœur"]


def test_a_cell_has_its_bits(session: Any) -> None:
    """Active, configured for this endpoint, older than the pack's newest date, and the last state."""
    activate(session, (*METRIC, HEART.slug), (*RULE, LUNGS.slug))
    configuration.write(session, "metric", "basic", "{}", actor="ada", slug=HEART.slug)
    configuration.write(session, "metric", "basic", "{}", actor="ada", version="1.0")  # external: of no endpoint
    for number, status in enumerate(("success", "partial", "failed", "skipped")):
        ran(session, METRIC, EVERY[number], YESTERDAY if number else TODAY, status)
    ids = runs.reserve(session, [LUNGS.slug])
    runs.start(session, attempt("basic", TODAY, "rule"), ids)
    assert bits(session) == {
        HEART.slug: [1 + 2 + 8, 0, 0],
        LUNGS.slug: [4 + 16, 1 + 40, 0],
        WARD.slug: [4 + 24, 0, 0],
        TWIN.slug: [4 + 32, 0, 0],
    }


def test_a_metric_date_after_tomorrow_makes_nothing_old(session: Any) -> None:
    """Somebody has mistyped it."""
    ran(session, METRIC, HEART, TODAY, "success")
    ran(session, METRIC, LUNGS, TODAY + timedelta(days=400), "failed")
    assert [one[0] for one in bits(session).values()] == [8, 24, 0, 0]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        (Filters(search="lung"), ["lungs"]),
        (Filters(search="_"), []),
        (Filters(types=("mysql", "sqlite")), ["lungs", "ward", "ward"]),
        (Filters(hosts=("db1", "/a.sqlite")), ["lungs", "ward"]),
        (Filters(types=("mysql",), hosts=("/a.sqlite",)), []),
        (Filters(state="failed"), ["lungs", "ward"]),
        (Filters(state="failed", active=True), ["lungs"]),
        (Filters(state="failed", active=False), ["ward"]),
        (Filters(state="failed", kind="rule"), ["ward"]),
        (Filters(state="failed", packs=(METRIC,)), ["lungs"]),
        (Filters(state="old"), ["lungs"]),
        (Filters(state="none", active=True), ["stranger"]),
        (Filters(state="none", packs=(METRIC,)), ["ward", "ward", "stranger"]),
        (Filters(active=True), ["100% cœur", "lungs", "stranger"]),
        (Filters(active=True, kind="rule"), ["stranger"]),
        (Filters(active=False, kind="metric", packs=(METRIC,)), ["ward", "ward", "stranger"]),
        (Filters(kind="rule", packs=(METRIC,)), ["100% cœur", "lungs", "ward", "ward", "stranger"]),
        (Filters(search="stranger", types=("mysql",)), []),
    ],
)
def test_filters_choose_rows(session: Any, filters: Filters, found: list[str]) -> None:
    """Those of cells hold for one cell of the packs that are looked at."""
    activate(session, (*METRIC, HEART.slug), (*METRIC, LUNGS.slug), (*RULE, "stranger"))
    ran(session, METRIC, HEART, TODAY, "success")
    ran(session, METRIC, LUNGS, YESTERDAY, "failed")
    ran(session, RULE, WARD, TODAY, "failed")
    assert names(session, filters) == found


def test_the_digest_changes_with_the_rows_only(session: Any) -> None:
    """A bulk change of what a filter shows refers to it."""
    before = matrix.index(session, Filters(), PACKS)
    activate(session, (*METRIC, HEART.slug))
    assert matrix.index(session, Filters(), PACKS) == before
    endpoints.remove(session, endpoints.find(session, LUNGS.slug), actor="ada")
    after = matrix.index(session, Filters(), PACKS)
    assert after.digest != before.digest
    assert matrix.slugs(session, before.keys) == [HEART.slug, WARD.slug, TWIN.slug]
    assert len(matrix.rows(session, before.keys, PACKS)) == 3
    assert matrix.slugs(session, after.keys[::-1]) == [TWIN.slug, WARD.slug, HEART.slug]


def test_packs_are_all_that_the_base_knows(session: Any) -> None:
    """Recorded by an attempt, activated, or configured; the version recorded last."""
    session.execute(
        """INSERT INTO hdm_pack (kind, name, version, sha256, recorded_at) VALUES
        ('metric', 'ran', '1.0', '', '2024-05-02'), ('metric', 'ran', '2.0', '', '2024-05-01')"""
    )
    activate(session, ("rule", "b", "x"), ("metric", "B", "x"), ("metric", "ran", "x"))
    configuration.write(session, "rule", "a", "{}", actor="ada", version="1.0")
    configuration.write(session, "metric", "z", "{}", actor="ada", slug="x")
    found = [(one.kind, one.name, one.version) for one in matrix.packs(session)]
    assert found == [
        ("metric", "B", ""), ("metric", "ran", "1.0"), ("metric", "z", ""), ("rule", "a", ""), ("rule", "b", "")
    ]  # fmt: skip


def test_facets_are_those_of_registered_endpoints(session: Any) -> None:
    assert matrix.facets(session) == matrix.Facets(
        types=["mysql", "postgres", "sqlite"], hosts=["/a.sqlite", "/b.sqlite", "db1", "fe80::1"], endpoints=4
    )


def test_one_cell_has_its_last_run_and_change(session: Any) -> None:
    assert matrix.cell(session, "metric", "basic", HEART.slug) == matrix.Cell(
        active=False, configured=False, run=None, changed=None
    )
    activate(session, (*METRIC, HEART.slug))
    ran(session, METRIC, HEART, YESTERDAY, "success")
    ran(session, METRIC, HEART, TODAY, "failed")
    cell = matrix.cell(session, "metric", "basic", HEART.slug)
    assert cell.active
    assert cell.run is not None
    assert (cell.run.status, cell.run.metric_date) == ("failed", TODAY)
    assert cell.changed is not None
    assert (cell.changed.actor, cell.changed.new) == ("ada", True)


def test_an_empty_base_has_an_empty_matrix(base: Any) -> None:
    with HdmHook().session() as session:
        assert matrix.packs(session) == []
        assert matrix.index(session, Filters(), []).keys == []
        assert matrix.rows(session, [], []) == []
        assert matrix.facets(session) == matrix.Facets(types=[], hosts=[], endpoints=0)


def test_the_number_of_statements_does_not_grow(session: Any) -> None:
    """At most three for an index without a state, and three for rows."""
    keys = matrix.index(session, Filters(), PACKS).keys
    session.execute("INSERT INTO hdm_core_table_corr_db_rp VALUES ('basic', %s)", [OLD_HEART])
    assert statements(session, lambda: matrix.index(session, Filters(search="h"), PACKS)) <= 3
    assert statements(session, lambda: matrix.rows(session, keys, PACKS)) <= 3


@pytest.fixture
def shared(base: Any) -> Any:
    """A base that examples share."""
    with HdmHook().session() as connection:
        yield connection


def wipe(session: Any) -> None:
    for table in ("core_table_corr_db_mp", "core_table_corr_db_rp", "pack_metric_conf", "pack_rule_conf", "pack_run"):
        session.execute(f"DELETE FROM hdm_{table}")


def modelled(active: Any, configured: Any, ran_: Any, slug: str) -> list[tuple[int, str]]:
    """The bits and the state of the cells of a row; runs are (pack, slug, date, status), in the order of their ids."""
    cells = []
    for pack in PACKS:
        dates = [when for one, _, when, _ in ran_ if one == pack]
        own = sorted(
            (when, number) for number, (one, where, when, _) in enumerate(ran_) if (one, where) == (pack, slug)
        )
        state = ran_[own[-1][1]][3] if own else "none"
        is_old = bool(own) and own[-1][0] < max(dates)
        bits = ((pack, slug) in active) + 2 * ((pack, slug) in configured) + 4 * is_old
        cells.append((bits + 8 * matrix.STATES.index(state), state))
    return cells


def test_cells_and_filters_are_those_of_a_model(shared: Any) -> None:
    """Any activations, configurations and runs, in any form of the slugs, give what a plain loop gives."""
    slugs = [HEART.slug, OLD_HEART, LUNGS.slug, "stranger"]
    cells = st.sets(st.tuples(st.sampled_from(PACKS), st.sampled_from(slugs)))
    states = st.sampled_from(["success", "partial", "failed", "skipped"])
    run = st.tuples(st.sampled_from(PACKS), st.sampled_from(slugs[::2]), st.sampled_from([YESTERDAY, TODAY]), states)
    for endpoint in (HEART, LUNGS):
        endpoints.add(shared, endpoint, None, actor="ada")

    @settings(max_examples=60, deadline=None)
    @given(
        active=cells,
        configured=cells,
        ran_=st.lists(run, max_size=6),
        state=st.sampled_from([None, "success", "partial", "failed", "skipped", "running", "none", "old"]),
        wanted=st.sampled_from([None, True, False]),
        looked=st.sets(st.sampled_from(PACKS)),
    )
    def check(active: Any, configured: Any, ran_: Any, state: Any, wanted: Any, looked: Any) -> None:
        wipe(shared)
        for (kind, pack), slug in active:
            shared.execute(f"INSERT INTO hdm_core_table_corr_db_{kind[0]}p VALUES (%s, %s)", [pack, slug])
        for (kind, pack), slug in configured:
            row = [f"{pack}:{slug}", pack]
            shared.execute(f"INSERT INTO hdm_pack_{kind}_conf (id_config, pack_name) VALUES (%s, %s)", row)
        for (kind, pack), slug, when, status in ran_:
            write(shared, attempt(pack, when, kind), slug, status)
        active, configured = ({(pack, canonical(slug)) for pack, slug in one} for one in (active, configured))
        places = [HEART.slug, LUNGS.slug, *(["stranger"] if "stranger" in {slug for _, slug in active} else [])]
        model = {slug: modelled(active, configured, ran_, slug) for slug in places}
        every = matrix.rows(shared, matrix.index(shared, Filters(), PACKS).keys, PACKS)
        assert {row.slug: [matrix.ALPHABET.index(one) for one in row.cells] for row in every} == {
            slug: [bits for bits, _ in row] for slug, row in model.items()
        }
        counted = matrix.count_active(shared, sorted(looked), places[:2])
        assert counted == len({one for one in active if one[0] in looked and one[1] in places[:2]})
        seen = {
            slug: any(
                (state in {None, one} or (state == "old" and bits & 4)) and wanted in {None, bool(bits & 1)}
                for pack, (bits, one) in zip(PACKS, row, strict=True)
                if not looked or pack in looked
            )
            for slug, row in model.items()
        }
        filters = Filters(state=state, active=wanted, packs=tuple(looked))
        found = matrix.slugs(shared, matrix.index(shared, filters, PACKS).keys)
        assert found == [slug for slug in places if seen[slug]]

    check()
