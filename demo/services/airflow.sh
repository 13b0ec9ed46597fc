#!/bin/bash
# Starts Airflow's components; if one ends, all end. There are no log servers: on one machine, the api-server reads the
# log files itself.
set -e
airflow db migrate
trap 'trap - EXIT TERM INT; kill $(jobs -p); wait' EXIT TERM INT
airflow api-server &
airflow dag-processor &
airflow scheduler --skip-serve-logs &
airflow triggerer --skip-serve-logs &
wait -n
