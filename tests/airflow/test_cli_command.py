"""`airflow hdm packs command`: the answer on stdout, everything else on stderr, and exit codes for scripts."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.airflow.cli_harness import Hdm
from tests.airflow.processes import eventually

if TYPE_CHECKING:
    from demo.services import Database

#: Answers a command of this name.
SCRIPT = """python - <<'EOF'
import hdm, sys
run = hdm.load()
print("a line of the pack", flush=True)
name, arguments = run.command.name, run.command.arguments
if name == "refuse":
    run.refuse("no such metric: rwos")
if name == "text":
    run.answer("one\\ntwo")
if name == "echo":
    slugs = [one.slug for one in run.endpoints]
    run.answer({"arguments": arguments, "date": str(run.date), "endpoints": slugs, "hidden": "\\u202e\\x9bé"})
EOF
"""
COMMANDS = ["echo", "refuse", "text", "silent"]


@pytest.fixture
def packs(tmp_path: Path) -> Path:
    """The packs folder, with a rule pack that answers."""
    folder = tmp_path / "packs" / "rule-packs" / "limits"
    folder.mkdir(parents=True)
    manifest = {"name": "limits", "version": "1.0.0", "author": "a", "description": "d", "commands": COMMANDS}
    (folder / "properties.json").write_text(json.dumps({**manifest, "depends_on": []}))
    (folder / "bootstrap-script.sh").write_text(f"#!/bin/bash\n{SCRIPT}")
    (folder / "Readme.md").write_text("# limits\n")
    return tmp_path / "packs"


@pytest.fixture
def hdm(
    capsys: pytest.CaptureFixture[str], base: Database, packs: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> Hdm:
    """Commands in this process."""
    assert base.name
    settings = {"venvs": {"folder": str(store)}, "sandbox": {"write": [str(packs.parent)]}, "packs_dir": str(packs)}
    monkeypatch.setenv("AIRFLOW_VAR_HDM", json.dumps(settings))
    return Hdm(capsys)


def test_answer_goes_to_stdout_and_the_output_of_the_pack_to_stderr(
    hdm: Hdm, packs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arguments come from words, a file or stdin; the date and the endpoint as in `packs run`."""
    (tmp_path / "arguments.json").write_text('{"days": 7, "text": "of the file", "files": ["a.yaml"]}')
    (packs.parent / "heart.db").touch()
    hdm("endpoints", "add", "heart", "--type", "sqlite", "--host", packs.parent / "heart.db")
    hdm("activate", "rp_limits", "heart")
    ask = ("packs", "command", "rp_limits", "echo")
    done = hdm(
        *ask, "days:=30", "text=a=b", "--endpoint", "heart", "--date", "2026-01-05",
        "--arguments-file", tmp_path / "arguments.json",
    )  # fmt: skip
    slug = f"heart:sqlite:{packs.parent}/heart.db:::false"
    assert done.data == {
        "arguments": {"days": 30, "text": "a=b", "files": ["a.yaml"]},
        "date": "2026-01-05",
        "endpoints": [slug],
        "hidden": "\u202e\x9bé",
    }
    assert '"\\u202e\\u009bé"' in done.out
    assert done.err.splitlines()[-1] == "a line of the pack"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"stdin": true}')))
    assert hdm(*ask, "--arguments-file", "-").data["arguments"] == {"stdin": True}
    assert hdm("packs", "command", "rp_limits", "text").out == '"one\\ntwo"\n'
    assert hdm("packs", "command", "rp_limits", "text", "--output", "text").out == "one\ntwo\n"


def test_exit_code_is_1_if_the_pack_refuses_or_is_silent(hdm: Hdm) -> None:
    """stdout then stays empty: nobody mistakes half an answer for one."""
    done = hdm("packs", "command", "rp_limits", "refuse", code=1)
    assert done.out == ""
    assert "\nthe command refuse of rp_limits failed: no such metric: rwos\nin: rule-packs/limits\n" in done.err
    done = hdm("packs", "command", "rp_limits", "silent", code=1)
    assert (done.out, "the command silent of rp_limits gave no answer" in done.err) == ("", True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["apply"], "rp_limits has no command 'apply'; it understands: echo, refuse, text, silent\nin: rule-packs/"),
        (["echo", "word"], "'word' is not an argument"),
        (["echo", "a=1", "a:=2"], "the argument a is given twice"),
        (["echo", "a:=x"], "the value of a is not JSON"),
        (["echo", "a:=[NaN]"], "are not values of JSON (ValueError)"),
        (["echo", "--arguments-file", "nowhere.json"], "there is no such file\nin: nowhere.json"),
        (["echo", "--arguments-file", "/dev/null"], "the file of arguments is not a regular file"),
        (["echo", "--endpoint", "nobody"], "nobody"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_starts_nothing(hdm: Hdm, words: list[str], message: str) -> None:
    """The exit code is 2, and the message says what to write."""
    done = hdm("packs", "command", "rp_limits", *words, code=2)
    assert message in done.err
    assert "a line of the pack" not in done.err


def test_show_lists_the_commands_of_a_pack_and_check_knows_the_key(hdm: Hdm, packs: Path) -> None:
    """People find out what they can ask."""
    assert hdm.json("packs", "show", "rp_limits")["commands"] == COMMANDS
    assert "silent" in hdm("packs", "show", "rp_limits").out
    assert hdm("packs", "check", packs, "--strict", "--output", "json").data == []


def test_interrupted_command_ends_the_pack_and_says_so(hdm: Hdm, packs: Path) -> None:
    """The first Ctrl-C ends it in order; exit code 130."""
    started = packs.parent / "started"
    script = packs / "rule-packs" / "limits" / "bootstrap-script.sh"
    script.write_text(f"#!/bin/bash\ntouch {started}\nsleep 600\n")

    def interrupt() -> None:
        if eventually(started.exists, 60):
            os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    done = hdm("packs", "command", "rp_limits", "echo", code=130)
    thread.join()
    assert done.out == ""
    assert "the command echo of rp_limits failed: interrupted" in done.err
