"""Incidents: the life of an alert from night to night, and what rule packs could not judge."""

from hdm_airflow.base.migrate import run_sql

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the tables. The next run of each rule pack derives the faults that stand, silently."""
    run_sql("0004_incidents.sql")
