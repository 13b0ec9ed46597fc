"""Texts: what pages say, in the languages that we have. One file of texts per page: key -> language -> text."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

LANGUAGES = ("en", "fr")

_FOLDER = Path(__file__).with_name("texts")


@cache
def catalogue() -> dict[str, dict[str, str | dict[str, str]]]:
    """Every text: `page.key` -> language -> the text, or `one` and `other` if it depends on `count`."""
    return {
        f"{file.stem}.{key}": one
        for file in sorted(_FOLDER.glob("*.json"))
        for key, one in json.loads(file.read_text("utf-8")).items()
    }


def chosen(*wishes: str) -> str:
    """The first language of ours among those that a visitor wishes, such as `fr-CH`; else English."""
    for wish in wishes:
        language = wish.strip().partition(";")[0].replace("_", "-").partition("-")[0].lower()
        if language in LANGUAGES:
            return language
    return LANGUAGES[0]


class Texts:
    """The texts in one language.

    Args:
        language: one of LANGUAGES.
    """

    def __init__(self, language: str) -> None:
        self.language = language

    def __call__(self, key: str, **values: Any) -> str:
        """A text with its values.

        Args:
            key: `page.key`.
            values: by the names in its braces; `count` also chooses between one and several.
        """
        found = catalogue()[key][self.language]
        if isinstance(found, dict):
            found = found["one" if values["count"] in self._singular else "other"]
        return found.format(**{name: self._written(value) for name, value in values.items()})

    def number(self, value: int) -> str:
        """A number with a separator between thousands, as the language writes it."""
        return f"{value:,}".replace(",", "\u202f" if self.language == "fr" else ",")

    def of(self, page: str) -> dict[str, Any]:
        """The texts of a page's script: those whose key begins with `js-`; without that."""
        start = f"{page}.js-"
        found = {key: one for key, one in catalogue().items() if key.startswith(start)}
        return {key.removeprefix(start): one[self.language] for key, one in found.items()}

    @property
    def _singular(self) -> tuple[int, ...]:
        return (0, 1) if self.language == "fr" else (1,)

    def _written(self, value: Any) -> Any:
        return self.number(value) if isinstance(value, int) and not isinstance(value, bool) else value
