"""Commands to packs: real processes on a real base, which keeps no trace of them."""

from __future__ import annotations

import os
import re
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from hdm_airflow.base.hook import HdmHook
from hdm_airflow.base.runs import Attempt
from hdm_airflow.credentials.airflow_connections import AirflowConnections
from hdm_airflow.errors import ConfigurationError, HdmError, PackFailedError
from hdm_airflow.operators import lock
from hdm_airflow.operators.attempt import Conditions
from hdm_airflow.operators.pack_command import Caller, PackCommand
from hdm_airflow.packs.catalog import Catalog
from hdm_airflow.runner.job import Command
from hdm_airflow.settings import RunOptions
from tests.airflow.processes import ROOT, eventually
from tests.airflow.stage import MONDAY, endpoint

if TYPE_CHECKING:
    from pathlib import Path

    from tests.airflow.stage import Stage

HOW_TO = ROOT / "docs/how-to/give-a-pack-a-command.md"
BLOCK = re.compile(r"<!-- (python|shell): ([\w./-]+) -->\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HEART, LUNG = endpoint("heart"), endpoint("lung")
#: Answers with everything that it was given.
ECHO = """python - <<'EOF'
import hdm, json, os, sys
run = hdm.load()
print("asked for", run.command.name)
context = json.load(open(os.environ["HDM_CONTEXT"]))
run.answer({"name": run.command.name, "arguments": run.command.arguments, "context": context,
            "variables": dict(os.environ), "date": run.date.isoformat()})
EOF
"""
#: What a pack of any language does: here psql asks the base about itself.
PSQL = """answer=$(psql -qAtX -v ON_ERROR_STOP=1 <<'SQL'
INSERT INTO pulse VALUES (current_user) RETURNING
    (SELECT json_build_object(
        'locks', (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database =
                  (SELECT oid FROM pg_database WHERE datname = current_database())),
        'sessions', (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()),
        'user', current_user))
SQL
)
printf '%s' "$answer" > "$HDM_ANSWER"
"""


class Lines:
    """A logger that keeps what it is told."""

    def __init__(self) -> None:
        self.text = ""

    def info(self, message: str, /, *values: Any) -> None:
        """Keep a line."""
        self.text += f"{message % values}\n"

    warning = error = info


@pytest.fixture
def lines() -> Lines:
    """What the commands of a test logged."""
    return Lines()


@pytest.fixture(autouse=True)
def _passwords(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    for one in (HEART, LUNG):
        monkeypatch.setenv(f"AIRFLOW_CONN_HDM_{one.name.upper()}", f"generic://:{one.name}-s3cret@127.0.0.1")
    monkeypatch.setenv("PATH", f"{stage.base.server.bin_dir}:{os.environ['PATH']}")  # psql


def asking(
    stage: Stage,
    name: str = "ask",
    *slugs: str,
    log: Lines,
    arguments: dict[str, Any] | None = None,
    pack: str = "rp_limits",
    pack_conn_id: str | None = None,
    **options: Any,
) -> PackCommand:
    """A command to a pack."""
    options["venvs"] = {"folder": str(stage.store)}
    options["sandbox"] = {"write": [str(stage.folder.parent)], "read": [str(ROOT)]}
    return PackCommand(
        Catalog.scan(stage.folder).find(pack),
        Command(name=name, arguments=arguments or {}),
        Conditions(conn_id="hdm", pack_conn_id=pack_conn_id, options=RunOptions.read(options, "test"), timezone="UTC"),
        Caller(environment="prod", metric_date=MONDAY, dag_id="cli", run_id="cli__1"),
        log,
        endpoints=slugs,
    )


def limits(stage: Stage, script: str, **keys: Any) -> None:
    """Write the pack; its ordinary run would fail."""
    guarded = f'if [ -z "${{HDM_ANSWER:-}}" ]; then exit 9; fi\n{script}'
    stage.pack("limits", guarded, kind="rule", **{"commands": ["ask", "tell"], "depends_on": [], **keys})


def traces(stage: Stage) -> dict[str, int]:
    """The rows of the tables that runs write."""
    tables = ("hdm_pack_run", "hdm_pack", "hdm_pack_state", "hdm_audit", "hdm_alerts")
    with stage.base.connect() as connection:
        return {name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables}


def test_command_answers_from_its_arguments_and_the_base_keeps_no_trace_of_it(stage: Stage, lines: Lines) -> None:
    """The contract as a Python pack sees it; several megabytes of arguments pass."""
    limits(stage, ECHO)
    stage.configure("rp_limits", {"share": 3}, version="1.0.0")
    before = traces(stage)
    arguments = {"text": "ü" * 3_000_000, "list": [1, 2.5, None, {"a": True}]}
    answer = asking(stage, "tell", log=lines, arguments=arguments).run()
    assert (answer["name"], answer["date"]) == ("tell", "2026-01-05")
    assert answer["arguments"] == arguments
    assert answer["context"]["command"] == {"name": "tell", "arguments": arguments}
    assert answer["context"]["config"] == {"share": 3}
    assert answer["context"]["endpoints"] == []
    assert answer["variables"]["HDM_ANSWER"].endswith("/answer.json")
    assert sum(len(value) for value in answer["variables"].values()) < 10_000
    assert lines.text.splitlines()[-1] == "asked for tell"  # it may have built a venv before
    assert traces(stage) == before
    assert list((stage.folder.parent / "tmp").iterdir()) == []


def test_ordinary_run_has_neither_command_nor_answer_file(stage: Stage) -> None:
    """A pack of an older day must not stumble over news."""
    check = 'import json, os; assert "command" not in json.load(open(os.environ["HDM_CONTEXT"]))'
    sdk = "import hdm; run = hdm.load(); assert run.command is None; run.report(run.endpoints[0], 'ok')"
    stage.pack(
        "pulse", f'set -e\ntest -z "${{HDM_ANSWER:-}}"\npython -c \'{check}\'\npython -c "{sdk}"', commands=["ask"]
    )
    stage.activate("mp_pulse", HEART)
    stage.run("mp_pulse")
    assert stage.ledger("mp_pulse") == [("heart", "success")]


def test_passwords_are_asked_for_and_given_only_of_the_endpoints_named(
    stage: Stage, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a name, no source of passwords is asked at all; with one, the answer masks it."""
    asked: list[str] = []
    find = AirflowConnections.find

    def note(self: AirflowConnections, registered: Any) -> Any:
        asked.append(registered.endpoint.name)
        return find(self, registered)

    monkeypatch.setattr(AirflowConnections, "find", note)
    limits(stage, ECHO)
    stage.activate("rp_limits", HEART, LUNG)
    stage.configure("rp_limits", {"share": 7}, place=HEART)
    assert asking(stage, log=lines).run()["context"]["endpoints"] == []
    assert asked == []
    given = asking(stage, "ask", HEART.slug, log=lines).run()["context"]["endpoints"]
    assert asked == ["heart"]
    assert [(one["slug"], one["password"], one["config"]) for one in given] == [(HEART.slug, "***", {"share": 7})]
    probe = "python -c \"import hdm; run = hdm.load(); run.answer(run.endpoints[0].password == 'heart-s3cret')\""
    limits(stage, probe)
    assert asking(stage, "ask", HEART.slug, log=lines).run() is True


def test_endpoint_must_be_activated_and_its_password_known(
    stage: Stage, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a run: who may use a database is decided by activation."""
    limits(stage, f"touch {stage.folder.parent}/started")
    stage.activate("rp_limits", HEART)
    with pytest.raises(ConfigurationError, match="is not activated on lung:"):
        asking(stage, "ask", LUNG.slug, log=lines).run()
    monkeypatch.setenv("AIRFLOW_CONN_HDM_HEART", "generic://:x@elsewhere")
    with pytest.raises(HdmError, match=r"the password of 1 endpoint\(s\) could not be looked up:\n  heart:"):
        asking(stage, "ask", HEART.slug, log=lines).run()
    stage.pack("limits", "", kind="rule", commands=["ask"], files={"config.schema.json": '{"required": ["share"]}'})
    stage.configure("rp_limits", {"shaer": 7}, place=HEART)
    with pytest.raises(ConfigurationError, match=r"cannot use 1 of the endpoint\(s\) named:\n  heart:.*share"):
        asking(stage, "ask", HEART.slug, log=lines).run()
    assert not (stage.folder.parent / "started").exists()


def test_pack_is_never_started_for_a_command_that_it_does_not_declare(stage: Stage, lines: Lines) -> None:
    """Its script would take it for an ordinary run; the base is not even asked."""
    started = stage.folder.parent / "started"
    limits(stage, f"touch {started}")
    with pytest.raises(ConfigurationError, match="rp_limits has no command 'apply'; it understands: ask, tell"):
        asking(stage, "apply", log=lines).run()
    with pytest.raises(ConfigurationError, match=r"not values of JSON \(ValueError\)"):
        asking(stage, log=lines, arguments={"share": float("nan")}).run()
    limits(stage, f"touch {started}", commands=[])
    with pytest.raises(ConfigurationError, match="it understands no command"):
        asking(stage, log=lines).run()
    limits(stage, f"touch {started}", version="")
    with pytest.raises(ConfigurationError, match="is quarantined"):
        asking(stage, log=lines).run()
    assert not started.exists()
    assert lines.text == ""


def test_two_commands_answer_while_the_run_of_the_same_pack_and_date_goes_on(
    stage: Stage, lines: Lines, tmp_path: Path
) -> None:
    """Each waits for the other, so neither could finish if one waited for a lock."""
    meet = f"""touch {tmp_path}/$HDM_RUN_ID-$$
until [ "$(ls {tmp_path} | grep -c ^cli__)" = 2 ]; do sleep 0.05; done
echo 1 > "$HDM_ANSWER"
"""
    limits(stage, meet)
    attempt = Attempt(
        kind="rule",
        pack="limits",
        pack_version="1.0.0",
        metric_date=MONDAY,
        environment="prod",
        dag_id="d",
        run_id="r",
        task_id="t",
        try_number=1,
    )
    with HdmHook().session() as base, ThreadPoolExecutor() as threads:
        lock.take(base, attempt, Catalog.scan(stage.folder).find("rp_limits"), deadline=0.0, heartbeat=lambda: None)
        both = [threads.submit(asking(stage, log=lines, timeout=60.0).run) for _ in range(2)]
        assert [one.result(60) for one in both] == [1, 1]
        assert traces(stage)["hdm_pack_run"] == 0


def test_shell_pack_finds_its_tables_and_no_lock_or_session_of_ours(stage: Stage, lines: Lines) -> None:
    """The create-table scripts are applied once, also by a command; the base is not kept busy while the pack works."""
    limits(stage, PSQL, files={"create-table/pulse.sql": "CREATE TABLE IF NOT EXISTS pulse (who text)"})
    answers = [asking(stage, log=lines).run() for _ in range(2)]
    user = stage.base.server.user
    assert answers == [{"locks": 0, "sessions": 1, "user": user}] * 2
    assert lines.text.count("create-table/pulse.sql was applied to the HDM base\n") == 1


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ("true", "the command ask of rp_limits gave no answer"),
        ('echo \'{"a": 1}\' > "$HDM_ANSWER"; exit 3', "failed: the bootstrap script ended with exit code 3"),
        ('echo 1 > "$HDM_ANSWER"; exit 99', "failed: the bootstrap script ended with exit code 99"),
        (
            "python -c \"import hdm; hdm.load().refuse('a.yaml:3: no such metric')\"",
            "failed: a.yaml:3: no such metric\nin: rule-packs/limits",
        ),
        ('ln -s "$HDM_CONTEXT" "$HDM_ANSWER"', "gave an answer that cannot be read: it is a link"),
        ('head -c 20000000 /dev/zero > "$HDM_ANSWER"', "gave an answer of more than 16,777,216 bytes"),
    ],
    ids=["none", "exit code", "skipped", "refused", "link", "long"],
)
def test_command_without_a_valid_answer_says_why(stage: Stage, lines: Lines, script: str, error: str) -> None:
    """Silence is no success."""
    limits(stage, script)
    with pytest.raises(PackFailedError) as caught:
        asking(stage, log=lines).run()
    assert error in str(caught.value)


def test_command_ends_at_its_timeout_and_when_it_is_aborted(stage: Stage, lines: Lines, pids: Path) -> None:
    """With everything that it started."""
    limits(stage, f'sleep 600 & echo $! > {pids}; echo 1 > "$HDM_ANSWER"; wait')
    with pytest.raises(PackFailedError, match="failed: stopped after its timeout of 2 s"):
        asking(stage, log=lines, timeout=2.0).run()
    pids.unlink()
    command = asking(stage, log=lines)
    assert not command.abort("too early")
    command = asking(stage, log=lines)

    def abort() -> None:
        eventually(lambda: pids.exists() and pids.read_text(), 60)
        command.abort("interrupted")

    thread = threading.Thread(target=abort)
    thread.start()
    with pytest.raises(PackFailedError, match="rp_limits failed: interrupted"):
        command.run()
    thread.join()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pids.read_text()), 0)


def example(stage: Stage, language: str, folder: str) -> None:
    """Write a pack of the how-to, without a word changed."""
    blocks = [(path, text) for owner, path, text in BLOCK.findall(HOW_TO.read_text("utf-8")) if owner == language]
    assert "bootstrap-script.sh" in dict(blocks)
    for path, text in blocks:
        file = stage.folder / folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def test_examples_of_the_how_to_answer_as_it_says(stage: Stage, lines: Lines) -> None:
    """People copy them."""
    example(stage, "python", "metric-packs/reach")
    example(stage, "shell", "rule-packs/limits")
    packs = Catalog.scan(stage.folder, deep=True).packs
    assert [finding.code for pack in packs for finding in pack.findings] == ["readme-missing"] * 2
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_server(("127.0.0.1", 0)) as other:
        here = endpoint("here", port=str(server.getsockname()[1]))
        gone = endpoint("gone", port=str(other.getsockname()[1]))
        other.close()
        stage.activate("mp_reach", here, gone)
        ask = partial(asking, stage, "probe", here.slug, gone.slug, log=lines, pack="mp_reach")
        answer = ask(arguments={"seconds": 5}).run()
        with pytest.raises(PackFailedError, match="failed: seconds must be a number above 0"):
            ask(arguments={"seconds": "5"}).run()
    assert 0 <= answer[here.slug] < 5_000
    assert answer == {here.slug: answer[here.slug], gone.slug: None}
    assert asking(stage, "rows", log=lines).run() == []
    with stage.base.connect(autocommit=True) as connection:
        connection.execute("INSERT INTO limits VALUES ('Kinder''s', 5, '2026-01-02'), ('b', 7, '2025-01-02')")
    answer = asking(stage, "rows", log=lines, arguments={"since": "2026-01-01"}).run()
    assert answer == [{"ward": "Kinder's", "upper": 5, "since": "2026-01-02"}]
    assert asking(stage, "count", log=lines).run() == 2
    with pytest.raises(PackFailedError, match="ended with exit code 3"):  # of psql
        asking(stage, "rows", log=lines, arguments={"since": "soon"}).run()
