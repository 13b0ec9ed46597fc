"""Options: which sources of passwords to ask, in which order, and how; the key `credentials` of the settings.

Read at each parse of a Dag file, so this module imports nothing heavy.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from hdm_airflow.credentials.paths import validate

SourceName = Literal["airflow", "vault", "keycloak", "conf.json"]
ORDER: tuple[SourceName, ...] = ("airflow", "vault", "keycloak", "conf.json")

Text = Annotated[str, StringConstraints(min_length=1)]
PathTemplate = Annotated[str, AfterValidator(validate)]


class VaultOptions(BaseModel):
    """Passwords in HashiCorp Vault."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    conn_id: Text = Field(description="Airflow connection of type vault, with address and login.")
    path: PathTemplate | None = Field(None, description="Path of an endpoint's secret in the KV engine.")
    mount: Text | None = Field(
        None, description="Mount of the KV engine; if not set, the connection's schema, else secret."
    )
    kv_version: Literal[1, 2] | None = Field(
        None, description="Version of the KV engine; if not set, the connection's, else 2."
    )
    password_key: Text = Field("password", description="Field of the secret that holds the password.")
    user_key: Text | None = Field(
        None, description="Field of the secret that holds a user, which packs get instead of the slug's."
    )
    dynamic_path: PathTemplate | None = Field(
        None, description="Path of dynamic database credentials, including the mount; looked up before path."
    )

    @model_validator(mode="after")
    def _has_a_path(self) -> VaultOptions:
        if not (self.path or self.dynamic_path):
            raise ValueError("set path, dynamic_path or both: without them there is nothing to look up in Vault")
        return self


class KeycloakOptions(BaseModel):
    """Access tokens of Keycloak, used as passwords."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    conn_id: Text = Field(
        description="Airflow connection: Keycloak's address, client id as login, client secret as password."
    )
    realm: Text = Field(description="Name of the realm.")
    endpoints: tuple[Text, ...] = Field(
        strict=False, min_length=1, description="Patterns of the slugs that get a token, such as *:trino:*."
    )
    scope: Text | None = Field(None, description="Scopes to request, separated by spaces.")
    audience: Text | None = Field(None, description="Audience to request.")


class CredentialOptions(BaseModel):
    """Where passwords come from."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    sources: tuple[SourceName, ...] = Field(
        ORDER, strict=False, min_length=1, description="Sources to ask, in this order."
    )
    vault: VaultOptions | None = Field(None, description="How to ask Vault; if not set, Vault is not asked.")
    keycloak: KeycloakOptions | None = Field(
        None, description="How to ask Keycloak; if not set, Keycloak is not asked."
    )
    conf_json: Literal["warn", "refuse"] = Field(
        "warn", description="warn: use a password in a pack's conf.json, with a warning; refuse: fail its endpoint."
    )

    @field_validator("sources")
    @classmethod
    def _has_no_duplicates(cls, sources: tuple[SourceName, ...]) -> tuple[SourceName, ...]:
        if len(set(sources)) < len(sources):
            raise ValueError("a source appears twice")
        return sources
