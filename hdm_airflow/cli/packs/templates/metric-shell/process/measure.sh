#!/bin/bash
# Metric pack __NAME__: counts the tables of each PostgreSQL endpoint. Needs psql and python3.
# Change the queries in `measure` and `store` to measure what you need.
set -u

endpoints='import json, os
for e in json.load(open(os.environ["HDM_CONTEXT"]))["endpoints"]:
    keys = "slug", "type", "host", "port", "user", "password", "ssl", "database"
    print(json.dumps(e["slug"]), *(e.get(key) or "" for key in keys), sep="\0", end="\0")'

report() {  # arguments: the endpoint's slug in JSON, the status, the rest of the line
    printf '{"endpoint": %s, "status": "%s", %s}\n' "$1" "$2" "$3" >> "$HDM_REPORT"
}

run_sql() {
    psql --no-psqlrc --no-password --quiet --tuples-only --no-align --set=ON_ERROR_STOP=1 "$@"
}

measure() {  # at the endpoint: overrides every libpq variable that points to the HDM base
    local mode=prefer authorities=
    [[ ${ssl,,} == true ]] && mode=verify-full authorities=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}
    PGHOST=${host:-localhost} PGPORT=${port:-5432} PGUSER=$user PGPASSWORD=$password PGDATABASE=$database \
        PGPASSFILE=/dev/null PGSSLMODE=$mode PGSSLROOTCERT=$authorities \
        PGOPTIONS='-c default_transaction_read_only=on' \
        run_sql <<< 'SELECT count(*) FROM pg_stat_user_tables'
}

store() {  # at the HDM base: replaces the row of this date, so that running again changes nothing
    run_sql --single-transaction --set=slug="$slug" --set=date="$HDM_DATE" --set=tables="$1" <<'SQL'
DELETE FROM __TABLE__ WHERE endpoint = :'slug' AND "date" = :'date';
INSERT INTO __TABLE__ (endpoint, "date", tables) VALUES (:'slug', :'date', :tables);
SQL
}

while IFS= read -rd '' json && for part in slug type host port user password ssl database; do IFS= read -rd '' $part; done; do
    if [[ ! ${type,,} =~ ^postgres(ql)?$ ]]; then
        report "$json" skipped '"message": "this pack supports only PostgreSQL"'
    elif tables=$(measure) && store "$tables"; then
        report "$json" ok '"metrics": 1'
    else
        report "$json" failed '"message": "not measured: the log shows the error from psql"'
    fi
done < <(python3 -c "$endpoints")
wait $!
