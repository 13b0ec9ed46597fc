"""Versions of packs, compared as PEP 440 compares them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from packaging.version import Version

_SHAPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]{0,63}")


def is_version(text: str) -> bool:
    """Whether a text may be a version, PEP 440 or not (`master`): no spaces or colons, at most 64 characters."""
    return _SHAPE.fullmatch(text) is not None


def parse(text: str | None) -> Version | None:
    """The PEP 440 version in a text, or None if it is not one, such as `master`."""
    try:
        return Version(text or "")
    except ValueError:  # InvalidVersion, or a number of thousands of digits
        return None


def newest_not_above(wanted: str, available: Iterable[str]) -> str | None:
    """The available version to use for the wanted one: the same, else the newest lower one.

    Only PEP 440 versions are compared, as versions and not as texts (0.10 > 0.9). Any other text matches only itself:
    `master` is never a fallback, and has none.
    """
    texts = list(available)
    if wanted in texts:
        return wanted
    limit = parse(wanted)
    if limit is None:
        return None
    candidates = [(version, text) for text in texts if (version := parse(text)) is not None and version <= limit]
    return max(candidates)[1] if candidates else None  # of 1.0 and 1.0.0, always the same one


def newest_above(wanted: str, available: Iterable[str]) -> str | None:
    """The newest available version above the wanted one.

    If neither can be compared with the other (`master`), any other version counts as above.
    """
    limit = parse(wanted)
    parsed = [(parse(text), text) for text in available if text != wanted]
    above = [(version, text) for version, text in parsed if limit and version and version > limit]
    others = [text for version, text in parsed if not (limit and version)]
    return max(above)[1] if above else max(others, default=None)
