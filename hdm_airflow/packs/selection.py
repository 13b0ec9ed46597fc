"""Choosing packs by name, kind or tag."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from hdm_airflow.errors import ConfigurationError
from hdm_airflow.packs.pack import Pack

#: Begins selectors of tasks that no pack stands behind, in pack_args: `task:notify`.
HOUSE = "task:"


def matches(selector: str, pack: Pack) -> bool:
    """Whether a selector matches a pack.

    Selectors are a name (`basic`) or a task id (`mp_basic`), both with optional `*`, `kind:rule` or `tag:nightly`.
    """
    method, _, value = selector.rpartition(":")
    if method == "kind":
        return pack.kind == value
    if method == "tag":
        return any(fnmatchcase(tag, value) for tag in pack.tags)
    return fnmatchcase(pack.name, value) or fnmatchcase(pack.task_id, value)


def choose(packs: Iterable[Pack], select: Sequence[str] = (), exclude: Sequence[str] = ()) -> tuple[Pack, ...]:
    """The packs that match any of `select` (all packs, if it is empty) and none of `exclude`.

    Every `tag:` selector keeps a quarantined pack whose tags cannot be read: hidden, it would be forgotten. While there
    is one, no tag counts as unmatched: the broken pack might have it.

    Raises:
        ConfigurationError: if a selector matches no pack or has an unknown form; names all of them.
    """
    packs = tuple(packs)
    _check([*select, *exclude], packs)
    return tuple(
        pack
        for pack in packs
        if (not select or any(_kept(selector, pack) for selector in select))
        and not any(matches(selector, pack) for selector in exclude)
    )


def _kept(selector: str, pack: Pack) -> bool:
    return matches(selector, pack) or (selector.startswith("tag:") and pack.manifest is None)


def _check(selectors: Sequence[str], packs: Sequence[Pack]) -> None:
    unknown = [text for text in selectors if ":" in text and text.rpartition(":")[0] not in ("kind", "tag")]
    if unknown:
        what = f"unknown selector: {', '.join(unknown)}"
        raise ConfigurationError(what, "select or exclude", "write a name, kind:metric, kind:rule or tag:<tag>")
    idle = [text for text in selectors if not any(_kept(text, pack) for pack in packs)]
    if idle:
        known = ", ".join(pack.task_id for pack in packs) or "none"
        raise ConfigurationError(f"no pack matches {', '.join(idle)}", "select or exclude", f"the packs are: {known}")
