"""A mutant, and why some may survive: they give the same answers, so no test of the answers can notice them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

End = Literal["killed", "timed out", "survived"]


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One fault that was put into the code."""

    code: str  # module, or file and query, below hdm_airflow
    change: tuple[str, str]  # the line as it was, and as it is with the fault; only survivors need it
    end: End

    def __str__(self) -> str:
        was, now = self.change
        return f"{self.code}: `{was}` -> `{now}`"


_OWN, _REQUIRED = "(kind = %(kind)s AND pack = %(pack)s)", "(kind = 'metric' AND pack = ANY(%(required)s))"
_RUN = "kind, pack, endpoint, environment, status, reported, reason, "

#: (line as it was, line with the fault) -> why it may survive.
ACCEPTED: dict[tuple[str, str], str] = {
    (f"{_RUN}nullif(incomplete, '[]') AS incomplete,", f"{_RUN}incomplete AS incomplete,"): (
        "an empty list and null are read alike; null spares decoding thousands of empty lists"
    ),
    (f"WHERE {_OWN} OR {_REQUIRED}", f"WHERE {_OWN.replace('AND', 'OR')} OR {_REQUIRED}"): (
        "reads more activations than are asked for, and `assignments.read` picks the same ones"
    ),
    (f"WHERE {_OWN} OR {_REQUIRED}", f"WHERE {_OWN} OR {_REQUIRED.replace('AND', 'OR')}"): (
        "reads more activations than are asked for, and `assignments.read` picks the same ones"
    ),
}
