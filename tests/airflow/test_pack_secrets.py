"""What a pack receives, and that no one else can see it."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from hdm_airflow.errors import PackFailedError
from tests.airflow.processes import left_behind
from tests.airflow.stage import LEAK, MONDAY, REPORT_ALL, endpoint

if TYPE_CHECKING:
    from tests.airflow.stage import Stage

HEART = endpoint("heart")
ALL_OK = REPORT_ALL.format("ok")
SECRET = "p/ss:w rd+ü"


def test_child_gets_the_contract_and_no_other_variable_of_the_worker(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No AIRFLOW__* variable, connection or secret of the worker; only proxies and variables named in the manifest."""
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "fernet")
    monkeypatch.setenv("CLOUD_TOKEN", "cloud")
    monkeypatch.setenv("ES_HOST", "elastic")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:1")
    stage.pack("basic", f"env -0 > {stage.folder}/env\n" + ALL_OK, variables=["ES_HOST", "NOT_SET"])
    stage.activate("mp_basic", HEART)
    stage.run("mp_basic", environment="dev")
    pairs = (stage.folder / "env").read_bytes().decode().split("\0")
    seen = dict(pair.split("=", 1) for pair in pairs if pair)
    assert {key: seen[key] for key in ("ENV", "HDM_ENVIRONMENT", "HDM_DATE", "HDM_PACK", "HDM_PACK_VERSION")} == {
        "ENV": "dev",
        "HDM_ENVIRONMENT": "dev",
        "HDM_DATE": MONDAY.isoformat(),
        "HDM_PACK": "basic",
        "HDM_PACK_VERSION": "1.0.0",
    }
    assert seen["ES_HOST"] == "elastic"
    assert seen["HTTPS_PROXY"] == "http://proxy:1"
    assert not [key for key in seen if key.startswith("AIRFLOW") or "TOKEN" in key or key == "PGPASSWORD"]
    assert seen["HOME"] != os.environ.get("HOME")
    assert Path(seen["TMPDIR"]).parent == Path(seen["HOME"]).parent


def test_context_file_is_private_and_psql_needs_no_argument(stage: Stage, tmp_path: Path) -> None:
    """Mode 0600 in a folder of mode 0700, removed afterwards; the base's password is in a pgpass file."""
    script = """
    stat -c 'mode %a' "$HDM_CONTEXT" "$HDM_REPORT" "$PGPASSFILE" "$(dirname "$HDM_CONTEXT")"
    {psql} -Atc "select 'activated ' || count(*) from hdm_activation"
    PGDATABASE=postgres {psql} -w -Atc "select 'another'" || echo no password for another database
    cp "$HDM_CONTEXT" {copy}
    """
    copy = tmp_path / "context.json"
    psql = stage.base.server.bin_dir / "psql"
    stage.pack("basic", script.format(psql=psql, copy=copy) + ALL_OK)
    stage.activate("mp_basic", HEART)
    stage.run("mp_basic")
    assert [line for line in stage.lines if line.startswith("mode")] == ["mode 600"] * 3 + ["mode 700"]
    assert "activated 1" in stage.lines
    assert "no password for another database" in stage.lines
    context = json.loads(copy.read_text())
    assert context["contract"] == 1
    assert context["pack"] == {"kind": "metric", "name": "basic", "version": "1.0.0"}
    assert context["base"]["database"] == stage.base.name
    assert context["endpoints"][0]["slug"] == HEART.slug
    assert not left_behind(tmp_path)


def test_password_is_in_no_log_line_no_xcom_and_no_ledger_row(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when the pack prints it: plain, in base64 inside a longer text, URL-quoted, in two writes of one line."""
    monkeypatch.setenv("AIRFLOW_CONN_HDM_HEART", json.dumps({"conn_type": "generic", "password": SECRET}))
    long = """
    print("x" * (1 << 15) + p)
    masked = (p + " ") * 50  # shorter after masking: the cut of the line must allow for that
    print(masked + "x" * ((1 << 15) - len(masked.encode()) - 8) + p + "tail")
"""
    program = LEAK + long
    stage.pack("basic", "python process/main.py\n", files={"process/main.py": program})
    stage.activate("mp_basic", HEART)
    with pytest.raises(PackFailedError) as caught:
        stage.run("mp_basic")
    places = [
        stage.log,
        str(caught.value),
        json.dumps(stage.summary, ensure_ascii=False),
        repr(stage.ledger("mp_basic", "reason", "incomplete")),
    ]
    raw = SECRET.encode()
    forms = [SECRET, quote(SECRET), quote(SECRET, safe=""), base64.b64encode(raw).decode()[2:-4], raw.decode()[:6]]
    for place in places:
        assert not [form for form in forms if form in place]
    assert "plain ***" in stage.lines
    assert "split ***" in stage.lines


@pytest.mark.parametrize("options", [{}, {"conf_json": "refuse"}, {"sources": ["airflow"]}])
def test_passwords_of_the_packs_own_file_are_masked_used_or_not(stage: Stage, options: dict[str, Any]) -> None:
    """An entry for another endpoint, a rejected one, and a file that is not used: the pack can print each."""
    conf = {"databases": [{"name": "lung", "password": SECRET}], "esPassword": "elastic-w0rd"}
    stage.pack("basic", "cat process/conf.json\n" + ALL_OK, files={"process/conf.json": json.dumps(conf)})
    stage.activate("mp_basic", HEART)
    stage.run("mp_basic", credentials=options)
    assert not [form for form in (SECRET, json.dumps(SECRET)[1:-1], "elastic-w0rd") if form in stage.log]
    assert '"password": "***"' in stage.log


def test_secret_is_masked_before_a_report_is_cut_or_folded(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A piece of a password, or one with other white space, gives the password away."""
    secret = "two  blanks\tand a tab"
    monkeypatch.setenv("AIRFLOW_CONN_HDM_HEART", json.dumps({"conn_type": "generic", "password": secret}))
    program = """
import hdm
run = hdm.load()
for e in run.endpoints:
    run.report(e, "failed", message="x" * 990 + e.password, version=e.password, incomplete=["t" * 995 + e.password])
"""
    stage.pack("basic", "python process/main.py\n", files={"process/main.py": program})
    stage.activate("mp_basic", HEART)
    with pytest.raises(PackFailedError):
        stage.run("mp_basic")
    ledger = repr(stage.ledger("mp_basic", "reason", "dbversion", "incomplete"))
    assert not [
        piece for piece in ("two", "blanks", "a tab") if piece in stage.log + ledger + json.dumps(stage.summary)
    ]


def test_passwords_of_proxies_and_of_variables_that_sound_secret_are_masked(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the pack needs them."""
    monkeypatch.setenv("HTTPS_PROXY", "http://joe:proxy-pw-1@proxy:3128")
    monkeypatch.setenv("HTTP_PROXY", "joe:p%40ss-w0rd@proxy:3128")
    monkeypatch.setenv("ES_TOKEN", "es-token-1")
    stage.pack("basic", "set -x\nenv\necho it means p@ss-w0rd\n" + ALL_OK, variables=["ES_TOKEN"])
    stage.activate("mp_basic", HEART)
    stage.run("mp_basic")
    assert "HTTPS_PROXY=http://joe:***@proxy:3128" in stage.lines
    assert "HTTP_PROXY=joe:***@proxy:3128" in stage.lines
    assert "it means ***" in stage.lines
    assert "ES_TOKEN=***" in stage.lines


def test_escaped_wrapped_and_coloured_password_and_control_characters_reach_no_log(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real run: the first half of a wrapped password is read long before the second one."""
    secret = "tok\ten;" + "aB3dE5fG7hI9" * 6
    monkeypatch.setenv("AIRFLOW_CONN_HDM_HEART", json.dumps({"conn_type": "generic", "password": secret}))
    program = """
import base64, hdm, shlex, subprocess, sys, time
run = hdm.load()
for e in run.endpoints:
    p = e.password
    subprocess.run(["bash", "-c", 'printf "%q\\\\n" "$1"; declare -p 1; set -x; : "$1"', "bash", p])
    for line in base64.encodebytes(b"user:" + p.encode()).decode().splitlines():
        print(line, flush=True)
        time.sleep(0.6)
    print("\\x1b[2Jgone \\u202e \\x9b \\x1b]0;title\\x07 \\x1b[31mred", flush=True)
    bad = "\\x1b[2J\\u202e bad " + "\\x1b[1m".join(p)
    run.report(e, "failed", message=bad, version="\\x9b1", incomplete=["t\\x07"])
"""
    stage.pack("basic", "python process/main.py\n", files={"process/main.py": program})
    stage.activate("mp_basic", HEART)
    with pytest.raises(PackFailedError) as caught:
        stage.run("mp_basic")
    ledger = repr(stage.ledger("mp_basic", "reason", "dbversion", "incomplete"))
    places = stage.log + str(caught.value) + json.dumps(stage.summary, ensure_ascii=False) + ledger
    encoded = base64.b64encode(b"user:" + secret.encode()).decode()
    pieces = {text[at : at + 6] for text in (secret, encoded[8:-4]) for at in range(len(text) - 6)}
    assert not [piece for piece in pieces if piece in places]
    assert not set("\u202e\x9b\x07") & set(places)
    assert r"\x1b[2Jgone \u202e \x9b \x1b]0;title\x07 " + "\x1b[31mred\x1b[0m" in stage.lines
    assert places.count("\x1b") == 4  # twice: a failed task's log quotes the last lines again
