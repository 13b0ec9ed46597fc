"""requirements.txt: what counts as equal, and which other files belong to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from hdm_airflow.errors import VenvBuildError
from hdm_airflow.runner.venvs.requirements import Requirements


def read(pack: Path, content: str | bytes | None) -> Requirements:
    path = pack / "requirements.txt"
    if content is not None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return Requirements.read(pack)


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (None, []),
        ("", []),
        ("# nothing\n\n", []),
        ("a\nb\n", ["a", "b"]),
        ("a\r\n\r\nb", ["a", "b"]),
        (b"\xef\xbb\xbfa\n", ["a"]),
        ("a\n".encode("utf-16"), ["a"]),
        ("  a   ==  1  # because\n", ["a == 1"]),
        ("a @ https://x.example/a.zip#egg=a\n", ["a @ https://x.example/a.zip#egg=a"]),
        ("a==1 \\\n  --hash=sha256:x \\\n  --hash=sha256:y\nb\n", ["a==1 --hash=sha256:x --hash=sha256:y", "b"]),
        ("a \\\n# ends it\nb\n", ["a", "b"]),
        ("a \\", ["a"]),
    ],
)
def test_lines_are_those_that_pip_sees(tmp_path: Path, content: str | bytes | None, lines: list[str]) -> None:
    """Files with equal lines share a venv."""
    assert list(read(tmp_path, content).lines) == lines


def test_comment_that_ends_a_continued_line_makes_a_difference(tmp_path: Path) -> None:
    """`a \\`, `# c`, `b` are two requirements; without the comment they would be one."""
    one = read(tmp_path, "a \\\n# c\n==1\n").lines
    assert one != read(tmp_path, "a \\\n==1\n").lines


@pytest.mark.parametrize(
    ("content", "files"),
    [
        ("requests==2\n", []),
        ("-r more/one.txt\n", ["more/one.txt", "more/two.txt"]),
        ("-rmore/one.txt\n", ["more/one.txt", "more/two.txt"]),
        ("--requirement=more/two.txt\n", ["more/two.txt"]),
        ("--requirement more/two.txt\n", ["more/two.txt"]),
        ("-c more/two.txt\nrequests\n", ["more/two.txt"]),
        ("-r requirements.txt\n", []),
        ("-r nowhere.txt\n", []),
        ("./package\n", ["package/setup.py"]),
        ("-e ./package\n", ["package/setup.py"]),
        ("-e./package[extra]\n", ["package/setup.py"]),
        ("./package[extra,other] ; python_version > '3'\n", ["package/setup.py"]),
        ("name @ ./package\n", ["package/setup.py"]),
        ("file:package\n", ["package/setup.py"]),
        ("wheels/a-1-py3-none-any.whl\n", ["wheels/a-1-py3-none-any.whl"]),
        ("-f wheels\na\n", ["wheels/a-1-py3-none-any.whl"]),
        ("--find-links=wheels\na\n", ["wheels/a-1-py3-none-any.whl"]),
        ("https://x.example/package\n", []),
        ("../outside\n", []),
        ("/etc/hostname\n", []),
    ],
)
def test_files_that_it_names_count(tmp_path: Path, content: str, files: list[str]) -> None:
    """All files of the pack that it names, and no others: a changed program must not cause a new build."""
    pack = tmp_path / "pack"
    for path in ("more/two.txt", "package/setup.py", "package/__pycache__/x.pyc", "wheels/a-1-py3-none-any.whl"):
        (pack / path).parent.mkdir(parents=True, exist_ok=True)
        (pack / path).write_text("x\n")
    (pack / "more/one.txt").write_text("-r two.txt\n")
    (pack / "program.py").touch()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").touch()
    assert list(read(pack, content).files) == files


def test_options_that_uv_takes_on_its_command_line_only_are_found(tmp_path: Path) -> None:
    """In the file, uv would ignore them with a warning, and then not find the package."""
    found = read(tmp_path, "--pre\n--trusted-host one.example\n--trusted-host=two.example:80\nrequests\n")
    assert found.uv_options == [
        "--prerelease", "allow", "--allow-insecure-host", "one.example", "--allow-insecure-host", "two.example:80",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "expected"), [("-i https://x/", True), ("--index-url=https://x/", True), ("--extra-index-url x", False)]
)
def test_index_of_the_file_is_noticed(tmp_path: Path, line: str, expected: bool) -> None:
    """It takes precedence over the worker's."""
    assert read(tmp_path, f"{line}\n").names_index is expected


@pytest.mark.parametrize(
    "line", ["-r " + "n" * 300, "./" + "n" * 300, "a @ https://x.example/a.zip?signature=" + "n" * 300]
)
def test_name_that_is_too_long_for_a_file_names_none(tmp_path: Path, line: str) -> None:
    """The system's error would quote the line, and with it the signature in a URL."""
    assert read(tmp_path, line).files == {}


def test_requirements_nested_too_deeply_are_an_error_with_a_reason(tmp_path: Path) -> None:
    """`airflow hdm venvs warm` builds the venvs of all packs: one must not end it."""
    for number in range(1_500):
        (tmp_path / f"r{number}.txt").write_text(f"-r r{number + 1}.txt\n")
    (tmp_path / "requirements.txt").write_text("-r r0.txt\n")
    with pytest.raises(VenvBuildError, match="over 100 files"):
        Requirements.read(tmp_path)
