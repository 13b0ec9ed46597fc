"""PackArguments: the setting `pack_args`, checked before a task of the Dag gets them.

Airflow finds some wrong arguments when it creates a task, others when it serialises the Dag or when its database stores
a run of it, and some only when a task ends. Each time, it gives up the whole Dag, or all Dags of the file. So every
combination of arguments is checked by type first, and then on trial in a Dag of its own.
"""

from __future__ import annotations

import difflib
import inspect
import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import cache, partial
from typing import TYPE_CHECKING, Annotated, Any

from airflow.sdk import DAG, BaseOperator
from airflow.sdk.definitions.asset import BaseAsset
from airflow.sdk.definitions.retry_policy import RetryPolicy
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from hdm_airflow.errors import ConfigurationError
from hdm_airflow.operators.pack import PackOperator
from hdm_airflow.packs.selection import HOUSE, matches
from hdm_airflow.settings import RunOptions, fault

if TYPE_CHECKING:
    from hdm_airflow.packs.pack import Pack

#: What HdmDag decides itself, and arguments that would bring in others unchecked.
_RESERVED = frozenset({"task_id", "pack", "options", "dag", "task_group", "default_args"})
#: Of tasks that no pack stands behind, also what a run of a pack needs.
_RESERVED_IN_HOUSE = _RESERVED | {"trigger_rule", "environment", "conn_id", "pack_conn_id", *RunOptions.model_fields}
_YEAR = 31_536_000.0  # seconds; the scheduler adds durations to dates, which end in the year 9999
_ADDRESS = re.compile(r" at 0x[0-9a-f]{6,}")  # in the repr of an object: it differs at every parse
_ESCAPE = re.compile(r"(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f]..)")  # what PostgreSQL cannot store, in JSON


def _duration(value: object) -> object:
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise ValueError("it must be a number of seconds")  # noqa: TRY004  # pydantic expects it
    if not 0 <= seconds <= _YEAR:
        raise ValueError("it must be from 0 to 31536000 seconds")
    return timedelta(seconds=seconds)


def _limit(value: object) -> object:
    found = _duration(value)
    if not found:
        raise ValueError("it must be longer than 0 seconds")
    return found


def _function(value: object) -> object:
    if value is not None and not callable(value):
        raise ValueError("it must be a function")
    return value


def _functions(value: object) -> object:
    for one in value if isinstance(value, (list, tuple, set)) else [value]:
        _function(one)
    return value


def _weight_rule(value: object) -> object:
    if not (isinstance(value, str) or callable(getattr(value, "get_weight", None))):
        raise ValueError("it must be the name of a rule")  # noqa: TRY004  # pydantic expects it
    return value


def _assets(value: object) -> object:
    for one in value if isinstance(value, (list, tuple, set)) else [value]:
        if one is not None and not isinstance(one, BaseAsset):
            raise ValueError("it must be an asset or a list of assets")
    return value


_Count = Annotated[int, Field(ge=1, le=2**31 - 1)]
_Duration = Annotated[timedelta, BeforeValidator(_duration)]
_Limit = Annotated[timedelta, BeforeValidator(_limit)]
_Function = Annotated[Any, BeforeValidator(_function)]
_Functions = Annotated[Any, BeforeValidator(_functions)]
_Assets = Annotated[Any, BeforeValidator(_assets)]
_Name = Annotated[str, StringConstraints(min_length=1, max_length=250, pattern=r"^[^\x00]*$")]
_Text = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]


class _Arguments(BaseModel):
    """Types and ranges of an operator's arguments; Airflow checks some types, and no range that its database has."""

    model_config = ConfigDict(strict=True, extra="allow", arbitrary_types_allowed=True)

    # of PackOperator
    environment: _Name = ""
    conn_id: _Name = ""
    pack_conn_id: _Name | None = None
    # of BaseOperator
    owner: _Name = ""
    email: str | list[str] | None = None
    email_on_retry: bool = True
    email_on_failure: bool = True
    retries: Annotated[int, Field(ge=0, le=1000)] | None = None
    retry_delay: _Duration = timedelta()
    retry_exponential_backoff: Annotated[float, Field(ge=0, le=100)] | bool = 0
    max_retry_delay: _Duration | None = None
    retry_policy: RetryPolicy | None = None
    start_date: datetime | None = None
    end_date: datetime | None = None
    depends_on_past: bool = False
    ignore_first_depends_on_past: bool = False
    wait_for_past_depends_before_skipping: bool = False
    wait_for_downstream: bool = False
    params: dict[str, Any] | None = None
    priority_weight: int = 1
    weight_rule: Annotated[Any, BeforeValidator(_weight_rule)] = ""
    queue: _Name = ""
    pool: _Name | None = None
    pool_slots: _Count = 1
    sla: None = None  # Airflow 3 ignores it
    execution_timeout: _Limit | None = None
    on_execute_callback: _Functions = None
    on_failure_callback: _Functions = None
    on_success_callback: _Functions = None
    on_retry_callback: _Functions = None
    on_skipped_callback: _Functions = None
    pre_execute: _Function = None
    post_execute: _Function = None
    trigger_rule: str = ""
    resources: dict[str, Any] | None = None
    run_as_user: _Name | None = None
    map_index_template: _Text | None = None
    max_active_tis_per_dag: _Count | None = None
    max_active_tis_per_dagrun: _Count | None = None
    executor: _Name | None = None
    executor_config: dict[str, Any] | None = None
    do_xcom_push: bool = True
    multiple_outputs: bool = False
    inlets: _Assets = None
    outlets: _Assets = None
    doc: _Text | None = None
    doc_md: _Text | None = None
    doc_json: _Text | None = None
    doc_yaml: _Text | None = None
    doc_rst: _Text | None = None
    task_display_name: _Name | None = None
    logger_name: _Name | None = None
    allow_nested_operators: bool = True
    render_template_as_native_obj: bool | None = None


class PackArguments:
    """The arguments that `pack_args` states for each pack, each combination checked once.

    Args:
        pack_args: selector -> arguments, as in the setting.
    """

    def __init__(self, pack_args: Mapping[str, Mapping[str, Any]]) -> None:
        self._pack_args = pack_args
        self._checked: dict[tuple[str, ...], dict[str, Any] | str] = {}  # or what is wrong

    def merge(self, pack: Pack, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of a pack's task, with those that are stated for it.

        Args:
            pack: the pack.
            arguments: the others; `options` must be a `RunOptions`.

        Raises:
            ConfigurationError: if one that is stated is wrong; it lists all faults.
        """
        stated_for_packs = (one for one in self._pack_args if not one.startswith(HOUSE))
        selectors = tuple(selector for selector in stated_for_packs if matches(selector, pack))
        if selectors not in self._checked:
            self._checked[selectors] = self._check(selectors, pack, arguments)
        stated = self._checked[selectors]
        if isinstance(stated, str):
            what = f"{pack.task_id} has wrong arguments: {_ADDRESS.sub('', stated)}"
            raise ConfigurationError(what, "pack_args", "correct them (docs: reference/settings)")
        return _merge(arguments, stated)

    def merge_house(
        self, task_id: str, make: Callable[..., BaseOperator], arguments: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The arguments of a task of the house, with those that are stated for it by the selector `task:<id>`.

        Args:
            task_id: its id, without the group.
            make: its operator.
            arguments: the others.

        Raises:
            ConfigurationError: if one that is stated is wrong; it lists all faults.
        """
        stated = dict(self._pack_args.get(f"{HOUSE}{task_id}", {}))
        try:
            if stated:
                stated = _typed(stated, reserved=_RESERVED_IN_HOUSE)
                _try(make, {**arguments, **stated})
        except Exception as error:  # noqa: BLE001  # as below
            faults = error.what if isinstance(error, ConfigurationError) else f"{type(error).__name__}: {error}"
            what = f"{task_id} has wrong arguments: {_ADDRESS.sub('', faults)}"
            raise ConfigurationError(what, "pack_args", "correct them (docs: reference/settings)") from None
        return {**arguments, **stated}

    def _check(self, selectors: tuple[str, ...], pack: Pack, arguments: Mapping[str, Any]) -> dict[str, Any] | str:
        stated: dict[str, Any] = {}
        for selector in selectors:
            stated.update(self._pack_args[selector])
        try:
            if stated:
                stated = _typed(stated)
                _try(partial(PackOperator, pack=pack), _merge(arguments, stated))
        except Exception as error:  # noqa: BLE001  # no error of Airflow about an argument may keep the file from loading
            return error.what if isinstance(error, ConfigurationError) else f"{type(error).__name__}: {error}"
        return stated


def _merge(arguments: Mapping[str, Any], stated: Mapping[str, Any]) -> dict[str, Any]:
    changes = {name: stated[name] for name in stated if name in RunOptions.model_fields}
    others = {name: stated[name] for name in stated if name not in RunOptions.model_fields}
    options = arguments["options"]
    return {**arguments, **others, "options": {**dict(options), **changes} if changes else options}


def _typed(stated: dict[str, Any], reserved: frozenset[str] = _RESERVED) -> dict[str, Any]:
    """The arguments with durations for seconds.

    Args:
        stated: the arguments.
        reserved: names that HdmDag sets.

    Raises:
        ConfigurationError: if names or types are wrong; the error lists all of them.
    """
    faults = []
    known = _known()
    for name in stated:
        if name in reserved:
            faults.append(f"{name}: HdmDag sets it")
        elif name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            faults.append(f"{name}: there is no such argument" + (f"; did you mean {close[0]}?" if close else ""))
    own = {name: stated[name] for name in stated if name in known and name not in RunOptions.model_fields}
    try:
        checked = _Arguments.model_validate(own)
    except ValidationError as error:
        faults += [fault(one) for one in error.errors()]
    if faults:
        raise ConfigurationError("\n  ".join(dict.fromkeys(faults)))
    return {name: getattr(checked, name) if name in own else value for name, value in stated.items()}


@cache
def _known() -> frozenset[str]:
    """Names of arguments, also of an Airflow newer than this module."""
    of_airflow = inspect.signature(BaseOperator.__init__).parameters
    return frozenset({*of_airflow, *_Arguments.model_fields, *RunOptions.model_fields} - {"self", "kwargs"})


def _try(make: Callable[..., BaseOperator], arguments: Mapping[str, Any]) -> None:
    """Do with one task in a Dag of its own what Airflow does with it before it runs.

    Raises:
        Exception: if Airflow would refuse the task, or its database the Dag.
    """
    from airflow.serialization.serialized_objects import DagSerialization

    dag = DAG("trial", schedule=None)
    # not `with dag`: within another Dag's task group, that group would get the task
    task = make(task_id="trial", dag=dag, task_group=dag.task_group, **arguments)
    dag.validate()  # type: ignore[no-untyped-call]  # Airflow's is not annotated
    _find_executor(task.executor)
    text = json.dumps(DagSerialization.to_dict(dag), allow_nan=False)
    if _ESCAPE.search(text):
        raise ValueError("a text has a zero byte or half of a character, which databases refuse")
    if _ADDRESS.search(text):
        raise ValueError("an object has no text that is the same at every parse")
    DagSerialization.from_dict(json.loads(text))


def _find_executor(name: str | None) -> None:
    from airflow.configuration import conf
    from airflow.executors.executor_loader import ExecutorLoader

    if name and not conf.getboolean("core", "multi_team"):  # the team is unknown here
        ExecutorLoader.lookup_executor_name_by_str(name)
