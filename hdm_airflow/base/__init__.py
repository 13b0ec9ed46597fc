"""The HDM base: the PostgreSQL database that holds endpoints, activation, configuration, ledger, metrics and alerts.

`hook` connects, `migrate` creates the tables, `queries` loads the SQL files; every other module is one noun.
"""
