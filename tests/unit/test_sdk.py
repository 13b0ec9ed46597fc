"""The SDK that packs import: what it reads, writes and rejects."""

from __future__ import annotations

import ast
import datetime as dt
import json
import subprocess
import sys
from pathlib import Path

import pytest

from hdm_airflow.sdk import hdm

SDK = Path(hdm.__file__)
SLUG = "heart:postgres:db:5432:reader:true"
CONTEXT = {
    "contract": 1,
    "environment": "prod",
    "date": "2026-01-31",
    "pack": {"kind": "metric", "name": "basic", "version": "1.0.0"},
    "config": {"min_count": 5},
    "endpoints": [
        {
            "slug": SLUG,
            "database": "heart",
            "type": "postgres",
            "host": "db",
            "port": 5432,
            "user": "reader",
            "ssl": "true",
            "password": "s3cret",
            "url": "postgresql://reader:s3cret@db:5432/heart",
            "version": "2.1",
            "config": "dev",
            "incomplete": ["patients"],
        }
    ],
}


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The context file that HDM_CONTEXT names."""
    path = tmp_path / "context.json"
    path.write_text(json.dumps(CONTEXT))
    monkeypatch.setenv("HDM_CONTEXT", str(path))
    monkeypatch.setenv("HDM_REPORT", str(tmp_path / "report.jsonl"))
    return path


def reported(context: Path) -> list[object]:
    return [json.loads(line) for line in (context.parent / "report.jsonl").read_text().splitlines()]


def test_load_gives_everything_the_context_says(context: Path) -> None:
    """Dates become dates, ports text and ssl a boolean; configuration that is not JSON stays text."""
    run = hdm.load()
    (endpoint,) = run.endpoints
    assert (run.environment, run.date, run.pack, run.version) == ("prod", dt.date(2026, 1, 31), "basic", "1.0.0")
    assert run.config == {"min_count": 5}
    assert (endpoint.port, endpoint.ssl, endpoint.config, endpoint.version) == ("5432", True, "dev", "2.1")
    assert endpoint.incomplete == ("patients",)


@pytest.mark.parametrize("value", [[1, {"a": None}], [], 7, 0, 1.5, True, False, "", "dev"])
def test_configuration_that_is_not_an_object_is_given_as_it_is(context: Path, value: object) -> None:
    """As an empty object, it would silently mean the pack's defaults."""
    (endpoint,) = CONTEXT["endpoints"]
    context.write_text(json.dumps({**CONTEXT, "config": value, "endpoints": [{**endpoint, "config": value}]}))
    run = hdm.load()
    assert (run.config, run.endpoints[0].config) == (value, value)


def test_an_endpoint_without_password_port_or_version_has_empty_ones(context: Path) -> None:
    """Null and missing are the same; an unknown dbversion is 0.0."""
    bare = {"slug": "lab:sqlite:/lab.db:::false", "database": "lab", "type": "sqlite", "password": None}
    context.write_text(json.dumps({**CONTEXT, "endpoints": [bare]}))
    (endpoint,) = hdm.load().endpoints
    assert (endpoint.password, endpoint.port, endpoint.version, endpoint.ssl) == ("", "", "0.0", False)
    assert (endpoint.config, endpoint.incomplete) == ({}, ())


def test_no_repr_shows_the_password(context: Path) -> None:
    """Whatever a pack prints for debugging is in the task log."""
    run = hdm.load()
    assert "s3cret" not in repr(run) + repr(run.endpoints) + str(run.endpoints[0])
    assert "heart" in repr(run.endpoints[0])


@pytest.mark.parametrize("variable", ["HDM_CONTEXT", "HDM_REPORT"])
def test_a_missing_variable_is_an_error_that_names_it(
    context: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """Fault 14 of the original: without its variables, it did nothing and exited with success."""
    monkeypatch.delenv(variable)
    with pytest.raises(hdm.ContextError, match=f"{variable} is not set"):
        hdm.load()


def test_a_pack_started_without_its_environment_does_not_exit_with_zero() -> None:
    """Fault 14 again, seen from outside."""
    program = "import hdm; hdm.load()"
    environment = {"PYTHONPATH": str(SDK.parent)}
    ended = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert "HDM_CONTEXT is not set" in ended.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no json", "is not a JSON file"),
        ("[]", "has contract None"),
        (json.dumps({**CONTEXT, "contract": 2}), "has contract 2"),
        (json.dumps({**CONTEXT, "endpoints": [{"password": "s3cret"}]}), ": 'slug' is missing"),
        (json.dumps({**CONTEXT, "date": "s3cret"}), "ValueError"),
    ],
)
def test_a_context_that_is_not_of_contract_1_is_refused_without_quoting_it(
    context: Path, text: str, message: str
) -> None:
    """The context contains passwords: an error about it names only keys."""
    context.write_text(text)
    with pytest.raises(hdm.ContextError, match=message) as caught:
        hdm.load()
    assert "s3cret" not in str(caught.value)


def test_a_missing_context_file_is_an_error_that_names_it(context: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message shows the path."""
    monkeypatch.setenv("HDM_CONTEXT", "/nowhere/context.json")
    with pytest.raises(hdm.ContextError, match=r"/nowhere/context\.json"):
        hdm.load()


def test_reports_are_json_lines_with_only_what_was_passed(context: Path) -> None:
    """Zero metrics are reported; an unset number of metrics is not."""
    run = hdm.load()
    run.report(run.endpoints[0], "ok", "über alles\nzweite Zeile", metrics=0, version="2.2")
    run.report("other", "partial", incomplete=["a", "b"])
    assert reported(context) == [
        {
            "endpoint": SLUG,
            "status": "ok",
            "message": "über alles\nzweite Zeile",
            "metrics": 0,
            "version": "2.2",
        },
        {"endpoint": "other", "status": "partial", "message": "", "incomplete": ["a", "b"]},
    ]


def test_an_unknown_status_is_refused(context: Path) -> None:
    """A typo must not become a report that the runner drops."""
    with pytest.raises(ValueError, match="success"):
        hdm.load().report(SLUG, "success")


@pytest.mark.parametrize(("share", "written"), [(-1.0, 0.0), (0.4, 0.4), (7.0, 1.0)])
def test_progress_stays_between_0_and_1(context: Path, share: float, written: float) -> None:
    """A pack that miscounts still reports progress."""
    hdm.load().progress(share, "patients")
    assert reported(context) == [{"progress": written, "message": "patients"}]


def test_skip_ends_the_pack_with_99(context: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """99 is the exit code for: there was nothing to do."""
    with pytest.raises(SystemExit) as caught:
        hdm.load().skip("no endpoints")
    assert caught.value.code == 99
    assert capsys.readouterr().out == "no endpoints\n"


def test_a_command_is_read_and_answered(context: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last answer counts; a run has neither."""
    assert hdm.load().command is None
    with pytest.raises(RuntimeError, match="only a command is answered"):
        hdm.load().answer(1)
    context.write_text(json.dumps({**CONTEXT, "command": {"name": "check", "arguments": {"pin": "s3cret"}}}))
    with pytest.raises(hdm.ContextError, match="HDM_ANSWER is not set"):
        hdm.load()
    path = context.parent / "answer.json"
    monkeypatch.setenv("HDM_ANSWER", str(path))
    run = hdm.load()
    assert run.command == hdm.Command(name="check", arguments={"pin": "s3cret"})
    assert "s3cret" not in repr(run)
    run.answer(["first"])
    run.answer({"größe": [1, None]})
    assert json.loads(path.read_text("utf-8")) == {"größe": [1, None]}
    for wrong in (float("nan"), "\ud800", object()):
        with pytest.raises((ValueError, TypeError)):
            run.answer(wrong)
    with pytest.raises(SystemExit) as caught:
        run.refuse("a.yaml:3: no such metric")
    assert caught.value.code == 1
    assert json.loads(path.read_text("utf-8")) == "a.yaml:3: no such metric"


def test_the_sdk_is_one_small_file_of_python_3_8_and_the_standard_library() -> None:
    """A pack may run in a venv without hdm_airflow, on an old Python."""
    source = SDK.read_text()
    assert source.count("\n") < 230
    imported = set()
    for node in ast.walk(ast.parse(source, feature_version=(3, 8))):
        if isinstance(node, ast.Import):
            imported |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").split(".")[0])
    assert imported <= sys.stdlib_module_names
