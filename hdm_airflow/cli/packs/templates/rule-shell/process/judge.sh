#!/bin/bash
# Rule pack __NAME__: raises an alert if a metric table has far fewer rows for an endpoint than last time.
# Needs psql and python3. Change judge.sql to alert on what you need.
set -u

# max_drop: percent, a configuration key
endpoints='import json, os
for e in json.load(open(os.environ["HDM_CONTEXT"]))["endpoints"]:
    config = e["config"] if isinstance(e["config"], dict) else {}
    values = e["slug"], e["database"], e["version"], config.get("max_drop", 20)
    print(json.dumps(e["slug"]), *values, sep="\0", end="\0")'

report() {  # arguments: the endpoint's slug in JSON, the status, the rest of the line
    printf '{"endpoint": %s, "status": "%s", %s}\n' "$1" "$2" "$3" >> "$HDM_REPORT"
}

judge() {  # at the HDM base, to which the libpq variables point; prints the number of alerts
    psql --no-psqlrc --no-password --quiet --tuples-only --no-align --single-transaction --set=ON_ERROR_STOP=1 \
        --set=slug="$slug" --set=database="$database" --set=version="$version" --set=max_drop="$max_drop" \
        --set=date="$HDM_DATE" --set=pack="$HDM_PACK" --file=judge.sql
}

while IFS= read -rd '' json && for part in slug database version max_drop; do IFS= read -rd '' $part; done; do
    if alerts=$(judge); then
        report "$json" ok "\"alerts\": $alerts"
    else
        report "$json" failed '"message": "not judged: the log shows the error from psql"'
    fi
done < <(python3 -c "$endpoints")
wait $!
