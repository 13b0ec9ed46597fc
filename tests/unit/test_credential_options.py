"""Where passwords come from, according to the settings: options and path templates."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hdm_airflow.base.endpoints import Endpoint
from hdm_airflow.credentials.options import CredentialOptions
from hdm_airflow.credentials.paths import PLACEHOLDERS, fill, validate
from hdm_airflow.errors import ConfigurationError
from hdm_airflow.settings import Settings

HEART = Endpoint(name="heart", type="postgres", host="db.example", port="5432", user="reader")
VAULT = {"conn_id": "vault", "path": "hdm/{name}"}


def faults(options: dict[str, Any]) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        CredentialOptions.model_validate(options)
    return [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in caught.value.errors()]


def test_every_option_can_be_written_into_the_variable() -> None:
    """As JSON, and back through the copy that HdmDag makes."""
    stated = {
        "sources": ["vault", "keycloak", "airflow"],
        "vault": {
            "conn_id": "v",
            "mount": "kv",
            "kv_version": 1,
            "path": "hdm/{environment}/{name}",
            "password_key": "pw",
            "user_key": "login",
            "dynamic_path": "database/creds/{name}",
        },
        "keycloak": {"conn_id": "k", "realm": "r", "endpoints": ["*:trino:*"], "scope": "s", "audience": "a"},
        "conf_json": "refuse",
    }
    settings = Settings.parse(json.dumps({"credentials": stated})).override({})
    assert json.loads(json.dumps(settings.credentials.model_dump())) == stated


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"sources": ["vault", "vault"]}, "appears twice"),
        ({"sources": []}, "sources"),
        ({"sources": ["ldap"]}, "sources.0"),
        ({"vault": {"conn_id": "v"}}, "set path, dynamic_path or both"),
        ({"vault": {**VAULT, "kv_version": 3}}, "vault.kv_version"),
        ({"vault": {"path": "a/{name}"}}, "vault.conn_id"),
        ({"keycloak": {"conn_id": "k", "realm": "r", "endpoints": []}}, "keycloak.endpoints"),
        ({"keycloak": {"conn_id": "k", "realm": "r"}}, "keycloak.endpoints"),
        ({"conf_json": "allow"}, "conf_json"),
        ({"passwords": {}}, "passwords"),
    ],
)
def test_invalid_option_is_an_error_that_names_its_key(options: dict[str, Any], fault: str) -> None:
    """When the Variable is read, not during the nightly run."""
    assert any(fault in one for one in faults(options))


@pytest.mark.parametrize(
    "template",
    ["hdm/all", "", "/", "a//{name}", "../{name}", "a/./{name}", "{name", "{}", "{0}", "{password}", "{name!r}",
     "{name:>9}", "{name.type}", "a\n/{name}"],
)  # fmt: skip
def test_template_that_is_not_a_path_or_has_no_placeholder_is_rejected(template: str) -> None:
    """Without a placeholder, every endpoint would get the same secret."""
    assert faults({"vault": {"conn_id": "v", "path": template}})


def test_template_is_filled_from_the_parts_of_the_slug() -> None:
    """And from the environment."""
    template = validate("/hdm/{environment}/{type}/{host}-{port}/{user}@{name}/")
    assert fill(template, HEART, "prod") == "hdm/prod/postgres/db.example-5432/reader@heart"


@pytest.mark.parametrize("name", ["..", ".", ""])
def test_endpoint_cannot_lead_its_path_elsewhere(name: str) -> None:
    """Registering endpoints must not allow choosing any secret."""
    endpoint = Endpoint(name=name, type="mysql", host="h")
    with pytest.raises(ConfigurationError):
        fill("hdm/{name}", endpoint, "prod")


def test_placeholder_without_a_value_is_an_error_that_names_it() -> None:
    """With an empty part, the path could lead to another endpoint's secret, or to a folder of secrets."""
    with pytest.raises(ConfigurationError, match=r"needs environment, which is empty"):
        fill("{environment}/{name}", HEART, None)


@given(name=st.text(min_size=1), host=st.text(min_size=1))
def test_two_endpoints_never_share_a_path_of_all_their_parts(name: str, host: str) -> None:
    """Whatever characters they contain: encoded ones cannot be confused with others."""
    try:
        path = fill("hdm/{host}/{name}", Endpoint(name=name, type="t", host=host), None)
    except ConfigurationError:
        assert {name, host} & {".", ".."}
        return
    except UnicodeEncodeError:
        return
    other = fill("hdm/{host}/{name}", Endpoint(name=f"{name}/x", type="t", host=host), None)
    assert path.count("/") == 2
    assert path != other


def test_every_placeholder_is_a_part_of_an_endpoint_or_the_environment() -> None:
    """Any other placeholder would always be empty."""
    assert set(PLACEHOLDERS) - {"environment"} <= set(vars(HEART))
