#!/bin/sh
# Makes the secrets of an installation in the folder `secrets` beside this file, each once: `sudo sh secrets.sh`. What is
# there already stays, so that it may be run again after an upgrade. They belong to the image's user; a group of the same
# number lets the other containers read what they need. What nginx answers to, `secrets/host.conf`, is made anew each
# time from WEIR_HOST in `.env`.
set -eu
umask 077
cd "$(dirname "$0")"
owner=10001

mkdir -p secrets/tls secrets/more acme
chmod 0755 secrets secrets/tls secrets/more acme

random() { # hexadecimal, so that it fits an address as it is
    od -An -tx1 -N32 /dev/urandom | tr -d ' \n'
}

# make NAME MODE TEXT
make() {
    [ -e "secrets/$1" ] || printf '%s\n' "$3" >"secrets/$1"
    chown "$owner:$owner" "secrets/$1" 2>/dev/null || echo "secrets/$1: not root, so its owner is yours; see the page" >&2
    chmod "$2" "secrets/$1"
}

make secret_key 0400 "$(random)$(random)"
make operator_token 0440 "$(random)"
[ -e secrets/keyring ] || echo "secrets/keyring is new: back it up at once, and not beside the database" >&2
make keyring 0400 "$(random)"
make postgres_password 0440 "$(random)"
make database_url 0400 "postgres://weir:$(cat secrets/postgres_password)@postgres/weir"
[ -e secrets/redis_url ] || make redis_url 0400 "redis://:$(random)@valkey:6379/0"
word=$(sed 's/^redis:\/\/:\(.*\)@.*/\1/' secrets/redis_url)
make valkey.acl 0440 "user default on >$word ~* &* +@all"
[ -e secrets/rabbitmq_url ] || make rabbitmq_url 0400 "amqp://weir:$(random)@rabbitmq:5672//"
word=$(sed 's/^amqp:\/\/weir:\(.*\)@.*/\1/' secrets/rabbitmq_url)
make rabbitmq.conf 0440 "default_user = weir
default_pass = $word"
make grafana_password 0440 "$(random)"
[ -e secrets/alert_url ] || echo "secrets/alert_url names nobody yet: put the address in it that alerts are posted to" >&2
make alert_url 0440 http://nobody.invalid/

[ ! -e .env ] || host=$(sed -n 's/^WEIR_HOST=//p' .env | tr -d "\"'" | tail -n 1)
printf 'server_name %s;\n' "${WEIR_HOST:-${host:-weir.example.org}}" >secrets/host.conf
chmod 0644 secrets/host.conf # not secret, and nginx is of no group that may read one

# What else weir.env names by a *_FILE, put there by you.
for file in secrets/more/*; do
    [ -e "$file" ] || continue
    chown "$owner:$owner" "$file" 2>/dev/null || true
    chmod 0400 "$file"
done

# The certificate that nginx shows: fullchain.pem and privkey.pem, put there by you.
for file in secrets/tls/*.pem; do
    [ -e "$file" ] || { echo "secrets/tls is empty: it needs fullchain.pem and privkey.pem" >&2 && break; }
    chown "$owner:$owner" "$file" 2>/dev/null || true
    chmod 0440 "$file"
done
