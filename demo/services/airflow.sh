#!/bin/bash
# Airflow's components; one that ends takes the others along. The log servers are left out: on one machine the
# api-server reads the files.
set -e
airflow db migrate
trap 'trap - EXIT TERM INT; kill $(jobs -p); wait' EXIT TERM INT
airflow api-server &
airflow dag-processor &
airflow scheduler --skip-serve-logs &
airflow triggerer --skip-serve-logs &
wait -n
