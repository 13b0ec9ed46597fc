"""The C library next to this file, with its functions declared as in hdm_profile.h."""

from __future__ import annotations

import ctypes
import struct
from pathlib import Path
from typing import Any


class _Level(ctypes.Structure):
    _fields_ = (
        ("hi", ctypes.c_uint64),
        ("lo", ctypes.c_uint64),
        ("count", ctypes.c_uint64),
        ("label", ctypes.c_uint32),
        ("length", ctypes.c_uint16),
        ("shape", ctypes.c_uint16),
    )


_LIBRARY = Path(__file__).with_name("_engine.so")
LEVELS = ctypes.POINTER(_Level)
_HANDLE = ctypes.c_void_p  # of a profile


def _declared(engine: ctypes.CDLL, signatures: dict[str, tuple[Any, list[Any]]]) -> ctypes.CDLL:
    for name, (result, arguments) in signatures.items():
        function = getattr(engine, name)
        function.restype, function.argtypes = result, arguments
    return engine


#: Python releases its lock (the GIL) while one of these runs.
ENGINE = _declared(
    ctypes.CDLL(str(_LIBRARY)),
    {
        "hdm_new": (_HANDLE, [ctypes.c_uint32, *[ctypes.c_void_p] * 3, ctypes.c_uint64, *[ctypes.c_char_p] * 2]),
        "hdm_plan": (
            ctypes.c_uint32,
            [
                *(_HANDLE, ctypes.c_uint32, ctypes.c_int64, ctypes.c_uint32),
                *[ctypes.c_uint32, ctypes.c_char_p] * 3,
            ],
        ),
        "hdm_days": (ctypes.c_int64, [_HANDLE, *[ctypes.c_void_p] * 2]),
        "hdm_pairs": (None, [_HANDLE, ctypes.c_void_p]),
        "hdm_cells": (ctypes.c_int64, [_HANDLE, ctypes.c_uint32, ctypes.c_void_p]),
        "hdm_repeats": (ctypes.c_uint64, [_HANDLE]),
        "hdm_close": (None, [_HANDLE]),
        "hdm_free": (None, [_HANDLE]),
        "hdm_finish": (ctypes.c_uint32, [_HANDLE, ctypes.c_void_p]),
        "hdm_levels": (ctypes.c_int64, [_HANDLE, ctypes.c_uint32, ctypes.c_void_p, ctypes.c_void_p]),
        "hdm_keep": (None, [_HANDLE, ctypes.c_uint32, ctypes.c_uint64]),
        "hdm_kept": (ctypes.c_int64, [_HANDLE, ctypes.c_uint32, ctypes.c_void_p]),
        "hdm_missing": (
            ctypes.c_int64,
            [*[ctypes.c_char_p, ctypes.c_size_t] * 2, ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t],
        ),
        "hdm_feed_copy": (ctypes.c_uint32, [_HANDLE, ctypes.c_char_p, ctypes.c_size_t]),
        "hdm_drain_copy": (ctypes.c_uint32, [_HANDLE, *[ctypes.c_void_p] * 3]),
        "hdm_feed_mysql": (ctypes.c_uint32, [_HANDLE, ctypes.c_char_p, ctypes.c_size_t]),
        "hdm_drain_sqlite": (ctypes.c_uint32, [_HANDLE, *[ctypes.c_void_p] * 3, ctypes.c_double]),
        "hdm_ended": (ctypes.c_int, [_HANDLE]),
        "hdm_code": (ctypes.c_uint32, [_HANDLE]),
    },
)
#: Python keeps its lock: hdm_feed_rows uses Python objects, and the others take less time than releasing the lock.
ENGINE_WITH_LOCK = _declared(
    ctypes.PyDLL(str(_LIBRARY)),
    {
        "hdm_feed_rows": (ctypes.c_uint32, [_HANDLE, ctypes.c_void_p, ctypes.py_object]),
        "hdm_rows": (ctypes.c_uint64, [_HANDLE]),
        "hdm_bytes": (ctypes.c_uint64, [_HANDLE]),
        "hdm_stop": (None, [_HANDLE]),
    },
)


#: The functions in `struct hdm_python` of hdm_profile.h, in its order.
PYTHON_FUNCTIONS = (
    *("PyList_Size", "PyList_GetItem", "PyTuple_GetItem", "PyObject_Type", "Py_DecRef"),
    *("PyLong_AsLongLong", "PyFloat_AsDouble", "PyUnicode_AsUTF8AndSize"),
)


def _python() -> bytes:
    """A `struct hdm_python`."""
    addresses = [ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value for name in PYTHON_FUNCTIONS]
    return struct.pack("12P", *addresses, *map(id, (None, int, float, str)))


PYTHON = _python()
