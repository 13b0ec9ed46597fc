"""Real servers for as long as a `with` block lasts: one module per server, and what they share in `service`.

Each binds to 127.0.0.1 on a free port, asks for a password, keeps data and log in the folder it was given,
and is stopped by its process id. A second start in the same folder finds the data, the password and, where
it is still free, the port again.
"""

from demo.services.airflow import Airflow
from demo.services.celery_worker import CeleryWorker
from demo.services.mariadb import MariaDB
from demo.services.postgres import Database, Postgres
from demo.services.redis import Redis
from demo.services.service import Service, ServiceError, free_port

__all__ = [
    "Airflow",
    "CeleryWorker",
    "Database",
    "MariaDB",
    "Postgres",
    "Redis",
    "Service",
    "ServiceError",
    "free_port",
]
