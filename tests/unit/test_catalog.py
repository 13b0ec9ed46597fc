"""The catalog: what a packs folder becomes, in which order, and how a pack in it is found."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdm_airflow.errors import ConfigurationError
from hdm_airflow.packs.catalog import Catalog
from hdm_airflow.packs.finding import Finding
from tests.packs.zoo import whole


@pytest.fixture
def packs(tmp_path: Path) -> Path:
    """Two metric packs and a rule pack; one name is in both kinds."""
    for kind, name in (("rule", "basic"), ("metric", "volume"), ("metric", "basic")):
        folder = tmp_path / f"{kind}-packs" / name
        folder.parent.mkdir(exist_ok=True)
        whole(folder)
    return tmp_path


def test_packs_come_sorted_by_kind_and_name(packs: Path) -> None:
    """The order of a folder's entries differs between machines, and the Dag must not."""
    assert [pack.task_id for pack in Catalog.scan(packs).packs] == ["mp_basic", "mp_volume", "rp_basic"]


def test_relative_packs_folder_is_made_absolute(packs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task runs in another working folder than the parser did."""
    monkeypatch.chdir(packs.parent)
    catalog = Catalog.scan(packs.name)
    assert catalog == Catalog.scan(packs)
    assert all(pack.path.is_absolute() for pack in catalog.packs)


@pytest.mark.parametrize("name", ["mp_volume", "metric-packs/volume", "volume"])
def test_pack_is_found_by_task_id_folder_and_name(packs: Path, name: str) -> None:
    """The command line accepts each of the three names that the UI shows."""
    assert Catalog.scan(packs).find(name).task_id == "mp_volume"


def test_ambiguous_name_says_what_to_write_instead(packs: Path) -> None:
    """A guess between the metric pack and the rule pack would run the wrong one."""
    with pytest.raises(ConfigurationError, match="'basic' means 2 packs") as caught:
        Catalog.scan(packs).find("basic")
    assert caught.value.hint == "write mp_basic or rp_basic"


def test_unknown_name_lists_the_known_ones(packs: Path) -> None:
    """A typing mistake is corrected from the message alone."""
    with pytest.raises(ConfigurationError, match="no pack 'bsic'") as caught:
        Catalog.scan(packs).find("bsic")
    assert "mp_basic, mp_volume, rp_basic" in caught.value.hint


def test_quarantined_packs_are_found_too_and_come_last(packs: Path) -> None:
    """The findings of mp_volume recommend `packs check mp_volume`, so it must work."""
    (packs / "metric-packs/volume/bootstrap-script.sh").unlink()
    catalog = Catalog.scan(packs)
    assert [pack.task_id for pack in catalog.every] == ["mp_basic", "rp_basic", "mp_volume"]
    assert catalog.find("volume").errors


def test_broken_copy_of_a_good_pack_leaves_the_good_one_alone(packs: Path) -> None:
    """Copying a pack to change it is how work on one begins: the nightly run must not stop for it."""
    whole(packs / "metric-packs/aaa", name="basic", version="")
    whole(packs / "metric-packs/zzz", name="basic")
    (packs / "metric-packs/zzz/bootstrap-script.sh").unlink()
    catalog = Catalog.scan(packs)
    rule = catalog.find("rp_basic")
    assert [pack.task_id for pack in catalog.quarantined] == ["mp_aaa", "mp_zzz"]
    assert [one.quarantined for one in rule.requires] == [False]
    assert [pack.task_id for pack in catalog.upstream(rule)] == ["mp_basic"]
    assert [finding.code for finding in catalog.find("mp_zzz").errors] == ["script-missing", "name-duplicate"]


def test_two_good_packs_of_one_name_are_both_quarantined(packs: Path) -> None:
    """Both would write the same rows: which of them should is for people to say."""
    whole(packs / "metric-packs/copy", name="basic")
    catalog = Catalog.scan(packs)
    assert [pack.task_id for pack in catalog.quarantined] == ["mp_basic", "mp_copy"]
    assert all("another metric pack is named 'basic'" in pack.errors[0].message for pack in catalog.quarantined)


def test_readme_is_cut_at_20_kb_between_any_two_bytes(packs: Path) -> None:
    """It goes into the serialised Dag, which every component loads; a cut character is not a fault."""
    (packs / "metric-packs/basic/Readme.md").write_text("\N{BYTE ORDER MARK}xx" + "é" * 1_000_000, "utf-8")
    pack = Catalog.scan(packs).find("mp_basic")
    assert pack.findings == ()
    assert pack.readme == "xx" + "é" * 9_997


def test_readme_is_found_however_it_is_spelled(packs: Path) -> None:
    """The norm says Readme.md; half of the world writes README.md."""
    folder = packs / "metric-packs/basic"
    (folder / "Readme.md").rename(folder / "README.MD")
    assert Catalog.scan(packs).find("mp_basic").readme == "# basic\n"


def test_every_fault_of_a_pack_is_found_at_once(packs: Path) -> None:
    """One fault per attempt is one night per fault."""
    folder = packs / "metric-packs/basic"
    (folder / "properties.json").write_text('{"version": "1 0", "depends_on": ["nowhere"], "mainscript": "x.py"}')
    (folder / "bootstrap-script.sh").unlink()
    assert {finding.code for finding in Catalog.scan(packs).find("metric-packs/basic").findings} == {
        "name-missing",
        "version-bad",
        "dependency-unknown",
        "author-missing",
        "description-missing",
        "mainscript-missing",
        "script-missing",
    }


def test_finding_reads_like_a_compilers_message() -> None:
    """Editors and terminals make a link of path:line."""
    finding = Finding(
        pack="rule-packs/basic", file="properties.json", place="3:1", code="manifest-unreadable", message="m", hint="h"
    )
    assert str(finding) == "rule-packs/basic/properties.json:3:1: error [manifest-unreadable] m\n  do: h"


@pytest.mark.parametrize("line", ["packs", "packs/", "packs/*", "packs/**", "/packs/", "**/packs/", "*"])
def test_airflowignore_that_covers_the_packs_folder_ends_the_warning(tmp_path: Path, line: str) -> None:
    """All usual spellings count: people stop reading a warning that remains after they have followed it."""
    (tmp_path / "dags/packs").mkdir(parents=True)
    whole(tmp_path / "dags/packs/a", kind="metric")
    (tmp_path / "dags/packs/a/main.py").write_text("# an Airflow dag\n")
    (tmp_path / "dags/packs/a/data").mkdir()
    (tmp_path / "dags/packs/a/same").symlink_to("data")
    codes = [finding.code for finding in Catalog.scan(tmp_path / "dags/packs", deep=True).findings]
    assert {"airflow-imports", "airflow-links"} <= set(codes)
    (tmp_path / "dags/.airflowignore").write_text(f"# comment\n{line}\n")
    codes = [finding.code for finding in Catalog.scan(tmp_path / "dags/packs", deep=True).findings]
    assert not {"airflow-imports", "airflow-links"} & set(codes)


def test_configuration_nested_to_the_limit_is_no_reason_to_raise(packs: Path) -> None:
    """JSON can be nested as deeply as Python's call stack, and a little deeper."""
    path = packs / "metric-packs/basic/process/conf.json"
    path.parent.mkdir()
    deepest = 100
    while deepest < 100_000:
        try:
            json.loads("[" * deepest + "]" * deepest)
        except RecursionError:
            break
        deepest += 50
    for depth in (deepest - 150, deepest - 100, deepest - 50, deepest):
        path.write_text("[" * depth + '{"password": "x"}' + "]" * depth)
        (finding,) = Catalog.scan(packs, deep=True).findings
        assert finding.code in {"conf-password", "conf-unreadable"}


FILES = st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass"))


@settings(max_examples=15, deadline=None)
@given(manifest=FILES, script=FILES, readme=FILES, requirements=FILES, conf=FILES)
def test_no_content_of_any_file_makes_a_scan_raise(**content: bytes) -> None:
    """A broken pack never stops the Dag from loading, whatever is in its files."""
    names = {
        "manifest": "properties.json",
        "script": "bootstrap-script.sh",
        "readme": "Readme.md",
        "requirements": "requirements.txt",
        "conf": "process/conf.json",
    }
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        whole(root / "good", kind="metric")
        whole(root / "other", kind="metric")
        (root / "other/process").mkdir()
        for part, name in names.items():
            (root / "other" / name).write_bytes(content[part])
        catalog = Catalog.scan(root, deep=True)
    assert catalog.find("mp_good").findings == ()
    assert catalog.find("other").errors
