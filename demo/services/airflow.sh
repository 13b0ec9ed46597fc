#!/bin/bash
# Starts the components of Airflow that are named; if one ends, all end. There are no log servers: on one machine, the
# api-server reads the log files itself.
set -e
airflow db migrate
case " $* " in
*" dag-processor "*) ;;
*) airflow dags reserialize ;;
esac
trap 'trap - EXIT TERM INT; kill $(jobs -p); wait' EXIT TERM INT
for component; do
    case $component in
    scheduler | triggerer) airflow "$component" --skip-serve-logs & ;;
    *) airflow "$component" & ;;
    esac
done
wait -n
