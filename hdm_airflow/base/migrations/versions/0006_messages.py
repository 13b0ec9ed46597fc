"""Messages: who is told about incidents, and an outbox; owner, tags and extent of alerts."""

from hdm_airflow.base.migrate import run_sql

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the tables and columns, and take over the original's subscriptions."""
    run_sql("0006_messages.sql")
