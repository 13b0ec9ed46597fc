"""The catalogue of messages: both languages say the same, and every text is used."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path
from string import Formatter

import pytest

import hdm_airflow.notify
from hdm_airflow.base.alerts import LEVELS
from hdm_airflow.base.news import CHANGES
from hdm_airflow.notify.texts import LANGUAGES, Texts, catalogue

ROOM = Path(hdm_airflow.notify.__file__).parent
#: Beginnings of keys that are put together -> their ends.
MADE = {
    "count-": (*CHANGES, "not-judged"),
    "head-": (*CHANGES, "not-judged"),
    "level-": LEVELS,
    "closed-": ("retired", "gone", "usual", "deactivated"),
    "cause-": (
        *("no-run", "never-run", "failed", "skipped", "incomplete"),
        *("no-metrics", "no-history", "not-applicable", "error"),
    ),
    "filter-": ("pack", "endpoint", "level", "class", "tags", "owner"),
    "title": ("", "-undated"),
    "subject": ("", "-undated"),
}
#: Chosen by name from a mapping.
NAMED = {"before", "now", "limit", "rows", "patients"}


def forms(text: str | dict[str, str]) -> list[str]:
    return list(text.values()) if isinstance(text, dict) else [text]


@pytest.mark.parametrize("key", sorted(catalogue()))
def test_every_text_is_there_in_each_language_with_the_same_values(key: str) -> None:
    """A value that is left out in one language is not told there."""
    found = catalogue()[key]
    assert set(found) == set(LANGUAGES)
    names = {
        tuple(sorted({name for _, name, _, _ in Formatter().parse(form) if name}))
        for language in LANGUAGES
        for form in forms(found[language])
    }
    assert len(names) == 1
    assert all(set(text) == {"one", "other"} for text in found.values() if isinstance(text, dict))


def test_every_key_is_used_and_every_used_key_is_there() -> None:
    """A text that nobody reads is a text that nobody mends."""
    code = "".join(path.read_text("utf-8") for path in ROOM.glob("*.py"))
    stated = set(re.findall(r'text\(\s*f?"([a-z-]+[a-z])"', code))
    made = {begin + end for begin, ends in MADE.items() for end in ends}
    assert stated | made | NAMED == set(catalogue())


def test_texts_without_accents_are_readable_ascii() -> None:
    """For a base in an encoding of its own; what packs say is left as it is."""
    text = Texts("fr", ascii=True)
    assert text("closed-deactivated") == "clos : le controle ne s'execute plus sur cette base"
    assert text("open", count=1200) == "1 200 incidents sont ouverts au total."
    assert text("now", value="é") == "maintenant : é"
    found = [form for texts in catalogue().values() for form in forms(texts["fr"])]
    left = {sign for form in found for sign in form if not sign.isascii()}
    assert left <= set("éàèêôùÉ\u2019"), "look whether these have a plain form"


def test_numbers_and_plurals_are_those_of_the_language() -> None:
    """French counts zero as one."""
    english, french = map(Texts, LANGUAGES)
    found = [text("open", count=count) for text, count in product((english, french), (0, 1, 1200))]
    assert found == [
        "0 incidents are open in all.",
        "1 incident is open in all.",
        "1,200 incidents are open in all.",
        "0 incident est ouvert au total.",
        "1 incident est ouvert au total.",
        "1\u202f200 incidents sont ouverts au total.",
    ]
