"""Configuration as people change it: read, saved, removed and restored, with its history and without secrets."""

from __future__ import annotations

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from hdm_airflow.admin import audit, configuration
from hdm_airflow.admin.pack_names import Named
from hdm_airflow.admin.secrets import PLACEHOLDER
from hdm_airflow.base import endpoints
from hdm_airflow.base.endpoints import Endpoint
from hdm_airflow.base.hook import HdmHook
from hdm_airflow.errors import ConfigurationError, ConflictError

HEART = Endpoint(name="heart", type="postgres", host="h", port="1", user="u")
SCHEMA = {
    "type": "object",
    "properties": {"limit": {"type": "integer"}, "password": {"type": "string"}},
    "additionalProperties": False,
    "required": ["limit"],
}
OF_1 = ("metric", "basic")
_PEOPLE = 4


@pytest.fixture
def session(base):
    """A session on a base with one endpoint, where pack basic ran as 1.0 with a schema."""
    with HdmHook().session() as connection:
        endpoints.add(connection, HEART, None, actor="ada")
        columns = "kind, name, version, sha256, config_schema"
        insert = f"INSERT INTO hdm_pack ({columns}) VALUES ('metric', 'basic', '1.0', '', %s)"
        connection.execute(insert, [json.dumps(SCHEMA)])
        connection.execute("TRUNCATE hdm_audit")
        yield connection


def save(session, text, **options):
    return configuration.save(session, *OF_1, text, actor=options.pop("actor", "ada"), **options)


def stored(session):
    rows = session.execute("SELECT id_config, pack_config FROM hdm_pack_metric_conf ORDER BY 1").fetchall()
    return {row["id_config"]: base64.b64decode(row["pack_config"]).decode() for row in rows}


def test_what_is_shown_is_what_a_run_gets_with_the_source_of_each_key(session):
    """The pack's version and schema come from its last run."""
    save(session, '{"limit": 1, "password": "s3cr3t"}')
    save(session, '{"limit": 2}', slug=HEART.slug)
    shown = configuration.read(session, *OF_1, slug=HEART.slug)
    assert shown.text == '{"limit": 2}'
    assert shown.effective.value == {"limit": 2, "password": PLACEHOLDER}
    assert shown.effective.keys == {
        "limit": f"hdm_pack_metric_conf basic:{HEART.slug}",
        "password": "hdm_pack_metric_conf basic:1.0",
    }
    assert (shown.schema, shown.schema_source) == (SCHEMA, "hdm_pack mp_basic 1.0")
    assert shown.warnings == []


def test_what_a_run_would_get_without_a_configuration_is_shown_before_it_is_removed(session):
    """For an endpoint: the external one; for a version: that of the newest lower version."""
    for version in ("0.1", "0.9", "2.0"):
        save(session, json.dumps({"limit": int(version[2]), "password": "s3cr3t"}), version=version)
    save(session, '{"limit": 1}')
    save(session, '{"limit": 2}', slug=HEART.slug)
    of_endpoint = configuration.read(session, *OF_1, slug=HEART.slug).without
    assert (of_endpoint.value, of_endpoint.keys) == ({"limit": 1}, {"limit": "hdm_pack_metric_conf basic:1.0"})
    of_version = configuration.read(session, *OF_1).without
    assert of_version.value == {"limit": 9, "password": PLACEHOLDER}
    assert configuration.read(session, *OF_1, version="0.1").without.value == {}
    session.execute("UPDATE hdm_pack_metric_conf SET pack_config = '?' WHERE id_config = 'basic:0.9'")
    assert configuration.read(session, *OF_1).without.value == {}


def test_nothing_is_shown_of_a_secret(session):
    """Not in the editor, not in what a run gets, not in the history, not in the audit trail."""
    save(session, '{"limit": 1, "password": "s3cr3t"}')
    save(session, '{"limit": 1, "password": "0ther"}')
    configuration.remove(session, *OF_1, actor="ada")
    save(session, '{"limit": 1, "password": "s3cr3t"}')
    texts = [
        repr(configuration.read(session, *OF_1)),
        repr(configuration.history(session, *OF_1)),
        repr(audit.listed(session)),
    ]
    assert not any(secret in text for text in texts for secret in ("s3cr3t", "0ther"))
    newest, _, changed, _ = configuration.history(session, *OF_1)
    assert (changed.difference, changed.hidden_changed) == ("", True)
    assert f'"password": "{PLACEHOLDER}"' in newest.difference


def test_nothing_is_shown_of_a_secret_in_text_that_is_not_json(session):
    """A pack gets it as text, and so it is shown to people."""
    text = "user = a\npassword = s3cr3t\n"
    session.execute("DELETE FROM hdm_pack")
    for version in ("0.9", "1.0"):
        save(session, text, plain=True, version=version)
    shown = configuration.read(session, *OF_1, version="1.0")
    hidden = f"user = a\npassword = {PLACEHOLDER}\n"
    assert (shown.text, shown.effective.value, shown.without.value) == (hidden, hidden, hidden)


def test_placeholder_keeps_the_stored_secret(session):
    """And is refused where nothing is stored."""
    shown = json.dumps({"limit": 2, "password": PLACEHOLDER})
    with pytest.raises(ConfigurationError, match="at password"):
        save(session, shown)
    save(session, '{"limit": 1, "password": "s3cr3t"}')
    save(session, shown)
    assert stored(session) == {"basic:1.0": '{"limit": 2, "password": "s3cr3t"}'}
    with pytest.raises(ConfigurationError, match="not stored"):
        save(session, shown, slug=HEART.slug)


def test_version_that_was_seen_protects_somebody_else_s_change(session):
    """Nothing is written, and the error says whose change it is."""
    first = save(session, '{"limit": 1}', seen="")
    assert configuration.read(session, *OF_1).version == first.version
    second = save(session, '{"limit": 2}', seen=first.version, actor="bob")
    for act in (
        lambda: save(session, '{"limit": 3}', seen=first.version),
        lambda: configuration.remove(session, *OF_1, actor="ada", seen=first.version),
        lambda: configuration.restore(session, *OF_1, _ids(session)[-1], actor="ada", seen=first.version),
    ):
        with pytest.raises(ConflictError, match="by bob, at 20"):
            act()
    assert stored(session) == {"basic:1.0": '{"limit": 2}'}
    assert configuration.remove(session, *OF_1, actor="ada", seen=second.version)
    assert not configuration.remove(session, *OF_1, actor="ada")


def _ids(session, **options):
    return [one.id for one in configuration.history(session, *OF_1, **options)]


def test_configuration_is_restored_as_it_was_after_or_before_a_change(session):
    """With its secret, and to the letter."""
    save(session, '{"limit":  1, "password": "s3cr3t"}')
    save(session, '{"limit": 2}', actor="bob")
    configuration.remove(session, *OF_1, actor="eve")
    removed, second, first = _ids(session)
    assert configuration.restore(session, *OF_1, first, actor="ada").warnings == []
    assert stored(session) == {"basic:1.0": '{"limit":  1, "password": "s3cr3t"}'}
    configuration.restore(session, *OF_1, removed, actor="ada", before=True)
    assert stored(session) == {"basic:1.0": '{"limit": 2}'}
    with pytest.raises(ConfigurationError, match="there was no configuration of mp_basic"):
        configuration.restore(session, *OF_1, removed, actor="ada")
    with pytest.raises(ConfigurationError, match="is not one of the configuration of mp_basic for heart"):
        configuration.restore(session, *OF_1, second, actor="ada", slug=HEART.slug)
    newest = configuration.history(session, *OF_1)[0]
    assert (newest.action, newest.actor) == ("config restore", "ada")
    assert newest.difference.splitlines()[1:] == [
        " {",
        '-  "limit": 1,',
        '-  "password": "(hidden: unchanged)"',
        '+  "limit": 2',
        " }",
    ]


def test_old_configuration_that_no_longer_fits_is_not_restored(session):
    """The pack would refuse to run."""
    save(session, '{"limit": 1}')
    session.execute("UPDATE hdm_pack SET config_schema = %s", [json.dumps({**SCHEMA, "properties": {}})])
    with pytest.raises(ConfigurationError, match="limit is unknown"):
        configuration.restore(session, *OF_1, _ids(session)[0], actor="ada")


def test_plain_text_is_restored_as_plain_text(session):
    """Nobody says again that it is one."""
    session.execute("UPDATE hdm_pack SET config_schema = NULL")
    save(session, "mode: x\ntoken: t0k3n", plain=True)
    save(session, "{}")
    configuration.restore(session, *OF_1, _ids(session)[-1], actor="ada")
    assert stored(session) == {"basic:1.0": "mode: x\ntoken: t0k3n"}
    assert configuration.read(session, *OF_1).text == f"mode: x\ntoken: {PLACEHOLDER}"


def test_configuration_that_cannot_be_decoded_is_shown_as_such_and_can_be_replaced(session):
    """What other hands wrote must not stay for ever."""
    session.execute("INSERT INTO hdm_pack_metric_conf VALUES ('basic:1.0', 'basic', '1.0', '%%%')".replace("%", "%%"))
    shown = configuration.read(session, *OF_1)
    assert shown.text is None
    assert shown.warnings == ["the configuration is not base64 of UTF-8 text (hdm_pack_metric_conf basic:1.0)"]
    save(session, '{"limit": 1}', seen=shown.version)
    assert stored(session) == {"basic:1.0": '{"limit": 1}'}
    assert configuration.history(session, *OF_1)[0].old == audit.UNREADABLE


def test_schema_that_cannot_be_read_is_a_warning_where_the_configuration_is_shown(session):
    """To see what is stored must stay possible."""
    save(session, '{"limit": 1}')
    session.execute("UPDATE hdm_pack SET config_schema = '{'")
    shown = configuration.read(session, *OF_1)
    assert shown.text == '{"limit": 1}'
    assert "nothing can be stored: the pack's config.schema.json" in shown.warnings[0]
    with pytest.raises(ConfigurationError, match="is not JSON"):
        save(session, "{}")


def test_long_text_is_neither_shown_nor_compared_and_can_be_restored(session):
    """A list of changes must not take seconds for each."""
    session.execute("UPDATE hdm_pack SET config_schema = NULL")
    long = json.dumps({"password": "s3cr3t", "tables": ["x" * 50] * 2_000})
    save(session, long)
    save(session, "{}")
    second, first = configuration.history(session, *OF_1)
    assert (first.new, second.old) == ("(108,034 characters, too long to show)",) * 2
    assert first.difference == "@@ -0,0 +1 @@\n+(108,034 characters, too long to show)"
    configuration.restore(session, *OF_1, first.id, actor="ada")
    assert stored(session) == {"basic:1.0": long}


def test_configuration_of_what_is_gone_can_only_be_removed(session):
    """An endpoint that is not registered, and a pack that never ran and is in no folder."""
    save(session, '{"limit": 1}', slug=HEART.slug)
    endpoints.remove(session, endpoints.find(session, HEART.slug), actor="ada")
    with pytest.raises(ConfigurationError, match="there is no endpoint"):
        save(session, "{}", slug=HEART.slug)
    assert configuration.remove(session, *OF_1, actor="ada", slug=HEART.slug)
    with pytest.raises(ConfigurationError, match="the version of rp_later is unknown"):
        configuration.read(session, "rule", "later")
    assert configuration.read(session, "rule", "later", slug=HEART.slug).effective.value == {}
    assert not configuration.remove(session, "rule", "later", actor="ada", version="1.0")


def test_misfit_is_a_warning_where_it_is_read_and_an_error_where_it_is_saved(session):
    """The packs folder's schema counts before that of the last run."""
    with pytest.raises(ConfigurationError, match="limti is unknown"):
        save(session, '{"limti": 1}')
    running = Named(kind="metric", name="basic", version="2.0")
    assert "lacks limit" in save(session, "{}", running=running).warnings[0]
    shown = configuration.read(session, *OF_1, running=running)
    assert (shown.text, len(shown.warnings)) == ("{}", 1)
    assert "lacks limit" in shown.warnings[0]


@pytest.mark.parametrize("text", ['{"a": "\ud800"}', "\0", '{"a": 1,}', "x", '{"a": NaN}', "[" * 100_000])
def test_text_that_no_pack_could_read_is_refused(session, text):
    """Whatever a browser sends, the answer is an error that says what to do."""
    with pytest.raises(ConfigurationError) as caught:
        save(session, text)
    assert caught.value.hint
    assert stored(session) == {}


@pytest.mark.parametrize(
    "place",
    [
        (*OF_1, {"slug": "\0"}),
        (*OF_1, {"slug": "\ud800"}),
        (*OF_1, {"version": "\0"}),
        (*OF_1, {"version": "1 \ud800"}),
        ("metric", "\0", {"slug": HEART.slug}),
        ("other", "basic", {"version": "1.0"}),
    ],
)
@pytest.mark.parametrize("act", ["read", "save", "remove", "restore", "history"])
def test_place_that_cannot_be_is_refused_by_every_act(session, act, place):
    """An address of a page may hold anything."""
    kind, pack, where = place
    arguments = {"save": ["{}"], "restore": [1]}.get(act, [])
    actor = {} if act in {"read", "history"} else {"actor": "ada"}
    with pytest.raises(ConfigurationError):
        getattr(configuration, act)(session, kind, pack, *arguments, **actor, **where)


def test_values_of_old_releases_are_read_without_their_secrets(session):
    """They are base64, which hides nothing."""
    encoded = base64.b64encode(b'{"password": "s3cr3t"}').decode()
    insert = "INSERT INTO hdm_audit (actor, action, object, old, new) VALUES ('ada', %s, 'x', %s, NULL)"
    for action in ("config set", "deduplicate"):
        session.execute(insert, [action, json.dumps(encoded)])
    session.execute(insert, ["endpoint add", json.dumps({"conn_id": "c", "password": "s3cr3t"})])
    for change in audit.listed(session):
        assert PLACEHOLDER in json.dumps(change.old)
        assert encoded not in repr(change)
        assert "s3cr3t" not in repr(change)


def test_of_people_who_save_at_once_one_wins(session):
    """Each has seen the same; the others are told, and nothing of theirs is half there."""
    seen = save(session, '{"limit": 0}').version
    start = Barrier(_PEOPLE)

    def act(number: int) -> str:
        with HdmHook().session() as own:
            start.wait()
            try:
                return save(own, f'{{"limit": {number}}}', seen=seen, actor=f"person {number}").version
            except ConflictError as error:
                return str(error.what)

    with ThreadPoolExecutor(_PEOPLE) as pool:
        said = list(pool.map(act, range(1, _PEOPLE + 1)))
    (won,) = [number for number, text in enumerate(said, 1) if "meanwhile" not in text]
    assert stored(session) == {"basic:1.0": f'{{"limit": {won}}}'}
    assert all(f"by person {won}" in text for number, text in enumerate(said, 1) if number != won)
    assert len(_ids(session)) == 2
