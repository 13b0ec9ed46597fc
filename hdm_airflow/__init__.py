"""HDM for Apache Airflow."""
