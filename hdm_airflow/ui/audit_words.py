"""Audit words: what a change did, and to what, in words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hdm_airflow.packs.pack import PREFIX
from hdm_airflow.ui import names
from hdm_airflow.ui.texts import catalogue

if TYPE_CHECKING:
    from hdm_airflow.admin.audit import Change
    from hdm_airflow.ui.texts import Texts

_KEY = "audit.action-"  # and the action, with - for spaces
SWITCHES = ("activate", "deactivate")  # actions on a cell of the matrix
_PACK = re.compile(r"(metric|rule) (pack|configuration) (.*)", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Sign:
    """One line of a difference."""

    kind: str  # added, removed, same, gap (lines are left out here), remark
    sign: str  # as it is shown: +, - or a space
    text: str


@dataclass(frozen=True, kw_only=True)
class Line:
    """One change as a page shows it."""

    change: Change
    done: str  # what was done: "activated"
    to: str  # the object in words
    slug: str  # of the endpoint in it; ''
    configuration: names.Named | None  # the configuration that was changed: it has a page
    difference: list[Sign]


def line(text: Texts, change: Change) -> Line:
    """A change in words."""
    to, slug = _object(text, change)
    return Line(
        change=change,
        done=action(text, change.action),
        to=to,
        slug=slug,
        configuration=names.configuration_of(change.object) if change.action.startswith("config ") else None,
        difference=[] if change.action in SWITCHES else signs(change.difference),
    )


def action(text: Texts, name: str) -> str:
    """What an action is, in words; one that this release does not know, as it is."""
    key = _KEY + name.replace(" ", "-")
    return text(key) if key in catalogue() else name


def actions(text: Texts) -> list[tuple[str, str]]:
    """Every action that is known, with its words, sorted by these."""
    keys = [key.removeprefix(_KEY) for key in catalogue() if key.startswith(_KEY)]
    return sorted(((_name(key), text(_KEY + key)) for key in keys), key=lambda one: one[1])


def signs(difference: str) -> list[Sign]:
    """The lines of a difference. They have a sign each, because colour alone does not reach everybody."""
    kinds = {"+": "added", "-": "removed", " ": "same"}
    lines = difference.split("\n") if difference else []
    if lines and lines[0].startswith("@"):
        del lines[0]
    return [
        Sign(kind=kinds[one[0]], sign=one[0], text=one[1:])
        if one[:1] in kinds
        else Sign(kind="gap", sign=" ", text="")
        if one.startswith("@")
        else Sign(kind="remark", sign=" ", text=one)
        for one in lines
    ]


def _name(key: str) -> str:
    """The action of a key of a text. Those of two words have a space."""
    return key.replace("-", " ", 1)


def _object(text: Texts, change: Change) -> tuple[str, str]:
    """The object of a change in words, and the endpoint's slug in it."""
    name = change.object
    if found := names.configuration_of(name):
        return found.words(text), found.place.slug if found.place else ""
    if match := _PACK.fullmatch(name):
        return _of_pack(text, *match.groups(), change=change)
    table, _, rest = name.partition(" ")
    if table == "hdm_core_dblist":
        new = _stated(change.new, "slug")
        to = f"{names.place(rest)} → {names.place(new)}" if new else str(names.place(rest))
        return to, rest
    return name, ""


def _of_pack(text: Texts, kind: Any, what: str, rest: str, *, change: Change) -> tuple[str, str]:
    if what == "configuration":
        found = names.configuration(kind, rest)
        return found.words(text), found.place.slug if found.place else ""
    pack, _, slug = rest.partition(" ")
    task_id = PREFIX[kind] + pack
    if slug:
        return text("frame.pack-on-endpoint", pack=task_id, endpoint=names.place(slug)), slug
    new = _stated(change.new, "name")
    return (f"{task_id} → {PREFIX[kind]}{new}" if new else task_id), ""


def _stated(value: Any, key: str) -> str:
    stated = value.get(key) if isinstance(value, dict) else None
    return stated if isinstance(stated, str) else ""
