"""Secrets: hides the values of a configuration whose keys look like secrets, and puts them back.

A configuration is not the place for secrets, but it may have some. Where one is shown, a placeholder stands for each
value at or below a key such as `password` or `api_key`. If the text comes back to be stored, the stored value takes the
placeholder's place; the rest of the text stays as the person wrote it.

A value is found again by its place: the keys above it, and in a list the entry as it is shown, because entries move. In
text that is not JSON, each line `word: value` or `word = value` counts, and the word is the place.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hdm_airflow.errors import ConfigurationError
from hdm_airflow.packs.conf import sounds_secret

PLACEHOLDER = "(hidden: unchanged)"
#: In JSON that has been parsed before, these are all there are.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}:,]|[^\s\[\]{}:,"]+')
_LINE = re.compile(r"""^[ \t]*(?:-[ \t]+)?["']?([\w.-]+)["']?[ \t]*[:=][ \t]*(\S(?:[^\r\n]*\S)?)""", re.MULTILINE)

_Path = tuple[str | int, ...]


@dataclass(frozen=True, kw_only=True)
class _Value:
    """One value of a text."""

    path: _Path  # keys of objects, positions in lists
    start: int
    end: int
    raw: str  # as it is written
    is_secret: bool  # whether a key above it looks like a secret, and the value says something
    is_placeholder: bool


def hide(text: str) -> str:
    """The text with the placeholder for each secret; unchanged if it has none."""
    values, is_json = _values(text)
    return _replaced(text, {one: _written(PLACEHOLDER, is_json=is_json) for one in values if one.is_secret})


def hide_value(value: Any, *, below_secret: bool = False) -> Any:
    """The same for a value of JSON that is nested no deeper than a configuration may be."""
    if isinstance(value, dict):
        return {
            key: hide_value(one, below_secret=below_secret or sounds_secret(str(key))) for key, one in value.items()
        }
    if isinstance(value, list):
        return [hide_value(one, below_secret=below_secret) for one in value]
    says_something = isinstance(value, (str, int, float)) and not isinstance(value, bool) and value != ""
    return PLACEHOLDER if below_secret and says_something else value


def hide_configuration(value: Any) -> Any:
    """The same for a configuration as a pack gets it: text that is not JSON has its secrets in lines."""
    return hide(value) if isinstance(value, str) else hide_value(value)


def hidden(text: str) -> list[str]:
    """The secrets that `hide` hides, to compare them; never to show them."""
    return [one.raw for one in _values(text)[0] if one.is_secret]


def has_placeholder(text: str) -> bool:
    """Whether a placeholder stands for a value in the text."""
    return any(one.is_placeholder for one in _values(text)[0])


def restore(text: str, stored: str | None, where: str = "VALUE") -> str:
    """The text with the stored value for each placeholder.

    Args:
        text: as the person wrote it.
        stored: what is stored now; None if nothing is.
        where: what the text is, for the error.

    Raises:
        ConfigurationError: if nothing is stored at the place of a placeholder, or several values may be meant.
    """
    values, is_json = _values(text)
    waiting = [one for one in values if one.is_placeholder]
    if not waiting:
        return text
    known = _known(stored or "", is_json=is_json)
    places, found = _Places(text, is_json=is_json), {}
    for one in waiting:
        meant = next((known[place] for place in places.of(one.path) if place in known), set())
        if len(meant) != 1:
            at = ".".join(map(str, one.path))
            what = f"{PLACEHOLDER!r} stands for a value that is not stored" + (f" at {at}" if at else "")
            raise ConfigurationError(what, where, "write the value itself, or remove the key")
        (found[one],) = meant
    return _replaced(text, found)


def _known(stored: str, *, is_json: bool) -> dict[tuple[str, ...], set[str]]:
    """Place -> the stored values, as they are written there; none if the text was JSON and is not now, or became it."""
    values, was_json = _values(stored)
    found: dict[tuple[str, ...], set[str]] = {}
    places = _Places(stored, is_json=was_json)
    for one in values if is_json == was_json else ():
        if one.is_secret or one.is_placeholder:
            for place in places.of(one.path):
                found.setdefault(place, set()).add(one.raw)
    return found


class _Places:
    """The names of the places in a text."""

    def __init__(self, text: str, *, is_json: bool) -> None:
        self._shown = json.loads(hide(text)) if is_json else None
        self._canonical: dict[int, str] = {}  # id of a part of it -> its text: a list may have thousands of secrets

    def of(self, path: _Path) -> Iterator[tuple[str, ...]]:
        """The names of one place, the surest first: in an unchanged list its position, else the entry it is in."""
        by_position, by_entry = ["position"], ["entry"]
        part: Any = self._shown
        for step in path:
            if isinstance(step, int):
                by_position += [self._text(part), str(step)]
                part = part[step]
                by_entry.append(self._text(part))
            else:
                by_position.append(step)
                by_entry.append(step)
                part = part[step] if part is not None else None
        yield tuple(by_position)
        yield tuple(by_entry)

    def _text(self, part: Any) -> str:
        if id(part) not in self._canonical:
            self._canonical[id(part)] = json.dumps(part, sort_keys=True)
        return self._canonical[id(part)]


def _values(text: str) -> tuple[list[_Value], bool]:
    """The values of a text, and whether it is JSON."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return list(_values_of_lines(text)), False
    return list(_values_of_json(text)), True


def _values_of_json(text: str) -> Iterator[_Value]:
    path: list[str | int] = []
    secret: list[bool] = []  # for each step of the path: whether it or one above it looks like a secret
    is_key = False
    for token in _TOKEN.finditer(text):
        sign = token[0]
        if sign == "{":
            path.append("")
            secret.append(bool(secret and secret[-1]))
            is_key = True
        elif sign == "[":
            path.append(0)
            secret.append(bool(secret and secret[-1]))
        elif sign in "]}":
            path.pop()
            secret.pop()
            is_key = False
        elif sign == ",":
            step = path[-1]
            if isinstance(step, int):
                path[-1] = step + 1
            else:
                is_key = True
        elif sign == ":":
            is_key = False
        elif is_key:
            path[-1] = json.loads(sign)
            secret[-1] = bool(len(secret) > 1 and secret[-2]) or sounds_secret(str(path[-1]))
        else:
            says_something = sign not in {"true", "false", "null", '""'}
            yield _Value(
                path=tuple(path),
                start=token.start(),
                end=token.end(),
                raw=sign,
                is_secret=says_something and bool(secret and secret[-1]),
                is_placeholder=sign.startswith('"') and json.loads(sign) == PLACEHOLDER,
            )


def _values_of_lines(text: str) -> Iterator[_Value]:
    for line in _LINE.finditer(text):
        raw = line[2]
        yield _Value(
            path=(line[1],),
            start=line.start(2),
            end=line.end(2),
            raw=raw,
            is_secret=sounds_secret(line[1]),
            is_placeholder=raw == PLACEHOLDER,
        )


def _written(value: str, *, is_json: bool) -> str:
    return json.dumps(value) if is_json else value


def _replaced(text: str, new: dict[_Value, str]) -> str:
    parts, end = [], 0
    for one, raw in new.items():  # in the order of the text
        parts += [text[end : one.start], raw]
        end = one.end
    return "".join([*parts, text[end:]])
