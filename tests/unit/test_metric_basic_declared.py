"""Each metric of pack basic is declared once, and whatever follows from its declaration is there.

`.venv/bin/python -m tests.unit.test_metric_basic_declared` rewrites create.sql and the documentation.
"""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hdm_profile import Stats

from tests.unit.metric_basic_harness import column, measured, pack, settings, stats_of

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
PACK = ROOT / "dags" / "packs" / "metric-packs" / "basic"
SCRIPT, README = PACK / "create-table" / "create.sql", PACK / "Readme.md"
PAGE = ROOT / "docs" / "reference" / "metric-pack-basic.md"
ORACLE = ROOT / "tests" / "integration" / "sql_oracle.py"
METRICS = pack.declared.METRICS
OF_COLUMNS = [one for one in METRICS if one.describes == "column" and (one.compared or one.stat)]
TYPES = {"text", "smallint", "bigint", "double precision", "boolean", "timestamp", "date"}
PREFIXES = ("delta_", "evol_", "mean7_", "mean28_", "weekday_")
KINDS = ("integer", "float", "text", "date", "datetime", "time", "boolean", "other")

# What is generated ------------------------------------------------------------------------------------------


def script() -> str:
    """create.sql, with one row per metric."""
    rows = [
        f"    ({text(one.describes)}, {text(one.name)}, {one.tier}, {text(one.type)}, {text(one.compared)},"
        f" {str(one.is_value).lower()},\n        {text(one.about)})"
        for one in METRICS
    ]
    return between(SCRIPT, "-- generated: begin\n", "-- generated: end\n", ",\n".join(rows) + "\n")


def text(value: str) -> str:
    """As a literal of SQL."""
    return "'" + value.replace("'", "''") + "'"


def readme() -> str:
    """The pack's Readme, with the metrics that are null to protect patients."""
    found = README.read_text("utf-8")
    for names, reason in (
        (pack.metrics.REVEALING, "the column is a flag stored"),
        (pack.metrics.SINGLE_VALUES, "the column's name suggests"),
    ):
        listed = ", ".join(f"`{name}`" for name in names)
        found, count = re.subn(rf"^\| [^|]* \| {reason}", f"| {listed} | {reason}", found, flags=re.MULTILINE)
        assert count == 1, reason
    return found


def page() -> str:
    """The reference page, with a table of all metrics."""
    rows = ["| tier | metric | what it is | quoted in alerts |", "|---|---|---|---|"]
    rows += [f"| {one.tier} | `{one.name}` | {one.about} | {'no' if one.is_value else 'yes'} |" for one in METRICS]
    return between(PAGE, "<!-- generated: begin -->\n", "<!-- generated: end -->\n", "\n".join(rows) + "\n")


def between(path: Path, begin: str, end: str, body: str) -> str:
    """The file with another text between two marks."""
    head, _, rest = path.read_text("utf-8").partition(begin)
    _, _, tail = rest.partition(end)
    assert tail or rest.endswith(end), f"{path.name} has lost its marks"
    return head + begin + body + end + tail


GENERATED = {SCRIPT: script, README: readme, PAGE: page}


@pytest.mark.parametrize("path", GENERATED, ids=lambda path: path.name)
def test_script_and_documentation_say_what_is_declared(path: Path) -> None:
    """Rewritten by `.venv/bin/python -m tests.unit.test_metric_basic_declared`."""
    assert path.read_text("utf-8") == GENERATED[path]()


def test_whatever_needs_a_metric_names_it() -> None:
    """The engine has its statistic, and plain SQL computes it again."""
    oracle = ORACLE.read_text("utf-8")
    for one in OF_COLUMNS:
        assert not one.stat or one.stat in Stats._fields, one.name
        if one.compared != "property":
            assert f'"{one.name}"' in oracle, f"{one.name}: compute it in {ORACLE.name}, too"


def test_the_recipe_for_a_new_metric_names_the_files() -> None:
    """Those that exist, and all that are generated."""
    recipe = (ROOT / "CONTRIBUTING.md").read_text("utf-8").split("**A metric of pack `basic`.**")[1]
    recipe = recipe.split("\n**")[0]
    paths = [
        ROOT / name if (ROOT / name).exists() else PACK / name for name in re.findall(r"`([\w./-]+\.\w+)`", recipe)
    ]
    assert [path for path in paths if not path.is_file()] == []
    assert len(set(paths) - {Path(__file__), ROOT / "docs" / "explanation" / "health-data.md"}) == 6 + len(GENERATED)
    assert set(GENERATED) <= set(paths)


# Declarations -----------------------------------------------------------------------------------------------


def test_declarations_are_sound() -> None:
    """One per metric of each kind of object; no name could be taken for a comparison of another metric."""
    assert len({(one.describes, one.name) for one in METRICS}) == len(METRICS)
    for one in METRICS:
        assert one.type in TYPES, one.name
        assert bool(one.stat) is bool(one.kinds), one.name
        assert one.compared in {"", "property", "count", "measure", "moment"}, one.name
        assert (one.compared == "moment") is (one.type == "timestamp" and one.describes == "column"), one.name
        assert one.compared != "count" or one.type == "bigint", one.name
        assert one.compared != "measure" or one.type == "double precision", one.name
        assert not one.name.startswith(PREFIXES), one.name
        assert one.about.strip() == one.about != "", one.name
        assert "\n" not in one.about, one.name
        assert "|" not in one.about, one.name


def test_a_metric_says_what_it_reveals_or_does_not_exist() -> None:
    """There is no default: neither for a declaration, nor for a metric that has none."""
    with pytest.raises(TypeError, match="reveals"):
        pack.declared.Metric("no_such_metric", "column", 4, "double precision", "measure", about="none")
    with pytest.raises(KeyError, match="no_such_metric"):
        pack.metrics._published({"no_such_metric": 1.0}, column(), stats_of([1.0], "float"), settings())


def test_what_is_measured_is_declared_and_the_other_way_round() -> None:
    """Of each kind of column."""
    found = {name for kind in KINDS for name in measured(column(kind=kind), [])}
    assert found == {one.name for one in OF_COLUMNS}


# Laws of what is declared -----------------------------------------------------------------------------------

chance = random.Random(20260131)  # noqa: S311  # not a secret
NUMBERS = [round(chance.uniform(1, 9), 6) for _ in range(101)] + [5.0] * 4
LETTERS = ["ab", "cd", "ef gh", "i"] * 3 + ["jk"]

ALIKE: dict[str, tuple[Callable[[Any], Any], list[Any]]] = {
    "float": (lambda value: value * 3 + 331_000_000, NUMBERS),
    "integer": (lambda value: value * 3 + 331_000_000, [round(value * 1e6) for value in NUMBERS]),
    "text": (lambda value: value.translate(str.maketrans("abcdefghijk", "lmnopqrstuv")), LETTERS),
}


@pytest.mark.parametrize("kind", ALIKE)
def test_what_alerts_quote_does_not_depend_on_the_values(kind: str) -> None:
    """If it changes when all values are replaced by others of the same form, it reveals them: declare so."""
    other, values = ALIKE[kind]
    found, replaced = (measured(column(kind=kind), some) for some in (values, list(map(other, values))))
    for one in OF_COLUMNS:
        if not one.is_value and one.name in found:
            assert found[one.name] == replaced[one.name], f"{one.name} changes with the values"


@pytest.mark.parametrize("count", [3, 21, 101, 1001])
def test_a_value_of_one_patient_is_declared_as_one(count: int) -> None:
    """A total of many different numbers is none of them; a percentile is one, wherever its place is a whole number."""
    values = [chance.uniform(1, 9) ** 3 for _ in range(count)]
    found = measured(column(kind="float"), values)
    for one in OF_COLUMNS:
        if isinstance(found.get(one.name), float) and found[one.name] in values:
            assert one in map(pack.metrics.OF_COLUMNS.get, pack.metrics.SINGLE_VALUES), (
                f"{one.name} is one of the values"
            )


def test_no_personal_column_publishes_a_number_out_of_its_range() -> None:
    """Nobody learns a telephone number, nor one of a patient; a mean of them is the only number that is near."""
    values = [331_000_000 + i * i for i in range(1001)]
    for name in ("phone", "ipp", "mrn", "zip_code", "birth_date"):
        found = measured(column(name), values)
        near = {
            metric
            for metric, value in found.items()
            if isinstance(value, (int, float)) and values[0] <= value <= values[-1]
        }
        assert near == {"mean_num_var"}


if __name__ == "__main__":
    for path, content in GENERATED.items():
        path.write_text(content(), "utf-8")
