"""Limits: the machine resources that one pack run may use."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ByteSize, ConfigDict, Field, TypeAdapter, WithJsonSchema

_SIZES = {"memory", "disk"}  # counted in bytes
_BYTE_SIZE = TypeAdapter(ByteSize)


def _bytes(value: Any) -> int:
    """Bytes from a number or a text such as '2 GB' (10^9) or '2 GiB' (2^30)."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("write a number of bytes, or a text such as '2 GB'")  # noqa: TRY004  # pydantic's way
    return int(_BYTE_SIZE.validate_python(value))


Bytes = Annotated[
    int,
    BeforeValidator(_bytes),
    Field(gt=0, lt=1 << 63),
    WithJsonSchema({"anyOf": [{"type": "integer", "exclusiveMinimum": 0}, {"type": "string"}], "examples": ["2 GB"]}),
]


class Limits(BaseModel):
    """Limits on all processes of one run together; null: no limit."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    memory: Bytes | None = Field(None, description="Bytes of private memory.")
    cpu: float | None = Field(None, gt=0, allow_inf_nan=False, description="Seconds of processor time.")
    disk: Bytes | None = Field(None, description="Bytes in the run folder.")
    output: Bytes | None = Field(None, description="Bytes of output in the log; the rest is dropped.")
    processes: int | None = Field(None, gt=0, description="Processes at the same time.")
    files: int | None = Field(None, ge=16, description="Open files per process.")

    @classmethod
    def stated(cls, value: Any) -> Limits:
        """The default limits, overridden by the stated ones; null removes a default."""
        return cls.model_validate({**DEFAULT_LIMITS.model_dump(), **value} if isinstance(value, Mapping) else value)

    def exceeded(self, name: str, used: float) -> str:
        """A sentence that names the limit exceeded, and how much was used."""
        limit = getattr(self, name)
        if math.isinf(used):
            return f"the pack created folders whose paths are too long to measure (limits.{name})"
        if name in _SIZES:
            return f"the pack used {_size(used)} of {name}; the limit is {_size(limit)} (limits.{name})"
        unit = {"cpu": "s of processor time", "processes": "processes at a time"}[name]
        return f"the pack used {used:,.0f} {unit}; the limit is {limit:,.0f} (limits.{name})"

    def within(self, other: Limits) -> Limits:
        """The tighter of the two, limit by limit."""
        mine, others = self.model_dump(), other.model_dump()
        found = {name: [value for value in (mine[name], others[name]) if value is not None] for name in mine}
        return Limits(**{name: min(values, default=None) for name, values in found.items()})


def _size(number: float) -> str:
    return ByteSize(int(number)).human_readable(decimal=True, separator=" ")


#: The limits if neither the Variable `hdm` nor the manifest sets any: enough for any well-behaved pack.
DEFAULT_LIMITS = Limits(output=1 << 30, processes=1_000)
