"""Queries: the blocks of the SQL files, which start with `-- name: ...`."""

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
    """Return the named queries of sql/<noun>.sql."""
    text = Path(__file__).with_name("sql").joinpath(f"{noun}.sql").read_text("utf-8")
    _, *parts = _BLOCK.split(text)
    # psycopg wants literal strings so that nobody pastes values into a query. These files are as literal as the code.
    return cast("dict[str, LiteralString]", dict(zip(parts[::2], parts[1::2], strict=True)))
