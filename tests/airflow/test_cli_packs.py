"""`airflow hdm packs`: list, show, check, new and install. No database is running."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hdm_airflow.cli.packs import install
from hdm_airflow.errors import ConfigurationError
from hdm_airflow.packs.catalog import Catalog
from hdm_airflow.runner.workspace import workspace
from tests.airflow.cli_harness import ROOT, Hdm

REFERENCE = ROOT / "dags" / "packs"


@pytest.fixture
def hdm(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Hdm:
    """Commands in this process."""
    monkeypatch.setenv("AIRFLOW_VAR_HDM", "{}")
    return Hdm(capsys)


@pytest.fixture
def packs(tmp_path: Path, hdm: Hdm) -> Path:
    """A packs folder with a metric pack, the rule pack that waits for it, and a broken pack."""
    folder = tmp_path / "packs"
    hdm("packs", "new", "pulse", folder)
    hdm("packs", "new", "pulse", folder, "--kind", "rule", "--language", "shell")
    broken = folder / "metric-packs" / "broken"
    shutil.copytree(folder / "metric-packs" / "pulse", broken)
    edit(broken, name="broken", version=None)
    return folder


def edit(pack: Path, **changes: object) -> None:
    """Change keys of a manifest; None removes one."""
    file = pack / "properties.json"
    stated = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({key: value for key, value in stated.items() if value is not None}))


def test_list_tells_what_can_run(hdm: Hdm, packs: Path) -> None:
    """One row per pack, quarantined ones last."""
    rows = hdm.json("packs", "list", "--packs-dir", packs)
    assert [(row["task_id"], row["state"], row["requires"]) for row in rows] == [
        ("mp_pulse", "ok", []),
        ("rp_pulse", "ok", ["mp_pulse (default)"]),
        ("mp_broken", "quarantined", []),
    ]


def test_list_has_one_entry_for_all_packs_that_are_required_by_default(hdm: Hdm, packs: Path) -> None:
    """A rule pack without a namesake waits for every metric pack: 26 names would hide the other columns."""
    for name in ("beat", "bruise"):
        hdm("packs", "new", name, packs)
    hdm("packs", "new", "judge", packs, "--kind", "rule")
    hdm("packs", "new", "named", packs, "--kind", "rule")
    edit(packs / "rule-packs/named", depends_on=["beat", "pulse"])
    required = {row["task_id"]: row["requires"] for row in hdm.json("packs", "list", "--packs-dir", packs)}
    assert required["rp_judge"] == ["all 4 metric packs (default)", "mp_broken (quarantined)"]
    assert required["rp_pulse"] == ["mp_pulse (default)"]
    assert required["rp_named"] == ["mp_beat", "mp_pulse"]
    assert "mp_beat (default)" in hdm.json("packs", "show", "rp_judge", "--packs-dir", packs)["requires"]


@pytest.mark.parametrize("output", ["table", "plain", "yaml", "json"])
def test_list_prints_every_format_and_keeps_brackets(hdm: Hdm, packs: Path, output: str) -> None:
    """Airflow's tables would read [...] as colour and drop it."""
    edit(packs / "metric-packs" / "pulse", description="reads [bold]everything[/bold]")
    assert "mp_pulse" in hdm("packs", "list", "--packs-dir", packs, "--output", output).out
    assert "[bold]everything[/bold]" in hdm("packs", "show", "mp_pulse", "--packs-dir", packs, "--output", output).out


def test_list_selects_and_a_selector_that_means_nothing_is_an_error(hdm: Hdm, packs: Path) -> None:
    """An empty list without a word would look like a folder without packs."""
    chosen = hdm.json("packs", "list", "--packs-dir", packs, "--select", "kind:rule", "mp_*", "--exclude", "broken")
    assert [row["task_id"] for row in chosen] == ["mp_pulse", "rp_pulse"]
    assert "no pack matches nothing" in hdm("packs", "list", "--packs-dir", packs, "--select", "nothing", code=2).err


def test_show_tells_all_of_one_pack(hdm: Hdm, packs: Path) -> None:
    """Manifest, neighbours, findings and tables."""
    pulse = hdm.json("packs", "show", "mp_pulse", "--packs-dir", packs)
    assert pulse["required_by"] == ["rp_pulse"]
    assert pulse["tables"] == ["metric_pulse"]
    assert pulse["mainscript"] == "process/measure.py"
    assert pulse["readme"].startswith("# Metric pack `pulse`")
    broken = hdm.json("packs", "show", "broken", "--packs-dir", packs)
    assert "[version-missing]" in broken["findings"][0]
    assert "write mp_pulse or rp_pulse" in hdm("packs", "show", "pulse", "--packs-dir", packs, code=2).err


def test_check_prints_findings_as_an_editor_takes_them(hdm: Hdm, packs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Path and place come first, relative to the current folder; then what to do."""
    monkeypatch.chdir(packs.parent)
    done = hdm("packs", "check", "packs", code=1)
    first, hint, *_ = done.out.splitlines()
    assert first.startswith("packs/metric-packs/broken/properties.json:version: error [version-missing] ")
    assert hint.startswith("  do: ")
    assert "3 packs checked: 1 error," in done.err


def test_check_of_one_kind_or_one_pack_leaves_the_others_out(hdm: Hdm, packs: Path) -> None:
    """A check of one pack reports no other packs, but finds its dependencies among them."""
    hdm("packs", "check", packs / "rule-packs", packs / "metric-packs" / "pulse")
    assert "1 pack checked" in hdm("packs", "check", packs / "rule-packs" / "pulse").err
    edit(packs / "rule-packs" / "pulse", depends_on=["pulse>=9"])
    assert "[dependency-unmet]" in hdm("packs", "check", packs / "rule-packs" / "pulse", code=1).out


def test_check_of_a_pack_in_no_packs_folder_looks_only_at_packs_beside_it(
    hdm: Hdm, packs: Path, tmp_path: Path
) -> None:
    """A pack can be in a home folder, whose other files must not be read."""
    alone = tmp_path / "work" / "pulse"
    shutil.copytree(packs / "rule-packs" / "pulse", alone)
    (tmp_path / "work" / "letters" / "private").mkdir(parents=True)
    assert hdm("packs", "check", alone).out == ""
    edit(alone, depends_on=["beside"])
    assert "[dependency-unknown]" in hdm("packs", "check", alone, code=1).out
    shutil.copytree(packs / "metric-packs" / "pulse", tmp_path / "work" / "beside")
    edit(tmp_path / "work" / "beside", name="beside")
    assert hdm("packs", "check", alone).out == ""


def test_check_counts_warnings_as_errors_only_when_strict(hdm: Hdm, packs: Path) -> None:
    """A missing Readme does not keep a pack from running."""
    (packs / "rule-packs" / "pulse" / "Readme.md").unlink()
    done = hdm("packs", "check", packs / "rule-packs")
    assert "warning [readme-missing]" in done.out
    hdm("packs", "check", packs / "rule-packs", "--strict", code=1)


def test_check_as_json_has_every_part_of_a_finding(hdm: Hdm, packs: Path) -> None:
    """For tools."""
    findings = hdm.json("packs", "check", packs, code=1)
    found = next(one for one in findings if one["code"] == "version-missing")
    assert found["path"] == f"{packs}/metric-packs/broken/properties.json:version"
    assert (found["severity"], found["place"]) == ("error", "version")
    assert '"version": "1.0.0"' in found["hint"]
    assert hdm.json("packs", "check", packs / "rule-packs") == []


def test_check_of_nothing_is_an_error(hdm: Hdm, tmp_path: Path) -> None:
    """A green check of an empty folder would hide a wrong path."""
    assert "there is no pack" in hdm("packs", "check", tmp_path, code=2).err
    assert "there is no such folder" in hdm("packs", "check", tmp_path / "none", code=2).err


@pytest.mark.parametrize("kind", ["metric", "rule"])
@pytest.mark.parametrize("language", ["python", "shell"])
@pytest.mark.parametrize("name", ["pulse", "Heart-Rate.2", "änderung", "n" * 190])
def test_new_pack_has_no_finding(hdm: Hdm, tmp_path: Path, kind: str, language: str, name: str) -> None:
    """A template with warnings would teach people to ignore them; no placeholder may remain either."""
    folder = Path(hdm("packs", "new", name, tmp_path, "--kind", kind, "--language", language).out.strip())
    assert folder == tmp_path / f"{kind}-packs" / name
    done = hdm("packs", "check", folder, "--strict")
    assert done.out == ""
    files = {path: path.read_text() for path in folder.rglob("*") if path.is_file()}
    placeholders = ("__NAME__", "__VERSION__", "__AUTHOR__", "__TABLE__")
    assert not [
        path for path, text in files.items() if path.suffix == ".in" or any(one in text for one in placeholders)
    ]
    assert (folder / "bootstrap-script.sh").stat().st_mode & 0o111


def test_new_pack_overwrites_nothing(hdm: Hdm, packs: Path) -> None:
    """Not even a link that leads nowhere."""
    assert "the path already exists" in hdm("packs", "new", "pulse", packs, code=2).err
    (packs / "metric-packs" / "link").symlink_to("nowhere")
    assert "the path already exists" in hdm("packs", "new", "link", packs, code=2).err
    assert "cannot be a pack's name" in hdm("packs", "new", "../outside", packs, code=2).err


def test_reference_packs_are_listed_and_installed(hdm: Hdm, tmp_path: Path) -> None:
    """A bare name means both kinds; a second call has nothing to do."""
    listed = {row["task_id"] for row in hdm.json("packs", "install", "--list")}
    assert {"mp_basic", "rp_basic"} <= listed
    done = hdm("packs", "install", "basic", tmp_path)
    assert done.out.splitlines() == [f"{tmp_path}/metric-packs/basic", f"{tmp_path}/rule-packs/basic"]
    installed, shipped = (folder / "rule-packs/basic/properties.json" for folder in (tmp_path, REFERENCE))
    assert installed.read_text() == shipped.read_text()
    assert "is already installed, unchanged" in hdm("packs", "install", "mp_basic", tmp_path).err
    hdm("packs", "install", "all", tmp_path)
    assert {row["task_id"] for row in hdm.json("packs", "list", "--packs-dir", tmp_path)} == listed
    assert "choose one of: basic" in hdm("packs", "install", "nothing", tmp_path, code=2).err
    assert "no pack is named" in hdm("packs", "install", code=2).err


def test_changed_pack_is_replaced_only_by_force_and_kept_aside(hdm: Hdm, tmp_path: Path) -> None:
    """A user's changes are kept, and no scan mistakes them for a pack."""
    hdm("packs", "install", "basic", tmp_path)
    changed = tmp_path / "rule-packs" / "basic"
    (changed / "process" / "mine.txt").write_text("mine")
    shutil.rmtree(tmp_path / "metric-packs" / "basic")
    done = hdm("packs", "install", "basic", tmp_path, code=2)
    assert "differ: nothing was changed" in done.err
    assert not (tmp_path / "metric-packs" / "basic").exists()
    hdm("packs", "install", "basic", tmp_path, "--force")
    assert not (changed / "process" / "mine.txt").exists()
    (kept,) = (tmp_path / "rule-packs").glob(".basic-*")
    assert (kept / "process" / "mine.txt").read_text() == "mine"
    assert len(hdm.json("packs", "list", "--packs-dir", tmp_path)) == 2


def test_installed_wheel_has_its_packs_inside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, hdm: Hdm) -> None:
    """A wheel has no folder `dags` next to the package."""
    package = tmp_path / "site-packages" / "hdm_airflow"
    shutil.copytree(REFERENCE, package / "reference_packs")
    monkeypatch.setattr(install.hdm_airflow, "__file__", str(package / "__init__.py"))
    hdm("packs", "install", "rp_basic", tmp_path)
    assert (tmp_path / "rule-packs" / "basic" / "properties.json").exists()
    shutil.rmtree(package)
    assert "missing from this installation" in hdm("packs", "install", "--list", code=2).err


@pytest.fixture
def nested(packs: Path) -> Iterator[Callable[[Path, int, str], None]]:
    """Nests folders, by descriptor because their paths are too long, and removes all packs with `rm`."""

    def nest(folder: Path, levels: int, name: str) -> None:
        place = os.open(folder, os.O_RDONLY)
        for _ in range(levels):
            os.mkdir(name, dir_fd=place)
            inner = os.open(name, os.O_RDONLY, dir_fd=place)
            os.close(place)
            place = inner
        os.close(os.open("deepest.py", os.O_CREAT, dir_fd=place))
        os.symlink("nowhere", "link", dir_fd=place)
        os.close(place)

    yield nest
    subprocess.run(["rm", "-rf", packs], check=True)


@pytest.mark.parametrize(("levels", "name"), [(1_500, "d"), (5_000, "d"), (30, "d" * 200), (18, "d" * 225)])
def test_pack_that_nests_folders_too_deeply_is_quarantined_and_the_others_are_checked(
    hdm: Hdm, packs: Path, nested: Callable[[Path, int, str], None], levels: int, name: str
) -> None:
    """Python's calls nest 1,000 levels, and a path has at most 4,096 bytes."""
    deep = packs / "metric-packs" / "deep"
    shutil.copytree(packs / "metric-packs" / "pulse", deep)
    edit(deep, name="deep")
    nested(deep, levels, name)
    before = hdm("packs", "check", packs, code=1).out
    assert "metric-packs/deep" in before
    assert "[folder-deep]" in before
    assert "[version-missing]" in before
    assert "airflow-imports" not in before
    states = {row["task_id"]: row["state"] for row in hdm.json("packs", "list", "--packs-dir", packs)}
    assert states == {"mp_pulse": "ok", "rp_pulse": "ok", "mp_broken": "quarantined", "mp_deep": "quarantined"}
    assert "folder-deep" in hdm("packs", "show", "mp_deep", "--packs-dir", packs).out
    assert "[folder-deep]" in hdm("packs", "check", deep, code=1).out


def test_pack_with_a_hundred_levels_is_copied(packs: Path, nested: Callable[[Path, int, str], None]) -> None:
    """What has no finding can run."""
    pack = packs / "metric-packs" / "pulse"
    nested(pack, 100, "d")
    assert not Catalog.scan(packs).find("mp_pulse").errors
    with workspace(pack) as place:
        assert len(list(place.pack.rglob("deepest.py"))) == 1


def test_reference_pack_with_nested_folders_of_others_is_replaced(
    hdm: Hdm, packs: Path, nested: Callable[[Path, int, str], None]
) -> None:
    """`packs install` compares the folder that is there."""
    hdm("packs", "install", "basic", packs)
    nested(packs / "metric-packs" / "basic", 1_500, "d")
    assert "the old folder is now" in hdm("packs", "install", "basic", packs, "--force").err


def test_folder_nested_deeper_since_the_check_ends_the_run_with_a_reason(
    packs: Path, nested: Callable[[Path, int, str], None]
) -> None:
    """The Dag was parsed before."""
    pack = packs / "metric-packs" / "pulse"
    nested(pack, 1_500, "d")
    with pytest.raises(ConfigurationError, match="nested too deeply"), workspace(pack):
        pass


def test_links_in_a_loop_and_a_hundred_thousand_folders_are_findings(hdm: Hdm, packs: Path) -> None:
    """Neither follows a link forever nor reads on without end."""
    pack = packs / "metric-packs" / "pulse"
    (pack / "a").symlink_to("b")
    (pack / "b").symlink_to("a")
    (pack / "up").symlink_to(".")
    many = pack / "many"
    many.mkdir()
    for number in range(100):
        (many / str(number)).mkdir()
        for inner in range(1_000):
            (many / str(number) / str(inner)).mkdir()
    found = hdm("packs", "check", packs, code=1).out
    assert "[pack-large]" in found
    assert "[symlink-broken]" in found
    assert "[version-missing]" in found


def test_control_characters_from_a_pack_reach_no_terminal(hdm: Hdm, packs: Path) -> None:
    """A manifest, a file's name and a bad value could clear the screen or reverse what follows."""
    bad = "x\x1b[2J\u202e\x9b1m\x07y\u2028"
    edit(packs / "metric-packs" / "pulse", description=bad, author=bad, kind=bad, **{bad: 1})
    (packs / "metric-packs" / bad).mkdir()
    (packs / "metric-packs" / "pulse" / bad).symlink_to("nowhere")
    commands = [
        *(("packs", "list", "--packs-dir", packs, "-o", form) for form in ("table", "json", "yaml", "plain")),
        *(
            ("packs", "show", "mp_pulse", "--packs-dir", packs, "-o", form)
            for form in ("table", "json", "yaml", "plain")
        ),
        ("packs", "check", packs),
        ("packs", "check", packs, "-o", "json"),
        ("packs", "show", bad, "--packs-dir", packs),
        ("packs", "check", packs / bad),
    ]
    for words in commands:
        done = hdm(*words, code=None)
        assert not set("\x1b\u202e\x9b\x07\u2028") & set(done.out + done.err), words
        assert done.out + done.err
