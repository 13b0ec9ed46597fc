"""Configuration schema: a pack's config.schema.json, which declares the keys and values of its configuration."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hdm_airflow.packs import conf, files
from hdm_airflow.printable import printable

if TYPE_CHECKING:
    from hdm_airflow.packs.reader import Draft

FILE = "config.schema.json"
LIMIT = 100_000  # bytes; a schema of some hundred keys is smaller
_START = "import sys; sys.path.append(sys.argv[1]); from hdm_airflow.packs.json_schema import main; main()"
#: Without `site`, which takes longer than the check: it uses only the standard library and our own modules.
_COMMAND = (sys.executable, "-I", "-S", "-c", _START, str(Path(__file__).parents[2]))
_SECONDS = 10.0  # on the clock; the process limits its processor time to two
_STARTS = 3  # processes for one request: each value that takes too long ends one
_SHOWN = 5  # problems in a reason
#: Keywords that an empty object satisfies, whatever their values.
_OPTIONAL = {"$schema", "$id", "$comment", "$defs", "title", "description", "examples", "properties"} | {
    "patternProperties",
    "additionalProperties",
}
#: Stands for a value that Python cannot write as JSON: the checker cannot read it either.
_TOO_DEEP = "[" * 10_000
_TOO_LONG = "cannot be checked: a pattern or a reference of the schema takes too long, or too much memory"


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Why a value does not fit, or what is wrong with the schema."""

    at: str  # path of the key, such as windows[0].from; '' for the whole
    message: str  # never quotes the value
    missing: bool = False  # whether only a key of the configuration itself is missing

    def __str__(self) -> str:
        return f"{self.at} {self.message}" if self.at else f"the configuration {self.message}"


def read(folder: Path) -> dict[str, Any] | None:
    """The pack's schema; None if it has none.

    Args:
        folder: the pack's.

    Raises:
        files.Unreadable: if it cannot be read, or is not a JSON object.
    """
    try:
        text, _ = files.decode(files.read_bytes(folder / FILE, limit=LIMIT))
    except FileNotFoundError:
        return None
    return files.parse_object(text)[0]


def check(schema: dict[str, Any], values: Sequence[str]) -> tuple[list[Problem], list[list[Problem]]]:
    """Check a schema, and values against it, in a process that is ended if it takes too long.

    Args:
        schema: the schema.
        values: texts of JSON.

    Returns:
        What is wrong with the schema; and, if nothing is, the problems of each value, in their order.
    """
    found: list[list[Problem]] = []
    for _ in range(_STARTS):
        answers = _ask(schema, values[len(found) :])
        if not answers:
            return [Problem(at="", message=_TOO_LONG)], []
        if answers[0]:
            return answers[0], []
        found += answers[1:]
        if len(found) >= len(values):
            return [], found
        found.append([Problem(at="", message=_TOO_LONG)])
    return [], found + [[Problem(at="", message=_TOO_LONG)] for _ in values[len(found) :]]


def faults(schema: dict[str, Any] | None, values: Sequence[Any], *, parts: bool = False) -> list[str]:
    """Why each configuration does not fit, in one line; '' if it fits.

    If the schema itself is wrong, that is the fault of every configuration: a key that protects data may be mistyped.

    Args:
        schema: the pack's; None if it has none: everything fits.
        values: configurations.
        parts: they are parts of a configuration: other parts may hold the keys that are missing.
    """
    if schema is None:
        return ["" for _ in values]
    texts = [_text(value) for value in values]
    distinct = [text for text in dict.fromkeys(texts) if text != "{}" or not _accepts_nothing(schema)]
    if not distinct:
        return ["" for _ in values]
    wrong, found = check(schema, distinct)
    if wrong:
        return [f"the pack's {FILE} is wrong: {_sentence(wrong)}" for _ in values]
    reasons = {
        text: _sentence([one for one in problems if not (parts and one.missing)])
        for text, problems in zip(distinct, found, strict=True)
    }
    return [reasons.get(text, "") for text in texts]


def _text(value: Any) -> str:
    try:
        return json.dumps(value, sort_keys=True)
    except RecursionError:
        return _TOO_DEEP


def _accepts_nothing(schema: dict[str, Any]) -> bool:
    """Whether an empty configuration surely fits: most packs have none on most endpoints."""
    return schema.get("type", "object") == "object" and schema.keys() - {"type"} <= _OPTIONAL


def _sentence(problems: Collection[Problem]) -> str:
    texts = [str(problem) for problem in problems][:_SHOWN]
    more = [f"and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
    return "; ".join([*texts, *more])


def _ask(schema: dict[str, Any], values: Sequence[str]) -> list[list[Problem]]:
    """The answers of one process; fewer than values + 1 if it was ended."""
    request = json.dumps({"schema": json.dumps(schema), "values": list(values)}).encode()
    try:
        output = subprocess.run(
            _COMMAND, input=request, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=_SECONDS, check=False
        ).stdout
    except subprocess.TimeoutExpired as late:
        output = late.stdout or b""
    complete = [line for line in output.splitlines(keepends=True) if line.endswith(b"\n")]
    return [[Problem(**problem) for problem in json.loads(line)] for line in complete]


# Findings ------------------------------------------------------------------------------------------------------------


def inspect(draft: Draft) -> None:
    """Add the findings about the schema, and about the pack's own defaults."""
    try:
        schema = read(draft.path)
    except files.Unreadable as error:
        draft.add("config-schema-bad", f"{FILE} {error.reason}", error.hint, file=FILE, place=error.place)
        return
    if schema is None:
        return
    wrong, found = check(schema, ["{}", *_defaults(draft.path)])
    wrong = wrong or [problem for problem in found[0] if problem.message.startswith(("cannot be", "is nested"))]
    for problem in wrong:
        message = f"the schema {problem.message}" if not problem.at else problem.message
        hint = "correct it, or no configuration of the pack is accepted (docs: reference/pack-contract)"
        draft.add("config-schema-bad", message, hint, file=FILE, place=problem.at)
    for problem in found[1] if len(found) > 1 else ():
        if not problem.missing:
            hint = f"correct it, or declare it in {FILE}"
            draft.add("config-default-bad", problem.message, hint, file=conf.FILE, place=printable(problem.at))


def _defaults(folder: Path) -> Iterator[str]:
    try:
        yield json.dumps(conf.read(folder))
    except (FileNotFoundError, files.Unreadable, ValueError, RecursionError):
        return  # no defaults, or reported as conf-unreadable
