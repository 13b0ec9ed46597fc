"""Configuration form: the fields that a pack's config.schema.json gives, as far as a form can show them.

Whatever a form cannot show is changed as JSON. The fields are only a help: what is stored is checked in full by
admin/configuration.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from hdm_airflow.packs.conf import sounds_secret

_MOST = 300  # fields
_LONGEST = 2_000  # characters of a text of the schema
_CHOICES = 200  # of a list of allowed values
_REFERENCES = 8  # in a row
_HUGE = 1e300
_SIMPLE = ("string", "number", "integer", "boolean")
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "maxItems")


@dataclass(frozen=True, kw_only=True)
class Field:
    """One field."""

    key: str
    title: str
    description: str
    kind: str  # string, number, integer, boolean, enum, array, object; '' if a form cannot show it
    default: str | None = None  # as JSON; None if the schema states none
    choices: list[str] = field(default_factory=list)  # of an enum, as JSON
    items: str = ""  # the kind of an array's values
    bounds: dict[str, float] = field(default_factory=dict)
    required: bool = False
    secret: bool = False  # whether its value is hidden
    fields: list[Field] = field(default_factory=list)  # of an object


@dataclass(frozen=True, kw_only=True)
class Form:
    """The form of a pack's configuration; without fields, there is none."""

    fields: list[Field]


def fields(schema: dict[str, Any] | None) -> Form:
    """The form that a schema gives. A pack may ship any: what cannot be read gives no field."""
    return Form(fields=list(_fields(schema or {}, schema or {}, deep=False, secret=False)))


def _fields(schema: Any, root: dict[str, Any], *, deep: bool, secret: bool) -> Iterator[Field]:
    properties, required = schema.get("properties"), schema.get("required")
    if not isinstance(properties, dict):
        return
    needed = {one for one in required if isinstance(one, str)} if isinstance(required, list) else set()
    for key, one in list(properties.items())[:_MOST]:
        yield _field(key, one, root, deep=deep, required=key in needed, secret=secret or sounds_secret(key))


def _field(key: str, stated: Any, root: dict[str, Any], *, deep: bool, required: bool, secret: bool) -> Field:
    said = stated if isinstance(stated, dict) else {}
    schema = _followed(said, root)
    shape = next((one for one in _alternatives(schema, root) if _kind(one, deep=deep, root=root)), {})
    kind = _kind(shape, deep=deep, root=root)
    default = next((_text(one["default"]) for one in (said, schema, shape) if "default" in one), None)
    return Field(
        key=key,
        title=_said("title", said, schema, shape),
        description=_said("description", said, schema, shape),
        kind=kind,
        default=None if secret else default,
        choices=_choices(shape) if kind == "enum" else [],
        items=_type(_followed(shape["items"], root)) if kind == "array" else "",
        bounds={
            name: shape[name]
            for name in _BOUNDS
            if isinstance(shape.get(name), (int, float))
            and not isinstance(shape[name], bool)
            and abs(shape[name]) < _HUGE  # neither is a number that JSON has no sign for
        },
        required=required,
        secret=secret,
        fields=list(_fields(shape, root, deep=True, secret=secret)) if kind == "object" else [],
    )


def _followed(schema: Any, root: dict[str, Any]) -> dict[str, Any]:
    """The schema that a `$ref` within the same file means, with what stands beside it."""
    for _ in range(_REFERENCES):
        if not isinstance(schema, dict):
            return {}
        reference = schema.get("$ref")
        if not isinstance(reference, str) or not reference.startswith("#/"):
            return schema
        target: Any = root
        for step in reference[2:].split("/"):
            target = target.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(target, dict) else None
        beside = {name: one for name, one in schema.items() if name != "$ref"}
        schema = {**target, **beside} if isinstance(target, dict) else {}
    return {}


def _alternatives(schema: dict[str, Any], root: dict[str, Any]) -> list[dict[str, Any]]:
    """The schema itself, or those of which one must fit: the first that a form can show is its field."""
    found = [schema]
    for keyword in ("anyOf", "oneOf"):
        several = schema.get(keyword)
        if isinstance(several, list):
            found += [_followed(one, root) for one in several]
    return found


def _kind(schema: dict[str, Any], *, deep: bool, root: dict[str, Any]) -> str:
    if _choices(schema):
        return "enum"
    kind = _type(schema)
    if kind in _SIMPLE:
        return kind
    if kind == "array":
        return "array" if _type(_followed(schema.get("items"), root)) in _SIMPLE else ""
    properties = schema.get("properties")
    return "object" if kind == "object" and not deep and isinstance(properties, dict) and properties else ""


def _type(schema: dict[str, Any]) -> str:
    """The type; of several, the one beside null."""
    stated = schema.get("type")
    types = [one for one in stated if one != "null"] if isinstance(stated, list) else [stated]
    return types[0] if len(types) == 1 and isinstance(types[0], str) else ""


def _choices(schema: dict[str, Any]) -> list[str]:
    """The allowed values as JSON. Of those that differ in upper and lower case or quotes, the first."""
    stated = [schema["const"]] if "const" in schema else schema.get("enum")
    if not isinstance(stated, list) or len(stated) > _CHOICES:
        return []
    if any(isinstance(one, (dict, list)) for one in stated):
        return []
    found: dict[str, str] = {}
    for text in map(_text, stated):
        found.setdefault(text.strip('"').lower(), text)
    return list(found.values())


def _said(name: str, *schemas: dict[str, Any]) -> str:
    text = next((one[name] for one in schemas if isinstance(one.get(name), str)), "")
    return text[:_LONGEST]


def _text(value: Any) -> str:
    """The value as JSON."""
    try:
        return json.dumps(value, ensure_ascii=False)
    except (RecursionError, ValueError):
        return "null"
