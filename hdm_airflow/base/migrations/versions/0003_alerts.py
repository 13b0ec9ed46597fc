"""Which metrics and alerts may be used, what an alert compares, and one key for every question about alerts."""

from hdm_airflow.base.migrate import run_sql

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the view and the columns, and replace the indexes."""
    run_sql("0003_alerts.sql")
