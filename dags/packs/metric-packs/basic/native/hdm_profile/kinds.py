"""What columns hold, and in which type the server sends it: the enums of hdm_profile.h, which explains each."""

from __future__ import annotations

# What a column holds: `enum hdm_kind`.
OPAQUE, INTEGER, UNSIGNED, FLOAT, DECIMAL, TEXT, DATE, DATETIME, TIME = range(9)
# How PostgreSQL sends it: `enum hdm_pg_wire`.
PG_OPAQUE, PG_BOOL, PG_INT2, PG_INT4, PG_INT8, PG_OID, PG_FLOAT4, PG_FLOAT8, PG_NUMERIC = range(9)
PG_TEXT, PG_BPCHAR, PG_UUID, PG_DATE, PG_TIMESTAMP, PG_TIME, PG_TIMETZ = range(9, 16)
# How MySQL sends it, and what SQLite is meant to hold: `enum hdm_my_wire`, `enum hdm_any_wire`.
MY_OPAQUE, MY_INTEGER, MY_UNSIGNED, MY_FLOAT, MY_DECIMAL, MY_TEXT, MY_BIT, MY_DATE, MY_DATETIME, MY_TIME = range(10)
MY_SINGLE = 10
ANY_OPAQUE, ANY_INTEGER, ANY_FLOAT, ANY_TEXT, ANY_DATE, ANY_DATETIME, ANY_TIME = range(7)
