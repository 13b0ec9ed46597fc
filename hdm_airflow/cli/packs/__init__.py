"""`airflow hdm packs ...`: one module per command, declared in `definition`."""
