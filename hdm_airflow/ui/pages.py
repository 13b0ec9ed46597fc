"""Pages: renders templates. Values are escaped, and a value that is missing is an error."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from hdm_airflow.ui import static

#: In the navigation: the name of the page, which is also that of its text, and its path.
NAVIGATION = (
    ("today", "/"),
    ("matrix", "/matrix"),
    ("configuration", "/configuration"),
    ("audit", "/audit"),
)

_FOLDER = Path(__file__).with_name("templates")
_SHORT = 160  # characters of a value in a list
#: What ends a script, or begins a comment in one. The data in it are JSON, where this is the same.
_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}


def render(template: str, **values: Any) -> str:
    """The text of a page."""
    return _templates().get_template(template).render(**values)


def data(value: Any) -> Markup:
    """JSON for a `<script type="application/json">`."""
    text = json.dumps(value, separators=(",", ":"))
    for character, escape in _ESCAPES.items():
        text = text.replace(character, escape)
    return Markup(text)  # noqa: S704  # nothing in it can end the element


def _twice(values: Iterable[str]) -> list[tuple[str, str]]:
    """Choices whose words are their values."""
    return [(one, one) for one in values]


def short(value: Any) -> str:
    """JSON in one line that is not long; a text that is no JSON as it is."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHORT else f"{text[:_SHORT]}…"


@cache
def _templates() -> Environment:
    templates = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    templates.globals.update(navigation=NAVIGATION, digest=static.digest(), twice=_twice)
    templates.filters.update(data=data, short=short)
    return templates
