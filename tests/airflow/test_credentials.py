"""A task with passwords from Vault, Keycloak and conf.json: what the pack gets, what stays hidden, how it ends."""

from __future__ import annotations

import base64
import json
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

import pytest

from hdm_airflow.credentials import vault_client
from hdm_airflow.errors import HdmError, PackFailedError
from tests.airflow.processes import eventually, left_behind
from tests.airflow.stage import LEAK, REPORT_ALL, endpoint
from tests.stand_ins.keycloak import REALM, Keycloak
from tests.stand_ins.vault import Vault

if TYPE_CHECKING:
    from tests.airflow.stage import Stage

HEART, LUNG, LIVER = endpoint("heart"), endpoint("lung"), endpoint("liver", type="trino")
ALL_OK = REPORT_ALL.format("ok")
SECRET = "canary-kv-p/ss:w rd+ü"
OPTIONS = {
    "vault": {"conn_id": "vault", "path": "hdm/{name}", "dynamic_path": "database/creds/{name}"},
    "keycloak": {"conn_id": "keycloak", "realm": REALM, "endpoints": ["*:trino:*"]},
}
#: Reports the user that the pack was given, and the length of the password.
REPORT_USER = (
    "python -c \"import hdm; [hdm.load().report(e, 'ok', message=e.user + ' ' + str(len(e.password or ''))) "
    'for e in hdm.load().endpoints]"\n'
)


def coded(secret: str) -> list[str]:
    """Every form from which a reader could recover the secret."""
    raw = secret.encode()
    pieces = [base64.b64encode(before + raw).decode()[4:-4] for before in (b"", b"x", b"ab")]
    return [secret, quote(secret, safe=""), quote(secret), quote_plus(secret), *pieces]


def found_in(secrets: list[str], text: str) -> list[str]:
    """Return the forms of these secrets that a text contains."""
    return [form for secret in secrets for form in coded(secret) if form in text]


def processes() -> str:
    """Command lines and variables of every process that this user may inspect."""
    texts = []
    for folder in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            try:
                texts.append((folder / name).read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
            except OSError:  # it has ended, or is another user's
                continue
    return "\n".join(texts)


def on_disk(*folders: Path) -> str:
    """Everything in the files below some folders."""
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file() and not file.is_symlink()]
    return "\n".join(file.read_bytes().decode("utf-8", "replace") for file in files)


def test_pack_gets_the_first_entry_of_the_sources_in_their_order(
    stage: Stage, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The settings define the order; an endpoint in no source runs without a password."""
    monkeypatch.setenv("AIRFLOW_CONN_HDM_HEART", json.dumps({"conn_type": "generic", "password": "four"}))
    vault.kv2 = {"hdm/heart": {"password": "seven77"}, "hdm/lung": {"password": "seven77"}}
    stage.pack("basic", REPORT_USER)
    stage.activate("mp_basic", HEART, LUNG, LIVER)
    options = {"vault": {"conn_id": "vault", "path": "hdm/{name}"}}
    for sources, heart in ((["airflow", "vault"], 4), (["vault", "airflow"], 7), (["vault"], 7)):
        stage.run("mp_basic", credentials={"sources": sources, **options})
        rows = {name: reason for name, _, reason in stage.ledger("mp_basic", "reason")}
        assert rows == {"heart": f"reader {heart}", "lung": "reader 7", "liver": "reader 0"}


def test_source_that_is_down_fails_its_endpoints_and_the_others_run(
    stage: Stage, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger gives the reason; the next source is not asked."""
    monkeypatch.setenv("AIRFLOW_CONN_HDM_HEART", json.dumps({"conn_type": "generic", "password": SECRET}))
    vault.broken = 503
    stage.pack("basic", ALL_OK)
    stage.activate("mp_basic", HEART, LUNG)
    with pytest.raises(PackFailedError, match=r"Vault is not ready|Vault cannot be reached"):
        stage.run("mp_basic", credentials=OPTIONS)
    assert dict(stage.ledger("mp_basic")) == {"heart": "success", "lung": "failed"}
    vault.broken = None
    stage.run("mp_basic", credentials=OPTIONS)
    assert stage.summary["success"] == 1


def test_pack_gets_a_dynamic_account_which_is_renewed_while_it_runs_and_then_revoked(
    stage: Stage, vault: Vault
) -> None:
    """The slug keeps the registered user: it identifies the endpoint in every table."""
    vault.roles = {"heart": {"seconds": 2}}
    script = "import hdm; e = hdm.load().endpoints[0]; print('slug', e.slug); print('url', e.url)"
    stage.pack("basic", f'python -c "{script}"\nsleep 2.5\n' + REPORT_USER)
    stage.activate("mp_basic", HEART)
    stage.run("mp_basic", credentials=OPTIONS)
    assert stage.ledger("mp_basic", "reason")[0][2].startswith("v-token-heart-1 ")
    assert f"slug {HEART.slug}" in stage.lines
    assert "url postgres://v-token-heart-1:***@127.0.0.1:5432/heart" in stage.log.replace("postgresql", "postgres")
    assert "/v1/sys/leases/renew" in vault.paths()
    assert not vault.leases


@pytest.mark.parametrize("script", ["exit 3\n", "sleep 60\n"])
def test_dynamic_account_is_revoked_however_the_pack_ends(stage: Stage, vault: Vault, script: str) -> None:
    """Failed or timed out."""
    vault.roles = {"heart": {"seconds": 3600}}
    stage.pack("basic", script, timeout=2)
    stage.activate("mp_basic", HEART)
    with pytest.raises(PackFailedError):
        stage.run("mp_basic", credentials=OPTIONS)
    assert "/v1/sys/leases/revoke" in vault.paths()
    assert not vault.leases


def test_dynamic_account_is_revoked_when_the_task_is_killed(stage: Stage, vault: Vault) -> None:
    """After the ledger is closed, and not in the signal handler."""
    vault.roles = {"heart": {"seconds": 3600}}
    stage.pack("basic", "echo it runs\nsleep 60\n")
    stage.activate("mp_basic", HEART)
    operator = stage.operator("mp_basic", credentials=OPTIONS)

    def kill() -> None:
        eventually(lambda: bool(vault.leases) and stage.ledger("mp_basic") == [("heart", "running")])
        operator.on_kill()

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(PackFailedError, match="the task was killed"):
        stage.execute(operator)
    killer.join()
    assert stage.ledger("mp_basic") == [("heart", "failed")]
    assert not vault.leases


def test_failed_revocation_of_an_account_does_not_change_the_result(stage: Stage, vault: Vault) -> None:
    """The pack has run; the log has a warning."""
    vault.roles = {"heart": {"seconds": 3600}}
    vault.broken_paths = {"sys/leases/revoke": 500}
    stage.pack("basic", ALL_OK)
    stage.activate("mp_basic", HEART)
    stage.run("mp_basic", credentials=OPTIONS)
    assert stage.ledger("mp_basic") == [("heart", "success")]
    assert "the account from database/creds/heart could not be revoked; it expires in" in stage.log


def test_kill_during_the_lookups_does_not_wait_for_vault(
    stage: Stage, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow sends SIGKILL five seconds later; Vault may take ten for an answer."""
    monkeypatch.setattr(vault_client, "TIMEOUT", (50.0, 50.0))
    vault.broken = "hang"
    stage.pack("basic", f"touch {stage.folder}/ran\n" + ALL_OK)
    stage.activate("mp_basic", *[endpoint(f"e{number}") for number in range(40)])
    operator = stage.operator("mp_basic", credentials=OPTIONS)
    killer = threading.Thread(target=lambda: (eventually(lambda: bool(vault.asked)), operator.on_kill()))
    killer.start()
    began = time.monotonic()
    with pytest.raises(PackFailedError, match="the task was killed"):
        stage.execute(operator)
    assert time.monotonic() - began < 30  # the answer would take fifty
    assert stage.ledger("mp_basic") == []


def test_lookups_end_with_the_time_limit_of_the_pack(
    stage: Stage, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A source may answer byte by byte, so that no request ever times out."""
    monkeypatch.setattr(vault_client, "TIMEOUT", (50.0, 50.0))
    vault.broken = "hang"
    stage.pack("basic", ALL_OK, timeout=1)
    stage.activate("mp_basic", HEART)
    with pytest.raises(HdmError, match="timed out before all passwords were looked up"):
        stage.run("mp_basic", credentials=OPTIONS)


def test_password_of_conf_json_reaches_the_pack_with_a_warning_or_is_forbidden(stage: Stage) -> None:
    """Types other than PostgreSQL and MySQL are not checked; the log warns about that."""
    conf = json.dumps({"prod": {"databases": [{"db_name": "liver", "password": SECRET}]}})
    stage.pack("basic", REPORT_USER, files={"process/conf.json": conf})
    stage.activate("mp_basic", LIVER)
    stage.run("mp_basic")
    assert stage.ledger("mp_basic", "reason") == [("liver", "success", f"reader {len(SECRET)}")]
    assert "is in metric-packs/basic/process/conf.json: move it to an Airflow connection" in stage.log
    assert "was not checked for write access" in stage.log
    with pytest.raises(PackFailedError, match="which the settings forbid"):
        stage.run("mp_basic", credentials={"conf_json": "refuse"})
    assert not found_in([SECRET], stage.log)


def test_passwords_of_vault_and_keycloak_appear_nowhere(
    stage: Stage, vault: Vault, keycloak: Keycloak, tmp_path: Path
) -> None:
    """In no log, error, XCom or ledger row, no process while the pack runs, and no file after it."""
    vault.kv2 = {"hdm/lung": {"password": SECRET}}
    vault.roles = {"heart": {"seconds": 3600}}
    flags = stage.folder.parent / "flags"
    flags.mkdir()
    wait = f"touch {flags}/here; until test -e {flags}/go; do sleep 0.05; done\n"
    stage.pack("basic", wait + "python process/main.py\n", files={"process/main.py": LEAK})
    stage.activate("mp_basic", HEART, LUNG, LIVER)
    seen: list[str] = []

    def look() -> None:
        if eventually((flags / "here").exists, 60):
            seen.append(processes())
        (flags / "go").touch()

    looker = threading.Thread(target=look)
    looker.start()
    with pytest.raises(PackFailedError) as caught:
        stage.run("mp_basic", credentials=OPTIONS, sandbox={"write": [str(flags)]})
    looker.join()
    secrets = [SECRET, "dynamic-heart-1-Zx9/+ä", "eyJ-token-1-Zx9+/=.none"]
    assert stage.lines.count("plain ***") == len(secrets), "each of them was there to be seen"
    assert stage.lines.count("split ***") == len(secrets)
    assert "bootstrap-script.sh" in seen[0]
    places = {
        "log": stage.log,
        "error": str(caught.value),
        "xcom": json.dumps(stage.summary, ensure_ascii=False),
        "ledger": repr(stage.ledger("mp_basic", "reason", "incomplete", "dbversion")),
        "processes": seen[0],
        "files": on_disk(tmp_path, stage.store, Path(os.environ["AIRFLOW_HOME"])),
    }
    assert {place: found_in(secrets, text) for place, text in places.items()} == {place: [] for place in places}
    assert not left_behind(tmp_path)
