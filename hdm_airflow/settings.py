"""Settings: the Airflow Variable `hdm`, read once per parse and validated whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
)

from hdm_airflow.credentials.options import CredentialOptions
from hdm_airflow.errors import ConfigurationError
from hdm_airflow.packs.limits import DEFAULT_LIMITS, Limits
from hdm_airflow.runner.processes.sandbox import Sandbox
from hdm_airflow.runner.venvs.retention import Retention

VARIABLE = "hdm"
DEFAULT_TIMEOUT: float = 6 * 3600  # seconds
DEFAULT_STORE = "~/.cache/hdm_airflow/environments"
WHERE = f"Airflow Variable {VARIABLE!r}"
#: Schedules that Airflow knows and cron does not.
_PRESETS = {"@once", "@continuous", "@quarterly"}


class Environment(BaseModel):
    """One environment: one HDM base."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    conn_id: str = Field("hdm", min_length=1, description="Airflow connection of the HDM base.")
    pack_conn_id: str | None = Field(
        None, description="Connection by which packs reach the base, with fewer rights; left out: conn_id."
    )


def _absolute(text: str) -> str:
    if not text.startswith(("/", "~/")) or "\0" in text:
        raise ValueError("write an absolute path, or one that starts with ~/: a worker's current folder is anybody's")
    return text


EnvironmentName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,50}$")]


class Settings(BaseModel):
    """Everything that can be set; each key may be left out."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", title="Airflow Variable hdm")

    packs_dir: str = Field("packs", pattern=r"^[^\x00]+$", description="The packs folder, relative to the Dag file.")
    environments: dict[EnvironmentName, Environment] = Field(
        default={"prod": Environment()}, min_length=1, description="Name -> HDM base; one task group each."
    )
    select: tuple[str, ...] = Field((), strict=False, description="Run only packs that one of these selectors means.")
    exclude: tuple[str, ...] = Field((), strict=False, description="Run no pack that one of these selectors means.")
    pack_args: dict[str, dict[str, Any]] = Field(
        default={}, description="Selector -> arguments of the pack's operator, such as pool or retries."
    )
    schedule: str | None = Field("0 2 * * *", description="When the Dag runs: cron, a preset, or null for never.")
    timeout: float = Field(
        DEFAULT_TIMEOUT, gt=0, le=31_536_000, description="Seconds a pack may run whose manifest names no timeout."
    )
    require_reports: bool = Field(
        False, description="Rule packs refuse metrics that only an exit code vouches for (packs without reports)."
    )
    environment_store: Annotated[str, AfterValidator(_absolute)] = Field(
        DEFAULT_STORE, description="Folder of the packs' software environments on each worker."
    )
    environment_retention: Retention = Field(Retention(), description="How long and how many of them are kept.")
    credentials: CredentialOptions = Field(CredentialOptions(), description="Where passwords come from.")
    limits: Annotated[Limits, BeforeValidator(Limits.stated)] = Field(
        DEFAULT_LIMITS, description="How much of a machine one pack run may use."
    )
    sandbox: Sandbox = Field(Sandbox(), description="How far packs are kept from the files and processes of others.")

    @field_validator("environments")
    @classmethod
    def _one_base_each(cls, environments: dict[str, Environment]) -> dict[str, Environment]:
        conn_ids = [environment.conn_id for environment in environments.values()]
        if len(set(conn_ids)) < len(conn_ids):
            raise ValueError("two environments have one conn_id: an environment is an HDM base of its own")
        return environments

    @field_validator("schedule")
    @classmethod
    def _is_schedule(cls, schedule: str | None) -> str | None:
        # What Airflow reads cron with, but only after the Dag file has loaded.
        from croniter import croniter  # type: ignore[import-untyped]

        if schedule is None or schedule in _PRESETS or croniter.is_valid(schedule):
            return schedule
        raise ValueError(f"{schedule!r} is neither cron, such as '0 2 * * *', nor a preset, such as '@daily'")

    @classmethod
    def parse(cls, text: str | None) -> Settings:
        """The settings that a Variable's text holds; defaults where it is None or empty.

        Raises:
            ConfigurationError: it is not JSON, or holds wrong keys or values; all of them at once.
        """
        if not (text or "").strip():
            return cls()
        try:
            value = json.loads(text or "")
        except (ValueError, RecursionError) as error:
            raise ConfigurationError(f"the Variable is not JSON: {error}", WHERE, "correct it there") from None
        return cls.validate_all(value, WHERE)

    @classmethod
    def load(cls) -> Settings:
        """The settings as Airflow has them now.

        Raises:
            ConfigurationError: the Variable is invalid.
        """
        from airflow.sdk import Variable

        # As text: deserialize_json with a default returns the default on bad JSON.
        return cls.parse(Variable.get(VARIABLE, default=None))

    def override(self, changes: Mapping[str, Any]) -> Settings:
        """These settings with some keys replaced.

        Raises:
            ConfigurationError: a value is wrong.
        """
        return self.validate_all({**self.model_dump(), **changes}, "arguments of HdmDag")

    @classmethod
    def validate_all(cls, value: object, where: str) -> Settings:
        """Settings from an object, with all its faults in one error."""
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            faults = "\n".join(f"  {_place(one['loc'])}: {_text(one['msg'])}" for one in error.errors())
            hint = "correct these (docs: reference/settings)"
            raise ConfigurationError(f"the settings are wrong:\n{faults}", where, hint) from None

    @property
    def store(self) -> Path:
        """The folder of the environment store."""
        return Path(self.environment_store).expanduser()


def _place(location: tuple[int | str, ...]) -> str:
    return ".".join(map(str, location)) or "the Variable"


def _text(message: str) -> str:
    return message.removeprefix("Value error, ").replace("valid tuple", "list")  # JSON has no tuples
