"""Graph: which pack waits for which, and faults in that."""

from __future__ import annotations

from pathlib import Path

import pytest

from hdm_airflow.packs.catalog import Catalog
from hdm_airflow.packs.pack import Requirement
from tests.packs.zoo import whole


@pytest.fixture
def add(tmp_path: Path):
    """Add a pack: its task id, and keys of its manifest."""

    def add_pack(task_id: str, **keys: object) -> Path:
        prefix, name = task_id.split("_", 1)
        folder = tmp_path / {"mp": "metric-packs", "rp": "rule-packs"}[prefix] / name
        folder.parent.mkdir(exist_ok=True)
        whole(folder, **keys)
        return folder

    return add_pack


def requires(root: Path, task_id: str) -> list[str]:
    return [requirement.name for requirement in Catalog.scan(root).find(task_id).requires]


def codes(root: Path, task_id: str) -> list[str]:
    return [finding.code for finding in Catalog.scan(root).find(task_id).findings]


def test_rule_pack_waits_for_the_metric_pack_of_its_name(add, tmp_path: Path) -> None:
    """The original's packs do not declare dependencies: rule pack basic judges the metrics of basic."""
    add("mp_basic"), add("mp_volume"), add("rp_basic")
    assert Catalog.scan(tmp_path).find("rp_basic").requires == (Requirement(name="basic", explicit=False),)


def test_rule_pack_without_a_namesake_waits_for_every_metric_pack(add, tmp_path: Path) -> None:
    """It does not declare what it reads, so it waits for everything that it could read."""
    add("mp_volume"), add("mp_basic"), add("rp_other")
    requirements = Catalog.scan(tmp_path).find("rp_other").requires
    assert requirements == (Requirement(name="basic", explicit=False), Requirement(name="volume", explicit=False))


def test_empty_list_of_dependencies_means_none(add, tmp_path: Path) -> None:
    """The way to say that a rule pack reads no metrics at all."""
    add("mp_basic"), add("rp_basic", depends_on=[])
    assert requires(tmp_path, "rp_basic") == []


def test_stated_dependencies_replace_the_defaults(add, tmp_path: Path) -> None:
    """Declared dependencies count once each, and as explicit: the gate requires them on every endpoint."""
    add("mp_basic"), add("mp_volume"), add("rp_basic", depends_on=["volume>=1", "volume<2"])
    assert Catalog.scan(tmp_path).find("rp_basic").requires == (Requirement(name="volume", explicit=True),)


def test_metric_pack_waits_for_nothing_unless_it_says_so(add, tmp_path: Path) -> None:
    """Metric packs run side by side."""
    add("mp_a"), add("mp_b"), add("mp_c", depends_on=["a"])
    assert (requires(tmp_path, "mp_a"), requires(tmp_path, "mp_c")) == ([], ["a"])
    assert [pack.task_id for pack in Catalog.scan(tmp_path).upstream(Catalog.scan(tmp_path).find("mp_c"))] == ["mp_a"]


def test_rule_pack_is_no_dependency(add, tmp_path: Path) -> None:
    """Rules judge metrics, never the judgements of other rules."""
    add("rp_basic", depends_on=[]), add("rp_other", depends_on=["basic"])
    assert codes(tmp_path, "rp_other") == ["dependency-unknown"]


@pytest.mark.parametrize(
    ("specifier", "version", "is_met"),
    [
        (">=0.3", "0.3", True),
        (">=0.3", "0.2.9", False),
        (">=0.9", "0.10", True),  # as texts, 0.10 is the lower
        ("<0.10", "0.9", True),
        ("<0.9", "0.10", False),
        ("==1.0", "1.0.0", True),
        ("~=1.4", "1.9", True),
        ("~=1.4", "2.0", False),
        (">=1,<2", "1.5", True),
        (">=1,<2", "2.0", False),
        ("!=1.5", "1.5", False),
        (">=1.0", "1.1rc1", True),  # a pre-release of something newer serves: it is what is installed
        (">=1.0", "1.0rc1", False),
        ("<1.0", "1.0rc1", False),
        (">=1.0.dev0", "1.0rc1", True),
        (">=1.0", "1.0+hospital.2", True),
        (" >= 0.3 ", "0.3", True),
        ("", "master", True),
        (">=0", "master", False),
    ],
)
def test_versions_are_compared_as_versions(add, tmp_path: Path, specifier: str, version: str, is_met: bool) -> None:
    """An unmet dependency is an error before anything runs, and a met one never is."""
    add("mp_basic", version=version), add("rp_judge", depends_on=[f"basic{specifier}"])
    assert codes(tmp_path, "rp_judge") == ([] if is_met else ["dependency-unmet"])


def test_unmet_version_is_named_with_the_one_that_is_there(add, tmp_path: Path) -> None:
    """Which of the two to update is seen from the message."""
    add("mp_basic", version="0.9"), add("rp_judge", depends_on=["basic>=0.10"])
    (finding,) = Catalog.scan(tmp_path).find("rp_judge").findings
    assert finding.message == "basic>=0.10 is required, but basic is 0.9"
    assert (finding.file, finding.place) == ("properties.json", "depends_on.0")


@pytest.mark.parametrize(
    "text", ["basic=>1", "basic 1", "", ">=1", "basic[extra]>=1", "basic>=1; python_version>'3'", "a/b", "basic>=1\n.."]
)
def test_dependency_that_is_none_is_an_error_at_its_place(add, tmp_path: Path, text: str) -> None:
    """Left out silently, the rule pack would judge without waiting."""
    add("mp_basic"), add("rp_judge", depends_on=["basic", text])
    (finding,) = Catalog.scan(tmp_path).find("rp_judge").findings
    assert (finding.code, finding.place) == ("dependency-unknown", "depends_on.1")


@pytest.mark.parametrize(
    "break_it",
    [
        lambda folder: (folder / "bootstrap-script.sh").unlink(),
        lambda folder: (folder / "properties.json").write_text("{"),
        lambda folder: (folder / "properties.json").write_text('{"name": "basic"}'),
    ],
)
@pytest.mark.parametrize("keys", [{}, {"depends_on": ["basic>=1"]}])
def test_quarantined_dependency_holds_the_rule_pack_back_without_breaking_it(add, tmp_path, break_it, keys) -> None:
    """The rule pack is in order: it runs as soon as the metric pack is, and until then the gate says why not."""
    break_it(add("mp_basic"))
    add("rp_basic", **keys)
    catalog = Catalog.scan(tmp_path)
    rule = catalog.find("rp_basic")
    assert rule.findings == ()
    assert rule.requires == (Requirement(name="basic", explicit=bool(keys), quarantined=True),)
    assert [pack.task_id for pack in catalog.upstream(rule)] == ["mp_basic"]


def test_rule_pack_is_not_held_back_by_a_broken_pack_it_does_not_need(add, tmp_path: Path) -> None:
    """One broken pack must not silence the others' rules."""
    (add("mp_volume") / "bootstrap-script.sh").unlink()
    add("mp_basic"), add("rp_basic")
    assert [one.quarantined for one in Catalog.scan(tmp_path).find("rp_basic").requires] == [False]


def test_broken_copy_of_another_version_does_not_count(add, tmp_path: Path) -> None:
    """What runs is the good one: its version is the one that must satisfy."""
    for name, version in (("aaa", "0.1"), ("zzz", "0.2")):
        (add(f"mp_{name}", name="basic", version=version) / "bootstrap-script.sh").unlink()
    add("mp_basic"), add("rp_judge", depends_on=["basic>=1"])
    assert codes(tmp_path, "rp_judge") == []


def test_circle_is_named_in_full_in_the_order_of_need(add, tmp_path: Path) -> None:
    """Read from left to right, each needs the next."""
    for name, needed in (("a", "c"), ("c", "b"), ("b", "a")):
        add(f"mp_{name}", depends_on=[needed])
    for name in "abc":
        (finding,) = Catalog.scan(tmp_path).find(f"mp_{name}").findings
        assert finding.message == "the packs depend on each other in a cycle: a -> c -> b -> a"


def test_circles_that_share_a_pack_are_both_named(add, tmp_path: Path) -> None:
    """The second cycle is reported even before the first one is removed."""
    add("mp_a", depends_on=["b", "c"]), add("mp_b", depends_on=["a"]), add("mp_c", depends_on=["a"])
    circles = [finding.message.rpartition(": ")[2] for finding in Catalog.scan(tmp_path).find("mp_a").findings]
    assert sorted(circles) == ["a -> b -> a", "c -> a -> c"]
    assert codes(tmp_path, "mp_b") == codes(tmp_path, "mp_c") == ["dependency-cycle"]


def test_pack_on_top_of_a_circle_is_not_part_of_it(add, tmp_path: Path) -> None:
    """It is in order, and waits."""
    add("mp_a", depends_on=["b"]), add("mp_b", depends_on=["a"]), add("mp_c", depends_on=["a"])
    pack = Catalog.scan(tmp_path).find("mp_c")
    assert pack.findings == ()
    assert [one.quarantined for one in pack.requires] == [True]


def test_long_chain_is_no_circle(add, tmp_path: Path) -> None:
    """Depth alone is not a fault, and must not end in a RecursionError."""
    for number in range(40):
        add(f"mp_p{number}", depends_on=[f"p{number - 1}"] if number else [])
    assert Catalog.scan(tmp_path).findings == ()
