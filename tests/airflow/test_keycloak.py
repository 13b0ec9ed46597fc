"""Access tokens of Keycloak as passwords, against a stand-in that speaks its token endpoint."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from hdm_airflow.base.endpoints import Endpoint, Registered
from hdm_airflow.credentials import keycloak as source
from hdm_airflow.credentials.options import CredentialOptions
from hdm_airflow.credentials.sources import open_chain
from tests.stand_ins.keycloak import REALM, Keycloak

if TYPE_CHECKING:
    from pathlib import Path

    from hdm_airflow.credentials.chain import Answers, Chain


def open_keycloak(warnings: list[str] | None = None, **options: Any) -> Chain:
    stated = {"conn_id": "keycloak", "realm": REALM, "endpoints": ["*:trino:*"], **options}
    found = CredentialOptions.model_validate({"sources": ["keycloak"], "keycloak": stated})
    return open_chain(found, environment="prod", pack=None, warn=([] if warnings is None else warnings).append)


def places(*names: str, kind: str = "trino") -> list[Registered]:
    return [Registered(id=1, conn_id=None, endpoint=Endpoint(name=name, type=kind, host="h")) for name in names]


def ask(*names: str, **options: Any) -> Answers:
    with open_keycloak(**options) as chain:
        return chain.find_all(places(*names))


def test_one_token_serves_all_endpoints_that_get_one(keycloak: Keycloak) -> None:
    """The others get none: a token is not their password."""
    with open_keycloak(scope="openid hdm", audience="trino") as chain:
        found = chain.find_all([*places("a", "b"), *places("c", kind="postgres")])
    (password,) = {one.password for one in found.credentials.values()}
    assert password.startswith("eyJ-token-1-")
    assert {slug.partition(":")[0] for slug in found.credentials} == {"a", "b"}
    assert {one.source for one in found.credentials.values()} == {f"Keycloak realm {REALM}"}
    assert not found.faults
    (form,) = keycloak.forms
    assert (form["grant_type"], form["scope"], form["audience"]) == ("client_credentials", "openid hdm", "trino")


def test_token_is_used_until_it_expires(keycloak: Keycloak) -> None:
    """Up to a tenth of its lifetime before, since the pack needs some of it."""
    keycloak.seconds = 1
    with open_keycloak() as chain:
        first = chain.find_all(places("a"))
        again = chain.find_all(places("b"))
        time.sleep(1)
        later = chain.find_all(places("c"))
    tokens = [next(iter(one.credentials.values())).password for one in (first, again, later)]
    assert tokens[0] == tokens[1] != tokens[2]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"password": "wr0ng-s3cret"}, "Keycloak refuses to issue a token (401 invalid_client)"),
        ({"password": ""}, "the connection lacks host, login or password"),
        ({"host": "http://127.0.0.1:1"}, "Keycloak cannot be reached (ConnectionError)"),
        ({"host": "https://127.0.0.1:1"}, "Keycloak cannot be reached (ConnectionError)"),
    ],
)
def test_wrong_connection_fails_the_endpoints_and_shows_no_secret(
    keycloak: Keycloak, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], expected: str
) -> None:
    """The hint says what to do; Keycloak is asked once for all endpoints."""
    monkeypatch.setenv("AIRFLOW_CONN_KEYCLOAK", keycloak.connection(**changes))
    found = ask("a", "b", "c")
    assert {error.what for error in found.faults.values()} == {expected}
    assert len(found.faults) == 3
    assert len(keycloak.asked) <= 1
    assert all(error.hint and "s3cret" not in str(error) for error in found.faults.values())


@pytest.mark.parametrize(
    ("broken", "expected"),
    [
        (503, "Keycloak reports an error (503)"),
        ("garbage", "Keycloak sent an invalid response"),
        (302, "issue a token (302)"),
    ],
)
def test_keycloak_that_is_broken_fails_the_endpoints(keycloak: Keycloak, broken: int | str, expected: str) -> None:
    """It serves them, so this is not `no entry`."""
    keycloak.broken = broken
    (error,) = ask("a").faults.values()
    assert expected in error.what


def test_certificate_of_keycloak_is_verified(
    keycloak: Keycloak, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The client's secret is sent to no other server; a site names its CA file as for every program."""
    certificate = keycloak.encrypt(tmp_path)
    monkeypatch.setenv("AIRFLOW_CONN_KEYCLOAK", keycloak.connection(host=f"https://127.0.0.1:{keycloak.port}"))
    (error,) = ask("a").faults.values()
    assert error.what == "Keycloak cannot be reached (SSLError)"
    assert not keycloak.asked
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    assert len(ask("a").credentials) == 1


def test_keycloak_that_hangs_counts_as_down(keycloak: Keycloak, monkeypatch: pytest.MonkeyPatch) -> None:
    """One timeout serves for all endpoints."""
    monkeypatch.setattr(source, "TIMEOUT", (1.0, 0.2))
    keycloak.broken = "hang"
    assert len(ask(*[f"e{number}" for number in range(50)]).faults) == 50
    assert len(keycloak.asked) == 1


@pytest.mark.parametrize("host", ["https://[::1", "https://kc..x", "https://hdm:S3cr/et@kc"])
def test_host_that_is_not_an_address_fails_the_endpoints_and_is_not_shown(
    keycloak: Keycloak, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    """It may be part of a password, and the libraries' errors quote it."""
    monkeypatch.setenv("AIRFLOW_CONN_KEYCLOAK", keycloak.connection(host=host, port=8443))
    found = ask("a", "b")
    assert {error.what for error in found.faults.values()} == {"the connection's host is not a valid address"}
    assert len(found.faults) == 2
    assert "S3cr" not in "".join(map(str, found.faults.values()))


def test_netrc_file_adds_no_login(keycloak: Keycloak, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A worker's .netrc may name the host; requests would then send that login."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    assert len(ask("a").credentials) == 1
    assert [one.login for one in keycloak.asked] == [""]


def test_token_that_expires_soon_is_not_handed_out(keycloak: Keycloak, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten seconds before it expires, or a tenth of a short lifetime."""
    passed = [0.0]
    monkeypatch.setattr(source, "time", SimpleNamespace(monotonic=lambda: passed[0]))
    for seconds, lasts in ((300, 290), (20, 18)):
        keycloak.seconds = seconds
        with open_keycloak() as chain:
            tokens = []
            for passed[0] in (1.0, lasts + 0.5, lasts + 1.0):
                (credential,) = chain.find_all(places("a")).credentials.values()
                tokens.append(credential.password)
        assert tokens[0] == tokens[1] != tokens[2]


def test_redirect_does_not_leak_the_clients_secret(keycloak: Keycloak) -> None:
    """It is sent only to the address in the connection."""
    with Keycloak() as elsewhere:
        keycloak.broken, keycloak.headers = 307, {"Location": f"http://127.0.0.1:{elsewhere.port}/x"}
        (error,) = ask("a").faults.values()
        assert "issue a token (307)" in error.what
        assert not elsewhere.asked


@pytest.mark.parametrize(
    "seconds", ["300", None, True, 0, -1, float("nan"), float("inf"), pytest.param(10**400, id="huge")]
)
def test_invalid_lifetime_of_a_token_is_an_invalid_response(keycloak: Keycloak, seconds: Any) -> None:
    """The token's expiry would be unknown; of an expired one, each endpoint would request another."""
    keycloak.seconds = seconds
    (error,) = ask("a").faults.values()
    assert error.what == "Keycloak sent an invalid response"


def test_missing_realm_is_an_error(keycloak: Keycloak) -> None:
    """The response may contain any text, so the error does not quote it."""
    (error,) = ask("a", realm="../master").faults.values()
    assert error.what == "Keycloak refuses to issue a token (404)"
    assert keycloak.paths() == ["/realms/../master/protocol/openid-connect/token"]


@pytest.mark.parametrize(
    ("changes", "address"),
    [
        ({"host": "kc.example"}, "https://kc.example"),
        ({"host": "kc.example", "port": 8443}, "https://kc.example:8443"),
        ({"host": "kc.example", "schema": "http"}, "http://kc.example"),
        ({"host": "https://kc.example/auth/"}, "https://kc.example/auth"),
        ({"host": "http://kc.example", "port": 8080}, "http://kc.example:8080"),
    ],
)
def test_address_is_https_unless_the_connection_says_http(
    keycloak: Keycloak, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], address: str
) -> None:
    """Airflow connections can state a host in many forms."""
    asked: list[str] = []

    def post(_session: Any, url: str, **_more: Any) -> None:
        asked.append(url)
        raise source.requests.ConnectionError

    monkeypatch.setattr(source.requests.Session, "post", post)
    monkeypatch.setenv("AIRFLOW_CONN_KEYCLOAK", keycloak.connection(**changes))
    warnings: list[str] = []
    with open_keycloak(warnings) as chain:
        chain.find_all(places("a"))
    assert ["without TLS" in text for text in warnings] == [True] * address.startswith("http://")
    assert asked == [f"{address}/realms/{REALM}/protocol/openid-connect/token"]
