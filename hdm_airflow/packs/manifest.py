"""The manifest of a pack: properties.json as a pydantic model, from which the JSON Schema is made."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, WithJsonSchema

from hdm_airflow.packs.limits import Limits
from hdm_airflow.packs.versions import is_version

Kind = Literal["metric", "rule"]

#: A task id has at most 250 characters in Airflow; `hdm-<environment>.mp_` and, in quarantine, `_2` need the rest.
NAME_LIMIT = 190
_NAME = re.compile(rf"\w[\w.-]{{0,{NAME_LIMIT - 1}}}")
_DEPENDENCY_LIMIT = 500  # characters: a number of thousands of digits is not a version
_COMMAND = r"^[a-z][a-z0-9-]{0,49}$"
#: Airflow's own variables hold its keys and connections: no manifest may ask for them.
_VARIABLE = r"^(?!_*[Aa][Ii][Rr][Ff][Ll][Oo][Ww])[A-Za-z_][A-Za-z0-9_]*$"


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        what = f"a name has at most {NAME_LIMIT} letters, digits, '_', '-' and '.'"
        raise ValueError(f"{what}, and does not start with '-' or '.'")
    return text


def _version(text: str) -> str:
    if not is_version(text):
        raise ValueError("a version has at most 64 letters, digits and . _ + ! -, for example 1.0.0")
    return text


def _variable(text: str) -> str:
    if not re.match(_VARIABLE, text):
        raise ValueError("a variable's name has letters, digits and '_', and is not one of Airflow's own")
    return text


def _distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise ValueError(f"{', '.join(map(repr, doubled))} appears twice")
    return names


def _dependency(text: str) -> str:
    parse_dependency(text)
    return text


def parse_dependency(text: str) -> tuple[str, SpecifierSet]:
    """The pack name and the PEP 440 specifiers of a `depends_on` entry such as `basic>=0.3`.

    Raises:
        ValueError: if it is not a name with version specifiers.
    """
    match = re.fullmatch(r"\s*([\w.-]+)\s*([<>=!~].*)?", text) if len(text) <= _DEPENDENCY_LIMIT else None
    try:
        return _name(match[1]), SpecifierSet(match[2] or "")  # type: ignore[index]  # None: the same fault
    except (TypeError, ValueError, InvalidSpecifier):
        raise ValueError(f"{text[:80]!r} is not a pack name with version specifiers, such as 'basic>=0.3'") from None


Name = Annotated[str, AfterValidator(_name)]
#: Without zero bytes: Airflow's database refuses them.
Text = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[^\x00]*$")]


#: A version, never a path: the program at that path would run before any sandbox.
Python = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True,
        pattern=r"^((python|cpython|pypy|graalpy)[@-]?)?[0-9][0-9A-Za-z_.+-]*$|^(cpython|pypy|graalpy)$|"
        r"^[<>=!~][0-9A-Za-z.<>=!~, *+-]*$",
    ),
]

#: pydantic's own patterns have no look-ahead, so the schema is given here.
Variable = Annotated[str, AfterValidator(_variable), WithJsonSchema({"type": "string", "pattern": _VARIABLE})]

Command = Annotated[str, StringConstraints(pattern=_COMMAND)]


class Manifest(BaseModel):
    """properties.json: the five keys of the standard, and optional keys of this provider.

    Source: the HDM pack standard (name, version, author, description, mainscript).
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", title="HDM pack manifest (properties.json)")

    name: Name = Field(description="The pack's name: unique among the packs of its kind.", examples=["basic"])
    version: Annotated[str, AfterValidator(_version)] = Field(
        description="The pack's version, preferably a PEP 440 version.", examples=["1.0.0"]
    )
    author: Text = Field("", description="The pack's author.")
    description: Text = Field("", description="What it does, in one line.")
    mainscript: Text = Field("", description="The program that the bootstrap script starts; informative only.")
    kind: Kind | None = Field(None, description="metric or rule; by default, the folder decides.")
    depends_on: tuple[Annotated[str, AfterValidator(_dependency)], ...] | None = Field(
        None,
        strict=False,
        description="Metric packs that must have succeeded before, with PEP 440 specifiers.",
        examples=[["basic>=0.3"]],
    )
    tags: tuple[Name, ...] = Field((), strict=False, description="Words to select packs by.")
    timeout: float | None = Field(
        None, gt=0, le=31_536_000, description="Time limit of a run in seconds, at most a year; a longer run fails."
    )
    retries: int | None = Field(None, ge=0, le=1000, description="Number of retries by Airflow.")
    pool: Text | None = Field(None, min_length=1, max_length=250, description="Airflow pool of the task.")
    queue: Text | None = Field(None, min_length=1, max_length=250, description="Celery queue of the task.")
    python: Python | None = Field(
        None,
        description="Version of the Python that runs the pack, or version specifiers.",
        examples=["3.12", ">=3.10"],
    )
    partial: bool = Field(False, description="Whether a rule pack may judge incomplete metrics.")
    backfill: bool = Field(False, description="Whether a metric pack can measure a past date.")
    variables: tuple[Variable, ...] = Field(
        (), strict=False, description="Names of the worker's environment variables that the pack may see."
    )
    limits: Limits | None = Field(None, description="Limits on the machine resources of a run.")
    commands: Annotated[tuple[Command, ...], AfterValidator(_distinct)] = Field(
        (),
        strict=False,
        max_length=100,
        description="Names of the commands that the pack understands.",
        examples=[["check", "suggest"]],
        json_schema_extra={"uniqueItems": True},
    )


REQUIRED = tuple(name for name, field in Manifest.model_fields.items() if field.is_required())


def json_schema() -> dict[str, Any]:
    """The JSON Schema of properties.json, as published in docs/reference/properties.schema.json."""
    schema = Manifest.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return schema
