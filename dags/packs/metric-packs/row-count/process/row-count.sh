#!/bin/bash
# Metric pack `row-count`: counts the rows of every table, one endpoint after another.
# A failed endpoint does not stop the others. The exit code is 1 if all failed, 99 if there were none.
set -u
failed=0 others=0
endpoints='import json, os
for e in json.load(open(os.environ["HDM_CONTEXT"]))["endpoints"]:
    keys = "slug", "type", "host", "port", "user", "password", "ssl", "database"
    print(json.dumps(e["slug"]), *(e.get(key) or "" for key in keys), sep="\0", end="\0")'

report() {  # arguments: the endpoint's slug in JSON, the status, the rest of the line
    printf '{"endpoint": %s, "status": "%s", %s}\n' "$1" "$2" "$3" >> "$HDM_REPORT"
}

count() {  # at the endpoint: overrides every libpq variable that points to the HDM base
    local mode=prefer authorities=
    [[ ${ssl,,} == true ]] && mode=verify-full authorities=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}
    PGHOST=${host:-localhost} PGPORT=${port:-5432} PGUSER=$user PGPASSWORD=$password PGDATABASE=$database \
        PGPASSFILE=/dev/null PGSSLMODE=$mode PGSSLROOTCERT=$authorities \
        PGOPTIONS='-c default_transaction_read_only=on' \
        psql --no-psqlrc --no-password --quiet --tuples-only --csv --set=ON_ERROR_STOP=1 --file=count.sql > counts.csv
}

store() {  # at the HDM base, to which the libpq variables point
    psql --no-psqlrc --no-password --quiet --single-transaction --set=ON_ERROR_STOP=1 \
        --set=slug="$slug" --set=date="$HDM_DATE" --file=store.sql
}

while IFS= read -rd '' json && for part in slug type host port user password ssl database; do IFS= read -rd '' $part; done; do
    if [[ ! ${type,,} =~ ^postgres(ql)?$ ]]; then
        others=1
        report "$json" skipped '"message": "this pack supports only PostgreSQL"'
    elif count && store; then
        others=1
        report "$json" ok "\"metrics\": $(wc -l < counts.csv)"
    else
        failed=1
        report "$json" failed '"message": "not counted: the log shows the error from psql"'
    fi
done < <(python3 -c "$endpoints")
wait $! || exit 1
[[ $failed$others == 00 ]] && exit 99
[[ $others == 1 ]]
