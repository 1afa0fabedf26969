#!/usr/bin/env bash
# The management API: makes a tenant, a project, a key, a budget and a limit, raises the budget, and reads what was used.
# WEIR_API_TOKEN is a token that may write (in the admin: Access, API tokens, Add), not a key.
set -euo pipefail
: "${WEIR_URL:=http://127.0.0.1:8000}" "${WEIR_API_TOKEN:?a token of the management API}"

run="$(date +%s)-$$"
api() { # path, then what curl is told
    curl -sS --fail-with-body "$WEIR_URL/api/v1/$1" -H "Authorization: Bearer $WEIR_API_TOKEN" \
        -H "Content-Type: application/json" "${@:2}"
}
field() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }

# With an Idempotency-Key a POST can be sent again, as after a broken connection: it is done once.
tenant=$(api tenants -H "Idempotency-Key: tenant-$run" -d "{\"name\": \"Initech $run\"}" | field id)
again=$(api tenants -H "Idempotency-Key: tenant-$run" -d "{\"name\": \"Initech $run\"}" | field id)
[ "$tenant" = "$again" ]
project=$(api projects -d "{\"tenant\": $tenant, \"name\": \"Website\"}" | field id)
# The secret is shown this once.
secret=$(api keys -d "{\"tenant\": $tenant, \"project\": $project, \"name\": \"backend\"}" | field secret)
echo "tenant $tenant, project $project, key ${secret:0:12}…"
# Money is whole billionths of a dollar: $25 a month.
budget=$(api budgets -d "{\"project\": $project, \"amount_nano_usd\": 25000000000, \"period\": \"month\"}" | field id)
api limits -d "{\"project\": $project, \"requests_per_minute\": 60}" | field id

# More of it for an hour.
until=$(python3 -c 'import datetime as d; print((d.datetime.now(d.UTC) + d.timedelta(hours=1)).isoformat())')
increase=$(api increases -d "{\"budget\": $budget, \"amount_nano_usd\": 5000000000, \"until\": \"$until\",
    \"reason\": \"The launch\"}" | field id)
# For whoever may not decide it, that is all there is to do.
api "increases/$increase/approve" -d '{}' | field state

# What is changed must be what was read: its ETag goes into If-Match.
etag=$(api "projects/$project" -D - -o /dev/null | tr -d '\r' | sed -n 's/^[Ee][Tt][Aa][Gg]: //p')
api "projects/$project" -X PATCH -H "If-Match: $etag" -d '{"name": "Shop"}' | field name

# A page of keys; "next" is the address of the page after it.
api "keys?limit=2" | field next
api "usage/costs?by=model"
echo
api "usage/entries?limit=1"
echo
