"""Other profilers on the hospital's table `visit`. Run as a program: NAME ADDRESS; prints its measurements."""

from __future__ import annotations

import sys
from typing import Any
from urllib.parse import unquote, urlsplit


def whylogs(address: str) -> None:
    """Sketches of every column of a table that is loaded whole into pandas; its counts are approximate."""
    import pandas as pd
    import whylogs as why
    from sqlalchemy import create_engine

    engine = create_engine(address.replace("postgresql://", "postgresql+psycopg2://"))
    frame = pd.read_sql("SELECT * FROM visit", engine)
    print(len(why.log(pandas=frame).view().to_pandas()), "columns")


def soda(address: str) -> None:
    """Checks with metrics as values: counts, missing, distinct; minimum, maximum, mean and deviation of numbers."""
    import psycopg2
    from soda.scan import Scan

    with psycopg2.connect(address) as connection, connection.cursor() as cursor:
        query = "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'visit'"
        cursor.execute(query)
        columns: list[Any] = cursor.fetchall()
    checks = ["row_count > 0"]
    for name, kind in columns:
        checks += [f"missing_count({name}) >= 0", f"duplicate_count({name}) >= 0"]
        if kind in {"bigint", "numeric", "double precision", "integer"}:
            checks += [f"{what}({name}) > -1000000000000000000" for what in ("min", "max", "avg", "stddev")]
    parts = urlsplit(address)
    scan = Scan()
    scan.set_data_source_name("hospital")
    scan.add_configuration_yaml_str(
        f"data_source hospital:\n  type: postgres\n  host: {parts.hostname}\n  port: {parts.port}\n"
        f"  username: {parts.username}\n  password: {unquote(parts.password or '')!r}\n"
        f"  database: {parts.path[1:]}\n  schema: public\n"
    )
    scan.add_sodacl_yaml_str("checks for visit:\n" + "".join(f"  - {check}\n" for check in checks))
    code = scan.execute()
    print(scan.get_logs_text() if code else f"{len(checks)} checks")
    sys.exit(code)


if __name__ == "__main__":
    {"whylogs": whylogs, "soda": soda}[sys.argv[1]](sys.argv[2])
