"""Slugs: the endpoint's name in every table, in the canonical form and in old ones."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hdm_airflow.base.endpoints import Endpoint, canonical
from hdm_airflow.errors import ConfigurationError

PARTS = st.text(max_size=12) | st.text(alphabet=":%23Aa5/@[]", max_size=12)
ENDPOINTS = st.builds(
    Endpoint, name=PARTS, type=PARTS, host=PARTS | st.ip_addresses().map(str), port=PARTS, user=PARTS, ssl=st.booleans()
)


@settings(max_examples=40, deadline=None)
@given(endpoint=ENDPOINTS)
@example(endpoint=Endpoint(name="%3A", type="%", host="::1", port="%25", user=":%:", ssl=True))
def test_slug_and_endpoint_are_inverses(endpoint: Endpoint) -> None:
    """In the original, writer and reader disagreed: no database matched, and every night was a success."""
    assert Endpoint.from_slug(endpoint.slug) == endpoint


@settings(max_examples=40, deadline=None)
@given(one=ENDPOINTS, other=ENDPOINTS)
def test_different_endpoints_have_different_slugs(one: Endpoint, other: Endpoint) -> None:
    """Two databases with one slug would share their metrics."""
    assert (one.slug == other.slug) == (one == other)


@settings(max_examples=40, deadline=None)
@given(text=ENDPOINTS.map(lambda one: one.slug) | st.text(max_size=30) | st.lists(PARTS, max_size=9).map(":".join))
def test_canonical_form_of_the_canonical_form_is_itself(text: str) -> None:
    """Rows of all programs and times are compared in this form."""
    assert canonical(canonical(text)) == canonical(text)


@settings(max_examples=40, deadline=None)
@given(endpoint=ENDPOINTS)
def test_slug_has_six_parts_and_encodes_nothing_else(endpoint: Endpoint) -> None:
    """For plain names, the slugs of other programs stay unchanged."""
    parts = endpoint.slug.split(":")
    assert len(parts) == 6
    stated = (endpoint.name, endpoint.type, endpoint.host, endpoint.port, endpoint.user)
    for part, value in zip(parts, stated, strict=False):
        if not set(value) & {":", "%"}:
            assert part == value


@pytest.mark.parametrize(
    ("slug", "host"),
    [
        ("heart:postgres:::1:5432:hdm:false", "::1"),
        ("heart:postgres:2001:db8::7:5432:hdm:false", "2001:db8::7"),
        ("heart:postgres:fe80::1%eth0:5432:hdm:false", "fe80::1%eth0"),
        ("heart:postgres:[2001:db8::7]:5432:hdm:false", "[2001:db8::7]"),
        ("heart:postgres:2001%3Adb8%3A%3A7:5432:hdm:false", "2001:db8::7"),
        ("heart:postgres:2001%3adb8%3a%3a7:5432:hdm:false", "2001:db8::7"),
        ("heart:postgres:db:5432:hdm:false", "db"),
        ("heart:postgres::5432:hdm:false", ""),
    ],
)
def test_old_forms_with_a_bare_ipv6_host_are_read_from_both_ends(slug: str, host: str) -> None:
    """A base from before the encoding keeps its activations."""
    endpoint = Endpoint.from_slug(slug)
    assert endpoint == Endpoint(name="heart", type="postgres", host=host, port="5432", user="hdm", ssl=False)
    assert canonical(slug) == endpoint.slug
    assert Endpoint.from_slug(canonical(slug)) == endpoint


@pytest.mark.parametrize(("text", "ssl"), [("true", True), ("True", True), ("1", True), ("false", False), ("", False)])
def test_ssl_is_read_in_every_spelling_and_written_in_one(text: str, ssl: bool) -> None:
    """The original's forms stored the browser's values unchanged."""
    slug = f"heart:mysql:db:3306:hdm:{text}"
    assert Endpoint.from_slug(slug).ssl is ssl
    assert canonical(slug) == f"heart:mysql:db:3306:hdm:{'true' if ssl else 'false'}"


@pytest.mark.parametrize("text", ["", "heart", "heart:mysql:db:3306:hdm", "::::"])
def test_text_with_too_few_parts_is_not_an_endpoint(text: str) -> None:
    """The message shows the form; a comparison keeps the text."""
    with pytest.raises(ConfigurationError, match="is not an endpoint slug") as caught:
        Endpoint.from_slug(text)
    assert "name:type:host:port:user:ssl" in caught.value.hint
    assert canonical(text) == text


def test_sqlite_is_named_by_the_path_of_its_file() -> None:
    """SQLite has no server, so the path of the file takes the place of the host."""
    slug = "notes:sqlite:/data/notes.db:::false"
    endpoint = Endpoint.from_slug(slug)
    assert (endpoint.host, endpoint.is_file, endpoint.slug) == ("/data/notes.db", True, slug)


@pytest.mark.parametrize("password", ["s3cret", "p:a@s/s?w#d%", "ü €"])
def test_slug_never_holds_the_password_and_the_url_quotes_it(password: str) -> None:
    """The slug is in every table, log line and alert; no character of the password may break the URL."""
    endpoint = Endpoint(name="heart", type="postgres", host="2001:db8::7", port="5432", user="h@m", ssl=True)
    assert password not in endpoint.slug
    url = endpoint.url(password)
    assert url.startswith("postgresql://h%40m:")
    assert url.endswith("@[2001:db8::7]:5432/heart?sslmode=require")
    assert url.count("@") == 1
