"""Every form of requirements.txt, actually installed, with uv and with pip."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hdm_airflow.errors import VenvBuildError
from hdm_airflow.runner.processes import sandbox_support
from hdm_airflow.runner.processes.sandbox import Sandbox
from tests.integration.venv_harness import Shop, isolate, store_in, without_uv
from tests.packages import Index, build_wheel, sha256, source_package

#: requirements.txt -> the packages installed. The index has alpha 1.0, 2.0, 3.0rc1 and beta 1.0; the pack has the
#: wheel of gamma, a folder of wheels with delta, and the sources of epsilon.
FORMS: dict[str, tuple[str | bytes | None, dict[str, str]]] = {
    "missing": (None, {}),
    "empty": ("", {}),
    "comments only": ("# nothing\n\n   # at all\n", {}),
    "plain": ("alpha\nbeta\n", {"alpha": "2.0", "beta": "1.0"}),
    "without a last line end": ("alpha==1.0", {"alpha": "1.0"}),
    "CRLF": (b"alpha==1.0\r\n\r\nbeta\r\n", {"alpha": "1.0", "beta": "1.0"}),
    "byte order mark": (b"\xef\xbb\xbfalpha==1.0\n", {"alpha": "1.0"}),
    "UTF-16": ("alpha==1.0\n".encode("utf-16"), {"alpha": "1.0"}),
    "comment behind": ("alpha==1.0  # because\n", {"alpha": "1.0"}),
    "nested": ("-r more/other.txt\n", {"alpha": "2.0", "beta": "1.0"}),
    "nested, long form": ("--requirement=more/third.txt\n", {"beta": "1.0"}),
    "constraints": ("-c constraints.txt\nalpha\n", {"alpha": "1.0"}),
    "index": ("--index-url {other}\nalpha\n", {"alpha": "9.0"}),
    "index, short form": ("-i {other}\nalpha\n", {"alpha": "9.0"}),
    "further index": ("--extra-index-url {other}\nzeta\nbeta\n", {"zeta": "9.0", "beta": "1.0"}),
    "links": ("--no-index\n--find-links wheels\ndelta\n", {"delta": "1.0"}),
    "local wheel": ("./gamma-1.0-py3-none-any.whl\n", {"gamma": "1.0"}),
    "local folder": ("./epsilon\n", {"epsilon": "1.0"}),
    "extra": ("alpha[more]==2.0\n", {"alpha": "2.0", "beta": "1.0"}),
    "marker": ('alpha; python_version < "3"\nbeta; python_version >= "3"\n', {"beta": "1.0"}),
    "hash": ("alpha==1.0 \\\n    --hash=sha256:" + "0" * 64 + " \\\n    --hash=sha256:{hash}\n", {"alpha": "1.0"}),
    "required hash": ("--require-hashes\nalpha==1.0 --hash=sha256:{hash}\n", {"alpha": "1.0"}),
    "pre-releases": ("--pre\nalpha\n", {"alpha": "3.0rc1"}),
    "continued": ("alpha \\\n    ==1.0\n", {"alpha": "1.0"}),
    "nested, without a blank": ("-rmore/third.txt\n", {"beta": "1.0"}),
    "settings of a build": ("alpha==1.0 --config-settings=a=b\n", {"alpha": "1.0"}),
    "Latin-1": ("# -*- coding: latin-1 -*-\n# für\nalpha==1.0\n".encode("latin-1"), {"alpha": "1.0"}),
    "variable": ("--index-url ${PIP_OTHER}\nalpha\n", {"alpha": "9.0"}),
    "trusted host": ("--trusted-host {host}\n--index-url {other}\nalpha\n", {"alpha": "9.0"}),
}
#: requirements.txt -> a part of the error.
FAULTS: dict[str, tuple[str, str]] = {
    "no such package": ("alpha\nnowhere\n", "nowhere"),
    "no such version": ("alpha==7.7\n", r"7\.7"),
    "conflict": ("alpha==1.0\nalpha==2.0\n", "conflict|unsatisfiable"),
    "wrong hash": ("alpha==1.0 --hash=sha256:" + "0" * 64 + "\n", "[Hh]ash(es)?"),
    "hash left out": ("--require-hashes\nalpha==1.0\n", "hash"),
    "no such file": ("-r nowhere.txt\n", r"nowhere\.txt"),
    "no such wheel": ("./nowhere-1.0-py3-none-any.whl\n", r"nowhere-1\.0"),
    "not to be read": ("alpha=1.0\n", "alpha=1.0"),
}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheels of the indexes."""
    folder = tmp_path_factory.mktemp("index")
    for version in ("1.0", "2.0", "3.0rc1"):
        build_wheel(folder / "main", "alpha", version, extras={"more": "beta"})
    build_wheel(folder / "main", "beta", "1.0")
    for name in ("alpha", "zeta"):
        build_wheel(folder / "other", name, "9.0")
    return folder


@pytest.fixture(scope="module")
def other(wheels: Path) -> Iterator[Index]:
    """Another index."""
    with Index(wheels / "other") as index:
        yield index


@pytest.fixture(params=["uv", "pip"])
def shop(
    request: pytest.FixtureRequest, wheels: Path, other: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Shop]:
    """A pack with files of its own, and the main index, for each of the tools."""
    isolate(monkeypatch, tmp_path / "cache")
    if request.param == "pip":
        without_uv(monkeypatch)
    pack = tmp_path / "pack"
    (pack / "more").mkdir(parents=True)
    (pack / "more/other.txt").write_text("alpha\n-r third.txt\n")
    (pack / "more/third.txt").write_text("beta\n")
    (pack / "constraints.txt").write_text("alpha<2\n")
    build_wheel(pack, "gamma", "1.0")
    build_wheel(pack / "wheels", "delta", "1.0")
    source_package(pack / "epsilon", "epsilon", "1.0", note=tmp_path / "note")
    with Index(wheels / "main") as index:
        monkeypatch.setenv("UV_DEFAULT_INDEX", index.url)
        monkeypatch.setenv("PIP_OTHER", other.url)
        (tmp_path / "note").touch()
        sandbox_in_force = Sandbox(read=(str(Path(__file__).parents[2]),), write=(str(tmp_path / "note"),))
        yield Shop(
            store=store_in(tmp_path / "store"),
            pack=pack,
            tool=request.param,
            sandbox=sandbox_in_force if sandbox_support.available() else None,
        )


@pytest.mark.parametrize("form", FORMS)
def test_form_is_installed(form: str, shop: Shop, wheels: Path, other: Index) -> None:
    """The same with both tools; only the venv and its lock are left in the store."""
    content, expected = FORMS[form]
    if isinstance(content, str):
        digest = sha256(wheels / "main/alpha-1.0-py3-none-any.whl")
        for name, value in {"other": other.url, "host": other.host, "hash": digest}.items():
            content = content.replace(f"{{{name}}}", value)
    assert shop.installed(content) == expected
    assert shop.installed(content) == expected
    assert shop.builds == 1
    assert not shop.leftovers


def test_variable_in_the_file_belongs_to_the_venv(shop: Shop, other: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another index has other packages; another password of the same index has not."""
    line = "--index-url ${PIP_OTHER}\nbeta\n"
    with pytest.raises(VenvBuildError, match="beta"):
        shop.get(line)
    main = os.environ["UV_DEFAULT_INDEX"]
    monkeypatch.setenv("PIP_OTHER", main)
    assert shop.installed(line) == {"beta": "1.0"}
    key = shop.get(line).key
    monkeypatch.setenv("PIP_OTHER", main.replace("://", "://reader:secret@"))
    assert shop.get(line).key == key
    shop.require("-i https://reader:${PIP_TOKEN}@host/simple\nbeta\n")
    keys = set()
    for token in ("of-this-hour", "of-the-next"):
        monkeypatch.setenv("PIP_TOKEN", token)
        keys.add(shop.store.find(shop.pack, None).key)
    assert len(keys) == 1


@pytest.mark.parametrize(
    ("shop", "form"), [("pip", "no such package"), *(("uv", form) for form in FAULTS)], indirect=["shop"]
)
def test_fault_is_reported_in_the_words_of_the_resolver(form: str, shop: Shop) -> None:
    """Only the lock's file is left; with correct requirements the next build succeeds."""
    content, message = FAULTS[form]
    with pytest.raises(VenvBuildError, match=message) as caught:
        shop.get(content)
    assert caught.value.what.startswith("the venv could not be built:\n")
    assert caught.value.where == "pack/requirements.txt"
    assert caught.value.hint
    assert [path.suffix for path in shop.store.root.iterdir()] == [".lock"]
    assert shop.installed("alpha==1.0\n") == {"alpha": "1.0"}


def test_index_of_the_file_is_the_only_one(shop: Shop, other: Index) -> None:
    """`--index-url` replaces the worker's index, and this one does not have beta."""
    with pytest.raises(VenvBuildError, match="beta"):
        shop.get(f"--index-url {other.url}\nalpha\nbeta\n")


def test_editable_package_is_installed_as_any_other_or_refused(shop: Shop) -> None:
    """It would point into the run's copy of the pack, and the next run could not import it."""
    shop.require("-e ./epsilon\n")
    venv = shop.store.find(shop.pack, None)
    if shop.tool == "uv":
        shop.get("-e ./epsilon\n")
        assert (venv.site_packages / "epsilon.py").is_file()
        assert not list(venv.site_packages.glob("*.pth"))
        return
    with pytest.raises(VenvBuildError, match=r"editable installs \(-e\) are not supported: epsilon") as caught:
        shop.get("-e ./epsilon\n")
    assert "without -e" in caught.value.hint
    assert [path.suffix for path in shop.store.root.iterdir()] == [".lock"]


def test_git_that_is_missing_is_named(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hint says what to do."""
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(VenvBuildError, match=r"(?i)git") as caught:
        shop.get("alpha @ git+https://reader:geheim@127.0.0.1:9/alpha.git\n")
    assert caught.value.hint.startswith("install git on the worker")
    assert "geheim" not in str(caught.value)


def test_login_of_an_index_is_in_no_message_and_no_record(shop: Shop, wheels: Path) -> None:
    """Neither a login in the file nor one in a line that the resolver repeats."""
    lines = (
        "--extra-index-url http://reader:gehe@im@127.0.0.1:9/simple\nnowhere @ http://reader:geheim@127.0.0.1:9/x.whl\n"
    )
    with pytest.raises(VenvBuildError) as caught:
        shop.get(lines)
    assert "gehe" not in str(caught.value)
    with Index(wheels / "other", login="reader:geheim") as index:
        venv = shop.get(f"--index-url http://reader:geheim@{index.host}/simple\nalpha\n")
    stored = (venv.path / "hdm-venv.json").read_text()
    assert "geheim" not in stored
    assert f"http://***@{index.host}/simple" in stored


def test_changed_file_that_requirements_name_gives_another_venv(shop: Shop) -> None:
    """As a changed requirements.txt does."""
    for content, file in {
        "-r more/other.txt\n": "more/third.txt",
        "-c constraints.txt\nalpha\n": "constraints.txt",
        "./epsilon\n": "epsilon/backend.py",
    }.items():
        shop.require(content)
        before = shop.store.find(shop.pack, None).key
        path = shop.pack / file
        path.write_text(path.read_text() + "# changed\n")
        after = shop.store.find(shop.pack, None).key
        if file.endswith(".txt"):
            path.write_text("alpha==1.0\n")
            after = shop.store.find(shop.pack, None).key
        assert after != before, file
