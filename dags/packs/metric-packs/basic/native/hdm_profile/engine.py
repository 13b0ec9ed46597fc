"""The C library beside this file, its functions declared."""

from __future__ import annotations

import ctypes
import struct
from pathlib import Path
from typing import Any


class _Slot(ctypes.Structure):
    _fields_ = (
        ("hi", ctypes.c_uint64),
        ("lo", ctypes.c_uint64),
        ("count", ctypes.c_uint64),
        ("label", ctypes.c_uint32),
        ("length", ctypes.c_uint32),
    )


class _Live(ctypes.Structure):
    """The beginning of a profile."""

    _fields_ = (("rows", ctypes.c_uint64), ("bytes", ctypes.c_uint64), ("stop", ctypes.c_uint32))


_LIBRARY = Path(__file__).with_name("_engine.so")
SLOTS = ctypes.POINTER(_Slot)
_HANDLE = ctypes.POINTER(_Live)


def _load() -> ctypes.CDLL:
    engine = ctypes.CDLL(str(_LIBRARY))
    signatures: dict[str, tuple[Any, list[Any]]] = {
        "hdm_new": (_HANDLE, [ctypes.c_uint32, *[ctypes.c_void_p] * 4, ctypes.c_uint64, *[ctypes.c_char_p] * 2]),
        "hdm_close": (None, [_HANDLE]),
        "hdm_free": (None, [_HANDLE]),
        "hdm_finish": (ctypes.c_uint32, [_HANDLE, ctypes.c_void_p]),
        "hdm_levels": (ctypes.c_int64, [_HANDLE, ctypes.c_uint32, ctypes.c_void_p, ctypes.c_void_p]),
        "hdm_feed_copy": (ctypes.c_uint32, [_HANDLE, ctypes.c_char_p, ctypes.c_size_t]),
        "hdm_drain_copy": (ctypes.c_uint32, [_HANDLE, *[ctypes.c_void_p] * 3]),
        "hdm_feed_mysql": (ctypes.c_uint32, [_HANDLE, ctypes.c_char_p, ctypes.c_size_t]),
        "hdm_drain_sqlite": (ctypes.c_uint32, [_HANDLE, *[ctypes.c_void_p] * 3, ctypes.c_double]),
        "hdm_ended": (ctypes.c_int, [_HANDLE]),
        "hdm_code": (ctypes.c_uint32, [_HANDLE]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(engine, name)
        function.restype, function.argtypes = result, arguments
    return engine


ENGINE = _load()
ENGINE_WITH_LOCK = ctypes.PyDLL(str(_LIBRARY))  # Python's, for the functions that touch its objects
ENGINE_WITH_LOCK.hdm_feed_rows.restype = ctypes.c_uint32
ENGINE_WITH_LOCK.hdm_feed_rows.argtypes = [_HANDLE, ctypes.c_void_p, ctypes.py_object]


def _python() -> Any:
    """The functions and objects of Python that python.c needs, in the order of its `struct python`."""
    functions = (
        *("PyList_Size", "PyList_GetItem", "PyTuple_GetItem", "PyObject_Type", "Py_DecRef"),
        *("PyLong_AsLongLong", "PyFloat_AsDouble", "PyUnicode_AsUTF8AndSize"),
    )
    addresses = [ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value for name in functions]
    return struct.pack("12P", *addresses, *map(id, (None, int, float, str)))


PYTHON = _python()
