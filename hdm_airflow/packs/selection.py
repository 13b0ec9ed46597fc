"""Choosing packs by name, kind or tag."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from hdm_airflow.errors import ConfigurationError
from hdm_airflow.packs.pack import Pack


def matches(selector: str, pack: Pack) -> bool:
    """Whether a selector means a pack.

    `basic` and `mp_basic` are a name and a task id and may hold `*`; `kind:rule` and `tag:nightly` say what they are.
    """
    method, _, value = selector.rpartition(":")
    if method == "kind":
        return pack.kind == value
    if method == "tag":
        return any(fnmatchcase(tag, value) for tag in pack.tags)
    return fnmatchcase(pack.name, value) or fnmatchcase(pack.task_id, value)


def choose(packs: Iterable[Pack], select: Sequence[str] = (), exclude: Sequence[str] = ()) -> tuple[Pack, ...]:
    """The packs that any of `select` means (all, where it is empty) and none of `exclude`.

    A quarantined pack whose tags cannot be read is kept by every `tag:` of select: hidden, it would be forgotten. As
    long as there is one, no tag counts as matching no pack: the broken pack may be the one that bears it.

    Raises:
        ConfigurationError: a selector matches no pack, or is of an unknown form; all such at once.
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
        what = f"no such selector: {', '.join(unknown)}"
        raise ConfigurationError(what, "select or exclude", "write a name, kind:metric, kind:rule or tag:<tag>")
    idle = [text for text in selectors if not any(_kept(text, pack) for pack in packs)]
    if idle:
        known = ", ".join(pack.task_id for pack in packs) or "none"
        raise ConfigurationError(f"no pack matches {', '.join(idle)}", "select or exclude", f"the packs are: {known}")
