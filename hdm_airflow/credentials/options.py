"""Options: which sources of passwords are asked, in which order, and how. The key `credentials` of the settings.

Read at each parse of a Dag file: nothing heavy is imported here.
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

    conn_id: Text = Field(description="Airflow connection of type vault: address and login.")
    path: PathTemplate | None = Field(None, description="Path of an endpoint's secret in the KV engine.")
    mount: Text | None = Field(
        None, description="Mount of the KV engine; left out: the connection's schema, else secret."
    )
    kv_version: Literal[1, 2] | None = Field(
        None, description="Version of the KV engine; left out: the connection's, else 2."
    )
    password_key: Text = Field("password", description="Field of the secret that holds the password.")
    user_key: Text | None = Field(
        None, description="Field of the secret that holds a user, for packs instead of the slug's."
    )
    dynamic_path: PathTemplate | None = Field(
        None, description="Path of dynamic database credentials, mount included; asked before path."
    )

    @model_validator(mode="after")
    def _has_a_path(self) -> VaultOptions:
        if not (self.path or self.dynamic_path):
            raise ValueError("write path, dynamic_path or both: without them there is nothing to ask Vault for")
        return self


class KeycloakOptions(BaseModel):
    """Access tokens of Keycloak that serve as passwords."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    conn_id: Text = Field(description="Airflow connection: address, client id as login, client secret as password.")
    realm: Text = Field(description="Name of the realm.")
    endpoints: tuple[Text, ...] = Field(
        strict=False, min_length=1, description="Patterns of the slugs that take a token, such as *:trino:*."
    )
    scope: Text | None = Field(None, description="Scopes to ask for, separated by blanks.")
    audience: Text | None = Field(None, description="Audience to ask for.")


class CredentialOptions(BaseModel):
    """Where passwords come from."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    sources: tuple[SourceName, ...] = Field(
        ORDER, strict=False, min_length=1, description="Which sources are asked, in this order."
    )
    vault: VaultOptions | None = Field(None, description="How Vault is asked; left out: it is not.")
    keycloak: KeycloakOptions | None = Field(None, description="How Keycloak is asked; left out: it is not.")
    conf_json: Literal["warn", "refuse"] = Field(
        "warn", description="A password in a pack's conf.json is used with a warning, or fails its endpoint."
    )

    @field_validator("sources")
    @classmethod
    def _has_no_duplicates(cls, sources: tuple[SourceName, ...]) -> tuple[SourceName, ...]:
        if len(set(sources)) < len(sources):
            raise ValueError("a source is named twice")
        return sources
