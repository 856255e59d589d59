#!/bin/sh
# Runs once, when the database is made: the roles of the platform, none of them a superuser.
set -eu
psql -v ON_ERROR_STOP=1 -q -U "$POSTGRES_USER" -d "$POSTGRES_DB" <<'SQL'
\getenv owner WEBGUARD_DATABASE_PASSWORD_WEBGUARD_OWNER
\getenv recorder WEBGUARD_DATABASE_PASSWORD_WEBGUARD_RECORDER
\getenv gateway WEBGUARD_DATABASE_PASSWORD_WEBGUARD_GATEWAY
create role webguard_owner login password :'owner';
create role webguard_recorder login password :'recorder';
create role webguard_gateway login password :'gateway';
alter database webguard owner to webguard_owner;
revoke all on database webguard from public;
grant connect on database webguard to webguard_owner, webguard_recorder, webguard_gateway;
SQL
