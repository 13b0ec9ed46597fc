"""Incidents against a model: whatever happens in whatever order, both tell the same."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from demo.services import Database, Postgres
from hdm_airflow.base import activation, runs
from hdm_airflow.base.gate import Gate
from hdm_airflow.base.hook import BaseConnection, HdmHook
from hdm_airflow.packs.pack import Requirement
from tests.integration.incident_harness import TABLES, Pack, day, versions
from tests.integration.incident_model import LEVELS, Event, Key, Model, Night
from tests.integration.test_whole import SLUGS, attempt, write

pytestmark = pytest.mark.timeout(900)  # thousands of transactions: on a busy machine, five minutes are not enough
ENDPOINTS = SLUGS[:2]
DATES = 5
#: Few, so that many dates have the same ones: each kind of object, and one without a rule.
KEYS: list[Key] = [("1", "", ""), ("1", "t", "a"), ("2", "t", ""), ("2", "u", "b"), ("", "t", "a")]
KINDS = ("no metrics", "no history", "not applicable", "error", "explained", "retired", "gone", "usual")
NAMES = ("t", "t.a", "u.b", "u", "s.t", "s.u.b", "2", "*", "")  # of what the ledger says is incomplete
PACKS = (f"pack {number}" for number in count())
USED = (*TABLES, "hdm_pack_run", "hdm_alerts", "hdm_not_judged", "hdm_core_table_corr_db_rp", "hdm_audit")
NO_ROW = Night("skipped")  # a date without a row of the ledger
GATED = Night("skipped")  # the gate did not let the rule pack run


@dataclass(frozen=True)
class Measured:
    """A run of the metric pack; `status` is '' if there is none."""

    status: str
    incomplete: tuple[str, ...] = ()


WHOLE, NO_RUN = Measured("success"), Measured("")
#: What precedes the run of a rule pack: mostly whole metrics. Nothing new: it finds those of before, if any.
MEASURED = st.one_of(
    st.just(WHOLE),
    st.just(WHOLE),
    st.just(WHOLE),
    st.sampled_from([NO_RUN, *map(Measured, ("failed", "skipped", "running"))]),
    st.builds(Measured, st.just("partial"), st.lists(st.sampled_from(NAMES[:-1]), max_size=2).map(tuple)),
)


def masks() -> st.SearchStrategy[Key]:
    return st.tuples(st.sampled_from(("1", "2", "")), st.sampled_from(("t", "u", "")), st.sampled_from(("a", "b", "")))


def nights(*statuses: str) -> st.SearchStrategy[Night]:
    return st.builds(
        Night,
        st.sampled_from(statuses),
        alerts=st.dictionaries(st.sampled_from(KEYS), st.sampled_from(LEVELS), max_size=len(KEYS)),
        not_judged=st.dictionaries(
            masks(), st.tuples(st.sampled_from(KINDS), st.sampled_from(("", "why"))), max_size=2
        ),
        incomplete=st.one_of(st.just(()), st.lists(st.sampled_from(NAMES), max_size=2).map(tuple)),
    )


ANY = nights("success", "success", "success", "partial", "failed", "skipped")
dates = st.integers(0, DATES - 1).map(day)
endpoints = st.sampled_from(ENDPOINTS)


@pytest.fixture(scope="module")
def shared(postgres: Postgres, base_template: Database) -> Iterator[BaseConnection]:
    """One base for all examples: each has a pack of its own."""
    database = postgres.create_database("incident_model", template=base_template.name)
    former = os.environ.get("AIRFLOW_CONN_HDM")
    os.environ["AIRFLOW_CONN_HDM"] = database.dsn
    try:
        with HdmHook().session() as session:
            session.execute("SET synchronous_commit = off")  # nobody ends the server
            yield session
    finally:
        os.environ.pop("AIRFLOW_CONN_HDM")
        if former is not None:
            os.environ["AIRFLOW_CONN_HDM"] = former
        postgres.drop_database(database.name)


def sorted_events(events: Iterable[Event]) -> list[Event]:
    kinds = ("opened", "reopened", "level", "judged", "not judged", "resolved", "closed")
    return sorted(events, key=lambda one: (one.date, kinds.index(one.kind)))


def as_counted(model: Model) -> dict[Any, Any]:
    """The totals as the model has them."""
    found: dict[Any, Any] = {}
    for when, night in model.nights.items():
        found[when] = {}
        for level in LEVELS:
            events = [one for life in model.lives.values() for one in life.events if one.date == when]
            kinds = [one.kind for one in events if one.level == level]
            lives = [life.at_night[when] for life in model.lives.values() if when in life.at_night]
            still = [one for one in lives if one.state == "open" and one.level == level]
            found[when][level] = {
                "alerts": sum(one == level for one in night.alerts.values()) if night.usable else 0,
                **{kind: kinds.count(kind) for kind in ("opened", "reopened", "resolved", "closed")},
                "open": len(still),
                "not_judged": sum(one.not_judged_since is not None for one in still),
            }
    return found


class Hospital(RuleBasedStateMachine):
    """One rule pack on two endpoints, and the metric pack that it waits for, of which it accepts partial metrics."""

    base: BaseConnection

    def __init__(self) -> None:
        super().__init__()
        self.pack = Pack(self.base, next(PACKS), reopen_days=2)
        self.pack.activate(*ENDPOINTS)
        self.models = {slug: Model(2) for slug in ENDPOINTS}
        self.now: dict[str, dict[Any, Night]] = {slug: {} for slug in ENDPOINTS}  # what a derivation would read
        self.pending: dict[str, set[Any]] = {slug: set() for slug in ENDPOINTS}
        self.running: dict[tuple[str, Any], tuple[dict[str, int], Night]] = {}
        self.active = set(ENDPOINTS)
        self.measured: dict[tuple[str, Any], Measured] = {}

    def teardown(self) -> None:
        """Leave nothing: a full base takes longer with each example."""
        self.base.execute(f"TRUNCATE {', '.join(USED)} CASCADE".encode())

    @rule(slug=endpoints, when=dates, metrics=MEASURED)
    def measure(self, slug: str, when: Any, metrics: Measured) -> None:
        """A run of the metric pack, repeated too: what was judged before stays so until it is judged again."""
        if metrics is not NO_RUN:
            one = attempt(self.pack.name, when)
            write(self.base, one, slug, metrics.status, metrics.incomplete)  # type: ignore[arg-type]  # as the ledger has it
            self.measured[slug, when] = metrics

    @rule(slug=endpoints, when=dates, metrics=MEASURED, night=ANY, killed=st.booleans())
    def run(self, slug: str, when: Any, metrics: Measured, night: Night, killed: bool) -> None:
        """A night, late or repeated too; the worker may be killed after the ledger."""
        if (slug, when) in self.running:
            return
        self.measure(slug, when, metrics)
        night = self._through_the_gate(slug, when, night)
        self.pack.judge(when, night, slug)
        self._ended(slug, when, night)
        if not killed:
            self.derive()

    @rule(slug=endpoints, metrics=MEASURED, night=ANY)
    def next_night(self, slug: str, metrics: Measured, night: Night) -> None:
        """The most frequent case."""
        when = max((*self.now[slug], day(-1))) + (day(1) - day(0))
        if (slug, when) not in self.running:
            self.run(slug, when, metrics, night, False)

    @precondition(lambda self: any(self.now.values()))
    @rule(data=st.data(), metrics=MEASURED, night=ANY, same=st.booleans())
    def again(self, data: st.DataObject, metrics: Measured, night: Night, same: bool) -> None:
        """The newest night once more, with the same results or others."""
        slug = data.draw(st.sampled_from([slug for slug in ENDPOINTS if self.now[slug]]))
        when = max(self.now[slug])
        self.run(slug, when, NO_RUN if same else metrics, self.now[slug][when] if same else night, False)

    @rule(slug=endpoints, nights=st.lists(st.tuples(st.integers(1, 2), st.booleans()), min_size=2, max_size=4))
    def repeat(self, slug: str, nights: list[tuple[int, bool]]) -> None:
        """Two dates, again and again, in order or all wrong: so events are withdrawn and come back."""
        for number, found in nights:
            night = Night("success", dict.fromkeys(KEYS[:2], "High") if found else {})
            self.run(slug, day(number), WHOLE, night, False)

    @rule(slug=endpoints, when=dates, metrics=MEASURED, night=ANY)
    def start(self, slug: str, when: Any, metrics: Measured, night: Night) -> None:
        """An attempt that has written its results and still runs, or whose worker has died."""
        if (slug, when) not in self.running:
            self.measure(slug, when, metrics)
            night = self._through_the_gate(slug, when, night)
            if night is GATED:
                return
            ids = self.pack.start(when, slug)
            self.pack.write(when, night, slug)
            self.running[slug, when] = ids, night
            self.now[slug].setdefault(when, NO_ROW)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), fails=st.booleans())
    def end(self, data: st.DataObject, fails: bool) -> None:
        """It ends."""
        slug, when = data.draw(st.sampled_from(sorted(self.running)))
        ids, night = self.running.pop((slug, when))
        night = Night("failed") if fails or night.status == "skipped" else night
        self.pack.close(ids, when, night)
        self._ended(slug, when, night)

    @rule()
    def derive(self) -> None:
        """It takes in what is pending, but nothing where an attempt is running on a date that it would fold again."""
        told = self.pack.derive()
        assert told.warnings == [] or all("without a rule id" in one for one in told.warnings)
        for slug, model in self.models.items():
            fresh = {when: self.now[slug][when] for when in self.pending[slug]}
            seen = {when: night for when, night in fresh.items() if (slug, when) not in self.running}
            begins = [when for when in fresh if when in model.nights or (when in seen and seen[when].usable)]
            busy = [when for one, when in self.running if one == slug and when in model.nights]
            if begins and any(when >= min(begins) for when in busy):
                continue
            model.derive(seen, self.now[slug])
            self.pending[slug].clear()
            if slug not in self.active:
                for key in model.open():
                    model.people_close(key, "deactivated")
        before = versions(self.base)
        assert self.pack.derive().events == {}
        assert versions(self.base) == before

    @precondition(lambda self: any(model.open() for model in self.models.values()))
    @rule(data=st.data(), kind=st.sampled_from(("closed", "accepted")))
    def person(self, data: st.DataObject, kind: str) -> None:
        """Somebody closes or accepts an incident."""
        choices = [(slug, key) for slug, model in self.models.items() for key in model.open()]
        closed_as = "accepted" if kind == "accepted" else "by hand"
        for slug, key in data.draw(st.lists(st.sampled_from(choices), min_size=1, max_size=3, unique=True)):
            when = self.models[slug].people_close(key, closed_as)
            self.pack.people(slug, key, kind, closed_as, when)

    @precondition(lambda self: self.active)
    @rule(data=st.data())
    def deactivate(self, data: st.DataObject) -> None:
        slug = data.draw(st.sampled_from(sorted(self.active)))
        self.active.remove(slug)
        assert activation.change(self.base, [("rule", self.pack.name, slug)], active=False, actor="ada").cells
        for key in self.models[slug].open():
            self.models[slug].people_close(key, "deactivated")

    @precondition(lambda self: len(self.active) < len(ENDPOINTS))
    @rule()
    def activate(self) -> None:
        for slug in set(ENDPOINTS) - self.active:
            self.pack.activate(slug)
        self.active = set(ENDPOINTS)

    @invariant()
    def same(self) -> None:
        """States, events and totals are the model's."""
        for slug, model in self.models.items():
            assert self.pack.states(slug) == {key: life.state for key, life in model.lives.items()}
            history = {key: sorted_events(life.history.values()) for key, life in model.lives.items()}
            assert self.pack.history(slug) == history
            assert self.pack.acts(slug) == {key: life.people for key, life in model.lives.items() if life.people}
            assert self.pack.counts(slug) == as_counted(model)

    @invariant()
    def evidence(self) -> None:
        """Each resolution rests on a usable date without the alert; each usable date's alerts have incidents."""
        for slug in ENDPOINTS:
            if not self._is_derived(slug):
                continue
            values = [self.pack.name, slug]
            wrong = self.base.execute(
                """SELECT FROM hdm_incident AS incident JOIN hdm_incident_event AS event ON event.incident = incident.id
                WHERE rule_pack = %s AND endpoint = %s AND event.kind = 'resolved' AND actor IS NULL
                    AND NOT withdrawn AND (
                    NOT EXISTS (
                        SELECT FROM hdm_whole AS whole WHERE whole.kind = 'rule' AND whole.pack = rule_pack
                            AND whole.endpoint = incident.endpoint AND whole."date" = event."date"
                    ) OR EXISTS (
                        SELECT FROM hdm_alerts AS alert WHERE alert."date" = event."date"
                            AND alert.endpoint = incident.endpoint AND alert.rule_pack = incident.rule_pack
                            AND coalesce(alert.rule_id, '') = incident.rule_id
                            AND coalesce(alert."table", '') = incident."table"
                            AND coalesce(alert."column", '') = incident."column"
                    )
                )""",
                values,
            ).fetchall()
            lost = self.base.execute(
                """SELECT FROM hdm_whole AS whole JOIN hdm_alerts AS alert ON alert."date" = whole."date"
                    AND alert.endpoint = whole.endpoint AND alert.rule_pack = whole.pack
                WHERE whole.kind = 'rule' AND pack = %s AND whole.endpoint = %s AND NOT EXISTS (
                    SELECT FROM hdm_incident AS incident WHERE incident.rule_pack = alert.rule_pack
                        AND incident.endpoint = alert.endpoint AND incident.rule_id = coalesce(alert.rule_id, '')
                        AND incident."table" = coalesce(alert."table", '')
                        AND incident."column" = coalesce(alert."column", '') AND first_on <= alert."date"
                )""",
                values,
            ).fetchall()
            assert (wrong, lost) == ([], [])

    @invariant()
    def metrics(self) -> None:
        """No alert of a usable date and no resolution without metrics of that date, whole for what it is about."""
        wrong = self.base.execute(
            """WITH judged AS MATERIALIZED (
                SELECT DISTINCT ON (run.endpoint, run.metric_date) run.endpoint, run.metric_date AS "date", run.status,
                    (
                        SELECT CASE metric.status
                            WHEN 'success' THEN '[]' WHEN 'partial' THEN coalesce(nullif(incomplete, '[]'), '["*"]')
                            ELSE '["nothing"]'
                        END
                        FROM hdm_pack_run AS metric
                        WHERE metric.kind = 'metric' AND metric.pack = run.pack AND metric.endpoint = run.endpoint
                            AND metric.metric_date = run.metric_date AND metric.id < run.id
                        ORDER BY metric.id DESC LIMIT 1
                    ) AS lacks
                FROM hdm_pack_run AS run
                WHERE run.kind = 'rule' AND run.pack = %(pack)s AND (run.derived OR run.status <> 'running')
                ORDER BY run.endpoint, run.metric_date, run.id DESC
            )
            SELECT judged.* FROM judged
            WHERE status IN ('success', 'partial') AND (lacks IS NULL OR lacks ? 'nothing')
            UNION ALL
            SELECT judged.* FROM hdm_incident AS incident
            JOIN hdm_incident_event AS event ON event.incident = incident.id
            JOIN judged ON judged.endpoint = incident.endpoint AND judged."date" = event."date"
            WHERE incident.rule_pack = %(pack)s AND event.kind = 'resolved' AND actor IS NULL AND NOT withdrawn
                AND judged.endpoint = ANY(%(derived)s) AND (
                    lacks IS NULL OR lacks ?| ARRAY['*', 'nothing', "table", "table" || '.' || "column"]
                )""",
            {"pack": self.pack.name, "derived": [slug for slug in ENDPOINTS if self._is_derived(slug)]},
        ).fetchall()
        assert wrong == []

    def _is_derived(self, slug: str) -> bool:
        return not self.pending[slug] and all(one != slug for one, _ in self.running)

    def _through_the_gate(self, slug: str, when: Any, night: Night) -> Night:
        """What a rule pack can leave, by the metrics of the date: whole ones, partial ones, none. The gate agrees."""
        metrics = self.measured.get((slug, when), NO_RUN)
        rows = runs.newest(self.base, attempt(self.pack.name, when, "rule"), [self.pack.name], [slug])
        verdict = Gate(
            requires=(Requirement(name=self.pack.name, explicit=True),),
            activated=frozenset(),
            runs={(run.pack, run.endpoint): run for run in rows if run.kind == "metric"},
            accepts_partial=True,
            require_reports=False,
        ).judge(slug)
        assert verdict.passed == (metrics.status in {"success", "partial"})
        if not verdict.passed:
            return GATED
        lacks = metrics.incomplete or (("*",) if metrics.status == "partial" else ())
        assert set(verdict.unproven) == set(lacks)
        return replace(night, incomplete=tuple(dict.fromkeys((*night.incomplete, *lacks))))

    def _ended(self, slug: str, when: Any, night: Night) -> None:
        self.now[slug][when] = night
        self.pending[slug].add(when)


def test_incidents_are_those_of_the_model(shared: BaseConnection) -> None:
    """Nights that succeed, fail, are partial, gated, late, repeated or killed; people, and endpoints that go."""
    machine = type("Machine", (Hospital,), {"base": shared})
    run_state_machine_as_test(machine, settings=settings(max_examples=20, stateful_step_count=20, deadline=None))


@settings(max_examples=20, deadline=None)
@given(
    nights=st.lists(nights("success", "success", "partial", "failed", "skipped"), min_size=2, max_size=6),
    data=st.data(),
)
def test_order_of_arrival_does_not_matter(shared: BaseConnection, nights: list[Night], data: st.DataObject) -> None:
    """The same nights in another order, some derived together, give the same incidents, events and totals."""
    order = data.draw(st.permutations(range(len(nights))))
    together = data.draw(st.sets(st.sampled_from(order), max_size=3))
    made = []
    for numbers, killed in ((range(len(nights)), set()), (order, together)):
        pack = Pack(shared, next(PACKS), reopen_days=2)
        pack.activate(*ENDPOINTS)
        for number in numbers:
            pack.judge(day(number), nights[number])
            if number not in killed:
                pack.derive()
        pack.derive()
        events = {key: [replace(one, silent=False) for one in found] for key, found in pack.events().items()}
        made.append((pack.states(), events, pack.counts()))
    assert made[0] == made[1]
