"""Texts: what messages say, in the languages that we have. One catalogue: key -> language -> text."""

from __future__ import annotations

import json
import unicodedata
from functools import cache
from pathlib import Path
from typing import Any

LANGUAGES = ("en", "fr")

_APOSTROPHE = "\u2019"
_FILE = Path(__file__).with_name("texts") / "digest.json"


@cache
def catalogue() -> dict[str, dict[str, str | dict[str, str]]]:
    """Every text: key -> language -> the text, or `one` and `other` if it depends on `count`."""
    found: dict[str, dict[str, str | dict[str, str]]] = json.loads(_FILE.read_text("utf-8"))
    return found


class Texts:
    """The texts in one language.

    Args:
        language: one of LANGUAGES.
        ascii: without accents and typographic signs, for an HDM base whose encoding may lack them.
    """

    def __init__(self, language: str, *, ascii: bool = False) -> None:  # noqa: A002  # what it is
        self.language = language
        self._ascii = ascii
        self._separator = "," if language == "en" else " " if ascii else "\u202f"
        self._singular = (0, 1) if language == "fr" else (1,)

    def __call__(self, key: str, **values: Any) -> str:
        """A text with its values.

        Args:
            key: of the catalogue.
            values: by the names in its braces; `count` also chooses between one and several.
        """
        found = catalogue()[key][self.language]
        if isinstance(found, dict):
            found = found["one" if values["count"] in self._singular else "other"]
        if self._ascii:
            found = unicodedata.normalize("NFKD", found.replace(_APOSTROPHE, "'")).encode("ascii", "ignore").decode()
        return found.format(**{name: self._written(value) for name, value in values.items()})

    def _written(self, value: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool):
            return f"{value:,}".replace(",", self._separator)
        return value
