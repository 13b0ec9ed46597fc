"""`airflow hdm endpoints test` asks the same sources as packs do and names the one that answered."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.airflow.cli_harness import Hdm
from tests.stand_ins.keycloak import REALM, Keycloak
from tests.stand_ins.vault import Vault

if TYPE_CHECKING:
    from demo.services import Database

OPTIONS = {
    "sources": ["vault", "keycloak"],
    "vault": {"conn_id": "vault", "path": "{environment}/{name}", "dynamic_path": "database/creds/{name}"},
    "keycloak": {"conn_id": "keycloak", "realm": REALM, "endpoints": ["*:trino:*"]},
}


@pytest.fixture
def hdm(capsys: pytest.CaptureFixture[str], base: Database, monkeypatch: pytest.MonkeyPatch) -> Hdm:
    """Commands in this process, with sources other than Airflow's connections."""
    monkeypatch.setenv("AIRFLOW_VAR_HDM", json.dumps({"credentials": OPTIONS}))
    return Hdm(capsys)


def test_source_of_each_password_is_named_and_none_is_shown(
    hdm: Hdm, database: Database, vault: Vault, keycloak: Keycloak
) -> None:
    """In the default environment of the settings, prod."""
    server = database.server
    vault.kv2 = {f"prod/{database.name}": {"password": server.password}}
    good = f"{database.name}:postgres:{server.host}:{server.port}:{server.user}:false"
    others = {"token": "token:trino:127.0.0.1:1:me:false", "none": "none:postgres:127.0.0.1:1:me:false"}
    for slug in (good, *others.values()):
        hdm("endpoints", "add", slug)
    done = hdm("endpoints", "test", good, *others.values(), good, "--output", "json", code=1)
    rows = {row["endpoint"]: row for row in done.data}
    assert len(done.data) == 3
    assert rows[good]["reachable"]
    assert rows[good]["password_from"] == f"Vault prod/{database.name}"
    assert rows[others["token"]]["password_from"] == f"Keycloak realm {REALM}"
    assert rows[others["none"]]["password_from"] == "none"
    assert server.password not in done.out + done.err
    assert "eyJ-token" not in done.out + done.err


def test_account_that_vault_creates_is_tested_and_revoked(hdm: Hdm, database: Database, vault: Vault) -> None:
    """On a real server: the command logs in as the user that Vault created, which is gone afterwards."""
    server = database.server
    slug = f"{database.name}:postgres:{server.host}:{server.port}:nobody-is-called-so:false"
    vault.roles = {database.name: {"seconds": 3600}}
    made: list[str] = []
    with database.connect(autocommit=True) as owner:

        def make(user: str, password: str) -> None:
            made.append(user)
            owner.execute(f"CREATE ROLE \"{user}\" LOGIN PASSWORD '{password}'")

        vault.make_account = make
        vault.drop_account = lambda user: owner.execute(f'DROP ROLE "{user}"') and None
        hdm("endpoints", "add", slug)
        done = hdm("endpoints", "test", slug, "--output", "json")
        left = owner.execute("SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)", [made]).fetchall()
    assert done.data[0]["endpoint"] == slug
    assert done.data[0]["reachable"], done.data
    assert done.data[0]["password_from"] == f"Vault database/creds/{database.name}"
    assert len(made) == 1
    assert left == []
    assert "dynamic-" not in done.out + done.err


def test_connection_with_a_number_for_a_password_fails_its_row(hdm: Hdm, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest of the command works."""
    monkeypatch.setenv("AIRFLOW_VAR_HDM", json.dumps({"credentials": {"sources": ["airflow"]}}))
    monkeypatch.setenv("AIRFLOW_CONN_HDM_HEART", '{"conn_type": "generic", "password": 12345}')
    hdm("endpoints", "add", "heart:postgres:127.0.0.1:1:me:false")
    (row,) = hdm.json("endpoints", "test", code=1)
    assert "the password of the connection 'hdm_heart' is not text" in row["message"]
    assert "12345" not in row["message"]


def test_source_that_is_down_is_reported_for_each_endpoint(hdm: Hdm, vault: Vault) -> None:
    """As in a task."""
    vault.broken = 503
    hdm("endpoints", "add", "heart:postgres:127.0.0.1:1:me:false")
    (row,) = hdm.json("endpoints", "test", code=1)
    assert not row["reachable"]
    assert "Vault is not ready" in row["message"]
    assert row["password_from"] == "none"
