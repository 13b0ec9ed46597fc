"""Configuration in the HDM base: written, read back, and every change in the audit trail."""

from __future__ import annotations

import pytest

from hdm_airflow.base import configuration
from hdm_airflow.base.endpoints import Endpoint
from hdm_airflow.base.hook import HdmHook

HEART = Endpoint(name="100% cœur: 心脏", type="postgres", host="fe80::1", port="5432", user="hdm")


@pytest.fixture
def session(base):
    """A session on a migrated, empty base."""
    with HdmHook().session() as connection:
        yield connection


@pytest.mark.parametrize("kind", ["metric", "rule"])
def test_a_configuration_is_read_as_it_was_written(session, kind):
    """For a version and for an endpoint, with unicode, `%` and `:` in text and slug, and with its source."""
    values = {'{"limite": "50% à 心脏", "s": "%s :x"}': {"limite": "50% à 心脏", "s": "%s :x"}}
    values |= {"dev": "dev", "été: 5%": "été: 5%", "true": True, "[1, 2]": [1, 2], "": {}}
    table = configuration.TABLES[kind]
    for text, value in values.items():
        configuration.write(session, kind, "basic", text, actor="ada", version="1.0.0")
        configuration.write(session, kind, "basic", text, actor="ada", slug=HEART.slug)
        read = configuration.read(session, kind, "basic")
        external, endpoint = read.for_version("1.0.0"), read.for_endpoint(HEART.slug)
        assert (external.value, external.sources) == (value, [f"{table} basic:1.0.0"])
        assert (endpoint.value, endpoint.sources) == (value, [f"{table} basic:{HEART.slug}"])


def test_a_pack_reads_its_own_kind_s_table(session):
    """A rule pack never gets the configuration of the metric pack of its name or of another pack."""
    configuration.write(session, "metric", "basic", '{"of": "metric"}', actor="ada", version="1.0")
    configuration.write(session, "rule", "other", '{"of": "other"}', actor="ada", version="1.0")
    assert configuration.read(session, "rule", "basic").for_version("1.0") == configuration.NONE
    configuration.write(session, "rule", "basic", '{"of": "rule"}', actor="ada", version="1.0")
    assert configuration.read(session, "metric", "basic").for_version("1.0").value == {"of": "metric"}
    assert configuration.read(session, "rule", "basic").for_version("1.0").value == {"of": "rule"}


def test_a_missing_configuration_is_an_empty_object_without_a_source(session):
    """A pack without configuration gets {}, and can distinguish it from a stored {}."""
    read = configuration.read(session, "metric", "basic")
    assert read.for_version("1.0") == read.for_endpoint(HEART.slug) == configuration.NONE
    assert configuration.NONE.sources == []


def test_writing_again_replaces_and_the_audit_trail_keeps_both(session):
    """Old and new text as stored, with the actor and the id."""
    for actor, text in (("ada", '{"n": 1}'), ("bob", '{"n": 2}')):
        configuration.write(session, "metric", "basic", text, actor=actor, version="1.0")
    assert configuration.read(session, "metric", "basic").for_version("1.0").value == {"n": 2}
    first, second = {"text": '{"n": 1}'}, {"text": '{"n": 2}'}
    rows = session.execute("SELECT actor, action, object, old, new FROM hdm_audit ORDER BY id").fetchall()
    common = {"action": "config set", "object": "hdm_pack_metric_conf basic:1.0"}
    assert rows == [
        {"actor": "ada", **common, "old": None, "new": first},
        {"actor": "bob", **common, "old": first, "new": second},
    ]


def test_a_new_configuration_of_an_endpoint_hides_the_one_under_an_old_form_of_its_slug(session):
    """The original's row may be before or after ours in the table: ours counts either way."""
    old = "lungs:postgres:fe80::1:5432:hdm:False"
    slug = Endpoint.from_slug(old).slug
    values = [f"basic:{old}", "basic", configuration.encode('{"of": "original"}')]
    insert = "INSERT INTO hdm_pack_rule_conf (id_config, pack_name, pack_config) VALUES (%s, %s, %s)"
    session.execute(insert, values)
    assert configuration.read(session, "rule", "basic").for_endpoint(slug).value == {"of": "original"}
    configuration.write(session, "rule", "basic", '{"of": "us"}', actor="ada", slug=slug)
    assert configuration.read(session, "rule", "basic").for_endpoint(slug).value == {"of": "us"}
    session.execute("DELETE FROM hdm_pack_rule_conf WHERE id_config = %s", values[:1])
    session.execute(insert, values)
    assert configuration.read(session, "rule", "basic").for_endpoint(slug).value == {"of": "us"}


@pytest.mark.parametrize("which", [{}, {"version": "1.0", "slug": "x"}])
def test_a_configuration_is_for_a_version_or_an_endpoint_never_both(session, which):
    """Neither and both are errors of the caller, and nothing is written."""
    with pytest.raises(ValueError, match="version or slug"):
        configuration.write(session, "metric", "basic", "{}", actor="ada", **which)
    assert configuration.every(session) == []


def test_every_stored_row_can_be_listed(session):
    """Of both kinds, as stored."""
    configuration.write(session, "rule", "basic", "dev", actor="ada", version="1.0")
    configuration.write(session, "metric", "basic", "{}", actor="ada", slug=HEART.slug)
    stored = [(row["kind"], row["id_config"], row["pack_version"]) for row in configuration.every(session)]
    assert stored == [("metric", f"basic:{HEART.slug}", None), ("rule", "basic:1.0", "1.0")]
