"""docs/reference/operators.md says what signatures and docstrings say.

`python tests/airflow/test_operators_reference.py` writes these parts of the page anew, between their two marks. What
stands outside of the marks is written by hand, and kept.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hdm_airflow import Catalog, HdmDag, HdmTaskGroup, PackOperator
from hdm_airflow.settings import Settings

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "operators.md"
BEGIN = "<!-- {}, made from the code: python tests/airflow/test_operators_reference.py -->\n"
END = "<!-- made until here -->\n"
CONSTRUCTED = (HdmDag, HdmTaskGroup, PackOperator)
MADE: dict[str, type] = {made.__name__: made for made in (*CONSTRUCTED, Catalog)}

Sections = dict[str, dict[str, str]]  # Args or Raises -> name -> meaning


def explained(thing: object) -> tuple[str, Sections]:
    """A docstring: the text before its sections, and the entries of each section."""
    text, *rest = re.split(r"^(Args|Raises|Returns):\n", inspect.getdoc(thing) or "", flags=re.MULTILINE)
    sections: Sections = {}
    for name, body in zip(rest[::2], rest[1::2], strict=True):
        entries = re.findall(r"^ {4}(\S[^:\n]*): (.*(?:\n {8}.*)*)", body, re.MULTILINE)
        sections[name] = {entry: " ".join(meaning.split()) for entry, meaning in entries}
    return text.strip(), sections


def cell(text: str) -> str:
    """For a table: without the full stop of docstrings, and in small letters but for a name."""
    first = text[0] if text.startswith("Airflow") else text[0].lower()
    return f"{first}{text[1:].removesuffix('.')}".replace("|", "\\|")


def parameters(function: Callable[..., Any]) -> Iterator[inspect.Parameter]:
    """Those that a caller names."""
    return (one for one in inspect.signature(function).parameters.values() if one.name not in {"self", "cls"})


def row(made: type, parameter: inspect.Parameter, meanings: dict[str, str]) -> str:
    """An argument of a constructor."""
    if parameter.kind is inspect.Parameter.VAR_KEYWORD:
        name = f"**{parameter.name}"
        base = next(one for one in made.__mro__ if not one.__module__.startswith("hdm_airflow."))
        meaning, left_out = meanings.get(name, f"as of Airflow's `{base.__name__}`"), ""
    else:
        name, meaning, left_out = parameter.name, meanings[parameter.name], default(made, parameter)
    return f"| `{name}` | {cell(meaning)} | {left_out} |".replace("|  |", "| |")


def default(made: type, parameter: inspect.Parameter) -> str:
    """What holds when an argument is left out. Those of a Dag and of a group come from the settings then."""
    if parameter.default is inspect.Parameter.empty:
        return "required"
    field = Settings.model_fields.get(parameter.name)
    if parameter.default is None and field and issubclass(made, (HdmDag, HdmTaskGroup)):
        stated = field.get_default(call_default_factory=True)
        text = json.dumps(stated, default=lambda one: one.model_dump(exclude_none=True))
        return f"the [setting](settings.md), else `{text}`"
    if parameter.default is None or isinstance(parameter.default, (bool, int, float, str)):
        return f"`{json.dumps(parameter.default) if isinstance(parameter.default, str) else parameter.default}`"
    return f"`{type(parameter.default).__name__}()`"


def constructor(made: type) -> str:
    """A class that a Dag file makes an object of."""
    text, sections = explained(made)
    lines = [text, "", "| argument | meaning | default |", "|---|---|---|"]
    lines += [row(made, one, sections["Args"]) for one in parameters(made.__init__)]
    return "\n".join([*lines, *(f"\nRaises `{error}` {why}" for error, why in sections.get("Raises", {}).items())])


def members(made: type) -> str:
    """A class whose objects come from one of its methods: its methods, then fields, then properties."""
    text, _ = explained(made)
    comments = dict(re.findall(r"^ {4}(\w+): .*?  # (.*)$", inspect.getsource(made), re.MULTILINE))
    lines = [text, "", "| member | meaning |", "|---|---|"]
    public = {name: one for name, one in vars(made).items() if not name.startswith("_")}
    for name, one in public.items():
        if isinstance(one, classmethod) or inspect.isfunction(one):
            function = getattr(made, name)
            told, sections = explained(function)
            above = made.__name__ if isinstance(one, classmethod) else ""
            parts = [told, *(f"`{argument}`: {meaning}" for argument, meaning in sections.get("Args", {}).items())]
            parts += [f"Raises `{error}` {why}" for error, why in sections.get("Raises", {}).items()]
            lines.append(f"| `{above}.{name}({called(function)})` | {cell(' '.join(parts))} |")
    lines += [f"| `.{field.name}` | {cell(comments[field.name])} |" for field in dataclasses.fields(made)]
    lines += [f"| `.{name}` | {cell(explained(one)[0])} |" for name, one in public.items() if isinstance(one, property)]
    return "\n".join(lines)


def called(function: Callable[..., Any]) -> str:
    """How a method is called: names and defaults, without types."""
    words = []
    for one in parameters(function):
        if one.kind is inspect.Parameter.KEYWORD_ONLY and "*" not in words:
            words.append("*")
        words.append(one.name if one.default is inspect.Parameter.empty else f"{one.name}={one.default!r}")
    return ", ".join(words)


def anew(page: str) -> str:
    """The page with its generated parts rewritten."""
    for name, made in MADE.items():
        begin = BEGIN.format(name)
        part = constructor(made) if made in CONSTRUCTED else members(made)
        page, count = re.subn(
            rf"{re.escape(begin)}.*?{re.escape(END)}",
            lambda _, text=f"{begin}\n{part}\n\n{END}": text,
            page,
            flags=re.DOTALL,
        )
        assert count == 1, f"the page has no place for {name}: {begin}"
    return page


def test_page_says_what_signatures_and_docstrings_say() -> None:
    """Whoever changes an argument changes the page with it."""
    page = PAGE.read_text("utf-8")
    assert page == anew(page), "write it anew: python tests/airflow/test_operators_reference.py"


@pytest.mark.parametrize("made", CONSTRUCTED)
def test_docstring_explains_the_arguments_that_there_are(made: type) -> None:
    """All of them, and none that is gone."""
    arguments = {one.name for one in parameters(made.__init__) if one.kind is not inspect.Parameter.VAR_KEYWORD}
    assert {name for name in explained(made)[1]["Args"] if not name.startswith("**")} == arguments


def test_catalog_explains_what_it_has() -> None:
    """Its fields by comments, its methods and properties by docstrings."""
    named = re.findall(r"^\| `(?:Catalog)?\.(\w+)", members(Catalog), re.MULTILINE)
    assert set(named) == {name for name in dir(Catalog) if not name.startswith("_")} | {
        field.name for field in dataclasses.fields(Catalog)
    }
    assert all(meaning.strip() for meaning in re.findall(r"^\| `.*` \| (.*) \|$", members(Catalog), re.MULTILINE))


def test_public_names_of_the_package_are_on_the_page() -> None:
    """There is no other page for them."""
    import hdm_airflow

    assert {name for name in hdm_airflow.__all__ if not name.startswith("_")} == set(MADE)


if __name__ == "__main__":
    PAGE.write_text(anew(PAGE.read_text("utf-8")), "utf-8")
