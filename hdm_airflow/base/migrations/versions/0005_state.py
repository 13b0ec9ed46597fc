"""The state of each pack on each endpoint, kept by triggers on the ledger; bulk changes in the audit trail."""

from hdm_airflow.base.migrate import run_sql

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the table, its triggers and the column, and fill the table from the ledger."""
    run_sql("0005_state.sql")
