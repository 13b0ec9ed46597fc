#!/bin/sh
# Writes .env next to docker-compose.yaml: deploy/env.example with a new random value for every empty secret.
# Usage: deploy/make-env.sh [FILE]      The file gets mode 0600; an existing file is never overwritten.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
target=${1:-$here/../.env}

# Hexadecimal, because these values become part of URLs. 32 bytes give the 64 characters that HS512 needs as a key.
random_hex() { od -An -v -tx1 -N32 /dev/urandom | tr -d ' \n'; }
# A fernet key is 32 bytes in URL-safe base64.
random_fernet_key() { head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '\n'; }

# -h: a dangling link counts as an existing file.
if [ -e "$target" ] || [ -h "$target" ]; then
    echo "$target exists; its secrets are in use. Remove it only together with the volumes created with it." >&2
    exit 1
fi

content=$(
    while IFS= read -r line; do
        case $line in
            '#'*) printf '%s\n' "$line" ;;
            AIRFLOW_FERNET_KEY=) printf '%s%s\n' "$line" "$(random_fernet_key)" ;;
            *=) printf '%s%s\n' "$line" "$(random_hex)" ;;
            *) printf '%s\n' "$line" ;;
        esac
    done < "$here/env.example"
)

umask 077
set -C # do not overwrite a file that was created in the meantime
printf '%s\n' "$content" > "$target"
echo "Wrote $target. The web user is admin; the password is AIRFLOW_ADMIN_PASSWORD in that file." >&2
