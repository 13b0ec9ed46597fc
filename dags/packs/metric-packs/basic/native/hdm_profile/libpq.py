"""The functions of the libpq that psycopg has loaded, so that reading a row needs no call into Python."""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path


@cache
def functions() -> tuple[int, int] | None:
    """The addresses of PQgetCopyData and PQfreemem; None if psycopg's libpq cannot be found."""
    for path in _candidates():
        try:
            library = ctypes.CDLL(path, mode=ctypes.RTLD_LOCAL)
            found = [ctypes.cast(library[name], ctypes.c_void_p).value for name in ("PQgetCopyData", "PQfreemem")]
        except (OSError, AttributeError):
            continue
        if all(found):
            return found[0] or 0, found[1] or 0
    return None


def _candidates() -> list[str]:
    """The libraries named libpq in psycopg's wheel, or else among those that this process has mapped."""
    import psycopg.pq

    if psycopg.pq.__impl__ == "binary":
        import psycopg_binary

        home = Path(str(psycopg_binary.__file__)).parent
        found = [*home.parent.glob("psycopg_binary.libs/libpq[-.]*"), *home.glob(".dylibs/libpq[.]*")]
        return [str(path) for path in found]
    maps = Path("/proc/self/maps")
    if not maps.exists():
        return []
    paths = {line.split()[-1] for line in maps.read_text("utf-8", "replace").splitlines() if "/libpq" in line}
    return sorted(paths)
