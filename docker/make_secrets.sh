#!/bin/sh
# Makes docker/secrets once, for this user alone. Keep a copy in another place: without it nothing stored can be read.
set -eu
umask 077
cd "$(dirname "$0")"
[ -e secrets ] && { echo "docker/secrets is there already: nothing was changed." >&2; exit 1; }
mkdir secrets
key() { head -c 32 /dev/urandom | base64; }
word() { head -c 24 /dev/urandom | base64 | tr '+/' '-_'; }
owner=$(word) app=$(word)
printf '1:%s' "$(key)" > secrets/CACHEAI_MASTER_KEYS
printf '1:%s' "$(key)" > secrets/CACHEAI_KEY_PEPPERS
word > secrets/CACHEAI_SECRET_KEY
word > secrets/POSTGRES_PASSWORD
printf '%s' "$owner" > secrets/OWNER_PASSWORD
printf '%s' "$app" > secrets/APP_PASSWORD
printf 'postgresql://cacheai_owner:%s@postgres/cacheai' "$owner" > secrets/DATABASE_URL
printf 'postgresql://cacheai_app:%s@postgres/cacheai' "$app" > secrets/DATABASE_APP_URL
# The containers' users are others than this one, and compose mounts the files as they are. Nobody else gets to them:
# the folder is this user's alone.
chmod 0444 secrets/*
