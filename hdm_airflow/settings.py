"""Settings: the Airflow Variable `hdm`, read once per parse and validated whole.

`RunOptions` is the part that each run needs. It passes from the settings through `PackOperator` to the attempt as one
object: a new option is one field of it and its line in docs/reference/settings.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from email.utils import parseaddr
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal

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
from hdm_airflow.packs.pack import Pack
from hdm_airflow.runner.processes.sandbox import Sandbox
from hdm_airflow.runner.venvs.options import VenvOptions
from hdm_airflow.variable import WHERE, read

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails
    from typing_extensions import Self

#: Schedules that Airflow accepts but cron does not.
_PRESETS = {"@once", "@continuous", "@quarterly"}


#: As Airflow accepts it.
_ConnectionId = Annotated[str, StringConstraints(max_length=250, pattern=r"^[\w#!()\-.:/\\]+$")]
_FailOn = Literal["none", "Info", "Warning", "High"]
_Days = Annotated[int, Field(ge=0, le=365)]


def _sender(value: str) -> str:
    _, address = parseaddr(value)
    if value and (not re.fullmatch(r"[!-?A-~]+@[A-Za-z0-9.-]+", address) or not value.isprintable()):
        raise ValueError("it must be an address, such as quality@hospital.example")
    return value


class NotifyOptions(BaseModel):
    """How people are told about incidents."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    smtp_conn_id: _ConnectionId | None = Field(
        None, description="Airflow connection of type smtp; if not set, no mails are sent."
    )
    sender: Annotated[str, AfterValidator(_sender)] = Field(
        "", description="The address that mails are from; if not set, from_email of the connection."
    )
    language: Literal["en", "fr"] = Field("en", description="Language of messages whose subscription states none.")


class Environment(BaseModel):
    """One environment, that is one HDM base."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    conn_id: _ConnectionId = Field("hdm", description="Airflow connection of the HDM base.")
    pack_conn_id: _ConnectionId | None = Field(
        None, description="Connection that packs use to reach the base, with fewer rights; default: conn_id."
    )
    fail_on: _FailOn | None = Field(None, description="The setting fail_on for this environment.")
    reopen_days: _Days | None = Field(None, description="The setting reopen_days for this environment.")
    notify: NotifyOptions | Literal[False] | None = Field(
        None, description="The setting notify for this environment; false: no messages."
    )

    @property
    def options(self) -> dict[str, Any]:
        """The options of runs that it sets."""
        stated = {name: getattr(self, name) for name in type(self).model_fields if name in RunOptions.model_fields}
        return {name: value for name, value in stated.items() if value is not None}


class RunOptions(BaseModel):
    """The settings of a single pack run; every key is optional."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    timeout: float = Field(
        6 * 3600, gt=0, le=31_536_000, description="Default time limit in seconds, unless the manifest sets timeout."
    )
    require_reports: bool = Field(
        False,
        description="Rule packs reject metrics of packs that report nothing and are judged by their exit code alone.",
    )
    venvs: VenvOptions = Field(VenvOptions(), description="Where the venv store is and what it keeps.")
    credentials: CredentialOptions = Field(CredentialOptions(), description="Where passwords come from.")
    limits: Annotated[Limits, BeforeValidator(Limits.stated)] = Field(
        DEFAULT_LIMITS, description="The resources that one pack run may use."
    )
    sandbox: Sandbox = Field(Sandbox(), description="How packs are kept away from other files and processes.")
    fail_on: _FailOn = Field(
        "none", description="Rule tasks turn red if they opened or reopened an incident of this level or above."
    )
    reopen_days: _Days = Field(
        7, description="Days within which an alert that comes back reopens its incident instead of opening it anew."
    )

    @classmethod
    def read(cls, options: RunOptions | Mapping[str, Any] | None, where: str) -> RunOptions:
        """The options in an operator's argument; a key with the value None counts as left out.

        Raises:
            ConfigurationError: if keys or values are wrong; the error lists all of them.
        """
        if isinstance(options, RunOptions):
            return options
        if isinstance(options, Mapping):
            options = {key: value for key, value in options.items() if value is not None}
        return cls.validate_all({} if options is None else options, where)

    @classmethod
    def validate_all(cls, value: object, where: str) -> Self:
        """Validate an object such as parsed JSON.

        Raises:
            ConfigurationError: if keys or values are wrong; the error lists all of them.
        """
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            faults = [f"  {fault(one, where)}" for one in error.errors()]
            what = "\n".join(["the settings are wrong:", *faults])
            raise ConfigurationError(what, where, "correct these (docs: reference/settings)") from None


EnvironmentName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,50}$")]


class Settings(RunOptions):
    """All settings: the options of pack runs and the contents of the Dag; every key is optional."""

    model_config = ConfigDict(title="Airflow Variable hdm")

    packs_dir: str = Field("packs", pattern=r"^[^\x00]+$", description="The packs folder, relative to the Dag file.")
    environments: dict[EnvironmentName, Environment] = Field(
        default={"prod": Environment()}, min_length=1, description="Name -> HDM base; one task group each."
    )
    select: tuple[str, ...] = Field((), strict=False, description="Run only packs that match one of these selectors.")
    exclude: tuple[str, ...] = Field((), strict=False, description="Skip packs that match one of these selectors.")
    pack_args: dict[str, dict[str, Any]] = Field(
        default={}, description="Selector -> arguments for the pack's task, such as pool or retries."
    )
    notify: NotifyOptions | None = Field(
        None, description="How people are told about incidents; if not set, there is no task notify."
    )
    schedule: str | None = Field(
        "0 2 * * *", description="When the Dag runs: a cron expression, a preset, or null for manual runs only."
    )

    @field_validator("environments")
    @classmethod
    def _one_base_each(cls, environments: dict[str, Environment]) -> dict[str, Environment]:
        conn_ids = [environment.conn_id for environment in environments.values()]
        if len(set(conn_ids)) < len(conn_ids):
            raise ValueError("two environments share a conn_id; each needs an HDM base of its own")
        return environments

    @field_validator("schedule")
    @classmethod
    def _is_schedule(cls, schedule: str | None) -> str | None:
        # Airflow uses it too, but only after the Dag file has loaded.
        from croniter import croniter  # type: ignore[import-untyped]  # it has no type hints

        if schedule is None or schedule in _PRESETS or croniter.is_valid(schedule):
            return schedule
        raise ValueError(f"{schedule!r} is not a cron expression (such as '0 2 * * *') or a preset (such as '@daily')")

    @classmethod
    def parse(cls, text: str | None) -> Settings:
        """The settings in the text of a Variable; the defaults if it is None or empty.

        Raises:
            ConfigurationError: if it is not JSON, or if keys or values are wrong; the error lists all of them.
        """
        if not (text or "").strip():
            return cls()
        try:
            value = json.loads(text or "")
        except (ValueError, RecursionError) as error:
            raise ConfigurationError(f"the Variable is not JSON: {error}", WHERE, "correct the Variable") from None
        return cls.validate_all(value, WHERE)

    @classmethod
    def load(cls) -> Settings:
        """The current settings.

        Raises:
            ConfigurationError: if the Variable is invalid.
            UnreachableVariableError: if it cannot be read; the defaults may give packs more rights.
        """
        return cls.parse(read())

    def override(self, changes: Mapping[str, Any]) -> Settings:
        """These settings with some keys replaced.

        Raises:
            ConfigurationError: if a value is wrong.
        """
        return self.validate_all({**self.model_dump(), **changes}, "arguments of HdmDag")

    def run_options_for(self, pack: Pack, environment: Environment) -> RunOptions:
        """The options for runs of a pack in an environment.

        What the environment sets overrides the settings, and so does the timeout of the pack's manifest.
        """
        changes = dict(environment.options)
        if pack.manifest and pack.manifest.timeout:
            changes["timeout"] = pack.manifest.timeout
        return self._run_options.model_copy(update=changes) if changes else self._run_options

    def notify_for(self, environment: Environment) -> NotifyOptions | None:
        """How people are told about the incidents of an environment; None if nobody is."""
        return (self.notify if environment.notify is None else environment.notify) or None

    @cached_property
    def _run_options(self) -> RunOptions:
        """The part of the settings that a run needs: one object, however many packs a Dag has."""
        return RunOptions.model_construct(**{name: getattr(self, name) for name in RunOptions.model_fields})


def fault(found: ErrorDetails, where: str = "") -> str:
    """One fault that pydantic found, as `key: what is wrong`, or after `where` if it is the whole value."""
    message = found["msg"].removeprefix("Value error, ").replace("valid tuple", "list")  # JSON has no tuples
    return f"{'.'.join(map(str, found['loc'])) or where}: {message}"
