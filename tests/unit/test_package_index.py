"""The package index in the variables of two tools, and without its logins."""

from __future__ import annotations

import pytest

from hdm_airflow.runner.venvs import package_index


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("https://reader:secret@x.example/simple", "https://x.example/simple"),
        ("https://token@x.example/simple", "https://x.example/simple"),
        ("https://reader:se@cr@et@x.example:8/simple", "https://x.example:8/simple"),
        ("one=https://a:b@x/ https://c:d@y/", "one=https://x/ https://y/"),
        ("git+ssh://git@x.example/a.git", "git+ssh://x.example/a.git"),
        ("https://x.example/a@1.0/b", "https://x.example/a@1.0/b"),
        ("name @ https://x.example/", "name @ https://x.example/"),
        ("error: https://a:b@x/\n  cause: https://a:b@x/y\n", "error: https://x/\n  cause: https://x/y\n"),
    ],
)
def test_logins_are_taken_out_of_every_url(text: str, plain: str) -> None:
    """And nothing else changes."""
    assert package_index.without_logins(text) == plain
    assert package_index.masked(text).replace("***@", "") == plain


def test_passwords_and_tokens_are_found_as_written_and_as_meant() -> None:
    """Either may be printed."""
    values = ["https://reader:p%40ss@x/ https://tok%3Den@y/", "ssh://git@z/", "reader:nothing@z"]
    assert package_index.secrets(values) == ["p%40ss", "p@ss", "tok%3Den", "tok=en"]


def test_each_tool_gets_its_own_variables() -> None:
    """Its own variable takes precedence over the other's."""
    pips = {"PIP_INDEX_URL": "https://one/", "PIP_EXTRA_INDEX_URL": "https://two/", "PIP_FIND_LINKS": "/a /b"}
    uvs = {"UV_DEFAULT_INDEX": "https://one/", "UV_INDEX": "https://two/", "UV_FIND_LINKS": "/a,/b"}
    assert package_index.for_uv(pips) == uvs
    assert package_index.for_pip(uvs) == pips
    assert package_index.for_pip({"UV_INDEX": "own=https://one/ https://two/"}) == {
        "PIP_EXTRA_INDEX_URL": "https://one/ https://two/"
    }
    both = {"UV_INDEX_URL": "https://uv/", "PIP_INDEX_URL": "https://pip/"}
    assert package_index.for_uv(both) == {"UV_DEFAULT_INDEX": "https://uv/"}
    assert package_index.for_pip(both) == {"PIP_INDEX_URL": "https://pip/"}


def test_pack_sees_the_index_of_both_tools_and_no_login() -> None:
    """Nor any other variable that the worker has set for them."""
    worker = {"PIP_INDEX_URL": "https://a:b@x/", "PIP_USER": "1", "UV_PUBLISH_TOKEN": "secret", "HOME": "/root"}
    assert package_index.for_packs(worker) == {"PIP_INDEX_URL": "https://x/", "UV_DEFAULT_INDEX": "https://x/"}


def test_offline_uv_is_an_offline_pip() -> None:
    """pip has no such switch, but needs no index then."""
    assert package_index.for_pip({"UV_OFFLINE": "1"}) == {"PIP_NO_INDEX": "1"}
    assert package_index.for_pip({"UV_OFFLINE": "0"}) == {}
