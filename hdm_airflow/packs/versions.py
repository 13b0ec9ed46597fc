"""Versions of packs, compared as PEP 440 compares them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from packaging.version import Version

_SHAPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]{0,63}")


def is_version(text: str) -> bool:
    """Whether text can name a version at all, PEP 440 or not (`master`): no spaces, no colons, at most 64 signs."""
    return _SHAPE.fullmatch(text) is not None


def parse(text: str | None) -> Version | None:
    """The PEP 440 version that text stands for, or None where it stands for none, as `master` does."""
    try:
        return Version(text or "")
    except ValueError:  # InvalidVersion, or a number of thousands of digits
        return None


def newest_not_above(wanted: str, available: Iterable[str]) -> str | None:
    """The text in available that serves for the version wanted: itself, else the newest lower one.

    Only PEP 440 versions are compared, as versions and not as texts (0.10 > 0.9). Any other text serves only for
    itself: `master` is never a fallback, and has none.
    """
    texts = list(available)
    if wanted in texts:
        return wanted
    limit = parse(wanted)
    if limit is None:
        return None
    candidates = [(version, text) for text in texts if (version := parse(text)) is not None and version <= limit]
    return max(candidates)[1] if candidates else None  # of 1.0 and 1.0.0 always the same one
