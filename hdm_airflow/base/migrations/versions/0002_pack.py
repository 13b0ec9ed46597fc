"""What the attempts ran, with each pack's configuration schema."""

from hdm_airflow.base.migrate import run_sql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the table."""
    run_sql("0002_pack.sql")
