#!/bin/sh
# The two logins and the database, on the first start of the postgres container. pgvector wants a superuser.
set -eu
psql --set=ON_ERROR_STOP=1 --username="$POSTGRES_USER" --dbname=postgres \
  --set=owner="$(cat /run/secrets/OWNER_PASSWORD)" --set=app="$(cat /run/secrets/APP_PASSWORD)" <<'SQL'
CREATE ROLE cacheai_owner LOGIN NOSUPERUSER NOBYPASSRLS PASSWORD :'owner';
CREATE ROLE cacheai_app LOGIN NOSUPERUSER NOBYPASSRLS NOINHERIT PASSWORD :'app';
GRANT cacheai_app TO cacheai_owner WITH SET TRUE, INHERIT FALSE;
CREATE DATABASE cacheai OWNER cacheai_owner;
\connect cacheai
CREATE EXTENSION vector;
SQL
