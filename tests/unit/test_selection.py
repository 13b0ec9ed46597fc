"""Selectors: which packs a Dag runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from hdm_airflow.errors import ConfigurationError
from hdm_airflow.packs.finding import Finding
from hdm_airflow.packs.manifest import Kind, Manifest
from hdm_airflow.packs.pack import Pack
from hdm_airflow.packs.selection import choose


def pack(kind: Kind, name: str, *tags: str, broken: bool = False) -> Pack:
    manifest = None if broken else Manifest(name=name, version="1.0", tags=tags)
    finding = Finding(pack=name, file="", place="", code="manifest-unreadable", message="m", hint="h")
    return Pack(
        kind=kind,
        name=name,
        version="1.0",
        folder=name,
        path=Path("/packs", name),
        task_id={"metric": "mp_", "rule": "rp_"}[kind] + name,
        manifest=manifest,
        findings=(finding,) if broken else (),
    )


PACKS = (
    pack("metric", "basic", "nightly"),
    pack("metric", "volume", "hourly", "costly"),
    pack("rule", "basic", "nightly"),
    pack("rule", "volume-late"),
)


def chosen(*, select: list[str] | None = None, exclude: list[str] | None = None, packs=PACKS) -> list[str]:
    return [one.task_id for one in choose(packs, select or [], exclude or [])]


@pytest.mark.parametrize(
    ("select", "exclude", "expected"),
    [
        ([], [], ["mp_basic", "mp_volume", "rp_basic", "rp_volume-late"]),
        (["basic"], [], ["mp_basic", "rp_basic"]),
        (["mp_basic"], [], ["mp_basic"]),
        (["vol*"], [], ["mp_volume", "rp_volume-late"]),
        (["rp_*"], [], ["rp_basic", "rp_volume-late"]),
        (["kind:metric"], [], ["mp_basic", "mp_volume"]),
        (["tag:nightly"], [], ["mp_basic", "rp_basic"]),
        (["tag:*ly"], [], ["mp_basic", "mp_volume", "rp_basic"]),
        (["tag:costly", "rp_basic"], [], ["mp_volume", "rp_basic"]),
        ([], ["tag:costly"], ["mp_basic", "rp_basic", "rp_volume-late"]),
        (["kind:rule"], ["basic"], ["rp_volume-late"]),
        (["basic"], ["basic"], []),  # an empty selection is the Dag's to report: each selector meant something
    ],
)
def test_selectors_choose(select: list[str], exclude: list[str], expected: list[str]) -> None:
    """By name, task id, kind and tag, with wildcards; exclude wins, and the order of the packs stays."""
    assert chosen(select=select, exclude=exclude) == expected


@pytest.mark.parametrize("where", ["select", "exclude"])
@pytest.mark.parametrize("selector", ["bsic", "BASIC", "tag:weekly", "kind:rules", "bas", "kind:"])
def test_selector_that_matches_nothing_is_an_error(where: str, selector: str) -> None:
    """A typing mistake in exclude would run what must not run, one in select would run nothing."""
    with pytest.raises(ConfigurationError) as caught:
        chosen(**{where: ["basic", selector]})
    assert caught.value.what == f"no pack matches {selector}"
    assert caught.value.where == "select or exclude"
    assert caught.value.hint == "the packs are: mp_basic, mp_volume, rp_basic, rp_volume-late"


@pytest.mark.parametrize("selector", ["name:basic", "tags:x", "tag:a:b", "kind:metric:x", ":basic"])
def test_unknown_form_is_an_error_that_shows_the_forms(selector: str) -> None:
    """It is not taken for the name of a pack."""
    with pytest.raises(ConfigurationError, match="unknown selector") as caught:
        chosen(select=[selector])
    assert caught.value.where == "select or exclude"
    assert caught.value.hint == "write a name, kind:metric, kind:rule or tag:<tag>"


def test_every_unknown_form_is_named_at_once() -> None:
    """Before any that merely matches nothing: what it was meant for is not known."""
    with pytest.raises(ConfigurationError) as caught:
        chosen(select=["name:basic", "nowhere"], exclude=["basic", "tags:x"])
    assert caught.value.what == "unknown selector: name:basic, tags:x"


def test_every_selector_that_matches_nothing_is_named_at_once() -> None:
    """Select and exclude together."""
    with pytest.raises(ConfigurationError, match="one, tag:two, three"):
        chosen(select=["one", "tag:two"], exclude=["three"])


def test_selector_in_a_folder_without_packs_is_an_error_that_says_so() -> None:
    """An empty list after a colon reads like a fault of the message."""
    with pytest.raises(ConfigurationError) as caught:
        chosen(select=["basic"], packs=())
    assert caught.value.hint == "the packs are: none"
    assert chosen(packs=()) == []


def test_pack_whose_tags_cannot_be_read_is_kept_by_every_tag() -> None:
    """Hidden by a selection, a broken pack would be forgotten."""
    packs = (*PACKS, pack("metric", "broken", broken=True))
    assert chosen(select=["tag:costly"], packs=packs) == ["mp_volume", "mp_broken"]


def test_tag_whose_only_pack_is_broken_is_no_error() -> None:
    """Or one broken manifest would take all the other packs out of the Dag."""
    packs = (*PACKS, pack("metric", "broken", broken=True))
    assert chosen(select=["mp_basic", "tag:weekly"], packs=packs) == ["mp_basic", "mp_broken"]
    assert chosen(exclude=["tag:weekly"], packs=packs) == [one.task_id for one in packs]


def test_broken_pack_is_chosen_by_its_task_id() -> None:
    """Its task exists, so it can be named."""
    packs = (*PACKS, pack("metric", "broken", broken=True))
    assert chosen(exclude=["mp_broken"], packs=packs) == [one.task_id for one in PACKS]
