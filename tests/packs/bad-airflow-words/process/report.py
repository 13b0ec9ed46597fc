"""Tells an Airflow task what its Dag has measured."""
