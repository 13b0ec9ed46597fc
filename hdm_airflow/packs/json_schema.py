"""JSON Schema: checks a pack's schema, and values against it. Runs as a process of its own, with limits.

A pattern can take years, and references can multiply work, so a process that can be ended does all of it
(`config_schema.py` starts it). Standard library only, because it starts before each configured pack: importing the
package `jsonschema` takes 0.3 seconds.

Source: JSON Schema 2020-12, without `unevaluated...`, dynamic references, and references to other documents.
"""

from __future__ import annotations

import json
import math
import re
import resource
import sys
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from functools import partial
from typing import Any

from hdm_airflow.packs.json_keywords import (
    LONG,
    ONE_SCHEMA,
    SCHEMA_LISTS,
    SCHEMA_MAPS,
    TYPES,
    faults,
    is_number,
    short,
)

CPU_SECONDS = 2
_MEMORY = 1_000_000_000  # bytes
_MANY = 10  # problems of one value; names in one message

Problem = dict[str, Any]  # at, message; missing: True if only a key of the value itself is missing


class Schema:
    """One schema document.

    Args:
        document: as JSON gives it.
    """

    def __init__(self, document: Any) -> None:
        self.document = document

    # The schema itself ----------------------------------------------------------------------------------------------

    def faults(self) -> list[Problem]:
        """What is wrong with the schema, and which of its defaults and examples do not fit it."""
        if not isinstance(self.document, dict):
            return [_problem((), "must be an object")]
        found = []
        checked = {id(schema) for _, schema in self._schemas()}
        for path, schema in self._schemas():
            found += [_problem((*path, *place), text) for place, text in faults(schema)]
            reference = schema.get("$ref") if isinstance(schema, dict) else None
            if isinstance(reference, str) and id(self._target(reference)) not in checked:
                text = f"{short(reference)} is not a schema in this file: write #/$defs/NAME"
                found.append(_problem((*path, "$ref"), text))
        return found[:_MANY] or self._misfits()[:_MANY]

    def _misfits(self) -> list[Problem]:
        found = []
        for path, schema in self._schemas():
            if not isinstance(schema, dict):
                continue
            values: list[tuple[tuple[Any, ...], Any]] = [
                (("default",), schema[key]) for key in schema if key == "default"
            ]
            values += [(("examples", number), value) for number, value in enumerate(schema.get("examples", ()))]
            for place, value in values:
                for at, text, _ in self._errors(schema, value, ()):
                    whole = f"{_path(at)} {text}" if at else text
                    found.append(_problem((*path, *place), f"does not fit the schema: {whole}"))
                    break
        return found

    def _schemas(self) -> Iterator[tuple[tuple[Any, ...], Any]]:
        """Each schema in the document, with its path."""
        waiting: list[tuple[tuple[Any, ...], Any]] = [((), self.document)]  # a list, not recursion: JSON nests deeper
        while waiting:
            path, schema = waiting.pop()
            yield path, schema
            if not isinstance(schema, dict):
                continue
            for key, value in schema.items():
                if key in ONE_SCHEMA:
                    waiting.append(((*path, key), value))
                elif key in SCHEMA_LISTS and isinstance(value, list):
                    waiting += [((*path, key, number), one) for number, one in enumerate(value)]
                elif key in SCHEMA_MAPS and isinstance(value, dict):
                    waiting += [((*path, key, name), one) for name, one in value.items()]

    def _target(self, reference: str) -> Any:
        """The schema that a reference means; None if there is none in this document."""
        if not re.fullmatch(r"#(/.*)?", reference, re.DOTALL):
            return None
        found = self.document
        for part in reference.split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            if isinstance(found, dict):
                found = found.get(name)
            elif isinstance(found, list) and name.isdecimal() and len(name) < _MANY and int(name) < len(found):
                found = found[int(name)]
            else:
                return None
        return found if isinstance(found, (dict, bool)) else None

    # Values ---------------------------------------------------------------------------------------------------------

    def problems(self, value: Any) -> list[Problem]:
        """Why a value does not fit; none if it does. No message quotes the value, which may be a password."""
        found = []
        for path, text, missing in self._errors(self.document, value, ()):
            problem = _problem(path, text, missing=missing and not path)
            if problem not in found:
                found.append(problem)
            if len(found) == _MANY:
                break
        return found

    def _fits(self, schema: Any, value: Any) -> bool:
        return next(self._errors(schema, value, ()), None) is None

    def _errors(self, schema: Any, value: Any, path: tuple[Any, ...]) -> Iterator[_Error]:
        if isinstance(schema, bool):
            if not schema:
                yield path, "is not allowed", False
            return
        if "type" in schema and not _is_of(value, schema["type"]):
            yield path, f"must be {_words(schema)}", False
            return  # what else is wrong follows from it
        if "$ref" in schema:
            yield from self._errors(self._target(schema["$ref"]), value, path)
        yield from self._combined(schema, value, path)
        yield from _simple(schema, value, path)
        if isinstance(value, dict):
            yield from self._of_object(schema, value, path)
        elif isinstance(value, list):
            yield from self._of_list(schema, value, path)

    def _combined(self, schema: dict[str, Any], value: Any, path: tuple[Any, ...]) -> Iterator[_Error]:
        for one in schema.get("allOf", ()):
            yield from self._errors(one, value, path)
        for key in ("anyOf", "oneOf"):
            choices = schema.get(key, ())
            fitting = sum(self._fits(one, value) for one in choices)
            if choices and not fitting:
                yield from self._none_fits(choices, value, path)
            elif fitting > 1 and key == "oneOf":
                yield path, f"fits {fitting} of the schema's alternatives (oneOf) instead of one", False
        if "not" in schema and self._fits(schema["not"], value):
            yield path, f"must not be {_words(schema['not'])}", False
        if "if" in schema:
            branch = "then" if self._fits(schema["if"], value) else "else"
            if branch in schema:
                yield from self._errors(schema[branch], value, path)

    def _none_fits(self, choices: list[Any], value: Any, path: tuple[Any, ...]) -> Iterator[_Error]:
        """The errors of the only alternative of the value's type, else all alternatives in words."""
        plain = [self._target(one["$ref"]) if isinstance(one, dict) and "$ref" in one else one for one in choices]
        alike = [one for one in plain if isinstance(one, dict) and "type" in one and _is_of(value, one["type"])]
        if len(alike) == 1:
            yield from self._errors(choices[plain.index(alike[0])], value, path)
            return
        errors = [list(self._errors(one, value, path)) for one in choices]
        missing = any(all(error[2] for error in found) for found in errors)
        words = " or ".join(dict.fromkeys(_words(one) for one in plain))
        yield path, f"must be {words}", missing

    def _of_object(self, schema: dict[str, Any], value: dict[str, Any], path: tuple[Any, ...]) -> Iterator[_Error]:
        for text in _missing(schema, value):
            yield path, text, True
        for key, one in schema.get("dependentSchemas", {}).items():
            if key in value:
                yield from self._errors(one, value, path)
        for key, inner in value.items():
            yield from self._of_key(schema, key, inner, path)
            if "propertyNames" in schema and not self._fits(schema["propertyNames"], key):
                yield (*path, key), "is not an allowed name", False
        yield from _counted(schema, len(value), path, ("minProperties", "maxProperties"), "keys")

    def _of_key(self, schema: dict[str, Any], key: str, inner: Any, path: tuple[Any, ...]) -> Iterator[_Error]:
        named, other = schema.get("properties", {}), schema.get("additionalProperties", True)
        matching = [one for pattern, one in schema.get("patternProperties", {}).items() if re.search(pattern, key)]
        matching += [named[key]] if key in named else []
        for one in matching:
            yield from self._errors(one, inner, (*path, key))
        if not matching and other is False:
            yield (*path, key), f"is unknown: {_suggestion(key, named)}", False
        elif not matching:
            yield from self._errors(other, inner, (*path, key))

    def _of_list(self, schema: dict[str, Any], value: list[Any], path: tuple[Any, ...]) -> Iterator[_Error]:
        first = schema.get("prefixItems", [])
        for number, inner in enumerate(value):
            one = first[number] if number < len(first) else schema.get("items", True)
            yield from self._errors(one, inner, (*path, number))
        if "contains" in schema:
            count = sum(self._fits(schema["contains"], inner) for inner in value)
            least, most = schema.get("minContains", 1), schema.get("maxContains", math.inf)
            if not least <= count <= most:
                yield path, f"must contain {_words(schema['contains'])} {_range(least, most)}", False
        if schema.get("uniqueItems"):
            texts = [_canonical(inner) for inner in value]
            if len(set(texts)) < len(texts):
                yield path, "must not contain the same element twice", False
        yield from _counted(schema, len(value), path, ("minItems", "maxItems"), "elements")


_Error = tuple[tuple[Any, ...], str, bool]  # path, message, whether only a key is missing there


def _simple(schema: dict[str, Any], value: Any, path: tuple[Any, ...]) -> Iterator[_Error]:
    """The keywords that look at a value without schemas in them."""
    if "enum" in schema and not any(_canonical(one) == _canonical(value) for one in schema["enum"]):
        yield path, f"must be {_choices(schema['enum'])}", False
    if "const" in schema and _canonical(schema["const"]) != _canonical(value):
        yield path, f"must be {_choices([schema['const']])}", False
    if isinstance(value, str):
        yield from _counted(schema, len(value), path, ("minLength", "maxLength"), "characters")
        if "pattern" in schema and not re.search(schema["pattern"], value):
            yield path, f"must match the pattern {short(schema['pattern'])}", False
    if is_number(value):
        wrong = [
            "minimum" in schema and not value >= schema["minimum"],
            "maximum" in schema and not value <= schema["maximum"],
            "exclusiveMinimum" in schema and not value > schema["exclusiveMinimum"],
            "exclusiveMaximum" in schema and not value < schema["exclusiveMaximum"],
            "multipleOf" in schema and not _is_multiple(value, schema["multipleOf"]),
        ]
        if any(wrong):
            yield path, f"must be {_words(schema)}", False


def _missing(schema: dict[str, Any], value: dict[str, Any]) -> Iterator[str]:
    for name in schema.get("required", ()):
        if name not in value:
            yield f"lacks {short(name)}"
    for key, names in schema.get("dependentRequired", {}).items():
        for name in names if key in value else ():
            if name not in value:
                yield f"lacks {short(name)}, which {short(key)} requires"


def _counted(
    schema: dict[str, Any], count: int, path: tuple[Any, ...], keys: tuple[str, str], noun: str
) -> Iterator[_Error]:
    least, most = schema.get(keys[0], 0), schema.get(keys[1], math.inf)
    if not least <= count <= most:
        yield path, f"must have {_range(least, most)} {noun}", count < least and keys[0] == "minProperties"


# Words ----------------------------------------------------------------------------------------------------------------


def _words(schema: Any) -> str:
    """What a value must be, for a message: `a whole number from 1 to 64`."""
    if not isinstance(schema, dict):
        return "something else" if schema is False else "anything"
    if "enum" in schema or "const" in schema:
        return _choices(schema["enum"] if "enum" in schema else [schema["const"]])
    kinds = schema.get("type")
    kinds = [kinds] if isinstance(kinds, str) else kinds or []
    text = " or ".join(TYPES[kind][0] for kind in kinds) or "a value that fits the schema"
    if {"number", "integer"} & set(kinds):
        text += _bounds(schema)
    if "pattern" in schema:
        text += f" that matches {short(schema['pattern'])}"
    return text


def _bounds(schema: dict[str, Any]) -> str:
    parts = []
    if "minimum" in schema and "maximum" in schema:
        parts.append(f"from {schema['minimum']} to {schema['maximum']}")
    elif "minimum" in schema:
        parts.append(f"of at least {schema['minimum']}")
    elif "maximum" in schema:
        parts.append(f"of at most {schema['maximum']}")
    if "exclusiveMinimum" in schema:
        parts.append(f"greater than {schema['exclusiveMinimum']}")
    if "exclusiveMaximum" in schema:
        parts.append(f"less than {schema['exclusiveMaximum']}")
    if "multipleOf" in schema:
        parts.append(f"that is a multiple of {schema['multipleOf']}")
    return "".join(f" {part}" for part in parts)


def _choices(values: list[Any]) -> str:
    texts = [short(json.dumps(value, ensure_ascii=False)) for value in values]
    if len(texts) == 1:
        return texts[0]
    return f"one of {', '.join(texts[:_MANY])}{', ...' if len(texts) > _MANY else ''}"


def _suggestion(key: str, known: dict[str, Any]) -> str:
    names = sorted(known)
    close = get_close_matches(key[:LONG].lower(), [name.lower() for name in names], n=1)
    meant = next((name for name in names if close and name.lower() == close[0]), None)
    if meant is not None:
        return f"did you mean {short(meant)}?"
    more = ", ..." if len(names) > _MANY else ""
    return f"known keys are {', '.join(map(short, names[:_MANY]))}{more}" if names else "no key is allowed here"


def _range(least: float, most: float) -> str:
    if most == math.inf:
        return f"at least {least}"
    return f"{least} to {most}" if least else f"at most {most}"


def _path(path: tuple[Any, ...]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{short(part)}" for part in path)
    return text.lstrip(".") if path and not isinstance(path[0], int) else text


def _problem(path: tuple[Any, ...], message: str, *, missing: bool = False) -> Problem:
    return {"at": _path(path), "message": message, "missing": missing}


# Values of JSON -----------------------------------------------------------------------------------------------------


def _is_of(value: Any, kinds: Any) -> bool:
    return any(TYPES[kind][1](value) for kind in ([kinds] if isinstance(kinds, str) else kinds))


def _is_multiple(value: float, of: float) -> bool:
    if isinstance(value, int) and isinstance(of, int):
        return value % of == 0
    try:
        share = value / of
    except OverflowError:
        return False
    return math.isfinite(share) and share == int(share)


def _canonical(value: Any) -> str:
    """The same text for values that JSON Schema considers equal: 1 and 1.0, but not true."""
    return json.dumps(_plain(value), sort_keys=True)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return {key: _plain(inner) for key, inner in value.items()} if isinstance(value, dict) else value


def main() -> None:
    """Answer a request on stdin: one line with the schema's faults, then one per value with its problems."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    request = json.load(sys.stdin)  # texts of JSON: one that is nested too deeply must not affect the others
    if not _answer(lambda: Schema(json.loads(request["schema"])).faults()):
        schema = Schema(json.loads(request["schema"]))
        for text in request["values"]:
            _answer(partial(_problems, schema, text))


def _problems(schema: Schema, text: str) -> list[Problem]:
    return schema.problems(json.loads(text))


def _answer(find: Callable[[], list[Problem]]) -> list[Problem]:
    try:
        found = find()
    except RecursionError:
        found = [_problem((), "is nested too deeply to be checked, or the schema refers to itself without end")]
    # At once: if this process is ended, the number of lines says which value took too long.
    sys.stdout.write(f"{json.dumps(found)}\n")
    sys.stdout.flush()
    return found
