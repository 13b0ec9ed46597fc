"""The manifest of a pack: properties.json as one pydantic model, from which the JSON Schema is published."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, WithJsonSchema

from hdm_airflow.packs.limits import Limits
from hdm_airflow.packs.versions import is_version

Kind = Literal["metric", "rule"]

#: Of the 250 signs that Airflow gives a task id; the rest is for `hdm-<environment>.mp_` and, in quarantine, `_2`.
NAME_LIMIT = 190
_NAME = re.compile(rf"\w[\w.-]{{0,{NAME_LIMIT - 1}}}")
_DEPENDENCY_LIMIT = 500  # signs: a number of thousands of digits is no version
#: Airflow's own variables hold its keys and connections: no manifest may ask for them.
_VARIABLE = r"^(?!_*[Aa][Ii][Rr][Ff][Ll][Oo][Ww])[A-Za-z_][A-Za-z0-9_]*$"


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        what = "a name takes letters, digits, '_', '-' and '.', starts with no '-' or '.'"
        raise ValueError(f"{what}, has at most {NAME_LIMIT} signs")
    return text


def _version(text: str) -> str:
    if not is_version(text):
        raise ValueError("a version takes letters, digits and . _ + ! -, at most 64 signs, for example 1.0.0")
    return text


def _variable(text: str) -> str:
    if not re.match(_VARIABLE, text):
        raise ValueError("a variable's name takes letters, digits and '_', and is none of Airflow's own")
    return text


def _dependency(text: str) -> str:
    parse_dependency(text)
    return text


def parse_dependency(text: str) -> tuple[str, SpecifierSet]:
    """The pack name and the PEP 440 specifiers of a `depends_on` entry such as `basic>=0.3`.

    Raises:
        ValueError: it is not a name with version specifiers.
    """
    match = re.fullmatch(r"\s*([\w.-]+)\s*([<>=!~].*)?", text) if len(text) <= _DEPENDENCY_LIMIT else None
    try:
        return _name(match[1]), SpecifierSet(match[2] or "")  # type: ignore[index]  # None: the same fault
    except (TypeError, ValueError, InvalidSpecifier):
        raise ValueError(f"{text[:80]!r} is not a pack name with version specifiers, such as 'basic>=0.3'") from None


Name = Annotated[str, AfterValidator(_name)]
#: No zero byte: Airflow's database refuses it.
Text = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[^\x00]*$")]


#: A version, never a path: that program would run before any sandbox.
Python = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True,
        pattern=r"^((python|cpython|pypy|graalpy)[@-]?)?[0-9][0-9A-Za-z_.+-]*$|^(cpython|pypy|graalpy)$|"
        r"^[<>=!~][0-9A-Za-z.<>=!~, *+-]*$",
    ),
]

#: pydantic's own patterns know no look-ahead: the schema is stated.
Variable = Annotated[str, AfterValidator(_variable), WithJsonSchema({"type": "string", "pattern": _VARIABLE})]


class Manifest(BaseModel):
    """properties.json: the norm's five keys, and optional ones that this provider acts on.

    Source: the HDM pack standard (name, version, author, description, mainscript).
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", title="HDM pack manifest (properties.json)")

    name: Name = Field(description="The pack's name: unique among the packs of its kind.", examples=["basic"])
    version: Annotated[str, AfterValidator(_version)] = Field(
        description="The pack's version, best one that PEP 440 can compare.", examples=["1.0.0"]
    )
    author: Text = Field("", description="Who wrote it.")
    description: Text = Field("", description="What it does, in one line.")
    mainscript: Text = Field("", description="The program that the bootstrap script starts; for readers only.")
    kind: Kind | None = Field(None, description="metric or rule; left out, the folder tells.")
    depends_on: tuple[Annotated[str, AfterValidator(_dependency)], ...] | None = Field(
        None,
        strict=False,
        description="Metric packs that must have finished well before, with PEP 440 specifiers.",
        examples=[["basic>=0.3"]],
    )
    tags: tuple[Name, ...] = Field((), strict=False, description="Words to select packs by.")
    timeout: float | None = Field(
        None, gt=0, le=31_536_000, description="Seconds after which a run is ended and has failed; at most a year."
    )
    retries: int | None = Field(None, ge=0, le=1000, description="How often Airflow tries again.")
    pool: Text | None = Field(None, min_length=1, description="Airflow pool of the task.")
    queue: Text | None = Field(None, min_length=1, description="Celery queue of the task.")
    python: Python | None = Field(
        None, description="Version of the Python that runs the pack, or specifiers of it.", examples=["3.12", ">=3.10"]
    )
    partial: bool = Field(False, description="A rule pack that may judge metrics some objects of which are missing.")
    backfill: bool = Field(False, description="A metric pack that can measure a past date.")
    variables: tuple[Variable, ...] = Field(
        (), strict=False, description="Names of the worker's environment variables that the pack may see."
    )
    limits: Limits | None = Field(None, description="How much of the machine a run may use at most.")


REQUIRED = tuple(name for name, field in Manifest.model_fields.items() if field.is_required())


def json_schema() -> dict[str, Any]:
    """The JSON Schema of properties.json, as published in docs/reference/properties.schema.json."""
    schema = Manifest.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return schema
