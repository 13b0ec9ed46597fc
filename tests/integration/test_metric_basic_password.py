"""Pack `basic` logs in with the password that the endpoint has, whatever its letters."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from tests.integration.metric_basic_harness import TODAY
from tests.integration.pack_harness import mariadb_endpoint

if TYPE_CHECKING:
    from demo.services import MariaDB
    from tests.integration.metric_basic_harness import Ward


def test_password_of_mariadb_is_sent_in_utf_8(ward: Ward, mariadb: MariaDB, mariadb_database: str) -> None:
    """As the server keeps it; PyMySQL would send a text in Latin-1, which has no euro at all."""
    user = f"reader_{uuid4().hex[:8]}"
    with mariadb.connect(mariadb_database, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE t (a int)")
        for password in ("grüße-1", "pass€word"):
            cursor.execute(f"CREATE OR REPLACE USER '{user}'@'%' IDENTIFIED BY '{password}'")
            cursor.execute(f"GRANT SELECT ON `{mariadb_database}`.* TO '{user}'@'%'")
            endpoint = {**mariadb_endpoint(mariadb, mariadb_database), "user": user, "password": password}
            run = ward.base.run("metric-packs/basic", "metric_basic.py", TODAY, [endpoint])
            assert run.only()["status"] == "ok", run.output
        cursor.execute(f"DROP USER '{user}'@'%'")
