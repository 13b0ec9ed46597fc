"""What a pack is: manifest, tree, catalog, dependency graph, selection. Knows neither Airflow nor a database."""
