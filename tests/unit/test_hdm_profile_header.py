"""hdm_profile: what its C header declares is what the Python modules declare, number by number and field by field."""

from __future__ import annotations

import ctypes
import re
import struct
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hdm_profile import MOST_LEVELS, NEVER, across, engine, failures, kinds, labels, libsqlite
from hdm_profile.stats import LAYOUT, unpacked

SOURCES = Path(__file__).parents[2] / "dags" / "packs" / "metric-packs" / "basic" / "native" / "src"
PUBLIC = (SOURCES / "hdm_profile.h").read_text()
INTERNAL = (SOURCES / "internal.h").read_text()
ENUMS = {"hdm_kind": kinds, "hdm_pg_wire": kinds, "hdm_my_wire": kinds, "hdm_any_wire": kinds, "hdm_failure": failures}
CODES = {"uint64_t": "Q", "int64_t": "q", "double": "d", "uint32_t": "I", "uint16_t": "H"}  # of the module struct
#: Pointers may be declared as any of these.
POINTERS = {ctypes.c_void_p, ctypes.c_char_p, ctypes.py_object}
VALUES: dict[str, Any] = {
    "enum hdm_failure": ctypes.c_uint32,
    "uint32_t": ctypes.c_uint32,
    "uint16_t": ctypes.c_uint16,
    "uint64_t": ctypes.c_uint64,
    "int64_t": ctypes.c_int64,
    "size_t": ctypes.c_size_t,
    "int": ctypes.c_int,
    "double": ctypes.c_double,
    "void": None,
}


def bare(text: str) -> str:
    """C without comments, in one line."""
    return re.sub(r"\s+", " ", re.sub(r"/\*.*?\*/", " ", text, flags=re.DOTALL))


def enumerated(name: str) -> dict[str, int]:
    """The names of an enum with their numbers, without the prefix that C needs."""
    body = re.search(rf"enum {name} {{(.*?)}};", bare(PUBLIC))
    assert body, name
    names = [one.strip() for one in body[1].split(",")]
    assert all(re.fullmatch(r"HDM_[A-Z0-9_]+", one) for one in names), "a number of its own: teach this function"
    return {one.removeprefix("HDM_"): number for number, one in enumerate(names)}


def fields(name: str) -> list[tuple[str, str, int]]:
    """The fields of a struct: type, name, and how many of them there are."""
    body = re.search(rf"struct {name} {{(.*?)}};", bare(PUBLIC))
    assert body, name
    found = []
    for line in filter(None, map(str.strip, body[1].split(";"))):
        kind, _, names = line.partition(" ")
        for one in names.split(","):
            field = re.fullmatch(r"(\w+)(?:\[(\d+)\])?", one.strip())
            assert field, one
            found.append((kind, field[1], int(field[2] or 1)))
    return found


def functions() -> dict[str, tuple[str, list[str]]]:
    """What the library exports: result and arguments, as types without their names."""
    found = {}
    for result, name, arguments in re.findall(r"HDM_API ([^;(]*?[ *])(hdm_\w+)\(([^;]*)\);", bare(PUBLIC)):
        types = [re.sub(r"\w+$", "", one.strip()).strip() for one in arguments.split(",")]
        found[name] = result.strip(), ["*" if one.startswith(("hdm_get", "hdm_free")) else one for one in types]
    return found


def same_type(declared: Any, kind: str) -> bool:
    """Whether ctypes passes what C takes."""
    if kind.endswith("*"):
        return declared in POINTERS
    return declared is VALUES[kind]


def test_kinds_wires_and_failures_have_the_same_numbers() -> None:
    """All of them, and Python has no others."""
    for module in (kinds, failures):
        ours = {name: value for name, value in vars(module).items() if name.isupper() and not name.startswith("_")}
        names = [name for name, one in ENUMS.items() if one is module]
        assert ours == {key: number for name in names for key, number in enumerated(name).items()}
    assert set(ENUMS) == set(re.findall(r"enum (\w+) {", bare(PUBLIC)))


def test_constants_are_the_same() -> None:
    """Each `#define` with a number."""
    found = dict(re.findall(r"^#define (HDM_\w+) (.*)$", PUBLIC, flags=re.MULTILINE))
    found.pop("HDM_API")
    numbers = {
        name: eval(text.replace("INT64_MAX", "2**63 - 1").replace("INT64_C", ""))  # noqa: S307  # of our own header
        for name, text in found.items()
    }
    assert numbers == {
        "HDM_NEVER": NEVER,
        "HDM_MOST_LEVELS": MOST_LEVELS,
        "HDM_DAYS": across.DAYS,
        "HDM_MOST_CELLS": across.MOST_CELLS,
        "HDM_NO_DATES": labels.NO_DATES,
        "HDM_NO_DATETIMES": labels.NO_DATETIMES,
    }


def test_statistics_arrive_under_their_names() -> None:
    """A row of different numbers, laid out as in C; `characters` becomes the mean length."""
    declared = fields("hdm_stats")
    layout = struct.Struct("@" + "".join(f"{number}{CODES[kind]}" for kind, _, number in declared))
    assert layout.size == LAYOUT.size
    numbers = count(1)
    row = {name: [next(numbers) for _ in range(many)] for _, name, many in declared}
    (stats,) = unpacked(layout.pack(*(number for one in row.values() for number in one)))
    mean_length = row.pop("characters")[0] / stats.values
    assert stats.mean_length == mean_length
    assert row.pop("classes") == list(stats.classes)
    assert {name: getattr(stats, name) for name in row} == {name: one[0] for name, one in row.items()}
    assert {*row, "mean_length", "classes"} == set(stats._fields)


def test_levels_have_the_same_layout() -> None:
    """Name, type and place of each field."""
    declared = [(name, VALUES[kind]) for kind, name, _ in fields("hdm_level")]
    level = engine.LEVELS._type_
    assert declared == list(level._fields_)
    assert ctypes.sizeof(level) == struct.calcsize("@" + "".join(CODES[kind] for kind, *_ in fields("hdm_level")))


@pytest.mark.parametrize(
    ("name", "layout", "answer"),
    [
        ("hdm_newest", across.NEWEST, across.Newest),
        ("hdm_pair", across.PAIR, across.Pair),
        ("hdm_cell", across.CELL, across.Cell),
    ],
)
def test_answers_have_the_same_layout(name: str, layout: struct.Struct, answer: Any) -> None:
    """Type, place and name of each field."""
    declared = fields(name)
    assert layout.format == "@" + "".join(CODES[kind] for kind, *_ in declared)
    assert answer._fields == tuple(field for _, field, _ in declared)


def test_python_declares_no_other_functions() -> None:
    """And the header's are all found here."""
    ours = {
        name for library in (engine.ENGINE, engine.ENGINE_WITH_LOCK) for name in vars(library) if name[:4] == "hdm_"
    }
    assert ours == set(functions())
    assert len(ours) == PUBLIC.count("\nHDM_API ")


@pytest.mark.parametrize("name", sorted(functions()))
def test_function_is_declared_as_in_c(name: str) -> None:
    """The types of its result and its arguments, once."""
    result, arguments = functions()[name]
    (declared,) = [vars(library)[name] for library in (engine.ENGINE, engine.ENGINE_WITH_LOCK) if name in vars(library)]
    assert same_type(declared.restype, result)
    assert len(declared.argtypes) == len(arguments)
    assert all(map(same_type, declared.argtypes, arguments)), (declared.argtypes, arguments)


def test_internal_functions_are_not_exported() -> None:
    """What internal.h declares is for the C files alone."""
    names = set(re.findall(r"\b(hdm_\w+)\(", bare(INTERNAL)))
    assert len(names) > 20
    assert not [name for name in names if hasattr(engine.ENGINE, name)]


@pytest.mark.parametrize(
    ("name", "ours"), [("hdm_python", engine.PYTHON_FUNCTIONS), ("hdm_sqlite", libsqlite.FUNCTIONS)]
)
def test_functions_of_others_come_in_the_same_order(name: str, ours: tuple[str, ...]) -> None:
    """The header names each in a comment."""
    body = re.search(rf"struct {name} {{(.*?)\n}};", PUBLIC, flags=re.DOTALL)
    assert body
    assert tuple(re.findall(r"/\* (\w+)", body[1])) == ours
