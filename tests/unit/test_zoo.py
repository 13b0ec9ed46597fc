"""The zoo: one broken pack per fault, all in one folder, next to packs that must keep running."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest

from hdm_airflow.errors import ConfigurationError
from hdm_airflow.packs import scripts, tree
from hdm_airflow.packs.catalog import Catalog
from hdm_airflow.packs.finding import CODES, Finding
from hdm_airflow.packs.pack import Pack
from hdm_airflow.runner.workspace import workspace
from tests.packs import zoo

pytestmark = pytest.mark.timeout(60)  # a pipe that is read would be waited for, for ever

Expected = tuple[str, str, str, str]  # code, severity, file, place

MANIFEST = "properties.json"
SCRIPT = "bootstrap-script.sh"
CONF = "process/conf.json"
SCHEMA = "config.schema.json"
DASHBOARD = "kibana-dashboard/export.ndjson"
#: Found only where every file is read: by `airflow hdm packs check`, not by a Dag file.
DEEP = {
    "airflow-imports",
    "airflow-links",
    "conf-password",
    "conf-unreadable",
    "config-default-bad",
    "config-schema-bad",
    "file-lookalike",
    "helper-crlf",
    "ndjson-bad",
    "requirement-bad",
    "requirements-unreadable",
    "script-errexit",
    "script-interpreter",
    "script-not-executable",
    "script-syntax",
    "scripts-unchecked",
    "sql-unreadable",
    "windows-path",
}


def error(code: str, file: str = MANIFEST, place: str = "") -> Expected:
    return (code, "error", file, place)


def warning(code: str, file: str = MANIFEST, place: str = "") -> Expected:
    return (code, "warning", file, place)


#: Those in the repository: folder -> all that is found, by a user who may read everything.
KEPT: dict[str, list[Expected]] = {
    "bad-airflow-words": [warning("airflow-imports", "process/report.py")],
    "bad-author-missing": [warning("author-missing", place="author")],
    "bad-bom-manifest": [warning("manifest-bom")],
    "bad-conf-password": [warning("conf-password", CONF, "prod.mysqlPassword")],
    "bad-conf-text": [warning("conf-unreadable", CONF, "2:3")],
    "bad-config-default": [
        warning("config-default-bad", CONF, "limit"),
        warning("config-default-bad", CONF, "limt"),
    ],
    "bad-config-schema": [warning("config-schema-bad", SCHEMA, "additionalPropertes")],
    "bad-config-schema-loop": [warning("config-schema-bad", SCHEMA)],
    "bad-config-schema-text": [warning("config-schema-bad", SCHEMA, "1:2")],
    "bad-cycle-a": [error("dependency-cycle", place="depends_on")],
    "bad-cycle-b": [error("dependency-cycle", place="depends_on")],
    "bad-cycle-c": [error("dependency-cycle", place="depends_on")],
    "bad-dependency-digits": [error("dependency-unknown", place="depends_on.0")],
    "bad-dependency-self": [error("dependency-cycle", place="depends_on")],
    "bad-dependency-specifier": [error("dependency-unknown", place="depends_on.0")],
    "bad-dependency-unknown": [error("dependency-unknown", place="depends_on.0")],
    "bad-dependency-version": [error("dependency-unmet", place="depends_on.1")],
    "bad-description-missing": [warning("description-missing", place="description")],
    "bad-empty-manifest": [error("manifest-unreadable", place="1:1")],
    "bad-endless-number": [error("manifest-unreadable")],
    "bad-everything": [
        error("version-missing", place="version"),
        error("kind-unknown"),
        warning("kind-bad", place="kind"),
        warning("author-missing", place="author"),
        warning("value-bad", place="tags"),
        warning("key-unknown", place="colour"),
        warning("readme-missing", ""),
        warning("script-crlf", SCRIPT),
        warning("script-shebang", SCRIPT, "1"),
    ],
    "bad-helper-crlf": [warning("helper-crlf", "process/measure.sh")],
    "bad-helper-syntax": [warning("script-syntax", "process/measure.sh", "4")],
    "bad-infinite-timeout": [warning("value-bad", place="timeout")],
    "bad-key-twice": [warning("key-duplicate", place="version")],
    "bad-key-unknown": [warning("key-unknown", place="depend_on")],
    "bad-key-unprintable": [warning("key-unknown", place=r"odd\ud800\x00key")],
    "bad-kind-nowhere": [error("kind-unknown")],
    "bad-kind-value": [error("kind-unknown"), warning("kind-bad", place="kind")],
    "bad-list-manifest": [error("manifest-unreadable", place="1:1")],
    "bad-lookalike-script": [
        error("script-missing", SCRIPT),
        warning("file-lookalike", "bootstrap_script.sh"),
    ],
    "bad-lookalikes": [
        warning("file-lookalike", "Requirements.txt"),
        warning("file-lookalike", "create-table/b.SQL"),
        warning("file-lookalike", "kibana-dashboard/export.json"),
    ],
    "bad-mainscript-missing": [warning("mainscript-missing", place="mainscript")],
    "bad-manifest-folder": [error("manifest-unreadable")],
    "bad-manifest-missing": [error("manifest-missing"), error("kind-unknown")],
    "bad-name-colon": [error("name-bad", place="name")],
    "bad-name-empty": [error("name-missing", place="name")],
    "bad-name-long": [error("name-bad", place="name")],
    "bad-name-missing": [error("name-missing", place="name")],
    "bad-name-null": [error("name-missing", place="name")],
    "bad-name-number": [error("name-bad", place="name")],
    "bad-name-slash": [error("name-bad", place="name")],
    "bad-name-space": [error("name-bad", place="name")],
    "bad-ndjson": [warning("ndjson-bad", DASHBOARD, "2")],
    "bad-readme-folder": [warning("readme-missing", "")],
    "bad-readme-missing": [warning("readme-missing", "")],
    "bad-readme-utf8": [warning("readme-unreadable", "Readme.md")],
    "bad-requirement-line": [warning("requirement-bad", "requirements.txt", "2")],
    "bad-requirements-folder": [warning("requirements-unreadable", "requirements.txt")],
    "bad-requirements-utf8": [warning("requirements-unreadable", "requirements.txt", "1")],
    "bad-script-bom": [warning("script-bom", SCRIPT, "1")],
    "bad-script-called": [warning("script-not-executable", SCRIPT, "4")],
    "bad-script-crlf": [warning("script-crlf", SCRIPT)],
    "bad-script-empty": [warning("script-empty", SCRIPT)],
    "bad-script-errexit": [warning("script-errexit", SCRIPT, "2")],
    "bad-script-folder": [error("script-unreadable", SCRIPT)],
    "bad-script-interpreter": [warning("script-interpreter", SCRIPT, "1")],
    "bad-script-missing": [error("script-missing", SCRIPT)],
    "bad-script-shebang": [warning("script-shebang", SCRIPT, "1")],
    "bad-script-syntax": [warning("script-syntax", SCRIPT, "4")],
    "bad-script-utf8": [error("script-unreadable", SCRIPT, "3")],
    "bad-sql-utf8": [warning("sql-unreadable", "create-table/create.sql", "2")],
    "bad-truncated-manifest": [error("manifest-unreadable", place="4:1")],
    "bad-twin-one": [error("name-duplicate", place="name")],
    "bad-twin-two": [error("name-duplicate", place="name")],
    "bad-type-depends-on": [error("dependency-unknown", place="depends_on")],
    "bad-type-variables": [warning("value-bad", place="variables.1")],
    "bad-type-partial": [warning("value-bad", place="partial")],
    "bad-type-pool": [warning("value-bad", place="pool")],
    "bad-type-retries": [warning("value-bad", place="retries")],
    "bad-type-tags": [warning("value-bad", place="tags")],
    "bad-type-timeout": [warning("value-bad", place="timeout")],
    "bad-utf16-manifest": [error("manifest-unreadable", place="1")],
    "bad-utf8-manifest": [error("manifest-unreadable", place="5")],
    "bad-version-master": [warning("version-not-pep440", place="version")],
    "bad-version-missing": [error("version-missing", place="version")],
    "bad-version-number": [error("version-bad", place="version")],
    "bad-version-space": [error("version-bad", place="version")],
    "bad-windows-path": [warning("windows-path", SCRIPT, "3")],
}

#: Those made anew: folder -> all that is found, by a user who may not read everything.
BUILT: dict[str, list[Expected]] = {
    "around": [error("folder-loop", "")],
    "closed/hdm-metric-packs": [error("folder-unreadable", "")],
    "hdm-rule-packs": [error("folder-unreadable", "")],
    "loose-listed": [error("folder-unreadable", "")],
    "loop": [warning("folder-stray", "")],
    r"metric-packs/bad-caf\udce9": [error("script-missing", SCRIPT)],
    "metric-packs/bad-conf-deep": [warning("conf-unreadable", CONF)],
    "metric-packs/bad-conf-pipe": [warning("conf-unreadable", CONF), warning("special-file", CONF)],
    "metric-packs/bad-files-many": [warning("pack-large", "")],
    "metric-packs/bad-folders-deep": [error("folder-deep", "d")],
    "metric-packs/bad-link-absolute": [error("symlink-escapes", "process/data")],
    "metric-packs/bad-link-dangling": [warning("symlink-broken", "process/data")],
    "metric-packs/bad-link-home": [error("symlink-escapes", "process/data")],
    "metric-packs/bad-link-loop": [warning("symlink-broken", "process/data")],
    "metric-packs/bad-link-manifest": [
        error("symlink-escapes"),
        error("name-duplicate", place="name"),
        warning("mainscript-missing", place="mainscript"),
    ],
    "metric-packs/bad-link-relative": [error("symlink-escapes", "process/data")],
    "metric-packs/bad-link-sideways": [warning("airflow-links", "process/data")],
    "metric-packs/bad-link-unnamed": [warning("symlink-broken", r"caf\udce9")],
    "metric-packs/bad-manifest-closed": [error("manifest-unreadable")],
    "metric-packs/bad-manifest-deep": [error("manifest-unreadable")],
    "metric-packs/bad-manifest-huge": [error("manifest-unreadable")],
    "metric-packs/bad-link-up": [warning("symlink-loop", "process/self")],
    "metric-packs/bad-manifest-loop": [error("manifest-unreadable"), warning("symlink-broken")],
    "metric-packs/bad-manifest-pipe": [error("manifest-unreadable"), warning("special-file")],
    "metric-packs/bad-ndjson-pipe": [warning("ndjson-bad", DASHBOARD), warning("special-file", DASHBOARD)],
    "metric-packs/bad-pack-closed": [error("folder-unreadable", "")],
    "metric-packs/bad-pack-dangling": [error("folder-unreadable", "")],
    "metric-packs/bad-pack-empty": [
        error("manifest-missing"),
        error("script-missing", SCRIPT),
        warning("readme-missing", ""),
    ],
    "metric-packs/bad-pack-file": [warning("folder-stray", "")],
    "metric-packs/bad-pack-gutted": [
        error("manifest-missing"),
        error("script-missing", SCRIPT),
        warning("readme-missing", ""),
    ],
    "metric-packs/bad-pack-listed": [error("folder-unreadable", "")],
    "metric-packs/bad-pack-loop": [error("folder-unreadable", "")],
    "metric-packs/bad-pack-unlisted": [error("folder-unreadable", "")],
    "metric-packs/bad-process-closed": [error("folder-unreadable", "process"), warning("conf-unreadable", CONF)],
    "metric-packs/bad-process-file": [warning("conf-unreadable", CONF)],
    "metric-packs/bad-process-listed": [error("folder-unreadable", "process"), warning("conf-unreadable", CONF)],
    "metric-packs/bad-process-pipe": [warning("special-file", "process/pipe")],
    "metric-packs/bad-readme-closed": [warning("readme-unreadable", "Readme.md")],
    "metric-packs/bad-script-closed": [error("script-unreadable", SCRIPT)],
    "metric-packs/bad-script-dangling": [error("script-missing", SCRIPT), warning("symlink-broken", SCRIPT)],
    "metric-packs/bad-script-pipe": [error("script-unreadable", SCRIPT), warning("special-file", SCRIPT)],
    "metric-packs/bad-scripts-many": [warning("scripts-unchecked", "")],
    "metric-packs/bad-x": [error("script-missing", SCRIPT)],
    "metric-packs/team-a/bad-x": [error("script-missing", SCRIPT)],
    "metric-packs/team-b/bad-x": [error("script-missing", SCRIPT)],
    "metric-packs/team-c/good-measure": [error("manifest-unreadable", place="1:2")],
    "rule-packs/bad-kind-differs": [warning("kind-differs", place="kind")],
    "rule-packs/bad-kind-value": [warning("kind-bad", place="kind")],
    "stray": [warning("folder-stray", "")],
}

EVERY = [("kept", folder, expected) for folder, expected in KEPT.items()]
EVERY += [("built", folder, expected) for folder, expected in BUILT.items()]


@contextmanager
def open_folder() -> Iterator[Path]:
    """A temporary folder that another user can enter, unlike pytest's."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        yield folder
        zoo.open_up(folder)


@pytest.fixture(scope="module")
def kept() -> Catalog:
    """The animals of the repository."""
    return Catalog.scan(zoo.HERE, deep=True)


@pytest.fixture(scope="module")
def built(kept: Catalog) -> Iterator[Catalog]:
    """The animals that git cannot hold, as a user without rights sees them (after `kept` has imported everything)."""
    limits = mock.patch.object(tree, "LARGE", zoo.LARGE), mock.patch.object(scripts, "MANY", zoo.SCRIPTS)
    with open_folder() as folder, limits[0], limits[1]:
        zoo.build(folder / "packs")
        yield zoo.as_nobody(lambda: Catalog.scan(folder / "packs", deep=True))


@pytest.fixture
def catalogs(kept: Catalog, built: Catalog) -> dict[str, Catalog]:
    return {"kept": kept, "built": built}


def of(catalog: Catalog, folder: str) -> list[Finding]:
    return [finding for finding in catalog.findings if finding.pack == folder]


def short(findings: list[Finding]) -> list[Expected]:
    return sorted((one.code, one.severity, one.file, one.place) for one in findings)


@pytest.mark.parametrize(("part", "folder", "expected"), EVERY, ids=[folder for _, folder, _ in EVERY])
def test_each_animal_is_found_out(catalogs, part: str, folder: str, expected: list[Expected]) -> None:
    """Every fault has its code and place, nothing correct is reported, and each finding says what to do."""
    findings = of(catalogs[part], folder)
    assert short(findings) == sorted(expected)
    for finding in findings:
        assert len(finding.message) > 10
        assert len(finding.hint) > 7
        assert finding.message not in finding.hint


@pytest.mark.parametrize(("part", "folder", "expected"), EVERY, ids=[folder for _, folder, _ in EVERY])
def test_errors_quarantine_and_warnings_do_not(catalogs, part: str, folder: str, expected: list[Expected]) -> None:
    """A pack that cannot run never starts; one that can is not held back for the want of a Readme."""
    catalog = catalogs[part]
    is_stray = [code for code, *_ in expected] in (["folder-stray"], ["folder-loop"])
    is_broken = any(severity == "error" for _, severity, *_ in expected) and not is_stray
    assert (folder in {pack.folder for pack in catalog.quarantined}) is is_broken
    assert (folder in {pack.folder for pack in catalog.packs}) is not (is_broken or is_stray)


def test_every_animal_is_in_the_table(catalogs) -> None:
    """A pack without expectations would test nothing; the zoo has the stated size."""
    good = {pack.folder for catalog in catalogs.values() for pack in catalog.packs if "/good-" in f"/{pack.folder}"}
    for part, table in (("kept", KEPT), ("built", BUILT)):
        seen = {pack.folder for pack in catalogs[part].every} | {one.pack for one in catalogs[part].findings}
        assert seen - good == table.keys()
    assert {path.name for path in zoo.HERE.glob("bad-*")} == KEPT.keys()
    assert len(KEPT) + len(BUILT) > 100


def test_every_code_is_produced_by_an_animal(catalogs) -> None:
    """A check that no pack triggers would be untested."""
    assert {finding.code for catalog in catalogs.values() for finding in catalog.findings} == CODES.keys()


@pytest.mark.parametrize("part", ["kept", "built"])
def test_good_packs_are_as_they_are_without_broken_neighbours(catalogs, tmp_path: Path, part: str) -> None:
    """A broken pack changes nothing for the others: not their tasks, not what they wait for."""
    catalog = catalogs[part]
    for name in zoo.GOOD:
        shutil.copytree(zoo.HERE / name, tmp_path / name)
    alone = Catalog.scan(tmp_path, deep=True)
    assert [pack.task_id for pack in alone.packs] == ["mp_good-after", "mp_good-measure", "rp_good-judge"]
    for pack in alone.packs:
        beside = catalog.find(pack.task_id)
        assert beside == replace(pack, path=beside.path, folder=beside.folder)
        assert beside.findings == ()
        assert [one.task_id for one in catalog.upstream(beside)] == [one.task_id for one in alone.upstream(pack)]


def test_dag_file_finds_all_but_what_needs_every_file_read(kept: Catalog) -> None:
    """What a Dag file reads at each parse is little, and decides the same quarantine."""
    shallow = Catalog.scan(zoo.HERE)
    assert shallow.findings == tuple(finding for finding in kept.findings if finding.code not in DEEP)
    assert [pack.task_id for pack in shallow.every] == [pack.task_id for pack in kept.every]


@pytest.mark.parametrize("part", ["kept", "built"])
def test_task_ids_are_unique_and_such_as_airflow_takes(catalogs, part: str) -> None:
    """One id twice, or one that Airflow refuses, and the Dag does not load at all."""
    ids = [pack.task_id for pack in catalogs[part].every]
    assert len(set(ids)) == len(ids)
    for task_id in ids:
        assert re.fullmatch(r"[\w.-]+", task_id)
        assert len(f"hdm-{'e' * 50}.{task_id}") <= 250


def test_colliding_quarantined_packs_are_numbered_in_path_order(built: Catalog) -> None:
    """A task keeps its id, and with it its history, from one parse to the next."""
    ids = {pack.folder: pack.task_id for pack in built.quarantined}
    assert ids["metric-packs/bad-x"] == "mp_bad-x"
    assert ids["metric-packs/team-a/bad-x"] == "mp_bad-x_2"
    assert ids["metric-packs/team-b/bad-x"] == "mp_bad-x_3"
    assert ids["metric-packs/team-c/good-measure"] == "mp_good-measure_2"


def test_circle_is_named_in_full(kept: Catalog) -> None:
    """Whoever reads one of the three packs sees the two others."""
    for letter in "abc":
        (finding,) = of(kept, f"bad-cycle-{letter}")
        assert "bad-cycle-a -> bad-cycle-b -> bad-cycle-c -> bad-cycle-a" in finding.message


@pytest.mark.parametrize("part", ["kept", "built"])
def test_findings_can_be_stored_and_printed(catalogs, part: str) -> None:
    """They go into the task's documentation: a zero byte or half a character would lose the whole Dag."""
    for pack in catalogs[part].every:
        text = "\n".join([pack.name, pack.folder, pack.task_id, pack.readme, *map(str, pack.findings)])
        assert "\0" not in text
        text.encode("utf-8")


def test_two_scans_agree(kept: Catalog) -> None:
    """Airflow makes a new Dag version where two parses differ."""
    assert Catalog.scan(zoo.HERE, deep=True) == kept


def test_scan_leaves_no_file_open(kept: Catalog) -> None:
    """A Dag processor parses for months: one descriptor per parse ends it."""
    Catalog.scan(zoo.HERE, deep=True)
    lowest = os.dup(0)
    os.close(lowest)
    Catalog.scan(zoo.HERE, deep=True)
    again = os.dup(0)
    os.close(again)
    assert again == lowest


def _missing(folder: Path) -> Path:
    return folder / "packs"


def _file(folder: Path) -> Path:
    (folder / "packs").write_text("")
    return folder / "packs"


def _closed(folder: Path) -> Path:
    (folder / "packs").mkdir(0)
    return folder / "packs"


def _behind_closed(folder: Path) -> Path:
    (folder / "dags/packs").mkdir(parents=True)
    (folder / "dags").chmod(0)
    return folder / "dags/packs"


def _loop(folder: Path) -> Path:
    (folder / "packs").symlink_to("packs")
    return folder / "packs"


def _endless(folder: Path) -> Path:
    return folder / ("packs" * 1000)


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (_missing, "missing"),
        (_file, "not a folder"),
        (_closed, "Permission denied"),
        (_behind_closed, "Permission denied"),
        (_loop, "symbolic links"),
        (_endless, "too long"),
    ],
)
def test_packs_folder_that_is_none_is_a_configuration_error(kept: Catalog, make, what: str) -> None:
    """The Dag shows this reason in a task of its own; any other exception would take the Dag file away."""
    with open_folder() as folder:
        root = make(folder)
        with pytest.raises(ConfigurationError) as caught:
            zoo.as_nobody(lambda: Catalog.scan(root))
    assert what in caught.value.what
    assert caught.value.where == str(root)
    assert caught.value.hint


def test_empty_packs_folder_has_no_packs(tmp_path: Path) -> None:
    """It is not a fault of the folder: the Dag says what to do about it."""
    catalog = Catalog.scan(tmp_path)
    assert (catalog.every, catalog.findings) == ((), ())


def test_every_broken_pack_is_a_pack_with_errors_of_its_own(catalogs) -> None:
    """The pack's task fails with exactly these findings."""
    for catalog in catalogs.values():
        for pack in catalog.quarantined:
            assert isinstance(pack, Pack)
            assert pack.errors
            assert pack.findings == tuple(of(catalog, pack.folder))


# What a run copies of them ------------------------------------------------------------------------------------------


def test_copying_an_animal_for_a_run_ends_and_leaves_nothing(built: Catalog) -> None:
    """The copy does not wait for a pipe; a file that cannot be copied is a configuration error."""
    paths = [*(pack.path for pack in built.every), built.root / "metric-packs/bad-pack-file", built.root / "loop"]

    def copy_all() -> list[str]:
        special: list[str] = []
        for path in paths:
            with suppress(ConfigurationError), workspace(path) as place:
                copied = [one for one in place.pack.rglob("*") if not one.is_symlink()]
                special += [one.name for one in copied if not (one.is_file() or one.is_dir())]
        return special

    with mock.patch.object(tempfile, "tempdir", str(built.root.parent)):
        assert zoo.as_nobody(copy_all) == []
    assert not list(built.root.parent.glob("hdm-run-*"))


def test_file_that_cannot_be_copied_is_named(built: Catalog) -> None:
    """One of ten thousand fails: users need to know which one."""
    pack = built.find("metric-packs/bad-readme-closed")

    def copy() -> None:
        with workspace(pack.path):
            pass

    with pytest.raises(ConfigurationError, match=r"run: Readme\.md: .*Permission denied"):
        zoo.as_nobody(copy)


@pytest.mark.parametrize("folder", ["bad-script-crlf", "bad-script-bom"])
def test_script_saved_on_windows_is_put_right_in_the_runs_copy(kept: Catalog, folder: str) -> None:
    """bash would look for `/bin/bash\\r`; the pack itself is not touched."""
    pack = kept.find(folder)
    before = (pack.path / SCRIPT).read_bytes()
    with workspace(pack.path) as place:
        assert (place.pack / SCRIPT).read_bytes() == b'#!/bin/bash\necho "measured"\n'
    assert (pack.path / SCRIPT).read_bytes() == before


def test_run_that_takes_its_own_rights_away_leaves_nothing(kept: Catalog) -> None:
    """`chmod -R` in a bootstrap script must not fail a good run, nor fill the disk; links lead to what is not ours."""
    pack = kept.find("mp_good-measure")

    def run() -> tuple[bool, int]:
        with open_folder() as elsewhere:
            elsewhere.chmod(0o500)
            with workspace(pack.path) as place:
                (place.pack / "process/link").symlink_to(elsewhere)
                for path in (place.pack / "process/inner/most", place.home):
                    path.mkdir(parents=True, exist_ok=True)
                    (path / "file").touch()
                for path in (place.pack / "process/inner/most", place.pack / "process/inner", place.home, place.root):
                    path.chmod(0)
            mode = elsewhere.stat().st_mode & 0o777
            elsewhere.chmod(0o700)
            return place.root.exists(), mode

    assert zoo.as_nobody(run) == (False, 0o500)
