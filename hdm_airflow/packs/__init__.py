"""What a pack is: manifest, files, catalog, dependency graph, selection. Uses neither Airflow nor a database."""
