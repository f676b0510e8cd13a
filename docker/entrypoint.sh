#!/bin/sh
# Each file in /run/secrets is a setting of its name: secrets stay out of the environment that `docker inspect` shows.
set -eu
for file in /run/secrets/*; do
  [ -f "$file" ] && export "$(basename "$file")=$(cat "$file")"
done
exec "$@"
