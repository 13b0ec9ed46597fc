"""What `packs check` reads in shell scripts and requirements, and that no script is run or hangs it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from hdm_airflow.packs import inspection, shell
from hdm_airflow.packs.reader import read


def findings(folder: Path, **files: str | bytes) -> dict[str, tuple[str, str]]:
    """Code -> file and place of the last finding, of a pack with these files; `__` stands for / and `_sh` for .sh."""
    whole = {
        "properties.json": '{"name": "p", "version": "1", "author": "a", "description": "d"}',
        "Readme.md": "# p",
        **{name.replace("__", "/").replace("_sh", ".sh").replace("_txt", ".txt"): text for name, text in files.items()},
    }
    for name, text in whole.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
    draft = read("p", folder, "metric")
    inspection.inspect(draft, folder.parent)
    return {one.code: (one.file, one.place) for one in draft.findings}


def codes(folder: Path, script: str, **files: str | bytes) -> set[str]:
    (folder / "bootstrap-script.sh").write_text(script)
    return set(findings(folder, **files)) - {"airflow-imports"}


@pytest.mark.parametrize(
    "script",
    [
        "#!/bin/bash\npython a.py\n",
        "#!/bin/bash\nset -euo pipefail\npip install x\npython a.py\n",
        "#!/bin/bash\nset -o errexit\npip install x\npython a.py\n",
        "#!/usr/bin/env bash\n# a comment: don't\nexport A=1\necho started\nexec python a.py\n",
        "#!/bin/sh\ncd process || exit 1\npip install x && python a.py\n",
        "#!/bin/bash\ntrap 'exit 1' ERR\npip install x\npython a.py\n",
        "#!/bin/bash\nif ! pip install x; then exit 1; fi\npython a.py\n",
        "#!/bin/bash\nset -e\nshopt -s extglob\nrm -f !(a|b)\npython a.py\n",
        "#!/bin/bash\nset -e\ncat > x <<'EOF'\n./not-called.sh\nC:\\is\\data # 'open\nEOF\nprintf 'a\\tb' \"it's\"\n",
    ],
)
def test_correct_script_has_no_finding(tmp_path: Path, script: str) -> None:
    """A warning that is wrong makes people ignore all of them."""
    found = codes(tmp_path, script, not_called="")
    assert found - {"windows-path"} == set()


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("#!/bin/bash\nnodejs24 x.js; echo finished\n", "script-errexit"),
        ("#!/bin/bash\nnodejs24 x.js\necho finished\n", "script-errexit"),
        ("#!/bin/bash -e\npip install x\npython a.py\n", "script-errexit"),
        ("#!/usr/bin/python3\nprint\n", "script-interpreter"),
        ("#!/usr/bin/env -S node --x\nx\n", "script-interpreter"),
        ("#!/bin/bash\nif true; then\n", "script-syntax"),
        ("#!/bin/bash\necho 'open\n", "script-syntax"),
        ("#!/bin/bash\ncase x in\n", "script-syntax"),
        ("#!/bin/bash\npython C:\\hdm\\a.py\n", "windows-path"),
        ("#!/bin/bash\npython process\\a.py\n", "windows-path"),
        ("#!/bin/bash\nprocess/run.sh\n", "script-not-executable"),
        ("#!/bin/bash\nset -e\ncd process\nA=1 ./run.sh --fast\n", "script-not-executable"),
        ("#!/bin/bash\nset -e\nbash process/run.sh\nexec ./process/run.sh\n", "script-not-executable"),
    ],
)
def test_fault_that_shows_only_in_a_run_is_found(tmp_path: Path, script: str, code: str) -> None:
    """Most of these would end as `success, unreported`."""
    assert code in codes(
        tmp_path, script, process__a="", process__run_sh="#!/bin/bash\ntrue\n", **{"process__a.py": ""}
    )


@pytest.mark.parametrize(
    "line",
    [
        "printf '%s:\\n' x",
        'printf "%d:\\tx\\n" 1',
        'echo -e "a:\\nb"',
        "chmod +x process/run.sh; process/run.sh",
        "chmod -R u+x process; cd process; ./run.sh",
        "cd process; chmod 755 *.sh; ./run.sh",
        "chmod -R 755 .; ./process/run.sh",
    ],
)
def test_label_is_no_drive_and_what_is_made_executable_is(tmp_path: Path, line: str) -> None:
    """Both are common."""
    assert codes(tmp_path, f"#!/bin/bash\nset -e\n{line}\n", process__run_sh="#!/bin/bash\ntrue\n") == set()


def test_wrong_requirement_is_named_without_the_login_of_its_index(tmp_path: Path) -> None:
    """Findings appear in the logs of continuous integration."""
    (tmp_path / "bootstrap-script.sh").write_text("#!/bin/bash\ntrue\n")
    (tmp_path / "requirements.txt").write_text("pip install --index-url https://ada:top@secret@example.org/simple x\n")
    draft = read("p", tmp_path, "metric")
    inspection.inspect(draft, tmp_path.parent)
    (found,) = [one.message for one in draft.findings if one.code == "requirement-bad"]
    assert "https://...@example.org" in found
    assert "ada" not in found
    assert "secret" not in found


def test_script_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever checks a pack does not trust it yet."""
    trap = tmp_path / "env.sh"
    trap.write_text(f"touch {tmp_path}/ran\n")
    monkeypatch.setenv("BASH_ENV", str(trap))
    monkeypatch.setenv("BASH_FUNC_touch%%", f"() {{ echo > {tmp_path}/ran; }}")
    for text in (f"touch {tmp_path}/ran\n", f"x=$(touch {tmp_path}/ran)\n", f"set +n\ntouch {tmp_path}/ran\n"):
        assert shell.syntax_fault(text) is None
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "text",
    ["(" * 100_000, "a" * 190_000, "'\n" * 60_000, "x() { " * 30_000, "a\\" * 90_000, "<<A\n" * 40_000, " " * 190_000],
    ids=["brackets", "word", "quotes", "functions", "backslashes", "documents", "blanks"],
)
def test_hostile_script_and_requirements_are_read_in_time(tmp_path: Path, text: str) -> None:
    """No regular expression and no parser takes quadratic time or memory for them."""
    began = time.monotonic()
    codes(tmp_path, f"#!/bin/bash\n{text}\n", requirements_txt=f"{text}x")
    assert time.monotonic() - began < 60


@pytest.mark.parametrize(
    ("line", "is_accepted"),
    [
        ("pandas", True),
        ("pandas[excel]>=2,<3; python_version > '3.8'", True),
        ("pandas==2.0 --hash=sha256:" + "0" * 64, True),
        ("pandas>=2 \\\n    --hash=sha256:" + "0" * 64, True),
        ("-r other.txt", True),
        ("-cother.txt", True),
        ("--extra-index-url https://user:pass@example.org/simple", True),
        ("--require-hashes", True),
        ("./package", True),
        ("wheels/x-1.0-py3-none-any.whl", True),
        ("name @ git+https://example.org/x.git@v1", True),
        ("https://example.org/x.zip", True),
        ("${PACKAGE}>=1", True),
        ("# only a comment", True),
        ("pandas=2.0", False),
        ("pandas 2.0", False),
        ("pip install pandas", False),
        ("pip install https://example.org/x.zip", False),
        ("import pandas", False),
        ("pandas>=", False),
        ("pandas, numpy", False),
        ("--hash=sha256:00", False),
        ("name: environment", False),
    ],
)
def test_line_of_requirements_is_accepted_as_pip_accepts_it(tmp_path: Path, line: str, is_accepted: bool) -> None:
    """The venv could not be built, and only the run would say so."""
    found = findings(tmp_path, requirements_txt=f"# packages\n{line}\nnumpy\n")
    assert found.get("requirement-bad") == (None if is_accepted else ("requirements.txt", "2"))


@pytest.mark.parametrize(
    ("name", "is_alike"),
    [
        ("create-table/b.SQL", True),
        ("create-table/b.sql.txt", True),
        ("create-table/more/b.sql", True),
        ("create_table/b.sql", True),
        ("kibana-dashboard/export.json", True),
        ("Process/a.py", True),
        ("requirement.txt", True),
        ("config-schema.json", True),
        ("Properties.json", True),
        ("create-table/notes.md", False),
        ("process/config.json", False),
        ("package.json", False),
        ("process/b.SQL", False),
    ],
)
def test_file_with_nearly_the_right_name_is_named(tmp_path: Path, name: str, is_alike: bool) -> None:
    """hdm_airflow would not read it, and not say so."""
    (tmp_path / "bootstrap-script.sh").write_text("#!/bin/bash\ntrue\n")
    found = findings(tmp_path, **{name.replace("/", "__"): "SELECT 1;"})
    assert ("file-lookalike" in found) is is_alike
