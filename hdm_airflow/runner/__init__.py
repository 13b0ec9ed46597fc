"""Running one pack: its private folder, its software environment, its process, what it reports, what is masked.

Knows neither Airflow nor a database: the operator hands in values and gets values back.
"""
