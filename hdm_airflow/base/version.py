"""Version: of the HDM base, compared with the one that this release needs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from hdm_airflow.base.queries import queries
from hdm_airflow.errors import HdmBaseError

if TYPE_CHECKING:
    from hdm_airflow.base.hook import BaseConnection

_MIGRATIONS = Path(__file__).with_name("migrations") / "versions"


@cache
def needed() -> str:
    """Return the version that this release needs: the number of the last migration."""
    return max(path.name.split("_")[0] for path in _MIGRATIONS.glob("[0-9]*.py"))


def only(versions: Sequence[str], where: str) -> str | None:
    """Return the base's version if this release knows it, or None if it has none.

    Args:
        versions: the rows of the version table.
        where: names the base.

    Raises:
        HdmBaseError: if there are several, or this release does not know it.
    """
    if not versions:
        return None
    if len(versions) > 1:
        what = f"the HDM base has several versions: {', '.join(versions)}"
        hint = "find out which upgrade succeeded last (hdm_audit, a backup), and delete the other rows"
        raise HdmBaseError(what, f"{where}, table hdm_alembic_version", f"{hint} of the table hdm_alembic_version")
    (version,) = versions
    if version.isdecimal() and list(_MIGRATIONS.glob(f"{version}_*.py")):
        return version
    if version.isdecimal() and int(version) > int(needed()):
        what = f"the HDM base (version {version}) is newer than this version of hdm_airflow: upgrade the package"
        hint = f"upgrade hdm_airflow here to the release that upgraded the base; this one needs version {needed()}"
        raise HdmBaseError(what, where, hint)
    what = f"the HDM base has a version that this release does not know: {version!r}"
    raise HdmBaseError(what, f"{where}, table hdm_alembic_version", "find out who has written it, or restore a backup")


def require(versions: Sequence[str], where: str) -> None:
    """Check that the base has the version that this release needs.

    Raises:
        HdmBaseError: if it has not.
    """
    current = only(versions, where)
    if current != needed():
        what = f"the HDM base is at version {current or 'none'}; this release needs {needed()}"
        raise HdmBaseError(what, where, "run: airflow hdm db upgrade")


def check(base: BaseConnection, where: str) -> None:
    """Read the base's version and check that it is the one that this release needs.

    Raises:
        HdmBaseError: if it is not.
    """
    require([row["version_num"] for row in base.execute(queries("version")["read"])], where)
