"""The reference pages match the code: every key, default, code and meaning."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from hdm_airflow.credentials.options import CredentialOptions, KeycloakOptions, VaultOptions
from hdm_airflow.packs.finding import CODES
from hdm_airflow.packs.limits import Limits
from hdm_airflow.packs.manifest import REQUIRED, Manifest, json_schema
from hdm_airflow.runner.processes.sandbox import Sandbox
from hdm_airflow.runner.venvs.options import VenvOptions
from hdm_airflow.settings import Environment, NotifyOptions, Settings
from tests.unit.test_zoo import DEEP

REFERENCE = Path(__file__).parents[2] / "docs/reference"
REFRESH = (
    "python -c 'import json; from hdm_airflow.packs.manifest import json_schema;"
    " print(json.dumps(json_schema(), indent=2))' > docs/reference/properties.schema.json"
)


def page(name: str) -> str:
    return (REFERENCE / name).read_text("utf-8")


def tables(name: str) -> list[list[list[str]]]:
    """The cells of every table of a page, without the heads."""
    found = re.findall(r"^\|.*\|\n\|[-|]+\|\n((?:\|.*\|\n)+)", page(name), re.MULTILINE)
    return [[[cell.strip() for cell in row.strip("|").split(" | ")] for row in table.splitlines()] for table in found]


def default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None:
        return "none"
    text = json.dumps(value, default=lambda one: one.model_dump(exclude_none=True))
    return f"`{text}`"


@pytest.mark.parametrize(
    ("name", "number", "model"),
    [
        ("properties.md", 0, Manifest),
        ("settings.md", 0, Settings),
        ("settings.md", 1, Environment),
        ("settings.md", 2, NotifyOptions),
        ("settings.md", 3, Limits),
        ("settings.md", 4, Sandbox),
        ("settings.md", 5, VenvOptions),
        ("settings.md", 6, CredentialOptions),
        ("settings.md", 7, VaultOptions),
        ("settings.md", 8, KeycloakOptions),
    ],
)
def test_page_has_every_key_with_its_default_and_meaning(name: str, number: int, model: type[BaseModel]) -> None:
    """In the order of the model, and no key that it does not have."""
    rows = {key: (stated, meaning) for key, _, stated, meaning in tables(name)[number]}
    assert rows == {f"`{key}`": (default(field), field.description) for key, field in model.model_fields.items()}


@pytest.mark.parametrize("severity", ["error", "warning"])
def test_page_of_findings_has_every_code_with_its_severity_and_meaning(severity: str) -> None:
    """A search for a code finds its row, which says what to do."""
    table = tables("findings.md")[["error", "warning"].index(severity)]
    stated = {re.sub(r"[` *]", "", code): meaning for code, meaning, _ in table}
    assert stated == {code: meaning for code, (one, meaning) in CODES.items() if one == severity}
    assert all(what_to_do.endswith(".") for *_, what_to_do in table)


def test_page_of_findings_tells_which_ones_a_dag_file_does_not_look_for() -> None:
    """Or people wait for a warning that never comes."""
    marked = {code.strip("` *") for table in tables("findings.md") for code, *_ in table if code.endswith("*")}
    assert marked == DEEP


def test_published_schema_is_up_to_date() -> None:
    """Editors check manifests with the file, the Dag with the model."""
    assert json.loads(page("properties.schema.json")) == json_schema(), f"refresh it with:\n{REFRESH}"


@pytest.mark.parametrize(
    ("name", "check"), [("properties.md", Manifest.model_validate), ("settings.md", Settings.model_validate)]
)
def test_example_of_the_page_is_valid(name: str, check) -> None:
    """People copy it."""
    (example,) = re.findall(r"^```json\n(.*?)^```", page(name), re.MULTILINE | re.DOTALL)
    check(json.loads(example))


def test_required_keys_are_the_norms_two() -> None:
    """Every other key is optional: packs of the original have none of them."""
    assert REQUIRED == ("name", "version")


@pytest.mark.parametrize("name", ["properties.md", "findings.md", "settings.md"])
def test_links_between_pages_lead_somewhere(name: str) -> None:
    """Documentation that names files that do not exist is worse than none."""
    for target in re.findall(r"\]\(([\w./-]+)\)", page(name)):
        assert (REFERENCE / target).is_file(), target
