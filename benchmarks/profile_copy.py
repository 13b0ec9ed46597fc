"""Reads a table with binary COPY and discards it, as a lower limit for any profiler. Prints the seconds.

Run as a program: WAY ADDRESS TABLE. Timed is the statement alone, without imports and connecting.
"""

from __future__ import annotations

import asyncio
import sys
import time


def with_psycopg(address: str, statement: str) -> float:
    """Seconds with libpq through psycopg, block by block, without psycopg's own Copy object."""
    from psycopg import pq

    connection = pq.PGconn.connect(address.encode())
    began = time.perf_counter()
    result = connection.exec_(statement.encode())
    if result.status != pq.ExecStatus.COPY_OUT:
        raise RuntimeError(result.error_message)
    read = connection.get_copy_data
    while read(0)[0] > 0:
        pass
    return time.perf_counter() - began


def with_asyncpg(address: str, statement: str) -> float:
    """Seconds with asyncpg and a callback that does nothing."""
    import asyncpg

    async def sink(data: bytes) -> None:
        pass

    async def read() -> float:
        connection = await asyncpg.connect(address)
        began = time.perf_counter()
        query = statement.removeprefix("COPY (").partition(") TO")[0]
        await connection.copy_from_query(query, output=sink, format="binary")
        seconds = time.perf_counter() - began
        await connection.close()
        return seconds

    return asyncio.run(read())


def main() -> None:
    """Read once."""
    way, address, table = sys.argv[1:]
    statement = f"COPY (SELECT * FROM {table}) TO STDOUT (FORMAT binary)"
    print({"psycopg": with_psycopg, "asyncpg": with_asyncpg}[way](address, statement))


if __name__ == "__main__":
    main()
