"""Alembic's entry point. It uses the connection that `hdm_airflow.base.migrate` hands over."""

from alembic import context

from hdm_airflow.base.migrate import VERSION_TABLE

context.configure(connection=context.config.attributes["connection"], version_table=VERSION_TABLE)
with context.begin_transaction():
    context.run_migrations()
