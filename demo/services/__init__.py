"""Services: real servers that run as long as a `with` block; one module per server, common code in `service`.

Each binds to 127.0.0.1 on a free port, requires a password, keeps its data and log in its folder, and is stopped by
its process id. A second start in the same folder uses the same data, password and, if it is still free, port.
"""

from demo.services.airflow import Airflow
from demo.services.celery_worker import CeleryWorker
from demo.services.mariadb import MariaDB
from demo.services.pgbouncer import PgBouncer
from demo.services.postgres import Database, Postgres
from demo.services.redis import Redis
from demo.services.service import Service, ServiceError, free_port

__all__ = [
    "Airflow",
    "CeleryWorker",
    "Database",
    "MariaDB",
    "PgBouncer",
    "Postgres",
    "Redis",
    "Service",
    "ServiceError",
    "free_port",
]
