"""Loading the SQL files: blocks that start with `-- name: ...`."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from typing_extensions import LiteralString

_BLOCK = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


@cache
def queries(noun: str) -> dict[str, LiteralString]:
    """The named queries of sql/<noun>.sql."""
    text = Path(__file__).with_name("sql").joinpath(f"{noun}.sql").read_text("utf-8")
    _, *parts = _BLOCK.split(text)
    # The files are ours, as literal as a string in the code; psycopg asks for that so that no value is pasted in.
    return cast("dict[str, LiteralString]", dict(zip(parts[::2], parts[1::2], strict=True)))
