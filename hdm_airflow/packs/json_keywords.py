"""JSON Schema's keywords: which ones are supported, and what their values must be. Standard library only."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from typing import Any

LONG = 80  # characters of a name or an allowed value in a message

#: Type -> in words, and whether a value has it.
TYPES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "null": ("null", lambda value: value is None),
    "boolean": ("true or false", lambda value: isinstance(value, bool)),
    "integer": ("a whole number", lambda value: is_number(value) and (isinstance(value, int) or value.is_integer())),
    "number": ("a number", lambda value: isinstance(value, (int, float)) and not isinstance(value, bool)),
    "string": ("a text", lambda value: isinstance(value, str)),
    "array": ("a list", lambda value: isinstance(value, list)),
    "object": ("an object", lambda value: isinstance(value, dict)),
}

_IGNORED = {
    *("$schema", "$id", "$anchor", "$comment", "title", "description", "default", "examples", "deprecated"),
    *("readOnly", "writeOnly", "format", "contentEncoding", "contentMediaType", "contentSchema"),
}
ONE_SCHEMA = {"additionalProperties", "propertyNames", "items", "contains", "not", "if", "then", "else"}
SCHEMA_LISTS = {"allOf", "anyOf", "oneOf", "prefixItems"}
SCHEMA_MAPS = {"$defs", "definitions", "properties", "patternProperties", "dependentSchemas"}
_COUNTS = {
    *("minLength", "maxLength", "minItems", "maxItems", "minContains", "maxContains"),
    *("minProperties", "maxProperties"),
}
_NUMBERS = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}
_OTHERS = {"type", "enum", "const", "required", "dependentRequired", "pattern", "uniqueItems", "$ref"}
_KEYWORDS = sorted(_IGNORED | ONE_SCHEMA | SCHEMA_LISTS | SCHEMA_MAPS | _COUNTS | _NUMBERS | _OTHERS)


def faults(schema: Any) -> Iterator[tuple[tuple[Any, ...], str]]:
    """What is wrong with one schema, without the schemas in it: place, message."""
    if isinstance(schema, bool):
        return
    if not isinstance(schema, dict):
        yield (), "must be a schema: an object, true or false"
        return
    for key, value in schema.items():
        if key not in _KEYWORDS:
            close = get_close_matches(key, _KEYWORDS, n=1)
            yield (key,), f"is not a supported keyword{f': did you mean {close[0]}?' if close else ''}"
        elif text := _fault(key, value):
            yield (key,), text


def _fault(key: str, value: Any) -> str:
    """What is wrong with the value of a keyword; '' if nothing is."""
    if key in SCHEMA_LISTS:
        return "" if isinstance(value, list) and value else "must be a list of schemas"
    if key in SCHEMA_MAPS:
        if not isinstance(value, dict):
            return "must be an object with a schema for each name"
        return next((text for name in value if key == "patternProperties" and (text := _bad_pattern(name))), "")
    if key in _COUNTS:
        return "" if TYPES["integer"][1](value) and value >= 0 else "must be a whole number of at least 0"
    if key in _NUMBERS:
        usable = is_number(value) and math.isfinite(value) and (key != "multipleOf" or value > 0)
        return "" if usable else "must be a number" + (" greater than 0" if key == "multipleOf" else "")
    return _FAULTS_OF[key](value) if key in _FAULTS_OF else ""


def _bad_type(value: Any) -> str:
    kinds = value if isinstance(value, list) else [value]
    known = kinds and all(isinstance(kind, str) and kind in TYPES for kind in kinds)
    return "" if known else f"must be one of {', '.join(TYPES)}, or a list of them"


def _bad_pattern(value: Any) -> str:
    if not isinstance(value, str):
        return "must be a regular expression"
    try:
        re.compile(value)
    except (re.error, RecursionError, OverflowError) as error:
        return f"is not a regular expression: {short(str(error))}"
    return ""


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


_FAULTS_OF: dict[str, Callable[[Any], str]] = {
    "type": _bad_type,
    "enum": lambda value: "" if isinstance(value, list) and value else "must be a list of values",
    "required": lambda value: "" if _is_names(value) else "must be a list of names",
    "dependentRequired": lambda value: (
        ""
        if isinstance(value, dict) and all(map(_is_names, value.values()))
        else "must be an object with a list of names for each name"
    ),
    "pattern": _bad_pattern,
    "uniqueItems": lambda value: "" if isinstance(value, bool) else "must be true or false",
    "examples": lambda value: "" if isinstance(value, list) else "must be a list of values",
    "$ref": lambda value: "" if isinstance(value, str) else "must be a text such as #/$defs/NAME",
}


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def short(text: str) -> str:
    shown = "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text[:LONG])
    return shown + ("..." if len(text) > LONG else "")
