"""Static: scripts, styles and icons. Like every other answer of ours, only for those who have logged in."""

from __future__ import annotations

import hashlib
import mimetypes
from functools import cache
from pathlib import Path

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, HTTPException, Response

FOLDER = Path(__file__).with_name("static")
#: Their addresses change with their content.
_FOREVER = {"cache-control": "private, max-age=31536000, immutable"}
_HOUR = {"cache-control": "private, max-age=3600"}

router = APIRouter()


@cache
def files() -> dict[str, bytes]:
    """The content of each file."""
    return {file.name: file.read_bytes() for file in sorted(FOLDER.iterdir()) if file.is_file()}


@cache
def digest() -> str:
    """Stands for the content of all files: scripts import each other by relative addresses."""
    return hashlib.sha256(repr(files()).encode()).hexdigest()[:12]


@router.get("/static/{version}/{name}")
async def static(version: str, name: str, user: GetUserDep) -> Response:  # noqa: ARG001  # closes the route
    """A file; one of an older version as it is now, which its page learns when it is reloaded."""
    return _answer(name, _FOREVER if version == digest() else _HOUR)


@router.get("/icon/{name}")
async def icon(name: str, user: GetUserDep) -> Response:  # noqa: ARG001  # closes the route
    """An icon of Airflow's navigation, whose address is fixed."""
    return _answer(name, _HOUR)


def _answer(name: str, headers: dict[str, str]) -> Response:
    if name not in files():
        raise HTTPException(404)
    kind = "text/javascript" if name.endswith(".js") else mimetypes.guess_type(name)[0]
    return Response(files()[name], media_type=kind, headers=headers)
