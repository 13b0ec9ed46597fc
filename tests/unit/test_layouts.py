"""Layouts: every arrangement of pack folders that is in use."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import pytest

from hdm_airflow.packs import discovery
from hdm_airflow.packs.catalog import Catalog
from tests.packs.zoo import whole


def put(root: Path, folder: str, **keys: object) -> Path:
    pack = root / folder
    pack.parent.mkdir(parents=True, exist_ok=True)
    whole(pack, **keys)
    return pack


def ids(root: Path) -> list[str]:
    return [pack.task_id for pack in Catalog.scan(root).every]


@pytest.mark.parametrize(
    ("folder", "task_id"),
    [
        ("metric-packs", "mp_basic"),
        ("hdm-metric-packs", "mp_basic"),
        ("rule-packs", "rp_basic"),
        ("hdm-rule-packs", "rp_basic"),
    ],
)
@pytest.mark.parametrize("above", ["", "team-a/", "hospital/cardiology/"])
@pytest.mark.parametrize("below", ["", "team-a/", "a/b/"])
def test_kind_folder_tells_the_kind_wherever_it_stands(tmp_path: Path, above, folder, below, task_id) -> None:
    """The norm's tree, the original's, and either one below a team's folder or above it."""
    put(tmp_path, f"{above}{folder}/{below}basic")
    catalog = Catalog.scan(tmp_path)
    assert [pack.task_id for pack in catalog.packs] == [task_id]
    assert catalog.findings == ()


@pytest.mark.parametrize("kind", ["metric", "rule"])
def test_manifest_tells_the_kind_where_no_folder_does(tmp_path: Path, kind: str) -> None:
    """Packs side by side in one folder, as a small site keeps them."""
    put(tmp_path, "basic", kind=kind)
    assert [pack.kind for pack in Catalog.scan(tmp_path).packs] == [kind]


def test_nearest_kind_folder_counts(tmp_path: Path) -> None:
    """A repository of rule packs mounted below a folder of metric packs."""
    put(tmp_path, "metric-packs/mounted/rule-packs/basic")
    assert ids(tmp_path) == ["rp_basic"]


def test_both_layouts_may_stand_side_by_side(tmp_path: Path) -> None:
    """While a site moves from the original, it has both."""
    put(tmp_path, "hdm-metric-packs/old"), put(tmp_path, "metric-packs/new"), put(tmp_path, "loose", kind="rule")
    assert ids(tmp_path) == ["mp_new", "mp_old", "rp_loose"]


@pytest.mark.parametrize("link", ["absolute", "relative"])
def test_pack_folder_may_be_a_link(tmp_path: Path, link: str) -> None:
    """A shared pack is a link; the folder behind the link is the pack, and nothing in it leads out of it."""
    shared = put(tmp_path, "shared/basic")
    (shared / "process").mkdir()
    (shared / "process/main.sh").write_text("echo\n")
    (shared / "process/same.sh").symlink_to("main.sh")
    (tmp_path / "packs/metric-packs").mkdir(parents=True)
    target = shared if link == "absolute" else Path("../../shared/basic")
    (tmp_path / "packs/metric-packs/linked").symlink_to(target)
    catalog = Catalog.scan(tmp_path / "packs")
    assert [(pack.task_id, pack.folder) for pack in catalog.packs] == [("mp_basic", "metric-packs/linked")]
    assert catalog.findings == ()


def test_packs_folder_and_kind_folder_may_be_links(tmp_path: Path) -> None:
    """git-sync shows a repository as a link that it turns to each new commit."""
    put(tmp_path, "commit/metric-packs/basic"), put(tmp_path, "rules/judge")
    (tmp_path / "commit/rule-packs").symlink_to("../rules")
    (tmp_path / "current").symlink_to("commit")
    assert ids(tmp_path / "current") == ["mp_basic", "rp_judge"]


def test_pack_mounted_from_a_config_map_is_whole(tmp_path: Path) -> None:
    """Kubernetes mounts each file as a link into ..data, which is a link to a folder with a date in its name."""
    pack = put(tmp_path, "metric-packs/basic", mainscript="main.py")
    (pack / "main.py").touch()
    dated = pack / "..2026_01_31_02_00_00.123456789"
    dated.mkdir()
    for path in [path for path in pack.iterdir() if path.is_file()]:
        shutil.move(path, dated / path.name)
        path.symlink_to(f"..data/{path.name}")
    (pack / "..data").symlink_to(dated.name)
    (found,) = Catalog.scan(tmp_path, deep=True).findings
    assert (found.code, found.file) == ("airflow-links", "..data")  # Airflow follows this link, too
    (tmp_path / ".airflowignore").write_text("*\n")
    catalog = Catalog.scan(tmp_path, deep=True)
    assert [pack.readme for pack in catalog.packs] == ["# basic\n"]
    assert catalog.findings == ()


def test_packs_mounted_from_one_volume_appear_once(tmp_path: Path) -> None:
    """Folders that begin with a dot belong to the mount and contain the same packs a second time."""
    put(tmp_path, "..2026_01_31/basic")
    (tmp_path / "..data").symlink_to("..2026_01_31")
    (tmp_path / "metric-packs").symlink_to("..data")
    assert ids(tmp_path) == ["mp_basic"]


@pytest.mark.parametrize("name", [".git", ".ipynb_checkpoints", "__pycache__", "node_modules"])
def test_folders_of_tools_are_passed_over(tmp_path: Path, name: str) -> None:
    """Programs create and remove them; they are not a user's mistake."""
    put(tmp_path, f"metric-packs/{name}/basic")
    catalog = Catalog.scan(tmp_path)
    assert (catalog.every, catalog.findings) == ((), ())


def test_pack_is_not_searched_for_packs(tmp_path: Path) -> None:
    """What a pack carries, a template or a fixture, is its own business."""
    pack = put(tmp_path, "metric-packs/basic")
    put(pack, "templates/metric-packs/other")
    assert ids(tmp_path) == ["mp_basic"]


@pytest.mark.parametrize("parts", [["process"], ["process", "create-table"], ["process/dialects"], []])
def test_pack_that_has_lost_its_manifest_and_script_is_one_broken_pack(tmp_path: Path, parts: list[str]) -> None:
    """The finding names the pack's own folder instead of process/, which users would not recognise."""
    for part in ["", *parts]:
        (tmp_path / "metric-packs/basic" / part).mkdir(parents=True, exist_ok=True)
    assert [(pack.task_id, pack.folder) for pack in Catalog.scan(tmp_path).quarantined] == [
        ("mp_basic", "metric-packs/basic")
    ]


def test_broken_pack_beside_good_ones_in_a_teams_folder_is_named(tmp_path: Path) -> None:
    """The team's folder is not a pack, because it contains packs."""
    put(tmp_path, "metric-packs/team/basic")
    (tmp_path / "metric-packs/team/empty").mkdir()
    assert [pack.folder for pack in Catalog.scan(tmp_path).every] == [
        "metric-packs/team/basic",
        "metric-packs/team/empty",
    ]


def test_folder_without_a_pack_is_named_once(tmp_path: Path) -> None:
    """Twenty warnings about the folders of one picture gallery hide the one that matters."""
    (tmp_path / "pictures/2026/january").mkdir(parents=True)
    (finding,) = Catalog.scan(tmp_path).findings
    assert (finding.code, finding.pack) == ("folder-stray", "pictures")


@pytest.mark.parametrize("link", ["loop", "metric-packs/loop", "metric-packs/team/loop"])
@pytest.mark.parametrize("up", [1, 2, 3, 20])
def test_link_to_a_folder_above_is_an_error_and_not_followed(tmp_path: Path, link: str, up: int) -> None:
    """Without .airflowignore, Airflow finds a loop and then loads no Dag; followed, it leads to the whole disk."""
    root = tmp_path / "dags/packs"
    put(root, "metric-packs/team/basic")
    (root / link).symlink_to("../" * up)
    catalog = Catalog.scan(root)
    assert [pack.folder for pack in catalog.every] == ["metric-packs/team/basic"]
    assert [(one.pack, one.code, one.severity) for one in catalog.findings] == [(link, "folder-loop", "error")]


def test_links_that_multiply_folders_end_with_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve folders with links to each other are hundreds of thousands of paths, each without a loop."""
    monkeypatch.setattr(discovery, "_MOST", 500)
    for one, other in itertools.permutations(range(12), 2):
        (tmp_path / f"{one:02}").mkdir(exist_ok=True)
        (tmp_path / f"{one:02}/{other:02}").symlink_to(f"../{other:02}")
    put(tmp_path, "00a/basic")
    assert [one.code for one in Catalog.scan(tmp_path).findings if "too many folders" in one.message] == ["folder-loop"]


def test_link_in_a_pack_to_a_folder_above_is_a_warning(tmp_path: Path) -> None:
    """The pack can run; whatever walks its folder and follows links does not come back."""
    pack = put(tmp_path, "metric-packs/basic")
    (pack / "process/deep").mkdir(parents=True)
    (pack / "data").mkdir()
    for link, target in {
        "self": ".",
        "process/self": "..",
        "process/deep/up": "../../process",
        "other": "data",
    }.items():
        (pack / link).symlink_to(target)
    (good,) = Catalog.scan(tmp_path).packs
    found = {one.file: one.severity for one in good.findings if one.code == "symlink-loop"}
    assert found == {"self": "warning", "process/self": "warning", "process/deep/up": "warning"}


def test_file_beside_packs_is_named_unless_it_is_documentation(tmp_path: Path) -> None:
    """A zip file is a pack that was not unpacked; a Readme is allowed."""
    put(tmp_path, "metric-packs/basic")
    for name in ("README.md", "NOTICE.txt", "volume.zip"):
        (tmp_path / "metric-packs" / name).touch()
    assert [finding.pack for finding in Catalog.scan(tmp_path).findings] == ["metric-packs/volume.zip"]


def test_nesting_ends_somewhere(tmp_path: Path) -> None:
    """A packs folder that is by mistake the root of a disk must not be walked to its end."""
    put(tmp_path, "1/2/3/4/5/6/7/8/metric-packs/basic")
    assert ids(tmp_path) == []


def test_reference_packs_are_without_a_fault() -> None:
    """They are the examples that everybody starts from."""
    catalog = Catalog.scan(Path(__file__).parents[2] / "dags/packs", deep=True)
    assert {"mp_basic", "rp_basic"} <= {pack.task_id for pack in catalog.packs}
    assert catalog.findings == ()
