"""Passwords from Vault, through the hook of Airflow's provider, against a stand-in that speaks Vault's HTTP API."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from hdm_airflow.base.endpoints import Endpoint, Registered
from hdm_airflow.credentials import rate_limit, vault_client
from hdm_airflow.credentials.options import CredentialOptions
from hdm_airflow.credentials.sources import open_chain
from hdm_airflow.errors import HdmError
from tests.stand_ins.vault import ROOT, Vault

if TYPE_CHECKING:
    from pathlib import Path

    from hdm_airflow.credentials.chain import Answers, Chain

SECRET = "p/ss:w rd+ü"
WHERE = "secret/data/hdm"


def open_vault(warnings: list[str] | None = None, environment: str | None = "prod", **options: Any) -> Chain:
    stated = options if {"path", "dynamic_path"} & options.keys() else {"path": "hdm/{name}", **options}
    found = CredentialOptions.model_validate({"sources": ["vault"], "vault": {"conn_id": "vault", **stated}})
    lines = [] if warnings is None else warnings
    return open_chain(found, environment=environment, pack=None, warn=lines.append)


def places(*names: str) -> list[Registered]:
    return [
        Registered(id=1, conn_id=None, endpoint=Endpoint(name=name, type="postgres", host="h", user="reader"))
        for name in names
    ]


def ask(*names: str, warnings: list[str] | None = None, **options: Any) -> Answers:
    with open_vault(warnings, **options) as chain:
        return chain.find_all(places(*names))


def passwords(found: Answers) -> dict[str, str]:
    return {slug.partition(":")[0]: one.password for slug, one in found.credentials.items()}


def fault(found: Answers) -> HdmError:
    (error,) = found.faults.values()
    assert ROOT not in str(error)
    assert SECRET not in str(error)
    return error


@pytest.mark.parametrize("version", [1, 2])
def test_password_of_either_kv_engine_is_found_and_a_missing_entry_is_not_an_error(vault: Vault, version: int) -> None:
    """KV v2 wraps the fields, keeps deleted versions, and has `data` in its path."""
    vault.kv1 = {"hdm/heart": {"password": SECRET, "other": 1}}
    vault.kv2 = {"hdm/heart": {"password": SECRET}, "hdm/deleted": None}
    mount = {1: "kv1", 2: "secret"}[version]
    found = ask("heart", "lung", "deleted", mount=mount, kv_version=version)
    assert passwords(found) == {"heart": SECRET}
    assert not found.faults
    assert next(iter(found.credentials.values())).source == "Vault hdm/heart"


def test_mount_and_version_come_from_the_connection_if_the_settings_have_none(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A site that has set up Airflow's Vault connection need not repeat them."""
    stated = json.loads(vault.connection(kv_engine_version=1))
    monkeypatch.setenv("AIRFLOW_CONN_VAULT", json.dumps({**stated, "schema": "kv1"}))
    vault.kv1 = {"hdm/heart": {"password": SECRET}}
    assert passwords(ask("heart")) == {"heart": SECRET}


def test_other_fields_can_hold_password_and_user(vault: Vault) -> None:
    """The pack then logs in as that user."""
    vault.kv2 = {"prod/heart": {"pw": SECRET, "login": "somebody"}}
    found = ask("heart", path="{environment}/{name}", password_key="pw", user_key="login")
    assert [one.user for one in found.credentials.values()] == ["somebody"]


def test_characters_with_a_meaning_in_paths_are_encoded(vault: Vault) -> None:
    """The entry is under the encoded name; the path never leads to another entry."""
    vault.kv2 = {"hdm/a%2Fb%20c": {"password": SECRET}, "hdm/a/b c": {"password": "another's"}}
    assert passwords(ask("a/b c")) == {"a/b c": SECRET}


@pytest.mark.parametrize("fields", [{}, {"password": ""}, {"password": 7}, {"Password": SECRET}])
def test_secret_without_a_password_fails_the_endpoint(vault: Vault, fields: dict[str, Any]) -> None:
    """It is an entry, and it is invalid: asking the next source would hide that."""
    vault.kv2 = {"hdm/heart": fields}
    assert "the secret at hdm/heart has no text in its field 'password'" in fault(ask("heart")).what


@pytest.mark.parametrize("version", [1, 2])
def test_answer_without_fields_is_an_error_and_not_a_missing_secret(vault: Vault, version: int) -> None:
    """Something answers, but not as Vault does."""
    vault.odd = {"hdm/heart": None, "hdm/lung": "text"}
    mount = {1: "kv1", 2: "secret"}[version]
    found = ask("heart", "lung", mount=mount, kv_version=version)
    assert [error.what for error in found.faults.values()] == [
        f"Vault's response for {mount}/hdm/{name} is invalid" for name in ("heart", "lung")
    ]


def test_path_that_serves_many_is_read_once(vault: Vault) -> None:
    """A thousand databases of one server may share a password."""
    vault.kv2 = {"hdm/h": {"password": SECRET}}
    assert len(ask(*[f"e{number}" for number in range(40)], path="hdm/{host}").credentials) == 40
    assert vault.paths().count("/v1/secret/data/hdm/h") == 1


def test_approle_logs_in_once_for_all_endpoints_and_logs_out(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand endpoints do not cause a thousand logins, and no token is left behind."""
    vault.app_roles = {"role-1": "secret-id-1"}
    vault.kv2 = {f"hdm/e{number}": {"password": f"pw{number}"} for number in range(40)}
    monkeypatch.setenv(
        "AIRFLOW_CONN_VAULT", vault.connection(auth_type="approle", login="role-1", password="secret-id-1")
    )
    found = ask(*[f"e{number}" for number in range(40)])
    assert passwords(found) == {f"e{number}": f"pw{number}" for number in range(40)}
    assert vault.paths("POST") == ["/v1/auth/approle/login", "/v1/auth/token/revoke-self"]
    assert len(vault.paths("GET")) == len({*vault.paths("GET")})
    assert set(vault.tokens) == {ROOT}


def test_kubernetes_logs_in_with_the_token_of_the_service_account(
    vault: Vault, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """From its file; a missing file is named."""
    (tmp_path / "jwt").write_text("eyJ.service.account\n")
    vault.kubernetes = {"hdm": "eyJ.service.account"}
    vault.kv2 = {"hdm/heart": {"password": SECRET}}
    login = {"auth_type": "kubernetes", "kubernetes_role": "hdm", "password": None}
    monkeypatch.setenv("AIRFLOW_CONN_VAULT", vault.connection(**login, kubernetes_jwt_path=str(tmp_path / "jwt")))
    assert passwords(ask("heart")) == {"heart": SECRET}
    monkeypatch.setenv("AIRFLOW_CONN_VAULT", vault.connection(**login, kubernetes_jwt_path=str(tmp_path / "no")))
    assert "a file for the login cannot be read" in fault(ask("heart")).what


def test_refused_login_fails_every_endpoint_with_one_request(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    """More requests could lock the role."""
    monkeypatch.setenv("AIRFLOW_CONN_VAULT", vault.connection(auth_type="approle", login="role-1", password="wr0ng-1d"))
    found = ask("a", "b", "c")
    assert len(found.faults) == 3
    assert all(
        "the login to Vault failed" in str(error) and "wr0ng-1d" not in str(error) for error in found.faults.values()
    )
    assert vault.paths() == ["/v1/auth/approle/login"]


def test_forbidden_path_fails_its_endpoint_and_no_other(vault: Vault) -> None:
    """A policy may allow the rest; and a denial is not `no entry`."""
    vault.kv2 = {"hdm/heart": {"password": SECRET}, "hdm/lung": {"password": SECRET}}
    vault.denied = {f"{WHERE}/lung"}
    found = ask("heart", "lung")
    assert passwords(found) == {"heart": SECRET}
    assert "refuses access to secret/hdm/lung" in fault(found).what


def test_expired_token_fails_the_endpoint(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    """Vault then answers 403, never 404."""
    monkeypatch.setenv("AIRFLOW_CONN_VAULT", vault.connection(password="hvs.ended"))
    error = fault(ask("heart"))
    assert "Forbidden" in error.what
    assert "hvs.ended" not in str(error)


@pytest.mark.parametrize("broken", [500, 501, 502, 503, 429, 418, "garbage"])
def test_vault_that_is_sealed_or_broken_fails_the_endpoints(
    vault: Vault, broken: int | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only 404 means `no entry`."""
    monkeypatch.setattr(rate_limit, "_MAX_WAIT", 0.5)
    vault.broken = broken
    found = ask("a", "b")
    assert len(found.faults) == 2
    assert not found.credentials


def test_request_to_a_node_that_is_starting_is_repeated(vault: Vault) -> None:
    """Another node answers a moment later."""
    vault.kv2 = {"hdm/heart": {"password": SECRET}}
    vault.statuses = [0, 503, 412]  # the first answers the login
    assert passwords(ask("heart")) == {"heart": SECRET}


def test_request_beyond_the_rate_limit_is_repeated(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixteen threads soon exceed a rate limit; no endpoint may fail because of that."""
    monkeypatch.setattr(rate_limit, "_FIRST_WAIT", 0.01)
    vault.kv2 = {f"hdm/e{number}": {"password": SECRET} for number in range(200)}
    vault.statuses = ([0] * 19 + [429]) * 10
    found = ask(*[f"e{number}" for number in range(200)])
    assert (len(found.credentials), found.faults) == (200, {})


def test_rejected_request_waits_for_as_long_as_vault_says(vault: Vault) -> None:
    """No less; if the wait is too long, the endpoint fails instead."""
    vault.kv2 = {"hdm/heart": {"password": SECRET}}
    vault.statuses, vault.headers = [0, 429], {"Retry-After": "1"}
    began = time.monotonic()
    assert passwords(ask("heart")) == {"heart": SECRET}
    assert time.monotonic() - began >= 1
    vault.statuses, vault.headers = [0, 429], {"Retry-After": "3600"}
    assert "Vault is not ready (RateLimitExceeded)" in fault(ask("heart")).what


def test_vault_that_rejects_every_request_is_waited_for_once(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand endpoints do not wait one after the other."""
    monkeypatch.setattr(rate_limit, "_MAX_WAIT", 0.7)
    with open_vault() as chain:
        chain.find_all(places("nobody"))  # the login
        vault.broken = 429
        before, began = len(vault.asked), time.monotonic()
        found = chain.find_all(places(*[f"e{number}" for number in range(200)]))
    assert len(found.faults) == 200
    assert time.monotonic() - began < 20  # each thread by itself would take 16 times as long
    assert len(vault.asked) - before <= 2 * vault_client.AT_ONCE + 3


def test_unreachable_vault_is_asked_once(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error shows the address and hides the token."""
    vault.__exit__()
    connects = []
    original = rate_limit.HTTPAdapter.send

    def send(*arguments: Any, **more: Any) -> Any:
        connects.append(arguments)
        return original(*arguments, **more)

    monkeypatch.setattr(rate_limit.HTTPAdapter, "send", send)
    found = ask(*[f"e{number}" for number in range(50)])
    assert len(found.faults) == 50
    assert {error.what for error in found.faults.values()} == {
        "Vault cannot be reached (ConnectionError)",
    }
    assert len(connects) == 1


def test_vault_that_hangs_counts_as_down_after_a_few_timeouts(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the first threads wait, not a thousand endpoints for ten seconds each."""
    monkeypatch.setattr(vault_client, "TIMEOUT", (1.0, 0.3))
    with open_vault() as chain:
        vault.kv2 = {"hdm/first": {"password": SECRET}}
        assert chain.find_all(places("first")).credentials
        vault.broken = "hang"
        before = len(vault.asked)
        found = chain.find_all(places(*[f"e{number}" for number in range(200)]))
    assert len(found.faults) == 200
    assert all("did not answer" in error.what for error in found.faults.values())
    assert len(vault.asked) - before <= 2 * vault_client.AT_ONCE


def test_slow_databases_do_not_fail_the_others(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    """Vault waits for each of them before it answers; its health endpoint shows that it is running."""
    monkeypatch.setattr(vault_client, "TIMEOUT", (1.0, 0.5))
    names = [f"e{number}" for number in range(60)]
    vault.roles = {name: {"seconds": 3600} for name in names}
    vault.hanging = {f"/v1/database/creds/{name}" for name in names[:16]}
    warnings: list[str] = []
    found = ask(*names, warnings=warnings, dynamic_path="database/creds/{name}")
    assert set(passwords(found)) == set(names[16:])
    assert len(found.faults) == 16
    assert "Vault might still create an account from database/creds/e0; it would expire unused" in warnings


def test_wrong_mount_or_version_is_an_error_and_not_a_missing_entry(vault: Vault) -> None:
    """Both answer 404, as a missing secret does: a typo would leave every pack without its password."""
    vault.kv1 = {"hdm/heart": {"password": SECRET}}
    assert "has KV version 1, but was read as version 2" in fault(ask("heart", mount="kv1")).what
    assert "Vault has no secrets engine at 'sekret'" in fault(ask("heart", mount="sekret")).what
    assert "has KV version 2" in fault(ask("heart", mount="secret", kv_version=1)).what
    assert "Vault has no secrets engine at 'db'" in fault(ask("heart", dynamic_path="db/creds/{name}")).what


def test_missing_or_malformed_connection_to_vault_fails_the_endpoints(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Vault is configured: if it cannot be asked, that is not `no entry`."""
    assert "there is no connection 'nowhere'" in fault(ask("heart", conn_id="nowhere", path="hdm/{name}")).what
    monkeypatch.setenv("AIRFLOW_CONN_VAULT", '{"conn_type": "vault", "password": "' + ROOT)
    assert "cannot be read" in fault(ask("heart")).what
    monkeypatch.setenv("AIRFLOW_CONN_VAULT", vault.connection(auth_type="smartcard"))
    assert "auth_type is not supported" in fault(ask("heart")).what
    monkeypatch.setenv("AIRFLOW_CONN_VAULT", vault.connection(client_kwargs="verify"))
    assert "the connection's extra is invalid" in fault(ask("heart")).what


def test_configured_version_is_trusted_if_vault_does_not_show_the_engines(vault: Vault) -> None:
    """A missing secret is then `no entry`, as usual; the version is asked for once."""
    vault.denied = {"sys/internal/ui/mounts/secret"}
    found = ask("heart", "lung")
    assert (found.credentials, found.faults) == ({}, {})
    assert vault.paths().count("/v1/sys/internal/ui/mounts/secret") == 1


@pytest.mark.parametrize("verify", [False, 0, 0.0, "", None, []])
def test_certificates_are_always_verified(vault: Vault, monkeypatch: pytest.MonkeyPatch, verify: Any) -> None:
    """A connection that disables this would give its token to anyone in between. Many values are false in Python."""
    monkeypatch.setenv("AIRFLOW_CONN_VAULT", vault.connection(client_kwargs={"verify": verify}))
    assert "disables the verification of certificates" in fault(ask("heart")).what
    assert not vault.asked


def test_missing_ca_file_is_an_error(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    """The text `false` counts as one."""
    monkeypatch.setenv("AIRFLOW_CONN_VAULT", vault.connection(client_kwargs={"verify": "false"}))
    assert "the CA file in the connection's `verify` does not exist" in fault(ask("heart")).what


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirect_takes_the_token_nowhere(vault: Vault, status: int) -> None:
    """The other server would get it, and could answer with a password of its own."""
    with Vault() as elsewhere:
        elsewhere.kv2 = {"hdm/heart": {"password": "evil"}}
        vault.broken, vault.headers = status, {"Location": f"http://127.0.0.1:{elsewhere.port}/v1/x"}
        assert "Vault's address redirects to another one" in fault(ask("heart")).what
        assert not elsewhere.asked


def test_untrusted_certificate_is_refused_and_a_ca_file_can_be_named(
    vault: Vault, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The token is sent only to a server that proves to be Vault."""
    vault.kv2 = {"hdm/heart": {"password": SECRET}}
    certificate = vault.encrypt(tmp_path)
    monkeypatch.setenv("AIRFLOW_CONN_VAULT", vault.connection(use_tls=True))
    assert "Vault cannot be reached (SSLError)" in fault(ask("heart")).what
    assert not vault.asked
    trusting = vault.connection(use_tls=True, client_kwargs={"verify": str(certificate)})
    monkeypatch.setenv("AIRFLOW_CONN_VAULT", trusting)
    assert passwords(ask("heart")) == {"heart": SECRET}


def test_dynamic_account_comes_with_its_user_and_is_revoked(vault: Vault) -> None:
    """One per path and run, however often it is looked up."""
    vault.roles = {"heart": {"seconds": 3600}}
    with open_vault(dynamic_path="database/creds/{name}") as chain:
        found = chain.find_all(places("heart", "lung"))
        (credential,) = found.credentials.values()
        assert (credential.user, credential.password) == ("v-token-heart-1", "dynamic-heart-1-Zx9/+ä")
        assert len(vault.leases) == 1
        assert not found.faults
    assert not vault.leases


def test_endpoints_of_one_path_share_one_account(vault: Vault) -> None:
    """A server with a hundred databases does not need a hundred accounts."""
    vault.roles = {"h": {"seconds": 3600}}
    found = ask("a", "b", "c", dynamic_path="database/creds/{host}")
    assert {one.user for one in found.credentials.values()} == {"v-token-h-1"}
    assert vault.paths("GET").count("/v1/database/creds/h") == 1


def test_secret_of_the_kv_engine_is_used_if_there_is_no_role(vault: Vault) -> None:
    """Some databases have dynamic accounts, the others not yet."""
    vault.roles = {"heart": {"seconds": 3600}}
    vault.kv2 = {"hdm/heart": {"password": "old"}, "hdm/lung": {"password": SECRET}}
    found = ask("heart", "lung", path="hdm/{name}", dynamic_path="database/creds/{name}")
    assert passwords(found) == {"heart": "dynamic-heart-1-Zx9/+ä", "lung": SECRET}


def test_database_that_vault_cannot_reach_fails_alone(vault: Vault) -> None:
    """Vault answers 500 for it, and works for the others."""
    vault.roles = {"heart": {"seconds": 3600}, "lung": {"seconds": 3600}}
    vault.broken_paths = {"database/creds/lung": 500}
    found = ask("lung", "heart", dynamic_path="database/creds/{name}")
    assert list(passwords(found)) == ["heart"]
    assert "Vault reports an error at database/creds/lung" in fault(found).what


def test_lease_and_the_token_that_created_it_are_renewed(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    """Vault revokes a token's leases with it: a token of 2 s would end an account of an hour."""
    vault.app_roles = {"role-1": "id-1"}
    vault.token_seconds = 2
    vault.roles = {"heart": {"seconds": 2}}
    monkeypatch.setenv("AIRFLOW_CONN_VAULT", vault.connection(auth_type="approle", login="role-1", password="id-1"))
    warnings: list[str] = []
    with open_vault(warnings, dynamic_path="database/creds/{name}") as chain:
        assert chain.find_all(places("heart")).credentials
        deadline = time.monotonic() + 20
        wanted = {"/v1/sys/leases/renew", "/v1/auth/token/renew-self"}
        while not wanted <= {*vault.paths()} and time.monotonic() < deadline:
            time.sleep(0.05)
    assert wanted <= {*vault.paths()}
    assert not vault.leases
    assert set(vault.tokens) == {ROOT}
    assert warnings == []


def test_vault_that_fails_during_the_run_causes_a_warning_and_the_run_continues(vault: Vault) -> None:
    """The warning says why, and when the account expires."""
    vault.roles = {"heart": {"seconds": 3}}
    warnings: list[str] = []
    with open_vault(warnings, dynamic_path="database/creds/{name}") as chain:
        chain.find_all(places("heart"))
        vault.broken = 503
        deadline = time.monotonic() + 20
        while not warnings and time.monotonic() < deadline:
            chain.pass_on_warnings()
            time.sleep(0.05)
    assert warnings[0].startswith("the account from database/creds/heart could not be renewed and expires in")
    assert "the account from database/creds/heart could not be revoked; it expires in" in warnings[-1]


def test_revoking_the_token_of_the_login_revokes_its_accounts(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    """One request instead of hundreds, for which the last seconds of a task would not be enough."""
    names = [f"e{number}" for number in range(40)]
    vault.app_roles = {"role-1": "id-1"}
    vault.roles = {name: {"seconds": 3600} for name in names}
    monkeypatch.setenv("AIRFLOW_CONN_VAULT", vault.connection(auth_type="approle", login="role-1", password="id-1"))
    assert len(ask(*names, dynamic_path="database/creds/{name}").credentials) == 40
    assert "/v1/sys/leases/revoke" not in vault.paths()
    assert (vault.leases, set(vault.tokens)) == ({}, {ROOT})


def test_accounts_are_revoked_one_by_one_if_their_token_cannot_be_revoked(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A `batch` token cannot."""
    vault.app_roles = {"role-1": "id-1"}
    vault.roles = {"heart": {"seconds": 3600}}
    vault.broken_paths = {"auth/token/revoke-self": 400}
    monkeypatch.setenv("AIRFLOW_CONN_VAULT", vault.connection(auth_type="approle", login="role-1", password="id-1"))
    warnings: list[str] = []
    assert ask("heart", warnings=warnings, dynamic_path="database/creds/{name}").credentials
    assert not vault.leases
    assert "the token of the Vault login could not be revoked" in warnings[0]


def test_token_of_an_abandoned_login_is_revoked(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    """The task is killed while Vault creates the token."""
    vault.app_roles = {"role-1": "id-1"}
    vault.delay = 0.5
    monkeypatch.setenv("AIRFLOW_CONN_VAULT", vault.connection(auth_type="approle", login="role-1", password="id-1"))

    def check() -> None:
        if vault.asked:
            raise HdmError("the task was killed")

    with open_vault() as chain, pytest.raises(HdmError, match="the task was killed"):
        chain.find_all(places("heart"), check)
    deadline = time.monotonic() + 10
    while "/v1/auth/token/revoke-self" not in vault.paths() and time.monotonic() < deadline:
        time.sleep(0.05)
    vault.delay = 0.0
    while set(vault.tokens) != {ROOT} and time.monotonic() < deadline:
        time.sleep(0.05)
    assert set(vault.tokens) == {ROOT}


@pytest.mark.parametrize("stated", [pytest.param(10**400, id="huge"), float("nan"), -1, True, "3600"])
def test_invalid_lifetime_of_a_lease_does_no_harm(vault: Vault, stated: Any) -> None:
    """The account is used, and revoked."""
    vault.roles = {"heart": {"seconds": 3600, "stated": stated}}
    assert ask("heart", dynamic_path="database/creds/{name}").credentials
    assert not vault.leases


def test_abandoned_lookups_do_not_wait_and_leave_no_account(vault: Vault) -> None:
    """The task is killed: Vault's answer comes when it is no longer needed."""
    vault.roles = {"heart": {"seconds": 3600}}
    gone = time.monotonic() + 0.5

    def check() -> None:
        if time.monotonic() > gone:
            raise HdmError("the task was killed")

    with open_vault(dynamic_path="database/creds/{name}") as chain:
        chain.find_all(places("nobody"))  # the login
        vault.delay = 1.5
        with pytest.raises(HdmError, match="the task was killed"):
            chain.find_all(places("heart"), check)
        vault.delay = 0.0
    deadline = time.monotonic() + 10
    while "/v1/sys/leases/revoke" not in vault.paths() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not vault.leases
