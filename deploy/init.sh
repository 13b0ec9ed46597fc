#!/usr/bin/env bash
# The service `init`, which runs once per start: prepares folders, users and both databases. It is safe to repeat.
set -euo pipefail

for folder in /opt/airflow/logs /opt/airflow/web-users /home/airflow/.cache; do
    if ! [ -w "$folder" ]; then
        echo "The volume at $folder is not writable for user id $(id -u)." >&2
        echo "Do: docker compose run --rm --no-deps --user root --cap-add CHOWN --cap-add DAC_OVERRIDE --entrypoint chown init --recursive 50000:0 $folder" >&2
        exit 1
    fi
done
for folder in scheduler dag_processor; do
    mkdir -p "/opt/airflow/logs/$folder"
done

# SimpleAuthManager reads its passwords from this file. Entries of other users stay unchanged.
python - <<'PYTHON'
import json, os, pathlib

path = pathlib.Path(os.environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"])
passwords = json.loads(path.read_text()) if path.exists() and path.stat().st_size else {}
passwords["admin"] = os.environ["AIRFLOW_ADMIN_PASSWORD"]
path.touch(mode=0o600)
path.write_text(json.dumps(passwords) + "\n")
PYTHON

airflow db migrate
airflow hdm db upgrade
