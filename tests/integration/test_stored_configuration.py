"""Configuration in the HDM base: written, read back, and every change in the audit trail."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from hdm_airflow.base import configuration, endpoints, migrate, pack_rename, rename
from hdm_airflow.base.endpoints import Endpoint
from hdm_airflow.base.hook import HdmHook
from hdm_airflow.errors import ConfigurationError, ConflictError

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


OLD = "lungs:postgres:fe80::1:5432:hdm:False"
LUNGS = Endpoint.from_slug(OLD)
WHERE = {"slug": LUNGS.slug}


def raw(session, kind, id_config, config):
    insert = f"INSERT INTO hdm_pack_{kind}_conf (id_config, pack_name, pack_config) VALUES (%s, 'basic', %s)"
    session.execute(insert, [id_config, config])


@pytest.mark.parametrize("where", [{"version": "1.0"}, {"slug": HEART.slug}])
def test_a_stored_text_has_a_version_that_changes_with_it(session, where):
    """Exactly the text, with its spaces; the same text has the same version again."""
    assert configuration.stored(session, "metric", "basic", **where) == configuration.Stored(text=None, version="")
    versions = []
    for text in ('{"n": 1}', ' {"n":  2} \n', '{"n": 1}', ""):
        configuration.write(session, "metric", "basic", text, actor="ada", **where)
        found = configuration.stored(session, "metric", "basic", **where)
        assert found.text == text
        assert found.version == configuration.digest(session, "metric", "basic", **where)
        versions.append(found.version)
    assert [len(one) for one in versions] == [16] * 4
    assert (versions[0], len(set(versions))) == (versions[2], 3)


def test_a_stored_text_that_cannot_be_decoded_is_an_error_but_has_a_version(session):
    """Somebody who replaces it must be able to say what they have seen."""
    raw(session, "metric", f"basic:{LUNGS.slug}", "no base64!")
    with pytest.raises(ConfigurationError, match="not base64"):
        configuration.stored(session, "metric", "basic", **WHERE)
    seen = configuration.digest(session, "metric", "basic", **WHERE)
    configuration.write(session, "metric", "basic", "{}", actor="ada", seen=seen, **WHERE)
    (entry,) = configuration.history(session, "metric", "basic", **WHERE)
    assert (entry.old, entry.new) == ({"base64": "no base64!"}, "{}")


def test_who_has_seen_something_else_changes_nothing(session):
    """The error names who changed it, and when; a row that came or went counts as well."""
    seen = configuration.stored(session, "rule", "basic", **WHERE).version
    configuration.write(session, "rule", "basic", "{}", actor="bob", seen=seen, **WHERE)
    for change in (
        lambda seen: configuration.write(session, "rule", "basic", "[]", actor="ada", seen=seen, **WHERE),
        lambda seen: configuration.remove(session, "rule", "basic", actor="ada", seen=seen, **WHERE),
    ):
        for wrong in (seen, "0123456789abcdef"):
            with pytest.raises(ConflictError, match="changed meanwhile: by bob, at 20") as failure:
                change(wrong)
            assert failure.value.where == f"hdm_pack_rule_conf basic:{LUNGS.slug}"
    assert configuration.stored(session, "rule", "basic", **WHERE).text == "{}"
    seen = configuration.stored(session, "rule", "basic", **WHERE).version
    assert configuration.remove(session, "rule", "basic", actor="eve", seen=seen, **WHERE)
    with pytest.raises(ConflictError, match="removed meanwhile: by eve"):
        configuration.write(session, "rule", "basic", "[]", actor="ada", seen=seen, **WHERE)
    assert not configuration.remove(session, "rule", "basic", actor="eve", seen="", **WHERE)


@pytest.mark.parametrize("first", [None, "{}"])
def test_of_two_who_have_seen_the_same_one_wins(session, base, first):
    """At the same moment, also if there is no row yet that could be locked."""
    if first is not None:
        configuration.write(session, "metric", "basic", first, actor="ada", version="1.0")
    seen = configuration.stored(session, "metric", "basic", version="1.0").version

    def attempt(number):
        with HdmHook().session() as own:
            try:
                configuration.write(own, "metric", "basic", f"[{number}]", actor="ada", version="1.0", seen=seen)
            except ConflictError:
                return None
            return number

    with ThreadPoolExecutor(4) as threads:
        won = [number for number in threads.map(attempt, range(4)) if number is not None]
    assert len(won) == 1
    assert configuration.stored(session, "metric", "basic", version="1.0").text == f"[{won[0]}]"


def test_removal_takes_every_form_of_the_slug(session):
    """Or the old form would count again. The row that counted is recorded under the name that people know."""
    raw(session, "rule", f"basic:{OLD}", configuration.encode("old"))
    configuration.write(session, "rule", "basic", "new", actor="ada", **WHERE)
    configuration.write(session, "rule", "basic", "other", actor="ada", slug=HEART.slug)
    assert configuration.remove(session, "rule", "basic", actor="ada", **WHERE)
    assert configuration.stored(session, "rule", "basic", **WHERE).text is None
    assert [row["id_config"] for row in configuration.every(session)] == [f"basic:{HEART.slug}"]
    assert [(one.action, one.old, one.new) for one in configuration.history(session, "rule", "basic", **WHERE)] == [
        ("config remove", "new", None),
        ("config set", "old", "new"),
    ]


def test_the_old_form_counts_where_it_is_the_only_one(session):
    """It is what a person sees, and what a change must not overlook."""
    raw(session, "rule", f"basic:{OLD}", configuration.encode("old"))
    found = configuration.stored(session, "rule", "basic", **WHERE)
    assert found.text == "old"
    configuration.write(session, "rule", "basic", "new", actor="ada", seen=found.version, **WHERE)
    assert configuration.stored(session, "rule", "basic", **WHERE).text == "new"


def test_the_history_follows_renames_backwards(session):
    """Of the endpoint and of the pack; what another endpoint or pack had under the same name is not in it."""

    def write(pack, slug, text):
        configuration.write(session, "rule", pack, text, actor="ada", slug=slug)

    a, b, c = (Endpoint(name=name, type="postgres", host="db") for name in "abc")
    endpoints.add(session, a, None, actor="ada")
    write("p", a.slug, "1")
    write("p", b.slug, "stranger")
    configuration.remove(session, "rule", "p", actor="ada", slug=b.slug)
    rename.start(session, endpoints.find(session, a.slug), b, [], actor="ada")
    rename.finish(session, a.slug, b.slug, actor="ada")
    write("p", b.slug, "2")
    write("p", a.slug, "of a new a")
    write("q", b.slug, "of the former q")
    configuration.remove(session, "rule", "q", actor="ada", slug=b.slug)
    pack_rename.rename(session, "rule", "p", "q", actor="ada")
    write("q", b.slug, "3")
    write("p", b.slug, "of a new p")
    rename.start(session, endpoints.find(session, b.slug), c, [], actor="ada")
    write("q", c.slug, "4")
    texts = [entry.new for entry in configuration.history(session, "rule", "q", slug=c.slug)]
    assert texts == ["4", "3", "2", "1"]
    assert [entry.new for entry in configuration.history(session, "rule", "q", slug=a.slug)] == ["of a new a"]
    assert [entry.new for entry in configuration.history(session, "rule", "q", slug=c.slug, limit=2)] == ["4", "3"]
    assert configuration.history(session, "rule", "q", slug=b.slug) == []


def test_the_history_of_an_earlier_release_is_decoded(session):
    """It wrote base64 as a plain string."""
    session.execute(
        """INSERT INTO hdm_audit (actor, action, object, old, new)
        VALUES ('ada', 'config set', 'hdm_pack_rule_conf basic:1.0', '"e30="', '"eyJhIjoxfQ=="')"""
    )
    (entry,) = configuration.history(session, "rule", "basic", version="1.0")
    assert (entry.old, entry.new, entry.batch, entry.size) == ("{}", '{"a":1}', None, 1)


def test_a_text_that_the_base_cannot_hold_is_kept_in_base64(session, postgres, monkeypatch):
    """A NUL, or a character that the base's encoding lacks: nothing is lost, and the reader sees the text."""
    configuration.write(session, "rule", "basic", "a\0b", actor="ada", version="1.0")
    assert configuration.history(session, "rule", "basic", version="1.0")[0].new == "a\0b"
    name = f"latin_{uuid4().hex}"
    with postgres.create_database("for_create").connect(autocommit=True) as owner:
        owner.execute(f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    try:
        monkeypatch.setenv("AIRFLOW_CONN_HDM", postgres.dsn(name))
        migrate.upgrade(HdmHook())
        with HdmHook().session() as latin:
            for text in ("心脏", "été", "plain"):
                configuration.write(latin, "rule", "basic", text, actor="ada", version="1.0")
            found = configuration.history(latin, "rule", "basic", version="1.0")
            assert [(one.old, one.new) for one in found] == [("été", "plain"), ("心脏", "été"), (None, "心脏")]
    finally:
        postgres.drop_database(name)
        postgres.drop_database("for_create")
