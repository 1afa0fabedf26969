#!/bin/sh
# certbot's deploy hook: brings a certificate that is new to nginx, which takes it up without losing a stream.
# docs/deploy/one-machine.md says how certbot is told of it.
set -eu
cd "$(dirname "$0")"
install -m 0440 "$RENEWED_LINEAGE/fullchain.pem" "$RENEWED_LINEAGE/privkey.pem" secrets/tls/
sh secrets.sh # sets their owner
docker compose kill --signal HUP nginx
