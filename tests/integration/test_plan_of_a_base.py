"""The plan of one attempt, read from a base: which of its rows count, and which do not."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from hdm_airflow.base import activation, configuration, endpoints, packs, runs
from hdm_airflow.base.configuration import NONE
from hdm_airflow.base.endpoints import Endpoint
from hdm_airflow.base.hook import HdmHook
from hdm_airflow.base.runs import Attempt, Outcome
from hdm_airflow.errors import ConfigurationError
from hdm_airflow.operators import plan
from hdm_airflow.packs.manifest import Manifest
from hdm_airflow.packs.pack import Pack, Requirement

TODAY = date(2024, 5, 1)
HEART, KIDNEY, LUNGS = (
    Endpoint(name=name, type="mysql", host="db", port="3306", user="hdm") for name in ("heart", "kidney", "lungs")
)
# The rule pack has the name of the metric pack that it requires, as those of the norm often do.
RULES = Pack(
    kind="rule",
    name="basic",
    version="1.2.0",
    folder="rule-packs/basic",
    path=Path("/nowhere"),
    task_id="rp_basic",
    manifest=Manifest(name="basic", version="1.2.0"),
    requires=(Requirement(name="basic"),),
)
BY_DEFAULT = Requirement(name="basic", explicit=False)
NIGHT = Attempt(
    kind="rule",
    pack="basic",
    pack_version="1.2.0",
    metric_date=TODAY,
    environment="prod",
    dag_id="hdm_pipeline",
    run_id="night",
    task_id="hdm-prod.rp_basic",
    try_number=1,
)
METRICS = replace(NIGHT, kind="metric", task_id="hdm-prod.mp_basic")


@pytest.fixture
def session(base):
    """A base with three endpoints, on each of which the rule pack and the metric pack are activated."""
    with HdmHook().session() as connection:
        for endpoint in (HEART, KIDNEY, LUNGS):
            endpoints.add(connection, endpoint, None, actor="ada")
            for kind in ("metric", "rule"):
                activation.change(
                    connection,
                    [(kind, "basic", endpoints.find(connection, endpoint.slug).endpoint.slug)],
                    active=True,
                    actor="ada",
                )
        yield connection


def ended(session, attempt, status, *on, **said):
    """An attempt that is over, with one end on each of these endpoints."""
    said = {"reported": True, **said}
    runs.finish(session, attempt, [Outcome(endpoint=endpoint.slug, status=status, **said) for endpoint in on])


def measured(session, *on):
    """What the rules judge is there."""
    ended(session, METRICS, "success", *on or (HEART, KIDNEY, LUNGS))


def read(session, pack=RULES, attempt=NIGHT, *, require_reports=False, **options):
    return plan.read(session, attempt, pack, require_reports=require_reports, **options)


@pytest.fixture
def judge(session):
    """A rule pack that judges by default what all metric packs measure, and is activated on all endpoints."""
    for endpoint in (HEART, KIDNEY, LUNGS):
        activation.change(session, [("rule", "judge", endpoint.slug)], active=True, actor="ada")
    return replace(RULES, name="judge", requires=(BY_DEFAULT,))


def unproven(planned):
    return {item.slug: item.unproven for item in planned.run if item.unproven}


def ran(planned):
    return [item.registered.endpoint for item in planned.run]


def test_rules_run_where_the_metrics_of_their_date_have_succeeded(session):
    """Another date's metrics, those of another pack, and rules of this pack's own name are no metrics of it."""
    measured(session, HEART)
    ended(session, replace(METRICS, metric_date=TODAY - timedelta(days=1)), "success", KIDNEY)
    ended(session, replace(METRICS, metric_date=TODAY + timedelta(days=1)), "success", KIDNEY)
    ended(session, replace(METRICS, pack="other"), "success", KIDNEY)
    ended(session, replace(NIGHT, pack="other"), "success", KIDNEY)
    ended(session, NIGHT, "success", LUNGS)
    planned = read(session)
    assert ran(planned) == [HEART]
    reason = "mp_basic has not run for this date"
    assert (planned.gated, planned.kept) == ({KIDNEY.slug: reason}, (LUNGS.slug,))
    assert (planned.broken, planned.external) == ({}, NONE)


def test_last_word_of_the_metrics_counts(session):
    """Whatever an earlier attempt has left, better or worse."""
    ended(session, METRICS, "success", HEART)
    ended(session, METRICS, "failed", KIDNEY)
    ended(session, replace(METRICS, try_number=2), "failed", HEART)
    ended(session, replace(METRICS, try_number=2), "success", KIDNEY)
    planned = read(session, replace(RULES, requires=(Requirement(name="basic"), Requirement(name="basic"))))
    assert ran(planned) == [KIDNEY]
    assert planned.gated[HEART.slug] == "mp_basic failed; mp_basic failed"


def test_rules_that_succeeded_after_their_metrics_are_kept_and_the_others_run(session):
    """Metrics of the rules' own name are no success of theirs."""
    measured(session)
    ended(session, NIGHT, "success", HEART)
    ended(session, NIGHT, "failed", KIDNEY)
    planned = read(session)
    assert (ran(planned), planned.kept) == ([KIDNEY, LUNGS], (HEART.slug,))


def test_rules_run_again_where_the_metrics_are_newer(session):
    """What they said rests on metrics that are no more."""
    measured(session)
    ended(session, NIGHT, "success", HEART, KIDNEY, LUNGS)
    measured(session, KIDNEY)
    planned = read(session)
    assert (ran(planned), planned.kept) == ([KIDNEY], (HEART.slug, LUNGS.slug))


def test_metric_pack_is_planned_by_its_own_runs(session):
    """Rules of its name are no success of its."""
    pack = replace(RULES, kind="metric", task_id="mp_basic", requires=())
    ended(session, METRICS, "success", HEART)
    ended(session, NIGHT, "success", KIDNEY)
    planned = read(session, pack, METRICS)
    assert (ran(planned), planned.kept) == ([KIDNEY, LUNGS], (HEART.slug,))


def test_pack_that_all_endpoints_have_is_run_on_all_again_unless_it_is_resumed(session):
    """Somebody cleared a green task on purpose; a worker that takes a dead one's place was not asked to."""
    measured(session)
    ended(session, NIGHT, "success", HEART, KIDNEY, LUNGS)
    assert ran(read(session)) == [HEART, KIDNEY, LUNGS]
    resumed = read(session, resumed=True)
    assert (ran(resumed), resumed.kept) == ([], (HEART.slug, KIDNEY.slug, LUNGS.slug))


def test_default_dependency_counts_only_where_the_metric_pack_is_activated(session):
    """As the base says now, endpoint by endpoint."""
    activation.change(
        session, [("metric", "basic", endpoints.find(session, HEART.slug).endpoint.slug)], active=False, actor="ada"
    )
    planned = read(session, replace(RULES, requires=(Requirement(name="basic", explicit=False),)))
    assert ran(planned) == [HEART]
    assert set(planned.gated) == {KIDNEY.slug, LUNGS.slug}


def test_silence_proves_nothing_where_a_metric_pack_has_measured_and_is_deactivated(session, judge):
    """Not of one that has never measured there, nor if it has measured this date, too."""
    pack = replace(judge, requires=(BY_DEFAULT, replace(BY_DEFAULT, name="pulse")))
    attempt, yesterday = replace(NIGHT, pack="judge"), TODAY - timedelta(days=1)
    pulse = replace(METRICS, pack="pulse")
    measured(session)
    ended(session, replace(pulse, metric_date=yesterday), "failed", HEART, KIDNEY, LUNGS)
    assert unproven(read(session, pack, attempt)) == {}
    ended(session, replace(pulse, metric_date=yesterday), "success", HEART)
    ended(session, replace(pulse, metric_date=yesterday), "partial", KIDNEY, incomplete=("beats",))
    ended(session, replace(pulse, metric_date=TODAY + timedelta(days=1)), "success", LUNGS)
    assert unproven(read(session, pack, attempt)) == {HEART.slug: ("*",), KIDNEY.slug: ("*",)}
    ended(session, pulse, "success", HEART)
    ended(session, pulse, "partial", KIDNEY, incomplete=("beats",))
    assert unproven(read(session, pack, attempt)) == {KIDNEY.slug: ("*",)}
    for endpoint in (HEART, KIDNEY, LUNGS):
        activation.change(session, [("metric", "pulse", endpoint.slug)], active=True, actor="ada")
    ended(session, pulse, "success", KIDNEY, LUNGS)
    assert unproven(read(session, pack, attempt)) == {}


def test_silence_proves_nothing_where_a_removed_metric_pack_has_measured(session, judge):
    """Only for a rule pack that judges all there are by default, and not if another packs folder still has it."""
    pulse = replace(METRICS, pack="pulse", metric_date=TODAY - timedelta(days=1))
    packs.record(session, replace(RULES, kind="metric", name="pulse"), "0" * 64)
    measured(session)
    ended(session, pulse, "success", HEART, KIDNEY)
    activation.change(session, [("metric", "pulse", KIDNEY.slug)], active=True, actor="ada")
    attempt = replace(NIGHT, pack="judge")
    assert unproven(read(session, judge, attempt)) == {HEART.slug: ("*",)}
    assert unproven(read(session, replace(judge, requires=()), attempt)) == {HEART.slug: ("*",)}
    needs_none = Manifest(name="judge", version="1", depends_on=())
    assert unproven(read(session, replace(judge, requires=(), manifest=needs_none), attempt)) == {}
    assert unproven(read(session, replace(RULES, requires=(BY_DEFAULT,)))) == {}
    metrics = replace(RULES, kind="metric", requires=())
    assert unproven(read(session, metrics, replace(METRICS, metric_date=TODAY + timedelta(days=1)))) == {}


@pytest.mark.parametrize(
    ("manifest", "taken"),
    [
        (Manifest(name="basic", version="1", partial=True), True),
        (Manifest(name="basic", version="1"), False),
        (None, False),  # quarantined: nothing that it says is known
    ],
)
def test_partial_metrics_are_for_packs_whose_manifest_takes_them(session, manifest, taken):
    """With the names of what was not measured, or not at all."""
    ended(session, METRICS, "partial", HEART, incomplete=("patients", "visits"))
    planned = read(session, replace(RULES, manifest=manifest), only=[HEART.slug])
    assert [item.incomplete for item in planned.run] == ([("patients", "visits")] if taken else [])
    assert planned.gated == ({} if taken else {HEART.slug: "mp_basic is partial: patients, visits"})


def test_metrics_that_only_an_exit_code_vouches_for_pass_unless_reports_are_required(session):
    """The setting `require_reports`."""
    measured(session, HEART)
    ended(session, METRICS, "success", KIDNEY, reported=False)
    assert ran(read(session)) == [HEART, KIDNEY]
    strict = read(session, require_reports=True)
    assert ran(strict) == [HEART]
    assert strict.gated[KIDNEY.slug] == "mp_basic reported nothing, and require_reports is set"


def test_endpoints_that_are_named_are_run_alone_and_again(session):
    """Success or not: who names them means them. The gate holds for them, too."""
    measured(session, HEART, LUNGS)
    ended(session, NIGHT, "success", HEART)
    planned = read(session, only={KIDNEY.slug, HEART.slug})
    assert (ran(planned), set(planned.gated), planned.kept) == ([HEART], {KIDNEY.slug}, ())


def test_endpoints_that_are_named_must_be_activated(session):
    """All that are not are named at once, with the command that activates them."""
    for endpoint in (HEART, KIDNEY):
        activation.change(
            session,
            [("rule", "basic", endpoints.find(session, endpoint.slug).endpoint.slug)],
            active=False,
            actor="ada",
        )
    with pytest.raises(ConfigurationError) as caught:
        read(session, only=[LUNGS.slug, KIDNEY.slug, HEART.slug])
    assert caught.value.what == f"rp_basic is not activated on {HEART.slug}, {KIDNEY.slug}"
    assert caught.value.where == "activation"
    assert caught.value.hint == f"activate it there: airflow hdm activate rp_basic {HEART.slug} {KIDNEY.slug}"


def test_base_that_holds_runs_of_another_environment_is_refused(session):
    """Two environments would take each other's successes for their own; those of the metric packs are none of it."""
    ended(session, replace(NIGHT, environment="test"), "success", HEART)
    ended(session, replace(NIGHT, environment="dev"), "failed", LUNGS)
    ended(session, NIGHT, "success", KIDNEY)
    with pytest.raises(ConfigurationError) as caught:
        read(session)
    what = "this HDM base already has runs of basic for 2024-05-01 from environment dev, test"
    assert (caught.value.what, caught.value.where) == (what, "HDM base")
    assert caught.value.hint == "give 'prod' an HDM base of its own"


def test_metrics_of_another_environment_are_no_reason_to_refuse_the_base(session):
    """Whoever measured them, this pack's own runs are all its own."""
    ended(session, replace(METRICS, environment="test"), "success", HEART, KIDNEY, LUNGS)
    assert ran(read(session)) == [HEART, KIDNEY, LUNGS]


def test_each_item_has_the_configuration_of_its_version_and_its_endpoint(session):
    """The newest at most as new as the pack, and none of a pack of the same name of the other kind."""
    measured(session)
    for version in ("1.1.0", "1.3.0"):
        configuration.write(session, "rule", "basic", f'{{"of": "{version}"}}', version=version, actor="ada")
    configuration.write(session, "metric", "basic", '{"of": "metrics"}', version="1.2.0", actor="ada")
    configuration.write(session, "rule", "other", '{"of": "others"}', version="1.2.0", actor="ada")
    configuration.write(session, "rule", "basic", '{"limit": 5}', slug=KIDNEY.slug, actor="ada")
    planned = read(session)
    own = {"of": "1.1.0"}
    assert [item.config for item in planned.run] == [own, {**own, "limit": 5}, own]
    assert planned.external.source == "hdm_pack_rule_conf basic:1.1.0"


def test_external_configuration_that_does_not_decode_fails_every_endpoint(session):
    """Its row is named; nothing is run on half of what was configured."""
    measured(session)
    configuration.write(session, "rule", "basic", "{}", version="1.2.0", actor="ada")
    session.execute("UPDATE hdm_pack_rule_conf SET pack_config = '{}'")
    planned = read(session)
    reason = "the configuration is not base64 of UTF-8 text (hdm_pack_rule_conf basic:1.2.0)"
    assert planned.broken == dict.fromkeys((HEART.slug, KIDNEY.slug, LUNGS.slug), reason)
    assert (planned.run, planned.external) == ((), NONE)
