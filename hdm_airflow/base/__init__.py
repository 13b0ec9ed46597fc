"""The HDM base: the PostgreSQL database that holds endpoints, activation, configuration, ledger, metrics and alerts.

`hook` connects, `migrate` makes the tables, `queries` loads the SQL files; then one module per noun.
"""
