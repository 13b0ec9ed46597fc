"""Files for the code host: workflows call existing targets, and issue forms keep patient data out."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = {path.stem: yaml.safe_load(path.read_text("utf-8")) for path in ROOT.glob(".github/workflows/*.yml")}
TEMPLATES = {path.stem: yaml.safe_load(path.read_text("utf-8")) for path in ROOT.glob(".github/ISSUE_TEMPLATE/*.yml")}
FORMS = {name: form for name, form in TEMPLATES.items() if name != "config"}
PYPROJECT = (ROOT / "pyproject.toml").read_text("utf-8")
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
RUN = ROOT / ".ci/run"
ON = True  # YAML 1.1 reads the key `on` so


def repository() -> str:
    (url,) = re.findall(r'^Source = "(.*)"$', PYPROJECT, re.MULTILINE)
    return url


def jobs() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, workflow in WORKFLOWS.items():
        for job, content in workflow["jobs"].items():
            yield f"{name}.{job}", content


def steps() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, job in jobs():
        for step in job.get("steps", []):
            yield name, step


def targets() -> list[str]:
    """What .ci/run asks make for."""
    found = re.findall(r"^(?:\w+=\w+ )*make (\S+)(?: TESTS=.*)?$", RUN.read_text(), re.MULTILINE)
    assert {"install", "lint", "docs", "test"} <= set(found)
    return found


# Workflows -----------------------------------------------------------------------------------------------------------


def test_there_are_a_workflow_for_changes_and_one_for_releases() -> None:
    """All others of this file look at each."""
    assert WORKFLOWS.keys() == {"ci", "release"}
    assert WORKFLOWS["ci"][ON].keys() == {"push", "pull_request", "workflow_call"}
    assert WORKFLOWS["release"][ON] == {"push": {"tags": ["v*"]}}


def test_commands_of_workflows_are_there() -> None:
    """A script or a make target that was renamed would be noticed after the push."""
    known = {"python", "uv", "test"}
    for name, step in steps():
        for line in step.get("run", "").splitlines():
            word, *others = line.split()
            if "/" in word:
                assert os.access(ROOT / word, os.X_OK), f"{name}: {line}"
            else:
                assert word in known, f"{name}: {line}"
            for file in (one for one in others if one.endswith(".txt")):
                assert (ROOT / file).is_file(), f"{name}: {line}"
    rules = [re.escape(rule).replace("%", ".+") for rule in re.findall(r"^([\w%-]+):", MAKEFILE, re.MULTILINE)]
    for target in targets():
        assert any(re.fullmatch(rule, target) for rule in rules), target


def test_workflow_of_changes_runs_the_oldest_and_the_newest_python_that_is_promised() -> None:
    """As `requires-python` and the classifiers say."""
    job = WORKFLOWS["ci"]["jobs"]["run"]
    promised = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', PYPROJECT)
    assert job["strategy"]["matrix"]["python"] == [promised[0], promised[-1]]
    assert f'requires-python = ">={promised[0]}"' in PYPROJECT
    (run,) = (step for step in job["steps"] if "run" in step)
    assert run == {"run": ".ci/run", "env": {"PYTHON": "python${{ matrix.python }}"}}
    assert job["container"]["image"] == "python:${{ matrix.python }}-bookworm"


def test_actions_are_pinned_by_version_and_checkouts_keep_no_token() -> None:
    """The same files do the same next year."""
    used = [(name, step) for name, step in steps() if "uses" in step]
    assert used
    for name, step in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@v\d+\.\d+\.\d+", step["uses"]), name
        if step["uses"].startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


def test_workflows_may_only_read_but_for_the_job_that_publishes() -> None:
    """That one runs no command and no code of this repository, after all tests."""
    for workflow in WORKFLOWS.values():
        assert workflow["permissions"] == {"contents": "read"}
    assert {name: job["permissions"] for name, job in jobs() if "permissions" in job} == {
        "release.publish": {"id-token": "write"}
    }
    publish = WORKFLOWS["release"]["jobs"]["publish"]
    assert [step["uses"].partition("@")[0] for step in publish["steps"]] == [
        "actions/download-artifact",
        "pypa/gh-action-pypi-publish",
    ]
    assert publish["environment"] == "pypi"
    assert publish["needs"] == "build"
    assert WORKFLOWS["release"]["jobs"]["build"]["needs"] == "test"
    assert WORKFLOWS["release"]["jobs"]["test"] == {"uses": "./.github/workflows/ci.yml"}


def test_every_job_ends_by_itself() -> None:
    """Else one that hangs costs six hours."""
    for name, job in jobs():
        assert "uses" in job or job["timeout-minutes"] <= 90, name


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with .ci/run and programs that say how they were called; `make install` makes .venv."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(RUN, tmp_path / ".ci/run")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("cc", "mariadbd", "redis-server", "chromium", "chromedriver", "node", "npm", "java"):
        (programs / name).symlink_to("/bin/true")
    make = programs / "make"
    make.write_text(
        '#!/bin/sh\necho "make $1 with $PYTHON"\nmkdir -p .venv/bin; ln -sf "$MADE_WITH" .venv/bin/python\n'
    )
    other = programs / "other-python"
    other.write_text('#!/bin/sh\necho "Python 3.0"\n')
    for one in (make, other):
        one.chmod(0o755)
    (programs / "python3").symlink_to(sys.executable)
    return tmp_path


def ci_run(checkout: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    path = f"{checkout / 'bin'}:/usr/bin:/bin"
    inherited = {"PATH": path, "MADE_WITH": sys.executable, **variables}
    return subprocess.run([checkout / ".ci/run"], env=inherited, capture_output=True, text=True, check=False)


def test_ci_runs_with_the_python_that_it_is_told(checkout: Path) -> None:
    """Of several, the matrix chooses one."""
    done = ci_run(checkout, PYTHON=sys.executable)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"make {target} with {sys.executable}" for target in targets()]
    assert ci_run(checkout).stdout.startswith("make install with python3\n")


def test_ci_does_not_take_another_pythons_venv_for_the_one_it_is_told(checkout: Path) -> None:
    """`make install` leaves a .venv that is there as it is: green would mean another Python."""
    done = ci_run(checkout, PYTHON=str(checkout / "bin/other-python"))
    assert done.returncode == 2
    assert "make clean" in done.stderr
    assert "make lint" not in done.stdout


# Issues --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMS)
def test_issue_form_is_one_that_the_host_takes(name: str) -> None:
    """The code host silently hides a malformed form."""
    form = FORMS[name]
    assert form.keys() == {"name", "description", "labels", "body"}
    ids = [part["id"] for part in form["body"] if part["type"] != "markdown"]
    assert len(ids) == len(set(ids))
    for part in form["body"]:
        if part["type"] == "markdown":
            assert part.keys() == {"type", "attributes"}
            assert part["attributes"].keys() == {"value"}
        else:
            assert part["type"] in {"textarea", "checkboxes"}
            assert part["attributes"]["label"]
            assert part.keys() <= {"type", "id", "attributes", "validations"}


def test_issue_forms_ask_for_no_patient_data_and_bugs_have_to_say_so() -> None:
    """Issues are public."""
    assert FORMS.keys() == {"bug", "feature"}
    for form in FORMS.values():
        assert "No patient data" in form["body"][0]["attributes"]["value"]
    (box,) = (part for part in FORMS["bug"]["body"] if part["type"] == "checkboxes")
    (option,) = box["attributes"]["options"]
    assert "no patient data" in option["label"]
    assert option["required"] is True


def test_vulnerabilities_are_led_to_private_reports_everywhere() -> None:
    """Never to a public issue: an empty one cannot be opened past the forms."""
    private = f"{repository()}/security/advisories/new"
    assert TEMPLATES["config"]["blank_issues_enabled"] is False
    assert [link["url"] for link in TEMPLATES["config"]["contact_links"]] == [private]
    assert private in (ROOT / "SECURITY.md").read_text("utf-8")
    assert private in FORMS["bug"]["body"][0]["attributes"]["value"]
