"""The original's tables with the keys they lacked; ledger, applied pack scripts, audit trail, views."""

from hdm_airflow.base.migrate import run_sql

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Take over a base of the original program in place, or make a new one."""
    run_sql("0001_base.sql")
