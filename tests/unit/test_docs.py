"""The documentation matches the code: links, files, the map, variables, tables, code that compiles."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from psycopg import pq

from hdm_airflow.packs.pack import Pack
from hdm_airflow.runner.job import _PASSED_ON, BaseAccess, Command, Job, Target
from hdm_airflow.runner.workspace import Workspace

ROOT = Path(__file__).parents[2]
SKIPPED = {".venv", ".demo", ".git", "build", "dist"}
PAGES = sorted(
    path
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("dags/**/*.md"))
    if not SKIPPED & set(path.relative_to(ROOT).parts)
)
BY_NAME = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
AGENTS = (ROOT / "AGENTS.md").read_text("utf-8")


def prose(page: Path) -> str:
    """A page without its code blocks."""
    return re.sub(r"^ *```.*?^ *```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The anchors of a page, as code hosts derive them from headings."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def table(text: str, heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without the head."""
    below = re.split(rf"^#+ {re.escape(heading)}$", text, flags=re.MULTILINE)[1]
    (rows,) = re.findall(r"^\|.*\|\n\|[-|]+\|\n((?:\|.*\|\n)+)", below, re.MULTILINE)[:1]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows.splitlines()]


@BY_NAME
def test_every_relative_link_and_image_leads_somewhere(page: Path) -> None:
    """Pages that are moved take their readers along."""
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        path, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", path):
            continue
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            dead.append(target)
    assert not dead


def test_every_page_of_the_documentation_is_in_its_index() -> None:
    """Readers cannot find a page that no list names."""
    index = (ROOT / "docs/README.md").read_text("utf-8")
    pages = {page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").glob("*/*.md")}
    assert pages == set(re.findall(r"\]\(([^)#]+\.md)\)", index))


def test_no_page_names_a_test_that_is_not_there() -> None:
    """`tests/unit/test_gate.py`, and the table of faults with file::function."""
    for page in PAGES:
        text = page.read_text("utf-8")
        for path in re.findall(r"\b(?:tests|hdm_airflow|demo|benchmarks)/[\w/.]+\.(?:py|sql|json)\b", text):
            assert (ROOT / path).exists(), f"{page.name}: {path}"
        for path, function in re.findall(r"`(\w+/test_\w+\.py)::(test_\w+)`", text):
            assert f"def {function}(" in (ROOT / "tests" / path).read_text("utf-8"), f"{page.name}: {function}"


# The map of AGENTS.md ------------------------------------------------------------------------------------------------


def mapped() -> Iterator[str]:
    """The paths of the map: a tree by indentation."""
    (tree,) = re.findall(r"^## The map\n\n```\n(.*?)^```", AGENTS, re.MULTILINE | re.DOTALL)
    above: list[str] = []
    for line in tree.splitlines():
        name, depth = line.split()[0], (len(line) - len(line.lstrip())) // 2
        above[depth:] = [name]
        yield "".join(above)


def test_every_path_of_the_map_exists() -> None:
    """With a slash where it is a folder."""
    wrong = [
        path for path in mapped() if not ((ROOT / path).is_dir() if path.endswith("/") else (ROOT / path).is_file())
    ]
    assert not wrong


def test_every_room_and_module_is_in_the_map() -> None:
    """Left out: `__init__.py`, which says what the room is for, and single migrations."""
    modules = {path.relative_to(ROOT) for path in (ROOT / "hdm_airflow").rglob("*.py") if path.name != "__init__.py"}
    named = {module.as_posix() for module in modules if module.parent.name != "versions"}
    rooms = {f"{module.parent.as_posix()}/" for module in modules if module.parent.name != "versions"}
    assert named | rooms <= set(mapped())


def test_layers_are_those_that_import_linter_checks() -> None:
    """The stated rule is the one that is checked."""
    (layers,) = re.findall(r"^layers = \[\n(.*?)^\]", (ROOT / "pyproject.toml").read_text(), re.MULTILINE | re.DOTALL)
    checked = [set(line.split(" | ")) for line in re.findall(r'"(.*?)"', layers)]
    (stated,) = re.findall(r"^\*\*Imports\*\* go downwards only: (.*?)\.", AGENTS, re.MULTILINE | re.DOTALL)
    assert [set(re.findall(r"`(\w+)`", layer)) for layer in re.split(r"\s+>\s+", stated)] == checked


# Contract 1 ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def job() -> Job:
    """A job for its names; the values do not matter."""
    pack = Pack(
        kind="metric", name="p", version="1", folder="p", path=Path("p"), task_id="mp_p", manifest=None, findings=()
    )
    target = Target(slug="s", database="d", type="t", host="h", port="1", user="u", ssl=False, url="url")
    return Job(
        pack=pack,
        environment="prod",
        metric_date=date(2026, 1, 5),
        run_id="r",
        dag_id="d",
        task_id="t",
        try_number=1,
        base=BaseAccess(variables={}),
        targets=(target,),
        config={},
        config_source="",
        timezone="UTC",
        timeout=None,
        command=Command(name="c"),
    )


CONTRACT = (ROOT / "docs/reference/pack-contract.md").read_text("utf-8")


def test_variables_of_the_page_are_those_that_the_runner_sets(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page names all of them: packs cannot rely on an undocumented variable."""
    # Of the password, a service and an address, packs get the result.
    resolved = {"PGPASSWORD", "PGSERVICE", "PGSERVICEFILE", "PGHOSTADDR"}
    libpq = {one.envvar.decode() for one in pq.Conninfo.get_defaults() if one.envvar} - resolved
    for name in _PASSED_ON:
        monkeypatch.delenv(name, raising=False)
    documented = {name for cells in table(CONTRACT, "Variables") for name in re.findall(r"`(\w+)`", cells[0])}
    assert documented == set(job.variables(Workspace(root=Path("run")), Path("bin"))) | libpq
    assert set(re.findall(r"\bHDM_[A-Z_]+\b", CONTRACT)) == {name for name in documented if name.startswith("HDM_")}
    for name in _PASSED_ON:
        assert f"`{name.upper()}`" in CONTRACT


def test_fields_of_the_page_are_those_of_the_context(job: Job) -> None:
    """Field by field, `endpoints[].slug` for each endpoint's."""
    documented = [cells[0].strip("`") for cells in table(CONTRACT, "The context file")]
    assert documented == list(dict.fromkeys(fields(job.context())))


def fields(value: dict[str, Any], above: str = "") -> Iterator[str]:
    for key, one in value.items():
        name = f"{above}{key}"
        if isinstance(one, dict) and key not in {"config", "arguments"}:
            yield from fields(one, f"{name}.")
            continue
        yield name
        if key == "endpoints":
            for endpoint in one:
                yield from (f"{name}[].{inner}" for inner in endpoint)


# The HDM base --------------------------------------------------------------------------------------------------------


def schema() -> dict[str, list[str]]:
    """Table or view -> its columns, by schema.sql (which a test compares with the migrations)."""
    text = re.sub(r"--.*", "", (ROOT / "hdm_airflow/base/schema.sql").read_text("utf-8"))
    found = {}
    for name, body in re.findall(r"CREATE TABLE (\w+) \((.*?)^\);", text, re.MULTILINE | re.DOTALL):
        words = [item.split()[0].strip('"') for item in items(body)]
        found[name] = [word for word in words if word not in {"PRIMARY", "UNIQUE", "CHECK"}]
    for name, body in re.findall(r"CREATE VIEW (\w+) AS\s+SELECT (.*?)\sFROM ", text, re.DOTALL):
        found[name] = [item.split()[-1].strip('"') for item in items(body)]
    return found


def items(text: str) -> Iterator[str]:
    """The parts of a list that commas outside brackets separate."""
    depth, begin = 0, 0
    for place, sign in enumerate(f"{text},"):
        depth += (sign == "(") - (sign == ")")
        if sign == "," and not depth:
            yield text[begin:place].strip()
            begin = place + 1


def test_tables_and_columns_of_the_page_are_those_of_the_schema() -> None:
    """In the same order."""
    text = (ROOT / "docs/reference/hdm-base.md").read_text("utf-8")
    documented = {
        name: [cells[0].strip("`") for cells in table(text, name)]
        for name in re.findall(r"^### (\w+)$", text, re.MULTILINE)
    }
    assert documented == schema()


def test_statuses_of_the_page_are_those_of_the_schema() -> None:
    """And no other."""
    text = (ROOT / "docs/reference/hdm-base.md").read_text("utf-8")
    sql = (ROOT / "hdm_airflow/base/schema.sql").read_text("utf-8")
    (stated,) = re.findall(r"CHECK \(status IN \((.*?)\)\)", sql)
    (rows,) = re.findall(r"^\| status \| meaning .*\n\|[-|]+\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert re.findall(r"^\| `(\w+)`", rows, re.MULTILINE) == re.findall(r"'(\w+)'", stated)


# Code ----------------------------------------------------------------------------------------------------------------


@BY_NAME
def test_python_of_the_page_compiles(page: Path) -> None:
    """People copy it."""
    for indent, code in re.findall(r"^( *)```python\n(.*?)^\1```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL):
        ast.parse(textwrap.dedent(code) if indent else code, page.name)


def test_dag_file_of_the_readme_is_the_one_that_is_shipped() -> None:
    """But for its docstring."""
    (code, *_) = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)
    shipped = (ROOT / "dags/hdm.py").read_text("utf-8").partition("\n\n")[2]
    assert code == shipped


def test_table_of_the_readme_has_the_faults_that_the_demo_plants() -> None:
    """It is a part of what `make demo` prints: its lines for one database, and its last line."""
    from demo.hospital import PLANTED_FAULTS

    text = (ROOT / "README.md").read_text("utf-8")
    rows = re.findall(r"^│ hospital +│(.*)│$", text, re.MULTILINE)
    stated = [tuple(cell.strip() for cell in row.split("│")) for row in rows]
    places = [f"{one.table}.{one.column}" if one.column else one.table for one in PLANTED_FAULTS]
    kinds = [one.kind.replace("_", " ") for one in PLANTED_FAULTS]
    assert stated == [(kind, place, "yes") for kind, place in zip(kinds, places, strict=True)]
    assert f"{3 * len(stated)} of {3 * len(stated)} planted faults found; 0 false alerts on the first night" in text


def test_version_is_the_same_everywhere() -> None:
    """The package defines it, and the changelog names it; `test_compose.py` checks the image tag of Compose."""
    import hdm_airflow

    assert 'dynamic = ["version"]' in (ROOT / "pyproject.toml").read_text()
    assert hdm_airflow.__version__ in (ROOT / "CHANGELOG.md").read_text("utf-8")
