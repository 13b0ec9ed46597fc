r"""Moves whole relations: COPY from the HDM base into polars frames, and frames back into its tables.

Text format is read because it is unambiguous: NULL is `\N`, and line breaks and backslashes in a value are escaped, so
that a line is always a row. What is packed into few rows of bytes is read in binary format. psycopg's own `copy` would
log the text of an error, which may quote a row.
"""

from __future__ import annotations

import io
import itertools
import re
import struct
from typing import TYPE_CHECKING, Any

import polars as pl
import psycopg
from psycopg import pq, sql

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

BLOCK_BYTES = 8_000_000  # text that is parsed at a time
HEADER = 19  # bytes before the first row in binary format
ESCAPE = re.compile(r"\\(.)", re.DOTALL)
ESCAPED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def read(
    base: psycopg.Connection[Any], query: sql.Composable, schema: dict[str, pl.DataType | type[pl.DataType]]
) -> pl.DataFrame:
    """The rows of a query.

    Args:
        base: a connection whose client encoding is UTF-8.
        query: a SELECT without parameters (`sql.Literal` quotes values).
        schema: the polars type of each selected column, in order: String, Int64, Int8 or Float64.

    Raises:
        psycopg.Error: what the server answers.
    """
    statement = sql.SQL("COPY ({}) TO STDOUT").format(query)
    frames = [_parsed(block, schema) for block in _blocks(base.pgconn, statement.as_bytes(base))]
    return pl.concat(frames) if frames else pl.DataFrame(schema=schema)


def packed(base: psycopg.Connection[Any], query: sql.Composable) -> Iterator[list[bytes | None]]:
    """The rows of a query, each a list of fields as PostgreSQL sends them in binary; None: NULL.

    All rows must be taken, or the connection stays busy.

    Raises:
        psycopg.Error: what the server answers.
    """
    statement = sql.SQL("COPY ({}) TO STDOUT (FORMAT binary)").format(query)
    start = HEADER
    for message in _messages(base.pgconn, statement.as_bytes(base)):  # one per row, the header before the first
        if len(message) > start:
            yield from _fields(bytes(message), start)
        start = max(0, start - len(message))


def _fields(message: bytes, at: int) -> Iterator[list[bytes | None]]:
    """The fields of a row; nothing of the end, which has -1 of them."""
    (count,) = struct.unpack_from(">h", message, at)
    if count < 0:
        return
    at += 2
    fields: list[bytes | None] = []
    for _ in range(count):
        (size,) = struct.unpack_from(">i", message, at)
        at += 4
        fields.append(None if size < 0 else message[at : at + size])
        at += max(size, 0)
    yield fields


def among(relation: sql.Identifier, places: pl.DataFrame) -> sql.Composable:
    """The condition that rows of a relation are at some places.

    Args:
        relation: its alias.
        places: "table", or "table" and "column"; other columns do not count.
    """
    named = places.select(name for name in ("table", "column") if name in places.columns).unique()
    return sql.SQL("({}) IN (SELECT * FROM unnest({}) AS o)").format(
        sql.SQL(", ").join(sql.SQL("{}.{}").format(relation, sql.Identifier(name)) for name in named.columns),
        sql.SQL(", ").join(sql.SQL("{}::text[]").format(sql.Literal(named[name].to_list())) for name in named.columns),
    )


def write(base: psycopg.Connection[Any], table: str, columns: Sequence[str], frames: Iterable[pl.DataFrame]) -> None:
    """Append frames, which have the table's columns in this order, by one COPY; by none if they have no rows."""
    full = (frame for frame in frames if frame.height)
    first = next(full, None)
    if first is None:
        return
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv, NULL '\\N')").format(sql.Identifier(table), names)
    with base.cursor() as cursor, cursor.copy(statement) as copy:
        for frame in itertools.chain([first], full):
            text = io.BytesIO()
            frame.write_csv(text, include_header=False, null_value="\\N", quote_style="non_numeric")
            copy.write(text.getvalue())


def _blocks(connection: pq.abc.PGconn, statement: bytes) -> Iterator[bytes]:
    """The text of a COPY in blocks of whole lines."""
    block = bytearray()
    for line in _messages(connection, statement):
        block += line
        if len(block) >= BLOCK_BYTES:
            yield bytes(block)
            block.clear()
    if block:
        yield bytes(block)


def _messages(connection: pq.abc.PGconn, statement: bytes) -> Iterator[memoryview]:
    """What a COPY sends: a row at a time."""
    result = connection.exec_(statement)
    if result.status != pq.ExecStatus.COPY_OUT:
        raise psycopg.errors.error_from_result(result)
    while True:
        size, data = connection.get_copy_data(0)
        if size < 0:
            break
        yield data
    for result in iter(connection.get_result, None):  # all of them, or the connection stays busy
        if result.status != pq.ExecStatus.COMMAND_OK:
            raise psycopg.errors.error_from_result(result)


def _parsed(block: bytes, schema: dict[str, pl.DataType | type[pl.DataType]]) -> pl.DataFrame:
    frame = pl.read_csv(
        block,
        has_header=False,
        separator="\t",
        quote_char=None,
        null_values=["\\N"],
        empty_string_is_null=False,
        schema=schema,
        raise_if_empty=False,
    )
    if b"\\" not in block:
        return frame
    texts = [name for name, kind in schema.items() if kind == pl.String]
    return frame.with_columns(_unescaped(frame[name]) for name in texts)


def _unescaped(texts: pl.Series) -> pl.Series:
    """Without COPY's escapes. Few values have any, so only those are touched."""
    places = texts.str.contains("\\", literal=True).fill_null(value=False).arg_true()
    if not len(places):
        return texts
    whole = [ESCAPE.sub(lambda found: ESCAPED.get(found[1], found[1]), text) for text in texts.gather(places)]
    return texts.scatter(places, whole)
