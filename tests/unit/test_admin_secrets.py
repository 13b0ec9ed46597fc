"""Values that look like secrets are hidden where a configuration is shown, and come back where it is stored."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdm_airflow.admin import secrets
from hdm_airflow.admin.secrets import PLACEHOLDER
from hdm_airflow.errors import ConfigurationError

HIDDEN = json.dumps(PLACEHOLDER)


def test_only_the_values_of_keys_that_look_like_secrets_are_hidden() -> None:
    """The rest of the text stays as the person wrote it, to the last blank."""
    text = '{ "user":"me",\n  "password" : "s3cr3t",  "nested": [{"api_key": 12.50}, {"limit": 1e5}], "token": "" }'
    shown = secrets.hide(text)
    assert shown == text.replace('"s3cr3t"', HIDDEN).replace("12.50", HIDDEN)
    assert secrets.hide('{"user": "me"}') == '{"user": "me"}'


def test_everything_below_such_a_key_is_hidden() -> None:
    """Except what says nothing: true, false, null and empty texts."""
    text = '{"secrets": {"a": "x", "b": [1, true, null, ""]}, "c": "x"}'
    assert json.loads(secrets.hide(text)) == {
        "secrets": {"a": PLACEHOLDER, "b": [PLACEHOLDER, True, None, ""]},
        "c": "x",
    }
    assert secrets.hide_value(json.loads(text)) == json.loads(secrets.hide(text))


def test_key_is_recognised_however_it_is_written() -> None:
    """An escape in JSON is the same letter."""
    assert "s3cr3t" not in secrets.hide(r'{"pass\u0077ord": "s3cr3t"}')
    assert "s3cr3t" not in secrets.hide('{"PassWord": "s3cr3t"}')


def test_plain_text_hides_what_follows_such_a_word_in_a_line() -> None:
    """A configuration need not be JSON: YAML and ini files are texts."""
    text = "user: me\n  password: s3 cr3t \r\n# note\nAPI_KEY=abc\n'token' = \"t0k3n\"\nmode = x"
    shown = secrets.hide(text)
    for secret in ("s3", "abc", "t0k3n"):
        assert secret not in shown
    assert shown.count(PLACEHOLDER) == 3
    assert "user: me" in shown
    assert secrets.restore(shown.replace("mode = x", "mode = y"), text) == text.replace("mode = x", "mode = y")


def test_placeholder_gets_the_stored_value_back() -> None:
    """What the person changed stays changed, a new secret too."""
    stored = '{"password": "old", "token": 7, "limit": 1}'
    edited = f'{{"limit": 2, "token": {HIDDEN}, "password": "new"}}'
    assert secrets.restore(edited, stored) == '{"limit": 2, "token": 7, "password": "new"}'
    assert secrets.restore('{"a": 1}', None) == '{"a": 1}'


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        (f'{{"password": {HIDDEN}}}', None),
        (f'{{"password": {HIDDEN}}}', "{}"),
        (f'{{"other": {{"password": {HIDDEN}}}}}', '{"password": "x"}'),
        (f'{{"note": {HIDDEN}}}', '{"note": "x"}'),
        (f'{{"password": {HIDDEN}}}', "password: x"),
        (f"password: {PLACEHOLDER}", "password: a\npassword: b"),
        (f"user: {PLACEHOLDER}", "user: x"),
        (f"[{HIDDEN}]", '["x"]'),
        (HIDDEN, '"x"'),
    ],
)
def test_placeholder_without_a_stored_value_is_refused(text: str, stored: str | None) -> None:
    """Stored, it would become the password. No value of another place is put there: that could show a secret."""
    with pytest.raises(ConfigurationError, match="stands for a value that is not stored") as caught:
        secrets.restore(text, stored)
    assert "x" not in str(caught.value).replace("text", "").split("in:")[0].split("'")


def test_entries_of_a_list_are_recognised_when_others_come_go_or_change_places() -> None:
    """By their position alone, a server would get another one's password."""
    servers = [{"host": "a", "password": "pa"}, {"host": "b", "password": "pb"}]
    stored = json.dumps({"servers": servers})
    shown = secrets.hide_value({"servers": servers})["servers"]
    turned = secrets.restore(json.dumps({"servers": [{"host": "c"}, shown[1], shown[0]]}), stored)
    assert json.loads(turned) == {"servers": [{"host": "c"}, servers[1], servers[0]]}
    with pytest.raises(ConfigurationError, match="not stored"):
        secrets.restore(json.dumps({"servers": [{**shown[0], "host": "c"}]}), stored)


def test_entries_that_look_the_same_keep_their_values_only_if_the_list_is_unchanged() -> None:
    """One fewer, and nobody knows which one is gone."""
    stored = '{"tokens": ["a", "b"], "limit": 1}'
    assert secrets.restore(f'{{"tokens": [{HIDDEN}, {HIDDEN}], "limit": 2}}', stored) == stored.replace("1", "2")
    with pytest.raises(ConfigurationError, match="not stored"):
        secrets.restore(f'{{"tokens": [{HIDDEN}]}}', stored)


def test_text_that_is_the_placeholder_already_stays() -> None:
    """Somebody may have stored it by other means: nothing stands for it."""
    stored = f'{{"password": {HIDDEN}}}'
    assert secrets.restore(secrets.hide(stored), stored) == stored


_KEYS = st.sampled_from(["password", "user", "api_key", "a", "0"])
_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS | st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


@given(value=_JSON, ascii_only=st.booleans(), indent=st.sampled_from([None, 2]))
def test_what_is_shown_restores_to_what_is_stored(value: Any, ascii_only: bool, indent: int | None) -> None:
    """For every JSON text; and shown as a value, it is the same."""
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    shown = secrets.hide(text)
    assert json.loads(shown) == secrets.hide_value(value)
    assert secrets.restore(shown, text) == text


@given(text=st.text(max_size=60).filter(lambda text: "=" not in text and ":" not in text))
def test_any_text_restores_too(text: str) -> None:
    """Text without such lines is shown as it is."""
    assert secrets.hide(f"{text}") == text
    assert secrets.restore(text, text) == text


def test_thousands_of_secrets_are_found_again_at_once() -> None:
    """A page waits for it."""
    stored = json.dumps({"tokens": [str(number) for number in range(5_000)]})
    begin = time.monotonic()
    assert secrets.restore(secrets.hide(stored), stored) == stored
    assert time.monotonic() - begin < 5
